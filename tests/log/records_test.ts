import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { crc32c } from "../../lib/log/crc32c.ts";
import { encodeLeaf, type Entry, redactEntry, type StoredEntry } from "../../lib/log/entry.ts";
import {
  encodeFileHeader,
  encodeRecord,
  faultOfHeader,
  FILE_HEADER_BYTES,
  leafOf,
  type LogRecord,
  markFollowing,
  parseRecord,
  readRecords,
  recordBytesAt,
  type RecordsEnd,
} from "../../lib/log/records.ts";

const ENTRIES: readonly Entry[] = [
  {
    type: "registered",
    timeMs: 1,
    public: { id: "alice" },
    private: { r: "x" },
    salt: new Uint8Array(32).fill(9),
  },
  { type: "issued", timeMs: 2, public: { id: "alice", serial: "0a" }, private: null, salt: null },
  { type: "published", timeMs: 3, public: {}, private: null, salt: null },
];
const RECORDS = ENTRIES.map(encodeRecord);
const FILE = concatBytes(encodeFileHeader(0), ...RECORDS);
/** Where each record starts, and the end. */
const BOUNDS = RECORDS.reduce(
  (bounds, record) => [...bounds, bounds.at(-1)! + record.length],
  [FILE_HEADER_BYTES],
);

function read(
  bytes: Uint8Array,
): { records: LogRecord[]; entries: StoredEntry[]; end: RecordsEnd } {
  const records: LogRecord[] = [];
  const fault = faultOfHeader(bytes, 0);
  const end: RecordsEnd = fault !== undefined
    ? { status: "corrupt", offset: 0, reason: fault }
    : readRecords(
      bytes.subarray(FILE_HEADER_BYTES),
      { index: 0, offset: FILE_HEADER_BYTES },
      (record) => records.push(record),
    );
  return { records, entries: records.map(({ entry }) => entry), end };
}

/** A record with a right checksum around any body. */
function wrap(body: Uint8Array): Bytes {
  const record = concatBytes(new Uint8Array(8), body);
  const view = new DataView(record.buffer);
  view.setUint32(0, body.length);
  view.setUint32(4, crc32c(body, crc32c(record.subarray(0, 4))));
  return record;
}

test("leafOf() is what encodeLeaf() makes, of what is written and of what is read", () => {
  const entries = [...ENTRIES, ...ENTRIES.map(redactEntry)];
  for (const entry of entries) {
    const record = encodeRecord(entry);
    assert.deepEqual(copyBytes(leafOf(record, entry)), encodeLeaf(entry));
    markFollowing(record);
    const behind = concatBytes(record, utf8("another"));
    assert.deepEqual(copyBytes(leafOf(behind, parseRecord(behind))), encodeLeaf(entry));
  }
  const leaves = read(FILE).records.map(({ leaf }) => copyBytes(leaf));
  assert.deepEqual(leaves, ENTRIES.map(encodeLeaf));
});

test("encodeFileHeader() writes the documented bytes", () => {
  assert.equal(encodeHex(encodeFileHeader(0)), "706b69206c6f6720310a000000000000");
  assert.equal(encodeHex(encodeFileHeader(0x123456)), "706b69206c6f6720310a000000123456");
});

test("faultOfHeader() accepts the header of this segment and no other", () => {
  assert.equal(faultOfHeader(encodeFileHeader(7), 7), undefined);
  const wanted = "byte 0: the file is not a log of format 1 from entry 7";
  assert.equal(faultOfHeader(encodeFileHeader(8), 7), wanted);
  for (let length = 0; length < FILE_HEADER_BYTES; length++) {
    assert.equal(faultOfHeader(encodeFileHeader(7).subarray(0, length), 7), wanted);
  }
});

test("readRecords() counts from where it is told to", () => {
  const places: [number, number][] = [];
  const end = readRecords(
    FILE.subarray(BOUNDS[1]),
    { index: 41, offset: 1000 },
    ({ index, offset }) => places.push([index, offset]),
  );
  assert.deepEqual(places, [[41, 1000], [42, 1000 + RECORDS[1]!.length]]);
  assert.deepEqual(end, { status: "complete", offset: 1000 + FILE.length - BOUNDS[1]! });
});

