/**
 * The Online Certificate Status Protocol (RFC 6960): requests, read and written, and the responses
 * that the issuing CA signs itself. Reading responses is for `ocsp_response.ts`, believing them for
 * `ocsp_judge.ts`.
 *
 * A request says which certificates somebody wants to know about, and has a nonce (RFC 9654) that
 * the answer shall repeat. Anybody may ask, so a signature of the request is skipped.
 */

import { createHash, type KeyObject, sign } from "node:crypto";
import { type Bytes, copyBytes, encodeHex, isEqualBytes, parseHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { KEY_TYPES } from "./algorithms.ts";
import type { Certificate } from "./certificate.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  encodeElement,
  encodeGeneralizedTime,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeWholeBits,
  parseOid,
  parseSmallInteger,
  readAs,
  readWhole,
  TAG,
} from "./der.ts";
import { encodeExtension, encodeSignatureAlgorithm, keyBitsOf } from "./encode.ts";
import { type Extension, parseExtensions } from "./extensions.ts";
import { keyTypeOf } from "./keys.ts";
import { encodeReason, type RevocationReason } from "./revocation_reason.ts";

/** A request, in bytes: eight certificates, and the signature and chain that some clients add. */
const REQUEST_BYTES_MAX = 16_384;
/** Certificates in one request; clients ask for one, or for a chain. */
const CERT_IDS_MAX = 8;
/** A serial number, in bytes (RFC 5280, section 4.1.2.2). */
const SERIAL_BYTES_MAX = 20;
/** A nonce, in bytes (RFC 9654, section 2.1). */
const NONCE_BYTES_MAX = 128;

const NONCE_OID = "1.3.6.1.5.5.7.48.1.2";

/** How a CertID names its issuer: SHA-1 is what most clients send, and no secret hangs on it. */
const HASHES = {
  sha1: { oid: "1.3.14.3.2.26", bytes: 20 },
  sha256: { oid: "2.16.840.1.101.3.4.2.1", bytes: 32 },
} as const;

export type OcspHash = keyof typeof HASHES;

/** CertID: a certificate by its issuer and its serial number. */
export interface OcspCertId {
  /** As it stood in the request; the answer repeats it byte for byte. */
  readonly der: Bytes;
  readonly hash: OcspHash;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Content bytes in hex, as {@link Certificate.serial}. */
  readonly serial: string;
}

