/** Waits for peers: TLS with both certificates, and a {@link Line} for each that speaks our protocol. */

import { createServer, type Server, type TLSSocket } from "node:tls";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { checkConnection, shownCertificates, TLS_OPTIONS } from "../base/tls.ts";
import { PEER_PROTOCOL } from "../protocol/peer.ts";
import type { PeerIdentity } from "./identity.ts";
import { Line, type LineHandlers } from "./line.ts";
import type { LineMode } from "../protocol/peer.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly identity: PeerIdentity;
  readonly mode: LineMode;
  /** Handlers for a new caller's line; `call` gives it once it exists. */
  readonly handle: (call: { readonly address: string; readonly line: () => Line }) => LineHandlers;
  /** A caller's line is over: `error` says why, if it did not end well. */
  readonly onOver: (line: Line, error: PkiError | undefined) => void;
}

/** Callers that are being judged at once; the rest is dropped until some are done. */
const CALLERS_MAX = 32;

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws {PkiError} `unreachable` if the port is taken */
export function listenForPeers(options: ListenOptions): Promise<Listening> {
  const { host, port, identity, mode } = options;
  const lines = new Set<Line>();
  const accept = (socket: TLSSocket) => {
    try {
      checkConnection(socket, PEER_PROTOCOL);
    } catch {
      socket.destroy(); // it does not speak our protocol, so there is nothing to tell it
      return;
    }
    if (lines.size >= CALLERS_MAX) {
      socket.destroy();
      return;
    }
    const handlers = options.handle({
      address: socket.remoteAddress ?? "",
      line: () => line,
    });
    const line: Line = new Line(socket, {
      mode,
      rootDer: identity.anchor.root.der,
      domain: identity.anchor.domain,
      issuingDer: identity.issuingDer,
      shown: shownCertificates(socket),
    }, handlers);
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
    server.once("error", (error) => {
      const why = systemCodeOf(error) === "EADDRINUSE"
        ? "something else listens there"
        : messageOf(error);
      reject(
        new PkiError("unreachable", `cannot listen on ${host}:${port}: ${why}`, {
          cause: error,
          hint: "choose another port with --port, or 0 for any free one",
        }),
      );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address ? address.port : port,
        close: async () => {
          server.close();
          const gone = new PkiError("interrupted", "the listener stops");
          for (const line of lines) line.destroy(gone);
          await Promise.allSettled([...lines].map((line) => line.over));
        },
      });
    });
  });
}
