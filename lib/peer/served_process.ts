/**
 * The program that serves one caller: started by the shell in a process group of its own, what the
 * peer sends is its stdin, and what it writes goes to the peer. It ends with the line, and all that it
 * has started and that has not left its group with it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers";
import { messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { isUnread } from "./cut_error.ts";
import type { Line } from "./line.ts";
import { writeThrough } from "./pipe.ts";

/** So long nothing more comes from a program that has stopped reading: it has said what it had to say. */
const QUIET_MS = 50;

/** How a program ended: with this code, or by this signal. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface ServedProcessOptions {
  /** For the shell. */
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly line: Line;
  /** What it writes to stderr. */
  readonly onStderr: (bytes: Uint8Array) => void;
  readonly onEnd: (end: ProgramEnd) => void;
}

function describeEnd({ code, signal }: ProgramEnd): string {
  return signal === null ? `with exit code ${code}` : `by ${signal}`;
}

export class ServedProcess {
  readonly #child: ChildProcess;
  readonly #line: Line;
  #hasClosed = false;
  /** How many pieces of what it wrote were read so far. */
  #piecesRead = 0;
  /** Fails the write that is under way. */
  #stopReading: () => void = () => {};

  constructor({ command, env, line, onStderr, onEnd }: ServedProcessOptions) {
    this.#line = line;
    // A group of its own, so that what it starts can be ended with it.
    const child = spawn(command, { shell: true, env, stdio: "pipe", detached: true });
    this.#child = child;
    const ended = Promise.withResolvers<ProgramEnd>();
    child.once("error", (error) => {
      ended.reject(new PkiError("internal", `cannot start the program: ${messageOf(error)}`));
    });
    child.once("close", (code, signal) => {
      this.#kill("SIGTERM"); // what it has left behind; at once, while its number is nobody else's
      ended.resolve({ code, signal });
    });
    // Engines do not always tell a write that waits.
    for (const event of ["error", "close"]) child.stdin?.on(event, () => this.#stopReading());
    child.stderr?.on("data", onStderr);
    void this.#serve(ended.promise, onEnd);
  }

  /** What it writes goes to the peer, then how it ended: the end, or that it failed. */
  async #serve(ended: Promise<ProgramEnd>, onEnd: (end: ProgramEnd) => void): Promise<void> {
    ended.catch(() => {}); // it is waited for below
    try {
      for await (const chunk of this.#child.stdout ?? []) {
        this.#piecesRead++;
        await this.#line.sendData(chunk as Uint8Array);
      }
    } catch {
      // its output is cut off with it
    }
    try {
      const end = await ended;
      this.#hasClosed = true;
      onEnd(end);
      if (end.code === 0) return this.#line.end();
      this.#line.destroy(new PkiError("refused", `the program ended ${describeEnd(end)}`));
    } catch (error) {
      this.#hasClosed = true;
      this.#line.destroy(error as PkiError);
    }
  }

  /**
   * What it wrote before it stopped reading lies in the pipe, and goes to the peer before the line is
   * cut. It may go on writing for ever: then the line is cut all the same.
   */
  async #readWhatItSaid(): Promise<void> {
    const untilMs = performance.now() + LIMITS.hangUpMs;
    for (let before = -1; before !== this.#piecesRead && performance.now() < untilMs;) {
      before = this.#piecesRead;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      // Behind the timer, so that the engine has looked at the pipe since then.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** @throws {PkiError} `refused` if the program reads no more */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#writeThrough(bytes);
    } catch (error) {
      await this.#readWhatItSaid();
      throw error;
    }
  }

  async #writeThrough(bytes: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    if (!stdin) return;
    const deaf = () => new PkiError("refused", "the program has stopped reading");
    if (stdin.destroyed) throw deaf();
    await new Promise<void>((resolve, reject) => {
      this.#stopReading = () => reject(deaf());
      writeThrough(stdin, bytes).then(resolve, (error) => {
        reject(isUnread(error) || stdin.destroyed ? deaf() : error);
      });
    });
  }

  /** The peer sends nothing more. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  /** The line is over: nobody needs the program any more. */
  end(): void {
    if (this.#hasClosed) return;
    this.#child.stdin?.destroy();
    this.#kill("SIGTERM");
    const timer = setTimeout(() => this.#kill("SIGKILL"), LIMITS.hangUpMs);
    this.#child.once("close", () => clearTimeout(timer));
  }

  /** Resolves when it is gone. */
  get closed(): Promise<void> {
    if (this.#hasClosed) return Promise.resolve();
    return new Promise((resolve) => this.#child.once("close", () => resolve()));
  }

  #kill(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // it is gone already
    }
  }
}
