/**
 * Who stays connected where metrics are served. There are only so many places, and any program of this
 * machine can take them; so whoever comes when all are taken gets the place of somebody who does not
 * use it, and one who asks at once is answered, whoever else is there.
 *
 * Decides and does nothing else. Times are by a clock that nobody sets back, in milliseconds.
 */

/** Connections at once: a few programs that watch, and those that forgot to close theirs. */
export const PLACES_MAX = 32;
/** From the connection to its first whole request: a program that watches sends some 300 bytes. */
export const REQUEST_MS = 10_000;
/** Between two requests of a connection: programs that watch ask four times a minute or less. */
export const IDLE_MS = 90_000;
/** From a request to its answer's last byte; what is measured for it has 10 s of that. */
const ANSWERED_MS = 20_000;
/** From the connection on; then it is closed whatever it does. */
const CONNECTION_MS = 5 * 60_000;
/** An answer takes some milliseconds: whoever takes longer to read it has to go before others do. */
const READING_MS = 1000;

interface Place {
  readonly openedMs: number;
  /** `silent`: it has never asked. `idle`: what it asked for was answered. */
  state: "silent" | "idle" | "asking";
  /** Requests that are not answered. */
  requests: number;
  /** Since when it is in this state. */
  sinceMs: number;
}

export class MetricsPlaces<Socket> {
  readonly #places = new Map<Socket, Place>();

  get taken(): number {
    return this.#places.size;
  }

  /** @returns who has to leave for it: nobody, somebody else, or it itself, which has no place then */
  arrive(socket: Socket, nowMs: number): Socket | undefined {
    const leaving = this.#places.size < PLACES_MAX ? undefined : this.#useless(nowMs) ?? socket;
    if (leaving === socket) return socket;
    if (leaving !== undefined) this.#places.delete(leaving);
    this.#places.set(socket, { openedMs: nowMs, state: "silent", requests: 0, sinceMs: nowMs });
    return leaving;
  }

  /** Who does least with a place: has never asked, asks for nothing more, does not read its answer. */
  #useless(nowMs: number): Socket | undefined {
    const longest = (isMeant: (place: Place) => boolean) => {
      let found: Socket | undefined;
      let sinceMs = Infinity;
      for (const [socket, place] of this.#places) {
        if (isMeant(place) && place.sinceMs < sinceMs) [found, sinceMs] = [socket, place.sinceMs];
      }
      return found;
    };
    return longest(({ state }) => state === "silent") ??
      longest(({ state }) => state === "idle") ??
      longest((place) => nowMs - place.sinceMs >= READING_MS);
  }

  /** A whole request has come. */
  ask(socket: Socket, nowMs: number): void {
    const place = this.#places.get(socket);
    if (!place) return;
    if (place.requests === 0) place.sinceMs = nowMs;
    place.requests++;
    place.state = "asking";
  }

  /** A request was answered, or never will be. */
  answered(socket: Socket, nowMs: number): void {
    const place = this.#places.get(socket);
    if (!place || place.requests === 0) return;
    place.requests--;
    if (place.requests > 0) return;
    place.state = "idle";
    place.sinceMs = nowMs;
  }

  /** It is closed. */
  leave(socket: Socket): void {
    this.#places.delete(socket);
  }

  /** Who has taken too long, for whatever it was. */
  overdue(nowMs: number): readonly Socket[] {
    return [...this.#places].filter(([, { openedMs, state, sinceMs }]) =>
      nowMs - openedMs >= CONNECTION_MS || nowMs - sinceMs >= TIMES_MS[state]
    ).map(([socket]) => socket);
  }
}

const TIMES_MS = { silent: REQUEST_MS, idle: IDLE_MS, asking: ANSWERED_MS } as const;
