/**
 * Public and private keys: made, checked for strength, used for signatures with a label, and kept
 * encrypted.
 *
 * At rest a private key is PKCS #8 under PBES2 (RFC 8018): PBKDF2-HMAC-SHA-256 and AES-256-CBC, the
 * one form that OpenSSL, GnuTLS and every engine open. `KeyObject.export` would encrypt with only
 * 2,048 rounds, so the DER around the ciphertext is our own (`pbes2.ts`).
 */

import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { type Bytes, copyBytes, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { KEY_TYPES, type KeyType } from "./algorithms.ts";
import {
  DerReader,
  encodeOctetString,
  encodeSequence,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";
import {
  checkWholeBlocks,
  decryptPbes2,
  encryptPbes2,
  OWN_PBES2,
  parsePbes2,
  type Pbes2Reading,
} from "./pbes2.ts";
import { encodePem, parsePem, parsePemBlock } from "./pem.ts";

const ENCRYPTED_LABEL = "ENCRYPTED PRIVATE KEY";

export async function generatePrivateKey(type: KeyType): Promise<KeyObject> {
  return (await KEY_TYPES[type].generate()).privateKey;
}

/** SubjectPublicKeyInfo (RFC 5280, section 4.1) of a private or public key. */
export function encodeSpki(key: KeyObject): Bytes {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return copyBytes(publicKey.export({ format: "der", type: "spki" }));
}

/**
 * The type of a key of ours.
 * @throws {PkiError} `malformed` for a key that we do not make
 */
export function keyTypeOf(key: KeyObject): KeyType {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ec":
      if (namedCurve === "prime256v1") return "p256";
      if (namedCurve === "secp384r1") return "p384";
      break;
    case "rsa":
      if (modulusLength >= 2048) return "rsa3072";
      break;
    case "ed25519":
      return "ed25519";
  }
  throw new PkiError("malformed", `cannot use the key: ${describeKey(key)} is not supported`);
}

/** A few words about a key, for a message: `RSA 1024`, `EC secp256k1`. */
export function describeKey(key: KeyObject): string {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  return `${(key.asymmetricKeyType ?? "unknown").toUpperCase()} ${
    namedCurve ?? modulusLength ?? ""
  }`.trim();
}

const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;

/**
 * Reads a SubjectPublicKeyInfo and refuses a key that must not be certified: RSA below 2048 bits or
 * with a small or even exponent, curves other than P-256 and P-384, anything else than EC, RSA, Ed25519.
 * A point that is not on its curve is refused by the engine when it reads the key.
 * @throws {PkiError} `malformed`
 */
export function parsePublicKey(spki: Uint8Array): KeyObject {
  const reader = new DerReader(readWhole(spki, TAG.sequence).content);
  reader.enter(TAG.sequence);
  parseWholeBits(reader.read(TAG.bitString).content);
  reader.end();
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new PkiError(
      "malformed",
      "cannot read the public key: it is damaged or of an unknown type",
      {
        cause,
      },
    );
  }
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "rsa") {
    if (modulusLength < RSA_BITS_MIN || modulusLength > RSA_BITS_MAX) {
      throw new PkiError(
        "malformed",
        `cannot accept the key: RSA key has ${modulusLength} bits, ${RSA_BITS_MIN} to ${RSA_BITS_MAX} needed`,
      );
    }
    if (publicExponent < 65_537n || publicExponent % 2n === 0n) {
      throw new PkiError(
        "malformed",
        "cannot accept the key: its RSA exponent is even or below 65537",
      );
    }
  }
  keyTypeOf(key);
  return key;
}

export { isSignatureValid } from "./verifying.ts";

/**
 * What a signature of a user's or a CA's key is for. The label is the start of what is signed, so that a
 * signature made for one purpose never counts for another.
 */
export type SignatureLabel =
  | "pki/1 CERTUP"
  | "pki/1 log key"
  | "pki/1 issuing CA"
  | "pki/1 root"
  | "pki/1 endorsement"
  | "pki/1 transcript signature"
  | "pki/1 transcript file";

function labelled(label: SignatureLabel, parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([utf8(`${label}\0`), ...parts]);
}

/** Signs `label ‖ 0 ‖ parts`; ECDSA signatures are DER (RFC 3279, section 2.2.3). */
export function signLabelled(
  key: KeyObject,
  label: SignatureLabel,
  ...parts: readonly Uint8Array[]
): Bytes {
  return copyBytes(sign(KEY_TYPES[keyTypeOf(key)].digest, labelled(label, parts), key));
}

