/**
 * PKCS #12 (RFC 7292): one file under a password with a key, its certificate and those above it, as
 * browsers, mail programs, Java and Windows take it.
 *
 * It is written in one form: certificates and key each under PBES2 (PBKDF2-HMAC-SHA-256 of 600,000
 * rounds, AES-256-CBC), the whole under HMAC-SHA-256 with as many rounds, since who guesses the
 * password takes the cheapest of the three. `pkcs12_reader.ts` reads what others write, too.
 */

import { Buffer } from "node:buffer";
import { type KeyObject, randomBytes } from "node:crypto";
import { type Bytes, copyBytes, sha256 } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import {
  contextTag,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "./der.ts";
import { encodeSpki } from "./keys.ts";
import { encryptPbes2 } from "./pbes2.ts";
import { computeMac, MAC_DIGESTS } from "./pkcs12_mac.ts";

export const PKCS12_OID = {
  data: "1.2.840.113549.1.7.1",
  encryptedData: "1.2.840.113549.1.7.6",
  keyBag: "1.2.840.113549.1.12.10.1.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certBag: "1.2.840.113549.1.12.10.1.3",
  crlBag: "1.2.840.113549.1.12.10.1.4",
  secretBag: "1.2.840.113549.1.12.10.1.5",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  localKeyId: "1.2.840.113549.1.9.21",
} as const;

const SHA256 = "2.16.840.1.101.3.4.2.1";
const BMP_STRING = 0x1e;
const SALT_BYTES = 16;

/** What a file holds. */
export interface Pkcs12 {
  readonly key: KeyObject;
  /** DER: the key's certificate first, then others. */
  readonly certificates: readonly Bytes[];
}

/** A name that people are shown, as UTF-16. */
function encodeBmpString(text: string): Bytes {
  return encodeElement(BMP_STRING, Buffer.from(text, "utf16le").swap16());
}

function encodeAttribute(oid: string, value: Uint8Array): Bytes {
  return encodeSequence(encodeOid(oid), encodeElement(TAG.set, value));
}

/** What the key and its certificate have in common, for whoever looks for the one that fits. */
function encodeAttributes(name: string, keyId: Uint8Array): Bytes {
  const attributes = [
    encodeAttribute(PKCS12_OID.friendlyName, encodeBmpString(name)),
    encodeAttribute(PKCS12_OID.localKeyId, encodeOctetString(keyId)),
  ];
  return encodeElement(TAG.set, ...attributes.sort(Buffer.compare)); // X.690, 11.6
}

const explicit = (content: Uint8Array): Bytes => encodeElement(contextTag(0, true), content);

/** A SafeBag (section 4.2). */
function encodeBag(oid: string, value: Uint8Array, attributes: Uint8Array): Bytes {
  return encodeSequence(encodeOid(oid), explicit(value), attributes);
}

function encodeCertBag(der: Uint8Array, attributes: Uint8Array): Bytes {
  const value = encodeSequence(
    encodeOid(PKCS12_OID.x509Certificate),
    explicit(encodeOctetString(der)),
  );
  return encodeBag(PKCS12_OID.certBag, value, attributes);
}

/** A ContentInfo of type data (RFC 5652, section 4). */
function encodeData(content: Uint8Array): Bytes {
  return encodeSequence(encodeOid(PKCS12_OID.data), explicit(encodeOctetString(content)));
}

/** A ContentInfo of type encrypted-data (RFC 5652, section 8). */
async function encodeEncryptedData(
  content: Uint8Array,
  password: string,
  rounds: number,
): Promise<Bytes> {
  const { algorithm, ciphertext } = await encryptPbes2(content, password, rounds);
  const encrypted = encodeSequence(
    encodeOid(PKCS12_OID.data),
    algorithm,
    encodeElement(contextTag(0, false), ciphertext),
  );
  const data = encodeSequence(encodeInteger(0), encrypted);
  return encodeSequence(encodeOid(PKCS12_OID.encryptedData), explicit(data));
}

/** An EncryptedPrivateKeyInfo (RFC 5958, section 3). */
async function encryptKey(key: KeyObject, password: string, rounds: number): Promise<Bytes> {
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const { algorithm, ciphertext } = await encryptPbes2(pkcs8, password, rounds);
  pkcs8.fill(0);
  return encodeSequence(algorithm, encodeOctetString(ciphertext));
}

function encodeMacData(content: Uint8Array, password: string, rounds: number): Bytes {
  const salt = copyBytes(randomBytes(SALT_BYTES));
  const mac = computeMac(content, password, { digest: MAC_DIGESTS[SHA256], salt, rounds });
  const digestInfo = encodeSequence(
    encodeSequence(encodeOid(SHA256), encodeNull()),
    encodeOctetString(mac),
  );
  return encodeSequence(digestInfo, encodeOctetString(salt), encodeInteger(rounds));
}

/**
 * DER of a PFX. The password is UTF-8 for the encryption and UTF-16 for the MAC, as OpenSSL, Java,
 * NSS and GnuTLS have it.
 * @param name that programs show for the key and its certificate
 * @param rounds of each of the three derivations
 */
export async function encodePkcs12(
  { key, certificates: [leaf, ...others] }: Pkcs12,
  { password, name, rounds = LIMITS.pbkdf2Rounds }: {
    readonly password: string;
    readonly name: string;
    readonly rounds?: number;
  },
): Promise<Bytes> {
  const attributes = encodeAttributes(name, sha256(encodeSpki(key)));
  const certBags = [
    ...(leaf ? [encodeCertBag(leaf, attributes)] : []),
    ...others.map((der) => encodeCertBag(der, new Uint8Array())),
  ];
  const keyBag = encodeBag(
    PKCS12_OID.shroudedKeyBag,
    await encryptKey(key, password, rounds),
    attributes,
  );
  const authenticatedSafe = encodeSequence(
    await encodeEncryptedData(encodeSequence(...certBags), password, rounds),
    encodeData(encodeSequence(keyBag)),
  );
  return encodeSequence(
    encodeInteger(3),
    encodeData(authenticatedSafe),
    encodeMacData(authenticatedSafe, password, rounds),
  );
}
