import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOrigin, parseOrigin } from "../../lib/log/origin.ts";

const HEX = "0123456789abcdef";
const rootFingerprint = HEX.repeat(4);
const MAX = Number.MAX_SAFE_INTEGER;

for (const domain of ["pki.internal", "a.b", "pki.example.org", "x-1.y-2.z3"]) {
  for (const generation of [1, 2, 10, MAX]) {
    test(`parseOrigin() reads what formatOrigin() wrote for ${domain}, ${generation}`, () => {
      const origin = formatOrigin({ domain, rootFingerprint, generation });
      assert.equal(origin, `${domain}/${HEX}/${generation}`);
      assert.deepEqual(parseOrigin(origin), { domain, rootFingerprint16: HEX, generation });
    });
  }
}

const BAD_ORIGINS: readonly string[] = [
  "",
  "pki.internal",
  `pki.internal/${HEX}`,
  `pki.internal/${HEX}/`,
  `pki.internal/${HEX}/0`,
  `pki.internal/${HEX}/01`,
  `pki.internal/${HEX}/-1`,
  `pki.internal/${HEX}/1.5`,
  `pki.internal/${HEX}/1e3`,
  `pki.internal/${HEX}/9007199254740992`,
  `pki.internal/${HEX}/10000000000000000`,
  `pki.internal/${HEX}/1/`,
  `pki.internal/${HEX}/1\n`,
  `pki.internal/${HEX}/1/2`,
  ` pki.internal/${HEX}/1`,
  `pki.internal/${HEX.slice(1)}/1`,
  `pki.internal/${HEX}0/1`,
  `pki.internal/${HEX.toUpperCase()}/1`,
  `pki.internal/${HEX.replace("f", "g")}/1`,
  `/${HEX}/1`,
  `internal/${HEX}/1`,
  `PKI.internal/${HEX}/1`,
  `pki..internal/${HEX}/1`,
  `.pki.internal/${HEX}/1`,
  `pki.internal./${HEX}/1`,
  `-pki.internal/${HEX}/1`,
  `pki.int ernal/${HEX}/1`,
  `pki.int+ernal/${HEX}/1`,
  `p\u0456i.internal/${HEX}/1`,
  `../pki.internal/${HEX}/1`,
  `${"a".repeat(64)}.internal/${HEX}/1`,
];

for (const text of BAD_ORIGINS) {
  test(`parseOrigin() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseOrigin(text), {
      name: "PkiError",
      kind: "malformed",
      message: "cannot read the log's origin: it is not one of this program",
    });
  });
}

test("parseOrigin() takes a label of 63 characters", () => {
  assert.equal(parseOrigin(`${"a".repeat(63)}.internal/${HEX}/1`).generation, 1);
});

const GOOD = { domain: "pki.internal", rootFingerprint, generation: 1 };
const BAD_PARTS: readonly { name: string; change: Partial<typeof GOOD> }[] = [
  { name: "generation 0", change: { generation: 0 } },
  { name: "half a generation", change: { generation: 1.5 } },
  { name: "a generation that cannot be counted", change: { generation: MAX + 1 } },
  { name: "what is no domain", change: { domain: "pki/internal" } },
  { name: "a fingerprint of 16 digits", change: { rootFingerprint: HEX } },
  { name: "a fingerprint in capitals", change: { rootFingerprint: rootFingerprint.toUpperCase() } },
];

for (const { name, change } of BAD_PARTS) {
  test(`formatOrigin() refuses ${name}`, () => {
    assert.throws(() => formatOrigin({ ...GOOD, ...change }), {
      name: "PkiError",
      kind: "internal",
    });
  });
}
