import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import {
  fingerprintOf,
  KEY_USAGE,
  OID,
  parseCertificate,
  parseCommonNames,
  parseGeneralNames,
  parseIssuedFacts,
} from "../../lib/x509/certificate.ts";
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
import { x509 } from "../../lib/x509/provider.ts";
import {
  DOMAIN,
  draftUser,
  flipBit,
  makeTestCa,
  makeUser,
  NOW_MS,
  signDraft,
} from "../fakes/ca.ts";

const ca = await makeTestCa();
const { certificate: user } = await makeUser(ca, { id: "alice" });
const { certificate: issuing } = ca.issuing;

test("parseCertificate() reads a user's certificate", () => {
  assert.deepEqual(user.commonNames, ["alice"]);
  assert.equal(user.notBeforeMs, NOW_MS - 60_000);
  assert.equal(user.notAfterMs, NOW_MS + 30 * 86_400_000);
  assert.deepEqual(user.basicConstraints, { isCa: false });
  assert.equal(user.keyUsage, KEY_USAGE.digitalSignature);
  assert.deepEqual(user.extendedKeyUsage, [OID.clientAuth, OID.serverAuth]);
  assert.deepEqual(user.names, [
    { type: "uri", value: `spiffe://${DOMAIN}/user/alice` },
    { type: "dns", value: `alice.user.${DOMAIN}` },
  ]);
  assert.equal(user.nameConstraints, undefined);
  assert.deepEqual(user.issuer, issuing.subject);
  assert.deepEqual(user.authorityKeyId, issuing.subjectKeyId);
});

test("parseCertificate() reads an issuing CA's certificate", () => {
  assert.deepEqual(issuing.commonNames, [`${DOMAIN} issuing CA`]);
  assert.deepEqual(issuing.basicConstraints, { isCa: true, pathLength: 0 });
  assert.equal(issuing.keyUsage, KEY_USAGE.keyCertSign | KEY_USAGE.crlSign);
  assert.equal(issuing.extendedKeyUsage, undefined);
  assert.deepEqual(issuing.names, []);
  assert.deepEqual(issuing.nameConstraints, {
    permitted: [{ type: "dns", value: DOMAIN }, { type: "email", value: DOMAIN }],
    excluded: [
      { type: "ip", value: new Uint8Array(8) },
      { type: "ip", value: new Uint8Array(32) },
    ],
  });
});

test("parseCertificate() keeps a copy of the bytes that it was given", () => {
  const bytes = Uint8Array.from(user.der);
  const certificate = parseCertificate(bytes);
  bytes.fill(0);
  assert.deepEqual(certificate.der, user.der);
  assert.equal(encodeHex(certificate.tbs), encodeHex(user.tbs));
});

for (const [name, certificate] of [["a root", ca.root.certificate], ["a user", user]] as const) {
  test(`parseCertificate() agrees with @peculiar/x509 and the engine about ${name}`, () => {
    const theirs = new x509.X509Certificate(certificate.der);
    assert.equal(certificate.serial, theirs.serialNumber);
    assert.equal(certificate.notBeforeMs, theirs.notBefore.getTime());
    assert.equal(certificate.notAfterMs, theirs.notAfter.getTime());
    assert.deepEqual(certificate.spki, new Uint8Array(theirs.publicKey.rawData));
    assert.deepEqual(certificate.issuer, new Uint8Array(theirs.issuerName.toArrayBuffer()));
    assert.deepEqual(certificate.subject, new Uint8Array(theirs.subjectName.toArrayBuffer()));
    assert.deepEqual(certificate.signature, new Uint8Array(theirs.signature));
    assert.deepEqual(certificate.commonNames, theirs.subjectName.getField("CN"));
    assert.deepEqual(
      [...certificate.extensions.values()].map(({ oid, critical, value }) =>
        `${oid} ${critical} ${encodeHex(value)}`
      ),
      Array.from(theirs.extensions).map(({ type, critical, value }) =>
        `${type} ${critical} ${encodeHex(new Uint8Array(value))}`
      ),
    );
    const engine = new X509Certificate(certificate.der);
    assert.equal(certificate.serial, engine.serialNumber.toLowerCase());
    assert.equal(
      fingerprintOf(certificate.der),
      engine.fingerprint256.replaceAll(":", "").toLowerCase(),
    );
  });
}

