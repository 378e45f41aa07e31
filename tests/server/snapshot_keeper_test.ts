import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import type { FromSnapshot, ToSnapshot } from "../../lib/server/ports.ts";
import { SnapshotKeeper } from "../../lib/server/snapshot_keeper.ts";

const MIN = LIMITS.snapshotBytesMin;

/** A keeper whose log grows and whose snapshots end when the test says so. */
function makeKeeper(
  { snapshotBytes = 0, coveredBytes = 0 } = {},
) {
  const log = { bytes: coveredBytes };
  const clock = { nowMs: 0, elapsedMs: 0 };
  const warnings: string[] = [];
  const taken: ToSnapshot[] = [];
  const redactions = { count: 7 };
  const waiting: { run: () => void; afterMs: number }[] = [];
  let ends: PromiseWithResolvers<FromSnapshot>;
  const keeper = new SnapshotKeeper({
    snapshotBytes,
    coveredBytes,
    logBytes: () => log.bytes,
    redactions: () => redactions.count,
    describe: () => ({
      logFolder: "log",
      snapshotPath: "state.db",
      segments: [{ first: 0, bytes: log.bytes }],
      size: 1,
      root: new Uint8Array(32),
      missingCopies: [],
    }),
    take: (question, signal) => {
      taken.push(question);
      ends = Promise.withResolvers();
      signal.addEventListener("abort", () => ends.reject(new Error("it was given up")));
      return ends.promise;
    },
    warn: (text) => void warnings.push(text),
    now: () => clock.nowMs,
    elapsed: () => clock.elapsedMs,
    later(run, afterMs) {
      const one = { run, afterMs };
      waiting.push(one);
      return () => void waiting.splice(0, Infinity, ...waiting.filter((other) => other !== one));
    },
  });
  return {
    keeper,
    clock,
    log,
    warnings,
    taken,
    waiting,
    redact() {
      redactions.count += 2;
      keeper.consider();
      return taken.length;
    },
    /** What was put off happens. */
    passTime() {
      for (const { run } of waiting.splice(0, Infinity)) run();
      return taken.length;
    },
    grow(bytes: number) {
      log.bytes += bytes;
      keeper.consider();
      return taken.length;
    },
    /** Ends the one that is being taken, and goes on. */
    end(error?: Error) {
      if (error) ends.reject(error);
      else ends.resolve({ bytes: 1 });
    },
    async succeed(bytes: number) {
      ends.resolve({ bytes });
      await keeper.close();
    },
    async fail(error: Error) {
      ends.reject(error);
      await keeper.close();
    },
  };
}

test("SnapshotKeeper.consider() takes one when the log has grown by the least, and not a byte before", async () => {
  const world = makeKeeper();
  assert.equal(world.grow(MIN - 1), 0);
  assert.equal(world.grow(1), 1);
  assert.deepEqual(world.taken[0]?.segments, [{ first: 0, bytes: MIN }]);
  await world.succeed(1);
  assert.equal(world.grow(MIN - 1), 1);
  assert.equal(world.grow(1), 2);
});

test("SnapshotKeeper.consider() waits until the log has grown by as much as the last one takes", async () => {
  const world = makeKeeper({ snapshotBytes: 3 * MIN, coveredBytes: 10 });
  assert.equal(world.grow(3 * MIN - 1), 0);
  assert.equal(world.grow(1), 1);
  await world.succeed(5 * MIN);
  assert.equal(world.grow(5 * MIN - 1), 1);
  assert.equal(world.grow(1), 2);
});

test("SnapshotKeeper.consider() takes one at a time, and counts what came meanwhile for the next", async () => {
  const world = makeKeeper();
  assert.equal(world.grow(MIN), 1);
  assert.equal(world.grow(MIN), 1, "while one is being taken");
  assert.equal(world.keeper.isCurrent, false);
  await world.succeed(1);
  assert.equal(world.keeper.isCurrent, false, "it stands for the log when it began");
  assert.equal(world.grow(0), 2);
  await world.succeed(1);
  assert.equal(world.keeper.isCurrent, true);
});

test("SnapshotKeeper warns of one that failed, and tries again later", async () => {
  const world = makeKeeper();
  world.grow(MIN);
  await world.fail(new Error("disk full"));
  assert.deepEqual(world.warnings, [
    "no snapshot was taken: disk full; the log has everything",
  ]);
  assert.equal(world.keeper.isCurrent, false);
  world.clock.elapsedMs = LIMITS.snapshotRetryMs - 1;
  assert.equal(world.grow(MIN), 1);
  world.clock.elapsedMs++;
  assert.equal(world.grow(0), 2);
  await world.succeed(1);
  assert.equal(world.keeper.isCurrent, true);
  assert.equal(world.warnings.length, 1);
});

