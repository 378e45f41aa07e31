import assert from "node:assert/strict";
import { test } from "node:test";
import { OutgoingFiles, type ReceiverMessage } from "../../lib/protocol/outgoing_files.ts";
import {
  checkDemands,
  checkRow,
  described,
  HASH,
  LARGE,
  madeIn,
  type States,
} from "./file_states.ts";

/** A small file is sent and not answered, as file 1; then a large one begins, as file 2. */
const STATES: States<OutgoingFiles> = {
  idle: () => new OutgoingFiles(),
  offered: () => {
    const files = new OutgoingFiles();
    files.offer({ name: "a", files: 4, bytes: LARGE + 30 });
    return files;
  },
  between: () => {
    const files = accepted();
    files.begin(described(10));
    files.from(0);
    files.bytes(10);
    files.end(HASH);
    return files;
  },
  asking: () => {
    const files = made("between");
    files.begin(described(LARGE));
    return files;
  },
  told: () => {
    const files = made("asking");
    files.receive({ type: "HAVE", file: 2, bytes: 100, sha256: HASH });
    return files;
  },
  inside: () => {
    const files = made("told");
    files.from(100);
    files.bytes(50);
    return files;
  },
  done: () => {
    const files = made("between");
    files.done();
    return files;
  },
  "idle, after we cancelled": () => {
    const files = made("inside");
    files.cancel("enough");
    return files;
  },
  "offered, after we cancelled": () => {
    const files = made("idle, after we cancelled");
    files.offer({ name: "b", files: 1, bytes: 5 });
    return files;
  },
};

const made = (state: string) => madeIn(STATES, state);

function accepted(): OutgoingFiles {
  const files = made("offered");
  files.receive({ type: "ACCEPT", transfer: 1 });
  return files;
}

const MESSAGES: Readonly<Record<string, ReceiverMessage>> = {
  "ACCEPT 1": { type: "ACCEPT", transfer: 1 },
  "ACCEPT 2": { type: "ACCEPT", transfer: 2 },
  "DECLINE 1": { type: "DECLINE", transfer: 1, code: "REFUSED", message: "no" },
  "HAVE 1": { type: "HAVE", file: 1, bytes: 0, sha256: HASH },
  "HAVE 2": { type: "HAVE", file: 2, bytes: LARGE, sha256: HASH },
  "HAVE 2, too much": { type: "HAVE", file: 2, bytes: LARGE + 1, sha256: HASH },
  "STORED 1": { type: "STORED", file: 1 },
  "STORED 2": { type: "STORED", file: 2 },
  "STORED 3": { type: "STORED", file: 3 },
  "FAILED 1": { type: "FAILED", file: 1, code: "STORAGE", message: "full" },
  "FAILED 2": { type: "FAILED", file: 2, code: "STORAGE", message: "full" },
  "FAILED 3": { type: "FAILED", file: 3, code: "STORAGE", message: "full" },
  "CANCEL 1": { type: "CANCEL", transfer: 1, side: "receiver", message: "stop" },
  "CANCEL 2": { type: "CANCEL", transfer: 2, side: "receiver", message: "stop" },
  "CANCEL 1 by us": { type: "CANCEL", transfer: 1, side: "sender", message: "stop" },
};

/** See {@link checkRow}. The last two states hear of transfer 1 late. */
const TABLE: Readonly<Record<string, string>> = {
  //                   idle offered between asking told inside done | cancelled, offered again
  "ACCEPT 1": /*     */ "- between - - - - - skip skip",
  "ACCEPT 2": /*     */ "- - - - - - - - between",
  "DECLINE 1": /*    */ "- idle - - - - - skip skip",
  "HAVE 1": /*       */ "- - - - - - - skip skip",
  "HAVE 2": /*       */ "- - - told - - - skip skip",
  "HAVE 2, too much": "- - - - - - - skip skip",
  "STORED 1": /*     */ "- - . . . . idle skip skip",
  "STORED 2": /*     */ "- - - - - - - skip skip",
  "STORED 3": /*     */ "- - - - - - - skip skip",
  "FAILED 1": /*     */ "- - . . . . idle skip skip",
  "FAILED 2": /*     */ "- - - between between between - skip skip",
  "FAILED 3": /*     */ "- - - - - - - skip skip",
  "CANCEL 1": /*     */ "- idle idle idle idle idle idle skip skip",
  "CANCEL 2": /*     */ "- - - - - - - - idle",
  "CANCEL 1 by us": /**/ "- - - - - - - - -",
};

