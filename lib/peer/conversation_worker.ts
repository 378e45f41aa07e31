/**
 * Entry of a conversation's worker: the only thread that reads what a peer sends. It judges the
 * peer's certificate, knows what may come when, and tells the main thread what came. It has no key,
 * and sends nothing.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import type { Bytes } from "../base/bytes.ts";
import {
  type ErrorKind,
  type ErrorReport,
  kindOfWireCode,
  type PackedError,
  packError,
  PkiError,
  unpackError,
} from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import { type PeerEvent, type PeerHello, PeerReceiver } from "../protocol/peer.ts";
import { NO_REASON } from "../protocol/peer_messages.ts";
import { deriveSecrets } from "../protocol/safety_words.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { type JudgedUser, judgeUser } from "../x509/chain.ts";
import { encodeOcspRequest } from "../x509/ocsp.ts";
import type { ConversationStart, FromConversation, Peer, ToConversation } from "./ports.ts";
import { cutError } from "./cut_error.ts";
import { type AskedStatus, judgePeerStatus } from "./status.ts";

const main = parentPort as MessagePort;

/** What is told of one portion of bytes, all in one message: a message costs more than what is in it. */
let batch: FromConversation[] | undefined;

function tell(message: FromConversation): void {
  if (batch) batch.push(message);
  else main.postMessage(message);
}

/**
 * Passes a piece of the stream on, as it lies in the portion that came. What follows another piece is
 * moved up to it, over the head of its frame, which has been read: moving costs less than handling two,
 * and nobody makes us handle bytes one by one.
 */
function passOn(piece: Passage): void {
  const last = batch?.at(-1);
  if (
    batch && last?.type === piece.type && fileOf(last) === fileOf(piece) &&
    last.bytes.buffer === piece.bytes.buffer
  ) {
    const { buffer, byteOffset, length } = last.bytes;
    new Uint8Array(buffer, byteOffset + length).set(piece.bytes);
    batch.pop();
    piece = { ...piece, bytes: new Uint8Array(buffer, byteOffset, length + piece.bytes.length) };
  }
  tell(piece);
}

type Passage = Extract<FromConversation, { readonly type: "data" | "file" }>;

function fileOf(piece: Passage): number | undefined {
  return piece.type === "file" ? piece.file : undefined;
}

/** Who it is, by the certificate alone; an error of the kind `untrusted` for nobody we know. */
function judge(
  { shown, issuingDer, rootDer, domain, pins }: ConversationStart,
): JudgedUser | PkiError {
  try {
    return judgeUser(shown.length > 0 ? [...shown, issuingDer] : [], {
      anchor: { root: parseCertificate(rootDer), domain, ...pins },
      nowMs: Date.now(),
    });
  } catch (error) {
    if (error instanceof PkiError) return error;
    throw error;
  }
}

/**
 * What a peer's refusal is to us. Other codes would let the peer choose our exit code: a fault of
 * ours, or an interruption, that there was not.
 */
function kindOfRefusal(code: string): ErrorKind {
  const kind = kindOfWireCode(code);
  return kind === "busy" || kind === "untrusted" ? kind : "refused";
}

class Conversation {
  readonly #receiver: PeerReceiver;
  readonly #start: ConversationStart;
  readonly #verdict: JudgedUser | PkiError;
  #hello: PeerHello | undefined;
  #nonce: Uint8Array | undefined;
  #isOver = false;

