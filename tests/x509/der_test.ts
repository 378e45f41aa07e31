import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  encodeElement,
  encodeGeneralizedTime,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  parseBoolean,
  parseGeneralizedTime,
  parseNamedBits,
  parseOid,
  parseSmallInteger,
  parseTime,
  parseWholeBits,
  readAs,
  readWhole,
  TAG,
} from "../../lib/x509/der.ts";

function hex(text: string): Bytes {
  return Uint8Array.from(text.match(/[0-9a-f]{2}/g) ?? [], (byte) => Number.parseInt(byte, 16));
}

function malformed(what: string): { kind: string; message: string } {
  return { kind: "malformed", message: `cannot read DER: ${what}` };
}

/** One row a rule: bytes in hex, and the value that they are or the reason why not. */
interface Row<Value> {
  readonly name: string;
  readonly bytes: string;
  readonly want?: Value;
  readonly refused?: string;
}

function testTable<Value>(
  rows: readonly Row<Value>[],
  { title, read }: { readonly title: string; readonly read: (bytes: Uint8Array) => Value },
): void {
  for (const { name, bytes, want, refused } of rows) {
    if (refused !== undefined) {
      test(`${title} refuses ${name}`, () => {
        assert.throws(() => read(hex(bytes)), malformed(refused));
      });
    } else {
      test(`${title} reads ${name}`, () => {
        assert.deepEqual(read(hex(bytes)), want);
      });
    }
  }
}

const EARLY = "it ends too early";
const LENGTH_FORM = "a length of a forbidden form";
const LENGTH_SHORTEST = "a length that is not in its shortest form";

testTable([
  { name: "nothing", bytes: "", refused: EARLY },
  { name: "a tag alone", bytes: "04", refused: EARLY },
  { name: "an indefinite length", bytes: "0480 0401aa 0000", refused: LENGTH_FORM },
  { name: "a length of four bytes", bytes: "04 84 00000001 aa", refused: LENGTH_FORM },
  { name: "the reserved length 0xff", bytes: "04 ff aa", refused: LENGTH_FORM },
  { name: "a long form for 127", bytes: `04 817f ${"aa".repeat(127)}`, refused: LENGTH_SHORTEST },
  { name: "a long form for 0", bytes: "04 8100", refused: LENGTH_SHORTEST },
  {
    name: "two bytes for 255",
    bytes: `04 8200ff ${"aa".repeat(255)}`,
    refused: LENGTH_SHORTEST,
  },
  { name: "three bytes for 256", bytes: "04 83000100", refused: LENGTH_SHORTEST },
  { name: "a length that lacks a byte", bytes: "04 8201", refused: EARLY },
  { name: "a content that lacks a byte", bytes: "04 02 aa", refused: EARLY },
  { name: "16 MiB that are not there", bytes: "04 83ffffff aa", refused: EARLY },
  { name: "a tag of two bytes", bytes: "1f21 01 aa", refused: "a tag of several bytes" },
  { name: "another tag", bytes: "02 01 aa", refused: "tag 0x2 where 0x4 is due" },
  { name: "the constructed form", bytes: "24 03 0401aa", refused: "tag 0x24 where 0x4 is due" },
  { name: "bytes behind the end", bytes: "04 01 aa 00", refused: "bytes behind the end" },
  { name: "an empty content", bytes: "04 00", want: "" },
  { name: "127 bytes", bytes: `04 7f ${"aa".repeat(127)}`, want: "aa".repeat(127) },
  { name: "128 bytes", bytes: `04 8180 ${"aa".repeat(128)}`, want: "aa".repeat(128) },
  { name: "256 bytes", bytes: `04 820100 ${"aa".repeat(256)}`, want: "aa".repeat(256) },
], {
  title: "readWhole()",
  read: (bytes) => encodeHex(readWhole(bytes, bytes[0] === 0x1f ? 0x1f : TAG.octetString).content),
});

test("readWhole() refuses an element of 65,536 bytes at each shorter length", () => {
  const whole = encodeOctetString(new Uint8Array(65_536));
  assert.equal(readWhole(whole, TAG.octetString).content.length, 65_536);
  for (const length of [...Array(10).keys(), 255, 256, 65_535, whole.length - 1]) {
    assert.throws(() => readWhole(whole.subarray(0, length), TAG.octetString), malformed(EARLY));
  }
});

