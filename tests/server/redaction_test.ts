/** What becomes of a log that is redacted, or half redacted, where it is read, backed up and opened. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { type Bytes, copyBytes } from "../../lib/base/bytes.ts";
import type { Entry } from "../../lib/log/entry.ts";
import { redactRecord } from "../../lib/log/records.ts";
import { encodeRedaction, type RedactedRecord } from "../../lib/log/redaction.ts";
import { backUp } from "../../lib/server/backup.ts";
import { verifyBackup } from "../../lib/server/backup_reader.ts";
import { defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { loadRoot } from "../../lib/server/log_key.ts";
import { openLog } from "../../lib/server/open_log.ts";
import type { DurableLog } from "../../lib/server/ports.ts";
import { restore } from "../../lib/server/restore.ts";
import { type Verified, verifyFolder } from "../../lib/server/verify.ts";
import { diskFiles } from "../../lib/store/disk.ts";
import type { LogIndex } from "../../lib/store/log_index.ts";
import { entriesToRedact } from "../../lib/store/accounts.ts";
import {
  forge,
  freshPath,
  grow,
  makeDataFolder,
  PASSPHRASE,
  removeFolders,
} from "./data_folder.ts";

after(removeFolders);

const SEGMENT = "log/000000000000.log";
const INTENT = "log/redact";
/** The entry that registers carol, whom the snapshot does not know. */
const CAROL = 7;
const SECRET = "r-carol";

function verify(folder: string): Promise<Verified> {
  return verifyFolder({
    files: diskFiles,
    paths: serverFiles(folder),
    witness: defaultWitness(folder),
  });
}

/** Findings as text, with paths from the folder on. */
function shown(folder: string, { findings }: Verified): readonly string[] {
  return findings.map(({ severity, where, what }) =>
    `${severity} ${relative(folder, where)}: ${what}`
  );
}

const segmentOf = (folder: string): Bytes => copyBytes(fs.readFileSync(join(folder, SEGMENT)));

function holds(path: string, text: string): boolean {
  return fs.readFileSync(path).includes(text);
}

/** The record of an entry, redacted, and its place. */
function redactedAt(folder: string, index: number, log: LogIndex): RedactedRecord {
  const { segment, offset } = log.placeOf(index);
  return { index, segment, offset, record: redactRecord(segmentOf(folder).subarray(offset)) };
}

/** A folder whose server died when it was redacting carol, so many bytes of the record further. */
async function makeBegun({ isDone = 0 } = {}) {
  const folder = makeDataFolder();
  const { log: { index } } = await verify(folder);
  const carol = redactedAt(folder, CAROL, index);
  fs.writeFileSync(join(folder, INTENT), encodeRedaction([carol]));
  const half = segmentOf(folder);
  half.set(carol.record.subarray(0, Math.floor(isDone * carol.record.length)), carol.offset);
  fs.writeFileSync(join(folder, SEGMENT), half);
  return { folder, carol, index };
}

function open(folder: string) {
  const files = serverFiles(folder);
  return openLog({
    files,
    root: loadRoot(files),
    domain: "pki.internal",
    passphrase: PASSPHRASE,
    witness: defaultWitness(folder),
    acceptsLoss: false,
    nowMs: Date.now(),
    warn: (text) => assert.fail(text),
  });
}

async function redact(folder: string, entries: readonly number[]): Promise<void> {
  const { log, state } = await open(folder);
  await log.redact(entries);
  await log.close();
  state.close();
}

const NOTE =
  "note log/redact: a crash kept entries from being redacted (1); the next start does it";

test("verifyFolder() finds nothing in a log that was redacted", async () => {
  const folder = makeDataFolder();
  const before = await verify(folder);
  assert.ok(holds(join(folder, SEGMENT), SECRET));
  await redact(folder, [CAROL]);
  assert.ok(!holds(join(folder, SEGMENT), SECRET));
  const then = await verify(folder);
  assert.deepEqual(shown(folder, then), []);
  assert.deepEqual(then.log.index.tree.root(), before.log.index.tree.root());
});

test("verifyFolder() reads a redaction that was begun as if it were done, and changes nothing", async () => {
  for (const isDone of [0, 0.3, 0.9, 1]) {
    const { folder, index } = await makeBegun({ isDone });
    const before = segmentOf(folder);
    const verified = await verify(folder);
    assert.deepEqual(shown(folder, verified), [NOTE]);
    assert.deepEqual(verified.log.index.tree.root(), index.tree.root());
    assert.deepEqual(segmentOf(folder), before);
    assert.ok(fs.existsSync(join(folder, INTENT)));
  }
});

