/**
 * The definitions of RFC 9162, section 2.1, word for word and over the leaves' hashes: what the
 * tree and the verifier are compared with. Slow, and free of any trick.
 */

import { createHash } from "node:crypto";
import { type Bytes, copyBytes } from "../../lib/base/bytes.ts";

type Hashes = readonly Uint8Array[];

/** MTH, section 2.1.1. */
export function naiveRoot(leaves: Hashes): Bytes {
  const hash = createHash("sha256");
  if (leaves.length === 0) return copyBytes(hash.digest());
  if (leaves.length === 1) return copyBytes(leaves[0]!);
  const k = splitOf(leaves);
  hash.update("\x01").update(naiveRoot(leaves.slice(0, k))).update(naiveRoot(leaves.slice(k)));
  return copyBytes(hash.digest());
}

/** PATH(m, D_n), section 2.1.3.1. */
export function naiveInclusion(m: number, leaves: Hashes): Bytes[] {
  if (leaves.length === 1) return [];
  const k = splitOf(leaves);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m < k
    ? [...naiveInclusion(m, left), naiveRoot(right)]
    : [...naiveInclusion(m - k, right), naiveRoot(left)];
}

/** PROOF(m, D_n), section 2.1.4.1. */
export function naiveConsistency(m: number, leaves: Hashes): Bytes[] {
  return subproof({ m, leaves, isWhole: true });
}

/** SUBPROOF(m, D_n, b), section 2.1.4.1. */
function subproof(
  { m, leaves, isWhole }: { m: number; leaves: Hashes; isWhole: boolean },
): Bytes[] {
  if (m === leaves.length) return isWhole ? [] : [naiveRoot(leaves)];
  const k = splitOf(leaves);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m <= k
    ? [...subproof({ m, leaves: left, isWhole }), naiveRoot(right)]
    : [...subproof({ m: m - k, leaves: right, isWhole: false }), naiveRoot(left)];
}

/** The largest power of two smaller than n. */
function splitOf(leaves: Hashes): number {
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return k;
}