// A certificate from parts, each of which a test can replace. Nothing in it is signed.

const ALGORITHM = encodeSequence(encodeOid("1.2.840.10045.4.3.2"));
const NAME = nameOf(encodeElement(TAG.utf8String, utf8("x")));
const TIME = encodeElement(TAG.utcTime, utf8("260101000000Z"));
const SPKI = encodeSequence(encodeNull());
const TRUE = Uint8Array.of(1, 1, 0xff);
const FALSE = Uint8Array.of(1, 1, 0);

function nameOf(value: Uint8Array, oid: string = OID.commonName): Bytes {
  return encodeSequence(encodeElement(TAG.set, encodeSequence(encodeOid(oid), value)));
}

function extension(oid: string, value: Uint8Array, critical: Uint8Array = new Uint8Array()): Bytes {
  return encodeSequence(encodeOid(oid), critical, encodeOctetString(value));
}

interface Parts {
  readonly version?: Uint8Array;
  readonly serial?: Uint8Array;
  readonly innerAlgorithm?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly validity?: Uint8Array;
  readonly uniqueId?: Uint8Array;
  /** `null` for none at all. */
  readonly extensions?: readonly Uint8Array[] | null;
  readonly behindTbs?: Uint8Array;
  readonly signature?: Uint8Array;
  readonly behindSignature?: Uint8Array;
}

const NOTHING = new Uint8Array();

function assemble(parts: Parts): Bytes {
  const { extensions = [extension(OID.subjectKeyId, encodeOctetString(utf8("id")))] } = parts;
  const tbs = encodeSequence(
    parts.version ?? encodeElement(contextTag(0, true), encodeInteger(2)),
    parts.serial ?? encodeInteger(1),
    parts.innerAlgorithm ?? ALGORITHM,
    NAME,
    parts.validity ?? encodeSequence(TIME, TIME),
    parts.subject ?? NAME,
    SPKI,
    parts.uniqueId ?? NOTHING,
    extensions ? encodeElement(contextTag(3, true), encodeSequence(...extensions)) : NOTHING,
    parts.behindTbs ?? NOTHING,
  );
  return encodeSequence(
    tbs,
    ALGORITHM,
    parts.signature ?? Uint8Array.of(3, 2, 0, 1),
    parts.behindSignature ?? NOTHING,
  );
}

const BEHIND = "cannot read DER: bytes behind the end";
const DEFAULT = "cannot read certificate: a default value that DER leaves out";
const basicConstraints = (...content: readonly Uint8Array[]): Parts => ({
  extensions: [extension(OID.basicConstraints, encodeSequence(...content))],
});

