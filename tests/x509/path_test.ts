import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type Bytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { OID, parseCertificate } from "../../lib/x509/certificate.ts";
import {
  contextTag,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { KEY_USAGE } from "../../lib/x509/extensions.ts";
import { examinePath, type PathOptions, validatePath } from "../../lib/x509/path.ts";
import { failedCheckOf, PATH_CHECKS, type PathCheck } from "../../lib/x509/path_failure.ts";
import {
  certify,
  extendedKeyUsage,
  type ExtensionSpec,
  generalName,
  keyUsage,
  makeChain,
  nameConstraints,
  nameOf,
  NOW_MS,
  policies,
  policyConstraints,
  type Spec,
  subjectAltName,
} from "../fakes/paths.ts";

const ROOT: Spec = { subject: "root", ca: {} };
const CA: Spec = { subject: "ca", ca: {} };
const LEAF: Spec = { subject: "leaf", dns: ["a.example.org"] };
const EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
const OPTIONS: PathOptions = { nowMs: NOW_MS, purposes: [OID.serverAuth] };

/** Which check refuses it, for which certificate (0 is the leaf), in which words. */
type Refusal = readonly [PathCheck, number | undefined, string];

interface Row {
  readonly name: string;
  /** Root first. */
  readonly specs: readonly Spec[];
  readonly options?: Partial<PathOptions>;
  readonly refused?: Refusal;
}

const root = (deviation: Partial<Spec>): readonly Spec[] => [{ ...ROOT, ...deviation }, CA, LEAF];
const ca = (deviation: Partial<Spec>): readonly Spec[] => [ROOT, { ...CA, ...deviation }, LEAF];
const leaf = (deviation: Partial<Spec>): readonly Spec[] => [ROOT, CA, { ...LEAF, ...deviation }];
const extension = (oid: string, critical: boolean, value: Uint8Array | null): Partial<Spec> => ({
  extensions: [{ oid, critical, value }],
});
const extensions = (...all: readonly ExtensionSpec[]): Partial<Spec> => ({ extensions: all });

const SERIAL = "has a serial number that is not positive or longer than 20 bytes";
const EMPTY_NAME = encodeSequence();
const BASIC = encodeSequence(Uint8Array.of(1, 1, 0xff));
const CPS_QUALIFIER = "1.3.6.1.5.5.7.2.1";

function policyWithQualifier(qualifier: string): Bytes {
  const qualifiers = encodeSequence(encodeSequence(encodeOid(qualifier), encodeNull()));
  return encodeSequence(encodeSequence(encodeOid("1.2.3"), qualifiers));
}

const FORM_ROWS: readonly Row[] = [
  {
    name: "a serial number of 0",
    specs: leaf({ serial: Uint8Array.of(0) }),
    refused: ["form", 0, `it ${SERIAL}`],
  },
  {
    name: "a negative serial number",
    specs: ca({ serial: Uint8Array.of(0x80) }),
    refused: ["form", 1, `the issuing CA ${SERIAL}`],
  },
  {
    name: "a serial number of 21 bytes",
    specs: leaf({ serial: new Uint8Array(21).fill(1) }),
    refused: ["form", 0, `it ${SERIAL}`],
  },
  { name: "a serial number of 20 bytes", specs: leaf({ serial: new Uint8Array(20).fill(1) }) },
  { name: "a root whose serial number is 0", specs: root({ serial: Uint8Array.of(0) }) },
  {
    name: "an issuer without a name",
    specs: leaf({ issuerName: EMPTY_NAME }),
    refused: ["form", 0, "it has no issuer"],
  },
  {
    name: "a CA without a name",
    specs: ca({ subject: EMPTY_NAME }),
    refused: ["form", 0, "it has no issuer"],
  },
  {
    name: "a leaf without a subject whose names are not critical",
    specs: leaf({ subject: EMPTY_NAME }),
    refused: ["form", 0, "it has no subject, and no names marked critical in its place"],
  },
  {
    name: "a leaf without a subject whose names are critical",
    specs: leaf({
      subject: EMPTY_NAME,
      extensions: [{ ...subjectAltName(generalName.dns("a.example.org")), critical: true }],
    }),
  },
  {
    name: "a CA without a key identifier",
    specs: ca(extension(OID.subjectKeyId, false, null)),
    refused: ["form", 1, "the issuing CA has no key identifier"],
  },
  {
    name: "a leaf without its issuer's key identifier",
    specs: leaf(extension(OID.authorityKeyId, false, null)),
    refused: ["form", 0, "it does not identify its issuer's key"],
  },
  { name: "a root without any", specs: root(extension(OID.authorityKeyId, false, null)) },
  {
    name: "a key identifier marked critical",
    specs: root(extension(OID.subjectKeyId, true, encodeOctetString(utf8("x")))),
    refused: ["form", 2, "the root has extension 2.5.29.14 marked critical"],
  },
  {
    name: "policy constraints that are not critical",
    specs: ca(extensions({ ...policyConstraints({ inhibitMapping: 0 }), critical: false })),
    refused: ["form", 1, "the issuing CA has extension 2.5.29.36 not marked critical"],
  },
  {
    name: "name constraints in a leaf",
    specs: leaf(
      extensions(nameConstraints({ permitted: [generalName.dns("x")] })),
    ),
    refused: ["form", 0, "it has name constraints and is not a CA"],
  },
  {
    name: "name constraints that are not critical",
    specs: ca(
      extensions({ ...nameConstraints({ excluded: [generalName.dns("x")] }), critical: false }),
    ),
    refused: ["form", 1, "the issuing CA has name constraints that are not marked critical"],
  },
  {
    name: "a DNS name with an underscore",
    specs: leaf({ dns: ["a_b.example.org"] }),
    refused: ["form", 0, 'it has a name that is not well formed: dns "a_b.example.org"'],
  },
  {
    name: "a wildcard over a top-level domain",
    specs: leaf({ dns: ["*.org"] }),
    refused: ["form", 0, 'it has a name that is not well formed: dns "*.org"'],
  },
  { name: "a wildcard over a domain", specs: leaf({ dns: ["*.example.org"] }) },
  {
    name: "an address of 8 bytes",
    specs: leaf(extensions(subjectAltName(generalName.ip(10, 0, 0, 0, 255, 0, 0, 0)))),
    refused: ["form", 0, "it has a name that is not well formed: ip 0a000000ff000000"],
  },
];

const issuerOf = (index: number, above: string): Refusal => [
  "issuer",
  index,
  `${index === 0 ? "it" : "the issuing CA"} is not issued by ${above}`,
];

const ROWS: readonly Row[] = [
  {
    name: "another issuer's name",
    specs: leaf({ issuerName: nameOf([OID.commonName, "cb"]) }),
    refused: issuerOf(0, "the issuing CA"),
  },
  {
    name: "an issuer's name in other letters and spaces",
    specs: [ROOT, { ...CA, subject: "Some  CA" }, {
      ...LEAF,
      issuerName: nameOf([OID.commonName, " sOME ca"]),
    }],
  },
  {
    name: "another issuer's key identifier",
    specs: ca(
      extension(
        OID.authorityKeyId,
        false,
        encodeSequence(encodeElement(contextTag(0, false), utf8("x"))),
      ),
    ),
    refused: issuerOf(1, "the root"),
  },
  {
    name: "a CA that is not valid yet",
    specs: ca({ notBeforeMs: NOW_MS + 1000 }),
    refused: ["time", 1, "the issuing CA is not valid before 2026-11-01T12:00:01.000Z"],
  },
  { name: "a CA that becomes valid now", specs: ca({ notBeforeMs: NOW_MS }) },
  {
    name: "a root that has expired",
    specs: root({ notAfterMs: NOW_MS - 1000 }),
    refused: ["time", 2, "the root expired 2026-11-01T11:59:59.000Z"],
  },
  { name: "a root that expires now", specs: root({ notAfterMs: NOW_MS }) },
  {
    name: "an unknown critical extension",
    specs: ca(extension("1.2.3.4", true, encodeNull())),
    refused: ["critical-extension", 1, "the issuing CA has the unknown critical extension 1.2.3.4"],
  },
  { name: "an unknown extension", specs: ca(extension("1.2.3.4", false, encodeNull())) },
  {
    name: "an unknown qualifier in critical policies",
    specs: leaf(extension(OID.certificatePolicies, true, policyWithQualifier("1.2.9"))),
    refused: ["critical-extension", 0, "it has the unknown policy qualifier 1.2.9"],
  },
  {
    name: "an unknown qualifier in policies",
    specs: leaf(extension(OID.certificatePolicies, false, policyWithQualifier("1.2.9"))),
  },
  {
    name: "a known qualifier in critical policies",
    specs: leaf(extension(OID.certificatePolicies, true, policyWithQualifier(CPS_QUALIFIER))),
  },
  {
    name: "a CA that is none",
    specs: ca(extension(OID.basicConstraints, false, null)),
    refused: ["basic-constraints", 1, "the issuing CA is not a CA"],
  },
  {
    name: "a CA that does not say so critically",
    specs: root(extension(OID.basicConstraints, false, BASIC)),
    refused: ["basic-constraints", 2, "the root is not a CA"],
  },
  { name: "a leaf that is a CA", specs: [ROOT, CA, { ...LEAF, ca: {} }] },
  {
    name: "a path length of 0 over a CA",
    specs: root({ ca: { pathLength: 0 } }),
    refused: ["path-length", 1, "the root must not have a CA below it"],
  },
  { name: "a path length of 1 over a CA", specs: root({ ca: { pathLength: 1 } }) },
  { name: "a path length of 0 over a leaf", specs: ca({ ca: { pathLength: 0 } }) },
  {
    name: "a path length of 0 over a leaf that is a CA",
    specs: [ROOT, { ...CA, ca: { pathLength: 0 } }, { ...LEAF, ca: {} }],
  },
  {
    name: "a path length of 1 over two CAs",
    specs: [{ ...ROOT, ca: { pathLength: 1 } }, CA, { ...CA, subject: "b" }, LEAF],
    refused: ["path-length", 1, "the root must not have more than 1 CA below it"],
  },
  {
    name: "a path length of 1 over a CA and its new key",
    specs: [{ ...ROOT, ca: { pathLength: 1 } }, CA, CA, LEAF],
  },
  {
    name: "a longer path length below a shorter one",
    specs: [
      { ...ROOT, ca: { pathLength: 1 } },
      { ...CA, ca: { pathLength: 5 } },
      { ...CA, subject: "b" },
      LEAF,
    ],
    refused: ["path-length", 1, "the root must not have more than 1 CA below it"],
  },
  {
    name: "more CAs than are wanted",
    specs: ca({}),
    options: { intermediatesMax: 0 },
    refused: ["path-length", 1, "there must not be more than 0 CAs between it and the root"],
  },
  { name: "as many CAs as are wanted", specs: ca({}), options: { intermediatesMax: 1 } },
  {
    name: "a CA that must not sign certificates",
    specs: ca(extensions(keyUsage(0, 6))),
    refused: ["key-usage", 1, "the issuing CA must not sign certificates"],
  },
  {
    name: "a CA that does not say what its key is for",
    specs: ca(extension(OID.keyUsage, false, null)),
  },
  {
    name: "a leaf that may sign certificates and is no CA",
    specs: leaf(extensions(keyUsage(0, 5))),
    refused: ["key-usage", 0, "its key may sign certificates, but it is not a CA"],
  },
  {
    name: "a key that is not for what is wanted",
    specs: leaf(extensions(keyUsage(4))),
    options: { keyUsage: KEY_USAGE.digitalSignature },
    refused: ["key-usage", 0, "its key is not meant for this use"],
  },
  {
    name: "a key that is for what is wanted",
    specs: leaf({}),
    options: { keyUsage: KEY_USAGE.digitalSignature },
  },
  {
    name: "a key that is for anything",
    specs: leaf(extension(OID.keyUsage, false, null)),
    options: { keyUsage: KEY_USAGE.digitalSignature },
  },
  {
    name: "another purpose",
    specs: leaf(extensions(extendedKeyUsage(OID.clientAuth))),
    refused: ["extended-key-usage", 0, "it is not meant for this use"],
  },
  {
    name: "one purpose of two",
    specs: leaf(extensions(extendedKeyUsage(OID.clientAuth))),
    options: { purposes: [OID.clientAuth, OID.serverAuth] },
    refused: ["extended-key-usage", 0, "it is not meant for this use"],
  },
  {
    name: "the purpose among others",
    specs: leaf(extensions(extendedKeyUsage(OID.clientAuth, OID.serverAuth))),
  },
  { name: "any purpose", specs: leaf(extensions(extendedKeyUsage(OID.anyExtendedKeyUsage))) },
  {
    name: "a CA for another purpose",
    specs: ca(extensions(extendedKeyUsage(EMAIL_PROTECTION))),
    refused: ["extended-key-usage", 1, "the issuing CA is not meant for this use"],
  },
  { name: "a CA for the purpose", specs: ca(extensions(extendedKeyUsage(OID.serverAuth))) },
  {
    name: "a CA for any purpose",
    specs: ca(extensions(extendedKeyUsage(OID.anyExtendedKeyUsage))),
  },
  {
    name: "a root for another purpose",
    specs: root(extensions(extendedKeyUsage(EMAIL_PROTECTION))),
    refused: ["extended-key-usage", 2, "the root is not meant for this use"],
  },
  {
    name: "a name outside the issuing CA's names",
    specs: ca(extensions(nameConstraints({ permitted: [generalName.dns("example.com")] }))),
    refused: ["name-constraints", 0, "it has a name that its issuing CA must not certify"],
  },
  {
    name: "a CA's name outside the root's names",
    specs: [
      { ...ROOT, ...extensions(nameConstraints({ permitted: [generalName.dns("example.org")] })) },
      { ...CA, dns: ["example.com"] },
      LEAF,
    ],
    refused: ["name-constraints", 1, "the issuing CA has a name that the root must not certify"],
  },
  {
    name: "a name that the root permits and its CA does not",
    specs: [
      { ...ROOT, ...extensions(nameConstraints({ permitted: [generalName.dns("example.org")] })) },
      {
        ...CA,
        ...extensions(nameConstraints({ permitted: [generalName.dns("b.example.org")] })),
      },
      LEAF,
    ],
    refused: ["name-constraints", 0, "it has a name that its issuing CA must not certify"],
  },
  {
    name: "a name that a CA permits and the root does not",
    specs: [
      {
        ...ROOT,
        ...extensions(nameConstraints({ permitted: [generalName.dns("b.example.org")] })),
      },
      { ...CA, ...extensions(nameConstraints({ permitted: [generalName.dns("example.org")] })) },
      LEAF,
    ],
    refused: ["name-constraints", 0, "it has a name that the root must not certify"],
  },
  {
    name: "a name of a CA with a new key outside its own names",
    specs: [
      ROOT,
      { ...CA, ...extensions(nameConstraints({ permitted: [generalName.dns("example.org")] })) },
      { ...CA, dns: ["example.com"] },
      LEAF,
    ],
  },
  {
    name: "malformed name constraints",
    specs: ca(extensions(nameConstraints({ excluded: [generalName.dns(".example.com")] }))),
    refused: ["name-constraints", 1, "the issuing CA has malformed name constraints"],
  },
  {
    name: "a policy of the leaf that the chain is not for",
    specs: [ROOT, { ...CA, ...extensions(policies("1.2.3")) }, {
      ...LEAF,
      ...extensions(policies("1.2.4")),
    }],
    options: { policies: { requireExplicit: true } },
    refused: ["policy", 0, "it is of no policy that the chain is for"],
  },
  {
    name: "a wanted name that is not there",
    specs: leaf({}),
    options: { wanted: [{ type: "dns", value: "b.example.org" }] },
    refused: ["names", 0, 'it is not for dns "b.example.org"'],
  },
  {
    name: "a wanted name that is there, and one that is not",
    specs: leaf({ dns: ["a.example.org", "b.example.org"] }),
    options: {
      wanted: [
        { type: "dns", value: "b.example.org" },
        { type: "ip", value: Uint8Array.of(10, 0, 0, 1) },
      ],
    },
    refused: ["names", 0, "it is not for ip 10.0.0.1"],
  },
  {
    name: "a wanted name that is there",
    specs: leaf({}),
    options: { wanted: [{ type: "dns", value: "A.Example.org" }] },
  },
  {
    name: "no status where one is wanted",
    specs: leaf({}),
    options: { revocation: {} },
    refused: [
      "revocation",
      1,
      "whether the issuing CA was revoked is not known: there is no CRL of its issuer that is about it",
    ],
  },
  {
    name: "no status where none is needed",
    specs: leaf({}),
    options: { revocation: { isUnknownGood: true } },
  },
  {
    name: "a leaf that was revoked",
    specs: leaf({}),
    options: {
      revocation: {
        statusOf: (certificate) =>
          certificate.commonNames[0] === "leaf"
            ? { status: "revoked", revokedMs: NOW_MS - 1000, reason: "keyCompromise" }
            : { status: "good" },
      },
    },
    refused: ["revocation", 0, "it was revoked 2026-11-01T11:59:59.000Z (keyCompromise)"],
  },
  {
    name: "a CA that was revoked, where only the leaf is asked about",
    specs: leaf({}),
    options: {
      revocation: {
        isLeafOnly: true,
        statusOf: (certificate) =>
          certificate.commonNames[0] === "leaf"
            ? { status: "good" }
            : { status: "revoked", revokedMs: NOW_MS, reason: "unspecified" },
      },
    },
  },
  { name: "a leaf directly under the root", specs: [ROOT, LEAF] },
  { name: "a good chain", specs: leaf({}) },
];

for (const { name, specs, options, refused } of [...FORM_ROWS, ...ROWS]) {
  test(`validatePath() ${refused ? "refuses" : "accepts"} ${name}`, () => {
    const chain = makeChain(...specs);
    const all = { ...OPTIONS, ...options };
    const findings = examinePath(chain, all);
    const failed = findings.filter(({ failure }) => failure).map(({ check }) => check);
    if (!refused) {
      assert.deepEqual(validatePath(chain, all).chain, chain);
      assert.deepEqual(failed, []);
      return;
    }
    const [check, index, message] = refused;
    assert.throws(() => validatePath(chain, all), (error) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.kind, "untrusted");
      assert.equal(error.message, `cannot trust certificate: ${message}`);
      assert.deepEqual({ ...failedCheckOf(error) }, { check, index });
      return true;
    });
    assert.equal(failed[0], check);
  });
}

