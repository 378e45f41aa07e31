/**
 * The load on a server: persistent TLS connections of logged-in users that send one request after the
 * other, each as soon as the last was answered. Made to cost little, since it shares the machine with
 * what it measures: requests are frames made beforehand of which only `seq` changes, answers are looked
 * at as bytes (whole frame, right `seq`, `OK`). Some of the certificates are judged afterwards: issued
 * under the root to the right user, all different, and proven to be in the log.
 *
 * Run by bun, the engine of the executable; takes JSON as its argument, prints JSON.
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import process from "node:process";
import type { TLSSocket } from "node:tls";
import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import { shownCertificates } from "../lib/base/tls.ts";
import { dial } from "../lib/client/dial.ts";
import { judgeProof } from "../lib/client/log_proof.ts";
import { publish } from "../lib/client/operations.ts";
import { logIn, register } from "../lib/client/login.ts";
import { ServerConnection } from "../lib/client/server_connection.ts";
import { FRAME_HEADER_BYTES } from "../lib/protocol/frame.ts";
import { encodeRequest, parseAnswer, parseAnswerBody, PROTOCOL } from "../lib/protocol/messages.ts";
import { checkRoot, judgeServer, judgeUser } from "../lib/x509/chain.ts";
import { generatePrivateKey } from "../lib/x509/keys.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";
import { serverDns } from "../lib/x509/names.ts";
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
  /** Of those, certificates that were judged afterwards. */
  readonly judged: number;
  /** CPU that this program used, in microseconds for each answer. */
  readonly ownMicroseconds: number;
  /** CPU that the server used, in microseconds for each answer, by the names of its threads. */
  readonly serverMicroseconds: Readonly<{ [thread: string]: number }>;
}

/** A sequence number of a fixed number of digits, so that all requests are equally long. */
const SEQ_FIRST = 1_000_000;
const SEQ_DIGITS = String(SEQ_FIRST).length;
/** Every so many answers one is kept and judged. */
const SAMPLED_EVERY = 251;

interface User {
  readonly id: string;
  readonly socket: TLSSocket;
  readonly connection: ServerConnection;
  readonly request: Buffer;
}

const options = JSON.parse(process.argv[2] ?? "") as LoadOptions;
const root = checkRoot(
  parsePemBlock(fs.readFileSync(options.rootPath, "utf8"), ["CERTIFICATE"], options.rootPath),
  Date.now(),
);
const anchor = { root, domain: options.domain };

async function openSession(id: string) {
  const socket = await dial({
    address: { host: "127.0.0.1", port: options.port },
    protocol: PROTOCOL,
    serverName: serverDns(options.domain),
    hint: "start a server",
  });
  const nowMs = Date.now();
  const { leaf, issuing } = judgeServer(shownCertificates(socket), { anchor, nowMs });
  const connection = new ServerConnection(socket, leaf.der);
  await connection.greet(anchor, { current: issuing, nowMs });
  const credentials = { id, password: `a password of ${id}`, rootDer: root.der };
  // Of an earlier run on the same server it is registered already.
  await register(connection, credentials).catch(() => {});
  await logIn(connection, credentials);
  return { socket, connection };
}

async function openUser(id: string): Promise<User> {
  const { socket, connection } = await openSession(id);
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, id));
  if (options.request === "CERTREQ" && id === "user0") {
    const { certificate } = await connection.request("CSR", { csr });
    await publish(connection, { certificate: parseBase64(certificate), key });
  }
  const request = options.request === "CSR"
    ? encodeRequest(SEQ_FIRST, "CSR", { csr })
    : encodeRequest(SEQ_FIRST, "CERTREQ", { id: "user0" });
  return { id, socket, connection, request: Buffer.from(request) };
}

