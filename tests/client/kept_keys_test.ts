/** When a kept key is over: by either clock, by its file, or since somebody said so. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { KeptKeys } from "../../lib/client/kept_keys.ts";

const MINUTE_MS = 60_000;
const HASH = encodeBase64(new Uint8Array(32));

class World {
  nowMs = 1_000_000;
  elapsedMs = 0;
  /** Ids whose file is another one by now. */
  readonly changed = new Set<string>();
  readonly keys = new KeptKeys({
    now: () => this.nowMs,
    elapsed: () => this.elapsedMs,
    isCurrent: (id) => !this.changed.has(id),
  });

  pass(ms: number): void {
    this.nowMs += ms;
    this.elapsedMs += ms;
  }

  add(id: string, forMs = MINUTE_MS, key = "AAAA"): number {
    return this.keys.add({ id, key, pemHash: HASH, forMs }).untilMs;
  }

  ids(): readonly string[] {
    return this.keys.list().kept.map(({ id }) => id);
  }
}

const NONE = { kind: "not-found", message: 'the key of "alice" is not unlocked' };

test("KeptKeys.find() gives a key until its time is over, to the millisecond", () => {
  const world = new World();
  const untilMs = world.add("alice");
  assert.equal(untilMs, world.nowMs + MINUTE_MS);
  assert.deepEqual(world.keys.find("alice"), { key: "AAAA", pemHash: HASH, untilMs });
  assert.equal(world.keys.nextEndMs, MINUTE_MS);
  world.pass(MINUTE_MS - 1);
  assert.equal(world.keys.find("alice").key, "AAAA");
  assert.equal(world.keys.nextEndMs, 1);
  world.pass(1);
  assert.throws(() => world.keys.find("alice"), NONE);
  assert.equal(world.keys.isEmpty, true);
  assert.equal(world.keys.nextEndMs, undefined);
});

test("KeptKeys counts the time of a suspended machine, and that of a clock that was set back", () => {
  const suspended = new World();
  suspended.add("alice");
  suspended.nowMs += MINUTE_MS; // the monotonic clock stood still
  assert.equal(suspended.keys.nextEndMs, 0);
  assert.throws(() => suspended.keys.find("alice"), NONE);

  const setBack = new World();
  setBack.add("alice");
  setBack.nowMs -= 10 * MINUTE_MS;
  setBack.elapsedMs += MINUTE_MS;
  assert.throws(() => setBack.keys.find("alice"), NONE);
});

test("KeptKeys.add() replaces a key and its time, and keeps others", () => {
  const world = new World();
  world.add("alice");
  world.pass(MINUTE_MS / 2);
  world.add("bob");
  world.add("alice", 2 * MINUTE_MS, "BBBB");
  assert.deepEqual(world.ids(), ["bob", "alice"]);
  world.pass(MINUTE_MS);
  assert.deepEqual(world.ids(), ["alice"]);
  assert.equal(world.keys.find("alice").key, "BBBB");
});

test("KeptKeys.prune() forgets a key whose file is another one", () => {
  const world = new World();
  world.add("alice");
  world.add("bob");
  world.changed.add("alice");
  assert.deepEqual(world.ids(), ["bob"]);
  world.changed.delete("alice");
  assert.throws(() => world.keys.find("alice"), NONE);
});

test("KeptKeys.lock() forgets one key or all, and says which", () => {
  const world = new World();
  for (const id of ["alice", "bob", "carol"]) world.add(id);
  assert.deepEqual(world.keys.lock("dave"), { forgotten: [] });
  assert.deepEqual(world.keys.lock("bob"), { forgotten: ["bob"] });
  assert.deepEqual(world.ids(), ["alice", "carol"]);
  assert.deepEqual(world.keys.lock(), { forgotten: ["alice", "carol"] });
  assert.deepEqual(world.keys.lock(), { forgotten: [] });
  assert.equal(world.keys.isEmpty, true);
});

test("KeptKeys.add() keeps so many keys and no more", () => {
  const world = new World();
  for (let n = 0; n < LIMITS.unlockedKeysMax; n++) world.add(`user${n}`);
  assert.throws(() => world.add("one-more"), { kind: "busy" });
  world.add("user0", 2 * MINUTE_MS); // it is there already
  world.pass(MINUTE_MS);
  world.add("one-more");
  assert.deepEqual(world.ids(), ["user0", "one-more"]);
});
