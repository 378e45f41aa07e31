/** Waits for peers: TLS with both certificates, and a {@link Line} for each that speaks our protocol. */

import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { createHash, randomBytes } from "node:crypto";
import { concatBytes, encodeBase64 } from "../base/bytes.ts";
import { PkiError, reportError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { checkConnection, listenError, shownCertificates, TLS_OPTIONS } from "../base/tls.ts";
import { type LineMode, PEER_PROTOCOL } from "../protocol/peer_messages.ts";
import { PeerSender } from "../protocol/peer_sender.ts";
import { commitTo, NONCE_BYTES } from "../protocol/safety_words.ts";
import { Callers } from "./callers.ts";
import { Handshakes } from "./handshakes.ts";
import { type PeerIdentity, startOf } from "./identity.ts";
import type { Greeting } from "./greeting.ts";
import { Line, type LineHandlers } from "./line.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly identity: PeerIdentity;
  readonly mode: LineMode;
  /** What a new caller hears of us. */
  readonly greeting: () => Greeting;
  /** Whether a caller whose status nobody knows is accepted. */
  readonly isOffline: boolean;
  /** Handlers for a new caller's line; `call` gives it once it exists. */
  readonly handle: (call: { readonly address: string; readonly line: () => Line }) => LineHandlers;
  /** A caller's line is over: `error` says why, if it did not end well. */
  readonly onOver: (line: Line, error: PkiError | undefined) => void;
}

/** Says busy without a worker, and without reading anything. */
function refuse(socket: TLSSocket, mode: LineMode): void {
  const sender = new PeerSender();
  const commitment = encodeBase64(commitTo(randomBytes(NONCE_BYTES), "listener"));
  const busy = reportError(new PkiError("busy", "too many callers at once, try again later"));
  socket.on("error", () => {}); // it may be gone already; it was refused anyway
  socket.end(concatBytes(
    sender.greet({ mode, commitment, silence: LIMITS.silenceMs }),
    sender.sayRefused(busy),
  ));
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LIMITS.hangUpMs);
  socket.once("close", () => clearTimeout(timer));
}

/** Where a connection comes from: the same before TLS and behind it. */
function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

export interface Listening {
  /** What it is bound to, as a number. */
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** @throws {PkiError} `unreachable` if the port is taken */
export function listenForPeers(options: ListenOptions): Promise<Listening> {
  const { host, port, identity, mode, isOffline } = options;
  const callers = new Callers<Line>();
  const handshakes = new Handshakes();
  const accept = (socket: TLSSocket) => {
    handshakes.over(placeOf(socket));
    try {
      checkConnection(socket, PEER_PROTOCOL);
    } catch {
      socket.destroy(); // it does not speak our protocol, so there is nothing to tell it
      return;
    }
    const shown = shownCertificates(socket);
    const certificate = shown[0] ? createHash("sha256").update(shown[0]).digest("hex") : "";
    const room = callers.roomFor(certificate);
    if (!room.isFree) return refuse(socket, mode);
    room.leaving?.destroy(new PkiError("busy", "too many callers at once"));
    const handlers = options.handle({
      address: socket.remoteAddress ?? "",
      line: () => line,
    });
    const line: Line = new Line(
      socket,
      startOf(identity, {
        mode,
        role: "listener",
        isOffline,
        shown,
      }),
      options.greeting(),
      handlers,
    );
    callers.add(line, certificate);
    line.over.then(() => undefined, (error: PkiError) => error).then((error) => {
      callers.remove(line);
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
  server.on("connection", (socket: Socket) => {
    const from = placeOf(socket);
    handshakes.begin(from, () => socket.destroy());
    socket.once("close", () => handshakes.over(from));
  });
  // A handshake that fails is the caller's affair; one that took too long is only reported.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, () => {
      server.on("error", () => {}); // a connection that could not be taken; others can
      const address = server.address();
      const bound = typeof address === "object" && address ? address : { address: host, port };
      resolve({
        host: bound.address,
        port: bound.port,
        close: async () => {
          server.close();
          const gone = new PkiError("interrupted", "the listener stops");
          const closed = new PkiError("busy", "the listener has stopped");
          for (const line of callers.all) {
            // A talk ends with a goodbye; a pipe that is ended by us is cut, and both sides know it.
            if (!line.hasOpened) line.destroy(closed);
            else if (mode === "talk") line.hangUp();
            else line.destroy(gone);
          }
          await Promise.allSettled(callers.all.map((line) => line.over));
        },
      });
    });
  });
}
