/**
 * Every state of a conversation times everything that a peer may do in it, as one table. What is in
 * no table cannot be run, and a combination that is missing fails.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import type { PeerReceiver } from "../../lib/protocol/peer.ts";
import type { Control, LineMode } from "../../lib/protocol/peer_messages.ts";
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
  NONCE,
  part,
  READY,
  received,
  receiver,
  REFUSED,
  REVEAL,
  text,
} from "./peer_frames.ts";

const HASH = encodeBase64(new Uint8Array(32));
const READY_AND_SIGNS = control({ type: "READY", signs: true });
const SIGNATURE = control({ type: "SIGNATURE", signature: "AAAA" });

/** One who has read this much, said `ready` behind the first two frames, and sent one message. */
function after(frames: readonly Bytes[], { ready }: { readonly ready?: boolean } = {}) {
  const made = receiver({ wait: true });
  feed(made, ...frames.slice(0, 2));
  if (ready !== undefined) made.ready(ready);
  feed(made, ...frames.slice(2));
  made.sent(1);
  made.takeConsumedBytes();
  return made;
}

const GREETED = [HELLO, REVEAL];

function signing(): PeerReceiver {
  return after([...GREETED, READY_AND_SIGNS], { ready: true });
}

/** We have said our end, of 20 bytes. */
function ended(made: PeerReceiver): PeerReceiver {
  made.ended(20);
  return made;
}

/** States, in the order of the columns of the table below. */
const STATES: Readonly<Record<string, () => PeerReceiver>> = {
  /** Nothing has come. */
  silent: () => after([]),
  /** HELLO has come. */
  greeted: () => after([HELLO]),
  /** HELLO and NONCE have come. */
  met: () => after(GREETED),
  /** As `met`, and we are ready. */
  ready: () => after(GREETED, { ready: false }),
  /** The peer is ready, and we are not. */
  awaited: () => after([...GREETED, READY]),
  open: () => after([...GREETED, READY], { ready: false }),
  /** Open, and both will sign. */
  signing,
  /** Open, and the peer has ended. */
  heard: () => after([...GREETED, READY, end(0)], { ready: false }),
  /** Open, and we have ended. */
  ended: () => ended(after([...GREETED, READY], { ready: false })),
  /** Both have ended. */
  both: () => ended(after([...GREETED, READY, end(0)], { ready: false })),
  /** Both have ended, and both will sign. */
  unsigned: () => {
    const made = ended(signing());
    feed(made, end(0));
    return made;
  },
  /** As above, and the peer has. */
  signed: () => {
    const made = ended(signing());
    feed(made, end(0), SIGNATURE);
    return made;
  },
  /** Everything was said and confirmed, by both. */
  over: () => {
    const made = ended(after([...GREETED, READY, end(0)], { ready: false }));
    feed(made, received(20));
    made.received();
    return made;
  },
  /** We have refused. */
  refusing: () => {
    const made = after(GREETED);
    made.refused();
    return made;
  },
  /** The peer has. */
  refused: () => after([...GREETED, REFUSED]),
};

const EVENTS: Readonly<Record<string, Bytes>> = {
  "HELLO": HELLO,
  "HELLO, a new field": control(helloFields({ newer: true })),
  "NONCE": REVEAL,
  "WAIT, asked": control({ type: "WAIT", reason: "asked" }),
  "WAIT, busy": control({ type: "WAIT", reason: "busy" }),
  "READY": READY,
  "READY, a new field": control({ type: "READY", signs: false, newer: 1 }),
  "REFUSED": REFUSED,
  "DELIVERED 1": control({ type: "DELIVERED", messages: 1 }),
  "DELIVERED 2": control({ type: "DELIVERED", messages: 2 }),
  "RECEIVED 20": received(20),
  "RECEIVED 21": received(21),
  "SIGNATURE": SIGNATURE,
  "ALIVE": control({ type: "ALIVE" }),
  "LEAVING": control({ type: "LEAVING", code: "STORAGE", message: "no" }),
  "OFFER": control({ type: "OFFER", transfer: 1, name: "a", files: 1, bytes: 1 }),
  "ACCEPT": control({ type: "ACCEPT", transfer: 1 }),
  "DECLINE": control({ type: "DECLINE", transfer: 1, code: "REFUSED", message: "no" }),
  "FILE": control({
    ...{ type: "FILE", file: 1, path: ["a"], kind: "file", size: 1 },
    ...{ permissions: 0o644, modified: 0 },
  }),
  "HAVE": control({ type: "HAVE", file: 1, bytes: 0, sha256: HASH }),
  "FROM": control({ type: "FROM", file: 1, offset: 0 }),
  "FILE_END": control({ type: "FILE_END", file: 1, path: ["a"], size: 1, sha256: HASH }),
  "STORED": control({ type: "STORED", file: 1 }),
  "FAILED": control({ type: "FAILED", file: 1, code: "STORAGE", message: "no" }),
  "DONE": control({ type: "DONE", transfer: 1 }),
  "CANCEL": control({ type: "CANCEL", transfer: 1, side: "sender", message: "" }),
  "a new type, small": control({ type: "later", any: [1] }),
  "a new type, CAPITAL": control({ type: "LATER" }),
  "no type": control({ signs: true }),
  "no object": control("[]"),
  "no JSON": control("{"),
  "no UTF-8": frame(1, Uint8Array.of(0x22, 0xff, 0x22)),
  "an empty control": encodeFrame(Uint8Array.of(1)),
  "frame 0": frame(0, utf8("x")),
  "text": text("x"),
  "half a message": frame(2, concatBytes(Uint8Array.of(1), new Uint8Array(20))),
  "data": data(1),
  "end 0": end(0),
  "end 1": end(1),
  "a piece of a file": frame(5, new Uint8Array(5)),
  "frame 6": frame(6, utf8("x")),
  "frame 127": frame(127, utf8("x")),
  "frame 128": frame(128, utf8("x")),
  "frame 255": frame(255, utf8("x")),
};

