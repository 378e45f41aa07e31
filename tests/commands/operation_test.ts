import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { runCancellable, runOperation } from "../../commands/operation.ts";

/** A context whose Ctrl-C is pressed by the test, and what it says. */
class Fake {
  readonly ending = new AbortController();
  #handler: (() => boolean) | undefined;
  #said = "";
  readonly context: PkiContext = {
    process: {
      stdin: Readable.from([]),
      stdout: this.#collect(),
      stderr: this.#collect(),
      env: { PKI_ID: "alice" },
    },
    homeFolder: "/nonexistent",
    terminal: undefined,
    signal: this.ending.signal,
    now: () => 0,
    takeInterrupts: (handler) => {
      const before = this.#handler;
      this.#handler = handler;
      return () => {
        this.#handler = before;
      };
    },
  };

  #collect(): Writable {
    return new Writable({
      write: (chunk, _encoding, done) => {
        this.#said += chunk;
        done();
      },
    });
  }

  /** What was said since it was asked last. */
  said(): string {
    const said = this.#said;
    this.#said = "";
    return said;
  }

  /** Presses Ctrl-C; returns whether anybody has dealt with it. */
  press(): boolean {
    return this.#handler?.() ?? false;
  }
}

test("runCancellable() lets Ctrl-C end what runs, and nothing else", async () => {
  const fake = new Fake();
  const release = fake.context.takeInterrupts?.(() => true);
  const found = await runCancellable(fake.context, (context) => {
    assert.equal(context.signal.aborted, false);
    assert.equal(fake.press(), true);
    assert.equal(context.signal.aborted, true);
    assert.equal(context.signal.reason, "SIGINT");
    assert.equal(fake.context.signal.aborted, false, "not the session's");
    fake.said();
    assert.equal(fake.press(), true);
    assert.match(fake.said(), /it has not ended yet/);
    assert.equal(fake.press(), false, "who presses on does not want to wait: the program's turn");
    return Promise.resolve("found");
  });
  assert.equal(found, "found");
  assert.equal(fake.press(), true, "between operations it is the session's again");
  release?.();
  assert.equal(fake.press(), false);
});

test("runCancellable() ends what runs with the program, and gives Ctrl-C back after a failure", async () => {
  const fake = new Fake();
  await assert.rejects(
    runCancellable(fake.context, (context) => {
      fake.ending.abort("SIGTERM");
      assert.equal(context.signal.reason, "SIGTERM");
      return Promise.reject(new Error("failed"));
    }),
    /failed/,
  );
  assert.equal(fake.press(), false);
});

test("runOperation() runs a command with its environment, says errors and gives the exit code", async () => {
  const fake = new Fake();
  assert.equal(await runOperation(["version"], fake.context, {}), 0);
  assert.match(fake.said(), /^pki /);
  assert.equal(await runOperation(["frobnicate"], fake.context, {}), 2);
  assert.match(fake.said(), /^pki: error: there is no command "frobnicate"/);
  // Who is asked for is who the environment names; the home is not there.
  assert.equal(
    await runOperation(["upload"], fake.context, { PKI_HOME: "/nonexistent", PKI_ID: "bob" }),
    5,
  );
  assert.match(fake.said(), /^pki: error: cannot find a certificate of "bob" in "\/nonexistent"/);
});
