/**
 * One line, typed by a person at the terminal: edited, completed with Tab, taken from the history with
 * Up or Ctrl-R. Between two lines the terminal is as every other program expects it, so that questions and talks
 * of the operations have it to themselves.
 *
 * Nothing that was pasted runs by itself: of several lines each waits for an Enter of its own.
 */

import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import type { Readable } from "node:stream";
import { HistorySearch, SEARCH_KEY, type SearchStep } from "./history_search.ts";
import {
  ASK_FOR_MARKS,
  ASK_FOR_NO_MARKS,
  linesOfPaste,
  PasteFilter,
  type TerminalInput,
} from "./paste.ts";
import { type Device, openDevice } from "./terminal.ts";

/** How long a key that begins as a mark does is held back: a terminal sends the rest at once. */
const UNDECIDED_MS = 50;
/** Pasted lines that wait; more of them are not operations that somebody means. */
const WAITING_LINES_MAX = 100;

/** What may follow on a line that is typed. */
export interface Completion {
  /** What may stand in place of {@link typed}, as it is to be typed. */
  readonly candidates: readonly string[];
  /** The end of the line that they replace. */
  readonly typed: string;
}

export interface LineOptions {
  readonly prompt: string;
  readonly newestFirst: readonly string[];
  readonly complete: (line: string) => Promise<Completion>;
  /**
   * Ctrl-C, which has cleared the line and what waited behind it.
   * @param hadText whether something was typed
   * @returns what to say about it
   */
  readonly onInterrupt: (hadText: boolean) => string | undefined;
  /** Ends the editing: the answer is `end`. */
  readonly signal: AbortSignal;
}

export type TypedLine =
  | { readonly kind: "line"; readonly text: string }
  /** Ctrl-D on an empty line, or no terminal any more. */
  | { readonly kind: "end" };

/** What the editor reads from: keys only, handed over at once and in order. */
class Keys extends EventEmitter {
  #isPaused = false;
  readonly #waiting: string[] = [];

  press(text: string): void {
    if (this.#isPaused) this.#waiting.push(text);
    else this.emit("data", Buffer.from(text));
  }

  pause(): this {
    this.#isPaused = true;
    return this;
  }

  /** The editor resumes before it has drawn what it paused for. */
  resume(): this {
    setImmediate(() => {
      this.#isPaused = false;
      for (const text of this.#waiting.splice(0)) this.press(text);
    });
    return this;
  }
}

/** Puts another line, and the prompt as it is now, in place of what is edited. */
function replaceLine(editor: Interface, line: string): void {
  editor.write(null, { ctrl: true, name: "e" });
  editor.write(null, { ctrl: true, name: "u" });
  editor.write(line);
}

export class LineEditor {
  /** Lines that were pasted behind one that was entered. */
  readonly #waiting: string[] = [];

  /** How many pasted lines wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Lets a person type one line. */
  async readLine(options: LineOptions): Promise<TypedLine> {
    if (options.signal.aborted) return { kind: "end" };
    const device = openDevice();
    try {
      return await this.#edit(device, options);
    } finally {
      device.close();
    }
  }

  #edit(
    { input, output }: Device,
    { prompt, newestFirst, complete, onInterrupt, signal }: LineOptions,
  ): Promise<TypedLine> {
    const keys = new Keys();
    const editor = createInterface({
      input: keys as unknown as Readable,
      output,
      terminal: true,
      prompt,
      history: [...newestFirst],
      historySize: newestFirst.length + 1,
      removeHistoryDuplicates: true,
      completer: (
        line: string,
        callback: (error: null, found: [candidates: string[], typed: string]) => void,
      ) => {
        complete(line).then(
          ({ candidates, typed }) => callback(null, [[...candidates], typed]),
          () => callback(null, [[], line]), // what cannot be completed is typed by hand
        );
      },
    });
    const filter = new PasteFilter();
    const decoder = new TextDecoder();
    let timer: ReturnType<typeof setTimeout> | undefined;

    let isOver = false;
    let search: HistorySearch | undefined;

    const showSearch = ({ line, rest }: SearchStep) => {
      if (rest !== undefined) search = undefined;
      editor.setPrompt(search?.prompt ?? prompt);
      replaceLine(editor, line);
      if (rest !== undefined) onKeys(rest);
    };
    const onKeys = (text: string) => {
      if (search) return showSearch(search.press(text));
      const [before = "", ...behind] = text.split(SEARCH_KEY);
      if (before !== "") keys.press(before);
      if (behind.length === 0 || isOver) return;
      search = new HistorySearch(newestFirst, editor.line);
      showSearch(search.press(behind.join(SEARCH_KEY)));
    };
    const take = (found: readonly TerminalInput[]) => {
      for (const { kind, text } of found) {
        if (kind === "keys") {
          if (!isOver) onKeys(text);
          continue;
        }
        if (search) showSearch({ line: editor.line, rest: "" }); // what was found is pasted into
        this.#paste(isOver ? undefined : editor, text);
      }
    };
    const onData = (chunk: Uint8Array) => {
      clearTimeout(timer);
      take(filter.push(decoder.decode(chunk, { stream: true })));
      if (filter.isUndecided) timer = setTimeout(() => take(filter.flush()), UNDECIDED_MS);
    };
    const hold = () => {
      input.setRawMode(true);
      output.write(ASK_FOR_MARKS);
    };
    const release = () => {
      output.write(ASK_FOR_NO_MARKS);
      input.setRawMode(false);
    };

    return new Promise<TypedLine>((resolve) => {
      const end = (typed: TypedLine) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener("abort", onEnd);
        process.off("SIGCONT", onContinue);
        input.off("data", onData);
        input.off("end", onEnd);
        input.off("error", onEnd);
        editor.close();
        release();
        resolve(typed);
      };
      const onEnd = () => {
        if (!isOver) output.write("\n");
        end({ kind: "end" });
      };
      const onContinue = () => {
        hold();
        editor.prompt(true);
      };
      editor.on("line", (text) => end({ kind: "line", text }));
      // Raw mode stays, so that a second Ctrl-C comes here too and not to the program.
      editor.on("SIGINT", () => {
        this.#waiting.length = 0;
        const said = onInterrupt(editor.line !== "");
        output.write(`^C\n${said === undefined ? "" : `${said}\n`}`);
        Object.assign(editor, { line: "", cursor: 0, prevRows: 0 });
        editor.prompt();
      });
      // The terminal makes no signal of Ctrl-Z while a line is edited.
      editor.on("SIGTSTP", () => {
        release();
        process.once("SIGCONT", onContinue);
        process.kill(process.pid, "SIGTSTP");
      });
      editor.on("close", onEnd);
      signal.addEventListener("abort", onEnd);
      input.on("data", onData);
      input.on("end", onEnd);
      input.on("error", onEnd); // the terminal is gone
      hold();
      input.resume();
      editor.prompt();
      const text = this.#waiting.shift();
      if (text !== undefined) editor.write(text);
    });
  }

  /** Puts the first line on the line that is edited, if one still is; the others wait. */
  #paste(editor: Interface | undefined, text: string): void {
    const lines = linesOfPaste(text);
    if (editor) editor.write(lines[0] ?? "");
    this.#waiting.push(...lines.slice(editor ? 1 : 0).filter((line) => line.trim() !== ""));
    this.#waiting.splice(WAITING_LINES_MAX);
  }
}
