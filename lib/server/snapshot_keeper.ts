/**
 * Decides when a snapshot is due: when the log has grown by as much as the last snapshot takes, so
 * that what snapshots cost for each change stays the same however much there is. And at once when
 * entries were redacted: the last snapshot has what they were about.
 */

import type { MessagePort } from "node:worker_threads";
import { Caller } from "../base/call.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { FAULT_SNAPSHOT_BYTES_MIN, HAS_FAULTS } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { startWorker } from "../base/worker.ts";
import type { DirectoryMeasured } from "../protocol/measured.ts";
import type { FromSnapshot, ToSnapshot } from "./ports.ts";

const BYTES_MIN = HAS_FAULTS ? FAULT_SNAPSHOT_BYTES_MIN : LIMITS.snapshotBytesMin;

export interface SnapshotKeeperOptions {
  /** How long the last snapshot is, and how long the log was that it stands for. */
  readonly snapshotBytes: number;
  readonly coveredBytes: number;
  /** When it was taken, in milliseconds since 1970, if there is one. */
  readonly takenMs?: number | undefined;
  /** How long the log is now. */
  readonly logBytes: () => number;
  /** Another number whenever entries were redacted. */
  readonly redactions?: () => number;
  /** What to take a snapshot of; asked when one is taken. */
  readonly describe: () => Omit<ToSnapshot, "forgets">;
  /** Takes it, or fails soon after the signal; default in a worker of its own. */
  readonly take?: (question: ToSnapshot, signal: AbortSignal) => Promise<FromSnapshot>;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly now?: () => number;
  /** A clock that nobody sets, in milliseconds. */
  readonly elapsed?: () => number;
  /** Runs something later, unless that is called off by what it returns. */
  readonly later?: (run: () => void, afterMs: number) => () => void;
}

export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #now: () => number;
  readonly #elapsed: () => number;
  #snapshotBytes: number;
  #coveredBytes: number;
  #running: Promise<void> | undefined;
  /** The number that the last one stands for. */
  #coveredRedactions: number;
  /** By the clock that nobody sets. */
  #retryAtMs = -Infinity;
  #taken = 0;
  #failed = 0;
  #lastMs: number | null;
  #lastSeconds: number | null = null;
  #callOff = () => {};
  readonly #givenUp = new AbortController();

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#elapsed = options.elapsed ?? (() => performance.now());
    this.#snapshotBytes = options.snapshotBytes;
    this.#coveredBytes = options.coveredBytes;
    this.#lastMs = options.takenMs ?? null;
    this.#coveredRedactions = this.#redactions;
  }

  get #redactions(): number {
    return this.#options.redactions?.() ?? 0;
  }

  /** Whether the last one has what was redacted since. */
  get mustForget(): boolean {
    return this.#redactions !== this.#coveredRedactions;
  }

  /** Whether there is a reason for one, and none is being taken or has just failed. */
  get isDue(): boolean {
    const grownBytes = this.#options.logBytes() - this.#coveredBytes;
    const hasGrown = grownBytes >= Math.max(BYTES_MIN, this.#snapshotBytes);
    return (hasGrown || this.mustForget) && this.#running === undefined &&
      this.#elapsed() >= this.#retryAtMs;
  }

  /** To be called after each change, and after entries were redacted; takes no time. */
  consider(): void {
    if (!this.isDue) {
      if (this.#running === undefined) this.#considerLater(); // one has just failed
      return;
    }
    this.#running = this.#take().finally(() => {
      this.#running = undefined;
      this.#considerLater();
    });
  }

  /** What must be forgotten does not wait for the next change. */
  #considerLater(): void {
    if (!this.mustForget) return;
    this.#callOff();
    const { later = runLater } = this.#options;
    this.#callOff = later(
      () => this.consider(),
      Math.max(this.#retryAtMs - this.#elapsed(), LIMITS.snapshotForgetMs),
    );
  }

  async #take(): Promise<void> {
    const { describe, warn, logBytes, take = takeInWorker } = this.#options;
    const redactions = this.#redactions;
    const startMs = this.#elapsed();
    try {
      const coveredBytes = logBytes();
      const question = { ...describe(), forgets: this.mustForget };
      const { bytes } = await take(question, this.#givenUp.signal);
      this.#snapshotBytes = bytes;
      this.#coveredBytes = coveredBytes;
      this.#coveredRedactions = redactions;
      this.#taken++;
      this.#lastMs = this.#now();
      this.#lastSeconds = (this.#elapsed() - startMs) / 1000;
    } catch (error) {
      // It has read half of what was being written over; the next one does not.
      if (redactions !== this.#redactions) return;
      this.#failed++;
      warn(`no snapshot was taken: ${messageOf(error)}; the log has everything`);
      this.#retryAtMs = this.#elapsed() + LIMITS.snapshotRetryMs;
    }
  }

  /** What is known of the newest one, and what has become of all since the start. */
  measure(): DirectoryMeasured["snapshot"] {
    return {
      taken: this.#taken,
      failed: this.#failed,
      isRunning: this.#running !== undefined,
      lastMs: this.#lastMs,
      lastSeconds: this.#lastSeconds,
      bytes: this.#snapshotBytes,
      behindBytes: Math.max(this.#options.logBytes() - this.#coveredBytes, 0),
      dueBytes: Math.max(BYTES_MIN, this.#snapshotBytes),
    };
  }

  /** Whether the last snapshot stands for all of the log. */
  get isCurrent(): boolean {
    return this.#options.logBytes() === this.#coveredBytes && !this.mustForget;
  }

  /** Waits for the one that is being taken, for a while; then it is given up. */
  async close(): Promise<void> {
    const { later = runLater } = this.#options;
    const callOff = later(() => this.#givenUp.abort(), LIMITS.snapshotEndMs);
    await this.#running;
    callOff();
    this.#callOff();
  }
}

function runLater(run: () => void, afterMs: number): () => void {
  const timer = setTimeout(run, afterMs).unref();
  return () => clearTimeout(timer);
}

async function takeInWorker(question: ToSnapshot, signal: AbortSignal): Promise<FromSnapshot> {
  const worker = startWorker("snapshot");
  try {
    const caller = new Caller<ToSnapshot, FromSnapshot>(worker as unknown as MessagePort);
    const fail = (why: string) => caller.fail(new PkiError("internal", why));
    worker.on("error", (error) => fail(messageOf(error)));
    worker.on("exit", () => fail("the worker ended by itself"));
    signal.addEventListener("abort", () => fail("it took too long for a server that stops"));
    return await caller.ask(question);
  } finally {
    await worker.terminate();
  }
}
