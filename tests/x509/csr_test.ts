import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { parseCsr } from "../../lib/x509/csr.ts";
import {
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { flipBit } from "../fakes/ca.ts";
import {
  altNames,
  assembleCsr,
  attribute,
  attributes,
  type CsrParts,
  dnsName,
  extensions,
  subjectOf,
} from "../fakes/csr.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

function vector(name: string): string {
  return fs.readFileSync(new URL(`../../testdata/x509/${name}`, import.meta.url), "utf8");
}

function request(name: string): Bytes {
  return parsePemBlock(vector(`${name}.csr`), ["CERTIFICATE REQUEST"], name);
}

interface Row {
  /** A file in testdata/x509, made by openssl. */
  readonly name: string;
  readonly message?: string;
}

const notAccepted = (oid: string) => `cannot verify: signature algorithm ${oid} is not accepted`;

const ROWS: readonly Row[] = [
  { name: "rsa1024", message: "cannot accept the key: RSA key has 1024 bits, 2048 to 8192 needed" },
  {
    name: "rsa2048_exponent3",
    message: "cannot accept the key: its RSA exponent is 3, at least 65537 needed",
  },
  {
    name: "secp256k1",
    message: "cannot accept the key: its curve is secp256k1, P-256 or P-384 needed",
  },
  { name: "p521", message: "cannot accept the key: its curve is P-521, P-256 or P-384 needed" },
  {
    name: "p256_explicit",
    message: "cannot accept the key: its curve has explicit parameters, a named one is needed",
  },
  {
    name: "ed448",
    message: "cannot accept the key: it is of the type Ed448; EC, RSA or Ed25519 needed",
  },
  {
    name: "rsa_pss",
    message: "cannot accept the key: it is of the type RSA-PSS; EC, RSA or Ed25519 needed",
  },
  { name: "p256_sha1", message: notAccepted("1.2.840.10045.4.1") },
  { name: "rsa2048_sha1", message: notAccepted("1.2.840.113549.1.1.5") },
  { name: "rsa2048_pss", message: notAccepted("1.2.840.113549.1.1.10") },
  { name: "organisation" },
  { name: "no_subject" },
  { name: "own_san" },
  { name: "p384_sha512" },
  { name: "p256" },
  { name: "p384" },
  { name: "ed25519" },
  { name: "rsa2048" },
  { name: "rsa3072" },
];

for (const { name, message } of ROWS) {
  test(`parseCsr() ${message === undefined ? "accepts" : "refuses"} ${name}.csr`, () => {
    const read = () => parseCsr(request(name));
    if (message !== undefined) assert.throws(read, { kind: "malformed", message });
    else assert.deepEqual(encodeSpki(read().publicKey), read().spki);
  });
}

test("parseCsr() reads what was asked for", () => {
  const csr = parseCsr(request("own_san"));
  assert.deepEqual(csr.commonNames, ["alice"]);
  assert.deepEqual(csr.names, [
    { type: "dns", value: "alice" },
    { type: "dns", value: "alice.user.pki.internal" },
    { type: "uri", value: "spiffe://pki.internal/user/alice" },
    { type: "email", value: "alice@pki.internal" },
  ]);
  assert.deepEqual(csr.spki, encodeSpki(createPrivateKey(vector("p256.key"))));
  assert.deepEqual(csr.der, request("own_san"));
});

const ALT_NAME = altNames(dnsName("alice"));
const ALICE_NAME = encodeElement(TAG.utf8String, utf8("alice"));
const NOT_IN_ORDER = "cannot read DER: a set whose members are not in order";
const BEHIND = "cannot read DER: bytes behind the end";
const NOT_ITS_KEY = "cannot accept request: its signature is not by the key in it";

const ASSEMBLED: readonly {
  readonly name: string;
  readonly parts?: CsrParts;
  readonly der?: Uint8Array;
  readonly refused?: string;
}[] = [
  {
    name: "version 2",
    parts: { version: encodeInteger(1) },
    refused: "cannot accept request: not of version 1",
  },
  { name: "something behind the attributes", parts: { behindInfo: encodeNull() }, refused: BEHIND },
  { name: "something behind the signature", parts: { behind: encodeNull() }, refused: BEHIND },
  {
    name: "an attribute twice",
    parts: attributes(attribute("1.2.3", encodeNull()), attribute("1.2.3", encodeNull())),
    refused: "cannot accept request: attribute 1.2.3 twice",
  },
  {
    name: "two requests for extensions",
    parts: attributes(
      attribute(OID.extensionRequest, encodeSequence(ALT_NAME)),
      attribute(OID.extensionRequest, encodeSequence(ALT_NAME)),
    ),
    refused: "cannot accept request: attribute 1.2.840.113549.1.9.14 twice",
  },
  {
    name: "two lists of extensions in one attribute",
    parts: attributes(
      attribute(OID.extensionRequest, encodeSequence(ALT_NAME), encodeSequence(ALT_NAME)),
    ),
    refused: "cannot accept request: two lists of extensions",
  },
  {
    name: "a request for extensions without a list",
    parts: attributes(attribute(OID.extensionRequest)),
    refused: "cannot accept request: attribute 1.2.840.113549.1.9.14 without a value",
  },
  {
    name: "two subject alternative names",
    parts: extensions(ALT_NAME, ALT_NAME),
    refused: "cannot read request: extension 2.5.29.17 twice",
  },
  {
    name: "a common name in UTF-16",
    parts: { subject: subjectOf(encodeElement(0x1e, utf8("x"))) },
    refused: "cannot accept request: its common name is of an odd type",
  },
  {
    name: "somebody else's key",
    parts: { spki: encodeSpki(createPrivateKey(vector("rsa2048.key"))) },
    refused: "cannot verify: the signature algorithm is not one of the key's type",
  },
  {
    name: "somebody else's key of the same type",
    parts: { spki: encodeSpki(createPrivateKey(vector("p384.key"))) },
    refused: NOT_ITS_KEY,
  },
  {
    name: "attributes out of order",
    parts: attributes(attribute("1.2.4", encodeNull()), attribute("1.2.3", encodeNull())),
    refused: NOT_IN_ORDER,
  },
  {
    name: "an attribute whose values are out of order",
    parts: attributes(attribute("1.2.3", encodeInteger(2), encodeInteger(1))),
    refused: NOT_IN_ORDER,
  },
  {
    name: "a part of the subject that is out of order",
    parts: {
      subject: encodeSequence(
        encodeElement(
          TAG.set,
          encodeSequence(encodeOid("2.5.4.10"), ALICE_NAME),
          encodeSequence(encodeOid(OID.commonName), ALICE_NAME),
        ),
      ),
    },
    refused: NOT_IN_ORDER,
  },
  {
    name: "a part of the subject without anything",
    parts: { subject: encodeSequence(encodeElement(TAG.set)) },
    refused: "cannot read DER: it ends too early",
  },
  {
    name: "a common name that is not UTF-8",
    parts: { subject: subjectOf(encodeElement(TAG.utf8String, Uint8Array.of(0xff))) },
    refused: "cannot accept request: a name in it is not UTF-8",
  },
  {
    name: "a PrintableString with an at sign",
    parts: { subject: subjectOf(encodeElement(TAG.printableString, utf8("a@b"))) },
    refused: "cannot accept request: a name in it has characters that its type does not have",
  },
  {
    name: "an IA5String with an umlaut",
    parts: { subject: subjectOf(encodeElement(TAG.ia5String, utf8("ä"))) },
    refused: "cannot accept request: a name in it has characters that its type does not have",
  },
  {
    name: "a list of extensions that is a set",
    parts: attributes(attribute(OID.extensionRequest, encodeElement(TAG.set, ALT_NAME))),
    refused: "cannot accept request: a request for extensions of an odd type",
  },
  {
    name: "an extension that says that it is not critical",
    parts: extensions(
      encodeSequence(
        encodeOid(OID.subjectAltName),
        encodeBoolean(false),
        encodeOctetString(encodeSequence(dnsName("alice"))),
      ),
    ),
    refused: "cannot read request: a default value that DER leaves out",
  },
  {
    name: "a signature of SHA-256 that calls itself one of SHA-384",
    parts: { algorithm: encodeSequence(encodeOid("1.2.840.10045.4.3.3")) },
    refused: NOT_ITS_KEY,
  },
  {
    name: "parameters where ECDSA has none",
    parts: { algorithm: encodeSequence(encodeOid("1.2.840.10045.4.3.2"), encodeNull()) },
    refused: BEHIND,
  },
  {
    name: "a signature of MD5",
    parts: { algorithm: encodeSequence(encodeOid("1.2.840.113549.1.1.4"), encodeNull()) },
    refused: notAccepted("1.2.840.113549.1.1.4"),
  },
  {
    name: "a length of indefinite form",
    der: Uint8Array.of(0x30, 0x80, 0, 0),
    refused: "cannot read DER: a length of a forbidden form",
  },
  {
    name: "a length that is longer than needed",
    der: Uint8Array.of(0x30, 0x81, 0x01, 0),
    refused: "cannot read DER: a length that is not in its shortest form",
  },
  { name: "no attributes at all", parts: { attributes: new Uint8Array() } },
  { name: "an attribute that nobody knows", parts: attributes(attribute("1.2.3", encodeNull())) },
  { name: "its own name", parts: extensions(ALT_NAME) },
  { name: "what is needed", parts: {} },
];

for (const { name, parts, der = assembleCsr(parts), refused } of ASSEMBLED) {
  test(`parseCsr() ${refused === undefined ? "accepts" : "refuses"} ${name}`, () => {
    if (refused !== undefined) {
      return assert.throws(() => parseCsr(der), { kind: "malformed", message: refused });
    }
    assert.deepEqual(parseCsr(der).commonNames, ["alice"]);
  });
}

test("parseCsr() reads 16,384 bytes and no more", () => {
  assert.throws(() => parseCsr(new Uint8Array(16_385)), {
    kind: "malformed",
    message: "cannot accept request: 16385 bytes, at most 16384 accepted",
  });
  assert.throws(() => parseCsr(new Uint8Array(16_384)), { message: /^cannot read DER: / });
});

function isRead(der: Uint8Array): boolean {
  try {
    parseCsr(der);
    return true;
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "malformed", String(error));
    return false;
  }
}

