import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import {
  encodeEntry,
  encodeLeaf,
  type Entry,
  type JsonObject,
  parseEntry,
  parseLeaf,
  redactEntry,
} from "../../lib/log/entry.ts";

const REGISTERED: Entry = {
  type: "registered",
  timeMs: 1_790_000_000_000,
  public: { id: "alice" },
  private: { record: "ö" },
  salt: Uint8Array.from({ length: 32 }, (_, i) => i),
};
const ISSUED: Entry = {
  type: "issued",
  timeMs: 1_790_000_000_001,
  public: { serial: "0a", list: [1, null] },
  private: null,
  salt: null,
};

const HEAD = "0101000001a0c4506c000000000e" + "7b226964223a22616c696365227d";
const SALT = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const HIDDEN = "7b227265636f7264223a22c3b6227d";
/** What redaction leaves of it: its length, and zeros. */
const GAP = "0000000f" + "00".repeat(15);
const COMMITMENT = "ea3ea219723de539b60c68d3afec313131b67c117a651e2940e08c7fdb5291fa";

// Made with Python's struct and hashlib, from docs/log.md.
test("encodeEntry() writes the documented bytes", () => {
  assert.equal(encodeHex(encodeEntry(REGISTERED)), `${HEAD}01${SALT}0000000f${HIDDEN}`);
  assert.equal(encodeHex(encodeEntry(redactEntry(REGISTERED))), `${HEAD}02${COMMITMENT}${GAP}`);
  assert.equal(
    encodeHex(encodeEntry(ISSUED)),
    "0102000001a0c4506c010000001f" +
      "7b2273657269616c223a223061222c226c697374223a5b312c6e756c6c5d7d00" + "00".repeat(32),
  );
});

test("encodeLeaf() writes the documented bytes", () => {
  assert.equal(encodeHex(encodeLeaf(REGISTERED)), `${HEAD}01${COMMITMENT}`);
  assert.equal(
    encodeHex(sha256(Uint8Array.of(0), encodeLeaf(ISSUED))),
    "32fc7e605cf2ee9814a64c2f6dd92c2ea3ab0ee7a17423b6672364ccf4d65cc6",
  );
});

const json = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue())
  .map((value) => JSON.parse(JSON.stringify(value)) as JsonObject);
const salt = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => new Uint8Array(bytes));
const anyEntry: fc.Arbitrary<Entry> = fc.record({
  type: fc.constantFrom(
    ...["registered", "issued", "published", "credentials", "revoked", "restarted"] as const,
    ...["disabled", "enabled", "deleted", "invited", "withdrawn"] as const,
  ),
  timeMs: fc.maxSafeNat(),
  public: json,
  hidden: fc.oneof(
    fc.constant({ private: null, salt: null }),
    fc.record({ private: json, salt }),
  ),
}).map(({ hidden, ...head }) => ({ ...head, ...hidden }));

test("parseEntry() reads what encodeEntry() writes", () => {
  fc.assert(fc.property(anyEntry, (entry) => {
    const body = encodeEntry(entry);
    const parsed = parseEntry(body);
    assert.deepEqual(parsed, entry);
    assert.deepEqual(encodeEntry(parsed), body);
  }));
});

test("redactEntry() takes the private part away, keeps the leaf, and is read back", () => {
  fc.assert(fc.property(anyEntry, (entry) => {
    const redacted = redactEntry(entry);
    assert.equal(redacted.private, entry.private === null ? null : "redacted");
    assert.deepEqual(encodeLeaf(redacted), encodeLeaf(entry));
    assert.deepEqual(redactEntry(redacted), redacted);
    assert.deepEqual(parseEntry(encodeEntry(redacted)), redacted);
  }));
  const body = Buffer.from(encodeEntry(redactEntry(REGISTERED)));
  assert.equal(body.includes(utf8("record")), false);
  assert.equal(body.includes(REGISTERED.salt!), false);
});

