/** Whether the process uses more memory than it may: looked at rarely, since it costs a system call. */

import process from "node:process";
import { LIMITS } from "../base/limits.ts";

const MEGABYTE = 1_000_000;

export class MemoryWatch {
  readonly #now: () => number;
  readonly #readBytes: () => number;
  #bytes = 0;
  #untilMs = -Infinity;

  constructor({ now, readBytes = () => process.memoryUsage.rss() }: {
    /** Milliseconds, of a clock that nobody sets back. */
    readonly now: () => number;
    /** What of the process is in memory. */
    readonly readBytes?: () => number;
  }) {
    this.#now = now;
    this.#readBytes = readBytes;
  }

  /** @param megabytes 0 for no bound */
  isBeyond(megabytes: number): boolean {
    if (megabytes === 0) return false;
    const nowMs = this.#now();
    if (nowMs >= this.#untilMs) {
      this.#bytes = this.#readBytes();
      this.#untilMs = nowMs + LIMITS.memoryLookMs;
    }
    return this.#bytes > megabytes * MEGABYTE;
  }
}
