/**
 * Starts our workers, by name: the executable and the source keep their entries in different places.
 * Workers start with an empty environment, so that no secret in it reaches them.
 */

import { Worker } from "node:worker_threads";

/** Set by `build.ts`; not there when the program runs from source. */
declare const PKI_BUNDLED: boolean | undefined;

/** Whether the program is one executable. */
export const IS_BUNDLED = typeof PKI_BUNDLED !== "undefined" && PKI_BUNDLED;

/** The entries, as paths from this file; `build.ts` puts each beside the main bundle by its name. */
export const WORKER_ENTRIES = {
  connection: "../server/connection_worker.ts",
  directory: "../server/directory_worker.ts",
  authority: "../server/authority_worker.ts",
  snapshot: "../server/snapshot_worker.ts",
  conversation: "../peer/conversation_worker.ts",
} as const;

export type WorkerName = keyof typeof WORKER_ENTRIES;

export function workerUrl(name: WorkerName): URL {
  const path = IS_BUNDLED ? `./${name}_worker.js` : WORKER_ENTRIES[name];
  return new URL(path, import.meta.url);
}

export function startWorker(name: WorkerName): Worker {
  const options = { env: {}, name } as ConstructorParameters<typeof Worker>[1];
  return new Worker(workerUrl(name), options);
}
