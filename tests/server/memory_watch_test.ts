import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { MemoryWatch } from "../../lib/server/memory_watch.ts";

test("MemoryWatch.isBeyond() compares with the bound, and looks once in a while", () => {
  let nowMs = 0;
  let bytes = 100_000_000;
  let looks = 0;
  const watch = new MemoryWatch({
    now: () => nowMs,
    readBytes: () => {
      looks++;
      return bytes;
    },
  });
  assert.equal(watch.isBeyond(0), false);
  assert.equal(looks, 0, "without a bound nobody looks");
  assert.deepEqual([watch.isBeyond(100), watch.isBeyond(99)], [false, true]);
  bytes = 100_000_001;
  assert.equal(watch.isBeyond(100), false);
  nowMs = LIMITS.memoryLookMs;
  assert.equal(watch.isBeyond(100), true);
  assert.equal(looks, 2);
});

test("MemoryWatch sees the memory of this process", () => {
  const watch = new MemoryWatch({ now: () => 0 });
  assert.equal(watch.isBeyond(5), true);
  assert.equal(watch.isBeyond(1_000_000), false);
});
