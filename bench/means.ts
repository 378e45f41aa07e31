/** What a lookup takes from the shell, by what opens the session: time, and the client's CPU. */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { PKI, startBenchServer } from "./server.ts";

const ROUNDS = 15;

interface Taken {
  /** Median of the whole process. */
  readonly wallMs: number;
  /** Mean of it and of what it starts. */
  readonly cpuMs: number;
}

/** Seconds of `1m2.345s`, as a shell's `times` writes them. */
function secondsOf(text: string): number {
  const [, minutes, seconds] = /^(\d+)m([\d.]+)s$/.exec(text) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}

export async function benchMeans(show: (what: string, figures: string) => void): Promise<void> {
  const { folder, port, stop } = await startBenchServer();
  const passwordFile = join(folder, "password");
  fs.writeFileSync(passwordFile, "a paper horse in the rain\n", { mode: 0o600 });
  const env = {
    PATH: process.env["PATH"] ?? "",
    PKI_HOME: folder,
    PKI_SERVER: `localhost:${port}`,
    PKI_ID: "alice",
  };
  const run = (command: string, ...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(command, [...args], { env, encoding: "utf8" });
    if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const password = ["--password-file", passwordFile];
  const measure = (...args: readonly string[]): Taken => {
    // The last line of `times` is what the shell's children took: user and system time.
    const script = '"$@" >/dev/null || exit; times';
    const taken = Array.from({ length: ROUNDS }, () => {
      const startMs = performance.now();
      const said = run("sh", "-c", script, "sh", PKI, "request", "alice", "--quiet", ...args);
      const wallMs = performance.now() - startMs;
      const seconds = (said.trim().split("\n").at(-1) ?? "").split(" ").map(secondsOf);
      return { wallMs, cpuMs: seconds.reduce((sum, one) => sum + one, 0) * 1000 };
    });
    const walls = taken.map(({ wallMs }) => wallMs).sort((a, b) => a - b);
    const cpuMs = taken.reduce((sum, one) => sum + one.cpuMs, 0) / ROUNDS;
    return { wallMs: walls[ROUNDS >> 1] ?? NaN, cpuMs };
  };
  try {
    run(PKI, "csr", "--register", ...password);
    const byPassword = measure("--with-password", ...password);
    const tell = (what: string, { wallMs, cpuMs }: Taken) =>
      show(
        `a lookup, ${what}`,
        `${wallMs.toFixed(0)} ms (${(wallMs / byPassword.wallMs).toFixed(2)} times), ` +
          `${cpuMs.toFixed(0)} ms of CPU (${(cpuMs / byPassword.cpuMs).toFixed(2)} times)`,
      );
    tell("by password", byPassword);
    tell("by password and certificate", measure(...password));
    run(PKI, "unlock", ...password);
    tell("with an unlocked key", measure());
    run(PKI, "lock");
  } finally {
    await stop();
  }
}
