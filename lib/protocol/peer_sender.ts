/**
 * The sending half of `pki-peer/1`: what this side says, as frames, and how much of it. It belongs to
 * the main thread, which sends what is its own; what the peer sends is read by a {@link PeerReceiver}
 * in a worker. Without any I/O.
 */

import { type Bytes, encodeBase64 } from "../base/bytes.ts";
import { type ErrorReport, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "./frame.ts";
import {
  type Control,
  encodeControl,
  FILE_HEAD_BYTES,
  type FileControl,
  FRAME_TYPE,
  type Hello,
  MESSAGE_CHARACTERS_MAX,
  type WaitReason,
} from "./peer_messages.ts";
import { encodeMessage, type Message, splitMessage } from "./peer_text.ts";

/** `greeting` until both are ready; `refused` after a REFUSED either way. */
type SenderState = "greeting" | "open" | "ended" | "refused";

export class PeerSender {
  #state: SenderState = "greeting";
  #sentBytes = 0;
  #sentMessages = 0;

  /** Bytes of text, data and files so far. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  get sentMessages(): number {
    return this.#sentMessages;
  }

  get hasEnded(): boolean {
    return this.#state === "ended";
  }

  /** Neither both ready, nor refused. */
  get isGreeting(): boolean {
    return this.#state === "greeting";
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** The first frame of each side. */
  greet(hello: Omit<Hello, "type">): Bytes {
    return this.#introduce({ type: "HELLO", ...hello });
  }

  reveal(nonce: Uint8Array): Bytes {
    return this.#introduce({ type: "NONCE", nonce: encodeBase64(nonce) });
  }

  sayWait(reason: WaitReason): Bytes {
    return this.#introduce({ type: "WAIT", reason });
  }

  /** We have judged the peer. @param signs whether we will sign a transcript */
  sayReady(signs: boolean): Bytes {
    return this.#introduce({ type: "READY", signs });
  }

  sayRefused({ code, message }: ErrorReport): Bytes {
    const refusal = this.#introduce({
      type: "REFUSED",
      code,
      message: message.slice(0, MESSAGE_CHARACTERS_MAX),
    });
    this.#state = "refused";
    return refusal;
  }

  sayAlive(): Bytes {
    return encodeControl({ type: "ALIVE" });
  }

  /** We cannot go on, and close: why the peer is cut off. */
  sayLeaving({ code, message }: ErrorReport): Bytes {
    return this.#confirm({
      type: "LEAVING",
      code,
      message: message.slice(0, MESSAGE_CHARACTERS_MAX),
    });
  }

  /** Both sides are ready. */
  open(): void {
    if (this.#state === "greeting") this.#state = "open";
  }

  /**
   * A message, whole.
   * @returns its bytes, and its frames
   * @throws {PkiError} `usage` if it is too long
   */
  sendMessage(message: Message): { readonly bytes: Bytes; readonly frames: Bytes } {
    this.#checkMaySend();
    const bytes = encodeMessage(message);
    const frames = splitMessage(bytes);
    this.#sentMessages++;
    // What counts is behind the type byte: the byte of each part counts as well.
    this.#sentBytes += bytes.length + Math.ceil(bytes.length / (LIMITS.frameBytesMax - 2));
    return { bytes, frames };
  }

  /** A piece of a stream, as frames of bounded size. */
  sendData(bytes: Uint8Array): Bytes {
    this.#checkMaySend();
    this.#sentBytes += bytes.length;
    return encodeFrames(Uint8Array.of(FRAME_TYPE.data), bytes);
  }

  /** A piece of a file, as frames of bounded size. */
  sendFile(file: number, bytes: Uint8Array): Bytes {
    this.#checkMaySend();
    const head = new Uint8Array(FILE_HEAD_BYTES);
    head[0] = FRAME_TYPE.file;
    new DataView(head.buffer).setUint32(1, file);
    const frames = encodeFrames(head, bytes);
    // What counts is behind the type byte: the number of the file counts as well.
    this.#sentBytes += bytes.length + (FILE_HEAD_BYTES - 1) * framesFor(head, bytes);
    return frames;
  }

  sendFileControl(control: FileControl): Bytes {
    if (control.type === "FILE_END") this.#checkMaySend(); // it counts in what is signed
    return this.#confirm(control);
  }

  /** The first so many messages of the peer are where they belong. */
  sayDelivered(messages: number): Bytes {
    return this.#confirm({ type: "DELIVERED", messages });
  }

  /** Says that we send nothing more. */
  sendEnd(): Bytes {
    this.#checkMaySend();
    this.#state = "ended";
    const count = new Uint8Array(8);
    new DataView(count.buffer).setBigUint64(0, BigInt(this.#sentBytes));
    return encodeFrame(Uint8Array.of(FRAME_TYPE.end), count);
  }

  sign(signature: Uint8Array): Bytes {
    return this.#confirm({ type: "SIGNATURE", signature: encodeBase64(signature) });
  }

  /** Confirms the peer's end, once all these bytes of it have been delivered. */
  sayReceived(bytes: number): Bytes {
    return this.#confirm({ type: "RECEIVED", bytes });
  }

  #introduce(control: Control): Bytes {
    if (!this.isGreeting) throw misplaced();
    return encodeControl(control);
  }

  #confirm(control: Control): Bytes {
    if (this.#state !== "open" && this.#state !== "ended") throw misplaced();
    return encodeControl(control);
  }

  #checkMaySend(): void {
    if (this.#state !== "open") throw misplaced();
  }
}

function misplaced(): PkiError {
  return new PkiError("internal", "sending where nothing may be sent");
}

/** How many frames these bytes take, each with this before it. */
function framesFor(head: Uint8Array, bytes: Uint8Array): number {
  return Math.ceil(bytes.length / (LIMITS.frameBytesMax - head.length));
}

/** Bytes as frames of about the same size, all in one: what is written at once costs least. */
function encodeFrames(head: Uint8Array, bytes: Uint8Array): Bytes {
  const count = framesFor(head, bytes);
  const size = Math.ceil(bytes.length / count);
  const frames = new Uint8Array(count * (FRAME_HEADER_BYTES + head.length) + bytes.length);
  const view = new DataView(frames.buffer);
  let at = 0;
  for (let from = 0; from < bytes.length; from += size) {
    const piece = bytes.subarray(from, from + size);
    view.setUint32(at, head.length + piece.length);
    frames.set(head, at + FRAME_HEADER_BYTES);
    frames.set(piece, at + FRAME_HEADER_BYTES + head.length);
    at += FRAME_HEADER_BYTES + head.length + piece.length;
  }
  return frames;
}
