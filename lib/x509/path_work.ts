/**
 * The bound on work that keeps a hostile set of certificates from stalling path validation: what
 * costs time is counted, and no signature is verified twice.
 */

import type { KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import type { Element } from "./der.ts";
import { untrusted } from "./path_failure.ts";
import { isCaSignatureValid, parseVerifyingKey } from "./verifying.ts";

/** How much of each kind of work one decision may take. */
export const WORK_MAX = {
  /** Signatures of certificates and CRLs; an honest chain of eight CAs with their CRLs has 18. */
  signatures: 64,
  /** Certificates tried as the next one of a chain. */
  steps: 512,
  /** Names held against name constraints: 200 names under 1,000 subtrees, some 50 ms. */
  comparisons: 200_000,
} as const;

export type WorkKind = keyof typeof WORK_MAX;

/** What certificates and CRLs have in common. */
export interface Signed {
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
}

// What is known of certificates that are still in use. They are values that never change, so nothing
// can tell what is remembered from what is computed, but by the time it takes.
const keys = new WeakMap<Certificate, KeyObject>();
const results = new WeakMap<Signed, WeakMap<Certificate, boolean>>();

/**
 * The public key of a certificate.
 * @throws {PkiError} `malformed` for a key that is not accepted
 */
export function publicKeyOf(certificate: Certificate): KeyObject {
  const known = keys.get(certificate);
  if (known) return known;
  const key = parseVerifyingKey(certificate.spki);
  keys.set(certificate, key);
  return key;
}

/** The work of one decision. */
export class PathWork {
  readonly #spent = { signatures: 0, steps: 0, comparisons: 0 };

  get spent(): Readonly<Record<WorkKind, number>> {
    return this.#spent;
  }

  /** @throws {PkiError} `untrusted`, check `work`, instead of going beyond the bound */
  spend(kind: WorkKind, amount = 1): void {
    if (this.#spent[kind] + amount > WORK_MAX[kind]) {
      throw untrusted("work", undefined, `judging it takes more than ${WORK_MAX[kind]} ${kind}`);
    }
    this.#spent[kind] += amount;
  }

  /**
   * Whether this issuer's key signed that.
   * @throws {PkiError} `malformed` for a key or an algorithm that is not accepted; `untrusted` as above
   */
  isSignedBy(signed: Signed, issuer: Certificate): boolean {
    const ofSigned = results.get(signed) ?? new WeakMap<Certificate, boolean>();
    const known = ofSigned.get(issuer);
    if (known !== undefined) return known;
    const { signatureAlgorithm: algorithm, tbs: data, signature } = signed;
    this.spend("signatures");
    const result = isCaSignatureValid({ algorithm, data, signature, key: publicKeyOf(issuer) });
    results.set(signed, ofSigned.set(issuer, result));
    return result;
  }
}
