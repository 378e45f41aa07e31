/**
 * Starts and ends so many empty workers, one after the other, and says how much memory the process has
 * after every so many. What is left is the engine's: there is nothing of ours in it.
 *
 * Run by bun, the engine of the executable; takes the number as its argument, prints a line of JSON each
 * time.
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { usageOf } from "./cpu.ts";

export interface ThreadsReading {
  readonly ended: number;
  readonly residentBytes: number;
}

const READINGS = 10;

async function live(url: string): Promise<void> {
  // As connection workers are started: lib/base/lean_worker.ts.
  const worker = new Worker(url, { type: "module", env: {}, smol: true } as WorkerOptions);
  const closed = new Promise((resolve) => worker.addEventListener("close", resolve));
  await new Promise((resolve) => worker.onmessage = resolve);
  worker.terminate();
  await closed;
}

const count = Number(process.argv[2]);
const source = Buffer.from("postMessage(0)").toString("base64");
const url = `data:text/javascript;base64,${source}`;
for (let ended = 1; ended <= count; ended++) {
  await live(url);
  if (ended % Math.ceil(count / READINGS) !== 0) continue;
  const reading: ThreadsReading = { ended, residentBytes: usageOf(process.pid).residentBytes };
  console.log(JSON.stringify(reading));
}
