/**
 * All metrics: one row says what each is called, what it is, and where its value comes from. Names and
 * labels as Prometheus wants them (base units, `_total` for counters); every label has few values, all
 * of them ours. Held against `docs/metrics.md` by a test. What is measured is in `measured.ts`.
 */

import { BATCH_BOUNDS, type HistogramCounts, SECONDS_BOUNDS } from "../base/histogram.ts";
import type { Measured } from "../protocol/measured.ts";
import { OK } from "./measures.ts";

export type Labels = Readonly<Record<string, string>>;

interface Row {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** A value that is there now (`gauge`) or only grows (`counter`); none where nothing is known. */
export interface ValueRow extends Row {
  readonly type: "counter" | "gauge";
  readonly read: (measured: Measured) => readonly (readonly [value: number, labels?: Labels])[];
}

export interface HistogramRow extends Row {
  readonly type: "histogram";
  readonly bounds: readonly number[];
  readonly read: (
    measured: Measured,
  ) => readonly (readonly [histogram: HistogramCounts, labels?: Labels])[];
}

export type MetricRow = ValueRow | HistogramRow;

type ValueOptions = Omit<ValueRow, "type" | "name" | "help" | "read">;

function value(
  type: ValueRow["type"],
  name: string,
  help: string,
  read: (measured: Measured) => number | null | undefined,
): ValueRow {
  return {
    ...{ type, name, help },
    read: (measured) => {
      const found = read(measured);
      return found === null || found === undefined ? [] : [[found]];
    },
  };
}

function values(
  type: ValueRow["type"],
  name: string,
  help: string,
  { labels, read }: ValueOptions & Pick<ValueRow, "read">,
): ValueRow {
  return { type, name, help, read, ...(labels ? { labels } : {}) };
}

/** One value for each name, under a label. */
function named(
  label: string,
  counts: Readonly<Record<string, number | null>> | undefined,
): readonly (readonly [number, Labels])[] {
  return Object.entries(counts ?? {}).flatMap(([name, count]) =>
    count === null ? [] : [[count, { [label]: name }] as const]
  );
}

const seconds = (ms: number | null) => ms === null ? null : ms / 1000;

/** What became of logins: those by password take two requests, and each may be refused. */
function logins(
  { directory: { requests, unfinishedLogins } }: Measured,
): readonly (readonly [number, Labels])[] {
  const counts = new Map<string, number>();
  const add = (by: string, result: string, count: number) =>
    counts.set(`${by} ${result}`, (counts.get(`${by} ${result}`) ?? 0) + count);
  for (const [type, by] of LOGIN_REQUESTS) {
    for (const [result, count] of Object.entries(requests[type]?.results ?? {})) {
      // A login that was begun is none yet.
      if (type !== "LOGIN" || result !== OK) add(by, result, count);
    }
  }
  add("password", "unfinished", unfinishedLogins);
  return [...counts].map(([key, count]) => {
    const [by = "", result = ""] = key.split(" ");
    return [count, { by, result }];
  });
}

const LOGIN_REQUESTS = [
  ["LOGIN", "password"],
  ["LOGIN_FINISH", "password"],
  ["LOGIN_CERTIFICATE", "certificate"],
] as const;

/**
 * There before they are more than nothing: what a series begins with is no increase to Prometheus, so
 * the first fault of each type would raise no alert.
 */
const NO_FAULTS: Readonly<Record<string, number>> = { INTERNAL: 0, STORAGE: 0 };

export const METRICS: readonly MetricRow[] = [
  values("gauge", "pki_build_info", "Which program serves; always 1.", {
    labels: ["version", "commit"],
    read: ({ version, commit }) => [[1, { version, commit }]],
  }),

  value("gauge", "pki_connections", "Connections that are open.", (m) => m.connections.open),
  value(
    "gauge",
    "pki_connections_limit",
    "Connections that may be open at once.",
    (m) => m.connections.max,
  ),
  value(
    "counter",
    "pki_connections_accepted_total",
    "Connections that were given a worker.",
    (m) => m.connections.accepted,
  ),
  values("counter", "pki_connections_refused_total", "Connections that were refused, by why.", {
    labels: ["reason"],
    read: (m) => named("reason", m.connections.refused),
  }),
  value(
    "gauge",
    "pki_handshakes_underway",
    "TCP connections whose TLS handshake is not done.",
    (m) => m.handshakes.underWay,
  ),
  value(
    "counter",
    "pki_handshakes_failed_total",
    "TLS handshakes that came to nothing.",
    (m) => m.handshakes.failed,
  ),

  values("gauge", "pki_workers", "Connection workers, by whether a connection has them.", {
    labels: ["state"],
    read: ({ workers: { inUse, spare } }) => named("state", { in_use: inUse, spare }),
  }),
  value(
    "counter",
    "pki_workers_started_total",
    "Connection workers that were started.",
    (m) => m.workers.started,
  ),
  value(
    "counter",
    "pki_workers_failed_total",
    "Connection workers that threw, ended, did not answer or end in time, or said what they must not.",
    (m) => m.workers.failed,
  ),

  value(
    "gauge",
    "pki_sessions",
    "Connections that the directory keeps a session of, from the end of the handshake on.",
    (m) => m.directory.sessions,
  ),
  value(
    "gauge",
    "pki_requests_in_flight",
    "Requests that have arrived at the directory and are not answered.",
    (m) => m.directory.inFlight,
  ),
  value(
    "gauge",
    "pki_requests_waiting",
    "Requests that wait for their turn in the directory.",
    (m) => m.directory.waiting,
  ),
  value(
    "gauge",
    "pki_authority_requests_in_flight",
    "What the directory has asked of the authority and is not answered.",
    (m) => m.directory.authority,
  ),
  values("counter", "pki_requests_total", "Requests that were answered, by type and result.", {
    labels: ["type", "result"],
    read: (m) =>
      Object.entries(m.directory.requests).flatMap(([type, { results }]) =>
        Object.entries({ ...NO_FAULTS, ...results }).map(([result, count]) =>
          [count, { type, result }] as const
        )
      ),
  }),
  {
    type: "histogram",
    name: "pki_request_duration_seconds",
    help: "From a request's arrival at the directory to its answer, waiting included.",
    labels: ["type"],
    bounds: SECONDS_BOUNDS,
    read: (m) =>
      Object.entries(m.directory.requests).map(([type, { seconds }]) => [seconds, { type }]),
  },
  values("counter", "pki_logins_total", "Logins, by means and by what became of them.", {
    labels: ["by", "result"],
    read: logins,
  }),

  value("gauge", "pki_log_entries", "Entries of the log.", (m) => m.directory.log.entries),
  value("gauge", "pki_log_bytes", "Size of the log on disk.", (m) => m.directory.log.bytes),
  {
    type: "histogram",
    name: "pki_log_sync_duration_seconds",
    help: "How long the disk takes to make new entries durable.",
    bounds: SECONDS_BOUNDS,
    read: (m) => [[m.directory.log.syncSeconds]],
  },
  {
    type: "histogram",
    name: "pki_log_sync_entries",
    help: "Entries that one sync makes durable.",
    bounds: BATCH_BOUNDS,
    read: (m) => [[m.directory.log.syncEntries]],
  },

  values("counter", "pki_snapshots_total", "Snapshots since the start, by what became of them.", {
    labels: ["result"],
    read: ({ directory: { snapshot: { taken, failed } } }) =>
      named("result", { ok: taken, failed }),
  }),
  value(
    "gauge",
    "pki_snapshot_running",
    "Whether a snapshot is being taken.",
    (m) => Number(m.directory.snapshot.isRunning),
  ),
  value(
    "gauge",
    "pki_snapshot_timestamp_seconds",
    "When the newest snapshot was taken.",
    (m) => seconds(m.directory.snapshot.lastMs),
  ),
  value(
    "gauge",
    "pki_snapshot_duration_seconds",
    "How long the newest snapshot took, if this server has taken it.",
    (m) => m.directory.snapshot.lastSeconds,
  ),
  value(
    "gauge",
    "pki_snapshot_bytes",
    "Size of the newest snapshot.",
    (m) => m.directory.snapshot.bytes,
  ),
  value(
    "gauge",
    "pki_snapshot_behind_bytes",
    "By how much the log has grown since the newest snapshot.",
    (m) => m.directory.snapshot.behindBytes,
  ),
  value(
    "gauge",
    "pki_snapshot_due_bytes",
    "By how much it may grow until the next one is due.",
    (m) => m.directory.snapshot.dueBytes,
  ),

  values("gauge", "pki_certificates", "Certificates that were issued, by state.", {
    labels: ["state"],
    read: (m) => named("state", m.directory.census?.certificates),
  }),
  value(
    "gauge",
    "pki_certificates_published",
    "Users whose published certificate is valid.",
    (m) => m.directory.census?.published,
  ),
  values("gauge", "pki_accounts", "Accounts, by state.", {
    labels: ["state"],
    read: (m) => named("state", m.directory.census?.accounts),
  }),
  value(
    "gauge",
    "pki_census_timestamp_seconds",
    "When certificates and accounts were counted.",
    (m) => seconds(m.directory.census?.atMs ?? null),
  ),
  values(
    "gauge",
    "pki_expiry_timestamp_seconds",
    "When the first of a kind ends: the users' published certificates, those of the server, the " +
      "issuing CA and the root, and the revocation lists.",
    {
      labels: ["kind"],
      read: ({ serverEndsMs, directory: { census, ends } }) =>
        named("kind", {
          user: seconds(census?.publishedEndsMs ?? null),
          server: seconds(serverEndsMs),
          issuing: seconds(ends.issuingMs),
          root: seconds(ends.rootMs),
          revocation_list: seconds(ends.revocationListMs),
        }),
    },
  ),

  {
    type: "histogram",
    name: "pki_thread_delay_seconds",
    help: "How late a timer is, looked at twice a second: how long a thread was held up.",
    labels: ["thread"],
    bounds: SECONDS_BOUNDS,
    read: (m) => [[m.delay, { thread: "main" }], [m.directory.delay, { thread: "directory" }]],
  },

  value(
    "counter",
    "process_cpu_user_seconds_total",
    "CPU time that the process has used itself.",
    (m) => m.process.cpuUserSeconds,
  ),
  value(
    "counter",
    "process_cpu_system_seconds_total",
    "CPU time that the system has used for it.",
    (m) => m.process.cpuSystemSeconds,
  ),
  value(
    "counter",
    "process_cpu_seconds_total",
    "CPU time of both kinds.",
    (m) => m.process.cpuUserSeconds + m.process.cpuSystemSeconds,
  ),
  value(
    "gauge",
    "process_resident_memory_bytes",
    "Memory that the process has.",
    (m) => m.process.residentBytes,
  ),
  value("gauge", "process_open_fds", "File descriptors in use.", (m) => m.process.openFiles),
  value(
    "gauge",
    "process_max_fds",
    "File descriptors that may be in use.",
    (m) => m.process.filesMax,
  ),
  value(
    "gauge",
    "process_start_time_seconds",
    "When the server was started.",
    (m) => m.startedMs / 1000,
  ),
];
