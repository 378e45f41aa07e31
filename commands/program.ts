/**
 * From the words of a command line to the command that does its work, and what errors in the words
 * look like. Nothing is loaded but the command that is wanted.
 *
 * Start reading at {@link runProgram}.
 */

import {
  type ApplicationText,
  ArgumentScannerError,
  buildApplication,
  ExitCode,
  FlagNotFoundError,
  formatMessageForArgumentScannerError,
  type RouteMap,
  run,
  text_en,
} from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { printableJson } from "../lib/base/printable.ts";
import { CATALOGUE, loadCommand, SESSION, type Target } from "./catalogue.ts";
import { HELP_WORDS, isRouteMap, parseCommandLine, splitLeading } from "./command_line.ts";
import type { PkiContext } from "./context.ts";
import { exitCodeOf, formatError, type Style, wantsJson } from "./error_text.ts";
import { kebab } from "./globals.ts";
import { layOutHelp, overallHelp } from "./help.ts";
import { choosePaint, columnsOf, findColorMode } from "./paint.ts";
import { closestNames, findOptionElsewhere, hintOfForeignWord } from "./suggestion.ts";
import { describeVersion, versionLine } from "./version.ts";

const INTERNAL = 1;
const USAGE = 2;
const HELP_HINT = "pki --help lists the commands, pki COMMAND --help their options";
const VERSION_WORDS: readonly (string | undefined)[] = ["version", "--version", "-v"];

/** What completion scripts ask with. */
const COMPLETE = "__complete";

function usageError(message: string, hint: string = HELP_HINT): PkiError {
  return new PkiError("usage", message, { hint });
}

/** Stricli's sentences begin with a capital and say what is wrong; ours begin with the program. */
function scannerMessage(error: unknown): string {
  if (error instanceof ArgumentScannerError) {
    const message = formatMessageForArgumentScannerError(error, {
      AliasNotFoundError: ({ input }) => `there is no option -${input}`,
      FlagNotFoundError: ({ input, corrections, aliasName }) =>
        `there is no option ${aliasName ? `-${aliasName}` : `--${input}`}` +
        (corrections.length > 0
          ? `: did you mean --${corrections.map(kebab).join(" or --")}?`
          : ""),
      UnsatisfiedPositionalError: ({ placeholder }) => `${placeholder} is missing`,
      UnexpectedPositionalError: ({ input }) =>
        /^--[\w-]+=$/.test(input)
          ? `${input.slice(0, -1)} needs a value`
          : `cannot use ${JSON.stringify(input)}: one argument too many`,
      ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, exception }) =>
        `cannot use the value of --${name}: ${
          exception instanceof Error ? exception.message : exception
        }`,
      EnumValidationError: ({ externalFlagName: name, input, values }) =>
        `cannot use the value of --${name}: ${JSON.stringify(input)} is none of ${
          values.join(", ")
        }`,
      UnsatisfiedFlagError: ({ externalFlagName: name }) => `--${name} needs a value`,
      UnexpectedFlagError: ({ externalFlagName: name }) => `--${name} is given more than once`,
    });
    return /^[A-Z][a-z]/.test(message)
      ? message.charAt(0).toLowerCase() + message.slice(1)
      : message;
  }
  return error instanceof Error ? error.message : String(error);
}

function unknownCommand(input: string, corrections: readonly string[]): PkiError {
  return usageError(
    `there is no command ${printableJson(input)}` +
      (corrections.length > 0 ? `: did you mean ${corrections.join(" or ")}?` : ""),
  );
}

function makeText(style: Style): ApplicationText {
  const format = (error: unknown) => formatError(error, style);
  return {
    ...text_en,
    headers: { ...text_en.headers, flags: "OPTIONS" },
    briefs: { ...text_en.briefs, help: "Show this help" },
    noCommandRegisteredForInput: ({ input, corrections }) =>
      format(unknownCommand(input, corrections.map((name) => name.replaceAll("`", "")))),
    exceptionWhileParsingArguments: (error) => {
      if (error instanceof FlagNotFoundError) throw error; // whether another command has it is to be seen
      return format(usageError(scannerMessage(error)));
    },
    exceptionWhileLoadingCommandFunction: format,
    exceptionWhileLoadingCommandContext: format,
    exceptionWhileRunningCommand: format,
    commandErrorResult: format,
  };
}

/** How far a name may be from what was typed: a letter too many (3), wrong (2) or missing (1). */
const DISTANCE = {
  threshold: 3,
  weights: { insertion: 1, deletion: 3, substitution: 2, transposition: 0 },
} as const;

/** The application of one command, or of several under one word. */
export function makeApplication(target: Target, path: readonly string[], style: Style) {
  const configuration = {
    name: ["pki", ...path].join(" "),
    scanner: { caseStyle: "allow-kebab-for-camel", distanceOptions: DISTANCE },
    documentation: {
      caseStyle: "convert-camel-to-kebab",
      disableAnsiColor: true, // what is painted, and when, is decided by us
      onlyRequiredInUsageLine: true,
    },
    localization: { text: makeText(style) },
    determineExitCode: exitCodeOf,
  } as const;
  // Two calls, since the library tells a command from a route map by its type.
  return isRouteMap(target)
    ? buildApplication<PkiContext>(target, configuration)
    : buildApplication<PkiContext>(target, configuration);
}