const ROWS: readonly { readonly name: string; readonly parts: Parts; readonly refused?: string }[] =
  [
    {
      name: "version 1",
      parts: { version: NOTHING },
      refused: "cannot read certificate: not of version 3",
    },
    {
      name: "version 2",
      parts: { version: encodeElement(contextTag(0, true), encodeInteger(1)) },
      refused: "cannot read certificate: not of version 3",
    },
    {
      name: "two versions",
      parts: { version: encodeElement(contextTag(0, true), encodeInteger(2), encodeInteger(2)) },
      refused: BEHIND,
    },
    {
      name: "a serial number that is not in its shortest form",
      parts: { serial: Uint8Array.of(2, 2, 0, 1) },
      refused: "cannot read DER: an integer that is not in its shortest form",
    },
    {
      name: "another algorithm inside",
      parts: { innerAlgorithm: encodeSequence(encodeOid("1.2.840.10045.4.3.3")) },
      refused: "cannot read certificate: two different signature algorithms",
    },
    {
      name: "the same algorithm with parameters inside",
      parts: { innerAlgorithm: encodeSequence(encodeOid("1.2.840.10045.4.3.2"), encodeNull()) },
      refused: "cannot read certificate: two different signature algorithms",
    },
    {
      name: "three times",
      parts: { validity: encodeSequence(TIME, TIME, TIME) },
      refused: BEHIND,
    },
    {
      name: "one time",
      parts: { validity: encodeSequence(TIME) },
      refused: "cannot read DER: it ends too early",
    },
    {
      name: "a unique identifier",
      parts: { uniqueId: Uint8Array.of(0x81, 2, 0, 1) },
      refused: BEHIND,
    },
    {
      name: "no extensions",
      parts: { extensions: null },
      refused: "cannot read certificate: no extensions",
    },
    {
      name: "something behind the extensions",
      parts: { behindTbs: encodeNull() },
      refused: BEHIND,
    },
    {
      name: "something behind the signature",
      parts: { behindSignature: encodeNull() },
      refused: BEHIND,
    },
    {
      name: "a signature of seven bits",
      parts: { signature: Uint8Array.of(3, 2, 1, 2) },
      refused: "cannot read DER: a bit string that does not fill its bytes",
    },
    {
      name: "an extension twice",
      parts: { extensions: [extension("1.2.3", NOTHING), extension("1.2.3", NOTHING)] },
      refused: "cannot read certificate: extension 1.2.3 twice",
    },
    {
      name: "an extension that says it is not critical",
      parts: { extensions: [extension("1.2.3", NOTHING, FALSE)] },
      refused: DEFAULT,
    },
    {
      name: "an extension with BER's true",
      parts: { extensions: [extension("1.2.3", NOTHING, Uint8Array.of(1, 1, 1))] },
      refused: "cannot read DER: a bad boolean",
    },
    {
      name: "an extension with two values",
      parts: {
        extensions: [
          encodeSequence(
            encodeOid("1.2.3"),
            encodeOctetString(NOTHING),
            encodeOctetString(NOTHING),
          ),
        ],
      },
      refused: BEHIND,
    },
    { name: "CA:FALSE written out", parts: basicConstraints(FALSE), refused: DEFAULT },
    {
      name: "a path length without a CA",
      parts: basicConstraints(encodeInteger(0)),
      refused: "cannot read certificate: a path length without a CA",
    },
    {
      name: "a negative path length",
      parts: basicConstraints(TRUE, Uint8Array.of(2, 1, 0xff)),
      refused: "cannot read DER: an integer out of range",
    },
    {
      name: "something behind basic constraints",
      parts: basicConstraints(TRUE, encodeInteger(0), encodeNull()),
      refused: BEHIND,
    },
    {
      name: "something behind a key usage",
      parts: { extensions: [extension(OID.keyUsage, Uint8Array.of(3, 2, 7, 0x80, 0))] },
      refused: BEHIND,
    },
    {
      name: "a key usage with trailing zero bits",
      parts: { extensions: [extension(OID.keyUsage, Uint8Array.of(3, 2, 0, 0x80))] },
      refused: "cannot read DER: named bits that are not in their shortest form",
    },
    {
      name: "no extended key usages",
      parts: { extensions: [extension(OID.extendedKeyUsage, encodeSequence())] },
      refused: "cannot read certificate: an empty list of usages",
    },
    {
      name: "no names in a subject alternative name",
      parts: { extensions: [extension(OID.subjectAltName, encodeSequence())] },
      refused: "cannot read certificate: an empty list of names",
    },
    {
      name: "a minimum in a name constraint",
      parts: {
        extensions: [
          extension(
            OID.nameConstraints,
            encodeSequence(encodeElement(
              contextTag(0, true),
              encodeSequence(Uint8Array.of(0x82, 1, 0x61), Uint8Array.of(0x80, 1, 1)),
            )),
          ),
        ],
      },
      refused: BEHIND,
    },
    {
      name: "a common name in UTF-16",
      parts: { subject: nameOf(encodeElement(0x1e, utf8("x"))) },
      refused: "cannot read certificate: a common name of an odd type",
    },
    {
      name: "a common name that is not UTF-8",
      parts: { subject: nameOf(encodeElement(TAG.utf8String, Uint8Array.of(0xff))) },
      refused: "cannot read certificate: a common name that is not UTF-8",
    },
    {
      name: "another name in UTF-16",
      parts: { subject: nameOf(encodeElement(0x1e, utf8("x")), "2.5.4.10") },
    },
    { name: "an empty subject", parts: { subject: encodeSequence() } },
    {
      name: "a critical unknown extension",
      parts: { extensions: [extension("1.2.3", NOTHING, TRUE)] },
    },
    { name: "a CA without a path length", parts: basicConstraints(TRUE) },
    { name: "what is needed", parts: {} },
  ];

