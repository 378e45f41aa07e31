/** What a peer may say, and what it means: both halves together, and frames that are never right. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeBase64, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import type { PeerEvent, PeerReceiver } from "../../lib/protocol/peer.ts";
import type { Hello, LineMode } from "../../lib/protocol/peer_messages.ts";
import { PeerSender } from "../../lib/protocol/peer_sender.ts";
import { commitTo, type PeerRole } from "../../lib/protocol/safety_words.ts";
import {
  broke,
  control,
  data,
  end,
  feed,
  frame,
  HELLO,
  helloFields,
  messageBytes,
  met,
  NONCE,
  opened,
  part,
  READY,
  received,
  receiver,
  REFUSED,
  REVEAL,
  text,
} from "./peer_frames.ts";

// Two ends together

interface End {
  readonly sender: PeerSender;
  readonly receiver: PeerReceiver;
}

function helloOf(mode: LineMode, role: PeerRole, more: Partial<Hello> = {}) {
  return { mode, commitment: encodeBase64(commitTo(NONCE, role)), silence: 1000, ...more };
}

/** Two ends that have greeted and judged each other, and are ready. */
function opening(modeA: LineMode, modeB: LineMode, signs = false): { a: End; b: End } {
  const make = (mode: LineMode, role: PeerRole): End => ({
    sender: new PeerSender(),
    receiver: receiver({ mode, role }),
  });
  const [a, b] = [make(modeA, "caller"), make(modeB, "listener")];
  const [hello] = feed(b.receiver, a.sender.greet(helloOf(modeA, "caller")));
  assert.deepEqual(hello, {
    type: "hello",
    hello: { mode: modeA, silenceMs: 1000, wait: false, transcript: false, endorsements: [] },
  });
  feed(a.receiver, b.sender.greet(helloOf(modeB, "listener")));
  assert.deepEqual(feed(b.receiver, a.sender.reveal(NONCE)), [{ type: "nonce", nonce: NONCE }]);
  assert.deepEqual(feed(a.receiver, b.sender.reveal(NONCE)), [{ type: "nonce", nonce: NONCE }]);
  assert.equal(a.receiver.ready(signs), undefined);
  assert.deepEqual(feed(b.receiver, a.sender.sayReady(signs)), []);
  assert.deepEqual(b.receiver.ready(signs), { signs });
  assert.deepEqual(feed(a.receiver, b.sender.sayReady(signs)), [{ type: "open", signs }]);
  for (const { sender, receiver } of [a, b]) {
    assert.equal(receiver.state, "open");
    sender.open();
  }
  return { a, b };
}

/** Says the end, to both halves. */
function endOf({ sender, receiver }: End): Bytes {
  const frames = sender.sendEnd();
  receiver.ended(sender.sentBytes);
  return frames;
}

/** Confirms what has come. */
function confirm({ sender, receiver }: End, bytes: number): Bytes {
  receiver.received();
  return sender.sayReceived(bytes);
}

function say({ sender, receiver }: End, text: string, seen = 0): Bytes {
  const { frames } = sender.sendMessage({ timeMs: 5, seen, text });
  receiver.sent(sender.sentMessages);
  return frames;
}

test("a talk: messages, deliveries, both ends said and confirmed", () => {
  const { a, b } = opening("talk", "talk");
  const events = feed(b.receiver, say(a, "hello, wörld 👋"), say(a, ""));
  assert.deepEqual(events.map((event) => event.type === "text" && [event.number, event.message]), [
    [1, { timeMs: 5, seen: 0, text: "hello, wörld 👋" }],
    [2, { timeMs: 5, seen: 0, text: "" }],
  ]);
  assert.deepEqual(feed(a.receiver, b.sender.sayDelivered(2), say(b, "hi", 2))[0], {
    type: "delivered",
    messages: 2,
  });
  const [ended] = feed(b.receiver, endOf(a));
  assert.deepEqual(ended, { type: "peer-end", bytes: a.sender.sentBytes });
  assert.deepEqual(feed(a.receiver, confirm(b, a.sender.sentBytes)), [{ type: "confirmed" }]);
  assert.deepEqual([a.receiver.isComplete, b.receiver.isComplete], [false, false]);
  feed(a.receiver, endOf(b));
  const confirmation = confirm(a, b.sender.sentBytes);
  assert.ok(a.receiver.isComplete);
  assert.deepEqual(feed(b.receiver, confirmation), [{ type: "confirmed" }]);
  assert.ok(b.receiver.isComplete);
});

