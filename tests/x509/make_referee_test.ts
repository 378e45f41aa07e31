/**
 * Whatever `make.ts` writes, @peculiar/x509 and openssl read as it was meant, field by field: over
 * generated names, keys, times and profiles.
 */

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { AsnConvert } from "@peculiar/asn1-schema";
import { NameConstraints } from "@peculiar/asn1-x509";
import fc from "fast-check";
import { type Bytes, encodeHex } from "../../lib/base/bytes.ts";
import { lintTbs } from "../../lib/ca/lint.ts";
import { type Certificate, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { keyBitsOf } from "../../lib/x509/encode.ts";
import { formatIp } from "../../lib/x509/general_names.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";
import {
  type CertificateTemplate,
  encodeFixedExtensions,
  encodeTbs,
  makeCertificate,
  prepareSigner,
  signCertificate,
  type Signer,
} from "../../lib/x509/make.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { x509 } from "../../lib/x509/provider.ts";
import { inFolder, runTool, without } from "../tool.ts";

const KEYS = [
  () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  () => generateKeyPairSync("ed25519"),
  () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  () => generateKeyPairSync("rsa", { modulusLength: 3072 }),
].map((make) => make());

const SECOND_MS = 1000;
const TIME_MIN = Date.UTC(1970, 0, 1) / SECOND_MS;
const TIME_MAX = Date.UTC(2120, 0, 1) / SECOND_MS;
const AROUND_2050 = Date.UTC(2050, 0, 1) / SECOND_MS;

interface Ca {
  readonly certificate: Certificate;
  readonly signer: Signer;
}

/** Roots that sign end entities themselves, so that no constraint gets in the way of any name. */
function makeCa({ privateKey: key }: { readonly privateKey: KeyObject }, number: number): Ca {
  const der = makeCertificate({
    serial: Uint8Array.of(1 + number),
    commonName: `root ${number}`,
    notBeforeMs: 0,
    notAfterMs: (TIME_MAX + 1) * SECOND_MS,
    spki: encodeSpki(key),
    uris: [],
    dns: [],
    extendedKeyUsage: [],
    ca: {},
  }, { key });
  const certificate = parseCertificate(der);
  return { certificate, signer: prepareSigner({ key, certificate }) };
}
const CAS = KEYS.slice(0, 4).map(makeCa);

const label = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,12}[a-z0-9])?$/);
const host = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) =>
  [...labels, "example"].join(".")
);
const id = fc.stringMatching(/^[a-z0-9]{1,8}(?:[.-][a-z0-9]{1,8}){0,6}$/);
const uri = fc.tuple(host, id).map(([domain, name]) => `spiffe://${domain}/user/${name}`);
const url = fc.tuple(host, id).map(([domain, name]) => `http://${domain}/${name}.crl`);
const oid = fc.tuple(
  fc.constantFrom("1.2", "2.5", "2.999", "0.9", "1.3.6.1"),
  fc.array(
    fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    { minLength: 1, maxLength: 6 },
  ),
).map(([top, arcs]) => [top, ...arcs].join("."));
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const list = <T>(one: fc.Arbitrary<T>, maxLength = 3) => fc.uniqueArray(one, { maxLength });
const addresses = fc.array(fc.oneof(bytes(4), bytes(16)), { maxLength: 3 });
const seconds = fc.oneof(
  fc.integer({ min: TIME_MIN, max: TIME_MAX }),
  fc.integer({ min: AROUND_2050 - 3, max: AROUND_2050 + 3 }),
);
const serial = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((random) => {
  const positive = new Uint8Array(random);
  positive[0] = (positive[0] ?? 0) & 0x3f | 0x40;
  return positive;
});
const commonName = fc.oneof(
  id,
  host.filter((name) => name.length <= 64),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((text) =>
    text.length <= 64 && text.isWellFormed()
  ),
);
const subtrees = fc.record({
  dns: list(host),
  emails: list(host),
  uris: list(host),
  ranges: fc.array(fc.oneof(bytes(8), bytes(32)), { maxLength: 2 }),
});
const ca = fc.record({
  pathLength: fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined }),
  constraints: fc.option(
    fc.record({ permitted: subtrees, excluded: subtrees }).filter(({ permitted, excluded }) =>
      [permitted, excluded].some((names) => Object.values(names).flat().length > 0)
    ),
    { nil: undefined },
  ),
});

/** A value left out where it is undefined, as the templates have it. */
function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}

