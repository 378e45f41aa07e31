/**
 * Byte streams over a line: stdin goes to the peer, what the peer sends to stdout, each with
 * back-pressure. Stdin is read only while there is a line, so what one peer did not get waits for the
 * next.
 */

import type { Readable, Writable } from "node:stream";
import { once } from "node:events";
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

/** Writes to a stream; resolves when it takes more. */
export async function writeFully(stream: Writable, bytes: Uint8Array | string): Promise<void> {
  if (stream.errored) throw stream.errored;
  if (!stream.write(bytes)) await once(stream, "drain");
}

/** Resolves when everything written so far has left the process. */
export function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write("", (error) => error ? reject(error) : resolve());
  });
}
