/**
 * Who converses with a listener: one at a time, the others wait their turn if they like, in the order
 * in which they asked. No I/O here.
 */

import { PkiError } from "../base/errors.ts";

/** Callers who wait at once; each holds a connection and a worker. */
export const WAITING_MAX = 8;

interface Waiting<T> {
  readonly who: T;
  readonly turn: PromiseWithResolvers<void>;
}

export class Floor<T> {
  #holder: T | undefined;
  readonly #waiting: Waiting<T>[] = [];
  #closing: PkiError | undefined;

  /** Who has it now. */
  get holder(): T | undefined {
    return this.#holder;
  }

  /** Those who wait, the next one first. */
  get waiting(): readonly T[] {
    return this.#waiting.map(({ who }) => who);
  }

  /** Takes it if it is free. */
  take(who: T): boolean {
    if (this.#closing) throw this.#closing;
    if (this.#holder !== undefined) return false;
    this.#holder = who;
    return true;
  }

  /**
   * Waits for it; once this resolves it is held.
   * @throws {PkiError} `busy` if too many wait, `interrupted` if who waits has left
   */
  async wait(who: T): Promise<void> {
    if (this.take(who)) return;
    if (this.#waiting.length >= WAITING_MAX) {
      throw new PkiError("busy", "too many wait already, try again later");
    }
    const waiting = { who, turn: Promise.withResolvers<void>() };
    this.#waiting.push(waiting);
    await waiting.turn.promise;
  }

  /** Gives it up, or stops waiting for it; whoever is next has it then. */
  leave(who: T): void {
    const at = this.#waiting.findIndex((waiting) => waiting.who === who);
    if (at !== -1) {
      const [left] = this.#waiting.splice(at, 1);
      left?.turn.reject(new PkiError("interrupted", "whoever waited has left"));
    }
    if (this.#holder !== who) return;
    const next = this.#waiting.shift();
    this.#holder = next?.who;
    next?.turn.resolve();
  }

  /** Lets nobody wait or take it any more: all of them hear why. */
  close(error: PkiError): void {
    this.#closing = error;
    for (const { turn } of this.#waiting.splice(0)) turn.reject(error);
  }
}