for (const { name, parts, refused } of ROWS) {
  test(`parseCertificate() ${refused === undefined ? "reads" : "refuses"} ${name}`, () => {
    const der = assemble(parts);
    if (refused === undefined) assert.deepEqual(parseCertificate(der).der, der);
    else assert.throws(() => parseCertificate(der), { kind: "malformed", message: refused });
  });
}

test("parseCertificate() reads 16,384 bytes and no more", () => {
  const sized = (length: number) =>
    assemble({ extensions: [extension("1.2.3", new Uint8Array(length))] });
  const overhead = sized(16_000).length - 16_000;
  const largest = sized(16_384 - overhead);
  assert.equal(largest.length, 16_384);
  assert.deepEqual(parseCertificate(largest).der, largest);
  assert.throws(() => parseCertificate(sized(16_385 - overhead)), {
    kind: "malformed",
    message: "cannot read certificate: 16385 bytes, at most 16384 accepted",
  });
});

const one = (oid: string, value: Uint8Array): Parts => ({ extensions: [extension(oid, value)] });
const pair = (...oids: readonly string[]) => encodeSequence(...oids.map(encodeOid));
const EMPTY = encodeSequence();
const URI = encodeElement(contextTag(6, false), utf8("http://a.example/"));
const fullName = (...names: readonly Uint8Array[]) =>
  encodeElement(contextTag(0, true), encodeElement(contextTag(0, true), ...names));

