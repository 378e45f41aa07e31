import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { REFUSALS } from "../../lib/server/core_report.ts";
import { METRICS } from "../../lib/server/metric_table.ts";
import type { Measured } from "../../lib/protocol/measured.ts";
import { renderMetrics } from "../../lib/server/metrics.ts";
import { Scrapes } from "../../lib/server/metrics_listener.ts";
import { needs } from "../e2e/harness.ts";
import { sampleMeasured } from "./measured_sample.ts";
import {
  DOCS,
  findUnserved,
  parseExposition,
  readAlerts,
  readDoc as read,
  readPanels,
} from "./queries.ts";

/** All names that samples have: those of a histogram have three. */
const SAMPLE_NAMES = new Set(
  METRICS.flatMap(({ name, type }) =>
    type === "histogram" ? ["bucket", "sum", "count"].map((suffix) => `${name}_${suffix}`) : [name]
  ),
);

test("METRICS has names and labels as Prometheus wants them, each once", () => {
  const names = METRICS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { name, type, help, labels = [] } of METRICS) {
    assert.match(name, /^(?:pki|process)_[a-z_]+$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert.ok(!/_(?:ms|milliseconds|kb|minutes)\b/.test(name), `${name} is not in base units`);
    assert.match(help, /^[A-Z].*\.$/);
    for (const label of labels) assert.match(label, /^[a-z]+$/);
  }
});

test("METRICS gives values with its own labels and no others", () => {
  for (const row of METRICS) {
    const samples = row.read(sampleMeasured());
    assert.notEqual(samples.length, 0, row.name);
    for (const [, labels = {}] of samples) {
      assert.deepEqual(Object.keys(labels).sort(), [...row.labels ?? []].sort(), row.name);
    }
    const keys = samples.map(([, labels]) => JSON.stringify(labels));
    assert.equal(new Set(keys).size, keys.length, `${row.name} has a value twice`);
  }
});

test("docs/metrics.md has all metrics as they are, in their order", () => {
  const rows = [
    ...read("metrics.md").matchAll(/^\| `((?:pki|process)_\w+)` +\| (\w+) +\| (.*?) +\|/gm),
  ]
    .map(([, name, type, labels = ""]) => ({
      name,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
    }));
  assert.deepEqual(
    rows,
    METRICS.map(({ name, type, labels = [] }) => ({ name, type, labels: [...labels] })),
  );
});

test("renderMetrics() writes what was measured", async () => {
  const { contentType, text } = await renderMetrics(sampleMeasured(), "prometheus");
  assert.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  const lines = text.split("\n");
  for (
    const line of [
      "# HELP pki_connections Connections that are open.",
      "# TYPE pki_connections gauge",
      "pki_connections 12",
      'pki_connections_refused_total{reason="connections"} 3',
      'pki_workers{state="in_use"} 12',
      'pki_requests_total{type="CERTREQ",result="NOT_FOUND"} 7',
      // What increases from nothing has to be seen as nothing before.
      'pki_requests_total{type="CERTREQ",result="INTERNAL"} 0',
      'pki_requests_total{type="CERTREQ",result="STORAGE"} 0',
      "# TYPE pki_request_duration_seconds histogram",
      'pki_request_duration_seconds_bucket{le="0.0005",type="CERTREQ"} 2',
      'pki_request_duration_seconds_bucket{le="0.002",type="CERTREQ"} 2',
      'pki_request_duration_seconds_bucket{le="0.005",type="CERTREQ"} 3',
      'pki_request_duration_seconds_bucket{le="+Inf",type="CERTREQ"} 3',
      'pki_request_duration_seconds_count{type="CERTREQ"} 3',
      'pki_logins_total{by="password",result="ok"} 15',
      'pki_logins_total{by="password",result="BUSY"} 2',
      'pki_logins_total{by="password",result="REFUSED"} 1',
      'pki_logins_total{by="password",result="unfinished"} 4',
      'pki_logins_total{by="certificate",result="UNTRUSTED"} 4',
      'pki_log_sync_entries_bucket{le="16"} 2',
      'pki_certificates{state="revoked"} 7',
      'pki_expiry_timestamp_seconds{kind="user"} 1795867200',
      "process_cpu_seconds_total 11.75",
    ]
  ) {
    assert.ok(lines.includes(line), `${line}\nin\n${text}`);
  }
});

