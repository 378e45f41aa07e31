import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, concatBytes, sha256 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { encodeLeaf, type Entry, redactEntry, type StoredEntry } from "../../lib/log/entry.ts";
import { encodeRecord, redactRecord } from "../../lib/log/records.ts";
import { encodeRedaction, type RedactedRecord } from "../../lib/log/redaction.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { redactionPath } from "../../lib/store/redaction_file.ts";
import { hasLastEntryOf, readLog } from "../../lib/store/segments.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import { type CallName, FakeFiles } from "../fakes/files.ts";
import {
  diskOf,
  entriesTo,
  entryOf as plainEntryOf,
  FILE,
  FOLDER,
  logOf,
  openLog,
  pathOf,
  refusalOf,
  rootOf,
  segmentsOn,
} from "./fixture.ts";

const INTENT = redactionPath(FOLDER);
/** Every odd entry of the fixture has a private part, which holds this. */
const SECRET = "192.0.2.1";
const REDACTABLE = [1, 3, 5, 7];
const COUNT = 9;

const plain = entriesTo(COUNT);
const redactedTo = (of: readonly number[]): StoredEntry[] =>
  plain.map((entry, n) => of.includes(n) ? redactEntry(entry) : entry);

function secretsIn(bytes: Bytes | undefined): number {
  return new TextDecoder("latin1").decode(bytes).split(SECRET).length - 1;
}

function secretsOn(files: FakeFiles): number {
  return files.paths().reduce((sum, path) => sum + secretsIn(files.content(path)), 0);
}

/** Disks that a crash at this moment could leave; every byte of a record has a test of its own. */
function someCrashesOf(files: FakeFiles): FakeFiles[] {
  const most = files.unsynced();
  const disks: FakeFiles[] = [];
  for (let names = 0; names <= most.names; names++) {
    for (let steps = 0; steps < most.steps; steps += 37) disks.push(files.crash({ names, steps }));
    disks.push(files.crash({ names, steps: most.steps }));
  }
  return disks;
}

/** A log of three segments, the last of them open. */
const threeSegments = () => diskOf([4, 3, 2]);

test("Journal.redact() takes private parts out of every segment, durably, and moves nothing", async () => {
  const files = threeSegments();
  const { journal, index } = await openLog(FOLDER, { files });
  const before = segmentsOn(files);
  const root = index.tree.root();
  assert.equal(secretsOn(files), REDACTABLE.length);
  await journal.redact([7, 1, 3, 5, 3]);
  const crashed = files.crash();
  assert.equal(secretsOn(crashed), 0);
  assert.equal(crashed.content(INTENT), undefined);
  for (const [path, content] of Object.entries(segmentsOn(crashed))) {
    assert.equal(content?.length, before[path]?.length);
  }
  assert.deepEqual(index.tree.root(), root);
  for (let n = 0; n < COUNT; n++) assert.deepEqual(journal.read(n), redactedTo(REDACTABLE)[n]);
  const again = await openLog(FOLDER, { files: crashed });
  assert.deepEqual(again.entries, redactedTo(REDACTABLE));
  assert.deepEqual(again.index.tree.root(), root);
  assert.equal((await again.journal.append(plainEntryOf(COUNT))).index, COUNT);
});

test("Journal.redact() passes over what has no private part, or none any more, and writes nothing for it", async () => {
  const files = threeSegments();
  const { journal } = await openLog(FOLDER, { files });
  await journal.redact([1]);
  const calls = files.calls.length;
  const count = journal.redactions;
  await journal.redact([]);
  assert.equal(journal.redactions, count);
  await journal.redact([0, 1, 2]);
  assert.deepEqual(files.calls.slice(calls).filter((name) => name !== "read"), []);
  assert.notEqual(journal.redactions, count, "who asks knows of something that has them");
  await journal.redact([0, 1, 3]);
  assert.deepEqual((await openLog(FOLDER, { files: files.crash() })).entries, redactedTo([1, 3]));
});

