import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { answerCalls, Caller } from "../../lib/base/call.ts";
import { PkiError } from "../../lib/base/errors.ts";

interface Text {
  readonly text: string;
}

/** A caller of texts and the one who answers, on the two ends of a channel, for as long as `use` takes. */
async function withCaller(
  handle: (question: string) => Promise<unknown>,
  use: (
    caller: { ask(text: string): Promise<string> } & Pick<Caller<Text, Text>, "fail" | "waiting">,
    port: MessagePort,
  ) => Promise<void>,
): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  answerCalls(port2, async ({ text }: Text) => ({ text: await handle(text) }));
  const caller = new Caller<Text, Text>(port1);
  try {
    await use({
      ask: async (text) => (await caller.ask({ text })).text,
      fail: (error) => caller.fail(error),
      get waiting() {
        return caller.waiting;
      },
    }, port1);
  } finally {
    port1.close();
    port2.close();
  }
}

test("ask() gets the answer to its own question, whatever order they come in", async () => {
  const waiting = new Map<string, (answer: string) => void>();
  const handle = (question: string) =>
    new Promise<string>((resolve) => {
      waiting.set(question, resolve);
      if (waiting.size < 3) return;
      for (const [name, answer] of [...waiting].reverse()) answer(`answer to ${name}`);
    });
  await withCaller(handle, async (caller) => {
    const asked = [caller.ask("a"), caller.ask("b"), caller.ask("c")];
    assert.equal(caller.waiting, 3);
    assert.deepEqual(await Promise.all(asked), ["answer to a", "answer to b", "answer to c"]);
    assert.equal(caller.waiting, 0);
  });
});

interface Failure {
  readonly name: string;
  readonly thrown: unknown;
  readonly kind: string;
  readonly message: string;
}

const FAILURES: readonly Failure[] = [
  {
    name: "a refusal",
    thrown: new PkiError("refused", "cannot do it"),
    kind: "refused",
    message: "cannot do it",
  },
  {
    name: "a conflict",
    thrown: new PkiError("conflict", "it is taken"),
    kind: "conflict",
    message: "it is taken",
  },
  { name: "a fault", thrown: new Error("detail"), kind: "internal", message: "detail" },
  {
    name: "failed storage, in full",
    thrown: new PkiError("storage", "ENOSPC: /srv/x"),
    kind: "storage",
    message: "ENOSPC: /srv/x",
  },
  { name: "nothing at all", thrown: undefined, kind: "internal", message: "undefined" },
];

for (const { name, thrown, kind, message } of FAILURES) {
  test(`ask() fails as the other side did, with ${name}`, async () => {
    await withCaller(() => Promise.reject(thrown), async (caller) => {
      await assert.rejects(caller.ask("x"), { name: "PkiError", kind, message });
    });
    const throws = () => {
      throw thrown;
    };
    await withCaller(throws, async (caller) => {
      await assert.rejects(caller.ask("x"), { kind, message });
    });
  });
}

test("ask() fails where the answer cannot be sent", async () => {
  await withCaller(() => Promise.resolve(() => {}), async (caller) => {
    await assert.rejects(caller.ask("x"), { kind: "internal" });
  });
});

test("a question that fails leaves the others alone", async () => {
  const handle = (question: string) =>
    question === "bad" ? Promise.reject(new Error("x")) : Promise.resolve(question);
  await withCaller(handle, async (caller) => {
    const bad = caller.ask("bad");
    assert.equal(await caller.ask("good"), "good");
    await assert.rejects(bad, { kind: "internal" });
    assert.equal(await caller.ask("again"), "again");
  });
});

test("a port goes along with a question where it is handed over", async () => {
  const { port1, port2 } = new MessageChannel();
  const inner = new MessageChannel();
  answerCalls<{ readonly port: MessagePort }, Text>(port2, ({ port }) => {
    port.postMessage("through it");
    return Promise.resolve({ text: "sent" });
  });
  const heard = new Promise((resolve) => inner.port1.once("message", resolve));
  const caller = new Caller<{ readonly port: MessagePort }, Text>(port1);
  assert.equal((await caller.ask({ port: inner.port2 }, [inner.port2])).text, "sent");
  assert.equal(await heard, "through it");
  for (const port of [port1, port2, inner.port1]) port.close();
});

test("fail() fails what was asked, what is asked later, and ignores an answer behind it", async () => {
  let answer = (_: string) => {};
  const handle = () => new Promise<string>((resolve) => answer = resolve);
  await withCaller(handle, async (caller, port) => {
    const asked = caller.ask("x");
    caller.fail(new PkiError("internal", "the worker is gone"));
    caller.fail(new PkiError("busy", "something else"));
    const gone = { kind: "internal", message: "the worker is gone" };
    await assert.rejects(asked, gone);
    await assert.rejects(caller.ask("y"), gone);
    const late = new Promise((resolve) => port.once("message", resolve));
    await new Promise((resolve) => setTimeout(resolve));
    answer("late");
    assert.deepEqual(await late, { number: 1, text: "late" });
  });
});
