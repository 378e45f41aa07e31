/**
 * The pieces of DER that everything a CA signs has in common (certificates, CRLs, OCSP responses):
 * algorithm identifiers, key identifiers, extensions, and the signature around it all. What is
 * signed is put together by the callers.
 */

import { createHash, type KeyObject, sign } from "node:crypto";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { KEY_TYPES, SIGNATURES } from "./algorithms.ts";
import {
  contextTag,
  DerReader,
  encodeBoolean,
  encodeElement,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeWholeBits,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";
import { keyTypeOf } from "./keys.ts";

/** AlgorithmIdentifier of the signatures of this key. */
export function encodeSignatureAlgorithm(key: KeyObject): Bytes {
  const { signature } = KEY_TYPES[keyTypeOf(key)];
  const hasNull = SIGNATURES[signature]?.parameters === "null";
  return encodeSequence(encodeOid(signature), ...(hasNull ? [encodeNull()] : []));
}

/** The bits of a SubjectPublicKeyInfo's key, without their type: what key identifiers are hashes of. */
export function keyBitsOf(spki: Uint8Array): Uint8Array {
  const reader = new DerReader(readWhole(spki, TAG.sequence).content);
  reader.read(TAG.sequence);
  return parseWholeBits(reader.read(TAG.bitString).content);
}

/** SHA-1 of the key's bits, as a name for the key (RFC 5280, section 4.2.1.2, method 1). */
export function keyIdOf(spki: Uint8Array): Bytes {
  return copyBytes(createHash("sha1").update(keyBitsOf(spki)).digest());
}

/** One Extension (RFC 5280, section 4.1); `critical` is left out where it is the default, false. */
export function encodeExtension(oid: string, isCritical: boolean, value: Uint8Array): Bytes {
  return encodeSequence(
    encodeOid(oid),
    ...(isCritical ? [encodeBoolean(true)] : []),
    encodeOctetString(value),
  );
}

/** Value of the extension that names the issuer's key (RFC 5280, section 4.2.1.1). */
export function encodeAuthorityKeyId(issuerKeyId: Uint8Array): Bytes {
  return encodeSequence(encodeElement(contextTag(0, false), issuerKeyId));
}

/**
 * Signs the DER of a `tbs…`: itself, the algorithm and the signature, as certificates and CRLs have
 * them (RFC 5280, sections 4.1 and 5.1). The algorithm inside must be {@link encodeSignatureAlgorithm}
 * of the same key.
 */
export function signTbs(tbs: Uint8Array, key: KeyObject): Bytes {
  const signature = sign(KEY_TYPES[keyTypeOf(key)].digest, tbs, key);
  return encodeSequence(tbs, encodeSignatureAlgorithm(key), encodeWholeBits(signature));
}
