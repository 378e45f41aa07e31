/** Why a certificate was revoked, as lists and OCSP responses say it. */

import type { Bytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { encodeElement, parseSmallInteger, readWhole, TAG } from "./der.ts";

/** CRLReason by its name in RFC 5280, section 5.3.1. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export type RevocationReason = keyof typeof REVOCATION_REASONS;

/** All of them. */
export const REASONS: readonly RevocationReason[] = Object.keys(
  REVOCATION_REASONS,
) as RevocationReason[];

export const REASON_OF_CODE: ReadonlyMap<number, RevocationReason> = new Map(
  REASONS.map((reason) => [REVOCATION_REASONS[reason], reason]),
);

/**
 * DER of a CRLReason, in lists and in OCSP responses.
 * @throws {PkiError} `malformed`
 */
export function parseReason(value: Uint8Array): RevocationReason {
  const reason = REASON_OF_CODE.get(parseSmallInteger(readWhole(value, TAG.enumerated).content));
  if (!reason) throw new PkiError("malformed", "cannot read revocation: an unknown reason");
  return reason;
}

/** DER of a CRLReason. */
export function encodeReason(reason: RevocationReason): Bytes {
  return encodeElement(TAG.enumerated, Uint8Array.of(REVOCATION_REASONS[reason]));
}
