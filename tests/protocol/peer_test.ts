import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeBase64, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import { type LineMode, type PeerEvent, PeerSession } from "../../lib/protocol/peer.ts";

const frame = (type: number, body: Uint8Array) => encodeFrame(Uint8Array.of(type), body);
const control = (value: unknown) =>
  frame(1, utf8(typeof value === "string" ? value : JSON.stringify(value)));

/** Frames as somebody else's program would make them. */
const HELLO = control({ type: "HELLO", mode: "talk" });
const READY = control({ type: "READY" });
const REFUSED = control({ type: "REFUSED", code: "UNTRUSTED", message: "no" });
const text = (line: string) => frame(2, utf8(line));
/** A HELLO with a status of so many bytes. */
const helloWith = (bytes: number) =>
  control({ type: "HELLO", mode: "talk", status: encodeBase64(new Uint8Array(bytes).fill(7)) });
const data = (...bytes: number[]) => frame(3, Uint8Array.from(bytes));
const end = (count: bigint | number) => {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(count));
  return frame(4, body);
};
const received = (bytes: unknown) => control({ type: "RECEIVED", bytes });

function drain(session: PeerSession): PeerEvent[] {
  const events: PeerEvent[] = [];
  for (let event = session.next(); event; event = session.next()) events.push(event);
  return events;
}

function feed(session: PeerSession, ...frames: readonly Uint8Array[]): PeerEvent[] {
  session.receive(concatBytes(...frames));
  return drain(session);
}

const broke = (what: string) => ({
  name: "PkiError",
  kind: "protocol",
  message: `the peer broke the protocol: ${what}`,
});

// Two sessions together

/** Two ends that hand each other bytes; `a` has greeted, judged and is ready, so has `b`. */
function opened(modeA: LineMode, modeB: LineMode): { a: PeerSession; b: PeerSession } {
  const [a, b] = [new PeerSession(modeA), new PeerSession(modeB)];
  assert.deepEqual(feed(b, a.greet()), [{ type: "hello", mode: modeA }]);
  assert.deepEqual(feed(a, b.greet()), [{ type: "hello", mode: modeB }]);
  assert.deepEqual(feed(b, a.sayReady()), []);
  assert.equal(a.state, "greeting");
  assert.equal(b.state, "greeting");
  const ready = b.sayReady();
  assert.equal(b.state, "open", "b knows that both are ready");
  assert.deepEqual(feed(a, ready), [{ type: "open" }]);
  assert.equal(a.state, "open");
  return { a, b };
}

test("PeerSession: a talk, ended and confirmed in both directions", () => {
  const { a, b } = opened("talk", "talk");
  assert.deepEqual(feed(b, a.sendText("hello, wörld 👋"), a.sendText("")), [
    { type: "text", text: "hello, wörld 👋" },
    { type: "text", text: "" },
  ]);
  assert.deepEqual(feed(a, b.sendText("hi")), [{ type: "text", text: "hi" }]);
  assert.equal(a.hasEnded, false);
  assert.deepEqual(feed(b, a.sendEnd()), [{ type: "peer-end" }]);
  assert.equal(a.hasEnded, true);
  assert.deepEqual(feed(a, b.sendText("more"), b.sayReceived()), [
    { type: "text", text: "more" },
    { type: "confirmed" },
  ]);
  assert.equal(a.isComplete, false);
  assert.equal(b.isComplete, false);
  assert.deepEqual(feed(a, b.sendEnd()), [{ type: "peer-end" }]);
  assert.equal(a.isComplete, false, "a has not confirmed b's end");
  const confirmation = a.sayReceived();
  assert.equal(a.isComplete, true);
  assert.equal(b.isComplete, false);
  assert.deepEqual(feed(b, confirmation), [{ type: "confirmed" }]);
  assert.equal(b.isComplete, true);
});

