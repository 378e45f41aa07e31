/** Spans of time as people type them: `90s`, `45m`, `12h`, `10d`, `2w`. */

import { PkiError } from "../lib/base/errors.ts";

const UNITS_MS = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
} as const;

/** Milliseconds. @throws {PkiError} `usage` */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined && Number(count) > 0) {
    return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
  }
  throw new PkiError(
    "usage",
    `${JSON.stringify(text)} is not a span of time: a number and one of s, m, h, d, w`,
  );
}

/** Hours and minutes, days and hours: for a person, not exact. */
export function formatDuration(ms: number): string {
  const [large, small] = ms >= 2 * UNITS_MS.d
    ? ["d", "h"] as const
    : ms >= 2 * UNITS_MS.h
    ? ["h", "m"] as const
    : ms >= 2 * UNITS_MS.m
    ? ["m", "s"] as const
    : ["s", "s"] as const;
  const whole = Math.floor(ms / UNITS_MS[large]);
  const rest = Math.floor(ms % UNITS_MS[large] / UNITS_MS[small]);
  return rest === 0 ? `${whole} ${large}` : `${whole} ${large} ${rest} ${small}`;
}
