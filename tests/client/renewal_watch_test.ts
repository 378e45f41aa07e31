import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_KINDS, type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { DEFAULT_MARGIN, isDue, type Margin, marginMsOf } from "../../lib/client/renewal.ts";
import {
  keepFresh,
  retryDelayMs,
  type WatchedCertificate,
  type WatchEvent,
} from "../../lib/client/renewal_watch.ts";

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 1);

/** A world in which time passes only while somebody waits. */
class Simulation {
  #issued = 0;
  nowMs = START_MS;
  certificate: WatchedCertificate = this.issue();
  random = 0;
  /** What happens at a renewal, by its number; it succeeds where nothing is named. */
  readonly failures = new Map<number, ErrorKind>();
  readonly renewals: number[] = [];
  readonly events: WatchEvent[] = [];
  readonly waits: number[] = [];
  readonly statusChecks: number[] = [];
  /** How the question for the certificate's status fails. */
  statusKind: ErrorKind | undefined;
  isPending = false;
  /** What happens while it waits. */
  onWait: () => void = () => {};
  onRenew: () => void = () => {};
  readonly #end = new AbortController();

  /** A certificate of 30 days, from now on. */
  issue(days = 30): WatchedCertificate {
    return {
      serial: `0${++this.#issued}`,
      notBeforeMs: this.nowMs,
      notAfterMs: this.nowMs + days * DAY_MS,
    };
  }

  end(): void {
    this.#end.abort("SIGTERM");
  }

  /** Days since the start. */
  get days(): number {
    return (this.nowMs - START_MS) / DAY_MS;
  }

  /** Watches until a day. */
  async watch(untilDay: number, margin: Margin = DEFAULT_MARGIN): Promise<void> {
    await keepFresh({
      load: () => this.certificate,
      renew: () => {
        this.renewals.push(this.days);
        this.onRenew();
        const kind = this.failures.get(this.renewals.length);
        if (kind) return Promise.reject(new PkiError(kind, `cannot: ${kind}`));
        this.isPending = false;
        this.certificate = this.issue();
        return Promise.resolve();
      },
      isPending: () => this.isPending,
      now: () => this.nowMs,
      wait: (ms) => {
        assert.ok(ms > 0, "a wait of nothing would spin");
        this.waits.push(ms);
        this.nowMs += ms;
        this.onWait();
        if (this.days >= untilDay) this.end();
        return Promise.resolve();
      },
      random: () => this.random,
      tell: (event) => this.events.push(event),
      signal: this.#end.signal,
      checkStatus: () => {
        this.statusChecks.push(this.days);
        return this.statusKind
          ? Promise.reject(new PkiError(this.statusKind, `status: ${this.statusKind}`))
          : Promise.resolve();
      },
      times: { checkMs: DAY_MS / 4, statusMs: DAY_MS, retryMs: 10_000 },
    }, margin);
  }

  get told(): readonly string[] {
    return this.events.map(({ event }) => event);
  }
}

test("keepFresh() renews when a third is left, again and again, and says so once for each", async () => {
  const world = new Simulation();
  await world.watch(61);
  assert.deepEqual(world.renewals, [20, 40, 60]);
  assert.deepEqual(world.told, ["waiting", "waiting", "waiting", "waiting"]);
  const [first] = world.events;
  assert.ok(first?.event === "waiting");
  assert.equal(first.until, START_MS + 20 * DAY_MS);
  assert.equal(first.certificate.serial, "01");
  assert.ok(Math.max(...world.waits) <= DAY_MS / 4, "the clock and the file are looked at");
});

test("keepFresh() spreads renewals over a tenth of the margin", async () => {
  const world = new Simulation();
  world.random = 1;
  await world.watch(22, { ms: 10 * DAY_MS });
  assert.deepEqual(world.renewals, [21]);
});

test("keepFresh() renews at the start what is due, and never a new one at once", async () => {
  for (const margin of [{ ms: 40 * DAY_MS }, { part: 1 }]) {
    const world = new Simulation();
    await world.watch(7, margin);
    assert.deepEqual(world.renewals, [0, 3, 6]);
    assert.deepEqual(world.told, ["waiting", "waiting", "waiting"]);
  }
});