for (const [name, row] of Object.entries(TABLE)) {
  test(`OutgoingFiles takes ${name} in every state, or says that it may not come`, () => {
    const message = MESSAGES[name];
    assert.ok(message);
    checkRow(row, { states: STATES, take: (files) => files.receive(message) !== undefined });
  });
}

test("OutgoingFiles counts what is told, and says what it means", () => {
  const files = made("asking");
  assert.deepEqual(files.receive({ type: "HAVE", file: 2, bytes: 100, sha256: HASH }), {
    type: "have",
    file: 2,
    bytes: 100,
    sha256: HASH,
  });
  assert.deepEqual(files.from(100), { type: "FROM", file: 2, offset: 100 });
  assert.equal(files.bytes(LARGE - 100), 2);
  assert.deepEqual(files.end(HASH), {
    type: "FILE_END",
    file: 2,
    path: ["a"],
    size: LARGE,
    sha256: HASH,
  });
  assert.deepEqual(files.begin(described(0, "folder")), {
    type: "FILE",
    file: 3,
    ...described(0, "folder"),
  });
  assert.equal(files.state, "between", "a folder has no end");
  assert.deepEqual(files.done(), { type: "DONE", transfer: 1 });
  assert.equal(files.unanswered, 3);
  for (const file of [3, 1, 2]) {
    assert.equal(files.state, "done");
    files.receive({ type: "STORED", file });
  }
  assert.equal(files.state, "idle");
  assert.deepEqual(files.offer({ name: "b", files: 1, bytes: 0 }), {
    type: "OFFER",
    transfer: 2,
    name: "b",
    files: 1,
    bytes: 0,
  });
});

test("OutgoingFiles may begin anew where the receiver has something else", () => {
  const files = made("told");
  assert.deepEqual(files.from(0), { type: "FROM", file: 2, offset: 0 });
});

/** What the program must not do, by its state. */
const DEMANDS: Readonly<Record<string, (files: OutgoingFiles) => unknown>> = {
  offer: (files) => files.offer({ name: "x", files: 1, bytes: 1 }),
  begin: (files) => files.begin(described(1)),
  from: (files) => files.from(0),
  bytes: (files) => files.bytes(1),
  end: (files) => files.end(HASH),
  done: (files) => files.done(),
};
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  idle: ["offer"],
  between: ["begin", "done"],
  told: ["from"],
  inside: ["bytes", "end"],
};

test("OutgoingFiles lets the program do only what fits its state", () => {
  checkDemands(DEMANDS, { states: STATES, allowed: ALLOWED });
});

test("OutgoingFiles sends no more than was offered, announced and had", () => {
  const files = accepted();
  const refused = { kind: "internal" };
  assert.throws(() => files.begin(described(LARGE + 31)), refused);
  const few = new OutgoingFiles();
  few.offer({ name: "a", files: 1, bytes: 10 });
  few.receive({ type: "ACCEPT", transfer: 1 });
  few.begin(described(5));
  few.from(0);
  assert.throws(() => few.bytes(6), refused);
  few.end(HASH);
  assert.throws(() => few.begin(described(0)), refused);
  assert.throws(() => made("told").from(99), refused);
});

test("OutgoingFiles cancels what is under way, once", () => {
  for (const state of Object.keys(STATES)) {
    const files = made(state);
    const isIdle = files.state === "idle";
    const cancel = files.cancel("enough");
    if (isIdle) assert.equal(cancel, undefined);
    else {
      assert.deepEqual(cancel, {
        type: "CANCEL",
        transfer: files.transfer,
        side: "sender",
        message: "enough",
      });
    }
    assert.equal(files.state, "idle");
    assert.equal(files.cancel("enough"), undefined);
  }
});
