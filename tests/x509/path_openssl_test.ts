/** OpenSSL's opinion of chains that only differ in one thing: it must be ours. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { OID } from "../../lib/x509/certificate.ts";
import { encodeNull, encodeSequence } from "../../lib/x509/der.ts";
import { type PathOptions, validatePath } from "../../lib/x509/path.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { parseIp } from "../../lib/x509/wanted_names.ts";
import {
  extendedKeyUsage,
  type ExtensionSpec,
  generalName,
  inhibitAnyPolicy,
  keyUsage,
  makeChain,
  nameConstraints,
  nameOf,
  NOW_MS,
  policies,
  policyConstraints,
  policyMappings,
  type Spec,
  subjectAltName,
} from "../fakes/paths.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

const ROOT: Spec = { subject: "root", ca: {} };
const CA: Spec = { subject: "ca", ca: {} };
const LEAF: Spec = { subject: "leaf", dns: ["a.example.org"] };
const OPTIONS: PathOptions = { nowMs: NOW_MS, purposes: [OID.serverAuth] };
const DAY_MS = 86_400_000;

interface Row {
  readonly name: string;
  readonly specs: readonly Spec[];
  readonly isGood: boolean;
  readonly options?: Partial<PathOptions>;
  /** What says the same to openssl as `options` to us. */
  readonly args?: readonly string[];
}

const spec = (base: Spec, ...extensions: readonly ExtensionSpec[]): Spec => ({
  ...base,
  extensions,
});
const names = (...all: readonly Uint8Array[]): Spec => spec(LEAF, subjectAltName(...all));
const permitting = (...permitted: readonly Uint8Array[]): Spec =>
  spec(CA, nameConstraints({ permitted }));
const excluding = (...excluded: readonly Uint8Array[]): Spec =>
  spec(CA, nameConstraints({ excluded }));

const { dns, email, uri, ip, directory } = generalName;
const RANGE = ip(10, 1, 0, 0, 255, 255, 0, 0);
const ORGANIZATION = "2.5.4.10";
const inOrganization = (text: string) => nameOf([ORGANIZATION, text], [OID.commonName, "leaf"]);
const [A, B] = ["1.2.3.1", "1.2.3.2"] as const;

/** A leaf under an issuing CA with name constraints. */
function constrained(
  constraints: string,
  ca: Spec,
  rows: readonly (readonly [string, Spec, boolean])[],
): readonly Row[] {
  return rows.map(([what, leaf, isGood]) => ({
    name: `${what} under ${constraints}`,
    specs: [ROOT, ca, leaf],
    isGood,
  }));
}

const CONSTRAINT_ROWS: readonly Row[] = [
  ...constrained("a permitted DNS name", permitting(dns("example.org")), [
    ["a name below", names(dns("a.example.org")), true],
    ["the name itself", names(dns("EXAMPLE.org")), true],
    ["a name that only ends so", names(dns("aexample.org")), false],
    ["a name below and another", names(dns("a.example.org"), dns("example.com")), false],
    ["an address", names(ip(10, 1, 2, 3)), true],
  ]),
  ...constrained("an excluded DNS name", excluding(dns("example.org")), [
    ["a name below", names(dns("a.example.org")), false],
    ["another name", names(dns("a.example.com")), true],
  ]),
  ...constrained("a permitted range", permitting(RANGE), [
    ["an address inside", names(ip(10, 1, 2, 3)), true],
    ["an address outside", names(ip(10, 2, 2, 3)), false],
    ["an IPv6 address", names(ip(...parseIp("::1"))), false],
  ]),
  ...constrained("an excluded range", excluding(RANGE), [
    ["an address inside", names(ip(10, 1, 2, 3)), false],
    ["an address outside", names(ip(10, 2, 2, 3)), true],
  ]),
  ...constrained("a permitted mail host", permitting(email("example.org")), [
    ["an address at it", names(email("a@example.org")), true],
    ["an address below it", names(email("a@b.example.org")), false],
  ]),
  ...constrained("a permitted mail domain", permitting(email(".example.org")), [
    ["an address below it", names(email("a@b.example.org")), true],
    ["an address at it", names(email("a@example.org")), false],
  ]),
  ...constrained("a permitted mailbox", permitting(email("a@example.org")), [
    ["itself", names(email("a@Example.org")), true],
    ["another", names(email("b@example.org")), false],
  ]),
  ...constrained("a permitted host of URIs", permitting(uri("example.org")), [
    ["a URI of it", names(uri("https://example.org/x")), true],
    ["a URI of a host below", names(uri("https://a.example.org/x")), false],
    ["a URI without a host", names(uri("urn:x")), false],
  ]),
  ...constrained("a permitted domain of URIs", permitting(uri(".example.org")), [
    ["a URI of a host below", names(uri("https://a.example.org/x")), true],
    ["a URI of itself", names(uri("https://example.org/x")), false],
  ]),
  ...constrained("a permitted name", permitting(directory(nameOf([ORGANIZATION, "Some Body"]))), [
    ["a subject within", { ...LEAF, subject: inOrganization("some  body") }, true],
    ["a subject outside", { ...LEAF, subject: inOrganization("somebody") }, false],
  ]),
  ...constrained("an excluded name", excluding(directory(nameOf([ORGANIZATION, "x"]))), [
    ["a subject within", { ...LEAF, subject: inOrganization("X") }, false],
    ["a subject outside", { ...LEAF, subject: inOrganization("y") }, true],
  ]),
];

