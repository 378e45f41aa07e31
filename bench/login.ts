/**
 * What a login by password takes of the server: connections that greet and log in beside others that
 * only greet, in turn, on an engine that has compiled what runs. The difference is the login's own
 * share. First come the logins of a server that has just started, of which each is dearer.
 *
 * The password is not stretched, as of all accounts of a load, so that the client is soon done; the
 * server sees no difference.
 */

import { logIn } from "../lib/client/login.ts";
import { type Account, chooseName, makeAccount } from "../lib/load/account.ts";
import { Connector } from "../lib/load/target.ts";
import { cpuSince, cpuTimes } from "./cpu.ts";
import { startBenchServer } from "./server.ts";

/** The first logins of a server. */
const FIRST = 20;
/** Connections of each kind until the engine has compiled what runs often. */
const WARM_UP = 300;
/** So many of each kind are measured, in turn by rounds. */
const ROUNDS = 10;
const IN_A_ROUND = 40;

/** Milliseconds of CPU for a connection, by the names of the server's threads. */
type Cost = Readonly<Record<string, number>>;

/** @param combine told 0 for a thread that only one of them has */
function merge(one: Cost, other: Cost, combine: (a: number, b: number) => number): Cost {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return Object.fromEntries(
    names.map((name) => [name, combine(one[name] ?? 0, other[name] ?? 0)]),
  );
}

const sumOf = (cost: Cost) => Object.values(cost).reduce((sum, ms) => sum + ms, 0);

function describe(cost: Cost): string {
  const threads = Object.entries(cost).filter(([, ms]) => Math.abs(ms) >= 0.05)
    .sort(([, a], [, b]) => b - a);
  return `${sumOf(cost).toFixed(2)} ms of server CPU: ` +
    threads.map(([name, ms]) => `${name} ${ms.toFixed(2)}`).join(", ");
}

/** One connection after the other. */
async function connect(
  { connector, account, times, logsIn }: {
    readonly connector: Connector;
    readonly account: Account;
    readonly times: number;
    readonly logsIn: boolean;
  },
): Promise<void> {
  for (let i = 0; i < times; i++) {
    const connection = await connector.greet();
    try {
      if (logsIn) await logIn(connection, account.credentials);
    } finally {
      connection.close();
    }
  }
}

export async function benchLogin(show: (what: string, figures: string) => void): Promise<void> {
  const { anchor, port, pid, stop } = await startBenchServer();
  try {
    const connector = new Connector({
      ...{ place: { host: "127.0.0.1", port }, anchor, now: Date.now },
      signal: new AbortController().signal,
    });
    const account = await makeAccount(connector, chooseName(), undefined);
    const measure = async (times: number, logsIn: boolean): Promise<Cost> => {
      const before = cpuTimes(pid);
      await connect({ connector, account, times, logsIn });
      return cpuSince(pid, before, times * 1000);
    };
    const first = await measure(FIRST, true);
    let [greeting, withLogin]: [Cost, Cost] = [{}, {}];
    const add = (sum: Cost, cost: Cost) => merge(sum, cost, (a, b) => a + b / ROUNDS);
    for (const logsIn of [false, true]) {
      await connect({ connector, account, times: WARM_UP, logsIn });
    }
    for (let round = 0; round < ROUNDS; round++) {
      greeting = add(greeting, await measure(IN_A_ROUND, false));
      withLogin = add(withLogin, await measure(IN_A_ROUND, true));
    }
    show("a connection that greets", describe(greeting));
    show("  and logs in by password", describe(withLogin));
    show("so the login alone", describe(merge(withLogin, greeting, (a, b) => a - b)));
    show(`the first ${FIRST}, connection and login`, describe(first));
  } finally {
    await stop();
  }
}