export interface OcspRequest {
  /** One to eight. */
  readonly certIds: readonly OcspCertId[];
  /** 1 to 128 bytes. */
  readonly nonce: Bytes | undefined;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read OCSP request: ${what}`);
}

function parseHash(reader: DerReader): OcspHash {
  const oid = parseOid(reader.read(TAG.oid).content);
  // NULL or nothing: both are in use.
  if (!reader.isAtEnd && reader.read(TAG.null).content.length > 0) {
    throw malformed("a NULL that is not empty");
  }
  reader.end();
  const hash = (Object.keys(HASHES) as OcspHash[]).find((name) => HASHES[name].oid === oid);
  if (!hash) throw malformed(`the hash algorithm ${oid}, where SHA-1 and SHA-256 are accepted`);
  return hash;
}

/**
 * Reads the CertID that comes next.
 * @throws {PkiError} `malformed`
 */
export function readCertId(outer: DerReader): OcspCertId {
  const element = outer.read(TAG.sequence);
  const reader = new DerReader(element.content);
  const hash = parseHash(reader.enter(TAG.sequence));
  const issuerNameHash = reader.read(TAG.octetString).content;
  const issuerKeyHash = reader.read(TAG.octetString).content;
  const serial = checkInteger(reader.read(TAG.integer).content);
  reader.end();
  const { bytes } = HASHES[hash];
  if (issuerNameHash.length !== bytes || issuerKeyHash.length !== bytes) {
    throw malformed("a hash of another length than its algorithm's");
  }
  if (serial.length > SERIAL_BYTES_MAX) throw malformed("a serial number of more than 20 bytes");
  return {
    der: copyBytes(element.whole),
    hash,
    issuerNameHash,
    issuerKeyHash,
    serial: encodeHex(serial),
  };
}

/**
 * Extensions up to the end of an explicit tag's content, none of them critical but for a nonce.
 * @throws {PkiError} `malformed`
 */
export function readOcspExtensions(content: Uint8Array): ReadonlyMap<string, Extension> {
  const reader = new DerReader(readWhole(content, TAG.sequence).content);
  if (reader.isAtEnd) throw malformed("an empty list of extensions");
  const extensions = parseExtensions(reader);
  for (const { oid, critical } of extensions.values()) {
    if (critical && oid !== NONCE_OID) throw malformed(`the unknown critical extension ${oid}`);
  }
  return extensions;
}

/**
 * The nonce among the extensions of a request or a response.
 * @throws {PkiError} `malformed`
 */
export function parseNonce(extensions: ReadonlyMap<string, Extension>): Bytes | undefined {
  const extension = extensions.get(NONCE_OID);
  if (!extension) return undefined;
  const nonce = readWhole(extension.value, TAG.octetString).content;
  if (nonce.length === 0 || nonce.length > NONCE_BYTES_MAX) {
    throw malformed(`a nonce of ${nonce.length} bytes, 1 to ${NONCE_BYTES_MAX} accepted`);
  }
  return copyBytes(nonce);
}

/** Extensions of a request or a response: a nonce, or none at all. */
export function encodeNonceExtensions(nonce: Uint8Array | undefined, tagNumber: number): Bytes {
  if (!nonce) return new Uint8Array();
  const extension = encodeExtension(NONCE_OID, false, encodeOctetString(nonce));
  return encodeElement(contextTag(tagNumber, true), encodeSequence(extension));
}

function readRequestedCertId(list: DerReader): OcspCertId {
  const reader = list.enter(TAG.sequence);
  const certId = readCertId(reader);
  const extensions = reader.readOptional(contextTag(0, true));
  if (extensions) readOcspExtensions(extensions.content);
  reader.end();
  return certId;
}

/**
 * Reads a request, signed or not.
 * @throws {PkiError} `malformed`, which is answered with `malformedRequest`
 */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > REQUEST_BYTES_MAX) {
    throw malformed(`${der.length} bytes, at most ${REQUEST_BYTES_MAX} accepted`);
  }
  return readAs("OCSP request", () => readRequest(copyBytes(der)));
}

function readRequest(der: Bytes): OcspRequest {
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const reader = outer.enter(TAG.sequence);
  outer.readOptional(contextTag(0, true)); // a signature
  outer.end();
  checkVersion1(reader);
  reader.readOptional(contextTag(1, true)); // the name of who asks
  const list = reader.enter(TAG.sequence);
  const extensionsElement = reader.readOptional(contextTag(2, true));
  reader.end();

  const certIds: OcspCertId[] = [];
  while (!list.isAtEnd) {
    if (certIds.length === CERT_IDS_MAX) {
      throw malformed(`more than ${CERT_IDS_MAX} certificates`);
    }
    certIds.push(readRequestedCertId(list));
  }
  if (certIds.length === 0) throw malformed("no certificate");
  const nonce = extensionsElement && parseNonce(readOcspExtensions(extensionsElement.content));
  return { certIds, nonce };
}

/** Version 1 is the default, which DER leaves out (X.690, section 11.5), and there is no other. */
export function checkVersion1(reader: DerReader): void {
  const version = reader.readOptional(contextTag(0, true));
  if (!version) return;
  const number = parseSmallInteger(readWhole(version.content, TAG.integer).content);
  throw malformed(
    number === 0 ? "a default value that DER leaves out" : `version ${number + 1}, not 1`,
  );
}

function hashesOf(issuer: Certificate, hash: OcspHash): readonly [Uint8Array, Uint8Array] {
  const digest = (bytes: Uint8Array) => createHash(hash).update(bytes).digest();
  return [digest(issuer.subject), digest(keyBitsOf(issuer.spki))];
}

/** Whether a CertID names this CA as the issuer. */
export function matchesIssuer(certId: OcspCertId, issuer: Certificate): boolean {
  const [nameHash, keyHash] = hashesOf(issuer, certId.hash);
  return isEqualBytes(certId.issuerNameHash, nameHash) &&
    isEqualBytes(certId.issuerKeyHash, keyHash);
}

/**
 * Asks for the state of certificates of one issuer.
 * @param request.serials content bytes in hex, as {@link Certificate.serial}
 * @param request.nonce 32 random bytes (RFC 9654, section 2.1); without, any answer in time will do
 */
export function encodeOcspRequest(
  { issuer, serials, hash = "sha256", nonce }: {
    readonly issuer: Certificate;
    readonly serials: readonly string[];
    readonly hash?: OcspHash;
    readonly nonce?: Uint8Array;
  },
): Bytes {
  const [nameHash, keyHash] = hashesOf(issuer, hash);
  const algorithm = encodeSequence(encodeOid(HASHES[hash].oid), encodeNull());
  const requests = serials.map((serial) =>
    encodeSequence(encodeSequence(
      algorithm,
      encodeOctetString(nameHash),
      encodeOctetString(keyHash),
      encodeElement(TAG.integer, parseHex(serial)),
    ))
  );
  return encodeSequence(
    encodeSequence(encodeSequence(...requests), encodeNonceExtensions(nonce, 2)),
  );
}

export const BASIC_OID = "1.3.6.1.5.5.7.48.1.1";

/** OCSPResponseStatus (RFC 6960, section 4.2.1). */
export const STATUS_CODES = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  sigRequired: 5,
  unauthorized: 6,
} as const;

export type OcspResponseStatus = keyof typeof STATUS_CODES;

export type OcspCertStatus =
  | { readonly type: "good" | "unknown" }
  | {
    readonly type: "revoked";
    /** Milliseconds since 1970, whole seconds. */
    readonly revokedMs: number;
    readonly reason: RevocationReason;
  };

/** SingleResponse: what is known of one certificate. */
export interface OcspAnswer {
  readonly certId: OcspCertId;
  readonly status: OcspCertStatus;
  /** Milliseconds since 1970, whole seconds: from when until when this is so. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number | undefined;
}

/** What a response shall say. */
export interface OcspResponseTemplate {
  /** `keyIdOf` the CA's public key: SHA-1, whatever its subject key identifier is. */
  readonly responderKeyId: Uint8Array;
  /** Milliseconds since 1970, whole seconds. */
  readonly producedAtMs: number;
  readonly answers: readonly OcspAnswer[];
  /** The request's, if it had one. */
  readonly nonce?: Uint8Array | undefined;
}

function encodeCertStatus(status: OcspCertStatus): Bytes {
  switch (status.type) {
    case "good":
      return encodeElement(contextTag(0, false));
    case "revoked": {
      // RFC 5280, section 5.3.1: `unspecified` is left out.
      const hasReason = status.reason !== "unspecified";
      return encodeElement(
        contextTag(1, true),
        encodeGeneralizedTime(status.revokedMs),
        ...(hasReason ? [encodeElement(contextTag(0, true), encodeReason(status.reason))] : []),
      );
    }
    case "unknown":
      return encodeElement(contextTag(2, false));
  }
}

function encodeAnswer({ certId, status, thisUpdateMs, nextUpdateMs }: OcspAnswer): Bytes {
  return encodeSequence(
    certId.der,
    encodeCertStatus(status),
    encodeGeneralizedTime(thisUpdateMs),
    ...(nextUpdateMs === undefined
      ? []
      : [encodeElement(contextTag(0, true), encodeGeneralizedTime(nextUpdateMs))]),
  );
}

/** ResponseData: the part of a response that is signed. */
export function encodeTbsOcspResponse(
  { responderKeyId, producedAtMs, answers, nonce }: OcspResponseTemplate,
): Bytes {
  return encodeSequence(
    encodeElement(contextTag(2, true), encodeOctetString(responderKeyId)),
    encodeGeneralizedTime(producedAtMs),
    encodeSequence(...answers.map(encodeAnswer)),
    encodeNonceExtensions(nonce, 1),
  );
}

function encodeStatus(status: OcspResponseStatus): Bytes {
  return encodeElement(TAG.enumerated, Uint8Array.of(STATUS_CODES[status]));
}

/**
 * Answers, signed by the key of the CA that issued the certificates: no certificate has to come with
 * them (RFC 6960, section 4.2.2.2).
 */
export function encodeOcspResponse(template: OcspResponseTemplate, key: KeyObject): Bytes {
  const tbs = encodeTbsOcspResponse(template);
  const signature = sign(KEY_TYPES[keyTypeOf(key)].digest, tbs, key);
  const basic = encodeSequence(tbs, encodeSignatureAlgorithm(key), encodeWholeBits(signature));
  return encodeSequence(
    encodeStatus("successful"),
    encodeElement(
      contextTag(0, true),
      encodeSequence(encodeOid(BASIC_OID), encodeOctetString(basic)),
    ),
  );
}

/** A response without an answer; it is not signed and says so to anybody (RFC 6960, section 2.3). */
export function encodeOcspError(status: Exclude<OcspResponseStatus, "successful">): Bytes {
  return encodeSequence(encodeStatus(status));
}
