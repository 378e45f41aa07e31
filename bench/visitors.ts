/**
 * Short visits to a server: connect, log in by certificate, look one certificate up, leave; so many at a
 * time, each as soon as the one before is over. And visits that stay: so many connections that are held
 * while others come and go. They cost less than those of `lib/load`: all have one TLS context, and the
 * certificate that the server shows is judged once and then compared.
 *
 * Run by bun, the engine of the executable; takes JSON as its argument, prints JSON.
 */

import * as fs from "node:fs";
import process from "node:process";
import { connect, createSecureContext, type TLSSocket } from "node:tls";
import { PkiError } from "../lib/base/errors.ts";
import { TLS_OPTIONS } from "../lib/base/tls.ts";
import { makeAccount } from "../lib/load/account.ts";
import { Connector } from "../lib/load/target.ts";
import { prepareRequest, Wire } from "../lib/load/wire.ts";
import { PROTOCOL } from "../lib/protocol/message_fields.ts";
import { checkRoot } from "../lib/x509/chain.ts";
import { serverDns } from "../lib/x509/names.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import { cpuSince, cpuTimes, usageOf } from "./cpu.ts";

export interface VisitOptions {
  readonly port: number;
  /** PEM of the server's root. */
  readonly rootPath: string;
  readonly domain: string;
  /** The server's process, whose CPU time, memory and threads are to be told. */
  readonly pid: number;
  /** Connections that are opened first and held, each with an open session. */
  readonly held: number;
  /** Whether the server takes no more than those: one more must hear "busy". */
  readonly isFull: boolean;
  /** Visits at a time, after that. */
  readonly visitors: number;
  readonly seconds: number;
  /** So long visits come before any is counted. */
  readonly warmUpSeconds: number;
}

export interface VisitResult {
  readonly perSecond: number;
  readonly visits: number;
  /** Of a whole visit. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From the beginning to the answer to HELLO: the handshake, a worker, and the directory. */
  readonly readyP50Ms: number;
  readonly readyP99Ms: number;
  /** CPU in microseconds for each visit: of this program, and of the server by the names of threads. */
  readonly ownMicroseconds: number;
  readonly serverMicroseconds: Readonly<{ [thread: string]: number }>;
  /** Memory and threads of the server before, with all held, and after all have left. */
  readonly memoryMb: { readonly before: number; readonly held: number; readonly after: number };
  readonly threads: { readonly before: number; readonly held: number; readonly after: number };
  /** From the beginning to the time in which all held connections were open. */
  readonly heldAfterMs: number;
  /** What one more heard, and after what time. */
  readonly busy?: { readonly message: string; readonly ms: number };
}

const options = JSON.parse(process.argv[2] ?? "") as VisitOptions;
const { port, pid } = options;
const root = checkRoot(
  parsePemBlock(fs.readFileSync(options.rootPath, "utf8"), ["CERTIFICATE"], options.rootPath),
  Date.now(),
);
const connector = new Connector({
  place: { host: "127.0.0.1", port },
  anchor: { root, domain: options.domain },
  signal: new AbortController().signal,
  now: Date.now,
});
const HELLO = prepareRequest("HELLO", {});
const LOGIN_CERTIFICATE = prepareRequest("LOGIN_CERTIFICATE", {});
const visitor = await makeAccount(connector, "visitor", undefined);
const context = createSecureContext(visitor.identity);
const judged = await connector.connect();
const serverDer = judged.getPeerCertificate().raw;
judged.destroy();

/** A connection whose handshake is done. */
function open(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...TLS_OPTIONS,
      ...{ host: "127.0.0.1", port, secureContext: context },
      servername: serverDns(options.domain),
      ALPNProtocols: [PROTOCOL],
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      if (socket.getPeerCertificate().raw?.equals(serverDer)) resolve(socket);
      else reject(new Error("the server shows another certificate"));
    });
  });
}

/** A session that is open. */
interface Session {
  readonly socket: TLSSocket;
  readonly wire: Wire;
  readonly readyMs: number;
}

