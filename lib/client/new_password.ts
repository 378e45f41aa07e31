/**
 * What a password must be where one is chosen, after NIST SP 800-63B-4, section 3.1.1.2: long, or hard
 * to guess, and not what everybody tries first. No rules about kinds of characters, no expiry.
 *
 * Only the client can ask, since the server never sees a password. The dictionaries take 0.1 s and
 * 60 MB, so they are loaded here and nowhere else, when somebody chooses a password.
 */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { countCharacters } from "./password.ts";

/** Guesses, as a power of ten, that a password of {@link LIMITS.passwordCharactersLong} must stand. */
const GUESSES_LONG = 8;
/**
 * As many that a shorter one must stand: at 600,000 rounds of PBKDF2 one fast graphics card tries some
 * 7,000 a second of whoever has stolen a key file, which is half a month for all of these.
 */
const GUESSES_SHORT = 10;
/** What is judged of a long one: its beginning, since the work grows with the square. */
const JUDGED_CHARACTERS = 64;
/** Words of fewer characters are in too many others to be looked for. */
const WORD_CHARACTERS_MIN = 3;

/** Whose password it is, and for what. */
export interface PasswordUse {
  /** The user's id, or the name that a key is for. */
  readonly name: string;
  /** The trust domain, where there is one. */
  readonly domain?: string | undefined;
}

/** What the library says of a password, in our words: the part behind "it is easy to guess:". */
const WARNINGS: Readonly<Record<string, string>> = {
  straightRow: "it is a row of keys",
  keyPattern: "it follows the keyboard",
  simpleRepeat: "it repeats itself",
  extendedRepeat: "it repeats itself",
  sequences: "it is a sequence",
  recentYears: "it is a year",
  dates: "it is a date",
  topTen: "it is a common password",
  topHundred: "it is a common password",
  common: "it is a common password",
  similarToCommon: "it is much like a common password",
  wordByItself: "it is a word",
  namesByThemselves: "it is a name",
  commonNames: "it is a name",
  userInputs: "it says who you are",
};

const HINT = "a few words that nobody else would put together make a good one";

/** Words that an attacker of this very password would try, in lower case. */
function wordsOf({ name, domain = "" }: PasswordUse): readonly string[] {
  const whole = [name, domain].map((word) => word.toLowerCase());
  const parts = whole.flatMap((word) => word.split(/[^\p{L}\p{N}]+/u));
  return [...new Set(["pki", ...whole, ...parts])]
    .filter((word) => word.length >= WORD_CHARACTERS_MIN)
    .sort((a, b) => b.length - a.length);
}

/** How many letters and digits are left without these words. */
function countBeside(password: string, words: readonly string[]): number {
  const rest = words.reduce(
    (text, word) => text.replaceAll(word, ""),
    password.normalize("NFKC").toLowerCase(),
  );
  return countCharacters(rest.replace(/[^\p{L}\p{N}]/gu, ""));
}

/** The library and its dictionaries. */
async function loadEstimator() {
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import("@zxcvbn-ts/core"),
    import("@zxcvbn-ts/language-common"),
    import("@zxcvbn-ts/language-en"),
  ]);
  return new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    maxLength: JUDGED_CHARACTERS,
  });
}

function refusal(why: string): PkiError {
  return new PkiError("usage", `cannot use the password: ${why}`, { hint: HINT });
}

/**
 * Refuses a password that is too easy to guess.
 * @param password prepared (`preparePassword`)
 * @throws {PkiError} `usage`, with nothing of the password in it
 */
export async function checkNewPassword(password: string, use: PasswordUse): Promise<void> {
  const { passwordCharactersMin, passwordCharactersLong } = LIMITS;
  const length = countCharacters(password);
  if (length < passwordCharactersMin) {
    throw refusal(`it is shorter than ${passwordCharactersMin} characters`);
  }
  const words = wordsOf(use);
  if (password.trim() === "") throw refusal("it is nothing but spaces");
  const beside = countBeside(password, words);
  if (beside < Math.min(passwordCharactersMin, countBeside(password, []))) {
    throw refusal("it is easy to guess: it says who you are or what it is for, and little else");
  }
  const { guessesLog10, feedback } = (await loadEstimator()).check(password, [...words]);
  const isLong = length >= passwordCharactersLong;
  if (guessesLog10 > (isLong ? GUESSES_LONG : GUESSES_SHORT)) return;
  const why = WARNINGS[feedback.warning ?? ""];
  if (isLong || why !== undefined) {
    throw refusal(`it is easy to guess${why === undefined ? "" : `: ${why}`}`);
  }
  throw refusal(
    `it is easy to guess for one of fewer than ${passwordCharactersLong} characters`,
  );
}
