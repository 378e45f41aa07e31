/**
 * What arrives from a terminal, told apart: keys that somebody pressed, and text that was pasted. A
 * pasted line break must not run anything, whoever wrote the text that was copied, so only keys reach
 * the line editor as they are. No I/O here.
 *
 * A terminal marks what is pasted if it was asked to ({@link ASK_FOR_MARKS}). One that cannot sends
 * everything at once: Enter with more behind it was not pressed by hand either.
 */

/** Bracketed paste, as xterm has it and most others. */
export const ASK_FOR_MARKS = "\x1b[?2004h";
export const ASK_FOR_NO_MARKS = "\x1b[?2004l";
const BEGIN = "\x1b[200~";
const END = "\x1b[201~";

/** Characters of one paste; the rest of it is dropped. */
export const PASTE_CHARACTERS_MAX = 65_536;

export type TerminalInput =
  | { readonly kind: "keys"; readonly text: string }
  | {
    readonly kind: "paste";
    readonly text: string;
    /** Set if there was more of it than we take. */
    readonly isCut?: true;
  };

export class PasteFilter {
  /** Begun and not told yet: the start of a mark, or a paste. */
  #held = "";
  #paste: string | undefined;
  #isCut = false;

  /** Whether a mark may have begun that only more input, or its absence, decides about. */
  get isUndecided(): boolean {
    return this.#held !== "";
  }

  push(text: string): readonly TerminalInput[] {
    const found: TerminalInput[] = [];
    let rest = this.#held + text;
    this.#held = "";
    while (rest !== "") {
      const mark = this.#paste === undefined ? BEGIN : END;
      const at = rest.indexOf(mark);
      const end = at === -1 ? rest.length - partOfMark(rest, mark) : at;
      this.#take(rest.slice(0, end), found);
      if (at === -1) {
        this.#held = rest.slice(end);
        break;
      }
      rest = rest.slice(at + mark.length);
      if (this.#paste === undefined) {
        this.#paste = "";
        this.#isCut = false;
      } else {
        const cut = this.#isCut ? { isCut: true } as const : {};
        found.push({ kind: "paste", text: this.#paste, ...cut });
        this.#paste = undefined;
      }
    }
    return found;
  }

  /** Nothing more came: what was held back is what it looks like, Escape say. */
  flush(): readonly TerminalInput[] {
    const found: TerminalInput[] = [];
    this.#take(this.#held, found);
    this.#held = "";
    return found;
  }

  #take(text: string, found: TerminalInput[]): void {
    if (text === "") return;
    if (this.#paste !== undefined) {
      this.#isCut ||= this.#paste.length + text.length > PASTE_CHARACTERS_MAX;
      this.#paste = (this.#paste + text).slice(0, PASTE_CHARACTERS_MAX);
      return;
    }
    const enter = text.search(/[\r\n]/);
    const more = enter === -1 ? "" : text.slice(enter + 1).replace(/^\n/, "");
    if (more === "") {
      found.push({ kind: "keys", text });
      return;
    }
    found.push({ kind: "keys", text: text.slice(0, enter + 1) }, { kind: "paste", text: more });
  }
}

/** How many characters at the end of a text may be the beginning of a mark. */
function partOfMark(text: string, mark: string): number {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length--) {
    if (mark.startsWith(text.slice(-length))) return length;
  }
  return 0;
}

/**
 * The lines of a paste as they may be put on the line that is edited: nothing but text.
 * @param keepsTabs whether a tab stays one, or becomes a space
 */
export function linesOfPaste(
  text: string,
  { keepsTabs = false }: { readonly keepsTabs?: boolean } = {},
): readonly string[] {
  return (keepsTabs ? text : text.replaceAll("\t", " ")).split(/\r\n|\r|\n/)
    // deno-lint-ignore no-control-regex -- control characters are what it is about
    .map((line) => line.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, ""));
}
