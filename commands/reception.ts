/**
 * Who converses with a listener: one at a time, once it is known who it is. Whoever calls meanwhile
 * hears busy, or waits in order if it said that it would.
 */

import { PkiError } from "../lib/base/errors.ts";
import { Floor } from "../lib/peer/floor.ts";
import type { Line } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { Conversing } from "./converse.ts";

/** Calls of one person that wait at once, so that nobody takes all the places there are. */
const ALIKE_MAX = 2;

/** What we need of a line that may have to wait. */
export type Waiter = Pick<Line, "sayWait">;

export class Reception {
  readonly #tell: Conversing["tell"];
  readonly #floor = new Floor<Waiter>();
  readonly #ids = new WeakMap<Waiter, string>();
  /** The conversation that both sides are ready for. */
  #open: Waiter | undefined;

  constructor(tell: Conversing["tell"]) {
    this.#tell = tell;
  }

  /** Whether a conversation is under way. */
  get isTalking(): boolean {
    return this.#open !== undefined;
  }

  /** The ids of those who wait, the next one first. */
  get waiting(): readonly string[] {
    return this.#floor.waiting.map((line) => this.#ids.get(line) ?? "");
  }

  /**
   * Has a caller take its turn, or wait for it.
   * @throws {PkiError} `busy`
   */
  async admit({ id, wait }: Pick<Peer, "id" | "wait">, line: Waiter): Promise<void> {
    this.#ids.set(line, id);
    if (this.#floor.take(line)) return;
    if (!wait) {
      this.#tell({ event: "busy", peer: id }, `${id} called meanwhile and heard "busy"`);
      throw new PkiError("busy", "another conversation is under way, try again later");
    }
    if (this.waiting.filter((other) => other === id).length >= ALIKE_MAX) {
      throw new PkiError("busy", `"${id}" waits already, with another call`);
    }
    const turn = this.#floor.wait(line);
    turn.catch(() => {}); // it is waited for below
    if (this.#floor.waiting.includes(line)) {
      const place = this.#floor.waiting.length;
      this.#tell(
        { event: "caller-waits", peer: id, place },
        `${id} calls and waits${place > 1 ? `, as number ${place}` : ""}`,
      );
      line.sayWait("busy");
    }
    await turn;
  }

  /** Takes the floor for a call of our own. @throws {PkiError} `busy` */
  take(call: Waiter): void {
    if (this.#floor.take(call)) return;
    throw new PkiError("busy", "cannot call: somebody else is calling just now");
  }

  /** Both sides are ready. */
  opened(line: Waiter): void {
    this.#open = line;
  }

  /**
   * A line is over: the next one may follow it.
   * @param conclude is called before that, if it was a conversation
   * @returns whether the user knows of it: it was a conversation, or waited for one
   */
  over(line: Waiter, conclude: () => void): boolean {
    const isConversation = line === this.#open;
    const hasWaited = this.#floor.waiting.includes(line);
    if (isConversation) {
      this.#open = undefined;
      conclude();
    } else if (hasWaited) {
      const id = this.#ids.get(line) ?? "";
      this.#tell({ event: "caller-left", peer: id }, `${id} does not wait any longer`);
    }
    this.#floor.leave(line);
    return isConversation || hasWaited;
  }

  /** Nobody else is received: those who wait hear that it is of no use. */
  close(): void {
    this.#floor.close(new PkiError("busy", "the listener has stopped"));
  }
}