async function logInOnce(): Promise<Session> {
  const beganMs = performance.now();
  const socket = await open();
  const wire = new Wire(socket);
  await wire.ask(HELLO);
  const readyMs = performance.now() - beganMs;
  await wire.ask(LOGIN_CERTIFICATE);
  return { socket, wire, readyMs };
}

interface Visit {
  readonly ms: number;
  readonly readyMs: number;
}

async function visit(): Promise<Visit> {
  const beganMs = performance.now();
  const { socket, wire, readyMs } = await logInOnce();
  await wire.ask(visitor.lookUp);
  const ms = performance.now() - beganMs;
  await new Promise((resolve) => {
    socket.once("close", resolve);
    socket.end();
    wire.close();
  });
  return { ms, readyMs };
}

/** Visits until the time is over; those count that begin in it. */
async function keepVisiting(fromMs: number, toMs: number): Promise<Visit[]> {
  const visits: Visit[] = [];
  for (let nowMs = performance.now(); nowMs < toMs; nowMs = performance.now()) {
    const one = await visit();
    if (nowMs >= fromMs) visits.push(one);
  }
  return visits;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Opens connections, some at a time, and keeps them. */
async function hold(count: number): Promise<readonly Wire[]> {
  const wires: Wire[] = [];
  let left = count;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (left-- > 0) wires.push((await logInOnce()).wire);
  }));
  return wires;
}

/** What one more hears that is not served. */
async function hearBusy(): Promise<{ message: string; ms: number }> {
  const beganMs = performance.now();
  const wire = new Wire(await open());
  const error = await wire.ask(HELLO).then(() => undefined, (error: unknown) => error);
  const ms = performance.now() - beganMs;
  wire.close();
  if (error instanceof PkiError && error.kind === "busy") return { message: error.message, ms };
  throw new Error("not busy", { cause: error });
}

/** Memory in MB, and threads. */
function look(): { readonly memory: number; readonly threads: number } {
  const { residentBytes, threads } = usageOf(pid);
  return { memory: residentBytes / 1e6, threads };
}

await visit(); // so that memory and threads are those of a server that has been at work
const before = look();
const holdMs = performance.now();
const wires = await hold(options.held);
const heldAfterMs = performance.now() - holdMs;
const fromMs = performance.now() + options.warmUpSeconds * 1000;
const toMs = fromMs + options.seconds * 1000;
const visiting = options.isFull
  ? []
  : Array.from({ length: options.visitors }, () => keepVisiting(fromMs, toMs));
await pause(options.warmUpSeconds * 1000);
const ownBefore = process.cpuUsage();
const cpuBefore = cpuTimes(pid);
const all = (await Promise.all(visiting)).flat();
const { user: userUs, system: systemUs } = process.cpuUsage(ownBefore);
const serverMicroseconds = cpuSince(pid, cpuBefore, all.length);
const held = look();
const busy = options.isFull ? await hearBusy() : undefined;
for (const wire of wires) wire.close();
// Until its threads are as many as before, with the spare ones that are ended one by one, or for long enough.
for (let i = 0; i < 300 && look().threads > before.threads; i++) await pause(100);
await pause(1000);
const after = look();
const quantile = (of: (visit: Visit) => number, q: number) =>
  all.map(of).sort((a, b) => a - b)[Math.floor(all.length * q)] ?? NaN;
const result: VisitResult = {
  perSecond: all.length / options.seconds,
  visits: all.length,
  p50Ms: quantile(({ ms }) => ms, 0.5),
  p99Ms: quantile(({ ms }) => ms, 0.99),
  readyP50Ms: quantile(({ readyMs }) => readyMs, 0.5),
  readyP99Ms: quantile(({ readyMs }) => readyMs, 0.99),
  ownMicroseconds: (userUs + systemUs) / all.length,
  serverMicroseconds,
  memoryMb: { before: before.memory, held: held.memory, after: after.memory },
  threads: { before: before.threads, held: held.threads, after: after.threads },
  heldAfterMs,
  ...(busy ? { busy } : {}),
};
process.stdout.write(JSON.stringify(result));
process.exit(0);
