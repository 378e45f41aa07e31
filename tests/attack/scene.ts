/**
 * A server under attack: the built `./pki serve`, a well-behaved client that visits it all the while,
 * a count of what the server holds before and after, and its log. {@link underAttack} says what must
 * hold of all of them, whatever the attackers do.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { folderOf } from "../e2e/administrator.ts";
import { Forge } from "../e2e/forge.ts";
import { inWorld, PASSWORDS, ROOT, Running, until, type World } from "../e2e/harness.ts";
import { type Census, takeCensus } from "./census.ts";
import type { VisitorOptions, Visits } from "./visitor.ts";

/** How long what the server holds may take to be back; no test asserts a time below it. */
const PATIENCE_MS = 60_000;
/** Engines keep memory that they have had once; what a leak would take is far beyond this. */
const RESIDENT_SLACK_MIB = 128;
/** Files of the log and the snapshot that come and go. */
const DESCRIPTOR_SLACK = 4;
/** The engine's helpers: compilers, collectors. */
const THREAD_SLACK = 8;

/** For so long each table is repeated: not at all, but for `deno task attack`. */
const LONG_SECONDS = process.env["PKI_ATTACK_LONG"] === "1" ? 300 : 0;
const ATTACK_SECONDS = Number(process.env["PKI_ATTACK_SECONDS"] ?? LONG_SECONDS);

/** One attack: what is done, and what its attackers hear. */
export interface Attack {
  readonly name: string;
  /** Returns what was heard, in words: the code of an error, an alert, `closed`. */
  readonly run: (scene: Scene) => Promise<string>;
  readonly hears: string | RegExp;
  /** Not at the server's port. */
  readonly isElsewhere?: true;
}

export interface SceneOptions {
  /** Keys of `pki.json`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Of the server; `debug` where it is not said. */
  readonly logLevel?: "debug" | "info";
  /** The most that the server may have in memory at any time, in MiB. */
  readonly peakMiBMax: number;
}

export interface Scene {
  readonly world: World;
  readonly port: number;
  readonly metricsPort: number;
  /** An address that no other attack of the scene comes from, and no well-behaved client. */
  nextAddress(): string;
  /** Resolves once the well-behaved client has made so many visits more. */
  visits(count: number): Promise<void>;
  /** Resolves once the server's log has such a line. */
  told(isIt: (line: LogLine) => boolean): Promise<void>;
  /** The last words that attackers of `pki/1` heard: codes of errors, and how often. */
  readonly lastWords: Map<string, number>;
}

/** A line of the server's log. */
export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

class Visitor {
  readonly #running: Running;

  constructor(options: VisitorOptions) {
    const script = join(ROOT, "tests", "attack", "visitor.ts");
    const args = ["run", "--quiet", "--allow-all", "--no-check", script, JSON.stringify(options)];
    this.#running = new Running(process.execPath, args, { keepStdin: true, cwd: ROOT });
  }

  get #made(): number {
    return [...this.#running.stdout.matchAll(/^\{"visit":/gm)].length;
  }

  async visits(count: number): Promise<void> {
    await this.#running.waitFor(new RegExp(`^\\{"visit":${this.#made + count - 1}\\}`, "m"));
  }

  async end(): Promise<Visits> {
    this.#running.child.stdin?.end();
    const { stdout, stderr } = await this.#running.finished;
    const line = stdout.split("\n").find((line) => line.startsWith('{"operations"'));
    assert.ok(line, `the well-behaved client ended without a word: ${stderr}`);
    return JSON.parse(line) as Visits;
  }

  kill(): void {
    this.#running.kill("SIGKILL");
  }
}

async function startVisitor(world: World, id: string): Promise<Visitor> {
  const { keyPem, certPem } = await (await Forge.ofServer(world)).registered(world, id);
  return new Visitor({
    ...{ id, keyPem, certPem, port: world.server.port, password: PASSWORDS[id] ?? "" },
    rootPath: join(folderOf(world), "root.crt"),
  });
}