const template: fc.Arbitrary<CertificateTemplate> = fc.record({
  serial,
  commonName: fc.option(commonName, { nil: undefined, freq: 8 }),
  times: fc.tuple(seconds, seconds).filter(([a, b]) => a !== b),
  key: fc.constantFrom(...KEYS),
  uris: list(uri, 2),
  dns: list(fc.oneof(host, host.map((name) => `*.${name}`))),
  addresses,
  extendedKeyUsage: list(oid),
  policies: list(oid),
  crl: list(url),
  ocsp: list(url, 2),
  issuers: list(url, 2),
  ca: fc.option(ca, { nil: undefined, freq: 3 }),
}).filter(({ commonName, uris, dns, addresses, ca }) =>
  commonName !== undefined || !ca && uris.length + dns.length + addresses.length > 0
).map(({ times, key, ca, ...rest }) =>
  withoutUndefined({
    ...rest,
    ca: ca && withoutUndefined(ca),
    notBeforeMs: Math.min(...times) * SECOND_MS,
    notAfterMs: Math.max(...times) * SECOND_MS,
    spki: encodeSpki(key.publicKey),
  }) as CertificateTemplate
);

/** As the authority makes it: fixed part first, lint before the signature. */
function make(template: CertificateTemplate, { certificate, signer }: Ca): Bytes {
  const tbs = encodeTbs(template, signer, encodeFixedExtensions(template));
  const { algorithm } = signer;
  lintTbs(tbs, { template, issuer: certificate, algorithm, validityMsMax: Infinity });
  return signCertificate(tbs, signer);
}

function sha1(bits: Uint8Array): string {
  return createHash("sha1").update(bits).digest("hex");
}

/** What @peculiar/x509 says about one extension, and whether it is critical. */
function find<T extends x509.Extension>(
  certificate: x509.X509Certificate,
  type: new (raw: BufferSource) => T,
): T | null {
  return certificate.getExtension(type);
}

function constraintTexts(value: ArrayBuffer): readonly (readonly string[])[] {
  const { permittedSubtrees, excludedSubtrees } = AsnConvert.parse(value, NameConstraints);
  return [permittedSubtrees, excludedSubtrees].map((subtrees) =>
    Array.from(subtrees ?? []).map(({ base }) =>
      base.dNSName ?? base.rfc822Name ?? base.uniformResourceIdentifier ?? base.iPAddress ?? "?"
    )
  );
}

/** @peculiar/asn1-x509 writes ranges as address and mask in text; IPv4 ones with a prefix length. */
function countNames(names: Readonly<Record<string, readonly unknown[]>>): number {
  return Object.values(names).flat().length;
}

function compare(der: Bytes, template: CertificateTemplate, { certificate }: Ca): void {
  const read = new x509.X509Certificate(der);
  const { ca, crl = [], ocsp = [], issuers = [], policies = [], addresses = [] } = template;
  assert.equal(read.serialNumber, encodeHex(template.serial));
  assert.deepEqual(
    read.subjectName.getField("CN"),
    template.commonName === undefined ? [] : [template.commonName],
  );
  assert.deepEqual(read.issuerName.getField("CN"), certificate.commonNames);
  assert.equal(read.notBefore.getTime(), template.notBeforeMs);
  assert.equal(read.notAfter.getTime(), template.notAfterMs);
  assert.deepEqual(new Uint8Array(read.publicKey.rawData), new Uint8Array(template.spki));

  const basicConstraints = find(read, x509.BasicConstraintsExtension);
  assert.equal(basicConstraints?.critical, true);
  assert.equal(basicConstraints?.ca, ca !== undefined);
  assert.equal(basicConstraints?.pathLength, ca?.pathLength);
  const keyUsage = find(read, x509.KeyUsagesExtension);
  assert.equal(keyUsage?.critical, true);
  const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;
  assert.equal(keyUsage?.usages, ca ? keyCertSign | cRLSign : digitalSignature);
  const extended = find(read, x509.ExtendedKeyUsageExtension);
  assert.deepEqual(Array.from(extended?.usages ?? []), template.extendedKeyUsage);
  assert.equal(extended?.critical ?? false, false);
  const keyId = find(read, x509.SubjectKeyIdentifierExtension)?.keyId;
  assert.equal(keyId, sha1(keyBitsOf(template.spki)));
  const issuerKeyId = find(read, x509.AuthorityKeyIdentifierExtension)?.keyId;
  assert.equal(issuerKeyId, sha1(keyBitsOf(certificate.spki)));

  const names = find(read, x509.SubjectAlternativeNameExtension);
  assert.deepEqual(names?.names.toJSON() ?? [], [
    ...template.uris.map((value) => ({ type: "url", value })),
    ...template.dns.map((value) => ({ type: "dns", value })),
    ...addresses.map((address) => ({ type: "ip", value: formatIp(address) })),
  ]);
  if (names) assert.equal(names.critical, template.commonName === undefined);
  assert.deepEqual(
    Array.from(find(read, x509.CertificatePolicyExtension)?.policies ?? []),
    policies,
  );
  const points = find(read, x509.CRLDistributionPointsExtension)?.distributionPoints ?? [];
  assert.deepEqual(
    Array.from(points).map(({ distributionPoint }) =>
      Array.from(distributionPoint?.fullName ?? []).map((name) => name.uniformResourceIdentifier)
    ),
    crl.map((one) => [one]),
  );
  const access = find(read, x509.AuthorityInfoAccessExtension);
  assert.deepEqual(Array.from(access?.ocsp ?? []).map(({ value }) => value), ocsp);
  assert.deepEqual(Array.from(access?.caIssuers ?? []).map(({ value }) => value), issuers);
  const constraints = read.getExtension(OID.nameConstraints);
  assert.equal(constraints !== null, ca?.constraints !== undefined);
  if (constraints && ca?.constraints) {
    assert.equal(constraints.critical, true);
    const { permitted, excluded } = ca.constraints;
    const found = constraintTexts(constraints.value);
    [permitted, excluded].forEach(({ dns, emails, uris, ranges }, i) => {
      assert.deepEqual(found[i]?.slice(0, found[i].length - ranges.length), [
        ...dns,
        ...emails,
        ...uris,
      ]);
      assert.equal(found[i]?.length, countNames({ dns, emails, uris, ranges }));
    });
  }
  const types = Array.from(read.extensions).map(({ type }) => type);
  assert.equal(new Set(types).size, types.length);
}

