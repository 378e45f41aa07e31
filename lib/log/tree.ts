/**
 * The Merkle tree over the log's entries (RFC 9162, section 2.1.1), append only.
 *
 * Of n leaves it keeps the roots of the perfect subtrees that n is made of, one for each 1 in n's
 * binary form, largest first: the frontier. That is all that appending and the root need. It has
 * no leaves and makes no proofs.
 */

import { type Bytes, concatBytes, copyBytes, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

export const HASH_BYTES = 32;

const SIZE_BYTES = 8;

// The prefixes keep a node from being passed off as a leaf (RFC 9162, section 2.1.1).
const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = Uint8Array.of(1);

/** SHA-256(0 ‖ leaf). */
export function hashLeaf(leaf: Uint8Array): Bytes {
  return sha256(LEAF_PREFIX, leaf);
}

/** SHA-256(1 ‖ left ‖ right). */
export function hashNode(left: Uint8Array, right: Uint8Array): Bytes {
  return sha256(NODE_PREFIX, left, right);
}

export class Tree {
  #size = 0;
  readonly #frontier: Bytes[] = [];

  /** How many leaves there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds the next leaf, by its {@link hashLeaf}; O(log n), and O(1) on average. */
  append(leafHash: Uint8Array): void {
    checkHash(leafHash);
    let node = copyBytes(leafHash);
    // Each 1 at the low end of the size is a subtree that the new leaf completes.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      node = hashNode(this.#frontier.pop()!, node);
    }
    this.#frontier.push(node);
    this.#size++;
  }

  /** The hash of the whole tree; of no leaves, SHA-256 of nothing. */
  root(): Bytes {
    let root: Bytes | undefined;
    for (const node of this.#frontier.toReversed()) {
      root = root === undefined ? node : hashNode(node, root);
    }
    return root === undefined ? sha256() : copyBytes(root);
  }

  /** What appending can go on from: `u64` big-endian size, then the frontier, largest subtree first. */
  encodeFrontier(): Bytes {
    const size = new Uint8Array(SIZE_BYTES);
    new DataView(size.buffer).setBigUint64(0, BigInt(this.#size));
    return concatBytes(size, ...this.#frontier);
  }

  /**
   * The tree that {@link encodeFrontier} wrote down. Hashes are believed; compare the root with
   * one that is trusted.
   * @throws {PkiError} `storage`
   */
  static parseFrontier(bytes: Uint8Array): Tree {
    if (bytes.length < SIZE_BYTES) {
      throw new PkiError("storage", `cannot read tree: frontier has ${bytes.length} bytes`);
    }
    const size = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0);
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new PkiError("storage", `cannot read tree: size ${size} is out of range`);
    }
    const wanted = SIZE_BYTES + countOnes(size) * HASH_BYTES;
    if (bytes.length !== wanted) {
      throw new PkiError(
        "storage",
        `cannot read tree: frontier of size ${size} has ${bytes.length} bytes, ${wanted} needed`,
      );
    }
    const tree = new Tree();
    tree.#size = Number(size);
    for (let at = SIZE_BYTES; at < bytes.length; at += HASH_BYTES) {
      tree.#frontier.push(copyBytes(bytes.subarray(at, at + HASH_BYTES)));
    }
    return tree;
  }
}

function checkHash(hash: Uint8Array): void {
  if (hash.length !== HASH_BYTES) {
    throw new PkiError("internal", `cannot append to tree: hash has ${hash.length} bytes`);
  }
}

function countOnes(value: bigint): number {
  return value.toString(2).replaceAll("0", "").length;
}