/** For openssl no policy is acceptable where none is named. */
const EXPLICIT = ["-policy_check", "-explicit_policy", "-policy", OID.anyPolicy];

const policyRow = (
  name: string,
  ca: readonly ExtensionSpec[],
  leaf: readonly ExtensionSpec[],
  isGood: boolean,
  more: Pick<Row, "options" | "args"> = {
    options: { policies: { requireExplicit: true } },
    args: EXPLICIT,
  },
): Row => ({ name, specs: [ROOT, spec(CA, ...ca), spec(LEAF, ...leaf)], isGood, ...more });

const acceptable = (...oids: readonly string[]): Pick<Row, "options" | "args"> => ({
  options: { policies: { requireExplicit: true, acceptable: oids } },
  args: ["-policy_check", "-explicit_policy", ...oids.flatMap((oid) => ["-policy", oid])],
});
const noMore = (
  option: string,
  policy: PathOptions["policies"],
): Pick<Row, "options" | "args"> => ({
  options: { policies: { requireExplicit: true, ...policy } },
  args: [...EXPLICIT, option],
});
const check = { options: {}, args: ["-policy_check"] };

const POLICY_ROWS: readonly Row[] = [
  policyRow("the same policy", [policies(A)], [policies(A)], true),
  policyRow("another policy", [policies(A)], [policies(B)], false),
  policyRow("no policy", [], [], false),
  policyRow("no policy where none is needed", [], [], true, check),
  policyRow("any policy", [policies(OID.anyPolicy)], [policies(A)], true),
  policyRow("a mapped policy", [policies(A), policyMappings([A, B])], [policies(B)], true),
  policyRow("a policy mapped away", [policies(A), policyMappings([A, B])], [policies(A)], false),
  policyRow("an acceptable policy", [policies(A, B)], [policies(A)], true, acceptable(A)),
  policyRow("no acceptable policy", [policies(A, B)], [policies(A)], false, acceptable(B)),
  policyRow(
    "a mapped policy by its first name",
    [policies(A), policyMappings([A, B])],
    [policies(B)],
    true,
    acceptable(A),
  ),
  policyRow(
    "a mapped policy by its last name",
    [policies(A), policyMappings([A, B])],
    [policies(B)],
    false,
    acceptable(B),
  ),
  policyRow(
    "mapping that is forbidden",
    [policies(A), policyMappings([A, B])],
    [policies(B)],
    false,
    noMore("-inhibit_map", { inhibitMapping: true }),
  ),
  policyRow(
    "any policy where it is forbidden",
    [policies(A)],
    [policies(OID.anyPolicy)],
    false,
    noMore("-inhibit_any", { inhibitAny: true }),
  ),
  policyRow(
    "any policy that the CA forbids",
    [policies(A), inhibitAnyPolicy(0)],
    [policies(OID.anyPolicy)],
    false,
  ),
  policyRow(
    "a CA that asks for a policy",
    [policies(A), policyConstraints({ requireExplicit: 0 })],
    [policies(B)],
    false,
    check,
  ),
  policyRow(
    "a CA that asks for a policy later",
    [policies(A), policyConstraints({ requireExplicit: 2 })],
    [policies(B)],
    true,
    check,
  ),
  policyRow(
    "a mapping of any policy",
    [policies(OID.anyPolicy), policyMappings([OID.anyPolicy, B])],
    [policies(B)],
    false,
    check,
  ),
];

const unknown = (critical: boolean): ExtensionSpec => ({
  oid: "1.3.6.1.4.1.99999.1",
  critical,
  value: encodeNull(),
});
const many = (pathLength: number, ...cas: readonly string[]): readonly Spec[] => [
  { ...ROOT, ca: { pathLength } },
  ...cas.map((subject) => ({ ...CA, subject })),
  LEAF,
];

