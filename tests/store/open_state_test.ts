import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { concatBytes, sha256 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { type Entry, redactEntry, type StoredEntry } from "../../lib/log/entry.ts";
import { encodeVerifierKey, parseVerifierKey } from "../../lib/log/note.ts";
import { encodeRecord } from "../../lib/log/records.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { replaceFile } from "../../lib/store/disk.ts";
import { type OpenedState, openState, type StatePaths } from "../../lib/store/open_state.ts";
import type { LogSigner, SignedLog } from "../../lib/store/signed_log.ts";
import { encodeSnapshot } from "../../lib/store/snapshot.ts";
import { startLog } from "../../lib/store/start_log.ts";
import { FakeFiles } from "../fakes/files.ts";
import { FILE, logOf } from "./fixture.ts";

await loadSqlite();

const PATHS: StatePaths = {
  log: "/data/log",
  snapshot: "/data/state.db",
  witness: "/outside/witness",
};
const CHECKPOINT = "/data/log/checkpoint";

function signerOf(generation: number): LogSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const origin = `pki.test/0123456789abcdef/${generation}`;
  return { key: privateKey, verifier: parseVerifierKey(encodeVerifierKey(origin, publicKey)) };
}

const SIGNER = signerOf(1);

function registered(id: string): Entry {
  return {
    type: "registered",
    timeMs: 1,
    public: {},
    private: { id, credential: `c-${id}`, record: `r-${id}` },
    salt: new Uint8Array(32).fill(5),
  };
}

interface Options {
  readonly hasServed?: boolean;
  readonly acceptsLoss?: boolean;
  readonly signer?: LogSigner;
}

function open(
  files: FakeFiles,
  { hasServed = false, acceptsLoss = false, signer = SIGNER }: Options = {},
): Promise<OpenedState> {
  return openState({ files, paths: PATHS, verifier: signer.verifier, hasServed, acceptsLoss });
}

interface Running extends OpenedState {
  readonly log: SignedLog;
}

async function start(files: FakeFiles, options: Options = {}): Promise<Running> {
  const opened = await open(files, options);
  const signer = options.signer ?? SIGNER;
  const log = await startLog(opened, { files, paths: PATHS, signer, warn: assert.fail });
  return { ...opened, log };
}

async function add({ log, state }: Running, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const entry = registered(id);
    state.apply(entry, (await log.append(entry)).index);
  }
}

/** Ends as the server does, with a snapshot; or as a server that was killed, without. */
async function end(files: FakeFiles, running: Running, how: "snapshot" | "none") {
  if (how === "snapshot") await replaceFile(files, PATHS.snapshot, encodeSnapshot(running));
  await running.log.close();
  running.state.close();
}

/** A log of alice and bob with a snapshot; then carol, whom the snapshot does not know. */
async function filled(ids = ["alice", "bob"], behind = ["carol"]): Promise<FakeFiles> {
  const files = new FakeFiles();
  const first = await start(files);
  await add(first, ...ids);
  await end(files, first, "snapshot");
  const second = await start(files);
  await add(second, ...behind);
  await end(files, second, "none");
  return files.restart();
}

const EVERYBODY = ["alice", "bob", "carol"];

/** What is found, closed again without having been changed. */
async function look(files: FakeFiles, options: Options = {}) {
  const { state, reading, warnings, index, snapshotSize, loss } = await open(files, options);
  const known = ["alice", "bob", "carol", "dave"].filter((id) =>
    state.account(id)?.record === `r-${id}`
  );
  for (const file of reading.handles.values()) await file.close();
  state.close();
  assert.equal(files.openCount, 0);
  return { known, warnings, size: index.size, snapshotSize, loss };
}

async function refusal(files: FakeFiles, options: Options = {}): Promise<PkiError> {
  const before = files.paths().map((path) => files.content(path));
  const error: unknown = await open(files, options).then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof PkiError, String(error));
  assert.equal(error.kind, "storage");
  assert.ok(error.hint);
  assert.deepEqual(files.paths().map((path) => files.content(path)), before, "it was changed");
  assert.equal(files.openCount, 0);
  return error;
}

const notUsed = (why: string) => [
  `the snapshot "${PATHS.snapshot}" is not used: ${why}; everything is read from the log`,
];

test("openState() finds nothing in a new folder, and an empty log in the next", async () => {
  const files = new FakeFiles();
  const wanted = { known: [], warnings: [], size: 0, snapshotSize: 0, loss: undefined };
  assert.deepEqual(await look(files), wanted);
  await end(files, await start(files), "snapshot"); // of an empty log
  assert.deepEqual(await look(files), wanted);
});

test("openState() loads the snapshot and replays what is behind it", async () => {
  const files = await filled();
  const wanted = { known: EVERYBODY, warnings: [], size: 3, snapshotSize: 2, loss: undefined };
  assert.deepEqual(await look(files), wanted);
  await end(files, await start(files), "snapshot");
  assert.deepEqual(await look(files), { ...wanted, snapshotSize: 3 });
  files.uproot(PATHS.snapshot);
  assert.deepEqual(await look(files), { ...wanted, snapshotSize: 0 });
});

