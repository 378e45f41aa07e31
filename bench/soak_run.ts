/**
 * A long run of mixed load on the built server, with everything that goes on beside it in a real life:
 * people register and are deleted, backups and snapshots are made, clients vanish. Samples of what the
 * server takes and how fast it answers are for `soak_charts.ts` to draw.
 */

import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { askServer } from "../lib/client/admin.ts";
import { logInByCertificate } from "../lib/client/login.ts";
import { type Account, chooseName, makeAccount } from "../lib/load/account.ts";
import { Judge } from "../lib/load/judge.ts";
import { chooseOperation, CLOCK } from "../lib/load/measure.ts";
import { type ProcessUsage, readProcess } from "../lib/load/process_usage.ts";
import { runLoad } from "../lib/load/run.ts";
import { type LatencySummary, type OperationSummary, Tally } from "../lib/load/tally.ts";
import { Connector } from "../lib/load/target.ts";
import { type BenchServer, PKI, startBenchServer } from "./server.ts";
import { SOAK_WEIGHTS, SoakClient, type SoakOperation } from "./soak_client.ts";

export interface SoakOptions {
  readonly seconds: number;
  /** Samples before that are drawn, and not judged. */
  readonly warmUpSeconds: number;
  /** Operations due each second, in an open loop. */
  readonly perSecond: number;
  readonly clients: number;
  readonly sampleMs: number;
  /** How often somebody registers, somebody is deleted (with a snapshot), a backup is made. */
  readonly registerMs: number;
  readonly deleteMs: number;
  readonly backupMs: number;
  readonly onSample?: (sample: Sample) => void;
}

/** What was seen at one time; latencies are those since the sample before. */
export interface Sample {
  readonly seconds: number;
  readonly residentBytes: number;
  readonly descriptors: number;
  readonly threads: number;
  readonly cores: number;
  /** Of the log. */
  readonly entries: number;
  readonly perSecond: number;
  readonly latencies: Readonly<Record<string, LatencySummary>>;
}

export interface Soaked {
  readonly options: SoakOptions;
  readonly samples: readonly Sample[];
  readonly operations: readonly OperationSummary[];
  /** What went wrong first, if anything did. */
  readonly firstError: unknown;
  readonly behind: number;
  readonly judged: number;
  readonly proven: number;
  readonly entries: number;
  /** How many connections had a thread. */
  readonly workers: number;
  readonly snapshots: number;
  /** What `pki log verify` ended with, while the server still ran. */
  readonly verified: number;
  /** CPU that the load itself took, in cores, and the server beside it. */
  readonly ownCores: number;
  readonly serverCores: number;
  /** The server before anybody came, and after all had left. */
  readonly before: ProcessUsage;
  readonly after: ProcessUsage;
}

const ACCOUNTS = 8;
/** How long threads and descriptors may take to be as few as before. */
const SETTLE_MS = 60_000;
/** Helper threads of the engine come and go; a pipe or a file may be open while one looks. */
export const SLACK = { threads: 4, descriptors: 4 } as const;

/** Counts twice: all that was, and what was since the last look. */
class SoakTally extends Tally {
  #recent = new Tally();

  override record(operation: string, ms: number, isLate?: boolean): void {
    super.record(operation, ms, isLate);
    this.#recent.record(operation, ms);
  }

  /** What was since the last look. */
  take(seconds: number): readonly OperationSummary[] {
    const recent = this.#recent;
    this.#recent = new Tally();
    return recent.summarize(seconds);
  }
}

function usageOf(pid: number): ProcessUsage {
  const usage = readProcess(pid);
  if (!usage) throw new Error("the server has ended");
  return usage;
}

/** Runs the built program; resolves with its exit code. */
async function runPki(args: readonly string[]): Promise<number> {
  const child = spawn(PKI, args, {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? -1));
  });
}

export async function soak(options: SoakOptions): Promise<Soaked> {
  const server = await startBenchServer();
  try {
    return await new Soak(server, options).run();
  } finally {
    await server.stop();
  }
}

class Soak {
  readonly #server: BenchServer;
  readonly #options: SoakOptions;
  readonly #data: string;
  readonly #connector: Connector;
  readonly #judge: Judge;
  readonly #tally = new SoakTally();
  readonly #samples: Sample[] = [];
  readonly #over = new AbortController();
  /** Who has registered meanwhile and is still there. */
  readonly #newcomers: string[] = [];
  readonly #snapshots = new Set<number>();
  /** When the load began. */
  #startMs = 0;

