/** Closed and open loops on a clock of their own: what is counted, what is late, what is cut. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import {
  type Clock,
  FAILURES_MAX,
  LAST_MS,
  type Performer,
  runLoad,
  type RunOptions,
} from "../../lib/load/run.ts";
import { Tally } from "../../lib/load/tally.ts";

/** Time that passes when everybody waits. */
class TestClock implements Clock {
  #nowMs = 0;
  readonly #sleeping: { readonly untilMs: number; readonly wake: () => void }[] = [];
  readonly nowMs = () => this.#nowMs;

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (ms <= 0 || signal.aborted) return resolve();
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve };
      this.#sleeping.push(sleeper);
      signal.addEventListener("abort", () => {
        const at = this.#sleeping.indexOf(sleeper);
        if (at !== -1) this.#sleeping.splice(at, 1);
        resolve();
      });
    });

  /** Lets time pass until a promise settles. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => isSettled = true);
    settled.catch(() => {});
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isSettled) return await settled;
      this.#sleeping.sort((a, b) => a.untilMs - b.untilMs);
      const next = this.#sleeping.shift();
      assert.ok(next, "everybody waits for nothing");
      this.#nowMs = next.untilMs;
      next.wake();
    }
  }
}

const NEVER = new AbortController().signal;

/** Does what takes so long, or fails. */
function performer(clock: TestClock, does: (begunMs: number) => number | Error): Performer<"do"> & {
  readonly begunMs: number[];
} {
  const begunMs: number[] = [];
  const cut = new AbortController();
  return {
    begunMs,
    perform: async () => {
      const now = clock.nowMs();
      begunMs.push(now);
      const result = does(now);
      if (result instanceof Error) throw result;
      await clock.sleep(result, cut.signal);
      if (cut.signal.aborted) throw new PkiError("interrupted", "cut");
    },
    close: () => cut.abort(),
  };
}

async function run(
  clock: TestClock,
  clients: readonly Performer<"do">[],
  options: Partial<RunOptions<"do">> = {},
) {
  const tally = new Tally();
  const result = await clock.until(runLoad({
    ...{ clients, clock, tally, choose: () => "do" as const, signal: NEVER },
    warmUpMs: 1000,
    durationMs: 10_000,
    ...options,
  }));
  const [row] = tally.summarize(result.seconds);
  return { ...result, row };
}

test("runLoad() in a closed loop begins when the last has ended, and counts behind the warm-up", async () => {
  const clock = new TestClock();
  const clients = [performer(clock, () => 100), performer(clock, () => 250)];
  let beganMs = -1;
  const { row, seconds, behind } = await run(clock, clients, {
    onMeasuring: () => beganMs = clock.nowMs(),
  });
  assert.deepEqual([beganMs, seconds, behind], [1000, 10, 0]);
  assert.equal(row?.count, 100 + 40);
  assert.equal(row?.perSecond, 14);
  assert.equal(row?.latency?.maxMs, 250);
  assert.deepEqual(clients[0]?.begunMs.slice(0, 3), [0, 100, 200]);
});

test("runLoad() in an open loop counts from when an operation was due, whatever became of the one before", async () => {
  const clock = new TestClock();
  // One stall of two seconds: whoever was due meanwhile has waited, too.
  const client = performer(clock, (now) => now === 5000 ? 2000 : 1);
  const { row, behind } = await run(clock, [client], { perSecond: 10 });
  assert.equal(row?.count, 100);
  assert.equal(behind, 0);
  assert.equal(row?.latency?.maxMs, 2000);
  assert.ok((row?.latency?.p90Ms ?? 0) > 900, "a tenth of them waited for most of the stall");
  assert.ok((row?.latency?.p50Ms ?? 9) <= 1.01, "those after it did not");
});

test("runLoad() in an open loop says how many were due and never begun", async () => {
  const clock = new TestClock();
  const { row, behind } = await run(clock, [performer(clock, () => 500)], { perSecond: 10 });
  // 110 were due, one was begun each half second.
  assert.equal(behind, 110 - 22);
  assert.equal(row?.perSecond, 2);
});

