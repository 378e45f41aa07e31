/**
 * How a server with many certificates starts: from its snapshot, and from the log alone; with how
 * much memory; how long its files are. And how long a lookup waits at most while a snapshot is taken.
 */

import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { publish } from "../lib/client/operations.ts";
import { logIn, register } from "../lib/client/login.ts";
import { connectServer } from "../lib/client/server_connection.ts";
import { checkRoot } from "../lib/x509/chain.ts";
import { generatePrivateKey } from "../lib/x509/keys.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import { growLog } from "./large_log.ts";
import { usageOf } from "./cpu.ts";
import { PKI } from "./server.ts";

/** Lookups that come first, for the engine to compile what they need. */
const WARM_UP = 500;

export interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  /** From the start of the process to "ready". */
  readonly seconds: number;
  stop(): Promise<void>;
}

/** A server on a home that may have one already, timed. */
export async function startServer(home: string): Promise<Started> {
  const startMs = performance.now();
  const child = spawn(PKI, ["serve", "--port", "0", "--json", "--quiet"], {
    env: { PKI_HOME: home },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += String(chunk);
      const match = /"port":(\d+)/.exec(text);
      if (match) resolve(Number(match[1]));
    });
    child.once("close", () => reject(new Error("the server did not start")));
  });
  return {
    child,
    port,
    seconds: (performance.now() - startMs) / 1000,
    stop: async () => {
      if (child.pid !== undefined) process.kill(child.pid, "SIGTERM");
      await ended;
    },
  };
}

function sizeOf(path: string): number {
  const stat = fs.statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return fs.readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

export interface StartFigures {
  readonly fromLogSeconds: number;
  readonly fromSnapshotSeconds: number;
  readonly memoryMegabytes: number;
  readonly logBytesEach: number;
  readonly snapshotBytesEach: number;
  /** The longest that a lookup took while a snapshot was taken, how long that was, and without one. */
  readonly longestLookupMs: number;
  readonly longestLookupBeforeMs: number;
  readonly snapshotSeconds: number;
}

export async function measureStart(certificates: number): Promise<StartFigures> {
  const home = fs.mkdtempSync(join(tmpdir(), "pki-bench-"));
  const folder = join(home, "server");
  try {
    const first = await startServer(home);
    const key = await generatePrivateKey("p256");
    const client = await signIn(folder, first.port, true);
    const { certificate } = await client.request("CSR", {
      csr: encodeBase64(await makeCsr(key, "alice")),
    });
    await publish(client, { certificate: parseBase64(certificate), key });
    client.close();
    await first.stop();
    await growLog(folder, certificates);
    const fromLog = await startServer(home);
    // The log has outgrown the snapshot, which is not there: one is being taken, from here on. Of a
    // small log none is.
    const isDue = sizeOf(join(folder, "log")) >= LIMITS.snapshotBytesMin;
    const during = isDue
      ? await longestLookup(folder, fromLog.port, () => snapshotIsThere(folder))
      : { longestMs: NaN, seconds: NaN };
    await fromLog.stop();
    const fromSnapshot = await startServer(home);
    const memory = usageOf(fromSnapshot.child.pid).residentBytes / 2 ** 20;
    let rounds = 0;
    const before = await longestLookup(folder, fromSnapshot.port, () => ++rounds > 2000);
    await fromSnapshot.stop();
    return {
      fromLogSeconds: fromLog.seconds,
      fromSnapshotSeconds: fromSnapshot.seconds,
      memoryMegabytes: memory,
      logBytesEach: sizeOf(join(folder, "log")) / certificates,
      snapshotBytesEach: sizeOf(join(folder, "state.db")) / certificates,
      longestLookupMs: during.longestMs,
      snapshotSeconds: during.seconds,
      longestLookupBeforeMs: before.longestMs,
    };
  } finally {
    fs.rmSync(home, { recursive: true, force: true });
  }
}

function snapshotIsThere(folder: string): boolean {
  return fs.existsSync(join(folder, "state.db"));
}

/** A session of the one user of these measurements. */
export async function signIn(folder: string, port: number, isNew = false) {
  const rootPath = join(folder, "root.crt");
  const root = checkRoot(
    parsePemBlock(fs.readFileSync(rootPath, "utf8"), ["CERTIFICATE"], rootPath),
    Date.now(),
  );
  const anchor = { root, domain: "pki.internal" };
  const client = await connectServer({ host: "127.0.0.1", port }, anchor, { nowMs: Date.now() });
  const credentials = { id: "alice", password: "a password of alice", rootDer: root.der };
  if (isNew) await register(client, credentials);
  await logIn(client, credentials);
  return client;
}

/** One lookup after the other until something is the case. */
async function longestLookup(folder: string, port: number, isOver: () => boolean) {
  const client = await signIn(folder, port);
  const startMs = performance.now();
  for (let i = 0; i < WARM_UP; i++) await client.request("CERTREQ", { id: "alice" });
  let longestMs = 0;
  do {
    const beganMs = performance.now();
    await client.request("CERTREQ", { id: "alice" });
    longestMs = Math.max(longestMs, performance.now() - beganMs);
  } while (!isOver());
  client.close();
  return { longestMs, seconds: (performance.now() - startMs) / 1000 };
}
