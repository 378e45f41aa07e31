/**
 * A stream from one end of the line to the other, beside the tools that people use for it: `ncat --ssl`,
 * `socat OPENSSL` and `openssl s_client` with `s_server`, each with TLS 1.3 and AES-256-GCM on loopback.
 * All of them in each round, in another order each time, since machines are noisy; the bytes are
 * random, and SHA-256 is compared at both ends.
 *
 * `$PKI_BENCH_GIB` says how much (1), `$PKI_BENCH_ROUNDS` how often (5), `$PKI_BENCH_PEERS` beside whom.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";
import { usageOf } from "./cpu.ts";
import { PKI, startBenchServer } from "./server.ts";

const GIB = 1024 ** 3;
const COUNT = Number(process.env["PKI_BENCH_GIB"] ?? "1");
const ROUNDS = Number(process.env["PKI_BENCH_ROUNDS"] ?? "5");
/** Between two looks at what a process uses and what has arrived. */
const LOOK_MS = 10;
/** How long a listener may take to end when its caller has. */
const END_MS = 20_000;

/** One way to get a stream to the other side. */
interface Way {
  readonly name: string;
  readonly program: string;
  readonly listen: (port: string) => readonly string[];
  readonly call: (port: string) => readonly string[];
  /** Whether the listener ends when its stdin does, whatever still comes. */
  readonly needsStdin?: boolean;
}

/** What one transfer took. */
interface Figures {
  /** From the caller's start until both have ended. */
  readonly seconds: number;
  /** From the first byte that arrived to the last. */
  readonly streamSeconds: number;
  readonly isWhole: boolean;
  readonly arrived: number;
  /** CPU of the caller and of the listener. */
  readonly cpu: readonly [number, number];
  /** Peak memory of the caller and of the listener, in MiB. */
  readonly memory: readonly [number, number];
}

/** Memory-backed where there is such a folder, so that no disk is measured. */
function makeFolder(): string {
  const shared = "/dev/shm";
  return fs.mkdtempSync(join(fs.existsSync(shared) ? shared : tmpdir(), "pki-bench-pipe-"));
}

/** Random bytes in a file. */
function writeRandom(path: string): void {
  const chunk = new Uint8Array(16 * 1024 * 1024);
  const file = fs.openSync(path, "w");
  for (let at = 0; at < GIB; at += chunk.length) fs.writeSync(file, randomFillSync(chunk));
  fs.closeSync(file);
}

function hashOf(path: string, times = 1): string {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(16 * 1024 * 1024);
  for (let time = 0; time < times; time++) {
    const file = fs.openSync(path, "r");
    for (let n = fs.readSync(file, chunk); n > 0; n = fs.readSync(file, chunk)) {
      hash.update(chunk.subarray(0, n));
    }
    fs.closeSync(file);
  }
  return hash.digest("hex");
}

function waysIn(folder: string): readonly Way[] {
  const [key, cert] = [join(folder, "key"), join(folder, "cert")];
  spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", key, "-out", cert, "-subj", "/CN=localhost"],
  ], { stdio: "ignore" });
  return [
    {
      name: "pki",
      program: PKI,
      listen: (
        port,
      ) => ["listen", "--id", "alice", "--once", "--host", "127.0.0.1", "--port", port],
      call: (port) => ["connect", `127.0.0.1:${port}`, "--id", "bob"],
    },
    {
      name: "ncat --ssl",
      program: "ncat",
      listen: (port) => [
        ...["--ssl", "--ssl-cert", cert, "--ssl-key", key, "--recv-only", "-l", "127.0.0.1", port],
      ],
      call: (port) => ["--ssl", "--send-only", "127.0.0.1", port],
    },
    {
      name: "socat OPENSSL, 64 KiB blocks",
      program: "socat",
      listen: (port) => [
        ...["-u", "-b", "65536"],
        `OPENSSL-LISTEN:${port},bind=127.0.0.1,reuseaddr,cert=${cert},key=${key},verify=0`,
        "STDOUT",
      ],
      call: (port) => ["-u", "-b", "65536", "STDIN", `OPENSSL:127.0.0.1:${port},verify=0`],
    },
    {
      name: "openssl s_client, s_server",
      program: "openssl",
      listen: (port) => [
        ...["s_server", "-quiet", "-naccept", "1", "-tls1_3", "-accept", `127.0.0.1:${port}`],
        ...["-cert", cert, "-key", key],
      ],
      needsStdin: true,
      call: (port) => [
        ...["s_client", "-nocommands", "-quiet", "-no_ign_eof", "-tls1_3"],
        ...["-connect", `127.0.0.1:${port}`],
      ],
    },
  ];
}

