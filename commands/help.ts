/** `pki --help`, and how any help is laid out and painted for a terminal. */

import { CATALOGUE, GROUPS } from "./catalogue.ts";
import { type Paint, PLAIN } from "./paint.ts";

/** Room for the longest name beside its brief. */
const NAME_CHARACTERS = 10;

const INTRODUCTION = `USAGE
  pki COMMAND [options]       pki COMMAND --help shows options and examples
  pki                         at a terminal: log in and ask what to do

A certificate authority and directory, its client, and a private line between
two people who hold certificates. The first minute:
  pki serve                   the server; it prints an invitation
  pki join pki1:…             join with it: register, make a key, be certified
  pki invite --id bob         on the server's machine: the next invitation
  pki request bob             look somebody up
  pki listen --announce       wait for a call, where others find you
  pki connect bob             call bob
`;

const OPTIONS = `OPTIONS
  -h --help     Show this help
  -v --version  Show version, commit and engine; with --json for programs
`;

/** What `pki --help` says: every command, by who needs it. */
export function overallHelp(): string {
  const sections = Object.entries(GROUPS).flatMap(([group, head]) => {
    const rows = Object.entries(CATALOGUE).filter(([, row]) => row.group === group);
    if (rows.length === 0) return [];
    const lines = rows.map(([name, { brief }]) => `  ${name.padEnd(NAME_CHARACTERS)}  ${brief}\n`);
    return [`${head.toUpperCase()}\n${lines.join("")}`];
  });
  return [INTRODUCTION, ...sections, OPTIONS].join("\n");
}

/** A line of two columns: what is named, and what it is. */
const TWO_COLUMNS = /^( {2,}(?:\S+ )*\S+ {2,})(\S.*)$/;
/** A column narrower than this is worse than a line that the terminal breaks. */
const SECOND_COLUMN_MIN = 24;

/** Breaks the second column of a line that is too long for the terminal. */
function wrapLine(line: string, columns: number): string {
  const [, first, second] = TWO_COLUMNS.exec(line) ?? [];
  if (line.length < columns || first === undefined || second === undefined) return line;
  const room = columns - first.length - 1;
  if (room < SECOND_COLUMN_MIN) return line;
  const lines = [""];
  for (const word of second.split(/ +/)) {
    const last = lines.at(-1) ?? "";
    if (last !== "" && last.length + 1 + word.length > room) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return first + lines.join(`\n${" ".repeat(first.length)}`);
}

/** A help text as this terminal shows it; where there is none, to the letter as it was. */
export function layOutHelp(
  help: string,
  { paint = PLAIN, columns }: { readonly paint?: Paint; readonly columns?: number | undefined },
): string {
  return help.split("\n").map((line) => {
    if (/^[A-Z]{4}[A-Z ]*$/.test(line) || line === "Examples:") return paint.head(line);
    return columns === undefined ? line : wrapLine(line, columns);
  }).join("\n");
}
