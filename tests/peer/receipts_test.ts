import assert from "node:assert/strict";
import { test } from "node:test";
import { Receipts } from "../../lib/peer/receipts.ts";

test("Receipts.deliver() has a burst of messages told once, with all of them counted", () => {
  const receipts = new Receipts();
  assert.equal(receipts.delivered, 0);
  const told: number[] = [];
  const deliver = () => {
    if (receipts.deliver()) told.push(receipts.delivered);
  };
  receipts.arrive();
  deliver();
  for (let count = 0; count < 3; count++) receipts.arrive();
  deliver();
  receipts.arrive(); // while two are on their way
  for (let count = 0; count < 3; count++) deliver();
  assert.equal(receipts.delivered, 5);
  assert.deepEqual(told, [1, 5]);
});
