import assert from "node:assert/strict";
import { test } from "node:test";
import { totalOf } from "../../lib/base/histogram.ts";
import { REQUEST_TYPES, type RequestType } from "../../lib/protocol/requests.ts";
import { DirectoryMeasures, OK } from "../../lib/server/measures.ts";

test("DirectoryMeasures.answered() counts by type and result, and how long it took", () => {
  const measures = new DirectoryMeasures();
  measures.answered("CERTREQ", OK, 0.4);
  measures.answered("CERTREQ", OK, 3);
  measures.answered("CERTREQ", "NOT_FOUND", 20_000);
  measures.answered("CSR", "REFUSED", 1);
  const { requests } = measures.read();
  assert.deepEqual(requests["CERTREQ"]?.results, { ok: 2, NOT_FOUND: 1 });
  assert.deepEqual(requests["CSR"]?.results, { ok: 0, REFUSED: 1 });
  const { counts, sum } = requests["CERTREQ"]?.seconds ?? assert.fail();
  assert.equal(counts[0], 1);
  assert.equal(counts.at(-1), 1, "beyond the last bound");
  assert.ok(Math.abs(sum - 20.0034) < 1e-9);
});

test("DirectoryMeasures has all types from the start, and never another one", () => {
  const measures = new DirectoryMeasures();
  for (const type of ["NONSENSE", "__proto__", "toString", ""]) {
    measures.answered(type as RequestType, OK, 1);
  }
  const { requests } = measures.read();
  assert.deepEqual(Object.keys(requests), REQUEST_TYPES);
  for (const { results } of Object.values(requests)) assert.deepEqual(results, { ok: 0 });
});

test("DirectoryMeasures.synced() keeps times and entries of syncs", () => {
  const measures = new DirectoryMeasures();
  measures.synced(1000, 1);
  measures.synced(500, 40);
  const { syncs: { syncSeconds, syncEntries } } = measures.read();
  assert.equal(totalOf(syncSeconds), 2);
  assert.equal(syncSeconds.sum, 1.5);
  assert.deepEqual(syncEntries, { counts: [1, 0, 0, 0, 0, 0, 1, 0, 0, 0], sum: 41 });
});
