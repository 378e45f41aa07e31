import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, SignsOfLife } from "../../lib/peer/signs_of_life.ts";

/** A clock that is moved by hand. */
class HandClock implements Clock {
  #nowMs = 1000;
  #due: { readonly atMs: number; readonly work: () => void }[] = [];

  readonly nowMs = () => this.#nowMs;

  readonly after = (ms: number, work: () => void) => {
    const entry = { atMs: this.#nowMs + ms, work };
    this.#due.push(entry);
    return () => {
      this.#due = this.#due.filter((other) => other !== entry);
    };
  };

  get isIdle(): boolean {
    return this.#due.length === 0;
  }

  /** Moves on, and calls what is due when it is due. */
  pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#due.sort((a, b) => a.atMs - b.atMs);
      if (!next || next.atMs > untilMs) break;
      this.#due.shift();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.work();
    }
    this.#nowMs = untilMs;
  }

  /** As while a process is stopped: time passes, and everything is called late. */
  sleep(ms: number): void {
    this.#nowMs += ms;
    this.pass(0);
  }
}

function start(silenceMs: number, peerSilenceMs: number) {
  const clock = new HandClock();
  const state = { isReading: true, isSending: false, dead: 0, alive: 0 };
  const signs: SignsOfLife = new SignsOfLife({
    clock,
    silenceMs,
    peerSilenceMs,
    isReading: () => state.isReading,
    isSending: () => state.isSending,
    sayAlive: () => {
      state.alive++;
      signs.said();
    },
    onDead: () => state.dead++,
  });
  return { clock, state, signs };
}

test("SignsOfLife takes a silent peer for dead when its time is over, and not before", () => {
  const { clock, state } = start(30_000, 3_600_000);
  clock.pass(29_999);
  assert.equal(state.dead, 0);
  clock.pass(1);
  assert.equal(state.dead, 1);
  assert.ok(clock.isIdle, "it looks no more");
});

test("SignsOfLife notices within a quarter of the time more", () => {
  for (const heardAtMs of [1, 5000, 7499, 7500, 7501, 20_000]) {
    const { clock, state, signs } = start(30_000, 3_600_000);
    clock.pass(heardAtMs);
    signs.heard();
    clock.pass(29_999);
    assert.equal(state.dead, 0, `heard at ${heardAtMs}`);
    clock.pass(7501);
    assert.equal(state.dead, 1, `heard at ${heardAtMs}`);
  }
});

test("SignsOfLife lets a peer live who says something within each time", () => {
  const { clock, state, signs } = start(30_000, 3_600_000);
  for (let i = 0; i < 100; i++) {
    clock.pass(29_000);
    signs.heard();
  }
  assert.equal(state.dead, 0);
});

test("SignsOfLife does not count the time in which we do not read", () => {
  const { clock, state } = start(30_000, 3_600_000);
  state.isReading = false;
  clock.pass(300_000);
  assert.equal(state.dead, 0, "a full stdout is no death");
  state.isReading = true;
  clock.pass(29_000);
  assert.equal(state.dead, 0);
  clock.pass(8501);
  assert.equal(state.dead, 1);
});

test("SignsOfLife does not take the peer for dead after we slept ourselves", () => {
  const { clock, state } = start(30_000, 60_000);
  clock.pass(20_000);
  clock.sleep(8 * 3_600_000);
  assert.equal(state.dead, 0, "what came meanwhile may still be unread");
  assert.ok(state.alive > 0, "and the peer hears of us at once");
  clock.pass(29_999);
  assert.equal(state.dead, 0);
  clock.pass(7501);
  assert.equal(state.dead, 1);
});

test("SignsOfLife says something before a third of the other's time is over, whatever that is", () => {
  for (const peerSilenceMs of [1000, 4000, 60_000, 3_600_000]) {
    const { clock, state, signs } = start(3_600_000, peerSilenceMs);
    const heardMs: number[] = [];
    let [lastMs, before] = [clock.nowMs(), 0];
    while (heardMs.length < 20) {
      clock.pass(peerSilenceMs / 100);
      signs.heard();
      if (state.alive === before) continue;
      before = state.alive;
      heardMs.push(clock.nowMs() - lastMs);
      lastMs = clock.nowMs();
    }
    assert.ok(Math.max(...heardMs) <= peerSilenceMs / 3 + peerSilenceMs / 100, `${heardMs}`);
    assert.ok(Math.min(...heardMs) >= peerSilenceMs / 6, "and does not chatter");
  }
});

test("SignsOfLife says nothing more where something was said, or still waits to be sent", () => {
  const { clock, state, signs } = start(3_600_000, 60_000);
  for (let i = 0; i < 100; i++) {
    clock.pass(4999);
    signs.said();
  }
  assert.equal(state.alive, 0);
  state.isSending = true;
  clock.pass(600_000);
  assert.equal(state.alive, 0, "the peer does not read, and knows why it hears nothing");
  state.isSending = false;
  clock.pass(5000);
  assert.equal(state.alive, 1);
});

test("SignsOfLife looks no more once it was stopped", () => {
  const { clock, state, signs } = start(1000, 1000);
  signs.stop();
  clock.pass(100_000);
  assert.deepEqual([state.dead, state.alive], [0, 0]);
  assert.ok(clock.isIdle);
});