test("DerReader walks what encodeSequence() made, optional elements and all", () => {
  const bytes = encodeSequence(
    encodeInteger(7),
    encodeElement(contextTag(0, true), encodeNull()),
    encodeOctetString(utf8("x")),
  );
  const reader = new DerReader(readWhole(bytes, TAG.sequence).content);
  assert.equal(reader.peekTag(), TAG.integer);
  assert.equal(reader.readOptional(TAG.boolean), undefined);
  assert.equal(parseSmallInteger(reader.read(TAG.integer).content), 7);
  const inner = reader.enter(contextTag(0, true));
  assert.throws(() => inner.end(), malformed("bytes behind the end"));
  assert.equal(encodeHex(inner.read().whole), "0500");
  inner.end();
  assert.equal(encodeHex(reader.readOptional(TAG.octetString)?.whole ?? hex("")), "040178");
  assert.equal(reader.isAtEnd, true);
  assert.equal(reader.peekTag(), undefined);
  assert.equal(reader.readOptional(TAG.octetString), undefined);
  assert.throws(() => reader.read(), malformed(EARLY));
});

test("DerReader stays where it is when it refuses", () => {
  const reader = new DerReader(hex("0401aa"));
  assert.throws(() => reader.read(TAG.integer), malformed("tag 0x4 where 0x2 is due"));
  assert.equal(encodeHex(reader.read(TAG.octetString).content), "aa");
});

test("encodeElement() and readWhole() are inverse, and no shorter prefix is read", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (content) => {
    const whole = encodeOctetString(content);
    const element = readWhole(whole, TAG.octetString);
    assert.deepEqual(element.content, content);
    assert.deepEqual(element.whole, whole);
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => readWhole(whole.subarray(0, length), TAG.octetString), malformed(EARLY));
    }
  }));
});

test("DerReader reads any bytes as exactly what is written again, or refuses them", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const reader = new DerReader(bytes);
      try {
        const element = reader.read();
        assert.deepEqual(
          encodeElement(element.tag, element.content),
          new Uint8Array(element.whole),
        );
      } catch (error) {
        assert.equal((error as { kind?: string }).kind, "malformed", String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

testTable([
  { name: "no byte", bytes: "", refused: "a bad boolean" },
  { name: "two bytes", bytes: "ffff", refused: "a bad boolean" },
  { name: "BER's true", bytes: "01", refused: "a bad boolean" },
  { name: "false", bytes: "00", want: false },
  { name: "true", bytes: "ff", want: true },
], { title: "parseBoolean()", read: parseBoolean });

const INTEGER_SHORTEST = "an integer that is not in its shortest form";

testTable([
  { name: "no byte", bytes: "", refused: "an empty integer" },
  { name: "a zero in front of 127", bytes: "007f", refused: INTEGER_SHORTEST },
  { name: "two zeros", bytes: "0000", refused: INTEGER_SHORTEST },
  { name: "0xff in front of -128", bytes: "ff80", refused: INTEGER_SHORTEST },
  { name: "0", bytes: "00", want: "00" },
  { name: "128", bytes: "0080", want: "0080" },
  { name: "-129", bytes: "ff7f", want: "ff7f" },
  { name: "-1", bytes: "ff", want: "ff" },
  { name: "20 bytes", bytes: `7f${"00".repeat(19)}`, want: `7f${"00".repeat(19)}` },
], { title: "checkInteger()", read: (bytes) => encodeHex(checkInteger(bytes)) });

testTable([
  { name: "no byte", bytes: "", refused: "an empty integer" },
  { name: "a longer form", bytes: "0001", refused: INTEGER_SHORTEST },
  { name: "-1", bytes: "ff", refused: "an integer out of range" },
  { name: "five bytes", bytes: "0100000000", refused: "an integer out of range" },
  { name: "2^31", bytes: "0080000000", refused: "an integer out of range" },
  { name: "2^31 - 1", bytes: "7fffffff", want: 0x7fffffff },
  { name: "128", bytes: "0080", want: 128 },
  { name: "0", bytes: "00", want: 0 },
], { title: "parseSmallInteger()", read: parseSmallInteger });

test("encodeInteger() and parseSmallInteger() are inverse", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (value) => {
    assert.equal(parseSmallInteger(readWhole(encodeInteger(value), TAG.integer).content), value);
  }));
});

