/**
 * A peer with a good certificate and bad manners: whatever it sends, the other side says that the
 * protocol was broken and ends with 7, and a listener goes on listening.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { type Credential, Forge } from "./forge.ts";
import { type Finished, inWorld, type World } from "./harness.ts";
import { type Misbehaviour, MISBEHAVIOURS } from "./misbehaviours.ts";
import {
  callAs,
  control,
  endFrame,
  frame,
  RawListener,
  RawPeer,
  READY,
  REVEAL,
  textBody,
  TYPE,
} from "./raw_peer.ts";

/** Plays one row against whoever is at the other end, until that one closes. */
async function misbehave(peer: RawPeer, { when, send }: Misbehaviour): Promise<void> {
  if (when === "committed") {
    peer.send(control(peer.hello));
    await peer.control("HELLO");
    await peer.control("NONCE");
  } else if (when === "greeted") await peer.greet();
  else if (when === "open") await peer.open();
  peer.send(send);
  await peer.typesToClose();
  peer.hangUp();
}

type Body = (world: World, mallory: Credential) => Promise<void>;

const PARTS: (readonly [string, Body])[] = [];

/** Something that is tested in the one world of this file. */
function part(name: string, body: Body): void {
  PARTS.push([name, body]);
}

/** Lets alice call a peer that the test plays. */
async function callRaw(
  world: World,
  credential: Credential,
  play: (peer: RawPeer) => Promise<unknown>,
  options: { readonly input?: string | undefined; readonly flags?: readonly string[] } = {},
): Promise<Finished> {
  const { input, flags = [] } = { input: "", ...options };
  const played = Promise.withResolvers<unknown>();
  const listener = await RawListener.start(credential, (peer) => {
    play(peer).then(played.resolve, played.reject);
  });
  try {
    const called = await world.as("alice", ["connect", listener.where, ...flags], {
      ...(input === undefined ? { keepStdin: true } : { input }),
    });
    await played.promise;
    return called;
  } finally {
    listener.close();
  }
}

/** Nothing that a terminal would take as more than text, but for the ends of lines. */
function assertHarmless(text: string): void {
  // deno-lint-ignore no-control-regex -- control characters are what it is about
  const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/;
  assert.doesNotMatch(text, unsafe);
}

part("a listener outlives every broken rule", async (world, mallory) => {
  const listener = await world.listen("alice", [], { keepStdin: true });
  for (const row of MISBEHAVIOURS) {
    const before = listener.running.stderr.length;
    await misbehave(await callAs(mallory, listener.port), row);
    // The closed line comes after the event, or with it: wait for the next event.
    await listener.running.waitFor(new RegExp(`^[^]{${before}}[^]*"kind":"protocol".*\n`));
    const said = listener.running.stderr.slice(before);
    assert.match(said, row.says, row.name);
    assert.match(said, /"kind":"protocol"/, row.name);
    assertHarmless(said);
  }
  // What was sent behind a bad end is not said to have arrived, but nothing early was shown.
  assert.doesNotMatch(listener.running.stdout, /secret/);
  assert.equal(listener.running.isOver, false);
  listener.running.child.stdin?.end("still here");
  const last = await callAs(mallory, listener.port);
  assert.equal(new TextDecoder().decode(await last.converse(utf8("good"))), "still here");
  await listener.running.waitFor(/good$/);
});

part("a caller says of every broken rule that the protocol was broken", async (world, mallory) => {
  for (const row of MISBEHAVIOURS) {
    const called = await callRaw(world, mallory, (peer) => misbehave(peer, row), {
      input: undefined, // stdin stays open, so that the caller's own end is not said yet
    });
    assert.equal(called.code, 7, `${row.name}: ${called.stderr}`);
    assert.match(called.stderr, row.says, row.name);
    assert.doesNotMatch(called.stdout, /secret/, row.name);
    assertHarmless(called.stderr);
  }
});

part("a confirmation must count what was sent", async (world, mallory) => {
  const lie = (bytes: number) => async (peer: RawPeer) => {
    await peer.open();
    await peer.dataToEnd();
    peer.send(control({ type: "RECEIVED", bytes }), endFrame(0));
    await peer.typesToClose();
  };
  for (const bytes of [0, 3, 5]) {
    const called = await callRaw(world, mallory, lie(bytes), { input: "four" });
    assert.equal(called.code, 7, called.stderr);
    assert.match(called.stderr, /a confirmation that does not fit what was sent/);
  }
  const honest = await callRaw(world, mallory, lie(4), { input: "four" });
  assert.equal(honest.code, 0, honest.stderr);
  const listener = await world.listen("alice", ["--once"], { input: "four" });
  await lie(5)(await callAs(mallory, listener.port));
  const listened = await listener.running.finished;
  assert.equal(listened.code, 7);
  assert.match(listened.stderr, /a confirmation that does not fit what was sent/);
});

