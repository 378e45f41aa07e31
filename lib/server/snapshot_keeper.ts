/**
 * Decides when a snapshot is due: when the log has grown by as much as the last snapshot takes, so
 * that what snapshots cost for each change stays the same however much there is.
 */

import type { MessagePort } from "node:worker_threads";
import { Caller } from "../base/call.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { FAULT_SNAPSHOT_BYTES_MIN, HAS_FAULTS } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { startWorker } from "../base/worker.ts";
import type { FromSnapshot, ToSnapshot } from "./ports.ts";

const BYTES_MIN = HAS_FAULTS ? FAULT_SNAPSHOT_BYTES_MIN : LIMITS.snapshotBytesMin;

export interface SnapshotKeeperOptions {
  /** How long the last snapshot is, and how long the log was that it stands for. */
  readonly snapshotBytes: number;
  readonly coveredBytes: number;
  /** How long the log is now. */
  readonly logBytes: () => number;
  /** Asked when one is due: brings in order what a snapshot stands for, and says whether it is. */
  readonly isReady?: () => boolean;
  /** What to take a snapshot of. */
  readonly describe: () => ToSnapshot;
  /** Takes it; default in a worker of its own. */
  readonly take?: (question: ToSnapshot) => Promise<FromSnapshot>;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly now?: () => number;
}

export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #now: () => number;
  #snapshotBytes: number;
  #coveredBytes: number;
  #running: Promise<void> | undefined;
  #retryAtMs = 0;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#snapshotBytes = options.snapshotBytes;
    this.#coveredBytes = options.coveredBytes;
  }

  /** Whether the log has grown enough, and none is being taken or has just failed. */
  get isDue(): boolean {
    const grownBytes = this.#options.logBytes() - this.#coveredBytes;
    return grownBytes >= Math.max(BYTES_MIN, this.#snapshotBytes) &&
      this.#running === undefined && this.#now() >= this.#retryAtMs;
  }

  /** To be called after each change; takes no time. */
  consider(): void {
    if (!this.isDue) return;
    if (this.#options.isReady?.() === false) return;
    this.#running = this.#take().finally(() => this.#running = undefined);
  }

  async #take(): Promise<void> {
    const { describe, warn, logBytes, take = takeInWorker } = this.#options;
    try {
      const coveredBytes = logBytes();
      const { bytes } = await take(describe());
      this.#snapshotBytes = bytes;
      this.#coveredBytes = coveredBytes;
    } catch (error) {
      warn(`no snapshot was taken: ${messageOf(error)}; the log has everything`);
      this.#retryAtMs = this.#now() + LIMITS.snapshotRetryMs;
    }
  }

  /** Whether the last snapshot stands for all of the log. */
  get isCurrent(): boolean {
    return this.#options.logBytes() === this.#coveredBytes;
  }

  /** Waits for the one that is being taken. */
  async close(): Promise<void> {
    await this.#running;
  }
}

async function takeInWorker(question: ToSnapshot): Promise<FromSnapshot> {
  const worker = startWorker("snapshot");
  try {
    const caller = new Caller<ToSnapshot, FromSnapshot>(worker as unknown as MessagePort);
    const fail = (why: string) => caller.fail(new PkiError("internal", why));
    worker.on("error", (error) => fail(messageOf(error)));
    worker.on("exit", () => fail("the worker ended by itself"));
    return await caller.ask(question);
  } finally {
    await worker.terminate();
  }
}