testTable([
  { name: "nothing", bytes: "", refused: "an object identifier that ends too early" },
  { name: "an open arc", bytes: "2a86", refused: "an object identifier that ends too early" },
  { name: "a padded arc", bytes: "2a8001", refused: "an object identifier of a forbidden form" },
  {
    name: "a padded first arc",
    bytes: "802a",
    refused: "an object identifier of a forbidden form",
  },
  {
    name: "an arc above 2^53",
    bytes: "2a908080808080808000",
    refused: "an object identifier that is too large",
  },
  {
    name: "an endless arc",
    bytes: `2a${"ff".repeat(200)}7f`,
    refused: "an object identifier that is too large",
  },
  { name: "0.0", bytes: "00", want: "0.0" },
  { name: "0.39", bytes: "27", want: "0.39" },
  { name: "1.0", bytes: "28", want: "1.0" },
  { name: "1.39", bytes: "4f", want: "1.39" },
  { name: "2.0", bytes: "50", want: "2.0" },
  { name: "2.999 (X.690, 8.19.5)", bytes: "8837", want: "2.999" },
  { name: "id-ce-subjectAltName", bytes: "551d11", want: "2.5.29.17" },
  { name: "rsaEncryption", bytes: "2a864886f70d010101", want: "1.2.840.113549.1.1.1" },
], { title: "parseOid()", read: parseOid });

test("encodeOid() and parseOid() are inverse", () => {
  const arc = fc.integer({ min: 0, max: 2 ** 40 });
  const first = fc.oneof(
    fc.tuple(fc.constantFrom(0, 1), fc.nat(39)),
    fc.tuple(fc.constant(2), fc.nat(1000)),
  );
  fc.assert(fc.property(first, fc.array(arc, { maxLength: 10 }), (top, rest) => {
    const oid = [...top, ...rest].join(".");
    assert.equal(parseOid(readWhole(encodeOid(oid), TAG.oid).content), oid);
  }));
});

testTable([
  { name: "nothing", bytes: "", refused: "a bit string that does not fill its bytes" },
  { name: "one unused bit", bytes: "01fe", refused: "a bit string that does not fill its bytes" },
  { name: "whole bytes", bytes: "00aabb", want: "aabb" },
  { name: "no bits", bytes: "00", want: "" },
], { title: "parseWholeBits()", read: (bytes) => encodeHex(parseWholeBits(bytes)) });

const BITS_SHORTEST = "named bits that are not in their shortest form";

testTable([
  { name: "nothing", bytes: "", refused: "a bad bit string" },
  { name: "eight unused bits", bytes: "0880", refused: "a bad bit string" },
  { name: "unused bits of no byte", bytes: "01", refused: "a bad bit string" },
  { name: "17 bits", bytes: "07800080", refused: "a bad bit string" },
  { name: "an unused bit that is set", bytes: "0781", refused: BITS_SHORTEST },
  { name: "a trailing zero bit", bytes: "0680", refused: BITS_SHORTEST },
  { name: "a trailing zero byte", bytes: "008000", refused: BITS_SHORTEST },
  { name: "zero bits in a byte", bytes: "0000", refused: BITS_SHORTEST },
  { name: "no bits", bytes: "00", want: 0 },
  { name: "bit 0", bytes: "0780", want: 1 << 0 },
  { name: "bits 5 and 6", bytes: "0106", want: 1 << 5 | 1 << 6 },
  { name: "bit 8", bytes: "070080", want: 1 << 8 },
], { title: "parseNamedBits()", read: parseNamedBits });

const TIME_FORM = "a time of a forbidden form";
const NO_TIME = "a time that does not exist";

interface TimeRow {
  readonly tag: number;
  readonly text: string;
  readonly want?: string;
  readonly refused?: string;
}

