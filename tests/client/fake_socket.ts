/** The server's end of a connection without a network: what a client writes, and what it hears. */

import { EventEmitter } from "node:events";
import type { TLSSocket } from "node:tls";
import { reportError } from "../../lib/base/errors.ts";
import { ServerConnection } from "../../lib/client/server_connection.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import { parseRequest, type Request } from "../../lib/protocol/requests.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";

export class FakeSocket extends EventEmitter {
  readonly requests: Request[] = [];
  isDestroyed = false;
  isEnded = false;
  /** What happens with a request. */
  onRequest: (request: Request) => void = () => {};
  readonly #frames = new FrameReader();

  write(bytes: Uint8Array): boolean {
    this.#frames.push(bytes);
    for (let body = this.#frames.read(); body; body = this.#frames.read()) {
      const parsed = parseRequest(body);
      if (!parsed.ok) throw parsed.error;
      this.requests.push(parsed.request);
      this.onRequest(parsed.request);
    }
    return true;
  }

  end(): void {
    this.isEnded = true;
  }

  destroySoon(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    queueMicrotask(() => this.emit("close"));
  }

  /** The server says something. */
  say(...chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.emit("data", chunk);
  }
}

export function connect(leafDer: Uint8Array): { socket: FakeSocket; connection: ServerConnection } {
  const socket = new FakeSocket();
  return { socket, connection: new ServerConnection(socket as unknown as TLSSocket, leafDer) };
}

/** A connection whose requests a directory carries out. */
export function connectTo(session: DirectorySession, leafDer: Uint8Array): ServerConnection {
  const { socket, connection } = connect(leafDer);
  socket.onRequest = async (request) => {
    try {
      socket.say(encodeAnswer(request.seq, await session.handle(request)));
    } catch (error) {
      socket.say(encodeError(request.seq, reportError(error)));
    }
  };
  return connection;
}
