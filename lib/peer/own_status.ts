/**
 * The status of the own certificate, which is shown to peers so that they need not ask: an OCSP
 * response of the server, kept for as long as it is good and replaced before that is over.
 */

import { PkiError } from "../base/errors.ts";
import type { FetchedStatus } from "../client/status.ts";

const SECOND_MS = 1000;

/** A response is not shown in its last moments: it has to arrive, and clocks differ. */
const LAST_MOMENTS_MS = 60 * SECOND_MS;
/** Until the server is asked again that could not be asked; doubled each time, up to the second. */
const RETRY_MS_MIN = 5 * SECOND_MS;
const RETRY_MS_MAX = 300 * SECOND_MS;

export interface OwnStatusOptions {
  /** Asks the server about the certificate, in a bounded time. */
  readonly fetch: () => Promise<FetchedStatus>;
  readonly now: () => number;
  /** Does something later, and once; returns how to call that off. */
  readonly schedule: (work: () => void, delayMs: number) => () => void;
}

/** Who is told what becomes of the status, while it is kept fresh. */
export interface StatusWatcher {
  /** There is a response again, or for the first time. */
  readonly onBack: () => void;
  /** No peer will trust the certificate any more; nothing is asked after that. */
  readonly onLost: (error: PkiError) => void;
}

/** By the clock of this machine. The process does not stay for it. */
export function scheduleTimer(work: () => void, delayMs: number): () => void {
  const timer = setTimeout(work, delayMs);
  timer.unref?.();
  return () => clearTimeout(timer);
}

export class OwnStatus {
  readonly #options: OwnStatusOptions;
  #fetched: FetchedStatus | undefined;
  #retryMs = RETRY_MS_MIN;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(options: OwnStatusOptions) {
    this.#options = options;
  }

  /** DER of the response to show now; `undefined` if there is none that is still good. */
  get response(): Uint8Array | undefined {
    if (!this.#fetched) return undefined;
    const { der, judged } = this.#fetched;
    return this.#options.now() < judged.nextUpdateMs - LAST_MOMENTS_MS ? der : undefined;
  }

  /**
   * Asks the server once. Returns why that failed, if it did: peers can ask it themselves.
   * @throws {PkiError} `untrusted` if the own certificate is revoked, or unknown to the server
   */
  async refresh(): Promise<PkiError | undefined> {
    let fetched: FetchedStatus;
    try {
      fetched = await this.#options.fetch();
    } catch (error) {
      if (!(error instanceof PkiError) || error.kind === "interrupted") throw error;
      return error;
    }
    const { status, revokedMs = 0 } = fetched.judged;
    if (status !== "good") {
      this.#fetched = undefined;
      const what = status === "revoked"
        ? `it was revoked ${new Date(revokedMs).toISOString()}`
        : "the server says that it has not issued it";
      throw new PkiError("untrusted", `no peer will trust your certificate: ${what}`, {
        hint: "get a new one with: pki csr --rekey",
      });
    }
    this.#fetched = fetched;
    return undefined;
  }

  /** Asks again when half of the response's time is over, and soon where there is none, until stopped. */
  keepFresh(watcher: StatusWatcher): void {
    if (this.#isStopped) return;
    this.#cancel = this.#options.schedule(() => void this.#renew(watcher), this.#nextMs());
  }

  async #renew(watcher: StatusWatcher): Promise<void> {
    const hadNone = this.response === undefined;
    try {
      await this.refresh();
    } catch (error) {
      if (!this.#isStopped) watcher.onLost(error as PkiError);
      return;
    }
    if (!this.#isStopped && hadNone && this.response) watcher.onBack();
    this.keepFresh(watcher);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #nextMs(): number {
    const nowMs = this.#options.now();
    if (this.#fetched) {
      const { thisUpdateMs, nextUpdateMs } = this.#fetched.judged;
      const dueMs = (thisUpdateMs + nextUpdateMs) / 2 - nowMs;
      if (dueMs > 0) {
        this.#retryMs = RETRY_MS_MIN;
        return Math.max(dueMs, RETRY_MS_MIN);
      }
    }
    const retryMs = this.#retryMs;
    this.#retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    return retryMs;
  }
}
