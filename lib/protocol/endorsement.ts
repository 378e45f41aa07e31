/**
 * Endorsements: what the key of an identity signs for the key that follows it, so that those who know
 * the old key need not be asked whether they believe the new one. The directory's word is not enough
 * for that: pinning is there to catch a directory that lies.
 *
 * It says nothing about certificates: whether the new key is certified for the id is judged apart
 * from this. Pure. Start at {@link followEndorsements}.
 */

import type { KeyObject } from "node:crypto";
import * as v from "valibot";
import {
  type Bytes,
  encodeBase64,
  isEqualBytes,
  parseBase64,
  sha256,
  utf8,
} from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  encodeSpki,
  isLabelledSignatureValid,
  parsePublicKey,
  signLabelled,
} from "../x509/keys.ts";
import { readPublicKey } from "../x509/public_key.ts";
import { base64, count, signature, TIME_MS_MAX } from "./fields.ts";

/** Who verifies checks so many signatures at most; nobody changes keys more often between two talks. */
export const ENDORSEMENTS_MAX = 8;
/** DER of a SubjectPublicKeyInfo: RSA of 8,192 bits, the longest that is certified, takes 1,062 bytes. */
const KEY_BYTES_MAX = 1200;

const LABEL = "pki/1 endorsement";

/** One key's word for the next. */
export interface Endorsement {
  /** The new public key: DER of a SubjectPublicKeyInfo (RFC 5280, section 4.1). */
  readonly key: Bytes;
  /** When it was made, by the clock of whoever made it; milliseconds since 1970. */
  readonly timeMs: number;
  /** By the key before. */
  readonly signature: Bytes;
}

/** An endorsement in JSON: in a peer's `HELLO`, and in the home. */
export const ENDORSEMENT_FIELDS = {
  key: base64(1, KEY_BYTES_MAX),
  timeMs: v.pipe(count(), v.maxValue(TIME_MS_MAX)),
  signature: signature(),
};

export interface EndorsementJson {
  readonly key: string;
  readonly timeMs: number;
  readonly signature: string;
}

export function endorsementToJson({ key, timeMs, signature }: Endorsement): EndorsementJson {
  return { key: encodeBase64(key), timeMs, signature: encodeBase64(signature) };
}

/** @param json as {@link ENDORSEMENT_FIELDS} has it */
export function endorsementFromJson({ key, timeMs, signature }: EndorsementJson): Endorsement {
  return { key: parseBase64(key), timeMs, signature: parseBase64(signature) };
}

/** Whose keys they are: the same key may stand for somebody else under another root. */
export interface EndorsementScope {
  /** DER of the root's certificate. */
  readonly root: Uint8Array;
  readonly id: string;
}

/** What is signed, behind the label; see "Contacts" in `docs/protocol.md`. */
function signedParts(
  { root, id }: EndorsementScope,
  { by, key, timeMs }: { by: Uint8Array; key: Uint8Array; timeMs: number },
): readonly Uint8Array[] {
  const idBytes = utf8(id);
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(timeMs));
  return [sha256(root), Uint8Array.of(idBytes.length), idBytes, sha256(by), sha256(key), time];
}

/**
 * Signs for a new key with the old one.
 * @param by the old private key
 * @param key DER of the new public key
 */
export function endorse(
  scope: EndorsementScope,
  { by, key, timeMs }: {
    readonly by: KeyObject;
    readonly key: Bytes;
    readonly timeMs: number;
  },
): Endorsement {
  const parts = signedParts(scope, { by: encodeSpki(by), key, timeMs });
  return { key, timeMs, signature: signLabelled(by, LABEL, ...parts) };
}

/** Whether a key has signed this; the new key in it is not even read. */
function isEndorsedBy(
  by: Uint8Array,
  { key, timeMs, signature }: Endorsement,
  scope: EndorsementScope,
): boolean {
  readPublicKey(by);
  const parts = signedParts(scope, { by, key, timeMs });
  return isLabelledSignatureValid({ key: parsePublicKey(by), signature, label: LABEL, parts });
}

/**
 * Follows endorsements from a pinned key to another one. Each must be signed by the key of the one
 * before it; those before the pinned key, and behind the other one, do not matter. A key is read only
 * after the signature of the key before it held.
 * @param endorsements in the order in which they were made; nothing in them is trusted
 * @returns the ones that lead there, none of them where both keys are the same; `undefined` where they do not
 */
export function followEndorsements(
  endorsements: readonly Endorsement[],
  { pinned, key, ...scope }: EndorsementScope & {
    /** DER of the public key that is trusted. */
    readonly pinned: Uint8Array;
    /** DER of the public key to get to. */
    readonly key: Uint8Array;
  },
): readonly Endorsement[] | undefined {
  if (isEqualBytes(pinned, key)) return [];
  if (endorsements.length > ENDORSEMENTS_MAX) return undefined;
  const start = endorsements.findLastIndex((one) => isEqualBytes(one.key, pinned)) + 1;
  const links: Endorsement[] = [];
  let by: Uint8Array = pinned;
  try {
    for (const endorsement of endorsements.slice(start)) {
      if (!isEndorsedBy(by, endorsement, scope)) return undefined;
      links.push(endorsement);
      by = endorsement.key;
      if (isEqualBytes(by, key)) return links;
    }
  } catch (error) {
    if (error instanceof PkiError) return undefined; // a key that cannot be read has signed nothing
    throw error;
  }
  return undefined;
}
