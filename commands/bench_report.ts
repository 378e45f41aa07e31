/** How `pki bench` tells what it measured: a table, what it says in one sentence, or JSON. */

import { availableParallelism } from "node:os";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import type { Load, Measurement } from "../lib/load/measure.ts";
import type { OperationSummary } from "../lib/load/tally.ts";
import { FAULTS } from "../lib/load/wire.ts";
import { count, formatBytes } from "./quantity.ts";
import { columnsOf } from "./paint.ts";
import type { Surroundings } from "./globals.ts";
import { type Column, makeTable } from "./table.ts";

/** How busy the generator may be, in cores, before it is said to be what limits. */
const GENERATOR_CORES_MAX = 0.85;
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

const COLUMNS: readonly Column[] = [
  { head: "OPERATION", width: 9 },
  { head: "COUNT", width: 9, isNumber: true },
  { head: "PER SECOND", width: 10, isNumber: true },
  { head: "P50 MS", width: 8, isNumber: true },
  { head: "P90 MS", width: 8, isNumber: true, isOptional: true },
  { head: "P99 MS", width: 8, isNumber: true },
  { head: "MAX MS", width: 8, isNumber: true },
  { head: "ERRORS", width: 6, isNumber: true, style: (cell) => cell === "-" ? undefined : "bad" },
];

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

function errorCount({ errors }: OperationSummary): number {
  return Object.values(errors).reduce((sum, times) => sum + times, 0);
}

function cellsOf(row: OperationSummary): readonly string[] {
  const { operation, perSecond, latency } = row;
  const ms = (value: number | undefined) => value === undefined ? "-" : formatMs(value);
  return [
    operation,
    String(row.count),
    formatRate(perSecond),
    ...[latency?.p50Ms, latency?.p90Ms, latency?.p99Ms, latency?.maxMs].map(ms),
    String(errorCount(row) || "-"),
  ];
}

/** By code, below the table: in a cell of it a terminal of 80 columns would cut them off. */
function errorLines({ operations, firstError }: Measurement): readonly string[] {
  const lines = operations.filter((row) => errorCount(row) > 0).map(({ operation, errors }) =>
    `  errors     ${operation}: ` +
    Object.entries(errors).map(([code, times]) => `${code} ${times}`).join(", ")
  );
  return lines.length === 0 || firstError === undefined
    ? lines
    : [...lines, `             the first: ${printable(messageOf(firstError))}`];
}

const PLURALS: Readonly<Record<Load, string>> = {
  lookup: "lookups",
  issue: "certificates",
  login: "logins",
  visit: "visits",
  mixed: "operations",
};

const totalPerSecond = ({ operations }: Measurement) =>
  operations.reduce((sum, { perSecond }) => sum + perSecond, 0);

function isBehind({ rate, measured: { behind, seconds } }: Report): boolean {
  return rate !== undefined && behind > rate * seconds * BEHIND_SHARE_MAX;
}

/** What it comes to, for somebody who has never seen such a table. */
export function summarize(report: Report): string {
  const { load, clients, rate, measured, isInterrupted } = report;
  const { operations, seconds } = measured;
  const slowest = operations.filter(({ latency }) => latency)
    .toSorted((a, b) => (b.latency?.p99Ms ?? 0) - (a.latency?.p99Ms ?? 0))[0];
  const failed = operations.reduce((sum, row) => sum + errorCount(row), 0);
  const what = PLURALS[load];
  const per = formatRate(totalPerSecond(measured));
  const how = isInterrupted ? "interrupted" : measured.isGivenUp ? "given up" : undefined;
  const cut = how ? `${how} after ${seconds.toFixed(1)} s: ` : "";
  if (!slowest?.latency) return `${cut}no ${what} ended well`;
  const who = clients === 1
    ? "one client that asks again as soon as it is answered"
    : `${clients} clients that ask again as soon as they are answered`;
  const done = rate === undefined
    ? `with ${who}, this server does ${per} ${what} a second`
    : isBehind(report)
    ? `this server does not keep up with ${formatRate(rate)} ${what} a second: it does ${per}`
    : `this server keeps up with ${formatRate(rate)} ${what} a second`;
  const kind = load === "mixed" ? ` even of the slowest kind (${slowest.operation})` : "";
  const within = `; 99 of 100${kind} end within ${formatMs(slowest.latency.p99Ms)} ms`;
  return `${cut}${done}${within}${failed > 0 ? `, and ${failed} failed` : ""}`;
}

/** What to know before one believes the figures. */
function reservations(report: Report): string | undefined {
  const { clients, measured: { ownCpuSeconds, seconds } } = report;
  const cores = seconds > 0 ? ownCpuSeconds / seconds : 0;
  if (isBehind(report)) {
    return `no more than ${count(clients, "operation")} could be under way at once: see whether ` +
      "more --clients do more";
  }
  return cores > GENERATOR_CORES_MAX
    ? `the generator itself took ${cores.toFixed(2)} cores and may be what limits: run several ` +
      "at once, or from another machine, and add up"
    : undefined;
}

