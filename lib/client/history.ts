/**
 * The lines that were typed in interactive sessions, in a file of their own: one line each, oldest
 * first, for the owner's eyes. Which lines may be kept its caller decides; this file bounds them and
 * keeps out what a terminal would act on. A file that cannot be read or written costs the memory of
 * lines, never the session.
 */

import * as fs from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../base/errors.ts";
import { makeFolder, readTextIfThere, SECRET_MODE, writeFileAtomic } from "../base/files.ts";
import { printable } from "../base/printable.ts";

/** Lines that are remembered: more than anybody goes back through. */
export const HISTORY_LINES_MAX = 1000;
/** Characters of a line that is remembered; a longer one is pasted matter. */
export const HISTORY_LINE_CHARACTERS_MAX = 1024;
/** Bytes of the file beyond which it is written anew: half of what is read of any file of ours. */
const FILE_BYTES_MAX = 131_072;

/** Whether a line can be kept as it is: short, and nothing in it that a terminal would act on. */
function isKeepable(line: string): boolean {
  return line !== "" && line.length <= HISTORY_LINE_CHARACTERS_MAX && printable(line) === line;
}

/** The newest lines of a file that fit its bounds, oldest first, neighbours never equal. */
function boundedLines(lines: readonly string[]): string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const line of lines.filter(isKeepable).reverse()) {
    if (line === kept.at(-1)) continue;
    bytes += new TextEncoder().encode(line).length + 1;
    if (kept.length === HISTORY_LINES_MAX || bytes > FILE_BYTES_MAX / 2) break;
    kept.push(line);
  }
  return kept.reverse();
}

export class History {
  readonly #path: string | undefined;
  readonly #warn: (text: string) => void;
  #lines: string[] = [];
  /** Whether lines go to the file; no longer after a fault, so that it is told once. */
  #isKept: boolean;

  /**
   * @param path the file; without one, lines are remembered for this session only
   * @param warn is told of a file that cannot be used
   */
  constructor(path: string | undefined, warn: (text: string) => void) {
    this.#path = path;
    this.#warn = warn;
    this.#isKept = path !== undefined;
    if (path !== undefined) this.#attempt(() => this.#load(path));
  }

  /** The newest first, as a line editor goes through them. */
  get newestFirst(): readonly string[] {
    return this.#lines.toReversed();
  }

  /**
   * Remembers a line.
   * @param isForFile whether it may be kept beyond this session
   */
  add(line: string, { isForFile }: { readonly isForFile: boolean }): void {
    if (!isKeepable(line) || line === this.#lines.at(-1)) return;
    this.#lines.push(line);
    if (this.#lines.length > HISTORY_LINES_MAX) this.#lines.shift();
    const path = this.#path;
    if (path !== undefined && this.#isKept && isForFile) {
      this.#attempt(() => {
        makeFolder(dirname(path));
        // Appended, so that several sessions at once lose nothing of each other.
        fs.appendFileSync(path, `${line}\n`, { mode: SECRET_MODE });
      });
    }
  }

  #load(path: string): void {
    const size = fs.statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return;
    // Whatever else wrote this file, it is not read beyond what it can be.
    const text = size > FILE_BYTES_MAX * 2 ? tailOf(path, size) : readTextIfThere(path) ?? "";
    const lines = text.split("\n");
    this.#lines = boundedLines(lines);
    // A last line that was cut short would swallow the next one.
    const isWhole = size <= FILE_BYTES_MAX && lines.length <= HISTORY_LINES_MAX * 2 &&
      text.endsWith("\n");
    if (isWhole) fs.chmodSync(path, SECRET_MODE);
    else writeFileAtomic(path, this.#lines.map((line) => `${line}\n`).join(""));
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#isKept = false;
      this.#warn(`the history is not kept: ${messageOf(error)}`);
    }
  }
}

/** The last lines of a file that is too large to be read whole. */
function tailOf(path: string, size: number): string {
  const descriptor = fs.openSync(path, "r");
  try {
    const bytes = new Uint8Array(FILE_BYTES_MAX);
    const length = fs.readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const text = new TextDecoder().decode(bytes.subarray(0, length));
    return text.slice(text.indexOf("\n") + 1);
  } finally {
    fs.closeSync(descriptor);
  }
}
