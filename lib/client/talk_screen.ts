/**
 * The lower end of a terminal during a talk: what is typed stands in the last rows, and everything
 * else is written above it. Nothing but rows scrolls by, so the talk can be read and copied as any
 * program's output.
 *
 * Each change is one write, with the terminal's own wrapping off: a row stays one row even where the
 * terminal takes a character for wider than we do, so that the rows that are counted here are the rows
 * that are there, and nothing that somebody sent can begin a row.
 */

import type { Writable } from "node:stream";
import { COLUMNS_MIN, type TypedRow } from "./cells.ts";

export type ScreenOutput = Writable & { readonly columns?: number; readonly rows?: number };

/** Where on the screen something stands that may be marked later. */
export interface Place {
  /** Counted from an origin that is given up when rows can no longer be found. */
  readonly row: number;
  readonly column: number;
  readonly origin: symbol;
}

const COLUMNS = 80;
const ROWS = 24;
/** Between two changes that nobody typed: more of them nobody sees. */
const FRAME_MS = 30;
/** Characters that wait for a frame before whoever has more is to wait too. */
const WAITING_CHARACTERS_MAX = 65_536;

const NO_WRAPPING = "\x1b[?7l";
const WRAPPING = "\x1b[?7h";
const CLEAR_BELOW = "\x1b[J";
const CLEAR_SCREEN = "\x1b[H\x1b[2J";

function up(rows: number): string {
  return rows > 0 ? `\x1b[${rows}A` : "";
}

function down(rows: number): string {
  return rows > 0 ? `\x1b[${rows}B` : "";
}

function toColumn(column: number): string {
  return `\x1b[${column + 1}G`;
}

export class TalkScreen {
  readonly #output: ScreenOutput;
  /** What is typed, as it is to be shown. */
  #typed: readonly TypedRow[] = [];
  #cursor: readonly [row: number, column: number] = [0, 0];
  /** What is shown of it: widths of the rows, and where the cursor stands among them. */
  #shownWidths: readonly number[] = [];
  #shownCursor: readonly [row: number, column: number] = [0, 0];
  /** Rows that are not shown yet. */
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #marks: { readonly place: Place; readonly text: string }[] = [];
  /** Rows above what is typed, since {@link #origin}. */
  #written = 0;
  #origin = Symbol();
  #shownAtMs = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWriting = false;
  /** Whether something that was typed waits for a write to end. */
  #isUrgent = false;
  /** Whether the terminal is somebody else's. */
  #isAway = true;
  #isClosed = false;
  #forRoom: (() => void)[] = [];

  constructor(output: ScreenOutput) {
    this.#output = output;
  }

