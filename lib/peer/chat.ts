/**
 * A talk at a terminal: one line to type in at the bottom, what arrives above it, and neither gets into
 * the other's way. Everything shown of the peer has been made harmless first.
 */

import {
  clearLine,
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";
import type { Readable, Writable } from "node:stream";
import { printable } from "../base/printable.ts";

export interface ChatOptions {
  readonly input: Readable;
  /** Where the line is edited. */
  readonly output: Writable;
  /** Who types. */
  readonly id: string;
  readonly onLine: (line: string) => void;
  /** Ctrl-D, or `/quit`. */
  readonly onQuit: () => void;
  /** Ctrl-C, which the terminal does not turn into a signal while a line is edited. */
  readonly onInterrupt: () => void;
}

const QUIT = "/quit";

export class Chat {
  readonly #output: Writable;
  readonly #editor: Interface;
  #isClosed = false;

  constructor({ input, output, id, onLine, onQuit, onInterrupt }: ChatOptions) {
    this.#output = output;
    this.#editor = createInterface({ input, output, terminal: true, prompt: `${id}> ` });
    this.#editor.on("line", (line) => {
      if (line.trim() === QUIT) return onQuit();
      if (line.trim() !== "") onLine(line);
      this.#editor.prompt();
    });
    this.#editor.on("SIGINT", onInterrupt);
    this.#editor.on("close", () => {
      if (!this.#isClosed) onQuit();
    });
    this.#editor.prompt();
  }

  /** Shows a line above the one that is being typed. */
  show(from: string, text: string): void {
    this.#above(`${from}: ${printable(text)}`);
  }

  note(text: string): void {
    this.#above(text);
  }

  #above(text: string): void {
    if (this.#isClosed) {
      this.#output.write(`${text}\n`);
      return;
    }
    // The line that is typed may fill several rows: go to the first of them, and let the editor draw
    // it again from where the cursor is then. What it remembers of rows is not kept while typing.
    const { rows } = this.#editor.getCursorPos();
    moveCursor(this.#output, 0, -rows);
    cursorTo(this.#output, 0);
    clearScreenDown(this.#output);
    this.#output.write(`${text}\n`);
    (this.#editor as { prevRows?: number }).prevRows = 0;
    this.#editor.prompt(true);
  }

  /** Gives the terminal back. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    cursorTo(this.#output, 0);
    clearLine(this.#output, 0);
    this.#editor.close();
  }
}

/** Bytes of a pipe as lines for a person; what is not UTF-8 is shown as replacement characters. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** The lines that are complete now. */
  push(bytes: Uint8Array): readonly string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length <= LINE_CHARACTERS_MAX) return lines;
    lines.push(this.#rest);
    this.#rest = "";
    return lines;
  }

  /** What is left at the end. */
  end(): readonly string[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}

/** A longer line is shown in pieces, so that no peer can make us hold more. */
const LINE_CHARACTERS_MAX = 8192;
