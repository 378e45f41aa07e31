/** How `pki status` shows a report: for a person as lines of a width, for a program as an object. */

import { LIMITS } from "../lib/base/limits.ts";
import { printable } from "../lib/base/printable.ts";
import { formatDuration } from "./duration.ts";
import { type Paint, PLAIN } from "./paint.ts";
import { count, formatBytes } from "./quantity.ts";
import { endsOf, type Latency, type StatusReport } from "./status_report.ts";
import { type Column, makeTable } from "./table.ts";

const timeOf = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();
const rounded = (value: number, digits: number) => Number(value.toFixed(digits));

/** As `docs/json.md` has it. */
export function statusFacts(report: StatusReport): Readonly<Record<string, unknown>> {
  const { measured, requests, sync, intervalSeconds, isSinceStart } = report;
  const { version, commit, domain, address, startedMs, nowMs, connections, workers } = measured;
  const { directory: { inFlight, waiting, authority, log, snapshot, census } } = measured;
  const ends = endsOf(measured);
  return {
    domain,
    ...(address === undefined ? {} : { address }),
    ...{ version, commit, time: timeOf(nowMs), started: timeOf(startedMs) },
    ...{ intervalSeconds: rounded(intervalSeconds, 3), sinceStart: isSinceStart },
    connections,
    handshakes: measured.handshakes,
    workers,
    queue: { inFlight, waiting, authority },
    requestsPerSecond: rounded(report.requestsPerSecond, 3),
    ...report.all,
    requests: requests.map((row) => ({ ...row, perSecond: rounded(row.perSecond, 3) })),
    log: {
      ...{ entries: log.entries, bytes: log.bytes },
      syncsPerSecond: rounded(sync.perSecond, 3),
      entriesPerSync: sync.entriesEach === null ? null : rounded(sync.entriesEach, 2),
      ...{ syncP50Ms: sync.p50Ms, syncP99Ms: sync.p99Ms },
    },
    snapshot: {
      taken: timeOf(snapshot.lastMs),
      seconds: snapshot.lastSeconds,
      running: snapshot.isRunning,
      ...{ bytes: snapshot.bytes, behindBytes: snapshot.behindBytes, dueBytes: snapshot.dueBytes },
      failed: snapshot.failed,
    },
    ...(census === null ? {} : {
      certificates: { ...census.certificates, published: census.published },
      accounts: census.accounts,
      counted: timeOf(census.atMs),
    }),
    ends: Object.fromEntries(
      Object.entries(ends).flatMap(([kind, ms]) => ms === null ? [] : [[kind, timeOf(ms)]]),
    ),
    process: { cpuPercent: rounded(report.cpuPercent, 1), ...measured.process },
    warnings: report.warnings,
  };
}

/** A number with as many digits as say something. */
function formatRate(perSecond: number): string {
  if (perSecond >= 100) return perSecond.toFixed(0);
  if (perSecond >= 1) return perSecond.toFixed(1);
  return perSecond === 0 ? "0" : perSecond < 0.01 ? "<0.01" : perSecond.toFixed(2);
}

/** Of the classes of a histogram: below the first and beyond the last nothing more is known. */
const FASTEST_MS = 0.5;
const SLOWEST_MS = 10_000;

