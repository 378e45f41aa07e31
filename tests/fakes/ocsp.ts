/** A CA, two users, and OCSP messages about them that deviate from good ones in any way. */

import assert from "node:assert/strict";
import { type Bytes, copyBytes } from "../../lib/base/bytes.ts";
import {
  contextTag,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
} from "../../lib/x509/der.ts";
import { encodeExtension, keyIdOf } from "../../lib/x509/encode.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import {
  encodeOcspRequest,
  encodeOcspResponse,
  type OcspAnswer,
  type OcspCertId,
  type OcspCertStatus,
  type OcspHash,
  type OcspResponseTemplate,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { type Holder, HOUR_MS, issue, makeTestCa, NOW_MS } from "./ca.ts";

export const ca = await makeTestCa();
export const otherCa = await makeTestCa({ domain: "other.example" });
export const key = await generatePrivateKey("p256");
export const alice = (await issue("user", { key, issuer: ca.issuing, id: "alice" })).certificate;
export const bob = (await issue("user", { key, issuer: ca.issuing, id: "bob" })).certificate;
export const issuing = ca.issuing.certificate;
export const nonce = copyBytes(new Uint8Array(32).fill(7));

export function certIdOf(serial: string, hash: OcspHash = "sha1", issuer = issuing): OcspCertId {
  const [certId] = parseOcspRequest(encodeOcspRequest({ issuer, serials: [serial], hash })).certIds;
  assert.ok(certId);
  return certId;
}

export const REVOKED: OcspCertStatus = {
  type: "revoked",
  revokedMs: NOW_MS - HOUR_MS,
  reason: "keyCompromise",
};

export function answer(changes: Partial<OcspAnswer> = {}): OcspAnswer {
  return {
    certId: certIdOf(alice.serial),
    status: { type: "good" },
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NOW_MS + HOUR_MS,
    ...changes,
  };
}

export function respond(
  changes: Partial<OcspResponseTemplate> = {},
  signer: Holder = ca.issuing,
): Bytes {
  return encodeOcspResponse({
    responderKeyId: keyIdOf(signer.certificate.spki),
    producedAtMs: NOW_MS,
    answers: [answer()],
    ...changes,
  }, signer.key);
}

export const NOTHING = new Uint8Array();
export const SHA1 = encodeOid("1.3.14.3.2.26");
export const UNKNOWN = "1.3.6.1.4.1.99999.1";
export const NONCE = "1.3.6.1.5.5.7.48.1.2";
export const unknownExtension = encodeExtension(UNKNOWN, true, encodeNull());
export const explicit = (number: number, ...content: readonly Uint8Array[]) =>
  encodeElement(contextTag(number, true), ...content);

export function encodeCertId(
  { algorithm = encodeSequence(SHA1), bytes = 20, serial = encodeInteger(7) }: {
    readonly algorithm?: Uint8Array;
    readonly bytes?: number;
    readonly serial?: Uint8Array;
  } = {},
): Bytes {
  const hash = encodeOctetString(new Uint8Array(bytes));
  return encodeSequence(algorithm, hash, hash, serial);
}