const ROWS: readonly Row[] = [
  { name: "a good chain", specs: [ROOT, CA, LEAF], isGood: true },
  { name: "a leaf of the root", specs: [ROOT, LEAF], isGood: true },
  {
    name: "an expired leaf",
    specs: [ROOT, CA, { ...LEAF, notAfterMs: NOW_MS - 1000 }],
    isGood: false,
  },
  {
    name: "an early CA",
    specs: [ROOT, { ...CA, notBeforeMs: NOW_MS + 1000 }, LEAF],
    isGood: false,
  },
  {
    name: "an expired root",
    specs: [{ ...ROOT, notAfterMs: NOW_MS - DAY_MS / 2 }, CA, LEAF],
    isGood: false,
  },
  { name: "a path length that is kept", specs: many(1, "a"), isGood: true },
  { name: "a path length that is exceeded", specs: many(1, "a", "b"), isGood: false },
  { name: "a path length with a new key", specs: many(1, "a", "a"), isGood: true },
  { name: "a path length of 0", specs: many(0, "a"), isGood: false },
  {
    name: "a CA that is none",
    specs: [ROOT, spec(CA, { oid: OID.basicConstraints, value: null }), LEAF],
    isGood: false,
  },
  {
    name: "a CA that says it is none",
    specs: [
      ROOT,
      spec(CA, { oid: OID.basicConstraints, critical: true, value: encodeSequence() }),
      LEAF,
    ],
    isGood: false,
  },
  { name: "a CA that must not sign", specs: [ROOT, spec(CA, keyUsage(0, 6)), LEAF], isGood: false },
  {
    name: "a leaf for clients",
    specs: [ROOT, CA, spec(LEAF, extendedKeyUsage(OID.clientAuth))],
    isGood: false,
  },
  {
    name: "a leaf for servers and clients",
    specs: [ROOT, CA, spec(LEAF, extendedKeyUsage(OID.clientAuth, OID.serverAuth))],
    isGood: true,
  },
  {
    name: "a CA for clients",
    specs: [ROOT, spec(CA, extendedKeyUsage(OID.clientAuth)), LEAF],
    isGood: false,
  },
  {
    name: "a CA for servers",
    specs: [ROOT, spec(CA, extendedKeyUsage(OID.serverAuth)), LEAF],
    isGood: true,
  },
  {
    name: "an unknown critical extension",
    specs: [ROOT, CA, spec(LEAF, unknown(true))],
    isGood: false,
  },
  {
    name: "an unknown critical extension of a CA",
    specs: [ROOT, spec(CA, unknown(true)), LEAF],
    isGood: false,
  },
  { name: "an unknown extension", specs: [ROOT, CA, spec(LEAF, unknown(false))], isGood: true },
  {
    name: "a CA without a key identifier",
    specs: [ROOT, spec(CA, { oid: OID.subjectKeyId, value: null }), LEAF],
    isGood: false,
  },
  {
    name: "the wanted name",
    specs: [ROOT, CA, { ...LEAF, dns: ["*.example.org"] }],
    options: { wanted: [{ type: "dns", value: "b.example.org" }] },
    args: ["-verify_hostname", "b.example.org"],
    isGood: true,
  },
  {
    name: "another name than is wanted",
    specs: [ROOT, CA, { ...LEAF, dns: ["*.example.org"] }],
    options: { wanted: [{ type: "dns", value: "b.a.example.org" }] },
    args: ["-verify_hostname", "b.a.example.org"],
    isGood: false,
  },
  {
    name: "the wanted address",
    specs: [ROOT, CA, spec(LEAF, subjectAltName(ip(...parseIp("fd00::1"))))],
    options: { wanted: [{ type: "ip", value: parseIp("fd00:0::1") }] },
    args: ["-verify_ip", "fd00::1"],
    isGood: true,
  },
];

for (
  const { name, specs, isGood, options, args = [] } of [...ROWS, ...CONSTRAINT_ROWS, ...POLICY_ROWS]
) {
  test(
    `validatePath() and openssl ${isGood ? "accept" : "refuse"} ${name}`,
    { skip: WITHOUT_OPENSSL },
    () => {
      const chain = makeChain(...specs);
      const [leaf, ...above] = chain.map(({ der }) => der);
      const root = above.pop();
      const verified = runOpenssl([
        ...["verify", "-x509_strict", "-purpose", "sslserver", "-attime", `${NOW_MS / 1000}`],
        ...args,
        ...[
          "-CAfile",
          "root.pem",
          ...(above.length > 0 ? ["-untrusted", "cas.pem"] : []),
          "leaf.pem",
        ],
      ], {
        "root.pem": encodeCertificatesPem([root!]),
        "cas.pem": encodeCertificatesPem(above),
        "leaf.pem": encodeCertificatesPem([leaf!]),
      });
      assert.equal(verified.status === 0, isGood, verified.output);
      const validate = () => validatePath(chain, { ...OPTIONS, ...options });
      if (isGood) validate();
      else assert.throws(validate, { kind: "untrusted" });
    },
  );
}
