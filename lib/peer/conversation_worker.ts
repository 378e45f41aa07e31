/**
 * Entry of a conversation's worker: the only thread that reads what a peer sends. It judges the
 * peer's certificate, speaks the protocol, and hands text and data to the main thread. It has no key.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { copyBytes } from "../base/bytes.ts";
import {
  type ErrorKind,
  kindOfWireCode,
  type PackedError,
  packError,
  PkiError,
  reportError,
  unpackError,
} from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import { type LineMode, type PeerEvent, PeerSession } from "../protocol/peer.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { type JudgedUser, judgeUser } from "../x509/chain.ts";
import type { ConversationStart, FromConversation, ToConversation } from "./ports.ts";

const main = parentPort as MessagePort;

function tell(message: FromConversation): void {
  main.postMessage(message);
}

function send(bytes: Uint8Array<ArrayBuffer>): void {
  main.postMessage({ type: "bytes", bytes } satisfies FromConversation, [bytes.buffer]);
}

/** Who it is, by the certificate alone; an error of the kind `untrusted` for nobody we know. */
function judge({ shown, issuingDer, rootDer, domain }: ConversationStart): JudgedUser | PkiError {
  try {
    return judgeUser(shown.length > 0 ? [...shown, issuingDer] : [], {
      anchor: { root: parseCertificate(rootDer), domain },
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
  readonly #session: PeerSession;
  readonly #verdict: JudgedUser | PkiError;
  #isOver = false;

  constructor(start: ConversationStart) {
    this.#session = new PeerSession(start.mode);
    send(this.#session.greet());
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
        return this.#decide(event.mode);
      case "refused": {
        const { code, message } = event.report;
        throw new PkiError(kindOfRefusal(code), `the peer refuses: ${printable(message)}`);
      }
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

  #decide(mode: LineMode): void {
    if (this.#verdict instanceof PkiError) {
      send(this.#session.sayRefused(reportError(this.#verdict)));
      throw this.#verdict;
    }
    const { id, leaf } = this.#verdict;
    const { notAfterMs } = leaf;
    tell({ type: "judged", peer: { id, fingerprint: fingerprintOf(leaf.der), notAfterMs, mode } });
  }

  admit(): void {
    this.#guard(() => {
      send(this.#session.sayReady());
      if (this.#session.state === "open") tell({ type: "open" });
    });
  }

  turnAway(packed: PackedError): void {
    this.#guard(() => {
      const error = unpackError(packed);
      send(this.#session.sayRefused(reportError(error)));
      throw error;
    });
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