  constructor(server: BenchServer, options: SoakOptions) {
    this.#server = server;
    this.#options = options;
    this.#data = join(server.folder, "server");
    const { port, anchor } = server;
    this.#connector = new Connector({
      place: { host: "127.0.0.1", port },
      anchor,
      signal: new AbortController().signal,
      now: Date.now,
    });
    this.#judge = new Judge({ anchor, now: Date.now });
  }

  async run(): Promise<Soaked> {
    const { clients: count, perSecond, seconds } = this.#options;
    const name = chooseName();
    const accounts: Account[] = [];
    for (let i = 1; i <= Math.min(count, ACCOUNTS); i++) {
      accounts.push(await makeAccount(this.#connector, `${name}-${i}`, undefined));
    }
    const [first] = accounts;
    if (!first) throw new Error("there are no clients");
    const before = usageOf(this.#server.pid);
    this.#startMs = this.#lastMs = performance.now();
    this.#lastCpuSeconds = before.cpuSeconds;
    const clients = Array.from({ length: count }, (_, at) =>
      new SoakClient({
        connector: this.#connector,
        judge: this.#judge,
        who: accounts[at % accounts.length] ?? first,
      }));
    const chores = this.#chores();
    const ownBefore = process.cpuUsage();
    const { behind } = await runLoad<SoakOperation>({
      ...{ clients, perSecond, clock: CLOCK, tally: this.#tally, warmUpMs: 0 },
      durationMs: seconds * 1000,
      signal: new AbortController().signal,
      choose: () => chooseOperation(SOAK_WEIGHTS, Math.random()),
    });
    const own = process.cpuUsage(ownBefore);
    const { cpuSeconds } = usageOf(this.#server.pid);
    this.#over.abort();
    await Promise.all(chores);
    const proven = await this.#prove(first);
    for (const client of clients) client.close();
    const verified = await runPki(["log", "verify", "--home", this.#server.folder, "--quiet"]);
    const after = await this.#settle(before);
    const status = await askServer(this.#data, "STATUS", {});
    return {
      ...{ options: this.#options, samples: this.#samples, behind, proven, verified },
      ...{ before, after },
      operations: this.#tally.summarize(seconds),
      firstError: this.#tally.firstError,
      ownCores: (own.user + own.system) / 1e6 / seconds,
      serverCores: (cpuSeconds - before.cpuSeconds) / seconds,
      judged: this.#judge.judged,
      entries: Number(status?.["size"]),
      workers: status?.measured?.workers.started ?? 0,
      snapshots: this.#snapshots.size,
    };
  }

  /** What goes on beside the load, until it is over. */
  #chores(): readonly Promise<void>[] {
    const { registerMs, deleteMs, backupMs, sampleMs } = this.#options;
    const backup = join(this.#server.folder, "soak.backup");
    return [
      this.#every(sampleMs, undefined, () => this.#sample()),
      this.#every(registerMs, "register", async () => {
        const id = `${chooseName()}-newcomer`;
        await makeAccount(this.#connector, id, undefined);
        this.#newcomers.push(id);
      }),
      this.#every(deleteMs, "delete", async () => {
        const id = this.#newcomers.shift();
        if (id === undefined) return;
        const answer = await askServer(this.#data, "USER", { id, action: "delete" });
        if (!answer || answer.user.deletedMs === null) throw new Error(`${id} is not deleted`);
      }),
      this.#every(backupMs, "backup", async () => {
        fs.rmSync(backup, { force: true }); // of one that failed
        const code = await runPki(["backup", backup, "--home", this.#server.folder, "--quiet"]);
        if (code !== 0) throw new Error(`pki backup ended with ${code}`);
      }),
    ];
  }

  /** Does something again and again; what fails is counted and does not end it. */
  async #every(ms: number, name: string | undefined, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#over;
    for (let dueMs = CLOCK.nowMs() + ms;; dueMs = Math.max(dueMs + ms, CLOCK.nowMs())) {
      await CLOCK.sleep(dueMs - CLOCK.nowMs(), signal);
      if (signal.aborted) return;
      const begunMs = CLOCK.nowMs();
      try {
        await work();
        if (name !== undefined) this.#tally.record(name, CLOCK.nowMs() - begunMs);
      } catch (error) {
        this.#tally.fail(name ?? "sample", error);
      }
    }
  }

  /** At the last sample, or when the load began. */
  #lastCpuSeconds = 0;
  #lastMs = 0;

  async #sample(): Promise<void> {
    const status = await askServer(this.#data, "STATUS", {});
    const { cpuSeconds, ...usage } = usageOf(this.#server.pid);
    const nowMs = performance.now();
    const elapsed = (nowMs - this.#lastMs) / 1000;
    const rows = this.#tally.take(elapsed);
    const snapshot = fs.statSync(join(this.#data, "state.db"), { throwIfNoEntry: false });
    if (snapshot) this.#snapshots.add(snapshot.mtimeMs);
    const sample: Sample = {
      seconds: (nowMs - this.#startMs) / 1000,
      ...usage,
      cores: (cpuSeconds - this.#lastCpuSeconds) / elapsed,
      entries: Number(status?.["size"]),
      perSecond: rows.reduce((sum, row) => sum + row.perSecond, 0),
      latencies: Object.fromEntries(
        rows.flatMap(({ operation, latency }) => latency ? [[operation, latency]] : []),
      ),
    };
    this.#lastCpuSeconds = cpuSeconds;
    this.#lastMs = nowMs;
    this.#samples.push(sample);
    this.#options.onSample?.(sample);
  }

  async #prove(who: Account): Promise<number> {
    const connection = await this.#connector.greet(who.identity);
    try {
      await logInByCertificate(connection, { id: who.id });
      return await this.#judge.proveLogged(connection);
    } finally {
      connection.close();
    }
  }

  /** Waits until threads and descriptors are as few as before, or for long enough. */
  async #settle(before: ProcessUsage): Promise<ProcessUsage> {
    const endMs = performance.now() + SETTLE_MS;
    for (;;) {
      const now = usageOf(this.#server.pid);
      const isBack = now.threads <= before.threads + SLACK.threads &&
        now.descriptors <= before.descriptors + SLACK.descriptors;
      if (isBack || performance.now() > endMs) return now;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
