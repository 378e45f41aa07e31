/** Lines through points that are known, the rule for flat ones, and fewer points that look the same. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fitLine, FLAT_SHARE, judgeFlat, type Point, thin } from "../../bench/soak_judgement.ts";

const HOUR: readonly number[] = Array.from({ length: 361 }, (_, i) => i * 10);
const along = (of: (seconds: number) => number): Point[] => HOUR.map((at) => [at, of(at)]);

test("fitLine() finds a line again, also under what swings around it", () => {
  const swing = (at: number) => 20 * Math.sin(at);
  const line = fitLine(along((at) => 100 + at / 60 + swing(at)));
  assert.ok(Math.abs(line.slopePerHour - 60) < 1, String(line.slopePerHour));
  assert.ok(Math.abs(line.start - 100) < 1, String(line.start));
  assert.ok(Math.abs(line.mean - 130) < 1, String(line.mean));
  assert.deepEqual(fitLine([[7, 5]]), { slopePerHour: 0, mean: 5, start: 5 });
  assert.deepEqual(fitLine([]), { slopePerHour: 0, mean: 0, start: 0 });
});

test("judgeFlat() allows a part of the mean and what is kept on purpose, and any fall", () => {
  const rising = (perHour: number) => along((at) => 1000 + perHour * (at - 1800) / 3600);
  const most = 1000 * FLAT_SHARE;
  const rows: readonly (readonly [perHour: number, allowance: number, isFlat: boolean])[] = [
    [-500, 0, true],
    [0, 0, true],
    [most - 0.5, 0, true],
    [most + 0.5, 0, false],
    [most + 99.5, 100, true],
    [most + 100.5, 100, false],
  ];
  for (const [perHour, allowance, isFlat] of rows) {
    assert.equal(judgeFlat(rising(perHour), allowance).isFlat, isFlat, `${perHour}, ${allowance}`);
  }
});

test("thin() keeps peaks by max and sums by mean, and leaves few points alone", () => {
  const points = along((at) => at === 500 ? 1000 : 1);
  assert.equal(thin(points, { most: 361, by: "max" }), points);
  const peaks = thin(points, { most: 50, by: "max" });
  assert.ok(peaks.length <= 50);
  assert.equal(Math.max(...peaks.map(([, value]) => value)), 1000);
  const means = thin(points, { most: 50, by: "mean" });
  assert.equal(Math.max(...means.map(([, value]) => value)), (1000 + 7) / 8);
});
