/**
 * Where every entry of the log is, and the Merkle tree over all of them: 38 bytes an entry, in
 * memory. It is filled from the log, or tile by tile from a snapshot, which saves reading the log.
 */

import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { FILE_HEADER_BYTES } from "../log/records.ts";
import { MerkleTree, TILE_LEAVES } from "../log/tree.ts";

const OFFSETS_AT_FIRST = 1024;

/** A file of the log, as far as the index reaches. */
export interface Segment {
  /** Index of its first entry, which names it. */
  readonly first: number;
  /** With its header. */
  readonly bytes: number;
}

/** Where a record starts. */
export interface Place {
  /** Which segment, by its first entry. */
  readonly segment: number;
  readonly offset: number;
}

export class LogIndex {
  readonly tree = new MerkleTree();
  readonly #segments: { first: number; bytes: number }[] = [];
  #offsets = new Uint32Array(OFFSETS_AT_FIRST);

  get size(): number {
    return this.tree.size;
  }

  /** In order; the last one grows. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Of all segments together. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Says that what is appended from here on is in another segment. */
  startSegment(): void {
    this.#segments.push({ first: this.size, bytes: FILE_HEADER_BYTES });
  }

  append(leafHash: Uint8Array, recordBytes: number): void {
    const segment = this.#segments.at(-1);
    if (!segment) throw new PkiError("internal", "an entry without a segment");
    this.#reserve(1);
    this.#offsets[this.size] = segment.bytes;
    segment.bytes += recordBytes;
    this.tree.append(leafHash);
  }

  #reserve(more: number): void {
    const wanted = this.size + more;
    if (wanted <= this.#offsets.length) return;
    const grown = new Uint32Array(Math.max(wanted, this.#offsets.length * 2));
    grown.set(this.#offsets);
    this.#offsets = grown;
  }

  /** @throws {PkiError} `not-found` if there is no such entry */
  placeOf(index: number): Place {
    const offset = this.#offsets[index];
    if (!Number.isSafeInteger(index) || index >= this.size || offset === undefined) {
      throw new PkiError("not-found", `cannot find entry ${index}: the log has ${this.size}`);
    }
    let [low, high] = [0, this.#segments.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#segments[middle]?.first ?? Infinity) <= index) low = middle;
      else high = middle - 1;
    }
    return { segment: this.#segments[low]?.first ?? 0, offset };
  }

  /** Hashes and offsets of 256 entries, fewer in the last tile, for a snapshot. */
  encodeTile(tile: number): { readonly hashes: Bytes; readonly offsets: Bytes } {
    const from = tile * TILE_LEAVES;
    const offsets = this.#offsets.slice(from, Math.min(from + TILE_LEAVES, this.size));
    const bytes = new Uint8Array(offsets.length * 4);
    const view = new DataView(bytes.buffer);
    offsets.forEach((offset, i) => view.setUint32(i * 4, offset));
    return { hashes: this.tree.encodeTile(tile), offsets: bytes };
  }

  /** Takes the next tile from a snapshot; it is believed. @throws {PkiError} `storage` */
  appendTile(hashes: Uint8Array, offsets: Uint8Array): void {
    const view = new DataView(offsets.buffer, offsets.byteOffset, offsets.byteLength);
    const count = Math.floor(offsets.length / 4);
    const before = this.size;
    this.#reserve(count);
    for (let i = 0; i < count; i++) this.#offsets[before + i] = view.getUint32(i * 4);
    this.tree.appendTile(hashes);
    if (this.size - before !== count) {
      throw new PkiError("storage", "a tile does not fit its offsets");
    }
  }

  /** Takes the segments from a snapshot. */
  restoreSegments(segments: readonly Segment[]): void {
    this.#segments.splice(0, Infinity, ...segments.map((segment) => ({ ...segment })));
  }

  /** Whether the first `size` entries have this root. */
  isPrefix(size: number, root: Uint8Array): boolean {
    return size <= this.size && isEqualBytes(this.tree.root(size), root);
  }
}
