/** One attempt at one address: TCP and TLS, with a time limit, and in words why it failed. */

import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { checkConnection, TLS_OPTIONS } from "../base/tls.ts";
import type { Address } from "./address.ts";

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOTFOUND: "the host name is unknown",
  ENODATA: "the host name is unknown",
  EAI_AGAIN: "the host name cannot be looked up now",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  EADDRNOTAVAIL: "there is no route to the network",
  EAFNOSUPPORT: "there is no route to the network",
  EINVAL: "there is no route to the network",
  ETIMEDOUT: "it does not answer",
  ECONNRESET: "it closed the connection",
  EPIPE: "it closed the connection",
};

/** Somebody was there: a server that has too many connections, in all or of this address, does so. */
const CLOSED: readonly string[] = ["ECONNRESET", "EPIPE"];
const CLOSED_HINT = "it may have too many connections: try again in some seconds";

/** Why a connection failed, in words. */
export function reasonOf(error: unknown): string {
  return WHY[systemCodeOf(error) ?? ""] ?? messageOf(error);
}

/** Why an attempt failed, where TLS may be what failed. */
function reasonOfAttempt(error: unknown): string {
  const code = systemCodeOf(error) ?? "";
  if (WHY[code] !== undefined) return WHY[code];
  return /ssl|tls|handshake|alert|cert|protocol/i.test(`${code} ${messageOf(error)}`)
    ? "it does not speak our TLS 1.3"
    : messageOf(error);
}

/** PEM of a private key, and of its certificate with the CAs between it and the root. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

export interface AttemptOptions {
  /** The host as a number: nothing is looked up. */
  readonly place: Address;
  /** ALPN protocol that both sides must speak. */
  readonly protocol: string;
  /** Sent as SNI; it decides nothing. */
  readonly serverName: string | undefined;
  /** What the client shows of itself, if anything. */
  readonly identity: TlsIdentity | undefined;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/**
 * Connects to one address.
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`, `interrupted`; the message is the reason alone
 */
export function attempt(
  { place, protocol, serverName, identity, signal }: AttemptOptions,
): Promise<TLSSocket> {
  const options: ConnectionOptions = {
    ...TLS_OPTIONS,
    ...identity,
    host: place.host,
    port: place.port,
    ALPNProtocols: [protocol],
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new PkiError("interrupted", "interrupted"));
    const socket = connect(options);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error: PkiError) => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(new PkiError("interrupted", "interrupted"));
    const timer = setTimeout(
      () => fail(new PkiError("timeout", "it does not answer")),
      LIMITS.connectMs,
    );
    const onError = (cause: unknown) =>
      fail(
        new PkiError("unreachable", reasonOfAttempt(cause), {
          cause,
          ...(CLOSED.includes(systemCodeOf(cause) ?? "") ? { hint: CLOSED_HINT } : {}),
        }),
      );
    const onClose = () =>
      fail(new PkiError("unreachable", "it closed the connection", { hint: CLOSED_HINT }));
    signal.addEventListener("abort", onAbort);
    socket.on("error", onError); // for good: nothing of it may go unheard before others listen
    socket.once("close", onClose);
    socket.once("secureConnect", () => {
      settle();
      socket.off("close", onClose);
      socket.setNoDelay(true); // else Deno has the first request wait for the handshake's acknowledgement
      try {
        checkConnection(socket, protocol);
        resolve(socket);
      } catch (error) {
        socket.destroy();
        const why = messageOf(error).replace(/^connection refused: /, "");
        reject(error instanceof PkiError ? new PkiError(error.kind, why) : error);
      }
    });
  });
}
