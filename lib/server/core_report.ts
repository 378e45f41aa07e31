/** What the main thread says of the server when it is asked; the directory adds what it knows. */

import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import type { Measured } from "../protocol/measured.ts";
import { countOne, DelayMeasure } from "./measures.ts";

/** Why a connection was refused; `docs/metrics.md` says more of each. */
export const REFUSALS = [
  "connections",
  "address",
  "memory",
  "behind",
  "threads",
  "stopping",
  "protocol",
  "sockets",
  "displaced",
  "rate",
] as const;
export type Refusal = typeof REFUSALS[number];

/** A refusal, and how it is said to the client. */
export interface Refused {
  readonly reason: Refusal;
  readonly why: string;
}

/** What the main thread counts. */
export class CoreMeasures {
  readonly startedMs = Date.now();
  readonly delay = new DelayMeasure();
  readonly #refused = new Map<string, number>(REFUSALS.map((reason) => [reason, 0]));
  accepted = 0;
  handshakesFailed = 0;
  workersFailed = 0;

  refused(reason: Refusal): void {
    countOne(this.#refused, reason);
  }

  get refusals(): Record<string, number> {
    return Object.fromEntries(this.#refused);
  }

  stop(): void {
    this.delay.stop();
  }
}

/** Where Linux says what a process has open, and may. */
const OWN_FILES = "/proc/self/fd";
const OWN_LIMITS = "/proc/self/limits";

async function countFiles(): Promise<number | null> {
  try {
    return (await readdir(OWN_FILES)).length;
  } catch {
    return null; // another system, or /proc is hidden
  }
}

async function readFilesMax(): Promise<number | null> {
  try {
    const [, max] = /^Max open files\s+(\d+)/m.exec(await readFile(OWN_LIMITS, "utf8")) ?? [];
    return max === undefined ? null : Number(max);
  } catch {
    return null; // the same
  }
}

/** What the process uses, all of its threads together. */
export async function reportProcess(): Promise<Measured["process"]> {
  const [openFiles, filesMax] = await Promise.all([countFiles(), readFilesMax()]);
  const { user, system } = process.cpuUsage();
  return {
    cpuUserSeconds: user / 1e6,
    cpuSystemSeconds: system / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openFiles,
    filesMax,
  };
}
