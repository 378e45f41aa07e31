/** How `pki bench` tells what it measured: a table, or JSON. */

import { availableParallelism } from "node:os";
import { messageOf } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import type { Measurement } from "../lib/load/measure.ts";
import type { OperationSummary } from "../lib/load/tally.ts";
import { codeOf } from "../lib/load/wire.ts";
import {
  errorCount,
  formatMs,
  formatRate,
  isBehind,
  type Report,
  totalPerSecond,
} from "./bench_figures.ts";
import { findDoubt, summarize } from "./bench_verdict.ts";
import { count, formatBytes } from "./quantity.ts";
import { columnsOf } from "./paint.ts";
import type { Surroundings } from "./globals.ts";
import { type Column, makeTable } from "./table.ts";

/** How busy the generator may be, in cores, before it is said to be what limits. */
const GENERATOR_CORES_MAX = 0.85;
/** Where more than this part has failed, clients have waited for too long not to say so. */
const FAILED_SHARE_MAX = 0.01;

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
function errorLines({ operations }: Measurement): readonly string[] {
  const told = new Set<string>();
  return operations.filter((row) => errorCount(row) > 0)
    .flatMap(({ operation, errors, firstError }) => {
      const codes = Object.entries(errors).map(([code, times]) => `${code} ${times}`).join(", ");
      const first = firstError === undefined ? "" : printable(messageOf(firstError));
      const isNews = first !== "" && !told.has(first);
      told.add(first);
      return [
        `  errors     ${operation}: ${codes}`,
        ...(isNews ? [`             the first: ${first}`] : []),
      ];
    });
}

/** What to know before one believes the figures. */
function reservations(report: Report): string | undefined {
  const { clients, measured } = report;
  const { operations, ownCpuSeconds, seconds } = measured;
  if (findDoubt(measured)) return undefined; // that is said anyway
  const cores = seconds > 0 ? ownCpuSeconds / seconds : 0;
  const failed = operations.reduce((sum, row) => sum + errorCount(row), 0);
  const all = operations.reduce((sum, { count }) => sum + count, failed);
  if (failed > all * FAILED_SHARE_MAX) {
    return `${failed} of ${all} operations failed, and a client waits behind each of these: ` +
      "less was asked of the server than stands above";
  }
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

/** What `--json` prints. */
export function toJson(report: Report): Readonly<Record<string, unknown>> {
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
    operations: measured.operations.map((row) => ({
      operation: row.operation,
      count: row.count,
      perSecond: decimal(row.perSecond),
      ...(row.latency
        ? {
          p50Ms: decimal(row.latency.p50Ms),
          p90Ms: decimal(row.latency.p90Ms),
          p99Ms: decimal(row.latency.p99Ms),
          maxMs: decimal(row.latency.maxMs),
        }
        : {}),
      errors: row.errors,
      ...(row.firstError === undefined
        ? {}
        : { firstError: { code: codeOf(row.firstError), message: messageOf(row.firstError) } }),
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
