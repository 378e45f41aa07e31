/** Space that is written ahead of the records, and what a crash or a fault leaves of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../../lib/log/entry.ts";
import { FakeFiles, type Fault } from "../fakes/files.ts";
import {
  crashAlways,
  crashesOf,
  diskWith,
  entriesTo,
  entryOf,
  FILE,
  FOLDER,
  logOf,
  openLog,
  pathOf,
  rootOf,
  type Run,
  run,
  SMALL,
} from "./fixture.ts";

const AHEAD = { reserveBytes: 500 } as const;

/** What is in the log's one file, where records that were written together are marked. */
async function checkReserved(files: FakeFiles, wanted: readonly Entry[]): Promise<number> {
  const { entries, reservedBytes, tornBytes, index, journal } = await openLog(FOLDER, { files });
  assert.deepEqual(entries, wanted);
  assert.deepEqual(index.tree.root(), rootOf(wanted as Entry[]));
  assert.equal(tornBytes, 0);
  await journal.close();
  return reservedBytes;
}

test("Journal.append() writes zeros ahead, and lets the file grow only when they are used up", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files, ...AHEAD });
  const lengths = new Set<number>();
  for (let n = 0; n < 30; n++) {
    await journal.append(entryOf(n));
    lengths.add(files.content(FILE)?.length ?? 0);
  }
  assert.ok(lengths.size > 2 && lengths.size < 12, String([...lengths]));
  assert.ok(await checkReserved(files.crash(), entriesTo(30)) > 0);
  await journal.close();
  assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(30)), "cut when it is closed");
});

test("Journal.append() reserves nothing where there is no space, and goes on", async () => {
  for (const fault of [{ code: "ENOSPC" }, { shortBytes: 70 }, { code: "EIO", isStored: true }]) {
    const files = diskWith(0);
    const { journal } = await openLog(FOLDER, { files, ...AHEAD });
    files.fault = ({ name }) => name === "write" ? fault : undefined;
    for (let n = 0; n < 10; n++) await journal.append(entryOf(n));
    await checkReserved(files.crash(), entriesTo(10));
  }
});

test("Journal.append() cuts zeros before another segment begins, also those that are said not to be there", async () => {
  for (const fault of [undefined, { code: "EIO", isStored: true }, { shortBytes: 70 }]) {
    const files = diskWith(0);
    const { journal, index } = await openLog(FOLDER, { files, ...AHEAD, segmentBytesMax: 400 });
    files.fault = ({ name, path }) =>
      name === "write" && !path.endsWith(".new") ? fault : undefined;
    for (let n = 0; n < 12; n++) await journal.append(entryOf(n));
    assert.ok(index.segments.length > 2);
    for (const { first, bytes } of index.segments.slice(0, -1)) {
      assert.equal(files.crash().content(pathOf(first))?.length, bytes);
    }
    assert.deepEqual((await openLog(FOLDER, { files: files.crash() })).entries, entriesTo(12));
  }
});

test("Journal with reserved space keeps every acknowledged entry through a crash at any moment", async () => {
  for (const { disk, run } of await crashAlways({ reserveBytes: 150 })) {
    const { entries } = await openLog(FOLDER, { files: disk });
    for (const [index, entry] of run.acknowledged) assert.deepEqual(entries[index], entry);
    assert.deepEqual(entries, run.sent.slice(0, entries.length));
  }
});

test("Journal with reserved space keeps every acknowledged entry when any one call fails, then any crash", async () => {
  const FAULTS: Fault[] = [{ code: "EIO" }, { code: "EIO", isStored: true }, { shortBytes: 40 }];
  for (const fault of FAULTS) {
    for (let index = 0;; index++) {
      const files = diskWith(0);
      const into: Run = { sent: [], acknowledged: new Map() };
      const { journal } = await openLog(FOLDER, { files, ...SMALL, reserveBytes: 150 });
      const first = files.calls.length;
      files.fault = (call) => call.index === first + index ? fault : undefined;
      await run(journal, { groups: [2, 1, 2, 1], into });
      await journal.close();
      if (files.calls.length <= first + index) break;
      for (const disk of [...crashesOf(files), files.restart()]) {
        const { entries } = await openLog(FOLDER, { files: disk });
        for (const [index, entry] of into.acknowledged) assert.deepEqual(entries[index], entry);
      }
    }
  }
});

test("Journal with reserved space: a write of which the disk kept any half is cut", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files, ...AHEAD });
  await journal.append(entryOf(0));
  const before = files.crash().content(FILE)!;
  await Promise.all([1, 2, 3].map((n) => journal.append(entryOf(n))));
  const after = files.crash().content(FILE)!;
  const [from, to] = [logOf(entriesTo(1)).length, logOf(entriesTo(4)).length];
  for (let at = from; at <= to; at++) {
    for (const [head, tail] of [[before, after], [after, before]] as const) {
      const disk = new FakeFiles();
      disk.plant(FILE, Uint8Array.from([...head.subarray(0, at), ...tail.subarray(at)]));
      const { entries, journal } = await openLog(FOLDER, { files: disk, ...AHEAD });
      assert.deepEqual(entries, entriesTo(entries.length), `byte ${at}`);
      assert.ok(entries.length >= 1);
      const next = entries.length;
      assert.equal((await journal.append(entryOf(next))).index, next);
      await journal.close();
      assert.deepEqual(
        (await openLog(FOLDER, { files: disk.crash() })).entries,
        entriesTo(next + 1),
      );
    }
  }
});
