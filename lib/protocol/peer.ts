/**
 * The receiving half of `pki-peer/1`, the private line between two people, without any I/O: what a
 * peer may say when, and what it means. Both sides are alike; each greets, reveals its nonce, judges
 * the other, and says READY or REFUSED. What this side says itself is told by the methods that are
 * named after it; it is sent by a {@link PeerSender}. See `docs/protocol.md`.
 */

import { type Bytes, parseBase64 } from "../base/bytes.ts";
import type { ErrorReport } from "../base/errors.ts";
import { type Endorsement, endorsementFromJson } from "./endorsement.ts";
import { FRAME_HEADER_BYTES, FrameReader } from "./frame.ts";
import {
  broke,
  type Control,
  FILE_HEAD_BYTES,
  type FileControl,
  FRAME_TYPE,
  hasFiles,
  type Hello,
  isFileControl,
  type LineMode,
  parseControl,
  SKIPPED_TYPE_MIN,
  type WaitReason,
} from "./peer_messages.ts";
import { type Message, MessageJoiner, parseMessage } from "./peer_text.ts";
import { isCommittedTo, otherRole, type PeerRole } from "./safety_words.ts";

/** What a peer says of itself; nobody has judged any of it. */
export interface PeerHello {
  readonly mode: LineMode;
  /** The OCSP response that the peer staples, if any. */
  readonly status?: Bytes;
  /** After so many milliseconds without a frame of ours the peer takes us for dead. */
  readonly silenceMs: number;
  /** The peer would rather wait than hear that we are busy. */
  readonly wait: boolean;
  readonly transcript: boolean;
  readonly endorsements: readonly Endorsement[];
}

/** What a peer did. */
export type PeerEvent =
  | { readonly type: "hello"; readonly hello: PeerHello }
  /** The nonce that the peer had committed to. */
  | { readonly type: "nonce"; readonly nonce: Bytes }
  /** The peer cannot say yet whether it is ready. */
  | { readonly type: "wait"; readonly reason: WaitReason }
  /** Both sides are ready; only now is anything shown or sent. `signs`: both sign a transcript. */
  | { readonly type: "open"; readonly signs: boolean }
  | { readonly type: "refused"; readonly report: ErrorReport }
  /** The peer's n-th message; `bytes` are what it is in a transcript. */
  | {
    readonly type: "text";
    readonly number: number;
    readonly message: Message;
    readonly bytes: Bytes;
  }
  /** The peer has our first so many messages. */
  | { readonly type: "delivered"; readonly messages: number }
  /** Bytes of a stream, or of a file, in portions that say nothing: not a copy of what was received. */
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "file"; readonly file: number; readonly bytes: Uint8Array }
  | { readonly type: "file-control"; readonly control: FileControl }
  /** The peer sends nothing more, and everything it sent, so many bytes, has been read. */
  | { readonly type: "peer-end"; readonly bytes: number }
  | { readonly type: "signature"; readonly signature: Bytes }
  /** The peer has everything that we sent. */
  | { readonly type: "confirmed" }
  /** The peer cannot go on, and closes before everything was confirmed. */
  | { readonly type: "leaving"; readonly report: ErrorReport };

/** `greeting` until both are ready; `refused` after a REFUSED either way. */
export type PeerState = "greeting" | "open" | "refused";

export interface ReceiverOptions {
  readonly mode: LineMode;
  /** Ours. */
  readonly role: PeerRole;
  /** Whether our HELLO says that we wait for one who is busy. */
  readonly wait: boolean;
}

