/**
 * PRECIS OpaqueString (RFC 8265, section 4.2), over the FreeformClass of RFC 8264: how two ways to
 * type the same password become the same string. What it must not do: change letters, their case or
 * their width, or say what was in a string that it refuses.
 *
 * What a code point is follows from the engine's Unicode; the tables below are what no engine says of
 * one: how letters join, and which signs are viramas (Unicode 14). They decide about the two invisible
 * joiners alone, which Persian and the scripts of India cannot be written without.
 */

/** Why a string is refused; of it nothing is told but where. */
export interface StringFault {
  /** What stands there, as words for a person: "a control character". */
  readonly what: string;
  /** Which character of the prepared string it is, from 1 on; 0 if the string is empty. */
  readonly position: number;
}

/** Letters that join to both sides, to the next one only, to the previous one only: RFC 5892, A.1. */
const JOINS_BOTH =
  "620 626 628 62a-62e 633-63f 641-647 649-64a 66e-66f 678-687 69a-6bf 6c1-6c2 6cc 6ce " +
  "6d0-6d1 6fa-6fc 6ff 712-714 71a-71d 71f-727 729 72b 72d-72e 74e-758 75c-76a 76d-770 772 " +
  "775-777 77a-77f 7ca-7ea 841-845 848 84a-853 855 860 862-865 868 886 889-88d 8a0-8a9 " +
  "8af-8b0 8b3-8b8 8ba-8c8 1807 1820-1878 1887-18a8 18aa a840-a871 10ac0-10ac4 10ad3-10ad6 " +
  "10ad8-10adc 10ade-10ae0 10aeb-10aee 10b80 10b82 10b86-10b88 10b8a-10b8b 10b8d 10b90 " +
  "10bad-10bae 10d01-10d21 10d23 10f30-10f32 10f34-10f44 10f51-10f53 10f70-10f73 " +
  "10f76-10f81 10fb0 10fb2-10fb3 10fb8 10fbb-10fbc 10fbe-10fbf 10fc1 10fc4 10fca " +
  "1e900-1e943";
const JOINS_NEXT = "a872 10acd 10ad7 10d00 10fcb";
const JOINS_PREVIOUS =
  "622-625 627 629 62f-632 648 671-673 675-677 688-699 6c0 6c3-6cb 6cd 6cf 6d2-6d3 6d5 " +
  "6ee-6ef 710 715-719 71e 728 72a 72c 72f 74d 759-75b 76b-76c 771 773-774 778-779 840 " +
  "846-847 849 854 856-858 867 869-86a 870-882 88e 8aa-8ac 8ae 8b1-8b2 8b9 10ac5 10ac7 " +
  "10ac9-10aca 10ace-10ad2 10add 10ae1 10ae4 10aef 10b81 10b83-10b85 10b89 10b8c " +
  "10b8e-10b8f 10b91 10ba9-10bac 10d22 10f33 10f54 10f74-10f75 10fb4-10fb6 10fb9-10fba " +
  "10fbd 10fc2-10fc3 10fc9";
const VIRAMAS =
  "94d 9cd a4d acd b4d bcd c4d ccd d3b-d3c d4d dca e3a eba f84 1039-103a 1714-1715 1734 " +
  "17d2 1a60 1b44 1baa-1bab 1bf2-1bf3 2d7f a806 a82c a8c4 a953 a9c0 aaf6 abed 10a3f 11046 " +
  "11070 1107f 110b9 11133-11134 111c0 11235 112ea 1134d 11442 114c2 115bf 1163f 116b6 " +
  "1172b 11839 1193d-1193e 119e0 11a34 11a47 11a99 11c3f 11d44-11d45 11d97";

/** RFC 8264, section 9.6: exceptions that would be something else by their category. */
const ALLOWED = /[\u00df\u03c2\u06fd\u06fe\u0f0b\u3007]/u;
const DISALLOWED = /[\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b]/u;
/** Section 9.9: conjoining Hangul letters that are no syllable, and so no normal form. */
const OLD_HANGUL = /[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7c6\ud7cb-\ud7fb]/u;
/** Sections 9.1, 9.14, 9.15, 9.16 and 9.18: letters, digits, marks, spaces, symbols, punctuation. */
const VISIBLE = /[\p{L}\p{N}\p{M}\p{Zs}\p{S}\p{P}]/u;

