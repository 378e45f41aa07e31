/**
 * What may follow on a command line that is being typed: commands, options, values. What a value is,
 * the command's declaration says by its placeholder: NAME is somebody, FILE is a file.
 */

import { type Command, proposeCompletions } from "@stricli/core";
import type { Home } from "../lib/client/home.ts";
import { CATALOGUE, loadCommand } from "./catalogue.ts";
import { isRouteMap, parseCommandLine, splitLeading } from "./command_line.ts";
import type { PkiContext } from "./context.ts";
import { kebab } from "./globals.ts";
import { PLAIN } from "./paint.ts";
import { makeApplication } from "./program.ts";
import { TARGET_PLACEHOLDER } from "./target.ts";

export interface Candidates {
  /** What may stand in place of the last word. */
  readonly words: readonly string[];
  /** Whether the last word may be the name of a file or a folder too; whoever asks knows how to list them. */
  readonly files?: "any" | "folders";
}

/** Where names and addresses come from. */
export interface CandidateScope {
  readonly home: Home;
  readonly context: PkiContext;
}

const NONE: Candidates = { words: [] };

type Parameters = Command<PkiContext>["parameters"];

/**
 * @param words behind the program's name, the last one as far as it was typed
 */
export async function findCandidates(
  words: readonly string[],
  scope: CandidateScope,
): Promise<Candidates> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  if (splitLeading(words).rest.length === 1 && !typed.startsWith("-")) {
    return { words: Object.keys(CATALOGUE).filter((name) => name.startsWith(typed)) };
  }
  const line = await parseCommandLine(before, loadCommand);
  if (typeof line === "string") return NONE; // there is no such command
  const { path, target, rest } = line;
  const application = makeApplication(target, path, PLAIN);
  const proposeOwn = async (typed: string, ...more: readonly string[]) =>
    (await proposeCompletions(application, [...rest, ...more, typed], scope.context))
      .map(({ completion }) => completion);
  if (isRouteMap(target)) {
    const below = await proposeCompletions(application, [typed], scope.context);
    return { words: below.map(({ completion }) => completion) };
  }

  const value = valueThatIsTyped(target.parameters, rest, typed);
  if (value) {
    const found = candidatesOf(value.placeholder, value.typed, {
      home: scope.home,
      names: namesMeant(path, value.option),
    });
    return { ...found, words: found.words.map((word) => `${value.before}${word}`) };
  }
  const [, option, part = ""] = /^(--[\w-]+)=(.*)$/s.exec(typed) ?? [];
  if (option !== undefined) { // the library proposes the values of an option only behind it
    return { words: (await proposeOwn(part, option)).map((value) => `${option}=${value}`) };
  }
  const own = await proposeOwn(typed);
  if (typed.startsWith("-")) return { words: own };
  const below = await namesBelow(before, typed);
  if (below.length > 0) return { words: below };
  const found = candidatesOf(placeholderAt(target.parameters, { path, rest }), typed, {
    home: scope.home,
    names: namesMeant(path),
  });
  // Where something else may stand, options are proposed to those who began to type one.
  const values = own.filter((word) => !word.startsWith("-"));
  const others = isEmpty(found) && values.length === 0 ? own : values;
  return { ...found, words: [...found.words, ...others] };
}

/** Commands under a word that is a command by itself too (`pki id`). */
async function namesBelow(before: readonly string[], typed: string): Promise<readonly string[]> {
  const line = await parseCommandLine([...before, "--help"], loadCommand);
  if (typeof line === "string" || !isRouteMap(line.target)) return [];
  return line.target.getAllEntries()
    .filter(({ hidden }) => !hidden)
    .map(({ name }) => name["convert-camel-to-kebab"])
    .filter((name) => name.startsWith(typed));
}

function isEmpty({ words, files }: Candidates): boolean {
  return words.length === 0 && files === undefined;
}

/** The placeholder of an option that takes a free value; `undefined` for every other word. */
function placeholderOf({ flags = {} }: Parameters, word: string): string | undefined {
  const found = Object.entries(flags).find(([name]) => word === `--${kebab(name)}`)?.[1];
  return found?.kind === "parsed" ? found.placeholder ?? "" : undefined;
}

