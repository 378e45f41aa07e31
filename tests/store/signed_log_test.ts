import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mock, test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { openCheckpoint, signCheckpoint } from "../../lib/log/checkpoint.ts";
import { encodeVerifierKey, parseVerifierKey } from "../../lib/log/note.ts";
import { checkConsistency, checkInclusion } from "../../lib/log/proof.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { CheckpointFile, readNotes } from "../../lib/store/checkpoint_file.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import { SignedLog } from "../../lib/store/signed_log.ts";
import { FakeFiles } from "../fakes/files.ts";
import { entriesTo, entryOf, FOLDER, openLog, refusalOf, rootOf } from "./fixture.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const ORIGIN = "pki.test/0123456789abcdef/1";
const VERIFIER = parseVerifierKey(encodeVerifierKey(ORIGIN, publicKey));
const SIGNER = { key: privateKey, verifier: VERIFIER };
const INNER = `${FOLDER}/checkpoint`;
const OUTER = "/outside/witness";

async function started(files = new FakeFiles()) {
  const warnings: string[] = [];
  const index = new LogIndex();
  const clock = { ms: 0 };
  const log = new SignedLog({
    ...{ index, signer: SIGNER, warn: (text: string) => void warnings.push(text) },
    elapsed: () => clock.ms,
  });
  const { journal } = await openLog(FOLDER, { files, index, onSynced: log.onSynced });
  const remembered = [];
  for (const path of [INNER, OUTER]) {
    remembered.push(await CheckpointFile.open(files, path, { note: log.checkpoint, keep: 0 }));
  }
  log.attach(journal, remembered);
  return { files, log, warnings, clock };
}

const opened = (note: string) => openCheckpoint(note, VERIFIER);

test("SignedLog.append() resolves once a checkpoint over it is signed and in both files", async () => {
  const { files, log } = await started();
  for (let n = 0; n < 5; n++) {
    await log.append(entryOf(n));
    const wanted = { origin: ORIGIN, size: n + 1, root: rootOf(entriesTo(n + 1)) };
    assert.deepEqual(opened(log.checkpoint), wanted);
    for (const path of [INNER, OUTER]) {
      assert.ok((await readNotes(files, path)).includes(log.checkpoint));
    }
  }
});

test("SignedLog signs nothing over what was not synced", async () => {
  const { files, log } = await started();
  await log.append(entryOf(0));
  const before = log.checkpoint;
  files.fault = ({ name }) => name === "sync" ? { code: "EIO" } : undefined;
  await refusalOf(log.append(entryOf(1)));
  files.fault = () => undefined;
  await refusalOf(log.append(entryOf(1)));
  assert.equal(log.checkpoint, before);
  assert.equal(log.size, 1);
});

test("SignedLog proves inclusion and consistency of every entry and size", async () => {
  const { log } = await started();
  const entries = entriesTo(9);
  await Promise.all(entries.map((entry) => log.append(entry)));
  const { size, root } = opened(log.checkpoint);
  for (let index = 0; index < 9; index++) {
    const { leaf, proof } = log.proveInclusion(index);
    checkInclusion({ leafHash: hashLeaf(leaf), index, size, root, proof });
  }
  for (let from = 0; from <= 9; from++) {
    const proof = log.proveConsistency(from);
    const start = { size: from, root: rootOf(entries.slice(0, from)) };
    checkConsistency({ from: start, to: { size, root }, proof });
  }
  assert.throws(() => log.proveConsistency(10), { kind: "not-found" });
  assert.throws(() => log.proveInclusion(9), { kind: "not-found" });
});

test("SignedLog.lossBy() tells what a checkpoint of ours says, and passes over all others", async () => {
  const { log } = await started();
  for (const entry of entriesTo(3)) await log.append(entry);
  const sign = (size: number, root: Uint8Array, { key = privateKey, origin = ORIGIN } = {}) =>
    signCheckpoint({ origin, size, root: new Uint8Array(root) }, { key });
  const other = generateKeyPairSync("ed25519").privateKey;
  const zeros = new Uint8Array(32);
  for (let size = 0; size <= 3; size++) {
    assert.equal(log.lossBy(sign(size, rootOf(entriesTo(size)))), undefined);
  }
  assert.match(log.lossBy(sign(4, rootOf(entriesTo(4)))) ?? "", /has 3 entries, and it had 4/);
  assert.match(log.lossBy(sign(2, zeros)) ?? "", /first 2 entries .* are not those/);
  assert.equal(log.lossBy(sign(4, zeros, { key: other })), undefined);
  assert.equal(log.lossBy(sign(4, zeros, { origin: "pki.test/0123456789abcdef/2" })), undefined);
  assert.equal(log.lossBy("no note"), undefined);
});

/** Whether the file outside has the newest checkpoint. */
const isWitnessed = async ({ files, log }: Awaited<ReturnType<typeof started>>) =>
  (await readNotes(files, OUTER)).includes(log.checkpoint);