/** Another signature, key or algorithm in a certificate of a good chain. */
function withSpki(spki: Uint8Array, at: "leaf" | "ca" = "leaf"): readonly Spec[] {
  return at === "leaf" ? leaf({ spki }) : ca({ spki });
}

const spkiOf = (key: Parameters<typeof createPublicKey>[0]): Uint8Array =>
  createPublicKey(key).export({ format: "der", type: "spki" });
const rsa = (modulusLength: number, publicExponent = 65_537) =>
  spkiOf(generateKeyPairSync("rsa", { modulusLength, publicExponent }).privateKey);
const ec = (namedCurve: string) => spkiOf(generateKeyPairSync("ec", { namedCurve }).privateKey);

const KEY_ROWS: readonly {
  readonly name: string;
  readonly spki: Uint8Array;
  readonly refused?: string;
}[] = [
  {
    name: "RSA of 1024 bits",
    spki: rsa(1024),
    refused: "cannot use the key: RSA of 1024 bits, 2048 to 16384 needed",
  },
  { name: "RSA of 2048 bits", spki: rsa(2048) },
  { name: "RSA with the exponent 3", spki: rsa(2048, 3) },
  {
    name: "a curve that is not accepted",
    spki: encodeSequence(
      encodeSequence(encodeOid("1.2.840.10045.2.1"), encodeOid("1.3.132.0.10")),
      encodeElement(TAG.bitString, Uint8Array.of(0, 4), new Uint8Array(64).fill(1)),
    ),
    refused: "cannot use the key: curve 1.3.132.0.10 is not accepted",
  },
  { name: "P-384", spki: ec("P-384") },
  { name: "P-521", spki: ec("P-521") },
  { name: "Ed25519", spki: spkiOf(generateKeyPairSync("ed25519").privateKey) },
  {
    name: "X25519",
    spki: spkiOf(generateKeyPairSync("x25519").privateKey),
    refused: "cannot use the key: key type 1.3.101.110 is not accepted",
  },
  {
    name: "a curve by its parameters",
    spki: encodeSequence(
      encodeSequence(encodeOid("1.2.840.10045.2.1"), encodeSequence(encodeInteger(1))),
      encodeElement(TAG.bitString, Uint8Array.of(0, 4)),
    ),
    refused: "cannot use the key: its curve has no name",
  },
  {
    name: "a point that is not on its curve",
    spki: encodeSequence(
      encodeSequence(encodeOid("1.2.840.10045.2.1"), encodeOid("1.2.840.10045.3.1.7")),
      encodeElement(TAG.bitString, Uint8Array.of(0, 4), new Uint8Array(64).fill(1)),
    ),
    refused: "cannot use the key: it is damaged",
  },
];

