/**
 * Text that is being typed, and the cursor in it: what the keys of a line editor do to it, for text of
 * several lines. The cursor stands between characters as a person sees them, never inside of one. No
 * I/O here.
 */

import { cellsOf } from "./cells.ts";

/** Steps that can be taken back. */
const UNDO_STEPS_MAX = 100;

interface State {
  readonly text: string;
  readonly cursor: number;
}

export class TextBuffer {
  #text = "";
  #cursor = 0;
  /** What was erased last by more than a character, for {@link yank}. */
  #erased = "";
  readonly #past: State[] = [];

  get text(): string {
    return this.#text;
  }

  /** Index in the text, in UTF-16 units. */
  get cursor(): number {
    return this.#cursor;
  }

  get isEmpty(): boolean {
    return this.#text === "";
  }

  /** Replaces everything; the cursor stands at the end. */
  set(text: string): void {
    this.#change(text, text.length);
  }

  insert(text: string): void {
    const cursor = this.#cursor + text.length;
    this.#change(this.#text.slice(0, this.#cursor) + text + this.#text.slice(this.#cursor), cursor);
    // What was typed may have joined what stood there: a mark its letter.
    if (!this.#isStop(this.#cursor)) this.#cursor = this.#stopAfter(this.#cursor);
  }

  /** Moves to an index that is between two characters. */
  moveTo(index: number): void {
    this.#cursor = Math.max(0, Math.min(index, this.#text.length));
  }

  left(): void {
    this.#cursor = this.#stopBefore(this.#cursor);
  }

  right(): void {
    this.#cursor = this.#stopAfter(this.#cursor);
  }

  wordLeft(): void {
    this.#cursor = this.#wordBefore();
  }

  wordRight(): void {
    this.#cursor = this.#wordAfter();
  }

  lineStart(): void {
    this.#cursor = this.#beginOfLine(this.#cursor);
  }

  lineEnd(): void {
    this.#cursor = this.#endOfLine(this.#cursor);
  }

  eraseLeft(): void {
    this.#erase(this.#stopBefore(this.#cursor), this.#cursor);
  }

  eraseRight(): void {
    this.#erase(this.#cursor, this.#stopAfter(this.#cursor));
  }

  eraseWordLeft(): void {
    this.#cut(this.#wordBefore(), this.#cursor);
  }

  eraseWordRight(): void {
    this.#cut(this.#cursor, this.#wordAfter());
  }

  /** Up to the beginning of the line; there, the line break. */
  eraseToLineStart(): void {
    const begin = this.#beginOfLine(this.#cursor);
    this.#cut(begin === this.#cursor ? Math.max(0, begin - 1) : begin, this.#cursor);
  }

  /** Up to the end of the line; there, the line break. */
  eraseToLineEnd(): void {
    const end = this.#endOfLine(this.#cursor);
    this.#cut(this.#cursor, end === this.#cursor ? Math.min(this.#text.length, end + 1) : end);
  }

  /** Inserts what was erased last. */
  yank(): void {
    if (this.#erased !== "") this.insert(this.#erased);
  }

  /** Exchanges the characters before and behind the cursor, and steps over them. */
  transpose(): void {
    const at = this.#cursor === this.#endOfLine(this.#cursor)
      ? this.#stopBefore(this.#cursor)
      : this.#cursor;
    const before = this.#stopBefore(at);
    const after = this.#stopAfter(at);
    const [left, right] = [this.#text.slice(before, at), this.#text.slice(at, after)];
    if (left === "" || right === "" || left === "\n" || right === "\n") return;
    this.#change(this.#text.slice(0, before) + right + left + this.#text.slice(after), after);
  }

  /** Takes the last change back. */
  undo(): void {
    const state = this.#past.pop();
    if (!state) return;
    this.#text = state.text;
    this.#cursor = state.cursor;
  }

  #change(text: string, cursor: number): void {
    if (text !== this.#text) {
      this.#past.push({ text: this.#text, cursor: this.#cursor });
      if (this.#past.length > UNDO_STEPS_MAX) this.#past.shift();
    }
    this.#text = text;
    this.#cursor = cursor;
  }

  #erase(from: number, to: number): void {
    if (from < to) this.#change(this.#text.slice(0, from) + this.#text.slice(to), from);
  }

  #cut(from: number, to: number): void {
    if (from < to) this.#erased = this.#text.slice(from, to);
    this.#erase(from, to);
  }

  #beginOfLine(index: number): number {
    return index === 0 ? 0 : this.#text.lastIndexOf("\n", index - 1) + 1;
  }

  #endOfLine(index: number): number {
    const end = this.#text.indexOf("\n", index);
    return end === -1 ? this.#text.length : end;
  }

  /** Where the cursor can stand in the line of an index. */
  #stops(index: number): number[] {
    let at = this.#beginOfLine(index);
    const stops = [at];
    for (const { text } of cellsOf(this.#text.slice(at, this.#endOfLine(index)))) {
      at += text.length;
      stops.push(at);
    }
    return stops;
  }

  #isStop(index: number): boolean {
    return this.#stops(index).includes(index);
  }

  #stopBefore(index: number): number {
    return this.#stops(index).findLast((stop) => stop < index) ?? Math.max(0, index - 1);
  }

  #stopAfter(index: number): number {
    return this.#stops(index).find((stop) => stop > index) ??
      Math.min(this.#text.length, index + 1);
  }

  #wordBefore(): number {
    let at = this.#cursor;
    for (const isInWord of [false, true]) {
      for (
        let before;
        (before = lastCharacter(this.#text, at)) !== undefined;
        at -= before.length
      ) {
        if (WORD.test(before) !== isInWord) break;
      }
    }
    return at;
  }

  #wordAfter(): number {
    let at = this.#cursor;
    for (const isInWord of [false, true]) {
      for (let next; (next = characterAt(this.#text, at)) !== undefined; at += next.length) {
        if (WORD.test(next) !== isInWord) break;
      }
    }
    return at;
  }
}

const WORD = /[\p{L}\p{M}\p{N}_]/u;

function characterAt(text: string, index: number): string | undefined {
  const code = text.codePointAt(index);
  return code === undefined ? undefined : String.fromCodePoint(code);
}

function lastCharacter(text: string, end: number): string | undefined {
  const before = text.slice(Math.max(0, end - 2), end);
  return [...before].at(-1);
}
