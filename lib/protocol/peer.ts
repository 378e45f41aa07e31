/**
 * `pki-peer/1`, the private line between two people, without any I/O: what the frames say, and what
 * may come when. Both sides are alike; each greets, judges the other, and says READY or REFUSED.
 *
 * A frame is a type byte and a body. Each direction ends with an `end` frame that says how much was
 * sent, and the other side confirms it; a line that ends without that was cut.
 */

import * as v from "valibot";
import {
  type Bytes,
  concatBytes,
  encodeBase64,
  parseBase64,
  parseUtf8,
  utf8,
} from "../base/bytes.ts";
import { type ErrorReport, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { base64 } from "./fields.ts";
import { encodeFrame, FRAME_HEADER_BYTES, FrameReader } from "./frame.ts";

export const PEER_PROTOCOL = "pki-peer/1";

const TYPE = { control: 1, text: 2, data: 3, end: 4 } as const;

/** A talk has lines of text, a pipe has bytes; each side says which it sends. */
export type LineMode = "talk" | "pipe";

const CONTROL = v.variant("type", [
  v.strictObject({
    type: v.literal("HELLO"),
    mode: v.picklist(["talk", "pipe"]),
    /** An OCSP response (RFC 6960) about the certificate that this side shows in TLS. */
    status: v.optional(base64(1, LIMITS.ocspResponseBytesMax)),
  }),
  v.strictObject({ type: v.literal("READY") }),
  v.strictObject({
    type: v.literal("REFUSED"),
    code: v.pipe(v.string(), v.maxLength(64)),
    message: v.pipe(v.string(), v.maxLength(1024)),
  }),
  v.strictObject({
    type: v.literal("RECEIVED"),
    bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  }),
]);
type Control = v.InferOutput<typeof CONTROL>;

/** What a peer did. */
export type PeerEvent =
  /** `status` is the OCSP response that the peer staples, if any: bytes that nobody has judged. */
  | { readonly type: "hello"; readonly mode: LineMode; readonly status?: Bytes }
  /** Both sides are ready; only now is anything shown or sent. */
  | { readonly type: "open" }
  | { readonly type: "refused"; readonly report: ErrorReport }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  /** The peer sends nothing more, and everything it sent has been read. */
  | { readonly type: "peer-end" }
  /** The peer has everything that we sent. */
  | { readonly type: "confirmed" };

/** `greeting` until both are ready; `refused` after a REFUSED either way. */
export type PeerState = "greeting" | "open" | "refused";

function broke(what: string): PkiError {
  return new PkiError("protocol", `the peer broke the protocol: ${what}`);
}

function encodeControl(control: Control): Bytes {
  return encodeFrame(Uint8Array.of(TYPE.control), utf8(JSON.stringify(control)));
}

function parseControl(body: Uint8Array): Control {
  let value: unknown;
  try {
    value = JSON.parse(parseUtf8(body));
  } catch {
    throw broke("a control frame that is not JSON in UTF-8");
  }
  const parsed = v.safeParse(CONTROL, value);
  if (!parsed.success) throw broke("an unknown control frame");
  return parsed.output;
}

/** Cuts text into pieces of bounded UTF-8 length, never inside a character. */
function* splitText(text: string, bytesMax: number): Generator<Bytes> {
  let piece = "";
  let length = 0;
  for (const character of text) {
    const size = utf8(character).length;
    if (length + size > bytesMax) {
      yield utf8(piece);
      [piece, length] = ["", 0];
    }
    piece += character;
    length += size;
  }
  yield utf8(piece);
}

export class PeerSession {
  readonly #frames = new FrameReader();
  readonly #mode: LineMode;
  #state: PeerState = "greeting";
  #peerMode: LineMode | undefined;
  #isReady = false;
  #isPeerReady = false;
  #sentBytes = 0;
  #receivedBytes = 0;
  #hasEnded = false;
  #isConfirmed = false;
  #hasPeerEnded = false;
  #hasConfirmed = false;
  #consumedBytes = 0;
  #error: unknown;

  constructor(mode: LineMode) {
    this.#mode = mode;
  }

  get state(): PeerState {
    return this.#state;
  }

  /** Whether both directions have ended and both ends are confirmed. */
  get isComplete(): boolean {
    return this.#isConfirmed && this.#hasConfirmed;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * The first frame of each side.
   * @param status the OCSP response about our own certificate, if we have one
   */
  greet(status?: Uint8Array): Bytes {
    return encodeControl({
      type: "HELLO",
      mode: this.#mode,
      ...(status ? { status: encodeBase64(status) } : {}),
    });
  }

  /** We have judged the peer and are ready. */
  sayReady(): Bytes {
    this.#isReady = true;
    this.#openIfBothReady();
    return encodeControl({ type: "READY" });
  }

  sayRefused(report: ErrorReport): Bytes {
    this.#state = "refused";
    return encodeControl({
      type: "REFUSED",
      code: report.code,
      message: report.message.slice(0, 1024),
    });
  }

  #openIfBothReady(): void {
    if (this.#isReady && this.#isPeerReady && this.#state === "greeting") this.#state = "open";
  }

  /** One line, as one or more frames. */
  sendText(line: string): Bytes {
    this.#checkMaySend();
    const frames = [...splitText(line.toWellFormed(), LIMITS.lineBytesMax)].map((piece) => {
      this.#sentBytes += piece.length;
      return encodeFrame(Uint8Array.of(TYPE.text), piece);
    });
    return concatBytes(...frames);
  }

  /** A piece of a stream, as frames of bounded size. */
  sendData(bytes: Uint8Array): Bytes {
    this.#checkMaySend();
    const frames: Bytes[] = [];
    for (let at = 0; at < bytes.length; at += LIMITS.frameBytesMax - 1) {
      const piece = bytes.subarray(at, at + LIMITS.frameBytesMax - 1);
      frames.push(encodeFrame(Uint8Array.of(TYPE.data), piece));
    }
    this.#sentBytes += bytes.length;
    const [only, ...more] = frames;
    return only && more.length === 0 ? only : concatBytes(...frames);
  }

  /** Says that we send nothing more. */
  sendEnd(): Bytes {
    this.#checkMaySend();
    this.#hasEnded = true;
    const count = new Uint8Array(8);
    new DataView(count.buffer).setBigUint64(0, BigInt(this.#sentBytes));
    return encodeFrame(Uint8Array.of(TYPE.end), count);
  }

  #checkMaySend(): void {
    if (this.#state !== "open" || this.#hasEnded) {
      throw new PkiError("internal", "sending where nothing may be sent");
    }
  }

  /** Confirms the peer's end, once everything it sent has been delivered. */
  sayReceived(): Bytes {
    if (!this.#hasPeerEnded) throw new PkiError("internal", "confirming what has not ended");
    this.#hasConfirmed = true;
    return encodeControl({ type: "RECEIVED", bytes: this.#receivedBytes });
  }

  receive(chunk: Uint8Array): void {
    this.#frames.push(chunk);
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
      const frame = this.#frames.read();
      if (!frame) return undefined;
      this.#consumedBytes += FRAME_HEADER_BYTES + frame.length;
      const event = this.#take(frame[0] ?? 0, frame.subarray(1));
      if (event) return event;
    }
  }

  #take(type: number, body: Uint8Array): PeerEvent | undefined {
    if (type === TYPE.control) return this.#takeControl(parseControl(body));
    if (!this.#isPeerReady || !this.#isReady) throw broke("a message before both sides are ready");
    if (this.#hasPeerEnded) throw broke("a message behind the end");
    switch (type) {
      case TYPE.text: {
        if (body.length > LIMITS.lineBytesMax) throw broke("a line that is too long");
        this.#receivedBytes += body.length;
        try {
          return { type: "text", text: parseUtf8(body) };
        } catch {
          throw broke("a line that is not UTF-8");
        }
      }
      case TYPE.data:
        this.#receivedBytes += body.length;
        return { type: "data", bytes: body };
      case TYPE.end: {
        const count = body.length === 8
          ? new DataView(body.buffer, body.byteOffset).getBigUint64(0)
          : undefined;
        if (count !== BigInt(this.#receivedBytes)) {
          throw broke("an end that does not fit what came");
        }
        this.#hasPeerEnded = true;
        return { type: "peer-end" };
      }
      default:
        throw broke(`a frame of the unknown type ${type}`);
    }
  }

  #takeControl(control: Control): PeerEvent | undefined {
    switch (control.type) {
      case "HELLO":
        if (this.#peerMode) throw broke("a second HELLO");
        this.#peerMode = control.mode;
        return {
          type: "hello",
          mode: control.mode,
          ...(control.status === undefined ? {} : { status: parseBase64(control.status) }),
        };
      case "READY":
        if (!this.#peerMode || this.#isPeerReady) throw broke("READY at the wrong time");
        this.#isPeerReady = true;
        this.#openIfBothReady();
        return this.#state === "open" ? { type: "open" } : undefined;
      case "REFUSED":
        if (!this.#peerMode || this.#isPeerReady) throw broke("REFUSED at the wrong time");
        this.#state = "refused";
        return { type: "refused", report: { code: control.code, message: control.message } };
      case "RECEIVED":
        if (!this.#hasEnded || this.#isConfirmed || control.bytes !== this.#sentBytes) {
          throw broke("a confirmation that does not fit what was sent");
        }
        this.#isConfirmed = true;
        return { type: "confirmed" };
    }
  }
}
