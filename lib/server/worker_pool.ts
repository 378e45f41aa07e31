/**
 * Connection workers, started ahead of need and used once: as many as the arrivals of the last seconds
 * make likely, one at a time, and never on the way of a connection that was accepted. Which workers, and
 * what time it is, is said from outside.
 */

import { LeanWorker } from "../base/lean_worker.ts";
import type { FromConnection, ToConnection } from "./ports.ts";

/** Arrivals are counted by the second, and the most of any of these seconds counts. */
const SECOND_MS = 1000;
const SECONDS = 5;
/** Spares are for the arrivals of this time: a worker starts in less, also on a busy machine. */
const COVERED_MS = 100;
/** Beyond so many spares (2 MB each) starting them takes a core of its own. */
export const SPARES_MAX = 64;
/** Between two that are ended since they are not needed any more. */
const SHRINK_MS = 250;
/** Until another is started where one could not be: too many files are open, or memory is short. */
const RETRY_MS = 1000;

/** How many workers may wait for a connection; `min` counts where they contradict each other. */
export interface SpareBounds {
  /** At all times. */
  readonly min: number;
  /** However many come. */
  readonly max: number;
}

/** How many spares are worth having, by when connections came. */
export class SpareNeed {
  /** Arrivals in the seconds from `#second` backwards. */
  readonly #arrivals: number[] = new Array<number>(SECONDS).fill(0);
  #second = 0;

  arrived(nowMs: number): void {
    this.#advance(nowMs);
    this.#arrivals[this.#second % SECONDS]! += 1;
  }

  wanted(nowMs: number, { min, max }: SpareBounds): number {
    this.#advance(nowMs);
    const likely = Math.ceil(Math.max(...this.#arrivals) * COVERED_MS / SECOND_MS);
    return Math.max(min, Math.min(likely, max));
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / SECOND_MS);
    const passed = Math.min(second - this.#second, SECONDS);
    for (let i = 0; i < passed; i++) this.#arrivals[(second - i) % SECONDS] = 0;
    this.#second = Math.max(second, this.#second);
  }
}

/** What a pool hears of a worker; the first two do not matter any more once it was taken. */
export interface WorkerEvents {
  readonly onReady: () => void;
  /** It has ended by itself; why, as far as the engine tells. */
  readonly onGone: (why: string) => void;
  /** Nothing is left of it, whoever ended it. */
  readonly onClosed: () => void;
}

export interface WorkerPoolOptions<W> {
  readonly start: (events: WorkerEvents) => W;
  readonly end: (worker: W) => void;
  /** A spare has ended by itself, before anybody used it. */
  readonly onSpareLost: (why: string) => void;
  /** Milliseconds of a clock that only goes on. */
  readonly nowMs: () => number;
  /** Does something after so many milliseconds, unless the program ends before. */
  readonly later: (work: () => void, ms: number) => void;
}

export class WorkerPool<W> {
  readonly #options: WorkerPoolOptions<W>;
  readonly #need = new SpareNeed();
  /** In the order in which they are taken; the last may still be starting. */
  readonly #spares: W[] = [];
  #bounds: SpareBounds;
  /** The one that is starting, of the spares. */
  #starting: W | undefined;
  #started = 0;
  #alive = 0;
  #isDue = false;
  #isShrinking = false;
  #isClosed = false;

  constructor(bounds: SpareBounds, options: WorkerPoolOptions<W>) {
    this.#options = options;
    this.#bounds = bounds;
    this.#consider(0);
  }

  /** Workers that wait for a connection. */
  get spare(): number {
    return this.#spares.length;
  }

  /** Workers that were ever started. */
  get started(): number {
    return this.#started;
  }

  /** Workers of which something is left: spare ones, those in use, those that are ending. */
  get alive(): number {
    return this.#alive;
  }

  /** A worker that nobody has used; the caller ends it. */
  take(): W {
    this.#need.arrived(this.#options.nowMs());
    const worker = this.#spares.shift() ?? this.#start(() => {}, () => {});
    if (worker === this.#starting) this.#starting = undefined;
    this.#consider(0); // behind what the new connection needs first
    return worker;
  }

  /** From now on so many are kept. */
  resize(bounds: SpareBounds): void {
    this.#bounds = bounds;
    this.#consider(0);
  }

  close(): void {
    this.#isClosed = true;
    for (const worker of this.#spares.splice(0)) this.#options.end(worker);
  }

  #wanted(): number {
    return this.#need.wanted(this.#options.nowMs(), this.#bounds);
  }

  #start(onReady: (worker: W) => void, onGone: (worker: W, why: string) => void): W {
    const worker: W = this.#options.start({
      onReady: () => onReady(worker),
      onGone: (why) => onGone(worker, why),
      onClosed: () => this.#alive--,
    });
    this.#started++;
    this.#alive++;
    return worker;
  }

  #consider(ms: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#options.later(() => {
      this.#isDue = false;
      if (this.#isClosed) return;
      this.#fill();
      this.#shrinkLater();
    }, ms);
  }

  /** Starts one, if one is missing and none is starting. */
  #fill(): void {
    if (this.#starting !== undefined || this.#spares.length >= this.#wanted()) return;
    const isOver = (worker: W) => {
      if (worker === this.#starting) this.#starting = undefined;
    };
    try {
      this.#starting = this.#start((worker) => {
        isOver(worker);
        this.#consider(0);
      }, (worker, why) => {
        isOver(worker);
        const at = this.#spares.indexOf(worker);
        if (at >= 0) {
          this.#spares.splice(at, 1);
          this.#options.end(worker); // an engine may not tell that nothing is left of it
          this.#options.onSpareLost(why);
        }
        this.#consider(RETRY_MS);
      });
      this.#spares.push(this.#starting);
    } catch {
      this.#consider(RETRY_MS); // whoever needs one meanwhile hears why there is none
    }
  }

  #shrinkLater(): void {
    if (this.#isShrinking || this.#spares.length <= this.#bounds.min) return;
    this.#isShrinking = true;
    this.#options.later(() => {
      this.#isShrinking = false;
      if (this.#isClosed) return;
      if (this.#spares.length > this.#wanted()) {
        const worker = this.#spares.pop() as W;
        if (worker === this.#starting) this.#starting = undefined;
        this.#options.end(worker);
      }
      this.#shrinkLater();
    }, SHRINK_MS);
  }
}

export type ConnectionWorker = LeanWorker<ToConnection, FromConnection>;

/** A pool of connection workers. @param onSpareLost told why one has ended that nobody used */
export function connectionWorkers(
  bounds: SpareBounds,
  onSpareLost: (why: string) => void,
): WorkerPool<ConnectionWorker> {
  return new WorkerPool(bounds, {
    start: ({ onReady, onGone, onClosed }) => {
      const worker: ConnectionWorker = new LeanWorker("connection", onClosed);
      worker.listen({
        onMessage: onReady,
        onThrown: (message) => onGone(`threw: ${message}`),
        onEnded: () => onGone("ended"),
      });
      return worker;
    },
    end: (worker) => worker.end(),
    onSpareLost,
    nowMs: () => performance.now(),
    later: (work, ms) => void setTimeout(work, ms),
  });
}
