import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { type Entry, redactEntry } from "../../lib/log/entry.ts";
import { encodeRecord } from "../../lib/log/records.ts";
import { encodeVerifierKey, parseVerifierKey } from "../../lib/log/note.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { replaceFile } from "../../lib/store/disk.ts";
import {
  checkpointPath,
  type OpenOptions,
  openState,
  type StatePaths,
} from "../../lib/store/open_state.ts";
import type { SignedLog } from "../../lib/store/signed_log.ts";
import { encodeSnapshot } from "../../lib/store/snapshot.ts";
import { startLog } from "../../lib/store/start_log.ts";
import type { State } from "../../lib/store/state.ts";
import type { LogIndex } from "../../lib/store/log_index.ts";
import { FakeFiles } from "../fakes/files.ts";

await loadSqlite();

const PATHS = { log: "/data/log", snapshot: "/data/state.db", witness: "/witness" };
const CHECKPOINT = checkpointPath(PATHS.log);
const LOG_FILE = `${PATHS.log}/000000000000.log`;

/** A log's key of some generation. */
function makeSigner(generation: number) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const origin = `pki.test/0123456789abcdef/${generation}`;
  return { key: privateKey, verifier: parseVerifierKey(encodeVerifierKey(origin, publicKey)) };
}

const SIGNER = makeSigner(1);

function registered(id: string): Entry {
  return {
    type: "registered",
    timeMs: 1,
    public: {},
    private: { id, credential: `c-${id}`, record: `r-${id}` },
    salt: new Uint8Array(32).fill(5),
  };
}

interface Opened {
  readonly state: State;
  readonly index: LogIndex;
  readonly log: SignedLog;
  readonly warnings: readonly string[];
  readonly loss: string | undefined;
  readonly snapshotSize: number;
}

interface Options extends Partial<Omit<OpenOptions, "paths">> {
  readonly paths?: StatePaths;
  readonly signer?: ReturnType<typeof makeSigner>;
}

async function open(files: FakeFiles, options: Options = {}): Promise<Opened> {
  const { signer = SIGNER, paths = PATHS } = options;
  const opened = await openState({
    ...{ files, paths, verifier: signer.verifier, hasServed: false, acceptsLoss: false },
    ...options,
  });
  const log = await startLog(opened, { files, paths, signer, warn: assert.fail });
  return { ...opened, log };
}

async function add({ log, state }: Opened, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const { index } = await log.append(registered(id));
    state.apply(registered(id), index);
  }
}

/** Ends as the server does, with a snapshot; or as a server that was killed, without. */
async function end(opened: Opened, files?: FakeFiles): Promise<void> {
  await opened.log.close();
  if (files) await replaceFile(files, PATHS.snapshot, encodeSnapshot(opened));
  opened.state.close();
}

const knownTo = ({ state }: Opened) =>
  ["alice", "bob", "carol", "dave"].filter((id) => state.account(id)?.record === `r-${id}`);

/** What was opened, closed again. */
async function look(files: FakeFiles, options: Options = {}) {
  const opened = await open(files, options);
  const { warnings, loss, snapshotSize } = opened;
  const known = knownTo(opened);
  await end(opened);
  return { known, warnings, loss, snapshotSize };
}

/** A log of alice and bob with a snapshot; then carol, whom the snapshot does not know. */
async function filled(): Promise<FakeFiles> {
  const files = new FakeFiles();
  const first = await open(files);
  await add(first, "alice", "bob");
  await end(first, files);
  const second = await open(files);
  await add(second, "carol");
  await end(second);
  return files;
}

const contentOf = (files: FakeFiles, path: string) => {
  const content = files.content(path);
  assert.ok(content, `there is no ${path}`);
  return content;
};

const notUsed = (why: string) => [
  `the snapshot "${PATHS.snapshot}" is not used: ${why}; everything is read from the log`,
];

const EVERYBODY = ["alice", "bob", "carol"];
const WHOLE = { known: EVERYBODY, warnings: [], loss: undefined };

async function refusalOf(promise: Promise<unknown>): Promise<PkiError> {
  const error: unknown = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof PkiError, `refused with ${error}`);
  assert.equal(error.kind, "storage");
  assert.ok(error.hint);
  return error;
}

test("openState() of nothing is an empty log, and changes nothing by itself", async () => {
  const files = new FakeFiles();
  const opened = await openState({
    ...{ files, paths: PATHS, verifier: SIGNER.verifier, hasServed: false, acceptsLoss: false },
  });
  assert.deepEqual([opened.index.size, opened.warnings, opened.loss], [0, [], undefined]);
  assert.deepEqual(files.paths(), []);
  opened.state.close();
  assert.deepEqual(await look(files), { ...WHOLE, known: [], snapshotSize: 0 });
});

