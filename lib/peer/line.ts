/**
 * One conversation as the main thread has it: bytes from the socket to the conversation's worker and
 * back, with back-pressure both ways. What is said on it goes to its {@link LineHandlers}.
 */

import type { TLSSocket } from "node:tls";
import type { Worker } from "node:worker_threads";
import { copyBytes } from "../base/bytes.ts";
import { messageOf, packError, PkiError, unpackError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { startWorker } from "../base/worker.ts";
import type { ConversationStart, FromConversation, Peer, ToConversation } from "./ports.ts";
import type { AskedStatus } from "./status.ts";

export interface LineHandlers {
  /**
   * Asks the server for the status of the peer's certificate, which did not come with it, within a
   * bounded time. DER of an OCSP request, and of the response, which is judged elsewhere.
   */
  readonly askStatus: (request: Uint8Array) => Promise<Uint8Array>;
  /**
   * The peer's certificate is good: do we want to converse? Throws a {@link PkiError} to turn the peer
   * away with its message.
   */
  readonly admit: (peer: Peer) => void | Promise<void>;
  /** Both sides are ready. */
  readonly onOpen: (peer: Peer) => void;
  /** Returns when it can take more. */
  readonly onText: (text: string) => void | Promise<void>;
  /** Returns when it can take more. */
  readonly onData: (bytes: Uint8Array) => void | Promise<void>;
  /** The peer sends nothing more; resolves once all of it is where it belongs. */
  readonly onPeerEnd: () => void | Promise<void>;
}

/** What a delivery that waits costs besides its bytes: frames may be empty, and many. */
const DELIVERY_BYTES = 256;

export class Line {
  readonly #socket: TLSSocket;
  readonly #worker: Worker;
  readonly #handlers: LineHandlers;
  readonly #over = Promise.withResolvers<void>();
  /** Bytes given to the worker that it has not worked on. */
  #bytesAhead = 0;
  /** Data given to the worker that has not come back as frames. */
  #dataAhead = 0;
  /** Deliveries under way, in order. */
  #deliveries: Promise<void> = Promise.resolve();
  #undelivered = 0;
  #waitingForRoom: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #peer: Peer | undefined;
  #isOpen = false;
  #isOver = false;
  #isCut = false;

  constructor(socket: TLSSocket, start: ConversationStart, handlers: LineHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#worker = startWorker("conversation");
    this.#worker.on("message", (message: FromConversation) => this.#fromWorker(message));
    this.#worker.on("error", (error) => this.#fail(new PkiError("internal", messageOf(error))));
    this.#worker.on("exit", () => this.#fail(new PkiError("internal", "the worker ended")));
    socket.setKeepAlive(true, LIMITS.keepAliveMs);
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#fromSocket(chunk));
    socket.on("drain", () => this.#flow());
    socket.on("error", () => {}); // "close" follows
    socket.on("end", () => this.#cut());
    socket.on("close", () => this.#cut());
    this.#limit(LIMITS.peerJudgedMs);
    this.#tell({ type: "start", start });
  }

  /** Resolves when both ends were said and confirmed. @throws {PkiError} why it ended otherwise */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  sendText(line: string): void {
    this.#tell({ type: "text", line });
  }

  /** Sends a piece of a stream; resolves when there is room for more. */
  async sendData(chunk: Uint8Array): Promise<void> {
    const bytes = copyBytes(chunk);
    this.#dataAhead += bytes.length;
    this.#worker.postMessage({ type: "data", bytes } satisfies ToConversation, [bytes.buffer]);
    if (this.#hasRoom()) return;
    await new Promise<void>((resolve) => this.#waitingForRoom.push(resolve));
  }

  /** Says that we send nothing more. */
  end(): void {
    this.#tell({ type: "end" });
  }

  /** Ends it within a bounded time, whatever the peer does; with a goodbye if it ever began. */
  hangUp(): void {
    if (!this.#isOpen) return this.#fail(new PkiError("interrupted", "the call was ended"));
    this.end();
    this.#limit(LIMITS.hangUpMs);
  }

  /** Ends it now, without a word. */
  destroy(error: PkiError): void {
    this.#fail(error);
  }

  #tell(message: ToConversation): void {
    if (!this.#isOver) this.#worker.postMessage(message);
  }

  #limit(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#fail(new PkiError("timeout", "the peer does not answer")),
      ms,
    );
  }

  #fromSocket(chunk: Uint8Array): void {
    if (this.#isOver) return;
    const bytes = copyBytes(chunk);
    this.#bytesAhead += bytes.length;
    this.#worker.postMessage({ type: "bytes", bytes } satisfies ToConversation, [bytes.buffer]);
    this.#flow();
  }

  #fromWorker(message: FromConversation): void {
    switch (message.type) {
      case "bytes":
        if (!this.#socket.destroyed) this.#socket.write(message.bytes);
        this.#dataAhead = Math.max(0, this.#dataAhead - message.bytes.length);
        return this.#flow();
      case "taken":
        this.#bytesAhead -= message.count;
        return this.#flow();
      case "status-wanted":
        this.#limit(LIMITS.peerJudgedMs); // it is us who make the peer wait
        return void this.#askStatus(message.request);
      case "judged":
        this.#limit(LIMITS.peerReadyMs);
        this.#peer = message.peer;
        return void this.#admit(message.peer);
      case "untrusted":
        return this.#limit(LIMITS.hangUpMs);
      case "open":
        clearTimeout(this.#timer);
        this.#isOpen = true;
        if (this.#peer) this.#handlers.onOpen(this.#peer);
        return;
      case "text":
        return this.#deliver(message.text.length, () => this.#handlers.onText(message.text));
      case "data":
        return this.#deliver(message.bytes.length, () => this.#handlers.onData(message.bytes));
      case "peer-end":
        return this.#deliver(0, async () => {
          await this.#handlers.onPeerEnd();
          this.#tell({ type: "delivered" });
        });
      case "complete":
        return this.#finish(undefined);
      case "cut":
        return void this.#deliveries.then(() => this.#failCut());
      case "failed":
        return this.#finish(unpackError(message.error));
    }
  }

  async #askStatus(request: Uint8Array): Promise<void> {
    let asked: AskedStatus;
    try {
      asked = { response: await this.#handlers.askStatus(request) };
    } catch (error) {
      asked = { failure: messageOf(error) };
    }
    this.#tell({ type: "status", asked });
  }

  async #admit(peer: Peer): Promise<void> {
    try {
      await this.#handlers.admit(peer);
      this.#tell({ type: "admit" });
    } catch (error) {
      this.#tell({ type: "turn-away", error: packError(error) });
    }
  }

  /** Keeps deliveries in order and the socket paused while they are behind. */
  #deliver(size: number, work: () => void | Promise<void>): void {
    const cost = size + DELIVERY_BYTES;
    this.#undelivered += cost;
    this.#deliveries = this.#deliveries.then(work).then(() => {
      this.#undelivered -= cost;
      this.#flow();
    }, (error) => this.#fail(error instanceof PkiError ? error : asStorage(error)));
  }

  #hasRoom(): boolean {
    return this.#dataAhead + this.#socket.writableLength < LIMITS.unreadBytesMax;
  }

  #flow(): void {
    if (this.#bytesAhead + this.#undelivered >= LIMITS.unreadBytesMax) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
    if (this.#hasRoom()) { for (const resolve of this.#waitingForRoom.splice(0)) resolve(); }
  }

  /**
   * The TCP connection has ended. Whether that was the end is for the worker to know: what came before
   * may still be with it, and so may the word that the conversation is complete.
   */
  #cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#tell({ type: "cut" });
    const patience = setTimeout(() => this.#failCut(), LIMITS.hangUpMs);
    this.over.then(() => clearTimeout(patience), () => clearTimeout(patience));
  }

  #failCut(): void {
    this.#fail(
      new PkiError("truncated", "the line was cut before everything was confirmed", {
        hint: "what arrived may be incomplete: send it again",
      }),
    );
  }

  #fail(error: PkiError): void {
    if (!this.#isOver) this.#finish(error);
  }

  #finish(error: PkiError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const resolve of this.#waitingForRoom.splice(0)) resolve();
    this.#worker.removeAllListeners();
    this.#worker.on("error", () => {}); // it is being ended; what it throws now matters to nobody
    void this.#worker.terminate();
    this.#closeSocket();
    if (error) this.#over.reject(error);
    else this.#over.resolve();
  }

  /** Lets the last frames out, and reads on until the peer closes, so that they are not lost to a reset. */
  #closeSocket(): void {
    if (this.#socket.destroyed) return;
    this.#socket.end();
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), LIMITS.hangUpMs);
    this.#socket.once("close", () => clearTimeout(timer));
    this.#socket.once("end", () => this.#socket.destroy());
  }
}

function asStorage(error: unknown): PkiError {
  return new PkiError("storage", `cannot write what arrived: ${messageOf(error)}`, {
    cause: error,
    hint: "free some space, or write to another file; then have it sent again",
  });
}
