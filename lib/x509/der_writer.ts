/** Writes DER (X.690) in one pass, for what is made often; `der.ts` reads it and writes the rest. */

import type { Bytes } from "../base/bytes.ts";

const WRITER_BYTES = 2048;

/**
 * Writes DER from the end to the start. A length stands before its content and is known only after
 * it, so what is written backwards needs neither a second pass nor a copy for each level. Members of
 * a sequence are written last one first.
 *
 * ```ts
 * const outer = writer.mark;
 * writer.element(TAG.octetString, value).bytes(OID_BYTES).wrap(TAG.sequence, outer);
 * ```
 */
export class DerWriter {
  #buffer = new Uint8Array(WRITER_BYTES);
  /** Where the first written byte is. */
  #at = WRITER_BYTES;

  /** How much is written: what {@link wrap} takes to know where its content ends. */
  get mark(): number {
    return this.#buffer.length - this.#at;
  }

  #makeRoom(bytes: number): void {
    if (this.#at >= bytes) return;
    const grown = new Uint8Array(2 * (this.#buffer.length + bytes));
    const at = grown.length - this.mark;
    grown.set(this.#buffer.subarray(this.#at), at);
    this.#buffer = grown;
    this.#at = at;
  }

  /** Puts whole elements, or parts of them, in front. */
  bytes(bytes: Uint8Array): this {
    this.#makeRoom(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
    return this;
  }

  byte(byte: number): this {
    this.#makeRoom(1);
    this.#buffer[--this.#at] = byte;
    return this;
  }

  /** ASCII text; the caller has checked that it is. */
  ascii(text: string): this {
    this.#makeRoom(text.length);
    this.#at -= text.length;
    for (let i = 0; i < text.length; i++) this.#buffer[this.#at + i] = text.charCodeAt(i);
    return this;
  }

  /** Makes everything written since a mark the content of an element. */
  wrap(tag: number, mark: number): this {
    const length = this.mark - mark;
    this.#makeRoom(6);
    if (length < 0x80) this.#buffer[--this.#at] = length;
    else {
      let lengthBytes = 0;
      for (let rest = length; rest > 0; rest = rest >>> 8) {
        this.#buffer[--this.#at] = rest & 0xff;
        lengthBytes++;
      }
      this.#buffer[--this.#at] = 0x80 | lengthBytes;
    }
    this.#buffer[--this.#at] = tag;
    return this;
  }

  /** One element with this content. */
  element(tag: number, content: Uint8Array): this {
    const { mark } = this;
    return this.bytes(content).wrap(tag, mark);
  }

  /** A copy of what was written. */
  take(): Bytes {
    return this.#buffer.slice(this.#at);
  }
}
