/**
 * One operation of the interactive session: a command of the program, run as from a shell, except that
 * Ctrl-C ends it alone and that what the session is about (home, server, who, what was unlocked) is
 * its environment.
 */

import { findTerminal } from "../lib/client/terminal.ts";
import type { PkiContext } from "./context.ts";
import { runProgram } from "./program.ts";

/** Presses of Ctrl-C after which an operation that does not end is not waited for any longer. */
const PATIENT_PRESSES = 2;

/** Runs something that Ctrl-C cancels: then its signal is aborted, and nothing else's. */
export async function runCancellable<T>(
  context: PkiContext,
  work: (context: PkiContext) => Promise<T>,
): Promise<T> {
  const cancelling = new AbortController();
  let presses = 0;
  const release = context.takeInterrupts?.(() => {
    presses++;
    context.process.stderr.write("\n"); // behind the ^C that the terminal shows
    if (presses === 1) cancelling.abort("SIGINT");
    else if (presses === PATIENT_PRESSES) {
      context.process.stderr.write("it has not ended yet; two more Ctrl-C leave pki at once\n");
    }
    return presses <= PATIENT_PRESSES;
  });
  const signal = AbortSignal.any([context.signal, cancelling.signal]);
  try {
    return await work({ ...context, signal, terminal: context.terminal && findTerminal(signal) });
  } finally {
    release?.();
    giveTerminalBack(context);
  }
}

/** However an operation ended, the terminal is as a person expects it: echo on, cursor shown. */
function giveTerminalBack({ process: { stdin, stderr } }: PkiContext): void {
  const { isRaw, setRawMode } = stdin as { isRaw?: boolean; setRawMode?: (isRaw: boolean) => void };
  if (isRaw) setRawMode?.call(stdin, false);
  if (stderr.isTTY) stderr.write("\x1b[?25h");
}

/** Runs a command line; errors are said on stderr. @returns its exit code */
export async function runOperation(
  words: readonly string[],
  context: PkiContext,
  env: Readonly<Record<string, string>>,
): Promise<number> {
  return await runCancellable(context, (context) => {
    const { process } = context;
    const ownProcess = { ...process, env: { ...process.env, ...env } };
    return runProgram(words, { ...context, process: ownProcess });
  });
}
