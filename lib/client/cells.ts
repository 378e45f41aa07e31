/**
 * Text as a terminal shows it: which characters stand in one cell together, how many columns they take,
 * and how text is broken into rows. Everything is made harmless on the way. No I/O here.
 *
 * Terminals differ in how wide some emoji are; whoever writes rows turns the terminal's own wrapping
 * off, so that a row stays one row all the same.
 */

import stringWidth from "string-width";
import { printable } from "../base/printable.ts";

/** What the cursor steps over at once: a character with everything that is combined with it. */
export interface Cell {
  /** As it was typed. */
  readonly text: string;
  /** As it is shown. */
  readonly shown: string;
  /** Columns: 0 for a mark that stands alone, 1, or 2. */
  readonly width: number;
}

/** Columns of a tab, wherever it stands. */
const TAB = "    ";
/** UTF-16 units of one cell that are shown: marks without end pile up over other people's lines. */
const CELL_UNITS_MAX = 32;
/** Fewer columns are not written for: rows are cut off at the margin then. */
export const COLUMNS_MIN = 20;

/** Fewer columns behind a name are none: the text begins below it. */
const TEXT_COLUMNS_MIN = 8;

const PLAIN = /^[\x20-\x7e]*$/;
/** A picture that is meant to be one, as Unicode lists them (UTS #51). */
const EMOJI = /^\p{RGI_Emoji}$/v;
const SEGMENTER = new Intl.Segmenter();

/** Cells that were met before: to find out how wide one is takes long. */
const known = new Map<string, Cell>();
const KNOWN_MAX = 4096;

/** The cells of a line. */
export function cellsOf(line: string): readonly Cell[] {
  if (PLAIN.test(line)) return Array.from(line, cellOf);
  return Array.from(SEGMENTER.segment(line), ({ segment }) => cellOf(segment));
}

function cellOf(text: string): Cell {
  let cell = known.get(text);
  if (cell) return cell;
  cell = { text, ...measure(text) };
  if (known.size >= KNOWN_MAX) known.clear();
  if (text.length <= CELL_UNITS_MAX) known.set(text, cell);
  return cell;
}

function measure(text: string): Omit<Cell, "text"> {
  if (text === "\t") return { shown: TAB, width: TAB.length };
  if (text.length === 1 && PLAIN.test(text)) return { shown: text, width: 1 };
  const harmless = printable(text);
  // Of the joiners that are not shown, those that make one picture of several hide nothing.
  const shown = harmless !== text && EMOJI.test(text) ? text : bounded(harmless);
  return { shown, width: stringWidth(shown) };
}

function bounded(shown: string): string {
  return shown.length > CELL_UNITS_MAX ? "\ufffd" : shown;
}

/** Columns of a text of ours: escape sequences take none. */
export function widthOf(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text);
}

/** The text as lines. What else breaks a line on some system is no text: it is not shown as such. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r?\n/);
}

export interface RowOptions {
  readonly columns: number;
  /** In front of the first row. */
  readonly head: string;
  /** In front of every other row, so that nothing in the text can begin one. */
  readonly indent: string;
}

/**
 * A message as rows of a screen, broken between words where that costs little.
 * @param text of several lines; from anybody
 */
export function rowsOf(text: string, { columns, head, indent }: RowOptions): readonly string[] {
  const roomBehind = (before: string) => Math.max(columns, COLUMNS_MIN) - widthOf(before);
  const rows: string[] = [];
  let before = head;
  if (roomBehind(head) < TEXT_COLUMNS_MIN) {
    rows.push(head.trimEnd());
    before = indent;
  }
  for (const line of linesOf(text)) {
    for (const row of breakLine(line, [roomBehind(before), roomBehind(indent)])) {
      rows.push(before + row);
      before = indent;
    }
  }
  return rows;
}

/** Breaks a line into pieces, the first of so many columns, the others of so many. */
function breakLine(line: string, [first, others]: readonly [number, number]): string[] {
  if (PLAIN.test(line) && line.length <= first) return [line];
  const cells = cellsOf(line);
  const pieces: string[] = [];
  let start = 0;
  do {
    const room = pieces.length === 0 ? first : others;
    const end = breakAt(cells, { start, room });
    let piece = "";
    for (let at = start; at < end; at++) piece += cells[at]?.shown ?? "";
    pieces.push(end < cells.length ? piece.trimEnd() : piece);
    start = end;
  } while (start < cells.length);
  return pieces;
}

function breakAt(
  cells: readonly Cell[],
  { start, room }: { readonly start: number; readonly room: number },
): number {
  let width = 0;
  let end = start;
  while (end < cells.length && width + (cells[end]?.width ?? 0) <= room) {
    width += cells[end]?.width ?? 0;
    end++;
  }
  if (end === cells.length) return end;
  if (end === start) return start + 1; // wider than all there is
  for (let at = end; at > start && end - at < room / 2; at--) {
    if (cells[at - 1]?.text === " ") return at;
  }
  return end;
}

/** A row of text that is being typed. */
export interface TypedRow {
  /** As it is shown, with what stands in front of it. */
  readonly shown: string;
  readonly width: number;
  /** Where the cursor can stand: index in the text, column. The last is behind the last cell. */
  readonly stops: readonly (readonly [index: number, column: number])[];
}

/** Text that is being typed, as rows; a row has a column free for the cursor behind its end. */
export function typedRowsOf(
  text: string,
  { prompt, columns }: { readonly prompt: string; readonly columns: number },
): readonly TypedRow[] {
  const rows: TypedRow[] = [];
  let index = 0;
  let shown = prompt;
  let width = widthOf(prompt);
  let stops: [number, number][] = [[0, width]];
  const close = () => {
    rows.push({ shown, width, stops });
    shown = "";
    width = 0;
    stops = [[index, 0]];
  };
  for (const [at, line] of text.split("\n").entries()) {
    if (at > 0) {
      index++; // the line break
      close();
    }
    for (const cell of cellsOf(line)) {
      if (width + cell.width > columns - 1 && width > 0) {
        if (stops.length > 1) stops.pop(); // the place behind the last cell is the beginning of the next row
        close();
      }
      index += cell.text.length;
      shown += cell.shown;
      width += cell.width;
      stops.push([index, width]);
    }
  }
  rows.push({ shown, width, stops });
  return rows;
}
