/** Accounts that are deleted and redacted, on a disk that fails or dies at any step of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { openCheckpoint } from "../../lib/log/checkpoint.ts";
import type { Entry } from "../../lib/log/entry.ts";
import { checkConsistency, checkInclusion } from "../../lib/log/proof.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { walkLog } from "../../lib/server/verify_log.ts";
import { redactionPath } from "../../lib/store/redaction_file.ts";
import { readSnapshot } from "../../lib/store/snapshot.ts";
import { FakeFiles, type Fault } from "../fakes/files.ts";
import {
  appendNext,
  appendTogether,
  assertStorage,
  checkInvariants,
  closeStore,
  copyMemory,
  entryOf as plainEntryOf,
  freshMemory,
  isNew,
  type Memory,
  openStore,
  PATHS,
  redact,
  takeSnapshot,
  VERIFIER,
} from "./invariants.ts";

/** What stands in every private part that is redacted. */
const SECRET = "hidden";

function accountEntry(n: number, type: Entry["type"], id: string): Entry {
  const hidden = type === "deleted"
    ? { id }
    : { id, credential: `${SECRET} credential`, record: `${SECRET} record` };
  return {
    type,
    timeMs: 1_800_000_000_000 + n,
    public: {},
    private: hidden,
    salt: new Uint8Array(32).fill(n + 1),
  };
}

/** The first account's entries are in segments that are closed, the second's in the open one too. */
function entryOf(n: number): Entry {
  switch (n) {
    case 0:
      return accountEntry(n, "registered", "user0");
    case 3:
      return accountEntry(n, "credentials", "user0");
    case 4:
      return accountEntry(n, "registered", "bob");
    case 5:
      return accountEntry(n, "deleted", "user0");
    case 6:
      return accountEntry(n, "credentials", "bob");
    case 7:
      return accountEntry(n, "deleted", "bob");
    case 1:
    case 2:
      return plainEntryOf(n);
    default:
      return accountEntry(n, "registered", `user${n}`);
  }
}

const FIRST = [0, 3];
const SECOND = [4, 6];

const remember = () => freshMemory(entryOf);

/** Deletes two accounts, each with a snapshot, before or after, and goes on. */
async function live(files: FakeFiles, memory: Memory, onRedact = () => {}): Promise<void> {
  let store = await openStore(files);
  await appendTogether(store, memory, 5);
  await takeSnapshot(files, store);
  await appendNext(store, memory);
  onRedact();
  await redact(store, memory, FIRST);
  await takeSnapshot(files, store, { forgets: true });
  await appendNext(store, memory);
  await appendNext(store, memory);
  await redact(store, memory, SECOND);
  onRedact();
  await closeStore(store);
  store = await openStore(files);
  await appendNext(store, memory);
  await closeStore(store);
}

async function liveOnBadDisk(files: FakeFiles, memory: Memory): Promise<void> {
  try {
    await live(files, memory);
  } catch (error) {
    if (!/planned by the test|bytes were written/.test(String(error))) assertStorage(error);
  }
}

/** What `pki log verify` says of the log, which it reads as it finds it. */
async function findErrors(files: FakeFiles): Promise<readonly string[]> {
  const snapshot = await readSnapshot(files, PATHS.snapshot).catch(() => undefined);
  const errors: string[] = [];
  try {
    const { isWhole } = await walkLog({
      files,
      folder: PATHS.log,
      snapshot,
      snapshotPath: PATHS.snapshot,
      onEntry: () => {},
      onError: (where, what) => errors.push(`${where}: ${what}`),
      onNote: () => {},
    });
    assert.equal(isWhole, errors.length === 0);
  } finally {
    snapshot?.state.close();
  }
  return errors;
}

/** Every checkpoint that anybody has seen and every entry is proven, redacted or not. */
function checkProofs({ log }: Awaited<ReturnType<typeof openStore>>, memory: Memory): void {
  const { size, root } = openCheckpoint(log.checkpoint, VERIFIER);
  for (let index = 0; index < size; index++) {
    const { leaf, proof } = log.proveInclusion(index);
    checkInclusion({ leafHash: hashLeaf(leaf), index, size, root, proof });
  }
  for (const note of memory.checkpoints) {
    const from = openCheckpoint(note, VERIFIER);
    const proof = log.proveConsistency(from.size);
    checkConsistency({ from, to: { size, root }, proof });
  }
}

const secret = utf8(SECRET);

function hasSecret(content: Uint8Array): boolean {
  for (let at = content.indexOf(secret[0] ?? 0); at >= 0;) {
    if (secret.every((byte, i) => content[at + i] === byte)) return true;
    at = content.indexOf(secret[0] ?? 0, at + 1);
  }
  return false;
}

/** Opens what is left, checks it, has done what was not acknowledged, and looks for what is gone. */
async function checkAfter(files: FakeFiles, memory: Memory): Promise<void> {
  if (!isNew(files, memory)) return;
  if (files.paths().some((path) => path.endsWith(".log"))) {
    assert.deepEqual(await findErrors(files), []);
  }
  const store = await openStore(files);
  checkInvariants(store, memory);
  checkProofs(store, memory);
  assert.equal(files.content(redactionPath(PATHS.log)), undefined);
  // As a start does with deleted accounts.
  const { size } = store.log;
  for (const [deleted, entries] of [[5, FIRST], [7, SECOND]] as const) {
    if (size > deleted) await redact(store, memory, entries);
  }
  checkInvariants(store, memory);
  await takeSnapshot(files, store, { forgets: true });
  await closeStore(store);
  const disk = files.crash();
  assert.deepEqual(await findErrors(disk), []);
  const again = await openStore(disk);
  checkInvariants(again, memory);
  checkProofs(again, memory);
  await closeStore(again);
  if (size !== 8) return; // Another account is there then.
  for (const path of disk.paths()) assert.ok(!hasSecret(disk.content(path) ?? secret), path);
}