test("Journal.redact() refuses an entry that is not there or is damaged, and then redacts none", async () => {
  const files = threeSegments();
  const { journal } = await openLog(FOLDER, { files });
  await assert.rejects(journal.redact([1, COUNT]), { kind: "not-found" });
  const content = files.content(pathOf(4));
  assert.ok(content);
  files.plant(pathOf(4), content);
  const file = await files.open(pathOf(4), "existing");
  file.writeNow(Uint8Array.of(0xff), content.length - 1); // entry 6
  file.writeNow(Uint8Array.of(0xff), 40); // entry 4
  const reopened = await readFromSnapshot(files);
  await assert.rejects(reopened.redact([1, 4]), /cannot read entry 4 at byte 16/);
  assert.equal(secretsOn(files), REDACTABLE.length);
  assert.equal(files.content(INTENT), undefined);
});

/** A journal that knows all of the log by a snapshot, and has read nothing of it. */
async function readFromSnapshot(files: FakeFiles) {
  const whole = await openLog(FOLDER, { files: threeSegments() });
  const index = new LogIndex();
  index.restoreSegments(whole.index.segments);
  const { hashes, offsets } = whole.index.encodeTile(0);
  index.appendTile(hashes, offsets);
  return (await openLog(FOLDER, { files, index })).journal;
}

test("Journal.redact() keeps the marks of records that were written together", async () => {
  const files = new FakeFiles();
  const { journal } = await openLog(FOLDER, { files, reserveBytes: 4000 });
  await Promise.all(plain.map((entry) => journal.append(entry)));
  const before = files.content(FILE);
  await journal.redact(REDACTABLE);
  const after = files.content(FILE);
  assert.ok(before && after);
  assert.equal(after.length, before.length, "the reserved zeros are there");
  let at = 16;
  for (const entry of plain) {
    assert.deepEqual(after.subarray(at, at + 4), before.subarray(at, at + 4));
    at += encodeRecord(entry).length;
  }
  // A crash that tears the last write still finds it to be one.
  const torn = files.crash();
  torn.plant(FILE, after.subarray(0, logOf(plain).length - 1));
  const { entries, tornBytes } = await openLog(FOLDER, { files: torn });
  assert.deepEqual(entries, redactedTo(REDACTABLE).slice(0, -1));
  assert.ok(tornBytes > 0);
});

test("Journal.redact() takes turns with appends, which go on, and is done before close() is", async () => {
  const files = new FakeFiles();
  const { journal, index } = await openLog(FOLDER, {
    files,
    reserveBytes: 300,
    segmentBytesMax: 400,
  });
  const entries = entriesTo(30);
  const outcomes: Promise<unknown>[] = [];
  for (const [n, entry] of entries.entries()) {
    const appended = journal.append(entry);
    if (n % 7 === 3) {
      outcomes.push(appended.then(() => journal.redact([n - 2, n])));
      await appended;
    } else outcomes.push(appended);
  }
  await Promise.all(outcomes);
  const last = journal.redact([29]);
  const closed = journal.close();
  await Promise.all([last, closed]);
  const gone = [1, 3, 15, 17, 29]; // those of 3, 10, 17, 24 that are odd, two before, and the last
  assert.ok(index.segments.length > 3);
  const wanted = entries.map((entry, n) => gone.includes(n) ? redactEntry(entry) : entry);
  assert.deepEqual((await openLog(FOLDER, { files: files.crash() })).entries, wanted);
  assert.equal(files.openCount, 0);
  assert.match((await refusalOf(journal.redact([1]))).message, /the journal is closed$/);
});

