/** What a tally says of latencies that are known, and how errors are counted. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { Tally } from "../../lib/load/tally.ts";
import { wrongAnswer } from "../../lib/load/wire.ts";

test("Tally says quantiles to three digits, the longest exactly, and a rate of what ended in time", () => {
  const tally = new Tally();
  for (let ms = 1; ms <= 1000; ms++) tally.record("lookup", ms, ms > 900);
  const [row] = tally.summarize(10);
  assert.equal(row?.count, 1000);
  assert.equal(row?.perSecond, 90);
  const { p50Ms = 0, p90Ms = 0, p99Ms = 0, maxMs } = row?.latency ?? {};
  for (const [found, wanted] of [[p50Ms, 500], [p90Ms, 900], [p99Ms, 990]] as const) {
    assert.ok(Math.abs(found - wanted) <= wanted / 500, `${found} is about ${wanted}`);
  }
  assert.equal(maxMs, 1000);
  assert.equal(tally.count, 1000);
});

test("Tally takes what is too short or too long to tell, and no quantile is beyond the longest", () => {
  const tally = new Tally();
  tally.record("issue", 0);
  tally.record("issue", 1e9);
  tally.record("login", 0.0123);
  tally.record("visit", 123_456.789);
  const [issue, login, visit] = tally.summarize(1);
  assert.ok((visit?.latency?.p50Ms ?? Infinity) <= 123_456.789);
  assert.equal(issue?.latency?.maxMs, 1e9);
  assert.equal(login?.latency?.p99Ms, 0.012);
  assert.ok((login?.latency?.p50Ms ?? 1) <= 0.0123);
});

test("Tally counts errors by code and remembers the first", () => {
  const tally = new Tally();
  const first = new PkiError("busy", "later");
  tally.fail("visit", first);
  tally.fail("visit", new PkiError("busy", "later"));
  tally.fail("visit", wrongAnswer("somebody else's"));
  tally.fail("visit", new TypeError("a fault of ours"));
  const other = new PkiError("timeout", "no answer");
  tally.fail("login", other);
  tally.record("issue", 1);
  assert.equal(tally.firstError, first);
  const [visit, login, issue] = tally.summarize(0);
  assert.deepEqual(visit, {
    operation: "visit",
    count: 0,
    perSecond: 0,
    errors: { BUSY: 2, WRONG: 1, INTERNAL: 1 },
    firstError: first,
  });
  assert.equal(login?.firstError, other, "the first of its own kind");
  assert.ok(issue && !("firstError" in issue));
});