test("PeerSession: a pipe, both ends at the same moment", () => {
  const { a, b } = opened("pipe", "talk");
  const big = Uint8Array.from({ length: 200_000 }, (_, i) => i * 31);
  const sent = concatBytes(a.sendData(big), a.sendData(new Uint8Array(0)), a.sendEnd());
  const back = concatBytes(b.sendText("ok"), b.sendEnd());
  const events = feed(b, sent);
  const pieces = events.flatMap((event) => event.type === "data" ? [event.bytes] : []);
  assert.deepEqual(concatBytes(...pieces), big);
  assert.deepEqual(pieces.map(({ length }) => length), [65_535, 65_535, 65_535, 3395]);
  assert.deepEqual(events.at(-1), { type: "peer-end" });
  assert.deepEqual(feed(a, back), [{ type: "text", text: "ok" }, { type: "peer-end" }]);
  assert.deepEqual(feed(b, a.sayReceived()), [{ type: "confirmed" }]);
  assert.deepEqual(feed(a, b.sayReceived()), [{ type: "confirmed" }]);
  assert.ok(a.isComplete && b.isComplete);
});

test("PeerSession: a status goes with the greeting, whole and unread", () => {
  for (const length of [1, 2, 300, LIMITS.ocspResponseBytesMax]) {
    const status = Uint8Array.from({ length }, (_, i) => i * 31);
    const [a, b] = [new PeerSession("talk"), new PeerSession("pipe")];
    assert.deepEqual(feed(b, a.greet(status)), [{ type: "hello", mode: "talk", status }]);
    assert.deepEqual(feed(a, b.greet()), [{ type: "hello", mode: "pipe" }]);
    const foreign = new PeerSession("talk");
    assert.deepEqual(feed(foreign, helloWith(length)), [
      { type: "hello", mode: "talk", status: new Uint8Array(length).fill(7) },
    ]);
  }
});

test("PeerSession: a refusal ends both sides before anything was said", () => {
  const [a, b] = [new PeerSession("talk"), new PeerSession("talk")];
  feed(b, a.greet());
  feed(a, b.greet());
  const refusal = b.sayRefused({ code: "UNTRUSTED", message: "m".repeat(2000) });
  assert.equal(b.state, "refused");
  assert.deepEqual(feed(a, refusal), [
    { type: "refused", report: { code: "UNTRUSTED", message: "m".repeat(1024) } },
  ]);
  assert.equal(a.state, "refused");
  assert.deepEqual(feed(a, READY, text("x")), [], "something is read after REFUSED");
  assert.deepEqual(feed(b, READY, text("x")), []);
  assert.throws(() => a.sendText("x"), { kind: "internal" });
  assert.throws(() => b.sendText("x"), { kind: "internal" });
});

test("PeerSession: one who is ready can be refused by the other", () => {
  const [a, b] = [new PeerSession("talk"), new PeerSession("talk")];
  feed(a, b.greet());
  a.sayReady();
  assert.equal(feed(a, b.sayRefused({ code: "REFUSED", message: "no" }))[0]?.type, "refused");
  assert.equal(a.state, "refused");
});

test("PeerSession sends nothing before it is open and nothing behind its end", () => {
  const session = new PeerSession("talk");
  const sends = [
    () => session.sendText("x"),
    () => session.sendData(Uint8Array.of(1)),
    () => session.sendEnd(),
  ];
  const refused = () => {
    for (const send of sends) assert.throws(send, { kind: "internal" });
  };
  refused();
  feed(session, HELLO);
  refused();
  session.sayReady();
  refused();
  assert.throws(() => session.sayReceived(), { kind: "internal" });
  feed(session, READY);
  session.sendText("x");
  assert.throws(() => session.sayReceived(), { kind: "internal" });
  session.sendEnd();
  refused();
});

// Every frame in every state

const STATES = {
  "before HELLO": () => new PeerSession("talk"),
  "after HELLO": () => {
    const session = new PeerSession("talk");
    feed(session, HELLO);
    return session;
  },
  "ready ourselves": () => {
    const session = STATES["after HELLO"]();
    session.sayReady();
    return session;
  },
  "peer ready, we not": () => {
    const session = STATES["after HELLO"]();
    feed(session, READY);
    return session;
  },
  "open": () => {
    const session = STATES["ready ourselves"]();
    feed(session, READY);
    assert.equal(session.state, "open");
    return session;
  },
  "open, we have ended": () => {
    const session = STATES["open"]();
    session.sendText("abc");
    session.sendEnd();
    return session;
  },
  "open, our end is confirmed": () => {
    const session = STATES["open, we have ended"]();
    feed(session, received(3));
    return session;
  },
  "open, the peer has ended": () => {
    const session = STATES["open"]();
    feed(session, end(0));
    return session;
  },
} as const;
type State = keyof typeof STATES;

