import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IncomingFiles, type SenderMessage } from "../../lib/protocol/incoming_files.ts";
import {
  OutgoingFiles,
  type ReceiverMessage,
  SMALL_FILE_BYTES_MAX,
} from "../../lib/protocol/outgoing_files.ts";
import {
  checkDemands,
  checkRow,
  described,
  HASH,
  LARGE,
  madeIn,
  type States,
} from "./file_states.ts";

const { path } = described(0);

const OFFER = { type: "OFFER", transfer: 1, name: "a", files: 3, bytes: LARGE + 10 } as const;
const fileOf = (file: number, size: number, kind: "file" | "folder" = "file") =>
  ({ type: "FILE", file, ...described(size, kind) }) as const;
const FILE_1 = fileOf(1, 10);
const FILE_2 = fileOf(2, LARGE);

/** A small file has come as file 1, and is not answered; then a large one, as file 2. */
const STATES: States<IncomingFiles> = {
  idle: () => new IncomingFiles(),
  offered: () => fed("idle", OFFER),
  between: () => {
    const files = accepted();
    files.receive(FILE_1);
    files.receive({ type: "FROM", file: 1, offset: 0 });
    files.bytes(1, 10);
    files.receive({ type: "FILE_END", file: 1, path, size: 10, sha256: HASH });
    return files;
  },
  asked: () => fed("between", FILE_2),
  told: () => {
    const files = made("asked");
    files.have(100, HASH);
    return files;
  },
  inside: () => {
    const files = fed("told", { type: "FROM", file: 2, offset: 100 });
    files.bytes(2, 50);
    return files;
  },
  dropped: () => {
    const files = made("inside");
    files.failed(2, "STORAGE", "full");
    return files;
  },
  done: () => fed("between", { type: "DONE", transfer: 1 }),
  skipping: () => {
    const files = made("inside");
    files.cancel("enough");
    return files;
  },
};

const made = (state: string) => madeIn(STATES, state);

function fed(state: string, message: SenderMessage): IncomingFiles {
  const files = made(state);
  files.receive(message);
  return files;
}

function accepted(): IncomingFiles {
  const files = made("offered");
  files.accept();
  return files;
}

const BYTES: Readonly<Record<string, readonly [file: number, count: number]>> = {
  "no bytes of 1": [1, 0],
  "no bytes of 2": [2, 0],
  "all bytes of 2": [2, LARGE - 150],
  "a byte too much of 2": [2, LARGE - 149],
};

const MESSAGES: Readonly<Record<string, SenderMessage>> = {
  "OFFER 1": OFFER,
  "OFFER 2": { ...OFFER, transfer: 2 },
  "FILE 1": FILE_1,
  "FILE 2": FILE_2,
  "FILE 3": fileOf(3, 0),
  "FILE 2, a folder": fileOf(2, 2 ** 40, "folder"),
  "FILE 2, too large": fileOf(2, LARGE + 1),
  "FROM 1": { type: "FROM", file: 1, offset: 0 },
  "FROM 2": { type: "FROM", file: 2, offset: 0 },
  "FROM 2 at 100": { type: "FROM", file: 2, offset: 100 },
  "FROM 2 at 99": { type: "FROM", file: 2, offset: 99 },
  "FILE_END 1": { type: "FILE_END", file: 1, path, size: 10, sha256: HASH },
  "FILE_END 2": { type: "FILE_END", file: 2, path, size: 150, sha256: HASH },
  "FILE_END 2, all of it": { type: "FILE_END", file: 2, path, size: LARGE, sha256: HASH },
  "FILE_END 2 as b": { type: "FILE_END", file: 2, path: ["b"], size: 150, sha256: HASH },
  "DONE 1": { type: "DONE", transfer: 1 },
  "DONE 2": { type: "DONE", transfer: 2 },
  "CANCEL 1": { type: "CANCEL", transfer: 1, side: "sender", message: "stop" },
  "CANCEL 2": { type: "CANCEL", transfer: 2, side: "sender", message: "stop" },
  "CANCEL 1 by us": { type: "CANCEL", transfer: 1, side: "receiver", message: "stop" },
};