const EXTENSION_ROWS: readonly {
  readonly name: string;
  readonly parts: Parts;
  readonly refused: string;
}[] = [
  {
    name: "no policies",
    parts: one(OID.certificatePolicies, EMPTY),
    refused: "cannot read certificate: an empty list of policies",
  },
  {
    name: "a policy twice",
    parts: one(OID.certificatePolicies, encodeSequence(pair("1.2.3"), pair("1.2.3"))),
    refused: "cannot read certificate: a policy twice",
  },
  {
    name: "a policy with no qualifiers in their list",
    parts: one(
      OID.certificatePolicies,
      encodeSequence(encodeSequence(encodeOid("1.2.3"), EMPTY)),
    ),
    refused: "cannot read certificate: an empty list of policy qualifiers",
  },
  {
    name: "no policy mappings",
    parts: one(OID.policyMappings, EMPTY),
    refused: "cannot read certificate: an empty list of policy mappings",
  },
  {
    name: "a policy mapping of three",
    parts: one(OID.policyMappings, encodeSequence(pair("1.2.3", "1.2.4", "1.2.5"))),
    refused: BEHIND,
  },
  {
    name: "policy constraints that say nothing",
    parts: one(OID.policyConstraints, EMPTY),
    refused: "cannot read certificate: policy constraints without any",
  },
  {
    name: "a negative policy constraint",
    parts: one(
      OID.policyConstraints,
      encodeSequence(encodeElement(contextTag(0, false), Uint8Array.of(0xff))),
    ),
    refused: "cannot read DER: an integer out of range",
  },
  {
    name: "something behind inhibitAnyPolicy",
    parts: one(OID.inhibitAnyPolicy, concatBytes(encodeInteger(0), encodeNull())),
    refused: BEHIND,
  },
  {
    name: "name constraints that say nothing",
    parts: one(OID.nameConstraints, EMPTY),
    refused: "cannot read certificate: name constraints without any",
  },
  {
    name: "an empty list of subtrees",
    parts: one(OID.nameConstraints, encodeSequence(encodeElement(contextTag(0, true)))),
    refused: "cannot read certificate: an empty list of subtrees",
  },
  {
    name: "no distribution points",
    parts: one(OID.crlDistributionPoints, EMPTY),
    refused: "cannot read certificate: an empty list of distribution points",
  },
  {
    name: "a distribution point without a name",
    parts: one(
      OID.crlDistributionPoints,
      encodeSequence(encodeSequence(Uint8Array.of(0x81, 2, 1, 6))),
    ),
    refused: "cannot read certificate: a distribution point without a name",
  },
  {
    name: "no locations",
    parts: one(OID.authorityInfoAccess, EMPTY),
    refused: "cannot read certificate: an empty list of locations",
  },
  {
    name: "an issuer's issuer without a serial number",
    parts: one(
      OID.authorityKeyId,
      encodeSequence(encodeElement(contextTag(1, true), URI)),
    ),
    refused: "cannot read certificate: half of its issuer's issuer and serial number",
  },
  {
    name: "an issuer's serial number alone",
    parts: one(
      OID.authorityKeyId,
      encodeSequence(encodeElement(contextTag(2, false), Uint8Array.of(1))),
    ),
    refused: "cannot read certificate: half of its issuer's issuer and serial number",
  },
  {
    name: "something behind an authority key identifier",
    parts: one(OID.authorityKeyId, encodeSequence(encodeNull())),
    refused: BEHIND,
  },
  {
    name: "a directory name that is none",
    parts: one(
      OID.subjectAltName,
      encodeSequence(encodeElement(contextTag(4, true), encodeNull())),
    ),
    refused: "cannot read DER: tag 0x5 where 0x30 is due",
  },
];

for (const { name, parts, refused } of EXTENSION_ROWS) {
  test(`parseCertificate() refuses ${name}`, () => {
    assert.throws(() => parseCertificate(assemble(parts)), { kind: "malformed", message: refused });
  });
}

test("parseCertificate() reads policies, their mappings and constraints", () => {
  const CPS = "1.3.6.1.5.5.7.2.1";
  const qualifiers = encodeSequence(
    encodeSequence(encodeOid(CPS), encodeElement(TAG.ia5String, utf8("x"))),
  );
  const constraint = (number: number, count: number) =>
    encodeElement(contextTag(number, false), Uint8Array.of(count));
  const read = parseCertificate(assemble({
    extensions: [
      extension(
        OID.certificatePolicies,
        encodeSequence(encodeSequence(encodeOid("1.2.3"), qualifiers), pair(OID.anyPolicy)),
      ),
      extension(OID.policyMappings, encodeSequence(pair("1.2.3", "1.2.4"), pair("1.2.3", "1.2.5"))),
      extension(OID.policyConstraints, encodeSequence(constraint(0, 2), constraint(1, 0))),
      extension(OID.inhibitAnyPolicy, encodeInteger(3)),
    ],
  }));
  assert.deepEqual(read.policies, [
    { oid: "1.2.3", qualifiers: [CPS] },
    { oid: OID.anyPolicy, qualifiers: [] },
  ]);
  assert.deepEqual(read.policyMappings, [
    { issuerPolicy: "1.2.3", subjectPolicy: "1.2.4" },
    { issuerPolicy: "1.2.3", subjectPolicy: "1.2.5" },
  ]);
  assert.deepEqual(read.policyConstraints, { requireExplicit: 2, inhibitMapping: 0 });
  assert.equal(read.inhibitAnyPolicy, 3);
  const bare = parseCertificate(assemble({}));
  assert.equal(bare.policies, undefined);
  assert.equal(bare.policyConstraints, undefined);
});

