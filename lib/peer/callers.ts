/**
 * Who of the callers has a worker: so many at once, and of those who showed the same certificate and
 * are not on the line yet only a few, so that nobody keeps all others out by calling and saying
 * nothing. Strangers can make as many certificates as they like: where there is no room, the one who
 * has been here longest without being known goes. Pure.
 */

/** Workers at once. */
export const CALLERS_MAX = 32;

/** Of them, those with the same certificate that are not on the line: a person calls once or twice. */
export const WAITING_MAX = 4;

/** What matters of a caller. */
export interface Caller {
  /** Its certificate was judged good. */
  readonly isKnown: boolean;
  /** Both sides were ready. */
  readonly hasOpened: boolean;
}

/** Whether there is room for one more, and who has to go for it. */
export type Room<C> =
  | { readonly isFree: true; readonly leaving?: C }
  | { readonly isFree: false };

export class Callers<C extends Caller> {
  /** In the order in which they came, with the certificate that each has shown. */
  readonly #callers = new Map<C, string>();

  /** @param certificate stands for the certificate that the new one shows; empty if it shows none */
  roomFor(certificate: string): Room<C> {
    const all = [...this.#callers];
    const isAlike = ([caller, shown]: readonly [C, string]) =>
      shown === certificate && !caller.hasOpened;
    if (all.filter(isAlike).length >= WAITING_MAX) return { isFree: false };
    if (all.length < CALLERS_MAX) return { isFree: true };
    const [leaving] = all.find(([{ isKnown }]) => !isKnown) ?? [];
    return leaving ? { isFree: true, leaving } : { isFree: false };
  }

  add(caller: C, certificate: string): void {
    this.#callers.set(caller, certificate);
  }

  remove(caller: C): void {
    this.#callers.delete(caller);
  }

  get all(): readonly C[] {
    return [...this.#callers.keys()];
  }
}