/**
 * What comes of it: the type of an event; `.` for nothing, since it was skipped or only remembered;
 * `-` for nothing, since nothing is read any more; in capitals, the words below with which it breaks
 * the protocol.
 */
const WORDS: Readonly<Record<string, string>> = {
  TIME: "… at the wrong time",
  TWICE: "a second HELLO",
  EARLY: "ALIVE before HELLO",
  UNKNOWN: "an unknown control frame",
  JSON: "a control frame that is not JSON in UTF-8",
  BEFORE: "a message before both sides are ready",
  BEHIND: "a message behind the end",
  COUNT: "a delivery of what was not sent",
  UNFIT: "a confirmation that does not fit what was sent",
  LENGTH: "an end that does not fit what came",
  TYPE: "a frame of the unknown type …",
};

const TABLE = `
                    | silent  greeted met     ready   awaited open      signing   heard     ended     both      unsigned  signed    over      refusing refused
HELLO               | hello   TWICE   TWICE   TWICE   TWICE   TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     -        -
HELLO, a new field  | hello   TWICE   TWICE   TWICE   TWICE   TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     TWICE     -        -
NONCE               | TIME    nonce   TIME    TIME    TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
WAIT, asked         | TIME    TIME    wait    wait    TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
WAIT, busy          | TIME    TIME    wait    wait    TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
READY               | TIME    TIME    .       open    TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
READY, a new field  | TIME    TIME    .       open    TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
REFUSED             | TIME    refused refused refused TIME    TIME      TIME      TIME      TIME      TIME      TIME      TIME      TIME      -        -
DELIVERED 1         | TIME    TIME    TIME    TIME    TIME    delivered delivered delivered delivered delivered delivered delivered delivered -        -
DELIVERED 2         | TIME    TIME    TIME    TIME    TIME    COUNT     COUNT     COUNT     COUNT     COUNT     COUNT     COUNT     COUNT     -        -
RECEIVED 20         | UNFIT   UNFIT   UNFIT   UNFIT   UNFIT   UNFIT     UNFIT     UNFIT     confirmed confirmed UNFIT     confirmed UNFIT     -        -
RECEIVED 21         | UNFIT   UNFIT   UNFIT   UNFIT   UNFIT   UNFIT     UNFIT     UNFIT     UNFIT     UNFIT     UNFIT     UNFIT     UNFIT     -        -
SIGNATURE           | TIME    TIME    TIME    TIME    TIME    TIME      TIME      TIME      TIME      TIME      signature TIME      TIME      -        -
ALIVE               | EARLY   .       .       .       .       .         .         .         .         .         .         .         .         -        -
LEAVING             | TIME    TIME    TIME    TIME    TIME    leaving   leaving   leaving   leaving   leaving   leaving   leaving   leaving   -        -
OFFER               | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
ACCEPT              | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
DECLINE             | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
FILE                | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
HAVE                | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
FROM                | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
FILE_END            | TIME    TIME    TIME    TIME    TIME    file-control file-control TIME file-control TIME TIME TIME TIME - -
STORED              | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
FAILED              | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
DONE                | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
CANCEL              | TIME    TIME    TIME    TIME    TIME    file-control file-control file-control file-control file-control file-control file-control file-control - -
a new type, small   | .       .       .       .       .       .         .         .         .         .         .         .         .         -        -
a new type, CAPITAL | UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   -        -
no type             | UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   -        -
no object           | UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   UNKNOWN   -        -
no JSON             | JSON    JSON    JSON    JSON    JSON    JSON      JSON      JSON      JSON      JSON      JSON      JSON      JSON      -        -
no UTF-8            | JSON    JSON    JSON    JSON    JSON    JSON      JSON      JSON      JSON      JSON      JSON      JSON      JSON      -        -
an empty control    | JSON    JSON    JSON    JSON    JSON    JSON      JSON      JSON      JSON      JSON      JSON      JSON      JSON      -        -
frame 0             | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  TYPE      TYPE      BEHIND    TYPE      BEHIND    BEHIND    BEHIND    BEHIND    -        -
text                | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  text      text      BEHIND    text      BEHIND    BEHIND    BEHIND    BEHIND    -        -
half a message      | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  .         .         BEHIND    .         BEHIND    BEHIND    BEHIND    BEHIND    -        -
data                | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  data      data      BEHIND    data      BEHIND    BEHIND    BEHIND    BEHIND    -        -
end 0               | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  peer-end  peer-end  BEHIND    peer-end  BEHIND    BEHIND    BEHIND    BEHIND    -        -
end 1               | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  LENGTH    LENGTH    BEHIND    LENGTH    BEHIND    BEHIND    BEHIND    BEHIND    -        -
a piece of a file   | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  file      file      BEHIND    file      BEHIND    BEHIND    BEHIND    BEHIND    -        -
frame 6             | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  TYPE      TYPE      BEHIND    TYPE      BEHIND    BEHIND    BEHIND    BEHIND    -        -
frame 127           | BEFORE  BEFORE  BEFORE  BEFORE  BEFORE  TYPE      TYPE      BEHIND    TYPE      BEHIND    BEHIND    BEHIND    BEHIND    -        -
frame 128           | .       .       .       .       .       .         .         .         .         .         .         .         .         -        -
frame 255           | .       .       .       .       .       .         .         .         .         .         .         .         .         -        -
`;

