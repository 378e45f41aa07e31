import assert from "node:assert/strict";
import { test } from "node:test";
import { Deliveries } from "../../lib/peer/deliveries.ts";

function make() {
  const told: string[] = [];
  const line = { isOver: false };
  const deliveries = new Deliveries({
    isOver: () => line.isOver,
    onDelivered: () => told.push("delivered"),
    onFailed: (error) => {
      told.push(String(error));
      line.isOver = true;
    },
  });
  const done = () => new Promise<void>((resolve) => deliveries.after(resolve));
  return { told, line, deliveries, done };
}

test("add() delivers one after the other, in order, and counts what waits", async () => {
  const { told, deliveries, done } = make();
  const first = Promise.withResolvers<void>();
  deliveries.add(5, async () => {
    await first.promise;
    told.push("first");
  });
  deliveries.add(0, () => void told.push("second"));
  deliveries.after(() => void told.push("after"));
  deliveries.add(7, () => void told.push("third"));
  assert.equal(deliveries.deliveredBytes, 0);
  // Also what has no bytes costs something: frames may be empty, and many.
  assert.ok(deliveries.waitingBytes > 12 + 2 * 100);
  first.resolve();
  await done();
  assert.deepEqual(told, [
    ...["first", "delivered", "second", "delivered", "after", "third", "delivered"],
  ]);
  assert.deepEqual([deliveries.waitingBytes, deliveries.deliveredBytes], [0, 12]);
});

test("add() tells of what fails, and drops what is left when the line is over", async () => {
  const { told, line, deliveries, done } = make();
  deliveries.add(1, () => Promise.reject(new Error("full")));
  deliveries.add(1, () => void told.push("too late"));
  await done();
  assert.deepEqual(told, ["Error: full", "delivered"]);
  line.isOver = true;
  deliveries.add(1, () => void told.push("too late"));
  await done();
  assert.ok(!told.includes("too late"));
});
