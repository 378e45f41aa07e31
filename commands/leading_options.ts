/**
 * Global options may stand before the command, and between its words; the command line's library
 * wants them behind it. They are moved by names alone: what they mean is the command's to say.
 */

import { GLOBAL_SWITCH_OPTIONS, GLOBAL_VALUE_OPTIONS } from "./globals.ts";

/** What may stand alone, without a command. */
const ROOT_OPTIONS = ["-h", "--help", "-v", "--version"];

/** A group of commands, as far as it matters here. */
export interface CommandGroup {
  /** What a word names in it: a command or a group. */
  readonly getRoutingTargetForInput: (word: string) => object | undefined;
}

function isGroup(target: object | undefined): target is CommandGroup {
  return target !== undefined && "getRoutingTargetForInput" in target;
}

/** How many of the first arguments are one global option with its value; 0 for anything else. */
function lengthOfOption([arg = "", value]: readonly string[]): number {
  if (GLOBAL_SWITCH_OPTIONS.includes(arg)) return 1;
  const [name = ""] = arg.split("=", 1);
  if (!GLOBAL_VALUE_OPTIONS.includes(name)) return 0;
  return name === arg && value !== undefined ? 2 : 1;
}

/**
 * The arguments with the words of the command first. Without a command it is the session that is
 * wanted: an option is never taken for a command.
 */
export function moveLeadingOptions(args: readonly string[], root: CommandGroup): string[] {
  const words: string[] = [];
  const options: string[] = [];
  let rest = args;
  let group = root;
  for (;;) {
    for (let length; (length = lengthOfOption(rest)) > 0; rest = rest.slice(length)) {
      options.push(...rest.slice(0, length));
    }
    const [word] = rest;
    if (word === undefined) break;
    if (words.length === 0 && word.startsWith("-") && !ROOT_OPTIONS.includes(word)) break;
    const next = group.getRoutingTargetForInput(word);
    if (words.length > 0 && !next) break;
    words.push(word); // the first one also where there is no such command: the library says so
    rest = rest.slice(1);
    if (!isGroup(next)) break;
    group = next;
  }
  return [...(words.length > 0 ? words : ["session"]), ...options, ...rest];
}
