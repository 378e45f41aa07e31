/**
 * Workers of which many are started, each for a short life: Web Workers, which start in less than half
 * of the time that the workers of `node:worker_threads` take, and their entries import none of that
 * module, which costs as much again. They have messages and an end, and no streams.
 */

import { clearTimeout, setTimeout } from "node:timers";
import type { MessagePort } from "node:worker_threads";
import { IS_BUNDLED, type WorkerName, workerUrl } from "./worker.ts";

export interface LeanWorkerHandlers<Said> {
  readonly onMessage: (message: Said) => void;
  /** Something in it was not caught; it ends. */
  readonly onThrown: (message: string) => void;
  /** It has ended by itself. Deno does not tell. */
  readonly onEnded: () => void;
}

/**
 * How such a worker starts: with an empty environment in the executable, and in Deno, which knows no
 * such option, without any permission: it may neither look into the environment nor do anything else.
 * The executable's engine also keeps its heap small (`smol`): many that do little at a time would
 * otherwise each come to megabytes of garbage, in hours, before the engine finds it worth collecting.
 */
export function leanOptions(name: WorkerName) {
  const isolated = IS_BUNDLED
    ? { env: {}, smol: true }
    : { deno: { permissions: "none" } } as const;
  return { type: "module", name, ...isolated } as const;
}

/** Until a worker counts as closed that was ended and of which the engine, Deno, does not tell. */
const CLOSED_MS = 10_000;

export class LeanWorker<Told, Said> {
  readonly #worker: Worker;
  #handlers: LeanWorkerHandlers<Said> | undefined;
  #onClosed: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  /** @param onClosed called once, when its thread has ended, whoever ended it */
  constructor(name: WorkerName, onClosed?: () => void) {
    this.#onClosed = onClosed;
    this.#worker = new Worker(workerUrl(name), leanOptions(name));
    this.#worker.onmessage = ({ data }: MessageEvent<Said>) => this.#handlers?.onMessage(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // else the program ends
      this.#handlers?.onThrown(thrownIn(event.message));
    };
    this.#worker.addEventListener("close", () => {
      this.#handlers?.onEnded();
      this.#close();
    });
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#onClosed?.();
    this.#onClosed = undefined;
  }

  /** From now on these hear of it, and those before do not. */
  listen(handlers: LeanWorkerHandlers<Said>): void {
    this.#handlers = handlers;
  }

  tell(message: Told, ports: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, ports as unknown as Transferable[]);
  }

  /** Ends it now, whatever it does; nothing more is heard of it. Once is enough. */
  end(): void {
    if (this.#isEnded) return; // a second timer would keep what is left of it for seconds
    this.#isEnded = true;
    this.#handlers = undefined;
    this.#worker.terminate();
    if (this.#onClosed) this.#timer = setTimeout(() => this.#close(), CLOSED_MS).unref();
  }
}

/** What was thrown: the engine tells of it with the lines of source around it. */
function thrownIn(message: string): string {
  return /^(?:\w*error|uncaught \w+): (.*)$/im.exec(message)?.[1] ?? message;
}
