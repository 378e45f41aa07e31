/**
 * Verifies the proofs of a Merkle tree (RFC 9162, section 2.1), without a tree: what a client does
 * with what a server says. Nothing here is believed but the arguments named `root`, and of those
 * only that whoever signed them stands by them.
 *
 * Numbers are divided, not shifted: a size may be up to 2^53 - 1, and shifts end at 32 bits.
 */

import { isEqualBytes, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { HASH_BYTES, hashNode } from "./tree.ts";

/** A tree that somebody has signed. */
export interface TreeHead {
  /** Leaves. */
  readonly size: number;
  readonly root: Uint8Array;
}

export interface InclusionClaim extends TreeHead {
  readonly leafHash: Uint8Array;
  readonly index: number;
  /** From the leaf's sibling upward. */
  readonly proof: readonly Uint8Array[];
}

export interface ConsistencyClaim {
  readonly from: TreeHead;
  readonly to: TreeHead;
  readonly proof: readonly Uint8Array[];
}

const INCLUSION = "the inclusion proof";
const CONSISTENCY = "the consistency proof";

/**
 * That leaf `index` of the tree is the one with this hash (RFC 9162, section 2.1.3.2).
 * @throws {PkiError} `untrusted`
 */
export function checkInclusion({ leafHash, index, size, root, proof }: InclusionClaim): void {
  checkSize(INCLUSION, size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw distrust(INCLUSION, `there is no leaf ${index} in a tree of ${size}`);
  }
  checkHashes(INCLUSION, [leafHash, root, ...proof]);
  let node = leafHash;
  for (const { sibling, isLeft } of climb(INCLUSION, { index, last: size - 1, proof })) {
    node = isLeft ? hashNode(sibling, node) : hashNode(node, sibling);
  }
  checkRoot(INCLUSION, { root, found: node, size });
}

/**
 * That the tree `to` begins with the leaves of the tree `from` (RFC 9162, section 2.1.4.2). Every
 * tree begins with none, and with itself; then the proof is empty.
 * @throws {PkiError} `untrusted`
 */
export function checkConsistency({ from, to, proof }: ConsistencyClaim): void {
  checkSize(CONSISTENCY, from.size);
  checkSize(CONSISTENCY, to.size);
  if (from.size > to.size) {
    throw distrust(CONSISTENCY, `the tree shrank from ${from.size} to ${to.size} leaves`);
  }
  checkHashes(CONSISTENCY, [from.root, to.root, ...proof]);
  if (from.size === 0 || from.size === to.size) {
    if (proof.length > 0) throw distrust(CONSISTENCY, "it has hashes where none are needed");
    if (from.size === 0) checkRoot(CONSISTENCY, { ...from, found: sha256() });
    if (to.size === from.size) checkRoot(CONSISTENCY, { ...to, found: from.root });
    return;
  }
  // The largest perfect subtree that `from` ends with is where both trees' paths start. Where it
  // is all of `from`, its root is known and the proof leaves it out.
  let index = from.size - 1;
  let last = to.size - 1;
  for (; index % 2 === 1; index = half(index)) last = half(last);
  const [start, ...path] = index === 0 ? [from.root, ...proof] : proof;
  if (start === undefined) throw distrust(CONSISTENCY, "it has too few hashes");
  let first: Uint8Array = start;
  let second: Uint8Array = start;
  for (const { sibling, isLeft } of climb(CONSISTENCY, { index, last, proof: path })) {
    if (isLeft) first = hashNode(sibling, first);
    second = isLeft ? hashNode(sibling, second) : hashNode(second, sibling);
  }
  checkRoot(CONSISTENCY, { ...from, found: first });
  checkRoot(CONSISTENCY, { ...to, found: second });
}

/**
 * From node `index` of a level, whose last node is `last`, to the root: each hash of the proof and
 * the side it stands on. A last node without a sibling rises unhashed, past levels without a hash.
 */
function* climb(
  what: string,
  claim: { readonly index: number; readonly last: number; readonly proof: readonly Uint8Array[] },
): Generator<{ readonly sibling: Uint8Array; readonly isLeft: boolean }> {
  let { index, last } = claim;
  for (const sibling of claim.proof) {
    if (last === 0) throw distrust(what, "it has too many hashes");
    while (index === last && index % 2 === 0) {
      index = half(index);
      last = half(last);
    }
    yield { sibling, isLeft: index % 2 === 1 };
    index = half(index);
    last = half(last);
  }
  if (last !== 0) throw distrust(what, "it has too few hashes");
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function checkSize(what: string, size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) {
    throw distrust(what, `a tree cannot have ${size} leaves`);
  }
}

function checkHashes(what: string, hashes: readonly Uint8Array[]): void {
  for (const { length } of hashes) {
    if (length !== HASH_BYTES) throw distrust(what, `a hash has ${length} bytes`);
  }
}

function checkRoot(
  what: string,
  { root, found, size }: TreeHead & { readonly found: Uint8Array },
): void {
  if (!isEqualBytes(root, found)) {
    throw distrust(what, `it does not lead to the root of the tree of ${size}`);
  }
}

function distrust(what: string, why: string): PkiError {
  return new PkiError("untrusted", `cannot trust ${what}: ${why}`);
}