/** What stands below the table. */
export function describe(report: Report): string {
  const { clients, rate, warmUpSeconds, measured, load, server, registered } = report;
  const { seconds, judged, proven, ownCpuSeconds, server: used, behind } = measured;
  const cores = (cpuSeconds: number) => seconds > 0 ? (cpuSeconds / seconds).toFixed(2) : "-";
  const loop = rate === undefined ? "closed loop" : `open loop, ${formatRate(rate)} due a second`;
  const lines = [
    ...errorLines(measured),
    `  load       ${load}, ${loop}, ${count(clients, "client")}, ` +
    `${seconds.toFixed(1)} s after ${warmUpSeconds} s of warm-up`,
    `  server     ${server}` +
    (used
      ? `: ${cores(used.cpuSeconds)} of ${availableParallelism()} cores, ` +
        `${formatBytes(used.residentBytes)} of memory, ${used.threads} threads`
      : ""),
    `  generator  ${cores(ownCpuSeconds)} cores`,
    ...(behind > 0 ? [`  behind     ${behind} were due and not begun when time was over`] : []),
    `  judged     ${
      count(judged, "certificate")
    } under the pinned root, ${proven} proven to be in the log`,
    ...(registered.length > 0 && !report.isTemporary
      ? [
        `  ${report.isDeleted ? "deleted" : "left   "}    accounts ${registered[0]}${
          registered.length > 1 ? ` to ${registered.at(-1)}` : ""
        }, and what was issued to them`,
      ]
      : []),
  ];
  return lines.join("\n");
}

function toJson(report: Report): Readonly<Record<string, unknown>> {
  const { measured, rate } = report;
  const { seconds, server: used } = measured;
  const decimal = (value: number) => Number(value.toFixed(3));
  const cores = (cpuSeconds: number) => seconds > 0 ? decimal(cpuSeconds / seconds) : 0;
  return {
    load: report.load,
    server: report.server,
    temporary: report.isTemporary,
    loop: rate === undefined ? "closed" : "open",
    clients: report.clients,
    ...(rate === undefined ? {} : { rate }),
    warmUpSeconds: report.warmUpSeconds,
    seconds: decimal(seconds),
    interrupted: report.isInterrupted,
    givenUp: measured.isGivenUp,
    perSecond: decimal(totalPerSecond(measured)),
    operations: measured.operations.map(({ operation, count, perSecond, latency, errors }) => ({
      operation,
      count,
      perSecond: decimal(perSecond),
      ...(latency
        ? {
          p50Ms: decimal(latency.p50Ms),
          p90Ms: decimal(latency.p90Ms),
          p99Ms: decimal(latency.p99Ms),
          maxMs: decimal(latency.maxMs),
        }
        : {}),
      errors,
    })),
    behind: measured.behind,
    judged: measured.judged,
    proven: measured.proven,
    generatorCores: cores(measured.ownCpuSeconds),
    ...(used
      ? {
        serverCores: cores(used.cpuSeconds),
        serverMemoryBytes: used.residentBytes,
        serverThreads: used.threads,
      }
      : {}),
    cores: availableParallelism(),
    accounts: report.isTemporary ? [] : report.registered,
    deleted: report.isDeleted,
    summary: summarize(report),
  };
}

/** Tells what was measured. */
export function tell(surroundings: Surroundings, report: Report): void {
  const { stdout, env } = surroundings.context.process;
  const rows = report.measured.operations.map(cellsOf);
  const table = makeTable(COLUMNS, {
    first: rows,
    columns: columnsOf(stdout, env),
    paint: surroundings.paint,
  });
  const text = [table.header, ...rows.map((cells) => table.line(cells)), "", describe(report)];
  surroundings.result(toJson(report), `${text.join("\n")}\n\n${summarize(report)}\n`);
  const reservation = reservations(report);
  if (reservation) surroundings.note(reservation);
}

/**
 * Fails if the figures are not worth much: answers were wrong or cut off, or none came.
 * @throws {PkiError} `interrupted`, `protocol`, or what everything failed with
 */
export function checkMeasured({ measured, isInterrupted }: Report): void {
  const { operations, firstError } = measured;
  const faults = operations.reduce(
    (sum, { errors }) => sum + FAULTS.reduce((times, code) => times + (errors[code] ?? 0), 0),
    0,
  );
  if (faults > 0) {
    throw new PkiError(
      "protocol",
      `${faults} answers were wrong or cut off: ${messageOf(firstError)}`,
      {
        cause: firstError,
        hint: "see in the server's log what happened",
      },
    );
  }
  if (isInterrupted) throw new PkiError("interrupted", "interrupted");
  if (operations.every(({ count }) => count === 0)) {
    if (firstError instanceof PkiError) throw firstError;
    throw new PkiError("timeout", "nothing ended in time", {
      hint: "measure for longer with --seconds",
    });
  }
}
