/**
 * Reads PKCS #12 files (RFC 7292) of OpenSSL, Java, NSS, GnuTLS and others: one key with its
 * certificate and what came with it.
 *
 * The file comes from anywhere. Its rounds are bounded before the first is done; nothing inside is
 * read before the MAC is found right; what is found is the key and bytes that claim to be
 * certificates, which somebody else has to judge. Start reading at {@link parsePkcs12}.
 */

import { Buffer } from "node:buffer";
import { createPrivateKey, type KeyObject } from "node:crypto";
import { type Bytes, copyBytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { berToDer, isIndefinite } from "./ber.ts";
import { contextTag, DerReader, parseOid, parseSmallInteger, readWhole, TAG } from "./der.ts";
import { putCertificateFirst } from "./key_certificate.ts";
import { keyTypeOf } from "./keys.ts";
import {
  ANY_PBES2,
  checkWholeBlocks,
  decryptPbes2,
  parsePbes2,
  type Pbes2Parameters,
  type Pbes2Reading,
} from "./pbes2.ts";
import { type Pkcs12, PKCS12_OID } from "./pkcs12.ts";
import { computeMac, MAC_DIGESTS, type MacParameters } from "./pkcs12_mac.ts";

/** Parts that are looked at: every program writes two, and a certificate for each CA. */
const CONTENTS_MAX = 8;
const BAGS_MAX = 64;
const SALT_BYTES_MAX = 1024;
const VERSION = 3;

/** Ciphers of old files, which nobody should use any more and engines have given up. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.12.1.1": "RC4 of 128 bits",
  "1.2.840.113549.1.12.1.2": "RC4 of 40 bits",
  "1.2.840.113549.1.12.1.3": "triple DES",
  "1.2.840.113549.1.12.1.4": "triple DES with two keys",
  "1.2.840.113549.1.12.1.5": "RC2 of 128 bits",
  "1.2.840.113549.1.12.1.6": "RC2 of 40 bits",
  "1.2.840.113549.1.5.14": "PBMAC1",
};

const CONVERT_HINT =
  "convert it with: openssl pkcs12 -legacy -aes256 -in OLD.p12 -out NEW.pem; and import NEW.pem";

/** A file being read: what it is called, and how much work it may still make. */
interface Reading {
  readonly what: string;
  readonly password: string;
  roundsLeft: number;
}

function malformed({ what }: Pick<Reading, "what">, why: string, hint?: string): PkiError {
  return new PkiError(
    "malformed",
    `cannot open ${what}: ${why}`,
    hint === undefined ? {} : { hint },
  );
}

/** Counts rounds before they are done. */
function takeRounds(reading: Reading, rounds: number): void {
  reading.roundsLeft -= rounds;
  if (rounds < 1 || reading.roundsLeft < 0) {
    throw malformed(reading, `it wants more than ${LIMITS.pbkdf2RoundsMax} rounds, or none`);
  }
}

/** NSS writes BER; everything else has to be DER. */
function toDer(bytes: Uint8Array): Uint8Array {
  return isIndefinite(bytes) ? berToDer(bytes) : bytes;
}

const readOid = (reader: DerReader): string => parseOid(reader.read(TAG.oid).content);

/** An AuthenticatedSafe that is not believed yet, and what tells whether it may be. */
interface Sealed {
  readonly content: Uint8Array;
  readonly mac: Uint8Array;
  readonly parameters: MacParameters;
}

function parseMacData(reader: DerReader, reading: Reading): Omit<Sealed, "content"> {
  const macData = reader.enter(TAG.sequence);
  const digestInfo = macData.enter(TAG.sequence);
  const oid = readOid(digestInfo.enter(TAG.sequence));
  const mac = digestInfo.read(TAG.octetString).content;
  digestInfo.end();
  const salt = macData.read(TAG.octetString).content;
  const rounds = macData.isAtEnd ? 1 : parseSmallInteger(macData.read(TAG.integer).content);
  macData.end();
  const digest = Object.entries(MAC_DIGESTS).find(([known]) => known === oid)?.[1];
  if (!digest) {
    const name = OLD_NAMES[oid] ?? oid;
    throw malformed(reading, `its MAC (${name}) is not supported`, CONVERT_HINT);
  }
  if (salt.length === 0 || salt.length > SALT_BYTES_MAX) {
    throw malformed(reading, "the salt of its MAC is out of range");
  }
  return { mac, parameters: { digest, salt, rounds } };
}

/** A PFX (section 4), down to its MAC. */
function parsePfx(bytes: Uint8Array, reading: Reading): Sealed {
  const pfx = new DerReader(readWhole(toDer(bytes), TAG.sequence).content);
  const version = parseSmallInteger(pfx.read(TAG.integer).content);
  if (version !== VERSION) throw malformed(reading, `it is not of version ${VERSION}`);
  const contentInfo = pfx.enter(TAG.sequence);
  if (readOid(contentInfo) !== PKCS12_OID.data) {
    throw malformed(reading, "it is protected by a signature, not by a password");
  }
  const explicit = contentInfo.enter(contextTag(0, true));
  const content = explicit.read(TAG.octetString).content;
  explicit.end();
  contentInfo.end();
  if (pfx.isAtEnd) throw malformed(reading, "it has no MAC, so anybody could have changed it");
  const sealed = { content, ...parseMacData(pfx, reading) };
  pfx.end();
  return sealed;
}

/** @throws {PkiError} `refused` for a wrong password, or a file that was changed: nobody can tell which */
function checkMac({ content, mac, parameters }: Sealed, reading: Reading): void {
  takeRounds(reading, parameters.rounds);
  if (isEqualBytes(computeMac(content, reading.password, parameters), mac)) return;
  throw new PkiError("refused", `cannot open ${reading.what}: the password does not fit`, {
    hint: "if it is the right one, the file is damaged",
  });
}

/** Reads what an AlgorithmIdentifier says, for decrypting with {@link decrypt}. */
function parseEncryption(algorithm: DerReader, reading: Reading): Pbes2Parameters {
  const pbes2: Pbes2Reading = {
    ...ANY_PBES2,
    what: reading.what,
    names: OLD_NAMES,
    hint: CONVERT_HINT,
  };
  const parameters = parsePbes2(algorithm, pbes2);
  takeRounds(reading, parameters.rounds);
  return parameters;
}

async function decrypt(
  ciphertext: Uint8Array,
  parameters: Pbes2Parameters,
  reading: Reading,
): Promise<Bytes> {
  checkWholeBlocks(ciphertext, reading.what);
  const secret = await decryptPbes2(ciphertext, parameters, reading.password);
  if (secret) return secret;
  throw malformed(reading, "a part of it has another password than the whole", CONVERT_HINT);
}

/** The ciphertext of an EncryptedContentInfo, which BER may have in pieces. */
function readCiphertext(reader: DerReader): Uint8Array {
  if (reader.peekTag() !== contextTag(0, true)) return reader.read(contextTag(0, false)).content;
  const pieces = reader.enter(contextTag(0, true));
  const parts: Uint8Array[] = [];
  while (!pieces.isAtEnd) parts.push(pieces.read(TAG.octetString).content);
  return Buffer.concat(parts);
}

/** The SafeContents of a ContentInfo, decrypted where they are. */
async function openContents(contentInfo: DerReader, reading: Reading): Promise<Uint8Array> {
  const type = readOid(contentInfo);
  const explicit = contentInfo.enter(contextTag(0, true));
  contentInfo.end();
  if (type === PKCS12_OID.data) {
    const { content } = explicit.read(TAG.octetString);
    explicit.end();
    return content;
  }
  if (type !== PKCS12_OID.encryptedData) {
    throw malformed(reading, "a part of it is encrypted for a key, not with a password");
  }
  const encryptedData = explicit.enter(TAG.sequence);
  explicit.end();
  encryptedData.read(TAG.integer);
  const info = encryptedData.enter(TAG.sequence);
  readOid(info);
  const parameters = parseEncryption(info.enter(TAG.sequence), reading);
  return await decrypt(readCiphertext(info), parameters, reading);
}

interface Found {
  readonly keys: Bytes[];
  readonly certificates: Bytes[];
}

/** The value of a CertBag, which may be something else than X.509 (section 4.2.3). */
function parseCertBag(value: DerReader): Bytes | undefined {
  const bag = value.enter(TAG.sequence);
  if (readOid(bag) !== PKCS12_OID.x509Certificate) return undefined;
  const der = bag.enter(contextTag(0, true)).read(TAG.octetString).content;
  bag.end();
  return copyBytes(der);
}

async function decryptKey(value: DerReader, reading: Reading): Promise<Bytes> {
  const info = value.enter(TAG.sequence);
  const parameters = parseEncryption(info.enter(TAG.sequence), reading);
  const ciphertext = info.read(TAG.octetString).content;
  info.end();
  return await decrypt(ciphertext, parameters, reading);
}

async function readBag(bag: DerReader, reading: Reading, { keys, certificates }: Found) {
  const type = readOid(bag);
  const value = bag.enter(contextTag(0, true));
  switch (type) {
    case PKCS12_OID.keyBag:
      return void keys.push(copyBytes(value.read(TAG.sequence).whole));
    case PKCS12_OID.shroudedKeyBag:
      return void keys.push(await decryptKey(value, reading));
    case PKCS12_OID.certBag: {
      const der = parseCertBag(value);
      return void (der && certificates.push(der));
    }
    case PKCS12_OID.crlBag:
    case PKCS12_OID.secretBag:
      return; // not asked for
    default:
      throw malformed(reading, `it holds something of an unknown type (${type})`);
  }
}

/** What stands in an AuthenticatedSafe whose MAC is right. */
async function openSafe(content: Uint8Array, reading: Reading): Promise<Found> {
  const found: Found = { keys: [], certificates: [] };
  let contents = 0;
  let bags = 0;
  const safe = new DerReader(readWhole(toDer(content), TAG.sequence).content);
  while (!safe.isAtEnd) {
    if (++contents > CONTENTS_MAX) {
      throw malformed(reading, `more than ${CONTENTS_MAX} parts in it`);
    }
    const safeContents = await openContents(safe.enter(TAG.sequence), reading);
    const list = new DerReader(readWhole(toDer(safeContents), TAG.sequence).content);
    while (!list.isAtEnd) {
      if (++bags > BAGS_MAX) throw malformed(reading, `more than ${BAGS_MAX} things in it`);
      await readBag(list.enter(TAG.sequence), reading, found);
    }
  }
  return found;
}

/** @throws {PkiError} `malformed` for a key that we cannot use */
function readKey(pkcs8: Bytes, reading: Reading): KeyObject {
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    keyTypeOf(key);
    return key;
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError("malformed", `cannot open ${reading.what}: the key in it cannot be read`, {
      cause,
    });
  } finally {
    pkcs8.fill(0);
  }
}