/** Cells by event, then by state. */
function parseTable(table: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const [head = "", ...rows] = table.trim().split("\n");
  const columns = head.replace("|", "").trim().split(/ +/);
  return new Map(rows.map((row) => {
    const [event = "", cells = ""] = row.split("|");
    const words = cells.trim().split(/ +/);
    assert.equal(words.length, columns.length, `${event} has a cell for each state`);
    return [event.trim(), new Map(columns.map((state, i) => [state, words[i] ?? ""]))];
  }));
}

const CELLS = parseTable(TABLE);

/** What is expected of a frame, for a cell of the table. */
function check(
  made: PeerReceiver,
  { event, cell }: { readonly event: string; readonly cell: string },
) {
  const bytes = EVENTS[event] ?? new Uint8Array();
  const before = made.state;
  const words = WORDS[cell];
  if (words === undefined) {
    const events = feed(made, bytes);
    assert.deepEqual(events.map(({ type }) => type), cell === "." || cell === "-" ? [] : [cell]);
    const state = cell === "open" ? "open" : cell === "refused" ? "refused" : before;
    assert.equal(made.state, state);
    assert.equal(made.takeConsumedBytes() > 0, cell !== "-", "what is skipped is consumed too");
    return;
  }
  const subject = event.replace(/[, ].*$/, "");
  const number = /\d+$/.exec(event)?.[0] ?? "";
  const why = words.replace("…", cell === "TYPE" ? number : subject);
  assert.throws(() => feed(made, bytes), broke(why));
  assert.equal(made.state, before, "an illegal event changes nothing");
  assert.throws(() => feed(made, HELLO), broke(why), "nothing is read after that");
}

test("the table has each state and each event, and no other", () => {
  assert.deepEqual([...CELLS.keys()].sort(), Object.keys(EVENTS).sort());
  for (const [event, cells] of CELLS) {
    assert.deepEqual([...cells.keys()].sort(), Object.keys(STATES).sort(), event);
  }
});

