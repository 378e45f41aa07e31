/**
 * What a line means that was typed in the interactive session: one of the program's commands, in the
 * words of the program or of the system that it replaces, or one of the session's own. No I/O here.
 */

import { PkiError } from "../lib/base/errors.ts";
import { splitWords } from "../lib/base/words.ts";

/** The operations of the system before, and what they are called now. */
export const OLD_NAMES: Readonly<Record<string, string>> = { certup: "upload", certreq: "request" };

/** What the session does itself. */
export const OWN_WORDS = {
  help: { usage: "help [OPERATION]", brief: "This list, or all about one operation; ? too" },
  who: { usage: "who", brief: "Who you are, at which server, until when" },
  as: { usage: "as NAME", brief: "Be somebody else who has a key here" },
  quit: { usage: "quit", brief: "Leave; exit and Ctrl-D too" },
} as const;

/** How the line of an invitation begins. */
export const INVITATION = /^pki1:/i;

/** What makes no sense inside of the session, and what does it instead. */
const REFUSED: Readonly<Record<string, readonly [why: string, hint: string]>> = {
  serve: ["a server runs for itself", "run it in a terminal of its own: pki serve"],
  session: ["this is the session", "to be somebody else: as NAME"],
  completion: ["it is for a shell", "here Tab completes by itself"],
  agent: ["it is for pki unlock", "to keep a key unlocked for other terminals: unlock"],
};

/** What a command cannot do without, and how it is asked for. */
const QUESTIONS: Readonly<Record<string, string>> = {
  request: "Whose certificate?",
  connect: "Whom? (a name, or host:port)",
};

export type Meaning =
  | { readonly kind: "nothing" }
  | { readonly kind: "leave" }
  | { readonly kind: "who" }
  | { readonly kind: "as"; readonly id: string }
  /** About a command, or about everything. */
  | { readonly kind: "help"; readonly words: readonly string[] }
  | {
    readonly kind: "run";
    readonly words: readonly string[];
    /** Asked first; the answer is one word more. */
    readonly question?: string;
  };

/** Whether a command may be run inside of the session. */
export function isForSession(name: string): boolean {
  return !Object.hasOwn(REFUSED, name);
}

/** The words of a command, its name as the program has it. */
export function translateWords(words: readonly string[]): readonly string[] {
  // Who learnt it in a shell types the program's name too.
  const [first = "", ...rest] = /^(?:\.\/)?pki$/i.test(words[0] ?? "") ? words.slice(1) : words;
  const name = first.toLowerCase();
  const now = Object.hasOwn(OLD_NAMES, name) ? OLD_NAMES[name] : undefined;
  return first === "" ? [] : [now ?? name, ...rest];
}

function one(words: readonly string[], what: string): string {
  const [only, ...more] = words;
  if (only !== undefined && more.length === 0) return only;
  throw new PkiError("usage", `cannot read the line: ${what}`);
}

/**
 * @throws {PkiError} `usage` for what cannot be read, or cannot be done inside of the session
 */
export function interpretLine(line: string): Meaning {
  const typed = splitWords(line);
  const [name = "", ...rest] = translateWords(typed);
  switch (name) {
    case "":
      return { kind: "nothing" };
    case "quit":
    case "exit":
      return { kind: "leave" };
    case "who":
    case "whoami":
      return { kind: "who" };
    case "as":
      return { kind: "as", id: one(rest, "one name follows as") };
    case "help":
    case "?":
    case "-h":
    case "--help":
      return { kind: "help", words: translateWords(rest) };
  }
  // An invitation that is pasted says what it is for.
  if (INVITATION.test(name)) return { kind: "run", words: ["join", ...typed] };
  if (rest.length === 1 && rest[0] === "?") return { kind: "help", words: [name] };
  return interpretCommand(name, rest);
}

function interpretCommand(name: string, rest: readonly string[]): Meaning {
  const isAboutIt = rest.some((word) => word === "--help" || word === "-h");
  if (!isForSession(name) && !isAboutIt) {
    const [why, hint] = REFUSED[name] ?? ["", ""];
    throw new PkiError("usage", `cannot run ${name} inside of the session: ${why}`, { hint });
  }
  if (rest.some((word) => /^(?:--[\w-]+=)?-$/.test(word))) {
    throw new PkiError("usage", "cannot read standard input: in the session it is the terminal", {
      hint: "name a file",
    });
  }
  if (name === "listen") return { kind: "run", words: [name, ...listenWords(rest)] };
  const question = rest.length === 0 && Object.hasOwn(QUESTIONS, name)
    ? QUESTIONS[name]
    : undefined;
  return { kind: "run", words: [name, ...rest], ...(question === undefined ? {} : { question }) };
}

/** `LISTEN 7450` as ever; and after one conversation it is the prompt's turn again, to change roles. */
function listenWords(rest: readonly string[]): readonly string[] {
  const words = rest.length === 1 && /^\d+$/.test(rest[0] ?? "") ? ["--port", ...rest] : rest;
  return words.includes("--once") ? words : [...words, "--once"];
}

/**
 * Whether a line may be kept in a file: never what may be a secret. A password that was typed at the
 * wrong moment does not begin with an operation, and an invitation has its mark. A blank in front
 * keeps a line out, as in shells.
 * @param commands names of what can be run
 */
export function isForHistory(line: string, commands: readonly string[]): boolean {
  if (/^\s/.test(line) || /pki1:/i.test(line)) return false;
  try {
    const [name = ""] = translateWords(splitWords(line));
    return commands.includes(name) || Object.hasOwn(OWN_WORDS, name);
  } catch {
    return false; // not a line that could be run
  }
}
