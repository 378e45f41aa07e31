import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../lib/base/bytes.ts";
import { crc32c } from "../../lib/log/crc32c.ts";

// RFC 3720, appendix B.4, and the check value of the catalogues of checksums.
const VECTORS: readonly { name: string; bytes: Uint8Array; want: number }[] = [
  { name: "nothing", bytes: new Uint8Array(), want: 0 },
  { name: "123456789", bytes: utf8("123456789"), want: 0xe3069283 },
  { name: "32 zeros", bytes: new Uint8Array(32), want: 0x8a9136aa },
  { name: "32 ones", bytes: new Uint8Array(32).fill(0xff), want: 0x62a8ab43 },
  { name: "0 to 31", bytes: Uint8Array.from({ length: 32 }, (_, i) => i), want: 0x46dd794e },
  { name: "31 to 0", bytes: Uint8Array.from({ length: 32 }, (_, i) => 31 - i), want: 0x113fdb5c },
];

for (const { name, bytes, want } of VECTORS) {
  test(`crc32c() agrees with the published value for ${name}`, () => {
    assert.equal(crc32c(bytes), want);
  });
}

test("crc32c() agrees with the definition, bit by bit, at every length and offset", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(9), (bytes, skip) => {
    const part = bytes.subarray(skip);
    assert.equal(crc32c(part), naiveCrc32c(part));
  }));
});

test("crc32c() goes on from what came before", () => {
  fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
    assert.equal(crc32c(b, crc32c(a)), crc32c(Uint8Array.of(...a, ...b)));
  }));
});

function naiveCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