/** The one key of a file, and the certificates with the key's first. */
function chooseKey({ keys, certificates }: Found, reading: Reading): Pkcs12 {
  const [pkcs8, ...moreKeys] = keys;
  if (!pkcs8 || moreKeys.length > 0) {
    for (const secret of keys) secret.fill(0);
    throw malformed(reading, `it holds ${keys.length === 0 ? "no key" : `${keys.length} keys`}`);
  }
  const key = readKey(pkcs8, reading);
  const sorted = putCertificateFirst(certificates, key);
  if (!sorted) throw malformed(reading, "it holds no certificate for its key");
  return { key, certificates: sorted };
}

/**
 * Opens a PKCS #12 file with one key.
 * @param what names the file in messages
 * @returns the key; its certificate first (found by the key, whatever the file says belongs together)
 * @throws {PkiError} `refused` for a wrong password; `malformed` for what cannot be read, is encrypted
 * with an old cipher, or holds another number of keys
 */
export async function parsePkcs12(
  bytes: Uint8Array,
  { password, what }: { readonly password: string; readonly what: string },
): Promise<Pkcs12> {
  const reading: Reading = { what, password, roundsLeft: LIMITS.pbkdf2RoundsMax };
  try {
    const sealed = parsePfx(bytes, reading);
    checkMac(sealed, reading);
    return chooseKey(await openSafe(sealed.content, reading), reading);
  } catch (cause) {
    if (!(cause instanceof PkiError) || !/^cannot read [BD]ER: /.test(cause.message)) throw cause;
    throw new PkiError("malformed", `cannot open ${what}: it is not a whole PKCS #12 file`, {
      cause,
    });
  }
}
