import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, sha256, utf8 } from "../../lib/base/bytes.ts";
import { encodeLeaf, type Entry } from "../../lib/log/entry.ts";
import { encodeRecord, markFollowing, parseRecord, redactRecord } from "../../lib/log/records.ts";
import {
  encodeRedaction,
  faultOfRedacted,
  parseRedaction,
  type RedactedRecord,
} from "../../lib/log/redaction.ts";

const SECRET = "192.0.2.1";

function entryOf(n: number, hidden: Entry["private"] = { from: SECRET }): Entry {
  return {
    type: "registered",
    timeMs: n,
    public: { n },
    private: hidden,
    salt: hidden === null ? null : new Uint8Array(32).fill(n + 1),
  };
}

function recordOf(n: number, isFollowing = false): Bytes {
  const record = encodeRecord(entryOf(n));
  if (isFollowing) markFollowing(record);
  return record;
}

function redactedOf(n: number, place: Partial<RedactedRecord> = {}): RedactedRecord {
  return {
    index: n,
    segment: 0,
    offset: 16 + 200 * n,
    record: redactRecord(recordOf(n)),
    ...place,
  };
}

const holds = (bytes: Uint8Array, text: string) =>
  new TextDecoder("latin1").decode(bytes).includes(text);

test("redactRecord() takes the private part, and keeps length, leaf and mark", () => {
  for (const isFollowing of [false, true]) {
    const record = recordOf(3, isFollowing);
    const redacted = redactRecord(record);
    assert.ok(holds(record, SECRET));
    assert.ok(!holds(redacted, SECRET));
    assert.equal(redacted.length, record.length);
    assert.deepEqual(redacted.subarray(0, 4), record.subarray(0, 4));
    assert.equal((redacted[1] ?? 0) >> 7, isFollowing ? 1 : 0);
    assert.equal(parseRecord(redacted).private, "redacted");
    assert.deepEqual(encodeLeaf(parseRecord(redacted)), encodeLeaf(entryOf(3)));
    assert.deepEqual(redactRecord(redacted), redacted);
  }
  const open = encodeRecord(entryOf(3, null));
  assert.deepEqual(redactRecord(open), open);
  assert.throws(() => redactRecord(recordOf(3).with(20, 255)), { kind: "storage" });
});

test("parseRedaction() reads what encodeRedaction() writes, and is a copy of it", () => {
  const records = [
    redactedOf(0),
    redactedOf(1, { record: redactRecord(recordOf(1, true)) }),
    redactedOf(7, { index: 2 ** 40 + 5, segment: 2 ** 40, offset: 2 ** 32 - 1 }),
  ];
  for (let count = 1; count <= records.length; count++) {
    const some = records.slice(0, count);
    const bytes = encodeRedaction(some);
    const parsed = parseRedaction(bytes);
    bytes.fill(0);
    assert.deepEqual(parsed, some);
  }
});

const GOOD = encodeRedaction([redactedOf(0), redactedOf(1)]);

test("parseRedaction() refuses every truncation, every flipped bit, and what follows", () => {
  for (let length = 0; length < GOOD.length; length++) {
    assert.throws(() => parseRedaction(GOOD.subarray(0, length)), { kind: "storage" });
  }
  for (let bit = 0; bit < GOOD.length * 8; bit++) {
    const at = bit >> 3;
    const damaged = GOOD.with(at, (GOOD[at] ?? 0) ^ 1 << (bit & 7));
    assert.throws(() => parseRedaction(damaged), { kind: "storage" }, `bit ${bit}`);
  }
  assert.throws(() => parseRedaction(concatBytes(GOOD, Uint8Array.of(0))), {
    message: "it is damaged",
  });
  parseRedaction(GOOD);
});

/** Bytes with a right digest. */
function sealed(content: Uint8Array): Bytes {
  return concatBytes(content, sha256(content));
}

const BODY = GOOD.subarray(0, -32);
const places = (...records: RedactedRecord[]) => encodeRedaction(records);

