import assert from "node:assert/strict";
import { test } from "node:test";
import {
  SpareNeed,
  SPARES_MAX,
  type WorkerEvents,
  WorkerPool,
} from "../../lib/server/worker_pool.ts";

const SECOND_MS = 1000;

const spares = (min: number) => ({ min, max: SPARES_MAX });

/** A pool over workers that are numbers, with a clock that goes on when it is told to. */
class Bench {
  nowMs = 0;
  readonly running = new Set<number>();
  readonly lost: string[] = [];
  readonly #events = new Map<number, WorkerEvents>();
  #timers: { atMs: number; work: () => void }[] = [];
  #number = 0;
  /** Workers that cannot be started. */
  failures = 0;
  readonly pool: WorkerPool<number>;

  constructor(sparesMin: number) {
    this.pool = new WorkerPool<number>(spares(sparesMin), {
      start: (events) => {
        if (this.failures > 0) {
          this.failures--;
          throw new Error("too many open files");
        }
        const worker = ++this.#number;
        this.running.add(worker);
        this.#events.set(worker, events);
        return worker;
      },
      end: (worker) => this.end(worker),
      onSpareLost: (why) => void this.lost.push(why),
      nowMs: () => this.nowMs,
      later: (work, ms) => this.#timers.push({ atMs: this.nowMs + ms, work }),
    });
  }

  /** Lets time pass, with what is due in it. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#timers.sort((a, b) => a.atMs - b.atMs);
      if (!next || next.atMs > endMs) break;
      this.nowMs = next.atMs;
      this.#timers.shift();
      next.work();
    }
    this.nowMs = endMs;
  }

  end(worker: number): void {
    assert.ok(this.running.delete(worker), `${worker} runs`);
    this.#events.get(worker)?.onClosed();
  }

  get timers(): number {
    return this.#timers.length;
  }

  ready(worker: number): void {
    this.#events.get(worker)?.onReady();
    this.pass(0);
  }

  /** A worker ends by itself; that nothing is left of it is only told where somebody ends it as well. */
  crash(worker: number): void {
    for (const why of [`${worker} threw`, `${worker} ended`]) this.#events.get(worker)?.onGone(why);
    this.pass(0);
  }

  /** Everything that starts is ready at once, until nothing more starts. */
  settle(): void {
    this.pass(0);
    for (let started = -1; started !== this.pool.started;) {
      started = this.pool.started;
      this.ready(started);
    }
  }

  /** A connection that comes and leaves. */
  visit(): void {
    this.end(this.pool.take());
    this.settle();
  }
}

test("SpareNeed.wanted() is a tenth of the most arrivals in one of the last five seconds", () => {
  const need = new SpareNeed();
  assert.equal(need.wanted(0, spares(4)), 4);
  for (let i = 0; i < 300; i++) need.arrived(1_000_000 + i);
  assert.equal(need.wanted(1_000_400, spares(4)), 30);
  for (let i = 0; i < 101; i++) need.arrived(1_002_000);
  assert.equal(need.wanted(1_004_999, spares(4)), 30, "the most counts");
  assert.equal(
    need.wanted(1_005_000, spares(4)),
    11,
    "five seconds later that second is forgotten",
  );
  assert.equal(need.wanted(1_006_999, spares(4)), 11);
  assert.equal(need.wanted(1_007_000, spares(4)), 4);
  assert.equal(need.wanted(9_000_000_000, spares(4)), 4, "however long it was silent");
});

test("SpareNeed.wanted() has a bound, and never goes below what an operator wants", () => {
  const need = new SpareNeed();
  for (let i = 0; i < 100_000; i++) need.arrived(5);
  assert.equal(need.wanted(6, spares(4)), 64);
  assert.equal(need.wanted(6, spares(500)), 500);
  assert.equal(need.wanted(6, { min: 4, max: 10 }), 10, "where there is little room");
  assert.equal(new SpareNeed().wanted(0, spares(0)), 0);
});

test("WorkerPool starts its first workers one at a time, each when the one before is ready", () => {
  const bench = new Bench(3);
  assert.equal(bench.running.size, 0, "and none on the way of whoever makes the pool");
  bench.pass(0);
  for (const count of [1, 2, 3]) {
    assert.deepEqual([...bench.running], Array.from({ length: count }, (_, i) => i + 1));
    bench.pass(60 * SECOND_MS);
    assert.equal(bench.running.size, count, "it waits, however long that takes");
    bench.ready(count);
  }
  assert.equal(bench.pool.spare, 3);
  assert.equal(bench.timers, 0, "and then nothing is left to do");
});

