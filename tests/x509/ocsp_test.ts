import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, encodeHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import {
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeExtension } from "../../lib/x509/encode.ts";
import {
  encodeOcspRequest,
  matchesIssuer,
  type OcspHash,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { flipBit } from "../fakes/ca.ts";
import {
  alice,
  ca,
  certIdOf,
  encodeCertId,
  explicit,
  issuing,
  NONCE,
  nonce,
  NOTHING,
  otherCa,
  SHA1,
  UNKNOWN,
  unknownExtension,
} from "../fakes/ocsp.ts";

test("parseOcspRequest() reads what encodeOcspRequest() makes", () => {
  const serial = fc.uint8Array({ minLength: 1, maxLength: 19 }).map((bytes) =>
    encodeHex(concatBytes(Uint8Array.of(0x11), bytes))
  );
  const serials = fc.array(serial, { minLength: 1, maxLength: 8 });
  const hash = fc.constantFrom<OcspHash>("sha1", "sha256");
  const anyNonce = fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined });
  fc.assert(fc.property(serials, hash, anyNonce, (serials, hash, nonce) => {
    const der = encodeOcspRequest({ issuer: issuing, serials, hash, ...(nonce ? { nonce } : {}) });
    const request = parseOcspRequest(der);
    assert.deepEqual(request.certIds.map((certId) => certId.serial), serials);
    assert.deepEqual(request.nonce, nonce && copyBytes(nonce));
    for (const certId of request.certIds) {
      assert.equal(certId.hash, hash);
      assert.equal(matchesIssuer(certId, issuing), true);
      assert.equal(matchesIssuer(certId, otherCa.issuing.certificate), false);
      assert.equal(matchesIssuer(certId, ca.root.certificate), false);
    }
  }));
});

test("matchesIssuer() wants the issuer's name and its key", () => {
  const certId = certIdOf(alice.serial, "sha256");
  const { issuerNameHash, issuerKeyHash } = certIdOf("01", "sha256", otherCa.issuing.certificate);
  assert.equal(matchesIssuer({ ...certId, issuerNameHash }, issuing), false);
  assert.equal(matchesIssuer({ ...certId, issuerKeyHash }, issuing), false);
  assert.equal(matchesIssuer(certId, issuing), true);
});

/** A request from its parts, each of which may be wrong. */
function requestOf(
  { version = NOTHING, requestor = NOTHING, list, extensions, certId, single, after = NOTHING }: {
    readonly version?: Uint8Array;
    readonly requestor?: Uint8Array;
    readonly list?: readonly Uint8Array[];
    readonly extensions?: readonly Uint8Array[];
    readonly certId?: Uint8Array;
    readonly single?: Uint8Array;
    readonly after?: Uint8Array;
  },
): Bytes {
  const one = encodeSequence(
    certId ?? encodeCertId(),
    single ? explicit(0, encodeSequence(single)) : NOTHING,
  );
  const tbs = encodeSequence(
    version,
    requestor,
    encodeSequence(...list ?? [one]),
    extensions ? explicit(2, encodeSequence(...extensions)) : NOTHING,
  );
  return encodeSequence(tbs, after);
}

const plainRequest = encodeSequence(encodeCertId());
const nonceOf = (bytes: number) =>
  encodeExtension(NONCE, false, encodeOctetString(new Uint8Array(bytes)));

