/**
 * Short visits to a server: connect, log in by certificate, look one certificate up, leave; so many at a
 * time, each as soon as the one before is over. And visits that stay: so many connections that are held
 * while others come and go. Made to cost little, as in `load.ts`: answers are looked at as bytes, and
 * the certificate that the server shows is judged once and then compared.
 *
 * Run by bun, the engine of the executable; takes JSON as its argument, prints JSON.
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import process from "node:process";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import { TLS_OPTIONS } from "../lib/base/tls.ts";
import { logIn, register } from "../lib/client/login.ts";
import { publish } from "../lib/client/operations.ts";
import { connectServer } from "../lib/client/server_connection.ts";
import { FRAME_HEADER_BYTES } from "../lib/protocol/frame.ts";
import { PROTOCOL } from "../lib/protocol/message_fields.ts";
import { encodeRequest } from "../lib/protocol/requests.ts";
import { checkRoot } from "../lib/x509/chain.ts";
import { generatePrivateKey } from "../lib/x509/keys.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";
import { serverDns } from "../lib/x509/names.ts";
import { encodeCertificatesPem, parsePemBlock } from "../lib/x509/pem.ts";
import { cpuSince, cpuTimes } from "./cpu.ts";

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
const anchor = { root, domain: options.domain };
const REQUESTS = [
  encodeRequest(1, "HELLO", {}),
  encodeRequest(2, "LOGIN_CERTIFICATE", {}),
  encodeRequest(3, "CERTREQ", { id: "visitor" }),
].map((bytes) => Buffer.from(bytes));

/** A user with a published certificate: what to show in TLS, and what the server shows. */
async function enroll(): Promise<{ context: SecureContext; serverDer: Buffer }> {
  const connection = await connectServer({ host: "127.0.0.1", port }, anchor, {
    nowMs: Date.now(),
  });
  const credentials = { id: "visitor", password: "a password of the visitor", rootDer: root.der };
  await register(connection, credentials);
  await logIn(connection, credentials);
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, "visitor"));
  const { certificate, issuing } = await connection.request("CSR", { csr });
  await publish(connection, { certificate: parseBase64(certificate), key });
  connection.close();
  const context = createSecureContext({
    key: key.export({ format: "pem", type: "pkcs8" }),
    cert: encodeCertificatesPem([parseBase64(certificate), parseBase64(issuing)]),
  });
  return { context, serverDer: Buffer.from(connection.leafDer) };
}

const { context, serverDer } = await enroll();

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

/** The next whole frame as text. */
function answer(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    const onClose = () => reject(new Error("the server closed the connection"));
    socket.once("close", onClose);
    socket.on("data", (chunk: Buffer) => {
      held = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      if (held.length < FRAME_HEADER_BYTES) return;
      if (held.length < FRAME_HEADER_BYTES + held.readUInt32BE(0)) return;
      socket.removeAllListeners("data");
      socket.removeListener("close", onClose);
      resolve(held.toString("latin1", FRAME_HEADER_BYTES));
    });
  });
}

async function ask(socket: TLSSocket, at: number): Promise<void> {
  const answered = answer(socket);
  socket.write(REQUESTS[at] ?? "");
  const text = await answered;
  if (!text.startsWith(`{"seq":${at + 1},"type":"OK"`)) throw new Error(`unexpected: ${text}`);
}

/** A session that is open. */
async function logInOnce(): Promise<{ socket: TLSSocket; readyMs: number }> {
  const beganMs = performance.now();
  const socket = await open();
  await ask(socket, 0);
  const readyMs = performance.now() - beganMs;
  await ask(socket, 1);
  return { socket, readyMs };
}

interface Visit {
  readonly ms: number;
  readonly readyMs: number;
}

async function visit(): Promise<Visit> {
  const beganMs = performance.now();
  const { socket, readyMs } = await logInOnce();
  await ask(socket, 2);
  const ms = performance.now() - beganMs;
  await new Promise((resolve) => {
    socket.once("close", resolve);
    socket.end();
    socket.destroy();
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

function megabytes(): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024 / 1e6;
}

const threadCount = () => fs.readdirSync(`/proc/${pid}/task`).length;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Opens connections, some at a time, and keeps them. */
async function hold(count: number): Promise<TLSSocket[]> {
  const sockets: TLSSocket[] = [];
  let left = count;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (left-- > 0) sockets.push((await logInOnce()).socket);
  }));
  return sockets;
}

/** What one more hears that is not served. */
async function hearBusy(): Promise<{ message: string; ms: number }> {
  const beganMs = performance.now();
  const socket = await open();
  const { code, message } = JSON.parse(await answer(socket)) as Record<string, string>;
  const ms = performance.now() - beganMs;
  socket.destroy();
  if (code !== "BUSY" || message === undefined) throw new Error(`not busy, but ${code}`);
  return { message, ms };
}

await visit(); // so that memory and threads are those of a server that has been at work
const before = { memory: megabytes(), threads: threadCount() };
const holdMs = performance.now();
const sockets = await hold(options.held);
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
const held = { memory: megabytes(), threads: threadCount() };
const busy = options.isFull ? await hearBusy() : undefined;
for (const socket of sockets) socket.destroy();
// Until its threads are as many as before, with the spare ones that are ended one by one, or for long enough.
for (let i = 0; i < 300 && threadCount() > before.threads; i++) await pause(100);
await pause(1000);
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
  memoryMb: { before: before.memory, held: held.memory, after: megabytes() },
  threads: { before: before.threads, held: held.threads, after: threadCount() },
  heldAfterMs,
  ...(busy ? { busy } : {}),
};
process.stdout.write(JSON.stringify(result));
process.exit(0);
