import assert from "node:assert/strict";
import { test } from "node:test";
import { type Caller, Callers, CALLERS_MAX, WAITING_MAX } from "../../lib/peer/callers.ts";

interface Named extends Caller {
  readonly name: string;
}

const STRANGER = { isKnown: false, hasOpened: false };
const WAITING = { isKnown: true, hasOpened: false };
const TALKING = { isKnown: true, hasOpened: true };

/** So many callers, each with a certificate of its own unless one is named. */
function add(
  callers: Callers<Named>,
  count: number,
  { state, name, certificate }: {
    readonly state: Caller;
    readonly name: string;
    readonly certificate?: string;
  },
): void {
  for (let at = 0; at < count; at++) {
    callers.add({ ...state, name: `${name} ${at}` }, certificate ?? `${name} ${at}`);
  }
}

function nameOfLeaving(callers: Callers<Named>, certificate: string): string | boolean {
  const room = callers.roomFor(certificate);
  return room.isFree ? room.leaving?.name ?? true : false;
}

test("roomFor() takes a few with the same certificate, until they are on the line", () => {
  for (const state of [STRANGER, WAITING]) {
    const callers = new Callers<Named>();
    add(callers, WAITING_MAX - 1, { state, name: "mallory", certificate: "m" });
    assert.equal(nameOfLeaving(callers, "m"), true);
    add(callers, 1, { state, name: "mallory again", certificate: "m" });
    assert.equal(nameOfLeaving(callers, "m"), false);
    assert.equal(nameOfLeaving(callers, "b"), true, "others are not kept out");
    const [first] = callers.all;
    assert.ok(first);
    callers.remove(first);
    assert.equal(nameOfLeaving(callers, "m"), true);
  }
  const callers = new Callers<Named>();
  add(callers, CALLERS_MAX - 1, { state: TALKING, name: "bob", certificate: "b" });
  assert.equal(nameOfLeaving(callers, "b"), true);
});

test("roomFor() has the one go who has been unknown for longest, and nobody whom we know", () => {
  const callers = new Callers<Named>();
  add(callers, 1, { state: WAITING, name: "bob" });
  add(callers, 2, { state: STRANGER, name: "stranger" });
  add(callers, CALLERS_MAX - 4, { state: TALKING, name: "carol" });
  assert.equal(nameOfLeaving(callers, "new"), true);
  add(callers, 1, { state: STRANGER, name: "last" });
  assert.equal(nameOfLeaving(callers, "new"), "stranger 0");
  for (const caller of callers.all) if (!caller.isKnown) callers.remove(caller);
  add(callers, 3, { state: WAITING, name: "dave" });
  assert.equal(callers.all.length, CALLERS_MAX);
  assert.equal(nameOfLeaving(callers, "new"), false);
});
