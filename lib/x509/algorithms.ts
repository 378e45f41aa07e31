/**
 * One table of the key types that we make and accept, and one of the signature algorithms that we
 * verify. Everything that depends on an algorithm is read from here; there are no branches on
 * algorithm names elsewhere.
 */

import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";

const generate = promisify(generateKeyPair);

/** The algorithm as WebCrypto names it, for importing and for signing. */
export interface WebCryptoAlgorithm {
  readonly name: string;
  readonly namedCurve?: string;
  readonly hash?: string;
}

interface KeyTypeRow {
  readonly title: string;
  readonly webCrypto: WebCryptoAlgorithm;
  /** What `node:crypto`'s `sign` and `verify` take as digest. */
  readonly digest: "sha256" | "sha384" | null;
  /** The signatures that we make with such a key, by object identifier; a row of {@link SIGNATURES}. */
  readonly signature: string;
  readonly generate: () => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>;
}

export const KEY_TYPES = {
  p256: {
    title: "ECDSA P-256",
    webCrypto: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    digest: "sha256",
    signature: "1.2.840.10045.4.3.2",
    generate: () => generate("ec", { namedCurve: "P-256" }),
  },
  p384: {
    title: "ECDSA P-384",
    webCrypto: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
    digest: "sha384",
    signature: "1.2.840.10045.4.3.3",
    generate: () => generate("ec", { namedCurve: "P-384" }),
  },
  rsa3072: {
    title: "RSA 3072",
    webCrypto: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    digest: "sha256",
    signature: "1.2.840.113549.1.1.11",
    generate: () => generate("rsa", { modulusLength: 3072, publicExponent: 65_537 }),
  },
  ed25519: {
    title: "Ed25519",
    webCrypto: { name: "Ed25519" },
    digest: null,
    signature: "1.3.101.112",
    generate: () => generate("ed25519"),
  },
} as const satisfies Record<string, KeyTypeRow>;

export type KeyType = keyof typeof KEY_TYPES;

interface SignatureRow {
  readonly keyType: "ec" | "rsa" | "ed25519";
  readonly digest: "sha256" | "sha384" | "sha512" | null;
  /** Whether the parameters are NULL (RSA, RFC 4055 section 5) or absent (the others). */
  readonly parameters: "null" | "absent";
}

/** By object identifier; SHA-1, MD5 and RSA-PSS with free parameters are not in it and so refused. */
export const SIGNATURES: Readonly<Record<string, SignatureRow>> = {
  "1.2.840.10045.4.3.2": { keyType: "ec", digest: "sha256", parameters: "absent" },
  "1.2.840.10045.4.3.3": { keyType: "ec", digest: "sha384", parameters: "absent" },
  "1.2.840.10045.4.3.4": { keyType: "ec", digest: "sha512", parameters: "absent" },
  "1.2.840.113549.1.1.11": { keyType: "rsa", digest: "sha256", parameters: "null" },
  "1.2.840.113549.1.1.12": { keyType: "rsa", digest: "sha384", parameters: "null" },
  "1.2.840.113549.1.1.13": { keyType: "rsa", digest: "sha512", parameters: "null" },
  "1.3.101.112": { keyType: "ed25519", digest: null, parameters: "absent" },
};
