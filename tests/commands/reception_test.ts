import assert from "node:assert/strict";
import { test } from "node:test";
import { Reception, type Waiter } from "../../commands/reception.ts";

interface FakeLine extends Waiter {
  readonly said: string[];
}

function fakeLine(): FakeLine {
  const said: string[] = [];
  return { said, sayWait: (reason) => void said.push(reason) };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("Reception takes one caller at a time, lets others wait, and tells the user", async () => {
  const told: string[] = [];
  const reception = new Reception((_event, text) => void told.push(text));
  const [bob, carol, dave, eve] = [fakeLine(), fakeLine(), fakeLine(), fakeLine()];
  await reception.admit({ id: "bob", wait: false }, bob);
  assert.equal(reception.isTalking, false, "not before both are ready");
  reception.opened(bob);
  assert.equal(reception.isTalking, true);
  await assert.rejects(reception.admit({ id: "carol", wait: false }, carol), {
    kind: "busy",
    message: "another conversation is under way, try again later",
  });
  let isCarolIn = false;
  const waits = reception.admit({ id: "carol", wait: true }, carol).then(() => isCarolIn = true);
  const leaves = reception.admit({ id: "dave", wait: true }, dave);
  await settled();
  assert.equal(isCarolIn, false);
  assert.deepEqual([bob.said, carol.said, dave.said], [[], ["busy"], ["busy"]]);
  assert.deepEqual(reception.waiting, ["carol", "dave"]);
  assert.throws(() => reception.take(eve), {
    kind: "busy",
    message: "cannot call: somebody else is calling just now",
  });
  assert.equal(reception.over(dave, () => assert.fail("dave was never in")), true);
  assert.equal(reception.over(eve, () => assert.fail("nor was eve")), false);
  await assert.rejects(leaves, { kind: "interrupted" });
  assert.equal(reception.over(bob, () => told.push("bob has left")), true);
  await waits;
  reception.opened(carol);
  assert.deepEqual(told, [
    'carol called meanwhile and heard "busy"',
    "carol calls and waits",
    "dave calls and waits, as number 2",
    "dave does not wait any longer",
    "bob has left",
  ]);
  const late = reception.admit({ id: "eve", wait: true }, eve);
  reception.close();
  await assert.rejects(late, { kind: "busy", message: "the listener has stopped" });
});

test("Reception has one person wait in few places, so that there are some for others", async () => {
  const reception = new Reception(() => {});
  const waiting: Promise<unknown>[] = [];
  const call = (id: string) => {
    const called = reception.admit({ id, wait: true }, fakeLine());
    waiting.push(called.catch(() => {}));
    return called;
  };
  await call("alice");
  for (let calls = 0; calls < 2; calls++) void call("mallory").catch(() => {});
  await assert.rejects(call("mallory"), {
    kind: "busy",
    message: '"mallory" waits already, with another call',
  });
  void call("bob").catch(() => {});
  assert.deepEqual(reception.waiting, ["mallory", "mallory", "bob"]);
  reception.close();
  await Promise.all(waiting);
});
