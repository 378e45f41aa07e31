import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { checkCsr, type Granted } from "../../lib/ca/csr_policy.ts";
import { DEFAULT_PROFILES } from "../../lib/ca/profile.ts";
import { describeServer, describeUser } from "../../lib/ca/subject.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { parseCsr, readCsr } from "../../lib/x509/csr.ts";
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
  TAG,
} from "../../lib/x509/der.ts";
import { keyIdOf } from "../../lib/x509/encode.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { DOMAIN } from "../fakes/ca.ts";
import {
  altNames,
  assembleCsr,
  attribute,
  attributes,
  CSR_KEY,
  type CsrParts,
  dnsName,
  emailName,
  extension,
  extensions,
  ipName,
  relativeName,
  subjectOf,
  uriName,
} from "../fakes/csr.ts";

const ALICE: Granted = {
  subject: describeUser("alice", DOMAIN),
  extendedKeyUsage: DEFAULT_PROFILES.user.extendedKeyUsage,
  alsoKnownAs: [{ type: "dns", value: "alice" }, { type: "email", value: `alice@${DOMAIN}` }],
};
const HOST: Granted = {
  subject: describeServer(
    { dns: ["www.example.org", "example.org"], addresses: ["192.0.2.1", "2001:db8::1"] },
    { profile: DEFAULT_PROFILES.server, domain: DOMAIN },
  ),
  extendedKeyUsage: DEFAULT_PROFILES.server.extendedKeyUsage,
};

interface Row {
  readonly name: string;
  readonly parts: CsrParts;
  readonly granted?: Granted;
  readonly refused?: { readonly kind: "malformed" | "refused"; readonly message: string };
  /** What the answer names; nothing where it is absent. */
  readonly ignored?: readonly string[];
}

const refused = (what: string) => ({
  kind: "refused" as const,
  message: `cannot certify request: ${what}`,
});
const malformed = (what: string) => ({
  kind: "malformed" as const,
  message: `cannot accept request: ${what}`,
});
const OTHER_NAME = refused('it asks for another name than "alice"');
const OTHER_HOST = refused('it asks for another name than "www.example.org"');
const ODD_NAME = refused("it asks for a name of a form that is not certified");
const CA = refused("it asks for a CA's certificate");
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
const CHALLENGE = "1.2.840.113549.1.9.7";
const MS_REQUEST = "1.3.6.1.4.1.311.2.1.14";
const SECRET = encodeElement(TAG.utf8String, utf8("correct horse"));

const subject = (...parts: readonly Uint8Array[]): CsrParts => ({
  subject: encodeSequence(...parts),
});
const basicConstraints = (...parts: readonly Uint8Array[]) =>
  extension(OID.basicConstraints, encodeSequence(...parts), { isCritical: true });
const keyUsage = (...bits: readonly number[]) =>
  extension(OID.keyUsage, encodeNamedBits(bits), { isCritical: true });
const extendedKeyUsage = (...oids: readonly string[]) =>
  extension(OID.extendedKeyUsage, encodeSequence(...oids.map(encodeOid)));
const critical = (oid: string) => extension(oid, encodeNull(), { isCritical: true });
const own = (keyId: Uint8Array) => extension(OID.subjectKeyId, encodeOctetString(keyId));

