/**
 * How long one connection may take for what: a bound for each phase, and the error that says which one
 * was passed. Without a clock or a timer of its own.
 *
 * Times are by a clock that nobody sets back, in milliseconds.
 */

import { PkiError } from "../base/errors.ts";
import type { SessionState } from "../protocol/session.ts";
import type { ConnectionLimits } from "./ports.ts";

/** No timer waits for longer: engines have one that should call back at once (24 days, in ms). */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Where a session is. */
export interface SessionPhase {
  readonly state: SessionState;
  /** A number of its own for a frame that has begun and is not all there; `undefined` between frames. */
  readonly frameUnderWay: number | undefined;
}

export class Deadlines {
  readonly #limits: ConnectionLimits;
  readonly #startMs: number;
  #state: SessionState = "new";
  #frame: number | undefined;
  #frameMs = 0;
  /** Since when nothing was asked. */
  #quietMs: number;
  /** Requests that are carried out, by `seq`, the oldest first: since when. */
  readonly #running = new Map<number, number>();
  #wakeMs: number;

  constructor(limits: ConnectionLimits, nowMs: number) {
    this.#limits = limits;
    this.#startMs = nowMs;
    this.#quietMs = nowMs;
    this.#wakeMs = this.#nextMs;
  }

  /** When to ask {@link overdue}: nothing is over before. It comes nearer when something begins. */
  get wakeMs(): number {
    return this.#wakeMs;
  }

  /** A request is being carried out from now on. */
  requested(seq: number, nowMs: number): void {
    this.#running.set(seq, nowMs);
    this.#wakeBy(nowMs + this.#limits.requestSeconds * 1000);
  }

  /** A request was answered. */
  settled(seq: number, nowMs: number): void {
    this.#running.delete(seq);
    this.#beQuiet(nowMs);
  }

  /** After everything that may have changed the session. */
  follow({ state, frameUnderWay }: SessionPhase, nowMs: number): void {
    if (state !== this.#state) this.#beQuiet(nowMs);
    this.#state = state;
    if (frameUnderWay === this.#frame) return;
    this.#frame = frameUnderWay;
    this.#frameMs = nowMs;
    if (frameUnderWay !== undefined) this.#wakeBy(nowMs + this.#limits.frameSeconds * 1000);
  }

  #beQuiet(nowMs: number): void {
    this.#quietMs = nowMs;
    this.#wakeBy(nowMs + this.#limits.idleSeconds * 1000);
  }

  #wakeBy(ms: number): void {
    if (ms < this.#wakeMs) this.#wakeMs = ms;
  }

  get #nextMs(): number {
    return Math.min(...this.#bounds().map(([endMs]) => endMs));
  }

  /** What has taken too long, if anything has. */
  overdue(nowMs: number): PkiError | undefined {
    this.#wakeMs = Math.min(this.#nextMs, nowMs + TIMER_MS_MAX);
    const [first] = this.#bounds()
      .filter(([endMs]) => endMs <= nowMs)
      .sort(([one], [other]) => one - other);
    return first && new PkiError("timeout", `connection closed: ${first[1]}`);
  }

  /** Whether a request has taken too long: there is no waiting for it any more. */
  isRequestOverdue(nowMs: number): boolean {
    return this.#requestEndMs <= nowMs;
  }

  get #requestEndMs(): number {
    const [oldestMs = Infinity] = this.#running.values();
    return oldestMs + this.#limits.requestSeconds * 1000;
  }

  #bounds(): readonly (readonly [endMs: number, what: string])[] {
    const { helloSeconds, loginSeconds, frameSeconds, requestSeconds, idleSeconds } = this.#limits;
    const { sessionSeconds } = this.#limits;
    const isOpen = this.#state === "open";
    const bound = (fromMs: number, seconds: number, what: string) =>
      [fromMs + seconds * 1000, what] as const;
    return [
      ...(this.#state === "new"
        ? [bound(this.#startMs, helloSeconds, `there was no HELLO for ${helloSeconds} s`)]
        : []),
      ...(isOpen && this.#running.size === 0
        ? [bound(this.#quietMs, idleSeconds, `nothing was asked for ${idleSeconds} s`)]
        : []),
      ...(isOpen
        ? []
        : [bound(this.#startMs, loginSeconds, `the login took longer than ${loginSeconds} s`)]),
      ...(this.#frame === undefined ? [] : [
        bound(this.#frameMs, frameSeconds, `a message took longer than ${frameSeconds} s to come`),
      ]),
      [
        this.#requestEndMs,
        `a request took longer than ${requestSeconds} s, and may still be carried out`,
      ],
      bound(this.#startMs, sessionSeconds, `it was open for ${sessionSeconds} s; connect again`),
    ];
  }
}