test("parseRecord() reads one record, also with others behind it, and no part of one", () => {
  const bytes = FILE.subarray(BOUNDS[0]);
  assert.equal(recordBytesAt(bytes), RECORDS[0]!.length);
  assert.deepEqual(parseRecord(bytes), ENTRIES[0]);
  for (let length = 0; length < RECORDS[0]!.length; length++) {
    assert.throws(() => parseRecord(bytes.subarray(0, length)), { kind: "storage" });
  }
  for (let bit = 0; bit < RECORDS[0]!.length * 8; bit++) {
    const record = RECORDS[0]!.slice();
    record[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => parseRecord(record), { kind: "storage" });
  }
});

test("recordBytesAt() believes no header that claims too much", () => {
  const header = new Uint8Array(8);
  new DataView(header.buffer).setUint32(0, LIMITS.recordBytesMax - 8);
  assert.equal(recordBytesAt(header), LIMITS.recordBytesMax);
  new DataView(header.buffer).setUint32(0, LIMITS.recordBytesMax - 7);
  assert.throws(() => recordBytesAt(header), { kind: "storage" });
  assert.throws(() => recordBytesAt(header.subarray(0, 7)), { kind: "storage" });
});

// Made with Python's struct and a checksum of its own, from docs/log.md.
test("encodeRecord() writes the documented bytes", () => {
  const record = encodeRecord({
    type: "issued",
    timeMs: 1_790_000_000_001,
    public: { serial: "0a", list: [1, null] },
    private: null,
    salt: null,
  });
  assert.equal(
    encodeHex(record),
    "0000004ee781234d0102000001a0c4506c010000001f" +
      "7b2273657269616c223a223061222c226c697374223a5b312c6e756c6c5d7d00" + "00".repeat(32),
  );
});

test("encodeRecord() takes a record as long as the limit and refuses a longer one", () => {
  const entryOf = (text: string): Entry => ({ ...ENTRIES[2]!, public: { text } });
  const spare = LIMITS.recordBytesMax - encodeRecord(entryOf("")).length;
  const longest = encodeRecord(entryOf("a".repeat(spare)));
  assert.equal(longest.length, LIMITS.recordBytesMax);
  assert.equal(read(concatBytes(encodeFileHeader(0), longest)).end.status, "complete");
  assert.throws(() => encodeRecord(entryOf("a".repeat(spare + 1))), {
    kind: "storage",
    message: "cannot log entry: record has 1048577 bytes, at most 1048576 allowed",
  });
});

test("readRecords() hands over entries with their places", () => {
  const { records, end } = read(FILE);
  assert.deepEqual(
    records.map(({ leaf: _, ...record }) => record),
    ENTRIES.map((entry, index) => ({
      index,
      offset: BOUNDS[index],
      recordBytes: RECORDS[index]!.length,
      entry,
    })),
  );
  assert.deepEqual(end, { status: "complete", offset: FILE.length });
});

test("readRecords() reads a log without entries, and a view into other bytes", () => {
  assert.deepEqual(read(encodeFileHeader(0)).end, { status: "complete", offset: 16 });
  const around = concatBytes(utf8("abc"), FILE, utf8("def"));
  const { entries, end } = read(around.subarray(3, 3 + FILE.length));
  assert.deepEqual(entries, ENTRIES);
  assert.equal(end.status, "complete");
});

test("readRecords() calls every truncation torn at the last whole record", () => {
  for (let length = 0; length < FILE.length; length++) {
    const { entries, end } = read(FILE.subarray(0, length));
    const whole = BOUNDS.filter((bound) => bound <= length).length - 1;
    assert.deepEqual(entries, ENTRIES.slice(0, Math.max(whole, 0)));
    if (whole < 0) {
      assert.equal(end.status, "corrupt");
    } else {
      // A header begins with zeros, as space that was reserved does.
      const isNothing = FILE.subarray(BOUNDS[whole], length).every((byte) => byte === 0);
      assert.equal(end.status, isNothing ? "complete" : "torn");
      assert.equal(end.offset, BOUNDS[whole]);
    }
  }
});

