/**
 * Ctrl-R: goes back through the history by what a line contains, while it is typed. Keys in, what is to
 * be shown out; no I/O here.
 */

export const SEARCH_KEY = "\x12"; // Ctrl-R

const ERASE = ["\x7f", "\b"];
/** Ctrl-G and Ctrl-C; and Escape, where it is not the beginning of another key. */
const CANCEL = ["\x07", "\x03"];
const ESCAPE = "\x1b";
/** Characters of what is searched for. */
const QUERY_CHARACTERS_MAX = 256;

export interface SearchStep {
  /** What the line is now. */
  readonly line: string;
  /** Keys that are the editor's, once the search is over. */
  readonly rest?: string;
}

export class HistorySearch {
  readonly #newestFirst: readonly string[];
  readonly #original: string;
  #query = "";
  /** Of the line that was found last. */
  #at: number | undefined;
  #isFound = true;

  /** @param original what was typed before, which is there again when the search is given up */
  constructor(newestFirst: readonly string[], original: string) {
    this.#newestFirst = newestFirst;
    this.#original = original;
  }

  /** What stands before the line meanwhile. */
  get prompt(): string {
    return `(${this.#isFound ? "" : "not found: "}${this.#query})> `;
  }

  /** Takes keys; the search is over where keys are left over. */
  press(keys: string): SearchStep {
    const characters = [...keys];
    for (const [index, character] of characters.entries()) {
      const rest = () => characters.slice(index + 1).join("");
      if (character === SEARCH_KEY) this.#find((this.#at ?? -1) + 1);
      else if (ERASE.includes(character)) {
        this.#query = [...this.#query].slice(0, -1).join("");
        this.#find(0);
      } else if (CANCEL.includes(character) || (character === ESCAPE && rest() === "")) {
        return { line: this.#original, rest: rest() };
      } else if (character < " ") return { line: this.#line, rest: character + rest() };
      else {
        this.#query = (this.#query + character).slice(0, QUERY_CHARACTERS_MAX);
        this.#find(this.#at ?? 0);
      }
    }
    return { line: this.#line };
  }

  get #line(): string {
    return this.#at === undefined ? this.#original : this.#newestFirst[this.#at] ?? "";
  }

  #find(from: number): void {
    const at = this.#newestFirst.findIndex((line, at) => at >= from && line.includes(this.#query));
    this.#isFound = this.#query === "" || at !== -1;
    if (this.#query === "") this.#at = undefined;
    else if (at !== -1) this.#at = at;
  }
}
