/** Numbers of bytes and of things, as people read and type them. */

import { PkiError } from "../lib/base/errors.ts";

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `0 bytes`, `1023 bytes`, `1.5 KiB`, `200 MiB`: three digits, for a person. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return count(bytes, "byte");
  let value = bytes / 1024;
  let unit = 0;
  // What would be rounded to 1024 is one of the next unit.
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

/** `1 file`, `2 files`. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** A number of bytes: `1000`, `64K`, `20M`, `5G`, `1T`, in powers of 1024. @throws {PkiError} `usage` */
export function parseBytes(text: string): number {
  const [, number, unit] = /^(\d{1,15})(?:([kmgt])(?:i?b)?)?$/i.exec(text) ?? [];
  const bytes = Number(number) * (FACTORS[unit?.toLowerCase() ?? ""] ?? NaN);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new PkiError(
    "usage",
    `${JSON.stringify(text)} is not a number of bytes: a number, and K, M, G or T behind it`,
  );
}