/** See {@link checkRow}. */
const TABLE: Readonly<Record<string, string>> = {
  //                         idle offered between asked told inside dropped done skipping
  "OFFER 1": /*           */ "offered - - - - - - - -",
  "OFFER 2": /*           */ "- - - - - - - - offered",
  "FILE 1": /*            */ "- - - - - - - - skip",
  "FILE 2": /*            */ "- - asked - - - - - skip",
  "FILE 3": /*            */ "- - - - - - told - skip",
  "FILE 2, a folder": /*  */ "- - . - - - - - skip",
  "FILE 2, too large": /* */ "- - - - - - - - skip",
  "FROM 1": /*            */ "- - - - - - - - skip",
  "FROM 2": /*            */ "- - - - inside - skip - skip",
  "FROM 2 at 100": /*     */ "- - - - inside - skip - skip",
  "FROM 2 at 99": /*      */ "- - - - - - skip - skip",
  "FILE_END 1": /*        */ "- - - - - - - - skip",
  "FILE_END 2": /*        */ "- - - - - between skip - skip",
  "FILE_END 2, all of it": "- - - - - - skip - skip",
  "FILE_END 2 as b": /*   */ "- - - - - - skip - skip",
  "DONE 1": /*            */ "- - done - - - done - skip",
  "DONE 2": /*            */ "- - - - - - - - skip",
  "CANCEL 1": /*          */ "- idle idle idle idle idle idle idle skip",
  "CANCEL 2": /*          */ "- - - - - - - - -",
  "CANCEL 1 by us": /*    */ "- - - - - - - - -",
  "no bytes of 1": /*     */ "- - - - - - - - skip",
  "no bytes of 2": /*     */ "- - - - - . skip - skip",
  "all bytes of 2": /*    */ "- - - - - . skip - skip",
  "a byte too much of 2": "- - - - - - skip - skip",
};

for (const [name, row] of Object.entries(TABLE)) {
  test(`IncomingFiles takes ${name} in every state, or says that it may not come`, () => {
    const message = MESSAGES[name];
    const [file, count] = BYTES[name] ?? [];
    assert.ok(message ?? file);
    checkRow(row, {
      states: STATES,
      take: (files) =>
        message ? files.receive(message) !== undefined : files.bytes(file ?? 0, count ?? 0),
    });
  });
}

test("IncomingFiles says what the messages mean", () => {
  const files = made("idle");
  const { type: _, ...offer } = OFFER;
  assert.deepEqual(files.receive(OFFER), { type: "offered", offer });
  assert.deepEqual(files.accept(), { type: "ACCEPT", transfer: 1 });
  const { type: _type, file: _file, ...description } = FILE_1;
  assert.deepEqual(files.receive(FILE_1), { type: "begun", file: 1, description });
  assert.equal(files.unanswered, 1);
  assert.deepEqual(files.receive({ type: "FROM", file: 1, offset: 0 }), {
    type: "from",
    file: 1,
    offset: 0,
  });
  assert.equal(files.bytes(1, 4), true);
  assert.deepEqual(
    files.receive({ type: "FILE_END", file: 1, path, size: 4, sha256: HASH }),
    { type: "ended", file: 1, sha256: HASH, isWhole: false },
  );
  assert.deepEqual(files.failed(1, "CONFLICT", "it changed"), {
    type: "FAILED",
    file: 1,
    code: "CONFLICT",
    message: "it changed",
  });
  assert.deepEqual(files.receive({ type: "DONE", transfer: 1 }), { type: "done", files: 1 });
  assert.equal(files.state, "idle", "nothing is owed any more");
  assert.equal(
    files.receive({ type: "CANCEL", transfer: 1, side: "sender", message: "" }),
    undefined,
  );
});

test("IncomingFiles is over when the last answer was given, in any order", () => {
  const files = made("between");
  files.receive(fileOf(2, 0, "folder"));
  files.receive({ type: "DONE", transfer: 1 });
  assert.equal(files.state, "done");
  assert.deepEqual(files.stored(2), { type: "STORED", file: 2 });
  assert.equal(files.state, "done");
  files.stored(1);
  assert.equal(files.state, "idle");
});

test("IncomingFiles takes a file of 64 KiB without a word of what it has, and asks for more", () => {
  const files = accepted();
  files.receive(fileOf(1, SMALL_FILE_BYTES_MAX));
  assert.equal(files.state, "told");
  const larger = accepted();
  larger.receive(fileOf(1, SMALL_FILE_BYTES_MAX + 1));
  assert.equal(larger.state, "asked");
});

