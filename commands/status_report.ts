/**
 * What a server's measurements say: rates and latencies of an interval, and in words what should be
 * looked after. Numbers in, facts out; how they are shown is in `status_view.ts`.
 */

import {
  type HistogramCounts,
  quantileOf,
  SECONDS_BOUNDS,
  sinceThen,
  totalOf,
} from "../lib/base/histogram.ts";
import { LIMITS } from "../lib/base/limits.ts";
import type { Measured } from "../lib/protocol/measured.ts";
import { count } from "./quantity.ts";
import { formatDuration } from "./duration.ts";

const DAY_MS = LIMITS.dayMs;
const HOUR_MS = DAY_MS / 24;

/** From when on an end is something to look after. Users renew with a third of 30 days left. */
const ENDS_SOON_MS = {
  user: 3 * DAY_MS,
  server: 14 * DAY_MS,
  issuing: 90 * DAY_MS,
  root: 90 * DAY_MS,
  revocationList: 6 * HOUR_MS,
} as const;
const NAMES = {
  user: "the first published certificate of a user",
  server: "the server's certificate",
  issuing: "the issuing CA",
  root: "the root",
  revocationList: "a revocation list",
} as const;
/** What there is to be said to somebody who wants to do something about it. */
const REMEDIES: Readonly<Record<keyof typeof NAMES, string>> = {
  user: "pki ls --expiring 3d says whose",
  server: "its log says why it was not renewed",
  issuing: "pki rotate makes another",
  root: "nothing can last longer",
  revocationList: "the server's log says why there is no newer one",
};
/** A part of what may be. */
const NEARLY = 0.8;
const SYNC_SLOW_SECONDS = 0.1;
const DELAY_SECONDS = 0.5;
/** Logins that come to nothing, for each second of an interval, and at least: then somebody guesses. */
const FAILED_LOGINS_PER_SECOND = 0.05;
const FAILED_LOGINS_MIN = 10;

