/**
 * How many connections fit into the files that the process may have open. The engine does not survive
 * a worker that it cannot start, so no more connections are taken than there is room for.
 */

import * as fs from "node:fs";
import { LIMITS } from "../base/limits.ts";

/** A worker's event loop: two descriptors. */
const WORKER_FILES = 2;
/** Beside its worker a connection has its socket. */
const CONNECTION_FILES = 1 + WORKER_FILES;
/** Log, keys, snapshots, the administration socket, the engine's own, and a reserve. */
const OTHER_FILES = 200;

/**
 * Workers that may be on their way to their end, beyond those of connections and the spare ones: whoever
 * connects and leaves must not have them started faster than they end.
 */
export const ENDING_WORKERS_MAX = 128;

/** What is needed for no connection at all. */
function baseFiles(sparesMax: number): number {
  return OTHER_FILES + LIMITS.handshakesMax + (sparesMax + ENDING_WORKERS_MAX) * WORKER_FILES;
}

/**
 * Files that must be allowed to be open for so many connections.
 * @param sparesMax workers that may be waiting for connections
 */
export function filesFor(connections: number, sparesMax: number): number {
  return baseFiles(sparesMax) + connections * CONNECTION_FILES;
}

/** Connections for which there is room, 0 or more; parameters as above. */
export function connectionsWithin(files: number, sparesMax: number): number {
  return Math.max(0, Math.floor((files - baseFiles(sparesMax)) / CONNECTION_FILES));
}

/**
 * The most files that this process may have open; the engine has raised the limit as far as it may.
 * @param limits as Linux describes them (proc_pid_limits(5))
 * @returns nothing where there is no limit, or the system does not tell
 */
export function parseOpenFiles(limits: string): number | undefined {
  const [, soft] = /^Max open files\s+(\d+)\s/m.exec(limits) ?? [];
  return soft === undefined ? undefined : Number(soft);
}

/** As above, of this process. */
export function openFilesMax(): number | undefined {
  try {
    return parseOpenFiles(fs.readFileSync("/proc/self/limits", "utf8"));
  } catch {
    return undefined; // another system
  }
}
