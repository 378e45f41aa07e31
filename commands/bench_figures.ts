/** What `pki bench` was asked for and what came of it, and how its figures are written. */

import type { Load, Measurement } from "../lib/load/measure.ts";
import type { OperationSummary } from "../lib/load/tally.ts";

/** Behind by more than this part of what was due, the server did not keep up. */
const BEHIND_SHARE_MAX = 0.01;

/** What was asked for, beside what came of it. */
export interface Report {
  readonly load: Load;
  readonly server: string;
  readonly isTemporary: boolean;
  readonly clients: number;
  readonly rate: number | undefined;
  readonly warmUpSeconds: number;
  readonly isInterrupted: boolean;
  readonly registered: readonly string[];
  /** Whether they were deleted afterwards. */
  readonly isDeleted: boolean;
  readonly measured: Measurement;
}

/** Three digits say enough of a time: `0.412`, `4.12`, `41.2`, `412`. */
export function formatMs(ms: number): string {
  return ms < 1
    ? ms.toFixed(3)
    : ms < 10
    ? ms.toFixed(2)
    : ms < 100
    ? ms.toFixed(1)
    : ms.toFixed(0);
}

/** `4,812`, and `0.4` where whole numbers would say nothing. */
export function formatRate(perSecond: number): string {
  return perSecond < 10
    ? perSecond.toFixed(1)
    : Math.round(perSecond).toString().replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
}

/** How many did not end well. */
export function errorCount({ errors }: OperationSummary): number {
  return Object.values(errors).reduce((sum, times) => sum + times, 0);
}

const PLURALS: Readonly<Record<Load, string>> = {
  lookup: "lookups",
  issue: "certificates",
  login: "logins",
  visit: "visits",
  mixed: "operations",
};

/** Of all kinds together. */
export const totalPerSecond = ({ operations }: Measurement) =>
  operations.reduce((sum, { perSecond }) => sum + perSecond, 0);

/** An operation in a sentence. */
export function pluralOf(operation: string): string {
  return (PLURALS as Readonly<Record<string, string>>)[operation] ?? operation;
}

/** Whether the server has not kept up with what was due. */
export function isBehind({ rate, measured: { behind, seconds } }: Report): boolean {
  return rate !== undefined && behind > rate * seconds * BEHIND_SHARE_MAX;
}
