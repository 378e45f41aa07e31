/**
 * How many connections fit into the files and threads that the system lets the process have. The engine
 * ends the whole program where it lacks either, so no more connections are taken than there is room for.
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { LIMITS } from "../base/limits.ts";

/**
 * Workers that may be on their way to their end, beyond those of connections and the spare ones: whoever
 * connects and leaves must not have them started faster than they end.
 */
export const ENDING_WORKERS_MAX = 128;

interface Resource {
  /** What there may be so many of. */
  readonly what: string;
  /** What a worker takes, and a connection beside its worker. */
  readonly worker: number;
  readonly connection: number;
  /** What everything else takes, with a reserve. */
  readonly others: number;
  readonly hint: (needed: number) => string;
}

const RESOURCES = {
  files: {
    what: "files may be open",
    worker: 2, // its event loop
    connection: 1,
    // Log, keys, snapshots, the administration socket, the engine's own; sockets without a connection.
    others: 200 + LIMITS.handshakesMax,
    hint: (needed) => `ulimit -n ${needed} before the start, or LimitNOFILE= of systemd`,
  },
  threads: {
    what: "threads may run",
    worker: 1,
    connection: 0,
    // Directory, authorities, snapshots, the engine's own; other programs of the same user.
    others: 100,
    hint: (needed) =>
      `ulimit -u ${needed} before the start, TasksMax= of systemd, or --pids-limit of a container`,
  },
} as const satisfies Record<string, Resource>;

export type ResourceName = keyof typeof RESOURCES;

/** How many there may be of each. */
export type Room = Readonly<Record<ResourceName, number>>;

function base(name: ResourceName, sparesMax: number): number {
  const { others, worker } = RESOURCES[name];
  return others + (sparesMax + ENDING_WORKERS_MAX) * worker;
}

/**
 * What so many connections need of a resource.
 * @param sparesMax workers that may be waiting for connections
 */
export function neededFor(connections: number, name: ResourceName, sparesMax: number): number {
  const { worker, connection } = RESOURCES[name];
  return base(name, sparesMax) + connections * (worker + connection);
}

/** Connections for which there is room, 0 or more. */
export function connectionsWithin(room: Room, sparesMax: number): number {
  const within = (name: ResourceName) => {
    const { worker, connection } = RESOURCES[name];
    return Math.floor((room[name] - base(name, sparesMax)) / (worker + connection));
  };
  return Math.max(0, Math.min(within("files"), within("threads")));
}

/** What there is too little of for so many connections, and what to do about it. */
export function findShortage(room: Room, connections: number, sparesMax: number) {
  for (const name of ["files", "threads"] as const) {
    const needed = neededFor(connections, name, sparesMax);
    if (room[name] >= needed) continue;
    const { what, hint } = RESOURCES[name];
    const least = neededFor(1, name, sparesMax);
    return { why: `${room[name]} ${what}`, needed, least, hint: `allow more: ${hint(needed)}` };
  }
  return undefined;
}

/**
 * A limit as Linux describes it (proc_pid_limits(5)); the engine has raised that of files as far as it may.
 * @returns `Infinity` where there is none, or the system does not tell
 */
export function parseLimit(limits: string, name: "Max open files" | "Max processes"): number {
  const line = limits.split("\n").find((line) => line.startsWith(`${name} `)) ?? "";
  const [, soft] = /^\s+(\d+)\s/.exec(line.slice(name.length)) ?? [];
  return soft === undefined ? Infinity : Number(soft);
}

function readIfThere(path: string): string {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return ""; // another system, or another kind of control groups
  }
}

/** The least `pids.max` of the control groups that this process is in (cgroups(7), version 2). */
function taskLimit(): number {
  const [, path] = /^0::(\/.*)$/m.exec(readIfThere("/proc/self/cgroup")) ?? [];
  let least = Infinity;
  for (let at = path ?? "/";; at = dirname(at)) {
    const text = readIfThere(join("/sys/fs/cgroup", at, "pids.max")).trim();
    if (/^\d+$/.test(text)) least = Math.min(least, Number(text));
    if (at === "/" || at === ".") return least;
  }
}

/** What this process may have. */
export function findRoom(): Room {
  const limits = readIfThere("/proc/self/limits");
  // The limit of a user's threads does not hold for root.
  const ofUser = process.getuid?.() === 0 ? Infinity : parseLimit(limits, "Max processes");
  return {
    files: parseLimit(limits, "Max open files"),
    threads: Math.min(ofUser, taskLimit()),
  };
}
