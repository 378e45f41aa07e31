import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { encodeCrlEntry, encodeTbsCrl, parseCrl, signCrl } from "../../lib/x509/crl.ts";
import {
  contextTag,
  encodeElement,
  encodeGeneralizedTime,
  encodeInteger,
  encodeSequence,
  encodeTime,
} from "../../lib/x509/der.ts";
import {
  describeCrl,
  describeOcspRequest,
  describeOcspResponse,
} from "../../lib/x509/describe_revocation.ts";
import {
  encodeExtension,
  encodeSignatureAlgorithm,
  keyIdOf,
  signTbs,
} from "../../lib/x509/encode.ts";
import {
  encodeOcspError,
  encodeOcspRequest,
  encodeOcspResponse,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { utf8 } from "../../lib/base/bytes.ts";
import { HOUR_MS, makeTestCa, NOW_MS } from "../fakes/ca.ts";

const ca = await makeTestCa();
const issuer = ca.issuing.certificate;
const keyId = encodeHex(keyIdOf(issuer.spki));

test("describeCrl() says what a list of ours says, with as many entries as are asked for", () => {
  const entries = ["01", "02", "03"].map((serial) =>
    encodeCrlEntry({ serial, revokedMs: NOW_MS - HOUR_MS, reason: "superseded" })
  );
  const number = 2n ** 80n;
  const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + HOUR_MS };
  const tbs = encodeTbsCrl({ issuer, number, ...times, entries });
  const crl = parseCrl(signCrl(tbs, ca.issuing));
  const entry = { revoked: "2026-11-01T11:00:00Z", reason: "superseded", invaliditySince: null };
  const { extensions, ...rest } = describeCrl(crl, { nowMs: NOW_MS, entriesMax: 2 });
  assert.deepEqual(rest, {
    issuer: "CN=pki.internal issuing CA",
    number: "1208925819614629174706176",
    deltaBase: null,
    thisUpdate: "2026-11-01T12:00:00Z",
    nextUpdate: "2026-11-01T13:00:00Z",
    period: "current",
    onlyUsers: false,
    onlyCas: false,
    locations: [],
    signatureAlgorithm: "ECDSA with SHA-256",
    authorityKeyId: keyId,
    entryCount: 3,
    entries: [{ serial: "01", ...entry }, { serial: "02", ...entry }],
    sha256: encodeHex(sha256(crl.der)),
  });
  assert.deepEqual(extensions.map(({ name, shown }) => [name, shown]), [
    ["authorityKeyIdentifier", true],
    ["cRLNumber", true],
  ]);
  const serials = (entriesMax: number) =>
    describeCrl(crl, { nowMs: NOW_MS, entriesMax }).entries.map(({ serial }) => serial);
  assert.deepEqual(serials(Infinity), ["01", "02", "03"]);
  assert.deepEqual(serials(0), []);
  const periodAt = (nowMs: number) => describeCrl(crl, { nowMs, entriesMax: 0 }).period;
  assert.equal(periodAt(NOW_MS - 1), "future");
  assert.equal(periodAt(NOW_MS + HOUR_MS), "current");
  assert.equal(periodAt(NOW_MS + HOUR_MS + 1), "expired");
});