part("an end that nobody confirms is a truncation", async (world, mallory) => {
  const leaveEarly = async (peer: RawPeer) => {
    await peer.open();
    await peer.dataToEnd();
    peer.send(endFrame(0));
    await peer.control("RECEIVED");
    peer.hangUp();
  };
  const called = await callRaw(world, mallory, leaveEarly, { input: "four" });
  assert.equal(called.code, 7);
  assert.match(called.stderr, /the line was cut before everything was confirmed/);
  const listener = await world.listen("alice", ["--once"], { input: "four" });
  await leaveEarly(await callAs(mallory, listener.port));
  assert.equal((await listener.running.finished).code, 7);
});

part("a good dialogue may come byte by byte", async (world, mallory) => {
  const slowly = async (peer: RawPeer) => {
    await peer.sendByteByByte(control(peer.hello));
    await peer.control("HELLO");
    await peer.sendByteByByte(control(REVEAL));
    await peer.control("NONCE");
    await peer.control("READY");
    await peer.sendByteByByte(control(READY));
    const data = await peer.dataToEnd();
    const bytes = utf8("drop by drop");
    await peer.sendByteByByte(
      frame(TYPE.data, bytes.subarray(0, 4)),
      frame(TYPE.data, bytes.subarray(4)),
      control({ type: "RECEIVED", bytes: data.length }),
      endFrame(bytes.length),
    );
    assert.deepEqual(await peer.control("RECEIVED"), { type: "RECEIVED", bytes: bytes.length });
    peer.hangUp();
    return new TextDecoder().decode(data);
  };
  const called = await callRaw(world, mallory, slowly, { input: "whole" });
  assert.equal(called.code, 0, called.stderr);
  assert.equal(called.stdout, "drop by drop");
  const listener = await world.listen("alice", ["--once"], { input: "whole" });
  assert.equal(await slowly(await callAs(mallory, listener.port)), "whole");
  const listened = await listener.running.finished;
  assert.equal(listened.code, 0, listened.stderr);
  assert.equal(listened.stdout, "drop by drop");
});

part("everything glued together in one write is fine as well", async (world, mallory) => {
  const listener = await world.listen("alice", ["--once"]);
  const peer = await callAs(mallory, listener.port);
  // READY may come early, but data may not: it waits for both sides.
  peer.send(control(peer.hello), control(REVEAL), control(READY));
  await peer.control("HELLO");
  await peer.control("NONCE");
  await peer.control("READY");
  const message = textBody(utf8("b"));
  peer.send(
    frame(TYPE.data, utf8("a")),
    frame(TYPE.data, new Uint8Array()),
    frame(TYPE.text, message),
    endFrame(1 + message.length),
  );
  assert.equal((await peer.dataToEnd()).length, 0);
  peer.send(control({ type: "RECEIVED", bytes: 0 }));
  assert.deepEqual(await peer.control("DELIVERED"), { type: "DELIVERED", messages: 1 });
  await peer.control("RECEIVED");
  const listened = await listener.running.finished;
  assert.equal(listened.code, 0, listened.stderr);
  assert.equal(listened.stdout, "ab\n");
  peer.hangUp();
});

part("a caller that says nothing keeps nobody out", async (world, mallory) => {
  const listener = await world.listen("alice", ["--once"], { input: "from alice" });
  const silent = await callAs(mallory, listener.port);
  await silent.control("HELLO");
  const halfway = await callAs(mallory, listener.port);
  halfway.send(control(halfway.hello).subarray(0, 9));
  await halfway.control("HELLO");
  const caller = await world.ok("bob", ["connect", `127.0.0.1:${listener.port}`], {
    input: "from bob",
  });
  assert.equal(caller.stdout, "from alice");
  const listened = await listener.running.finished;
  assert.equal(listened.code, 0, listened.stderr);
  assert.equal(listened.stdout, "from bob");
  assert.equal((await silent.refusal())["code"], "BUSY");
  assert.deepEqual(await silent.typesToClose(), [], "it heard nothing else");
  silent.hangUp();
  halfway.hangUp();
});