const ROWS: readonly Row[] = [
  // The subject.
  {
    name: "two common names",
    parts: { subject: subjectOf("alice", "alice") },
    refused: malformed("its subject has 2 common names"),
  },
  { name: "another user's name", parts: { subject: subjectOf("bob") }, refused: OTHER_NAME },
  { name: "one's name in capitals", parts: { subject: subjectOf("Alice") }, refused: OTHER_NAME },
  { name: "one's name and NUL", parts: { subject: subjectOf("alice\0") }, refused: OTHER_NAME },
  { name: "a common name of nothing", parts: { subject: subjectOf("") }, refused: OTHER_NAME },
  { name: "a look-alike", parts: { subject: subjectOf("аlice") }, refused: OTHER_NAME },
  {
    name: "one's name as a host's",
    parts: { subject: subjectOf(`alice.user.${DOMAIN}`) },
    refused: OTHER_NAME,
  },
  {
    name: "a common name of 65 characters",
    parts: { subject: subjectOf("a".repeat(65)) },
    refused: malformed("CN in its subject has 65 characters, at most 64 accepted"),
  },
  {
    name: "a common name of 64 characters that is another",
    parts: { subject: subjectOf("a".repeat(64)) },
    refused: OTHER_NAME,
  },
  {
    name: "a country of three letters",
    parts: subject(relativeName("2.5.4.6", "CHE")),
    refused: malformed("C in its subject has 3 characters, at most 2 accepted"),
  },
  {
    name: "an organisation of 65 characters",
    parts: subject(relativeName("2.5.4.10", "o".repeat(65))),
    refused: malformed("O in its subject has 65 characters, at most 64 accepted"),
  },
  {
    name: "an organisation of 64 characters",
    parts: subject(relativeName("2.5.4.10", "o".repeat(64))),
    ignored: ["subject attribute O"],
  },
  {
    name: "much else in its subject",
    parts: subject(
      relativeName("2.5.4.6", "CH"),
      relativeName("2.5.4.10", "Example"),
      relativeName(OID.commonName, "alice"),
      relativeName("1.2.840.113549.1.9.1", "bob@example.org"),
      relativeName("1.2.3.4", encodeElement(0x1e, utf8("xx"))),
    ),
    ignored: [
      "subject attribute C",
      "subject attribute O",
      "subject attribute emailAddress",
      "subject attribute 1.2.3.4",
    ],
  },
  { name: "an empty subject", parts: subject() },
  // Names.
  ...[
    dnsName("bob"),
    dnsName("bob.user.pki.internal"),
    dnsName("server.pki.internal"),
    dnsName("*.user.pki.internal"),
    dnsName("www.example.org"),
    dnsName("alice.user.pki.internal."),
    uriName("spiffe://pki.internal/user/bob"),
    uriName("spiffe://pki.internal/user/ALICE"),
    uriName("spiffe://pki.internal/server"),
    uriName("spiffe://pki.example/user/alice"),
    emailName("bob@pki.internal"),
    emailName("alice@pki.example"),
    ipName(127, 0, 0, 1),
  ].map((name) => ({
    name: `the name ${new TextDecoder("latin1").decode(name.subarray(2))}`,
    parts: extensions(altNames(dnsName("alice"), name)),
    refused: OTHER_NAME,
  })),
  {
    name: "a name of another form (otherName)",
    parts: extensions(
      altNames(encodeElement(contextTag(0, true), encodeOid("1.2.3"), encodeNull())),
    ),
    refused: ODD_NAME,
  },
  {
    name: "a name of another form (directoryName)",
    parts: extensions(altNames(encodeElement(contextTag(4, true), subjectOf("alice")))),
    refused: ODD_NAME,
  },
  {
    name: "a name of another form (registeredID)",
    parts: extensions(altNames(encodeElement(contextTag(8, false), Uint8Array.of(42)))),
    refused: ODD_NAME,
  },
  {
    name: "a label of 64 characters",
    parts: extensions(altNames(dnsName(`${"a".repeat(64)}.example.org`))),
    refused: malformed("a DNS name in it is too long"),
  },
  {
    name: "a DNS name of 254 characters",
    parts: extensions(altNames(dnsName(`${"a.".repeat(126)}aa`))),
    refused: malformed("a DNS name in it is too long"),
  },
  {
    name: "a DNS name of 253 characters that is another",
    parts: extensions(altNames(dnsName(`${"a.".repeat(126)}a`))),
    refused: OTHER_NAME,
  },
  {
    name: "both names that the certificate will have",
    parts: extensions(
      altNames(uriName(`spiffe://${DOMAIN}/user/alice`), dnsName(`alice.user.${DOMAIN}`)),
    ),
  },
  {
    name: "one's name in other forms",
    parts: extensions(altNames(dnsName("alice"), emailName(`alice@${DOMAIN}`))),
    ignored: ['name dns "alice"', `name email "alice@${DOMAIN}"`],
  },
  // Hosts.
  { name: "another host", granted: HOST, parts: { subject: subjectOf("b") }, refused: OTHER_HOST },
  {
    name: "a host more",
    granted: HOST,
    parts: { ...subject(), ...extensions(altNames(dnsName("ftp.example.org"))) },
    refused: OTHER_HOST,
  },
  {
    name: "an address more",
    granted: HOST,
    parts: { ...subject(), ...extensions(altNames(ipName(192, 0, 2, 2))) },
    refused: OTHER_HOST,
  },
  {
    name: "an address of a wrong length",
    granted: HOST,
    parts: { ...subject(), ...extensions(altNames(ipName(192, 0, 2))) },
    refused: OTHER_HOST,
  },
  {
    name: "the names of the host, in another case and order",
    granted: HOST,
    parts: {
      subject: subjectOf("www.example.org"),
      ...extensions(altNames(ipName(192, 0, 2, 1), dnsName("EXAMPLE.org"))),
    },
  },
  {
    name: "another of its names as common name",
    granted: HOST,
    parts: { subject: subjectOf("Example.org") },
    ignored: ["subject attribute CN"],
  },
  {
    name: "its address as common name",
    granted: HOST,
    parts: { subject: subjectOf("2001:db8::1") },
    ignored: ["subject attribute CN"],
  },
  // Extensions.
  { name: "to be a CA", parts: extensions(basicConstraints(encodeBoolean(true))), refused: CA },
  {
    name: "to be a CA with a path length",
    parts: extensions(basicConstraints(encodeBoolean(true), encodeInteger(0))),
    refused: CA,
  },
  {
    name: "a path length without being a CA",
    parts: extensions(basicConstraints(encodeInteger(0))),
    refused: {
      kind: "malformed",
      message: "cannot read request: a path length without a CA",
    },
  },
  { name: "to be no CA", parts: extensions(basicConstraints()) },
  { name: "to sign certificates", parts: extensions(keyUsage(0, 5)), refused: CA },
  { name: "to sign CRLs", parts: extensions(keyUsage(6)), refused: CA },
  { name: "to sign", parts: extensions(keyUsage(0)) },
  {
    name: "to sign and encrypt",
    parts: extensions(keyUsage(0, 1, 2, 3, 4)),
    ignored: [
      "key usage nonRepudiation",
      "key usage keyEncipherment",
      "key usage dataEncipherment",
      "key usage keyAgreement",
    ],
  },
  {
    name: "key usage that is no bit string",
    parts: extensions(extension(OID.keyUsage, encodeNull())),
    refused: { kind: "malformed", message: "cannot read request: tag 0x5 where 0x3 is due" },
  },
  {
    name: "an empty list of usages",
    parts: extensions(extendedKeyUsage()),
    refused: { kind: "malformed", message: "cannot read request: an empty list of usages" },
  },
  { name: "the usages that it gets", parts: extensions(extendedKeyUsage(OID.clientAuth)) },
  {
    name: "another usage",
    parts: extensions(extendedKeyUsage(OID.serverAuth, CODE_SIGNING)),
    ignored: [`extended key usage ${CODE_SIGNING}`],
  },
  {
    name: "client authentication of a host",
    granted: HOST,
    parts: { ...subject(), ...extensions(extendedKeyUsage(OID.serverAuth, OID.clientAuth)) },
    ignored: [`extended key usage ${OID.clientAuth}`],
  },
  { name: "its own key identifier", parts: extensions(own(keyIdOf(encodeSpki(CSR_KEY)))) },
  {
    name: "another key identifier",
    parts: extensions(own(Uint8Array.of(1))),
    ignored: ["extension 2.5.29.14 (subject key identifier)"],
  },
  {
    name: "extensions that nobody gives",
    parts: extensions(
      extension("1.3.6.1.5.5.7.1.24", encodeSequence(encodeInteger(5))),
      extension("1.3.6.1.4.1.99999.1", encodeNull()),
    ),
    ignored: ["extension 1.3.6.1.5.5.7.1.24 (TLS feature)", "extension 1.3.6.1.4.1.99999.1"],
  },
  ...[
    ["2.5.29.30", "2.5.29.30 (name constraints)"],
    ["2.5.29.32", "2.5.29.32 (certificate policies)"],
    ["1.3.6.1.5.5.7.1.24", "1.3.6.1.5.5.7.1.24 (TLS feature)"],
    ["1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.1"],
  ].map(([oid = "", shown]) => ({
    name: `the critical extension ${oid}`,
    parts: extensions(critical(oid)),
    refused: refused(`it asks for the critical extension ${shown}, which is never given`),
  })),
  // Attributes.
  {
    name: "a challenge password, which the answer does not show",
    parts: attributes(attribute(CHALLENGE, SECRET)),
    ignored: [`attribute ${CHALLENGE} (challenge password)`],
  },
  {
    name: "other attributes",
    parts: attributes(attribute("1.2.3", encodeNull()), attribute(MS_REQUEST, encodeSequence())),
    ignored: ["attribute 1.2.3", `attribute ${MS_REQUEST} (Microsoft's request for extensions)`],
  },
  { name: "nothing but its name", parts: {} },
];

