/**
 * Entry of a conversation's worker: the only thread that reads what a peer sends. It judges the
 * peer's certificate, speaks the protocol, and hands text and data to the main thread. It has no key.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { copyBytes } from "../base/bytes.ts";
import {
  type ErrorKind,
  type ErrorReport,
  kindOfWireCode,
  type PackedError,
  packError,
  PkiError,
  reportError,
  unpackError,
} from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import { type PeerEvent, PeerSession } from "../protocol/peer.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { type JudgedUser, judgeUser } from "../x509/chain.ts";
import { encodeOcspRequest } from "../x509/ocsp.ts";
import type { ConversationStart, FromConversation, Peer, ToConversation } from "./ports.ts";
import { type AskedStatus, judgePeerStatus } from "./status.ts";

const main = parentPort as MessagePort;

function tell(message: FromConversation): void {
  main.postMessage(message);
}

function send(bytes: Uint8Array<ArrayBuffer>): void {
  main.postMessage({ type: "bytes", bytes } satisfies FromConversation, [bytes.buffer]);
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

type PeerHello = Extract<PeerEvent, { readonly type: "hello" }>;

class Conversation {
  readonly #session: PeerSession;
  readonly #start: ConversationStart;
  readonly #verdict: JudgedUser | PkiError;
  #hello: PeerHello | undefined;
  #isOver = false;

  constructor(start: ConversationStart) {
    this.#start = start;
    this.#session = new PeerSession(start.mode);
    send(this.#session.greet(start.status));
    // The certificate is known before the peer says anything: nobody without one keeps us waiting.
    this.#verdict = judge(start);
    if (this.#verdict instanceof PkiError) tell({ type: "untrusted" });
  }

  receive(bytes: Uint8Array): void {
    this.#session.receive(bytes);
    this.#guard(() => {
      for (let event = this.#session.next(); event; event = this.#session.next()) this.#take(event);
      const count = this.#session.takeConsumedBytes();
      if (count > 0) tell({ type: "taken", count });
    });
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
        this.#hello = event;
        return this.#decide();
      case "refused":
        throw this.#refusal(event.report);
      case "data": {
        const bytes = copyBytes(event.bytes);
        return main.postMessage({ type: "data", bytes } satisfies FromConversation, [bytes.buffer]);
      }
      case "open":
      case "text":
      case "peer-end":
        return tell(event);
      case "confirmed":
        return this.#finishIfComplete();
    }
  }

  /** The peer's own words, and what may be the reason for them. */
  #refusal({ code, message }: ErrorReport): PkiError {
    const kind = kindOfRefusal(code);
    const isStatusMissing = kind === "untrusted" && !this.#start.status;
    return new PkiError(
      kind,
      `the peer refuses: ${printable(message)}`,
      isStatusMissing
        ? {
          hint: "perhaps since your certificate came without its status: " +
            "let either side reach the server",
        }
        : {},
    );
  }

  /** What came of asking the server for the peer's status. */
  asked(asked: AskedStatus): void {
    this.#guard(() => this.#decide(asked));
  }

  #decide(asked?: AskedStatus): void {
    const hello = this.#hello;
    if (!hello) throw new PkiError("internal", "judging a peer that has not greeted");
    const peer = this.#refusing(() => this.#judge(hello, asked));
    if (peer) tell({ type: "judged", peer });
  }

  /** Who the peer is, or `undefined` while the server is asked for its status. */
  #judge({ mode, status: stapled }: PeerHello, asked: AskedStatus | undefined): Peer | undefined {
    if (this.#verdict instanceof PkiError) throw this.#verdict;
    const { id, leaf, issuing } = this.#verdict;
    const { isOffline } = this.#start;
    const status = judgePeerStatus(
      { stapled, asked },
      { leaf, issuing, nowMs: Date.now(), isOffline },
    );
    if (status === "wanted") {
      const request = encodeOcspRequest({ issuer: issuing, serials: [leaf.serial] });
      tell({ type: "status-wanted", request });
      return undefined;
    }
    return { id, fingerprint: fingerprintOf(leaf.der), notAfterMs: leaf.notAfterMs, mode, status };
  }

  /** Does what may find the peer unwelcome, and tells it so. */
  #refusing<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      send(this.#session.sayRefused(reportError(error)));
      throw error;
    }
  }

  admit(): void {
    this.#guard(() => {
      send(this.#session.sayReady());
      if (this.#session.state === "open") tell({ type: "open" });
    });
  }

  turnAway(packed: PackedError): void {
    this.#guard(() =>
      this.#refusing(() => {
        throw unpackError(packed);
      })
    );
  }

  sendText(line: string): void {
    this.#guard(() => {
      // A line that was typed while the talk was being hung up has nowhere to go.
      if (!this.#session.hasEnded) send(this.#session.sendText(line));
    });
  }

  sendData(bytes: Uint8Array): void {
    this.#guard(() => send(this.#session.sendData(bytes)));
  }

  end(): void {
    this.#guard(() => {
      if (!this.#session.hasEnded) send(this.#session.sendEnd());
    });
  }

  delivered(): void {
    this.#guard(() => {
      send(this.#session.sayReceived());
      this.#finishIfComplete();
    });
  }

  cut(): void {
    if (!this.#isOver) tell({ type: "cut" });
  }

  #finishIfComplete(): void {
    if (!this.#session.isComplete) return;
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
    case "text":
      return conversation?.sendText(message.line);
    case "data":
      return conversation?.sendData(message.bytes);
    case "end":
      return conversation?.end();
    case "status":
      return conversation?.asked(message.asked);
    case "admit":
      return conversation?.admit();
    case "turn-away":
      return conversation?.turnAway(message.error);
    case "delivered":
      return conversation?.delivered();
    case "cut":
      return conversation?.cut();
  }
});