const SECOND_HELLO = "a second HELLO";
const READY_WHEN = "READY at the wrong time";
const REFUSED_WHEN = "REFUSED at the wrong time";
const UNREADY = "a message before both sides are ready";
const BEHIND = "a message behind the end";
const UNFIT = "a confirmation that does not fit what was sent";
const REFUSAL: PeerEvent = { type: "refused", report: { code: "UNTRUSTED", message: "no" } };

/** What the frame leads to: events, or how the peer broke the protocol. */
const TABLE: Readonly<
  Record<string, readonly [frame: Bytes, Readonly<Record<State, readonly PeerEvent[] | string>>]>
> = {
  "HELLO": [HELLO, {
    "before HELLO": [{ type: "hello", mode: "talk" }],
    "after HELLO": SECOND_HELLO,
    "ready ourselves": SECOND_HELLO,
    "peer ready, we not": SECOND_HELLO,
    "open": SECOND_HELLO,
    "open, we have ended": SECOND_HELLO,
    "open, our end is confirmed": SECOND_HELLO,
    "open, the peer has ended": SECOND_HELLO,
  }],
  "READY": [READY, {
    "before HELLO": READY_WHEN,
    "after HELLO": [],
    "ready ourselves": [{ type: "open" }],
    "peer ready, we not": READY_WHEN,
    "open": READY_WHEN,
    "open, we have ended": READY_WHEN,
    "open, our end is confirmed": READY_WHEN,
    "open, the peer has ended": READY_WHEN,
  }],
  "REFUSED": [REFUSED, {
    "before HELLO": REFUSED_WHEN,
    "after HELLO": [REFUSAL],
    "ready ourselves": [REFUSAL],
    "peer ready, we not": REFUSED_WHEN,
    "open": REFUSED_WHEN,
    "open, we have ended": REFUSED_WHEN,
    "open, our end is confirmed": REFUSED_WHEN,
    "open, the peer has ended": REFUSED_WHEN,
  }],
  "RECEIVED": [received(3), {
    "before HELLO": UNFIT,
    "after HELLO": UNFIT,
    "ready ourselves": UNFIT,
    "peer ready, we not": UNFIT,
    "open": UNFIT,
    "open, we have ended": [{ type: "confirmed" }],
    "open, our end is confirmed": UNFIT,
    "open, the peer has ended": UNFIT,
  }],
  "RECEIVED with another count": [received(2), {
    "before HELLO": UNFIT,
    "after HELLO": UNFIT,
    "ready ourselves": UNFIT,
    "peer ready, we not": UNFIT,
    "open": UNFIT,
    "open, we have ended": UNFIT,
    "open, our end is confirmed": UNFIT,
    "open, the peer has ended": UNFIT,
  }],
  "text": [text("a"), {
    "before HELLO": UNREADY,
    "after HELLO": UNREADY,
    "ready ourselves": UNREADY,
    "peer ready, we not": UNREADY,
    "open": [{ type: "text", text: "a" }],
    "open, we have ended": [{ type: "text", text: "a" }],
    "open, our end is confirmed": [{ type: "text", text: "a" }],
    "open, the peer has ended": BEHIND,
  }],
  "data": [data(1, 2), {
    "before HELLO": UNREADY,
    "after HELLO": UNREADY,
    "ready ourselves": UNREADY,
    "peer ready, we not": UNREADY,
    "open": [{ type: "data", bytes: Uint8Array.of(1, 2) }],
    "open, we have ended": [{ type: "data", bytes: Uint8Array.of(1, 2) }],
    "open, our end is confirmed": [{ type: "data", bytes: Uint8Array.of(1, 2) }],
    "open, the peer has ended": BEHIND,
  }],
  "end": [end(0), {
    "before HELLO": UNREADY,
    "after HELLO": UNREADY,
    "ready ourselves": UNREADY,
    "peer ready, we not": UNREADY,
    "open": [{ type: "peer-end" }],
    "open, we have ended": [{ type: "peer-end" }],
    "open, our end is confirmed": [{ type: "peer-end" }],
    "open, the peer has ended": BEHIND,
  }],
  "an unknown type": [frame(9, utf8("?")), {
    "before HELLO": UNREADY,
    "after HELLO": UNREADY,
    "ready ourselves": UNREADY,
    "peer ready, we not": UNREADY,
    "open": "a frame of the unknown type 9",
    "open, we have ended": "a frame of the unknown type 9",
    "open, our end is confirmed": "a frame of the unknown type 9",
    "open, the peer has ended": BEHIND,
  }],
};