test("IncomingFiles adds up what was offered, and takes no file and no byte more", () => {
  const files = fed("idle", { ...OFFER, files: 2, bytes: 10 });
  files.accept();
  files.receive(fileOf(1, 7));
  files.failed(1, "STORAGE", "full");
  assert.throws(() => files.receive(fileOf(2, 4)), { kind: "protocol" });
  files.receive(fileOf(2, 3));
  files.failed(2, "STORAGE", "full");
  assert.throws(() => files.receive(fileOf(3, 0, "folder")), { kind: "protocol" });
});

/** What the program must not do, by its state. */
const DEMANDS: Readonly<Record<string, (files: IncomingFiles) => unknown>> = {
  accept: (files) => files.accept(),
  decline: (files) => files.decline("REFUSED", "no"),
  have: (files) => files.have(0, HASH),
  stored1: (files) => files.stored(1),
  stored2: (files) => files.stored(2),
  failed2: (files) => files.failed(2, "STORAGE", "full"),
};
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  offered: ["accept", "decline"],
  between: ["stored1"],
  asked: ["have", "stored1", "failed2"],
  told: ["stored1", "failed2"],
  inside: ["stored1", "failed2"],
  dropped: ["stored1"],
  done: ["stored1"],
};

test("IncomingFiles lets the program do only what fits its state", () => {
  checkDemands(DEMANDS, { states: STATES, allowed: ALLOWED });
  assert.throws(() => made("asked").have(LARGE + 1, HASH), { kind: "internal" });
});

test("both sides cancel at once, and the next transfer is not disturbed", () => {
  const sender = new OutgoingFiles();
  const receiver = new IncomingFiles();
  receiver.receive(sender.offer({ name: "a", files: 2, bytes: 20 }) as SenderMessage);
  sender.receive(receiver.accept() as ReceiverMessage);
  const begun = sender.begin({ path, kind: "file", size: 5, permissions: 0, modified: 0 });
  const fromSender = [begun, sender.cancel("no more")] as SenderMessage[];
  const fromReceiver = [receiver.cancel("enough")] as ReceiverMessage[];
  for (const message of fromSender) assert.equal(receiver.receive(message), undefined);
  for (const message of fromReceiver) assert.equal(sender.receive(message), undefined);
  const next = sender.offer({ name: "b", files: 1, bytes: 1 });
  assert.equal(receiver.receive(next as SenderMessage)?.type, "offered");
  assert.equal(sender.receive(receiver.accept() as ReceiverMessage)?.type, "accepted");
});

test("whatever a sender sends in whatever order, no more is written than was announced", () => {
  const messages = [...Object.values(MESSAGES), fileOf(1, 0, "folder"), fileOf(2, 3)];
  const step = fc.oneof(
    fc.constantFrom(...messages).map((message) => (files: IncomingFiles) => {
      const event = files.receive(message);
      if (event?.type === "offered") files.accept();
      if (event?.type === "begun" && files.state === "asked") files.have(0, HASH);
      return 0;
    }),
    fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(LARGE)).map(
      ([file, count]) => (files: IncomingFiles) => files.bytes(file, count) ? count : 0,
    ),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const files = new IncomingFiles();
      let written = 0;
      for (const take of steps) {
        const { state, transfer } = files;
        try {
          written += take(files);
        } catch (error) {
          assert.equal((error as { kind?: string }).kind, "protocol");
          assert.equal(files.state, state);
        }
        if (files.transfer !== transfer) written = 0;
        assert.ok(written <= OFFER.bytes, `${written} bytes`);
      }
    }),
    { seed: 6, numRuns: 500 },
  );
});

test("what was offered as one file comes under the name that somebody was asked about", () => {
  const one = { ...OFFER, files: 1 } as const;
  for (const path of [["b"], ["a", "b"], ["a"]]) {
    const files = fed("idle", one);
    files.accept();
    const begin = () => files.receive({ ...FILE_1, path });
    if (path.length === 1 && path[0] === "a") begin();
    else {
      assert.throws(begin, {
        kind: "protocol",
        message: "the peer broke the protocol: another file than the one offered",
      });
    }
  }
});