test("a pipe: data in frames of bounded size, both ends at the same moment", () => {
  const { a, b } = opening("pipe", "pipe");
  const big = Uint8Array.from({ length: 200_000 }, (_, i) => i * 31);
  const frames = [a.sender.sendData(big), a.sender.sendData(new Uint8Array(0)), endOf(a)];
  const events = feed(b.receiver, ...frames);
  const pieces = events.flatMap((event) => event.type === "data" ? [event.bytes] : []);
  assert.deepEqual(concatBytes(...pieces), big);
  assert.deepEqual(pieces.map(({ length }) => length), [50_000, 50_000, 50_000, 50_000]);
  assert.deepEqual(events.at(-1), { type: "peer-end", bytes: big.length });
  assert.deepEqual(feed(a.receiver, endOf(b)), [{ type: "peer-end", bytes: 0 }]);
  feed(b.receiver, confirm(a, 0));
  feed(a.receiver, confirm(b, big.length));
  assert.ok(a.receiver.isComplete && b.receiver.isComplete);
});

test("files: pieces with their numbers count, and controls pass", () => {
  const { a, b } = opening("talk", "files");
  const offer = { type: "OFFER", transfer: 1, name: "a", files: 1, bytes: 70_000 } as const;
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 13);
  const [first, ...events] = feed(
    b.receiver,
    a.sender.sendFileControl(offer),
    a.sender.sendFile(7, bytes),
    endOf(a),
  );
  assert.deepEqual(first, { type: "file-control", control: offer });
  const pieces = events.flatMap((event) => event.type === "file" ? [event] : []);
  assert.deepEqual(pieces.map(({ file }) => file), [7, 7]);
  assert.deepEqual(concatBytes(...pieces.map(({ bytes }) => bytes)), bytes);
  assert.deepEqual(events.at(-1), { type: "peer-end", bytes: 70_000 + 2 * 4 });
});

test("a transcript is signed behind both ends and before the confirmation", () => {
  const { a, b } = opening("talk", "talk", true);
  feed(b.receiver, endOf(a));
  feed(a.receiver, endOf(b));
  const signature = Uint8Array.of(1, 2, 3);
  assert.deepEqual(feed(b.receiver, a.sender.sign(signature), confirm(a, 0)), [
    { type: "signature", signature },
    { type: "confirmed" },
  ]);
  assert.throws(
    () => feed(a.receiver, confirm(b, 0)),
    broke("a confirmation that does not fit what was sent"),
  );
});

test("a refusal ends both sides before anything was said", () => {
  const a = met();
  const sender = new PeerSender();
  const refusal = sender.sayRefused({ code: "UNTRUSTED", message: "m".repeat(2000) });
  assert.deepEqual(feed(a, refusal), [
    { type: "refused", report: { code: "UNTRUSTED", message: "m".repeat(1024) } },
  ]);
  assert.equal(a.state, "refused");
  assert.deepEqual(feed(a, READY, text("x")), [], "something is read after REFUSED");
  assert.throws(() => sender.sendData(Uint8Array.of(1)), { kind: "internal" });
  const b = met();
  b.refused();
  assert.deepEqual(feed(b, READY, text("x")), []);
});

test("one who is ready can be refused by the other, and asked for patience", () => {
  const a = met();
  a.ready(false);
  const asked = control({ type: "WAIT", reason: "asked" });
  assert.deepEqual(feed(a, asked, asked), Array(2).fill({ type: "wait", reason: "asked" }));
  assert.equal(feed(a, REFUSED)[0]?.type, "refused");
  const busy = control({ type: "WAIT", reason: "busy" });
  assert.deepEqual(feed(met({ wait: true }), busy), [{ type: "wait", reason: "busy" }]);
  assert.throws(() => feed(met(), busy), broke("WAIT at the wrong time"));
});

test("PeerSender sends nothing before it is open and nothing behind its end", () => {
  const sender = new PeerSender();
  const sends = [
    () => sender.sendMessage({ timeMs: 1, seen: 0, text: "x" }),
    () => sender.sendData(Uint8Array.of(1)),
    () => sender.sendFile(1, Uint8Array.of(1)),
    () => sender.sendEnd(),
  ];
  const confirms = [() => sender.sayDelivered(1), () => sender.sayReceived(1)];
  for (const send of [...sends, ...confirms]) assert.throws(send, { kind: "internal" });
  sender.open();
  sender.sendEnd();
  for (const send of sends) assert.throws(send, { kind: "internal" });
  for (const say of confirms) assert.ok(say().length > 0);
  sender.open();
  assert.throws(() => sender.sendData(Uint8Array.of(1)), { kind: "internal" }, "opened again");
});

