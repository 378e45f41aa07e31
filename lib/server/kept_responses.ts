/**
 * OCSP responses that are kept for whoever asks next, so that a certificate which many ask about is
 * signed for once in a while. Whether one is still good is for whoever takes it to see.
 */

/** The oldest goes first. */
const RESPONSES_KEPT_MAX = 4096;

export interface KeptResponse {
  readonly response: string;
  readonly serial: string;
  /** Until when it is given again, by a clock that nobody sets. */
  readonly untilMs: number;
  /** When it is good, by the clock on the wall, which may have been set meanwhile. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

export class KeptResponses {
  /** By the request, which says all that the response depends on. */
  readonly #kept = new Map<string, KeptResponse>();
  /** The requests about a serial number: it can be asked about in several ways. */
  readonly #requests = new Map<string, Set<string>>();
  readonly #max: number;

  constructor(max: number = RESPONSES_KEPT_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#kept.size;
  }

  get(request: string): KeptResponse | undefined {
    return this.#kept.get(request);
  }

  /** Keeps one, in the place of what was kept for this request. */
  set(request: string, kept: KeptResponse): void {
    this.#delete(request);
    if (this.#kept.size >= this.#max) {
      const [oldest] = this.#kept.keys();
      if (oldest !== undefined) this.#delete(oldest);
    }
    this.#kept.set(request, kept);
    const requests = this.#requests.get(kept.serial);
    if (requests) requests.add(request);
    else this.#requests.set(kept.serial, new Set([request]));
  }

  /** Keeps none about this certificate any more; takes no longer where many others are kept. */
  forget(serial: string): void {
    const requests = this.#requests.get(serial) ?? [];
    this.#requests.delete(serial);
    for (const request of requests) this.#kept.delete(request);
  }

  #delete(request: string): void {
    const kept = this.#kept.get(request);
    if (!kept) return;
    this.#kept.delete(request);
    const requests = this.#requests.get(kept.serial);
    requests?.delete(request);
    if (requests?.size === 0) this.#requests.delete(kept.serial);
  }
}
