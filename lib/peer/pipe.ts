/**
 * Byte streams over a line: stdin goes to the peer, what the peer sends to stdout, each with
 * back-pressure. Stdin is read only while there is a line, so what one peer did not get waits for the
 * next.
 */

import type { Readable, Writable } from "node:stream";
import type { Line } from "./line.ts";

/** Reads a stream for whichever line is there; it flows only while there is one that takes more. */
export class PipeSource {
  readonly #stream: Readable;
  /** What came when there was no line any more. */
  readonly #kept: Uint8Array[] = [];
  #line: Line | undefined;
  #isEnded = false;
  #isWaiting = false;

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.pause();
    // Read as it comes, not asked for: a portion that is asked for is put together first.
    stream.on("data", (chunk: Uint8Array) => this.#take(chunk));
    stream.on("end", () => this.#end());
    stream.on("error", () => this.#end()); // a stdin that cannot be read has nothing more
  }

  /** Sends what comes to this line from now on. */
  attach(line: Line): void {
    this.#line = line;
    for (const chunk of this.#kept.splice(0)) this.#take(chunk);
    if (this.#isEnded) line.end();
    else if (!this.#isWaiting) this.#stream.resume();
  }

  detach(line: Line): void {
    if (this.#line !== line) return;
    this.#line = undefined;
    this.#stream.pause();
  }

  #take(chunk: Uint8Array): void {
    const line = this.#line;
    if (!line || line.isOver) {
      this.#stream.pause();
      this.#kept.push(chunk);
      return;
    }
    const taken = line.sendData(chunk);
    if (line.hasRoom) return;
    this.#stream.pause();
    this.#isWaiting = true;
    void taken.then(() => {
      this.#isWaiting = false;
      if (this.#line && !this.#line.isOver) this.#stream.resume();
    });
  }

  #end(): void {
    this.#isEnded = true;
    this.#line?.end();
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
