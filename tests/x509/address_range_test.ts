import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex } from "../../lib/base/bytes.ts";
import { formatIp } from "../../lib/x509/general_names.ts";
import { parseAddressRange } from "../../lib/x509/address_range.ts";
import { parseIp } from "../../lib/x509/wanted_names.ts";

const HINT = "an address looks like 192.0.2.1 or 2001:db8::1, a range like 192.0.2.0/24";
const NO_ADDRESS = "not an IP address";

const ADDRESSES: readonly { readonly text: string; readonly hex?: string }[] = [
  { text: "" },
  { text: "1.2.3" },
  { text: "1.2.3.256" },
  { text: "1.2.3.04" },
  { text: "0x7f.1" },
  { text: " 1.2.3.4" },
  { text: "1.2.3.4/32" },
  { text: "fe80::1%eth0" },
  { text: "[::1]" },
  { text: ":::" },
  { text: "1:2:3:4:5:6:7:8:9" },
  { text: "www.example.org" },
  { text: "0.0.0.0", hex: "00000000" },
  { text: "192.0.2.255", hex: "c00002ff" },
  { text: "::", hex: "0".repeat(32) },
  { text: "::1", hex: "0".repeat(31) + "1" },
  { text: "1::", hex: "0001" + "0".repeat(28) },
  { text: "2001:DB8::a:0:1", hex: "20010db8000000000000000a00000001" },
  { text: "1:2:3:4:5:6:7:8", hex: "00010002000300040005000600070008" },
  { text: "::ffff:192.0.2.1", hex: "00000000000000000000ffffc0000201" },
];

for (const { text, hex } of ADDRESSES) {
  test(`parseIp() ${hex === undefined ? "refuses" : "reads"} ${JSON.stringify(text)}`, () => {
    if (hex !== undefined) return assert.equal(encodeHex(parseIp(text)), hex);
    assert.throws(() => parseIp(text), {
      kind: "usage",
      message: `cannot use address ${JSON.stringify(text)}: ${NO_ADDRESS}`,
    });
  });
}

test("parseIp() reads what formatIp() writes", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    // Many zeros, for the short forms.
    fc.array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 }).map((list) =>
      Uint8Array.from(list)
    ),
  );
  fc.assert(
    fc.property(bytes, (address) => {
      assert.deepEqual(parseIp(formatIp(address)), new Uint8Array(address));
    }),
    { numRuns: 1000 },
  );
});

test("parseIp() reads every form that the platform calls an address", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
    fc.pre(isIPv4(text) || isIPv6(text));
    const bytes = parseIp(text);
    assert.equal(bytes.length, isIPv4(text) ? 4 : 16);
    if (bytes.length === 16) {
      // The URL standard reads addresses by its own rules.
      const read = new URL(`http://[${text}]/`).hostname;
      assert.equal(`[${formatIp(bytes)}]`, read);
    }
  }));
});

const RANGES: readonly {
  readonly text: string;
  readonly hex?: string;
  readonly why?: string;
}[] = [
  { text: "10.0.0.0/33", why: "its prefix is longer than 32 bits" },
  { text: "::/129", why: "its prefix is longer than 128 bits" },
  { text: "10.0.0.1/8", why: "bits behind its prefix are set" },
  { text: "10.0.0.0/", why: "not a range" },
  { text: "10.0.0.0/08", why: "not a range" },
  { text: "10.0.0.0/-1", why: "not a range" },
  { text: "10.0.0.0/8/8", why: "not a range" },
  { text: "10.0.0.0/255.0.0.0", why: "not a range" },
  { text: "0.0.0.0/0", hex: "0000000000000000" },
  { text: "10.0.0.0/8", hex: "0a000000ff000000" },
  { text: "192.0.2.128/25", hex: "c0000280ffffff80" },
  { text: "192.0.2.1", hex: "c0000201ffffffff" },
  { text: "2001:db8::/33", hex: `20010db8${"0".repeat(24)}ffffffff80${"0".repeat(22)}` },
  { text: "::1", hex: `${"0".repeat(31)}1${"f".repeat(32)}` },
];

for (const { text, hex, why } of RANGES) {
  test(`parseAddressRange() ${why === undefined ? "reads" : "refuses"} ${text}`, () => {
    if (why === undefined) return assert.equal(encodeHex(parseAddressRange(text)), hex);
    assert.throws(() => parseAddressRange(text), {
      kind: "usage",
      message: `cannot use address ${JSON.stringify(text)}: ${why}`,
      hint: HINT,
    });
  });
}

test("parseAddressRange() names the address where that is none", () => {
  assert.throws(() => parseAddressRange("example.org/8"), {
    message: `cannot use address "example.org": ${NO_ADDRESS}`,
  });
});
