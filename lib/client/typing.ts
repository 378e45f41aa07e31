/**
 * What a person types in a talk: keys become text of one or more lines, with a history of what was
 * entered before. Says what a key asks for; draws nothing and does no I/O.
 */

import { type TypedRow, typedRowsOf } from "./cells.ts";
import { HistorySearch, SEARCH_KEY } from "./history_search.ts";
import { linesOfPaste } from "./paste.ts";
import { TextBuffer } from "./text_buffer.ts";

/** A key, as `node:readline` tells it. */
export interface Key {
  readonly sequence: string;
  readonly name?: string | undefined;
  readonly ctrl?: boolean;
  readonly meta?: boolean;
  readonly shift?: boolean;
}

/** Where what is typed is shown. */
export interface Surface {
  /** What stands in front. */
  readonly prompt: string;
  readonly columns: number;
}

/** What a key asks for that typing itself cannot do. */
export type Wish = "enter" | "end" | "interrupt" | "suspend" | "clear" | "complete";

/** Lines that are remembered: more than anybody goes back through in a talk. */
const HISTORY_LINES_MAX = 500;

type Edit = (buffer: TextBuffer) => void;

const NAMED: Readonly<Record<string, Edit>> = {
  left: (buffer) => buffer.left(),
  right: (buffer) => buffer.right(),
  home: (buffer) => buffer.lineStart(),
  end: (buffer) => buffer.lineEnd(),
  backspace: (buffer) => buffer.eraseLeft(),
  delete: (buffer) => buffer.eraseRight(),
};

const WITH_CTRL: Readonly<Record<string, Edit>> = {
  left: (buffer) => buffer.wordLeft(),
  right: (buffer) => buffer.wordRight(),
  backspace: (buffer) => buffer.eraseWordLeft(),
  delete: (buffer) => buffer.eraseWordRight(),
  a: (buffer) => buffer.lineStart(),
  b: (buffer) => buffer.left(),
  d: (buffer) => buffer.eraseRight(),
  e: (buffer) => buffer.lineEnd(),
  f: (buffer) => buffer.right(),
  h: (buffer) => buffer.eraseLeft(),
  k: (buffer) => buffer.eraseToLineEnd(),
  t: (buffer) => buffer.transpose(),
  u: (buffer) => buffer.eraseToLineStart(),
  w: (buffer) => buffer.eraseWordLeft(),
  y: (buffer) => buffer.yank(),
};

/** With Alt, which a terminal sends as Escape in front. */
const WITH_META: Readonly<Record<string, Edit>> = {
  left: (buffer) => buffer.wordLeft(),
  right: (buffer) => buffer.wordRight(),
  b: (buffer) => buffer.wordLeft(),
  f: (buffer) => buffer.wordRight(),
  d: (buffer) => buffer.eraseWordRight(),
  backspace: (buffer) => buffer.eraseWordLeft(),
  return: (buffer) => buffer.insert("\n"),
  enter: (buffer) => buffer.insert("\n"),
};

const WISHES_WITH_CTRL: Readonly<Record<string, Wish>> = {
  c: "interrupt",
  z: "suspend",
  l: "clear",
};

/** Ctrl with a key that has no name of its own. */
const UNDO = "\x1f";

export class Typing {
  readonly #buffer = new TextBuffer();
  readonly #history: string[] = [];
  /** Where in the history, from its end; 0 is what is being typed. */
  #back = 0;
  #draft = "";
  #search: HistorySearch | undefined;
  /** The column that Up and Down keep to. */
  #column: number | undefined;

  get text(): string {
    return this.#buffer.text;
  }

  set text(text: string) {
    this.#search = undefined;
    this.#back = 0;
    this.#buffer.set(text);
  }

  get isEmpty(): boolean {
    return this.#buffer.isEmpty;
  }

  /** Whether the cursor stands behind everything that was typed. */
  get isAtEnd(): boolean {
    return this.#buffer.cursor === this.#buffer.text.length;
  }

