/**
 * What is measured: `deno task bench [start|first|issue|lookup|login|visits|held|churn|threads|flat|means|guess|pipe|files|append|revoke|startup …]`, all without an argument. Build
 * first. Peers are measured in the same run where they are installed; only ratios count, since
 * machines differ and are noisy.
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { findBun } from "./engine.ts";
import { benchChurn } from "./churn.ts";
import { benchFirst } from "./first.ts";
import { benchFlat } from "./flat.ts";
import { benchGuess } from "./guess.ts";
import { benchIssue, benchLookup } from "./issue.ts";
import { benchLogin } from "./login.ts";
import { benchMeans } from "./means.ts";
import { benchFiles } from "./files.ts";
import { benchPipe } from "./pipe.ts";
import { benchRevoke } from "./revoke.ts";
import { PKI } from "./server.ts";
import { measureStart } from "./startup.ts";
import { benchThreads } from "./threads.ts";
import { benchHeld, benchVisits } from "./visits.ts";

function show(what: string, figures: string): void {
  console.log(`${what.padEnd(34)} ${figures}`);
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
  login: () => benchLogin(show),
  visits: () => benchVisits(show),
  churn: () => benchChurn(show),
  threads: () => Promise.resolve(benchThreads(show)),
  held: () => benchHeld(show),
  flat: () => benchFlat(show),
  means: () => benchMeans(show),
  guess: () => benchGuess(show),
  pipe: () => benchPipe(show),
  files: () => benchFiles(show),
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
