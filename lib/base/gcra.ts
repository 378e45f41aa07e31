/**
 * Rate limits by the generic cell rate algorithm (ITU-T I.371, annex A) for any number of names in a
 * fixed amount of memory. Clock and key are arguments; nothing here sleeps, waits or knows what it
 * limits.
 *
 * Each name has a bucket: a number of attempts at once, then one more each interval. Buckets are cells
 * of two rows, and a keyed hash says which of each row are a name's; an attempt is charged to both, and
 * admitted while either has room. So names never seen before take no memory, no name's bucket is ever
 * given up for another's, and whoever shares cells with somebody has less room and never more: a name
 * gets no attempt beyond its rate, whatever other names do. Others can only take room away, and have
 * to fill both cells for that, which the key keeps them from finding.
 */

import { createHash } from "node:crypto";
import { encodeHex } from "./bytes.ts";

export interface Rate {
  /** Attempts at once, from a bucket that was left alone for long enough. */
  readonly burst: number;
  /** Until one more attempt is admitted. */
  readonly intervalMs: number;
}

export interface RateTableOptions {
  readonly rate: Rate;
  /** Of each of the two rows, a power of two; a cell takes eight bytes. */
  readonly cells: number;
  /** 32 random bytes. */
  readonly key: Uint8Array;
}

/** One attempt that was charged: how many were charged before it. */
export type Charge = number;

const ROWS = 2;

/**
 * Charges that can be taken back, the last ones, of 24 bytes each: a login takes a slow client seconds,
 * and in ten of them no server begins more.
 */
const REFUNDABLE_MAX = 8192;

export class RateTable {
  readonly rate: Rate;
  readonly #cells: number;
  readonly #key: string;
  /** When each cell will have run empty, by {@link #elapsedMs}: the algorithm's theoretical arrival time. */
  readonly #emptyMs: Float64Array;
  #charges = 0;
  /** Of each of the last charges and each row, its cell, and when it will have run out of that. */
  readonly #cellsCharged = new Uint32Array(REFUNDABLE_MAX * ROWS);
  readonly #outMs = new Float64Array(REFUNDABLE_MAX * ROWS);
  #elapsedMs = 0;
  #lastMs: number | undefined;

  constructor({ rate, cells, key }: RateTableOptions) {
    if (cells < 1 || (cells & (cells - 1)) !== 0) throw new RangeError("cells: no power of two");
    this.rate = rate;
    this.#cells = cells;
    this.#key = encodeHex(key);
    this.#emptyMs = new Float64Array(ROWS * cells);
  }

  /** What the table takes, whatever it has seen. */
  get bytes(): number {
    return this.#emptyMs.byteLength + this.#cellsCharged.byteLength + this.#outMs.byteLength;
  }

  /** How long until an attempt of this name is admitted; 0 if it is now. */
  waitMs(name: string, nowMs: number): number {
    const elapsedMs = this.#advance(nowMs);
    const levels = this.#cellsOf(name).map((at) => this.#levelOf(at, elapsedMs));
    const roomMs = (this.rate.burst - 1) * this.rate.intervalMs;
    return Math.max(0, Math.min(...levels) - roomMs);
  }

  /** Counts an attempt, admitted or not; whoever only counts admitted ones asks {@link waitMs} before. */
  charge(name: string, nowMs: number): Charge {
    const elapsedMs = this.#advance(nowMs);
    const charge = this.#charges++;
    for (const [row, at] of this.#cellsOf(name).entries()) {
      const emptyMs = elapsedMs + this.#levelOf(at, elapsedMs) + this.rate.intervalMs;
      this.#emptyMs[at] = emptyMs;
      this.#cellsCharged[slotOf(charge, row)] = at;
      this.#outMs[slotOf(charge, row)] = emptyMs;
    }
    return charge;
  }

  /**
   * Takes a charge back, as far as it has not run out by itself: so that nobody frees others' attempts
   * by keeping a charge of their own for later. Charges run out one after the other, so those that came
   * later do so much sooner. One that is too old is not taken back. To be called once for each.
   */
  refund(charge: Charge, nowMs: number): void {
    const elapsedMs = this.#advance(nowMs);
    if (this.#charges - charge > REFUNDABLE_MAX) return;
    for (let row = 0; row < ROWS; row++) {
      const at = this.#cellsCharged[slotOf(charge, row)] ?? 0;
      const outMs = this.#outMs[slotOf(charge, row)] ?? 0;
      const left = Math.min(this.rate.intervalMs, Math.max(0, outMs - elapsedMs));
      if (left === 0) continue;
      this.#emptyMs[at] = (this.#emptyMs[at] ?? 0) - left;
      for (let later = charge + 1; later < this.#charges; later++) {
        const slot = slotOf(later, row);
        if (this.#cellsCharged[slot] === at) this.#outMs[slot] = (this.#outMs[slot] ?? 0) - left;
      }
    }
  }

  /** Time by a clock that only runs forward: one that was set back has stood still. */
  #advance(nowMs: number): number {
    this.#elapsedMs += Math.max(0, nowMs - (this.#lastMs ?? nowMs));
    this.#lastMs = nowMs;
    return this.#elapsedMs;
  }

  /** How long a cell takes to run empty. */
  #levelOf(at: number, elapsedMs: number): number {
    return Math.max(0, (this.#emptyMs[at] ?? 0) - elapsedMs);
  }

  #cellsOf(name: string): readonly number[] {
    // Nobody sees the digest, and the key has one length: an HMAC would only take four times as long.
    const digest = createHash("sha256").update(this.#key + name).digest();
    return [digest.readUInt32BE(0), digest.readUInt32BE(4)].map((hash, row) =>
      row * this.#cells + (hash & (this.#cells - 1))
    );
  }
}

/** Where it is kept how far a charge reaches; later its place is another's. */
function slotOf(charge: Charge, row: number): number {
  return charge % REFUNDABLE_MAX * ROWS + row;
}