for (const [what, [bytes, cells]] of Object.entries(TABLE)) {
  for (const [state, expected] of Object.entries(cells) as [State, PeerEvent[] | string][]) {
    test(`PeerSession ${state}: ${what} ${typeof expected === "string" ? "breaks it" : "is taken"}`, () => {
      for (const chunks of [[bytes], Array.from(bytes, (byte) => Uint8Array.of(byte))]) {
        const session = STATES[state]();
        const before = session.state;
        const read = () => chunks.flatMap((chunk) => feed(session, chunk));
        if (typeof expected !== "string") {
          assert.deepEqual(read(), expected);
          continue;
        }
        assert.throws(read, broke(expected));
        assert.equal(session.state, before);
        session.receive(concatBytes(HELLO, READY, text("x")));
        assert.throws(() => session.next(), broke(expected), "something is read after that");
      }
    });
  }
}

// Frames that are never right

const UNKNOWN = "an unknown control frame";
const NOT_JSON = "a control frame that is not JSON in UTF-8";

const BAD_CONTROLS: readonly (readonly [State, Bytes, string])[] = [
  ["before HELLO", control(""), NOT_JSON],
  ["before HELLO", control("HELLO"), NOT_JSON],
  ["before HELLO", control('{"type":"HELLO"'), NOT_JSON],
  ["before HELLO", frame(1, Uint8Array.of(0x22, 0xff, 0x22)), NOT_JSON],
  ["before HELLO", control("null"), UNKNOWN],
  ["before HELLO", control([]), UNKNOWN],
  ["before HELLO", control(1), UNKNOWN],
  ["before HELLO", control({}), UNKNOWN],
  ["before HELLO", control({ type: "HELLO" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "file" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: ["talk"] }), UNKNOWN],
  ["before HELLO", control({ type: "hello", mode: "talk" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", x: 1 }), UNKNOWN],
  ["before HELLO", control('{"type":"HELLO","mode":"talk","__proto__":{}}'), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: null }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: "" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: [1] }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: "AAA" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: "AAE" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: "AA_-" }), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: " AAAA" }), UNKNOWN],
  ["before HELLO", helloWith(LIMITS.ocspResponseBytesMax + 1), UNKNOWN],
  ["before HELLO", control({ type: "HELLO", mode: "talk", status: "A".repeat(60_000) }), UNKNOWN],
  ["after HELLO", control({ type: "READY", status: "AAAA" }), UNKNOWN],
  ["before HELLO", control('{"__proto__":{"type":"HELLO","mode":"talk"}}'), UNKNOWN],
  ["before HELLO", control({ type: "constructor" }), UNKNOWN],
  ["after HELLO", control({ type: "READY", bytes: 1 }), UNKNOWN],
  ["after HELLO", control({ type: "REFUSED" }), UNKNOWN],
  ["after HELLO", control({ type: "REFUSED", code: "C", message: 1 }), UNKNOWN],
  ["after HELLO", control({ type: "REFUSED", code: "C".repeat(65), message: "" }), UNKNOWN],
  ["after HELLO", control({ type: "REFUSED", code: "C", message: "m".repeat(1025) }), UNKNOWN],
  ["open, we have ended", received(undefined), UNKNOWN],
  ["open, we have ended", received(null), UNKNOWN],
  ["open, we have ended", received("3"), UNKNOWN],
  ["open, we have ended", received(-3), UNKNOWN],
  ["open, we have ended", received(3.5), UNKNOWN],
  ["open, we have ended", received(2 ** 53), UNKNOWN],
  ["open, we have ended", received(0), UNFIT],
  ["open, we have ended", received(4), UNFIT],
];