test("keepFresh() tries again while the server is away, more and more rarely, and recovers", async () => {
  const world = new Simulation();
  for (let i = 1; i <= 12; i++) world.failures.set(i, "unreachable");
  await world.watch(21);
  assert.equal(world.renewals.length, 13);
  const delays = world.events.flatMap((told) => told.event === "failed" ? [told] : []);
  assert.deepEqual(delays.map(({ failures }) => failures), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const between = world.renewals.slice(1).map((day, i) =>
    Math.round((day - (world.renewals[i] ?? 0)) * DAY_MS / 1000)
  );
  assert.deepEqual(between, [5, 10, 20, 40, 80, 160, 320, 450, 450, 450, 450, 450]);
  assert.equal(delays[0]?.error.message, "cannot: unreachable");
  assert.equal(world.told.at(-1), "waiting");
  assert.equal(world.certificate.serial, "02");
});

test("retryDelayMs() is between half of a bound and the whole, whatever the count", () => {
  for (const failures of [1, 2, 7, 8, 100, 1e9]) {
    const [least, most] = [retryDelayMs(failures, 0), retryDelayMs(failures, 1)];
    assert.equal(most, 2 * least);
    assert.ok(most >= 10_000 && most <= 15 * 60_000);
  }
});

test("keepFresh() goes on after what time may mend, and ends with the rest", async () => {
  const transient = [
    "unreachable",
    "busy",
    "timeout",
    "truncated",
    "protocol",
    "storage",
    "internal",
    "conflict",
  ];
  for (const kind of Object.keys(ERROR_KINDS) as ErrorKind[]) {
    const world = new Simulation();
    world.failures.set(1, kind);
    if (transient.includes(kind)) {
      await world.watch(20.5);
      assert.deepEqual(world.told, ["waiting", "failed", "waiting"], kind);
    } else {
      await assert.rejects(world.watch(20.5), { kind, message: `cannot: ${kind}` });
      assert.equal(world.renewals.length, 1);
    }
  }
});

test("keepFresh() ends with a fault that nobody foresaw", async () => {
  const world = new Simulation();
  world.onRenew = () => {
    throw new TypeError("a fault");
  };
  await assert.rejects(world.watch(21), TypeError);
});

test("keepFresh() notices a certificate that another command has stored, also between tries", async () => {
  const world = new Simulation();
  world.onWait = () => {
    if (world.days === 10) world.certificate = world.issue();
  };
  await world.watch(31);
  assert.deepEqual(world.renewals, [30]);
  assert.deepEqual(world.told, ["waiting", "replaced", "waiting", "waiting"]);

  const failing = new Simulation();
  for (let i = 1; i <= 99; i++) failing.failures.set(i, "unreachable");
  failing.onWait = () => {
    if (failing.renewals.length === 3 && failing.certificate.serial === "01") {
      failing.certificate = failing.issue();
    }
  };
  await failing.watch(21);
  assert.equal(failing.renewals.length, 3);
  assert.deepEqual(failing.told.slice(-2), ["replaced", "waiting"]);
});

test("keepFresh() ends what was left to do although the certificate is fresh", async () => {
  const world = new Simulation();
  world.failures.set(1, "unreachable");
  world.onRenew = () => {
    if (world.renewals.length > 1) return;
    world.certificate = world.issue(); // stored, and then the line was cut
    world.isPending = true;
  };
  await world.watch(20.5);
  assert.equal(world.renewals.length, 2);
  assert.equal(world.isPending, false);
});

test("keepFresh() ends when it is told, waiting or at work", async () => {
  const waiting = new Simulation();
  waiting.onWait = () => waiting.end();
  await waiting.watch(100);
  assert.deepEqual(waiting.told, ["waiting"]);

  const working = new Simulation();
  working.failures.set(1, "interrupted");
  working.onRenew = () => working.end();
  await working.watch(100);
  assert.equal(working.renewals.length, 1);
  assert.deepEqual(working.told, ["waiting"]);
});

test("keepFresh() sees at once that a machine has slept past the end", async () => {
  const world = new Simulation();
  world.onWait = () => {
    if (world.days < 10) world.nowMs = START_MS + 45 * DAY_MS;
  };
  await world.watch(45.5);
  assert.deepEqual(world.renewals, [45]);
});

test("keepFresh() asks from time to time whether the certificate still counts", async () => {
  const world = new Simulation();
  await world.watch(3);
  assert.deepEqual(world.statusChecks, [0, 1, 2]);
  assert.deepEqual(world.told, ["waiting"]);

  const away = new Simulation();
  away.statusKind = "unreachable";
  await away.watch(3);
  assert.deepEqual(away.told, ["waiting"], "nothing is due, so it is not news");

  const revoked = new Simulation();
  revoked.onWait = () => {
    if (revoked.days === 2) revoked.statusKind = "untrusted";
  };
  await assert.rejects(revoked.watch(10), { kind: "untrusted" });
  assert.equal(revoked.days, 2);
});

test("isDue() and marginMsOf() on both sides of the limit", () => {
  const validity = { notBeforeMs: 0, notAfterMs: 90 };
  assert.equal(marginMsOf(DEFAULT_MARGIN, validity), 30);
  const rows: readonly (readonly [Margin, number, boolean])[] = [
    [DEFAULT_MARGIN, 59, false],
    [DEFAULT_MARGIN, 60, true],
    [{ ms: 10 }, 79, false],
    [{ ms: 10 }, 80, true],
    [{ ms: 10 }, 1000, true],
    [{ ms: 1000 }, 0, true],
    [{ part: 0 }, 89, false],
    [{ part: 1 }, 0, true],
  ];
  for (const [margin, nowMs, due] of rows) {
    assert.equal(isDue(validity, margin, nowMs), due, JSON.stringify([margin, nowMs]));
  }
});