const REQUESTS_REFUSED: readonly (readonly [string, Bytes, string])[] = [
  ["no bytes", copyBytes(NOTHING), "it ends too early"],
  ["16,385 bytes", new Uint8Array(16_385), "16385 bytes, at most 16384 accepted"],
  ["no certificate", requestOf({ list: [] }), "no certificate"],
  ["nine", requestOf({ list: Array(9).fill(plainRequest) }), "more than 8 certificates"],
  [
    "version 1, written",
    requestOf({ version: explicit(0, encodeInteger(0)) }),
    "a default value that DER leaves out",
  ],
  ["version 2", requestOf({ version: explicit(0, encodeInteger(1)) }), "version 2, not 1"],
  [
    "another hash",
    requestOf({
      certId: encodeCertId({ algorithm: encodeSequence(encodeOid("1.2.840.113549.2.5")) }),
    }),
    "the hash algorithm 1.2.840.113549.2.5, where SHA-1 and SHA-256 are accepted",
  ],
  [
    "a NULL with content",
    requestOf({
      certId: encodeCertId({
        algorithm: encodeSequence(SHA1, encodeElement(TAG.null, Uint8Array.of(0))),
      }),
    }),
    "a NULL that is not empty",
  ],
  [
    "parameters of another type",
    requestOf({ certId: encodeCertId({ algorithm: encodeSequence(SHA1, encodeInteger(1)) }) }),
    "tag 0x2 where 0x5 is due",
  ],
  [
    "a short hash",
    requestOf({ certId: encodeCertId({ bytes: 19 }) }),
    "a hash of another length than its algorithm's",
  ],
  [
    "a serial number of 21 bytes",
    requestOf({
      certId: encodeCertId({ serial: encodeElement(TAG.integer, new Uint8Array(21).fill(1)) }),
    }),
    "a serial number of more than 20 bytes",
  ],
  [
    "a serial number with a leading zero",
    requestOf({
      certId: encodeCertId({ serial: encodeElement(TAG.integer, Uint8Array.of(0, 1)) }),
    }),
    "an integer that is not in its shortest form",
  ],
  [
    "an unknown critical extension",
    requestOf({ extensions: [unknownExtension] }),
    `the unknown critical extension ${UNKNOWN}`,
  ],
  [
    "an unknown critical extension of one",
    requestOf({ single: unknownExtension }),
    `the unknown critical extension ${UNKNOWN}`,
  ],
  ["no extension", requestOf({ extensions: [] }), "an empty list of extensions"],
  [
    "an empty nonce",
    requestOf({ extensions: [nonceOf(0)] }),
    "a nonce of 0 bytes, 1 to 128 accepted",
  ],
  [
    "a nonce of 129 bytes",
    requestOf({ extensions: [nonceOf(129)] }),
    "a nonce of 129 bytes, 1 to 128 accepted",
  ],
  [
    "a nonce that is not wrapped",
    requestOf({ extensions: [encodeExtension(NONCE, false, Uint8Array.of(1, 2, 3))] }),
    "tag 0x1 where 0x4 is due",
  ],
  ["two nonces", requestOf({ extensions: [nonceOf(1), nonceOf(1)] }), `extension ${NONCE} twice`],
  ["bytes behind it", requestOf({ after: encodeNull() }), "bytes behind the end"],
];

test("parseOcspRequest() refuses what is not DER of a request that it can answer", () => {
  for (const [what, der, reason] of REQUESTS_REFUSED) {
    assert.throws(
      () => parseOcspRequest(der),
      { kind: "malformed", message: `cannot read OCSP request: ${reason}` },
      what,
    );
  }
  const good = requestOf({
    requestor: explicit(1, explicit(4, encodeSequence())),
    list: Array(8).fill(plainRequest),
    extensions: [nonceOf(128), encodeExtension(UNKNOWN, false, encodeNull())],
    after: explicit(0, encodeSequence()),
  });
  assert.equal(parseOcspRequest(good).certIds.length, 8);
  assert.equal(parseOcspRequest(good).nonce?.length, 128);
});

test("parseOcspRequest() refuses every truncation", () => {
  const request = encodeOcspRequest({ issuer: issuing, serials: [alice.serial], nonce });
  for (let length = 0; length < request.length; length++) {
    assert.throws(() => parseOcspRequest(request.subarray(0, length)), { kind: "malformed" });
  }
});

test("parseOcspRequest() ends with a value or a refusal for any flipped bit", () => {
  const request = encodeOcspRequest({ issuer: issuing, serials: [alice.serial], nonce });
  for (let at = 0; at < request.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = flipBit(request, at, bit);
      try {
        const { certIds: [certId], nonce: found } = parseOcspRequest(flipped);
        const isSame = certId?.serial === alice.serial && matchesIssuer(certId, issuing) &&
          found !== undefined && encodeHex(found) === encodeHex(nonce);
        assert.equal(isSame, false, `bit ${bit} of byte ${at}`);
      } catch (error) {
        assert.ok(error instanceof PkiError && error.kind === "malformed");
      }
    }
  }
});
