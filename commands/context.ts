/**
 * What a command is given: streams, environment, terminal, clock. A command does its work with these
 * and returns, or throws a `PkiError`; it never exits and never reads a global.
 */

import type { CommandContext } from "@stricli/core";
import type { Readable, Writable } from "node:stream";
import type { Terminal } from "../lib/client/terminal.ts";
import type { ColorMode } from "./paint.ts";
import type { Sitting } from "./sitting.ts";

export type InputStream = Readable & { readonly isTTY?: boolean };
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Whether somebody still reads it. */
export function isOpen(stream: OutputStream): boolean {
  return !stream.destroyed && !stream.errored && !stream.writableEnded;
}

export interface PkiContext extends CommandContext {
  readonly process: {
    readonly stdin: InputStream;
    readonly stdout: OutputStream;
    readonly stderr: OutputStream;
    readonly env: Readonly<Record<string, string | undefined>>;
  };
  /** Where `~` is. */
  readonly homeFolder: string;
  /** Absent where nobody can be asked. */
  readonly terminal: Terminal | undefined;
  /** Aborted by SIGINT or SIGTERM; its reason is the signal's name. */
  readonly signal: AbortSignal;
  readonly now: () => number;
  /**
   * Ends stdout before the program does, so that whoever reads it sees the end; throws if something of
   * it was lost. Absent where it stays open.
   */
  readonly endStdout?: () => Promise<void>;
  /** Has SIGHUP call this from now on, and not end the program; absent where there are no signals. */
  readonly onHangUp?: (listener: () => void) => void;
  /** What `--color` says; absent where it was not given. */
  readonly color?: ColorMode | undefined;
  /**
   * Hands Ctrl-C (SIGINT) to a handler instead of ending the program, until the function that is
   * returned is called. The handler says whether it has dealt with it. Absent where nobody presses keys.
   */
  readonly takeInterrupts?: (handler: () => boolean) => () => void;
  /** What was unlocked before in this process, where commands follow one another in it. */
  readonly sitting?: Sitting;
}
