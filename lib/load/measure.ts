/**
 * Measures a server: opens the connections that a load needs, warms up, counts, and judges what came.
 * Who its clients are, and that they may, is for the caller to say.
 */

import process from "node:process";
import { PkiError } from "../base/errors.ts";
import { sleep } from "../base/sleep.ts";
import { logInByCertificate } from "../client/login.ts";
import type { Account, Holder } from "./account.ts";
import { LoadClient, type Operation } from "./client.ts";
import { Judge } from "./judge.ts";
import { type ProcessUsage, readProcess } from "./process_usage.ts";
import { type Clock, runLoad } from "./run.ts";
import { type OperationSummary, Tally } from "./tally.ts";
import type { Connector } from "./target.ts";
import { wrongAnswer } from "./wire.ts";

/** What clients do: of so many operations so many are this one. */
export type Weights = Partial<Record<Operation, number>>;

/** Loads by name. The mix is a group on a busy day: mostly lookups, some come and go, few are new. */
export const LOADS = {
  lookup: { lookup: 1 },
  issue: { issue: 1 },
  login: { login: 1 },
  visit: { visit: 1 },
  mixed: { lookup: 80, visit: 10, issue: 5, login: 5 },
} as const satisfies Record<string, Weights>;

export type Load = keyof typeof LOADS;

/** Operations on a connection that stays, of which each client has one. */
const ON_A_LINE: readonly Operation[] = ["lookup", "issue"];
/** Lines that are opened at once: the server starts a worker for each. */
const OPENED_AT_ONCE = 8;
/** How often the server's memory is looked at. */
const LOOK_MS = 500;

export interface MeasureOptions {
  readonly connector: Connector;
  /** Clients take turns in being these. */
  readonly holders: readonly [Holder | Account, ...(Holder | Account)[]];
  readonly load: Load;
  readonly clients: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Operations a second, in an open loop. */
  readonly perSecond?: number | undefined;
  /** The server's process, where it is on this machine. */
  readonly pid?: number | undefined;
  /** Ends it early; what was measured until then is returned. */
  readonly signal: AbortSignal;
  /** Told how long it has been under way, warm-up included. */
  readonly tick?: (ms: number) => void;
  /** What counts begins, and has ended: nothing is asked any more but proofs. */
  readonly onMeasuring?: () => void;
  readonly onMeasured?: () => void;
}

/** What the server's process took while it was measured. */
export interface ServerUsage {
  readonly cpuSeconds: number;
  /** The most that was seen. */
  readonly residentBytes: number;
  readonly threads: number;
}

export interface Measurement {
  readonly seconds: number;
  readonly operations: readonly OperationSummary[];
  /** Operations that were due and never begun. */
  readonly behind: number;
  /** Whether it ended early, since nothing ended well any more. */
  readonly isGivenUp: boolean;
  /** Certificates that were judged under the root, and those of them that the log proved to have. */
  readonly judged: number;
  readonly proven: number;
  /** CPU of this process, in seconds. */
  readonly ownCpuSeconds: number;
  readonly server?: ServerUsage;
  /** What went wrong first, if anything did. */
  readonly firstError?: unknown;
}

export const CLOCK: Clock = {
  nowMs: () => performance.now(),
  sleep,
};

/** Chooses by weight. @param random 0 to below 1 */
export function chooseOperation<Name extends string>(
  weights: Partial<Record<Name, number>>,
  random: number,
): Name {
  const rows = Object.entries(weights) as [Name, number][];
  const total = rows.reduce((sum, [, weight]) => sum + weight, 0);
  let left = random * total;
  for (const [operation, weight] of rows) {
    left -= weight;
    if (left < 0) return operation;
  }
  throw new PkiError("internal", "there is nothing to do");
}

