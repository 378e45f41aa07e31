import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { prepareCertificate } from "../../lib/ca/issue.ts";
import { type LintOptions, lintTbs } from "../../lib/ca/lint.ts";
import { OID } from "../../lib/x509/certificate.ts";
import {
  contextTag,
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeNamedBits,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeAuthorityKeyId, encodeExtension, keyIdOf } from "../../lib/x509/encode.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { type CertificateTemplate, encodeTbs, prepareSigner } from "../../lib/x509/make.ts";
import { DOMAIN, flipBit, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { CSR_KEY, dnsName, emailName, ipName, subjectOf, uriName } from "../fakes/csr.ts";

const ca = await makeTestCa();
const issuer = ca.issuing.certificate;
const signer = prepareSigner(ca.issuing);
const spki = encodeSpki(CSR_KEY);
const otherSpki = encodeSpki(await generatePrivateKey("p256"));
const USER: CertificateTemplate = {
  ...prepareCertificate({
    profile: "user",
    domain: DOMAIN,
    id: "alice",
    spki,
    nowMs: NOW_MS,
    random: new Uint8Array(20).fill(7),
    issuerNotAfterMs: issuer.notAfterMs,
  }),
  policies: ["1.2.3"],
  crl: ["http://a.example/crl"],
  ocsp: ["http://a.example/ocsp"],
  issuers: ["http://a.example/crt"],
};
const ISSUING = prepareCertificate({
  profile: "issuing",
  domain: DOMAIN,
  spki,
  nowMs: NOW_MS,
  random: new Uint8Array(20).fill(7),
});
const OPTIONS: LintOptions = {
  template: USER,
  issuer,
  algorithm: signer.algorithm,
  validityMsMax: USER.notAfterMs - USER.notBeforeMs,
};

/** A TBSCertificate put together from parts, as a writer with a fault would. */
interface Parts {
  readonly version?: Uint8Array;
  readonly serial?: Uint8Array;
  readonly algorithm?: Uint8Array;
  readonly issuer?: Uint8Array;
  readonly times?: readonly Uint8Array[];
  readonly subject?: Uint8Array;
  readonly spki?: Uint8Array;
  readonly extensions?: readonly Uint8Array[];
}

const uri = (text: string) => uriName(text);
const sequenceOf = (oid: string, isCritical: boolean, ...parts: readonly Uint8Array[]) =>
  encodeExtension(oid, isCritical, encodeSequence(...parts));
const USER_URI = uri(`spiffe://${DOMAIN}/user/alice`);
const USER_DNS = dnsName(`alice.user.${DOMAIN}`);
const pointOf = (url: string) =>
  encodeSequence(encodeElement(contextTag(0, true), encodeElement(contextTag(0, true), uri(url))));
const accessOf = (oid: string, url: string) => encodeSequence(encodeOid(oid), uri(url));

/** In the order in which they are compared; each can be replaced. */
const EXTENSIONS = {
  basicConstraints: sequenceOf(OID.basicConstraints, true),
  keyUsage: encodeExtension(OID.keyUsage, true, encodeNamedBits([0])),
  extendedKeyUsage: sequenceOf(
    OID.extendedKeyUsage,
    false,
    encodeOid(OID.clientAuth),
    encodeOid(OID.serverAuth),
  ),
  policies: sequenceOf(OID.certificatePolicies, false, encodeSequence(encodeOid("1.2.3"))),
  crl: sequenceOf(OID.crlDistributionPoints, false, pointOf("http://a.example/crl")),
  access: sequenceOf(
    OID.authorityInfoAccess,
    false,
    accessOf(OID.ocsp, "http://a.example/ocsp"),
    accessOf(OID.caIssuers, "http://a.example/crt"),
  ),
  subjectKeyId: encodeExtension(OID.subjectKeyId, false, encodeOctetString(keyIdOf(spki))),
  authorityKeyId: encodeExtension(
    OID.authorityKeyId,
    false,
    encodeAuthorityKeyId(issuer.subjectKeyId ?? new Uint8Array()),
  ),
  names: sequenceOf(OID.subjectAltName, false, USER_URI, USER_DNS),
};

function change(changes: Partial<Record<keyof typeof EXTENSIONS, Uint8Array>>): Parts {
  return { extensions: Object.values({ ...EXTENSIONS, ...changes }) };
}

function leaveOut(name: keyof typeof EXTENSIONS): Parts {
  const { [name]: _, ...rest } = EXTENSIONS;
  return { extensions: Object.values(rest) };
}

const add = (extension: Uint8Array): Parts => ({
  extensions: [...Object.values(EXTENSIONS), extension],
});

function assemble(parts: Parts): Uint8Array {
  return encodeSequence(
    parts.version ?? encodeElement(contextTag(0, true), encodeInteger(2)),
    encodeElement(TAG.integer, parts.serial ?? USER.serial),
    parts.algorithm ?? signer.algorithm,
    parts.issuer ?? issuer.subject,
    encodeSequence(...(parts.times ?? [encodeTime(USER.notBeforeMs), encodeTime(USER.notAfterMs)])),
    parts.subject ?? encodeSequence(encodeElement(
      TAG.set,
      encodeSequence(encodeOid(OID.commonName), encodeElement(TAG.printableString, utf8("alice"))),
    )),
    parts.spki ?? spki,
    encodeElement(
      contextTag(3, true),
      encodeSequence(...(parts.extensions ?? Object.values(EXTENSIONS))),
    ),
  );
}

interface Row {
  readonly name: string;
  readonly parts?: Parts;
  readonly options?: Partial<LintOptions>;
  readonly finding?: string;
}

const template = (changes: Partial<CertificateTemplate>): Partial<LintOptions> => ({
  template: { ...USER, ...changes },
});

const ROWS: readonly Row[] = [
  {
    name: "version 2",
    parts: { version: encodeElement(contextTag(0, true), encodeInteger(1)) },
    finding: "another version than 3",
  },
  {
    name: "a negative serial number",
    parts: { serial: Uint8Array.of(0x80) },
    options: template({ serial: Uint8Array.of(0x80) }),
    finding: "a serial number that is not positive",
  },
  {
    name: "the serial number 0",
    parts: { serial: Uint8Array.of(0) },
    options: template({ serial: Uint8Array.of(0) }),
    finding: "a serial number that is not positive",
  },
  {
    name: "a serial number of 21 bytes",
    parts: { serial: new Uint8Array(21).fill(1) },
    options: template({ serial: new Uint8Array(21).fill(1) }),
    finding: "a serial number of more than 20 bytes",
  },
  {
    name: "a serial number that is not in its shortest form",
    parts: { serial: Uint8Array.of(0, 1) },
    finding: "cannot read DER: an integer that is not in its shortest form",
  },
  {
    name: "another serial number",
    parts: { serial: Uint8Array.of(1) },
    finding: "another serial number",
  },
  {
    name: "another signature algorithm",
    parts: { algorithm: encodeSequence(encodeOid("1.3.101.112")) },
    finding: "another signature algorithm",
  },
  { name: "another issuer", parts: { issuer: subjectOf("x") }, finding: "another issuer" },
  {
    name: "a year of 2050 in a UTCTime",
    parts: {
      times: [encodeTime(USER.notBeforeMs), encodeElement(TAG.utcTime, utf8("501201115900Z"))],
    },
    finding: "another end",
  },
  {
    name: "a year of 2026 in a GeneralizedTime",
    parts: {
      times: [
        encodeTime(USER.notBeforeMs),
        encodeElement(TAG.generalizedTime, utf8("20261201120000Z")),
      ],
    },
    finding: "cannot read DER: a year that belongs into a UTCTime",
  },
  {
    name: "another beginning",
    parts: { times: [encodeTime(NOW_MS), encodeTime(USER.notAfterMs)] },
    finding: "another beginning",
  },
  {
    name: "an end that is no later than the beginning",
    parts: { times: [encodeTime(USER.notBeforeMs), encodeTime(USER.notBeforeMs)] },
    options: template({ notAfterMs: USER.notBeforeMs }),
    finding: "it ends before it begins",
  },
  {
    name: "a second more than the profile allows",
    options: { validityMsMax: USER.notAfterMs - USER.notBeforeMs - 1000 },
    finding: "it is valid for longer than its profile allows",
  },
  {
    name: "an end after the issuer's",
    options: { issuer: { ...issuer, notAfterMs: USER.notAfterMs - 1000 } },
    finding: "it outlives its issuer",
  },
  {
    name: "an end with the issuer's",
    options: { issuer: { ...issuer, notAfterMs: USER.notAfterMs } },
  },
  { name: "another subject", parts: { subject: subjectOf("bob") }, finding: "another subject" },
  {
    name: "an organisation",
    parts: {
      subject: encodeSequence(encodeElement(
        TAG.set,
        encodeSequence(encodeOid("2.5.4.10"), encodeElement(TAG.utf8String, utf8("alice"))),
      )),
    },
    finding: "the subject has another attribute than a common name",
  },
  {
    name: "two common names",
    parts: { subject: subjectOf("alice", "alice") },
    finding: "cannot read DER: bytes behind the end",
  },
  {
    name: "a common name in UTF-16",
    parts: { subject: subjectOf(encodeElement(0x1e, utf8("alice"))) },
    finding: "a name of an odd type",
  },
  {
    name: "a common name of 65 characters",
    options: template({ commonName: "a".repeat(65) }),
    finding: "a common name of a wrong length",
  },
  {
    name: "an empty common name",
    options: template({ commonName: "" }),
    finding: "a common name of a wrong length",
  },
  {
    name: "a CA without a name",
    parts: { subject: encodeSequence() },
    options: {
      template: (({ commonName: _, ...nameless }) => ({ ...nameless, ca: {} }))(USER),
    },
    finding: "a CA without a name",
  },
  {
    name: "a name where the subject shall be empty",
    options: { template: (({ commonName: _, ...nameless }) => nameless)(USER) },
    finding: "the subject is not empty",
  },
  { name: "another key", parts: { spki: otherSpki }, finding: "another public key" },
  {
    name: "basic constraints of a CA",
    parts: change({
      basicConstraints: sequenceOf(OID.basicConstraints, true, encodeBoolean(true)),
    }),
    finding: "a CA, or not one, by mistake",
  },
  {
    name: "basic constraints that are not critical",
    parts: change({ basicConstraints: sequenceOf(OID.basicConstraints, false) }),
    finding: "extension 2.5.29.19 with another criticality",
  },
  {
    name: "names that are critical",
    parts: change({ names: sequenceOf(OID.subjectAltName, true, USER_URI, USER_DNS) }),
    finding: "extension 2.5.29.17 with another criticality",
  },
  {
    name: "key usage of a CA",
    parts: change({ keyUsage: encodeExtension(OID.keyUsage, true, encodeNamedBits([0, 5])) }),
    finding: "another key usage",
  },
  {
    name: "an extended key usage less",
    parts: change({
      extendedKeyUsage: sequenceOf(OID.extendedKeyUsage, false, encodeOid(OID.clientAuth)),
    }),
    finding: "another extended usage",
  },
  {
    name: "another policy",
    parts: change({
      policies: sequenceOf(OID.certificatePolicies, false, encodeSequence(encodeOid("1.2.4"))),
    }),
    finding: "another policy",
  },
  {
    name: "a policy with a qualifier",
    parts: change({
      policies: sequenceOf(
        OID.certificatePolicies,
        false,
        encodeSequence(
          encodeOid("1.2.3"),
          encodeSequence(encodeSequence(encodeOid("1.3.6.1.5.5.7.2.1"), encodeNull())),
        ),
      ),
    }),
    finding: "a policy with qualifiers",
  },
  {
    name: "another CRL",
    parts: change({
      crl: sequenceOf(OID.crlDistributionPoints, false, pointOf("http://b.example/")),
    }),
    finding: "another CRL",
  },
  {
    name: "a distribution point with an issuer of its own",
    parts: change({
      crl: sequenceOf(
        OID.crlDistributionPoints,
        false,
        encodeSequence(encodeElement(contextTag(2, true), uri("http://a.example/crl"))),
      ),
    }),
    finding: "an odd CRL location",
  },
  {
    name: "OCSP responder and issuer exchanged",
    parts: change({
      access: sequenceOf(
        OID.authorityInfoAccess,
        false,
        accessOf(OID.caIssuers, "http://a.example/ocsp"),
        accessOf(OID.ocsp, "http://a.example/crt"),
      ),
    }),
    finding: "another OCSP responder",
  },
  {
    name: "another location of the issuer",
    parts: change({
      access: sequenceOf(
        OID.authorityInfoAccess,
        false,
        accessOf(OID.ocsp, "http://a.example/ocsp"),
        accessOf(OID.caIssuers, "http://b.example/crt"),
      ),
    }),
    finding: "another location of the issuer",
  },
  {
    name: "a location of another kind",
    parts: change({
      access: sequenceOf(OID.authorityInfoAccess, false, accessOf("1.2.3", "http://a.example/")),
    }),
    finding: "an odd location",
  },
  {
    name: "the key identifier of another key",
    parts: change({
      subjectKeyId: encodeExtension(OID.subjectKeyId, false, encodeOctetString(keyIdOf(otherSpki))),
    }),
    finding: "the key identifier of another key",
  },
  {
    name: "the key identifier of another issuer",
    parts: change({
      authorityKeyId: encodeExtension(
        OID.authorityKeyId,
        false,
        encodeAuthorityKeyId(keyIdOf(otherSpki)),
      ),
    }),
    finding: "the key identifier of another issuer",
  },
  {
    name: "a name more",
    parts: change({
      names: sequenceOf(OID.subjectAltName, false, USER_URI, USER_DNS, dnsName(`b.${DOMAIN}`)),
    }),
    finding: "other names",
  },
  {
    name: "a name less",
    parts: change({ names: sequenceOf(OID.subjectAltName, false, USER_URI) }),
    finding: "other names",
  },
  {
    name: "a name of an odd form",
    parts: change({ names: sequenceOf(OID.subjectAltName, false, dnsName("a_b")) }),
    options: template({ dns: ["a_b"], uris: [] }),
    finding: "a name of a forbidden form",
  },
  {
    name: "an address of three bytes",
    parts: change({ names: sequenceOf(OID.subjectAltName, false, ipName(1, 2, 3)) }),
    options: template({ dns: [], uris: [], addresses: [Uint8Array.of(1, 2, 3)] }),
    finding: "a name of a forbidden form",
  },
  {
    name: "an address that the issuer must not certify",
    parts: change({ names: sequenceOf(OID.subjectAltName, false, ipName(10, 0, 0, 1)) }),
    options: template({ dns: [], uris: [], addresses: [Uint8Array.of(10, 0, 0, 1)] }),
    finding: "a name that its issuer must not certify",
  },
  {
    name: "a host that the issuer must not certify",
    parts: change({ names: sequenceOf(OID.subjectAltName, false, dnsName("example.org")) }),
    options: template({ dns: ["example.org"], uris: [] }),
    finding: "a name that its issuer must not certify",
  },
  {
    name: "a registered identifier as name",
    parts: change({
      names: sequenceOf(
        OID.subjectAltName,
        false,
        encodeElement(contextTag(8, false), Uint8Array.of(42)),
      ),
    }),
    finding: "a name of another form than DNS, e-mail, URI or address",
  },
  {
    name: "an extension twice",
    parts: add(EXTENSIONS.names),
    finding: "extension 2.5.29.17 twice",
  },
  {
    name: "an extension that no profile has",
    parts: add(encodeExtension("1.2.3", false, encodeNull())),
    finding: "extension 1.2.3, which no profile has",
  },
  {
    name: "name constraints in an end entity",
    parts: add(
      sequenceOf(
        OID.nameConstraints,
        true,
        encodeElement(contextTag(0, true), encodeSequence(dnsName(DOMAIN))),
      ),
    ),
    finding: "name constraints that were not prepared",
  },
  ...(Object.keys(EXTENSIONS) as (keyof typeof EXTENSIONS)[]).map((name) => ({
    name: `no ${name}`,
    parts: leaveOut(name),
    finding: "an extension is missing",
  })),
  { name: "what was prepared" },
];

for (const { name, parts = {}, options = {}, finding } of ROWS) {
  test(`lintTbs() ${finding === undefined ? "lets pass" : "finds"} ${name}`, () => {
    const lint = () => lintTbs(assemble(parts), { ...OPTIONS, ...options });
    if (finding === undefined) return lint();
    assert.throws(lint, { kind: "internal", message: `cannot sign: ${finding}` });
  });
}

test("lintTbs() lets pass what encodeTbs() writes, of which no other bit may differ", () => {
  const { commonName: _, ...nameless } = USER;
  const rows = [
    { template: USER, tbs: encodeTbs(USER, signer), signed: signer.algorithm, by: issuer },
    { template: nameless, tbs: encodeTbs(nameless, signer), signed: signer.algorithm, by: issuer },
    { template: ISSUING, tbs: encodeTbs(ISSUING, prepareSigner({ key: CSR_KEY })), by: undefined },
  ];
  for (const { template, tbs, by } of rows) {
    const options: LintOptions = {
      template,
      algorithm: signer.algorithm,
      validityMsMax: Infinity,
      ...(by ? { issuer: by } : {}),
    };
    lintTbs(tbs, options);
    for (let bit = 0; bit < tbs.length * 8; bit++) {
      const flipped = flipBit(tbs, bit >> 3, bit % 8);
      assert.throws(() => lintTbs(flipped, options), { kind: "internal" }, `bit ${bit}`);
    }
  }
});

/** Name constraints that deviate from an issuing CA's. */
const CONSTRAINTS: readonly { readonly value: Uint8Array; readonly finding: string }[] = [
  {
    value: encodeElement(contextTag(0, true), encodeSequence(dnsName("example.org"))),
    finding: "other permitted names",
  },
  {
    value: encodeElement(
      contextTag(0, true),
      ...[dnsName(DOMAIN), emailName(DOMAIN)].map((name) => encodeSequence(name)),
    ),
    finding: "other excluded names",
  },
  {
    value: encodeElement(contextTag(1, true), encodeSequence(ipName(0, 0, 0, 0))),
    finding: "a range of a wrong length",
  },
];

for (const { value, finding } of CONSTRAINTS) {
  test(`lintTbs() finds ${finding} in a CA`, () => {
    const extensions = [
      sequenceOf(OID.basicConstraints, true, encodeBoolean(true), encodeInteger(0)),
      encodeExtension(OID.keyUsage, true, encodeNamedBits([5, 6])),
      sequenceOf(OID.nameConstraints, true, value),
    ];
    const subject = subjectOf(ISSUING.commonName ?? "");
    const times = [encodeTime(ISSUING.notBeforeMs), encodeTime(ISSUING.notAfterMs)];
    const tbs = assemble({ subject, issuer: subject, times, extensions });
    const { issuer: _, ...options } = { ...OPTIONS, template: ISSUING, validityMsMax: Infinity };
    assert.throws(() => lintTbs(tbs, options), {
      kind: "internal",
      message: `cannot sign: ${finding}`,
    });
  });
}

test("lintTbs() finds another path length in a CA", () => {
  const extensions = [
    sequenceOf(OID.basicConstraints, true, encodeBoolean(true), encodeInteger(1)),
  ];
  const subject = subjectOf(ISSUING.commonName ?? "");
  const times = [encodeTime(ISSUING.notBeforeMs), encodeTime(ISSUING.notAfterMs)];
  const tbs = assemble({ subject, issuer: subject, times, extensions });
  const { issuer: _, ...options } = { ...OPTIONS, template: ISSUING, validityMsMax: Infinity };
  assert.throws(() => lintTbs(tbs, options), { message: "cannot sign: another path length" });
});
