/** Connection workers, started ahead of need and used once. */

import type { Worker } from "node:worker_threads";
import { startWorker } from "../base/worker.ts";

export class WorkerPool {
  readonly #spares: Worker[] = [];
  #size: number;
  #isClosed = false;

  constructor(size: number) {
    this.#size = size;
    this.#fill();
  }

  /** A worker that nobody has used; the caller ends it. */
  take(): Worker {
    const worker = this.#spares.shift() ?? startWorker("connection");
    worker.removeAllListeners();
    setTimeout(() => this.#fill()); // behind what the new connection needs first
    return worker;
  }

  /** From now on so many are kept; what is too many is used up. */
  resize(size: number): void {
    this.#size = size;
    this.#fill();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#spares.splice(0).map((worker) => worker.terminate()));
  }

  #fill(): void {
    while (!this.#isClosed && this.#spares.length < this.#size) {
      const worker = startWorker("connection");
      const drop = () => {
        const at = this.#spares.indexOf(worker);
        if (at >= 0) this.#spares.splice(at, 1);
      };
      worker.on("error", drop);
      worker.on("exit", drop);
      this.#spares.push(worker);
    }
  }
}