  rows({ prompt, columns }: Surface): readonly TypedRow[] {
    return typedRowsOf(this.#buffer.text, { prompt: this.#search?.prompt ?? prompt, columns });
  }

  /** Row and column of the cursor in {@link rows}. */
  cursorIn(rows: readonly TypedRow[]): readonly [row: number, column: number] {
    const { cursor } = this.#buffer;
    for (let row = rows.length - 1; row >= 0; row--) {
      const stop = rows[row]?.stops.findLast(([index]) => index <= cursor);
      if (stop) return [row, stop[1]];
    }
    return [0, 0];
  }

  /** Takes everything that was typed, and remembers it. */
  take(): string {
    const { text } = this.#buffer;
    if (text.trim() !== "" && text !== this.#history.at(-1)) {
      this.#history.push(text);
      if (this.#history.length > HISTORY_LINES_MAX) this.#history.shift();
    }
    this.text = "";
    return text;
  }

  /** Puts pasted text where the cursor is, line breaks and all: it is one message. */
  paste(text: string): void {
    this.#search = undefined;
    this.#buffer.insert(linesOfPaste(text, { keepsTabs: true }).join("\n"));
  }

  /**
   * Takes a key.
   * @param character what it types, if it does
   * @param surface where it is shown: Up and Down go by its rows
   */
  press(character: string | undefined, key: Key, surface: Surface): Wish | undefined {
    if (this.#search) {
      const { line, rest } = this.#search.press(key.sequence);
      this.#buffer.set(line);
      if (rest === undefined) return undefined;
      this.#search = undefined;
      if (rest === "") return undefined;
    }
    if (key.name === "up" || key.name === "down") {
      this.#move(key.name, surface);
      return undefined;
    }
    this.#column = undefined;
    return this.#edit(character, key, surface);
  }

  #edit(character: string | undefined, key: Key, surface: Surface): Wish | undefined {
    const { sequence, name = "", ctrl = false, meta = false } = key;
    if (sequence === SEARCH_KEY) {
      this.#search = new HistorySearch(this.#history.toReversed(), this.#buffer.text);
      return undefined;
    }
    if (sequence === UNDO) {
      this.#buffer.undo();
      return undefined;
    }
    if (ctrl && name === "d" && this.isEmpty) return "end";
    if (ctrl && (name === "p" || name === "n")) {
      this.#move(name === "p" ? "up" : "down", surface);
      return undefined;
    }
    const wish = ctrl ? WISHES_WITH_CTRL[name] : undefined;
    if (wish) return wish;
    const edit = (ctrl ? WITH_CTRL : meta ? WITH_META : NAMED)[name];
    if (edit) {
      edit(this.#buffer);
      return undefined;
    }
    if (ctrl || meta) return undefined;
    if (name === "return" || name === "enter") return "enter";
    if (name === "tab") return "complete";
    // deno-lint-ignore no-control-regex -- control characters are what it is about
    if (character && !/[\u0000-\u001f\u007f-\u009f]/.test(character)) {
      this.#buffer.insert(character);
    }
    return undefined;
  }

  /** Up and Down: through the rows of what is typed, and from their ends through the history. */
  #move(direction: "up" | "down", surface: Surface): void {
    const rows = this.rows(surface);
    const [row, column] = this.cursorIn(rows);
    const next = rows[row + (direction === "up" ? -1 : 1)];
    if (!next) return this.#recall(direction === "up" ? 1 : -1);
    this.#column ??= column;
    const stop = next.stops.findLast(([, at]) => at <= (this.#column ?? 0)) ?? next.stops[0];
    if (stop) this.#buffer.moveTo(stop[0]);
  }

  #recall(step: number): void {
    const back = this.#back + step;
    if (back < 0 || back > this.#history.length) return;
    if (this.#back === 0) this.#draft = this.#buffer.text;
    this.#back = back;
    this.#buffer.set(back === 0 ? this.#draft : this.#history.at(-back) ?? "");
    this.#column = undefined;
  }
}
