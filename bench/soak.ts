/**
 * The long run: `deno task soak`, an hour unless $PKI_SOAK_SECONDS says otherwise, $PKI_SOAK_RATE
 * operations a second. Writes its curves and what they come to into `docs/performance/`, or
 * $PKI_SOAK_FOLDER, and ends with 1 if anything was wrong or is not flat.
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { messageOf } from "../lib/base/errors.ts";
import { drawSoak } from "./soak_charts.ts";
import { describeSoak, judgeSoak } from "./soak_report.ts";
import { soak } from "./soak_run.ts";

/** A number beyond 0 from the environment: anything else would overwrite the report with nonsense. */
function numberOf(name: string, standard: number): number {
  const number = Number(process.env[name] ?? standard);
  if (number > 0 && Number.isFinite(number)) return number;
  console.error(`cannot use $${name}: ${JSON.stringify(process.env[name])} is no number beyond 0`);
  process.exit(2);
}

const seconds = numberOf("PKI_SOAK_SECONDS", 3600);
const root = join(import.meta.dirname ?? ".", "..");
const folder = process.env["PKI_SOAK_FOLDER"] ?? join(root, "docs", "performance");
/** Some hundred samples for each curve, however long it takes. */
const sampleSeconds = Math.min(Math.max(Math.round(seconds / 720), 1), 60);
/** Longer than the engine takes to compile what runs often, and for the first people to come and go. */
const warmUpSeconds = Math.min(Math.round(seconds / 6), 600);

const soaked = await soak({
  ...{ seconds, warmUpSeconds, clients: 32 },
  perSecond: numberOf("PKI_SOAK_RATE", 100),
  sampleMs: sampleSeconds * 1000,
  // One address may register 500 people at once and one more every ten seconds.
  registerMs: 8000,
  deleteMs: 20_000,
  backupMs: Math.min(300_000, seconds * 100),
  onSample: ({ seconds, perSecond, residentBytes, descriptors, threads, cores }) => {
    console.log(
      `${seconds.toFixed(0).padStart(5)} s  ${perSecond.toFixed(0).padStart(5)}/s  ` +
        `${(residentBytes / 2 ** 20).toFixed(1)} MiB  ${descriptors} descriptors  ` +
        `${threads} threads  ${cores.toFixed(2)} cores`,
    );
  },
});
fs.mkdirSync(folder, { recursive: true });
for (const [name, svg] of Object.entries(drawSoak(soaked))) {
  fs.writeFileSync(join(folder, name), `${svg}\n`);
}
const machine = `a machine of ${availableParallelism()} cores and ${
  Math.round(totalmem() / 2 ** 30)
} GiB`;
const day = new Date().toISOString().slice(0, 10);
const report = join(folder, "soak.md");
fs.writeFileSync(report, describeSoak(soaked, { machine, day }));
console.log(`written: ${report}`);
spawnSync(process.execPath, ["fmt", "--quiet", "--config", join(root, "deno.json"), report]);
const { memory, descriptors, threads, isBack, isLong, isServed, faults, failures } = judgeSoak(
  soaked,
);
if (failures > 0) console.log(`first failure: ${messageOf(soaked.firstError)}`);
const isWell = faults === 0 && isServed && soaked.verified === 0 && isBack &&
  (!isLong || [memory, descriptors, threads].every(({ isFlat }) => isFlat));
console.log(
  !isWell
    ? "not as it should be: see the report"
    : isLong
    ? "well, and flat"
    : "well, as far as so short a run can tell",
);
// Timers of connections that were cut are nobody's any more.
process.exit(isWell ? 0 : 1);
