/** The end of a socket that a line writes to: whether there is room, and how it is closed. */

import type { TLSSocket } from "node:tls";
import { LIMITS } from "../base/limits.ts";

export class Outlet {
  readonly #socket: TLSSocket;
  #waiting: (() => void)[] = [];

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** Whether more may be sent without waiting. */
  get hasRoom(): boolean {
    return this.#socket.destroyed || this.#socket.writableLength < LIMITS.unreadBytesMax;
  }

  /** Resolves when there is room, or the line is over. */
  async room(): Promise<void> {
    if (this.hasRoom) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** There may be room now. */
  look(): void {
    if (this.hasRoom) this.release();
  }

  /** Nobody waits any longer, room or not. */
  release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Lets the last frames out, and reads on until the peer closes, so that they are not lost to a reset. */
  close(): void {
    if (this.#socket.destroyed) return;
    this.#socket.end();
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), LIMITS.hangUpMs);
    this.#socket.once("close", () => {
      clearTimeout(timer);
      this.release();
    });
    this.#socket.once("end", () => this.#socket.destroy());
  }
}