for (const { name, parts, granted = ALICE, refused, ignored = [] } of ROWS) {
  test(`checkCsr() ${refused ? "refuses" : "accepts"} ${JSON.stringify(name)}`, () => {
    const csr = readCsr(assembleCsr(parts));
    if (refused) assert.throws(() => checkCsr(csr, granted), refused);
    else assert.deepEqual(checkCsr(csr, granted), ignored);
  });
}

test("checkCsr() says how to ask", () => {
  const csr = readCsr(assembleCsr({ subject: subjectOf("bob") }));
  assert.throws(() => checkCsr(csr, ALICE), {
    hint: "ask for the subject CN=alice only, or for an empty subject",
  });
});

/** Requests by other people's programs, as recorded by `testdata/x509/make.sh`. */
const RECORDED: Readonly<Record<string, readonly string[]>> = {
  own_san: ['name dns "alice"', `name email "alice@${DOMAIN}"`],
  organisation: ["subject attribute O"],
  no_subject: [],
  openssl_extensions: [
    "subject attribute C",
    "subject attribute O",
    "key usage keyEncipherment",
    `extended key usage ${CODE_SIGNING}`,
    "extension 1.3.6.1.5.5.7.1.24 (TLS feature)",
  ],
  certtool_p256: ["subject attribute O", `attribute ${CHALLENGE} (challenge password)`],
  certtool_rsa2048: [
    "subject attribute O",
    `attribute ${CHALLENGE} (challenge password)`,
    "key usage keyEncipherment",
  ],
  certtool_ed25519: ["subject attribute O", `attribute ${CHALLENGE} (challenge password)`],
  certutil_p256: [],
  certutil_rsa2048: ["subject attribute O"],
  keytool_p256: [],
  keytool_ed25519: [],
  keytool_rsa2048: [
    "subject attribute C",
    "subject attribute ST",
    "subject attribute L",
    "subject attribute O",
    "subject attribute OU",
  ],
};

function recorded(name: string): Uint8Array {
  const pem = fs.readFileSync(new URL(`../../testdata/x509/${name}.csr`, import.meta.url), "utf8");
  return parsePemBlock(pem, ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"], name);
}

for (const [name, ignored] of Object.entries(RECORDED)) {
  test(`checkCsr() accepts the recorded request ${name}`, () => {
    assert.deepEqual(checkCsr(parseCsr(recorded(name)), ALICE), ignored);
  });
}

/** Recorded too; each is a good request but for what it asks for. */
const RECORDED_REFUSED: Readonly<Record<string, NonNullable<Row["refused"]>>> = {
  ca: CA,
  two_cn: malformed("its subject has 2 common names"),
  other_cn: OTHER_NAME,
  other_dns: OTHER_NAME,
  server_dns: OTHER_NAME,
  other_uri: OTHER_NAME,
  other_domain: OTHER_NAME,
  other_email: OTHER_NAME,
  ip: OTHER_NAME,
};

for (const [name, refused] of Object.entries(RECORDED_REFUSED)) {
  test(`checkCsr() refuses the recorded request ${name}`, () => {
    assert.throws(() => checkCsr(parseCsr(recorded(name)), ALICE), refused);
  });
}