function formatMs(ms: number | null): string {
  if (ms === null) return "-";
  if (ms < FASTEST_MS) return `<${FASTEST_MS} ms`;
  if (ms >= SLOWEST_MS) return `>${SLOWEST_MS / 1000} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** Behind what was counted; nothing where nothing was. */
const formatLatency = ({ p50Ms, p99Ms }: Latency) =>
  p50Ms === null ? "" : `; half within ${formatMs(p50Ms)}, 99 of 100 within ${formatMs(p99Ms)}`;

const YEAR_MS = 365 * LIMITS.dayMs;
const LONG_MS = 30 * LIMITS.dayMs;

/** A span that may be years. */
function formatSpan(ms: number): string {
  if (ms >= 2 * YEAR_MS) return `${Math.floor(ms / YEAR_MS)} years`;
  if (ms >= LONG_MS) return `${Math.floor(ms / LIMITS.dayMs)} d`;
  return formatDuration(ms);
}

const LABEL_CHARACTERS = 14;
const INDENT = "  ";

/** A label and a text behind it, broken between words where it is too long. */
function labelled(
  label: string,
  text: string,
  columns: number | undefined,
  paint: Paint,
): string[] {
  const room = Math.max((columns ?? Infinity) - INDENT.length - LABEL_CHARACTERS, 20);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((text, at) =>
    `${INDENT}${paint.head(at === 0 ? label : "")}${
      " ".repeat(LABEL_CHARACTERS - (at === 0 ? label.length : 0))
    }${text}`
  );
}

const COLUMNS: readonly Column[] = [
  { head: "  REQUEST", width: 19 },
  { head: "COUNT", width: 9, isNumber: true, isOptional: true },
  { head: "PER S", width: 7, isNumber: true },
  { head: "REFUSED", width: 7, isNumber: true, isOptional: true },
  { head: "HALF IN", width: 8, isNumber: true, isOptional: true },
  { head: "99% IN", width: 8, isNumber: true },
];

function requestLines(
  { requests }: StatusReport,
  { columns, paint, rowsMax }: Required<Pick<ViewOptions, "paint" | "rowsMax">> & {
    readonly columns: number | undefined;
  },
): readonly string[] {
  if (requests.length === 0) return [];
  const cells = requests.map(({ type, count, perSecond, failed, p50Ms, p99Ms }) => [
    `${INDENT}${type}`,
    ...[String(count), formatRate(perSecond), String(failed), formatMs(p50Ms), formatMs(p99Ms)],
  ]);
  const table = makeTable(COLUMNS, { first: cells, columns, paint });
  const shown = cells.slice(0, rowsMax).map((row) => table.line(row));
  const hidden = cells.length - shown.length;
  return ["", table.header, ...shown, ...(hidden > 0 ? [`${INDENT}and ${hidden} more`] : [])];
}

function refusals(refused: Readonly<Record<string, number>>): string {
  const some = Object.entries(refused).filter(([, count]) => count > 0);
  if (some.length === 0) return "none refused";
  const total = some.reduce((sum, [, count]) => sum + count, 0);
  return `${total} refused (${some.map(([reason, count]) => `${reason} ${count}`).join(", ")})`;
}

function describeSnapshot({ measured: { nowMs, directory: { snapshot } } }: StatusReport): string {
  const { lastMs, lastSeconds, bytes, behindBytes, dueBytes, isRunning } = snapshot;
  const next = isRunning
    ? "one is being taken"
    : `the log has grown by ${formatBytes(behindBytes)}, the next is due at ${
      formatBytes(dueBytes)
    }`;
  if (lastMs === null) return `none yet; ${next}`;
  const took = lastSeconds === null ? "" : `, taken in ${lastSeconds.toFixed(1)} s`;
  return `${formatSpan(Math.max(nowMs - lastMs, 0))} old, ${formatBytes(bytes)}${took}; ${next}`;
}

function describeEnds({ measured }: StatusReport): string {
  const { user, server, issuing, root, revocationList } = endsOf(measured);
  const left = (what: string, ms: number | null) => {
    if (ms === null) return [];
    const leftMs = ms - measured.nowMs;
    return [leftMs <= 0 ? `${what} has ended` : `${what} in ${formatSpan(leftMs)}`];
  };
  return [
    ...left("a user's", user),
    ...left("the server's", server),
    ...left("the issuing CA's", issuing),
    ...left("the root's", root),
    ...left("a revocation list", revocationList),
  ].join(", ");
}

/** How old the counts of certificates may be before it is said. */
const COUNTED_MS = LIMITS.dayMs / 24 / 60;

export interface ViewOptions {
  /** Of the terminal; nothing is broken or left out without. */
  readonly columns?: number | undefined;
  readonly paint?: Paint;
  /** Rows of the table of requests. */
  readonly rowsMax?: number;
}

/** For a person. */
export function statusLines(
  report: StatusReport,
  { columns, paint = PLAIN, rowsMax = Infinity }: ViewOptions = {},
): readonly string[] {
  const { measured, sync, isSinceStart, intervalSeconds } = report;
  const { domain, address, version, startedMs, nowMs, connections, handshakes, workers } = measured;
  const { directory: { inFlight, waiting, authority, log, census }, process } = measured;
  const line = (label: string, text: string) => labelled(label, printable(text), columns, paint);
  const files = process.openFiles === null
    ? ""
    : `, ${process.openFiles} files open of ${process.filesMax ?? "?"}`;
  const interval = isSinceStart ? "since the start" : `in the last ${intervalSeconds.toFixed(1)} s`;
  const age = census === null ? 0 : nowMs - census.atMs;
  const aged = age > COUNTED_MS ? `; counted ${formatDuration(age)} ago` : "";
  return [
    ...line("server", `${domain}${address === undefined ? "" : ` at ${address}`}, pki ${version}`),
    ...line("running", `for ${formatSpan(Math.max(nowMs - startedMs, 0))}`),
    ...line(
      "connections",
      `${connections.open} open of ${connections.max}, ${connections.accepted} accepted, ` +
        `${refusals(connections.refused)}; ${count(handshakes.underWay, "handshake")} under way, ` +
        `${handshakes.failed} failed`,
    ),
    ...line(
      "workers",
      `${workers.inUse} in use, ${workers.spare} spare, ${workers.started} started, ` +
        `${workers.failed} failed`,
    ),
    ...line("queue", `${inFlight} in flight, ${waiting} waiting, ${authority} at the authority`),
    ...line(
      "process",
      `${report.cpuPercent.toFixed(0)} % CPU, ${formatBytes(process.residentBytes)}${files}`,
    ),
    ...line(
      "requests",
      `${formatRate(report.requestsPerSecond)} a second ${interval}${formatLatency(report.all)}`,
    ),
    ...line(
      "log",
      `${log.entries} entries, ${formatBytes(log.bytes)}; ` +
        `${formatRate(sync.perSecond)} syncs a second${formatLatency(sync)}`,
    ),
    ...line("snapshot", describeSnapshot(report)),
    ...(census === null ? line("certificates", "being counted") : [
      ...line(
        "certificates",
        `${census.certificates.valid} valid (${census.published} published), ` +
          `${census.certificates.expired} expired, ${census.certificates.revoked} revoked${aged}`,
      ),
      ...line(
        "accounts",
        `${census.accounts.active} active, ${census.accounts.disabled} disabled, ` +
          `${census.accounts.deleted} deleted`,
      ),
    ]),
    ...line("ends first", describeEnds(report)),
    ...requestLines(report, { columns, paint, rowsMax }),
    ...warningLines(report, { columns, paint }),
  ];
}

function warningLines({ warnings }: StatusReport, options: ViewOptions): readonly string[] {
  const lines = warnings.flatMap((text) => marked("warning", text, options));
  return lines.length === 0 ? [] : ["", ...lines];
}

/**
 * The same for a screen of so many rows, below a head. What does not fit is left out of the long table
 * first, then of the facts from their end: warnings stay, being what somebody has to act upon.
 */
export function screenLines(
  head: readonly string[],
  report: StatusReport,
  { rows, ...options }: Omit<ViewOptions, "rowsMax"> & { readonly rows: number },
): readonly string[] {
  const linesFor = (rowsMax: number) => [
    ...head,
    "",
    ...statusLines(report, { ...options, rowsMax }),
  ];
  const all = linesFor(Infinity);
  if (all.length <= rows) return all;
  const least = linesFor(0); // with the line that says how many more there are
  if (least.length <= rows) return linesFor(rows - least.length);
  const warnings = warningLines(report, options);
  const facts = statusLines({ ...report, requests: [], warnings: [] }, options);
  const room = Math.max(rows - head.length - 1 - warnings.length, 0);
  return [...head, "", ...facts.slice(0, room), ...warnings];
}

/** A label that is painted as what it says, and a text behind it. */
function marked(
  label: "warning" | "error",
  text: string,
  { columns, paint = PLAIN }: ViewOptions,
): readonly string[] {
  const painted = paint[label === "error" ? "bad" : "warn"](label);
  const [first = "", ...others] = labelled(label, printable(text), columns, PLAIN);
  return [first.replace(label, painted), ...others];
}

/** Why a report is not of now. */
export function problemLines(problem: string, options: ViewOptions): readonly string[] {
  return marked("error", problem, options);
}

/** One line of it, for a file that grows. */
export function statusLine(report: StatusReport): string {
  const { measured: { nowMs, connections, directory: { inFlight, log } }, warnings } = report;
  const words = [
    `${count(connections.open, "connection")}`,
    `${inFlight} in flight`,
    `${formatRate(report.requestsPerSecond)} requests a second`,
    ...(report.all.p99Ms === null ? [] : [`99 of 100 within ${formatMs(report.all.p99Ms)}`]),
    `${log.entries} entries`,
    `${report.cpuPercent.toFixed(0)} % CPU`,
    ...warnings,
  ];
  return `${new Date(nowMs).toISOString()} ${printable(words.join(", "))}`;
}
