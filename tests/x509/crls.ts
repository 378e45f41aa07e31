/** Revocation lists of a test's CA: entries of every reason, an hour apart. */

import { type Bytes, concatBytes } from "../../lib/base/bytes.ts";
import {
  encodeCrlEntry,
  encodeTbsCrl,
  REVOCATION_REASONS,
  type RevocationReason,
  signCrl,
} from "../../lib/x509/crl.ts";
import { HOUR_MS, NOW_MS, type TestCa } from "../fakes/ca.ts";

export const REASONS = Object.keys(REVOCATION_REASONS) as RevocationReason[];
/** All that a complete list may say. */
export const LASTING_REASONS = REASONS.filter((reason) => reason !== "removeFromCRL");
/** Other programs have no clock of ours: these lists are in time for as long as the CA is. */
export const NEXT_MS = NOW_MS + 4 * 365 * 24 * HOUR_MS;

export function serialOf(index: number): Bytes {
  return concatBytes(Uint8Array.of(0x40, ...new Uint8Array(16)), encodeBytes(index, 3));
}

export function encodeBytes(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (value >> 8 * (length - 1 - i)) & 0xff);
}

export function reasonOf(index: number): RevocationReason {
  return LASTING_REASONS[index % LASTING_REASONS.length] ?? "unspecified";
}

/** Entries 0 to count - 1, of every reason in turn, an hour apart. */
export function encodeEntries(count: number): readonly Bytes[] {
  return Array.from({ length: count }, (_, i) =>
    encodeCrlEntry({
      serial: serialOf(i),
      revokedMs: NOW_MS - i * HOUR_MS,
      reason: reasonOf(i),
    }));
}

export function makeCrl(
  { issuing }: TestCa,
  entries: readonly Uint8Array[],
  number = 1n,
  thisUpdateMs = NOW_MS,
): Bytes {
  const issuer = issuing.certificate;
  const times = { thisUpdateMs, nextUpdateMs: NEXT_MS };
  return signCrl(encodeTbsCrl({ issuer, number, ...times, entries }), issuing);
}
