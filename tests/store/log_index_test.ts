import assert from "node:assert/strict";
import { test } from "node:test";
import { LogIndex } from "../../lib/store/log_index.ts";

/** Segments of 1, 3 and 2 entries of 100 bytes each. */
function sample(): LogIndex {
  const index = new LogIndex();
  for (const count of [1, 3, 2]) {
    index.startSegment();
    for (let n = 0; n < count; n++) index.append(new Uint8Array(32).fill(index.size), 100);
  }
  return index;
}

test("LogIndex.placeOf() finds the first and the last entry of each segment", () => {
  const index = sample();
  const places = [[0, 16], [1, 16], [1, 116], [1, 216], [4, 16], [4, 116]];
  places.forEach(([segment, offset], n) => {
    assert.deepEqual(index.placeOf(n), { segment, offset });
  });
  assert.equal(index.bytes, 3 * 16 + 600);
});

test("LogIndex.placeOf() refuses what is not there", () => {
  for (const n of [6, 7, -1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => sample().placeOf(n), { kind: "not-found" }, `${n}`);
  }
  assert.throws(() => new LogIndex().placeOf(0), { kind: "not-found" });
});

test("LogIndex.append() refuses an entry without a segment", () => {
  assert.throws(() => new LogIndex().append(new Uint8Array(32), 1), { kind: "internal" });
});

test("LogIndex.placeOf() passes over a segment without entries", () => {
  const index = sample();
  index.startSegment();
  assert.deepEqual(index.placeOf(5), { segment: 4, offset: 116 });
  assert.throws(() => index.placeOf(6), { kind: "not-found" });
});

test("LogIndex.isPrefix() knows every earlier root, and no other", () => {
  const index = sample();
  for (let size = 0; size <= 6; size++) {
    const root = index.tree.root(size);
    assert.equal(index.isPrefix(size, root), true);
    assert.equal(index.isPrefix(size, root.with(31, root[31]! ^ 1)), false);
  }
  assert.equal(index.isPrefix(7, index.tree.root()), false);
});
