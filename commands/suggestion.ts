/** What somebody may have meant who typed a command or an option that does not exist. */

import { buildApplication, buildCommand, buildRouteMap, run, text_en } from "@stricli/core";
import { CATALOGUE, loadCommand, type Target } from "./catalogue.ts";
import { GLOBAL_FLAGS, kebab } from "./globals.ts";

/** Words that other tools have for it, and what does it here. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  register: "to register and have a key certified: pki csr --register --id NAME",
  signup: "to register and have a key certified: pki csr --register --id NAME",
  enroll: "to register and have a key certified: pki csr --register --id NAME",
  login: "commands log in by themselves; to stay logged in for several: pki --id NAME",
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
  show: "to see what a certificate says: pki inspect FILE",
  cat: "to see what a certificate says: pki inspect FILE",
  check: "to see whether a certificate is to be trusted: pki verify FILE",
  list: "to list what was issued, as administrator: pki ls",
  start: "to run the server: pki serve",
  server: "to run the server: pki serve",
  ca: "to run the certificate authority: pki serve",
  call: "to call a peer: pki connect HOST:PORT",
  chat: "to talk: pki listen on one side, pki connect HOST:PORT on the other",
  talk: "to talk: pki listen on one side, pki connect HOST:PORT on the other",
  renewal: "to renew your certificate: pki renew",
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
