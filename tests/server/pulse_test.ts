import assert from "node:assert/strict";
import { test } from "node:test";
import { Pulse } from "../../lib/server/pulse.ts";

/** A thread that answers when the test says so. */
function makeThread() {
  const asked: PromiseWithResolvers<void>[] = [];
  const silences: number[] = [];
  const pulse = new Pulse({
    ask: () => {
      const question = Promise.withResolvers<void>();
      asked.push(question);
      return question.promise;
    },
    onSilent: () => silences.push(asked.length),
    missedMax: 3,
  });
  const answer = async () => {
    asked.at(-1)?.resolve();
    await Promise.resolve();
  };
  return { pulse, asked, silences, answer };
}

test("Pulse asks again once it was answered, for ever", async () => {
  const { pulse, asked, silences, answer } = makeThread();
  for (let i = 1; i <= 10; i++) {
    pulse.beat();
    assert.equal(asked.length, i);
    await answer();
  }
  assert.deepEqual(silences, []);
});

test("Pulse takes a thread for dead that misses three times in a row, and says so once", async () => {
  const { pulse, asked, silences, answer } = makeThread();
  for (let i = 0; i < 3; i++) pulse.beat(); // asked, and missed twice
  await answer();
  for (let i = 0; i < 3; i++) pulse.beat();
  assert.deepEqual(silences, []);
  assert.equal(asked.length, 2, "nothing is asked twice");
  for (let i = 0; i < 4; i++) pulse.beat();
  assert.deepEqual(silences, [2]);
});

test("Pulse does not call one silent that has failed", async () => {
  const { pulse, asked, silences } = makeThread();
  pulse.start(2 ** 30);
  pulse.beat();
  asked[0]?.reject(new Error("gone"));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(silences, []);
});