test("a message is as long as the limit, in frames, and no longer", () => {
  const max = LIMITS.messageBytesMax - 16;
  const { a, b } = opening("talk", "talk");
  const long = "ä".repeat(max / 2);
  const events = feed(b.receiver, say(a, long), endOf(a));
  assert.ok(events[0]?.type === "text");
  assert.equal(events[0].message.text, long);
  assert.deepEqual(events[1], { type: "peer-end", bytes: a.sender.sentBytes });
  const { a: c } = opening("talk", "talk");
  assert.throws(() => say(c, `${long}a`), { kind: "usage" });
  assert.equal(c.sender.sentMessages, 0);
  assert.equal(c.sender.sentBytes, 0);
});

test("what a message holds arrives, however its bytes are cut", () => {
  const strings = fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 6 });
  fc.assert(fc.property(strings, fc.integer({ min: 1, max: 30 }), (texts, size) => {
    const { a, b } = opening("talk", "pipe");
    const bytes = concatBytes(...texts.map((words) => say(a, words)), endOf(a));
    const events: PeerEvent[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      events.push(...feed(b.receiver, bytes.subarray(at, at + size)));
    }
    const said = events.flatMap((event) => event.type === "text" ? [event.message.text] : []);
    assert.deepEqual(said, texts.map((words) => words.toWellFormed()));
    assert.equal(events.at(-1)?.type, "peer-end");
  }));
});

test("parts of a message are joined, with other frames in between", () => {
  const whole = messageBytes("half a characte\u{1f44b}r");
  const [first, second] = [whole.subarray(0, 33), whole.subarray(33)];
  const alive = control({ type: "ALIVE" });
  const events = feed(opened(), part(first, { isLast: false }), alive, data(1), part(second));
  assert.deepEqual(events.map(({ type }) => type), ["data", "text"]);
  assert.ok(events[1]?.type === "text");
  assert.equal(events[1].message.text, "half a characte\u{1f44b}r");
  assert.deepEqual(events[1].bytes, whole);
});

test("a status goes with the greeting, whole and unread", () => {
  for (const length of [1, 2, 300, LIMITS.ocspResponseBytesMax]) {
    const status = Uint8Array.from({ length }, (_, i) => i * 31);
    const [event] = feed(receiver(), control(helloFields({ status: encodeBase64(status) })));
    assert.ok(event?.type === "hello");
    assert.deepEqual(event.hello.status, status);
  }
});

test("what a later version may send is skipped", () => {
  const later = [
    frame(128, utf8("?")),
    encodeFrame(Uint8Array.of(255)),
    control({ type: "later", x: 1 }),
  ];
  const [hello] = feed(receiver(), ...later, control(helloFields({ more: [1], x: null })));
  assert.equal(hello?.type, "hello");
  const open = opened();
  assert.deepEqual(feed(open, ...later, end(0)), [{ type: "peer-end", bytes: 0 }]);
});

// Frames that are never right

const UNKNOWN = "an unknown control frame";
const NOT_JSON = "a control frame that is not JSON in UTF-8";
const NAME_TWICE = "a control frame with a name twice";
const UNFIT = "a confirmation that does not fit what was sent";
const endorsement = { key: "AAAA", timeMs: 1, signature: "AAAA" };