/** What one client got: how long each answer took, and some answers whole. */
interface Answers {
  readonly latenciesMs: number[];
  readonly samples: Buffer[];
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Sends until the time is over, and counts from its beginning; rejects at the first answer that is not `OK`. */
function send({ socket, request }: User, { fromMs, toMs }: Span): Promise<Answers> {
  const seqAt = request.indexOf(String(SEQ_FIRST));
  const latenciesMs: number[] = [];
  const samples: Buffer[] = [];
  let seq = SEQ_FIRST;
  let beganMs = 0;
  let held = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const next = () => {
      request.write(String(++seq).padStart(SEQ_DIGITS, "0"), seqAt, "latin1");
      beganMs = performance.now();
      // The engine may keep what it is given until it is sent.
      socket.write(Buffer.from(request));
    };
    socket.removeAllListeners("data");
    socket.once("close", () => reject(new Error("the server closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      if (held.length > 0) chunk = Buffer.concat([held, chunk]);
      const bytes = chunk.length < FRAME_HEADER_BYTES
        ? Infinity
        : FRAME_HEADER_BYTES + chunk.readUInt32BE(0);
      if (chunk.length < bytes) {
        held = Buffer.from(chunk);
        return;
      }
      const nowMs = performance.now();
      const wanted = `{"seq":${seq},"type":"OK",`;
      if (
        chunk.length > bytes ||
        chunk.toString("latin1", FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + wanted.length) !== wanted
      ) {
        return reject(new Error(`unexpected answer: ${chunk.toString("latin1")}`));
      }
      if (beganMs >= fromMs) latenciesMs.push(nowMs - beganMs);
      if (latenciesMs.length % SAMPLED_EVERY === 1) samples.push(Buffer.from(chunk));
      held = Buffer.alloc(0);
      if (nowMs < toMs) next();
      else resolve({ latenciesMs, samples });
    });
    next();
  });
}

/** Judges the samples on a connection of their own; every certificate must be another one. */
async function judge(users: readonly User[], records: readonly Answers[]): Promise<number> {
  const { connection } = await openSession("judge");
  const seen = new Set<string>();
  let known;
  let judged = 0;
  for (const [i, { samples }] of records.entries()) {
    for (const sample of samples) {
      const answer = parseAnswer(sample.subarray(FRAME_HEADER_BYTES));
      if (!answer.ok) throw new Error("an answer is not OK");
      const { certificate, issuing, index } = parseAnswerBody(options.request, answer.body);
      const ders = [parseBase64(certificate), parseBase64(issuing)];
      const { id, leaf } = judgeUser(ders, { anchor, nowMs: Date.now() });
      if (options.request === "CSR" && (id !== users[i]?.id || seen.has(leaf.serial))) {
        throw new Error(`certificate ${leaf.serial} of "${id}" is not for this user alone`);
      }
      seen.add(leaf.serial);
      known = judgeProof(
        await connection.request("PROOF", { index, from: known?.size }),
        { key: connection.logKey, known, claim: { index, id, certificate: leaf.der } },
      );
      judged++;
    }
  }
  connection.close();
  return judged;
}

const users: User[] = [];
for (let i = 0; i < options.clients; i++) users.push(await openUser(`user${i}`));
const fromMs = performance.now() + options.warmUpSeconds * 1000;
const span = { fromMs, toMs: fromMs + options.seconds * 1000 };
const running = users.map((user) => send(user, span));
await new Promise((resolve) => setTimeout(resolve, options.warmUpSeconds * 1000));
const before = process.cpuUsage();
const serverBefore = cpuTimes(options.pid);
const records = await Promise.all(running);
const { user: userUs, system: systemUs } = process.cpuUsage(before);
const answers = records.reduce((sum, record) => sum + record.latenciesMs.length, 0);
const serverMicroseconds = cpuSince(options.pid, serverBefore, answers);
const latenciesMs = records.flatMap((record) => record.latenciesMs).sort((a, b) => a - b);
const quantile = (q: number) => latenciesMs[Math.floor(latenciesMs.length * q)] ?? NaN;
const result: LoadResult = {
  perSecond: answers / options.seconds,
  p50Ms: quantile(0.5),
  p99Ms: quantile(0.99),
  answers,
  judged: await judge(users, records),
  ownMicroseconds: (userUs + systemUs) / answers,
  serverMicroseconds,
};
for (const { socket } of users) socket.destroy();
process.stdout.write(JSON.stringify(result));
