/** Whose turn it is: the order, the bound, and that nothing is lost, for any coming and going. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FairQueue } from "../../lib/server/fair_queue.ts";
import { STARTS_AT_ONCE, Turns } from "../../lib/server/turns.ts";

test("FairQueue.take() gives one of each key in turn, and of a key in the order of coming", () => {
  const queue = new FairQueue<string>({ atWorkMax: 100 });
  for (const item of ["a1", "a2", "a3", "b1", "a4", "c1", "b2"]) {
    queue.add({ key: item[0] ?? "" }, item);
  }
  const taken = [queue.take(), queue.take()];
  queue.add({ key: "d" }, "d1"); // behind everybody who waits already
  queue.add({ key: "a" }, "a5");
  while (queue.waiting > 0) taken.push(queue.take());
  assert.equal(taken.join(" "), "a1 b1 c1 a2 b2 d1 a3 a4 a5");
  assert.equal(queue.take(), undefined);
});

test("FairQueue.take() gives nothing while as much is at work as may be", () => {
  const queue = new FairQueue<number>({ atWorkMax: 2 });
  for (const item of [1, 2, 3, 4]) queue.add({ key: "a" }, item);
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
    for (let count = 0; count < 1000; count++) queue.add({ key: flooder }, flooder);
  }
  queue.take();
  queue.add({ key: "single" }, "single");
  let before = 0;
  for (;;) {
    queue.done();
    if (queue.take() === "single") break;
    before++;
  }
  assert.equal(before, 3);
});

test("FairQueue gives a group a few turns where another has one, and to its keys in turn", () => {
  const queue = new FairQueue<string>({ atWorkMax: 1000, groupTurns: 3 });
  const take = (count: number) => Array.from({ length: count }, () => queue.take()).join(" ");
  for (let home = 0; home < 5; home++) {
    for (let count = 1; count <= 3; count++) {
      queue.add({ key: `h${home}`, group: "site" }, `h${home}-${count}`);
    }
  }
  for (const item of ["a1", "a2", "b1", "a3", "a4"]) queue.add({ key: item[0] ?? "" }, item);
  assert.equal(take(5), "h0-1 h1-1 h2-1 a1 b1");
  queue.add({ key: "h9", group: "site" }, "h9-1"); // behind those of its site that wait already
  assert.equal(take(4), "h3-1 h4-1 h0-2 a2");
  assert.equal(take(4), "h1-2 h2-2 h9-1 a3");
  queue.groupTurns = 1;
  assert.equal(take(4), "h3-2 a4 h4-2 h0-3", "from the next round on");
  assert.equal(take(4), "h1-3 h2-3 h3-3 h4-3");
  assert.equal(queue.take(), undefined);
});

test("FairQueue gives one key of a group no more than one turn, however many the group has", () => {
  const queue = new FairQueue<string>({ atWorkMax: 1000, groupTurns: 3 });
  for (const item of ["h1", "h2", "h3"]) queue.add({ key: "h", group: "site" }, item);
  for (const item of ["a1", "a2"]) queue.add({ key: "a" }, item);
  const taken = [queue.take()];
  queue.add({ key: "i", group: "site" }, "i1");
  while (queue.waiting > 0) taken.push(queue.take());
  assert.equal(taken.join(" "), "h1 a1 h2 i1 a2 h3");
});

interface Piece {
  readonly key: string;
  readonly group: string;
  readonly number: number;
}

const GROUP_TURNS = 2;
/** Keys `s1` to `s4` are of the group `s`; the others are alone. */
const groupOf = (key: string) => key.startsWith("s") ? "s" : key;

test("FairQueue loses nothing, keeps each key's order and its bound, whatever comes when", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("a", "b", "c", "d") }),
    fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("s1", "s2", "s3", "s4") }),
    fc.record({ do: fc.constant("add" as const), key: fc.constant("flooder") }),
    fc.constant({ do: "take" as const }),
    fc.constant({ do: "done" as const }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.integer({ min: 1, max: 5 }),
      (steps, max) => {
        const queue = new FairQueue<Piece>({ atWorkMax: max, groupTurns: GROUP_TURNS });
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
          const inGroup = (group: string) => meanwhile.filter((one) => one.group === group).length;
          /** Rounds that this has taken; within a group others of it are served in between. */
          const rounds = piece.group === piece.key ? own : inGroup(piece.group);
          for (const [key, { length }] of counts) {
            const isOther = key !== piece.key && groupOf(key) === piece.group;
            const most: number = isOther ? own : rounds;
            assert.ok(length <= most, `${key}: ${length}, at most ${most}`);
          }
          if (piece.group !== "s") assert.ok(inGroup("s") <= GROUP_TURNS * rounds);
        };
        for (const { do: what, ...rest } of steps) {
          if (what === "add" && "key" in rest) {
            const { key } = rest;
            const group = groupOf(key);
            const piece = { key, group, number: added.length };
            added.push(piece);
            takenAtComing.set(piece, taken.length);
            queue.add({ key, ...(group === key ? {} : { group }) }, piece);
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
      turns.do({ key }, () => {
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
  turns.configure({ atWorkMax: 3, groupTurns: 1 });
  assert.equal(begun.join(" "), "a b a c a");
  assert.deepEqual([turns.atWork, turns.waiting], [3, 0]);
});
