import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { REFUSALS } from "../../lib/server/core_report.ts";
import { METRICS } from "../../lib/server/metric_table.ts";
import type { Measured } from "../../lib/protocol/measured.ts";
import { renderMetrics } from "../../lib/server/metrics.ts";
import { Scrapes } from "../../lib/server/metrics_listener.ts";
import { needs } from "../e2e/harness.ts";
import { sampleMeasured } from "./measured_sample.ts";

const DOCS = join(import.meta.dirname ?? ".", "..", "..", "docs");
const read = (name: string) => fs.readFileSync(join(DOCS, name), "utf8");

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

test("docs/alerts.yml asks for metrics that there are", () => {
  const expressions = [...read("alerts.yml").matchAll(/^ +expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)/gm)]
    .map(([, block, line]) => block ?? line ?? "");
  assert.ok(expressions.length >= 10);
  for (const expression of expressions) {
    const names = namesIn(expression).filter((name) => name !== "pki_server");
    assert.ok(names.length > 0 || expression.includes("up{"), expression);
    for (const name of names) assert.ok(SAMPLE_NAMES.has(name), `there is no ${name}`);
  }
});

test("promtool takes docs/alerts.yml", needs("promtool"), () => {
  const { stdout, stderr, status } = spawnSync("promtool", [
    "check",
    "rules",
    join(DOCS, "alerts.yml"),
  ], { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /SUCCESS: \d+ rules found/);
});

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