test("parseCertificate() reads where revocation is told, and who its issuer's issuer is", () => {
  const relative = encodeElement(
    contextTag(0, true),
    encodeElement(contextTag(1, true), encodeSequence(encodeOid("2.5.4.3"), encodeNull())),
  );
  const location = (method: string, name: Uint8Array) => encodeSequence(encodeOid(method), name);
  const directory = encodeElement(contextTag(4, true), NAME);
  const read = parseCertificate(assemble({
    extensions: [
      extension(
        OID.crlDistributionPoints,
        encodeSequence(
          encodeSequence(fullName(URI)),
          encodeSequence(fullName(URI), Uint8Array.of(0x81, 2, 1, 6)),
          encodeSequence(relative),
          encodeSequence(encodeElement(contextTag(2, true), directory)),
        ),
      ),
      extension(
        OID.authorityInfoAccess,
        encodeSequence(
          location(OID.ocsp, URI),
          location(OID.caIssuers, URI),
          location(OID.ocsp, directory),
          location("1.2.3", URI),
        ),
      ),
      extension(
        OID.authorityKeyId,
        encodeSequence(
          encodeElement(contextTag(0, false), utf8("id")),
          encodeElement(contextTag(1, true), directory),
          encodeElement(contextTag(2, false), Uint8Array.of(1, 2)),
        ),
      ),
      extension(OID.issuerAltName, encodeSequence(URI)),
    ],
  }));
  const uri = { type: "uri", value: "http://a.example/" } as const;
  assert.deepEqual(read.crlDistributionPoints, [
    { names: [uri], hasMore: false },
    { names: [uri], hasMore: true },
    { names: [], hasMore: true },
    { names: [], hasMore: true },
  ]);
  assert.deepEqual(read.authorityInfoAccess, {
    ocsp: [uri.value],
    caIssuers: [uri.value],
    others: 2,
  });
  assert.deepEqual(read.authorityKeyId, new Uint8Array(utf8("id")));
  assert.deepEqual(read.authorityCertificate, {
    issuer: [{ type: "directory", value: NAME }],
    serial: "0102",
  });
  assert.deepEqual(read.issuerNames, [uri]);
});

test("parseCommonNames() finds every common name, in sets of several attributes too", () => {
  const attribute = (oid: string, tag: number, text: string) =>
    encodeSequence(encodeOid(oid), encodeElement(tag, utf8(text)));
  const name = encodeSequence(
    encodeElement(
      TAG.set,
      attribute(OID.commonName, TAG.utf8String, "ä"),
      attribute("2.5.4.10", TAG.utf8String, "o"),
      attribute(OID.commonName, TAG.printableString, "b"),
    ),
    encodeElement(TAG.set, attribute(OID.commonName, TAG.ia5String, "c")),
  );
  assert.deepEqual(parseCommonNames(name), ["ä", "b", "c"]);
});

test("parseGeneralNames() reads the forms that count and marks the others", () => {
  const names = encodeSequence(
    encodeElement(contextTag(1, false), utf8("a@b")),
    encodeElement(contextTag(2, false), utf8("b")),
    encodeElement(contextTag(6, false), utf8("c:d")),
    encodeElement(contextTag(7, false), Uint8Array.of(127, 0, 0, 1)),
    encodeElement(contextTag(8, false), Uint8Array.of(1)),
    encodeElement(contextTag(4, true), NAME),
    encodeElement(
      contextTag(0, true),
      encodeOid("1.2.3"),
      encodeElement(contextTag(0, true), encodeNull()),
    ),
  );
  assert.deepEqual(parseGeneralNames(names), [
    { type: "email", value: "a@b" },
    { type: "dns", value: "b" },
    { type: "uri", value: "c:d" },
    { type: "ip", value: Uint8Array.of(127, 0, 0, 1) },
    { type: "other", tag: 0x88 },
    { type: "directory", value: NAME },
    { type: "other", tag: 0xa0, typeId: "1.2.3" },
  ]);
});

