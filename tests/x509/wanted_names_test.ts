import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { formatIp, type GeneralName, isWellFormedName } from "../../lib/x509/general_names.ts";
import { isNamed, parseIp, type WantedName } from "../../lib/x509/wanted_names.ts";

const dns = (value: string) => ({ type: "dns", value } as const);
const email = (value: string) => ({ type: "email", value } as const);
const uri = (value: string) => ({ type: "uri", value } as const);
const ip = (text: string) => ({ type: "ip", value: parseIp(text) } as const);

const ROWS: readonly {
  readonly presented: GeneralName;
  readonly wanted: WantedName;
  readonly is: boolean;
}[] = [
  { presented: dns("a.example.org"), wanted: dns("a.example.org"), is: true },
  { presented: dns("A.Example.org"), wanted: dns("a.eXample.ORG"), is: true },
  { presented: dns("a.example.org"), wanted: dns("b.example.org"), is: false },
  { presented: dns("example.org"), wanted: dns("a.example.org"), is: false },
  { presented: dns("a.example.org"), wanted: dns("example.org"), is: false },
  { presented: dns("*.example.org"), wanted: dns("a.example.org"), is: true },
  { presented: dns("*.example.org"), wanted: dns("xn--bcher-kva.example.org"), is: true },
  { presented: dns("*.example.org"), wanted: dns("b.a.example.org"), is: false },
  { presented: dns("*.example.org"), wanted: dns("example.org"), is: false },
  { presented: dns("*.example.org"), wanted: dns(".example.org"), is: false },
  { presented: dns("*.example.org"), wanted: dns("*.example.org"), is: false },
  { presented: dns("a*.example.org"), wanted: dns("ab.example.org"), is: false },
  { presented: dns("a.*.org"), wanted: dns("a.example.org"), is: false },
  { presented: dns("*.org"), wanted: dns("example.org"), is: false },
  { presented: dns("*"), wanted: dns("org"), is: false },
  { presented: dns("10.0.0.1"), wanted: ip("10.0.0.1"), is: false },
  { presented: dns("10.0.0.1"), wanted: dns("10.0.0.1"), is: false },
  { presented: ip("10.0.0.1"), wanted: ip("10.0.0.1"), is: true },
  { presented: ip("10.0.0.1"), wanted: ip("10.0.0.2"), is: false },
  { presented: ip("::1"), wanted: ip("0:0:0:0:0:0:0:1"), is: true },
  { presented: ip("::ffff:10.0.0.1"), wanted: ip("10.0.0.1"), is: false },
  { presented: { type: "ip", value: new Uint8Array(8) }, wanted: ip("0.0.0.0"), is: false },
  { presented: email("a@Example.org"), wanted: email("a@example.ORG"), is: true },
  { presented: email("A@example.org"), wanted: email("a@example.org"), is: false },
  { presented: email("a@b@example.org"), wanted: email("a@b@example.org"), is: false },
  { presented: dns("example.org"), wanted: email("a@example.org"), is: false },
  { presented: uri("spiffe://x/a"), wanted: uri("spiffe://x/a"), is: true },
  { presented: uri("spiffe://x/a"), wanted: uri("spiffe://x/A"), is: false },
  { presented: { type: "other", tag: 0x88 }, wanted: dns("a"), is: false },
];

for (const [i, { presented, wanted, is }] of ROWS.entries()) {
  const show = (name: GeneralName) => "value" in name ? `${name.type} ${name.value}` : name.type;
  test(`isNamed() finds ${show(wanted)} ${is ? "in" : "not in"} ${show(presented)} (${i})`, () => {
    assert.equal(isNamed([presented], wanted), is);
    assert.equal(isNamed([dns("other.example.org"), presented], wanted), is);
    assert.equal(isNamed([], wanted), false);
  });
}

test("isWellFormedName() bounds labels and hosts", () => {
  const label = "a".repeat(63);
  const host = (length: number) => `${`${"a".repeat(49)}.`.repeat(5)}${"b".repeat(length - 250)}`;
  for (
    const [value, is] of [
      [`${label}.org`, true],
      [`a${label}.org`, false],
      [host(253), true],
      [host(254), false],
      ["-a.org", false],
      ["a-.org", false],
      ["a..org", false],
      ["a.org.", false],
      ["", false],
      ["localhost", true],
    ] as const
  ) assert.equal(isWellFormedName(dns(value)), is, value);
});

test("parseIp() reads what formatIp() writes, for every address", () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((bytes) =>
      Uint8Array.from(bytes)
    ),
  );
  fc.assert(fc.property(address, (bytes) => {
    const text = formatIp(bytes);
    assert.equal(isIP(text), bytes.length === 4 ? 4 : 6);
    assert.deepEqual(parseIp(text), new Uint8Array(bytes));
  }));
});

test("parseIp() refuses what is not an address", () => {
  for (
    const text of ["", "a", "10.0.0", "10.0.0.256", "010.0.0.1", "::1%eth0", "[::1]", "1::2::3"]
  ) {
    assert.throws(() => parseIp(text), {
      kind: "usage",
      message: `cannot use address ${JSON.stringify(text)}: not an IP address`,
    });
  }
});