test("describeCrl() says what only lists of others say", () => {
  const uri = encodeElement(contextTag(6, false), utf8("http://crl.example/1"));
  const scope = encodeSequence(
    encodeElement(contextTag(0, true), encodeElement(contextTag(0, true), uri)),
    encodeElement(contextTag(1, false), Uint8Array.of(0xff)),
  );
  const since = encodeExtension("2.5.29.24", false, encodeGeneralizedTime(NOW_MS - 2 * HOUR_MS));
  const tbs = encodeSequence(
    encodeInteger(1),
    encodeSignatureAlgorithm(ca.issuing.key),
    issuer.subject,
    encodeTime(NOW_MS),
    encodeSequence(
      encodeSequence(encodeInteger(7), encodeTime(NOW_MS - HOUR_MS), encodeSequence(since)),
    ),
    encodeElement(
      contextTag(0, true),
      encodeSequence(
        encodeExtension("2.5.29.28", true, scope),
        encodeExtension("2.5.29.27", true, encodeInteger(4)),
        encodeExtension("2.5.29.46", false, encodeSequence()),
      ),
    ),
  );
  const crl = parseCrl(signTbs(tbs, ca.issuing.key));
  const one = describeCrl(crl, { nowMs: NOW_MS + 1000 * HOUR_MS, entriesMax: 10 });
  assert.deepEqual({ ...one, extensions: one.extensions.map(({ shown }) => shown), sha256: "" }, {
    issuer: "CN=pki.internal issuing CA",
    number: null,
    deltaBase: "4",
    thisUpdate: "2026-11-01T12:00:00Z",
    nextUpdate: null,
    period: "current",
    onlyUsers: true,
    onlyCas: false,
    locations: ["http://crl.example/1"],
    signatureAlgorithm: "ECDSA with SHA-256",
    authorityKeyId: null,
    extensions: [true, true, false],
    entryCount: 1,
    entries: [{
      serial: "07",
      revoked: "2026-11-01T11:00:00Z",
      reason: "unspecified",
      invaliditySince: "2026-11-01T10:00:00Z",
    }],
    sha256: "",
  });
});

test("describeOcspRequest() and describeOcspResponse() say what is asked and answered", () => {
  const nonce = new Uint8Array(4).fill(0xab);
  const der = encodeOcspRequest({ issuer, serials: ["01", "02"], hash: "sha1", nonce });
  const request = parseOcspRequest(der);
  const asked = describeOcspRequest(request);
  const [certId] = request.certIds;
  assert.ok(certId);
  const hashes = {
    hash: "sha1",
    issuerNameHash: encodeHex(certId.issuerNameHash),
    issuerKeyHash: keyId,
  };
  assert.deepEqual(asked, {
    certificates: [{ serial: "01", ...hashes }, { serial: "02", ...hashes }],
    nonce: "abababab",
  });

  const [first, second] = request.certIds;
  assert.ok(first && second);
  const response = encodeOcspResponse({
    responderKeyId: keyIdOf(issuer.spki),
    producedAtMs: NOW_MS,
    nonce,
    answers: [
      {
        certId: first,
        status: { type: "revoked", revokedMs: NOW_MS - HOUR_MS, reason: "keyCompromise" },
        thisUpdateMs: NOW_MS,
        nextUpdateMs: NOW_MS + HOUR_MS,
      },
      {
        certId: second,
        status: { type: "unknown" },
        thisUpdateMs: NOW_MS + HOUR_MS,
        nextUpdateMs: undefined,
      },
    ],
  }, ca.issuing.key);
  assert.deepEqual(describeOcspResponse(parseOcspResponse(response), NOW_MS), {
    status: "successful",
    responderKeyId: keyId,
    responderName: null,
    produced: "2026-11-01T12:00:00Z",
    answers: [
      {
        serial: "01",
        ...hashes,
        status: "revoked",
        revoked: "2026-11-01T11:00:00Z",
        reason: "keyCompromise",
        thisUpdate: "2026-11-01T12:00:00Z",
        nextUpdate: "2026-11-01T13:00:00Z",
        period: "current",
      },
      {
        serial: "02",
        ...hashes,
        status: "unknown",
        revoked: null,
        reason: null,
        thisUpdate: "2026-11-01T13:00:00Z",
        nextUpdate: null,
        period: "future",
      },
    ],
    nonce: "abababab",
    signatureAlgorithm: "ECDSA with SHA-256",
    certificateCount: 0,
  });
  assert.deepEqual(describeOcspResponse(parseOcspResponse(encodeOcspError("tryLater")), NOW_MS), {
    status: "tryLater",
    responderKeyId: null,
    responderName: null,
    produced: null,
    answers: [],
    nonce: null,
    signatureAlgorithm: null,
    certificateCount: 0,
  });
});