test("PeerSession refuses control frames that are not as they should be", () => {
  for (const [state, bytes, why] of BAD_CONTROLS) {
    const session = STATES[state]();
    assert.throws(() => feed(session, bytes), broke(why), encodeHex(bytes));
  }
});

const TOO_LONG = "a line that is too long";
const NOT_UTF8 = "a line that is not UTF-8";
const BAD_END = "an end that does not fit what came";

const BAD_MESSAGES: readonly (readonly [what: string, frames: readonly Bytes[], why: string])[] = [
  ["type 0", [frame(0, utf8("x"))], "a frame of the unknown type 0"],
  ["type 5", [frame(5, utf8("x"))], "a frame of the unknown type 5"],
  ["type 255 alone", [encodeFrame(Uint8Array.of(255))], "a frame of the unknown type 255"],
  ["a stray byte", [frame(2, Uint8Array.of(0x80))], NOT_UTF8],
  ["half a character", [frame(2, Uint8Array.of(0xf0, 0x9f, 0x91))], NOT_UTF8],
  ["a surrogate", [frame(2, Uint8Array.of(0xed, 0xa0, 0x80))], NOT_UTF8],
  ["an overlong NUL", [frame(2, Uint8Array.of(0xc0, 0x80))], NOT_UTF8],
  ["a line of 16,385 bytes", [text("a".repeat(LIMITS.lineBytesMax + 1))], TOO_LONG],
  ["a line of 65,535 bytes", [text("a".repeat(65_535))], TOO_LONG],
  ["an end without a count", [encodeFrame(Uint8Array.of(4))], BAD_END],
  ["an end of 7 bytes", [frame(4, new Uint8Array(7))], BAD_END],
  ["an end of 9 bytes", [frame(4, new Uint8Array(9))], BAD_END],
  ["a count too low", [text("abc"), data(1), end(3)], BAD_END],
  ["a count too high", [text("abc"), data(1), end(5)], BAD_END],
  ["a count that is negative", [end(2n ** 64n - 1n)], BAD_END],
  ["a count beyond 2^53", [end(2n ** 53n)], BAD_END],
  ["a count of characters", [text("ä"), end(1)], BAD_END],
  ["a second end", [end(0), end(0)], BEHIND],
  ["text behind the end", [text("a"), end(1), text("a")], BEHIND],
];

for (const [what, frames, why] of BAD_MESSAGES) {
  test(`PeerSession refuses ${what}`, () => {
    assert.throws(() => feed(STATES["open"](), ...frames), broke(why));
  });
}

test("PeerSession refuses a frame with a bad length", () => {
  for (const bytes of [Uint8Array.of(0, 0, 0, 0), Uint8Array.of(0, 1, 0, 1)]) {
    const session = STATES["open"]();
    assert.throws(() => feed(session, bytes, text("x")), { kind: "protocol" });
    assert.throws(() => feed(session, text("x")), { kind: "protocol" });
  }
});

test("PeerSession accepts the longest line, a bare data frame and the right count", () => {
  const line = "a".repeat(LIMITS.lineBytesMax);
  assert.deepEqual(feed(STATES["open"](), text(line), data(), data(7), text("ä"), end(16_387)), [
    { type: "text", text: line },
    { type: "data", bytes: new Uint8Array(0) },
    { type: "data", bytes: Uint8Array.of(7) },
    { type: "text", text: "ä" },
    { type: "peer-end" },
  ]);
});

test("PeerSession keeps a byte order mark and control characters for whoever shows the text", () => {
  assert.deepEqual(feed(STATES["open"](), text("\ufeff\x1b[2J\0")), [
    { type: "text", text: "\ufeff\x1b[2J\0" },
  ]);
});

// Long lines

function textsIn(bytes: Uint8Array): string[] {
  return feed(STATES["open"](), bytes).map((event) => {
    assert.ok(event.type === "text");
    return event.text;
  });
}