part("a caller that gives up before both are ready is no conversation", async (world, mallory) => {
  const listener = await world.listen("alice", ["--once"], { input: "from alice" });
  const refusing = await callAs(mallory, listener.port);
  await refusing.greet();
  refusing.send(control({ type: "REFUSED", code: "UNTRUSTED", message: "not you" }));
  await refusing.typesToClose();
  const leaving = await callAs(mallory, listener.port);
  await leaving.greet();
  leaving.hangUp();
  const breaking = await callAs(mallory, listener.port);
  await breaking.greet();
  breaking.send(control(breaking.hello));
  await breaking.typesToClose();
  await listener.running.waitFor(/(?:"event":"turned-away"[^]*){3}/);
  const caller = await world.ok("bob", ["connect", `127.0.0.1:${listener.port}`], {
    input: "from bob",
  });
  assert.equal(caller.stdout, "from alice");
  const listened = await listener.running.finished;
  assert.equal(listened.code, 0, listened.stderr);
  assert.equal(listened.stdout, "from bob");
});

const ESCAPES =
  "\x1b[2J\x1b]0;owned\x07\x9b31m\u202ereversed\u2066\r\nsecond line\x00\x08\x7f\u200b";

part("what a refusing peer says cannot act on the terminal", async (world, mallory) => {
  const refuse = async (peer: RawPeer) => {
    peer.send(control(peer.hello), control({ type: "REFUSED", code: ESCAPES, message: ESCAPES }));
    await peer.typesToClose();
    peer.hangUp();
  };
  for (const flags of [[], ["--json"]]) {
    const called = await callRaw(world, mallory, refuse, { flags });
    assert.equal(called.code, 4, called.stderr);
    assert.match(called.stderr, /the peer refuses: \ufffd\[2J/);
    assertHarmless(called.stderr);
    assert.doesNotMatch(called.stderr, /^second line/m);
  }
  for (const json of [true, false]) {
    const listener = json ? await world.listen("alice") : await listenForPeople(world);
    const caller = await callAs(mallory, listener.port);
    await caller.control("HELLO");
    await refuse(caller);
    await listener.running.waitFor(/the peer refuses: .*\n/);
    assertHarmless(listener.running.stderr);
    await listener.running.end("SIGTERM");
  }
});

/** A listener that tells what happens as sentences. */
async function listenForPeople(world: World) {
  const running = world.startAs("alice", ["listen", "--host", "127.0.0.1", "--port", "0"]);
  const [, port] = await running.waitFor(/is listening on port (\d+);/);
  return { running, port: Number(port) };
}

part("a refusing peer does not choose our exit code", async (world, mallory) => {
  const rows = [
    ["INTERNAL", 4],
    ["USAGE", 4],
    ["STORAGE", 4],
    ["INTERRUPTED", 4],
    ["PROTOCOL", 4],
    ["toString", 4],
    ["", 4],
    ["REFUSED", 4],
    ["BUSY", 8],
    ["UNTRUSTED", 6],
  ] as const;
  for (const [code, exitCode] of rows) {
    const called = await callRaw(world, mallory, async (peer) => {
      peer.send(control(peer.hello), control({ type: "REFUSED", code, message: "no" }));
      await peer.typesToClose();
      peer.hangUp();
    });
    assert.equal(called.code, exitCode, `${code}: ${called.stderr}`);
    assert.match(called.stderr, /the peer refuses: no/);
  }
});

part("what is said back is no commitment of one's own", async (world, mallory) => {
  /** Repeats what the other side says, so that both would have the same nonce. */
  const reflect = async (peer: RawPeer) => {
    const { commitment } = await peer.control("HELLO");
    peer.send(control({ ...peer.hello, commitment }));
    peer.send(control(await peer.control("NONCE")));
    assert.deepEqual(await peer.typesToClose(), []);
    peer.hangUp();
  };
  const called = await callRaw(world, mallory, reflect);
  assert.equal(called.code, 7, called.stderr);
  assert.match(called.stderr, /a nonce that does not fit its commitment/);
  const listener = await world.listen("alice");
  const caller = await callAs(mallory, listener.port);
  await reflect(caller);
  await listener.running.waitFor(/a nonce that does not fit its commitment/);
  assert.equal(listener.running.isOver, false);
});

part("the nonce is kept until the other side is committed", async (world, mallory) => {
  const listener = await world.listen("alice");
  const caller = await callAs(mallory, listener.port);
  await caller.control("HELLO");
  // Whatever may come before HELLO is no reason to tell more.
  caller.send(frame(200, utf8("x")), control({ type: "hello" }), control(REVEAL));
  assert.deepEqual(await caller.typesToClose(), []);
  caller.hangUp();
});

part(
  "what a later version may say is passed over, and what is allowed is",
  async (world, mallory) => {
    const later = [
      frame(128, new Uint8Array()),
      frame(255, utf8("\xff")),
      control({ type: "mood" }),
    ];
    const alive = control({ type: "ALIVE" });
    const patience = control({ type: "WAIT", reason: "asked" });
    const oddly = async (peer: RawPeer) => {
      peer.send(...later);
      // Of fields that nobody knows, nothing is taken, whatever they are called.
      const hello = JSON.stringify({ ...peer.hello, admin: true });
      const poisoned = hello.replace("{", '{"__proto__":{"mode":"talk"},');
      peer.send(frame(TYPE.control, utf8(poisoned)), ...later, alive, control(REVEAL), alive);
      await peer.control("HELLO");
      await peer.control("NONCE");
      await peer.control("READY");
      peer.send(...Array.from({ length: 1000 }, () => patience), ...later, control(READY));
      const data = await peer.dataToEnd();
      const [first, last] = [textBody(utf8("one "), { isLast: false }), utf8("\0message")];
      peer.send(
        frame(TYPE.text, first),
        ...later,
        alive,
        frame(TYPE.data, new Uint8Array()),
        control({ type: "DELIVERED", messages: 0 }),
        frame(TYPE.text, last),
        endFrame(first.length + last.length),
        ...later,
        alive,
        control({ type: "RECEIVED", bytes: data.length }),
      );
      assert.deepEqual(await peer.control("DELIVERED"), { type: "DELIVERED", messages: 1 });
      await peer.control("RECEIVED");
      peer.hangUp();
      return new TextDecoder().decode(data);
    };
    const called = await callRaw(world, mallory, oddly, { input: "from alice", flags: ["--json"] });
    assert.equal(called.code, 0, called.stderr);
    assert.equal(called.stdout, "one message\n");
    assert.ok(called.stderr.length < 4000, "a thousand times WAIT is told once");
    const listener = await world.listen("alice", ["--once"], { input: "from alice" });
    assert.equal(await oddly(await callAs(mallory, listener.port)), "from alice");
    const listened = await listener.running.finished;
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(listened.stdout, "one message\n");
    assert.ok(listened.stderr.length < 4000, listened.stderr);
  },
);

/** Each letter once for every time that it follows another. */
const runsOf = (text: string) => text.replace(/(.)\1+/g, "$1");

part("whoever was turned out comes not among what the next one sends", async (world, mallory) => {
  const { running, port } = await world.listen("alice", [], { keepStdin: true });
  const { stdin, stdout } = running.child;
  stdout?.pause(); // so that much waits to be written
  const caller = await callAs(mallory, port);
  await caller.open();
  const piece = (letter: string) => frame(TYPE.data, utf8(letter.repeat(60_000)));
  caller.send(...Array.from({ length: 12 }, () => piece("m")), frame(0, utf8("x")));
  await running.waitFor(/"event":"failed".*unknown type 0[^]*"event":"listening"/);
  caller.hangUp();
  const next = world.startAs("bob", ["connect", `127.0.0.1:${port}`], {
    input: "b".repeat(500_000),
  });
  await next.waitFor(/alice is on the line/);
  stdin?.end();
  stdout?.resume();
  const called = await next.finished;
  assert.equal(called.code, 0, called.stderr);
  await running.waitFor(/"event":"ended","peer":"bob"/);
  const { stdout: written } = await running.end();
  assert.equal(runsOf(written), "mb");
  assert.equal(written.replaceAll("m", "").length, 500_000);
});

part("whoever waits for a listener that ends hears so", async (world, mallory) => {
  const { running, port } = await world.listen("alice", ["--once"]);
  const first = await callAs(mallory, port);
  await first.open();
  const waiting = await callAs(mallory, port);
  waiting.send(control({ ...waiting.hello, wait: true }));
  await waiting.control("HELLO");
  waiting.send(control(REVEAL));
  await waiting.control("NONCE");
  await waiting.control("WAIT");
  await first.finish(0);
  assert.equal((await waiting.refusal())["code"], "BUSY");
  waiting.hangUp();
  const { code, stderr } = await running.finished;
  assert.equal(code, 0, stderr);
});

test("a peer with bad manners", (t) =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const mallory = await (await Forge.ofServer(world)).user("mallory");
    for (const [name, body] of PARTS) await t.test(name, () => body(world, mallory));
  }));
