import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, copyBytes, encodeHex } from "../../lib/base/bytes.ts";
import {
  contextTag,
  encodeElement,
  encodeGeneralizedTime,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeExtension, encodeSignatureAlgorithm, keyIdOf } from "../../lib/x509/encode.ts";
import {
  encodeOcspError,
  encodeOcspResponse,
  encodeTbsOcspResponse,
  type OcspCertStatus,
} from "../../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { REASONS } from "../../lib/x509/revocation_reason.ts";
import { HOUR_MS, NOW_MS } from "../fakes/ca.ts";
import {
  alice,
  answer,
  bob,
  ca,
  certIdOf,
  encodeCertId,
  explicit,
  issuing,
  nonce,
  NOTHING,
  otherCa,
  respond,
  REVOKED,
  UNKNOWN,
  unknownExtension,
} from "../fakes/ocsp.ts";

test("parseOcspResponse() reads what encodeOcspResponse() makes", () => {
  const time = fc.integer({ min: 0, max: Date.UTC(2080, 0) / 1000 }).map((seconds) =>
    seconds * 1000
  );
  const status = fc.oneof(
    fc.constantFrom<OcspCertStatus>({ type: "good" }, { type: "unknown" }),
    fc.record({
      type: fc.constant("revoked" as const),
      revokedMs: time,
      reason: fc.constantFrom(...REASONS),
    }, { noNullPrototype: true }),
  );
  const certId = fc.constantFrom(
    certIdOf(alice.serial),
    certIdOf(bob.serial, "sha256"),
    certIdOf("01", "sha1", otherCa.issuing.certificate),
  );
  const one = fc.record({
    certId,
    status,
    thisUpdateMs: time,
    nextUpdateMs: fc.option(time, { nil: undefined }),
  }, { noNullPrototype: true });
  const template = fc.record({
    responderKeyId: fc.constant(keyIdOf(issuing.spki)),
    producedAtMs: time,
    answers: fc.array(one, { maxLength: 8 }),
    nonce: fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }).map(copyBytes), {
      nil: undefined,
    }),
  });
  fc.assert(fc.property(template, (template) => {
    const { status, basic } = parseOcspResponse(encodeOcspResponse(template, ca.issuing.key));
    assert.equal(status, "successful");
    assert.ok(basic);
    assert.deepEqual(basic.tbs, encodeTbsOcspResponse(template));
    assert.deepEqual(basic.responder, { type: "key", keyId: template.responderKeyId });
    assert.equal(basic.producedAtMs, template.producedAtMs);
    assert.deepEqual(basic.answers, template.answers);
    assert.deepEqual(basic.nonce, template.nonce);
    assert.deepEqual(basic.certificates, []);
  }));
});

test("encodeOcspError() makes the five bytes that RFC 6960 names", () => {
  const rows = [
    ["malformedRequest", "30030a0101"],
    ["internalError", "30030a0102"],
    ["tryLater", "30030a0103"],
    ["sigRequired", "30030a0105"],
    ["unauthorized", "30030a0106"],
  ] as const;
  for (const [status, hex] of rows) {
    const der = encodeOcspError(status);
    assert.equal(encodeHex(der), hex);
    assert.deepEqual(parseOcspResponse(der), { der, status, basic: undefined });
  }
});

/** A response from its parts, each of which may be wrong; the signature is none. */
function responseOf(
  {
    status = 0,
    type = "1.3.6.1.5.5.7.48.1.1",
    responder = explicit(2, encodeOctetString(keyIdOf(issuing.spki))),
    producedAt = encodeGeneralizedTime(NOW_MS),
    certStatus = encodeElement(contextTag(0, false)),
    thisUpdate = encodeGeneralizedTime(NOW_MS),
    nextUpdate = explicit(0, encodeGeneralizedTime(NOW_MS + HOUR_MS)),
    single,
    count = 1,
    extensions,
    certificates = NOTHING,
    hasBytes = true,
  }: {
    readonly status?: number;
    readonly type?: string;
    readonly responder?: Uint8Array;
    readonly producedAt?: Uint8Array;
    readonly certStatus?: Uint8Array;
    readonly thisUpdate?: Uint8Array;
    readonly nextUpdate?: Uint8Array;
    readonly single?: Uint8Array;
    readonly count?: number;
    readonly extensions?: readonly Uint8Array[];
    readonly certificates?: Uint8Array;
    readonly hasBytes?: boolean;
  },
): Bytes {
  const one = encodeSequence(
    encodeCertId(),
    certStatus,
    thisUpdate,
    nextUpdate,
    single ? explicit(1, encodeSequence(single)) : NOTHING,
  );
  const tbs = encodeSequence(
    responder,
    producedAt,
    encodeSequence(...Array(count).fill(one)),
    extensions ? explicit(1, encodeSequence(...extensions)) : NOTHING,
  );
  const basic = encodeSequence(
    tbs,
    encodeSignatureAlgorithm(ca.issuing.key),
    encodeElement(TAG.bitString, Uint8Array.of(0, 1)),
    certificates,
  );
  return encodeSequence(
    encodeElement(TAG.enumerated, Uint8Array.of(status)),
    hasBytes ? explicit(0, encodeSequence(encodeOid(type), encodeOctetString(basic))) : NOTHING,
  );
}

