/**
 * Short visits and held connections: what `visitors.ts` gets out of a server, and what the server needs
 * for it.
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { findBun } from "./engine.ts";
import { startBenchServer } from "./server.ts";
import type { VisitOptions, VisitResult } from "./visitors.ts";

const ROUNDS = Number(process.env["PKI_BENCH_ROUNDS"] ?? "2");
const HELD = Number(process.env["PKI_BENCH_HELD"] ?? "1000");

type Load = Pick<VisitOptions, "held" | "isFull" | "visitors" | "seconds" | "warmUpSeconds">;
type Show = (what: string, figures: string) => void;

/** A fresh server, and the visits to it from another process. */
async function send(load: Load): Promise<VisitResult> {
  const server = await startBenchServer(
    load.held > 0 ? ["--max-connections", String(load.held + (load.isFull ? 0 : 100))] : [],
  );
  try {
    const options: VisitOptions = {
      ...load,
      port: server.port,
      pid: server.pid,
      rootPath: join(server.folder, "server", "root.crt"),
      domain: server.anchor.domain,
    };
    const script = join(import.meta.dirname ?? ".", "visitors.ts");
    const { stdout, stderr, status } = spawnSync(findBun(), [script, JSON.stringify(options)], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as VisitResult;
  } finally {
    await server.stop();
  }
}

function describeCpu({ ownMicroseconds, serverMicroseconds }: VisitResult): string {
  const threads = Object.entries(serverMicroseconds).sort(([, a], [, b]) => b - a);
  const sum = threads.reduce((total, [, microseconds]) => total + microseconds, 0);
  return `load ${ownMicroseconds.toFixed(0)} \u00b5s, server ${sum.toFixed(0)} \u00b5s: ` +
    threads.filter(([, microseconds]) => microseconds >= 10)
      .map(([name, microseconds]) => `${name} ${microseconds.toFixed(0)}`).join(", ");
}

/** Connect, log in by certificate, one lookup, leave. */
export async function benchVisits(show: Show): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    for (const visitors of (process.env["PKI_BENCH_VISITORS"] ?? "8,32").split(",").map(Number)) {
      const result = await send({
        ...{ held: 0, isFull: false, visitors, seconds: 5, warmUpSeconds: 5 },
      });
      const { perSecond, p50Ms, p99Ms, memoryMb } = result;
      show(
        `visits, ${visitors} at a time, round ${round}`,
        `${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms; ` +
          `memory ${memoryMb.before.toFixed(0)} MB before, ${memoryMb.after.toFixed(0)} after`,
      );
      show("  CPU for each", describeCpu(result));
    }
  }
}

/** Many connections at once, each with a session and a worker, and what others notice of them. */
export async function benchHeld(show: Show): Promise<void> {
  const { memoryMb, threads, heldAfterMs, ...result } = await send({
    ...{ held: HELD, isFull: false, visitors: 1, seconds: 10, warmUpSeconds: 2 },
  });
  show(
    `${HELD} sessions held`,
    `memory ${memoryMb.before.toFixed(0)} MB before, ${memoryMb.held.toFixed(0)} with them, ` +
      `${memoryMb.after.toFixed(0)} after; threads ${threads.before}, ${threads.held}, ` +
      `${threads.after}; all open after ${(heldAfterMs / 1000).toFixed(1)} s`,
  );
  show(
    "  one more, ready",
    `p50 ${result.readyP50Ms.toFixed(1)} ms, p99 ${result.readyP99Ms.toFixed(1)} ms; ` +
      `a whole visit p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms`,
  );
  const { busy } = await send({
    ...{ held: HELD, isFull: true, visitors: 0, seconds: 0, warmUpSeconds: 0 },
  });
  show("  one beyond the limit", `"${busy?.message}", after ${busy?.ms.toFixed(1)} ms`);
}