test("openState() takes what the snapshot says, and does not replay it too", async () => {
  const files = await filled();
  const sealed = files.content(PATHS.snapshot)!;
  const database = Database.deserialize(sealed.subarray(0, sealed.length - 49));
  database.run("UPDATE accounts SET record = 'r-dave', id = 'dave' WHERE id = 'alice'");
  const file = database.serialize();
  files.plant(PATHS.snapshot, concatBytes(file, sealed.slice(-49, -32), sha256(file)));
  assert.deepEqual((await look(files)).known, ["bob", "carol", "dave"]);
});

for (
  const [what, ids] of Object.entries({
    "as long": ["dave", "bob"].concat("erin"),
    "longer": ["dave", "erin", "frank", "grace", "heidi"],
    "shorter": ["dave"],
  })
) {
  test(`openState() ignores the snapshot of another log, which is ${what}, with a warning`, async () => {
    const files = await filled();
    files.plant(PATHS.snapshot, (await filled(ids)).content(PATHS.snapshot)!);
    assert.deepEqual(await look(files), {
      known: EVERYBODY,
      warnings: notUsed("it is of another log"),
      size: 3,
      snapshotSize: 0,
      loss: undefined,
    });
  });
}

const LOST: readonly { name: string; entries: StoredEntry[] | undefined; message: string }[] = [
  {
    name: "some",
    entries: EVERYBODY.slice(0, 1).map(registered),
    message: "1 entries",
  },
  { name: "all", entries: [], message: "0 entries" },
  { name: "its file", entries: undefined, message: "0 entries" },
];

for (const { name, entries, message } of LOST) {
  for (
    const [by, others] of Object.entries({
      "the snapshot": [CHECKPOINT, PATHS.witness],
      "its own checkpoint": [PATHS.snapshot, PATHS.witness],
      "the witness": [PATHS.snapshot, CHECKPOINT],
    })
  ) {
    test(`openState() refuses a log that lost ${name}, known by ${by}, unless that is accepted`, async () => {
      const files = await filled();
      others.forEach((path) => files.uproot(path!));
      if (entries === undefined) files.uproot(FILE);
      else files.plant(FILE, logOf(entries));
      const error = await refusal(files);
      assert.match(error.message, new RegExp(`^the log has lost entries: .* ${message}`));
      assert.match(error.hint ?? "", /backup.*--accept-loss/);
      const { known, loss } = await look(files, { acceptsLoss: true });
      assert.deepEqual(known, EVERYBODY.slice(0, entries?.length ?? 0));
      assert.match(loss ?? "", new RegExp(message));
    });
  }
}

test("openState() refuses an empty log where somebody remembers that it had entries", async () => {
  const error = await refusal(new FakeFiles(), { hasServed: true });
  assert.equal(error.message, "the log has lost entries: the log is missing or empty");
});

test("openState() takes a flip of any bit of the last record for a loss, not for a torn tail", async () => {
  const files = await filled();
  const whole = files.content(FILE)!;
  for (let at = logOf(["alice", "bob"].map(registered)).length; at < whole.length; at++) {
    files.plant(FILE, whole.with(at, whole[at]! ^ 0x20));
    assert.match((await refusal(files)).message, /has 2 entries, and it had 3 before/);
  }
});

test("openState() refuses a log whose end is another, and one that was started anew later", async () => {
  const files = await filled();
  files.plant(FILE, logOf(["alice", "bob", "dave"].map(registered)));
  assert.match((await refusal(files)).message, /the first 3 entries .* are not those/);

  const older = await filled();
  const later = new FakeFiles();
  await end(later, await start(later, { signer: signerOf(2) }), "none");
  older.plant(PATHS.witness!, later.content(PATHS.witness!)!);
  assert.match((await refusal(older)).message, /started anew as pki\.test\/0{1}123456789abcdef\/2/);
});

test("openState() warns of damaged checkpoints in its own folder, and goes on", async () => {
  const files = await filled();
  files.plant(CHECKPOINT, new Uint8Array(4096).fill(0xff).fill(65, 0, 9));
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.ok(warnings.some((text) => text.includes(`"${CHECKPOINT}" held no checkpoint`)));
});

test("openState() passes over no checkpoints that cannot be read: they may know of a loss", async () => {
  for (const unreadable of [CHECKPOINT, PATHS.witness]) {
    const files = await filled();
    files.fault = ({ name, path }) =>
      name === "open" && path === unreadable ? { code: "EACCES" } : undefined;
    assert.match(
      (await refusal(files)).message,
      new RegExp(`^cannot read the checkpoints in "${unreadable}": EACCES`),
    );
  }
});

