import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, encodeHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import {
  contextTag,
  encodeElement,
  encodeGeneralizedTime,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeExtension, encodeSignatureAlgorithm, keyIdOf } from "../../lib/x509/encode.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { judgeOcspResponse, type OcspJudgement } from "../../lib/x509/ocsp_judge.ts";
import {
  encodeOcspError,
  encodeOcspRequest,
  encodeOcspResponse,
  encodeTbsOcspResponse,
  matchesIssuer,
  type OcspAnswer,
  type OcspCertId,
  type OcspCertStatus,
  type OcspHash,
  type OcspResponseTemplate,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { REASONS } from "../../lib/x509/revocation_reason.ts";
import {
  flipBit,
  type Holder,
  HOUR_MS,
  issue,
  makeTestCa,
  NOW_MS,
  type TestCa,
} from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";

const ca = await makeTestCa();
const otherCa = await makeTestCa({ domain: "other.example" });
const key = await generatePrivateKey("p256");
const alice = (await issue("user", { key, issuer: ca.issuing, id: "alice" })).certificate;
const bob = (await issue("user", { key, issuer: ca.issuing, id: "bob" })).certificate;
const issuing = ca.issuing.certificate;
const nonce = copyBytes(new Uint8Array(32).fill(7));

function certIdOf(serial: string, hash: OcspHash = "sha1", issuer = issuing): OcspCertId {
  const [certId] = parseOcspRequest(encodeOcspRequest({ issuer, serials: [serial], hash })).certIds;
  assert.ok(certId);
  return certId;
}

const REVOKED: OcspCertStatus = {
  type: "revoked",
  revokedMs: NOW_MS - HOUR_MS,
  reason: "keyCompromise",
};

function answer(changes: Partial<OcspAnswer> = {}): OcspAnswer {
  return {
    certId: certIdOf(alice.serial),
    status: { type: "good" },
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NOW_MS + HOUR_MS,
    ...changes,
  };
}

function respond(changes: Partial<OcspResponseTemplate> = {}, signer: Holder = ca.issuing): Bytes {
  return encodeOcspResponse({
    responderKeyId: keyIdOf(signer.certificate.spki),
    producedAtMs: NOW_MS,
    answers: [answer()],
    ...changes,
  }, signer.key);
}

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

const NOTHING = new Uint8Array();
const SHA1 = encodeOid("1.3.14.3.2.26");
const UNKNOWN = "1.3.6.1.4.1.99999.1";
const NONCE = "1.3.6.1.5.5.7.48.1.2";
const unknownExtension = encodeExtension(UNKNOWN, true, encodeNull());
const explicit = (number: number, ...content: readonly Uint8Array[]) =>
  encodeElement(contextTag(number, true), ...content);

function encodeCertId(
  { algorithm = encodeSequence(SHA1), bytes = 20, serial = encodeInteger(7) }: {
    readonly algorithm?: Uint8Array;
    readonly bytes?: number;
    readonly serial?: Uint8Array;
  } = {},
): Bytes {
  const hash = encodeOctetString(new Uint8Array(bytes));
  return encodeSequence(algorithm, hash, hash, serial);
}

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

test("requests and responses are refused when they are cut anywhere", () => {
  const request = encodeOcspRequest({ issuer: issuing, serials: [alice.serial], nonce });
  const response = respond({ nonce, answers: [answer(), answer({ status: REVOKED })] });
  for (let length = 0; length < request.length; length++) {
    assert.throws(() => parseOcspRequest(request.subarray(0, length)), { kind: "malformed" });
  }
  for (let length = 0; length < response.length; length++) {
    assert.throws(() => parseOcspResponse(response.subarray(0, length)), { kind: "malformed" });
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

test("judgeOcspResponse() says what a good response says", () => {
  const window = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + HOUR_MS };
  const rows: readonly (readonly [OcspCertStatus, OcspJudgement])[] = [
    [{ type: "good" }, { status: "good", ...window }],
    [{ type: "unknown" }, { status: "unknown", ...window }],
    [REVOKED, {
      status: "revoked",
      revokedMs: NOW_MS - HOUR_MS,
      reason: "keyCompromise",
      ...window,
    }],
  ];
  for (const [status, expected] of rows) {
    for (const hash of ["sha1", "sha256"] as const) {
      const certId = certIdOf(alice.serial, hash);
      const response = respond({
        nonce,
        answers: [answer({ certId: certIdOf(bob.serial) }), answer({ certId, status })],
      });
      const options = { leaf: alice, issuing, nowMs: NOW_MS };
      assert.deepEqual(judgeOcspResponse(response, options), expected);
      assert.deepEqual(judgeOcspResponse(response, { ...options, nonce }), expected);
      assert.deepEqual(judgeOcspResponse(parseOcspResponse(response), options), expected);
    }
  }
});

const MINUTE_MS = 60_000;
const iso = (timeMs: number) => new Date(timeMs).toISOString();

const UNTRUSTED: readonly {
  readonly what: string;
  readonly response: Uint8Array;
  readonly nowMs?: number;
  readonly nonce?: Uint8Array;
  /** Without: believed. */
  readonly reason?: string;
}[] = [
  {
    what: "an error",
    response: encodeOcspError("tryLater"),
    reason: "it has no answer (tryLater)",
  },
  {
    what: "another CA's response",
    response: respond({}, otherCa.issuing),
    reason: "it is not by the issuing CA itself",
  },
  {
    what: "the root's response",
    response: respond({}, ca.root),
    reason: "it is not by the issuing CA itself",
  },
  {
    what: "another key that claims to be the CA's",
    response: respond({}, { key: otherCa.issuing.key, certificate: issuing }),
    reason: "its signature is not by the issuing CA",
  },
  {
    what: "another certificate's answer",
    response: respond({ answers: [answer({ certId: certIdOf(bob.serial) })] }),
    reason: "it is about another certificate",
  },
  {
    what: "another CA's certificate of the same number",
    response: respond({
      answers: [answer({ certId: certIdOf(alice.serial, "sha1", otherCa.issuing.certificate) })],
    }),
    reason: "it is about another certificate",
  },
  {
    what: "no answer",
    response: respond({ answers: [] }),
    reason: "it is about another certificate",
  },
  {
    what: "good and revoked at once",
    response: respond({ answers: [answer(), answer({ status: REVOKED })] }),
    reason: "it has several answers about the certificate",
  },
  {
    what: "more than five minutes ahead",
    response: respond({ producedAtMs: NOW_MS - MINUTE_MS }),
    nowMs: NOW_MS - 5 * MINUTE_MS - 1,
    reason: `it is from the future: ${iso(NOW_MS)}`,
  },
  { what: "five minutes ahead", response: respond(), nowMs: NOW_MS - 5 * MINUTE_MS },
  {
    what: "produced in the future",
    response: respond({ producedAtMs: NOW_MS + 6 * MINUTE_MS }),
    reason: `it is from the future: ${iso(NOW_MS + 6 * MINUTE_MS)}`,
  },
  {
    what: "no end",
    response: respond({ answers: [answer({ nextUpdateMs: undefined })] }),
    reason: "it does not say until when it is valid",
  },
  {
    what: "a millisecond late",
    response: respond(),
    nowMs: NOW_MS + HOUR_MS + 1,
    reason: `it expired ${iso(NOW_MS + HOUR_MS)}`,
  },
  { what: "in the last moment", response: respond(), nowMs: NOW_MS + HOUR_MS },
  {
    what: "an end before its beginning",
    response: respond({
      answers: [answer({ thisUpdateMs: NOW_MS + 3000, nextUpdateMs: NOW_MS + 2000 })],
    }),
    reason: "it ends before it begins",
  },
  {
    what: "a day and a second",
    response: respond({ answers: [answer({ nextUpdateMs: NOW_MS + 24 * HOUR_MS + 1000 })] }),
    reason: `it is valid for more than 24 hours, until ${iso(NOW_MS + 24 * HOUR_MS + 1000)}`,
  },
  {
    what: "a day",
    response: respond({ answers: [answer({ nextUpdateMs: NOW_MS + 24 * HOUR_MS })] }),
  },
  {
    what: "no nonce",
    response: respond(),
    nonce,
    reason: "it does not repeat the nonce of the request",
  },
  {
    what: "another nonce",
    response: respond({ nonce: flipBit(nonce, 31) }),
    nonce,
    reason: "it has the nonce of another request",
  },
  {
    what: "a longer nonce",
    response: respond({ nonce: concatBytes(nonce, nonce) }),
    nonce,
    reason: "it has the nonce of another request",
  },
  { what: "the nonce", response: respond({ nonce }), nonce },
  { what: "everything good", response: respond() },
];

for (const { what, response, nowMs = NOW_MS, nonce: wanted, reason } of UNTRUSTED) {
  test(`judgeOcspResponse() ${reason === undefined ? "believes" : "refuses"} ${what}`, () => {
    const options = { leaf: alice, issuing, nowMs, ...(wanted ? { nonce: wanted } : {}) };
    if (reason === undefined) {
      assert.equal(judgeOcspResponse(response, options).status, "good");
      return;
    }
    assert.throws(() => judgeOcspResponse(response, options), {
      kind: "untrusted",
      message: `cannot trust OCSP response: ${reason}`,
    });
  });
}

test("judgeOcspResponse() calls bytes that are no response untrusted", () => {
  assert.throws(() => judgeOcspResponse(NOTHING, { leaf: alice, issuing, nowMs: NOW_MS }), {
    kind: "untrusted",
    message: "cannot read OCSP response: it ends too early",
  });
});

test("judgeOcspResponse() believes no response with a flipped bit", () => {
  const response = respond({ nonce, answers: [answer({ status: REVOKED })] });
  for (let at = 0; at < response.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      assert.throws(
        () =>
          judgeOcspResponse(flipBit(response, at, bit), {
            leaf: alice,
            issuing,
            nowMs: NOW_MS,
            nonce,
          }),
        { kind: "untrusted" },
        `bit ${bit} of byte ${at}`,
      );
    }
  }
});

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];

async function makeCaOfType(type: KeyType): Promise<TestCa> {
  const file = new URL(`../../testdata/x509/${type}.key`, import.meta.url);
  const root = createPrivateKey(fs.readFileSync(file, "utf8"));
  return makeTestCa({
    keys: { root, issuing: type === "rsa3072" ? root : await generatePrivateKey(type) },
  });
}

/** Programs that have a clock of their own: answers to them are from now. */
const nowMs = Math.floor(Date.now() / 1000) * 1000;

/** One user's certificate for each state, and the CA, as files. */
async function makeFiles(made: TestCa) {
  const holders = await Promise.all(
    ["good", "revoked", "unknown"].map((id) => issue("user", { key, issuer: made.issuing, id })),
  );
  const [good, revoked, unknown] = holders.map(({ certificate }) => certificate);
  assert.ok(good && revoked && unknown);
  const files = {
    "root.pem": encodeCertificatesPem([made.root.certificate.der]),
    "issuing.pem": encodeCertificatesPem([made.issuing.certificate.der]),
    "issuing.key": made.issuing.key.export({ format: "pem", type: "pkcs8" }) as string,
    "good.pem": encodeCertificatesPem([good.der]),
    "revoked.pem": encodeCertificatesPem([revoked.der]),
    "unknown.pem": encodeCertificatesPem([unknown.der]),
  };
  return { files, good, revoked, unknown };
}

const STATES = ["good", "revoked", "unknown"] as const;
const revokedNow: OcspCertStatus = {
  type: "revoked",
  revokedMs: nowMs - HOUR_MS,
  reason: "keyCompromise",
};

for (const type of TYPES) {
  for (const hash of ["sha1", "sha256"] as const) {
    test(`openssl ocsp believes our answers to its ${hash} requests, by a CA with ${type}`, {
      skip: without("openssl"),
    }, async () => {
      const made = await makeCaOfType(type);
      const { files, good, revoked, unknown } = await makeFiles(made);
      inFolder(files, (cwd) => {
        const openssl = (...args: readonly string[]) =>
          runTool("openssl", ["ocsp", ...args], { cwd });
        const certificates = STATES.flatMap((state) => ["-cert", `${state}.pem`]);
        const asked = openssl(
          ...[`-${hash}`, "-issuer", "issuing.pem", ...certificates, "-reqout", "request"],
        );
        assert.equal(asked.status, 0, asked.output);
        const request = parseOcspRequest(fs.readFileSync(join(cwd, "request")));
        assert.equal(request.nonce?.length, 16);
        assert.deepEqual(
          request.certIds.map((certId) => certId.serial),
          [good.serial, revoked.serial, unknown.serial],
        );
        const statuses: readonly OcspCertStatus[] = [
          { type: "good" },
          revokedNow,
          { type: "unknown" },
        ];
        const answers = request.certIds.map((certId, i) => {
          assert.equal(certId.hash, hash);
          assert.equal(matchesIssuer(certId, made.issuing.certificate), true);
          const status = statuses[i] ?? { type: "unknown" };
          return { certId, status, thisUpdateMs: nowMs, nextUpdateMs: nowMs + HOUR_MS };
        });
        const respondWith = (nonce: Uint8Array | undefined) =>
          respond({ producedAtMs: nowMs, answers, nonce }, made.issuing);
        fs.writeFileSync(join(cwd, "response"), respondWith(request.nonce));
        fs.writeFileSync(join(cwd, "changed"), flipBit(respondWith(request.nonce), -1));
        fs.writeFileSync(join(cwd, "replayed"), respondWith(flipBit(request.nonce ?? nonce, 0)));
        const trust = ["-CAfile", "root.pem", "-verify_other", "issuing.pem"];
        // With certificates it forgets the request and its nonce: states and nonce are two questions.
        const states = (response: string) =>
          openssl(
            ...["-no_nonce", "-respin", response, `-${hash}`, "-issuer", "issuing.pem"],
            ...certificates,
            ...trust,
          ).output;
        const nonces = (response: string) =>
          openssl("-no_nonce", "-reqin", "request", "-respin", response, ...trust).output;
        const output = states("response");
        assert.match(output, /Response verify OK/);
        assert.doesNotMatch(output, /WARNING|rror/);
        assert.match(output, /good\.pem: good\n/);
        assert.match(output, /revoked\.pem: revoked\n(?:.*\n)*?\tReason: keyCompromise\n/);
        assert.match(output, /unknown\.pem: unknown\n/);
        assert.match(states("changed"), /Response Verify Failure/);
        assert.equal(nonces("response"), "Response verify OK\n");
        assert.match(nonces("replayed"), /Nonce Verify error/);
      });
    });
  }

  test(`we believe openssl's answers to our requests, by a CA with ${type}`, {
    skip: without("openssl"),
  }, async () => {
    const made = await makeCaOfType(type);
    const { files, good, revoked, unknown } = await makeFiles(made);
    const line = (state: string, { serial }: { serial: string }) =>
      `${state}\t${serial.toUpperCase()}\tunknown\t/CN=x\n`;
    const index = line("V\t301101120000Z\t", good) +
      line("R\t301101120000Z\t261101110000Z,superseded", revoked);
    const [leaves, issuer] = [{ good, revoked, unknown }, made.issuing.certificate];
    const random = randomBytes(32);
    const request = encodeOcspRequest({
      issuer,
      serials: STATES.map((state) => leaves[state].serial),
      hash: "sha1",
      nonce: random,
    });
    inFolder({ ...files, index, request }, (cwd) => {
      const { status, output } = runTool("openssl", [
        ...["ocsp", "-index", "index", "-CA", "issuing.pem", "-rsigner", "issuing.pem"],
        ...["-rkey", "issuing.key", "-reqin", "request", "-respout", "response", "-nmin", "60"],
      ], { cwd });
      assert.equal(status, 0, output);
      const response = fs.readFileSync(join(cwd, "response"));
      const judge = (state: typeof STATES[number]) => {
        const { thisUpdateMs, nextUpdateMs, ...rest } = judgeOcspResponse(response, {
          leaf: leaves[state],
          issuing: issuer,
          nowMs: Date.now(),
          nonce: random,
        });
        assert.equal(nextUpdateMs - thisUpdateMs, HOUR_MS);
        return rest;
      };
      assert.deepEqual(judge("good"), { status: "good" });
      assert.deepEqual(judge("revoked"), {
        status: "revoked",
        revokedMs: NOW_MS - HOUR_MS,
        reason: "superseded",
      });
      assert.deepEqual(judge("unknown"), { status: "unknown" });
    });
  });

  test(`ocsptool believes our answers to its requests, by a CA with ${type}`, {
    skip: without("ocsptool"),
  }, async () => {
    const made = await makeCaOfType(type);
    const { files, revoked } = await makeFiles(made);
    inFolder(files, (cwd) => {
      const ocsptool = (...args: readonly string[]) => runTool("ocsptool", args, { cwd });
      const asked = ocsptool(
        ...["--generate-request", "--load-issuer", "issuing.pem", "--load-cert", "revoked.pem"],
        ...["--outfile", "request"],
      );
      assert.equal(asked.status, 0, asked.output);
      const request = parseOcspRequest(fs.readFileSync(join(cwd, "request")));
      const [certId] = request.certIds;
      assert.ok(certId);
      assert.equal(certId.serial, revoked.serial);
      assert.equal(matchesIssuer(certId, made.issuing.certificate), true);
      const times = { thisUpdateMs: nowMs, nextUpdateMs: nowMs + HOUR_MS };
      const answers = [{ certId, status: revokedNow, ...times }];
      const response = respond(
        { producedAtMs: nowMs, answers, nonce },
        made.issuing,
      );
      fs.writeFileSync(join(cwd, "response"), response);
      fs.writeFileSync(join(cwd, "changed"), flipBit(response, -1));
      const judge = (name: string) =>
        ocsptool("--verify-response", "--load-signer", "issuing.pem", "--load-response", name)
          .output;
      const output = judge("response");
      assert.match(output, /Verifying OCSP Response: Success/);
      assert.match(output, /Certificate Status: revoked/);
      assert.match(output, new RegExp(`Nonce: ${encodeHex(nonce)}`));
      assert.match(judge("changed"), /Verifying OCSP Response: Failure/);
    });
  });
}

test("a responder with a certificate for the purpose is refused, though openssl believes it", {
  skip: without("openssl"),
}, async () => {
  const responder = await issue("user", { key, issuer: ca.issuing, id: "responder" });
  const { files, good } = await makeFiles(ca);
  const request = encodeOcspRequest({ issuer: issuing, serials: [good.serial], hash: "sha1" });
  const index = `V\t301101120000Z\t\t${good.serial.toUpperCase()}\tunknown\t/CN=x\n`;
  const more = {
    index,
    request,
    "responder.pem": encodeCertificatesPem([responder.certificate.der]),
    "responder.key": key.export({ format: "pem", type: "pkcs8" }) as string,
  };
  inFolder({ ...files, ...more }, (cwd) => {
    const { status, output } = runTool("openssl", [
      ...["ocsp", "-index", "index", "-CA", "issuing.pem", "-rsigner", "responder.pem"],
      ...["-rkey", "responder.key", "-reqin", "request", "-respout", "response", "-nmin", "60"],
    ], { cwd });
    assert.equal(status, 0, output);
    const response = fs.readFileSync(join(cwd, "response"));
    assert.equal(parseOcspResponse(response).basic?.certificates.length, 1);
    assert.throws(() => judgeOcspResponse(response, { leaf: good, issuing, nowMs: Date.now() }), {
      kind: "untrusted",
      message: "cannot trust OCSP response: it is not by the issuing CA itself",
    });
  });
});
