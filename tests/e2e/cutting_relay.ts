/** A relay between two programs that counts what it passes on, and cuts all its connections at will. */

import { connect, createServer, type Server, type Socket } from "node:net";
import { listenAlone } from "./place.ts";

export class CuttingRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #marks: { readonly bytes: number; readonly act: () => void }[] = [];
  /** Bytes from those who have called to where they are relayed to. */
  bytes = 0;
  /** `host:port` */
  readonly where: string;

  private constructor(server: Server, where: string, to: number) {
    this.#server = server;
    this.where = where;
    server.on("connection", (caller: Socket) => this.#relay(caller, to));
  }

  /** @param to the port that it relays to, on this machine */
  static async start(to: number): Promise<CuttingRelay> {
    const server = createServer();
    return new CuttingRelay(server, await listenAlone(server), to);
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