test("encodeLeaf() depends on everything in the entry", () => {
  const changes: readonly Partial<Entry>[] = [
    {},
    { type: "published" },
    { timeMs: 1 },
    { public: { id: "bob" } },
    { private: { record: "x" } },
    { salt: new Uint8Array(32) },
    { private: null },
  ];
  const leaves = changes.map((change) => encodeHex(encodeLeaf({ ...REGISTERED, ...change })));
  assert.equal(new Set(leaves).size, changes.length);
});

test("parseEntry() owns its bytes: changing the body changes nothing", () => {
  for (const entry of [REGISTERED, redactEntry(REGISTERED)]) {
    const body = encodeEntry(entry);
    const parsed = parseEntry(body);
    body.fill(0);
    assert.deepEqual(parsed, entry);
  }
});

test("encodeEntry() leaves out the salt where there is nothing to hide", () => {
  const entry = { ...REGISTERED, private: null };
  assert.deepEqual(parseEntry(encodeEntry(entry)), { ...entry, salt: null });
});

for (
  const [name, change] of Object.entries<Partial<Entry>>({
    "no salt": { salt: null },
    "a short salt": { salt: new Uint8Array(31) },
    "a negative time": { timeMs: -1 },
    "half a millisecond": { timeMs: 0.5 },
    "a time that cannot be counted": { timeMs: 2 ** 53 },
  })
) {
  test(`encodeEntry() refuses ${name} as our own mistake`, () => {
    assert.throws(() => encodeEntry({ ...REGISTERED, ...change }), { kind: "internal" });
  });
}

test("parseEntry() refuses every truncation", () => {
  for (const entry of [REGISTERED, ISSUED, redactEntry(REGISTERED)]) {
    const body = encodeEntry(entry);
    for (let length = 0; length < body.length; length++) {
      assert.throws(() => parseEntry(body.subarray(0, length)), { kind: "storage" });
    }
  }
});

const TIME = "000001a0c4506c00";
const NO_PRIVATE = "00" + "00".repeat(32);
const REFUSALS: readonly { name: string; hex: string; message: string }[] = [
  {
    name: "another format",
    hex: `02${HEAD.slice(2)}${NO_PRIVATE}`,
    message: "format is 2, 1 wanted",
  },
  { name: "no type", hex: `0100${HEAD.slice(4)}${NO_PRIVATE}`, message: "type 0 is unknown" },
  { name: "a new type", hex: `01ff${HEAD.slice(4)}${NO_PRIVATE}`, message: "type 255 is unknown" },
  {
    name: "a time that cannot be counted",
    hex: `01010020000000000000${HEAD.slice(20)}${NO_PRIVATE}`,
    message: "time is out of range",
  },
  {
    name: "a public part longer than the body",
    hex: `0101${TIME}ffffffff7b7d`,
    message: "public part needs 4294967295 bytes, 2 are left",
  },
  {
    name: "a public part that is not UTF-8",
    hex: `0101${TIME}000000027bff${NO_PRIVATE}`,
    message: "public part is not JSON",
  },
  {
    name: "a public part that is not JSON",
    hex: `0101${TIME}000000027b7b${NO_PRIVATE}`,
    message: "public part is not JSON",
  },
  {
    name: "an empty public part",
    hex: `0101${TIME}00000000${NO_PRIVATE}`,
    message: "public part is not JSON",
  },
  {
    name: "an array",
    hex: `0101${TIME}000000025b5d${NO_PRIVATE}`,
    message: "public part is not a JSON object",
  },
  {
    name: "null",
    hex: `0101${TIME}000000046e756c6c${NO_PRIVATE}`,
    message: "public part is not a JSON object",
  },
  {
    name: "JSON with a space",
    hex: `0101${TIME}000000037b207d${NO_PRIVATE}`,
    message: "public part is not JSON in its one form",
  },
  {
    name: "a name given twice",
    hex: `0101${TIME}0000000d${encodeHex(utf8('{"a":1,"a":2}'))}${NO_PRIVATE}`,
    message: "public part is not JSON in its one form",
  },
  { name: "another flag", hex: `${HEAD}03${SALT}`, message: "flag is 3, 0 to 2 wanted" },
  {
    name: "a commitment to nothing",
    hex: `${HEAD}00${COMMITMENT}`,
    message: "it commits to a private part that it says it never had",
  },
  {
    name: "a private part longer than the body",
    hex: `${HEAD}01${SALT}00000010${HIDDEN}`,
    message: "private part needs 16 bytes, 15 are left",
  },
  {
    name: "a private part that is not an object",
    hex: `${HEAD}01${SALT}0000000131`,
    message: "private part is not a JSON object",
  },
  {
    name: "more after no private part",
    hex: `${HEAD}${NO_PRIVATE}00`,
    message: "1 bytes follow its end",
  },
  {
    name: "more after a private part",
    hex: `${HEAD}01${SALT}0000000f${HIDDEN}00`,
    message: "1 bytes follow its end",
  },
  {
    name: "more after a redacted part",
    hex: `${HEAD}02${COMMITMENT}${GAP}0000`,
    message: "2 bytes follow its end",
  },
  {
    name: "a redacted part without its length",
    hex: `${HEAD}02${COMMITMENT}`,
    message: "length needs 4 bytes, 0 are left",
  },
  {
    name: "a redacted part of which something is left",
    hex: `${HEAD}02${COMMITMENT}${GAP.slice(0, -2)}01`,
    message: "something is left of a redacted part",
  },
];

