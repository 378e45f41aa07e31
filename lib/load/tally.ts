/**
 * What came of a load: for each operation how often, how fast, and what went wrong. Its memory does
 * not grow with the number of operations: latencies are in histograms of the engine's (HdrHistogram,
 * three digits exact).
 */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { codeOf } from "./wire.ts";

/** Microseconds: nothing waits longer than an answer may take, several in a row. */
const MICROSECONDS_MAX = 3_600_000_000;
const DIGITS = 3;

/** What one operation came to. */
export interface OperationSummary {
  readonly operation: string;
  /** That ended well; those that did not are in `errors`. */
  readonly count: number;
  readonly perSecond: number;
  /** Of those that ended well; absent where none did. */
  readonly latency?: LatencySummary;
  /** By code, how often. */
  readonly errors: Readonly<Record<string, number>>;
  /** What went wrong first; absent where nothing did. */
  readonly firstError?: unknown;
}

export interface LatencySummary {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

class OperationTally {
  readonly #histogram: RecordableHistogram = createHistogram({
    lowest: 1,
    highest: MICROSECONDS_MAX,
    figures: DIGITS,
  });
  readonly errors = new Map<string, number>();
  firstError: unknown;
  count = 0;
  #late = 0;
  #maxMs = 0;

  record(ms: number, isLate: boolean): void {
    this.count++;
    if (isLate) this.#late++;
    if (ms > this.#maxMs) this.#maxMs = ms;
    // Below a microsecond nothing is measured.
    this.#histogram.record(Math.min(Math.max(Math.round(ms * 1000), 1), MICROSECONDS_MAX));
  }

  /** Milliseconds of which a fraction of all were at most. */
  #quantile(fraction: number): number {
    // A bucket of the histogram may end above the longest.
    return Math.min(this.#histogram.percentile(fraction * 100) / 1000, this.#maxMs);
  }

  summarize(operation: string, seconds: number): OperationSummary {
    return {
      operation,
      count: this.count,
      perSecond: seconds > 0 ? (this.count - this.#late) / seconds : 0,
      ...(this.count === 0 ? {} : {
        latency: {
          p50Ms: this.#quantile(0.5),
          p90Ms: this.#quantile(0.9),
          p99Ms: this.#quantile(0.99),
          maxMs: this.#maxMs,
        },
      }),
      errors: Object.fromEntries(this.errors),
      ...(this.firstError === undefined ? {} : { firstError: this.firstError }),
    };
  }
}

export class Tally {
  readonly #operations = new Map<string, OperationTally>();
  #firstError: unknown;

  #of(operation: string): OperationTally {
    let tally = this.#operations.get(operation);
    if (!tally) this.#operations.set(operation, tally = new OperationTally());
    return tally;
  }

  /**
   * One that ended well.
   * @param isLate whether it ended when time was over, so that it does not count for the rate
   */
  record(operation: string, ms: number, isLate = false): void {
    this.#of(operation).record(ms, isLate);
  }

  /** One that did not. */
  fail(operation: string, error: unknown): void {
    this.#firstError ??= error;
    const tally = this.#of(operation);
    tally.firstError ??= error;
    const code = codeOf(error);
    tally.errors.set(code, (tally.errors.get(code) ?? 0) + 1);
  }

  /** What went wrong first: with many errors it is mostly what the others come from. */
  get firstError(): unknown {
    return this.#firstError;
  }

  /** Operations that ended well. */
  get count(): number {
    return [...this.#operations.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** In the order in which they were first seen. */
  summarize(seconds: number): readonly OperationSummary[] {
    return [...this.#operations].map(([name, tally]) => tally.summarize(name, seconds));
  }
}