const UTC = TAG.utcTime;
const GENERAL = TAG.generalizedTime;
const TIMES: readonly TimeRow[] = [
  { tag: TAG.ia5String, text: "260101000000Z", refused: "a time of another type" },
  { tag: UTC, text: "", refused: TIME_FORM },
  { tag: UTC, text: "2601010000Z", refused: TIME_FORM },
  { tag: UTC, text: "260101000000", refused: TIME_FORM },
  { tag: UTC, text: "260101000000+0000", refused: TIME_FORM },
  { tag: UTC, text: "260101000000z", refused: TIME_FORM },
  { tag: UTC, text: "26010100000/Z", refused: TIME_FORM },
  { tag: UTC, text: "26010100000:Z", refused: TIME_FORM },
  { tag: UTC, text: "260101000000.5Z", refused: TIME_FORM },
  { tag: UTC, text: "260101000000Z\n", refused: TIME_FORM },
  { tag: UTC, text: " 60101000000Z", refused: TIME_FORM },
  { tag: UTC, text: "20260101000000Z", refused: TIME_FORM },
  { tag: UTC, text: `260101000000Z${"0".repeat(20)}`, refused: TIME_FORM },
  { tag: UTC, text: "260001000000Z", refused: NO_TIME },
  { tag: UTC, text: "261301000000Z", refused: NO_TIME },
  { tag: UTC, text: "260100000000Z", refused: NO_TIME },
  { tag: UTC, text: "260229000000Z", refused: NO_TIME },
  { tag: UTC, text: "260431000000Z", refused: NO_TIME },
  { tag: UTC, text: "260101240000Z", refused: NO_TIME },
  { tag: UTC, text: "260101006000Z", refused: NO_TIME },
  { tag: UTC, text: "260101000060Z", refused: NO_TIME },
  { tag: GENERAL, text: "500101000000Z", refused: TIME_FORM },
  { tag: GENERAL, text: "20500101000000.000Z", refused: TIME_FORM },
  { tag: GENERAL, text: "20491231235959Z", refused: "a year that belongs into a UTCTime" },
  { tag: GENERAL, text: "00500101000000Z", refused: "a year that belongs into a UTCTime" },
  { tag: GENERAL, text: "21000229000000Z", refused: NO_TIME },
  { tag: UTC, text: "500101000000Z", want: "1950-01-01T00:00:00.000Z" },
  { tag: UTC, text: "491231235959Z", want: "2049-12-31T23:59:59.000Z" },
  { tag: UTC, text: "280229123456Z", want: "2028-02-29T12:34:56.000Z" },
  { tag: GENERAL, text: "20500101000000Z", want: "2050-01-01T00:00:00.000Z" },
  { tag: GENERAL, text: "99991231235959Z", want: "9999-12-31T23:59:59.000Z" },
];

for (const { tag, text, want, refused } of TIMES) {
  const name = `tag 0x${tag.toString(16)} ${JSON.stringify(text)}`;
  test(`parseTime() ${refused === undefined ? "reads" : "refuses"} ${name}`, () => {
    const element = readWhole(encodeElement(tag, utf8(text)), tag);
    if (refused !== undefined) assert.throws(() => parseTime(element), malformed(refused));
    else assert.equal(new Date(parseTime(element)).toISOString(), want);
  });
}

const GENERALIZED_TIMES: readonly TimeRow[] = [
  { tag: UTC, text: "260101000000Z", refused: "a time of another type" },
  { tag: GENERAL, text: "20260101000000.5Z", refused: TIME_FORM },
  { tag: GENERAL, text: "202601010000Z", refused: TIME_FORM },
  { tag: GENERAL, text: "20260101000000X", refused: TIME_FORM },
  { tag: GENERAL, text: "20260230000000Z", refused: NO_TIME },
  { tag: GENERAL, text: "00500101000000Z", refused: NO_TIME },
  { tag: GENERAL, text: "19700101000000Z", want: "1970-01-01T00:00:00.000Z" },
  { tag: GENERAL, text: "20261231235959Z", want: "2026-12-31T23:59:59.000Z" },
  { tag: GENERAL, text: "20500101000000Z", want: "2050-01-01T00:00:00.000Z" },
];

for (const { tag, text, want, refused } of GENERALIZED_TIMES) {
  const name = `tag 0x${tag.toString(16)} ${JSON.stringify(text)}`;
  test(`parseGeneralizedTime() ${refused === undefined ? "reads" : "refuses"} ${name}`, () => {
    const bytes = encodeElement(tag, utf8(text));
    const read = () => parseGeneralizedTime(readWhole(bytes, tag));
    if (refused !== undefined) return assert.throws(read, malformed(refused));
    const time = read();
    assert.equal(new Date(time).toISOString(), want);
    assert.deepEqual(encodeGeneralizedTime(time), bytes);
  });
}

test("readAs() names what was read in a refusal, and leaves other errors alone", () => {
  const refusal = { kind: "malformed", message: "cannot read CRL: it ends too early" };
  assert.throws(() => readAs("CRL", () => readWhole(new Uint8Array(), TAG.null)), refusal);
  const other = new PkiError("internal", "cannot read DER: x");
  assert.throws(
    () =>
      readAs("CRL", () => {
        throw other;
      }),
    other,
  );
  assert.equal(readAs("CRL", () => 7), 7);
});
