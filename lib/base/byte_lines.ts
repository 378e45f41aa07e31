/** Lines out of a stream of bytes, each of bounded length. */

import { type Bytes, concatAll } from "./bytes.ts";

const NEWLINE = 0x0a;

export class ByteLines {
  readonly #bytesMax: number;
  /** The pieces of the line that has begun. */
  #pieces: Uint8Array[] = [];
  #length = 0;

  /** @param bytesMax of a line without its end */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a line was longer than any may be: nothing from it on is given out. */
  get isTooLong(): boolean {
    return this.#length > this.#bytesMax;
  }

  /** The lines that a chunk ends, without their ends. */
  push(chunk: Uint8Array): readonly Bytes[] {
    const lines: Bytes[] = [];
    let at = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, at)) !== -1; at = end + 1) {
      this.#take(chunk.subarray(at, end));
      if (this.isTooLong) return lines;
      lines.push(this.takeRest());
    }
    this.#take(chunk.slice(at)); // a copy: the chunk's memory may be used again
    return lines;
  }

  #take(piece: Uint8Array): void {
    this.#length += piece.length;
    if (piece.length > 0 && !this.isTooLong) this.#pieces.push(piece);
  }

  /** What has begun and not ended. */
  takeRest(): Bytes {
    const line = concatAll(this.#pieces);
    [this.#pieces, this.#length] = [[], 0];
    return line;
  }
}
