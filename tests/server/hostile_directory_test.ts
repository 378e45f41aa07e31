/**
 * The authority's port, with a directory at the other end that has been taken over: it may have any name
 * of the trust domain certified, which nothing can prevent, and must not get anything beyond that.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeLatin1, parseLatin1 } from "../../lib/base/bytes.ts";
import { createAuthority } from "../../lib/ca/authority.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { packCertified, unpackCertification } from "../../lib/server/authority_port.ts";
import type { PackedCertification } from "../../lib/server/ports.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { isIssuedBy } from "../../lib/x509/path.ts";
import { DOMAIN, makeCa, makeOtherIssuer, NOW_MS } from "../fakes/directory.ts";

const CA = await makeCa();
const OUTSIDE = await makeOtherIssuer(CA, { outside: ["example.org"] });
const KEY = await generatePrivateKey("p256");
const CSR = encodeLatin1(await makeCsr(KEY, "alice"));
const SPKI = encodeLatin1(encodeSpki(KEY));
const DAYS_MAX = 400;

const authority = createAuthority({
  issuing: { certificate: CA.issuing, key: CA.issuingKey },
  others: [OUTSIDE],
  domain: DOMAIN,
  profiles: parseProfiles(undefined, DOMAIN),
  now: () => NOW_MS,
});

const odd = fc.anything({ withTypedArray: true, withNullPrototype: true, withBigInt: true });
const name = fc.constantFrom(
  ...["alice", "a.b", "server", "", "..", "*", "alice.user", "ALICE", "xn--a", "a\0b"],
  ...[DOMAIN, `www.${DOMAIN}`, `*.${DOMAIN}`, `server.${DOMAIN}`, `.${DOMAIN}`, `${DOMAIN}.`],
  ...["example.org", "www.example.org", "*.example.org", "example.com", `not${DOMAIN}`],
  ...["10.1.2.3", "::1", "192.0.2.1", `${DOMAIN}.example.com`, "spiffe://x", "a@b.test"],
);
/** A question as it may be, and fields that take the place of its own. */
const usual = fc.oneof(
  fc.record({ profile: fc.constantFrom("user", "service"), id: name, csr: fc.constant(CSR) }),
  fc.record({ profile: fc.constantFrom("user", "service"), id: name, spki: fc.constant(SPKI) }),
  fc.record({
    profile: fc.constant("server"),
    dns: fc.array(name, { minLength: 1, maxLength: 2 }),
    spki: fc.constant(SPKI),
  }),
);
const altered = fc.record({
  profile: fc.oneof(fc.constantFrom("user", "server", "issuing", "root", "__proto__"), odd),
  id: odd,
  dns: fc.oneof(fc.array(fc.oneof(name, odd), { maxLength: 3 }), odd),
  addresses: fc.oneof(fc.array(fc.oneof(name, odd), { maxLength: 2 }), odd),
  csr: odd,
  spki: odd,
  days: fc.oneof(fc.constantFrom(1, 30, 90, 100_000, 0, -1, 0.5, NaN), odd),
  isCa: odd,
  extensions: odd,
}, { requiredKeys: [] });
const certification = fc.oneof(
  usual,
  fc.tuple(usual, altered, fc.nat(8)).map(([question, fields, at]) => {
    // One field at most times: more of them are refused for the first.
    const [field] = Object.entries(fields).slice(at);
    return { ...question, ...(field ? Object.fromEntries([field]) : fields) };
  }),
);

const isWithin = (domain: string) => (dns: string) =>
  dns === domain || dns.endsWith(`.${domain}`) || dns === `*.${domain}`;

function check(der: string): "domain" | "outside" {
  const made = parseCertificate(parseLatin1(der));
  const issuer = [CA.issuing, OUTSIDE.certificate].find((one) => isIssuedBy(made, one));
  assert.ok(issuer, "of one of the CAs");
  const isOutside = issuer === OUTSIDE.certificate;
  assert.equal(made.basicConstraints?.isCa ?? false, false);
  assert.ok(made.notAfterMs <= issuer.notAfterMs);
  assert.ok(made.notAfterMs - made.notBeforeMs <= DAYS_MAX * 86_400_000);
  assert.deepEqual(encodeLatin1(made.spki), SPKI);
  assert.ok(made.names.length > 0);
  for (const one of made.names) {
    const { type } = one;
    const value = "value" in one ? String(one.value) : "";
    if (type === "dns") {
      assert.ok(isWithin(isOutside ? "example.org" : DOMAIN)(value), value);
    } else if (type === "uri") {
      assert.ok(!isOutside && value.startsWith(`spiffe://${DOMAIN}/`), value);
    } else {
      assert.ok(isOutside && type === "ip", `${type} ${value}`);
    }
  }
  return isOutside ? "outside" : "domain";
}

test("whatever a directory asks of the authority, it gets no CA and no name from elsewhere", () => {
  const made = { domain: 0, outside: 0 };
  fc.assert(
    fc.property(certification, (asked) => {
      let answer;
      try {
        const packed = structuredClone(asked) as unknown as PackedCertification;
        answer = packCertified(authority.certify(unpackCertification(packed)));
      } catch (error) {
        assert.ok(error instanceof Error); // which one, tests of the authority say
        return;
      }
      made[check(answer.certificate ?? "")]++;
    }),
    { numRuns: 1500, endOnFailure: true },
  );
  assert.ok(made.domain > 0 && made.outside > 0, JSON.stringify(made));
});