for (const [state, make] of Object.entries(STATES)) {
  test(`PeerReceiver, ${state}: every event`, () => {
    for (const event of Object.keys(EVENTS)) {
      const cell = CELLS.get(event)?.get(state);
      assert.ok(cell, `${state} × ${event} is in the table`);
      try {
        check(make(), { event, cell });
        // The same, one byte after the other.
        const made = make();
        const bytes = EVENTS[event] ?? new Uint8Array();
        for (const byte of bytes.subarray(0, -1)) {
          assert.deepEqual(feed(made, Uint8Array.of(byte)), []);
        }
        if (WORDS[cell] === undefined) {
          const last = feed(made, bytes.subarray(-1));
          assert.deepEqual(
            last.map(({ type }) => type),
            cell === "." || cell === "-" ? [] : [cell],
          );
        } else assert.throws(() => feed(made, bytes.subarray(-1)), { kind: "protocol" });
      } catch (error) {
        throw new Error(`${state} × ${event}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  });
}

/** By the types of the schema: one that is not here does not compile. */
const CONTROLS: Readonly<Record<Control["type"], true>> = {
  HELLO: true,
  NONCE: true,
  WAIT: true,
  READY: true,
  REFUSED: true,
  DELIVERED: true,
  RECEIVED: true,
  SIGNATURE: true,
  ALIVE: true,
  LEAVING: true,
  OFFER: true,
  ACCEPT: true,
  DECLINE: true,
  FILE: true,
  HAVE: true,
  FROM: true,
  FILE_END: true,
  STORED: true,
  FAILED: true,
  DONE: true,
  CANCEL: true,
};

test("every control of the schema is an event of the table", () => {
  const known = Object.keys(EVENTS).filter((event) => /^[A-Z_]+\b/.test(event))
    .map((event) => /^[A-Z_]+/.exec(event)?.[0] ?? "");
  assert.deepEqual([...new Set(known)].sort(), Object.keys(CONTROLS).sort());
});

/** Files are for two sides that have them; each mode of both. */
test("PeerReceiver takes what is said about files only where both have them", () => {
  const modes: readonly LineMode[] = ["talk", "pipe", "files"];
  const about = ["a piece of a file", "OFFER", "ACCEPT", "FILE_END", "CANCEL"];
  for (const own of modes) {
    for (const peers of modes) {
      const open = () => {
        const made = receiver({ mode: own });
        feed(made, control(helloFields({ mode: peers })), REVEAL);
        made.ready(false);
        feed(made, READY);
        return made;
      };
      for (const event of about) {
        const bytes = EVENTS[event] ?? new Uint8Array();
        if (own === "pipe" || peers === "pipe") {
          assert.throws(() => feed(open(), bytes), broke("files where there are none"));
        } else assert.equal(feed(open(), bytes).length, 1, `${own} ${peers} ${event}`);
      }
    }
  }
});

test("PeerReceiver hears busy only if it said that it waits", () => {
  const made = receiver({ wait: false });
  feed(made, ...GREETED);
  const busy = EVENTS["WAIT, busy"] ?? new Uint8Array();
  assert.throws(() => feed(made, busy), broke("WAIT at the wrong time"));
});

test("NONCE of another: whatever the role", () => {
  for (const role of ["caller", "listener"] as const) {
    const made = receiver({ role });
    feed(made, HELLO);
    const nonce = control({ type: "NONCE", nonce: encodeBase64(NONCE) });
    if (role === "caller") assert.equal(feed(made, nonce).length, 1);
    else assert.throws(() => feed(made, nonce), broke("a nonce that does not fit its commitment"));
  }
});

test("names and times that no file and no clock has break the protocol", () => {
  const ended = (path: readonly string[]) =>
    control({ type: "FILE_END", file: 1, path, size: 1, sha256: HASH });
  const open = () => after([...GREETED, READY], { ready: false });
  const names: readonly (readonly [string, boolean])[] = [
    ["", false],
    ["a", true],
    ["a".repeat(255), true],
    ["a".repeat(256), false],
    ["ö".repeat(127), true],
    ["ö".repeat(128), false],
    ["👋".repeat(63), true],
    ["👋".repeat(64), false],
    ["\ud800", false],
    ["../\u0000", true], // what a name may be here is for whoever stores the file
  ];
  for (const [name, isGood] of names) {
    for (const path of [[name], ["a", name]]) {
      if (isGood) assert.equal(feed(open(), ended(path)).length, 1, name);
      else assert.throws(() => feed(open(), ended(path)), broke("an unknown control frame"), name);
    }
  }
  for (const [names, isGood] of [[0, false], [1, true], [64, true], [65, false]] as const) {
    const path = Array<string>(names).fill("a");
    if (isGood) assert.equal(feed(open(), ended(path)).length, 1);
    else assert.throws(() => feed(open(), ended(path)), broke("an unknown control frame"));
  }
  const last = 8_640_000_000_000_000;
  assert.equal(feed(open(), part(messageBytes("x", { timeMs: last }))).length, 1);
  const never = part(messageBytes("x", { timeMs: last + 1 }));
  assert.throws(() => feed(open(), never), broke("a message with impossible times"));
});
