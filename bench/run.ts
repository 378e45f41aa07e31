/**
 * What is measured: `deno task bench [start|first|issue|lookup|login|means|guess|pipe|append|revoke|startup …]`, all without an argument. Build
 * first. Peers are measured in the same run where they are installed; only ratios count, since
 * machines differ and are noisy.
 */

import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { logIn } from "../lib/client/login.ts";
import { connectServer } from "../lib/client/server_connection.ts";
import { findBun } from "./engine.ts";
import { benchFirst } from "./first.ts";
import { benchGuess } from "./guess.ts";
import { benchIssue, benchLookup } from "./issue.ts";
import { benchMeans } from "./means.ts";
import { benchRevoke } from "./revoke.ts";
import { type BenchServer, cpuSeconds, PKI, startBenchServer } from "./server.ts";
import { measureStart } from "./startup.ts";

function show(what: string, figures: string): void {
  console.log(`${what.padEnd(34)} ${figures}`);
}

async function withServer(work: (server: BenchServer) => Promise<void>): Promise<void> {
  const server = await startBenchServer();
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

/** Wall time of whole processes, median of several. */
function benchStart(): Promise<void> {
  const timeOf = (command: string, args: readonly string[]) => {
    const times = Array.from({ length: 21 }, () => {
      const startMs = performance.now();
      spawnSync(command, args, { stdio: "ignore" });
      return performance.now() - startMs;
    }).sort((a, b) => a - b);
    return times[10] ?? NaN;
  };
  show("pki --help, median of 21", `${timeOf(PKI, ["--help"]).toFixed(0)} ms`);
  show("openssl version, the same way", `${timeOf("openssl", ["version"]).toFixed(0)} ms`);
  return Promise.resolve();
}

const benchLogin = () =>
  withServer(async (server) => {
    (await server.user("alice")).close();
    const logins = 20;
    const { port, anchor, pid } = server;
    const before = cpuSeconds(pid);
    for (let i = 0; i < logins; i++) {
      const connection = await connectServer({ host: "127.0.0.1", port }, anchor, {
        nowMs: Date.now(),
      });
      await logIn(connection, {
        id: "alice",
        password: "a password of alice",
        rootDer: anchor.root.der,
      });
      connection.close();
    }
    const each = (cpuSeconds(pid) - before) / logins * 1000;
    show("connection, worker and login", `${each.toFixed(1)} ms of server CPU`);
  });

const PIPE_BYTES = 1024 ** 3;

/** A port of its own for each listener: one that was used a moment ago may not be free yet. */
const somePort = () => String(20_000 + Math.floor(Math.random() * 10_000));

/** One GiB of zeroes through a command's stdin; what a listener writes is counted. */
async function pipeThrough(
  listener: readonly string[],
  caller: readonly string[],
  env: Record<string, string>,
  isReady: (text: string) => boolean,
): Promise<{ seconds: number; bytes: number }> {
  const options = { env: { ...process.env, ...env } };
  const listening = spawn(listener[0] ?? "", listener.slice(1), {
    ...options,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let bytes = 0;
  listening.stdout.on("data", (chunk: Uint8Array) => bytes += chunk.length);
  let text = "";
  const ended = new Promise((resolve) => listening.once("close", resolve));
  await new Promise<void>((resolve, reject) => {
    listening.once("close", () => reject(new Error(`the listener ended: ${text}`)));
    listening.stderr.on("data", (chunk) => {
      text += String(chunk);
      if (isReady(text)) resolve();
    });
  });
  const startMs = performance.now();
  const quoted = caller.map((word) => `'${word}'`).join(" ");
  const calling = spawn("sh", ["-c", `head -c ${PIPE_BYTES} /dev/zero | ${quoted}`], {
    ...options,
    stdio: "ignore",
  });
  await new Promise((resolve) => calling.once("close", resolve));
  const patience = setTimeout(() => listening.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(patience);
  return { seconds: (performance.now() - startMs) / 1000, bytes };
}

const benchPipe = () =>
  withServer(async (server) => {
    const env = {
      PKI_HOME: server.folder,
      PKI_SERVER: `localhost:${server.port}`,
      PKI_PASSWORD: "paper horse",
    };
    for (const id of ["alice", "bob"]) {
      const made = spawnSync(PKI, ["csr", "--register", "--id", id], {
        env: { ...process.env, ...env },
        encoding: "utf8",
      });
      if (made.status !== 0) throw new Error(made.stderr);
    }
    const describe = (seconds: number, bytes: number) =>
      `${(PIPE_BYTES / 1024 ** 2 / seconds).toFixed(0)} MiB/s, ${
        bytes === PIPE_BYTES ? "all" : bytes
      } bytes arrived`;
    const [port, ncatPort] = [somePort(), somePort()];
    const ours = await pipeThrough(
      [PKI, "listen", "--id", "alice", "--once", "--host", "127.0.0.1", "--port", port],
      [PKI, "connect", `localhost:${port}`, "--id", "bob"],
      env,
      (text) => text.includes("listening"),
    );
    show("pipe, 1 GiB", describe(ours.seconds, ours.bytes));
    if (spawnSync("ncat", ["--version"]).status !== 0) return;
    const folder = fs.mkdtempSync(join(tmpdir(), "pki-bench-ncat-"));
    const [key, cert] = [join(folder, "key"), join(folder, "cert")];
    spawnSync("openssl", [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      "-subj",
      "/CN=localhost",
    ], { stdio: "ignore" });
    const ncat = await pipeThrough(
      [
        "ncat",
        "-v",
        "--ssl",
        "--ssl-cert",
        cert,
        "--ssl-key",
        key,
        "--recv-only",
        "-l",
        "127.0.0.1",
        ncatPort,
      ],
      ["ncat", "--ssl", "--send-only", "127.0.0.1", ncatPort],
      {},
      (text) => text.includes("Listening"),
    );
    fs.rmSync(folder, { recursive: true });
    show("  ncat --ssl, the same way", describe(ncat.seconds, ncat.bytes));
  });

/** Durable appends, beside SQLite. */
function benchAppend(): Promise<void> {
  const script = join(import.meta.dirname ?? ".", "append.ts");
  const { stdout, stderr, status } = spawnSync(findBun(), [script], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  const results = JSON.parse(stdout) as {
    writers: number;
    perSecond: number;
    bytesEach: number;
    peer: number;
  }[];
  for (const { writers, perSecond, bytesEach, peer } of results) {
    show(
      `appends, durable, ${writers} writers`,
      `${perSecond.toFixed(0)}/s, ${bytesEach.toFixed(0)} bytes each; ` +
        `bun:sqlite ${peer.toFixed(0)}/s: ours is ${(perSecond / peer).toFixed(2)} times that`,
    );
  }
  return Promise.resolve();
}

/** Sizes from $PKI_BENCH_CERTIFICATES, as numbers with commas between them. */
async function benchStartup(): Promise<void> {
  const sizes = (process.env["PKI_BENCH_CERTIFICATES"] ?? "10000,100000,1000000").split(",");
  for (const certificates of sizes.map(Number)) {
    const figures = await measureStart(certificates);
    show(
      `start, ${certificates} certificates`,
      `${figures.fromSnapshotSeconds.toFixed(2)} s, ${figures.memoryMegabytes.toFixed(0)} MB; ` +
        `from the log alone ${figures.fromLogSeconds.toFixed(1)} s`,
    );
    show(
      "  bytes a certificate",
      `log ${figures.logBytesEach.toFixed(0)}, snapshot ${figures.snapshotBytesEach.toFixed(0)}`,
    );
    show(
      "  longest lookup",
      (Number.isNaN(figures.snapshotSeconds)
        ? "no snapshot is due; "
        : `${figures.longestLookupMs.toFixed(0)} ms while a snapshot is taken ` +
          `(${figures.snapshotSeconds.toFixed(1)} s), else `) +
        `${figures.longestLookupBeforeMs.toFixed(0)} ms`,
    );
  }
}

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  start: benchStart,
  first: () => benchFirst(show),
  issue: benchIssue,
  lookup: benchLookup,
  login: benchLogin,
  means: () => benchMeans(show),
  guess: () => benchGuess(show),
  pipe: benchPipe,
  append: benchAppend,
  revoke: benchRevoke,
  startup: benchStartup,
};

const wanted = process.argv.slice(2);
for (const name of wanted.length > 0 ? wanted : Object.keys(BENCHES)) {
  const bench = BENCHES[name];
  if (!bench) {
    console.error(`there is no bench "${name}": ${Object.keys(BENCHES).join(", ")}`);
    process.exitCode = 2;
    break;
  }
  await bench();
}