test("Journal.read() and a reader of the files see none or all of a batch redacted, at any moment", async () => {
  const files = threeSegments();
  const { journal } = await openLog(FOLDER, { files });
  let isWatched = true;
  const seen: string[] = [];
  files.before = async ({ name }) => {
    if (!isWatched || name === "read") return;
    isWatched = false;
    const read = REDACTABLE.map((n) => journal.read(n).private === "redacted");
    assert.equal(new Set(read).size, 1, String(read));
    // Files as they are, and as a crash could leave them.
    for (const disk of [files.restart(), ...someCrashesOf(files)]) {
      const entries: StoredEntry[] = [];
      const index = new LogIndex();
      await readLog({
        ...{ files: disk, folder: FOLDER, index, mode: "read" },
        onEntry: (entry) => entries.push(entry),
      });
      const state = entries.map(({ private: hidden }) => hidden === "redacted" ? "r" : ".").join(
        "",
      );
      assert.ok([".........", ".r.r.r.r."].includes(state), state);
      assert.deepEqual(index.tree.root(), rootOf(plain));
      assert.ok(await hasLastEntryOf(index, { files: disk, folder: FOLDER }));
      seen.push(state);
    }
    isWatched = true;
  };
  const before = journal.redactions;
  await journal.redact(REDACTABLE);
  assert.notEqual(journal.redactions, before);
  assert.equal(new Set(seen).size, 2);
  assert.ok(seen.length > 50, `${seen.length} disks`);
});

test("Journal.redactions changes when a batch begins and when it ends", async () => {
  const files = threeSegments();
  const { journal } = await openLog(FOLDER, { files });
  const before = journal.redactions;
  const during = new Set<number>();
  files.before = ({ name }) => {
    if (name !== "read") during.add(journal.redactions);
  };
  await journal.redact([1]);
  assert.equal(during.size, 1);
  assert.equal(new Set([before, ...during, journal.redactions]).size, 3);
});

// Faults of the disk

const NAMES: readonly CallName[] = ["open", "write", "sync", "rename", "remove", "syncFolder"];

test("Journal.redact() refuses, or is done, whatever one call fails; a start finds all of a batch redacted or none", async () => {
  let refused = 0;
  for (const name of NAMES) {
    for (const isStored of [false, true]) {
      for (let nth = 0;; nth++) {
        const files = threeSegments();
        const { journal, index } = await openLog(FOLDER, { files });
        let left = nth;
        let hasFailed = false;
        files.fault = (call) => {
          if (call.name !== name || left-- !== 0) return undefined;
          hasFailed = true;
          return { code: "EIO", isStored };
        };
        const outcome = await journal.redact(REDACTABLE).catch((error) => error);
        files.fault = () => undefined;
        if (!hasFailed) break;
        if (outcome !== undefined) {
          assert.ok(outcome instanceof PkiError);
          assert.equal(outcome.kind, "storage");
          assert.match(outcome.message, /^cannot redact log "\/data\/log": EIO/);
          refused++;
        }
        // Whatever is on the disk now, entries are read as they are, or as they are going to be.
        plain.forEach((entry, n) => {
          assert.deepEqual(hashLeaf(encodeLeaf(journal.read(n))), hashLeaf(encodeLeaf(entry)));
        });
        const appended = await journal.append(plainEntryOf(COUNT)).catch((error) => error);
        const isPoisoned = appended instanceof PkiError;
        if (isPoisoned) {
          assert.match(appended.message, /a redaction was begun and not finished earlier: EIO/);
          await assert.rejects(journal.redact([1]), /a redaction was begun and not finished/);
        }
        for (const disk of [files.restart(), ...someCrashesOf(files)]) {
          const { entries, index: reread } = await openLog(FOLDER, { files: disk });
          const all = isPoisoned ? plain : entriesTo(COUNT + 1);
          const gone = entries.flatMap(({ private: hidden }, n) =>
            hidden === "redacted" ? [n] : []
          );
          assert.ok(gone.length === 0 || String(gone) === String(REDACTABLE), String(gone));
          if (outcome === undefined || isPoisoned) assert.deepEqual(gone, REDACTABLE);
          assert.deepEqual(reread.tree.root(), rootOf(all));
          assert.deepEqual(reread.tree.root(), index.tree.root());
          assert.equal(disk.content(INTENT), undefined);
          if (gone.length > 0) assert.equal(secretsOn(disk.crash()), isPoisoned ? 0 : 1);
        }
        await journal.close();
        assert.equal(files.openCount, 0);
      }
    }
  }
  assert.ok(refused > 15, `${refused} refused`);
});

