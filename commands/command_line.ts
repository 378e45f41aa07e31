/**
 * The words of a command line, taken apart as far as the command goes. Global options may stand
 * before the command, and between its words; the command line's library wants them behind it. They
 * are moved by names alone: what they mean is the command's to say.
 */

import type { Command } from "@stricli/core";
import { SESSION, type Target } from "./catalogue.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_SWITCH_OPTIONS, GLOBAL_VALUE_OPTIONS } from "./globals.ts";

export const HELP_WORDS: readonly (string | undefined)[] = ["help", "--help", "-h"];

export interface CommandLine {
  /** The words that name the command. */
  readonly path: readonly string[];
  readonly target: Target;
  /** What is left, with the options that stood before it. */
  readonly rest: readonly string[];
}

export function isRouteMap(target: Target): target is Exclude<Target, Command<PkiContext>> {
  return "getAllEntries" in target;
}

/** How many of the first words are one global option with its value; 0 for anything else. */
function lengthOfOption([word = "", value]: readonly string[]): number {
  if (GLOBAL_SWITCH_OPTIONS.includes(word)) return 1;
  const [name = ""] = word.split("=", 1);
  if (!GLOBAL_VALUE_OPTIONS.includes(name)) return 0;
  return name === word && value !== undefined ? 2 : 1;
}

export interface Leading {
  readonly options: readonly string[];
  readonly rest: readonly string[];
}

/** Takes global options off the front. */
export function splitLeading(words: readonly string[]): Leading {
  let at = 0;
  for (let length; (length = lengthOfOption(words.slice(at))) > 0;) at += length;
  return { options: words.slice(0, at), rest: words.slice(at) };
}

/** What a word stands for among several commands. */
function findBelow(target: Target, word: string | undefined): Target | undefined {
  if (!isRouteMap(target) || word === undefined) return undefined;
  return target.getAllEntries().find(({ name, aliases }) =>
    name["convert-camel-to-kebab"] === word || aliases.includes(word)
  )?.target;
}

/** What several commands under one word do alone (`pki id`), unless something else is meant. */
function findAlone(target: Target, [word]: readonly string[]): Target {
  if (!isRouteMap(target) || HELP_WORDS.includes(word)) return target;
  const alone = target.getDefaultCommand();
  const isMistyped = word !== undefined && !word.startsWith("-") &&
    alone?.parameters.positional === undefined;
  // Else the library would take a mistyped word for an argument of what is done alone.
  if (isMistyped) return { ...target, getDefaultCommand: () => undefined };
  return alone ?? target;
}

/**
 * Finds what a command line is about. Without a command it is the interactive session that is wanted:
 * an option is never taken for a command.
 * @param load gives what a first word stands for
 * @returns the word instead where it stands for nothing
 */
export async function parseCommandLine(
  words: readonly string[],
  load: (word: string) => Promise<Target | undefined>,
): Promise<CommandLine | string> {
  let { options, rest } = splitLeading(words);
  const [first] = rest;
  const isNone = first === undefined || first.startsWith("-");
  const name = isNone ? SESSION : first;
  let target = await load(name);
  if (target === undefined) return name;
  const path = [name];
  if (!isNone) rest = rest.slice(1);
  while (isRouteMap(target)) {
    const between = splitLeading(rest);
    options = [...options, ...between.options];
    rest = between.rest;
    const [word] = rest;
    const below = findBelow(target, word);
    if (below === undefined || word === undefined) break;
    path.push(word);
    target = below;
    rest = rest.slice(1);
  }
  return { path, target: findAlone(target, rest), rest: [...options, ...rest] };
}