test("parseCsr() refuses every truncation, and a byte more", () => {
  for (const name of ["own_san", "rsa2048"]) {
    const der = request(name);
    for (let length = 0; length < der.length; length++) {
      assert.equal(isRead(der.subarray(0, length)), false);
    }
    assert.equal(isRead(concatBytes(der, Uint8Array.of(0))), false);
  }
});

test("parseCsr() refuses every single flipped bit as malformed", () => {
  const der = request("own_san");
  for (let i = 0; i < der.length * 8; i++) {
    assert.equal(isRead(flipBit(der, i >> 3, i % 8)), false, `bit ${i}`);
  }
});

test("parseCsr() refuses a flipped bit for every type of key", () => {
  for (const name of ["p384", "ed25519", "rsa2048"]) {
    const der = request(name);
    const bit = fc.integer({ min: 0, max: der.length * 8 - 1 });
    fc.assert(
      fc.property(bit, (i) => assert.equal(isRead(flipBit(der, i >> 3, i % 8)), false)),
      { numRuns: 200 },
    );
  }
});

test("parseCsr() refuses any bytes as malformed", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert.equal(isRead(bytes), false);
    assert.equal(isRead(encodeSequence(bytes)), false);
  }));
});

test("makeCsr() makes what parseCsr() and openssl accept", { skip: WITHOUT_OPENSSL }, async () => {
  for (const name of ["p256", "p384", "rsa3072", "ed25519"]) {
    const key = createPrivateKey(vector(`${name}.key`));
    const der = await makeCsr(key, "alice.smith");
    const csr = parseCsr(der);
    assert.deepEqual(csr.commonNames, ["alice.smith"]);
    assert.deepEqual(csr.spki, encodeSpki(key));
    const args = ["req", "-inform", "DER", "-in", "x.csr", "-verify", "-noout", "-subject"];
    const { status, output } = runOpenssl(args, { "x.csr": der });
    assert.equal(status, 0, output);
    assert.match(output, /verify OK/);
    assert.match(output, /CN ?= ?alice\.smith/);
  }
});

test("parseCsr() reads a request that the openssl of this machine makes", {
  skip: WITHOUT_OPENSSL,
}, () => {
  const args = ["req", "-new", "-key", "x.key", "-subj", "/CN=alice", "-outform", "PEM"];
  const { status, output } = runOpenssl(args, { "x.key": vector("p256.key") });
  assert.equal(status, 0, output);
  const csr = parseCsr(parsePemBlock(output, ["CERTIFICATE REQUEST"], "openssl's request"));
  assert.deepEqual(csr.commonNames, ["alice"]);
});