test("Journal.redact() goes on after one that could not be written down", async () => {
  const files = threeSegments();
  const { journal } = await openLog(FOLDER, { files });
  files.fault = ({ path, name }) =>
    path.startsWith(INTENT) && name === "write" ? { shortBytes: 20 } : undefined;
  assert.equal((await refusalOf(journal.redact([1]))).hint, "free some space and try again");
  files.fault = () => undefined;
  assert.equal(secretsOn(files), REDACTABLE.length);
  await journal.redact([3]);
  assert.deepEqual((await openLog(FOLDER, { files: files.crash() })).entries, redactedTo([3]));
});

// What a start makes of a redaction that it finds

function recordAt(n: number, offset: number, segment: number): RedactedRecord {
  return { index: n, segment, offset, record: redactRecord(encodeRecord(plainEntryOf(n))) };
}

/** Where an entry is in the log of three segments. */
function placeOf(n: number): { segment: number; offset: number } {
  const segment = n < 4 ? 0 : n < 7 ? 4 : 7;
  const before = plain.slice(segment, n).map((entry) => encodeRecord(entry).length);
  return { segment, offset: before.reduce((a, b) => a + b, 16) };
}

function redactedAt(n: number): RedactedRecord {
  const { segment, offset } = placeOf(n);
  return recordAt(n, offset, segment);
}

function diskWithIntent(intent: Uint8Array): FakeFiles {
  const files = threeSegments();
  files.plant(INTENT, intent);
  return files;
}

test("startJournal() finishes a redaction, durably, and only then says that it is done", async () => {
  const intent = encodeRedaction(REDACTABLE.map(redactedAt));
  const files = diskWithIntent(intent);
  let overwritten = false;
  files.before = ({ name, path }) => {
    if (name === "remove" && path === INTENT) overwritten = secretsOn(files.crash()) === 0;
  };
  const { entries, journal } = await openLog(FOLDER, { files });
  assert.ok(overwritten);
  assert.deepEqual(entries, redactedTo(REDACTABLE));
  assert.deepEqual(files.crash().paths(), [pathOf(0), pathOf(4), pathOf(7)]);
  assert.equal(secretsOn(files.crash()), 0);
  await journal.append(plainEntryOf(COUNT));
});

test("startJournal() finishes a redaction of which any part of any record is done, also known by a snapshot alone", async () => {
  const intent = encodeRedaction([redactedAt(1), redactedAt(7)]);
  for (const n of [1, 7]) {
    const { segment, offset } = placeOf(n);
    const whole = threeSegments().content(pathOf(segment));
    assert.ok(whole);
    const { record } = redactedAt(n);
    for (let at = 0; at <= record.length; at++) {
      for (const mode of ["read", "snapshot"] as const) {
        const files = diskWithIntent(intent);
        const half = new Uint8Array(whole);
        half.set(record.subarray(0, at), offset);
        files.plant(pathOf(segment), half);
        if (mode === "read") {
          assert.deepEqual((await openLog(FOLDER, { files })).entries, redactedTo([1, 7]));
        } else await readFromSnapshot(files);
        assert.deepEqual(
          (await openLog(FOLDER, { files: files.crash() })).entries,
          redactedTo([1, 7]),
        );
      }
    }
  }
});

const wrongLeaf: RedactedRecord = {
  ...redactedAt(1),
  record: redactRecord(encodeRecord({ ...plainEntryOf(1), salt: new Uint8Array(32) } as Entry)),
};
const sealedAgain = (bytes: Uint8Array) =>
  concatBytes(bytes.subarray(0, -32), sha256(bytes.subarray(0, -32)));

