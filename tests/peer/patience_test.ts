import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { Patience } from "../../lib/peer/patience.ts";

/** A patience whose one timer is looked at, and goes off when it is told to. */
function start() {
  const timers = new Map<number, () => void>();
  const said: string[] = [];
  const patience = new Patience(() => said.push("late"), {
    after: (ms, work) => {
      assert.ok(!timers.has(ms), "one deadline at a time");
      timers.set(ms, work);
      return () => timers.delete(ms);
    },
  });
  const pending = () => [...timers.keys()];
  const goOff = () => timers.values().next().value?.();
  return { patience, pending, goOff, said };
}

test("Patience waits for one thing at a time, and says that it is late in the words of that", () => {
  const { patience, pending, goOff, said } = start();
  patience.limit(1000);
  patience.limit(2000, () => said.push("nobody was asked"));
  assert.deepEqual(pending(), [2000]);
  goOff();
  patience.limit(3000);
  goOff();
  assert.deepEqual(said, ["nobody was asked", "late"]);
  patience.stop();
  assert.deepEqual(pending(), []);
});

const READY: readonly (readonly [...("asked" | "busy" | "ready")[]])[] = [
  ["ready"],
  ["asked", "ready"],
  ["ready", "asked"],
  ["ready", "asked", "asked"],
];

for (const steps of READY) {
  test(`Patience limits what comes behind our READY, after ${steps.join(", ")}`, () => {
    const { patience, pending } = start();
    for (const step of steps) step === "ready" ? patience.limitReady() : patience.grant(step);
    assert.deepEqual(pending(), [
      steps.includes("asked") ? LIMITS.peerAskedMs : LIMITS.peerReadyMs,
    ]);
  });
}

for (const steps of [["busy", "ready"], ["ready", "busy"], ["ready", "busy", "asked"]] as const) {
  test(`Patience waits for good for a busy peer, after ${steps.join(", ")}`, () => {
    const { patience, pending } = start();
    for (const step of steps) step === "ready" ? patience.limitReady() : patience.grant(step);
    assert.deepEqual(pending(), []);
  });
}

test("Patience.grant() moves no limit of ours before we are ready, and gives no more for a reason said again", () => {
  for (const reason of ["asked", "busy"] as const) {
    const { patience, pending, goOff, said } = start();
    assert.equal(patience.grant(reason), true);
    assert.deepEqual(pending(), [], "we are not waiting for the peer");
    patience.limit(1000, () => said.push("ours"));
    assert.equal(patience.grant(reason), false);
    assert.equal(patience.grant(reason === "asked" ? "busy" : "asked"), true);
    assert.deepEqual(pending(), [1000]);
    goOff();
    assert.deepEqual(said, ["ours"]);
  }
});