export function isLabelledSignatureValid(
  { key, signature, label, parts }: {
    readonly key: KeyObject;
    readonly signature: Uint8Array;
    readonly label: SignatureLabel;
    readonly parts: readonly Uint8Array[];
  },
): boolean {
  return verify(KEY_TYPES[keyTypeOf(key)].digest, labelled(label, parts), key, signature);
}

/** Encrypts a secret under a passphrase: DER of an EncryptedPrivateKeyInfo (RFC 5958, section 3). */
async function encryptSecret(secret: Uint8Array, passphrase: string): Promise<Bytes> {
  const { algorithm, ciphertext } = await encryptPbes2(secret, passphrase);
  return encodeSequence(algorithm, encodeOctetString(ciphertext));
}

const READING: Pbes2Reading = {
  ...OWN_PBES2,
  what: "the key",
  hint: "convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256",
};

async function decryptSecret(der: Uint8Array, passphrase: string, what: string): Promise<Bytes> {
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const algorithm = outer.enter(TAG.sequence);
  const ciphertext = outer.read(TAG.octetString).content;
  outer.end();
  const parameters = parsePbes2(algorithm, READING);
  checkWholeBlocks(ciphertext, READING.what);
  const secret = await decryptPbes2(ciphertext, parameters, passphrase);
  if (!secret) throw wrongPassphrase(what, undefined);
  return secret;
}

function wrongPassphrase(what: string, cause: unknown): PkiError {
  return new PkiError("refused", `cannot open ${what}: the password does not fit`, {
    cause,
    hint: "it has the password that it was last encrypted with, which may be an earlier one",
  });
}

/** A private key as PEM, encrypted; opens with `openssl pkey`. */
export async function encryptPrivateKey(key: KeyObject, passphrase: string): Promise<string> {
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const pem = encodePem(ENCRYPTED_LABEL, await encryptSecret(pkcs8, passphrase));
  pkcs8.fill(0);
  return pem;
}

/**
 * Opens a PEM private key, encrypted as above (with any number of rounds up to a bound).
 * @param what names the key in messages
 * @throws {PkiError} `refused` for a wrong passphrase, `malformed` for anything else
 */
export async function decryptPrivateKey(
  pem: string,
  passphrase: string,
  what: string,
): Promise<KeyObject> {
  const secret = await decryptSecret(parsePemBlock(pem, [ENCRYPTED_LABEL], what), passphrase, what);
  try {
    return parsePrivateKey(secret);
  } catch (cause) {
    // One wrong passphrase in 256 leaves padding that looks right; what it leaves is not a key.
    throw wrongPassphrase(what, cause);
  } finally {
    secret.fill(0);
  }
}

/** Reads DER of a PrivateKeyInfo (RFC 5958). */
function parsePrivateKey(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
}

const PLAIN_LABELS = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];

/** Reads an unencrypted PEM key, as `openssl genpkey` writes it, whatever else stands in the file. */
export function parsePlainPrivateKey(pem: string, what: string): KeyObject {
  const der = parsePemBlock(pem, PLAIN_LABELS, what);
  const label = parsePem(pem).find((block) => PLAIN_LABELS.includes(block.label))?.label ?? "";
  try {
    return createPrivateKey(encodePem(label, der)); // engines differ in what they look for beside it
  } catch (cause) {
    throw new PkiError("malformed", `cannot read ${what}: it is not a private key`, { cause });
  }
}

export function isEncryptedKey(pem: string): boolean {
  return pem.includes(`-----BEGIN ${ENCRYPTED_LABEL}-----`);
}

const SECRET_LABEL = "ENCRYPTED PKI SECRET";
/** Tells the right passphrase from a wrong one whose padding happens to fit. */
const SECRET_MAGIC = "pki secret\0";

/** A secret that is not a key (the server's OPAQUE setup), encrypted as keys are. */
export async function encryptText(text: string, passphrase: string): Promise<string> {
  return encodePem(SECRET_LABEL, await encryptSecret(utf8(SECRET_MAGIC + text), passphrase));
}

/** @throws {PkiError} `refused` for a wrong passphrase, `malformed` for anything else */
export async function decryptText(pem: string, passphrase: string, what: string): Promise<string> {
  const der = parsePemBlock(pem, [SECRET_LABEL], what);
  const text = new TextDecoder().decode(await decryptSecret(der, passphrase, what));
  if (!text.startsWith(SECRET_MAGIC)) throw wrongPassphrase(what, undefined);
  return text.slice(SECRET_MAGIC.length);
}