const NO_STATE = "a state that is none of good, revoked and unknown";
const MISFIT = "an answer without success, or success without an answer";

const RESPONSES_REFUSED: readonly (readonly [string, Bytes, string])[] = [
  ["no bytes", copyBytes(NOTHING), "it ends too early"],
  ["32,769 bytes", new Uint8Array(32_769), "32769 bytes, at most 32768 accepted"],
  ["status 4", responseOf({ status: 4, hasBytes: false }), "an unknown status"],
  ["status 7", responseOf({ status: 7, hasBytes: false }), "an unknown status"],
  ["success without an answer", responseOf({ hasBytes: false }), MISFIT],
  ["an answer with an error", responseOf({ status: 3 }), MISFIT],
  [
    "another type",
    responseOf({ type: UNKNOWN }),
    `the type ${UNKNOWN}, where the basic one is accepted`,
  ],
  ["no responder", responseOf({ responder: NOTHING }), "tag 0x18 where 0xa2 is due"],
  ["a UTCTime", responseOf({ producedAt: encodeTime(NOW_MS) }), "a time of another type"],
  ["no state", responseOf({ certStatus: encodeElement(contextTag(3, false)) }), NO_STATE],
  [
    "good with content",
    responseOf({ certStatus: encodeElement(contextTag(0, false), Uint8Array.of(0)) }),
    NO_STATE,
  ],
  [
    "unknown with content",
    responseOf({ certStatus: encodeElement(contextTag(2, false), Uint8Array.of(0)) }),
    NO_STATE,
  ],
  [
    "revoked for an unknown reason",
    responseOf({
      certStatus: explicit(
        1,
        encodeGeneralizedTime(NOW_MS),
        explicit(0, encodeElement(TAG.enumerated, Uint8Array.of(7))),
      ),
    }),
    "an unknown reason",
  ],
  [
    "revoked with more",
    responseOf({ certStatus: explicit(1, encodeGeneralizedTime(NOW_MS), encodeNull()) }),
    "bytes behind the end",
  ],
  [
    "an unknown critical extension",
    responseOf({ extensions: [unknownExtension] }),
    `the unknown critical extension ${UNKNOWN}`,
  ],
  [
    "an unknown critical extension of one",
    responseOf({ single: unknownExtension }),
    `the unknown critical extension ${UNKNOWN}`,
  ],
  ["65 answers", responseOf({ count: 65 }), "more than 64 answers"],
  [
    "nine certificates",
    responseOf({ certificates: explicit(0, encodeSequence(...Array(9).fill(encodeSequence()))) }),
    "more than 8 certificates",
  ],
];

test("parseOcspResponse() refuses what is not DER of a basic response", () => {
  for (const [what, der, reason] of RESPONSES_REFUSED) {
    assert.throws(
      () => parseOcspResponse(der),
      { kind: "malformed", message: `cannot read OCSP response: ${reason}` },
      what,
    );
  }
  const good = responseOf({
    count: 64,
    single: encodeExtension(UNKNOWN, false, encodeNull()),
    certificates: explicit(0, encodeSequence(...Array(8).fill(encodeSequence()))),
  });
  assert.equal(parseOcspResponse(good).basic?.answers.length, 64);
  assert.equal(parseOcspResponse(good).basic?.certificates.length, 8);
});

test("parseOcspResponse() refuses every truncation", () => {
  const response = respond({ nonce, answers: [answer(), answer({ status: REVOKED })] });
  for (let length = 0; length < response.length; length++) {
    assert.throws(() => parseOcspResponse(response.subarray(0, length)), { kind: "malformed" });
  }
});
