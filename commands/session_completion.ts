/** What Tab proposes in the interactive session: operations, options and their values, names, files. */

import { quoteWord, splitPartialLine } from "../lib/base/words.ts";
import type { Completion } from "../lib/client/line_editor.ts";
import { CATALOGUE } from "./catalogue.ts";
import { type CandidateScope, findCandidates } from "./candidates.ts";
import { proposeFiles } from "./file_candidates.ts";
import { isForSession, OLD_NAMES, OWN_WORDS, translateWords } from "./session_line.ts";

/** What may stand at the end of a line in place of what has been typed of it. */
export async function completeLine(line: string, scope: CandidateScope): Promise<Completion> {
  const partial = splitPartialLine(line);
  if (!partial) return { candidates: [], typed: "" };
  const { before, typed, typedRaw } = partial;
  const words = await propose(translateWords(before), typed, scope);
  // A name that is complete is followed by the next word; a folder is gone into.
  const candidates = words.map((word) => quoteWord(word) + (/[/=,]$/.test(word) ? "" : " "));
  return { candidates, typed: typedRaw };
}

async function propose(
  before: readonly string[],
  typed: string,
  scope: CandidateScope,
): Promise<readonly string[]> {
  const [name] = before;
  if (name === undefined || ((name === "help" || name === "?") && before.length === 1)) {
    return proposeOperations(typed, name === undefined);
  }
  if (name === "as") return scope.home.listIds().filter((id) => id.startsWith(typed));
  if (Object.hasOwn(OWN_WORDS, name)) return [];
  const { words, files } = await findCandidates([...before, typed], scope);
  return files === undefined ? words : [...words, ...proposeFiles(typed, files)];
}

/** Operations by the names that they have and had, in the case in which somebody types. */
function proposeOperations(typed: string, isFirst: boolean): readonly string[] {
  const isUpper = /^[A-Z]/.test(typed);
  const names = [
    ...Object.keys(CATALOGUE).filter(isForSession),
    // What was meant is clear without them until somebody begins to type one.
    ...(typed === "" ? [] : Object.keys(OLD_NAMES)),
    ...(isFirst ? Object.keys(OWN_WORDS) : []),
  ];
  return names.filter((name) => name.startsWith(typed.toLowerCase()))
    .map((name) => isUpper ? name.toUpperCase() : name);
}
