import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { messageOf, PkiError } from "../../lib/base/errors.ts";
import { type Address, formatAddress } from "../../lib/client/address.ts";
import { ATTEMPT_GAP_MS, interleaveFamilies, race } from "../../lib/client/eyeballs.ts";

const LIMIT_MS = 5_000;
const MAX = 6;

/** What becomes of an attempt: it connects or fails after so long, or does neither. */
type Fate = { readonly connects: number } | { readonly fails: number } | "silence";
/** Addresses that a name stands for after so long; or none, and why. */
type Source =
  | { readonly after: number; readonly hosts: Readonly<Record<string, Fate>> }
  | { readonly after: number; readonly unknown: string }
  | { readonly after: "never" };

/** Time that passes only when a test says so. */
class Clock {
  nowMs = 0;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  readonly schedule = (ms: number, callback: () => void): () => void => {
    const timer = { atMs: this.nowMs + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  };

  get hasTimers(): boolean {
    return this.#timers.length > 0;
  }

  /** Goes on to the next timer; what follows from it has happened before this resolves. */
  async tick(): Promise<void> {
    this.#timers.sort((a, b) => a.atMs - b.atMs);
    const next = this.#timers.shift();
    assert.ok(next, "nothing will ever happen");
    this.nowMs = next.atMs;
    next.callback();
    await settled();
  }
}

/** Resolves when everything has run that is not waiting for a timer. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Story {
  /** `host@ms` of each attempt. */
  readonly tried: readonly string[];
  /** Attempts that were ended while they ran. */
  readonly ended: readonly string[];
  readonly discarded: readonly string[];
  /** The host that won, or each failure. */
  readonly end: string | readonly string[];
  readonly tookMs: number;
}

/** Runs a race to its end, and on until no attempt is under way any more. */
async function run(
  sources: readonly Source[],
  { abortAt }: { readonly abortAt?: number | "before" } = {},
): Promise<Story> {
  const clock = new Clock();
  const tried: string[] = [];
  const ended: string[] = [];
  const discarded: string[] = [];
  const fates = new Map<string, Fate>();
  const later = (ms: number) =>
    new Promise<void>((resolve) => void clock.schedule(ms, () => resolve()));
  const aborting = new AbortController();
  if (abortAt === "before") aborting.abort();
  else if (abortAt !== undefined) clock.schedule(abortAt, () => aborting.abort());
  let tookMs = -1;
  const racing = race<string>({
    sources: sources.map(async (source): Promise<readonly Address[]> => {
      if (source.after === "never") return await new Promise(() => {});
      if (source.after > 0) await later(source.after);
      if ("unknown" in source) throw new PkiError("unreachable", source.unknown);
      for (const [host, fate] of Object.entries(source.hosts)) fates.set(host, fate);
      return Object.keys(source.hosts).map((host) => ({ host, port: 1 }));
    }),
    dial: async ({ host }, _source, signal) => {
      tried.push(`${host}@${clock.nowMs}`);
      signal.addEventListener("abort", () => ended.push(host));
      const fate = fates.get(host);
      if (fate === undefined || fate === "silence") return await new Promise(() => {});
      await later("connects" in fate ? fate.connects : fate.fails);
      if ("connects" in fate) return host;
      throw new PkiError("unreachable", `${host} failed`);
    },
    discard: (host) => discarded.push(host),
    schedule: clock.schedule,
    limitMs: LIMIT_MS,
    attemptsMax: MAX,
    signal: aborting.signal,
  });
  void racing.then(() => tookMs = clock.nowMs);
  await settled();
  while (tookMs === -1) await clock.tick();
  const raced = await racing;
  while (clock.hasTimers) await clock.tick();
  const end = "connection" in raced ? raced.connection : raced.failures.map(
    ({ place, source, error }) =>
      `${place ? formatAddress(place) : `name ${source}`}: ${messageOf(error)}`,
  );
  return { tried, ended, discarded, end, tookMs };
}

const at = (hosts: Readonly<Record<string, Fate>>, after = 0): Source => ({ after, hosts });

