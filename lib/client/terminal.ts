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
  askText(message: string, placeholder?: string): Promise<string>;
  confirm(message: string): Promise<boolean>;
}

interface Device {
  readonly input: ReadStream;
  readonly output: WriteStream;
  readonly close: () => void;
}

/** The terminal device: stdin where that is one, else the one that the process belongs to. */
function openDevice(): Device {
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
  if (process.platform === "win32") return false;
  try {
    fs.closeSync(fs.openSync("/dev/tty", "r+"));
    return true;
  } catch {
    return false; // no controlling terminal
  }
}

async function prompt<T>(
  show: (
    prompts: typeof import("@clack/prompts"),
    device: { input: ReadStream; output: WriteStream },
  ) => Promise<T>,
): Promise<Exclude<T, symbol>> {
  const prompts = await import("@clack/prompts");
  const { input, output, close } = openDevice();
  try {
    const answer = await show(prompts, { input, output });
    if (typeof answer === "symbol") throw new PkiError("interrupted", "interrupted");
    return answer as Exclude<T, symbol>;
  } finally {
    close();
  }
}

/** The terminal, if there is one. */
export function findTerminal(): Terminal | undefined {
  if (!hasDevice()) return undefined;
  return {
    askPassword: (message) => prompt(({ password }, device) => password({ message, ...device })),
    askText: (message, placeholder) =>
      prompt(({ text }, device) =>
        text({ message, ...device, ...(placeholder === undefined ? {} : { placeholder }) })
      ).then((answer) => answer ?? ""),
    confirm: (message) =>
      prompt(({ confirm }, device) => confirm({ message, initialValue: false, ...device })),
  };
}