/** @throws {PkiError} why the connections that stay cannot be opened */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { connector, holders, clients: count, signal, pid, durationMs, warmUpMs } = options;
  const { anchor, now } = connector.target;
  const judge = new Judge({ anchor, now });
  const clients = Array.from(
    { length: count },
    (_, at) =>
      new LoadClient({ connector, judge, who: holders[at % holders.length] ?? holders[0] }),
  );
  const weights: Weights = LOADS[options.load];
  const tally = new Tally();
  const watch = new UsageWatch(pid);
  const beganMs = CLOCK.nowMs();
  const timer = setInterval(() => {
    watch.look();
    options.tick?.(Math.min(CLOCK.nowMs() - beganMs, warmUpMs + durationMs));
  }, LOOK_MS);
  try {
    if (ON_A_LINE.some((operation) => weights[operation])) await openLines(clients, signal);
    const { seconds, behind, isGivenUp, lastError } = await runLoad<Operation>({
      ...{ clients, warmUpMs, durationMs, tally, signal, clock: CLOCK },
      perSecond: options.perSecond,
      choose: () => chooseOperation(weights, Math.random()),
      onMeasuring: () => {
        watch.begin();
        options.onMeasuring?.();
      },
    });
    const used = watch.end();
    options.onMeasured?.();
    const proven = signal.aborted || isGivenUp ? 0 : await prove(judge, options, tally);
    // Nobody may have got beyond the warm-up, of which nothing is counted.
    const firstError = tally.firstError ?? lastError;
    return {
      ...{ seconds, behind, isGivenUp, proven, ...used },
      judged: judge.judged,
      operations: tally.summarize(seconds),
      ...(firstError === undefined ? {} : { firstError }),
    };
  } finally {
    clearInterval(timer);
    for (const client of clients) client.close();
  }
}

async function openLines(clients: readonly LoadClient[], signal: AbortSignal): Promise<void> {
  const left = clients.entries();
  const open = async () => {
    for (const [at, client] of left) {
      if (signal.aborted) throw new PkiError("interrupted", "interrupted");
      try {
        await client.openLine();
      } catch (error) {
        if (signal.aborted || !(error instanceof PkiError)) throw error;
        const { kind, message } = error;
        const which = `cannot open connection ${at + 1} of ${clients.length}`;
        throw new PkiError(kind, `${which}: ${message}`, {
          cause: error,
          hint: "fewer --clients may fit; pki serve --max-connections says how many do",
        });
      }
    }
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, open));
}

/** Has the log prove what was judged. */
async function prove(
  judge: Judge,
  { connector, holders: [who] }: MeasureOptions,
  tally: Tally,
): Promise<number> {
  if (judge.judged === 0) return 0;
  try {
    const connection = await connector.greet(who.identity);
    try {
      await logInByCertificate(connection, { id: who.id });
      return await judge.proveLogged(connection);
    } finally {
      connection.close();
    }
  } catch (error) {
    const isUntrue = error instanceof PkiError && error.kind === "untrusted";
    tally.fail("proof", isUntrue ? wrongAnswer(error.message, error) : error);
    return 0;
  }
}

/** CPU of this process and of the server's, and the server's memory. */
class UsageWatch {
  readonly #pid: number | undefined;
  #own = process.cpuUsage();
  #before: ProcessUsage | undefined;
  #residentBytes = 0;

  constructor(pid: number | undefined) {
    this.#pid = pid;
  }

  look(): ProcessUsage | undefined {
    const usage = this.#pid === undefined ? undefined : readProcess(this.#pid);
    if (usage) this.#residentBytes = Math.max(this.#residentBytes, usage.residentBytes);
    return usage;
  }

  begin(): void {
    this.#own = process.cpuUsage();
    this.#before = this.look();
    this.#residentBytes = this.#before?.residentBytes ?? 0;
  }

  end(): { readonly ownCpuSeconds: number; readonly server?: ServerUsage } {
    const { user, system } = process.cpuUsage(this.#own);
    const now = this.look();
    return {
      ownCpuSeconds: (user + system) / 1e6,
      ...(now && this.#before
        ? {
          server: {
            cpuSeconds: now.cpuSeconds - this.#before.cpuSeconds,
            residentBytes: this.#residentBytes,
            threads: now.threads,
          },
        }
        : {}),
    };
  }
}
