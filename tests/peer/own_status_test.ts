import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { OwnStatus, type StatusWatcher } from "../../lib/peer/own_status.ts";
import type { OcspJudgement } from "../../lib/x509/ocsp_judge.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const START_MS = Date.UTC(2026, 10, 1, 12);

/** A server, a clock and an alarm, all in the test's hands. */
class Surroundings {
  nowMs = START_MS;
  asked = 0;
  /** What the server does next; good unless told otherwise. */
  answer: Partial<OcspJudgement> | Error = {};
  alarm: { readonly work: () => void; readonly delayMs: number } | undefined;
  #settled = Promise.resolve();

  readonly status = new OwnStatus({
    fetch: () => {
      this.asked++;
      const { answer } = this;
      const fetching = answer instanceof Error ? Promise.reject(answer) : Promise.resolve({
        der: Uint8Array.of(this.asked),
        judged: {
          status: "good",
          thisUpdateMs: this.nowMs,
          nextUpdateMs: this.nowMs + 60 * MINUTE_MS,
          ...answer,
        } as const,
      });
      this.#settled = fetching.then(() => {}, () => {});
      return fetching;
    },
    now: () => this.nowMs,
    schedule: (work, delayMs) => {
      const alarm = this.alarm = { work, delayMs };
      return () => {
        if (this.alarm === alarm) this.alarm = undefined;
      };
    },
  });

  /** Lets the time pass until the alarm, and what it starts come to its end; gives how long it was. */
  async pass(): Promise<number> {
    const { alarm } = this;
    assert.ok(alarm, "nothing is to happen any more");
    this.alarm = undefined;
    this.nowMs += alarm.delayMs;
    alarm.work();
    await this.#settled;
    for (let i = 0; i < 5; i++) await Promise.resolve(); // what stands behind the fetch
    return alarm.delayMs;
  }
}

const AWAY = new PkiError("unreachable", "cannot reach localhost:1: nobody listens there");
const quiet: StatusWatcher = { onBack: () => {}, onLost: (error) => assert.fail(error) };

test("OwnStatus.response is the newest, but not in its last minute", async () => {
  const world = new Surroundings();
  const { status } = world;
  assert.equal(status.response, undefined);
  assert.equal(await status.refresh(), undefined);
  assert.deepEqual(status.response, Uint8Array.of(1));
  world.nowMs += 59 * MINUTE_MS - 1;
  assert.deepEqual(status.response, Uint8Array.of(1));
  world.nowMs += 1;
  assert.equal(status.response, undefined);
  assert.equal(await status.refresh(), undefined);
  assert.deepEqual(status.response, Uint8Array.of(2));
});

test("OwnStatus.refresh() says why it failed, and keeps what it had", async () => {
  const world = new Surroundings();
  await world.status.refresh();
  world.answer = AWAY;
  assert.equal(await world.status.refresh(), AWAY);
  assert.deepEqual(world.status.response, Uint8Array.of(1));
});

test("OwnStatus.refresh() throws when no peer would trust the certificate", async () => {
  const rows = [
    [
      { status: "revoked", revokedMs: START_MS - MINUTE_MS },
      "no peer will trust your certificate: it was revoked 2026-11-01T11:59:00.000Z",
    ],
    [
      { status: "unknown" },
      "no peer will trust your certificate: the server says that it has not issued it",
    ],
  ] as const;
  for (const [answer, message] of rows) {
    const world = new Surroundings();
    await world.status.refresh();
    world.answer = answer;
    await assert.rejects(world.status.refresh(), {
      kind: "untrusted",
      message,
      hint: "get a new one with: pki csr --rekey",
    });
    assert.equal(world.status.response, undefined, "what it had is not shown any more");
  }
});

test("OwnStatus.refresh() does not take an interruption, or a fault, for the server's", async () => {
  for (const error of [new PkiError("interrupted", "interrupted"), new TypeError("a fault")]) {
    const world = new Surroundings();
    world.answer = error;
    await assert.rejects(world.status.refresh(), error);
  }
});

test("OwnStatus.keepFresh() asks again at half of the time", async () => {
  const world = new Surroundings();
  await world.status.refresh();
  world.nowMs += 10 * MINUTE_MS;
  world.status.keepFresh(quiet);
  assert.equal(await world.pass(), 20 * MINUTE_MS);
  assert.deepEqual(world.status.response, Uint8Array.of(2));
  assert.equal(await world.pass(), 30 * MINUTE_MS);
  assert.deepEqual(world.status.response, Uint8Array.of(3));
});

test("OwnStatus.keepFresh() asks a server that is away ever less often, and is there when it is", async () => {
  const world = new Surroundings();
  world.answer = AWAY;
  assert.equal(await world.status.refresh(), AWAY);
  let back = 0;
  world.status.keepFresh({ ...quiet, onBack: () => back++ });
  const waits: number[] = [];
  for (let i = 0; i < 9; i++) waits.push(await world.pass() / SECOND_MS);
  assert.deepEqual(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
  assert.equal(back, 0);
  world.answer = {};
  assert.equal(await world.pass(), 300 * SECOND_MS);
  assert.ok(world.status.response);
  assert.equal(back, 1);
  world.answer = AWAY;
  assert.equal(await world.pass(), 30 * MINUTE_MS);
  assert.equal(await world.pass(), 5 * SECOND_MS, "it begins anew");
  assert.ok(world.status.response, "what there is, is good for a while");
  world.answer = {};
  await world.pass();
  assert.equal(back, 1, "it was there all the time");
});

test("OwnStatus.keepFresh() does not ask without pause where the clocks are far apart", async () => {
  const world = new Surroundings();
  world.answer = {
    thisUpdateMs: START_MS - 55 * MINUTE_MS,
    nextUpdateMs: START_MS + 5 * MINUTE_MS,
  };
  await world.status.refresh();
  world.status.keepFresh(quiet);
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) waits.push(await world.pass() / SECOND_MS);
  assert.deepEqual(waits, [5, 10, 20, 40]);
});

test("OwnStatus.keepFresh() tells a revocation once, and asks no more", async () => {
  const world = new Surroundings();
  await world.status.refresh();
  const lost: PkiError[] = [];
  world.status.keepFresh({ ...quiet, onLost: (error) => lost.push(error) });
  world.answer = { status: "revoked", revokedMs: START_MS };
  await world.pass();
  assert.equal(lost.length, 1);
  assert.equal(lost[0]?.kind, "untrusted");
  assert.equal(world.alarm, undefined);
});

test("OwnStatus.stop() asks no more, and tells nothing that comes after", async () => {
  const idle = new Surroundings();
  await idle.status.refresh();
  idle.status.keepFresh(quiet);
  idle.status.stop();
  assert.equal(idle.alarm, undefined);

  for (const answer of [{}, { status: "revoked" }, AWAY] as const) {
    const world = new Surroundings();
    await world.status.refresh();
    world.status.keepFresh(quiet);
    world.answer = answer;
    const passed = world.pass();
    world.status.stop();
    await passed;
    assert.equal(world.alarm, undefined);
    assert.equal(world.asked, 2);
  }
});