/** What is refused wherever it stands, the first that fits; RFC 8264, section 8, in its order. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [DISALLOWED, "a character that only stretches or repeats others"],
  [/\p{Noncharacter_Code_Point}/u, "no character of Unicode"],
  [/\p{Cn}/u, "a character that Unicode does not know yet"],
  [OLD_HANGUL, "a part of a Hangul syllable"],
  [/[\n\r\u2028\u2029]/u, "a line break"],
  [/\p{Cc}/u, "a control character"],
  [/[\p{Default_Ignorable_Code_Point}\p{Cf}]/u, "an invisible character"],
  [/\p{Co}/u, "a character for private use"],
  [/\p{Cs}/u, "half a character"],
];

/** The characters of a string, and which of them is looked at. */
interface Place {
  readonly characters: readonly string[];
  readonly at: number;
}

/** Where some characters may stand only (RFC 5892, appendix A). */
const CONTEXTS: readonly (readonly [RegExp, (place: Place) => boolean])[] = [
  [/\u200c/, (place) => isAfterVirama(place) || isBetweenJoined(place)],
  [/\u200d/, (place) => isAfterVirama(place)],
  [/\u00b7/, ({ characters, at }) => characters[at - 1] === "l" && characters[at + 1] === "l"],
  [/\u0375/, ({ characters, at }) => isIn(/\p{Script=Greek}/u, characters[at + 1])],
  [/[\u05f3\u05f4]/, ({ characters, at }) => isIn(/\p{Script=Hebrew}/u, characters[at - 1])],
  [/\u30fb/, ({ characters }) => characters.some((one) => isIn(JAPANESE, one))],
  [/[\u0660-\u0669]/, ({ characters }) => !characters.some((one) => /[\u06f0-\u06f9]/.test(one))],
  [/[\u06f0-\u06f9]/, ({ characters }) => !characters.some((one) => /[\u0660-\u0669]/.test(one))],
];
const JAPANESE = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;
/** Marks that joining passes over: Joining_Type T, of what is not refused anyway. */
const MARK = /[\p{Mn}\p{Me}\u{1e94b}]/u;

/** Patterns are asked about one character each: an engine gets `[\u{11046}]$` wrong. */
function isIn(pattern: RegExp, character: string | undefined): boolean {
  return character !== undefined && pattern.test(character);
}

function patternOf(...tables: readonly string[]): RegExp {
  const ranges = tables.join(" ").split(" ").map((range) =>
    range.split("-").map((code) => `\\u{${code}}`).join("-")
  );
  return new RegExp(`[${ranges.join("")}]`, "u");
}

function isAfterVirama({ characters, at }: Place): boolean {
  return isIn(patternOf(VIRAMAS), characters[at - 1]);
}

function isBetweenJoined({ characters, at }: Place): boolean {
  let before = at - 1;
  while (isIn(MARK, characters[before])) before--;
  let after = at + 1;
  while (isIn(MARK, characters[after])) after++;
  return isIn(patternOf(JOINS_BOTH, JOINS_NEXT), characters[before]) &&
    isIn(patternOf(JOINS_BOTH, JOINS_PREVIOUS), characters[after]);
}

/** Why a character may not stand where it does. */
function refusalOf(character: string, place: Place): string | undefined {
  if (ALLOWED.test(character)) return undefined;
  const context = CONTEXTS.find(([pattern]) => pattern.test(character));
  if (context) {
    return context[1](place) ? undefined : "a character that may stand in few places only";
  }
  const refused = REFUSED.find(([pattern]) => pattern.test(character));
  if (refused) return refused[1];
  return VISIBLE.test(character) ? undefined : "a character that is none of text";
}

/**
 * Makes an OpaqueString: every space becomes U+0020, and the whole is in normal form C. The rules come
 * in the order of RFC 8264, section 7, so what is judged is the result: a syllable that was given in
 * parts is one character by then. The caller bounds the length: the work may grow with its square.
 * @returns the string; or why there is none
 */
export function enforceOpaqueString(text: string): string | StringFault {
  const whole = text.replace(/\p{Zs}/gu, " ").normalize("NFC");
  if (whole === "") return { what: "nothing", position: 0 };
  const characters = [...whole];
  for (const [at, character] of characters.entries()) {
    if (/[ -~]/.test(character)) continue;
    const what = refusalOf(character, { characters, at });
    if (what !== undefined) return { what, position: at + 1 };
  }
  return whole;
}