const STORIES: readonly (readonly [name: string, sources: readonly Source[], story: Story])[] = [
  ["takes the first one where that answers in time", [at({ a: { connects: 249 }, b: "silence" })], {
    tried: ["a@0"],
    ended: [],
    discarded: [],
    end: "a",
    tookMs: 249,
  }],
  ["starts the next one after 250 ms and takes it where it is faster", [
    at({ a: { connects: 900 }, b: { connects: 100 } }),
  ], { tried: ["a@0", "b@250"], ended: ["a"], discarded: ["a"], end: "b", tookMs: 350 }],
  ["leaves earlier attempts running, which may win all the same", [
    at({ a: { connects: 700 }, b: "silence", c: "silence" }),
  ], {
    tried: ["a@0", "b@250", "c@500"],
    ended: ["b", "c"],
    discarded: [],
    end: "a",
    tookMs: 700,
  }],
  ["starts the next one at once where one failed", [
    at({ a: { fails: 10 }, b: { fails: 5 }, c: { connects: 1 } }),
  ], { tried: ["a@0", "b@10", "c@15"], ended: [], discarded: [], end: "c", tookMs: 16 }],
  ["waits for 250 ms again behind a failure", [
    at({ a: { fails: 100 }, b: "silence", c: { connects: 1 } }),
  ], { tried: ["a@0", "b@100", "c@350"], ended: ["b"], discarded: [], end: "c", tookMs: 351 }],
  ["says of each why it failed", [at({ a: { fails: 300 }, b: { fails: 1 } })], {
    tried: ["a@0", "b@250"],
    ended: [],
    discarded: [],
    end: ["b:1: b failed", "a:1: a failed"],
    tookMs: 300,
  }],
  ["says so where there is no address at all", [at({})], {
    tried: [],
    ended: [],
    discarded: [],
    end: [],
    tookMs: 0,
  }],
  ["ends when time is over", [at({ a: "silence", b: "silence" }), { after: "never" }], {
    tried: ["a@0", "b@250"],
    ended: ["a", "b"],
    discarded: [],
    end: [
      "a:1: it does not answer",
      "b:1: it does not answer",
      "name 2: the host name cannot be looked up now",
    ].map((line) => line.replace("name 2", "name 1")),
    tookMs: LIMIT_MS,
  }],
  ["tries several names in their order, each address once", [
    at({ a: { fails: 1 }, b: { fails: 1 } }),
    at({ b: { fails: 1 }, c: { connects: 1 } }),
  ], { tried: ["a@0", "b@1", "c@2"], ended: [], discarded: [], end: "c", tookMs: 3 }],
  ["waits for no name that is slow to be looked up, and prefers it once it is there", [
    at({ slow: { connects: 10 } }, 100),
    at({ a: "silence", b: { connects: 1 } }),
  ], { tried: ["a@0", "slow@250"], ended: ["a"], discarded: [], end: "slow", tookMs: 260 }],
  ["starts at once when a name was looked up and nothing else is under way", [
    at({ slow: { connects: 10 } }, 100),
  ], { tried: ["slow@100"], ended: [], discarded: [], end: "slow", tookMs: 110 }],
  ["goes on where a name is unknown", [
    { after: 20, unknown: "the host name is unknown" },
    at({ a: { fails: 5 } }),
  ], {
    tried: ["a@0"],
    ended: [],
    discarded: [],
    end: ["a:1: a failed", "name 0: the host name is unknown"],
    tookMs: 20,
  }],
  ["tries so many addresses and no more", [
    at(Object.fromEntries([..."abcdefgh"].map((host) => [host, { fails: 1 }]))),
  ], {
    tried: ["a@0", "b@1", "c@2", "d@3", "e@4", "f@5"],
    ended: [],
    discarded: [],
    end: [..."abcdef"].map((host) => `${host}:1: ${host} failed`),
    tookMs: 6,
  }],
];

for (const [name, sources, story] of STORIES) {
  test(`race() ${name}`, async () => assert.deepEqual(await run(sources), story));
}

test("race() tells of addresses that there was no time for", async () => {
  const silent = Object.fromEntries([..."abc"].map((host) => [host, "silence" as const]));
  const { end, tried, ended } = await run([at(silent, LIMIT_MS - 100)]);
  assert.deepEqual(tried, [`a@${LIMIT_MS - 100}`]);
  assert.deepEqual(ended, ["a"]);
  assert.deepEqual(end, [
    "a:1: it does not answer",
    "b:1: there was no time to try it",
    "c:1: there was no time to try it",
  ]);
});

test("race() ends everything when it is told to", async () => {
  const story = await run([at({ a: { connects: 500 }, b: "silence" })], { abortAt: 300 });
  assert.deepEqual(
    [story.tried, story.ended, story.discarded, story.tookMs],
    [["a@0", "b@250"], ["a", "b"], ["a"], 300],
  );
  const unknown = { after: 0, unknown: "the host name is unknown" };
  const before = await run([at({ a: { connects: 1 } }), unknown], { abortAt: "before" });
  assert.deepEqual([before.tried, before.tookMs, before.end.length], [[], 0, 2]);
});

test("race() keeps its promises for whatever becomes of the attempts", async () => {
  const fate: fc.Arbitrary<Fate> = fc.oneof(
    fc.record({ connects: fc.nat(1500) }),
    fc.record({ fails: fc.nat(1500) }),
    fc.constant("silence" as const),
  );
  const source: fc.Arbitrary<Source> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        after: fc.nat(600),
        hosts: fc.dictionary(fc.constantFrom(..."abcdefghi"), fate, { noNullPrototype: true }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ after: fc.nat(600), unknown: fc.constant("unknown") }) },
    { weight: 1, arbitrary: fc.constant({ after: "never" as const }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(source, { maxLength: 4 }), async (sources) => {
      const { tried, discarded, end, tookMs } = await run(sources);
      const hosts = tried.map((one) => one.replace(/@.*/, ""));
      assert.ok(tookMs <= LIMIT_MS);
      assert.equal(new Set(hosts).size, hosts.length, "each address once");
      assert.ok(hosts.length <= MAX);
      const winner = typeof end === "string" ? [end] : [];
      for (const host of [...winner, ...discarded]) assert.ok(hosts.includes(host));
      assert.ok(!discarded.includes(winner[0] ?? ""), "who wins is not closed");
    }),
    { numRuns: 300 },
  );
});

const ORDERS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [[], []],
  [["::1"], ["::1"]],
  [["::1", "::2", "10.0.0.1", "10.0.0.2"], ["::1", "10.0.0.1", "::2", "10.0.0.2"]],
  [["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"], ["10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"]],
  [["10.0.0.1", "::1", "::2", "::3"], ["10.0.0.1", "::1", "::2", "::3"]],
  [["::1", "::1", "10.0.0.1", "::1"], ["::1", "10.0.0.1"]],
];

for (const [hosts, order] of ORDERS) {
  test(`interleaveFamilies() of ${hosts.join(" ") || "nothing"}`, () => {
    assert.deepEqual(interleaveFamilies(hosts), order);
  });
}

test("ATTEMPT_GAP_MS is what RFC 8305 recommends", () => assert.equal(ATTEMPT_GAP_MS, 250));