test("runLoad() lets a client that fails wait, longer each time, and forgets it when one ends well", async () => {
  const clock = new TestClock();
  const busy = new PkiError("busy", "later");
  const client = performer(clock, (now) => now < 1000 ? busy : 1000);
  const { row } = await run(clock, [client], { warmUpMs: 0, durationMs: 5000 });
  assert.deepEqual(client.begunMs, [0, 100, 300, 700, 1500, 2500, 3500, 4500]);
  assert.deepEqual(row?.errors, { BUSY: 4 });
  assert.equal(row?.count, 4, "also the one that ended when time was over");
  assert.equal(row?.perSecond, 3 / 5);
});

test("runLoad() cuts what has not ended long after the end, and calls it timed out", async () => {
  const clock = new TestClock();
  const clients = [performer(clock, () => 1e9), performer(clock, () => 100)];
  const { row, seconds } = await run(clock, clients, { warmUpMs: 0 });
  assert.equal(clock.nowMs(), 10_000 + LAST_MS);
  assert.equal(seconds, 10);
  assert.deepEqual(row?.errors, { TIMEOUT: 1 });
  assert.equal(row?.count, 100);
});

test("runLoad() ends at once when it is asked to, and says what was until then", async () => {
  const clock = new TestClock();
  const ending = new AbortController();
  void clock.sleep(4000, NEVER).then(() => ending.abort());
  const clients = [performer(clock, () => 300), performer(clock, () => 1e9)];
  const { row, seconds } = await run(clock, clients, { signal: ending.signal });
  assert.equal(clock.nowMs(), 4000);
  assert.equal(seconds, 3);
  assert.equal(row?.count, 9, "begun from 1200 to 3600");
  assert.deepEqual(row?.errors, {}, "what was cut is nobody's fault");
});

test("runLoad() gives up when every client fails again and again, and not before", async () => {
  const clock = new TestClock();
  const gone = new PkiError("unreachable", "nobody listens there");
  const fails = (untilMs: number) =>
    performer(clock, (now) => now < 500 || now > untilMs ? gone : 500);
  const { isGivenUp, seconds, row } = await run(clock, [fails(400), fails(7000)]);
  assert.equal(isGivenUp, true);
  assert.ok(seconds > 6 && seconds < 10, "while one of them succeeds it goes on");
  assert.ok((row?.errors["UNREACHABLE"] ?? 0) > FAILURES_MAX);
  const later = new TestClock();
  const recovers = performer(later, (now) => now < 1600 ? gone : 500);
  const breaks = performer(later, (now) => now > 4000 ? gone : 500);
  assert.equal(
    (await run(later, [recovers, breaks])).isGivenUp,
    false,
    "one of them is well again",
  );
  const calm = new TestClock();
  const well = await run(calm, [performer(calm, () => 500)]);
  assert.deepEqual([well.isGivenUp, well.seconds], [false, 10]);
});

test("runLoad() that gives up says what a client failed with last, also where nothing counted yet", async () => {
  const clock = new TestClock();
  const gone = new PkiError("unreachable", "nobody listens there");
  const given = await run(clock, [performer(clock, () => gone)], { warmUpMs: 20_000 });
  assert.deepEqual([given.isGivenUp, given.seconds, given.row], [true, 0, undefined]);
  assert.equal(given.lastError, gone);
  const calm = new TestClock();
  const busy = performer(calm, (now) => now < 200 ? gone : 500);
  assert.ok(!("lastError" in await run(calm, [busy])), "it came right again");
});

test("runLoad() that ends in its warm-up has measured nothing", async () => {
  const clock = new TestClock();
  const ending = new AbortController();
  void clock.sleep(500, NEVER).then(() => ending.abort());
  const { row, seconds } = await run(clock, [performer(clock, () => 10)], {
    signal: ending.signal,
    onMeasuring: () => assert.fail("nothing is measured"),
  });
  assert.deepEqual([row, seconds], [undefined, 0]);
});
