/** Every state of a sending side times everything that it may be told to say. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, encodeBase64 } from "../../lib/base/bytes.ts";
import { PeerSender } from "../../lib/protocol/peer_sender.ts";
import { feed, helloFields, NONCE, opened, receiver } from "./peer_frames.ts";

const HELLO = helloFields();
const HASH = encodeBase64(new Uint8Array(32));
const MESSAGE = { timeMs: 1, seen: 0, text: "x" };

const STATES: Readonly<Record<string, () => PeerSender>> = {
  greeting: () => new PeerSender(),
  open: () => {
    const sender = new PeerSender();
    sender.open();
    return sender;
  },
  ended: () => {
    const sender = new PeerSender();
    sender.open();
    sender.sendEnd();
    return sender;
  },
  refused: () => {
    const sender = new PeerSender();
    sender.sayRefused({ code: "REFUSED", message: "no" });
    return sender;
  },
};

type Said = Bytes | readonly Bytes[];

const SAYINGS: Readonly<Record<string, (sender: PeerSender) => Said>> = {
  greet: (sender) => sender.greet({ ...HELLO, mode: "talk" }),
  reveal: (sender) => sender.reveal(NONCE),
  sayWait: (sender) => sender.sayWait("asked"),
  sayReady: (sender) => sender.sayReady(false),
  sayRefused: (sender) => sender.sayRefused({ code: "REFUSED", message: "no" }),
  sayAlive: (sender) => sender.sayAlive(),
  sayLeaving: (sender) => sender.sayLeaving({ code: "STORAGE", message: "no" }),
  sendMessage: (sender) => sender.sendMessage(MESSAGE).frames,
  sendData: (sender) => sender.sendData(new Uint8Array(1)),
  sendFile: (sender) => sender.sendFile(1, new Uint8Array(1)),
  sendFileControl: (sender) => sender.sendFileControl({ type: "STORED", file: 1 }),
  sendFileEnd: (sender) =>
    sender.sendFileControl({ type: "FILE_END", file: 1, path: ["a"], size: 0, sha256: HASH }),
  sayDelivered: (sender) => sender.sayDelivered(0),
  sendEnd: (sender) => sender.sendEnd(),
  sign: (sender) => sender.sign(new Uint8Array(1)),
  sayReceived: (sender) => sender.sayReceived(0),
};

/** `yes` where it may be said; `no` where that is a fault of ours. */
const TABLE = `
                | greeting open ended refused
greet           | yes      no   no    no
reveal          | yes      no   no    no
sayWait         | yes      no   no    no
sayReady        | yes      no   no    no
sayRefused      | yes      no   no    no
sayAlive        | yes      yes  yes   yes
sayLeaving      | no       yes  yes   no
sendMessage     | no       yes  no    no
sendData        | no       yes  no    no
sendFile        | no       yes  no    no
sendFileControl | no       yes  yes   no
sendFileEnd     | no       yes  no    no
sayDelivered    | no       yes  yes   no
sendEnd         | no       yes  no    no
sign            | no       yes  yes   no
sayReceived     | no       yes  yes   no
`;

const [HEAD = "", ...ROWS] = TABLE.trim().split("\n");
const COLUMNS = HEAD.replace("|", "").trim().split(/ +/);

test("the table has each state and each saying, and no other", () => {
  assert.deepEqual(COLUMNS, Object.keys(STATES));
  assert.deepEqual(ROWS.map((row) => row.split("|")[0]?.trim()), Object.keys(SAYINGS));
  const own = Object.getOwnPropertyNames(PeerSender.prototype)
    .filter((name) => /^(?:greet|reveal|say|send|sign)/.test(name) && !/^sent/.test(name));
  const sayings = Object.keys(SAYINGS).filter((name) => name !== "sendFileEnd"); // one of a kind
  assert.deepEqual(own.sort(), sayings.sort(), "all that a PeerSender can say");
});

for (const row of ROWS) {
  const [saying = "", cells = ""] = row.split("|").map((text) => text.trim());
  test(`PeerSender.${saying}(): every state`, () => {
    const words = cells.split(/ +/);
    assert.equal(words.length, COLUMNS.length);
    for (const [i, state] of COLUMNS.entries()) {
      const say = SAYINGS[saying];
      const sender = STATES[state]?.();
      assert.ok(say && sender, `${saying} ${state}`);
      const before = [sender.sentBytes, sender.sentMessages, sender.isOpen, sender.hasEnded];
      if (words[i] === "no") {
        assert.throws(() => say(sender), { kind: "internal" }, `${saying} ${state}`);
        const after = [sender.sentBytes, sender.sentMessages, sender.isOpen, sender.hasEnded];
        assert.deepEqual(after, before, "an illegal saying changes nothing");
      } else {
        const said = say(sender);
        const frames = said instanceof Uint8Array ? [said] : said;
        assert.ok(frames.length > 0 && frames.every(({ length }) => length > 4));
      }
    }
  });
}

test("a sender and a receiver count the same bytes, whatever is sent", () => {
  const sender = new PeerSender();
  sender.open();
  const made = opened();
  for (const length of [0, 1, 16, 65_517, 65_518, 65_519, 131_035, 131_036, 131_037, 262_144]) {
    feed(made, sender.sendMessage({ timeMs: 1, seen: 0, text: "x".repeat(length) }).frames);
  }
  for (const length of [0, 1, 65_530, 65_531, 65_532, 65_535, 65_536, 200_000]) {
    feed(made, sender.sendData(new Uint8Array(length)));
    feed(made, sender.sendFile(7, new Uint8Array(length)));
  }
  assert.deepEqual(feed(made, sender.sendEnd()), [
    { type: "peer-end", bytes: sender.sentBytes },
  ]);
});

test("what a sender greets with is what a receiver reads", () => {
  const [hello] = feed(receiver(), new PeerSender().greet({ ...HELLO, mode: "files", wait: true }));
  assert.deepEqual(hello, {
    type: "hello",
    hello: { mode: "files", silenceMs: 60_000, wait: true, transcript: false, endorsements: [] },
  });
});
