/**
 * The long run for a minute, under a load that leaves the machine to others: nothing is
 * answered wrongly, and afterwards the server is as it was.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { drawSoak } from "../../bench/soak_charts.ts";
import { SOAK_WEIGHTS } from "../../bench/soak_client.ts";
import { describeSoak, judgeSoak } from "../../bench/soak_report.ts";
import { type Sample, soak, type Soaked } from "../../bench/soak_run.ts";
import { messageOf } from "../../lib/base/errors.ts";
import { needs, runProgram } from "./harness.ts";

/** Memory may grow by so much while the engine still compiles: without a bound it would be more each second. */
const GROWTH_MIB_MAX = 64;
const SVG_BYTES_MAX = 60_000;

/** Whatever else they are, they are XML: Python's parser says so. */
async function checkDrawings(soaked: Soaked): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-soak-"));
  try {
    const paths = Object.entries(drawSoak(soaked)).map(([name, svg]) => {
      assert.ok(svg.length < SVG_BYTES_MAX, `${name} has ${svg.length} bytes`);
      const path = join(folder, name);
      fs.writeFileSync(path, svg);
      return path;
    });
    assert.equal(paths.length, 3);
    const script = "import sys, xml.etree.ElementTree as e\n" +
      "for p in sys.argv[1:]: print(e.parse(p).getroot().tag)";
    const { code, stdout, stderr } = await runProgram("python3", ["-c", script, ...paths]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "{http://www.w3.org/2000/svg}svg\n".repeat(3));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test("mixed load for a minute: no wrong answers, and threads, descriptors and memory as before", {
  ...needs("python3"),
}, async () => {
  const soaked = await soak({
    ...{ seconds: 60, warmUpSeconds: 20, perSecond: 20, clients: 6, sampleMs: 1000 },
    ...{ registerMs: 4000, deleteMs: 7000, backupMs: 12_000 },
  });
  const { operations, samples, before, after } = soaked;
  const { faults, failures, isBack } = judgeSoak(soaked);
  assert.equal(faults, 0, messageOf(soaked.firstError));
  const total = operations.reduce((sum, { count }) => sum + count, 0);
  assert.ok(failures <= total / 100, `${failures} failed: ${messageOf(soaked.firstError)}`);
  const done = new Set(operations.filter(({ count }) => count > 0).map((row) => row.operation));
  for (const name of [...Object.keys(SOAK_WEIGHTS), "register", "delete", "backup"]) {
    assert.ok(done.has(name), `${name} was done`);
  }
  assert.ok(soaked.proven > 0 && soaked.snapshots > 0);
  assert.equal(soaked.verified, 0, "pki log verify is content");
  assert.ok(isBack, `${JSON.stringify(before)} became ${JSON.stringify(after)}`);

  const judged = samples.filter(({ seconds }) => seconds > soaked.options.warmUpSeconds);
  const meanMiB = (these: readonly Sample[]) =>
    these.reduce((sum, { residentBytes }) => sum + residentBytes, 0) / these.length / 2 ** 20;
  const growth = meanMiB(judged.slice(-5)) - meanMiB(judged.slice(0, 5));
  assert.ok(growth < GROWTH_MIB_MAX, `memory has grown by ${growth.toFixed(1)} MiB`);

  await checkDrawings(soaked);
  const report = describeSoak(soaked, { machine: "this machine", day: "today" });
  assert.match(report, /^# Mixed load for 60 s\n/);
  assert.match(report, /too short for that to mean anything/);
  assert.match(report, /\n\| lookup \| \d+ \| [\d.]+ \|/);
});

test("the curves of an hour are small", needs("python3"), async () => {
  const latency = (at: number) => ({ p50Ms: 1 + at % 7, p90Ms: 9, p99Ms: 20 + at % 11, maxMs: 50 });
  const samples = Array.from({ length: 3600 }, (_, at): Sample => ({
    ...{ seconds: at, residentBytes: 2e8 + (at % 13) * 1e6, descriptors: 40 + at % 3, threads: 20 },
    ...{ cores: 0.1 + at % 5 / 10, entries: at, perSecond: 200 },
    latencies: Object.fromEntries(Object.keys(SOAK_WEIGHTS).map((name) => [name, latency(at)])),
  }));
  const usage = { cpuSeconds: 1, residentBytes: 1, threads: 1, descriptors: 1 };
  await checkDrawings({
    ...{ samples, operations: [], firstError: undefined, behind: 0, judged: 0, proven: 0 },
    ...{
      entries: 3600,
      workers: 68_000,
      snapshots: 0,
      ownCores: 1,
      serverCores: 1,
      verified: 0,
      before: usage,
      after: usage,
    },
    options: {
      ...{ seconds: 3600, warmUpSeconds: 600, perSecond: 200, clients: 32, sampleMs: 1000 },
      ...{ registerMs: 1, deleteMs: 1, backupMs: 1 },
    },
  });
});
