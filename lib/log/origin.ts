/**
 * Origins: the name of a log, in its checkpoints and of its key. It says whose log it is (the trust
 * domain, and the start of the root's fingerprint) and which: an administrator who starts a log
 * anew after a loss gives it the next generation. A log keeps its origin for good.
 */

import { PkiError } from "../base/errors.ts";
import { isDomain } from "../x509/names.ts";

export interface Origin {
  readonly domain: string;
  /** The first 16 hex digits of the SHA-256 of the root certificate's DER. */
  readonly rootFingerprint16: string;
  /** 1, 2, … */
  readonly generation: number;
}

const FINGERPRINT_DIGITS = 16;
const FINGERPRINT = /^[0-9a-f]{64}$/;
const ORIGIN = /^([^/]+)\/([0-9a-f]{16})\/([1-9][0-9]{0,15})$/;

/** `<domain>/<first 16 digits of the fingerprint>/<generation>`. */
export function formatOrigin(
  { domain, rootFingerprint, generation }: {
    readonly domain: string;
    /** All 64 hex digits. */
    readonly rootFingerprint: string;
    readonly generation: number;
  },
): string {
  const isGeneration = Number.isSafeInteger(generation) && generation >= 1;
  if (!isDomain(domain) || !FINGERPRINT.test(rootFingerprint) || !isGeneration) {
    throw new PkiError(
      "internal",
      `cannot name log: ${JSON.stringify([domain, rootFingerprint, generation])}`,
    );
  }
  return `${domain}/${rootFingerprint.slice(0, FINGERPRINT_DIGITS)}/${generation}`;
}

/** @throws {PkiError} `malformed` */
export function parseOrigin(text: string): Origin {
  const [, domain = "", rootFingerprint16 = "", digits = ""] = ORIGIN.exec(text) ?? [];
  const generation = Number(digits);
  if (!isDomain(domain) || !Number.isSafeInteger(generation)) {
    throw new PkiError("malformed", "cannot read the log's origin: it is not one of this program");
  }
  return { domain, rootFingerprint16, generation };
}
