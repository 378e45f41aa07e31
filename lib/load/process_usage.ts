/** What a process of this machine uses, as Linux tells it in `/proc`; elsewhere nothing is known. */

import * as fs from "node:fs";

/** Of `/proc/<pid>/stat`; the kernel's own constant for programs. */
const TICKS_PER_SECOND = 100;

export interface ProcessUsage {
  /** CPU of all its threads so far, also of those that have ended. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly threads: number;
  readonly descriptors: number;
}

/** `undefined` where that is not to be read: it has ended, is somebody else's, or this is not Linux. */
export function readProcess(pid: number): ProcessUsage | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
    // The name, in parentheses, may have anything in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const numberOf = (pattern: RegExp) => Number(pattern.exec(status)?.[1]);
    const usage = {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      residentBytes: numberOf(/^VmRSS:\s+(\d+) kB$/m) * 1024,
      threads: numberOf(/^Threads:\s+(\d+)$/m),
      descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
    };
    return Object.values(usage).every(Number.isFinite) ? usage : undefined;
  } catch {
    return undefined;
  }
}
