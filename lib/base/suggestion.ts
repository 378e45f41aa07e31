/** What somebody may have meant who mistyped a name. */

import { distance } from "fastest-levenshtein";

/** One letter in four may be wrong: with more it is another word. */
const LETTERS_PER_MISTAKE = 4;

/** Names longer than this are not compared: the work grows with the square of the length. */
const CHARACTERS_MAX = 64;

/** The known name that is nearest to a mistyped one, capitals aside; `undefined` if none is near. */
export function suggestName(typed: string, known: readonly string[]): string | undefined {
  if (typed.length > CHARACTERS_MAX) return undefined;
  const plain = (name: string) => name.toLowerCase().replaceAll(/[-_]/g, "");
  const letters = plain(typed);
  const rows = known.map((name) => ({ name, mistakes: distance(letters, plain(name)) }));
  const [nearest] = rows.sort((a, b) => a.mistakes - b.mistakes);
  if (!nearest) return undefined;
  const length = Math.max(letters.length, nearest.name.length);
  return nearest.mistakes * LETTERS_PER_MISTAKE <= length ? nearest.name : undefined;
}
