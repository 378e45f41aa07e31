/** Whose turn it is: the order, the bound, and that nothing is lost, for any coming and going. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FairQueue } from "../../lib/server/fair_queue.ts";
import { STARTS_AT_ONCE, Turns } from "../../lib/server/turns.ts";

test("FairQueue.take() gives one of each key in turn, and of a key in the order of coming", () => {
  const queue = new FairQueue<string>({ atWorkMax: 100 });
  for (const item of ["a1", "a2", "a3", "b1", "a4", "c1", "b2"]) queue.add(item[0] ?? "", item);
  const taken = [queue.take(), queue.take()];
  queue.add("d", "d1"); // behind everybody who waits already
  queue.add("a", "a5");
  while (queue.waiting > 0) taken.push(queue.take());
  assert.equal(taken.join(" "), "a1 b1 c1 a2 b2 d1 a3 a4 a5");
  assert.equal(queue.take(), undefined);
});

test("FairQueue.take() gives nothing while as much is at work as may be", () => {
  const queue = new FairQueue<number>({ atWorkMax: 2 });
  for (const item of [1, 2, 3, 4]) queue.add("a", item);
  assert.deepEqual([queue.take(), queue.take(), queue.take()], [1, 2, undefined]);
  assert.deepEqual([queue.atWork, queue.waiting, queue.canTake], [2, 2, false]);
  queue.done();
  assert.deepEqual([queue.take(), queue.take()], [3, undefined]);
  queue.atWorkMax = 3;
  assert.equal(queue.take(), 4);
});

test("FairQueue makes a single request wait for one of each other key, and no more", () => {
  const queue = new FairQueue<string>({ atWorkMax: 1 });
  for (const flooder of ["x", "y", "z"]) {
    for (let count = 0; count < 1000; count++) queue.add(flooder, flooder);
  }
  queue.take();
  queue.add("single", "single");
  let before = 0;
  for (;;) {
    queue.done();
    if (queue.take() === "single") break;
    before++;
  }
  assert.equal(before, 3);
});

interface Piece {
  readonly key: string;
  readonly number: number;
}

test("FairQueue loses nothing, keeps each key's order and its bound, whatever comes when", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("a", "b", "c", "d") }),
    fc.record({ do: fc.constant("add" as const), key: fc.constant("flooder") }),
    fc.constant({ do: "take" as const }),
    fc.constant({ do: "done" as const }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.integer({ min: 1, max: 5 }),
      (steps, max) => {
        const queue = new FairQueue<Piece>({ atWorkMax: max });
        const added: Piece[] = [];
        const taken: Piece[] = [];
        /** How much had been taken of each key when a piece came. */
        const takenAtComing = new Map<Piece, number>();
        let atWork = 0;
        const take = () => {
          const piece = queue.take();
          assert.equal(piece !== undefined, atWork < max && added.length > taken.length);
          if (!piece) return;
          atWork++;
          taken.push(piece);
          const meanwhile = taken.slice(takenAtComing.get(piece));
          const counts = Map.groupBy(meanwhile, ({ key }) => key);
          const own = counts.get(piece.key)?.length ?? 0;
          for (const [key, { length }] of counts) {
            if (key !== piece.key) assert.ok(length <= own, `${key}: ${length}, own: ${own}`);
          }
        };
        for (const { do: what, ...rest } of steps) {
          if (what === "add" && "key" in rest) {
            const piece = { key: rest.key, number: added.length };
            added.push(piece);
            takenAtComing.set(piece, taken.length);
            queue.add(rest.key, piece);
          } else if (what === "take") take();
          else if (what === "done" && atWork > 0) {
            atWork--;
            queue.done();
          }
          assert.equal(queue.atWork, atWork);
          assert.equal(queue.waiting, added.length - taken.length);
        }
        while (taken.length < added.length) {
          for (; atWork > 0; atWork--) queue.done();
          take();
        }
        for (const [key, pieces] of Map.groupBy(taken, ({ key }) => key)) {
          const inOrder = added.filter((piece) => piece.key === key);
          assert.deepEqual(pieces, inOrder, key);
        }
      },
    ),
    { numRuns: 500 },
  );
});

/** Turns whose event loop is the test's own. */
function makeTurns(atWorkMax: number) {
  const due: (() => void)[] = [];
  const turns = new Turns({ atWorkMax, later: (callback) => due.push(callback) });
  const begun: string[] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  return {
    turns,
    begun,
    /** Lets the oldest work that is under way end. */
    end: async () => {
      gates.shift()?.resolve();
      await Promise.resolve().then(() => {});
    },
    come: (key: string) =>
      turns.do(key, () => {
        begun.push(key);
        const gate = Promise.withResolvers<void>();
        gates.push(gate);
        return gate.promise;
      }),
    /** One turn of the event loop. */
    turn: () => {
      assert.ok(due.length <= 1, "it is called back once, however much waits");
      due.shift()?.();
    },
    isDue: () => due.length > 0,
  };
}

test("Turns begins a few at once, and the rest in turn when what has arrived is known", () => {
  const { turns, begun, come, turn, isDue } = makeTurns(100);
  for (let count = 0; count < 30; count++) come("flooder");
  come("single");
  assert.equal(begun.length, STARTS_AT_ONCE);
  turn();
  assert.equal(begun.length, 2 * STARTS_AT_ONCE);
  assert.equal(begun.indexOf("single"), STARTS_AT_ONCE + 1);
  come("late"); // nothing of this turn is left
  turn();
  assert.equal(begun.indexOf("late"), 2 * STARTS_AT_ONCE + 1);
  while (isDue()) turn();
  assert.deepEqual([begun.length, turns.atWork, turns.waiting], [32, 32, 0]);
});

test("Turns begins what comes alone at once, and is called back once for it", () => {
  const { begun, come, turn, isDue } = makeTurns(100);
  come("a");
  assert.deepEqual([begun.length, isDue()], [1, true]);
  turn();
  assert.equal(isDue(), false, "nothing is left to do");
});

test("Turns waits for work to end where as much is under way as may be", async () => {
  const { turns, begun, come, turn, end, isDue } = makeTurns(2);
  for (const key of ["a", "b", "a", "a", "c"]) come(key);
  assert.equal(begun.join(" "), "a b");
  turn();
  assert.equal(isDue(), false, "it would turn for nothing");
  await end();
  assert.equal(begun.join(" "), "a b a");
  await end();
  assert.equal(begun.join(" "), "a b a c");
  turns.atWorkMax = 3;
  assert.equal(begun.join(" "), "a b a c a");
  assert.deepEqual([turns.atWork, turns.waiting], [3, 0]);
});
