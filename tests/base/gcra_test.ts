import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Charge, type Rate, RateTable } from "../../lib/base/gcra.ts";

const KEY = new Uint8Array(32).fill(7);
const RATE: Rate = { burst: 3, intervalMs: 1000 };

const makeTable = (rate = RATE, cells = 1024) => new RateTable({ rate, cells, key: KEY });

/** An attempt that is counted only if it is admitted; returns how long to wait otherwise. */
function attempt(table: RateTable, name: string, nowMs: number): number {
  const waitMs = table.waitMs(name, nowMs);
  if (waitMs === 0) table.charge(name, nowMs);
  return waitMs;
}

test("RateTable admits a burst, then one attempt an interval, and says how long to wait", () => {
  const table = makeTable();
  const rows: readonly (readonly [number, number])[] = [
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 1000],
    [400, 600],
    [999, 1],
    [1000, 0],
    [1000, 1000],
    [2500, 0], // half an interval is kept,
    [2500, 500],
    [3000, 0], // and used
    [3000, 1000],
    [100_000, 0], // no more than a burst, however long nothing came
    [100_000, 0],
    [100_000, 0],
    [100_000, 1000],
  ];
  for (const [i, [nowMs, waitMs]] of rows.entries()) {
    assert.equal(attempt(table, "alice", nowMs), waitMs, `row ${i}`);
  }
  assert.equal(attempt(table, "bob", 100_000), 0, "another name has a bucket of its own");
});

test("RateTable takes charges back as far as they have not run out", () => {
  // Each row: [charged at, taken back at], and when an attempt is admitted at that later time.
  const rows: readonly (readonly [number, number, number])[] = [
    [0, 0, 0],
    [0, 400, 0],
    [0, 5000, 0],
  ];
  for (const [chargedMs, refundedMs, waitMs] of rows) {
    const table = makeTable();
    const charge = table.charge("alice", chargedMs);
    table.charge("alice", chargedMs);
    table.charge("alice", chargedMs);
    table.refund(charge, refundedMs);
    assert.equal(attempt(table, "alice", refundedMs), waitMs);
  }
  // Somebody who keeps an own charge until it is worth nothing frees no attempt of later.
  const table = makeTable();
  const kept = table.charge("alice", 0);
  for (let i = 0; i < RATE.burst; i++) assert.equal(attempt(table, "alice", 5000), 0);
  table.refund(kept, 5000);
  assert.equal(attempt(table, "alice", 5000), 1000);
  // Half of it was left.
  const half = makeTable();
  const first = half.charge("alice", 0);
  half.refund(first, 500);
  for (let i = 0; i < RATE.burst; i++) assert.equal(attempt(half, "alice", 500), 0);
  assert.equal(attempt(half, "alice", 500), 1000);
});

test("RateTable stands still when its clock is set back, and goes on from there", () => {
  const table = makeTable();
  for (let i = 0; i < RATE.burst; i++) table.charge("alice", 1_000_000);
  assert.equal(table.waitMs("alice", 1_000_000), 1000);
  assert.equal(table.waitMs("alice", 0), 1000, "no longer than before");
  assert.equal(table.waitMs("alice", 400), 600);
  assert.equal(attempt(table, "alice", 1000), 0);
});

test("RateTable: of two charges that are taken back, the later one has run out as much sooner", () => {
  const table = makeTable();
  const [first, second] = [table.charge("alice", 0), table.charge("alice", 0)];
  table.refund(first, 0);
  for (let i = 0; i < RATE.burst; i++) assert.equal(attempt(table, "alice", 1000), 0);
  assert.equal(table.waitMs("alice", 1000), 1000);
  table.refund(second, 1000);
  assert.equal(table.waitMs("alice", 1000), 1000, "it had run out: nothing is left of it");
});

test("RateTable takes all of several charges back, in whatever order that is done", () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]]) {
    const table = makeTable();
    const charges = order.map(() => table.charge("alice", 0));
    for (const at of order) table.refund(charges[at] ?? assert.fail(), 0);
    for (let i = 0; i < RATE.burst; i++) assert.equal(attempt(table, "alice", 0), 0, `${order}`);
    assert.equal(attempt(table, "alice", 0), 1000, `no more than that: ${order}`);
  }
});

test("RateTable takes no charge back behind which so many others came that it has forgotten it", () => {
  for (const [others, waitMs] of [[8191, 0], [8192, 1000]] as const) {
    const table = makeTable(RATE, 2 ** 18);
    const first = table.charge("alice", 0);
    for (let i = 1; i < RATE.burst; i++) table.charge("alice", 0);
    for (let i = RATE.burst; i <= others; i++) table.charge(`other ${i}`, 0);
    table.refund(first, 0);
    assert.equal(attempt(table, "alice", 0), waitMs);
  }
});

test("RateTable admits no name more than its rate, whatever others do and take back", () => {
  const step = fc.record({
    name: fc.constantFrom("alice", "bob", "carol", "dave"),
    laterMs: fc.integer({ min: -500, max: 1500 }),
    refunds: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const table = makeTable(RATE, 2); // so few cells that names share them
    let nowMs = 10_000;
    let elapsedMs = 0;
    const open: Charge[] = [];
    const kept: number[] = []; // when alice was admitted, and had nothing taken back
    for (const { name, laterMs, refunds } of steps) {
      nowMs += laterMs;
      elapsedMs += Math.max(0, laterMs);
      if (table.waitMs(name, nowMs) === 0) {
        const charge = table.charge(name, nowMs);
        if (name === "alice") kept.push(elapsedMs);
        else open.push(charge);
      }
      const charge = refunds ? open.shift() : undefined;
      if (charge) table.refund(charge, nowMs);
    }
    for (const [i, fromMs] of kept.entries()) {
      for (let j = i; j < kept.length; j++) {
        const most = RATE.burst + ((kept[j] ?? 0) - fromMs) / RATE.intervalMs;
        assert.ok(j - i + 1 <= most + 1e-9, `${j - i + 1} in ${(kept[j] ?? 0) - fromMs} ms`);
      }
    }
  }));
});

test("a million made-up names take no memory, and free nobody's bucket", () => {
  const table = makeTable({ burst: 20, intervalMs: 300_000 }, 2 ** 18);
  const bytes = table.bytes;
  for (let i = 0; i < 20; i++) assert.equal(attempt(table, "attacked", 0), 0);
  assert.ok(attempt(table, "attacked", 0) > 0);
  for (let i = 0; i < 1_000_000; i++) table.charge(`made-up-${i}`, i / 1000);
  assert.equal(table.bytes, bytes);
  assert.equal(table.bytes, 4 * 1024 * 1024 + 8192 * 24);
  assert.ok(attempt(table, "attacked", 1000) > 0, "the attacked account's bucket is as full");
  const refused = Array.from({ length: 1000 }, (_, i) => `somebody-${i}`)
    .filter((name) => table.waitMs(name, 1000) > 0);
  assert.deepEqual(refused, [], "nobody else is refused");
});
