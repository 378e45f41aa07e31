/**
 * The Merkle tree over the log's entries (RFC 9162, section 2.1), in memory, append only: roots and
 * proofs at its size and at every size that it had.
 *
 * A node is stored when it is perfect and its level is a multiple of four (34 bytes a leaf in all);
 * another costs at most seven hashes, and a proof some 70. Nothing is checked here: `proof.ts` does
 * that, without a tree. Start reading at {@link MerkleTree.append}.
 */

import { hash } from "node:crypto";
import { type Bytes, copyBytes, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

export const HASH_BYTES = 32;
/** Leaves of a full tile: a node of level 8. */
export const TILE_LEAVES = 256;

/** Levels from one stored level to the next. */
const STEP = 4;
const TILE_LEVEL = 8;
const TILE_MIDDLES = TILE_LEAVES >> STEP;
const TILE_BYTES = (TILE_LEAVES + TILE_MIDDLES + 1) * HASH_BYTES;

// The prefixes keep a node from being passed off as a leaf (RFC 9162, section 2.1.1).
const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = 1;

/** The one node that is being hashed: prefix, left, right. A one-shot of it takes both engines least. */
const nodeInput = new Uint8Array(1 + 2 * HASH_BYTES);
nodeInput[0] = NODE_PREFIX;

/** SHA-256(0 ‖ leaf). */
export function hashLeaf(leaf: Uint8Array): Bytes {
  return sha256(LEAF_PREFIX, leaf);
}

/** SHA-256(1 ‖ left ‖ right), of two hashes. */
export function hashNode(left: Uint8Array, right: Uint8Array): Bytes {
  checkHash(left);
  checkHash(right);
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_BYTES);
  return copyBytes(hash("sha256", nodeInput, "buffer"));
}

/** What is given and what is returned belongs to the caller: changing it changes no tree. */
export class MerkleTree {
  /** `[k]` holds the perfect nodes of level 4k, from the left. */
  readonly #stored: HashList[] = [];
  /** Roots of the perfect subtrees that the size is made of, largest first: one for each of its 1 bits. */
  readonly #frontier: Bytes[] = [];
  #size = 0;

  /** How many leaves there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds the next leaf, by its {@link hashLeaf}; one hash on average. */
  append(leafHash: Uint8Array): void {
    checkHash(leafHash);
    this.#add(0, copyBytes(leafHash));
  }

