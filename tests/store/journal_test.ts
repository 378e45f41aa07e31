import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LIMITS } from "../../lib/base/limits.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { encodeLeaf, type Entry } from "../../lib/log/entry.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import type { Appended } from "../../lib/store/journal.ts";
import { type CallName, FakeFiles, type Fault } from "../fakes/files.ts";
import {
  crashAlways,
  crashesOf,
  delay,
  diskOf,
  diskWith,
  entriesFrom,
  entriesTo,
  entryOf,
  failNth,
  FILE,
  FOLDER,
  logOf,
  openLog,
  pathOf,
  refusalOf,
  rootOf,
  type Run,
  run,
  segmentOf,
  segmentsOn,
  SMALL,
} from "./fixture.ts";

// Appending

test("Journal.append() resolves with the place of the entry, in order, once it is durable", async () => {
  const files = diskWith(2);
  const { journal, index } = await openLog(FOLDER, { files });
  const order: number[] = [];
  const appended = await Promise.all([2, 3, 4].map(async (n) => {
    const result = await journal.append(entryOf(n));
    order.push(n);
    assert.ok(files.crash().content(FILE)!.length >= logOf(entriesTo(n + 1)).length);
    return result;
  }));
  assert.deepEqual(order, [2, 3, 4]);
  assert.deepEqual(
    appended,
    [2, 3, 4].map((n) => ({ index: n, leafHash: hashLeaf(encodeLeaf(entryOf(n))) })),
  );
  assert.equal(index.size, 5);
  assert.deepEqual(index.tree.root(), rootOf(entriesTo(5)));
  assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(5)));
});

test("Journal.append() shares syncs: what arrives during one waits for the next, once", async () => {
  const files = diskWith(0);
  const { journal, index } = await openLog(FOLDER, { files });
  const before = { write: files.count("writeNow"), sync: files.count("sync") };
  let release = () => {};
  files.before = ({ name }) =>
    name === "sync" ? new Promise<void>((resolve) => release = resolve) : undefined;
  let done = 0;
  const append = (n: number) => journal.append(entryOf(n)).then(() => done++);

  append(0);
  append(1);
  await delay();
  assert.equal(files.count("sync") - before.sync, 1);
  for (let n = 2; n < 100; n++) append(n);
  await delay();
  assert.equal(files.count("writeNow") - before.write, 1, "nothing is written during a sync");
  assert.equal(done, 0);
  assert.equal(index.size, 0);

  release();
  await delay();
  assert.equal(done, 2);
  assert.equal(index.size, 2);
  release();
  await delay();
  assert.equal(done, 100);
  assert.equal(files.count("writeNow") - before.write, 2);
  assert.equal(files.count("sync") - before.sync, 2);
  assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(100)));
});

test("Journal.append() begins the next sync before the last one is signed for, and not before it is durable", async () => {
  const files = diskWith(0);
  const events: string[] = [];
  const onSynced = () => events.push("signed");
  const { journal, index } = await openLog(FOLDER, { files, onSynced });
  let second: Promise<unknown> | undefined;
  files.before = ({ name }) => {
    if (name !== "sync") return;
    events.push(`sync of what follows ${index.size}`);
    second ??= journal.append(entryOf(1)).then(() => events.push("second"));
  };
  await journal.append(entryOf(0)).then(() => events.push("first"));
  await second;
  assert.deepEqual(events, [
    ...["sync of what follows 0", "sync of what follows 1"],
    ...["signed", "first", "signed", "second"],
  ]);
});

test("Journal.append() has much written by another thread, and waits for it", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  const before = { writeNow: files.count("writeNow"), write: files.count("write") };
  const entries = entriesTo(70).map((entry) => ({
    ...entry,
    public: { ...entry.public, text: "a".repeat(1000) },
  }));
  await Promise.all(entries.map((entry) => journal.append(entry)));
  assert.equal(files.count("writeNow"), before.writeNow);
  assert.equal(files.count("write") - before.write, 1);
  assert.deepEqual(files.crash().content(FILE), logOf(entries));
});

test("Journal.append() takes the entry as it was when it was called", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  const shown = { serial: 0 };
  const appended = journal.append({ ...entryOf(0), public: shown });
  shown.serial = 99;
  await appended;
  assert.deepEqual((await openLog(FOLDER, { files })).entries, entriesTo(1));
});

test("Journal.append() refuses an entry that cannot be stored, and goes on", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  const long = journal.append({
    ...entryOf(0),
    public: { text: "a".repeat(LIMITS.recordBytesMax) },
  });
  const unsalted = journal.append({ ...entryOf(1), salt: null });
  const good = journal.append(entryOf(0));
  assert.match((await refusalOf(long)).message, /^cannot log entry: record has \d+ bytes/);
  await assert.rejects(unsalted, { kind: "internal" });
  assert.equal((await good).index, 0);
});