test("whatever make.ts writes, @peculiar/x509 reads field by field", () => {
  fc.assert(
    fc.property(template, fc.nat({ max: CAS.length - 1 }), (template, i) => {
      const ca = CAS[i]!;
      compare(make(template, ca), template, ca);
    }),
    { numRuns: 700, endOnFailure: true },
  );
});

/**
 * openssl prints a name in place of an OID that it knows, as "directory services" for 2.5.8; it knows
 * none with a last arc as large as this.
 */
const NAMELESS_ARC_MIN = 2 ** 20;

function isNameless(oid: string): boolean {
  return Number(oid.split(".").at(-1)) >= NAMELESS_ARC_MIN;
}

/** Some of openssl's words for what we wrote. */
function wordsOf({ commonName, ca, ...template }: CertificateTemplate): readonly string[] {
  const { uris, dns, addresses = [], crl = [], ocsp = [], issuers = [], policies = [] } = template;
  const printable = commonName !== undefined && /^[a-z0-9.-]+$/.test(commonName);
  return [
    ...(printable ? [`Subject: CN=${commonName} `] : []),
    ca ? "CA:TRUE" : "CA:FALSE",
    ...(ca?.pathLength === undefined ? [] : [`pathlen:${ca.pathLength}`]),
    ca ? "Certificate Sign, CRL Sign" : "Digital Signature",
    ...uris.map((value) => `URI:${value}`),
    ...dns.map((value) => `DNS:${value}`),
    ...addresses.filter(({ length }) => length === 4).map((value) =>
      `IP Address:${value.join(".")}`
    ),
    ...crl.map((value) => `URI:${value}`),
    ...ocsp.map((value) => `OCSP - URI:${value}`),
    ...issuers.map((value) => `CA Issuers - URI:${value}`),
    ...policies.filter(isNameless).map((value) => `Policy: ${value}`),
    ...(commonName === undefined ? ["X509v3 Subject Alternative Name: critical"] : []),
  ];
}

const BATCH = 300;

test("whatever make.ts writes, openssl reads, and finds signed by its issuer", {
  skip: without("openssl"),
}, () => {
  const samples = fc.sample(fc.tuple(template, fc.nat({ max: CAS.length - 1 })), BATCH);
  const made = samples.map(([template, i]) => ({
    template,
    der: make(template, CAS[i]!),
  }));
  const names = made.map((_, i) => `${i}.pem`);
  const files = {
    "roots.pem": encodeCertificatesPem(CAS.map(({ certificate }) => certificate.der)),
    "all.pem": encodeCertificatesPem(made.map(({ der }) => der)),
    ...Object.fromEntries(made.map(({ der }, i) => [names[i], encodeCertificatesPem([der])])),
  };
  inFolder(files, (cwd) => {
    const verified = runTool("openssl", [
      ...["verify", "-x509_strict", "-no_check_time", "-CAfile", "roots.pem"],
      ...names,
    ], { cwd });
    for (const name of names) assert.ok(verified.output.includes(`${name}: OK`), verified.output);
    const shown = runTool("openssl", ["storeutl", "-noout", "-text", "-certs", "all.pem"], { cwd });
    const texts = shown.output.split(/^\d+: Certificate$/m).slice(1);
    assert.equal(texts.length, BATCH);
    made.forEach(({ template }, i) => {
      const text = texts[i]?.replace(/\s+/g, " ").replaceAll("CN = ", "CN=") ?? "";
      for (const words of wordsOf(template)) assert.ok(text.includes(words), `${words} in ${text}`);
      const hex = encodeHex(template.serial);
      assert.ok(
        text.includes(hex.match(/../g)!.join(":")) || text.includes(`(0x${hex.replace(/^0/, "")})`),
        hex,
      );
    });
  });
});
