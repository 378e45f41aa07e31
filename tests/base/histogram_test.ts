import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  Histogram,
  quantileOf,
  SECONDS_BOUNDS,
  sinceThen,
  totalOf,
} from "../../lib/base/histogram.ts";

test("Histogram.add() puts a value on a bound into the class below it", () => {
  const histogram = new Histogram([1, 2, 5]);
  for (const value of [0, 1, 1.001, 2, 5, 5.001, 100]) histogram.add(value);
  assert.deepEqual(histogram.read().counts, [2, 2, 1, 2]);
  assert.equal(histogram.read().sum, 114.002);
});

test("Histogram.add() counts every value once, in the class that it belongs to", () => {
  fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true })), (values) => {
    const histogram = new Histogram(SECONDS_BOUNDS);
    for (const value of values) histogram.add(value);
    const { counts } = histogram.read();
    assert.equal(counts.length, SECONDS_BOUNDS.length + 1);
    // As Prometheus defines a bucket: all values up to its bound.
    let cumulative = 0;
    for (const [at, bound] of [...SECONDS_BOUNDS, Infinity].entries()) {
      cumulative += counts[at] ?? 0;
      assert.equal(cumulative, values.filter((value) => value <= bound).length);
    }
  }));
});

test("Histogram.read() gives a copy", () => {
  const histogram = new Histogram([1]);
  const before = histogram.read();
  histogram.add(0);
  assert.equal(totalOf(before), 0);
});

test("sinceThen() is what was added, and everything where it began anew", () => {
  const of = (counts: readonly number[], sum: number) => ({ counts, sum });
  assert.deepEqual(sinceThen(of([5, 3], 9), of([4, 3], 7)), of([1, 0], 2));
  assert.deepEqual(sinceThen(of([5, 3], 9), undefined), of([5, 3], 9));
  assert.deepEqual(sinceThen(of([1, 0], 1), of([4, 3], 7)), of([1, 0], 1), "another server");
  assert.deepEqual(sinceThen(of([1, 0], 1), of([1], 1)), of([1, 0], 1), "other bounds");
});

test("quantileOf() says between which bounds a quantile lies", () => {
  const bounds = [1, 2, 5];
  assert.equal(quantileOf({ counts: [0, 0, 0, 0], sum: 0 }, bounds, 0.5), undefined);
  assert.deepEqual(quantileOf({ counts: [0, 10, 0, 0], sum: 15 }, bounds, 0.5), {
    from: 1,
    to: 2,
    value: 1.5,
  });
  assert.deepEqual(quantileOf({ counts: [99, 0, 0, 1], sum: 15 }, bounds, 0.99)?.to, 1);
  assert.deepEqual(quantileOf({ counts: [98, 0, 0, 2], sum: 15 }, bounds, 0.99), {
    from: 5,
    to: Infinity,
    value: 5,
  });
});

test("quantileOf() encloses the true quantile of whatever was added", () => {
  const values = fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(values, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (values, quantile) => {
    const histogram = new Histogram(SECONDS_BOUNDS);
    for (const value of values) histogram.add(value);
    const found = quantileOf(histogram.read(), SECONDS_BOUNDS, quantile) ?? assert.fail();
    const sorted = [...values].sort((a, b) => a - b);
    const exact = sorted[Math.max(Math.ceil(quantile * sorted.length) - 1, 0)] ?? assert.fail();
    assert.ok(found.from <= exact && exact <= found.to, `${exact} in ${JSON.stringify(found)}`);
    assert.ok(found.from <= found.value && found.value <= found.to);
  }));
});
