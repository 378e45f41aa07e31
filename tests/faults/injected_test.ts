/** Every step of the store on a disk that fails at it, or dies at it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallName, FakeFiles, type Fault } from "../fakes/files.ts";
import {
  appendNext,
  appendTogether,
  assertStorage,
  checkInvariants,
  closeStore,
  copyMemory,
  ENTRIES_MAX,
  freshMemory,
  isNew,
  type Memory,
  openStore,
  PATHS,
  takeSnapshot,
} from "./invariants.ts";

/** A server's life: starts, groups and single changes, several segments, snapshots, a second start. */
async function live(files: FakeFiles, memory: Memory): Promise<void> {
  let store = await openStore(files);
  await appendTogether(store, memory, 3);
  await appendNext(store, memory);
  await takeSnapshot(files, store);
  await appendTogether(store, memory, 2);
  await closeStore(store);
  store = await openStore(files);
  await appendNext(store, memory);
  await takeSnapshot(files, store);
  await appendNext(store, memory);
  await closeStore(store);
}

/** Runs a life to its end or to the first failure, which must be one that was foreseen. */
async function liveOnBadDisk(files: FakeFiles, memory: Memory): Promise<void> {
  try {
    await live(files, memory);
  } catch (error) {
    // A snapshot is written by the caller, who only warns of it; its error is the system's.
    if (!/planned by the test|bytes were written/.test(String(error))) assertStorage(error);
  }
}

/** Opens what is left, checks it, and shows that it goes on. */
async function checkAfter(files: FakeFiles, memory: Memory): Promise<void> {
  if (!isNew(files, memory)) return;
  const store = await openStore(files);
  checkInvariants(store, memory);
  if (store.log.size < ENTRIES_MAX) await appendNext(store, memory);
  await closeStore(store);
  const again = await openStore(files);
  checkInvariants(again, memory);
  await closeStore(again);
}

/** The calls of a whole life, in order. */
async function callsOfALife(): Promise<readonly CallName[]> {
  const files = new FakeFiles();
  const memory = freshMemory();
  await live(files, memory);
  assert.equal(memory.acknowledged.size, 8);
  assert.ok(files.paths().filter((path) => path.endsWith(".log")).length > 2, "several segments");
  const calls = [...files.calls];
  await checkAfter(files.restart(), memory);
  return calls;
}

const CALLS = await callsOfALife();

const FAULTS: readonly { readonly name: string; readonly fault: Fault }[] = [
  { name: "EIO", fault: { code: "EIO" } },
  { name: "EIO, done all the same", fault: { code: "EIO", isStored: true } },
  { name: "ENOSPC", fault: { code: "ENOSPC" } },
  { name: "ENOSPC, done all the same", fault: { code: "ENOSPC", isStored: true } },
];

for (const { name, fault } of FAULTS) {
  test(`the store loses nothing when any one call fails with ${name}, also if the power follows`, async () => {
    for (let failing = 0; failing < CALLS.length; failing++) {
      const files = new FakeFiles();
      const memory = freshMemory();
      files.fault = ({ index }) => index === failing ? fault : undefined;
      await liveOnBadDisk(files, memory);
      // What either goes on with is its own: one life does for both.
      const disks = [files.crash(), files.restart()];
      for (const disk of disks) await checkAfter(disk, copyMemory(memory));
    }
  });
}

test("the store loses nothing when any write is cut short at any byte", async () => {
  for (const [failing, call] of CALLS.entries()) {
    if (call !== "write" && call !== "writeNow") continue;
    // Short writes of every length, but for the snapshot's: of those a few.
    for (let shortBytes = 0;; shortBytes++) {
      const files = new FakeFiles();
      const memory = freshMemory();
      let isSnapshot = false;
      files.fault = ({ index, path }) => {
        if (index !== failing) return undefined;
        isSnapshot = path.startsWith(PATHS.snapshot);
        return { shortBytes };
      };
      await liveOnBadDisk(files, memory);
      await checkAfter(files.restart(), memory);
      shortBytes += isSnapshot ? 9973 : 250;
      if (shortBytes > (isSnapshot ? 100_000 : 4096)) break;
    }
  }
});

test("the store loses nothing when the machine dies at any call, whatever the disk kept", async () => {
  for (const steps of [0, 1, 7, 100, 1000, Infinity]) {
    const moments: { readonly crashed: FakeFiles; readonly promised: Memory }[] = [];
    const files = new FakeFiles();
    const memory = freshMemory();
    files.before = () => {
      const { names } = files.unsynced();
      const crashed = files.crash({
        names: steps === 0 ? 0 : names,
        steps: (_path, most) => Math.min(steps, most),
      });
      moments.push({ crashed, promised: copyMemory(memory) });
    };
    await live(files, memory);
    assert.equal(moments.length, CALLS.length);
    for (const { crashed, promised } of moments) await checkAfter(crashed, promised);
  }
});