test("readRecords() notices every flipped bit: torn in the last record, corrupt before it", () => {
  for (let bit = 0; bit < FILE.length * 8; bit++) {
    const file = FILE.slice();
    file[bit >> 3]! ^= 1 << (bit & 7);
    const { entries, end } = read(file);
    const index = BOUNDS.findLastIndex((bound) => bound <= bit >> 3);
    assert.equal(end.status, index === ENTRIES.length - 1 ? "torn" : "corrupt", `bit ${bit}`);
    assert.equal(end.offset, BOUNDS[index] ?? 0);
    assert.deepEqual(entries, ENTRIES.slice(0, Math.max(index, 0)));
  }
});

test("readRecords() cuts no more than the last record when its byte is any other byte", () => {
  const last = BOUNDS.at(-2)!;
  for (let at = last; at < FILE.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      if (byte === FILE[at]) continue;
      const { entries, end } = read(FILE.with(at, byte));
      assert.equal(end.status, "torn");
      assert.deepEqual(entries, ENTRIES.slice(0, -1));
    }
  }
});

test("readRecords() calls several torn records at the end one torn tail", () => {
  // A write of two records, of which the disk kept the length and the start of the content. The last
  // 33 bytes of these records are zeros anyhow.
  for (let from = BOUNDS[1]! + 4; from < BOUNDS[2]! - 33; from++) {
    const file = FILE.slice().fill(0, from);
    const { entries, end } = read(file);
    assert.equal(end.status, "torn");
    assert.deepEqual(entries, ENTRIES.slice(0, 1));
  }
});

test("readRecords() takes a tail of zeros for reserved space, however long", () => {
  for (const zeros of [1, 7, 8, 9, 4096, 100_000]) {
    const { entries, end } = read(concatBytes(FILE, new Uint8Array(zeros)));
    assert.deepEqual(entries, ENTRIES);
    assert.deepEqual(end, { status: "complete", offset: FILE.length });
    const other = concatBytes(FILE, new Uint8Array(zeros), Uint8Array.of(1));
    assert.equal(read(other).end.status, "torn");
  }
});

/** The same entries, the last two written together with what is before them. */
const FOLLOWING = RECORDS.map((record, i) => {
  const marked = record.slice();
  if (i > 0) markFollowing(marked);
  return marked;
});
const TOGETHER = concatBytes(encodeFileHeader(0), ...FOLLOWING);

test("markFollowing() changes header and checksum of a record, and nothing that is read from it", () => {
  for (const [i, record] of FOLLOWING.entries()) {
    assert.deepEqual(parseRecord(record), ENTRIES[i]);
    assert.equal(recordBytesAt(record), record.length);
    assert.deepEqual(record.subarray(8), RECORDS[i]!.subarray(8));
    assert.equal(record[0], 0);
    assert.equal(record[1], i > 0 ? 0x80 : 0);
    for (let bit = 0; bit < 64; bit++) {
      const flipped = record.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => parseRecord(flipped), { kind: "storage" }, `bit ${bit}`);
    }
  }
  assert.deepEqual(read(TOGETHER).entries, ENTRIES);
  assert.equal(read(TOGETHER).end.status, "complete");
});

test("readRecords() calls a write torn of which any part is missing, and corrupt what another write follows", () => {
  const reserved = new Uint8Array(1000);
  for (let at = FILE_HEADER_BYTES; at < TOGETHER.length; at++) {
    if (TOGETHER[at] === 0) continue;
    const file = TOGETHER.with(at, 0);
    const whole = BOUNDS.findLastIndex((bound) => bound <= at);
    for (const space of [reserved, new Uint8Array()]) {
      const { entries, end } = read(concatBytes(file, space));
      assert.equal(end.status, "torn", `byte ${at}`);
      assert.equal(end.offset, BOUNDS[whole]);
      assert.deepEqual(entries, ENTRIES.slice(0, whole));
    }
    const { end } = read(concatBytes(file, RECORDS[0]!, reserved));
    assert.equal(end.status, "corrupt", `byte ${at}`);
    assert.equal(end.offset, BOUNDS[whole]);
    assert.match(
      "reason" in end ? end.reason : "",
      new RegExp(`a whole record follows at byte ${TOGETHER.length}$`),
    );
  }
});