for (const byte of [0x00, 0x1f, 0x7f, 0x80, 0xff]) {
  test(`parseGeneralNames() refuses the byte ${byte} in a name`, () => {
    for (const number of [1, 2, 6]) {
      const names = encodeSequence(
        encodeElement(contextTag(number, false), utf8("a"), Uint8Array.of(byte), utf8(".example")),
      );
      assert.throws(() => parseGeneralNames(names), {
        kind: "malformed",
        message: "cannot read certificate: a name with odd characters",
      });
    }
  });
}

function parsesOrIsMalformed(der: Uint8Array): boolean {
  try {
    parseCertificate(der);
    return true;
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "malformed", String(error));
    return false;
  }
}

test("parseCertificate() refuses every truncation, and a byte more", () => {
  for (const { der } of [user, issuing]) {
    for (let length = 0; length < der.length; length++) {
      assert.equal(parsesOrIsMalformed(der.subarray(0, length)), false);
    }
    assert.equal(parsesOrIsMalformed(concatBytes(der, Uint8Array.of(0))), false);
  }
});

test("parseCertificate() reads or refuses as malformed every single flipped bit", () => {
  for (const { der } of [user, issuing]) {
    for (let i = 0; i < der.length * 8; i++) parsesOrIsMalformed(flipBit(der, i >> 3, i % 8));
  }
});

test("parseCertificate() reads or refuses as malformed any mutation and any bytes", () => {
  const change = fc.tuple(fc.nat(user.der.length - 1), fc.nat(255));
  fc.assert(fc.property(fc.array(change, { maxLength: 8 }), fc.nat(4), (changes, extra) => {
    const der = concatBytes(user.der, new Uint8Array(extra));
    for (const [index, value] of changes) der[index] = value;
    parsesOrIsMalformed(der);
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    parsesOrIsMalformed(bytes);
    parsesOrIsMalformed(encodeSequence(bytes));
  }));
});

test("parseIssuedFacts() reads serial, end and issuer's key identifier", () => {
  const { serial, notAfterMs } = user;
  assert.deepEqual(parseIssuedFacts(user.der), {
    serial,
    notAfterMs,
    issuerKeyId: encodeHex(issuing.subjectKeyId!),
  });
});

test("parseIssuedFacts() agrees with parseCertificate(), whatever single bit is flipped", () => {
  fc.assert(fc.property(
    fc.nat({ max: user.der.length - 1 }),
    fc.nat({ max: 7 }),
    (index, bit) => {
      const bytes = flipBit(user.der, index, bit);
      let whole;
      try {
        whole = parseCertificate(bytes);
      } catch {
        return; // The fast reader looks at less, so it may refuse less.
      }
      const { serial, notAfterMs, authorityKeyId } = whole;
      if (!authorityKeyId) {
        return assert.throws(() => parseIssuedFacts(bytes), { kind: "malformed" });
      }
      const issuerKeyId = encodeHex(authorityKeyId);
      assert.deepEqual(parseIssuedFacts(bytes), { serial, notAfterMs, issuerKeyId });
    },
  ));
});

test("parseIssuedFacts() refuses every truncation, and a certificate that names no issuer's key", async () => {
  for (let length = 0; length < user.der.length; length++) {
    assert.throws(() => parseIssuedFacts(user.der.subarray(0, length)), {
      kind: "malformed",
    });
  }
  const draft = { ...draftUser("alice", ca.issuing.key), authorityKeyId: null };
  const nameless = await signDraft(draft, ca.issuing);
  assert.throws(() => parseIssuedFacts(nameless), {
    kind: "malformed",
    message: "cannot read certificate: no key identifier of its issuer",
  });
});