test("after a failed sync nothing is acknowledged on the strength of a later one", async () => {
  for (const isStored of [false, true]) {
    const files = new FakeFiles();
    const memory = freshMemory();
    const store = await openStore(files);
    await appendNext(store, memory);
    let syncs = 0;
    files.fault = ({ name, path }) =>
      name === "sync" && path.startsWith(PATHS.log) && syncs++ === 0
        ? { code: "EIO", isStored }
        : undefined;
    await appendTogether(store, memory, 2);
    assert.equal(memory.acknowledged.size, 1);
    await appendTogether(store, memory, 2);
    await assert.rejects(appendNext(store, memory), (error) => {
      assertStorage(error);
      return true;
    });
    assert.equal(memory.acknowledged.size, 1);
    await closeStore(store);
    await checkAfter(files.crash(), memory);
  }
});

test("a full disk refuses changes, lets everything be read, and heals by itself", async () => {
  const files = new FakeFiles();
  const memory = freshMemory();
  const store = await openStore(files);
  await appendTogether(store, memory, 3);
  files.fault = ({ name }) => name.startsWith("write") ? { code: "ENOSPC" } : undefined;
  for (let i = 0; i < 3; i++) {
    await assert.rejects(appendNext(store, memory), (error) => {
      assertStorage(error);
      assert.match(String(error), /ENOSPC/);
      return true;
    });
    checkInvariants(store, memory);
  }
  await assert.rejects(takeSnapshot(files, store), /ENOSPC/);
  files.fault = () => undefined;
  await appendNext(store, memory);
  await takeSnapshot(files, store);
  checkInvariants(store, memory);
  await closeStore(store);
  await checkAfter(files.crash(), memory);
});

/** Where a bit may flip: the files of a store that has stopped. */
async function stoppedStore(): Promise<{ files: FakeFiles; memory: Memory }> {
  const files = new FakeFiles();
  const memory = freshMemory();
  await live(files, memory);
  return { files: files.crash(), memory };
}

test("a flipped bit anywhere is named, or does no harm", async () => {
  const { files, memory } = await stoppedStore();
  const whole = new Map(
    files.paths().map((path) => [path, files.content(path) ?? new Uint8Array()]),
  );
  for (const [path, content] of whole) {
    // Every byte of the log; of the snapshot, which has a seal over all of it, some.
    const step = path === PATHS.snapshot ? 499 : path.endsWith(".log") ? 1 : 37;
    for (let at = 0; at < content.length; at += step) {
      const disk = files.restart();
      disk.plant(path, content.with(at, (content[at] ?? 0) ^ 1 << at % 8));
      let isNamed = true;
      try {
        const store = await openStore(disk);
        isNamed = !isReadable(store, memory);
        await closeStore(store);
      } catch (error) {
        assertStorage(error);
        assert.match(String(error), /\.log"|lost entries/);
        // Nothing was changed: the right byte makes it what it was.
        disk.plant(path, content);
        assert.deepEqual(disk.paths(), [...whole.keys()]);
        for (const [name, bytes] of whole) assert.deepEqual(disk.content(name), bytes);
      }
      assert.ok(isNamed || !path.endsWith(".log"), `byte ${at} of ${path}`);
      for (const [name, bytes] of whole) files.plant(name, bytes);
    }
  }
});

/** A start with a snapshot does not read what it stands for: damage there shows when it is asked for. */
function isReadable(store: Awaited<ReturnType<typeof openStore>>, memory: Memory): boolean {
  try {
    checkInvariants(store, memory);
    return true;
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assertStorage(error);
    assert.match(String(error), /cannot read entry \d+ at byte \d+ of/);
    return false;
  }
}

test("a file that is missing or cut is named, or does no harm", async () => {
  const { files, memory } = await stoppedStore();
  for (const path of files.paths()) {
    const content = files.content(path);
    assert.ok(content);
    const lengths = [undefined, 0, 1, 15, 16, 17, Math.floor(content.length / 2)];
    for (const length of [...lengths, content.length - 1]) {
      const disk = files.restart();
      if (length === undefined) disk.uproot(path);
      else disk.plant(path, content.subarray(0, length));
      try {
        const store = await openStore(disk);
        checkInvariants(store, memory);
        await closeStore(store);
      } catch (error) {
        assertStorage(error);
      }
      disk.plant(path, content);
      files.plant(path, content);
    }
  }
});
