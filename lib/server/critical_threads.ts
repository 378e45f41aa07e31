/**
 * The threads that the server cannot be without: directory and authority. Starts them and has them
 * watched; one that throws, ends or keeps silent ends the server. What they are asked for is not known
 * here.
 */

import { availableParallelism } from "node:os";
import { MessageChannel, type MessagePort, type Worker } from "node:worker_threads";
import { Caller } from "../base/call.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { FAULT_DIRECTORY_END_MS, FAULT_PULSE_MS, HAS_FAULTS } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { startWorker } from "../base/worker.ts";
import type { FromAuthority, FromDirectory, ToAuthority, ToDirectory } from "./ports.ts";
import { Pulse } from "./pulse.ts";

type CriticalThread = "authority" | "directory";

/** What the directory is started with, but for its channels to the authority. */
export type DirectoryStart = Omit<ToDirectory & { type: "start" }, "type" | "authorities">;

export class CriticalThreads {
  readonly directory: Caller<ToDirectory, FromDirectory>;
  readonly #workers: readonly Worker[];
  readonly #authorities: readonly Caller<ToAuthority, FromAuthority>[];
  readonly #onFault: (error: PkiError) => void;
  readonly #pulses: Pulse[] = [];
  #isEnding = false;
  #failure: PkiError | undefined;

  /** @param onFault the server cannot go on */
  constructor(onFault: (error: PkiError) => void) {
    this.#onFault = onFault;
    const authorities = Array.from(
      { length: authorityCount(availableParallelism()) },
      () => this.#startThread("authority"),
    );
    const directory = this.#startThread("directory");
    this.#workers = [directory, ...authorities];
    this.#authorities = authorities.map((worker) => callerOf(worker));
    this.directory = callerOf(directory);
  }

  #startThread(name: CriticalThread): Worker {
    const worker = startWorker(name);
    worker.on("error", (error) => this.#fail(name, `failed: ${messageOf(error)}`));
    worker.on("exit", () => this.#fail(name, "ended by itself"));
    return worker;
  }

  #fail(name: CriticalThread, what: string): void {
    const error = new PkiError("internal", `the ${name} ${what}`, {
      hint: "everything that was acknowledged is in the log; start the server again",
    });
    this.directory?.fail(error); // also at the end, which waits for an answer
    if (this.#isEnding) return;
    this.#failure ??= error;
    this.#onFault(error);
  }

  /** Why the server stops, if it has to. */
  get failure(): PkiError | undefined {
    return this.#failure;
  }

  /**
   * Has all of them open what is theirs; each authority gets a channel to the directory.
   * @returns whether anybody was ever registered
   */
  async start(question: DirectoryStart): Promise<boolean> {
    const { folder, passphrase, events } = question;
    const channels = this.#authorities.map(() => new MessageChannel());
    const ports = channels.map(({ port2 }) => port2);
    const [{ hasAccounts = false }] = await Promise.all([
      this.directory.ask({ ...question, type: "start", authorities: ports }, [events, ...ports]),
      ...this.#authorities.map((authority, at) => {
        const { port1 } = channels[at] ?? new MessageChannel();
        return authority.ask({ type: "start", folder, passphrase, directory: port1 }, [port1]);
      }),
    ]);
    return hasAccounts;
  }

  /** From now on a thread that loops or waits for ever is noticed; a start may take long. */
  watch(): void {
    this.#watchOne("directory", () => this.directory.ask({ type: "ping" }));
    for (const authority of this.#authorities) {
      this.#watchOne("authority", () => authority.ask({ type: "ping" }));
    }
  }

  #watchOne(name: CriticalThread, ask: () => Promise<unknown>): void {
    const pulse = new Pulse({
      ask,
      onSilent: () => this.#fail(name, "does not answer"),
      missedMax: LIMITS.pulsesMissedMax,
    });
    pulse.start(HAS_FAULTS ? FAULT_PULSE_MS : LIMITS.pulseMs);
    this.#pulses.push(pulse);
  }

  /** The server stops: whatever becomes of them now is no fault. */
  stopWatching(): void {
    this.#isEnding = true;
    for (const pulse of this.#pulses) pulse.stop();
  }

  /**
   * Has the directory close what it has open, and waits for that as long as it may take.
   * @throws {PkiError} `internal` if it has failed, or not ended by then
   */
  async finish(): Promise<void> {
    const endMs = HAS_FAULTS ? FAULT_DIRECTORY_END_MS : LIMITS.directoryEndMs;
    const late = setTimeout(
      () => this.#fail("directory", `has not ended within ${endMs / 1000} s`),
      endMs,
    );
    try {
      await this.directory.ask({ type: "stop" });
    } finally {
      clearTimeout(late);
    }
  }

  /** Ends them. One that waits for a disk which does not answer ends with the process. */
  async end(): Promise<void> {
    this.stopWatching();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LIMITS.threadsEndMs);
    });
    await Promise.race([Promise.all(this.#workers.map((worker) => worker.terminate())), late]);
    clearTimeout(timer);
  }
}

function callerOf<Question extends object, Answer extends object>(
  worker: Worker,
): Caller<Question, Answer> {
  return new Caller<Question, Answer>(worker as unknown as MessagePort);
}

/** Half of the cores sign; the others have the connections and the directory, which takes about as long. */
function authorityCount(cores: number): number {
  return Math.max(1, Math.min(LIMITS.authorityWorkersMax, Math.floor(cores / 2)));
}