/** Waits until the server holds no more than it did. */
async function untilBack(world: World, before: Census): Promise<Census> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const now = await takeCensus(world);
    const excess = excessOf(now, before);
    if (excess.length === 0) return now;
    assert.ok(performance.now() < endMs, `not back: ${excess.join("; ")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function excessOf(now: Census, before: Census): readonly string[] {
  const count = ({ threads }: Census) => Object.values(threads).reduce((sum, one) => sum + one, 0);
  const rows = [
    ["connections", now.connections, 0],
    ["descriptors", now.descriptors, before.descriptors + DESCRIPTOR_SLACK],
    ["threads", count(now), count(before) + THREAD_SLACK],
    ["connection workers", now.threads["connection"] ?? 0, before.threads["connection"] ?? 0],
    ["MiB in memory", now.residentMiB, before.residentMiB + RESIDENT_SLACK_MIB],
  ] as const;
  return rows.filter(([, value, most]) => !(value <= most)) // what is no number is none that is good
    .map(([what, value, most]) => `${value} ${what}, ${most} at most`);
}

/** What no line of a server's log may have, whatever clients do. */
function checkLog(world: World): void {
  const { stderr } = world.server.running;
  assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
  assert.doesNotMatch(stderr, /\.ts:\d|\.js:\d|TypeError|RangeError|SyntaxError/, "no code");
  assert.doesNotMatch(stderr, /PRIVATE KEY|BEGIN |"(?:request|response|finish|record)":/);
  for (const password of Object.values(PASSWORDS)) {
    assert.ok(!stderr.includes(password), "no password");
  }
  for (const event of eventsOf(world)) {
    // That a crowd was too large is for the operator to know.
    const isFault = ["error", "warning"].includes(event.level) &&
      event.event !== "connections.dropped";
    assert.ok(!isFault, `the server complains: ${JSON.stringify(event)}`);
  }
}

async function metricsPortOf(world: World): Promise<number> {
  const [, port] = await world.server.running.waitFor(/"metrics":"127\.0\.0\.1:(\d+)"/);
  return Number(port);
}

/** Whoever was shown the door is in the log, with the code that was heard. */
function checkToldOf(world: World, lastWords: ReadonlyMap<string, number>): void {
  const ends = eventsOf(world).filter(({ event }) => ENDS.includes(event));
  for (const [code, heard] of lastWords) {
    const told = ends.filter((event) => event["code"] === code).length;
    assert.ok(told >= heard, `${code} was heard ${heard} times, and told ${told} times`);
  }
}

const ENDS = ["connection.closed", "connection.refused"];

function eventsOf(world: World): readonly LogLine[] {
  const { stderr } = world.server.running;
  const whole = stderr.slice(0, stderr.lastIndexOf("\n") + 1);
  return whole.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as LogLine);
}

/**
 * Runs attacks on a server of their own, with the users alice, whose account is attacked, and bob, who
 * behaves well.
 */
export async function underAttack(
  { settings = {}, logLevel = "debug", peakMiBMax }: SceneOptions,
  body: (scene: Scene) => Promise<void>,
): Promise<void> {
  await inWorld(async (world) => {
    const folder = folderOf(world);
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const all = { metrics: "127.0.0.1:0", ...settings };
    fs.writeFileSync(join(folder, "pki.json"), JSON.stringify(all), { mode: 0o600 });
    await world.serve(["--log-format", "json", "--log-level", logLevel]);
    for (const id of ["alice", "bob"]) await world.ok(id, ["csr", "--register"]);
    const visitor = await startVisitor(world, "bob");
    try {
      await visitor.visits(3); // the engine compiles what it runs
      const before = await takeCensus(world);
      let addresses = 1;
      const scene: Scene = {
        world,
        port: world.server.port,
        metricsPort: await metricsPortOf(world),
        told: (isIt) => until(() => eventsOf(world).some(isIt), "a line of the log"),
        // 127.1.0.2 and so on: a network of its own, but for the last byte's ends.
        nextAddress: () => {
          addresses++;
          return `127.1.${(addresses >> 7) & 0xff}.${(addresses & 0x7f) + 1}`;
        },
        visits: (count) => visitor.visits(count),
        lastWords: new Map(),
      };
      await body(scene);
      await scene.visits(2); // one that began before the attack's end, and one behind it
      const visits = await visitor.end();
      const after = await untilBack(world, { ...before, connections: 0 });
      checkLog(world);
      checkToldOf(world, scene.lastWords);
      report({ visits, before, after });
      assert.deepEqual(visits.failures, [], "the well-behaved client noticed");
      assert.equal(after.faults, 0, "an alert of a fault would be told of");
      assert.ok(after.peakMiB <= peakMiBMax, `${after.peakMiB} MiB at the peak`);
    } finally {
      visitor.kill();
    }
    assert.equal((await world.server.running.end()).code, 0);
  });
}

function report({ visits, before, after }: {
  readonly visits: Visits;
  readonly before: Census;
  readonly after: Census;
}): void {
  const count = Object.values(visits.operations).reduce((sum, one) => sum + one, 0);
  const { operation, ms } = visits.longest;
  const workers = ({ threads }: Census) => threads["connection"] ?? 0;
  console.log(
    `well-behaved: ${count} operations, ${visits.failures.length} failed, the longest ${operation} ` +
      `in ${ms} ms; descriptors ${before.descriptors} -> ${after.descriptors}, workers ` +
      `${workers(before)} -> ${workers(after)}, memory ${before.residentMiB} -> ` +
      `${after.residentMiB} MiB (peak ${after.peakMiB})`,
  );
}

/**
 * Carries out the rows of a table, so many at a time; all of it again for as long as a longer run goes.
 */
export async function attack(
  scene: Scene,
  attacks: readonly Attack[],
  { atOnce = 4 }: { readonly atOnce?: number } = {},
): Promise<void> {
  const endMs = performance.now() + ATTACK_SECONDS * 1000;
  const wrong: string[] = [];
  do {
    const waiting = [...attacks];
    const work = async () => {
      for (let row = waiting.shift(); row; row = waiting.shift()) {
        const heard = await row.run(scene).catch((error: Error) => `failed: ${error.message}`);
        const [, code] = /([A-Z]{2,}), closed$/.exec(heard) ?? [];
        if (code !== undefined && !row.isElsewhere) {
          scene.lastWords.set(code, (scene.lastWords.get(code) ?? 0) + 1);
        }
        const isRight = typeof row.hears === "string" ? heard === row.hears : row.hears.test(heard);
        if (!isRight) wrong.push(`${row.name}: heard "${heard}", not ${row.hears}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  } while (wrong.length === 0 && performance.now() < endMs);
  assert.deepEqual(wrong, []);
}
