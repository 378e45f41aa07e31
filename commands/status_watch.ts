/**
 * Showing something again and again: at a terminal in place, on the screen that programs of a whole
 * screen use, so that what was there before is there afterwards; else line by line.
 */

import { messageOf, PkiError } from "../lib/base/errors.ts";
import { sleep } from "../lib/base/sleep.ts";
import { type Device, openDevice } from "../lib/client/terminal.ts";
import type { OutputStream } from "./context.ts";

/** Escape sequences (ECMA-48, and xterm's private modes). */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"; // other screen, no cursor, no wrapping
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/** What is between both appears at once, where a terminal knows them. */
const BEGIN = "\x1b[?2026h\x1b[H";
const END = "\x1b[J\x1b[?2026l";
const END_OF_LINE = "\x1b[K";

const ROWS_DEFAULT = 24;
/** q, Q, Escape alone, Ctrl-D. */
const QUIT: readonly string[] = ["q", "Q", "\x1b", "\x04"];
const CTRL_C = "\x03";

/** A frame as one write: every line is cleared behind its end, and what is below, too. */
export function frameOf(lines: readonly string[], rows: number): string {
  const shown = lines.slice(0, rows);
  return `${BEGIN}${shown.map((line) => line + END_OF_LINE).join("\r\n")}${END}`;
}

export interface ScreenOptions {
  readonly stdout: OutputStream & { readonly rows?: number };
  readonly intervalMs: number;
  /** Ends it, as a signal does. */
  readonly signal: AbortSignal;
  /**
   * What is to be shown now, for a terminal that is as wide as it is now; never throws.
   * @param problem why it is not up to date, if it is not
   * @param rows that there are
   */
  readonly draw: (problem: string | undefined, rows: number) => readonly string[];
  /** Brings what is shown up to date; called off where nobody wants to see it any more. */
  readonly update: (ending: AbortSignal) => Promise<void>;
  /** Whether a failure is for good. */
  readonly isFinal: (error: unknown) => boolean;
  readonly open?: () => Device;
}

/**
 * Shows it until somebody presses q or Ctrl-C, or the program is asked to end.
 * @throws {PkiError} `interrupted` after Ctrl-C; what is final
 */
export async function watchOnScreen(options: ScreenOptions): Promise<void> {
  const { stdout, intervalMs, signal, draw, update, isFinal, open = openDevice } = options;
  const { input, close } = open();
  const left = new AbortController();
  const ending = AbortSignal.any([signal, left.signal]);
  let problem: string | undefined;
  const show = () => {
    const rows = stdout.rows ?? ROWS_DEFAULT;
    stdout.write(frameOf(draw(problem, rows), rows));
  };
  const onKeys = (chunk: Uint8Array | string) => {
    const keys = String(chunk);
    if (keys.includes(CTRL_C)) left.abort("SIGINT");
    else if (QUIT.includes(keys)) left.abort("q");
  };
  const onEnd = () => left.abort("q"); // the terminal is gone
  const wasRaw = input.isRaw;
  input.setRawMode(true);
  input.on("data", onKeys);
  input.once("end", onEnd);
  input.resume();
  stdout.on("resize", show);
  stdout.write(ENTER);
  show(); // a server that hangs would leave it empty
  try {
    while (!ending.aborted) {
      try {
        await update(ending);
        problem = undefined;
      } catch (error) {
        if (ending.aborted || isFinal(error)) {
          if (ending.aborted) break;
          throw error;
        }
        problem = messageOf(error);
      }
      show();
      await sleep(intervalMs, ending);
    }
  } finally {
    stdout.off("resize", show);
    stdout.write(LEAVE);
    input.off("data", onKeys);
    input.off("end", onEnd);
    input.setRawMode(wasRaw ?? false);
    close();
  }
  if (left.signal.reason === "SIGINT" || signal.reason === "SIGINT") {
    throw new PkiError("interrupted", "interrupted");
  }
}