for (const { name, spki, refused } of KEY_ROWS) {
  test(`validatePath() ${refused ? "refuses" : "accepts"} a leaf's key: ${name}`, () => {
    const chain = makeChain(...withSpki(spki));
    if (!refused) return void validatePath(chain, OPTIONS);
    assert.throws(() => validatePath(chain, OPTIONS), (error) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.message, `cannot trust certificate: it: ${refused}`);
      assert.deepEqual({ ...failedCheckOf(error) }, { check: "algorithm", index: 0 });
      return true;
    });
  });
}

test("validatePath() refuses an algorithm that is not the issuer's key's, and a wrong signature", () => {
  const top = certify(ROOT);
  const middle = certify(CA, top);
  const end = certify(LEAF, middle);
  const failing = (chain: readonly (typeof end.certificate)[]) => {
    try {
      validatePath(chain, OPTIONS);
    } catch (error) {
      return { ...failedCheckOf(error), message: (error as PkiError).message };
    }
    return undefined;
  };
  // The same CA, with the same identifier, and another key.
  const sameName = (spki: Uint8Array) =>
    certify({
      ...CA,
      spki,
      extensions: [{
        oid: OID.subjectKeyId,
        value: encodeOctetString(middle.certificate.subjectKeyId!),
      }],
    }, top).certificate;
  assert.deepEqual(failing([end.certificate, sameName(rsa(2048)), top.certificate]), {
    check: "algorithm",
    index: 0,
    message:
      "cannot trust certificate: it: cannot verify: the signature algorithm is not one of the key's type",
  });
  assert.deepEqual(failing([end.certificate, sameName(ec("P-256")), top.certificate]), {
    check: "signature",
    index: 0,
    message: "cannot trust certificate: the signature of it is not by its issuer",
  });
  assert.equal(failing([end.certificate, middle.certificate, top.certificate]), undefined);
});

