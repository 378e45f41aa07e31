/**
 * The keys and signature algorithms that path validation accepts. More may be verified than may be
 * certified (`keys.ts`): a root of one's own may have a P-521 key or an old RSA exponent. Less is
 * accepted than engines offer: no curve given by its parameters, no DSA, no SHA-1.
 */

import { Buffer } from "node:buffer";
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { SIGNATURES } from "./algorithms.ts";
import {
  contextTag,
  DerReader,
  type Element,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOid,
  encodeSequence,
  parseOid,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";

const EC = "1.2.840.10045.2.1";
const RSA = "1.2.840.113549.1.1.1";
const ED25519 = "1.3.101.112";
/** P-256, P-384, P-521 (RFC 5480, section 2.1.1.1). */
const CURVES = new Set(["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"]);
const RSA_BITS_MIN = 2048;
/** A verification with 16,384 bits takes a millisecond; nobody uses more. */
const RSA_BITS_MAX = 16_384;
/** Larger exponents make verifying slow, and no CA has one. */
const RSA_EXPONENT_MAX = 2n ** 33n;

function malformed(what: string, cause?: unknown): PkiError {
  return new PkiError("malformed", `cannot use the key: ${what}`, { cause });
}

/** Refuses what an engine might read in its own way, before it sees it. */
function checkKeyAlgorithm(algorithm: DerReader): void {
  const oid = parseOid(algorithm.read(TAG.oid).content);
  switch (oid) {
    case EC: {
      // Parameters in place of a curve's name could be those of a weak curve (RFC 5480, 2.1.1).
      if (algorithm.peekTag() !== TAG.oid) throw malformed("its curve has no name");
      const curve = parseOid(algorithm.read(TAG.oid).content);
      if (!CURVES.has(curve)) throw malformed(`curve ${curve} is not accepted`);
      break;
    }
    case RSA:
      if (algorithm.read(TAG.null).content.length > 0) throw malformed("its NULL is not empty");
      break;
    case ED25519:
      break;
    default:
      throw malformed(`key type ${oid} is not accepted`);
  }
  algorithm.end();
}

/**
 * Reads a SubjectPublicKeyInfo whose signatures may be verified.
 * @throws {PkiError} `malformed` for a damaged key, or one of a type or strength that is not accepted
 */
export function parseVerifyingKey(spki: Uint8Array): KeyObject {
  const reader = new DerReader(readWhole(spki, TAG.sequence).content);
  checkKeyAlgorithm(reader.enter(TAG.sequence));
  parseWholeBits(reader.read(TAG.bitString).content);
  reader.end();
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw malformed("it is damaged", cause);
  }
  if (key.asymmetricKeyType === "rsa") {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < RSA_BITS_MIN || modulusLength > RSA_BITS_MAX) {
      throw malformed(`RSA of ${modulusLength} bits, ${RSA_BITS_MIN} to ${RSA_BITS_MAX} needed`);
    }
    if (publicExponent < 3n || publicExponent % 2n === 0n || publicExponent > RSA_EXPONENT_MAX) {
      throw malformed("its RSA exponent is out of range");
    }
  }
  return key;
}

/** What an algorithm identifier says of a signature. */
interface SignatureScheme {
  readonly keyType: "ec" | "rsa" | "ed25519";
  readonly digest: "sha256" | "sha384" | "sha512" | null;
  /** Length of the salt in bytes, for RSASSA-PSS. */
  readonly saltBytes?: number;
}

const RSASSA_PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";

function encodePssParameters(hashOid: string, saltBytes: number): Uint8Array {
  const hash = encodeSequence(encodeOid(hashOid), encodeNull());
  return encodeSequence(
    encodeElement(contextTag(0, true), hash),
    encodeElement(contextTag(1, true), encodeSequence(encodeOid(MGF1), hash)),
    encodeElement(contextTag(2, true), encodeInteger(saltBytes)),
  );
}

/**
 * RSASSA-PSS (RFC 4055, section 3.1) with one hash throughout and a salt as long as it: the three
 * forms in use. Parameters that were free could name a weak hash or a salt of nothing.
 */
const PSS_SCHEMES = ([
  ["sha256", "2.16.840.1.101.3.4.2.1", 32],
  ["sha384", "2.16.840.1.101.3.4.2.2", 48],
  ["sha512", "2.16.840.1.101.3.4.2.3", 64],
] as const).map(([digest, hashOid, saltBytes]) => ({
  parameters: encodePssParameters(hashOid, saltBytes),
  scheme: { keyType: "rsa", digest, saltBytes } as const,
}));

function refused(what: string): PkiError {
  return new PkiError("malformed", `cannot verify: ${what}`);
}

/** One of the algorithms that we sign with ourselves, or could. */
function parseOrdinaryScheme(algorithm: Element): SignatureScheme {
  const reader = new DerReader(algorithm.content);
  const oid = parseOid(reader.read(TAG.oid).content);
  const row = SIGNATURES[oid];
  if (!row) throw refused(`signature algorithm ${oid} is not accepted`);
  if (row.parameters === "null" && reader.read(TAG.null).content.length > 0) {
    throw refused("the algorithm's NULL is not empty");
  }
  reader.end();
  return row;
}

function parseScheme(algorithm: Element): SignatureScheme {
  const reader = new DerReader(algorithm.content);
  if (parseOid(reader.read(TAG.oid).content) !== RSASSA_PSS) return parseOrdinaryScheme(algorithm);
  const parameters = reader.read(TAG.sequence).whole;
  reader.end();
  const known = PSS_SCHEMES.find((one) => isEqualBytes(one.parameters, parameters));
  if (!known) throw refused("RSASSA-PSS with these parameters is not accepted");
  return known.scheme;
}

function checkKeyType(scheme: SignatureScheme, key: KeyObject): void {
  if (key.asymmetricKeyType !== scheme.keyType) {
    throw refused("the signature algorithm is not one of the key's type");
  }
}

/**
 * Checks the algorithm identifier of a certificate or a CRL.
 * @throws {PkiError} `malformed` where it is not accepted, or not one of the key's type
 */
export function checkSignatureAlgorithm(algorithm: Element, key: KeyObject): void {
  checkKeyType(parseScheme(algorithm), key);
}

/** A signature with the algorithm identifier beside it. */
interface SignedData {
  readonly algorithm: Element;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
  readonly key: KeyObject;
}

/**
 * Verifies a signature by an algorithm that we sign with ourselves, as CSRs and OCSP responses have.
 * @throws {PkiError} `malformed` for an algorithm that is not in the table or not the key's
 */
export function isSignatureValid({ algorithm, data, signature, key }: SignedData): boolean {
  const scheme = parseOrdinaryScheme(algorithm);
  checkKeyType(scheme, key);
  return verify(scheme.digest, data, key, signature);
}

/**
 * Verifies a signature of a CA, wherever it is from: RSASSA-PSS too.
 * @throws {PkiError} `malformed` for an algorithm that is not accepted, or not the key's
 */
export function isCaSignatureValid({ algorithm, data, signature, key }: SignedData): boolean {
  const scheme = parseScheme(algorithm);
  checkKeyType(scheme, key);
  const { digest, saltBytes } = scheme;
  if (saltBytes === undefined) return verify(digest, data, key, signature);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return verify(digest, data, { key, padding, saltLength: saltBytes }, signature);
}
