/** Waits for peers: TLS with both certificates, and a {@link Line} for each that speaks our protocol. */

import { createServer, type Server, type TLSSocket } from "node:tls";
import { concatBytes } from "../base/bytes.ts";
import { PkiError, reportError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { checkConnection, listenError, shownCertificates, TLS_OPTIONS } from "../base/tls.ts";
import { type LineMode, PEER_PROTOCOL, PeerSession } from "../protocol/peer.ts";
import { type PeerIdentity, startOf } from "./identity.ts";
import { Line, type LineHandlers } from "./line.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly identity: PeerIdentity;
  readonly mode: LineMode;
  /** The newest OCSP response about our certificate, for a new caller. */
  readonly status: () => Uint8Array | undefined;
  /** Whether a caller whose status nobody knows is accepted. */
  readonly isOffline: boolean;
  /** Handlers for a new caller's line; `call` gives it once it exists. */
  readonly handle: (call: { readonly address: string; readonly line: () => Line }) => LineHandlers;
  /** A caller's line is over: `error` says why, if it did not end well. */
  readonly onOver: (line: Line, error: PkiError | undefined) => void;
}

/** Callers with a worker at once; the others hear busy. */
const CALLERS_MAX = 32;

/** Says busy without a worker, and without reading anything. */
function refuse(socket: TLSSocket, mode: LineMode): void {
  const session = new PeerSession(mode);
  const busy = reportError(new PkiError("busy", "too many callers at once, try again later"));
  socket.on("error", () => {}); // it may be gone already; it was refused anyway
  socket.end(concatBytes(session.greet(), session.sayRefused(busy)));
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LIMITS.hangUpMs);
  socket.once("close", () => clearTimeout(timer));
}

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws {PkiError} `unreachable` if the port is taken */
export function listenForPeers(options: ListenOptions): Promise<Listening> {
  const { host, port, identity, mode, isOffline } = options;
  const lines = new Set<Line>();
  const accept = (socket: TLSSocket) => {
    try {
      checkConnection(socket, PEER_PROTOCOL);
    } catch {
      socket.destroy(); // it does not speak our protocol, so there is nothing to tell it
      return;
    }
    if (lines.size >= CALLERS_MAX) return refuse(socket, mode);
    const handlers = options.handle({
      address: socket.remoteAddress ?? "",
      line: () => line,
    });
    const line: Line = new Line(
      socket,
      startOf(identity, {
        mode,
        status: options.status(),
        isOffline,
        shown: shownCertificates(socket),
      }),
      handlers,
    );
    lines.add(line);
    line.over.then(() => undefined, (error: PkiError) => error).then((error) => {
      lines.delete(line);
      options.onOver(line, error);
    });
  };
  const server: Server = createServer({
    ...TLS_OPTIONS,
    ...identity.tls,
    requestCert: true,
    ALPNProtocols: [PEER_PROTOCOL],
    handshakeTimeout: LIMITS.handshakeMs,
  }, accept);
  // A handshake that fails is the caller's affair; one that took too long is only reported.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address ? address.port : port,
        close: async () => {
          server.close();
          const gone = new PkiError("interrupted", "the listener stops");
          for (const line of lines) {
            // A talk ends with a goodbye; a pipe that is ended by us is cut, and both sides know it.
            if (mode === "talk") line.hangUp();
            else line.destroy(gone);
          }
          await Promise.allSettled([...lines].map((line) => line.over));
        },
      });
    });
  });
}