export class PeerReceiver {
  readonly #frames = new FrameReader();
  readonly #messages = new MessageJoiner();
  readonly #options: ReceiverOptions;
  #state: PeerState = "greeting";
  #hello: Hello | undefined;
  #hasNonce = false;
  /** What each side said with READY. */
  #ready: { readonly signs: boolean } | undefined;
  #peerReady: { readonly signs: boolean } | undefined;
  #receivedBytes = 0;
  #receivedMessages = 0;
  #sentMessages = 0;
  #delivered = 0;
  #seen = 0;
  /** How much we said with our end. */
  #endedBytes: number | undefined;
  #isConfirmed = false;
  #hasPeerEnded = false;
  #hasSignature = false;
  #hasReceived = false;
  #consumedBytes = 0;
  /** The number of the file that the frame which was begun is a piece of; none for data. */
  #file: number | undefined;
  #error: unknown;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  get state(): PeerState {
    return this.#state;
  }

  /** Whether both directions have ended and both ends are confirmed. */
  get isComplete(): boolean {
    return this.#isConfirmed && this.#hasReceived;
  }

  /**
   * We have said READY.
   * @returns whether both sides sign, if both are ready now
   */
  ready(signs: boolean): { readonly signs: boolean } | undefined {
    this.#ready = { signs };
    return this.#open();
  }

  /** We have said REFUSED: nothing more is read. */
  refused(): void {
    this.#state = "refused";
  }

  /** We have sent so many messages by now. */
  sent(messages: number): void {
    this.#sentMessages = messages;
  }

  /** We have said our end, of so many bytes. */
  ended(bytes: number): void {
    this.#endedBytes = bytes;
  }

  /** We have confirmed the peer's end. */
  received(): void {
    this.#hasReceived = true;
  }

  receive(chunk: Uint8Array): void {
    this.#frames.push(chunk);
  }

  /** Bytes that are held since more is to come: at most a frame, and twice the largest message. */
  get heldBytes(): number {
    return this.#frames.bufferedBytes + this.#messages.heldBytes;
  }

  /** Lets go of what was received, which may belong to somebody else from now on. */
  letGo(): void {
    this.#frames.letGo();
  }

  /** Bytes read as frames since the last call. */
  takeConsumedBytes(): number {
    const consumed = this.#consumedBytes;
    this.#consumedBytes = 0;
    return consumed;
  }

  /**
   * What the peer did next, or `undefined` until more bytes come.
   * @throws {PkiError} `protocol`; nothing more is read after that
   */
  next(): PeerEvent | undefined {
    if (this.#error) throw this.#error;
    try {
      return this.#readEvent();
    } catch (error) {
      this.#error = error;
      throw error;
    }
  }

  #readEvent(): PeerEvent | undefined {
    for (;;) {
      if (this.#state === "refused") return undefined;
      if (this.#frames.isWithin) return this.#readPiece();
      const head = this.#frames.begin((type) => this.#headBytesOf(type));
      if (head) {
        this.#consumedBytes += FRAME_HEADER_BYTES + head.length;
        this.#begin(head);
        continue;
      }
      const frame = this.#frames.read();
      if (!frame) return undefined;
      this.#consumedBytes += FRAME_HEADER_BYTES + frame.length;
      const event = this.#take(frame[0] ?? 0, frame.subarray(1));
      if (event) return event;
    }
  }

  /**
   * What stands before the bytes in a frame that need not be there as a whole; one that may not come
   * now is judged when it is.
   */
  #headBytesOf(type: number): number | undefined {
    if (this.#state !== "open" || this.#hasPeerEnded) return undefined;
    if (type === FRAME_TYPE.data) return 1;
    return type === FRAME_TYPE.file && this.#hasFiles ? FILE_HEAD_BYTES : undefined;
  }

  /** The head of a frame of data, or of a piece of a file: what is in it is passed on as it comes. */
  #begin(head: Bytes): void {
    this.#receivedBytes += head.length - 1;
    this.#file = head.length === FILE_HEAD_BYTES
      ? new DataView(head.buffer, head.byteOffset).getUint32(1)
      : undefined;
  }

  #readPiece(): PeerEvent | undefined {
    const bytes = this.#frames.readPiece();
    if (!bytes) return undefined;
    this.#consumedBytes += bytes.length;
    this.#receivedBytes += bytes.length;
    return this.#file === undefined
      ? { type: "data", bytes }
      : { type: "file", file: this.#file, bytes };
  }

  #open(): { readonly signs: boolean } | undefined {
    if (!this.#ready || !this.#peerReady || this.#state !== "greeting") return undefined;
    this.#state = "open";
    return { signs: this.#signs };
  }

  get #signs(): boolean {
    return (this.#ready?.signs ?? false) && (this.#peerReady?.signs ?? false);
  }

  #take(type: number, body: Uint8Array): PeerEvent | undefined {
    if (type >= SKIPPED_TYPE_MIN) return undefined;
    if (type === FRAME_TYPE.control) {
      const control = parseControl(body);
      return control && this.#takeControl(control);
    }
    if (this.#state !== "open") throw broke("a message before both sides are ready");
    if (this.#hasPeerEnded) throw broke("a message behind the end");
    switch (type) {
      case FRAME_TYPE.text:
        this.#receivedBytes += body.length;
        return this.#takeText(body);
      case FRAME_TYPE.file:
        this.#checkFiles();
        throw broke("a piece of a file without its number");
      case FRAME_TYPE.end:
        return this.#takeEnd(body);
      default:
        throw broke(`a frame of the unknown type ${type}`);
    }
  }

  #takeText(body: Uint8Array): PeerEvent | undefined {
    const bytes = this.#messages.push(body);
    if (!bytes) return undefined;
    const message = parseMessage(bytes);
    if (message.seen < this.#seen || message.seen > this.#sentMessages) {
      throw broke("a message that has seen what was not sent");
    }
    this.#seen = message.seen;
    this.#receivedMessages++;
    return { type: "text", number: this.#receivedMessages, message, bytes };
  }

  #takeEnd(body: Uint8Array): PeerEvent {
    const count = body.length === 8
      ? new DataView(body.buffer, body.byteOffset).getBigUint64(0)
      : undefined;
    if (count !== BigInt(this.#receivedBytes) || this.#messages.isWithin) {
      throw broke("an end that does not fit what came");
    }
    this.#hasPeerEnded = true;
    return { type: "peer-end", bytes: this.#receivedBytes };
  }

  get #hasFiles(): boolean {
    return hasFiles(this.#options.mode) && this.#hello !== undefined && hasFiles(this.#hello.mode);
  }

  #checkFiles(): void {
    if (!this.#hasFiles) throw broke("files where there are none");
  }

  #takeControl(control: Control): PeerEvent | undefined {
    switch (control.type) {
      case "HELLO":
        return this.#takeHello(control);
      case "ALIVE":
        if (!this.#hello) throw broke("ALIVE before HELLO");
        return undefined;
      case "LEAVING":
        this.#checkOpen(control.type);
        return { type: "leaving", report: { code: control.code, message: control.message } };
      case "NONCE":
        return this.#takeNonce(parseBase64(control.nonce));
      case "WAIT":
      case "READY":
      case "REFUSED":
        return this.#takeAnswer(control);
      case "DELIVERED":
        this.#checkOpen(control.type);
        if (control.messages < this.#delivered || control.messages > this.#sentMessages) {
          throw broke("a delivery of what was not sent");
        }
        this.#delivered = control.messages;
        return { type: "delivered", messages: control.messages };
      case "SIGNATURE":
        if (
          !this.#signs || !this.#hasPeerEnded || this.#endedBytes === undefined ||
          this.#hasSignature
        ) throw broke("SIGNATURE at the wrong time");
        this.#hasSignature = true;
        return { type: "signature", signature: parseBase64(control.signature) };
      case "RECEIVED":
        if (
          control.bytes !== this.#endedBytes || this.#isConfirmed ||
          (this.#signs && !this.#hasSignature)
        ) throw broke("a confirmation that does not fit what was sent");
        this.#isConfirmed = true;
        return { type: "confirmed" };
    }
    if (!isFileControl(control)) return undefined;
    this.#checkOpen(control.type);
    this.#checkFiles();
    // A file that was sent counts in what is signed, and nothing is signed before its end.
    if (control.type === "FILE_END" && this.#hasPeerEnded) {
      throw broke("FILE_END at the wrong time");
    }
    return { type: "file-control", control };
  }

  #checkOpen(type: string): void {
    if (this.#state !== "open") throw broke(`${type} at the wrong time`);
  }

  #takeHello(hello: Hello): PeerEvent {
    if (this.#hello) throw broke("a second HELLO");
    this.#hello = hello;
    const { mode, status, silence, wait = false, transcript = false, endorsements = [] } = hello;
    return {
      type: "hello",
      hello: {
        mode,
        ...(status === undefined ? {} : { status: parseBase64(status) }),
        silenceMs: silence,
        wait,
        transcript,
        endorsements: endorsements.map(endorsementFromJson),
      },
    };
  }

  #takeNonce(nonce: Bytes): PeerEvent {
    if (!this.#hello || this.#hasNonce) throw broke("NONCE at the wrong time");
    const commitment = parseBase64(this.#hello.commitment);
    if (!isCommittedTo(commitment, nonce, otherRole(this.#options.role))) {
      throw broke("a nonce that does not fit its commitment");
    }
    this.#hasNonce = true;
    return { type: "nonce", nonce };
  }

  #takeAnswer(
    answer: Extract<Control, { readonly type: "WAIT" | "READY" | "REFUSED" }>,
  ): PeerEvent | undefined {
    const { type } = answer;
    if (!this.#hello || this.#peerReady) throw broke(`${type} at the wrong time`);
    if (type === "REFUSED") {
      this.#state = "refused";
      return { type: "refused", report: { code: answer.code, message: answer.message } };
    }
    if (!this.#hasNonce) throw broke(`${type} at the wrong time`);
    if (type === "WAIT") {
      if (answer.reason === "busy" && !this.#options.wait) throw broke("WAIT at the wrong time");
      return { type: "wait", reason: answer.reason };
    }
    this.#peerReady = { signs: answer.signs };
    const opening = this.#open();
    return opening && { type: "open", ...opening };
  }
}
