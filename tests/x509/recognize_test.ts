import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, copyBytes, utf8 } from "../../lib/base/bytes.ts";
import { encodeCrlEntry, encodeTbsCrl, signCrl } from "../../lib/x509/crl.ts";
import {
  encodeInteger,
  encodeNull,
  encodeOid,
  encodeSequence,
  encodeTime,
  encodeWholeBits,
} from "../../lib/x509/der.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";
import { encodeOcspError, encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { encodePem, parsePem } from "../../lib/x509/pem.ts";
import { type ItemKind, recognize } from "../../lib/x509/recognize.ts";
import { makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { PkiError } from "../../lib/base/errors.ts";

const ca = await makeTestCa();
const { certificate, key } = ca.issuing;
const HINT = "certificates, requests, revocation lists and OCSP messages are shown; keys never are";

function testdata(name: string): Uint8Array {
  const text = fs.readFileSync(new URL(`../../testdata/x509/${name}`, import.meta.url), "utf8");
  const [block] = parsePem(text);
  assert.ok(block);
  return block.der;
}

const crl = signCrl(
  encodeTbsCrl({
    issuer: certificate,
    number: 1n,
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NOW_MS,
    entries: [encodeCrlEntry({ serial: "01", revokedMs: NOW_MS, reason: "superseded" })],
  }),
  ca.issuing,
);
const algorithm = encodeSequence(encodeOid("1.3.101.112"));
const name = encodeSequence();
const time = encodeTime(NOW_MS);
const signed = (...tbs: readonly Uint8Array[]) =>
  encodeSequence(encodeSequence(...tbs), algorithm, encodeWholeBits(Uint8Array.of(1)));

const KINDS: readonly (readonly [string, Uint8Array, ItemKind])[] = [
  ["a certificate", certificate.der, "certificate"],
  [
    "a certificate of version 1",
    signed(encodeInteger(1), algorithm, name, encodeSequence(time, time), name, algorithm),
    "certificate",
  ],
  ["a request", testdata("p256.csr"), "request"],
  ["a request without a subject", testdata("no_subject.csr"), "request"],
  ["a request with RSA", testdata("rsa2048.csr"), "request"],
  ["a list", crl, "crl"],
  ["a list of version 1", signed(algorithm, name, time), "crl"],
  [
    "an OCSP request",
    encodeOcspRequest({ issuer: certificate, serials: ["01"] }),
    "ocspRequest",
  ],
  ["an OCSP response", encodeOcspError("tryLater"), "ocspResponse"],
];

for (const [what, der, kind] of KINDS) {
  test(`recognize() knows ${what}`, () => {
    assert.deepEqual(recognize(der, "x"), { items: [{ kind, der: copyBytes(der) }], others: [] });
  });
}

const LABELS: readonly (readonly [string, ItemKind])[] = [
  ["CERTIFICATE", "certificate"],
  ["X509 CERTIFICATE", "certificate"],
  ["CERTIFICATE REQUEST", "request"],
  ["NEW CERTIFICATE REQUEST", "request"],
  ["X509 CRL", "crl"],
  ["CRL", "crl"],
  ["OCSP REQUEST", "ocspRequest"],
  ["OCSP RESPONSE", "ocspResponse"],
];

test("recognize() finds every block of a PEM file, with text in any character set around", () => {
  const der = copyBytes(Uint8Array.of(5, 0));
  const text = LABELS.map(([label]) => `subject=x\n${encodePem(label, der)}`).join("\n");
  const key = encodePem("EC PRIVATE KEY", der);
  const bytes = concatBytes(Uint8Array.of(0xff, 0xfe, 0x0a), utf8(text + key));
  assert.deepEqual(recognize(bytes, "x"), {
    items: LABELS.map(([, kind]) => ({ kind, der })),
    others: ["EC PRIVATE KEY"],
  });
});

const pem = encodePem("CERTIFICATE", certificate.der);
const REFUSED: readonly (readonly [string, Uint8Array, string, string?])[] = [
  ["nothing", new Uint8Array(), "it is empty", HINT],
  ["some text", utf8("hello"), "it is neither PEM nor DER of any of these", HINT],
  [
    "DER of something else",
    encodeSequence(encodeNull()),
    "it is neither PEM nor DER of any of these",
    HINT,
  ],
  [
    "a private key in DER",
    key.export({ format: "der", type: "pkcs8" }),
    "it is neither PEM nor DER of any of these",
    HINT,
  ],
  ["a public key in DER", encodeSpki(key), "it is neither PEM nor DER of any of these", HINT],
  [
    "a certificate and a byte",
    concatBytes(certificate.der, Uint8Array.of(0)),
    "it is neither PEM nor DER of any of these",
    HINT,
  ],
  [
    "a private key in PEM",
    utf8(key.export({ format: "pem", type: "pkcs8" }) as string),
    "it holds PRIVATE KEY",
    HINT,
  ],
  ["a block without its end", utf8(pem.slice(0, -30)), "a PEM block in it is damaged or cut off"],
  [
    "a block without its end behind a good one",
    utf8(pem + pem.slice(0, -30)),
    "a PEM block in it is damaged or cut off",
  ],
];

for (const [what, bytes, reason, hint] of REFUSED) {
  test(`recognize() refuses ${what}`, () => {
    assert.throws(() => recognize(bytes, '"x"'), {
      kind: "malformed",
      message: `cannot show "x": ${reason}`,
      hint,
    });
  });
}

test("recognize() ends with a value or a refusal for any bytes", () => {
  const near = fc.tuple(fc.constantFrom(...KINDS), fc.nat(), fc.nat(255)).map(
    ([[, der], at, byte]) => {
      const changed = copyBytes(der);
      changed[at % der.length] = byte;
      return changed;
    },
  );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), near), (bytes) => {
      try {
        assert.equal(recognize(bytes, "x").items.length, 1);
      } catch (error) {
        assert.ok(error instanceof PkiError && error.kind === "malformed");
      }
    }),
    { numRuns: 2000 },
  );
});
