import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownNetworks } from "../../lib/server/known_networks.ts";

test("KnownNetworks remembers the last networks of each account", () => {
  const known = new KnownNetworks({ accountsMax: 10, networksMax: 2 });
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["home", ["home"]],
    ["office", ["home", "office"]],
    ["home", ["office", "home"]],
    ["train", ["home", "train"]],
  ];
  for (const [network, wanted] of rows) {
    known.remember("alice", network);
    const all = ["home", "office", "train"].filter((one) => known.has("alice", one));
    assert.deepEqual(all.sort(), [...wanted].sort());
  }
  assert.ok(!known.has("bob", "home"));
});

test("KnownNetworks forgets the account whose last login is the oldest, and never grows", () => {
  const known = new KnownNetworks({ accountsMax: 3, networksMax: 2 });
  for (const id of ["a", "b", "c", "a", "d"]) known.remember(id, "home");
  assert.equal(known.accounts, 3);
  assert.deepEqual(["a", "b", "c", "d"].filter((id) => known.has(id, "home")), ["a", "c", "d"]);
});

test("KnownNetworks forgets an account when it is told to", () => {
  const known = new KnownNetworks();
  for (const id of ["alice", "bob"]) known.remember(id, "home");
  known.forget("alice");
  assert.deepEqual(["alice", "bob"].filter((id) => known.has(id, "home")), ["bob"]);
});
