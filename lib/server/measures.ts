/**
 * What the server's threads count about their work: plain numbers, which cost next to nothing and are
 * read when somebody asks. No id, no address and nothing else of a client is ever a name here.
 */

import { BATCH_BOUNDS, Histogram, SECONDS_BOUNDS } from "../base/histogram.ts";
import type { DirectoryMeasured } from "../protocol/measured.ts";
import { REQUEST_TYPES, type RequestType } from "../protocol/requests.ts";

/** How a request that was answered is called that went well; others by the code of their error. */
export const OK = "ok";

/** Requests of one type. */
interface RequestMeasures {
  readonly results: Map<string, number>;
  readonly seconds: Histogram;
}

/** Adds one to a counter by name. */
export function countOne(counters: Map<string, number>, name: string): void {
  counters.set(name, (counters.get(name) ?? 0) + 1);
}

/** How late a thread's timers are, looked at from time to time. */
export class DelayMeasure {
  readonly #seconds = new Histogram(SECONDS_BOUNDS);
  readonly #timer: ReturnType<typeof setInterval>;

  /** Twice a second: what blocks a thread for long is seen, and a server that is idle stays so. */
  static readonly intervalMs = 500;

  constructor(now: () => number = () => performance.now()) {
    let dueMs = now() + DelayMeasure.intervalMs;
    this.#timer = setInterval(() => {
      const nowMs = now();
      this.#seconds.add(Math.max(nowMs - dueMs, 0) / 1000);
      dueMs = nowMs + DelayMeasure.intervalMs;
    }, DelayMeasure.intervalMs);
    this.#timer.unref();
  }

  read() {
    return this.#seconds.read();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** What the directory counts. */
export class DirectoryMeasures {
  /** Of all types and no others, whatever a message says that it is. */
  readonly #requests = new Map<RequestType, RequestMeasures>(
    REQUEST_TYPES.map((type) => [
      type,
      { results: new Map([[OK, 0]]), seconds: new Histogram(SECONDS_BOUNDS) },
    ]),
  );
  readonly #syncSeconds = new Histogram(SECONDS_BOUNDS);
  readonly #syncEntries = new Histogram(BATCH_BOUNDS);
  /** Requests that have arrived and are not answered yet. */
  inFlight = 0;
  /** Logins by password that were begun and left. */
  unfinishedLogins = 0;

  /**
   * A request was answered.
   * @param result {@link OK} or the code of the error
   * @param ms since it has arrived
   */
  answered(type: RequestType, result: string, ms: number): void {
    const measures = this.#requests.get(type);
    if (!measures) return;
    countOne(measures.results, result);
    measures.seconds.add(ms / 1000);
  }

  /** The log was synced with so many new entries. */
  readonly synced = (ms: number, entries: number): void => {
    this.#syncSeconds.add(ms / 1000);
    this.#syncEntries.add(entries);
  };

  read(): Pick<DirectoryMeasured, "requests" | "inFlight" | "unfinishedLogins"> & {
    readonly syncs: Pick<DirectoryMeasured["log"], "syncSeconds" | "syncEntries">;
  } {
    return {
      requests: Object.fromEntries(
        [...this.#requests].map(([type, { results, seconds }]) => [
          type,
          { results: Object.fromEntries(results), seconds: readCounts(seconds) },
        ]),
      ),
      inFlight: this.inFlight,
      unfinishedLogins: this.unfinishedLogins,
      syncs: {
        syncSeconds: readCounts(this.#syncSeconds),
        syncEntries: readCounts(this.#syncEntries),
      },
    };
  }
}

/** As the message has it. */
function readCounts(histogram: Histogram): { counts: number[]; sum: number } {
  const { counts, sum } = histogram.read();
  return { counts: [...counts], sum };
}
