/**
 * Who does what when. In a closed loop each client begins its next operation when the last one has
 * ended: it shows what a server can do, and is kind to one that is slow, since whoever waits asks for
 * nothing. In an open loop operations are due at fixed times, whatever became of those before, and
 * count from when they were due: what a slow answer makes others wait is in the figures ("coordinated
 * omission" is the name of leaving that out). Time and waiting are passed in.
 */

import { PkiError } from "../base/errors.ts";
import type { Tally } from "./tally.ts";

/** A timer is late by so much without anybody's fault; what is begun within it is not late. */
const GRAIN_MS = 2;
/** What still runs when time is over may take so long; then it is cut, and counts as timed out. */
export const LAST_MS = 5000;
/** A client whose operation failed waits, longer each time: it shall not make things worse. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** When each client has failed so often in a row, 3 s at least, nobody is there any more. */
export const FAILURES_MAX = 5;

export interface Clock {
  /** Milliseconds from any beginning. */
  readonly nowMs: () => number;
  /** Resolves after so long, or when the signal says so. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface Performer<Operation extends string> {
  perform(operation: Operation): Promise<void>;
  /** Cuts what it does. */
  close(): void;
}

export interface RunOptions<Operation extends string> {
  readonly clients: readonly Performer<Operation>[];
  readonly choose: () => Operation;
  /** Done before anything counts: engines compile what runs often, caches fill. */
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Operations due each second, of all clients together; absent in a closed loop. */
  readonly perSecond?: number | undefined;
  /** What counts is told to it. */
  readonly tally: Tally;
  readonly clock: Clock;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** The warm-up is over. */
  readonly onMeasuring?: () => void;
}

export interface RunResult {
  /** How long was measured. */
  readonly seconds: number;
  /** Operations that were due and never begun; 0 in a closed loop. */
  readonly behind: number;
  /** Whether it ended early, since nothing ended well any more. */
  readonly isGivenUp: boolean;
  /** If so, what a client failed with last, whether that counted or not. */
  readonly lastError?: unknown;
}

export async function runLoad<Operation extends string>(
  options: RunOptions<Operation>,
): Promise<RunResult> {
  return await new Run(options).run();
}

class Run<Operation extends string> {
  readonly #options: RunOptions<Operation>;
  readonly #fromMs: number;
  readonly #toMs: number;
  readonly #beganMs: number;
  /** Aborted when nothing new shall begin. */
  readonly #over = new AbortController();
  /** Operations that were taken up, in an open loop. */
  #taken = 0;
  #isCut = false;
  /** Clients that have failed too often in a row. */
  readonly #hopeless = new Set<Performer<Operation>>();
  #lastError: unknown;

  constructor(options: RunOptions<Operation>) {
    this.#options = options;
    this.#beganMs = options.clock.nowMs();
    this.#fromMs = this.#beganMs + options.warmUpMs;
    this.#toMs = this.#fromMs + options.durationMs;
  }

  async run(): Promise<RunResult> {
    const { clients, clock, signal, onMeasuring } = this.#options;
    const ended = AbortSignal.any([signal, this.#over.signal]);
    const running = Promise.all(clients.map((client) => this.#loop(client, ended)));
    await clock.sleep(this.#options.warmUpMs, ended);
    if (!ended.aborted) onMeasuring?.();
    await clock.sleep(this.#toMs - clock.nowMs(), ended);
    const isGivenUp = this.#over.signal.aborted;
    const lastError = this.#lastError;
    const endMs = Math.min(clock.nowMs(), this.#toMs);
    this.#over.abort();
    const behind = this.#dueUntil(endMs) - this.#taken;
    const last = new AbortController();
    if (signal.aborted) this.#cut();
    await Promise.race([
      running,
      clock.sleep(LAST_MS, AbortSignal.any([signal, last.signal])).then(() => {
        if (!last.signal.aborted) this.#cut();
        return running;
      }),
    ]);
    last.abort();
    return {
      seconds: Math.max(0, endMs - this.#fromMs) / 1000,
      behind: Math.max(0, behind),
      isGivenUp,
      ...(isGivenUp && lastError !== undefined ? { lastError } : {}),
    };
  }

  #cut(): void {
    this.#isCut = true;
    for (const client of this.#options.clients) client.close();
  }

  /** How many operations were due until a time. */
  #dueUntil(ms: number): number {
    const { perSecond = 0 } = this.#options;
    return Math.floor((ms - this.#beganMs) / 1000 * perSecond);
  }

  async #loop(client: Performer<Operation>, ended: AbortSignal): Promise<void> {
    let failures = 0;
    while (!ended.aborted) {
      const begunMs = await this.#begin(ended);
      if (ended.aborted || begunMs >= this.#toMs) return;
      if (await this.#perform(client, begunMs)) {
        failures = 0;
        this.#hopeless.delete(client);
        continue;
      }
      if (failures + 1 >= FAILURES_MAX) this.#hopeless.add(client);
      if (this.#hopeless.size === this.#options.clients.length) this.#over.abort();
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS);
      if (!ended.aborted) await this.#options.clock.sleep(pauseMs, ended);
    }
  }

  /** Waits until the next operation is due. @returns from when on it counts */
  async #begin(ended: AbortSignal): Promise<number> {
    const { perSecond, clock } = this.#options;
    if (perSecond === undefined) return clock.nowMs();
    const dueMs = this.#beganMs + this.#taken * 1000 / perSecond;
    // Whoever is beyond the end has not taken anything up.
    if (dueMs >= this.#toMs) {
      await clock.sleep(this.#toMs - clock.nowMs(), ended);
      return Infinity;
    }
    this.#taken++;
    const earlyMs = dueMs - clock.nowMs();
    if (earlyMs > 0) await clock.sleep(earlyMs, ended);
    const nowMs = clock.nowMs();
    return nowMs - dueMs <= GRAIN_MS ? nowMs : dueMs;
  }

  /** @returns whether it ended well */
  async #perform(client: Performer<Operation>, begunMs: number): Promise<boolean> {
    const { choose, clock, tally, signal } = this.#options;
    const operation = choose();
    // Also of what was due before and is late: it is done now.
    const counts = clock.nowMs() >= this.#fromMs;
    try {
      await client.perform(operation);
      const endedMs = clock.nowMs();
      if (counts) tally.record(operation, endedMs - begunMs, endedMs > this.#toMs);
      return true;
    } catch (error) {
      if (signal.aborted) return false; // cut by whoever wanted the end
      this.#lastError = error;
      const late = this.#isCut && new PkiError("timeout", `${operation} had not ended at the end`);
      // What goes wrong while nothing counts goes wrong all the same, unless it comes right again.
      if (counts) tally.fail(operation, late || error);
      return false;
    }
  }
}