test("SignedLog goes on where a checkpoint file cannot be written, and tries again later", async () => {
  const world = await started();
  const { files, log, warnings, clock } = world;
  let tries = 0;
  const fail = () => {
    files.fault = ({ name, path }) =>
      name === "writeNow" && path === OUTER && ++tries > 0 ? { code: "ENOSPC" } : undefined;
  };
  fail();
  for (const entry of entriesTo(4)) await log.append(entry);
  assert.equal(tries, 1);
  const told = [
    `cannot write the checkpoint file "${OUTER}": ENOSPC: planned by the test; ` +
    "it is tried again from time to time",
  ];
  assert.deepEqual(warnings, told);
  assert.ok((await readNotes(files, INNER)).includes(log.checkpoint));
  clock.ms += LIMITS.checkpointRetryMs;
  await log.append(entryOf(4));
  assert.equal(tries, 2);
  assert.deepEqual(warnings, told, "of the second failure nobody is told");
  files.fault = () => undefined;
  clock.ms += LIMITS.checkpointRetryMs - 1;
  await log.append(entryOf(5));
  assert.equal(await isWitnessed(world), false);
  clock.ms += 1;
  await log.append(entryOf(6));
  assert.equal(await isWitnessed(world), true);
  told.push(`the checkpoint file "${OUTER}" is written again`);
  assert.deepEqual(warnings, told);
  await log.append(entryOf(7));
  assert.equal(await isWitnessed(world), true, "and from then on with each");

  // What must be known outside does not wait; nor does the end.
  for (const rememberNow of [() => log.witness(), () => log.close()]) {
    fail();
    await log.append(entryOf(8));
    files.fault = () => undefined;
    await rememberNow();
    assert.equal(await isWitnessed(world), true);
  }
});

test("SignedLog.close() remembers what was lost, also where it could not be written before", async () => {
  const world = await started();
  const { files, log } = world;
  const note = signCheckpoint({ origin: ORIGIN, size: 9, root: rootOf([]) }, { key: privateKey });
  files.fault = ({ name, path }) =>
    name === "writeNow" && path === OUTER ? { code: "ENOSPC" } : undefined;
  await log.append(entryOf(0));
  await log.keepLoss(note);
  files.fault = () => undefined;
  await log.close();
  for (const path of [INNER, OUTER]) {
    assert.ok((await readNotes(files.crash(), path)).includes(note), path);
  }
  assert.equal(await isWitnessed(world), false, "which the note of no loss would be in place of");
});

test("SignedLog.witness() makes what is remembered durable, which appending alone does not", async () => {
  const { files, log } = await started();
  for (const entry of entriesTo(3)) await log.append(entry);
  const durable = () =>
    Promise.all(
      [INNER, OUTER].map(async (path) =>
        (await readNotes(files.crash(), path)).includes(log.checkpoint)
      ),
    );
  assert.deepEqual(await durable(), [false, false]);
  await log.witness();
  assert.deepEqual(await durable(), [true, true]);
});

test("SignedLog.witness() warns of a file that cannot be synced, and goes on with the other", async () => {
  const { files, log, warnings } = await started();
  await log.append(entryOf(0));
  files.fault = ({ name, path }) => name === "sync" && path === OUTER ? { code: "EIO" } : undefined;
  await log.witness();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^cannot sync the checkpoint file "\/outside\/witness": EIO/);
  assert.ok((await readNotes(files.crash(), INNER)).includes(log.checkpoint));
});

test("SignedLog waits for the sync of a file whose disk does not answer, and not for ever", async () => {
  const note = signCheckpoint({ origin: ORIGIN, size: 9, root: rootOf([]) }, { key: privateKey });
  const late = `its disk has not answered for ${LIMITS.checkpointSyncMs / 1000} s`;
  const { files, log, warnings } = await started();
  await log.append(entryOf(0));
  const held = Promise.withResolvers<void>();
  files.before = ({ name, path }) => name === "sync" && path === OUTER ? held.promise : undefined;
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const act = async (act: () => Promise<void>) => {
      let isDone = false;
      const done = act().finally(() => isDone = true);
      done.catch(() => {}); // what is awaited below
      for (const ms of [LIMITS.checkpointSyncMs - 1, 1]) {
        for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
        assert.equal(isDone, false);
        mock.timers.tick(ms);
      }
      await done;
    };
    for (const _ of ["first", "once more"]) await act(() => log.witness());
    const told = `cannot sync the checkpoint file "${OUTER}": ${late}`;
    assert.deepEqual(warnings, [told, told]);
    assert.ok((await readNotes(files.crash(), INNER)).includes(log.checkpoint), "the other is");
    await assert.rejects(act(() => log.keepLoss(note)), { kind: "storage", message: late });
    await act(() => log.close());
    assert.equal(files.openCount, 0);
  } finally {
    held.resolve();
    mock.timers.reset();
  }
});

test("SignedLog.keepLoss() remembers a note durably, appends no more, and overwrites it never", async () => {
  const { files, log } = await started();
  const note = signCheckpoint({ origin: ORIGIN, size: 9, root: rootOf([]) }, { key: privateKey });
  // What is being written when it is called is durable, and does not take the note's place.
  const underWay = [log.append(entryOf(0)), log.append(entryOf(1))];
  await log.keepLoss(note);
  await Promise.all(underWay);
  await assert.rejects(log.append(entryOf(2)), { kind: "storage" });
  for (const path of [INNER, OUTER]) {
    assert.ok((await readNotes(files.crash(), path)).includes(note));
  }
  await log.close();
  assert.equal(files.openCount, 0);
});
