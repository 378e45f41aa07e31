/**
 * Keeps an announcement alive: says where somebody listens, again before that expires and soon where
 * it failed, and takes it back at the end. How it is said, and by what clock, comes from outside.
 */

import { PkiError } from "../base/errors.ts";

const SECOND_MS = 1000;

/** How long one announcement holds: so long it outlives a listener that was killed. */
export const ANNOUNCED_SECONDS = 600;
/** Until it is tried again where it failed; doubled each time, up to half of the time above. */
export const RETRY_MS_MIN = 5 * SECOND_MS;
const AGAIN_MS = ANNOUNCED_SECONDS * SECOND_MS / 2;

export interface AnnouncerOptions {
  /** Where the listener can be reached now, as `host:port`. */
  readonly addresses: () => readonly string[];
  /**
   * Tells the server, in a bounded time.
   * @param addresses none takes back what was said
   * @param signal ends the waiting
   */
  readonly announce: (
    addresses: readonly string[],
    seconds: number,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Does something later, and once; returns how to call that off. */
  readonly schedule: (work: () => void, delayMs: number) => () => void;
  /** It was announced for the first time, after a failure, or with other addresses. */
  readonly onAnnounced: (addresses: readonly string[]) => void;
  /** It could not be announced, for the first time in a row; it is tried again. */
  readonly onFailed: (error: PkiError) => void;
}

/** Failures behind which the server may have heard what was said. */
const UNSURE: readonly string[] = ["interrupted", "timeout", "truncated"];

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #stopping = new AbortController();
  /** What was told last; `undefined` behind a failure. */
  #told: string | undefined;
  #mayBeKnown = false;
  #hasFailed = false;
  #retryMs = RETRY_MS_MIN;
  #cancel: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Announces, and goes on doing so until it is stopped. Resolves when it was tried once. */
  start(): Promise<void> {
    this.#running = this.#announce();
    return this.#running;
  }

  async #announce(): Promise<void> {
    const { addresses: find, announce, onAnnounced, onFailed, schedule } = this.#options;
    const { signal } = this.#stopping;
    const addresses = find();
    const wasKnown = this.#mayBeKnown;
    let nextMs = AGAIN_MS;
    try {
      this.#mayBeKnown = true;
      await announce(addresses, ANNOUNCED_SECONDS, signal);
      if (signal.aborted) return;
      const said = addresses.join();
      if (said !== this.#told) onAnnounced(addresses);
      this.#told = said;
      this.#hasFailed = false;
      this.#retryMs = RETRY_MS_MIN;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      if (!UNSURE.includes(error.kind)) this.#mayBeKnown = wasKnown;
      if (signal.aborted) return;
      if (!this.#hasFailed) onFailed(error);
      this.#told = undefined;
      this.#hasFailed = true;
      nextMs = this.#retryMs;
      this.#retryMs = Math.min(nextMs * 2, AGAIN_MS);
    }
    this.#cancel = schedule(() => void this.start(), nextMs);
  }

  /**
   * Announces nothing more, and takes back what the server may know.
   * @param signal bounds the time that this takes
   * @returns whether something was taken back; else it was never said, or expires by itself
   */
  async stop(signal: AbortSignal): Promise<boolean> {
    this.#stopping.abort();
    this.#cancel?.();
    await this.#running;
    if (!this.#mayBeKnown) return false;
    try {
      await this.#options.announce([], ANNOUNCED_SECONDS, signal);
      return true;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      return false;
    }
  }
}
