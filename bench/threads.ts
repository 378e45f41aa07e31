/** What the engine does not give back of a thread that has ended: every connection is one. */

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { findBun } from "./engine.ts";
import { fitLine } from "./soak_judgement.ts";
import type { ThreadsReading } from "./threads_engine.ts";

const THREADS = 20_000;

export function benchThreads(show: (what: string, figures: string) => void): void {
  const script = join(import.meta.dirname ?? ".", "threads_engine.ts");
  const said = execFileSync(findBun(), [script, String(THREADS)], { encoding: "utf8" });
  const readings = said.trim().split("\n").map((line) => JSON.parse(line) as ThreadsReading);
  for (const { ended, residentBytes } of readings) {
    show(
      `after ${ended.toLocaleString("en")} threads`,
      `${(residentBytes / 2 ** 20).toFixed(1)} MiB`,
    );
  }
  // Behind the first tenth, in which the process is still settling; a line of threads, not of seconds.
  const line = fitLine(readings.slice(1).map((one) => [one.ended, one.residentBytes]));
  show("left of each thread", `${Math.round(line.slopePerHour / 3600)} bytes`);
}
