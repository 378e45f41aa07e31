/**
 * Encryption under a password, PBES2 of RFC 8018: PBKDF2 and AES in CBC mode. It is written in one
 * form, PBKDF2-HMAC-SHA-256 of 600,000 rounds and AES-256, and read in those that the caller names.
 *
 * CBC says nothing about who wrote the ciphertext. Whoever decrypts has to have checked that before,
 * or to tell afterwards a secret from what a wrong password leaves.
 */

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  DerReader,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  parseOid,
  parseSmallInteger,
  TAG,
} from "./der.ts";

const deriveKey = promisify(pbkdf2);

const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
const BLOCK_BYTES = 16;
const SALT_BYTES = 16;

/** Pseudo-random functions of PBKDF2 (RFC 8018, appendix B.1). */
const DIGESTS = {
  "1.2.840.113549.2.7": "sha1",
  "1.2.840.113549.2.9": "sha256",
  "1.2.840.113549.2.10": "sha384",
  "1.2.840.113549.2.11": "sha512",
} as const;

/** AES-192 is what nobody writes, and one engine does not have. */
const CIPHERS = {
  "2.16.840.1.101.3.4.1.2": { name: "aes-128-cbc", keyBytes: 16 },
  "2.16.840.1.101.3.4.1.42": { name: "aes-256-cbc", keyBytes: 32 },
} as const;

const HMAC_SHA1 = "1.2.840.113549.2.7";
const HMAC_SHA256 = "1.2.840.113549.2.9";
const AES_256_CBC = "2.16.840.1.101.3.4.1.42";

type DigestOid = keyof typeof DIGESTS;
type CipherOid = keyof typeof CIPHERS;

/** What a reader takes, and how it says that it does not take something. */
export interface Pbes2Reading {
  /** Names what is opened, in messages. */
  readonly what: string;
  readonly digests: readonly DigestOid[];
  readonly ciphers: readonly CipherOid[];
  /** How to make what is not taken into what is. */
  readonly hint: string;
  /** What an algorithm is called in messages, instead of by its object identifier. */
  readonly names?: Readonly<Record<string, string>>;
}

/** The form that we write, and nothing else. */
export const OWN_PBES2 = { digests: [HMAC_SHA256], ciphers: [AES_256_CBC] } as const;
/** Every form that is known here. */
export const ANY_PBES2 = {
  digests: Object.keys(DIGESTS) as DigestOid[],
  ciphers: Object.keys(CIPHERS) as CipherOid[],
} as const;

/** What decrypts, but for the password. */
export interface Pbes2Parameters {
  readonly digest: (typeof DIGESTS)[DigestOid];
  readonly cipher: (typeof CIPHERS)[CipherOid];
  readonly salt: Uint8Array;
  readonly rounds: number;
  readonly iv: Uint8Array;
}

export interface Encrypted {
  /** DER of the AlgorithmIdentifier that says how. */
  readonly algorithm: Bytes;
  readonly ciphertext: Bytes;
}

/** Encrypts a secret under a password, which PBKDF2 takes as UTF-8. */
export async function encryptPbes2(
  secret: Uint8Array,
  password: string,
  rounds: number = LIMITS.pbkdf2Rounds,
): Promise<Encrypted> {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(BLOCK_BYTES);
  const { name, keyBytes } = CIPHERS[AES_256_CBC];
  const key = await deriveKey(password, salt, rounds, keyBytes, DIGESTS[HMAC_SHA256]);
  const cipher = createCipheriv(name, key, iv);
  const ciphertext = copyBytes(Buffer.concat([cipher.update(secret), cipher.final()]));
  const prf = encodeSequence(encodeOid(HMAC_SHA256), encodeNull());
  const kdf = encodeSequence(
    encodeOid(PBKDF2),
    encodeSequence(encodeOctetString(salt), encodeInteger(rounds), prf),
  );
  const scheme = encodeSequence(encodeOid(AES_256_CBC), encodeOctetString(iv));
  const algorithm = encodeSequence(encodeOid(PBES2), encodeSequence(kdf, scheme));
  return { algorithm, ciphertext };
}

/** An algorithm that is looked for among those that are taken. */
function takeOid<Oid extends string>(
  found: string,
  taken: readonly Oid[],
  { what, hint, names = {} }: Pbes2Reading,
): Oid {
  const oid = taken.find((one) => one === found);
  if (oid !== undefined) return oid;
  const shown = found === HMAC_SHA1 ? "HMAC-SHA-1" : names[found] ?? found;
  throw new PkiError(
    "malformed",
    `cannot open ${what}: its encryption (${shown}) is not supported`,
    { hint },
  );
}

const readOid = (reader: DerReader): string => parseOid(reader.read(TAG.oid).content);

/**
 * Reads the content of an AlgorithmIdentifier.
 * @throws {PkiError} `malformed` for another algorithm, and for more rounds than we do
 */
export function parsePbes2(algorithm: DerReader, reading: Pbes2Reading): Pbes2Parameters {
  takeOid(readOid(algorithm), [PBES2], reading);
  const parameters = algorithm.enter(TAG.sequence);
  const kdf = parameters.enter(TAG.sequence);
  const scheme = parameters.enter(TAG.sequence);
  takeOid(readOid(kdf), [PBKDF2], reading);
  const kdfParameters = kdf.enter(TAG.sequence);
  const salt = kdfParameters.read(TAG.octetString).content;
  const rounds = parseSmallInteger(kdfParameters.read(TAG.integer).content);
  const keyLength = kdfParameters.readOptional(TAG.integer);
  // Where no PRF is named it is HMAC-SHA-1 (RFC 8018, appendix A.2).
  const digest = takeOid(
    kdfParameters.isAtEnd ? HMAC_SHA1 : readOid(kdfParameters.enter(TAG.sequence)),
    reading.digests,
    reading,
  );
  kdfParameters.end();
  const cipher = CIPHERS[takeOid(readOid(scheme), reading.ciphers, reading)];
  const iv = scheme.read(TAG.octetString).content;
  if (keyLength && parseSmallInteger(keyLength.content) !== cipher.keyBytes) {
    throw new PkiError(
      "malformed",
      `cannot open ${reading.what}: its key length is not ${cipher.keyBytes} bytes`,
    );
  }
  if (rounds < 1 || rounds > LIMITS.pbkdf2RoundsMax || iv.length !== BLOCK_BYTES) {
    throw new PkiError(
      "malformed",
      `cannot open ${reading.what}: its encryption parameters are out of range`,
    );
  }
  return { digest: DIGESTS[digest], cipher, salt, rounds, iv };
}

/** @throws {PkiError} `malformed` */
export function checkWholeBlocks(ciphertext: Uint8Array, what: string): void {
  if (ciphertext.length > 0 && ciphertext.length % BLOCK_BYTES === 0) return;
  throw new PkiError("malformed", `cannot open ${what}: its ciphertext is not whole blocks`);
}

/**
 * @returns the secret; `undefined` where the padding is none, as most wrong passwords leave it, and
 * one in 256 does not
 */
export async function decryptPbes2(
  ciphertext: Uint8Array,
  { digest, cipher: { name, keyBytes }, salt, rounds, iv }: Pbes2Parameters,
  password: string,
): Promise<Bytes | undefined> {
  const key = await deriveKey(password, salt, rounds, keyBytes, digest);
  const decipher = createDecipheriv(name, key, iv);
  try {
    return copyBytes(Buffer.concat([decipher.update(ciphertext), decipher.final()]));
  } catch {
    return undefined; // the engine says no more than that
  }
}
