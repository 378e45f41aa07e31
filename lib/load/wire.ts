/**
 * One connection of a load: one request after the other, each a frame made beforehand of which only
 * `seq` changes, and answers that are looked at as bytes. It costs little, since a generator mostly
 * shares the machine with what it measures. What an answer says is for its caller to judge.
 */

import { Buffer } from "node:buffer";
import type { TLSSocket } from "node:tls";
import { ERROR_KINDS, type ErrorKind, kindOfWireCode, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import { FRAME_HEADER_BYTES } from "../protocol/frame.ts";
import { parseAnswer } from "../protocol/answers.ts";
import { encodeRequest, type RequestBody, type RequestType } from "../protocol/requests.ts";

const SECOND_MS = 1000;
/** Sequence numbers of one number of digits, so that a frame is equally long with each of them. */
const SEQ_FIRST = 1_000_000_000;

/** A request whose frame is made once and sent often. */
export interface PreparedRequest {
  readonly type: RequestType;
  readonly frame: Buffer;
  /** Where the digits of `seq` begin. */
  readonly seqAt: number;
}

export function prepareRequest<T extends RequestType>(
  type: T,
  body: RequestBody<T>,
): PreparedRequest {
  const frame = Buffer.from(encodeRequest(SEQ_FIRST, type, body));
  return { type, frame, seqAt: frame.indexOf(String(SEQ_FIRST)) };
}

/** Where the fields of an `OK` begin in a body that {@link Wire.ask} returned. */
export const FIELDS_AT = `{"seq":${SEQ_FIRST},"type":"OK"`.length;

/** Errors that say that an answer is not what it must be. */
const WRONG = new WeakSet<PkiError>();

/** An `OK` that is not what was asked for: worse than any refusal. */
export function wrongAnswer(why: string, cause?: unknown): PkiError {
  const error = new PkiError("protocol", `the server answered wrongly: ${why}`, { cause });
  WRONG.add(error);
  return error;
}

/** What a table calls it. */
const WRONG_CODE = "WRONG";

/** The code of a failure, as it is told in a table: the server's own, or what a client calls it. */
export function codeOf(error: unknown): string {
  if (error instanceof PkiError && WRONG.has(error)) return WRONG_CODE;
  const kind: ErrorKind = error instanceof PkiError ? error.kind : "internal";
  return ERROR_KINDS[kind].wireCode;
}

/** Codes of what no server that works does, however busy it is. */
export const FAULTS: readonly string[] = [
  WRONG_CODE,
  ...(["protocol", "truncated", "internal"] as const).map((kind) => ERROR_KINDS[kind].wireCode),
];

interface Waiting {
  readonly type: RequestType;
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: PkiError) => void;
}

export class Wire {
  readonly #socket: TLSSocket;
  #seq = SEQ_FIRST;
  #held: Buffer | undefined;
  #waiting: Waiting | undefined;
  #error: PkiError | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  #ticksWaited = 0;

  /** Takes a connection over, of which nothing more is expected that was asked before. */
  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.removeAllListeners("data");
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => {}); // "close" follows
    socket.once("close", () => this.#fail("truncated", "the server closed the connection"));
    // One timer for all requests: an answer that is late by a second more is as late.
    this.#timer = setInterval(() => this.#tick(), SECOND_MS);
    this.#timer.unref();
    if (socket.destroyed) this.#fail("truncated", "the server closed the connection");
  }

  get isOpen(): boolean {
    return this.#error === undefined;
  }

  /**
   * Sends a request and waits for its answer, one at a time.
   * @returns the body of an `OK`: JSON of which nothing was looked at but its beginning
   * @throws {PkiError} what the server answered, or `truncated`, `timeout`, `protocol`
   */
  ask({ type, frame, seqAt }: PreparedRequest): Promise<Buffer> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.#waiting) return Promise.reject(new PkiError("internal", "one request at a time"));
    // A frame of its own: the engine may keep what it is given until it is sent.
    const own = Buffer.from(frame);
    own.write(String(++this.#seq), seqAt, "latin1");
    this.#ticksWaited = 0;
    return new Promise((resolve, reject) => {
      this.#waiting = { type, resolve, reject };
      this.#socket.write(own);
    });
  }

  /** Says goodbye as a client does that has what it wanted. */
  leave(): void {
    this.#socket.end();
    this.#socket.destroySoon?.();
    clearInterval(this.#timer);
    this.#error ??= new PkiError("interrupted", "the connection was closed here");
  }

  /** Cuts it; what is being asked fails. */
  close(): void {
    this.#fail("interrupted", "the connection was closed here");
  }

  #tick(): void {
    if (!this.#waiting || ++this.#ticksWaited * SECOND_MS <= LIMITS.answerMs) return;
    this.#fail("timeout", `the server does not answer ${this.#waiting.type}`);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = undefined;
    const end = bytes.length < FRAME_HEADER_BYTES
      ? Infinity
      : FRAME_HEADER_BYTES + bytes.readUInt32BE(0);
    if (end > FRAME_HEADER_BYTES + LIMITS.frameBytesMax && end !== Infinity) {
      return this.#fail("protocol", "the server sent a frame that is too long");
    }
    if (bytes.length < end) {
      this.#held = Buffer.from(bytes); // the engine may use its memory again
      return;
    }
    const body = bytes.subarray(FRAME_HEADER_BYTES, end);
    const waiting = this.#waiting;
    if (!waiting || bytes.length > end) return this.#unasked(body);
    const wanted = `{"seq":${this.#seq},"type":"OK"`;
    if (body.toString("latin1", 0, wanted.length) === wanted) {
      this.#waiting = undefined;
      return waiting.resolve(body);
    }
    this.#refused(body, waiting);
  }

  /** Anything but an `OK` is read as whoever is not in a hurry reads it. */
  #refused(body: Buffer, { reject }: Waiting): void {
    try {
      const answer = parseAnswer(body);
      if (answer.ok || (answer.seq !== this.#seq && answer.seq !== 0)) return this.#unasked(body);
      const { code, message } = answer.error;
      const error = new PkiError(kindOfWireCode(code), `the server says: ${printable(message)}`);
      if (answer.seq === 0) return this.#failWith(error);
      this.#waiting = undefined;
      reject(error);
    } catch {
      this.#fail("protocol", "the server answers what cannot be read");
    }
  }

  /** What comes unasked is the server's last word, or a fault. */
  #unasked(body: Buffer): void {
    if (this.#waiting === undefined) {
      try {
        const answer = parseAnswer(body);
        if (!answer.ok && answer.seq === 0) {
          const { code, message } = answer.error;
          const said = `the server says: ${printable(message)}`;
          return this.#failWith(new PkiError(kindOfWireCode(code), said));
        }
      } catch {
        // As if it were not an error at all.
      }
    }
    this.#fail("protocol", "the server answers what was not asked");
  }

  #fail(kind: ErrorKind, message: string): void {
    this.#failWith(new PkiError(kind, message));
  }

  #failWith(error: PkiError): void {
    this.#error ??= error;
    clearInterval(this.#timer);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#error);
    this.#socket.destroy();
  }
}