test("validatePath() refuses a chain that is too short or too long", () => {
  const [end, ...above] = makeChain(...leaf({}));
  assert.throws(() => validatePath([end!], OPTIONS), {
    kind: "untrusted",
    message: "cannot trust certificate: a chain is a certificate and its issuers, up to a root",
  });
  const many = Array.from({ length: 14 }, (_, i) => ({ ...CA, subject: `ca ${i}` }));
  assert.equal(validatePath(makeChain(ROOT, ...many, LEAF), OPTIONS).chain.length, 16);
  const tooMany = makeChain(ROOT, ...many, CA, LEAF);
  assert.throws(() => validatePath(tooMany, OPTIONS), (error) => {
    assert.deepEqual({ ...failedCheckOf(error) }, { check: "work", index: undefined });
    return true;
  });
  assert.equal(above.length, 2);
});

test("validatePath() refuses to hold more names against constraints than is good for it", () => {
  const constraints = nameConstraints({
    excluded: Array.from({ length: 900 }, (_, i) => generalName.dns(`x${i}.org`)),
  });
  const withNames = (count: number) =>
    makeChain(ROOT, { ...CA, extensions: [constraints] }, {
      ...LEAF,
      dns: Array.from({ length: count }, (_, i) => `a${i}.org`),
    });
  const { work } = validatePath(withNames(200), OPTIONS);
  assert.equal(work.comparisons, 201 * 900);
  assert.throws(() => validatePath(withNames(230), OPTIONS), {
    message: "cannot trust certificate: judging it takes more than 200000 comparisons",
  });
});