test("renderMetrics() leaves out what is not known", async () => {
  const measured = sampleMeasured((measured) => {
    measured.directory.census = null;
    measured.directory.snapshot.lastMs = null;
    measured.directory.ends.revocationListMs = null;
    measured.process.openFiles = null;
  });
  const { text } = await renderMetrics(measured, "prometheus");
  for (
    const name of ["pki_certificates", "pki_accounts", "pki_snapshot_timestamp", "process_open"]
  ) {
    assert.ok(!text.includes(name), name);
  }
  assert.ok(!text.includes('kind="user"') && text.includes('kind="server"'));
  assert.ok(!/\b(?:NaN|null|undefined)\b/.test(text));
});

test("renderMetrics() writes OpenMetrics with counters by their family's name", async () => {
  const { contentType, text } = await renderMetrics(sampleMeasured(), "openmetrics");
  assert.equal(contentType, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  assert.ok(text.endsWith("\n# EOF\n"));
  assert.match(text, /^# TYPE pki_requests counter$/m);
  assert.match(text, /^pki_requests_total\{type="HELLO",result="ok"\} 300$/m);
  assert.ok(!text.includes("_total_total"));
});

test("promtool finds nothing to say about them", needs("promtool"), async () => {
  const { text } = await renderMetrics(sampleMeasured(), "prometheus");
  const { stdout, stderr, status } = spawnSync("promtool", ["check", "metrics"], {
    input: text,
    encoding: "utf8",
  });
  assert.equal(`${stdout}${stderr}`, "");
  assert.equal(status, 0);
});

/** Names of metrics in PromQL: whatever begins as ours do. */
function namesIn(expression: string): readonly string[] {
  return [...expression.matchAll(/\b(?:pki|process)_\w+/g)].map(([name]) => name);
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {
    readonly h: number;
    readonly w: number;
    readonly x: number;
    readonly y: number;
  };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly {
    readonly expr: string;
    readonly datasource: { readonly uid: string };
  }[];
}

test("docs/grafana-dashboard.json asks for metrics that there are, of a source that is chosen", () => {
  const dashboard = JSON.parse(read("grafana-dashboard.json")) as {
    readonly uid: string;
    readonly title: string;
    readonly schemaVersion: number;
    readonly templating: {
      readonly list: readonly { readonly name: string; readonly type: string }[];
    };
    readonly panels: readonly Panel[];
  };
  assert.ok(
    dashboard.schemaVersion >= 36 && dashboard.title.length > 0 && dashboard.uid.length <= 40,
  );
  assert.ok(
    dashboard.templating.list.some(({ name, type }) =>
      name === "datasource" && type === "datasource"
    ),
  );
  const used = new Set<string>();
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const { type, title, gridPos: { h, w, x, y }, targets = [] } of dashboard.panels) {
    assert.ok(h > 0 && w > 0 && x >= 0 && x + w <= 24 && y >= 0, title);
    if (type === "row") continue;
    assert.notEqual(targets.length, 0, title);
    for (const { expr, datasource: { uid } } of targets) {
      assert.equal(uid, "${datasource}", title);
      const names = namesIn(expr);
      assert.notEqual(names.length, 0, expr);
      for (const name of names) {
        assert.ok(SAMPLE_NAMES.has(name), `${title}: there is no ${name}`);
        used.add(name);
      }
    }
  }
  // No panel lies upon another.
  const cells = dashboard.panels.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, at) => `${x + at % w} ${y + Math.floor(at / w)}`)
  );
  assert.equal(new Set(cells).size, cells.length);
  // What is worth measuring is worth showing, with few exceptions.
  const shown = METRICS.filter(({ name }) => [...used].some((one) => one.startsWith(name)));
  assert.ok(shown.length >= METRICS.length - 8, `${METRICS.length - shown.length} are not shown`);
});

for (
  const [document, queries] of [["alerts.yml", readAlerts()], [
    "the dashboard",
    readPanels(),
  ]] as const
) {
  test(`${document} asks for metrics, labels and values of them that are served`, async () => {
    const { text } = await renderMetrics(sampleMeasured(), "prometheus");
    const samples = parseExposition(text);
    assert.ok(queries.length >= 15);
    assert.deepEqual(queries.flatMap((query) => findUnserved(query, samples)), []);
    // Nor is everything served.
    const query = {
      where: "x",
      expression: 'sum by (zone) (pki_accounts{state="gone"}) + pki_x',
      shown: ["y"],
    };
    assert.deepEqual(findUnserved(query, samples), [
      'x: pki_accounts has no state="gone"',
      "x: there is no pki_x",
      "x: nothing has a label zone",
      "x: nothing has a label y",
    ]);
  });
}

