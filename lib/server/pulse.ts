/**
 * Whether a thread still does anything: it is asked from time to time, and when it has not answered for
 * several times it is taken for dead. Times are counted and not measured, so that a machine that was
 * suspended, or that has no time for any thread, accuses nobody of silence.
 */

export interface PulseOptions {
  /** Resolves when the thread has answered. */
  readonly ask: () => Promise<unknown>;
  /** Called once. */
  readonly onSilent: () => void;
  /** How many times in a row may pass without an answer. */
  readonly missedMax: number;
}

export class Pulse {
  readonly #options: PulseOptions;
  #isAsked = false;
  #missed = 0;
  #isSilent = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** Asks every so many milliseconds from now on. */
  start(everyMs: number): void {
    this.#timer = setInterval(() => this.beat(), everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Asks, unless an answer is still to come: then that was missed once more. */
  beat(): void {
    if (!this.#isAsked) return this.#ask();
    this.#missed++;
    if (this.#missed < this.#options.missedMax || this.#isSilent) return;
    this.#isSilent = true;
    this.stop();
    this.#options.onSilent();
  }

  #ask(): void {
    this.#isAsked = true;
    this.#missed = 0;
    // One that fails is gone, and whoever watches it for that has heard so.
    this.#options.ask().then(() => this.#isAsked = false, () => this.stop());
  }
}
