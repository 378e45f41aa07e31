/**
 * The load on a server, for `issue.ts`: the load generator of `pki bench` (`lib/load/`), and beside it
 * what each thread of the server takes for an answer.
 *
 * Run by bun, the engine of the executable; takes JSON as its argument, prints JSON.
 */

import * as fs from "node:fs";
import process from "node:process";
import { type Account, chooseName, makeAccount } from "../lib/load/account.ts";
import { measure } from "../lib/load/measure.ts";
import { Connector } from "../lib/load/target.ts";
import { checkRoot } from "../lib/x509/chain.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import { cpuSince, cpuTimes } from "./cpu.ts";

export interface LoadOptions {
  readonly port: number;
  /** PEM of the server's root. */
  readonly rootPath: string;
  readonly domain: string;
  readonly clients: number;
  readonly seconds: number;
  /** So long the same is done before anything is measured: the engine compiles what runs often. */
  readonly warmUpSeconds: number;
  /** Every client has its own key certified, or all look up one published certificate. */
  readonly request: "CSR" | "CERTREQ";
  /** The server's process, whose CPU time is to be told. */
  readonly pid: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Requests that were answered with `OK`; anything else ends the run with an error. */
  readonly answers: number;
  /** Certificates that were judged under the root; of lookups all, by the bytes of one that was. */
  readonly judged: number;
  /** CPU that this program used, in microseconds for each answer. */
  readonly ownMicroseconds: number;
  /** CPU that the server used, in microseconds for each answer, by the names of its threads. */
  readonly serverMicroseconds: Readonly<{ [thread: string]: number }>;
}

const options = JSON.parse(process.argv[2] ?? "") as LoadOptions;
const root = checkRoot(
  parsePemBlock(fs.readFileSync(options.rootPath, "utf8"), ["CERTIFICATE"], options.rootPath),
  Date.now(),
);
const connector = new Connector({
  place: { host: "127.0.0.1", port: options.port },
  anchor: { root, domain: options.domain },
  signal: new AbortController().signal,
  now: Date.now,
});

const name = chooseName();
const first = await makeAccount(connector, `${name}-0`, undefined);
const holders: [Account, ...Account[]] = [first];
for (let i = 1; i < options.clients; i++) {
  const account = await makeAccount(connector, `${name}-${i}`, undefined);
  // All look up the same one.
  holders.push({ ...account, lookUp: first.lookUp, sought: first.sought });
}
let before = cpuTimes(options.pid);
let used: ReturnType<typeof cpuSince> = {};
const measured = await measure({
  ...{ connector, holders, clients: options.clients },
  load: options.request === "CSR" ? "issue" : "lookup",
  warmUpMs: options.warmUpSeconds * 1000,
  durationMs: options.seconds * 1000,
  signal: connector.target.signal,
  onMeasuring: () => before = cpuTimes(options.pid),
  onMeasured: () => used = cpuSince(options.pid, before, 1),
});
if (measured.firstError !== undefined) throw measured.firstError;
const [row] = measured.operations;
if (!row?.latency) throw new Error("nothing was answered");
const { count: answers, perSecond, latency } = row;
const result: LoadResult = {
  perSecond,
  p50Ms: latency.p50Ms,
  p99Ms: latency.p99Ms,
  answers,
  judged: options.request === "CSR" ? measured.judged : answers,
  ownMicroseconds: measured.ownCpuSeconds * 1e6 / answers,
  serverMicroseconds: Object.fromEntries(
    Object.entries(used).map(([thread, microseconds]) => [thread, microseconds / answers]),
  ),
};
process.stdout.write(JSON.stringify(result));
