/**
 * `pki completion`: the script for a shell, and what the script asks for. Candidates come from the
 * command's declaration and from the home folder; no server is asked, and nobody is.
 */

import { buildCommand } from "@stricli/core";
import { join } from "node:path";
import { PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { splitPartialLine } from "../lib/base/words.ts";
import { Home } from "../lib/client/home.ts";
import { type Candidates, findCandidates } from "./candidates.ts";
import { CATALOGUE, loadCommand } from "./catalogue.ts";
import { isRouteMap, parseCommandLine, splitLeading } from "./command_line.ts";
import { completionScript, type Shell, SHELLS } from "./completion_scripts.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, kebab, Surroundings } from "./globals.ts";

/** Longer lines than a person types, and more candidates than one reads, are not worked on. */
const LINE_CHARACTERS_MAX = 10_000;
const CANDIDATES_MAX = 500;
/** What every line takes, and no declaration of a command has. */
const HELP = "--help";
const VERSION = "--version";

/** A line as far as it was typed. */
interface Typed {
  readonly before: readonly string[];
  /** The word at the end, "" where none was begun. */
  readonly word: string;
  /** How much of a candidate's beginning the shell has already, for it takes a part of a word for one. */
  readonly skipped: number;
  /** A candidate as the shell wants it. */
  readonly quote: (candidate: string) => string;
}

/** Bash gives the line as it stands, and takes what is behind "=" or ":" for a word of its own. */
function readBash([breaks = "", line = ""]: readonly string[]): Typed | undefined {
  const partial = splitPartialLine(line);
  if (partial === undefined) return undefined;
  const { before: [_program, ...before], typed } = partial;
  const last = Math.max(
    ...["=", ":"].filter((each) => breaks.includes(each)).map((each) => typed.lastIndexOf(each)),
    -1,
  );
  return {
    before,
    word: typed,
    skipped: last + 1,
    quote: (candidate) => candidate.replace(/[^\w@%+=:,./-]/g, "\\$&"), // as it is put in to the letter
  };
}

/** The others give words without their quotes. */
function readWords(words: readonly string[]): Typed {
  const quote = (candidate: string) => candidate;
  return { before: words.slice(0, -1), word: words.at(-1) ?? "", skipped: 0, quote };
}

/** The value of a global option in a line that is not complete. */
function findOption(words: readonly string[], option: string): string | undefined {
  const at = words.lastIndexOf(option);
  return at === -1
    ? words.findLast((word) => word.startsWith(`${option}=`))?.slice(option.length + 1)
    : words[at + 1];
}

/** A path of a line as the shell would have it: only the home folder is known here. */
function expandTilde(path: string, { homeFolder }: PkiContext): string {
  return path === "~" || path.startsWith("~/") ? join(homeFolder, path.slice(1)) : path;
}

/** What is said of candidates: the briefs of commands and options, by their names. */
async function listBriefs(before: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const briefs = new Map([[HELP, "Show help"], [VERSION, "Show the version"]]);
  if (splitLeading(before).rest.length === 0) {
    for (const [name, { brief }] of Object.entries(CATALOGUE)) briefs.set(name, brief);
    for (const [name, { brief }] of Object.entries(GLOBAL_FLAGS)) {
      briefs.set(`--${kebab(name)}`, brief);
    }
    return briefs;
  }
  const line = await parseCommandLine(before, loadCommand);
  if (typeof line === "string") return briefs;
  if (isRouteMap(line.target)) {
    for (const { name, target: { brief } } of line.target.getAllEntries()) {
      briefs.set(name["convert-camel-to-kebab"], brief);
    }
  } else {
    for (const [name, { brief }] of Object.entries(line.target.parameters.flags ?? {})) {
      briefs.set(`--${kebab(name)}`, brief);
    }
  }
  return briefs;
}

async function propose({ before, word }: Typed, context: PkiContext): Promise<Candidates> {
  const { env } = context.process;
  const folder = expandTilde(findOption(before, "--home") ?? "", context) ||
    (env["PKI_HOME"] ?? "") || join(context.homeFolder, ".pki");
  const found = await findCandidates([...before, word], { home: new Home(folder), context });
  if (!word.startsWith("-")) return found;
  const more = splitLeading(before).rest.length === 0 ? [HELP, VERSION] : [HELP];
  return { ...found, words: [...found.words, ...more.filter((each) => each.startsWith(word))] };
}

/** Answers a completion script; see `completion_scripts.ts`. Whatever fails, there are no candidates. */
export async function answerShell(words: readonly string[], context: PkiContext): Promise<void> {
  try {
    context.process.stdout.write(await findAnswer(words, context));
  } catch (error) {
    // Who is typing is not to be told of a home that cannot be read; the command itself will say it.
    if (!(error instanceof PkiError)) throw error;
  }
}

async function findAnswer(words: readonly string[], context: PkiContext): Promise<string> {
  const [shell, ...args] = words;
  if (args.some((arg) => arg.length > LINE_CHARACTERS_MAX)) return "";
  const typed = shell === "bash" ? readBash(args) : readWords(args);
  if (typed === undefined) return "";
  const { before: [first, ...others] } = typed;
  const isHelp = first === "help";
  const asked = isHelp ? { ...typed, before: others } : typed;
  const { words: found, files } = await propose(asked, context);
  const candidates = found.filter((word) => printable(word) === word); // a line each, for a terminal
  if (candidates.length === 0) {
    return files === undefined ? "" : files === "any" ? "files\n" : "folders\n";
  }
  const briefs = shell === "bash" ? undefined : await listBriefs(asked.before);
  const lines = [...new Set(candidates)].slice(0, CANDIDATES_MAX).map((candidate) => {
    const text = typed.quote(candidate.slice(typed.skipped));
    return briefs === undefined ? text : `${text}\t${briefs.get(candidate) ?? ""}`;
  });
  return `words\n${lines.join("\n")}\n`;
}

function parseShell(text: string): Shell {
  const shell = SHELLS.find((name) => name === text);
  if (shell !== undefined) return shell;
  throw new PkiError("usage", `there is no completion for ${JSON.stringify(text)}`, {
    hint: `there is one for ${SHELLS.join(", ")}`,
  });
}

export const completionCommand = buildCommand<GlobalFlags, [string], PkiContext>({
  func: function (flags, name) {
    const script = completionScript(parseShell(name));
    new Surroundings(this, flags).result({ shell: name, script }, script);
  },
  parameters: {
    flags: { ...GLOBAL_FLAGS },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "Which shell: bash, zsh or fish",
        parse: String,
        placeholder: "SHELL",
        proposeCompletions: () => SHELLS,
      }],
    },
  },
  docs: {
    customUsage: ["SHELL"],
    brief: "Print a script that completes commands, options and names",
    fullDescription:
      "Completes what is being typed with Tab: commands, options and their values, files,\n" +
      "and the names that your home folder knows. No server is asked. To have it always:\n\n" +
      "  bash  (4 or newer) in ~/.bashrc:  source <(pki completion bash)\n" +
      "  zsh   in ~/.zshrc, behind compinit:  source <(pki completion zsh)\n" +
      "  fish  pki completion fish > ~/.config/fish/completions/pki.fish\n\n" +
      "Examples:\n" +
      "  pki completion bash > ~/.local/share/bash-completion/completions/pki\n" +
      "  pki completion zsh > ~/.zfunc/_pki\n" +
      "  pki completion fish | source",
  },
});
