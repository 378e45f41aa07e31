/** What somebody may have meant who typed a command or an option that does not exist. */

import { buildApplication, buildCommand, buildRouteMap, run, text_en } from "@stricli/core";
import { CATALOGUE, loadCommand, type Target } from "./catalogue.ts";
import { GLOBAL_FLAGS, kebab } from "./globals.ts";

/** Words that other tools have for it, and what does it here. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  register: "with an invitation: pki join pki1:…; where everybody may register: pki csr --id NAME",
  signup: "with an invitation: pki join pki1:…; where everybody may register: pki csr --id NAME",
  enroll: "with an invitation: pki join pki1:…; where everybody may register: pki csr --id NAME",
  login: "commands log in by themselves; to be asked for the password once: pki unlock",
  signin: "commands log in by themselves; to be asked for the password once: pki unlock",
  logout: "to forget what was unlocked: pki lock",
  keygen: "to make a key and have it certified: pki csr --id NAME",
  new: "to make a key and have it certified: pki csr --id NAME",
  create: "to make a key and have it certified: pki csr --id NAME; for a host: pki issue",
  sign: "to have a request certified: pki csr --csr FILE; for a host: pki issue",
  publish: "to publish your certificate: pki upload",
  certup: "to publish your certificate: pki upload",
  get: "to get somebody's certificate: pki request NAME",
  find: "to get somebody's certificate: pki request NAME",
  lookup: "to get somebody's certificate: pki request NAME",
  certreq: "to get somebody's certificate: pki request NAME",
  show: "to see what a certificate says: pki inspect FILE; your own: pki id show",
  whoami: "to see who you are: pki id show",
  cat: "to see what a certificate says: pki inspect FILE",
  check:
    "to see whether a certificate is to be trusted: pki verify FILE; whether all is well: pki doctor",
  status: "to see whether all is well: pki doctor; your certificate: pki id show",
  list: "to list what was issued, as administrator: pki ls; your identities: pki id ls",
  password: "to change your password: pki passwd",
  export: "to take an identity elsewhere: pki id export NAME",
  import: "to bring an identity here: pki id import FILE",
  use: "to act as another identity: pki id use NAME",
  adduser: "to let somebody register: pki invite",
  user: "to look after accounts: pki users",
  disable: "to shut an account out: pki users disable NAME",
  delete: "to delete an account: pki users delete NAME; an identity here: pki id rm NAME",
  start: "to run the server: pki serve",
  server: "to run the server: pki serve",
  ca: "to run the certificate authority: pki serve",
  call: "to call a peer: pki connect NAME, or pki connect HOST:PORT",
  chat: "to talk: pki listen --announce on one side, pki connect NAME on the other",
  talk: "to talk: pki listen --announce on one side, pki connect NAME on the other",
};

/** Every hint, for the test that what it names exists. */
export const FOREIGN_WORD_HINTS: readonly string[] = [...new Set(Object.values(FOREIGN_WORDS))];

export function hintOfForeignWord(word: string): string | undefined {
  const lower = word.toLowerCase();
  return Object.hasOwn(FOREIGN_WORDS, lower) ? FOREIGN_WORDS[lower] : undefined;
}

/** Shorter, the beginning of a word says nothing. */
const PREFIX_CHARACTERS_MIN = 3;

/** How a name may differ from what was typed, as the command line's library measures it. */
interface Distance {
  readonly threshold: number;
  readonly weights: {
    readonly insertion: number;
    readonly deletion: number;
    readonly substitution: number;
    readonly transposition: number;
  };
}

/** The names that are closest to a mistyped one, best first; none where nothing is close. */
export async function closestNames(
  word: string,
  names: readonly string[],
  distance: Distance,
): Promise<readonly string[]> {
  const typed = word.toLowerCase();
  const begun = names.filter((name) => name.startsWith(typed));
  if (begun.length > 0 && typed.length >= PREFIX_CHARACTERS_MIN) return begun;
  // The library finds them, and only in the course of a run: one in which nothing can happen.
  let found: readonly string[] = [];
  const nothing = buildCommand({ func: () => {}, parameters: {}, docs: { brief: "" } });
  const application = buildApplication(
    buildRouteMap({
      routes: Object.fromEntries(names.map((name) => [name, nothing])),
      docs: { brief: "" },
    }),
    {
      name: "pki",
      scanner: { distanceOptions: distance },
      documentation: { disableAnsiColor: true },
      localization: {
        text: {
          ...text_en,
          noCommandRegisteredForInput: ({ corrections }) => {
            found = corrections.map((name) => name.replaceAll("`", ""));
            return "";
          },
        },
      },
    },
  );
  const nowhere = { write: () => {} };
  await run(application, [typed], { process: { stdout: nowhere, stderr: nowhere } });
  return found;
}

/** The options of a command, and of all below it, as typed without their hyphens. */
function* listOptions(target: Target, path: string): Generator<readonly [string, string]> {
  if ("getAllEntries" in target) {
    for (const { name, target: below } of target.getAllEntries()) {
      yield* listOptions(below, `${path} ${name["convert-camel-to-kebab"]}`);
    }
    return;
  }
  for (const name of Object.keys(target.parameters.flags ?? {})) {
    if (!Object.hasOwn(GLOBAL_FLAGS, name)) yield [kebab(name), path];
  }
}

/** More commands than this would not tell anybody what was meant. */
const ELSEWHERE_MAX = 3;

/** Which commands have an option, as half a sentence; `undefined` where none has. */
export async function findOptionElsewhere(option: string): Promise<string | undefined> {
  const paths: string[] = [];
  for (const name of Object.keys(CATALOGUE)) {
    const target = await loadCommand(name);
    if (target === undefined) continue;
    for (const [found, path] of listOptions(target, `pki ${name}`)) {
      if (found === option) paths.push(path);
    }
  }
  if (paths.length === 0) return undefined;
  const [only, ...others] = paths;
  if (others.length === 0) return `${only} has one`;
  const shown = paths.slice(0, ELSEWHERE_MAX).join(", ");
  return `${shown}${paths.length > ELSEWHERE_MAX ? ` and others` : ""} have one`;
}