const BAD_HELLOS: readonly (readonly [unknown, string])[] = [
  ["", NOT_JSON],
  ["HELLO", NOT_JSON],
  ['{"type":"HELLO"', NOT_JSON],
  ['{"type":"HELLO","type":"HELLO"}', NAME_TWICE],
  ['{"type":"later","x":{"y":1,"y":1}}', NAME_TWICE], // also what would be skipped
  ["null", UNKNOWN],
  [[], UNKNOWN],
  [1, UNKNOWN],
  [{}, UNKNOWN],
  [{ type: 1 }, UNKNOWN],
  [{ type: "" }, UNKNOWN],
  [{ type: "HELLO" }, UNKNOWN],
  [{ type: "LATER" }, UNKNOWN],
  [{ type: "Constructor" }, UNKNOWN],
  [helloFields({ mode: "shout" }), UNKNOWN],
  [helloFields({ mode: ["talk"] }), UNKNOWN],
  [helloFields({ commitment: undefined }), UNKNOWN],
  [helloFields({ commitment: "" }), UNKNOWN],
  [helloFields({ commitment: encodeBase64(new Uint8Array(31)) }), UNKNOWN],
  [helloFields({ commitment: encodeBase64(new Uint8Array(33)) }), UNKNOWN],
  [helloFields({ silence: undefined }), UNKNOWN],
  [helloFields({ silence: 999 }), UNKNOWN],
  [helloFields({ silence: 1000.5 }), UNKNOWN],
  [helloFields({ silence: 3_600_001 }), UNKNOWN],
  [helloFields({ wait: 1 }), UNKNOWN],
  [helloFields({ transcript: "yes" }), UNKNOWN],
  [helloFields({ endorsements: endorsement }), UNKNOWN],
  [helloFields({ endorsements: [{ ...endorsement, key: "" }] }), UNKNOWN],
  [helloFields({ endorsements: [{ ...endorsement, timeMs: -1 }] }), UNKNOWN],
  [helloFields({ endorsements: Array(9).fill(endorsement) }), UNKNOWN],
  [helloFields({ status: null }), UNKNOWN],
  [helloFields({ status: "" }), UNKNOWN],
  [helloFields({ status: [1] }), UNKNOWN],
  [helloFields({ status: "AAA" }), UNKNOWN],
  [helloFields({ status: "AAE" }), UNKNOWN],
  [helloFields({ status: "AA_-" }), UNKNOWN],
  [helloFields({ status: " AAAA" }), UNKNOWN],
  [helloFields({ status: encodeBase64(new Uint8Array(4097)) }), UNKNOWN],
  ['{"__proto__":{"type":"HELLO","mode":"talk"}}', UNKNOWN],
];

test("a greeting that is not as it should be breaks the protocol", () => {
  for (const [value, why] of BAD_HELLOS) {
    assert.throws(() => feed(receiver(), control(value)), broke(why), JSON.stringify(value));
  }
  const bad = frame(1, Uint8Array.of(0x22, 0xff, 0x22));
  assert.throws(() => feed(receiver(), bad), broke(NOT_JSON));
  const good = helloFields({ endorsements: Array(8).fill(endorsement), wait: true });
  assert.equal(feed(receiver(), control(good))[0]?.type, "hello");
});

const OTHER_NONCE = control({ type: "NONCE", nonce: encodeBase64(new Uint8Array(32)) });

/** One who has sent "abc" and said its end, of 20 bytes. */
function ended(): PeerReceiver {
  const made = opened();
  made.sent(1);
  made.ended(20);
  return made;
}

