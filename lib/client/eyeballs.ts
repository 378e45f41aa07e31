/**
 * Which address is tried when, and which connection wins: Happy Eyeballs (RFC 8305). No sockets and no
 * clock here; who calls brings both, so that engines which do this in ways of their own, or not at all,
 * behave the same.
 */

import { isIPv6 } from "node:net";
import { PkiError } from "../base/errors.ts";
import { type Address, formatAddress } from "./address.ts";

/** Between the start of one attempt and of the next, while none has failed (RFC 8305, section 5). */
export const ATTEMPT_GAP_MS = 250;

/** One address that did not lead to a connection; `place` is missing where a name led to no address. */
export interface Failure {
  readonly place: Address | undefined;
  /** Which of the sources it came from. */
  readonly source: number;
  readonly error: unknown;
}

export type Raced<Connection> =
  | {
    readonly connection: Connection;
    readonly place: Address;
    /** Which of the sources it came from. */
    readonly source: number;
  }
  | { readonly failures: readonly Failure[] };

export interface RaceOptions<Connection> {
  /** In order of preference: the addresses, all of them numbers, that each name stands for. */
  readonly sources: readonly Promise<readonly Address[]>[];
  /** Resolves with a connection that is of use; ends the attempt, rejecting, when the signal says so. */
  readonly dial: (place: Address, source: number, signal: AbortSignal) => Promise<Connection>;
  /** Closes a connection that came second. */
  readonly discard: (connection: Connection) => void;
  /** Calls back once, after so many milliseconds, unless the function that it returns is called. */
  readonly schedule: (ms: number, callback: () => void) => () => void;
  /** When the race ends without a winner, in milliseconds from its start. */
  readonly limitMs: number;
  /** Addresses that are tried; those beyond are not. */
  readonly attemptsMax: number;
  /** Ends the race without a winner. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The addresses of one name in the order in which they are tried: as the system prefers them, but the
 * families take turns, so that one which leads nowhere costs one wait (RFC 8305, section 4).
 */
export function interleaveFamilies(hosts: readonly string[]): readonly string[] {
  const unique = [...new Set(hosts)];
  const isSix = isIPv6(unique[0] ?? "");
  const first = unique.filter((host) => isIPv6(host) === isSix);
  const second = unique.filter((host) => isIPv6(host) !== isSix);
  const longer = Math.max(first.length, second.length);
  return Array.from({ length: longer }, (_, at) => [first[at], second[at]])
    .flat()
    .filter((host) => host !== undefined);
}

/** Tries addresses until one leads to a connection, all have failed, or time is over. Never rejects. */
export function race<Connection>(options: RaceOptions<Connection>): Promise<Raced<Connection>> {
  return new Promise((resolve) => new Race(options, resolve).start());
}

class Race<Connection> {
  readonly #options: RaceOptions<Connection>;
  readonly #resolve: (raced: Raced<Connection>) => void;
  readonly #queue: { readonly place: Address; readonly source: number }[] = [];
  readonly #seen = new Set<string>();
  readonly #running = new Map<
    Address,
    { readonly source: number; readonly end: AbortController }
  >();
  /** Names that are still being looked up. */
  readonly #pending: Set<number>;
  readonly #failures: Failure[] = [];
  readonly #onAbort = () => this.#giveUp("it was not tried", "interrupted");
  #cancelGap: (() => void) | undefined;
  #cancelLimit: (() => void) | undefined;
  #isOver = false;

  constructor(options: RaceOptions<Connection>, resolve: (raced: Raced<Connection>) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#pending = new Set(options.sources.keys());
  }

  start(): void {
    const { sources, schedule, limitMs, signal } = this.#options;
    this.#cancelLimit = schedule(limitMs, () => this.#giveUp("there was no time to try it"));
    for (const [source, found] of sources.entries()) {
      found.then(
        (places) => this.#add(source, places),
        (error) => {
          if (!this.#isOver) this.#failures.push({ place: undefined, source, error });
        },
      ).finally(() => {
        this.#pending.delete(source);
        this.#goOn();
      });
    }
    if (signal?.aborted) return this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort);
    this.#goOn();
  }

  /** Behind those of names that are preferred, before the others. */
  #add(source: number, places: readonly Address[]): void {
    const fresh = places
      .filter((place) => {
        const key = formatAddress(place);
        if (this.#seen.has(key) || this.#seen.size >= this.#options.attemptsMax) return false;
        this.#seen.add(key);
        return true;
      })
      .map((place) => ({ place, source }));
    const later = this.#queue.findIndex((other) => other.source > source);
    this.#queue.splice(later === -1 ? this.#queue.length : later, 0, ...fresh);
  }

  /** Starts the next attempt, if it is time, or sees that there is nothing left to wait for. */
  #goOn(): void {
    if (this.#isOver || this.#cancelGap) return;
    const next = this.#queue.shift();
    if (next) return this.#try(next.place, next.source);
    if (this.#running.size === 0 && this.#pending.size === 0) {
      this.#finish({ failures: this.#failures });
    }
  }

  #try(place: Address, source: number): void {
    const end = new AbortController();
    this.#running.set(place, { source, end });
    this.#cancelGap = this.#options.schedule(ATTEMPT_GAP_MS, () => {
      this.#cancelGap = undefined;
      this.#goOn();
    });
    this.#options.dial(place, source, end.signal).then(
      (connection) => {
        if (this.#isOver) return this.#options.discard(connection);
        this.#running.delete(place);
        this.#finish({ connection, place, source });
      },
      (error) => {
        if (this.#isOver) return;
        this.#running.delete(place);
        this.#failures.push({ place, source, error });
        this.#cancelGap?.();
        this.#cancelGap = undefined;
        this.#goOn();
      },
    );
  }

  /** Time is over, or nobody wants to know any more. */
  #giveUp(whyNotTried: string, kind: "timeout" | "interrupted" = "timeout"): void {
    const fail = (source: number, why: string, place?: Address) =>
      this.#failures.push({ place, source, error: new PkiError(kind, why) });
    for (const [place, { source }] of this.#running) fail(source, "it does not answer", place);
    for (const { place, source } of this.#queue) fail(source, whyNotTried, place);
    for (const source of this.#pending) fail(source, "the host name cannot be looked up now");
    this.#finish({ failures: this.#failures });
  }

  #finish(raced: Raced<Connection>): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelGap?.();
    this.#cancelLimit?.();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    for (const { end } of this.#running.values()) end.abort();
    this.#resolve(raced);
  }
}
