/** How path validation says no: which check failed, for which certificate of a chain, in words. */

import { PkiError } from "../base/errors.ts";

/** Every check of path validation, in the order in which they are made. */
export const PATH_CHECKS = [
  /** What RFC 5280, section 4, forbids a certificate to say, whatever chain it is in. */
  "form",
  /** Each certificate names the next one as its issuer, by name and key; a chain reaches a root. */
  "issuer",
  /** Keys and signature algorithms are accepted ones. */
  "algorithm",
  "signature",
  "time",
  "critical-extension",
  "basic-constraints",
  "path-length",
  "key-usage",
  "extended-key-usage",
  "name-constraints",
  "policy",
  /** The names that were wanted are there. */
  "names",
  "revocation",
  /** The bound on work. */
  "work",
] as const;

export type PathCheck = typeof PATH_CHECKS[number];

/** The cause of a refusal by path validation. */
export class FailedCheck {
  constructor(
    readonly check: PathCheck,
    /** Which certificate: 0 is the leaf, the last is the root; `undefined` for the chain as a whole. */
    readonly index: number | undefined,
  ) {}
}

/** A refusal by path validation. */
export function untrusted(
  check: PathCheck,
  index: number | undefined,
  what: string,
  hint?: string,
): PkiError {
  return new PkiError("untrusted", `cannot trust certificate: ${what}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: new FailedCheck(check, index),
  });
}

/** Which check failed, where an error is a refusal by path validation. */
export function failedCheckOf(error: unknown): FailedCheck | undefined {
  return error instanceof PkiError && error.cause instanceof FailedCheck ? error.cause : undefined;
}

/** What a message calls a certificate of a chain, leaf first, root last. */
export function nameOfPlace(index: number, chainLength: number): string {
  if (index === 0) return "it";
  if (index === chainLength - 1) return "the root";
  return index === 1 ? "the issuing CA" : `CA ${index} above it`;
}
