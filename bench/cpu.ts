/** What a process uses: memory, and CPU time by its threads (Linux). */

import * as fs from "node:fs";
import { type ProcessUsage, readProcess } from "../lib/load/process_usage.ts";

/** @throws {Error} where that cannot be read */
export function usageOf(pid: number | undefined): ProcessUsage {
  const usage = pid === undefined ? undefined : readProcess(pid);
  if (!usage) throw new Error(`nothing is known of process ${pid}`);
  return usage;
}

interface CpuTime {
  readonly name: string;
  readonly microseconds: number;
}

/** CPU time of a process so far: by thread, and of all of them, those that ended too. */
export function cpuTimes(pid: number): { threads: Map<string, CpuTime>; microseconds: number } {
  const folder = `/proc/${pid}/task`;
  const threads = new Map<string, CpuTime>();
  if (!fs.existsSync(folder)) return { threads, microseconds: 0 };
  for (const thread of fs.readdirSync(folder)) {
    try {
      const name = fs.readFileSync(`${folder}/${thread}/comm`, "utf8").trim();
      const [ns = ""] = fs.readFileSync(`${folder}/${thread}/schedstat`, "utf8").split(" ");
      threads.set(thread, { name, microseconds: Number(ns) / 1000 });
    } catch {
      // It ended while we looked.
    }
  }
  return { threads, microseconds: usageOf(pid).cpuSeconds * 1e6 };
}

/** What a process has used since then for each of so many operations, by the names of its threads. */
export function cpuSince(
  pid: number,
  before: ReturnType<typeof cpuTimes>,
  operations: number,
): { readonly [thread: string]: number } {
  const cost: { [thread: string]: number } = {};
  const now = cpuTimes(pid);
  let ended = now.microseconds - before.microseconds;
  for (const [thread, { name, microseconds }] of now.threads) {
    const used = microseconds - (before.threads.get(thread)?.microseconds ?? 0);
    cost[name] = (cost[name] ?? 0) + used / operations;
    ended -= used;
  }
  return { ...cost, "threads that ended": Math.max(0, ended / operations) };
}
