import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  concatBytes,
  copyBytes,
  encodeBase64,
  encodeHex,
  encodeLatin1,
  isEqualBytes,
  parseBase64,
  parseHex,
  parseLatin1,
  parseUtf8,
  sha256,
  utf8,
} from "../../lib/base/bytes.ts";

test("parseUtf8() reads what utf8() wrote", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
    assert.equal(parseUtf8(utf8(text)), text);
  }));
  assert.equal(parseUtf8(utf8("\ufeffx")), "\ufeffx");
});

const NOT_UTF8: readonly { readonly name: string; readonly bytes: readonly number[] }[] = [
  { name: "a lone continuation", bytes: [0x80] },
  { name: "a cut sequence", bytes: [0xe2, 0x82] },
  { name: "an overlong slash", bytes: [0xc0, 0xaf] },
  { name: "a surrogate", bytes: [0xed, 0xa0, 0x80] },
  { name: "a code point above the last", bytes: [0xf4, 0x90, 0x80, 0x80] },
  { name: "0xff", bytes: [0x61, 0xff] },
];

for (const { name, bytes } of NOT_UTF8) {
  test(`parseUtf8() refuses ${name}`, () => {
    assert.throws(() => parseUtf8(Uint8Array.from(bytes)), {
      kind: "malformed",
      message: "cannot read text: it is not UTF-8",
    });
  });
}

test("parseBase64() reads what encodeBase64() wrote", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assert.deepEqual(parseBase64(encodeBase64(bytes)), new Uint8Array(bytes));
  }));
});

for (
  const text of [
    "A",
    "QQ",
    "QQ=",
    "QQ===",
    "QR==",
    "QQ==\n",
    " QQ==",
    "Q Q==",
    "-_-_",
    "QQ==QQ==",
    "=",
    "QÄ==",
  ]
) {
  test(`parseBase64() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseBase64(text), {
      kind: "malformed",
      message: "cannot read base64: it is not in canonical form",
    });
  });
}

test("parseHex() reads what encodeHex() wrote, and nothing else", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assert.deepEqual(parseHex(encodeHex(bytes)), new Uint8Array(bytes));
  }));
  for (const text of ["0", "0g", "AB", " 00", "00\n", "0x00", "00:00"]) {
    assert.throws(() => parseHex(text), {
      kind: "malformed",
      message: "cannot read hex: it is not pairs of the digits 0 to 9, a to f",
    });
  }
});

test("the encoders see only the part that a view shows", () => {
  const view = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
  assert.equal(encodeHex(view), "0203");
  assert.equal(encodeBase64(view), "AgM=");
  assert.equal(encodeHex(sha256(view)), createHash("sha256").update(view).digest("hex"));
});

test("copyBytes() and parseBase64() give memory of its own", () => {
  const buffer = Buffer.from("abc");
  const copy = copyBytes(buffer);
  buffer.fill(0);
  assert.deepEqual(copy, utf8("abc"));
  assert.equal(copy.buffer.byteLength, 3);
  assert.equal(parseBase64("YWJj").buffer.byteLength, 3);
});

test("concatBytes() and sha256() take parts as one", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array()), (parts) => {
    const whole = concatBytes(...parts);
    assert.deepEqual([...whole], parts.flatMap((part) => [...part]));
    assert.deepEqual(sha256(...parts), sha256(whole));
  }));
});

test("isEqualBytes() compares length and content", () => {
  assert.equal(isEqualBytes(utf8("ab"), utf8("ab")), true);
  assert.equal(isEqualBytes(utf8("ab"), utf8("ac")), false);
  assert.equal(isEqualBytes(utf8("ab"), utf8("abc")), false);
  assert.equal(isEqualBytes(utf8(""), utf8("")), true);
});

test("encodeLatin1() takes every byte, also of a view, and parseLatin1() gives it back", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  assert.deepEqual([...encodeLatin1(all)].map((character) => character.charCodeAt(0)), [...all]);
  fc.assert(fc.property(fc.uint8Array(), fc.nat(9), (bytes, from) => {
    const view = bytes.subarray(from);
    assert.deepEqual([...parseLatin1(encodeLatin1(view))], [...view]);
  }));
});
