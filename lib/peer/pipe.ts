/**
 * Byte streams over a line: stdin goes to the peer, what the peer sends to stdout, each with
 * back-pressure. Stdin is read only while there is a line, so what one peer did not get waits for the
 * next.
 */

import type { Readable, Writable } from "node:stream";
import type { Line } from "./line.ts";

/** Reads a stream for whichever line is there. */
export class PipeSource {
  readonly #stream: Readable;
  #line: Line | undefined;
  #isEnded = false;
  #isSending = false;

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on("readable", () => void this.#send());
    stream.on("end", () => this.#ended());
    stream.on("error", () => this.#ended()); // a stdin that cannot be read has nothing more
  }

  /** Sends what comes to this line from now on. */
  attach(line: Line): void {
    this.#line = line;
    if (this.#isEnded) line.end();
    else void this.#send();
  }

  detach(line: Line): void {
    if (this.#line === line) this.#line = undefined;
  }

  #ended(): void {
    this.#isEnded = true;
    if (!this.#isSending) this.#line?.end();
  }

  async #send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      for (;;) {
        const line = this.#line;
        if (!line || line.isOver) break;
        const chunk = this.#stream.read() as Uint8Array | null;
        if (chunk === null) break;
        await line.sendData(chunk);
      }
    } finally {
      this.#isSending = false;
    }
    if (this.#isEnded) this.#line?.end();
  }
}

/**
 * Writes to a stream; resolves when the system has all of it: only then may the peer hear that it
 * arrived. An empty write is no way to wait for those before it: in the executable its callback comes
 * at once.
 */
export function writeThrough(stream: Writable, bytes: Uint8Array | string): Promise<void> {
  if (bytes.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => error ? reject(error) : resolve());
  });
}
