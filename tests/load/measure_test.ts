/** What a mix of operations comes to. The rest of measuring is driven end to end: `tests/e2e/bench_test.ts`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseOperation, LOADS } from "../../lib/load/measure.ts";
import { readProcess } from "../../lib/load/process_usage.ts";
import process from "node:process";

test("chooseOperation() chooses each as often as its weight says", () => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < 100; i++) {
    const operation = chooseOperation(LOADS.mixed, i / 100);
    counts[operation] = (counts[operation] ?? 0) + 1;
  }
  assert.deepEqual(counts, { ...LOADS.mixed });
  assert.equal(chooseOperation(LOADS.login, 0.999999), "login");
  assert.throws(() => chooseOperation({}, 0.5), /nothing to do/);
});

test("readProcess() reads what a process uses, and nothing of one that is not there", {
  skip: process.platform !== "linux",
}, () => {
  const usage = readProcess(process.pid);
  assert.ok(usage && usage.residentBytes > 10_000_000 && usage.threads > 0);
  assert.ok(usage.descriptors > 2 && usage.cpuSeconds >= 0);
  assert.equal(readProcess(2 ** 30), undefined);
});