/** Where a quantile lies, in milliseconds; `null` where nothing was measured. */
export interface Latency {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface RequestRow extends Latency {
  readonly type: string;
  readonly count: number;
  readonly perSecond: number;
  /** How many of them were refused or failed. */
  readonly failed: number;
}

export interface StatusReport {
  readonly measured: Measured;
  /** What `requests`, `sync` and `cpuPercent` are about: since the reading before, or the start. */
  readonly intervalSeconds: number;
  readonly isSinceStart: boolean;
  /** Of types that anybody has sent, those first that were sent most since the start. */
  readonly requests: readonly RequestRow[];
  readonly requestsPerSecond: number;
  readonly all: Latency;
  readonly sync: Latency & { readonly perSecond: number; readonly entriesEach: number | null };
  readonly cpuPercent: number;
  readonly warnings: readonly string[];
}

const inMs = (seconds: number) => Math.round(seconds * 1e6) / 1e3;

function latencyOf(seconds: HistogramCounts): Latency {
  const at = (quantile: number) => {
    const estimate = quantileOf(seconds, SECONDS_BOUNDS, quantile);
    return estimate === undefined ? null : inMs(estimate.value);
  };
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

function addUp(histograms: readonly HistogramCounts[]): HistogramCounts {
  return histograms.reduce(
    (total, { counts, sum }) => ({
      counts: counts.map((count, at) => count + (total.counts[at] ?? 0)),
      sum: sum + total.sum,
    }),
    { counts: [] as readonly number[], sum: 0 },
  );
}

const sumOf = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** How many more there are than before, of a counter that may have begun anew. */
const more = (now: number, before: number | undefined) =>
  before === undefined || before > now ? now : now - before;

/** Whether both are of the same run of a server. */
function isSameRun(now: Measured, before: Measured): boolean {
  return now.startedMs === before.startedMs && now.nowMs > before.nowMs;
}

export function reportStatus(now: Measured, earlier?: Measured): StatusReport {
  const before = earlier && isSameRun(now, earlier) ? earlier : undefined;
  const intervalSeconds = Math.max((now.nowMs - (before?.nowMs ?? now.startedMs)) / 1000, 0.001);
  const spans = Object.entries(now.directory.requests).map(([type, { results, seconds }]) => {
    const then = before?.directory.requests[type];
    const span = sinceThen(seconds, then?.seconds);
    const failed = Object.entries(results).reduce(
      (sum, [result, count]) =>
        result === "ok" ? sum : sum + more(count, then?.results[result] ?? 0),
      0,
    );
    return { type, span, count: totalOf(span), failed, ever: sumOf(results) };
  });
  const requests = spans.filter(({ ever }) => ever > 0)
    .sort((a, b) => b.ever - a.ever) // by the interval they would jump about
    .map(({ type, span, count, failed }) => ({
      ...{ type, count, failed, perSecond: count / intervalSeconds },
      ...latencyOf(span),
    }));
  const all = addUp(spans.map(({ span }) => span));
  const { syncSeconds, syncEntries } = now.directory.log;
  const syncs = sinceThen(syncSeconds, before?.directory.log.syncSeconds);
  const entries = sinceThen(syncEntries, before?.directory.log.syncEntries);
  const cpuOf = ({ process: { cpuUserSeconds, cpuSystemSeconds } }: Measured) =>
    cpuUserSeconds + cpuSystemSeconds;
  const report = {
    measured: now,
    intervalSeconds,
    isSinceStart: before === undefined,
    requests,
    requestsPerSecond: totalOf(all) / intervalSeconds,
    all: latencyOf(all),
    sync: {
      ...latencyOf(syncs),
      perSecond: totalOf(syncs) / intervalSeconds,
      entriesEach: totalOf(syncs) === 0 ? null : entries.sum / totalOf(syncs),
    },
    cpuPercent: 100 * more(cpuOf(now), before && cpuOf(before)) / intervalSeconds,
  };
  return { ...report, warnings: warningsOf(now, before, { intervalSeconds, syncs }) };
}

/** When the first of each kind ends, in milliseconds since 1970. */
export function endsOf({ serverEndsMs, directory: { census, ends } }: Measured) {
  return {
    user: census?.publishedEndsMs ?? null,
    server: serverEndsMs,
    issuing: ends.issuingMs,
    root: ends.rootMs,
    revocationList: ends.revocationListMs,
  } as const;
}

/** Logins that came to nothing. */
function failedLogins({ directory: { requests, unfinishedLogins } }: Measured): number {
  return ["LOGIN", "LOGIN_FINISH", "LOGIN_CERTIFICATE"].reduce((sum, type) => {
    const results = requests[type]?.results ?? {};
    return sum + sumOf(results) - (results["ok"] ?? 0);
  }, unfinishedLogins);
}

/** Answers that were a fault of the server's. */
function faults({ directory: { requests } }: Measured): number {
  return Object.values(requests).reduce(
    (sum, { results: { INTERNAL = 0, STORAGE = 0 } }) => sum + INTERNAL + STORAGE,
    0,
  );
}

function endWarnings(now: Measured): readonly string[] {
  const ends = endsOf(now);
  return (Object.keys(NAMES) as (keyof typeof NAMES)[]).flatMap((kind) => {
    const endMs = ends[kind];
    if (endMs === null) return [];
    const leftMs = endMs - now.nowMs;
    if (leftMs <= 0) return [`${NAMES[kind]} has ended: ${REMEDIES[kind]}`];
    if (leftMs >= ENDS_SOON_MS[kind]) return [];
    return [`${NAMES[kind]} ends in ${formatDuration(leftMs)}: ${REMEDIES[kind]}`];
  });
}

function warningsOf(
  now: Measured,
  before: Measured | undefined,
  { intervalSeconds, syncs }: { readonly intervalSeconds: number; readonly syncs: HistogramCounts },
): readonly string[] {
  const { connections, workers, directory: { snapshot }, process: { openFiles, filesMax } } = now;
  const since = before ? "" : " since the start";
  const warnings = [...endWarnings(now)];
  const warn = (isSo: boolean, text: string) => {
    if (isSo) warnings.push(text);
  };
  const failing = more(faults(now), before && faults(before));
  warn(
    failing > 0,
    `${count(failing, "request")} failed by a fault of the server${since}: ` +
      "request.failed in its log says why",
  );
  warn(
    more(workers.failed, before?.workers.failed) > 0,
    `${count(more(workers.failed, before?.workers.failed), "connection worker")} failed${since}: ` +
      "its log says how",
  );
  warn(
    connections.open > NEARLY * connections.max,
    `${connections.open} connections are open of ${connections.max} that may be: ` +
      "maxConnections allows more",
  );
  const refused = ["connections", "memory", "behind", "threads", "sockets"].reduce(
    (sum, reason) =>
      sum +
      more(connections.refused[reason] ?? 0, before && (before.connections.refused[reason] ?? 0)),
    0,
  );
  warn(
    refused > 0,
    `${count(refused, "connection")} turned away${since}, as the server was busy: its log at ` +
      "--log-level info says whose",
  );
  const failed = more(failedLogins(now), before && failedLogins(before));
  warn(
    failed >= Math.max(FAILED_LOGINS_MIN, FAILED_LOGINS_PER_SECOND * intervalSeconds),
    `${failed} logins came to nothing${since}: login.refused and login.unfinished in its log at ` +
      "--log-level info say whose",
  );
  const slow = quantileOf(syncs, SECONDS_BOUNDS, 0.9)?.value ?? 0;
  warn(
    slow > SYNC_SLOW_SECONDS,
    `the disk takes ${Math.round(slow * 1000)} ms and more to make the log durable`,
  );
  warn(
    snapshot.behindBytes > 2 * snapshot.dueBytes,
    "a snapshot is overdue: the next start takes longer; its log says why there is none",
  );
  warn(
    openFiles !== null && filesMax !== null && openFiles > NEARLY * filesMax,
    `${openFiles} files are open of ${filesMax} that may be`,
  );
  for (
    const [thread, delay, then] of [
      ["main", now.delay, before?.delay],
      ["directory", now.directory.delay, before?.directory.delay],
    ] as const
  ) {
    const late = quantileOf(sinceThen(delay, then), SECONDS_BOUNDS, 0.99)?.value ?? 0;
    warn(
      late > DELAY_SECONDS,
      `the ${thread} thread was held up for ${Math.round(late * 1000)} ms: ` +
        "the machine has too little time for it",
    );
  }
  return warnings;
}