test("openLog() finishes a redaction that was begun, and the server goes on", async () => {
  const { folder } = await makeBegun({ isDone: 0.5 });
  await grow(folder, ["dave"]);
  assert.ok(!fs.existsSync(join(folder, INTENT)));
  assert.ok(!holds(join(folder, SEGMENT), SECRET));
  assert.deepEqual(shown(folder, await verify(folder)), []);
});

type Begun = Awaited<ReturnType<typeof makeBegun>>;

/** Redactions that must not be done, and what is said of each. */
const BAD: readonly {
  readonly name: string;
  readonly intent: (begun: Begun) => Uint8Array;
  readonly says: RegExp;
  /** Where it is of no meaning for what is backed up. */
  readonly isBackedUp?: boolean;
}[] = [
  { name: "empty", intent: () => new Uint8Array(), says: /^it has 0 bytes$/ },
  {
    name: "damaged",
    intent: ({ carol }) => encodeRedaction([carol]).with(40, 0x55),
    says: /^it is damaged$/,
  },
  {
    name: "of another log",
    intent: ({ carol }) => encodeRedaction([{ ...carol, offset: carol.offset - 3 }]),
    says: /^entry 7 at byte \d+ of segment 0: another record is there$/,
  },
  {
    name: "of an entry that is not there",
    intent: ({ carol }) => encodeRedaction([{ ...carol, index: 99, offset: 90_000_000 }]),
    says: /^entry 99 is not in the log, which has 10$/,
    isBackedUp: true,
  },
  {
    name: "of another entry",
    intent: ({ carol }) => encodeRedaction([{ ...carol, index: 4 }]),
    says: /^entry 4 at byte \d+ of segment 0: that is not its place$/,
    isBackedUp: true,
  },
];

