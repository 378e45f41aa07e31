/** What `HELP` shows in the interactive session. */

import { CATALOGUE, GROUPS } from "./catalogue.ts";
import { isForSession, OLD_NAMES, OWN_WORDS } from "./session_line.ts";

/** Room for the longest name beside its brief. */
const NAME_CHARACTERS = 18;
/** Room for a list of names. */
const COLUMNS = 76;

function row(name: string, brief: string): string {
  return `  ${name.padEnd(NAME_CHARACTERS)}  ${brief}\n`;
}

/** A command by the names that it has and had. */
function namesOf(name: string): string {
  const old = Object.entries(OLD_NAMES).filter(([, now]) => now === name).map(([old]) => old);
  return [...old, name].map((name) => name.toUpperCase()).join(", ");
}

/** Names alone, as many a line as fit. */
function listNames(names: readonly string[]): readonly string[] {
  const lines = [""];
  for (const name of names) {
    const last = lines.at(-1) ?? "";
    if (last.length + name.length + 2 > COLUMNS) lines.push(name);
    else lines[lines.length - 1] = last === "" ? name : `${last}, ${name}`;
  }
  return lines.map((line) => `  ${line}\n`);
}

/** All that can be typed, by who needs it. */
export function sessionHelp(): string {
  const sections = Object.entries(GROUPS).flatMap(([group, head]) => {
    const rows = Object.entries(CATALOGUE)
      .filter(([name, row]) => row.group === group && isForSession(name));
    if (rows.length === 0) return [];
    const lines = group === "server"
      ? listNames(rows.map(([name]) => namesOf(name)))
      : rows.map(([name, { brief }]) => row(namesOf(name), brief));
    return [`${head.toUpperCase()}\n${lines.join("")}`];
  });
  const own = Object.values(OWN_WORDS).map(({ usage, brief }) => row(usage, brief)).join("");
  return [
    ...sections,
    `HERE\n${own}`,
    "In upper or lower case, with the options that they have in a shell. Tab completes,\n" +
    "Up goes back through what was typed, Ctrl-C cancels.",
  ].join("\n");
}
