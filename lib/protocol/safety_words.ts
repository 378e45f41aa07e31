/**
 * The safety words of a conversation: what both sides read to each other to know that nobody is in
 * between. Each side commits to a nonce before it learns the other's, so nobody can look for nonces or
 * certificates that give the same words on two lines. See "Safety words" in `docs/protocol.md`.
 */

import { hkdfSync } from "node:crypto";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { type Bytes, concatBytes, isEqualBytes, sha256, utf8 } from "../base/bytes.ts";

/** Who called, and who listened. */
export const PEER_ROLES = ["caller", "listener"] as const;
export type PeerRole = (typeof PEER_ROLES)[number];

/** In what is hashed and signed. */
const ROLE_BYTE: Readonly<Record<PeerRole, number>> = { caller: 1, listener: 2 };

export const NONCE_BYTES = 32;
const COMMITMENT_LABEL = "pki/1 safety words\0";
export const SESSION_BYTES = 32;
/** A guess at five words is right once in 2^55 times, and there is one guess. */
const WORDS = 5;
const BITS_PER_WORD = 11n;
const WORD_BYTES = 8;

export function roleByte(role: PeerRole): Bytes {
  return Uint8Array.of(ROLE_BYTE[role]);
}

export function otherRole(role: PeerRole): PeerRole {
  return role === "caller" ? "listener" : "caller";
}

/**
 * What a side says of its nonce before it tells it; 32 bytes.
 * @param nonce 32 bytes
 */
export function commitTo(nonce: Uint8Array, role: PeerRole): Bytes {
  return sha256(utf8(COMMITMENT_LABEL), roleByte(role), nonce);
}

/** Whether the nonce is the one that was committed to by a side in this role. */
export function isCommittedTo(commitment: Uint8Array, nonce: Uint8Array, role: PeerRole): boolean {
  return isEqualBytes(commitment, commitTo(nonce, role));
}

/** One side, as the other has seen it. */
export interface Shown {
  /** DER of its certificate. */
  readonly certificate: Uint8Array;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
}

export interface ConversationSecrets {
  readonly words: readonly string[];
  /** Stands for this conversation in what is signed; 32 bytes. */
  readonly session: Bytes;
}

/** The first words of so many bits, the highest first (BIP-39's English list). */
function wordsOf(bytes: Uint8Array): readonly string[] {
  let bits = 0n;
  for (const byte of bytes) bits = bits << 8n | BigInt(byte);
  const all = BigInt(bytes.length * 8);
  return Array.from({ length: WORDS }, (_, i) => {
    const index = bits >> (all - BITS_PER_WORD * BigInt(i + 1)) & (1n << BITS_PER_WORD) - 1n;
    return wordlist[Number(index)] ?? "";
  });
}

/** The words of a conversation and what it is called, by HKDF with SHA-256 (RFC 5869). */
export function deriveSecrets(caller: Shown, listener: Shown): ConversationSecrets {
  const nonces = concatBytes(caller.nonce, listener.nonce);
  const salt = concatBytes(sha256(caller.certificate), sha256(listener.certificate));
  const derive = (info: string, bytes: number) =>
    new Uint8Array(hkdfSync("sha256", nonces, salt, utf8(info), bytes));
  return {
    words: wordsOf(derive("pki/1 safety words", WORD_BYTES)),
    session: derive("pki/1 conversation", SESSION_BYTES),
  };
}