  leafHash(index: number): Bytes {
    checkRange("leaf", { value: index, max: this.#size - 1 });
    return copyBytes(this.#node(0, index));
  }

  /** The root of the first `size` leaves (default: of all); of none, SHA-256 of nothing. */
  root(size: number = this.#size): Bytes {
    checkRange("size", { value: size, max: this.#size });
    if (size === 0) return sha256();
    if (size < this.#size) return copyBytes(this.#span(0, size));
    return copyBytes(this.#frontier.reduceRight((right, left) => hashNode(left, right)));
  }

  /** That leaf `index` is in the tree of the first `size` (RFC 9162, section 2.1.3.1). */
  inclusionProof(index: number, size: number): Bytes[] {
    checkRange("size", { value: size, max: this.#size });
    checkRange("leaf", { value: index, max: size - 1 });
    const proof: Uint8Array[] = [];
    let start = 0;
    for (let count = size; count > 1;) {
      const left = splitOf(count);
      if (index < start + left) {
        proof.push(this.#span(start + left, count - left));
        count = left;
      } else {
        proof.push(this.#span(start, left));
        start += left;
        count -= left;
      }
    }
    return proof.reverse().map(copyBytes);
  }

  /**
   * That the tree of the first `to` leaves begins with that of the first `from` (RFC 9162, section
   * 2.1.4.1). From none, and from `to` itself, there is nothing to prove: no hashes.
   */
  consistencyProof(from: number, to: number): Bytes[] {
    checkRange("size", { value: to, max: this.#size });
    checkRange("size", { value: from, max: to });
    if (from === 0) return [];
    const proof: Uint8Array[] = [];
    let start = 0;
    for (let count = to; from < start + count;) {
      const left = splitOf(count);
      if (from <= start + left) {
        proof.push(this.#span(start + left, count - left));
        count = left;
      } else {
        proof.push(this.#span(start, left));
        start += left;
        count -= left;
      }
    }
    // The verifier knows the first `from` leaves' own root, and no root of a part of them.
    if (start > 0) proof.push(this.#span(start, from - start));
    return proof.reverse().map(copyBytes);
  }

  /**
   * The hashes of leaves `256 * tile` and following: 256 of them, fewer in the last tile. After the
   * leaves of a full tile come its 16 nodes of level 4 and its one of level 8.
   */
  encodeTile(tile: number): Bytes {
    checkRange("tile", { value: tile, max: Math.ceil(this.#size / TILE_LEAVES) - 1 });
    const start = tile * TILE_LEAVES;
    const count = Math.min(TILE_LEAVES, this.#size - start);
    const isFull = count === TILE_LEAVES;
    const bytes = new Uint8Array(isFull ? TILE_BYTES : count * HASH_BYTES);
    bytes.set(this.#stored[0]!.slice(start, count));
    if (isFull) {
      bytes.set(this.#stored[1]!.slice(tile * TILE_MIDDLES, TILE_MIDDLES), count * HASH_BYTES);
      bytes.set(this.#stored[2]!.at(tile), (count + TILE_MIDDLES) * HASH_BYTES);
    }
    return bytes;
  }

  /**
   * Appends a tile as {@link encodeTile} made it; the size must be a multiple of 256. The hashes in
   * it are believed: a root does not show that nodes below level 8 belong to it.
   * @throws {PkiError} `storage` for a length that no tile has
   */
  appendTile(bytes: Uint8Array): void {
    if (this.#size % TILE_LEAVES !== 0) {
      throw new PkiError("internal", `cannot append tile: tree has ${this.#size} leaves`);
    }
    const hashes = bytes.length / HASH_BYTES;
    const isFull = bytes.length === TILE_BYTES;
    if (!isFull && !(Number.isInteger(hashes) && hashes > 0 && hashes < TILE_LEAVES)) {
      throw new PkiError("storage", `cannot append tile: ${bytes.length} bytes are not a tile`);
    }
    if (isFull) {
      const middlesAt = TILE_LEAVES * HASH_BYTES;
      const rootAt = TILE_BYTES - HASH_BYTES;
      this.#store(0, bytes.subarray(0, middlesAt));
      this.#store(STEP, bytes.subarray(middlesAt, rootAt));
      this.#add(TILE_LEVEL, copyBytes(bytes.subarray(rootAt)));
    } else {
      for (let at = 0; at < bytes.length; at += HASH_BYTES) {
        this.append(bytes.subarray(at, at + HASH_BYTES));
      }
    }
  }

  /** Adds a perfect subtree of a level that is stored; what lies below it is stored already. */
  #add(level: number, root: Bytes): void {
    this.#store(level, root);
    let node = root;
    let at = level;
    // Each 1 of the size, from `level` up, is a subtree that the new one completes.
    for (let rest = this.#size >> level; rest % 2 === 1; rest >>= 1) {
      node = hashNode(this.#frontier.pop()!, node);
      if (++at % STEP === 0) this.#store(at, node);
    }
    this.#frontier.push(node);
    this.#size += 1 << level;
  }

  #store(level: number, hashes: Uint8Array): void {
    (this.#stored[level / STEP] ??= new HashList()).append(hashes);
  }

  /** Node `index` of a level, which must be perfect; a view when it is stored. */
  #node(level: number, index: number): Uint8Array {
    if (level % STEP === 0) return this.#stored[level / STEP]!.at(index);
    return hashNode(this.#node(level - 1, 2 * index), this.#node(level - 1, 2 * index + 1));
  }

  /** Root of `count` leaves, at least one, from `start`, which RFC 9162 only ever splits off at a perfect node. */
  #span(start: number, count: number): Uint8Array {
    const left = splitOf(count);
    if (left * 2 === count || count === 1) return this.#node(levelOf(count), start / count);
    return hashNode(this.#span(start, left), this.#span(start + left, count - left));
  }
}

/** Hashes in one growing piece of memory. */
class HashList {
  #bytes = new Uint8Array(TILE_LEAVES * HASH_BYTES);
  #used = 0;

  append(hashes: Uint8Array): void {
    const used = this.#used + hashes.length;
    if (used > this.#bytes.length) {
      // Twice is enough: nothing that is appended is longer than a tile's leaves.
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = grown;
    }
    this.#bytes.set(hashes, this.#used);
    this.#used = used;
  }

  /** A view of one. */
  at(index: number): Uint8Array {
    return this.slice(index, 1);
  }

  /** A view of `count` from `start`. */
  slice(start: number, count: number): Uint8Array {
    return this.#bytes.subarray(start * HASH_BYTES, (start + count) * HASH_BYTES);
  }
}

/** The largest power of two below `count`: where RFC 9162 splits so many leaves. 32 bits do: memory ends before. */
function splitOf(count: number): number {
  return 1 << levelOf(count - 1);
}

/** Floor of the binary logarithm. */
function levelOf(count: number): number {
  return 31 - Math.clz32(count);
}

function checkHash(bytes: Uint8Array): void {
  if (bytes.length !== HASH_BYTES) {
    throw new PkiError("internal", `cannot use tree: hash has ${bytes.length} bytes`);
  }
}

function checkRange(what: string, { value, max }: { value: number; max: number }): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new PkiError("internal", `cannot use tree: ${what} ${value} is not in 0 to ${max}`);
  }
}
