/**
 * Frames: a 32-bit big-endian length, then that many bytes, 1 to 65,536. The length is checked
 * before anything is kept, so that nobody can make us wait for, or hold, more than one frame.
 */

import { type Bytes, concatAll, encodeLatin1, isAscii, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

export const FRAME_HEADER_BYTES = 4;

/** One frame around these parts. @throws {PkiError} `internal` if they are empty or too long */
export function encodeFrame(...parts: readonly Uint8Array[]): Bytes {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length < 1 || length > LIMITS.frameBytesMax) {
    throw new PkiError("internal", `cannot send a frame of ${length} bytes`);
  }
  const frame = new Uint8Array(FRAME_HEADER_BYTES + length);
  new DataView(frame.buffer).setUint32(0, length);
  let at = FRAME_HEADER_BYTES;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** One frame around a text in UTF-8, in Latin-1: what crosses between threads. */
export function encodeFrameText(text: string): string {
  const { length } = text;
  if (!isAscii(text) || length < 1 || length > LIMITS.frameBytesMax) {
    return encodeLatin1(encodeFrame(utf8(text)));
  }
  return String.fromCharCode(0, length >>> 16, length >>> 8 & 0xff, length & 0xff) + text;
}

/** Whether a text in Latin-1 is one whole frame, as most of what comes at once is. */
export function isOneFrame(text: string): boolean {
  const length = text.length - FRAME_HEADER_BYTES;
  return length >= 1 && length <= LIMITS.frameBytesMax &&
    text.charCodeAt(0) === 0 && text.charCodeAt(1) === length >>> 16 &&
    text.charCodeAt(2) === (length >>> 8 & 0xff) && text.charCodeAt(3) === (length & 0xff);
}

/**
 * Cuts a stream of bytes into frames. Bytes may come in any portions. After a bad length it is
 * broken for good: every further call throws the same error.
 */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** What is still to come of a frame that is read in pieces. */
  #rest = 0;
  #error: PkiError | undefined;

  /** Bytes that were pushed and not yet read as frames. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  /** Takes bytes over; the caller must not change them afterwards. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#error) return; // nothing is kept behind a bad length
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /**
   * The next whole frame's body, or `undefined` until more was pushed.
   * @throws {PkiError} `protocol` for a length out of bounds
   */
  read(): Bytes | undefined {
    const length = this.#peekLength();
    if (length === undefined || this.#buffered < FRAME_HEADER_BYTES + length) return undefined;
    this.#take(FRAME_HEADER_BYTES);
    return this.#take(length);
  }

  /**
   * Begins to read the next frame in pieces if its first byte is wanted and it has so many bytes.
   * @returns so many bytes of it, or `undefined` if it is to be read whole, or too little was pushed
   * @throws {PkiError} `protocol` for a length out of bounds
   */
  begin(headBytesOf: (first: number) => number | undefined): Bytes | undefined {
    const length = this.#peekLength();
    if (length === undefined || this.#buffered <= FRAME_HEADER_BYTES) return undefined;
    const headBytes = headBytesOf(this.#peek(FRAME_HEADER_BYTES + 1)[FRAME_HEADER_BYTES] ?? 0);
    if (headBytes === undefined || length < headBytes) return undefined;
    if (this.#buffered < FRAME_HEADER_BYTES + headBytes) return undefined;
    this.#take(FRAME_HEADER_BYTES);
    this.#rest = length - headBytes;
    return this.#take(headBytes);
  }

  /** Whether more is to come of the frame that was begun; until then nothing else can be read. */
  get isWithin(): boolean {
    return this.#rest > 0;
  }

  /** The next piece of the frame that was begun, as it was pushed: not a copy. */
  readPiece(): Uint8Array | undefined {
    const [chunk] = this.#chunks;
    if (!chunk || this.#rest === 0) return undefined;
    const piece = chunk.subarray(0, this.#rest);
    if (piece.length === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(piece.length);
    this.#buffered -= piece.length;
    this.#rest -= piece.length;
    return piece;
  }

  /** Lets go of what was pushed: what was not read of it is copied, less than a frame. */
  letGo(): void {
    if (this.#buffered > 0) this.#chunks = [concatAll(this.#chunks)];
  }

  /** The length of the next frame, once it is there. */
  #peekLength(): number | undefined {
    if (this.#error) throw this.#error;
    if (this.#rest > 0) throw new PkiError("internal", "a frame within a frame");
    if (this.#buffered < FRAME_HEADER_BYTES) return undefined;
    const header = this.#peek(FRAME_HEADER_BYTES);
    const length = new DataView(header.buffer, header.byteOffset).getUint32(0);
    if (length < 1 || length > LIMITS.frameBytesMax) {
      this.#chunks = [];
      this.#buffered = 0;
      this.#error = new PkiError(
        "protocol",
        `cannot read frame: its length is ${length}, 1 to ${LIMITS.frameBytesMax} allowed`,
      );
      throw this.#error;
    }
    return length;
  }

  /** The first bytes, contiguous, without taking them. */
  #peek(length: number): Uint8Array {
    const [first] = this.#chunks;
    if (first && first.length >= length) return first;
    const bytes = this.#take(length);
    this.#chunks.unshift(bytes);
    this.#buffered += bytes.length;
    return bytes;
  }

  #take(length: number): Bytes {
    const taken = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const chunk = this.#chunks[0] ?? new Uint8Array(0);
      const part = chunk.subarray(0, length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    this.#buffered -= length;
    return taken;
  }
}