function isInstalled(program: string): boolean {
  return program === PKI ||
    spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** A port of its own for each listener: one that was used a moment ago may not be free yet. */
const somePort = () => 20_000 + Math.floor(Math.random() * 10_000);

/** Resolves when somebody listens there (Linux), without connecting to it. */
async function untilListening(port: number): Promise<void> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  for (;;) {
    const rows = fs.readFileSync("/proc/net/tcp", "utf8").split("\n");
    if (rows.some((row) => row.includes(wanted) && / 0A /.test(row))) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** What a process has used so far; what it had at the last look once it is gone. */
class Watch {
  readonly #pidFile: string;
  cpu = 0;
  memory = 0;

  constructor(pidFile: string) {
    this.#pidFile = pidFile;
  }

  look(): void {
    try {
      const pid = Number(fs.readFileSync(this.#pidFile, "utf8"));
      const [, peak] =
        /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8")) ??
          [];
      if (peak === undefined) return;
      this.memory = Number(peak) / 1024;
      this.cpu = usageOf(pid).cpuSeconds;
    } catch {
      // not there yet, or not any more
    }
  }
}

function closed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once("close", () => resolve()));
}

interface Stream {
  readonly folder: string;
  readonly source: string;
  /** SHA-256 of all that is sent. */
  readonly hash: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Sends everything once. More than one GiB is hashed as it arrives: there is no room to keep it. */
async function transfer(way: Way, { folder, source, hash, env }: Stream): Promise<Figures> {
  const isKept = COUNT === 1;
  const out = join(folder, "out");
  fs.writeFileSync(out, "");
  const port = somePort();
  const watches = ["call", "listen"].map((role) => {
    fs.rmSync(join(folder, role), { force: true });
    return new Watch(join(folder, role));
  });
  const sh = (script: string, words: readonly string[]) =>
    spawn("sh", ["-c", script, "sh", way.program, ...words], {
      env: { ...process.env, ...env },
      stdio: [way.needsStdin ? "pipe" : "ignore", "ignore", "ignore"],
    });
  const self = (role: string) => `sh -c 'echo $$ > ${folder}/${role}; exec "$@"' sh "$@"`;
  const listening = sh(
    `${self("listen")} | ${isKept ? "cat" : "sha256sum"} > ${out}`,
    way.listen(String(port)),
  );
  const listened = closed(listening);
  await untilListening(port);
  const startMs = performance.now();
  const sources = Array.from({ length: COUNT }, () => source).join(" ");
  const called = closed(sh(`cat ${sources} | ${self("call")}`, way.call(String(port))));
  let [firstMs, lastMs, arrived] = [NaN, NaN, 0];
  const look = () => {
    watches.forEach((watch) => watch.look());
    const { size } = fs.statSync(out);
    if (size === arrived) return;
    if (arrived === 0) firstMs = performance.now();
    lastMs = performance.now();
    arrived = size;
  };
  const timer = setInterval(look, LOOK_MS);
  await called;
  const patience = setTimeout(() => listening.kill("SIGKILL"), END_MS);
  await listened;
  clearTimeout(patience);
  clearInterval(timer);
  const seconds = (performance.now() - startMs) / 1000;
  look();
  const heard = isKept ? hashOf(out) : fs.readFileSync(out, "utf8").slice(0, 64);
  const [call, listen] = watches;
  return {
    seconds,
    streamSeconds: isKept ? (lastMs - firstMs) / 1000 : seconds,
    isWhole: heard === hash,
    arrived,
    cpu: [call?.cpu ?? 0, listen?.cpu ?? 0],
    memory: [call?.memory ?? 0, listen?.memory ?? 0],
  };
}

function medianOf(figures: readonly number[]): number {
  return quantileOf(figures, 0.5);
}

function quantileOf(figures: readonly number[], quantile: number): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length * quantile)] ?? NaN;
}

/** Resolves with the next bytes that a stream has. */
function nextBytes(stream: Readable): Promise<void> {
  return new Promise((resolve) => stream.once("data", () => resolve()));
}

const LINES = 2000;
const LINES_BEFORE = 200;
const CALLS = 11;

/**
 * A line there and back: through the caller, TLS, the listener and `cat`, and through all of them
 * again. And what a call takes, from the start of the program to the first bytes that are back.
 */