test("openState() loads the snapshot and replays what is behind it", async () => {
  const files = await filled();
  assert.deepEqual(await look(files), { ...WHOLE, snapshotSize: 2 });
  await end(await open(files), files);
  assert.deepEqual(await look(files), { ...WHOLE, snapshotSize: 3 });
  files.uproot(PATHS.snapshot);
  assert.deepEqual(await look(files), { ...WHOLE, snapshotSize: 0 });
});

test("openState() takes what the snapshot says, and does not replay it too", async () => {
  const files = await filled();
  const opened = await open(files);
  opened.state.database.run(
    "UPDATE accounts SET record = 'r-dave', id = 'dave' WHERE id = 'alice'",
  );
  await end(opened, files);
  assert.deepEqual((await look(files)).known, ["bob", "carol", "dave"]);
});

test("openState() does not believe the snapshot of another log", async () => {
  const files = await filled();
  const others = new FakeFiles();
  const other = await open(others);
  await add(other, "dave", "bob");
  await end(other, others);
  files.plant(PATHS.snapshot, contentOf(others, PATHS.snapshot));
  assert.deepEqual(await look(files), {
    ...WHOLE,
    warnings: notUsed("it is of another log"),
    snapshotSize: 0,
  });
});

const SPOILED: readonly (readonly [
  what: string,
  spoil: (bytes: Uint8Array) => Uint8Array,
  why: string,
])[] = [
  ["is empty", () => new Uint8Array(), "it has no seal"],
  ["is text", () => utf8("no snapshot".repeat(100)), "it has no seal"],
  ["is half of it", (bytes) => bytes.subarray(0, bytes.length / 2), "it has no seal"],
  ["has no seal", (bytes) => bytes.subarray(0, -49), "it has no seal"],
  ["has a bit flipped in its seal", (bytes) => flip(bytes, bytes.length - 1), "it is damaged"],
  ["has a bit flipped in its header", (bytes) => flip(bytes, 5), "it is damaged"],
  ["has a bit flipped in a row", (bytes) => flip(bytes, bytes.length - 500), "it is damaged"],
  [
    "is of version 1",
    () => fs.readFileSync(new URL("../../testdata/data-v1/state.db", import.meta.url)),
    "it is of an earlier version of pki",
  ],
];

function flip(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.with(at, (bytes[at] ?? 0) ^ 4);
}

for (const [what, spoil, why] of SPOILED) {
  test(`openState() rebuilds everything from the log when the snapshot ${what}`, async () => {
    const files = await filled();
    files.plant(PATHS.snapshot, spoil(contentOf(files, PATHS.snapshot)));
    assert.deepEqual(await look(files), { ...WHOLE, warnings: notUsed(why), snapshotSize: 0 });
  });
}

test("openState() rebuilds everything when the snapshot is of a newer schema", async () => {
  const files = await filled();
  const opened = await open(files);
  opened.state.database.run("PRAGMA user_version = 1000");
  await end(opened, files);
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.match(warnings[0] ?? "", /is not used: .* of a newer version of pki/);
});

test("the snapshot is an SQLite file that says where it stands", async () => {
  const files = await filled();
  const file = contentOf(files, PATHS.snapshot);
  const database = Database.deserialize(file);
  assert.deepEqual(database.query("PRAGMA integrity_check").values(), [["ok"]]);
  assert.deepEqual(
    database.query("SELECT value FROM meta WHERE key = 'log_size'").values(),
    [["2"]],
  );
  database.close();
});

// What somebody remembers.

/** The log without its last entry, as after a restored backup. */
function forget(files: FakeFiles): void {
  const log = contentOf(files, LOG_FILE);
  files.plant(LOG_FILE, log.subarray(0, log.length - encodeRecord(registered("carol")).length));
}

test("openState() refuses a log that is behind the checkpoint beside it, or the witness", async () => {
  for (const remaining of [CHECKPOINT, PATHS.witness]) {
    const files = await filled();
    forget(files);
    for (const path of [CHECKPOINT, PATHS.witness]) if (path !== remaining) files.uproot(path);
    const before = files.paths().map((path) => [path, files.content(path)]);
    const error = await refusalOf(open(files));
    assert.equal(
      error.message,
      `the log has lost entries: the log has 2 entries, and it had 3 before ("${remaining}")`,
    );
    assert.match(error.hint ?? "", /pki restore.*--accept-loss/);
    assert.deepEqual(files.paths().map((path) => [path, files.content(path)]), before);
  }
});