/** Calls between the first redaction and the end of the second, in a life in which nothing fails. */
async function redactingCalls(): Promise<{ readonly from: number; readonly to: number }> {
  const files = new FakeFiles();
  const memory = remember();
  const marks: number[] = [];
  await live(files, memory, () => marks.push(files.calls.length));
  assert.deepEqual([...memory.redacted.values()], [true, true]);
  assert.equal(memory.acknowledged.size, 9);
  await checkAfter(files.restart(), memory);
  const [from = 0, to = 0] = marks;
  assert.ok(to - from > 40, `${from} to ${to}`);
  return { from, to };
}

const { from: FROM, to: TO } = await redactingCalls();

const FAULTS: readonly {
  readonly name: string;
  readonly fault: Fault & { readonly code: string };
}[] = [
  { name: "EIO", fault: { code: "EIO" } },
  { name: "EIO, done all the same", fault: { code: "EIO", isStored: true } },
  { name: "ENOSPC", fault: { code: "ENOSPC" } },
  { name: "ENOSPC, done all the same", fault: { code: "ENOSPC", isStored: true } },
];

for (const { name, fault } of FAULTS) {
  test(`a redaction is whole or not there when any one call fails with ${name}, also if the power follows`, async () => {
    for (let failing = FROM; failing < TO; failing++) {
      // A crash keeps the same whatever the fault was called.
      for (const hasPower of fault.code === "EIO" ? [true, false] : [true]) {
        const files = new FakeFiles();
        const memory = remember();
        files.fault = ({ index }) => index === failing ? fault : undefined;
        await liveOnBadDisk(files, memory);
        await checkAfter(hasPower ? files.restart() : files.crash(), memory);
      }
    }
  });
}

test("a redaction is whole or not there when any write is cut short", async () => {
  for (let failing = FROM; failing < TO; failing++) {
    for (const shortBytes of [0, 1, 60, 150, 300]) {
      const files = new FakeFiles();
      const memory = remember();
      let isWrite = false;
      files.fault = ({ index, name, path }) => {
        if (index !== failing || !name.startsWith("write")) return undefined;
        isWrite = !path.startsWith(PATHS.snapshot);
        return { shortBytes };
      };
      await liveOnBadDisk(files, memory);
      if (!isWrite) break;
      await checkAfter(files.restart(), memory);
    }
  }
});

test("a redaction is whole or not there when the machine dies at any call, whatever the disk kept", async () => {
  for (const steps of [0, 1, 70, 200, Infinity]) {
    const moments: { readonly disk: FakeFiles; readonly promised: Memory }[] = [];
    const files = new FakeFiles();
    const memory = remember();
    files.before = ({ index }) => {
      if (index < FROM || index >= TO) return;
      const { names } = files.unsynced();
      const disk = files.crash({
        names: steps === 0 ? 0 : names,
        steps: (_path, most) => Math.min(steps, most),
      });
      moments.push({ disk, promised: copyMemory(memory) });
    };
    await live(files, memory);
    assert.equal(moments.length, TO - FROM);
    for (const { disk, promised } of moments) await checkAfter(disk, promised);
  }
});

interface Left {
  readonly files: FakeFiles;
  readonly memory: Memory;
}

/** A disk whose machine died when half of the second account was written over. */
async function halfRedacted(): Promise<Left> {
  const files = new FakeFiles();
  const memory = remember();
  const left: Left[] = [];
  files.before = ({ name, path }) => {
    const isBegun = memory.redacted.get(SECOND) === false;
    if (left.length > 0 || !isBegun || name !== "sync" || !path.includes(".log")) return;
    left.push({
      files: files.crash({ names: 0, steps: (_path, most) => Math.floor(most / 2) }),
      memory: copyMemory(memory),
    });
  };
  await live(files, memory);
  const [half] = left;
  assert.ok(half);
  assert.ok(half.files.content(redactionPath(PATHS.log)));
  return half;
}

test("a start that has to finish a redaction may fail at any call, or die there, and the next one finishes it", async () => {
  const counted = await halfRedacted();
  await closeStore(await openStore(counted.files));
  const calls = counted.files.calls.length;
  for (const fault of [undefined, ...FAULTS.slice(0, 2).map((one) => one.fault)]) {
    for (let failing = 0; failing < calls; failing++) {
      const { files, memory } = await halfRedacted();
      let dead: FakeFiles | undefined;
      files.fault = ({ index }) => index === failing ? fault : undefined;
      files.before = ({ index }) => {
        if (index === failing && fault === undefined) dead = files.crash({ names: 9, steps: 100 });
      };
      try {
        await closeStore(await openStore(files));
      } catch (error) {
        assertStorage(error);
      }
      assert.equal(files.openCount, 0);
      const next = fault === undefined ? dead : files.crash();
      assert.ok(next);
      await checkAfter(next, memory);
    }
  }
});