test("promtool takes docs/alerts.yml", needs("promtool"), () => {
  const { stdout, stderr, status } = spawnSync("promtool", [
    "check",
    "rules",
    join(DOCS, "alerts.yml"),
  ], { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /SUCCESS: \d+ rules found/);
});

const DAY_SECONDS = 86_400;
/** When the alerts are looked at, in seconds: series have a value each minute until then. */
const AT_SECONDS = 7200;
const endsIn = (days: number) => `${AT_SECONDS + days * DAY_SECONDS}x120`;
/** Grows by so much in the last minutes before the alerts are looked at. */
const grows = (by: number) => `0x117 ${by}x3`;
const still = (value: number) => `${value}x120`;
/** A histogram of which all that came lately took no more than a class says. */
const histogram = (name: string, le: string, label = "") =>
  Object.fromEntries(["0.05", "0.1", "0.5", "1", "+Inf"].map((one) => {
    const has = one === "+Inf" || Number(one) >= Number(le);
    return [`${name}_bucket{${label}le="${one}"}`, has ? "0+10x120" : "0x120"];
  }));

/** What series an alert is told of by, and what it is not told of by. */
const ALERTS:
  readonly (readonly [alert: string, isTold: boolean, series: Record<string, string>])[] = [
    ["PkiDown", true, { 'up{job="pki"}': still(0) }],
    ["PkiDown", false, { 'up{job="pki"}': still(1), 'up{job="other"}': still(0) }],
    ["PkiCaEndsSoon", true, { 'pki_expiry_timestamp_seconds{kind="issuing"}': endsIn(89) }],
    ["PkiCaEndsSoon", true, { 'pki_expiry_timestamp_seconds{kind="root"}': endsIn(89) }],
    ["PkiCaEndsSoon", false, {
      'pki_expiry_timestamp_seconds{kind="issuing"}': endsIn(91),
      'pki_expiry_timestamp_seconds{kind="server"}': endsIn(1),
    }],
    ["PkiServerCertificateNotRenewed", true, {
      'pki_expiry_timestamp_seconds{kind="server"}': endsIn(13),
    }],
    ["PkiServerCertificateNotRenewed", false, {
      'pki_expiry_timestamp_seconds{kind="server"}': endsIn(15),
    }],
    ["PkiRevocationListOld", true, {
      'pki_expiry_timestamp_seconds{kind="revocation_list"}': endsIn(5 / 24),
    }],
    ["PkiRevocationListOld", false, {
      'pki_expiry_timestamp_seconds{kind="revocation_list"}': endsIn(7 / 24),
    }],
    ["PkiUserCertificateEndsSoon", true, {
      'pki_expiry_timestamp_seconds{kind="user"}': endsIn(2),
    }],
    ["PkiUserCertificateEndsSoon", false, {
      'pki_expiry_timestamp_seconds{kind="user"}': endsIn(4),
    }],
    ["PkiLoginsRefused", true, {
      'pki_logins_total{by="password",result="unfinished"}': grows(40),
      'pki_logins_total{by="certificate",result="UNTRUSTED"}': grows(40),
    }],
    ["PkiLoginsRefused", false, {
      'pki_logins_total{by="password",result="ok"}': grows(1000),
      'pki_logins_total{by="password",result="REFUSED"}': grows(30),
    }],
    ["PkiConnectionsNearLimit", true, {
      pki_connections: still(801),
      pki_connections_limit: still(1000),
    }],
    ["PkiConnectionsNearLimit", false, {
      pki_connections: still(800),
      pki_connections_limit: still(1000),
    }],
    ...["connections", "memory", "behind", "threads", "sockets", "displaced"].map((reason) =>
      ["PkiBusy", true, {
        [`pki_connections_refused_total{reason="${reason}"}`]: grows(1),
      }] as const
    ),
    ["PkiBusy", false, {
      'pki_connections_refused_total{reason="connections"}': still(7),
      'pki_connections_refused_total{reason="protocol"}': grows(9),
      'pki_connections_refused_total{reason="address"}': grows(9),
    }],
    ["PkiSlow", true, histogram("pki_request_duration_seconds", "1", 'type="CSR",')],
    ["PkiSlow", false, histogram("pki_request_duration_seconds", "0.5", 'type="CSR",')],
    ["PkiSyncSlow", true, histogram("pki_log_sync_duration_seconds", "0.5")],
    ["PkiSyncSlow", false, histogram("pki_log_sync_duration_seconds", "0.1")],
    ["PkiFaults", true, { 'pki_requests_total{type="CSR",result="INTERNAL"}': grows(1) }],
    ["PkiFaults", true, { 'pki_requests_total{type="CERTUP_FINISH",result="STORAGE"}': grows(1) }],
    ["PkiFaults", false, {
      'pki_requests_total{type="CSR",result="INTERNAL"}': still(1),
      'pki_requests_total{type="CSR",result="REFUSED"}': grows(9),
      'pki_requests_total{type="CSR",result="TIMEOUT"}': grows(9),
      'pki_requests_total{type="CSR",result="ok"}': grows(9),
      pki_workers_failed_total: grows(1),
    }],
    ["PkiWorkerFailed", true, { pki_workers_failed_total: grows(1) }],
    ["PkiWorkerFailed", false, {
      pki_workers_failed_total: still(1),
      pki_workers_started_total: grows(9),
      pki_handshakes_failed_total: grows(9),
      'pki_connections_refused_total{reason="protocol"}': grows(9),
      'pki_requests_total{type="CSR",result="INTERNAL"}': grows(1),
    }],
    ["PkiNoSnapshot", true, {
      pki_snapshot_behind_bytes: still(201),
      pki_snapshot_due_bytes: still(100),
    }],
    ["PkiNoSnapshot", true, { 'pki_snapshots_total{result="failed"}': grows(1) }],
    ["PkiNoSnapshot", false, {
      pki_snapshot_behind_bytes: still(200),
      pki_snapshot_due_bytes: still(100),
      'pki_snapshots_total{result="ok"}': grows(1),
      'pki_snapshots_total{result="failed"}': still(1),
    }],
    ["PkiThreadHeldUp", true, histogram("pki_thread_delay_seconds", "1", 'thread="main",')],
    ["PkiThreadHeldUp", false, histogram("pki_thread_delay_seconds", "0.1", 'thread="main",')],
    ["PkiFilesNearLimit", true, {
      'process_open_fds{job="pki"}': still(81),
      'process_max_fds{job="pki"}': still(100),
    }],
    ["PkiFilesNearLimit", false, {
      'process_open_fds{job="pki"}': still(80),
      'process_max_fds{job="pki"}': still(100),
    }],
  ];

test(
  "each alert of docs/alerts.yml is told of by what it is for, and by nothing else",
  needs("promtool"),
  () => {
    const expressions = new Map(readAlerts().map(({ where, expression }) => [where, expression]));
    assert.deepEqual([...expressions.keys()], [...new Set(ALERTS.map(([alert]) => alert))]);
    const folder = fs.mkdtempSync(join(tmpdir(), "pki-alerts-"));
    try {
      const path = join(folder, "cases.yml");
      const tests = ALERTS.map(([alert, isTold, series], at) => ({
        name: `row ${at}: ${alert}`,
        interval: "1m",
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        promql_expr_test: [{
          expr: `count(${expressions.get(alert)})`,
          eval_time: `${AT_SECONDS}s`,
          exp_samples: isTold ? [{ labels: "{}", value: 1 }] : [],
        }],
      }));
      fs.writeFileSync(path, JSON.stringify({ evaluation_interval: "1m", tests })); // JSON is YAML
      const { stdout, stderr, status } = spawnSync("promtool", ["test", "rules", path], {
        encoding: "utf8",
      });
      assert.equal(status, 0, `${stdout}${stderr}`);
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
);

test("Scrapes.measure() measures once for all who ask at the same time", async () => {
  const asked: PromiseWithResolvers<Measured>[] = [];
  const scrapes = new Scrapes(() => {
    const one = Promise.withResolvers<Measured>();
    asked.push(one);
    return one.promise;
  });
  const both = [scrapes.measure(), scrapes.measure()];
  const sample = sampleMeasured();
  asked[0]?.resolve(sample);
  assert.deepEqual(await Promise.all(both), [sample, sample]);
  assert.equal(asked.length, 1);
  const next = scrapes.measure();
  asked[1]?.reject(new Error("it is gone"));
  await assert.rejects(next, { message: "it is gone" });
});

test("Scrapes.measure() gives up on a directory that does not answer, and asks it only once", async () => {
  let asked = 0;
  const scrapes = new Scrapes(() => {
    asked++;
    return new Promise(() => {});
  }, 1);
  for (let i = 0; i < 3; i++) {
    await assert.rejects(scrapes.measure(), {
      kind: "timeout",
      message: "the directory does not answer",
    });
  }
  assert.equal(asked, 1);
});

test("docs/metrics.md says what each reason of a refusal is", () => {
  const [, section = ""] = read("metrics.md").split("### Why a connection is refused");
  const [table = ""] = section.split("\n### ");
  const reasons = [...table.matchAll(/^\| `(\w+)` +\| /gm)].map(([, reason]) => reason);
  assert.deepEqual(reasons.filter((reason) => reason !== "reason"), [...REFUSALS]);
});
