import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { sleep } from "../../lib/base/sleep.ts";

const FOR_EVER_MS = 2 ** 31 - 1;

test("sleep() ends when its time is over, or it is called off, and leaves no listener", async () => {
  const { signal } = new AbortController();
  await sleep(1, signal);
  await sleep(0, signal);
  await sleep(-1, signal);
  assert.deepEqual(getEventListeners(signal, "abort"), []);

  const off = new AbortController();
  const asleep = sleep(FOR_EVER_MS, off.signal);
  off.abort();
  await asleep;
  await sleep(FOR_EVER_MS, off.signal);
  assert.deepEqual(getEventListeners(off.signal, "abort"), []);
});