// Faults of the disk

for (
  const { name, fault } of [
    { name: "a full disk", fault: { code: "ENOSPC" } },
    { name: "a full disk that took a part", fault: { shortBytes: 30 } },
    { name: "a write that stored nothing and did not say why", fault: { shortBytes: 0 } },
    { name: "an error although everything was stored", fault: { code: "EIO", isStored: true } },
  ] satisfies { name: string; fault: Fault }[]
) {
  test(`Journal.append() takes back and goes on after ${name}`, async () => {
    const files = diskWith(1);
    const { journal, index } = await openLog(FOLDER, { files });
    failNth(files, "writeNow", { fault });
    const refused = [journal.append(entryOf(7)), journal.append(entryOf(8))];
    for (const error of await Promise.all(refused.map(refusalOf))) {
      assert.match(error.message, /^cannot append to log "\/data\/log": /);
    }
    assert.equal(index.size, 1);
    assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(1)), "the cut is durable");
    assert.equal((await journal.append(entryOf(1))).index, 1);
    assert.deepEqual(index.tree.root(), rootOf(entriesTo(2)));
    assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(2)));
  });
}

test("Journal.append() says what to do about a full disk", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  failNth(files, "writeNow", { fault: { code: "ENOSPC" } });
  const error = await refusalOf(journal.append(entryOf(0)));
  assert.equal(error.hint, "free some space and try again");
});

test("Journal.append() keeps what waited behind a failed write", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  failNth(files, "writeNow", { fault: { code: "ENOSPC" } });
  let behind: Promise<Appended> | undefined;
  files.before = ({ name }) => {
    if (name === "writeNow") behind ??= journal.append(entryOf(0));
  };
  await refusalOf(journal.append(entryOf(9)));
  assert.equal((await behind!).index, 0);
  assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(1)));
});

for (
  const { name, plan } of [
    {
      name: "a failed sync",
      plan: (files: FakeFiles) => failNth(files, "sync", { fault: { code: "EIO" } }),
    },
    {
      name: "a sync reported failed that stored",
      plan: (files: FakeFiles) =>
        failNth(files, "sync", { fault: { code: "EIO", isStored: true } }),
    },
    {
      name: "a failed write that cannot be cut",
      plan: (files: FakeFiles) => {
        const names: CallName[] = ["writeNow", "truncate"];
        files.fault = (call) => {
          if (call.name !== names[0]) return undefined;
          names.shift();
          return { code: "EIO", isStored: call.name === "writeNow" };
        };
      },
    },
    {
      name: "a failed write whose cut cannot be synced",
      plan: (files: FakeFiles) => {
        const names: CallName[] = ["writeNow", "sync"];
        files.fault = (call) => {
          if (call.name !== names[0]) return undefined;
          names.shift();
          return { code: "EIO" };
        };
      },
    },
  ]
) {
  test(`Journal.append() refuses everything after ${name}, until a restart`, async () => {
    const files = diskWith(1);
    const { journal, index } = await openLog(FOLDER, { files });
    plan(files);
    let behind: Promise<Appended> | undefined;
    let behindFails: Promise<PkiError> | undefined;
    files.before = ({ name }) => {
      if (name !== "sync" && name !== "truncate") return;
      behind ??= journal.append(entryOf(8));
      behindFails ??= refusalOf(behind);
    };
    await refusalOf(journal.append(entryOf(7)));
    files.fault = () => undefined; // The disk is well again: it makes no difference.
    const poisoned = /^cannot append to log "\/data\/log": .* earlier: EIO/;
    assert.match((await behindFails!).message, poisoned);
    const calls = files.calls.length;
    for (let i = 0; i < 3; i++) {
      const error = await refusalOf(journal.append(entryOf(9)));
      assert.match(error.message, poisoned);
      assert.match(error.hint ?? "", /start again/);
    }
    assert.equal(files.calls.length, calls, "the disk is left alone");
    assert.equal(index.size, 1);
    assert.deepEqual(index.tree.root(), rootOf(entriesTo(1)));
    await journal.close();

    const next = await openLog(FOLDER, { files: files.restart() });
    assert.deepEqual(next.entries[0], entryOf(0));
    assert.equal((await next.journal.append(entryOf(5))).index, next.entries.length);
  });
}