/** What to say to a word behind those that stand for several commands. */
async function unknownBelow(word: string, target: RouteMap<PkiContext>): Promise<PkiError> {
  if (word.startsWith("-")) return usageError(`there is no option ${word}`);
  const names = target.getAllEntries().map(({ name }) => name["convert-camel-to-kebab"]);
  return unknownCommand(word, await closestNames(word, names, DISTANCE));
}

async function unknownWord(word: string): Promise<PkiError> {
  // Not shown again: it is as good as a password until it is used.
  if (/^pki1:/i.test(word)) {
    return usageError("an invitation is no command", "join with it: pki join pki1:…");
  }
  const hint = hintOfForeignWord(word);
  if (hint !== undefined) return usageError(`there is no command ${printableJson(word)}`, hint);
  return unknownCommand(word, await closestNames(word, Object.keys(CATALOGUE), DISTANCE));
}

/** The library looks options up in plain objects, where what these inherit would be found too. */
function checkInherited(words: readonly string[]): void {
  for (const word of words) {
    const [, option = ""] = /^--((?:no-?)?[\w-]+)/.exec(word) ?? [];
    const name = option.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const names = [name, name.replace(/^no(.)/, (_, letter: string) => letter.toLowerCase())];
    if (names.some((each) => each in {})) throw usageError(`there is no option --${option}`);
  }
}

/** Exit codes of the library are negative where it was the one to fail. */
function exitCodeFrom(code: number | string | null): number {
  switch (code) {
    case ExitCode.UnknownCommand:
    case ExitCode.InvalidArgument:
      return USAGE;
    default:
      return typeof code === "number" && code >= 0 ? code : INTERNAL;
  }
}

async function runCommandLine(words: readonly string[], context: PkiContext): Promise<number> {
  const { process: { stdout, stderr, env }, color: mode } = context;
  const showHelp = (help: string) => {
    const layout = { paint: choosePaint(stdout, { mode, env }), columns: columnsOf(stdout, env) };
    stdout.write(layOutHelp(help, layout));
  };
  if (words[0] === COMPLETE) {
    await (await import("./completion.ts")).answerShell(words.slice(1), context);
    return 0;
  }
  const { options, rest: [first, ...rest] } = splitLeading(words);
  if (VERSION_WORDS.includes(first)) {
    const isJson = [...options, ...rest].includes("--json");
    stdout.write(`${isJson ? printableJson(describeVersion()) : versionLine()}\n`);
    return 0;
  }
  checkInherited(words);
  let asked = words;
  if (HELP_WORDS.includes(first)) {
    const path = rest.filter((word) => !word.startsWith("-"));
    if (path.length === 0) {
      showHelp(overallHelp());
      return 0;
    }
    asked = [...path, "--help"];
  }
  const line = await parseCommandLine(asked, loadCommand);
  if (typeof line === "string") throw await unknownWord(line);
  const { path, target } = line;
  let inputs = line.rest;
  if (isRouteMap(target)) {
    const [word] = splitLeading(inputs).rest;
    if (word !== undefined && !HELP_WORDS.includes(word)) throw await unknownBelow(word, target);
    inputs = ["--help"];
  }
  const style = wantsJson(words) ? "json" : choosePaint(stderr, { mode, env });
  const application = makeApplication(target, path, style);
  // A command's help is written at once, and by the library: it is laid out on its way.
  const isHelp = inputs.some((word) => HELP_WORDS.slice(1).includes(word));
  const ownProcess = {
    ...context.process,
    ...(isHelp ? { stdout: { write: showHelp } as unknown as typeof stdout } : {}),
    exitCode: null as number | string | null,
  };
  try {
    await run(application, [...inputs], { ...context, process: ownProcess });
  } catch (error) {
    if (!(error instanceof FlagNotFoundError)) throw error;
    const elsewhere = await findOptionElsewhere(error.input);
    throw usageError(
      elsewhere === undefined
        ? scannerMessage(error)
        : `there is no option --${error.input} for ${
          ["pki", ...path.filter((word) => word !== SESSION)].join(" ")
        }: ${elsewhere}`,
    );
  }
  return exitCodeFrom(ownProcess.exitCode);
}

/**
 * Runs a command line (without the program's own name); returns its exit code. Errors are said on
 * stderr and never thrown.
 */
export async function runProgram(words: readonly string[], context: PkiContext): Promise<number> {
  const color = findColorMode(words) ?? context.color;
  try {
    return await runCommandLine(words, { ...context, color });
  } catch (error) {
    const { stderr, env } = context.process;
    const style = wantsJson(words) ? "json" : choosePaint(stderr, { mode: color, env });
    stderr.write(`${formatError(error, style)}\n`);
    return exitCodeOf(error);
  }
}
