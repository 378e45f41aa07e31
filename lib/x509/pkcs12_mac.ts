/**
 * What tells whether a PKCS #12 file is whole and which password it has: an HMAC under a key that is
 * derived as RFC 7292, appendix B, says. It is older than PBKDF2 and looks different, but does the
 * same work: one hash for each round.
 */

import * as crypto from "node:crypto";
import { type Bytes, concatBytes, copyBytes } from "../base/bytes.ts";

/** Says that the derived bytes are the key of a MAC (appendix B.3). */
const PURPOSE_MAC = 3;

/** Digests by object identifier, with the bytes of a block that each works on. */
export const MAC_DIGESTS = {
  "1.3.14.3.2.26": { name: "sha1", blockBytes: 64 },
  "2.16.840.1.101.3.4.2.1": { name: "sha256", blockBytes: 64 },
  "2.16.840.1.101.3.4.2.2": { name: "sha384", blockBytes: 128 },
  "2.16.840.1.101.3.4.2.3": { name: "sha512", blockBytes: 128 },
} as const;

export type MacDigest = (typeof MAC_DIGESTS)[keyof typeof MAC_DIGESTS];

export interface MacParameters {
  readonly digest: MacDigest;
  readonly salt: Uint8Array;
  readonly rounds: number;
}

/**
 * The password as a BMPString with two zero bytes behind it (appendix B.1). What lies beyond the
 * basic plane is two units, as every program has it, although a BMPString has no such characters.
 */
function encodeBmpPassword(password: string): Bytes {
  const bytes = new Uint8Array(2 * password.length + 2);
  for (let i = 0; i < password.length; i++) {
    const unit = password.charCodeAt(i);
    bytes[2 * i] = unit >> 8;
    bytes[2 * i + 1] = unit & 0xff;
  }
  return bytes;
}

/** Repeated up to whole blocks. */
function fillBlocks(bytes: Uint8Array, blockBytes: number): Bytes {
  const filled = new Uint8Array(blockBytes * Math.ceil(bytes.length / blockBytes));
  for (let i = 0; i < filled.length; i++) filled[i] = bytes[i % bytes.length] ?? 0;
  return filled;
}

/**
 * The key of the MAC: as long as the digest, so that of appendix B.2 only the first of the blocks is
 * needed, and nothing of what makes further ones.
 */
function deriveMacKey(password: string, { digest, salt, rounds }: MacParameters): Bytes {
  const { name, blockBytes } = digest;
  const encoded = encodeBmpPassword(password);
  let key: Uint8Array = concatBytes(
    new Uint8Array(blockBytes).fill(PURPOSE_MAC),
    fillBlocks(salt, blockBytes),
    fillBlocks(encoded, blockBytes),
  );
  encoded.fill(0);
  for (let round = 0; round < rounds; round++) key = crypto.hash(name, key, "buffer");
  return copyBytes(key);
}

/** The MAC of what a PKCS #12 file holds; takes rounds × 0.5 µs in the executable, without a break. */
export function computeMac(
  content: Uint8Array,
  password: string,
  parameters: MacParameters,
): Bytes {
  const key = deriveMacKey(password, parameters);
  const mac = crypto.createHmac(parameters.digest.name, key).update(content).digest();
  key.fill(0);
  return copyBytes(mac);
}
