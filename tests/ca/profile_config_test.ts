import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { DEFAULT_PROFILES } from "../../lib/ca/profile.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { DOMAIN } from "../fakes/ca.ts";

const DAYS = "not a whole number from 1 to 825";
const RSA = "not a whole number from 2048 to 8192";
const URL_RULE = "not an absolute http or https URL in ASCII, with a path";
const USAGE_RULE =
  "neither one of serverAuth, clientAuth, codeSigning, emailProtection, ipsecIKE, " +
  "documentSigning, smartcardLogon nor an object identifier";

/** A field by its path, a value that it must not have, and what is said of it. */
const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ["user", 1, "not an object"],
  ["user", [], "not an object"],
  ["user", null, "not an object"],
  ["root", {}, "no such field"],
  ["user.Days", 1, "no such field"],
  ["user.dnsSuffixes", ["example.org"], "no such field"],
  ["service.wildcards", true, "no such field"],
  ["user.days", 0, DAYS],
  ["user.days", -1, DAYS],
  ["user.days", 1.5, DAYS],
  ["user.days", 826, DAYS],
  ["user.days", "30", DAYS],
  ["user.daysMax", 0, DAYS],
  ["server.daysMax", 826, DAYS],
  ["user.keys", [], "no key type is left"],
  ["user.keys", "p256", "not a list"],
  ["user.keys", ["p256", "p256"], "an entry twice"],
  ["user.keys.0", ["p521"], "not one of p256, p384, rsa, ed25519"],
  ["user.rsaBitsMin", 1024, RSA],
  ["user.rsaBitsMin", 8193, RSA],
  ["user.usages.0", ["anything"], USAGE_RULE],
  ["user.usages.0", [1], "not a text"],
  ["user.usages.0", ["2.5.29.37.0"], "a usage that no end entity may have"],
  ["user.usages.0", ["1.3.6.1.5.5.7.3.9"], "a usage that no end entity may have"],
  ["user.usages.0", ["1.3.6.1.5.5.7.3.8"], "a usage that no end entity may have"],
  ["user.usages", ["codeSigning", "1.3.6.1.5.5.7.3.3"], "an entry twice"],
  ["user.policies", Array.from({ length: 9 }, (_, i) => `1.2.${i}`), "more than 8 entries"],
  ...["", "1", "3.1", "1.40", "1.2.03", "1.2.", "1.2.x", "1.2.2147483648"].map((
    oid,
  ) => ["user.policies.0", [oid], "not an object identifier"] as const),
  ...[
    "",
    "example.org/crl",
    "/crl",
    "ftp://example.org/crl",
    "ldap://example.org/crl",
    "http:///crl",
    "http://example.org",
    "http://example.org:99999/",
    "http://example.org/{issuer",
    "http://exämple.org/crl",
    "http://example.org/a b",
    "http://example.org/\n",
    "http://user:secret@example.org/crl",
    "http://example.org/crl#x",
    "http://example.org/{serial}",
    `http://example.org/${"a".repeat(500)}`,
  ].map((url) => ["user.crl.0", [url], URL_RULE] as const),
  ["server.ocsp.0", ["example.org"], URL_RULE],
  ["service.issuers.0", ["example.org"], URL_RULE],
  ["server.dnsSuffixes", [], "an empty list; leave it out to allow all names"],
  ["server.dnsSuffixes.0", ["Example.org"], "not a DNS name in lower case"],
  ["server.dnsSuffixes.0", [".example.org"], "not a DNS name in lower case"],
  ["server.dnsSuffixes.0", ["*.example.org"], "not a DNS name in lower case"],
  ["server.wildcards", "yes", "neither true nor false"],
  ["server.addresses", 1, "neither true nor false"],
];

function nest(path: string, value: unknown): unknown {
  const [profile = "", field] = path.split(".");
  return field === undefined ? { [profile]: value } : { [profile]: { [field]: value } };
}

for (const [path, value, rule] of REFUSED) {
  test(`parseProfiles() refuses ${path}: ${JSON.stringify(value).slice(0, 60)}`, () => {
    assert.throws(() => parseProfiles(JSON.stringify(nest(path, value)), DOMAIN), {
      kind: "malformed",
      message: `cannot use the profiles: ${path}: ${rule}`,
      hint: "docs/profiles.md says what can be written there",
    });
  });
}

const CROSS = [
  {
    profiles: { user: { days: 31, daysMax: 30 } },
    message: "cannot use the profiles: user.days: more than daysMax, which is 30",
  },
  {
    profiles: { server: { keys: ["p256"], rsaBitsMin: 3072 } },
    message: "cannot use the profiles: server.rsaBitsMin: the profile allows no RSA keys",
  },
];