test("WorkerPool.take() gives each worker once, and starts the next behind it", () => {
  const bench = new Bench(2);
  bench.settle();
  assert.equal(bench.pool.take(), 1);
  assert.equal(bench.pool.started, 2, "nothing is started on the way of a connection");
  bench.pass(0);
  assert.equal(bench.pool.started, 3);
  assert.deepEqual([bench.pool.take(), bench.pool.take()], [2, 3], "one that is starting as well");
  assert.equal(bench.pool.take(), 4, "and one more where there is none");
  bench.settle();
  assert.equal(bench.pool.spare, 2);
  const taken = Array.from({ length: 50 }, () => bench.pool.take());
  assert.equal(new Set(taken).size, 50);
  assert.ok(taken.every((worker) => worker > 4), "none that was given before");
});

test("WorkerPool keeps more spares while many come, and ends them one by one afterwards", () => {
  const bench = new Bench(4);
  bench.settle();
  for (let i = 0; i < 2000; i++) {
    bench.visit();
    bench.pass(5); // 200 a second
  }
  assert.equal(bench.pool.spare, 20);
  assert.equal(bench.running.size, 20);
  bench.pass(4 * SECOND_MS);
  assert.equal(bench.pool.spare, 20, "they may come again");
  bench.pass(2 * SECOND_MS);
  assert.ok(bench.pool.spare < 20 && bench.pool.spare > 10, `${bench.pool.spare} are left`);
  bench.pass(10 * SECOND_MS);
  assert.equal(bench.pool.spare, 4);
  assert.equal(bench.running.size, 4);
  assert.equal(bench.timers, 0, "and nothing looks any more");
});

test("WorkerPool.resize() counts at once for more, and little by little for fewer", () => {
  const bench = new Bench(1);
  bench.settle();
  bench.pool.resize(spares(6));
  bench.settle();
  assert.equal(bench.pool.spare, 6);
  bench.pool.resize(spares(2));
  bench.pass(0);
  assert.equal(bench.pool.spare, 6);
  bench.pass(5 * SECOND_MS);
  assert.equal(bench.pool.spare, 2);
});

test("WorkerPool replaces a spare that ended by itself, after a pause", () => {
  const bench = new Bench(2);
  bench.settle();
  bench.crash(1);
  assert.equal(bench.pool.spare, 1);
  assert.equal(bench.pool.started, 2, "one that always ends at once is not started all the time");
  bench.pass(SECOND_MS);
  bench.crash(3); // while it starts
  bench.pass(SECOND_MS);
  bench.settle();
  assert.equal(bench.pool.spare, 2);
  assert.equal(bench.pool.take(), 2);
  bench.crash(2);
  bench.settle();
  assert.equal(bench.pool.spare, 2, "what was taken is not the pool's any more");
  bench.end(2);
  assert.equal(bench.pool.alive, 2, "nothing is left of those that ended");
  assert.deepEqual(
    bench.lost,
    ["1 threw", "3 threw"],
    "each is told of once, and none that was taken",
  );
});

test("WorkerPool tries again where no worker can be started, and says so to whoever needs one", () => {
  const bench = new Bench(1);
  bench.failures = 3;
  bench.pass(0);
  assert.equal(bench.pool.spare, 0);
  assert.throws(() => bench.pool.take(), /too many open files/);
  bench.pass(SECOND_MS);
  assert.equal(bench.pool.spare, 0);
  bench.pass(SECOND_MS);
  bench.settle();
  assert.equal(bench.pool.spare, 1);
});

test("WorkerPool.alive counts every worker until nothing is left of it", () => {
  const bench = new Bench(2);
  bench.settle();
  assert.equal(bench.pool.alive, 2);
  const taken = [bench.pool.take(), bench.pool.take(), bench.pool.take()];
  assert.equal(bench.pool.alive, 3);
  bench.settle();
  assert.equal(bench.pool.alive, 5);
  for (const worker of taken) bench.end(worker);
  assert.equal(bench.pool.alive, 2);
  bench.pool.close();
  assert.equal(bench.pool.alive, 0);
});

test("WorkerPool.close() ends the spares and starts nothing more", () => {
  const bench = new Bench(3);
  bench.pass(0);
  bench.pool.close();
  assert.equal(bench.running.size, 0);
  bench.pool.resize(spares(9));
  bench.pass(60 * SECOND_MS);
  assert.equal(bench.pool.started, 1);
});
