/**
 * A typed line as words, in the way of a POSIX shell (section 2.2 of its Shell Command Language):
 * quotes and backslashes hold words together. Nothing is expanded and nothing is run, so what only a
 * shell could do is refused where it stands outside of quotes, not taken for a word.
 */

import { PkiError } from "./errors.ts";

/** What a shell would take for a pipe, a redirection, a list or a group. */
const OPERATORS = "|&;<>()";
/** What a backslash escapes between double quotes; before all else it stands for itself there. */
const ESCAPED_IN_QUOTES = '$`"\\';
const BLANK = /\s/;

/** One word: what it says, and where it stands. */
interface Word {
  text: string;
  /** Index of its first character, a quote or backslash included. */
  readonly start: number;
  /** The quote that is still open, or the backslash that nothing follows. */
  open?: '"' | "'" | "\\";
}

interface Scan {
  readonly words: readonly Word[];
  /** The first operator outside of quotes. */
  readonly operator?: string;
}

/** Reads to the first operator; the last word may be open. */
function scan(line: string): Scan {
  const words: Word[] = [];
  let word: Word | undefined;
  let at = 0;
  while (at < line.length) {
    const character = line.charAt(at);
    if (word?.open === "'") {
      if (character === "'") delete word.open;
      else word.text += character;
    } else if (word?.open === '"') {
      if (character === '"') delete word.open;
      else if (character === "\\" && ESCAPED_IN_QUOTES.includes(line.charAt(at + 1) || "x")) {
        word.text += line.charAt(++at);
      } else word.text += character;
    } else if (BLANK.test(character)) {
      word = undefined;
    } else if (OPERATORS.includes(character)) {
      return { words, operator: character };
    } else {
      if (!word) words.push(word = { text: "", start: at });
      if (character === '"' || character === "'") word.open = character;
      else if (character !== "\\") word.text += character;
      else if (at + 1 < line.length) word.text += line.charAt(++at);
      else word.open = "\\";
    }
    at++;
  }
  return { words };
}

const OPEN = {
  '"': "a double quote is not closed",
  "'": "a single quote is not closed",
  "\\": "nothing follows the backslash at its end",
} as const;

/**
 * The words of a line.
 * @throws {PkiError} `usage` for an open quote, and for what only a shell could do
 */
export function splitWords(line: string): readonly string[] {
  const { words, operator } = scan(line);
  if (operator !== undefined) {
    throw new PkiError(
      "usage",
      `cannot read the line: ${JSON.stringify(operator)} is for a shell, and this is none`,
      { hint: `put it between quotes if it belongs to a word` },
    );
  }
  const open = words.at(-1)?.open;
  if (open !== undefined) throw new PkiError("usage", `cannot read the line: ${OPEN[open]}`);
  return words.map(({ text }) => text);
}

/** A line that is still being typed, at the end of which a word may be half there. */
export interface PartialLine {
  /** The words before the one that is typed. */
  readonly before: readonly string[];
  /** The word that is typed, "" where none was begun. */
  readonly typed: string;
  /** As it stands in the line, quotes and backslashes included. */
  readonly typedRaw: string;
}

/** Splits a line that is still being typed; `undefined` where no word can follow. */
export function splitPartialLine(line: string): PartialLine | undefined {
  const { words, operator } = scan(line);
  if (operator !== undefined) return undefined;
  const texts = words.map(({ text }) => text);
  const last = words.at(-1);
  // A blank at the end begins a new word, unless it is part of the last one.
  const isBegun = last !== undefined &&
    (last.open !== undefined || scan(`${line}x`).words.length === words.length);
  if (!isBegun) return { before: texts, typed: "", typedRaw: "" };
  return { before: texts.slice(0, -1), typed: last.text, typedRaw: line.slice(last.start) };
}

/** A word as it has to be typed to be read as this word. */
export function quoteWord(word: string): string {
  if (word === "") return "''";
  return word.replace(/[\s\\"'$`|&;<>()]/g, "\\$&");
}
