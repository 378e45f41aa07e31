/**
 * One connection as the main thread has it: bytes from the socket to the worker and back, with
 * back-pressure both ways, and a watchdog. It looks into nothing that passes.
 *
 * The worker keeps the deadlines of its connection. What has to be over by the last of them is ended
 * here, too, in case a client has taken the worker over.
 */

import type { TLSSocket } from "node:tls";
import { encodeLatin1 } from "../base/bytes.ts";
import { ERROR_KINDS, kindOfWireCode, PkiError, reportError } from "../base/errors.ts";
import { causeFault, FAULT_WORKER_LATE_MS, HAS_FAULTS, isFaultIn } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import type { ServerLimits } from "../base/server_limits.ts";
import { encodeError } from "../protocol/answers.ts";
import type { FromConnection, ToConnection } from "./ports.ts";
import type { ConnectionWorker } from "./worker_pool.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

const LATE_MS = HAS_FAULTS ? FAULT_WORKER_LATE_MS : LIMITS.workerLateMs;

export interface RelayOptions {
  readonly socket: TLSSocket;
  readonly worker: ConnectionWorker;
  readonly limits: Pick<ServerLimits, "answersUnreadBytes" | "requestSeconds" | "sessionSeconds">;
  /** Milliseconds of a clock that nobody sets back. */
  readonly now?: () => number;
  /**
   * Called once, when the connection is over and its worker has been ended; with the code of the last
   * word, if it was not the client who has ended it.
   */
  readonly onClosed: (code: string | undefined) => void;
  readonly onFault: (what: string) => void;
}

/** What a connection worker says in one word. */
const WITHOUT_FIELDS: Readonly<
  Record<Exclude<FromConnection["type"], "bytes" | "taken">, true>
> = { ready: true, pong: true, close: true };

/** Whether a message is one that a connection worker of ours sends, which has so many bytes. */
function isSound(message: unknown, bytesAhead: number): message is FromConnection {
  if (typeof message !== "object" || message === null) return false;
  const { type, text, taken } = message as Readonly<Record<string, unknown>>;
  const isTaken = Number.isInteger(taken) && Number(taken) >= 0 && Number(taken) <= bytesAhead;
  switch (type) {
    case "bytes":
      return isTaken && typeof text === "string";
    case "taken":
      return isTaken;
    default:
      return typeof type === "string" && Object.hasOwn(WITHOUT_FIELDS, type);
  }
}

