/**
 * One end of a connection as an attacker has it: bytes, an end or a reset, from any address of this
 * machine. Everything waits for what comes, never for a time to pass.
 */

import { connect, type Socket } from "node:net";
import { type Bytes, concatBytes } from "../../lib/base/bytes.ts";

/** How long the other side may take for anything; no test asserts a time below it. */
const PATIENCE_MS = 120_000;

export interface WireOptions {
  readonly host?: string;
  readonly port?: number;
  /** Of a Unix socket, in place of a port. */
  readonly path?: string;
  /** The address of this machine that it comes from: 127.0.0.2 and the like are others to a server. */
  readonly from?: string | undefined;
}

export class Wire {
  readonly socket: Socket;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #isOver = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(new Uint8Array(chunk));
      this.#length += chunk.length;
      this.#wake();
    });
    socket.on("error", () => {}); // "close" follows
    for (const event of ["end", "close"] as const) {
      socket.on(event, () => {
        this.#isOver = true;
        this.#wake();
      });
    }
  }

  /** @throws what the system refused the connection with */
  static async open({ host = "127.0.0.1", port, path, from }: WireOptions): Promise<Wire> {
    const socket = path === undefined
      ? connect({ host, port: port ?? 0, ...(from === undefined ? {} : { localAddress: from }) })
      : connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    socket.setNoDelay(true);
    return new Wire(socket);
  }

  /** Whether the other side has ended it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes that came and were not taken. */
  get length(): number {
    return this.#length;
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Resolves when all that was written has left this process, or the connection is over. */
  async flushed(): Promise<void> {
    while (this.socket.writableLength > 0 && !this.#isOver && !this.socket.destroyed) {
      await this.#event("what was written to leave", (wake) => {
        this.socket.once("drain", wake);
        return () => this.socket.off("drain", wake);
      });
    }
  }

  /** So many bytes, or `undefined` where the other side has ended before. */
  async take(length: number): Promise<Bytes | undefined> {
    while (this.#length < length && !this.#isOver) await this.#event(`${length} bytes`);
    if (this.#length < length) return undefined;
    const taken = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const chunk = this.#chunks[0] ?? new Uint8Array();
      const part = chunk.subarray(0, length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    this.#length -= length;
    return taken;
  }

  /** Everything until the other side ends. */
  async rest(): Promise<Bytes> {
    while (!this.#isOver) await this.#event("the end");
    return concatBytes(...this.#chunks);
  }

  /** Resolves after a while, or at once when the connection is over: for who acts again and again. */
  async overOr(ms: number): Promise<void> {
    if (this.#isOver) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let resolve = () => {};
    await new Promise<void>((done) => {
      resolve = done;
      timer = setTimeout(done, ms);
      this.socket.once("close", done);
    });
    clearTimeout(timer);
    this.socket.off("close", resolve);
  }

  /** Stops reading: the other side's answers fill the buffers of the system. */
  deafen(): void {
    this.socket.pause();
  }

  listenAgain(): void {
    this.socket.resume();
  }

  /** Leaves as a program does that ends. */
  finish(): void {
    this.socket.end();
  }

  /** Leaves as a machine does that has forgotten the connection: RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  async #event(
    what: string,
    listen: (wake: () => void) => () => void = () => () => {},
  ): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let unlisten = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        unlisten = listen(resolve);
        timer = setTimeout(
          () => reject(new Error(`waited too long for ${what}; ${this.#length} bytes came`)),
          PATIENCE_MS,
        );
      });
    } finally {
      clearTimeout(timer);
      unlisten();
    }
  }
}
