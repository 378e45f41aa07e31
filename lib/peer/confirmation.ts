/**
 * How a line confirms the peer's end: once all that the peer sent is where it belongs, and where a
 * transcript is signed not before both sides have ended, behind our signature.
 */

import type { Bytes } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import type { PeerSender } from "../protocol/peer_sender.ts";

export interface ConfirmationOptions {
  readonly sender: PeerSender;
  /** Our signature of the transcript. */
  readonly sign: () => Bytes | undefined | Promise<Bytes>;
  readonly send: (frames: Bytes) => void;
  readonly isOver: () => boolean;
  readonly onConfirmed: () => void;
  readonly onFailed: (error: PkiError) => void;
}

export class Confirmation {
  readonly #options: ConfirmationOptions;
  #signs = false;
  /** How much the peer sent, once all of it is where it belongs. */
  #peerEndedBytes: number | undefined;
  #hasBegun = false;

  constructor(options: ConfirmationOptions) {
    this.#options = options;
  }

  /** Both sides sign. */
  demandSignature(): void {
    this.#signs = true;
  }

  /** The peer has ended, and so many bytes of it are where they belong. */
  async peerEnded(bytes: number): Promise<void> {
    this.#peerEndedBytes = bytes;
    await this.look();
  }

  /** Confirms if it is time, once. */
  async look(): Promise<void> {
    const { sender, send, isOver, onConfirmed, onFailed } = this.#options;
    const bytes = this.#peerEndedBytes;
    if (bytes === undefined || this.#hasBegun || isOver()) return;
    if (this.#signs && !sender.hasEnded) return;
    this.#hasBegun = true;
    try {
      if (this.#signs) send(sender.sign(await this.#signature()));
    } catch (error) {
      return onFailed(new PkiError("internal", `cannot sign: ${messageOf(error)}`));
    }
    if (isOver()) return;
    send(sender.sayReceived(bytes));
    onConfirmed();
  }

  async #signature(): Promise<Bytes> {
    const signature = await this.#options.sign();
    if (!signature) throw new PkiError("internal", "nobody signs the transcript");
    return signature;
  }
}
