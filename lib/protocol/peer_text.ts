/**
 * Messages of a talk: what they hold, and how they are split into frames and joined again. Pure.
 */

import { type Bytes, concatAll, concatBytes, parseUtf8, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { TIME_MS_MAX } from "./fields.ts";
import { encodeFrame } from "./frame.ts";
import { broke, FRAME_TYPE, PART } from "./peer_messages.ts";

const HEADER_BYTES = 16;
/** Type and part byte take two of a frame. */
const PART_BYTES_MAX = LIMITS.frameBytesMax - 2;

/** What a person, or a program, said in one go. */
export interface Message {
  /** By the sender's clock, in milliseconds since 1970. */
  readonly timeMs: number;
  /** How many messages of the other side had been delivered to the sender. */
  readonly seen: number;
  readonly text: string;
}

/**
 * The bytes of a message, whole.
 * @throws {PkiError} `usage` if it is too long
 */
export function encodeMessage({ timeMs, seen, text }: Message): Bytes {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setBigUint64(0, BigInt(timeMs));
  view.setBigUint64(8, BigInt(seen));
  const message = concatBytes(header, utf8(text.toWellFormed()));
  if (message.length > LIMITS.messageBytesMax) {
    const kib = (LIMITS.messageBytesMax - HEADER_BYTES) / 1024;
    throw new PkiError("usage", `cannot send a message of more than ${kib} KiB`, {
      hint: "send it as a file",
    });
  }
  return message;
}

/** @throws {PkiError} `protocol` */
export function parseMessage(bytes: Uint8Array): Message {
  if (bytes.length < HEADER_BYTES) throw broke("a message without its times");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [timeMs, seen] = [Number(view.getBigUint64(0)), Number(view.getBigUint64(8))];
  if (timeMs > TIME_MS_MAX || !Number.isSafeInteger(seen)) {
    throw broke("a message with impossible times");
  }
  try {
    return { timeMs, seen, text: parseUtf8(bytes.subarray(HEADER_BYTES)) };
  } catch {
    throw broke("a message that is not UTF-8");
  }
}

/** The frames of a message's bytes. */
export function splitMessage(message: Uint8Array): Bytes {
  const frames: Bytes[] = [];
  for (let at = 0; at < message.length; at += PART_BYTES_MAX) {
    const part = message.subarray(at, at + PART_BYTES_MAX);
    const isLast = at + part.length === message.length;
    const head = Uint8Array.of(FRAME_TYPE.text, isLast ? PART.last : PART.more);
    frames.push(encodeFrame(head, part));
  }
  return concatAll(frames);
}

/** Joins the parts of messages, and never holds more than twice the bytes of one. */
export class MessageJoiner {
  #buffer: Bytes = new Uint8Array(0);
  /** Of the buffer, the bytes of the message that has begun. */
  #bytes = 0;
  #isWithin = false;

  /** Whether a message has begun that has not ended. */
  get isWithin(): boolean {
    return this.#isWithin;
  }

  /** Bytes that are held for a message that has not ended. */
  get heldBytes(): number {
    return this.#buffer.length;
  }

  /**
   * Takes the body of a text frame.
   * @returns the bytes of the message that it ends, if it does
   * @throws {PkiError} `protocol`
   */
  push(body: Uint8Array): Bytes | undefined {
    const [more] = body;
    if (more !== PART.last && more !== PART.more) throw broke("a text frame without a part");
    this.#add(body.subarray(1));
    this.#isWithin = more === PART.more;
    if (this.#isWithin) return undefined;
    const message = this.#buffer.slice(0, this.#bytes);
    [this.#buffer, this.#bytes] = [new Uint8Array(0), 0];
    return message;
  }

  /** Into one buffer: a list of parts of a byte each would take two hundred times their length. */
  #add(part: Uint8Array): void {
    const bytes = this.#bytes + part.length;
    if (bytes > LIMITS.messageBytesMax) throw broke("a message that is too long");
    if (bytes > this.#buffer.length) {
      const buffer = new Uint8Array(Math.max(bytes, 2 * this.#buffer.length));
      buffer.set(this.#buffer.subarray(0, this.#bytes));
      this.#buffer = buffer;
    }
    this.#buffer.set(part, this.#bytes);
    this.#bytes = bytes;
  }
}