test("PeerSession.sendText() splits a long line, never inside a character", () => {
  const max = LIMITS.lineBytesMax;
  const lines = [
    "a".repeat(max),
    "a".repeat(max + 1),
    "a".repeat(max - 1) + "ä",
    "a".repeat(max - 2) + "€",
    "a".repeat(max - 3) + "👋",
    "👋".repeat(max),
    "a" + "👋".repeat(max),
    "€".repeat(3 * max),
  ];
  for (const line of lines) {
    const texts = textsIn(STATES["open"]().sendText(line)); // every piece is UTF-8, or it would throw
    assert.equal(texts.join(""), line);
    for (const piece of texts) {
      assert.ok(utf8(piece).length <= max && piece.length > 0);
      assert.ok(piece.isWellFormed());
    }
    assert.ok(texts.slice(0, -1).every((piece) => utf8(piece).length > max - 4), "wasteful");
  }
});

test("PeerSession.sendText() sends half a surrogate pair as a replacement character", () => {
  assert.deepEqual(textsIn(STATES["open"]().sendText("a\ud83db\udc4b")), ["a\ufffdb\ufffd"]);
});

test("PeerSession.sendText() gives any line back, whole", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 2000 }),
      (parts, times) => {
        const line = parts.join("").repeat(times);
        const { a, b } = opened("talk", "talk");
        const events = feed(b, a.sendText(line), a.sendEnd());
        assert.deepEqual(events.at(-1), { type: "peer-end" });
        const texts = events.slice(0, -1).map((event) => event.type === "text" && event.text);
        assert.equal(texts.join(""), line.toWellFormed());
        feed(a, b.sayReceived());
      },
    ),
    { seed: 20_260_731, numRuns: 60 },
  );
});

// Portions

const STREAM = (() => {
  const session = STATES["open"]();
  return concatBytes(
    HELLO,
    READY,
    session.sendText("hello"),
    session.sendData(Uint8Array.from({ length: 70_000 }, (_, i) => i)),
    session.sendText("€".repeat(6000)),
    session.sendEnd(),
    received(0),
  );
})();

/** What one hears who is ready from the start and ends as soon as the line is open. */
function receiveIn(chunks: readonly Uint8Array[]): PeerEvent[] {
  const session = new PeerSession("pipe");
  session.sayReady();
  const events: PeerEvent[] = [];
  let consumed = 0;
  for (const chunk of chunks) {
    session.receive(chunk);
    for (let event = session.next(); event; event = session.next()) {
      if (event.type === "open") session.sendEnd();
      events.push(event);
    }
    consumed += session.takeConsumedBytes();
  }
  assert.equal(consumed, chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  return events;
}

const EVENTS = receiveIn([STREAM]);

test("PeerSession hears a whole line", () => {
  assert.deepEqual(
    EVENTS.map(({ type }) => type),
    ["hello", "open", "text", "data", "data", "text", "text", "peer-end", "confirmed"],
  );
});

test("PeerSession hears the same from any portions", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(STREAM.length), fc.nat(200)), { maxLength: 40 }),
      (cuts) => {
        const bounds = [0, ...cuts, STREAM.length].sort((a, b) => a - b);
        assert.deepEqual(
          receiveIn(bounds.slice(1).map((bound, i) => STREAM.subarray(bounds[i], bound))),
          EVENTS,
        );
      },
    ),
    { seed: 20_260_731, numRuns: 100 },
  );
});

test("PeerSession with one flipped bit fails only as it says, and not at a line that was cut", () => {
  const small = concatBytes(HELLO, READY, text("hello"), data(1, 2, 3), end(8));
  for (let bit = 0; bit < small.length * 8; bit++) {
    const flipped = new Uint8Array(small);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    try {
      receiveIn([flipped]);
    } catch (error) {
      if (error instanceof assert.AssertionError) continue; // a longer frame is still waited for
      assert.equal((error as { kind?: unknown }).kind, "protocol", `bit ${bit}`);
    }
  }
  for (let cut = 0; cut < small.length; cut++) {
    const session = new PeerSession("talk");
    session.sayReady();
    const events = feed(session, small.subarray(0, cut));
    assert.ok(!events.some(({ type }) => type === "peer-end"), `cut at ${cut}`);
  }
});
