import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../../lib/base/bytes.ts";
import { encodeFileHeader } from "../../lib/log/records.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import { hasLastEntryOf, listSegments, readLog } from "../../lib/store/segments.ts";
import { FakeFiles } from "../fakes/files.ts";
import {
  diskOf,
  entriesFrom,
  entriesTo,
  entryOf,
  FOLDER,
  openLog,
  pathOf,
  refusalOf,
  rootOf,
  segmentOf,
} from "./fixture.ts";

test("listSegments() returns first entries in order, and passes over what is no segment", async () => {
  const files = diskOf([3, 2, 1]);
  for (const name of ["checkpoint", "000000000009.log.new", "9.log", "000000000009.txt"]) {
    files.plant(`${FOLDER}/${name}`, new Uint8Array());
  }
  assert.deepEqual(await listSegments(files, FOLDER), [0, 3, 5]);
  assert.deepEqual(await listSegments(new FakeFiles(), FOLDER), []);
});

test("readLog() reads every segment, in order", async () => {
  const files = diskOf([3, 2, 1]);
  const { entries, index } = await openLog(FOLDER, { files });
  assert.deepEqual(entries, entriesTo(6));
  assert.deepEqual(index.segments.map(({ first }) => first), [0, 3, 5]);
  assert.deepEqual(index.tree.root(), rootOf(entriesTo(6)));
});

test("readLog() reads a last segment without entries", async () => {
  assert.deepEqual((await openLog(FOLDER, { files: diskOf([3, 0]) })).entries, entriesTo(3));
});

const segment = (first: number, count: number) => segmentOf(first, entriesFrom(first, count));

/** What may have happened to a log with segments of 3, 2 and 2 entries. */
const DAMAGES: readonly { name: string; change: (files: FakeFiles) => void; message: RegExp }[] = [
  {
    name: "a missing first segment",
    change: (files) => files.uproot(pathOf(0)),
    message: /0{11}3\.log": entries 0 to 2 are missing before it$/,
  },
  {
    name: "a missing segment in the middle",
    change: (files) => files.uproot(pathOf(3)),
    message: /0{11}5\.log": entries 3 to 4 are missing before it$/,
  },
  {
    name: "a renamed segment",
    change(files) {
      files.plant(pathOf(9), segment(3, 2));
      files.uproot(pathOf(3));
    },
    message: /0{11}5\.log": entries 3 to 4 are missing before it$/,
  },
  {
    name: "a segment in the place of another",
    change: (files) => files.plant(pathOf(3), segment(5, 2)),
    message: /0{11}3\.log": byte 0: the file is not a log of format 1 from entry 3$/,
  },
  {
    name: "an extra segment",
    change: (files) => files.plant(pathOf(4), segment(4, 1)),
    message: /0{11}4\.log": entries 5 to 3 are missing before it$/,
  },
  {
    name: "an empty file",
    change: (files) => files.plant(pathOf(5), new Uint8Array()),
    message: /0{11}5\.log": byte 0: the file is not a log/,
  },
  {
    name: "an empty segment in the middle",
    change: (files) => files.plant(pathOf(3), encodeFileHeader(3)),
    message: /0{11}5\.log": entries 3 to 4 are missing before it$/,
  },
  {
    name: "a torn segment in the middle",
    change: (files) => files.plant(pathOf(3), segment(3, 2).slice(0, -1)),
    message: /0{11}3\.log": record 4 at byte \d+ has .*, and another segment follows$/,
  },
  {
    name: "zeros behind a segment in the middle",
    change: (files) => files.plant(pathOf(0), concatBytes(segment(0, 3), new Uint8Array(9))),
    message: /0{11}0\.log": 9 zeros follow its last record, and another segment follows$/,
  },
];

for (const { name, change, message } of DAMAGES) {
  test(`readLog() refuses ${name}, and changes nothing`, async () => {
    const files = diskOf([3, 2, 2]);
    change(files);
    const before = files.paths().map((path) => files.content(path));
    const error = await refusalOf(openLog(FOLDER, { files }));
    assert.match(error.message, message);
    assert.match(error.hint ?? "", /nothing was changed/);
    assert.deepEqual(files.paths().map((path) => files.content(path)), before);
    assert.equal(files.openCount, 0);
  });
}

test("readLog() reads from where an index ends, and no further than it is told", async () => {
  const files = diskOf([3, 2]);
  const { index } = await openLog(FOLDER, { files });
  const until = index.segments.map((one) => ({ ...one }));
  const more = diskOf([3, 3, 2]);
  const known = new LogIndex();
  const seen: number[] = [];
  const options = { files: more, folder: FOLDER, mode: "read", index: known } as const;
  await readLog({ ...options, until, onEntry: (entry) => seen.push(entry.timeMs) });
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  await readLog({ ...options, onEntry: (entry) => seen.push(entry.timeMs) });
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("hasLastEntryOf() tells a log that has it from one that is shorter, another, damaged or gone", async () => {
  const { index } = await openLog(FOLDER, { files: diskOf([3, 2]) });
  const has = (files: FakeFiles) => hasLastEntryOf(index, { files, folder: FOLDER });
  assert.equal(await has(diskOf([3, 2])), true);
  assert.equal(await has(diskOf([3, 4, 1])), true, "a longer log");
  assert.equal(await has(diskOf([3, 1])), false);
  assert.equal(await has(diskOf([3])), false);
  assert.equal(await has(new FakeFiles()), false);
  const other = diskOf([3]);
  other.plant(pathOf(3), segmentOf(3, [entryOf(3), { ...entryOf(4), timeMs: 9 }]));
  assert.equal(await has(other), false);
  const whole = segment(3, 2);
  for (let at = segment(3, 1).length; at < whole.length; at++) {
    const damaged = diskOf([3]);
    damaged.plant(pathOf(3), whole.with(at, whole[at]! ^ 4));
    assert.equal(await has(damaged), false, `byte ${at}`);
  }
  assert.equal(
    await hasLastEntryOf(new LogIndex(), { files: new FakeFiles(), folder: FOLDER }),
    true,
  );
});