test("readRecords() calls it corrupt when a whole record follows, wherever it starts", () => {
  const hole = BOUNDS[2]! - BOUNDS[1]!;
  for (let length = 1; length <= hole + 9; length++) {
    const file = concatBytes(FILE.subarray(0, BOUNDS[1]), new Uint8Array(length), RECORDS[2]!);
    const { entries, end } = read(file);
    assert.deepEqual(entries, ENTRIES.slice(0, 1));
    assert.equal(end.status, "corrupt");
    assert.equal(end.offset, BOUNDS[1]);
    const next = BOUNDS[1]! + length;
    assert.match(
      "reason" in end ? end.reason : "",
      new RegExp(`a whole record follows at byte ${next}$`),
    );
  }
});

const LAST = `record 3 at byte ${FILE.length}`;
const TAILS: readonly { name: string; tail: Uint8Array; end: Partial<RecordsEnd> }[] = [
  {
    name: "a cut header",
    tail: RECORDS[0]!.subarray(0, 7),
    end: { status: "torn", reason: `${LAST} has 7 bytes of its header` },
  },
  {
    name: "a header without a body",
    tail: RECORDS[0]!.subarray(0, 8),
    end: { status: "torn", reason: `${LAST} has 8 of ${RECORDS[0]!.length} bytes` },
  },
  {
    name: "a wrong checksum",
    tail: RECORDS[0]!.with(20, 255),
    end: { status: "torn", reason: `${LAST} fails its checksum` },
  },
  // What is whole and not understood was written by somebody: it is never cut.
  {
    name: "a whole record of another format",
    tail: wrap(Uint8Array.of(2)),
    end: {
      status: "corrupt",
      reason: `${LAST} is whole: cannot read entry: format is 2, 1 wanted`,
    },
  },
  {
    name: "a whole record without a body",
    tail: wrap(new Uint8Array()),
    end: {
      status: "corrupt",
      reason: `${LAST} is whole: cannot read entry: format needs 1 bytes, 0 are left`,
    },
  },
  {
    name: "a whole record that is too long",
    tail: wrap(new Uint8Array(LIMITS.recordBytesMax - 7)),
    end: { status: "corrupt", reason: `${LAST} is whole: record is too long` },
  },
];

for (const { name, tail, end } of TAILS) {
  test(`readRecords() calls ${name} at the end ${end.status}`, () => {
    const result = read(concatBytes(FILE, tail));
    assert.deepEqual(result.entries, ENTRIES);
    assert.deepEqual(result.end, { offset: FILE.length, ...end });
  });
}

test("readRecords() refuses a file that is not a log of this format", () => {
  for (const bytes of [new Uint8Array(), new Uint8Array(100), utf8("pki log 2\n\0\0\0\0\0\0")]) {
    assert.deepEqual(read(bytes).end, {
      status: "corrupt",
      offset: 0,
      reason: "byte 0: the file is not a log of format 1 from entry 0",
    });
  }
});

test("readRecords() gives a prefix of what was written, whatever happens to one stretch", () => {
  fc.assert(
    fc.property(
      fc.nat(FILE.length - FILE_HEADER_BYTES),
      fc.nat(60),
      fc.uint8Array({ maxLength: 60 }),
      (at, removed, junk) => {
        const from = FILE_HEADER_BYTES + at;
        const file = concatBytes(FILE.subarray(0, from), junk, FILE.subarray(from + removed));
        const { entries, end } = read(file);
        // Taking out a whole record leaves a whole log: that, only the tree can tell.
        if (end.status !== "complete") {
          assert.deepEqual(entries, ENTRIES.slice(0, entries.length));
        } else {
          assert.ok(entries.every((entry) => ENTRIES.some((known) => isSame(entry, known))));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

function isSame(a: StoredEntry, b: StoredEntry): boolean {
  return encodeHex(encodeRecord(a)) === encodeHex(encodeRecord(b));
}
