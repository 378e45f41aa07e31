/**
 * Colour: the one place that decides whether there is any, and what is painted how. It is used
 * sparingly: labels of errors, heads of tables, states, fingerprints. What is painted reads the same
 * without; a pipe, a file and a program that reads JSON never get an escape sequence by themselves.
 */

import type { OutputStream } from "./context.ts";

export const COLOR_MODES = ["auto", "always", "never"] as const;
export type ColorMode = typeof COLOR_MODES[number];

/** What text is, as far as it may be painted: each gives the text back, with or without colour. */
export interface Paint {
  /** The label of an error, and a state that nothing may be trusted in. */
  readonly bad: (text: string) => string;
  /** The label of a warning, and a state that something should be done about. */
  readonly warn: (text: string) => string;
  readonly good: (text: string) => string;
  /** The label of a hint, and a fingerprint that is to be compared. */
  readonly mark: (text: string) => string;
  /** The head of a table or a section. */
  readonly head: (text: string) => string;
}

/** Select Graphic Rendition (ECMA-48, 8.3.117) with these parameters, and back. */
function style(parameters: string) {
  return (text: string) => text === "" ? "" : `\x1b[${parameters}m${text}\x1b[0m`;
}

const same = (text: string) => text;

export const PLAIN: Paint = { bad: same, warn: same, good: same, mark: same, head: same };

const COLORED: Paint = {
  bad: style("1;31"),
  warn: style("1;33"),
  good: style("32"),
  mark: style("36"),
  head: style("1"),
};

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether a variable is set to something that does not say no. */
function isForced(value: string | undefined): boolean {
  return value !== undefined && !["", "0", "false"].includes(value);
}

/** `--color` first; then `NO_COLOR`, `FORCE_COLOR` and `CLICOLOR_FORCE`; then what the stream is. */
function hasColor(stream: OutputStream, mode: ColorMode, env: Environment): boolean {
  if (mode !== "auto") return mode === "always";
  if (env["NO_COLOR"]) return false; // no-color.org: set to anything but nothing
  if (isForced(env["FORCE_COLOR"]) || isForced(env["CLICOLOR_FORCE"])) return true;
  if (env["FORCE_COLOR"] || env["CLICOLOR"] === "0" || env["TERM"] === "dumb") return false;
  return stream.isTTY === true;
}

/** How to paint what goes to this stream. */
export function choosePaint(
  stream: OutputStream,
  { mode = "auto", env }: { readonly mode?: ColorMode | undefined; readonly env: Environment },
): Paint {
  return hasColor(stream, mode, env) ? COLORED : PLAIN;
}

/**
 * What the words of a command line say of colour, before anything else is known of them: also an
 * error in the command line itself is painted or not.
 */
export function findColorMode(words: readonly string[]): ColorMode | undefined {
  let found: ColorMode | undefined;
  words.forEach((word, index) => {
    const value = word === "--color" ? words[index + 1] : /^--color=(.*)$/s.exec(word)?.[1];
    found = COLOR_MODES.find((mode) => mode === value) ?? found;
  });
  return found;
}

/** Bounds of what a terminal may say of its width: less can show no table, more is no terminal. */
const COLUMNS_MIN = 20;
const COLUMNS_MAX = 1_000;
const COLUMNS_DEFAULT = 80;

/** Width of the terminal that a stream is; `undefined` where it is none, so that nothing is cut. */
export function columnsOf(stream: OutputStream, env: Environment): number | undefined {
  if (!stream.isTTY) return undefined;
  const said = /^\d{1,4}$/.test(env["COLUMNS"] ?? "") ? Number(env["COLUMNS"]) : 0;
  const columns = said || stream.columns || COLUMNS_DEFAULT;
  return Math.min(Math.max(columns, COLUMNS_MIN), COLUMNS_MAX);
}
