/**
 * One conversation as the main thread has it: it sends what this side says, with back-pressure, and
 * passes what the peer sends to the conversation's worker, unread. What came of it goes to the
 * {@link LineHandlers}.
 */

import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Worker } from "node:worker_threads";
import { type Bytes, ownBytes } from "../base/bytes.ts";
import { messageOf, packError, PkiError, reportError, unpackError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { startWorker } from "../base/worker.ts";
import type { FileControl, WaitReason } from "../protocol/peer_messages.ts";
import { PeerSender } from "../protocol/peer_sender.ts";
import { NONCE_BYTES } from "../protocol/safety_words.ts";
import { Confirmation } from "./confirmation.ts";
import { cutError, deadError, deliveryError, reportLeaving } from "./cut_error.ts";
import { Deliveries } from "./deliveries.ts";
import { greet, type Greeting, type LineStart } from "./greeting.ts";
import type { Amounts, LineHandlers, NumberedMessage } from "./line_handlers.ts";
import { Outlet } from "./outlet.ts";
import { Patience } from "./patience.ts";
import type { FromConversation, Peer, ToConversation } from "./ports.ts";
import { Receipts } from "./receipts.ts";
import { CLOCK, SignsOfLife } from "./signs_of_life.ts";
import type { AskedStatus } from "./status.ts";

export type { Admission, Amounts, LineHandlers, NumberedMessage } from "./line_handlers.ts";

export class Line {
  readonly #socket: TLSSocket;
  readonly #worker: Worker;
  readonly #handlers: LineHandlers;
  readonly #sender = new PeerSender();
  readonly #nonce = new Uint8Array(randomBytes(NONCE_BYTES));
  readonly #over = Promise.withResolvers<void>();
  /** Bytes given to the worker that it has not worked on. */
  #bytesAhead = 0;
  readonly #deliveries = new Deliveries({
    isOver: () => this.#isOver,
    onDelivered: () => this.#flow(),
    onFailed: (error) => this.destroy(deliveryError(error)),
  });
  #isConfirmed = false;
  readonly #receipts = new Receipts();
  readonly #outlet: Outlet;
  readonly #patience = new Patience(
    () => this.#fail(new PkiError("timeout", "the peer does not answer")),
  );
  readonly #silenceMs: number;
  #signsOfLife: SignsOfLife | undefined;
  #peer: Peer | undefined;
  /** We have said READY. */
  #isReady = false;
  readonly #confirmation: Confirmation;
  #isOver = false;
  #isCut = false;

  constructor(socket: TLSSocket, start: LineStart, greeting: Greeting, handlers: LineHandlers) {
    this.#socket = socket;
    this.#outlet = new Outlet(socket);
    this.#handlers = handlers;
    this.#confirmation = new Confirmation({
      sender: this.#sender,
      sign: () => handlers.sign?.(),
      send: (frames) => this.#send(frames),
      isOver: () => this.#isOver,
      onConfirmed: () => this.#tell({ type: "received" }),
      onFailed: (error) => this.#fail(error),
    });
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
    this.#patience.limit(LIMITS.peerJudgedMs);
    const { status, wait = false, silenceMs = LIMITS.silenceMs } = greeting;
    this.#silenceMs = silenceMs;
    const isStapled = status !== undefined;
    this.#tell({ type: "start", start: { ...start, nonce: this.#nonce, wait, isStapled } });
    this.#send(greet(this.#sender, { start, greeting, nonce: this.#nonce }));
  }

  /** Resolves when both ends were said and confirmed. @throws {PkiError} why it ended otherwise */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether the peer's certificate was judged good. */
  get isKnown(): boolean {
    return this.#peer !== undefined;
  }

  /** Whether both sides were ready. */
  get hasOpened(): boolean {
    return this.#sender.isOpen || this.#sender.hasEnded;
  }

  /** What this side knows of how much arrived. */
  get amounts(): Amounts {
    return {
      sentBytes: this.#sender.sentBytes,
      isConfirmed: this.#isConfirmed,
      receivedBytes: this.#deliveries.deliveredBytes,
    };
  }

  /**
   * Sends a message.
   * @returns it, with its number
   * @throws {PkiError} `usage` if it is too long
   */
  sendText(text: string): NumberedMessage {
    const message = { timeMs: Date.now(), seen: this.#receipts.delivered, text };
    const { bytes, frames } = this.#sender.sendMessage(message);
    // First, so that the worker knows of it before the peer can say that it has it.
    this.#tell({ type: "sent", messages: this.#sender.sentMessages });
    this.#send(frames);
    const sent = { ...message, number: this.#sender.sentMessages, bytes };
    this.#handlers.onSent?.(sent);
    return sent;
  }

  /** Whether more may be sent without waiting. */
  get hasRoom(): boolean {
    return this.#outlet.hasRoom;
  }

  /** Sends a piece of a stream; resolves when there is room for more. */
  async sendData(chunk: Uint8Array): Promise<void> {
    if (this.#isOver) return;
    this.#send(this.#sender.sendData(chunk));
    await this.#outlet.room();
  }

  /**
   * Sends a piece of a file; resolves when there is room for more.
   * @throws {PkiError} `interrupted` behind our goodbye
   */
  async sendFile(file: number, chunk: Uint8Array): Promise<void> {
    if (this.#isOver) return;
    this.#checkNotEnded();
    this.#send(this.#sender.sendFile(file, chunk));
    await this.#outlet.room();
  }

  /** @throws {PkiError} as {@link sendFile}, for the end of a file */
  sendFileControl(control: FileControl): void {
    if (this.#isOver) return;
    if (control.type === "FILE_END") this.#checkNotEnded();
    this.#send(this.#sender.sendFileControl(control));
    this.#handlers.onSent?.(control);
  }

  #checkNotEnded(): void {
    if (this.#sender.hasEnded) {
      throw new PkiError("interrupted", "not sent to its end: the talk has ended");
    }
  }

  /**
   * Tells the peer why it hears nothing yet; only while it waits to be admitted. A user who is asked
   * something has so long to answer: whoever is away from the terminal keeps nobody else out.
   */
  sayWait(reason: WaitReason): void {
    if (this.#isOver || !this.#sender.isGreeting) return;
    this.#send(this.#sender.sayWait(reason));
    if (reason === "busy") return;
    const late = new PkiError("timeout", "nobody was there to be asked");
    this.#patience.limit(LIMITS.peerAskedMs, () => this.#turnAway(late));
  }

  /** Says that we send nothing more. */
  end(): void {
    if (this.#isOver || !this.#sender.isOpen) return;
    this.#tell({ type: "ended", bytes: this.#sender.sentBytes });
    this.#send(this.#sender.sendEnd());
    void this.#confirmation.look();
  }

  /** Ends it within a bounded time, whatever the peer does; with a goodbye if it ever began. */
  hangUp(): void {
    if (!this.hasOpened) {
      return this.#fail(new PkiError("interrupted", "the call was ended"));
    }
    this.end();
    this.#patience.limit(LIMITS.hangUpMs);
  }

  /** Ends it now, before everything was said; the peer hears why. */
  destroy(error: PkiError): void {
    if (this.#isOver) return;
    if (this.hasOpened) this.#send(this.#sender.sayLeaving(reportLeaving(error)));
    else if (this.#sender.isGreeting && !this.#isReady) {
      this.#send(this.#sender.sayRefused(reportError(error)));
    }
    this.#fail(error);
  }

  #tell(message: ToConversation): void {
    if (!this.#isOver) this.#worker.postMessage(message);
  }

  #send(frames: Bytes): void {
    if (this.#socket.destroyed || frames.length === 0) return;
    this.#socket.write(frames);
    this.#signsOfLife?.said();
  }

  #fromSocket(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#signsOfLife?.heard();
    const bytes = ownBytes(chunk);
    this.#bytesAhead += bytes.length;
    this.#worker.postMessage({ type: "bytes", bytes } satisfies ToConversation, [bytes.buffer]);
    this.#flow();
  }

  #fromWorker(message: FromConversation): void {
    const handlers = this.#handlers;
    switch (message.type) {
      case "taken":
        this.#bytesAhead -= message.count;
        for (const event of message.events) if (!this.#isOver) this.#fromWorker(event);
        return this.#flow();
      case "greeted":
        if (!this.#sender.isGreeting) return;
        this.#watch(message.silenceMs);
        return this.#send(this.#sender.reveal(this.#nonce));
      case "status-wanted":
        this.#patience.limit(LIMITS.peerJudgedMs); // it is us who make the peer wait
        return void this.#askStatus(message.request);
      case "judged":
        this.#patience.stop(); // for as long as we make up our mind
        this.#peer = message.peer;
        return void this.#admit(message.peer);
      case "untrusted":
        return this.#patience.limit(LIMITS.hangUpMs);
      case "refusing":
        return this.#turnAway(unpackError(message.error));
      case "wait":
        if (this.#patience.grant(message.reason)) handlers.onWait?.(message.reason);
        return;
      case "open":
        return this.#open(message.signs);
      case "text": {
        const { number, message: said, bytes } = message;
        this.#receipts.arrive();
        return this.#deliveries.add(bytes.length, async () => {
          await handlers.onText({ ...said, number, bytes });
          if (!this.#receipts.deliver() || this.#isOver) return;
          this.#send(this.#sender.sayDelivered(this.#receipts.delivered));
        });
      }
      case "delivered":
        return this.#deliveries.add(0, () => handlers.onDelivered?.(message.messages));
      case "data":
        return this.#deliveries.add(message.bytes.length, () => handlers.onData(message.bytes));
      case "file":
        return this.#deliveries.add(
          message.bytes.length,
          () => handlers.onFile?.(message.file, message.bytes),
        );
      case "file-control":
        return this.#deliveries.add(0, () => handlers.onFileControl?.(message.control));
      case "peer-end":
        return this.#deliveries.add(0, async () => {
          await handlers.onPeerEnd();
          await this.#confirmation.peerEnded(message.bytes);
        });
      case "signature":
        return this.#deliveries.add(0, () => handlers.onSignature?.(message.signature));
      case "confirmed":
        this.#isConfirmed = true;
        return;
      case "complete":
        return this.#deliveries.after(() => this.#finish(undefined));
      case "left":
        return this.#deliveries.after(() => this.#fail(unpackError(message.error)));
      case "cut":
        return this.#deliveries.after(() => this.#failCut());
      case "failed":
        return this.#finish(unpackError(message.error));
    }
  }

  /** From the greeting on each side wants to hear that the other still lives. */
  #watch(peerSilenceMs: number): void {
    this.#signsOfLife = new SignsOfLife({
      clock: CLOCK,
      silenceMs: this.#silenceMs,
      peerSilenceMs,
      isReading: () => !this.#socket.isPaused(),
      isSending: () => this.#socket.writableLength > 0,
      sayAlive: () => this.#send(this.#sender.sayAlive()),
      onDead: () => this.#fail(deadError(this.#silenceMs, { isOpen: !this.#sender.isGreeting })),
    });
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
    let signs: boolean;
    try {
      signs = (await this.#handlers.admit(peer) ?? {}).signs ?? false;
    } catch (error) {
      return this.#turnAway(error);
    }
    if (this.#isOver || !this.#sender.isGreeting) return;
    this.#patience.limitReady();
    this.#isReady = true;
    this.#send(this.#sender.sayReady(signs));
    this.#tell({ type: "ready", signs });
  }

  /** Once: what the peer sends behind its HELLO may give another reason. */
  #turnAway(error: unknown): void {
    if (this.#isOver || !this.#sender.isGreeting) return;
    this.#signsOfLife?.stop();
    this.#send(this.#sender.sayRefused(reportError(error)));
    this.#tell({ type: "refused", error: packError(error) });
  }

  #open(signs: boolean): void {
    this.#patience.stop();
    this.#sender.open();
    if (signs) this.#confirmation.demandSignature();
    if (!this.#peer) return;
    try {
      this.#handlers.onOpen(this.#peer, { signs });
    } catch (error) { // ends this line, and not the program with all others
      this.#fail(error instanceof PkiError ? error : new PkiError("internal", messageOf(error)));
    }
  }

  #flow(): void {
    this.#outlet.look();
    if (this.#isOver) return; // what still comes is read, and belongs to nobody
    const heldBytes = this.#bytesAhead + this.#deliveries.waitingBytes;
    if (heldBytes >= LIMITS.unreadBytesMax) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
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
    this.#fail(cutError("the line was cut before everything was confirmed"));
  }

  #fail(error: PkiError): void {
    if (!this.#isOver) this.#finish(error);
  }

  #finish(error: PkiError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#patience.stop();
    this.#signsOfLife?.stop();
    this.#outlet.release();
    this.#worker.removeAllListeners();
    this.#worker.on("error", () => {}); // it is being ended; what it throws now matters to nobody
    void this.#worker.terminate();
    this.#outlet.close();
    if (error) this.#over.reject(error);
    else this.#over.resolve();
  }
}