/** The value of an option that is being typed, behind the option or behind its "=". */
function valueThatIsTyped(parameters: Parameters, rest: readonly string[], typed: string) {
  const last = rest.at(-1) ?? "";
  const behind = placeholderOf(parameters, last);
  if (behind !== undefined) return { option: last, placeholder: behind, typed, before: "" };
  const at = typed.indexOf("=");
  const option = at === -1 ? "" : typed.slice(0, at);
  const within = placeholderOf(parameters, option);
  if (within === undefined) return undefined;
  return { option, placeholder: within, typed: typed.slice(at + 1), before: `${option}=` };
}

/** Commands with a list of words, all declared alike, of which the first is whom to call. */
const CALLING: readonly (string | undefined)[] = ["send"];

/** What may stand next beside the options; "" where nothing may. */
function placeholderAt(
  parameters: Parameters,
  { path: [command], rest }: { readonly path: readonly string[]; readonly rest: readonly string[] },
): string {
  const takesValue = (word: string) => {
    if (placeholderOf(parameters, word) !== undefined) return true;
    const { flags = {} } = parameters;
    return Object.entries(flags)
      .some(([name, { kind }]) => word === `--${kebab(name)}` && kind === "enum");
  };
  const count =
    rest.filter((word, at) => !word.startsWith("-") && !(at > 0 && takesValue(rest[at - 1] ?? "")))
      .length;
  if (count === 0 && CALLING.includes(command)) return TARGET_PLACEHOLDER;
  const { positional } = parameters;
  const found = positional?.kind === "array" ? positional.parameter : positional?.parameters[count];
  return found?.placeholder ?? "";
}

/** Whose name a NAME is: one's own, anybody's, a contact's, or no person's. */
type Meant = "own" | "anybody" | "contact" | "nobody";

/** Commands whose `--id` is somebody else's. */
const FOR_OTHERS: readonly (string | undefined)[] = ["invite", "users"];

function namesMeant([command]: readonly string[], option?: string): Meant {
  if (command === "issuer" || option === "--dns") return "nobody"; // of CAs and hosts
  if (command === "contacts" && option === undefined) return "contact";
  const isOwn = option === "--id" ? !FOR_OTHERS.includes(command) : command === "id";
  return isOwn ? "own" : "anybody";
}

function candidatesOf(
  placeholder: string,
  typed: string,
  { home, names }: { readonly home: Home; readonly names: Meant },
): Candidates {
  switch (placeholder) {
    case "NAME":
      return { words: namesKnown(home, names).filter((name) => name.startsWith(typed)) };
    case "NAME,…": {
      const done = typed.slice(0, typed.lastIndexOf(",") + 1);
      const known = namesKnown(home, names).map((name) => done + name);
      return { words: known.filter((name) => name.startsWith(typed)) };
    }
    case "HOST:PORT":
      return { words: addressesKnown(home).filter((address) => address.startsWith(typed)) };
    case TARGET_PLACEHOLDER: {
      const at = typed.indexOf("@");
      const before = typed.slice(0, at + 1); // whoever is to answer there
      const others = at === -1 ? namesKnown(home, names) : [];
      const words = [...others, ...addressesKnown(home).map((address) => before + address)];
      return { words: words.filter((word) => word.startsWith(typed)) };
    }
    case "DIR":
      return { words: [], files: "folders" };
    case "FILE":
    case "BACKUP":
      return { words: [], files: "any" };
    default:
      return NONE;
  }
}

/** Who has a key here, who was talked to, and who answered somewhere. */
function namesKnown(home: Home, meant: Meant): readonly string[] {
  if (meant === "nobody") return [];
  if (meant === "own") return home.listIds();
  const contacts = home.contacts.listIds();
  if (meant === "contact") return contacts;
  const { peers = {} } = home.loadConfig();
  return [...new Set([...home.listIds(), ...contacts, ...Object.values(peers)])].sort();
}

/** Where somebody answered. */
function addressesKnown(home: Home): readonly string[] {
  const { server, peers = {} } = home.loadConfig();
  return [...new Set([...Object.keys(peers), ...(server === undefined ? [] : [server])])].sort();
}
