/** Back-pressure of a connection, both ways: with a socket and a worker that do what the test says. */

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { after, mock, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { PkiError } from "../../lib/base/errors.ts";
import type { LeanWorkerHandlers } from "../../lib/base/lean_worker.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import type { FromConnection, ToConnection } from "../../lib/server/ports.ts";
import { Relay } from "../../lib/server/relay.ts";
import type { ConnectionWorker } from "../../lib/server/worker_pool.ts";

const UNREAD_MAX = 1000;

class FakeSocket extends EventEmitter {
  writableLength = 0;
  written = "";
  isEnded = false;
  #isPaused = false;

  write(text: string | Uint8Array): boolean {
    this.written += typeof text === "string" ? text : new TextDecoder().decode(text);
    this.writableLength += text.length;
    return false;
  }

  /** The client takes so many bytes. */
  take(bytes: number): void {
    this.writableLength -= bytes;
    if (this.writableLength === 0) this.emit("drain");
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  isPaused(): boolean {
    return this.#isPaused;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.emit("close");
  }
}

const relays: Relay[] = [];
after(() => relays.forEach((relay) => relay.destroy()));

const TIMES = { sessionSeconds: 3600, requestSeconds: 60 };

function open({ now }: { readonly now?: () => number } = {}) {
  const socket = new FakeSocket();
  const told: ToConnection[] = [];
  const faults: string[] = [];
  let handlers: LeanWorkerHandlers<FromConnection> | undefined;
  let isEnded = false;
  const ends: (string | undefined)[] = [];
  const worker = {
    listen: (given: LeanWorkerHandlers<FromConnection>) => handlers = given,
    tell: (message: ToConnection) => {
      assert.ok(
        !isEnded,
        "an engine may throw where somebody tells a worker something that has ended",
      );
      told.push(message);
    },
    end: () => {
      isEnded = true;
      handlers = undefined;
    },
  };
  const say = (message: FromConnection) => handlers?.onMessage(message);
  const relay = new Relay({
    socket: socket as unknown as TLSSocket,
    worker: worker as unknown as ConnectionWorker,
    limits: { answersUnreadBytes: UNREAD_MAX, ...TIMES },
    ...(now === undefined ? {} : { now }),
    onClosed: (code) => ends.push(code),
    onFault: (what) => faults.push(what),
  });
  relays.push(relay);
  return {
    relay,
    socket,
    told,
    faults,
    /** The codes with which it has ended. */
    ends,
    /** The client sends so many bytes in one piece. */
    send: (bytes: number) => socket.emit("data", new Uint8Array(bytes)),
    say,
    worker: {
      onThrown: (message: string) => handlers?.onThrown(message),
      onEnded: () => handlers?.onEnded(),
    },
    answer: (bytes: number, taken = 0) => say({ type: "bytes", text: "x".repeat(bytes), taken }),
    /** How much the worker was given of what the client sent. */
    given: () => told.reduce((sum, one) => sum + (typeof one === "string" ? one.length : 0), 0),
    /** How much the worker was told of as read. */
    read: () =>
      told.reduce(
        (sum, one) => sum + (typeof one === "object" && one.type === "read" ? one.bytes : 0),
        0,
      ),
  };
}

test("Relay gives the worker a frame's worth ahead, and reads no more until it has worked on it", () => {
  const { socket, send, given, say } = open();
  send(LIMITS.relayBytesMax - 1);
  send(100); // there was room for one byte
  assert.equal(given(), LIMITS.relayBytesMax + 99);
  assert.equal(socket.isPaused(), false);
  send(10);
  assert.equal(socket.isPaused(), true);
  assert.equal(given(), LIMITS.relayBytesMax + 99);
  say({ type: "taken", taken: 200 });
  assert.equal(given(), LIMITS.relayBytesMax + 109);
  assert.equal(socket.isPaused(), false);
});

test("Relay gives the worker nothing while the client does not read its answers", () => {
  const { socket, send, given, answer } = open();
  answer(UNREAD_MAX - 1);
  send(10);
  assert.equal(given(), 10);
  answer(1);
  send(20);
  assert.equal(given(), 10);
  assert.equal(socket.isPaused(), true);
  socket.take(UNREAD_MAX);
  assert.equal(given(), 30);
  assert.equal(socket.isPaused(), false);
});

test("Relay tells the worker of as many bytes as read as the client has taken, and not of each", () => {
  const { socket, answer, read, told } = open();
  answer(300);
  socket.take(300);
  assert.equal(read(), 0, "too few to tell of");
  answer(900);
  assert.equal(read(), 0, "of 1,200 bytes 300 are read");
  socket.take(900);
  assert.equal(read(), 1200);
  for (let count = 0; count < 100; count++) {
    answer(100);
    socket.take(100);
  }
  const count = told.filter((one) => typeof one === "object" && one.type === "read").length;
  assert.equal(read(), 11_200);
  assert.ok(count <= 1 + 10_000 / (UNREAD_MAX / 2), `${count} messages`);
});

test("Relay ends a connection whose engine does not stop delivering, with a word", () => {
  const { socket, send, given, faults } = open();
  for (let bytes = 0; bytes <= LIMITS.heldBytesMax + 2 * LIMITS.relayBytesMax; bytes += 65_536) {
    send(65_536);
  }
  assert.deepEqual(faults, ["a connection worker was given more than it can take"]);
  assert.match(socket.written, /"seq":0,"type":"ERROR","code":"INTERNAL"/);
  assert.equal(socket.isEnded, true);
  const before = given();
  send(65_536);
  assert.equal(given(), before, "what still comes is thrown away");
  assert.equal(socket.isPaused(), false);
  assert.equal(faults.length, 1);
});

test("Relay lets a worker that has said everything go, and its client read the last word", () => {
  const { socket, send, say, given } = open();
  say({ type: "close" });
  assert.equal(socket.isEnded, true);
  send(100);
  assert.equal(given(), 0);
});

/** What no worker of ours says; ten bytes were given to it. */
const UNSOUND: readonly unknown[] = [
  undefined,
  null,
  "close",
  7,
  [],
  {},
  { type: "stop" },
  { type: "__proto__" },
  { type: ["close"] },
  { type: "taken" },
  { type: "taken", taken: -1 },
  { type: "taken", taken: 11 },
  { type: "taken", taken: 0.5 },
  { type: "taken", taken: NaN },
  { type: "taken", taken: "1" },
  { type: "bytes", taken: 0 },
  { type: "bytes", text: null, taken: 0 },
  { type: "bytes", text: { length: 4 }, taken: 0 },
  { type: "bytes", text: "x", taken: 11 },
  { type: "bytes", text: "x" },
];

for (const message of UNSOUND) {
  test(`Relay ends a connection whose worker says ${JSON.stringify(message) ?? "nothing"}`, () => {
    const { socket, send, say, faults } = open();
    send(10);
    say(message as FromConnection);
    assert.deepEqual(faults, ["a connection worker said what it must not say"]);
    assert.match(socket.written, /^....\{"seq":0,"type":"ERROR","code":"INTERNAL"/s);
    assert.equal(socket.isEnded, true);
    say({ type: "bytes", text: "more", taken: 0 });
    assert.doesNotMatch(socket.written, /more$/);
  });
}

test("Relay takes for a fault what its worker does, and never what a client does", () => {
  const rows: readonly (readonly [
    what: string,
    happens: (world: ReturnType<typeof open>) => void,
    fault?: string,
  ])[] = [
    ["it throws", ({ worker }) => worker.onThrown("out of memory"), "threw: out of memory"],
    ["it ends", ({ worker }) => worker.onEnded(), "ended"],
    ["it says something else", ({ say }) => say({} as FromConnection), "said what it must not say"],
    [
      "it ends a session that a client broke",
      ({ say }) => say({ type: "close", code: "PROTOCOL" }),
    ],
    ["its client leaves", ({ socket }) => socket.emit("end")],
    ["its client is cut off", ({ socket }) => socket.emit("error", new Error("ECONNRESET"))],
    ["its client closes in the middle of a frame", ({ send, socket }) => {
      send(3);
      socket.destroy();
    }],
    ["its client does not read", ({ answer }) => answer(10 * UNREAD_MAX)],
    ["the server stops", ({ relay }) => relay.finish()],
  ];
  for (const [what, happens, fault] of rows) {
    const world = open();
    happens(world);
    assert.deepEqual(
      world.faults,
      fault === undefined ? [] : [`a connection worker ${fault}`],
      what,
    );
  }
});

test("Relay says once that the server cannot go on, whatever its worker says", () => {
  const { socket, say, faults, relay } = open();
  relay.abandon(new PkiError("internal", "the directory ended by itself"));
  relay.abandon(new PkiError("internal", "the directory ended by itself"));
  say({ type: "bytes", text: "more", taken: 0 });
  assert.equal(socket.written.match(/"INTERNAL"/g)?.length, 1);
  assert.doesNotMatch(socket.written, /directory|more/);
  assert.equal(socket.isEnded, true);
  assert.deepEqual(faults, []);
});

test("Relay tells a worker that was ended nothing more, whatever becomes of the server", () => {
  const leaving = open();
  leaving.say({ type: "close", code: "PROTOCOL" }); // its client has not gone yet
  leaving.relay.finish();
  leaving.answer(UNREAD_MAX);
  leaving.socket.take(0);
  const gone = open();
  gone.answer(UNREAD_MAX);
  gone.socket.emit("close");
  gone.socket.take(UNREAD_MAX); // an engine may say late that there is room again
  gone.relay.finish();
  assert.deepEqual([...leaving.told, ...gone.told], []);
});

/** A relay whose worker answers every ping, by a clock that the test turns. */
async function watched(
  body: (
    world: ReturnType<typeof open> & { readonly pass: (seconds: number) => void },
  ) => void | Promise<void>,
): Promise<void> {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    let nowMs = 5_000_000;
    const world = open({ now: () => nowMs });
    const pass = (seconds: number) => {
      for (let ms = 0; ms < seconds * 1000; ms += LIMITS.watchdogMs) {
        nowMs += LIMITS.watchdogMs;
        const before = world.told.length;
        mock.timers.tick(LIMITS.watchdogMs);
        if (world.told.length > before) world.say({ type: "pong" });
      }
    };
    await body({ ...world, pass });
    world.relay.destroy();
  } finally {
    mock.timers.reset();
  }
}

const WATCHDOG_SECONDS = LIMITS.watchdogMs / 1000;
const LATE_SECONDS = LIMITS.workerLateMs / 1000;
const FAULT = "a connection worker did not end when its time was over";

test("Relay ends a connection whose worker lets it go on beyond its session's time", () =>
  watched(({ pass, faults, socket, told, ends, say }) => {
    const { sessionSeconds, requestSeconds } = TIMES;
    pass(sessionSeconds + requestSeconds + LATE_SECONDS);
    assert.deepEqual([faults, socket.isEnded], [[], false]);
    pass(WATCHDOG_SECONDS);
    assert.deepEqual([faults, socket.isEnded], [[FAULT], true]);
    assert.match(socket.written, /"seq":0,"type":"ERROR","code":"INTERNAL"/);
    const count = told.length;
    say({ type: "bytes", text: "more", taken: 0 });
    pass(LIMITS.drainMs / 1000);
    assert.deepEqual([faults, ends], [[FAULT], ["INTERNAL"]], "once, and its place is free");
    assert.equal(told.length, count);
  }));

test("Relay ends a connection whose worker keeps the end of its session to itself", () =>
  watched(({ pass, faults, socket, relay, ends }) => {
    pass(600);
    relay.expectEnd();
    pass(TIMES.requestSeconds);
    relay.expectEnd(); // whoever says it again gives no more time
    pass(LATE_SECONDS);
    assert.deepEqual([faults, socket.isEnded], [[], false]);
    pass(WATCHDOG_SECONDS);
    assert.deepEqual([faults, socket.isEnded], [[FAULT], true]);
    pass(LIMITS.drainMs / 1000);
    assert.deepEqual(ends, ["INTERNAL"]);
  }));

test("Relay gives a session that ends late no more time than any has", () =>
  watched(({ pass, faults, relay }) => {
    const { sessionSeconds, requestSeconds } = TIMES;
    pass(sessionSeconds + requestSeconds);
    relay.expectEnd();
    pass(LATE_SECONDS + WATCHDOG_SECONDS);
    assert.deepEqual(faults, [FAULT]);
  }));

test("Relay has nothing against a worker that ends its session in time, whatever its client does", () =>
  watched(({ pass, faults, relay, say, ends }) => {
    relay.expectEnd();
    pass(TIMES.requestSeconds);
    say({ type: "close", code: "TIMEOUT" });
    pass(2 * TIMES.sessionSeconds); // nobody reads the last word
    assert.deepEqual([faults, ends], [[], ["TIMEOUT"]]);
  }));
