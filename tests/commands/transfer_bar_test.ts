import assert from "node:assert/strict";
import { test } from "node:test";
import { describeProgress, formatClock, Rate } from "../../commands/transfer_bar.ts";

const CLOCKS: readonly (readonly [seconds: number, shown: string])[] = [
  [0, "0:00"],
  [0.2, "0:01"],
  [59, "0:59"],
  [59.1, "1:00"],
  [754, "12:34"],
  [3600, "1:00:00"],
  [11_110, "3:05:10"],
];

test("formatClock() rounds up, so that nothing ends later than it says", () => {
  for (const [seconds, shown] of CLOCKS) assert.equal(formatClock(seconds), shown);
});

test("Rate tells the rate of the last seconds, and none before there is one", () => {
  const rate = new Rate();
  assert.equal(rate.bytesPerSecond, undefined);
  rate.add(1000, 0);
  assert.equal(rate.bytesPerSecond, undefined);
  rate.add(1000, 500);
  assert.equal(rate.bytesPerSecond, undefined, "no time has passed");
  rate.add(2000, 1000);
  assert.equal(rate.bytesPerSecond, 1000);
  for (let second = 3; second <= 20; second++) rate.add(second * 1000, 1000 + (second - 2) * 50);
  assert.equal(rate.bytesPerSecond, 50, "what was long ago does not count");
  rate.restart();
  assert.equal(rate.bytesPerSecond, undefined);
});

test("describeProgress() says how much, how fast, and how long still", () => {
  const rate = new Rate();
  assert.equal(describeProgress({ rate, total: 1000, bytes: 0 }), "0%");
  assert.equal(describeProgress({ rate, total: 0, bytes: 0 }), "100%");
  rate.add(0, 0);
  rate.add(1000, 2048);
  assert.equal(
    describeProgress({ rate, total: 8192, bytes: 2048 }),
    "25%  2.00 KiB/s  0:03 left",
  );
});