test("SnapshotKeeper tries again after the same time, whatever the clock on the wall is set to", async () => {
  for (const setMs of [-LIMITS.dayMs, LIMITS.dayMs]) {
    const world = makeKeeper();
    world.grow(MIN);
    await world.fail(new Error("disk full"));
    world.clock.nowMs += setMs;
    assert.equal(world.grow(MIN), 1, "not at once");
    world.clock.elapsedMs = LIMITS.snapshotRetryMs;
    assert.equal(world.grow(0), 2, "nor never");
    world.clock.elapsedMs += 1500;
    await world.succeed(1);
    const { lastMs, lastSeconds } = world.keeper.measure();
    assert.deepEqual([lastMs, lastSeconds], [setMs, 1.5]);
  }
});

test("SnapshotKeeper.close() waits for the one that is being taken", async () => {
  const world = makeKeeper();
  await world.keeper.close(); // there is none
  world.grow(MIN);
  let isClosed = false;
  const closed = world.keeper.close().then(() => isClosed = true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isClosed, false);
  await world.succeed(1);
  await closed;
});

test("SnapshotKeeper.consider() takes one at once after a redaction, that forgets, and then no more", async () => {
  const world = makeKeeper({ coveredBytes: 10 });
  assert.ok(world.keeper.isCurrent);
  assert.equal(world.keeper.mustForget, false);
  assert.equal(world.redact(), 1);
  assert.equal(world.taken[0]?.forgets, true);
  assert.ok(!world.keeper.isCurrent && world.keeper.mustForget);
  await world.succeed(1);
  assert.ok(world.keeper.isCurrent && !world.keeper.mustForget);
  assert.deepEqual(world.waiting, []);
  assert.equal(world.grow(MIN), 2);
  assert.equal(world.taken[1]?.forgets, false);
  await world.succeed(1);
});

test("SnapshotKeeper takes another when a redaction came while one was being taken, and says nothing of one that failed by it", async () => {
  for (const hasFailed of [false, true]) {
    const world = makeKeeper();
    assert.equal(world.grow(MIN), 1);
    assert.equal(world.redact(), 1);
    const ended = hasFailed ? world.fail(new Error("checksum")) : world.succeed(1);
    await ended;
    assert.deepEqual(world.warnings, []);
    assert.deepEqual(world.waiting, [], "closed: nothing is taken any more");
  }
  for (const hasFailed of [false, true]) {
    const world = makeKeeper();
    world.grow(MIN);
    world.redact();
    world.end(hasFailed ? new Error("checksum") : undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(world.passTime(), 2);
    assert.equal(world.taken[1]?.forgets, true);
    await world.succeed(1);
    assert.ok(!world.keeper.mustForget);
    assert.deepEqual(world.warnings, []);
  }
});

test("SnapshotKeeper does not wait for a change to take one again that must forget and failed", async () => {
  const world = makeKeeper();
  assert.equal(world.redact(), 1);
  world.end(new Error("disk full"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(world.warnings.length, 1);
  assert.deepEqual(world.waiting.map(({ afterMs }) => afterMs), [LIMITS.snapshotRetryMs]);
  world.clock.elapsedMs += LIMITS.snapshotRetryMs;
  assert.equal(world.passTime(), 2);
  assert.equal(world.taken[1]?.forgets, true);
  await world.succeed(1);
});

test("SnapshotKeeper takes one that forgets also where another has just failed and nothing changes", async () => {
  const world = makeKeeper();
  world.grow(MIN);
  world.end(new Error("disk full"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(world.waiting, []);
  world.clock.elapsedMs += LIMITS.snapshotRetryMs - 1500;
  assert.equal(world.redact(), 1);
  assert.deepEqual(world.waiting.map(({ afterMs }) => afterMs), [1500]);
  world.clock.elapsedMs += 1500;
  assert.equal(world.passTime(), 2);
  assert.equal(world.taken[1]?.forgets, true);
  await world.succeed(1);
  assert.deepEqual(world.waiting, []);
});

test("SnapshotKeeper.close() waits for the one that is being taken, and not for ever", async () => {
  const world = makeKeeper();
  assert.equal(world.grow(MIN), 1);
  const closed = world.keeper.close();
  assert.deepEqual(world.waiting.map(({ afterMs }) => afterMs), [LIMITS.snapshotEndMs]);
  world.passTime();
  await closed;
  assert.deepEqual(world.warnings, [
    "no snapshot was taken: it was given up; the log has everything",
  ]);
  assert.equal(world.keeper.isCurrent, false, "the last one is still to be written");
  const other = makeKeeper();
  other.grow(MIN);
  await other.succeed(1);
  assert.deepEqual(
    [other.waiting.length, other.warnings.length],
    [0, 0],
    "nothing is left to wait for",
  );
});
