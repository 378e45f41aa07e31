/**
 * Calls that a listener's user makes between two talks: for others the listener is busy meanwhile, as
 * if somebody had called it.
 */

import type { PkiError } from "../lib/base/errors.ts";
import type { Line } from "../lib/peer/line.ts";
import type { Caller } from "./calling.ts";
import type { Reception, Waiter } from "./reception.ts";
import { parseTarget } from "./target.ts";

export interface OutgoingCallsOptions {
  readonly caller: Caller;
  readonly reception: Reception;
  /** Ends what is being dialled. */
  readonly signal: AbortSignal;
  /** A conversation is over. */
  readonly conclude: (line: Line, error: PkiError | undefined) => void;
}

export class OutgoingCalls {
  readonly #options: OutgoingCallsOptions;
  readonly #lines = new Set<Line>();

  constructor(options: OutgoingCallsOptions) {
    this.#options = options;
  }

  /**
   * Calls whom a person has named; resolves when both sides are ready.
   * @param stop gives it up
   * @throws {PkiError} why it has come to nothing
   */
  async call(text: string, stop: AbortSignal): Promise<void> {
    const { caller, reception } = this.#options;
    const target = parseTarget(text);
    const place: Waiter = { sayWait: () => {} }; // whoever we call waits for nothing
    reception.take(place);
    const opened = Promise.withResolvers<void>();
    try {
      const { line, over } = await caller.call(target, {
        wait: true,
        signal: AbortSignal.any([this.#options.signal, stop]),
        onOpen: () => {
          reception.opened(place);
          opened.resolve();
        },
      });
      this.#follow(line, over, { place, onFailure: opened.reject });
      const giveUp = () => line.hangUp();
      if (stop.aborted) giveUp();
      stop.addEventListener("abort", giveUp);
      await opened.promise.finally(() => stop.removeEventListener("abort", giveUp));
    } catch (error) {
      reception.over(place, () => {});
      throw error;
    }
  }

  /** Sees a line to its end. */
  #follow(
    line: Line,
    over: Promise<void>,
    { place, onFailure }: { readonly place: Waiter; readonly onFailure: (error: unknown) => void },
  ): void {
    const { reception, conclude } = this.#options;
    this.#lines.add(line);
    over.then(() => undefined, (error: PkiError) => error).then((error) => {
      this.#lines.delete(line);
      reception.over(place, () => conclude(line, error));
      onFailure(error); // of a call that has become a conversation nobody waits for this
    });
  }

  /** Hangs up. */
  async close(): Promise<void> {
    const lines = [...this.#lines];
    for (const line of lines) line.hangUp();
    await Promise.allSettled(lines.map((line) => line.over));
  }
}
