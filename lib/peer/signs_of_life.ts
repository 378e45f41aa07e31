/**
 * Whether the other side of a line still lives, and that it hears the same of us. It looks at a clock
 * that never goes back, a few times within each time that is to be kept; nothing is done for a frame
 * but to remember when it came or went.
 */

/** The time, and how to be called later: given, so that tests need no time. */
export interface Clock {
  /** Milliseconds from any moment on; never goes back. */
  readonly nowMs: () => number;
  /** Calls once, later; what it returns takes that back. */
  readonly after: (ms: number, work: () => void) => () => void;
}

export const CLOCK: Clock = {
  nowMs: () => performance.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};

export interface SignsOptions {
  readonly clock: Clock;
  /** After so long without anything from the other side it is dead. */
  readonly silenceMs: number;
  /** The other side takes us for dead after so long. */
  readonly peerSilenceMs: number;
  /** Whether we read what the other side sends; if not, its silence says nothing. */
  readonly isReading: () => boolean;
  /** Whether bytes of ours wait to be taken by the network: then another frame would wait behind them. */
  readonly isSending: () => boolean;
  readonly sayAlive: () => void;
  readonly onDead: () => void;
}

/** We say something after a third of what the other side waits for: two signs may be late. */
const SIGNS = 3;
/** How often we look within each of the times: the longer one is noticed a quarter of it late at most. */
const LOOKS = 4;

export class SignsOfLife {
  readonly #options: SignsOptions;
  readonly #everyMs: number;
  #heardMs: number;
  #saidMs: number;
  #lookedMs: number;
  #cancel: () => void;

  constructor(options: SignsOptions) {
    this.#options = options;
    const { clock, silenceMs, peerSilenceMs } = options;
    this.#everyMs = Math.min(silenceMs, peerSilenceMs / SIGNS) / LOOKS;
    const nowMs = clock.nowMs();
    this.#heardMs = nowMs;
    this.#saidMs = nowMs;
    this.#lookedMs = nowMs;
    this.#cancel = clock.after(this.#everyMs, () => this.#look());
  }

  /** Something came. */
  heard(): void {
    this.#heardMs = this.#options.clock.nowMs();
  }

  /** We have sent something. */
  said(): void {
    this.#saidMs = this.#options.clock.nowMs();
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const { clock, silenceMs, peerSilenceMs, isReading, isSending, sayAlive, onDead } =
      this.#options;
    const nowMs = clock.nowMs();
    // If it was us who slept, a stopped process or a closed lid, what came meanwhile is still unread.
    const hasSlept = nowMs - this.#lookedMs > 2 * this.#everyMs;
    this.#lookedMs = nowMs;
    if (hasSlept || !isReading()) this.#heardMs = nowMs;
    if (nowMs - this.#heardMs >= silenceMs) return onDead();
    this.#cancel = clock.after(this.#everyMs, () => this.#look());
    // The next look would be too late for what is due before it.
    const dueMs = peerSilenceMs / SIGNS - this.#everyMs;
    if (nowMs - this.#saidMs >= dueMs && !isSending()) sayAlive();
  }
}
