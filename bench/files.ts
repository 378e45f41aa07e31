/**
 * Files from `pki send` to `pki receive` on loopback, each run with its login and its goodbye: one of a
 * GiB, the same with the line cut in the middle, and a tree of 10,000 small ones. What arrives is
 * compared by SHA-256, and the bytes that crossed the line are counted by a relay.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { CuttingRelay } from "../tests/e2e/cutting_relay.ts";
import { PKI, startBenchServer } from "./server.ts";

const MIB = 1024 ** 2;
const BYTES = 1024 * MIB;
const SMALL_FILES = 10_000;
const ROUNDS = 3;

interface Run {
  readonly seconds: number;
  /** Bytes that crossed the line. */
  readonly bytes: number;
  /** The most memory, in MiB, of the sender and the receiver. */
  readonly memory: readonly [number, number];
}

function peakMiB(pid: number | undefined): number {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0; // it has ended
  }
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("close", resolve));
}

/** Resolves to the port of a receiver that listens. */
function listening(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stderr?.on("data", (chunk) => {
      text += String(chunk);
      const [, port] = /"event":"listening".*"port":(\d+)/.exec(text) ?? [];
      if (port !== undefined) resolve(Number(port));
    });
    child.once("close", () => reject(new Error(`no receiver: ${text}`)));
  });
}

async function transfer(
  source: string,
  { folder, env, cutAt }: {
    readonly folder: string;
    readonly env: Readonly<Record<string, string>>;
    readonly cutAt?: number;
  },
): Promise<Run> {
  const options = { env: { ...process.env, ...env } };
  const receiver = spawn(PKI, [
    ...["receive", "--id", "bob", "--allow", "alice", "--once", "--json", "--host", "127.0.0.1"],
    ...["--port", "0", "--dir", join(folder, "in")],
  ], { ...options, stdio: ["ignore", "ignore", "pipe"] });
  const relay = await CuttingRelay.start(await listening(receiver));
  if (cutAt !== undefined) relay.at(cutAt, () => relay.cut());
  const start = performance.now();
  const sender = spawn(PKI, ["send", relay.where, source, "--id", "alice"], {
    ...options,
    stdio: "ignore",
  });
  let memory: readonly [number, number] = [0, 0];
  const look = setInterval(() => {
    memory = [Math.max(memory[0], peakMiB(sender.pid)), Math.max(memory[1], peakMiB(receiver.pid))];
  }, 20);
  const codes = await Promise.all([ended(sender), ended(receiver)]);
  clearInterval(look);
  relay.close();
  if (codes.some((code) => code !== 0)) throw new Error(`they ended with ${codes.join(" and ")}`);
  return { seconds: (performance.now() - start) / 1000, bytes: relay.bytes, memory };
}

function hashOf(path: string): string {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(16 * MIB);
  const file = fs.openSync(path, "r");
  for (let n = fs.readSync(file, chunk); n > 0; n = fs.readSync(file, chunk)) {
    hash.update(chunk.subarray(0, n));
  }
  fs.closeSync(file);
  return hash.digest("hex");
}

function makeSources(folder: string): { readonly large: string; readonly tree: string } {
  const [large, tree] = [join(folder, "large"), join(folder, "tree")];
  const file = fs.openSync(large, "w");
  const chunk = new Uint8Array(16 * MIB);
  for (let at = 0; at < BYTES; at += chunk.length) fs.writeSync(file, randomFillSync(chunk));
  fs.closeSync(file);
  fs.mkdirSync(tree);
  for (let i = 0; i < SMALL_FILES; i++) {
    fs.writeFileSync(join(tree, `${i}`), randomFillSync(new Uint8Array(1000)));
  }
  return { large, tree };
}

/** @param show prints a row: what, and how much */
export async function benchFiles(show: (name: string, figures: string) => void): Promise<void> {
  const server = await startBenchServer();
  const { folder } = server;
  try {
    const env = {
      PKI_HOME: folder,
      PKI_SERVER: `localhost:${server.port}`,
      PKI_PASSWORD: "files are sent all day long",
    };
    for (const id of ["alice", "bob"]) {
      const { status } = spawnSync(PKI, ["csr", "--register", "--id", id], {
        env: { ...process.env, ...env },
        stdio: "ignore",
      });
      if (status !== 0) throw new Error(`${id} cannot be registered`);
    }
    const { large, tree } = makeSources(folder);
    const hash = hashOf(large);
    const received = join(folder, "in", "large");
    const runs = async (source: string, cutAt?: number): Promise<readonly Run[]> => {
      const all: Run[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const more = cutAt === undefined ? {} : { cutAt };
        all.push(await transfer(source, { folder, env, ...more }));
        if (source === large && hashOf(received) !== hash) throw new Error("SHA-256 differs");
        fs.rmSync(join(folder, "in"), { recursive: true });
      }
      return all;
    };
    const describe = (all: readonly Run[], figure: (run: Run) => string) => {
      const most = (side: 0 | 1) => Math.max(...all.map(({ memory }) => memory[side])).toFixed(0);
      return `${all.map(figure).join(", ")}; memory ${most(0)} + ${most(1)} MiB`;
    };
    show(
      "file, 1 GiB",
      describe(
        await runs(large),
        ({ seconds }) => `${(BYTES / MIB / seconds).toFixed(0)} MiB/s`,
      ),
    );
    show(
      "file, 1 GiB, cut in the middle",
      describe(
        await runs(large, BYTES / 2),
        ({ seconds, bytes }) =>
          `${seconds.toFixed(1)} s, ${((bytes - BYTES) / MIB).toFixed(1)} MiB more than the file`,
      ),
    );
    show(
      `${SMALL_FILES} files of 1 KB`,
      describe(
        await runs(tree),
        ({ seconds }) => `${(SMALL_FILES / seconds).toFixed(0)} files/s`,
      ),
    );
  } finally {
    await server.stop();
  }
}
