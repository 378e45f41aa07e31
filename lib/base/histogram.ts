/**
 * How often something took how long, or was how large, by classes with fixed bounds: adding to it is
 * a few comparisons, and what it holds can be told to another thread, subtracted and drawn.
 */

/** What a histogram holds; plain, so that it crosses threads and becomes JSON. */
export interface HistogramCounts {
  /** Of each class, the last one being all beyond the last bound. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Bounds of how long things take, in seconds; each is part of the class below it. */
export const SECONDS_BOUNDS = [
  ...[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05],
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10],
] as const;

/** Bounds of how many things are done at once. */
export const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds rising */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    let at = 0;
    // From below: most of what is measured is fast or small.
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at++;
    (this.#counts[at] as number)++;
    this.#sum += value;
  }

  read(): HistogramCounts {
    return { counts: [...this.#counts], sum: this.#sum };
  }
}

export function totalOf({ counts }: HistogramCounts): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What was added between two readings; all of it where there is none before, or it began anew. */
export function sinceThen(
  now: HistogramCounts,
  before: HistogramCounts | undefined,
): HistogramCounts {
  if (before === undefined || before.counts.length !== now.counts.length) return now;
  const counts = now.counts.map((count, at) => count - (before.counts[at] ?? 0));
  if (counts.some((count) => count < 0)) return now;
  return { counts, sum: now.sum - before.sum };
}

/** Where a quantile lies: between two bounds of its class, `to` is Infinity behind the last. */
export interface Estimate {
  readonly from: number;
  readonly to: number;
  /** Within the class, as if what is in it were spread evenly; its lower bound in the last one. */
  readonly value: number;
}

/** An estimate of a quantile (0 to 1); `undefined` where nothing was added. */
export function quantileOf(
  histogram: HistogramCounts,
  bounds: readonly number[],
  quantile: number,
): Estimate | undefined {
  const total = totalOf(histogram);
  if (total === 0) return undefined;
  const rank = quantile * total;
  let below = 0;
  for (const [at, count] of histogram.counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const from = bounds[at - 1] ?? 0;
      const to = bounds[at] ?? Infinity;
      const value = to === Infinity ? from : from + (to - from) * (rank - below) / count;
      return { from, to, value };
    }
    below += count;
  }
  return undefined;
}
