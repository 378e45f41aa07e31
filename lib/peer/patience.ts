/**
 * How long a line waits for what comes next: one deadline at a time, from the connection to what is
 * said last. Silence between frames is another matter (`signs_of_life.ts`).
 */

import { LIMITS } from "../base/limits.ts";
import type { WaitReason } from "../protocol/peer_messages.ts";
import { CLOCK, type Clock } from "./signs_of_life.ts";

export class Patience {
  readonly #onLate: () => void;
  readonly #clock: Pick<Clock, "after">;
  #cancel = () => {};
  /** What the peer has asked patience for. */
  readonly #asked = new Set<WaitReason>();
  /** Whether we are ready: until then it is the peer who waits for us. */
  #isReady = false;

  /** @param onLate what is done where {@link limit} is not told otherwise */
  constructor(onLate: () => void, clock: Pick<Clock, "after"> = CLOCK) {
    this.#onLate = onLate;
    this.#clock = clock;
  }

  /** Waits for so long from now on, and no longer for what was waited for before. */
  limit(ms: number, onLate = this.#onLate): void {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, onLate);
  }

  /** Waits for as long as it takes. */
  stop(): void {
    this.#cancel();
  }

  /**
   * We are ready, and wait for the peer to be: longer if it asks its user, for good if it is busy and we
   * would rather wait.
   */
  limitReady(): void {
    this.#isReady = true;
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
    if (this.#isReady) this.limitReady();
    return true;
  }
}