for (const { name, hex, message } of REFUSALS) {
  test(`parseEntry() refuses ${name}`, () => {
    assert.throws(
      () => parseEntry(Buffer.from(hex, "hex")),
      (error) =>
        error instanceof PkiError && error.kind === "storage" &&
        error.message === `cannot read entry: ${message}`,
    );
  });
}

test("parseEntry() accepts the good row", () => {
  assert.deepEqual(parseEntry(Buffer.from(`${HEAD}${NO_PRIVATE}`, "hex")), {
    ...REGISTERED,
    private: null,
    salt: null,
  });
});

test("parseEntry() never throws anything else, whatever the bytes", () => {
  const body = encodeEntry(REGISTERED);
  fc.assert(fc.property(fc.uint8Array(), fc.nat(body.length), (junk, keep) => {
    try {
      parseEntry(Uint8Array.of(...body.subarray(0, keep), ...junk));
    } catch (error) {
      assert.ok(error instanceof PkiError && error.kind === "storage");
    }
  }));
});

test("redactEntry() keeps the length of the record, so that none behind it moves", () => {
  fc.assert(fc.property(anyEntry, (entry) => {
    assert.equal(encodeEntry(redactEntry(entry)).length, encodeEntry(entry).length);
  }));
});

test("parseLeaf() reads what encodeLeaf() writes, before and after redaction", () => {
  fc.assert(fc.property(anyEntry, (entry) => {
    for (const stored of [entry, redactEntry(entry)]) {
      const { type, timeMs, public: shown, hasPrivate } = parseLeaf(encodeLeaf(stored));
      assert.deepEqual({ type, timeMs, shown }, {
        type: entry.type,
        timeMs: entry.timeMs,
        shown: entry.public,
      });
      assert.equal(hasPrivate, entry.private !== null);
    }
  }));
});

test("parseLeaf() refuses every truncation, a byte more, and a flag that is none", () => {
  const leaf = encodeLeaf(REGISTERED);
  for (let length = 0; length < leaf.length; length++) {
    assert.throws(() => parseLeaf(leaf.subarray(0, length)), { kind: "storage" });
  }
  assert.throws(() => parseLeaf(new Uint8Array([...leaf, 0])), { kind: "storage" });
  assert.throws(() => parseLeaf(leaf.with(leaf.length - 33, 2)), { kind: "storage" });
});