test("openState() takes damage to the last record for a loss, not for a torn write", async () => {
  const files = await filled();
  const log = contentOf(files, LOG_FILE);
  files.plant(LOG_FILE, flip(log, log.length - 3));
  await refusalOf(open(files));
  assert.equal(contentOf(files, LOG_FILE).length, log.length, "nothing is cut");
});

test("openState() refuses a log that went another way than its checkpoint", async () => {
  const files = await filled();
  forget(files);
  files.plant(
    LOG_FILE,
    new Uint8Array([...contentOf(files, LOG_FILE), ...encodeRecord(registered("dave"))]),
  );
  const { message } = await refusalOf(open(files));
  assert.match(message, /the first 3 entries of the log are not those that it had before/);
});

test("openState() refuses a log that the snapshot is ahead of", async () => {
  const files = await filled();
  await end(await open(files), files);
  forget(files);
  files.uproot(CHECKPOINT);
  files.uproot(PATHS.witness);
  const { message } = await refusalOf(open(files));
  assert.match(message, /lost entries: it has 2 entries, the snapshot knows of 3/);
});

test("openState() refuses an empty log where a server has served, and only there", async () => {
  const files = new FakeFiles();
  assert.match(
    (await refusalOf(open(files, { hasServed: true }))).message,
    /the log is missing or empty/,
  );
  assert.deepEqual((await look(files)).known, []);
});

test("openState() refuses a folder from before the log was started anew", async () => {
  const files = await filled();
  const later = makeSigner(2);
  const opened = await open(files, { signer: later });
  await end(opened);
  const { message } = await refusalOf(open(files));
  assert.match(message, /it was started anew as pki\.test\/0123456789abcdef\/2 after this copy/);
});

test("openState() goes on with a loss where that is accepted, and says which", async () => {
  const files = await filled();
  forget(files);
  const { loss, known } = await look(files, { acceptsLoss: true });
  assert.match(loss ?? "", /^the log has 2 entries, and it had 3 before/);
  assert.deepEqual(known, ["alice", "bob"]);
});

test("openState() finds no loss where there is none, whether it were accepted or not", async () => {
  assert.equal((await look(await filled(), { acceptsLoss: true })).loss, undefined);
});

test("openState() believes no checkpoint that the log's key has not signed", async () => {
  const files = await filled();
  const others = new FakeFiles();
  const other = await open(others, { signer: makeSigner(1) });
  await add(other, "alice", "bob", "carol", "dave");
  await end(other);
  for (const path of [CHECKPOINT, PATHS.witness]) files.plant(path, contentOf(others, path));
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.deepEqual(
    warnings,
    [CHECKPOINT, PATHS.witness].map((path) =>
      `"${path}" held no checkpoint of this log; it is written anew`
    ),
  );
});

test("openState() reads the slot that is whole when the other one is torn", async () => {
  for (const slot of [0, 1]) {
    const files = await filled();
    files.uproot(PATHS.witness);
    const opened = await open(files);
    await add(opened, "dave");
    await end(opened);
    const notes = contentOf(files, CHECKPOINT);
    files.plant(CHECKPOINT, flip(notes, slot * 2048 + 60));
    assert.deepEqual((await look(files)).known, [...EVERYBODY, "dave"]);
    // The other slot still stands for the log without the last entry, or with it.
    files.plant(CHECKPOINT, flip(notes, slot * 2048 + 60));
    forget(files);
    forget(files);
    await refusalOf(open(files));
  }
});

test("openState() cuts a torn tail, with a warning", async () => {
  const files = await filled();
  files.plant(LOG_FILE, new Uint8Array([...contentOf(files, LOG_FILE), 0, 0, 1]));
  assert.deepEqual((await look(files)).warnings, [
    "the log ended in 3 bytes that were never acknowledged; they were cut off",
  ]);
  assert.deepEqual((await look(files)).warnings, []);
});

test("openState() leaves out what was redacted, and its place still counts", async () => {
  const files = await filled();
  const log = contentOf(files, LOG_FILE);
  const [whole, cut] = [registered("alice"), redactEntry(registered("alice"))].map(encodeRecord);
  assert.ok(whole && cut && whole.length === cut.length);
  files.plant(
    LOG_FILE,
    new Uint8Array([...log.subarray(0, 16), ...cut, ...log.subarray(16 + cut.length)]),
  );
  files.uproot(PATHS.snapshot);
  assert.deepEqual(await look(files), { ...WHOLE, known: ["bob", "carol"], snapshotSize: 0 });
});
