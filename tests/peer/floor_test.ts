import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { Floor, WAITING_MAX } from "../../lib/peer/floor.ts";

/** Waits, and writes down what came of it. */
function wait(floor: Floor<string>, who: string, events: string[]): void {
  floor.wait(who).then(
    () => events.push(who),
    (error) => events.push(`${who}: ${error.kind} ${error.message}`),
  );
}

/** Lets what was decided become known. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("Floor has one holder, and the others in the order in which they came", async () => {
  const floor = new Floor<string>();
  const events: string[] = [];
  assert.equal(floor.take("alice"), true);
  assert.equal(floor.take("bob"), false);
  for (const who of ["bob", "carol", "dave"]) wait(floor, who, events);
  assert.deepEqual([floor.holder, ...floor.waiting], ["alice", "bob", "carol", "dave"]);
  floor.leave("nobody");
  floor.leave("carol");
  assert.deepEqual([floor.holder, ...floor.waiting], ["alice", "bob", "dave"]);
  floor.leave("alice");
  assert.equal(floor.holder, "bob", "at once, so that nobody slips in between");
  assert.equal(floor.take("eve"), false);
  await settled();
  assert.deepEqual(events, ["carol: interrupted whoever waited has left", "bob"]);
  floor.leave("bob");
  floor.leave("dave");
  assert.equal(floor.holder, undefined);
  await settled();
  wait(floor, "eve", events);
  await settled();
  assert.deepEqual(events.slice(2), ["dave", "eve"], "who asks for what is free has it");
});

test("Floor lets no more wait than it can, and nobody once it is closed", async () => {
  const floor = new Floor<number>();
  const ended: string[] = [];
  floor.take(0);
  for (let who = 1; who <= WAITING_MAX + 1; who++) {
    floor.wait(who).catch((error: PkiError) => ended.push(`${who}: ${error.message}`));
  }
  await settled();
  assert.deepEqual(ended.splice(0), [`${WAITING_MAX + 1}: too many wait already, try again later`]);
  const stopped = new PkiError("busy", "the listener has stopped");
  floor.close(stopped);
  await settled();
  assert.equal(ended.length, WAITING_MAX);
  floor.leave(0);
  assert.throws(() => floor.take(1), stopped);
  await assert.rejects(floor.wait(1), stopped);
});
