/**
 * Tables for people. At a terminal a table fits its width: columns that can be done without are left
 * out, and a cell that is too long ends in an ellipsis. In a pipe or a file nothing is left out and
 * nothing is cut. Whatever a cell says, no control character reaches the terminal.
 */

import { printable } from "../lib/base/printable.ts";
import { type Paint, PLAIN } from "./paint.ts";

const GAP = "  ";
/** A column of text narrower than this says nothing. */
const TEXT_CHARACTERS_MIN = 12;

export interface Column {
  readonly head: string;
  /** Characters that every cell has at most, as a date has; without it the first rows decide. */
  readonly width?: number;
  /** Numbers stand below each other by their last digit. */
  readonly isNumber?: boolean;
  /** Left out at a terminal that has no room for it. */
  readonly isOptional?: boolean;
  /** How a cell is painted, by what it says. */
  readonly style?: (cell: string) => keyof Paint | undefined;
}

export interface Table {
  readonly header: string;
  line(cells: readonly string[]): string;
}

export interface TableOptions {
  /** Rows by which the widths of columns are chosen; later rows may be longer. */
  readonly first: readonly (readonly string[])[];
  /** Of the terminal, as `columnsOf()` says; absent where there is none. */
  readonly columns: number | undefined;
  readonly paint?: Paint | undefined;
}

const lengthOf = (text: string) => [...text].length;

/** Pads; a cell that is longer is cut where `isCut`. */
function fit(
  text: string,
  { width, isCut, isNumber }: {
    readonly width: number;
    readonly isCut: boolean;
    readonly isNumber: boolean;
  },
): string {
  const characters = [...text];
  const space = " ".repeat(Math.max(width - characters.length, 0));
  if (characters.length <= width) return isNumber ? space + text : text + space;
  return isCut ? `${characters.slice(0, width - 1).join("")}…` : text;
}

/** The columns that are shown, and their widths; 0 for one that is left out. */
function chooseWidths(
  columns: readonly Column[],
  { first, columns: room }: TableOptions,
): number[] {
  const widths = columns.map(({ head, width }, index) =>
    width ??
      Math.max(
        TEXT_CHARACTERS_MIN,
        lengthOf(head),
        ...first.map((cells) => lengthOf(printable(cells[index] ?? ""))),
      )
  );
  if (room === undefined) return widths;
  const isText = (index: number) => columns[index]?.width === undefined;
  /** What is too much if texts are as narrow as they may be, or as wide as they would like. */
  const excess = (isNarrow: boolean) =>
    widths.reduce((sum, width, index) => {
      const shown = isNarrow && isText(index) ? Math.min(width, TEXT_CHARACTERS_MIN) : width;
      return sum + (width === 0 ? 0 : shown + GAP.length);
    }, -GAP.length) - room;
  for (let index = columns.length - 1; index >= 0 && excess(true) > 0; index--) {
    if (columns[index]?.isOptional) widths[index] = 0;
  }
  // The widest text gives first.
  for (let left = excess(false); left > 0; left--) {
    const texts = widths.map((width, index) => isText(index) ? width : 0);
    const widest = texts.indexOf(Math.max(...texts));
    if ((texts[widest] ?? 0) <= TEXT_CHARACTERS_MIN) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

/** A table whose widths are chosen by its first rows. */
export function makeTable(columns: readonly Column[], options: TableOptions): Table {
  const { paint = PLAIN } = options;
  const widths = chooseWidths(columns, options);
  const shown = columns.map((_, index) => index).filter((index) => widths[index] !== 0);
  const isCut = options.columns !== undefined;
  const join = (cells: readonly string[], styleOf: (index: number) => keyof Paint | undefined) =>
    shown.map((index) => {
      const text = printable(cells[index] ?? "");
      const isLast = index === shown.at(-1);
      const isNumber = columns[index]?.isNumber ?? false;
      const fitted = fit(text, { width: widths[index] ?? 0, isCut, isNumber });
      const style = styleOf(index);
      const painted = style === undefined
        ? fitted
        : fitted.replace(/^.*\S/s, (said) => paint[style](said)); // not the spaces behind it
      return isLast ? painted.trimEnd() : painted;
    }).join(GAP);
  return {
    header: join(columns.map(({ head }) => head), () => "head"),
    line: (cells) => join(cells, (index) => columns[index]?.style?.(cells[index] ?? "")),
  };
}

/** How a state is painted, wherever one is shown. */
export function styleOfState(state: string): keyof Paint | undefined {
  switch (state) {
    case "valid":
    case "good":
    case "active":
      return "good";
    case "expired":
    case "expiring":
    case "disabled":
      return "warn";
    case "revoked":
    case "deleted":
      return "bad";
    default:
      return undefined;
  }
}
