/** Many short connections, one after the other: whether the server is as large after them as before. */

import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { ChurnOptions, ChurnReading } from "./churn_visitors.ts";
import { findBun } from "./engine.ts";
import { startBenchServer } from "./server.ts";

const VISITS = Number(process.env["PKI_BENCH_CHURN"] ?? "100000");
const READINGS = 10;

export async function benchChurn(show: (what: string, figures: string) => void): Promise<void> {
  const server = await startBenchServer();
  try {
    const options: ChurnOptions = {
      port: server.port,
      pid: server.pid,
      visits: VISITS,
      every: Math.max(1, Math.floor(VISITS / READINGS)),
      atOnce: 8,
    };
    const script = join(import.meta.dirname ?? ".", "churn_visitors.ts");
    const child = spawn(findBun(), [script, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    for await (const line of createInterface({ input: child.stdout })) {
      const { visits, residentMiB, files, threads } = JSON.parse(line) as ChurnReading;
      show(
        `after ${visits.toLocaleString("en")} short connections`,
        `${residentMiB} MiB, ${files} files, ${threads} threads`,
      );
    }
    const code = await ended;
    if (code !== 0) throw new Error(`the visitors ended with ${code}`);
  } finally {
    await server.stop();
  }
}