for (const { profiles, message } of CROSS) {
  test(`parseProfiles() refuses ${JSON.stringify(profiles)}`, () => {
    assert.throws(() => parseProfiles(JSON.stringify(profiles), DOMAIN), {
      kind: "malformed",
      message,
    });
  });
}

for (
  const [json, message] of [
    ["", /^cannot use the profiles: not JSON: ./],
    ["{", /^cannot use the profiles: not JSON: ./],
    ['{"user":{"days":1,"days":9}}', "cannot use the profiles: user.days stands twice"],
    ["null", "cannot use the profiles: the whole: not an object"],
    ["[]", "cannot use the profiles: the whole: not an object"],
    [" ".repeat(262_145), "cannot use the profiles: the whole: too long"],
  ] as const
) {
  test(`parseProfiles() refuses the text ${JSON.stringify(json.slice(0, 10))}`, () => {
    assert.throws(() => parseProfiles(json, DOMAIN), { kind: "malformed", message });
  });
}

test("parseProfiles() has defaults for everything", () => {
  for (const json of [undefined, "{}", '{"user":{},"server":{},"service":{}}']) {
    assert.deepEqual(parseProfiles(json, DOMAIN), { ...DEFAULT_PROFILES, domain: DOMAIN });
  }
  assert.throws(() => parseProfiles(undefined, "internal"), { kind: "usage" });
});

test("parseProfiles() takes what is written", () => {
  const profiles = parseProfiles(
    JSON.stringify({
      user: {
        days: 10,
        daysMax: 20,
        keys: ["rsa", "p384"],
        rsaBitsMin: 3072,
        usages: ["emailProtection", "clientAuth", "1.2.3.4"],
        policies: ["1.3.6.1.4.1.99999.1.1", "2.999.1"],
        crl: ["http://pki.example.org/{issuer}.crl"],
        ocsp: ["https://ocsp.example.org:8080/a?b=c"],
        issuers: ["http://[2001:db8::1]/{issuer}.crt"],
      },
      server: { dnsSuffixes: ["example.org"], wildcards: true, addresses: false },
    }),
    DOMAIN,
  );
  assert.deepEqual(profiles.user, {
    name: "user",
    days: 10,
    daysMax: 20,
    keys: ["rsa", "p384"],
    rsaBitsMin: 3072,
    extendedKeyUsage: [OID.clientAuth, OID.serverAuth, "1.3.6.1.5.5.7.3.4", "1.2.3.4"],
    policies: ["1.3.6.1.4.1.99999.1.1", "2.999.1"],
    crl: ["http://pki.example.org/{issuer}.crl"],
    ocsp: ["https://ocsp.example.org:8080/a?b=c"],
    issuers: ["http://[2001:db8::1]/{issuer}.crt"],
  });
  assert.deepEqual(profiles.server, {
    ...DEFAULT_PROFILES.server,
    dnsSuffixes: ["example.org"],
    areWildcardsAllowed: true,
    areAddressesAllowed: false,
  });
});

test("parseProfiles() lets one of the two numbers of days follow the other", () => {
  const daysOf = (user: unknown) => {
    const { days, daysMax } = parseProfiles(JSON.stringify({ user }), DOMAIN).user;
    return [days, daysMax];
  };
  assert.deepEqual(daysOf({ days: 1 }), [1, 90]);
  assert.deepEqual(daysOf({ days: 825 }), [825, 825]);
  assert.deepEqual(daysOf({ daysMax: 10 }), [10, 10]);
  assert.deepEqual(daysOf({ daysMax: 825 }), [30, 825]);
  assert.deepEqual(daysOf({ days: 5, daysMax: 5 }), [5, 5]);
});

test("parseProfiles() gives what nobody can change", () => {
  const profiles = parseProfiles('{"user":{"usages":["codeSigning"]}}', DOMAIN);
  for (
    const part of [profiles, profiles.user, profiles.user.extendedKeyUsage, profiles.server.keys]
  ) {
    assert.equal(Object.isFrozen(part), true);
  }
});

test("parseProfiles() takes the example of docs/profiles.md", () => {
  const text = fs.readFileSync(new URL("../../docs/profiles.md", import.meta.url), "utf8");
  const [, json] = /```json\n([^`]+)```/.exec(text) ?? [];
  const { user, server, service } = parseProfiles(json, DOMAIN);
  assert.deepEqual([user.days, server.daysMax, service.extendedKeyUsage.length], [10, 90, 2]);
});
