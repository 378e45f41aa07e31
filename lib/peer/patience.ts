/**
 * How long a line waits for what comes next: one deadline at a time, from the connection to what is
 * said last. Silence between frames is another matter (`signs_of_life.ts`).
 */

import { LIMITS } from "../base/limits.ts";
import type { WaitReason } from "../protocol/peer_messages.ts";

export class Patience {
  readonly #onLate: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What the peer has asked patience for. */
  readonly #asked = new Set<WaitReason>();

  /** @param onLate what is done where {@link limit} is not told otherwise */
  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  /** Waits for so long from now on, and no longer for what was waited for before. */
  limit(ms: number, onLate = this.#onLate): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(onLate, ms);
  }

  /** Waits for as long as it takes. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** How long the peer may take to be ready: longer if it asks its user, for good if we wait for it. */
  limitReady(): void {
    if (this.#asked.has("busy")) this.stop();
    else this.limit(this.#asked.has("asked") ? LIMITS.peerAskedMs : LIMITS.peerReadyMs);
  }

  /**
   * The peer asks for patience.
   * @returns whether it has it; saying it again gives no more time
   */
  grant(reason: WaitReason): boolean {
    if (this.#asked.has(reason)) return false;
    this.#asked.add(reason);
    this.limitReady();
    return true;
  }
}