test("Journal: after a failed sync, a restart and then a crash, what was acknowledged is there", async () => {
  const files = diskWith(1);
  const { journal } = await openLog(FOLDER, { files });
  failNth(files, "sync", { fault: { code: "EIO" } });
  await refusalOf(journal.append(entryOf(7)));
  const next = files.restart();
  const opened = await openLog(FOLDER, { files: next });
  assert.deepEqual(opened.entries, entriesTo(1), "the lost write is not taken for stored");
  await opened.journal.append(entryOf(1));
  assert.deepEqual((await openLog(FOLDER, { files: next.crash() })).entries, entriesTo(2));
});

// Everything at once

/** Opens and checks: what was acknowledged is in its place, the rest is whole and in order. */
async function checkDisk(files: FakeFiles, { sent, acknowledged }: Run): Promise<void> {
  const { entries, index } = await openLog(FOLDER, { files });
  for (const [index, entry] of acknowledged) assert.deepEqual(entries[index], entry);
  const serials = entries.map((entry) => entry.timeMs);
  assert.deepEqual(serials, serials.toSorted((a, b) => a - b));
  assert.deepEqual(entries, serials.map((serial) => sent[serial]));
  assert.deepEqual(index.tree.root(), rootOf(entries as Entry[]));
  assert.deepEqual(files.crash().content(FILE), logOf(entries as Entry[]));
}

test("Journal keeps every acknowledged entry through a crash at any moment", async () => {
  for (const { disk, run } of await crashAlways()) await checkDisk(disk, run);
});

test("Journal keeps every acknowledged entry when any one call fails, stored or not, then any crash", async () => {
  const FAULTS: Fault[] = [
    { code: "EIO" },
    { code: "EIO", isStored: true },
    { code: "ENOSPC" },
    { shortBytes: 40 },
  ];
  for (const fault of FAULTS) {
    for (let index = 0;; index++) {
      const files = diskWith(0);
      const into: Run = { sent: [], acknowledged: new Map() };
      const { journal } = await openLog(FOLDER, { files });
      const first = files.calls.length;
      files.fault = (call) => call.index === first + index ? fault : undefined;
      await run(journal, { groups: [2, 1, 2], into });
      if (files.calls.length <= first + index) break;
      for (const disk of crashesOf(files)) await checkDisk(disk, into);
      await checkDisk(files.restart(), into);
    }
  }
});

test("Journal keeps every acknowledged entry under random groups, faults and crashes", async () => {
  const fault: fc.Arbitrary<Fault | undefined> = fc.option(
    fc.oneof(
      fc.record({ code: fc.constantFrom("EIO", "ENOSPC"), isStored: fc.boolean() }),
      fc.record({ shortBytes: fc.nat(300) }),
    ),
    { nil: undefined, freq: 3 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 8 }),
      fc.array(fault, { maxLength: 20 }),
      fc.nat(),
      async (groups, faults, keep) => {
        const files = diskWith(0);
        const into: Run = { sent: [], acknowledged: new Map() };
        const { journal } = await openLog(FOLDER, { files });
        const first = files.calls.length;
        files.fault = (call) => faults[call.index - first];
        await run(journal, { groups, into });
        const { steps } = files.unsynced();
        await checkDisk(files.crash({ names: 0, steps: keep % (steps + 1) }), into);
      },
    ),
    { numRuns: 500 },
  );
});

// Segments

test("Journal.append() begins a segment when one is full, and all of it is read back", async () => {
  const files = new FakeFiles();
  const { journal, index } = await openLog(FOLDER, { files, ...SMALL });
  for (const entry of entriesTo(12)) await journal.append(entry);
  assert.ok(index.segments.length > 3);
  const wanted = index.segments.map(({ first }, i) => {
    const end = index.segments[i + 1]?.first ?? 12;
    return [pathOf(first), segmentOf(first, entriesFrom(first, end - first))];
  });
  assert.deepEqual(segmentsOn(files.crash()), Object.fromEntries(wanted));
  for (let n = 0; n < 12; n++) assert.deepEqual(journal.read(n), entryOf(n));
  await journal.close();
  assert.equal(files.openCount, 0);
  const again = await openLog(FOLDER, { files });
  assert.deepEqual(again.entries, entriesTo(12));
  assert.deepEqual(again.index.segments, index.segments);
  for (let n = 0; n < 12; n++) assert.deepEqual(again.journal.read(n), entryOf(n));
});

test("Journal.append() keeps every acknowledged entry through a crash at any moment of a new segment", async () => {
  const files = diskWith(3);
  const moments: { disk: FakeFiles; count: number }[] = [];
  let count = 3;
  const { journal, index } = await openLog(FOLDER, { files, ...SMALL });
  files.before = () => void moments.push(...crashesOf(files).map((disk) => ({ disk, count })));
  for (; count < 6; count++) await journal.append(entryOf(count));
  assert.ok(index.segments.length > 1);
  assert.ok(moments.length > 100);
  for (const { disk, count } of moments) {
    const { entries } = await openLog(FOLDER, { files: disk });
    assert.ok(entries.length >= count);
    assert.deepEqual(entries, entriesTo(entries.length));
  }
});

