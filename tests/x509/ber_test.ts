import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex, parseHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { berToDer, isIndefinite } from "../../lib/x509/ber.ts";

/** BER and the same in DER, in hex. */
const ROWS: readonly { readonly name: string; readonly ber: string; readonly der: string }[] = [
  { name: "a primitive element as it is", ber: "020105", der: "020105" },
  { name: "DER as it is", ber: "30060201050401aa", der: "30060201050401aa" },
  { name: "an indefinite length", ber: "30800201050000", der: "3003020105" },
  { name: "an empty indefinite element", ber: "30800000", der: "3000" },
  { name: "one within another", ber: "308030800201050000" + "0000", der: "30053003020105" },
  { name: "a length that is too long", ber: "308103020105", der: "3003020105" },
  { name: "a length with a zero in front", ber: "0483000001aa", der: "0401aa" },
  { name: "a string in pieces", ber: "24800401aa0402bbcc0000", der: "0403aabbcc" },
  { name: "pieces of a length that is said", ber: "24050401aa0400", der: "0401aa" },
  { name: "pieces in pieces", ber: "248024800401aa00000401bb0000", der: "0402aabb" },
  { name: "pieces under another tag", ber: "a0800401aa0401bb0000", der: "a0060401aa0401bb" },
  { name: "zeros in a string", ber: "3080040400000000" + "0000", der: "3006040400000000" },
];

for (const { name, ber, der } of ROWS) {
  test(`berToDer() makes DER of ${name}`, () => {
    assert.equal(encodeHex(berToDer(parseHex(ber))), der);
    assert.equal(encodeHex(berToDer(parseHex(der))), der, "DER stays DER");
  });
}

const REFUSED: readonly { readonly name: string; readonly ber: string; readonly why: string }[] = [
  { name: "nothing", ber: "", why: "it ends too early" },
  { name: "a tag alone", ber: "30", why: "it ends too early" },
  { name: "no end of an indefinite element", ber: "3080020105", why: "it ends too early" },
  { name: "half an end", ber: "308002010500", why: "it ends too early" },
  { name: "a content that is cut", ber: "0402aa", why: "it ends too early" },
  { name: "a length that is cut", ber: "3082", why: "it ends too early" },
  { name: "a member longer than what it is in", ber: "3003020205", why: "it ends too early" },
  { name: "bytes behind the end", ber: "02010500", why: "bytes behind the end" },
  {
    name: "an indefinite primitive element",
    ber: "0480aa0000",
    why: "a length of a forbidden form",
  },
  { name: "a length of four bytes", ber: "048400000001aa", why: "a length of a forbidden form" },
  { name: "a tag of several bytes", ber: "1f810000", why: "a tag of several bytes" },
  {
    name: "a string with a number in it",
    ber: "24030201" + "05",
    why: "a string with pieces of another type",
  },
  { name: "33 levels", ber: "3080".repeat(34) + "0000".repeat(34), why: "too deep" },
];

for (const { name, ber, why } of REFUSED) {
  test(`berToDer() refuses ${name}`, () => {
    assert.throws(() => berToDer(parseHex(ber)), {
      kind: "malformed",
      message: `cannot read BER: ${why}`,
    });
  });
}

test("berToDer() takes 32 levels", () => {
  assert.equal(berToDer(parseHex("3080".repeat(33) + "0000".repeat(33))).length, 66);
});

test("berToDer() reads or refuses any bytes, and what it has read stays as it is", () => {
  const begins = fc.constantFrom("3080", "2480", "a080", "30820005", "0401aa", "0000", "3000");
  fc.assert(
    fc.property(
      fc.array(fc.oneof(begins, fc.nat(255).map((byte) => encodeHex(Uint8Array.of(byte))))),
      (
        parts,
      ) => {
        const bytes = parseHex(parts.join(""));
        try {
          const der = berToDer(bytes);
          assert.deepEqual(berToDer(der), der);
          assert.equal(isIndefinite(der), false);
        } catch (error) {
          assert.ok(error instanceof PkiError && error.kind === "malformed", String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});
