/**
 * What a line means that is typed in a talk, or while one waits for callers: something to say, or a
 * command, which begins with a slash. No I/O here.
 */

import { suggestName } from "../lib/base/suggestion.ts";
import { quoteWord, splitPartialLine } from "../lib/base/words.ts";

/** A command of a talk; the part behind its name is for it to read. */
export interface TalkCommand {
  readonly name: string;
  /** What may stand behind the name: `FILE…`. */
  readonly usage?: string;
  readonly brief: string;
  /** What the word that is typed behind the name may become. */
  readonly candidates?: (typed: string) => readonly string[];
  /** Returns what to say if the rest makes no sense: then the line stays to be corrected. */
  readonly run: (rest: string) => string | void;
}

export type Typed =
  | { readonly kind: "text"; readonly text: string }
  /** `rest` is what stands behind the name, without spaces around it. */
  | { readonly kind: "command"; readonly name: string; readonly rest: string };

/** Reads what was typed; two slashes stand for one that begins something to say. */
export function readTyped(typed: string): Typed {
  if (typed.startsWith("//")) return { kind: "text", text: typed.slice(1) };
  if (!typed.startsWith("/")) return { kind: "text", text: typed };
  const [, name = "", rest = ""] = /^\/(\S*)(?:\s+([^]*))?$/.exec(typed.trim()) ?? [];
  return { kind: "command", name, rest };
}

export function findCommand(
  commands: readonly TalkCommand[],
  name: string,
): TalkCommand | undefined {
  return commands.find((command) => command.name === name.toLowerCase());
}

/** What to say of a command that does not exist. */
export function describeUnknown(commands: readonly TalkCommand[], name: string): string {
  const near = suggestName(name, commands.map((command) => command.name));
  const hint = near === undefined ? "/help lists what there is" : `did you mean /${near}?`;
  return `there is no /${name}: ${hint}\nto say something that begins with a slash, type two`;
}

/** What Tab does. */
export interface Completed {
  /** What was typed, and as much more as is clear. */
  readonly text: string;
  /** What it may be, where that is more than one thing. */
  readonly choices: readonly string[];
}

/** What Tab makes of a command that is being typed. */
export function completeCommand(commands: readonly TalkCommand[], typed: string): Completed {
  const [, name = "", rest] = /^\/(\w*)(?:\s+([^]*))?$/.exec(typed) ?? [];
  if (!typed.startsWith("/")) return { text: typed, choices: [] };
  if (rest === undefined) {
    const found = commands.filter((command) => command.name.startsWith(name));
    const [only, ...others] = found;
    if (only && others.length === 0) {
      return { text: `/${only.name}${only.usage === undefined ? "" : " "}`, choices: [] };
    }
    return goOn(`/${name}`, found.map((command) => `/${command.name}`));
  }
  const partial = splitPartialLine(rest);
  const candidates = findCommand(commands, name)?.candidates;
  if (!partial || !candidates) return { text: typed, choices: [] };
  const before = typed.slice(0, typed.length - partial.typedRaw.length);
  const found = candidates(partial.typed).map(quoteWord);
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) {
    return { text: `${before}${only}${only.endsWith("/") ? "" : " "}`, choices: [] };
  }
  const { text, choices } = goOn(partial.typedRaw, found);
  return { text: before + text, choices };
}

/** What all of several have in common; what they are, if that is no more than was typed. */
function goOn(typed: string, found: readonly string[]): Completed {
  let common = found[0] ?? typed;
  for (const one of found) {
    while (!one.startsWith(common)) common = common.slice(0, -1);
  }
  const isMore = common.length > typed.length;
  return { text: isMore ? common : typed, choices: isMore ? [] : found };
}

/** The commands as a list, and the keys that nobody guesses. */
export function describeCommands(commands: readonly TalkCommand[]): string {
  const rows = [
    ...commands.map(({ name, usage, brief }) =>
      [usage === undefined ? `/${name}` : `/${name} ${usage}`, brief] as const
    ),
    ["//…", "Say something that begins with a slash"],
    ["Alt-Enter", "A line break; what is pasted keeps its own, and Enter sends it as one"],
    ["Up, Ctrl-R", "What was typed before"],
  ] as const;
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
