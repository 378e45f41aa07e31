import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { ANNOUNCED_SECONDS, Announcer, RETRY_MS_MIN } from "../../lib/peer/announcer.ts";

const HALF_MS = ANNOUNCED_SECONDS * 500;
const NEVER = new AbortController().signal;

/** A server that hears announcements, or does not; and a timer that goes off when a test says so. */
class FakeWorld {
  readonly heard: string[] = [];
  readonly told: string[] = [];
  addresses: readonly string[] = ["192.0.2.1:7450"];
  failure: ErrorKind | undefined;
  /** What the next announcement waits for. */
  held: Promise<void> | undefined;
  timer: { readonly work: () => void; readonly delayMs: number } | undefined;

  readonly announcer = new Announcer({
    addresses: () => this.addresses,
    announce: async (addresses, seconds, signal) => {
      this.heard.push(`${addresses.join() || "nothing"} for ${seconds}`);
      const interrupted = new Promise<void>((_, reject) =>
        signal.addEventListener("abort", () => reject(new PkiError("interrupted", "interrupted")))
      );
      interrupted.catch(() => {}); // nobody may wait for it
      if (this.held) await Promise.race([this.held, interrupted]);
      if (this.failure) throw new PkiError(this.failure, `failed: ${this.failure}`);
    },
    schedule: (work, delayMs) => {
      assert.equal(this.timer, undefined, "one timer at a time");
      this.timer = { work, delayMs };
      return () => this.timer = undefined;
    },
    onAnnounced: (addresses) => this.told.push(`announced ${addresses.join()}`),
    onFailed: (error) => this.told.push(error.message),
  });

  /** Lets the timer go off; returns how long it had waited. */
  async next(): Promise<number> {
    const { timer } = this;
    assert.ok(timer, "nothing is planned");
    this.timer = undefined;
    timer.work();
    await new Promise((resolve) => setImmediate(resolve));
    return timer.delayMs;
  }
}

const SAID = `192.0.2.1:7450 for ${ANNOUNCED_SECONDS}`;
const TAKEN_BACK = `nothing for ${ANNOUNCED_SECONDS}`;

test("Announcer says it again at half of the time, and tells of it once", async () => {
  const world = new FakeWorld();
  await world.announcer.start();
  assert.deepEqual(world.heard, [SAID]);
  assert.equal(await world.next(), HALF_MS);
  assert.equal(await world.next(), HALF_MS);
  assert.deepEqual(world.heard, [SAID, SAID, SAID]);
  assert.deepEqual(world.told, ["announced 192.0.2.1:7450"]);
});

test("Announcer tells of addresses that are others now", async () => {
  const world = new FakeWorld();
  await world.announcer.start();
  world.addresses = ["198.51.100.1:7450", "[2001:db8::1]:7450"];
  await world.next();
  assert.deepEqual(world.told, [
    "announced 192.0.2.1:7450",
    "announced 198.51.100.1:7450,[2001:db8::1]:7450",
  ]);
});

test("Announcer tries again where it failed, less and less often, and says so once", async () => {
  const world = new FakeWorld();
  world.failure = "unreachable";
  await world.announcer.start();
  const waits: number[] = [];
  for (let tries = 0; tries < 8; tries++) waits.push(await world.next());
  assert.deepEqual(waits, [5, 10, 20, 40, 80, 160, 300, 300].map((seconds) => seconds * 1000));
  assert.equal(waits[0], RETRY_MS_MIN);
  assert.deepEqual(world.told, ["failed: unreachable"]);
  world.failure = undefined;
  await world.next();
  assert.deepEqual(world.told, ["failed: unreachable", "announced 192.0.2.1:7450"]);
  world.failure = "busy";
  assert.equal(await world.next(), HALF_MS);
  assert.equal(await world.next(), RETRY_MS_MIN, "it begins anew");
  assert.deepEqual(world.told.slice(2), ["failed: busy"]);
});

test("Announcer takes back what it has said, and says nothing more", async () => {
  const world = new FakeWorld();
  await world.announcer.start();
  assert.equal(await world.announcer.stop(NEVER), true);
  assert.deepEqual(world.heard, [SAID, TAKEN_BACK]);
  assert.equal(world.timer, undefined);
});

for (
  const [kind, isTakenBack] of [
    ["unreachable", false],
    ["refused", false],
    ["timeout", true],
    ["truncated", true],
  ] as const
) {
  test(`Announcer ${isTakenBack ? "takes back" : "has nothing to take back"} behind ${kind}`, async () => {
    const world = new FakeWorld();
    world.failure = kind;
    await world.announcer.start();
    world.failure = undefined;
    assert.equal(await world.announcer.stop(NEVER), isTakenBack);
    assert.equal(world.heard.includes(TAKEN_BACK), isTakenBack);
  });
}

test("Announcer that was never started has nothing to take back", async () => {
  const world = new FakeWorld();
  assert.equal(await world.announcer.stop(NEVER), false);
  assert.deepEqual(world.heard, []);
});

test("Announcer ends what is under way when it stops, and takes it back", async () => {
  const world = new FakeWorld();
  world.held = new Promise(() => {});
  const starting = world.announcer.start();
  await new Promise((resolve) => setImmediate(resolve));
  const stopping = world.announcer.stop(AbortSignal.abort());
  world.held = undefined;
  await starting;
  assert.equal(await stopping, true);
  assert.deepEqual(world.heard, [SAID, TAKEN_BACK]);
  assert.deepEqual(world.told, []);
  assert.equal(world.timer, undefined);
});

test("Announcer gives up to take it back where the server does not answer", async () => {
  const world = new FakeWorld();
  await world.announcer.start();
  world.held = new Promise(() => {});
  const limit = new AbortController();
  const stopping = world.announcer.stop(limit.signal);
  await new Promise((resolve) => setImmediate(resolve));
  limit.abort();
  assert.equal(await stopping, false);
});