test("examinePath() makes every check, and says all that is wrong", () => {
  const chain = makeChain(
    { ...ROOT, notAfterMs: NOW_MS - 1000 },
    { ...CA, ...extensions(keyUsage(6)) },
    { ...LEAF, ...extensions(extendedKeyUsage(OID.clientAuth)) },
  );
  const findings = examinePath(chain, OPTIONS);
  assert.deepEqual(
    findings.map(({ check }) => check),
    PATH_CHECKS.filter((check) => check !== "work"),
  );
  const failed = findings.filter(({ failure }) => failure);
  assert.deepEqual(failed.map(({ check, failure }) => [check, failure?.message]), [
    ["time", "cannot trust certificate: the root expired 2026-11-01T11:59:59.000Z"],
    ["key-usage", "cannot trust certificate: the issuing CA must not sign certificates"],
    ["extended-key-usage", "cannot trust certificate: it is not meant for this use"],
  ]);
});

test("validatePath() accepts no chain with any one bit of a signed part flipped", () => {
  const chain = makeChain(...leaf({}));
  let judged = 0;
  for (const [at, certificate] of chain.slice(0, -1).entries()) {
    for (let bit = 0; bit < certificate.der.length * 8; bit += 7) {
      const der = new Uint8Array(certificate.der);
      der[bit >> 3] = (der[bit >> 3] ?? 0) ^ (1 << bit % 8);
      let flipped;
      try {
        flipped = parseCertificate(der);
      } catch {
        continue;
      }
      const shown = chain.with(at, flipped);
      assert.throws(() => validatePath(shown, OPTIONS), { kind: "untrusted" }, encodeHex(der));
      judged++;
    }
  }
  assert.ok(judged > 300, `only ${judged} mutations are certificates`);
});