const BAD: readonly { readonly name: string; readonly intent: Uint8Array; readonly why: string }[] =
  [
    { name: "an empty file", intent: new Uint8Array(), why: "it has 0 bytes" },
    {
      name: "a cut one",
      intent: encodeRedaction([redactedAt(1)]).subarray(0, -1),
      why: "it is damaged",
    },
    {
      name: "one with a flipped bit",
      intent: encodeRedaction([redactedAt(1)]).with(30, 0x55),
      why: "it is damaged",
    },
    {
      name: "one of a newer version",
      intent: sealedAgain(encodeRedaction([redactedAt(1)]).with(11, 0x32)),
      why: "it is not a redaction of format 1",
    },
    {
      name: "an entry behind the end of the log",
      intent: encodeRedaction([redactedAt(1), recordAt(11, 400, 7)]),
      why: "entry 11 is not in the log, which has 9",
    },
    {
      name: "a segment that is not there",
      intent: encodeRedaction([recordAt(1, 16, 1)]),
      why: "entry 1 at byte 16 of segment 1: that is not its place",
    },
    {
      name: "another entry's place",
      intent: encodeRedaction([recordAt(1, placeOf(3).offset, 0)]),
      why: `entry 1 at byte ${placeOf(3).offset} of segment 0: another record is there`,
    },
    {
      name: "a place between two entries",
      intent: encodeRedaction([recordAt(1, placeOf(1).offset + 1, 0)]),
      why: `entry 1 at byte ${placeOf(1).offset + 1} of segment 0: another record is there`,
    },
    {
      name: "the right record as another entry",
      intent: encodeRedaction([{ ...redactedAt(1), index: 3 }]),
      why: `entry 3 at byte ${placeOf(1).offset} of segment 0: that is not its place`,
    },
    {
      name: "another leaf",
      intent: encodeRedaction([wrongLeaf]),
      why: `entry 1 at byte ${
        placeOf(1).offset
      } of segment 0: the record that is there has another leaf`,
    },
    {
      name: "one wrong record among right ones",
      intent: encodeRedaction([redactedAt(1), { ...redactedAt(3), record: wrongLeaf.record }]),
      why: `entry 3 at byte ${placeOf(3).offset} of segment 0: another record is there`,
    },
  ];

for (const { name, intent, why } of BAD) {
  test(`startJournal() refuses a redaction that is not right, and changes nothing: ${name}`, async () => {
    for (const isKnown of [false, true]) {
      const files = diskWithIntent(intent);
      const before = segmentsOn(files);
      const opening = isKnown ? readFromSnapshot(files) : openLog(FOLDER, { files });
      const error = await refusalOf(opening);
      assert.equal(error.message, `cannot use "${INTENT}": ${why}`);
      assert.match(error.hint ?? "", /^nothing was changed; without this file/);
      assert.deepEqual(segmentsOn(files), before);
      assert.deepEqual(files.content(INTENT), intent);
      assert.equal(files.openCount, 0);
      // As the hint says.
      files.uproot(INTENT);
      assert.deepEqual((await openLog(FOLDER, { files })).entries, plain);
    }
  });
}

test("startJournal() refuses a half written record with a redaction of another leaf, where a snapshot knows it", async () => {
  const files = diskWithIntent(encodeRedaction([wrongLeaf]));
  const { offset } = placeOf(1);
  const file = await files.open(FILE, "existing");
  file.writeNow(wrongLeaf.record.subarray(0, 40), offset);
  const error = await refusalOf(readFromSnapshot(files));
  assert.match(
    error.message,
    /entry 1 at byte \d+ of segment 0: it is not the entry that was logged$/,
  );
});

test("startJournal() passes over what was written beside a redaction and did not get its name", async () => {
  const files = threeSegments();
  files.plant(`${INTENT}.new`, encodeRedaction([redactedAt(1)]).subarray(0, 50));
  const { journal, entries } = await openLog(FOLDER, { files });
  assert.deepEqual(entries, plain);
  await journal.redact([1]);
  assert.deepEqual(files.crash().paths(), [pathOf(0), pathOf(4), pathOf(7)]);
});
