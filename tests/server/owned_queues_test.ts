/** Things by whose they are, beside lists that are looked through. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OwnedQueues } from "../../lib/server/owned_queues.ts";

test("OwnedQueues knows whose are most, and the oldest of them, as lists that are looked through do", () => {
  const step = fc.tuple(fc.boolean(), fc.constantFrom("a", "b", "c", "d"), fc.nat(9));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queues = new OwnedQueues<{ readonly owner: string; readonly at: number }>();
      const lists = new Map<string, { readonly owner: string; readonly at: number }[]>();
      for (const [at, [isNew, owner, which]] of steps.entries()) {
        const list = lists.get(owner) ?? [];
        lists.set(owner, list);
        if (isNew) {
          const thing = { owner, at };
          list.push(thing);
          queues.add(owner, thing);
        } else {
          const [thing = { owner, at: -1 }] = list.splice(which, 1); // or one that is not there
          queues.delete(owner, thing);
          queues.delete(owner, thing);
        }
        const lengths = [...lists.values()].map(({ length }) => length);
        const longest = Math.max(...lengths);
        const { most } = queues;
        assert.equal(most?.count ?? 0, longest);
        if (most) assert.equal(lists.get(most.oldest.owner)?.[0], most.oldest);
        if (most) assert.equal(lists.get(most.oldest.owner)?.length, longest);
        assert.equal(queues.countOf(owner), list.length);
        assert.equal(queues.owners, lengths.filter((length) => length > 0).length);
      }
    }),
  );
});

test("OwnedQueues.most is whoever has had as many for longest, where several have", () => {
  const queues = new OwnedQueues<string>();
  assert.equal(queues.most, undefined);
  for (const thing of ["b1", "a1", "a2", "b2"]) queues.add(thing.charAt(0), thing);
  assert.deepEqual(queues.most, { count: 2, oldest: "a1" });
  queues.delete("a", "a1");
  queues.add("a", "a3");
  assert.deepEqual(queues.most, { count: 2, oldest: "b1" });
  for (const thing of ["b1", "b2", "a2"]) queues.delete(thing.charAt(0), thing);
  assert.deepEqual([queues.most, queues.owners], [{ count: 1, oldest: "a3" }, 1]);
});
