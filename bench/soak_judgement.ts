/** Whether curves are flat: lines of least squares, and the rule by which they are judged. Pure. */

/** At a time, in seconds, a value. */
export type Point = readonly [seconds: number, value: number];

export interface Line {
  readonly slopePerHour: number;
  readonly mean: number;
  /** At second 0. */
  readonly start: number;
}

const HOUR_SECONDS = 3600;

/** The line of least squares; a flat one through fewer than two times. */
export function fitLine(points: readonly Point[]): Line {
  const n = Math.max(points.length, 1);
  const meanAt = points.reduce((sum, [at]) => sum + at, 0) / n;
  const mean = points.reduce((sum, [, value]) => sum + value, 0) / n;
  const spread = points.reduce((sum, [at]) => sum + (at - meanAt) ** 2, 0);
  const both = points.reduce((sum, [at, value]) => sum + (at - meanAt) * (value - mean), 0);
  const slope = spread === 0 ? 0 : both / spread;
  return { slopePerHour: slope * HOUR_SECONDS, mean, start: mean - slope * meanAt };
}

/** A line counts as flat if it rises in an hour by less than this part of its mean. */
export const FLAT_SHARE = 0.05;
/**
 * What an entry of the log may add to memory, in bytes: its hash and offset (38), its rows in tables
 * and their indexes (about 540 for a certificate: `deno task bench startup`), and room to grow.
 */
export const BYTES_PER_ENTRY = 1024;

/**
 * What the engine does not give back of a connection's thread that has ended, in bytes: names of
 * events, a fault of its own (Bun 1.4.5, its pull request 38164); `deno task bench threads` says 650
 * for an empty worker. It stays known and counted until the engine has mended it.
 */
export const BYTES_PER_THREAD = 700;

export interface Judged {
  readonly line: Line;
  /** What it may rise in an hour and be flat. */
  readonly allowedPerHour: number;
  readonly isFlat: boolean;
}

/** @param allowance what it may rise in an hour besides: what is kept on purpose, and whole things */
export function judgeFlat(points: readonly Point[], allowance = 0): Judged {
  const line = fitLine(points);
  const allowedPerHour = line.mean * FLAT_SHARE + allowance;
  return { line, allowedPerHour, isFlat: line.slopePerHour < allowedPerHour };
}

/**
 * Fewer points that look the same: a bucket's largest value stands for it, or its mean.
 * @param points in order of time
 */
export function thin(
  points: readonly Point[],
  { most, by }: { readonly most: number; readonly by: "mean" | "max" },
): readonly Point[] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  const thinned: Point[] = [];
  for (let from = 0; from < points.length; from += size) {
    const bucket = points.slice(from, from + size);
    const at = bucket.reduce((sum, [seconds]) => sum + seconds, 0) / bucket.length;
    const values = bucket.map(([, value]) => value);
    const value = by === "max"
      ? Math.max(...values)
      : values.reduce((sum, one) => sum + one, 0) / values.length;
    thinned.push([at, value]);
  }
  return thinned;
}
