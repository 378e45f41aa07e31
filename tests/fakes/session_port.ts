/** A channel between a connection worker and the directory, of which the test is the worker. */

import type { FromSession } from "../../lib/server/ports.ts";
import type { SessionPort } from "../../lib/server/session_port.ts";

type Listener = (message: unknown) => void;

export class FakePort implements SessionPort {
  readonly #listeners = new Map<string, Listener>();
  /** What the directory has said, in order. */
  readonly said: FromSession[] = [];

  on(event: "message" | "messageerror", listener: Listener): void {
    this.#listeners.set(event, listener);
  }

  postMessage(message: FromSession): void {
    this.said.push(structuredClone(message));
  }

  /** The worker posts something; it is there at once. */
  say(message: unknown): void {
    this.#listeners.get("message")?.(structuredClone(message));
  }

  /** The worker has posted something that this side cannot take in. */
  garble(): void {
    this.#listeners.get("messageerror")?.(undefined);
  }
}

/** Resolves when everything that can go on has done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
