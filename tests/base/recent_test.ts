import assert from "node:assert/strict";
import { test } from "node:test";
import { Recent } from "../../lib/base/recent.ts";

test("Recent forgets what was set longest ago, and never has more than its bound", () => {
  const recent = new Recent<number>(2);
  const has = () => ["a", "b", "c"].map((name) => recent.get(name));
  assert.deepEqual(has(), [undefined, undefined, undefined]);
  recent.set("a", 1);
  recent.set("b", 2);
  assert.deepEqual(has(), [1, 2, undefined]);
  recent.set("a", 3);
  assert.deepEqual(has(), [3, 2, undefined], "one of the same name takes no other's place");
  recent.set("c", 4);
  assert.deepEqual(has(), [3, undefined, 4]);
  recent.set("b", 5);
  assert.deepEqual(has(), [undefined, 5, 4]);
});