  constructor(start: ConversationStart) {
    this.#start = start;
    this.#receiver = new PeerReceiver(start);
    // The certificate is known before the peer says anything: nobody without one keeps us waiting.
    this.#verdict = judge(start);
    if (this.#verdict instanceof PkiError) tell({ type: "untrusted" });
  }

  receive(bytes: Bytes): void {
    this.#receiver.receive(bytes);
    const events: FromConversation[] = [];
    batch = events;
    this.#guard(() => {
      for (let event = this.#receiver.next(); event; event = this.#receiver.next()) {
        this.#take(event);
      }
    });
    batch = undefined;
    const count = this.#receiver.takeConsumedBytes();
    if (count === 0 && events.length === 0) return;
    // What is passed on is part of what came: it goes back to where it came from.
    const isPassedOn = events.some((event) =>
      "bytes" in event && event.bytes instanceof Uint8Array && event.bytes.buffer === bytes.buffer
    );
    if (isPassedOn) this.#receiver.letGo();
    main.postMessage(
      { type: "taken", count, events } satisfies FromConversation,
      isPassedOn ? [bytes.buffer] : [],
    );
  }

  #guard(work: () => void): void {
    if (this.#isOver) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    tell({ type: "failed", error: packError(error) });
  }

  #take(event: PeerEvent): void {
    switch (event.type) {
      case "hello":
        this.#hello = event.hello;
        // Nobody whom we do not know learns more of us.
        if (this.#verdict instanceof PkiError) return this.#refuse(this.#verdict);
        return tell({ type: "greeted", silenceMs: event.hello.silenceMs });
      case "nonce":
        this.#nonce = event.nonce;
        return this.#decide();
      case "refused":
        throw this.#refusal(event.report);
      case "data":
      case "file":
        return passOn(event);
      case "leaving":
        return this.#leave(event.report);
      case "confirmed":
        tell(event);
        return this.#finishIfComplete();
      default:
        return tell(event);
    }
  }

  /** The peer's own words, and what may be the reason for them. */
  #refusal({ code, message }: ErrorReport): PkiError {
    const kind = kindOfRefusal(code);
    const hint = kind === "untrusted" && !this.#start.isStapled
      ? "perhaps since your certificate came without its status: let either side reach the server"
      : message === NO_REASON.message
      ? "if you have a new key tell them, by another way: they may know you by the one before"
      : undefined;
    return new PkiError(
      kind,
      `the peer refuses: ${printable(message)}`,
      hint === undefined ? {} : { hint },
    );
  }

  /** The peer cannot go on; what it sent before is good. */
  #leave({ message }: ErrorReport): void {
    this.#isOver = true;
    const error = cutError(`the line was cut by the other side: ${printable(message)}`);
    tell({ type: "left", error: packError(error) });
  }

  /** What came of asking the server for the peer's status. */
  asked(asked: AskedStatus): void {
    this.#guard(() => this.#decide(asked));
  }

  #decide(asked?: AskedStatus): void {
    const [hello, nonce] = [this.#hello, this.#nonce];
    if (!hello || !nonce) throw new PkiError("internal", "judging a peer that has not greeted");
    let peer: Peer | undefined;
    try {
      peer = this.#judge(hello, nonce, asked);
    } catch (error) {
      return this.#refuse(error);
    }
    if (peer) tell({ type: "judged", peer });
  }

  #refuse(error: unknown): void {
    this.#receiver.refused();
    tell({ type: "refusing", error: packError(error) });
  }

  /** Who the peer is, or `undefined` while the server is asked for its status. */
  #judge(
    { status: stapled, ...hello }: PeerHello,
    peerNonce: Uint8Array,
    asked: AskedStatus | undefined,
  ): Peer | undefined {
    if (this.#verdict instanceof PkiError) throw this.#verdict;
    const { id, leaf, issuing } = this.#verdict;
    const { isOffline, role, nonce, ownDer } = this.#start;
    const status = judgePeerStatus(
      { stapled, asked },
      { leaf, issuing, nowMs: Date.now(), isOffline },
    );
    if (status === "wanted") {
      const request = encodeOcspRequest({ issuer: issuing, serials: [leaf.serial] });
      tell({ type: "status-wanted", request });
      return undefined;
    }
    const own = { certificate: ownDer, nonce };
    const other = { certificate: leaf.der, nonce: peerNonce };
    return {
      ...hello,
      id,
      fingerprint: fingerprintOf(leaf.der),
      certificate: leaf.der,
      issuing: issuing.der,
      notAfterMs: leaf.notAfterMs,
      status,
      ...(role === "caller" ? deriveSecrets(own, other) : deriveSecrets(other, own)),
      nonces: role === "caller"
        ? { caller: nonce, listener: peerNonce }
        : { caller: peerNonce, listener: nonce },
    };
  }

  ready(signs: boolean): void {
    this.#guard(() => {
      const opening = this.#receiver.ready(signs);
      if (opening) tell({ type: "open", ...opening });
    });
  }

  /** We have turned the peer away. */
  refused(packed: PackedError): void {
    this.#receiver.refused(); // where the main thread did not want the peer
    this.#fail(unpackError(packed));
  }

  sent(messages: number): void {
    this.#receiver.sent(messages);
  }

  ended(bytes: number): void {
    this.#receiver.ended(bytes);
  }

  received(): void {
    this.#guard(() => {
      this.#receiver.received();
      this.#finishIfComplete();
    });
  }

  cut(): void {
    // Whoever is not trusted is so also without a word.
    if (this.#verdict instanceof PkiError) return this.#fail(this.#verdict);
    if (!this.#isOver) tell({ type: "cut" });
  }

  #finishIfComplete(): void {
    if (!this.#receiver.isComplete) return;
    this.#isOver = true;
    tell({ type: "complete" });
  }
}

let conversation: Conversation | undefined;

main.on("message", (message: ToConversation) => {
  switch (message.type) {
    case "start":
      conversation = new Conversation(message.start);
      return;
    case "bytes":
      return conversation?.receive(message.bytes);
    case "sent":
      return conversation?.sent(message.messages);
    case "ended":
      return conversation?.ended(message.bytes);
    case "received":
      return conversation?.received();
    case "status":
      return conversation?.asked(message.asked);
    case "ready":
      return conversation?.ready(message.signs);
    case "refused":
      return conversation?.refused(message.error);
    case "cut":
      return conversation?.cut();
  }
});
