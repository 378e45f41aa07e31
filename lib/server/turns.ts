/**
 * Work of many in turn (`fair_queue.ts`). Messages that have arrived are handed out one by one, and only
 * of what is known here can one of each be chosen: so a few pieces of work are begun at once, as ever
 * where little is asked for, and what comes beyond them is gathered until all that has arrived is here.
 */

import { type Claimant, FairQueue, type FairQueueOptions } from "./fair_queue.ts";

/** Pieces of work that are begun before what has arrived meanwhile is looked at. */
export const STARTS_AT_ONCE = 8;

/** Has to settle, and never to reject. */
export type Work = () => Promise<void>;

export class Turns {
  readonly #queue: FairQueue<Work>;
  readonly #later: (callback: () => void) => void;
  /** How much may be begun before what has arrived is known. */
  #left = STARTS_AT_ONCE;
  #isDue = false;

  constructor({ later = setImmediate, ...options }: FairQueueOptions & {
    /** Calls back when messages that have arrived were handed out. */
    readonly later?: (callback: () => void) => void;
  }) {
    this.#queue = new FairQueue(options);
    this.#later = later;
  }

  /** How much is at work, and how much waits for that. */
  get atWork(): number {
    return this.#queue.atWork;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /** From now on so much may be at work, and groups have so many turns. */
  configure({ atWorkMax, groupTurns }: Required<FairQueueOptions>): void {
    this.#queue.atWorkMax = atWorkMax;
    this.#queue.groupTurns = groupTurns;
    this.#begin();
  }

  /** Does it when it is this claimant's turn. */
  do(claimant: Claimant, work: Work): void {
    this.#queue.add(claimant, work);
    this.#begin();
  }

  #begin(): void {
    while (this.#left > 0) {
      const work = this.#queue.take();
      if (!work) break;
      this.#left--;
      void work().then(this.#finish);
    }
    if (this.#isDue || this.#left === STARTS_AT_ONCE) return;
    this.#isDue = true;
    this.#later(this.#goOn);
  }

  readonly #goOn = (): void => {
    this.#isDue = false;
    this.#left = STARTS_AT_ONCE;
    this.#begin();
  };

  readonly #finish = (): void => {
    this.#queue.done();
    this.#begin();
  };
}
