/** A relay between two programs that counts what it passes on, and cuts all its connections at will. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

export class CuttingRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #marks: { readonly bytes: number; readonly act: () => void }[] = [];
  /** Bytes from those who have called to where they are relayed to. */
  bytes = 0;
  readonly port: number;

  private constructor(server: Server, port: number, to: number) {
    this.#server = server;
    this.port = port;
    server.on("connection", (caller: Socket) => this.#relay(caller, to));
  }

  /** @param to the port that it relays to, on this machine */
  static async start(to: number): Promise<CuttingRelay> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address);
    return new CuttingRelay(server, address.port, to);
  }

  /** Does something once, as soon as so many bytes have passed in all. */
  at(bytes: number, act: () => void): void {
    this.#marks.push({ bytes, act });
  }

  #relay(caller: Socket, to: number): void {
    const called = connect(to, "127.0.0.1");
    for (const [one, other] of [[caller, called], [called, caller]] as const) {
      this.#sockets.add(one);
      one.on("error", () => {}); // "close" follows
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    caller.on("data", (chunk: Uint8Array) => {
      this.bytes += chunk.length;
      const due = this.#marks.filter(({ bytes }) => this.bytes >= bytes);
      this.#marks = this.#marks.filter(({ bytes }) => this.bytes < bytes);
      for (const { act } of due) act();
    });
  }

  /** Cuts what there is; who calls again gets through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