export class Relay {
  readonly #socket: TLSSocket;
  readonly #worker: ConnectionWorker;
  readonly #options: RelayOptions;
  readonly #now: () => number;
  /** When it is over, whatever its worker says. */
  #endMs: number;
  #isOverdue = false;
  /** Bytes that the worker has and has not worked on. */
  #bytesAhead = 0;
  /** What came from the client and waits for the worker, or for the client to read its answers. */
  readonly #held: string[] = [];
  #heldBytes = 0;
  /** Bytes of answers that the worker has not been told of as read. */
  #bytesUnread = 0;
  #isAnswering = true;
  /** The last word was written: what still comes is thrown away. */
  #isLeaving = false;
  #isOver = false;
  #code: string | undefined;
  #watchdog: ReturnType<typeof setInterval> | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.#worker = options.worker;
    this.#now = options.now ?? (() => performance.now());
    this.#endMs = this.#lastMs(options.limits.sessionSeconds);
    this.#worker.listen({
      onMessage: (message) => this.#fromWorkerIfSound(message),
      onThrown: (message) => this.#fail(`threw: ${message}`),
      onEnded: () => this.#fail("ended"),
    });
    this.#socket.on("data", (chunk: Uint8Array) => this.#fromSocket(chunk));
    this.#socket.on("drain", () => this.#flow());
    this.#socket.on("error", () => this.#end()); // a client that vanished; nothing to tell it
    this.#socket.on("end", () => this.#end());
    this.#socket.on("close", () => this.#end());
    this.#watchdog = setInterval(() => this.#watch(), LIMITS.watchdogMs);
  }

  /** By when a worker of ours has ended what was to end in so many seconds, and what ran then. */
  #lastMs(seconds: number): number {
    const { requestSeconds } = this.#options.limits;
    return this.#now() + (seconds + requestSeconds) * 1000 + LATE_MS;
  }

  /** The directory has ended the session, and its worker was told so. */
  expectEnd(): void {
    this.#endMs = Math.min(this.#endMs, this.#lastMs(0));
  }

  /** The server stops: what runs is answered, then the connection ends. */
  finish(): void {
    this.#tell({ type: "finish" });
  }

  /** The server cannot go on: nothing more is answered, and the client hears that. */
  abandon(error: PkiError): void {
    if (this.#isOver || this.#isLeaving) return;
    const report = reportError(error);
    this.#socket.write(encodeError(0, report));
    this.#sayGoodbye(report.code);
  }

  /** Ends it now. */
  destroy(): void {
    this.#end();
  }

  /** Not to one that was ended: an engine may throw at whoever does, here in the main thread. */
  #tell(message: ToConnection): void {
    if (!this.#isOver && !this.#isLeaving) this.#worker.tell(message);
  }

  #fromSocket(chunk: Uint8Array): void {
    if (this.#isOver || this.#isLeaving) return;
    this.#held.push(encodeLatin1(chunk));
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > LIMITS.heldBytesMax) return this.#fail("was given more than it can take");
    this.#flow();
  }

  /** What it says is looked at before it is believed: it has read a stranger's bytes. */
  #fromWorkerIfSound(message: unknown): void {
    if (typeof PKI_FAULTS !== "undefined" && PKI_FAULTS) {
      const { type } = message as { readonly type: string };
      if (isFaultIn("main", type)) setTimeout(() => causeFault("main", type));
    }
    if (isSound(message, this.#bytesAhead)) this.#fromWorker(message);
    else this.#fail("said what it must not say");
  }

  #fromWorker(message: FromConnection): void {
    switch (message.type) {
      case "bytes":
        if (!this.#isOver && !this.#isLeaving) this.#socket.write(message.text, "latin1");
        this.#bytesUnread += message.text.length;
        this.#bytesAhead -= message.taken;
        return this.#flow();
      case "taken":
        this.#bytesAhead -= message.taken;
        return this.#flow();
      case "ready": // it was taken while it was starting
        return;
      case "pong":
        this.#isAnswering = true;
        return;
      case "close":
        return this.#sayGoodbye(message.code);
    }
  }

  /**
   * Gives the worker another piece only while it has less than a frame's worth ahead, and nothing
   * while the client does not read its answers; reads on only when nothing waits here.
   */
  #flow(): void {
    if (this.#isLeaving) return;
    const { answersUnreadBytes } = this.#options.limits;
    const unread = this.#socket.writableLength;
    // The worker counts what it sends: without hearing of it as read it does nothing more.
    const read = this.#bytesUnread - unread;
    if (read >= answersUnreadBytes / 2) {
      this.#bytesUnread -= read;
      this.#tell({ type: "read", bytes: read });
    }
    while (this.#bytesAhead < LIMITS.relayBytesMax && unread < answersUnreadBytes) {
      const text = this.#held.shift();
      if (text === undefined) break;
      this.#heldBytes -= text.length;
      this.#bytesAhead += text.length;
      this.#tell(text);
    }
    if (this.#held.length > 0) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #watch(): void {
    if (!this.#isAnswering) return this.#fail("does not answer");
    // Not at the first look: where all threads have stood still, the worker has had no time to end it.
    if (this.#isOverdue) return this.#fail("did not end when its time was over");
    this.#isOverdue = this.#now() >= this.#endMs;
    this.#isAnswering = false;
    this.#tell({ type: "ping" });
  }

  /** The worker has failed: its client hears that, nobody else notices. */
  #fail(what: string): void {
    if (this.#isOver) return;
    this.#options.onFault(`a connection worker ${what}`);
    const report = reportError(new PkiError("internal", what));
    this.#socket.write(encodeError(0, report));
    this.#sayGoodbye(report.code);
  }

  /** Ends once what was written has been taken, or not taken for a while. */
  #sayGoodbye(code: string | undefined): void {
    if (this.#isOver || this.#isLeaving) return;
    this.#isLeaving = true;
    // Whatever a worker says, it is one of ours.
    this.#code = code === undefined ? undefined : ERROR_KINDS[kindOfWireCode(code)].wireCode;
    this.#held.length = 0;
    this.#socket.resume(); // over unread bytes the system would take the last word back
    this.#socket.end();
    const timer = setTimeout(() => this.#end(), LIMITS.drainMs);
    this.#socket.once("close", () => clearTimeout(timer));
    this.#stopWorker();
  }

  #stopWorker(): void {
    clearInterval(this.#watchdog);
    this.#worker.end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopWorker();
    this.#socket.destroy();
    this.#options.onClosed(this.#code);
  }
}