for (const name of ["open", "write", "sync", "rename", "syncFolder"] satisfies CallName[]) {
  for (const isStored of [false, true]) {
    test(`Journal.append() loses nothing when ${name} of a new segment fails, ${isStored ? "" : "not "}stored`, async () => {
      const files = diskWith(3);
      const { journal, index } = await openLog(FOLDER, { files, ...SMALL });
      failNth(files, name, { fault: { code: "EIO", isStored } });
      const appended = journal.append(entryOf(3));
      const isThere = name === "syncFolder" || name === "rename" && isStored;
      if (isThere) {
        // Whether the name is durable is not known: nothing may be put into that file, or before it.
        assert.match(
          (await refusalOf(appended)).message,
          /(a sync of the folder failed|a new file could not be made) earlier: EIO/,
        );
        await refusalOf(journal.append(entryOf(3)));
      } else {
        assert.equal((await appended).index, 3, "the old segment grows on");
        assert.equal((await journal.append(entryOf(4))).index, 4);
        assert.deepEqual(index.segments.at(-1)?.first, 4);
      }
      await journal.close();
      assert.equal(files.openCount, 0);
      for (const disk of [...crashesOf(files), files.restart()]) {
        const { entries } = await openLog(FOLDER, { files: disk });
        assert.deepEqual(entries, entriesTo(isThere ? 3 : 5));
      }
    });
  }
}

// Reading back

test("Journal.read() returns entries longer than what is read ahead, also by short reads", async () => {
  const lengths = [1900, 1950, 2000, 2048, 5000, 100_000];
  const entries = lengths.map((length, n) => ({
    ...entryOf(n),
    public: { text: "a".repeat(length) },
  }));
  const files = new FakeFiles();
  files.plant(FILE, logOf(entries));
  const { journal } = await openLog(FOLDER, { files });
  entries.forEach((entry, n) => assert.deepEqual(journal.read(n), entry));
  files.fault = ({ name }) => name === "read" ? { shortBytes: 1000 } : undefined;
  entries.forEach((entry, n) => assert.deepEqual(journal.read(n), entry));
});

test("Journal.read() names entry, byte and file when any bit of a record is flipped", async () => {
  const files = diskOf([2, 2]);
  const { journal } = await openLog(FOLDER, { files });
  const file = await files.open(pathOf(2), "existing");
  const offset = segmentOf(2, [entryOf(2)]).length;
  const whole = segmentOf(2, entriesFrom(2, 2));
  for (let bit = offset * 8; bit < whole.length * 8; bit++) {
    const at = bit >> 3;
    file.writeNow(Uint8Array.of(whole[at]! ^ 1 << (bit & 7)), at);
    assert.throws(() => journal.read(3), (error) => {
      assert.ok(error instanceof PkiError && error.kind === "storage");
      assert.ok(
        error.message.startsWith(`cannot read entry 3 at byte ${offset} of "${pathOf(2)}": `),
      );
      return error.hint !== undefined;
    });
    file.writeNow(whole.subarray(at, at + 1), at);
  }
  assert.deepEqual(journal.read(3), entryOf(3));
});

test("Journal.read() refuses a whole record that is not the one that was logged", async () => {
  const files = diskWith(2);
  const { journal } = await openLog(FOLDER, { files });
  const file = await files.open(FILE, "existing");
  file.writeNow(logOf([{ ...entryOf(0), timeMs: 9 }]), 0);
  assert.throws(
    () => journal.read(0),
    /cannot read entry 0 .*: it is not the entry that was logged$/,
  );
});

test("Journal.read() refuses an entry that is not there", async () => {
  const { journal } = await openLog(FOLDER, { files: diskWith(2) });
  for (const index of [2, -1, 0.5, NaN]) {
    assert.throws(() => journal.read(index), { kind: "not-found" });
  }
});

// Closing

test("Journal.close() waits for what is under way, closes once, and refuses what comes after", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  const appended = journal.append(entryOf(0));
  const closed = Promise.all([journal.close(), journal.close()]);
  const late = refusalOf(journal.append(entryOf(1)));
  await closed;
  assert.equal(files.calls.at(-1), "close");
  assert.equal(files.count("close"), 1);
  assert.equal((await appended).index, 0);
  assert.match((await late).message, /the journal is closed$/);
  assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(1)));
});