  get columns(): number {
    return Math.max(this.#output.columns || COLUMNS, COLUMNS_MIN);
  }

  get #rowsMax(): number {
    return Math.max((this.#output.rows || ROWS) - 1, 1);
  }

  /** Shows rows above what is typed, soon. Returns where the last one is. */
  above(rows: readonly string[], column = 0): Place {
    for (const row of rows) {
      this.#waiting.push(row);
      this.#waitingCharacters += row.length;
    }
    this.#soon();
    return {
      row: this.#written + this.#waiting.length - 1,
      column,
      origin: this.#origin,
    };
  }

  /** Resolves when more should be shown: at once, unless much waits. */
  room(): Promise<void> | undefined {
    if (this.#waitingCharacters < WAITING_CHARACTERS_MAX || this.#isClosed) return undefined;
    return new Promise((resolve) => this.#forRoom.push(resolve));
  }

  /** Shows what is typed, at once. */
  type(rows: readonly TypedRow[], cursor: readonly [row: number, column: number]): void {
    if (this.#isClosed) return;
    this.#isAway = false;
    this.#typed = rows;
    this.#cursor = cursor;
    this.#show();
  }

  /** Puts a mark where something stands, if that is still on the screen. */
  mark(place: Place, text: string): void {
    this.#marks.push({ place, text });
    this.#soon();
  }

  /** The terminal has another size: most of them break the rows anew that have no room any more. */
  resized(): void {
    const { columns } = this;
    const rowsOf = (width: number) => Math.max(1, Math.ceil(width / columns));
    const [row, column] = this.#shownCursor;
    const above = this.#shownWidths.slice(0, row).reduce((sum, width) => sum + rowsOf(width), 0);
    this.#shownCursor = [above + Math.floor(column / columns), 0];
    this.#forget();
  }

  /** Clears the screen but for what is typed. */
  clear(): void {
    this.#shownCursor = [0, 0];
    this.#forget();
    this.#write(CLEAR_SCREEN + this.#frame());
  }

  /** Leaves the terminal to others, until something is typed again: below what they have written. */
  leave(): void {
    if (this.#isAway) return;
    this.#isAway = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#typed = [];
    this.#cursor = [0, 0];
    this.#write(this.#frame());
    this.#shownWidths = [];
    this.#shownCursor = [0, 0];
    this.#forget();
  }

  /** Shows what waits, takes what is typed off the screen, and writes nothing more. */
  close(): void {
    this.leave();
    if (this.#waiting.length > 0) this.#write(this.#frame());
    this.#isClosed = true;
    for (const resolve of this.#forRoom.splice(0)) resolve();
  }

  #forget(): void {
    this.#origin = Symbol();
    this.#written = 0;
    this.#marks = [];
  }

  #soon(): void {
    if (this.#isAway || this.#isWriting || this.#timer !== undefined) return;
    const sinceMs = performance.now() - this.#shownAtMs;
    if (sinceMs >= FRAME_MS) return this.#show();
    this.#timer = setTimeout(() => this.#show(), FRAME_MS - sinceMs);
  }

  #show(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isAway) return;
    this.#isUrgent = this.#isWriting; // a slow terminal gets what is newest when it has taken this
    if (this.#isWriting) return;
    this.#shownAtMs = performance.now();
    this.#write(this.#frame());
    for (const resolve of this.#forRoom.splice(0)) resolve();
  }

  #write(text: string): void {
    this.#isWriting = true;
    this.#output.write(text, () => {
      this.#isWriting = false;
      if (this.#isUrgent) this.#show();
      else if (this.#waiting.length > 0 || this.#marks.length > 0) this.#soon();
    });
  }

  /** Everything that brings the screen up to date. */
  #frame(): string {
    const rowsAbove = this.#waiting.splice(0);
    this.#waitingCharacters = 0;
    const { rows, cursor: [row, column] } = this.#window();
    const frame = [
      NO_WRAPPING,
      up(this.#shownCursor[0]),
      "\r",
      CLEAR_BELOW,
      ...rowsAbove.map((text) => `${text}\r\n`),
      rows.map(({ shown }) => shown).join("\r\n"),
      up(Math.max(0, rows.length - 1 - row)),
      toColumn(column),
    ];
    this.#written += rowsAbove.length;
    this.#shownWidths = rows.map(({ width }) => width);
    this.#shownCursor = [row, column];
    for (const { place, text } of this.#marks.splice(0)) {
      if (place.origin !== this.#origin) continue;
      const distance = this.#written - place.row + row;
      // What is typed may end in the last row of the screen, and does once that is full.
      if (distance + Math.max(0, rows.length - 1 - row) > this.#rowsMax) continue;
      frame.push(up(distance), toColumn(place.column), text, down(distance), toColumn(column));
    }
    frame.push(WRAPPING);
    return frame.join("");
  }

  /** The rows of what is typed that fit, around the cursor. */
  #window(): { readonly rows: readonly TypedRow[]; readonly cursor: readonly [number, number] } {
    const rowsMax = this.#rowsMax;
    const [row, column] = this.#cursor;
    if (this.#typed.length <= rowsMax) return { rows: this.#typed, cursor: this.#cursor };
    const begin = Math.min(
      Math.max(0, row - Math.floor(rowsMax / 2)),
      this.#typed.length - rowsMax,
    );
    return { rows: this.#typed.slice(begin, begin + rowsMax), cursor: [row - begin, column] };
  }
}
