/**
 * Work of many in turn (`fair_queue.ts`). What comes is gathered before any of it is begun: only of
 * what is known here can one of each be chosen, and messages that have arrived are handed out one by
 * one.
 */

import { FairQueue } from "./fair_queue.ts";

/** Pieces of work that are begun before what has arrived meanwhile is looked at. */
export const STARTS_AT_ONCE = 8;

/** Has to settle, and never to reject. */
export type Work = () => Promise<void>;

export class Turns {
  readonly #queue: FairQueue<Work>;
  readonly #later: (callback: () => void) => void;
  #isDue = false;

  constructor({ atWorkMax, later = setImmediate }: {
    readonly atWorkMax: number;
    /** Calls back when messages that have arrived were handed out. */
    readonly later?: (callback: () => void) => void;
  }) {
    this.#queue = new FairQueue({ atWorkMax });
    this.#later = later;
  }

  /** How much is at work, and how much waits for that. */
  get atWork(): number {
    return this.#queue.atWork;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /** From now on so much may be at work. */
  set atWorkMax(count: number) {
    this.#queue.atWorkMax = count;
    this.#plan();
  }

  /** Does it when it is this key's turn. */
  do(key: string, work: Work): void {
    this.#queue.add(key, work);
    this.#plan();
  }

  #plan(): void {
    if (this.#isDue || !this.#queue.canTake) return;
    this.#isDue = true;
    this.#later(this.#begin);
  }

  readonly #begin = (): void => {
    this.#isDue = false;
    for (let started = 0; started < STARTS_AT_ONCE; started++) {
      const work = this.#queue.take();
      if (!work) break;
      void work().then(this.#finish);
    }
    this.#plan();
  };

  readonly #finish = (): void => {
    this.#queue.done();
    this.#plan();
  };
}
