/**
 * Questions to a person. Everything is asked on the terminal itself, shown on stderr's side, and only
 * where there is one; the package that draws the prompts is loaded when one is shown.
 *
 * Wording: a question names what it is for; an answer is never echoed if it is a secret.
 */

import * as fs from "node:fs";
import process from "node:process";
import { ReadStream, WriteStream } from "node:tty";
import { PkiError } from "../base/errors.ts";

export interface Terminal {
  /** A secret, not echoed. */
  askPassword(message: string): Promise<string>;
  /** @param signal ends the question without an answer, as an interruption does */
  askText(message: string, placeholder?: string, signal?: AbortSignal): Promise<string>;
  /** `signal` ends the question. @throws {PkiError} `interrupted` if nobody has answered */
  confirm(message: string, signal?: AbortSignal): Promise<boolean>;
}

export interface Device {
  readonly input: ReadStream;
  readonly output: WriteStream;
  readonly close: () => void;
}

/** The terminal device: stdin where that is one, else the one that the process belongs to. */
export function openDevice(): Device {
  if (process.stdin.isTTY && process.stderr.isTTY) {
    return {
      input: process.stdin as unknown as ReadStream,
      output: process.stderr as unknown as WriteStream,
      close: () => process.stdin.pause(),
    };
  }
  const input = new ReadStream(fs.openSync("/dev/tty", "r"));
  const output = new WriteStream(fs.openSync("/dev/tty", "w"));
  return {
    input,
    output,
    close: () => {
      input.destroy();
      output.end();
    },
  };
}

function hasDevice(): boolean {
  if (process.stdin.isTTY && process.stderr.isTTY) return true;
  return canOpenTerminal();
}

/** Whether the process belongs to a terminal now; one that was closed is none any more. */
export function canOpenTerminal(): boolean {
  if (process.platform === "win32") return false;
  try {
    fs.closeSync(fs.openSync("/dev/tty", "r+"));
    return true;
  } catch {
    return false; // no controlling terminal
  }
}

/** What every prompt is given: where it is shown, and what ends it without an answer. */
interface PromptOptions {
  readonly input: ReadStream;
  readonly output: WriteStream;
  readonly signal: AbortSignal;
}

async function showPrompt<T>(
  show: (prompts: typeof import("@clack/prompts"), options: PromptOptions) => Promise<T>,
  interruption: AbortSignal,
): Promise<Exclude<T, symbol>> {
  const prompts = await import("@clack/prompts");
  const { input, output, close } = openDevice();
  const left = new AbortController();
  // Ctrl-D closes the line editor below the prompt, which would then wait for ever.
  const onKeypress = (_text: unknown, key: { ctrl?: boolean; name?: string } | undefined) => {
    if (key?.ctrl && key.name === "d") left.abort();
  };
  input.on("keypress", onKeypress);
  try {
    const signal = AbortSignal.any([interruption, left.signal]);
    const answer = await show(prompts, { input, output, signal });
    if (typeof answer === "symbol") throw new PkiError("interrupted", "interrupted");
    return answer as Exclude<T, symbol>;
  } finally {
    input.off("keypress", onKeypress);
    close();
  }
}

/**
 * The terminal, if there is one.
 * @param interruption ends a question that is being asked
 */
export function findTerminal(interruption: AbortSignal): Terminal | undefined {
  if (!hasDevice()) return undefined;
  const prompt = <T>(show: Parameters<typeof showPrompt<T>>[0], signal?: AbortSignal) =>
    showPrompt(show, signal ? AbortSignal.any([interruption, signal]) : interruption);
  return {
    askPassword: (message) => prompt(({ password }, options) => password({ message, ...options })),
    askText: (message, placeholder, signal) =>
      prompt(
        ({ text }, options) =>
          text({ message, ...options, ...(placeholder === undefined ? {} : { placeholder }) }),
        signal,
      ).then((answer) => answer ?? ""),
    confirm: (message, signal) =>
      prompt(
        ({ confirm }, options) => confirm({ message, initialValue: false, ...options }),
        signal,
      ),
  };
}
