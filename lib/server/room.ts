/**
 * How many connections fit into the files, threads and memory that the system lets the process have. The
 * engine ends the whole program where it lacks any of them, or the system does, so no more connections
 * are taken than there is room for.
 *
 * What is kept free beside connections grows with them up to what a full server wants: where there is
 * little room, most of it is for connections.
 */

import * as fs from "node:fs";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { LIMITS } from "../base/limits.ts";
import { SPARES_MAX } from "./worker_pool.ts";

/**
 * Workers that may be on their way to their end, beyond those of connections and the spare ones: whoever
 * connects and leaves must not have them started faster than they end.
 */
const ENDING_WORKERS_MAX = 128;

/** What there is beside connections. */
export interface Reserve {
  /** Sockets whose handshakes are under way, or that are told "busy". */
  readonly handshakes: number;
  /** Workers that wait for connections, at most. */
  readonly spares: number;
  /** Workers that are ending. */
  readonly ending: number;
}

/** Connections at which everything beside them is as much as a server of any size has. */
export const RESERVE_FULL = 960;

/**
 * What belongs to so many connections, and is enough for a server of that size.
 * @param sparesMin workers that are to wait at all times
 */
export function reserveFor(connections: number, sparesMin: number): Reserve {
  const share = Math.min(1, connections / RESERVE_FULL);
  const grow = (least: number, most: number) => Math.floor(least + share * (most - least));
  return {
    handshakes: grow(16, LIMITS.handshakesMax),
    spares: Math.max(sparesMin, grow(4, SPARES_MAX)),
    ending: grow(8, ENDING_WORKERS_MAX),
  };
}

const MEGABYTE = 1_000_000;

interface Resource {
  /** What there may be so many of. */
  readonly what: string;
  /** What a worker takes, and a socket. */
  readonly worker: number;
  readonly socket: number;
  /** What everything else takes, with a reserve. */
  readonly others: number;
  readonly hint: (needed: number) => string;
}

const RESOURCES = {
  files: {
    what: "files may be open",
    worker: 2, // its event loop: one to wait with, one to be woken by
    socket: 1,
    // 25 at rest; 64 administrators, 32 programs that watch; snapshots, copies, backups; some to spare.
    others: 160,
    hint: (needed) => `ulimit -n ${needed} before the start, or LimitNOFILE= of systemd`,
  },
  threads: {
    what: "threads may run",
    worker: 1,
    socket: 0,
    // Directory, authorities, snapshots, the engine's own; other programs of the same user.
    others: 100,
    hint: (needed) =>
      `ulimit -u ${needed} before the start, TasksMax= of systemd, or --pids-limit of a container`,
  },
  megabytes: {
    what: "MB of memory are there",
    // Of 1,000 that do what people do each takes 2.2; one that does its worst is another matter.
    worker: 3,
    socket: 0,
    others: 150, // the program at rest, with small tables
    hint: (needed) =>
      `${needed} MB, by MemoryMax= of systemd or --memory of a container; or set maxConnections`,
  },
} as const satisfies Record<string, Resource>;

export type ResourceName = keyof typeof RESOURCES;
const NAMES = Object.keys(RESOURCES) as readonly ResourceName[];

/** How many there may be of each. */
export type Room = Readonly<Record<ResourceName, number>>;

const BOUNDLESS: Room = { files: Infinity, threads: Infinity, megabytes: Infinity };

function needed(connections: number, reserve: Reserve, name: ResourceName): number {
  const { others, worker, socket } = RESOURCES[name];
  const { handshakes, spares, ending } = reserve;
  return others + (connections + handshakes) * socket + (connections + spares + ending) * worker;
}

/** What so many connections need of a resource, with what belongs to them. */
export function neededFor(connections: number, name: ResourceName, sparesMin: number): number {
  return needed(connections, reserveFor(connections, sparesMin), name);
}

/** The largest whole number from 0 to a bound of which something holds that holds of all below. */
function largest(most: number, holds: (count: number) => boolean): number {
  if (holds(most)) return most;
  let [does, fails] = [0, most];
  while (fails - does > 1) {
    const middle = Math.floor((does + fails) / 2);
    if (holds(middle)) does = middle;
    else fails = middle;
  }
  return does;
}

/** What a server has room for. */
export interface Plan extends Reserve {
  /** 0 where there is room for none. */
  readonly connections: number;
}

/**
 * As many of the wanted connections as there is room for, and beside them as much as there is room for
 * then, up to what a full server has.
 */
export function planFor(room: Room, wanted: number, sparesMin: number): Plan {
  const fits = (connections: number, size: number) =>
    NAMES.every((name) => needed(connections, reserveFor(size, sparesMin), name) <= room[name]);
  const connections = largest(wanted, (count) => fits(count, count));
  const size = largest(RESERVE_FULL, (count) => count <= connections || fits(connections, count));
  return { connections, ...reserveFor(Math.max(size, connections), sparesMin) };
}

/** What there is too little of for so many connections, most of all, and what to do about it. */
export function findShortage(room: Room, connections: number, sparesMin: number) {
  const fitting = (name: ResourceName) =>
    planFor({ ...BOUNDLESS, [name]: room[name] }, connections, sparesMin).connections;
  const short = NAMES.filter((name) => room[name] < neededFor(connections, name, sparesMin));
  const [name] = short.sort((one, other) => fitting(one) - fitting(other));
  if (name === undefined) return undefined;
  const { what, hint } = RESOURCES[name];
  const wanted = neededFor(connections, name, sparesMin);
  return {
    why: `${room[name]} ${what}`,
    needed: wanted,
    least: neededFor(1, name, sparesMin),
    hint: `allow more: ${hint(wanted)}`,
  };
}

/**
 * A limit as Linux describes it (proc_pid_limits(5)). Of files the engine has raised the soft limit as
 * far as the hard one at its start; nothing that a program can ask of it would raise that.
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

/** The least that the control groups say in which this process is (cgroups(7), version 2). */
function groupLimit(name: "pids.max" | "memory.max"): number {
  const [, path] = /^0::(\/.*)$/m.exec(readIfThere("/proc/self/cgroup")) ?? [];
  let least = Infinity;
  for (let at = path ?? "/";; at = dirname(at)) {
    const text = readIfThere(join("/sys/fs/cgroup", at, name)).trim();
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
    threads: Math.min(ofUser, groupLimit("pids.max")),
    megabytes: Math.floor(Math.min(totalmem(), groupLimit("memory.max")) / MEGABYTE),
  };
}
