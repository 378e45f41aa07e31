/**
 * Tells systemd how far the server is (sd_notify(3)). What it listens on is a Unix datagram socket,
 * which `node:` does not have, so `systemd-notify` says it: found at a fixed path, with nothing in its
 * environment but the socket's name. Where no supervisor asks, nothing is run.
 */

import { execFile } from "node:child_process";
import * as fs from "node:fs";

const PROGRAMS = ["/usr/bin/systemd-notify", "/bin/systemd-notify"] as const;
/** It takes milliseconds; a supervisor that hangs must not keep the server from ending. */
const SAY_MS = 5000;
/** A status is one line of `systemctl status`. */
const STATUS_CHARACTERS_MAX = 200;

type Environment = Readonly<Record<string, string | undefined>>;

export interface SupervisorOptions {
  readonly env: Environment;
  /** Of the server's main process: a watchdog may be meant for another one. */
  readonly pid: number;
  readonly warn: (text: string) => void;
  /** Runs the program; for tests. */
  readonly say?: (program: string, assignments: readonly string[], socket: string) => Promise<void>;
  readonly findProgram?: () => string | undefined;
}

function findNotifier(): string | undefined {
  return PROGRAMS.find((path) => fs.existsSync(path));
}

function runNotifier(
  program: string,
  assignments: readonly string[],
  socket: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...assignments],
      { env: { NOTIFY_SOCKET: socket }, timeout: SAY_MS, windowsHide: true },
      (error) => error ? reject(error) : resolve(),
    );
  });
}

/** How often a watchdog wants to hear of us, in milliseconds: half of what it waits. */
function findWatchdogMs(env: Environment, pid: number): number | undefined {
  const { WATCHDOG_USEC: limit = "", WATCHDOG_PID: meant } = env;
  if (!/^[1-9]\d{0,15}$/.test(limit)) return undefined;
  if (meant !== undefined && meant !== String(pid)) return undefined;
  return Number(limit) / 1000 / 2;
}

export class Supervisor {
  readonly #socket: string | undefined;
  readonly #program: string | undefined;
  readonly #say: NonNullable<SupervisorOptions["say"]>;
  readonly #warn: (text: string) => void;
  /** `undefined` where nobody watches. */
  readonly watchdogMs: number | undefined;
  /** One after the other: nobody shall hear "ready" after "stopping". */
  #last: Promise<void> = Promise.resolve();
  #hasWarned = false;

  constructor({ env, pid, warn, say, findProgram }: SupervisorOptions) {
    this.#socket = env["NOTIFY_SOCKET"] || undefined;
    this.#program = this.#socket === undefined ? undefined : (findProgram ?? findNotifier)();
    this.#say = say ?? runNotifier;
    this.#warn = warn;
    this.watchdogMs = this.#socket === undefined ? undefined : findWatchdogMs(env, pid);
    if (this.#socket !== undefined && this.#program === undefined) {
      warn(`cannot tell the supervisor that the server is ready: there is no ${PROGRAMS[0]}`);
    }
  }

  ready(status: string): void {
    this.#tell(["READY=1", `STATUS=${status.slice(0, STATUS_CHARACTERS_MAX)}`]);
  }

  reloading(): void {
    this.#tell(["RELOADING=1", "STATUS=reloading"]);
  }

  stopping(): void {
    this.#tell(["STOPPING=1", "STATUS=stopping: running requests finish"]);
  }

  alive(): void {
    this.#tell(["WATCHDOG=1"]);
  }

  /** Resolves when all of it was said. */
  async close(): Promise<void> {
    await this.#last;
  }

  #tell(assignments: readonly string[]): void {
    const program = this.#program;
    const socket = this.#socket;
    if (program === undefined || socket === undefined) return;
    this.#last = this.#last.then(() => this.#say(program, assignments, socket)).catch((error) => {
      // Once is enough: a supervisor that is gone stays gone.
      if (!this.#hasWarned) this.#warn(`cannot talk to the supervisor: ${error.message}`);
      this.#hasWarned = true;
    });
  }
}