test("openState() refuses a witness that is of another log, or no witness", async () => {
  const other = "pki.test/fedcba9876543210/1\n3\nAAAA\n";
  for (const text of [other, "a poem", "pki.other/0123456789abcdef/1\n3\nAAAA\n"]) {
    const files = await filled();
    files.plant(PATHS.witness!, new TextEncoder().encode(text));
    assert.match((await refusal(files)).message, /^cannot use the witness .* not of this log$/);
  }
});

test("openState() judges every slot: a client's checkpoint may be smaller, and of another log", async () => {
  const files = await filled();
  const forked = new FakeFiles();
  const other = await start(forked);
  await add(other, "alice", "dave");
  const { checkpoint } = other.log;
  await end(forked, other, "none");
  // The newest of our own stays in one slot; the client's, of two entries, is in the other.
  const running = await start(files);
  assert.equal(running.log.lossBy(checkpoint) === undefined, false);
  await running.log.keepLoss(checkpoint);
  await assert.rejects(running.log.append(registered("dave")), { kind: "storage" });
  await end(files, running, "none");
  assert.match(
    (await refusal(files.restart())).message,
    /the first 2 entries of the log are not those that it had before/,
  );
});

test("openState() knows a torn tail, with a warning, and it is cut once", async () => {
  const files = await filled();
  const torn = encodeRecord(registered("dave")).subarray(0, -3);
  files.plant(FILE, concatBytes(files.content(FILE)!, torn));
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^the log ended in \d+ bytes that were never acknowledged/);
  await end(files, await start(files), "none");
  assert.deepEqual((await look(files)).warnings, []);
});

test("openState() refuses a log that is damaged in the middle, or rebuilds nothing from it", async () => {
  const files = await filled();
  files.uproot(PATHS.snapshot);
  const whole = files.content(FILE)!;
  files.plant(FILE, whole.with(36, whole[36]! ^ 1));
  assert.match((await refusal(files, { acceptsLoss: true })).message, /^cannot read log/);
});

const DAMAGES: Readonly<Record<string, (snapshot: Uint8Array) => Uint8Array>> = {
  "empty": () => new Uint8Array(0),
  "text": () => new TextEncoder().encode("not a database\n".repeat(100)),
  "zeros": (snapshot) => new Uint8Array(snapshot.length),
  "the first page only": (snapshot) => snapshot.subarray(0, 4096),
  "half of it": (snapshot) => snapshot.subarray(0, snapshot.length >> 1),
  "a bad magic": (snapshot) => snapshot.map((byte, i) => i === 3 ? byte ^ 1 : byte),
  "pages of noise": (snapshot) => snapshot.map((byte, i) => i < 4096 ? byte : byte ^ 0x5a),
  "another database": () => new Database(":memory:").serialize(),
};

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`openState() rebuilds the state when the snapshot is damaged (${what})`, async () => {
    const files = await filled();
    files.plant(PATHS.snapshot, damage(files.content(PATHS.snapshot)!));
    const { known, warnings, snapshotSize } = await look(files);
    assert.deepEqual(known, EVERYBODY);
    assert.equal(snapshotSize, 0);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^the snapshot ".*state\.db" is not used: /);
  });
}

test("openState() rebuilds the state when any one page of the snapshot is damaged", async () => {
  const files = await filled();
  const whole = files.content(PATHS.snapshot)!;
  for (let page = 0; page < whole.length; page += 4096) {
    files.plant(PATHS.snapshot, whole.slice().fill(0x5a, page, page + 4096));
    const { known, warnings } = await look(files);
    assert.deepEqual(known, EVERYBODY, `page at ${page}`);
    assert.equal(warnings.length, 1, `page at ${page}`);
  }
});

test("openState() rebuilds the state when the snapshot is of an earlier version", async () => {
  const files = await filled();
  const old = new URL("../../testdata/data-v1/state.db", import.meta.url);
  files.plant(PATHS.snapshot, readFileSync(old));
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.deepEqual(warnings, notUsed("it is of an earlier version of pki"));
});

test("openState() goes on without a snapshot that cannot be read", async () => {
  const files = await filled();
  files.fault = ({ path, name }) =>
    path === PATHS.snapshot && name === "read" ? { code: "EIO" } : undefined;
  const { known, warnings } = await look(files);
  assert.deepEqual(known, EVERYBODY);
  assert.deepEqual(warnings, notUsed("EIO: planned by the test"));
});

test("openState() leaves out what was redacted, and its place still counts", async () => {
  const files = await filled();
  const [alice, bob, carol] = EVERYBODY.map(registered) as [Entry, Entry, Entry];
  files.plant(FILE, logOf([redactEntry(alice), bob, carol]));
  const { known, warnings } = await look(files);
  assert.deepEqual({ known, warnings }, { known: EVERYBODY, warnings: [] }, "the snapshot has her");
  files.uproot(PATHS.snapshot);
  assert.deepEqual((await look(files)).known, ["bob", "carol"]);
});
