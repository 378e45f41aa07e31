/** What a piped peer sends, as lines that a person can read. Shows nothing itself. */

/** Bytes of a pipe as lines for a person; what is not UTF-8 is shown as replacement characters. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** The lines that are complete now. */
  push(bytes: Uint8Array): readonly string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length <= LINE_CHARACTERS_MAX) return lines;
    lines.push(this.#rest);
    this.#rest = "";
    return lines;
  }

  /** What is left at the end. */
  end(): readonly string[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}

/** A longer line is shown in pieces, so that no peer can make us hold more. */
const LINE_CHARACTERS_MAX = 8192;