async function measureLines(
  env: Readonly<Record<string, string>>,
  show: (what: string, figures: string) => void,
): Promise<void> {
  const port = somePort();
  const start = (args: readonly string[]) => {
    const child = spawn(PKI, args, { env: { ...process.env, ...env } });
    child.stderr.resume();
    return child;
  };
  const listening = start([
    ...["listen", "--id", "alice", "--exec", "cat", "--host", "127.0.0.1", "--port", `${port}`],
  ]);
  const listened = closed(listening);
  try {
    await untilListening(port);
    const calls: number[] = [];
    const rounds: number[] = [];
    for (let call = 0; call < CALLS; call++) {
      const startMs = performance.now();
      const calling = start(["connect", `127.0.0.1:${port}`, "--id", "bob"]);
      const called = closed(calling);
      const [input, output] = [calling.stdin, calling.stdout];
      let back = nextBytes(output);
      input.write("the first line\n");
      await back;
      calls.push(performance.now() - startMs);
      for (let line = 0; call === 0 && line < LINES_BEFORE + LINES; line++) {
        back = nextBytes(output);
        const saidMs = performance.now();
        input.write("a line of talk, as long as they are\n");
        await back;
        if (line >= LINES_BEFORE) rounds.push(performance.now() - saidMs);
      }
      output.resume();
      input.end();
      await called;
    }
    show(
      "a line there and back, and cat",
      `median ${medianOf(rounds).toFixed(2)} ms, p99 ${quantileOf(rounds, 0.99).toFixed(2)} ms`,
    );
    show(
      "from connect to the first answer",
      `${medianOf(calls).toFixed(0)} ms, median of ${CALLS} processes`,
    );
  } finally {
    listening.kill("SIGTERM");
    await listened;
  }
}

function enrol(id: string, env: Readonly<Record<string, string>>): void {
  const made = spawnSync(PKI, ["csr", "--register", "--id", id], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(made.stderr);
}

export async function benchPipe(show: (what: string, figures: string) => void): Promise<void> {
  const server = await startBenchServer();
  const folder = makeFolder();
  try {
    const env = {
      PKI_HOME: server.folder,
      PKI_SERVER: `localhost:${server.port}`,
      PKI_PASSWORD: "paper horse staple",
    };
    for (const id of ["alice", "bob"]) enrol(id, env);
    await measureLines(env, show);
    const source = join(folder, "in");
    writeRandom(source);
    const stream = { folder, source, hash: hashOf(source, COUNT), env };
    const wanted = process.env["PKI_BENCH_PEERS"]?.split(",");
    const ways = waysIn(folder).filter(({ program }) =>
      isInstalled(program) && (program === PKI || !wanted || wanted.includes(program))
    );
    const all = new Map<Way, Figures[]>(ways.map((way) => [way, []]));
    for (let round = 0; round < ROUNDS; round++) {
      const first = round % ways.length;
      for (const way of [...ways.slice(first), ...ways.slice(0, first)]) {
        all.get(way)?.push(await transfer(way, stream));
      }
    }
    const [ours = []] = all.values();
    const rate = (seconds: number) => COUNT * 1024 / seconds;
    for (const [{ name, program }, figures] of all) {
      const rates = figures.map(({ streamSeconds }) => rate(streamSeconds));
      const ratios = figures.map(({ streamSeconds }, i) =>
        streamSeconds / (ours[i]?.streamSeconds ?? NaN)
      );
      const lost = figures.filter(({ isWhole }) => !isWhole).length;
      const most = (side: 0 | 1) => Math.max(...figures.map(({ memory }) => memory[side]));
      show(
        `pipe, ${COUNT} GiB: ${name}`,
        `${rates.map((each) => each.toFixed(0)).join(", ")} MiB/s, median ` +
          `${medianOf(rates).toFixed(0)}, with start and end ` +
          `${medianOf(figures.map(({ seconds }) => rate(seconds))).toFixed(0)}; CPU ` +
          `${
            [0, 1].map((i) => medianOf(figures.map(({ cpu }) => cpu[i] ?? 0)).toFixed(2)).join(
              " + ",
            )
          } s, ` +
          `memory ${most(0).toFixed(0)} + ${most(1).toFixed(0)} MiB; ` +
          (lost === 0 ? "SHA-256 equal" : `NOT ALL ARRIVED in ${lost} of ${ROUNDS}`) +
          (program === PKI ? "" : `; ours ${medianOf(ratios).toFixed(2)} times`),
      );
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
    await server.stop();
  }
}