const BAD_FRAMES: readonly (readonly [
  what: string,
  to: () => PeerReceiver,
  frames: readonly Bytes[],
  why: string,
])[] = [
  ["a nonce before HELLO", receiver, [REVEAL], "NONCE at the wrong time"],
  ["a second nonce", met, [REVEAL], "NONCE at the wrong time"],
  ["another nonce", receiver, [HELLO, OTHER_NONCE], "a nonce that does not fit its commitment"],
  [
    "our own commitment",
    () => receiver({ role: "listener" }),
    [HELLO, REVEAL],
    "a nonce that does not fit its commitment",
  ],
  ["READY before the nonce", receiver, [HELLO, READY], "READY at the wrong time"],
  ["READY with a word", met, [control({ type: "READY", signs: "no" })], UNKNOWN],
  ["REFUSED without words", met, [control({ type: "REFUSED" })], UNKNOWN],
  [
    "REFUSED with a long code",
    met,
    [control({ type: "REFUSED", code: "C".repeat(65), message: "" })],
    UNKNOWN,
  ],
  [
    "REFUSED with a long message",
    met,
    [control({ type: "REFUSED", code: "C", message: "m".repeat(1025) })],
    UNKNOWN,
  ],
  ["RECEIVED of nothing", ended, [received(undefined)], UNKNOWN],
  ["RECEIVED of words", ended, [received("20")], UNKNOWN],
  ["RECEIVED of less than nothing", ended, [received(-20)], UNKNOWN],
  ["RECEIVED of a fraction", ended, [received(20.5)], UNKNOWN],
  ["RECEIVED beyond 2^53", ended, [received(2 ** 53)], UNKNOWN],
  ["RECEIVED of too little", ended, [received(19)], UNFIT],
  ["RECEIVED of too much", ended, [received(21)], UNFIT],
  ["RECEIVED twice", ended, [received(20), received(20)], UNFIT],
  [
    "DELIVERED of what was not sent",
    ended,
    [control({ type: "DELIVERED", messages: 2 })],
    "a delivery of what was not sent",
  ],
  [
    "DELIVERED that goes back",
    ended,
    [control({ type: "DELIVERED", messages: 1 }), control({ type: "DELIVERED", messages: 0 })],
    "a delivery of what was not sent",
  ],
  [
    "a message that has seen what was not sent",
    ended,
    [text("x", { seen: 2 })],
    "a message that has seen what was not sent",
  ],
  [
    "a message that has seen less than the one before",
    ended,
    [text("x", { seen: 1 }), text("x", { seen: 0 })],
    "a message that has seen what was not sent",
  ],
  ["type 0", opened, [frame(0, utf8("x"))], "a frame of the unknown type 0"],
  ["type 6", opened, [frame(6, utf8("x"))], "a frame of the unknown type 6"],
  ["type 127 alone", opened, [encodeFrame(Uint8Array.of(127))], "a frame of the unknown type 127"],
  ["text without a part", opened, [encodeFrame(Uint8Array.of(2))], "a text frame without a part"],
  ["text of an unknown part", opened, [frame(2, Uint8Array.of(2))], "a text frame without a part"],
  ["a message of 15 bytes", opened, [part(new Uint8Array(15))], "a message without its times"],
  [
    "a message of a time beyond 2^53",
    opened,
    [part(concatBytes(new Uint8Array(16).fill(255), utf8("x")))],
    "a message with impossible times",
  ],
  ...[[0x80], [0xf0, 0x9f, 0x91], [0xed, 0xa0, 0x80], [0xc0, 0x80]].map((bytes) =>
    [
      `the bytes ${encodeHex(Uint8Array.from(bytes))}`,
      opened,
      [part(messageBytes(Uint8Array.from(bytes)))],
      "a message that is not UTF-8",
    ] as const
  ),
  [
    "a message too long by one byte",
    opened,
    Array.from({ length: 5 }, () => part(new Uint8Array(52_433), { isLast: false })),
    "a message that is too long",
  ],
  [
    "a piece of a file without a number",
    opened,
    [frame(5, new Uint8Array(3))],
    "a piece of a file without its number",
  ],
  [
    "a file for a pipe",
    () => opened({ mode: "pipe" }),
    [frame(5, new Uint8Array(5))],
    "files where there are none",
  ],
  [
    "an offer to a pipe",
    () => opened({ mode: "pipe" }),
    [control({ type: "OFFER", transfer: 1, name: "a", files: 1, bytes: 1 })],
    "files where there are none",
  ],
  [
    "an offer before both are ready",
    met,
    [control({ type: "OFFER", transfer: 1, name: "a", files: 1, bytes: 1 })],
    "OFFER at the wrong time",
  ],
  [
    "a signature that nobody asked for",
    ended,
    [end(0), control({ type: "SIGNATURE", signature: "AAAA" })],
    "SIGNATURE at the wrong time",
  ],
  [
    "a signature before both ends",
    () => opened({ signs: true }),
    [end(0), control({ type: "SIGNATURE", signature: "AAAA" })],
    "SIGNATURE at the wrong time",
  ],
  ...([
    ["without a count", encodeFrame(Uint8Array.of(4))],
    ["of 7 bytes", frame(4, new Uint8Array(7))],
    ["of 9 bytes", frame(4, new Uint8Array(9))],
    ["too low", concatBytes(data(1, 2), end(1))],
    ["too high", concatBytes(data(1, 2), end(3))],
    ["that is negative", end(2n ** 64n - 1n)],
    ["beyond 2^53", end(2n ** 53n)],
    ["within a message", concatBytes(part(new Uint8Array(20), { isLast: false }), end(21))],
  ] as const).map(([what, bytes]) =>
    [`an end ${what}`, opened, [bytes], "an end that does not fit what came"] as const
  ),
  ["a second end", opened, [end(0), end(0)], "a message behind the end"],
  ["text behind the end", opened, [end(0), text("a")], "a message behind the end"],
];

for (const [what, to, frames, why] of BAD_FRAMES) {
  test(`PeerReceiver refuses ${what}`, () => {
    const made = to();
    const state = made.state;
    assert.throws(() => feed(made, ...frames), broke(why));
    assert.equal(made.state, state);
    assert.throws(() => feed(made, end(0)), broke(why), "something is read after that");
  });
}

test("PeerReceiver refuses a frame with a bad length", () => {
  for (const bytes of [Uint8Array.of(0, 0, 0, 0), Uint8Array.of(0, 1, 0, 1)]) {
    assert.throws(() => feed(opened(), bytes), { kind: "protocol" });
  }
});