const REFUSED: readonly { readonly name: string; readonly bytes: Uint8Array; message: string }[] = [
  { name: "nothing", bytes: new Uint8Array(), message: "it has 0 bytes" },
  {
    name: "another format",
    bytes: sealed(BODY.with(11, "2".charCodeAt(0))),
    message: "it is not a redaction of format 1",
  },
  { name: "no records", bytes: places(), message: "it has 0 records, and says 0" },
  {
    name: "fewer records than it says",
    bytes: sealed(BODY.with(16, 3)),
    message: "it has 2 records, and says 3",
  },
  {
    name: "half a place",
    bytes: sealed(concatBytes(BODY, new Uint8Array(9))),
    message: "it ends within a place",
  },
  {
    name: "a place without a record",
    bytes: sealed(concatBytes(BODY, new Uint8Array(16))),
    message: "entry 0: cannot read record: 0 bytes of its header",
  },
  {
    name: "half a record",
    bytes: sealed(concatBytes(BODY, new Uint8Array(16), recordOf(2).subarray(0, 30))),
    message: `entry 0: cannot read record: it has 30 of ${recordOf(2).length} bytes`,
  },
  {
    name: "a record with its private part",
    bytes: places(redactedOf(0, { record: recordOf(0) })),
    message: "entry 0: it is not redacted",
  },
  {
    name: "a record that never had one",
    bytes: places(redactedOf(0, { record: encodeRecord(entryOf(0, null)) })),
    message: "entry 0: it is not redacted",
  },
  {
    name: "an entry twice",
    bytes: places(redactedOf(1), redactedOf(1)),
    message: "its entries are not in order",
  },
  {
    name: "entries from the last to the first",
    bytes: places(redactedOf(1), redactedOf(0)),
    message: "its entries are not in order",
  },
  {
    name: "a segment that begins behind the entry",
    bytes: places(redactedOf(1, { segment: 2 })),
    message: "entry 1 cannot be at byte 216 of segment 2",
  },
  {
    name: "the header of a segment",
    bytes: places(redactedOf(1, { offset: 15 })),
    message: "entry 1 cannot be at byte 15 of segment 0",
  },
];

for (const { name, bytes, message } of REFUSED) {
  test(`parseRedaction() refuses ${name}`, () => {
    assert.throws(() => parseRedaction(bytes), { kind: "storage", message });
  });
}

test("faultOfRedacted() finds none in what was there, what comes there, and any mix of both", () => {
  const old = recordOf(5, true);
  const redacted = redactedOf(5, { record: redactRecord(old) });
  const { record } = redacted;
  for (let at = 0; at <= old.length; at++) {
    const mixes = [
      concatBytes(old.subarray(0, at), record.subarray(at)),
      concatBytes(record.subarray(0, at), old.subarray(at)),
    ];
    for (const mix of mixes) assert.equal(faultOfRedacted(mix, redacted), undefined);
  }
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), (choices) => {
      const mix = record.map((byte, i) => choices[i % choices.length] ? byte : old[i] ?? 0);
      assert.equal(faultOfRedacted(mix, redacted), undefined);
      assert.equal(faultOfRedacted(concatBytes(mix, utf8("what follows")), redacted), undefined);
    }),
    { numRuns: 300 },
  );
});

test("faultOfRedacted() names what is another record, whole or not", () => {
  const redacted = redactedOf(5);
  const { record } = redacted;
  const another = "another record is there";
  const rows: readonly { there: Uint8Array; fault: string }[] = [
    {
      there: record.subarray(0, -1),
      fault: `${record.length - 1} of its ${record.length} bytes are there`,
    },
    { there: new Uint8Array(record.length), fault: another },
    { there: recordOf(6), fault: another },
    { there: recordOf(5, true), fault: another },
    { there: concatBytes(encodeRecord(entryOf(5, null)), record), fault: another },
    { there: encodeRecord(entryOf(5, { from: "192.0.2.12" })), fault: another },
    {
      there: encodeRecord(entryOf(5, { from: "192.0.2.2" })),
      fault: "the record that is there has another leaf",
    },
    {
      there: encodeRecord({ ...entryOf(5), salt: new Uint8Array(32) }),
      fault: "the record that is there has another leaf",
    },
  ];
  for (const { there, fault } of rows) assert.equal(faultOfRedacted(there, redacted), fault);
  // Whatever is public in it, its length and the length of the private part, byte by byte.
  const publicBytes = [...Array(4).keys(), ...Array.from({ length: 14 + 7 + 1 }, (_, i) => 8 + i)];
  for (const at of publicBytes) {
    const there = copyBytes(record.with(at, (record[at] ?? 0) ^ 0x40));
    assert.equal(faultOfRedacted(there, redacted), another, `byte ${at}`);
  }
});