for (const { name, intent, says, isBackedUp = false } of BAD) {
  test(`a redaction that is ${name} is named by verifyFolder(), openLog() and backUp(), and not done`, async () => {
    const begun = await makeBegun();
    const { folder } = begun;
    fs.writeFileSync(join(folder, INTENT), intent(begun));
    const before = segmentOf(folder);
    const [line = "", ...more] = shown(folder, await verify(folder));
    assert.deepEqual(more, []);
    assert.match(line, /^error log\/redact: /);
    assert.match(line.slice("error log/redact: ".length), says);
    await assert.rejects(open(folder), (error: Error & { kind?: string; hint?: string }) => {
      assert.equal(error.kind, "storage");
      assert.match(error.hint ?? "", /^nothing was changed; without this file/);
      const [, why = ""] = /^cannot use ".*redact": (.*)$/.exec(error.message) ?? [];
      assert.match(why, says);
      return true;
    });
    const path = freshPath("b.backup");
    const backedUp = back(folder, path);
    if (isBackedUp) assert.deepEqual((await backedUp).verified.findings, []);
    else await assert.rejects(backedUp, { kind: "storage", message: /redact": .*/ });
    assert.equal(fs.existsSync(path), isBackedUp);
    assert.deepEqual(segmentOf(folder), before);
    fs.rmSync(join(folder, INTENT)); // as the hint says
    assert.deepEqual(shown(folder, await verify(folder)), []);
  });
}

// Snapshots that are older than a redaction

/** The entry that registers alice, whom the snapshot knows. */
const ALICE = 1;

test("verifyFolder() takes no redacted account in the snapshot for an error, and every other one", async () => {
  const folder = makeDataFolder();
  const snapshot = join(folder, "state.db");
  await redact(folder, [ALICE]);
  const note = "note state.db: it has private parts of 1 entries that were redacted since; " +
    "the next start makes another";
  assert.deepEqual(shown(folder, await verify(folder)), [note]);
  const whole = fs.readFileSync(snapshot);
  const rows: readonly { sql: string; table: string }[] = [
    { sql: "INSERT INTO accounts (id) VALUES ('eve')", table: "accounts" },
    { sql: "INSERT INTO account_entries VALUES (2, 'alice')", table: "accounts" },
    { sql: "INSERT INTO account_entries VALUES (2, 'alice')", table: "account_entries" },
    { sql: "INSERT INTO account_entries VALUES (3, 'eve')", table: "account_entries" },
    { sql: "DELETE FROM accounts WHERE id = 'bob'", table: "accounts" },
    { sql: "UPDATE accounts SET record = 'x' WHERE id = 'bob'", table: "accounts" },
    { sql: "UPDATE accounts SET deleted_ms = 1 WHERE id = 'alice'", table: "accounts" },
    { sql: "INSERT INTO invitations VALUES (3, 'x', NULL, 0, 1, 1, 1, 1)", table: "invitations" },
  ];
  for (const { sql, table } of rows) {
    forge(snapshot, sql);
    const lines = shown(folder, await verify(folder));
    const wanted = new RegExp(`^error state.db: table "${table}" is not what the log adds up to`);
    assert.ok(lines.some((line) => wanted.test(line)), `${sql}: ${lines}`);
    fs.writeFileSync(snapshot, whole);
  }
});

/** Has alice deleted, as the directory does it. */
async function deleteAlice(folder: string, { log, state }: Awaited<ReturnType<typeof open>>) {
  const deleted: Entry = {
    type: "deleted",
    timeMs: 5,
    public: {},
    private: { id: "alice" },
    salt: new Uint8Array(32),
  };
  state.apply(deleted, (await log.append(deleted)).index);
  await log.redact([ALICE]);
  await log.close();
  fs.rmSync(join(folder, "certs/alice.pem"));
}

test("verifyFolder() and restore() know that a deleted account has no copy of its certificate", async () => {
  const folder = makeDataFolder();
  const copy = join(folder, "certs/alice.pem");
  const pem = fs.readFileSync(copy);
  const opened = await open(folder);
  await deleteAlice(folder, opened);
  opened.state.close();
  fs.rmSync(join(folder, "state.db"));
  const whole = ["note state.db: it is missing"];
  assert.deepEqual(shown(folder, await verify(folder)).filter((line) => !whole.includes(line)), []);
  const path = freshPath("b.backup");
  await back(folder, path);
  const made = freshPath("data");
  await restore(path, { folder: made, witness: defaultWitness(made) });
  assert.deepEqual(fs.readdirSync(join(made, "certs")).sort(), ["bob.pem", "carol.pem"]);
  fs.writeFileSync(copy, pem);
  assert.deepEqual(shown(folder, await verify(folder)), [
    "note certs/alice.pem: its account was deleted; it can be removed",
  ]);
});

test("a start with a snapshot that is older than a redaction has what the log adds up to", async () => {
  const folder = makeDataFolder();
  const opened = await open(folder);
  const { state } = opened;
  await deleteAlice(folder, opened);
  const rows = ({ database }: typeof state, table: string) =>
    database.query(`SELECT * FROM ${table}`).values();
  const known = await open(folder);
  assert.ok(known.snapshotSize > ALICE);
  assert.deepEqual(entriesToRedact(known.state.database), [ALICE], "so the next snapshot forgets");
  fs.rmSync(join(folder, "state.db"));
  await known.log.close();
  const anew = await open(folder);
  assert.equal(anew.snapshotSize, 0);
  for (const table of ["accounts", "certificates", "published", "invitations"]) {
    assert.deepEqual(rows(anew.state, table), rows(state, table));
    assert.deepEqual(rows(known.state, table), rows(state, table));
  }
  await anew.log.close();
  for (const one of [state, known.state, anew.state]) one.close();
});

// Backups

function back(folder: string, path: string, askDurable = noServer): ReturnType<typeof backUp> {
  return backUp(path, { folder, version: "0.0.0", nowMs: 0, replaces: false, askDurable });
}

const noServer = (): Promise<DurableLog | undefined> => Promise.resolve(undefined);

test("backUp() has redacted what a crash kept from being it, and what is restored is whole", async () => {
  for (const isDone of [0, 0.5]) {
    const { folder, index } = await makeBegun({ isDone });
    const before = segmentOf(folder);
    const path = freshPath("b.backup");
    await back(folder, path);
    assert.deepEqual(segmentOf(folder), before);
    assert.ok(!holds(path, SECRET));
    const { verified } = await verifyBackup(path);
    assert.deepEqual(verified.findings, []);
    assert.deepEqual(verified.log.index.tree.root(), index.tree.root());
    const made = freshPath("data");
    await restore(path, { folder: made, witness: defaultWitness(made) });
    assert.deepEqual(fs.readdirSync(join(made, "log")).sort(), ["000000000000.log", "checkpoint"]);
    assert.deepEqual(shown(made, await verify(made)), []);
  }
});

test("backUp() redacts a record across the portions that it reads", async () => {
  const { folder } = await makeBegun();
  const path = freshPath("b.backup");
  // A log of some MiB, in which every portion ends within a record.
  const { log, state } = await open(folder);
  const entries: number[] = [];
  for (let n = 0; n < 8; n++) {
    const { index } = await log.append({
      type: "restarted",
      timeMs: n,
      public: { key: `k${n}` },
      private: { loss: `hidden ${n} `.repeat(40_000) },
      salt: new Uint8Array(32).fill(n),
    });
    entries.push(index);
  }
  await log.close();
  state.close();
  const { log: { index } } = await verify(folder);
  const redaction = entries.map((entry) => redactedAt(folder, entry, index));
  fs.writeFileSync(join(folder, INTENT), encodeRedaction(redaction));
  await back(folder, path);
  assert.ok(!holds(path, "hidden "));
  assert.deepEqual((await verifyBackup(path)).verified.findings, []);
});

/** What a running server says, and what happens each time before it does. */
function serverOf(folder: string, { log: { index } }: Verified, events: (() => void)[]) {
  const [note = ""] = fs.readFileSync(join(folder, "log/checkpoint"), "utf8").split("\n\n\n");
  const checkpoint = note.trimEnd() + "\n";
  let redactions = 5;
  const asked: number[] = [];
  const askDurable = (): Promise<DurableLog> => {
    const event = events.shift();
    if (event) redactions++;
    event?.();
    asked.push(redactions);
    return Promise.resolve({ checkpoint, size: index.size, segments: index.segments, redactions });
  };
  return { askDurable, asked };
}

test("backUp() reads the log again when it was redacted meanwhile, and gives up when that goes on", async () => {
  const { folder, carol } = await makeBegun();
  const verified = await verify(folder);
  fs.rmSync(join(folder, INTENT));
  const whole = segmentOf(folder);
  const write = (bytes: number) => {
    const half = new Uint8Array(whole);
    half.set(carol.record.subarray(0, bytes), carol.offset);
    fs.writeFileSync(join(folder, SEGMENT), half);
  };
  // Half written over when it is read, and done when the server is asked again.
  const { askDurable, asked } = serverOf(folder, verified, [
    () => write(60),
    () => write(carol.record.length),
  ]);
  const path = freshPath("b.backup");
  await back(folder, path, askDurable);
  assert.deepEqual(asked, [6, 7, 7, 7]);
  assert.ok(!holds(path, SECRET));
  const busy = serverOf(folder, verified, Array.from({ length: 6 }, () => () => {}));
  const other = freshPath("b.backup");
  await assert.rejects(back(folder, other, busy.askDurable), {
    kind: "busy",
    message: /its log was redacted all the time$/,
  });
  assert.equal(busy.asked.length, 6);
  assert.deepEqual(fs.readdirSync(join(other, "..")), []);
});

test("verifyFolder() reads again what a running server was redacting, and nothing else", async () => {
  const { folder, carol } = await makeBegun();
  const before = await verify(folder);
  fs.rmSync(join(folder, INTENT));
  const whole = segmentOf(folder);
  const half = new Uint8Array(whole);
  half.set(carol.record.subarray(0, 60), carol.offset);
  fs.writeFileSync(join(folder, SEGMENT), half);
  const look = (askDurable: () => Promise<DurableLog>) =>
    verifyFolder({ files: diskFiles, paths: serverFiles(folder), askDurable });
  const finish = () => {
    half.set(carol.record, carol.offset);
    fs.writeFileSync(join(folder, SEGMENT), half);
  };
  const redacting = serverOf(folder, before, [() => {}, finish]);
  assert.deepEqual(shown(folder, await look(redacting.askDurable)), []);
  assert.deepEqual(redacting.asked, [6, 7, 7]);
  fs.writeFileSync(join(folder, SEGMENT), whole.with(carol.offset + 9, 0));
  const damaged = serverOf(folder, before, []);
  const lines = shown(folder, await look(damaged.askDurable));
  assert.ok(
    lines.some((line) => /record 7 at byte \d+ fails its checksum/.test(line)),
    String(lines),
  );
  assert.deepEqual(damaged.asked, [5, 5]);
});
