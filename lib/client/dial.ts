/** Opens a TLS connection to a server or a peer, with a time limit and errors that say why. */

import { isIP } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { checkConnection, TLS_OPTIONS } from "../base/tls.ts";
import { type Address, formatAddress } from "./address.ts";

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOTFOUND: "the host name is unknown",
  EAI_AGAIN: "the host name cannot be looked up now",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  ETIMEDOUT: "it does not answer",
  ECONNRESET: "it closed the connection",
  EPIPE: "it closed the connection",
};

/** Why a connection failed, in words. */
export function reasonOf(error: unknown): string {
  return WHY[systemCodeOf(error) ?? ""] ?? messageOf(error);
}

/** PEM of a private key, and of its certificate with the CAs between it and the root. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

export interface DialOptions {
  readonly address: Address;
  /** ALPN protocol that both sides must speak. */
  readonly protocol: string;
  /** Sent as SNI; it decides nothing. */
  readonly serverName?: string;
  /** What the client shows of itself, if anything. */
  readonly identity?: TlsIdentity;
  readonly hint: string;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects; the caller judges the certificate that the other side showed before it sends anything.
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`
 */
export function dial(
  { address, protocol, serverName, identity, hint, signal }: DialOptions,
): Promise<TLSSocket> {
  const where = formatAddress(address);
  const options: ConnectionOptions = {
    ...TLS_OPTIONS,
    ...identity,
    host: address.host,
    port: address.port,
    ALPNProtocols: [protocol],
    ...(serverName !== undefined
      ? { servername: serverName }
      : isIP(address.host)
      ? {}
      : { servername: address.host }),
  };
  return new Promise((resolve, reject) => {
    const socket = connect(options);
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const onAbort = () => {
      settle();
      socket.destroy();
      reject(new PkiError("interrupted", "interrupted"));
    };
    const fail = (kind: "unreachable" | "timeout", why: string, cause?: unknown) => {
      settle();
      socket.destroy();
      reject(new PkiError(kind, `cannot reach ${where}: ${why}`, { hint, cause }));
    };
    const timer = setTimeout(() => fail("timeout", "it does not answer"), LIMITS.connectMs);
    const onError = (error: unknown) => {
      const code = systemCodeOf(error) ?? "";
      const why = WHY[code] ??
        (/ssl|tls|handshake|alert|cert|protocol/i.test(`${code} ${messageOf(error)}`)
          ? "it does not speak our TLS 1.3"
          : messageOf(error));
      fail("unreachable", why, error);
    };
    const onClose = () => fail("unreachable", "it closed the connection");
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    socket.once("error", onError);
    socket.once("close", onClose);
    socket.once("secureConnect", () => {
      settle();
      socket.off("error", onError);
      socket.off("close", onClose);
      try {
        checkConnection(socket, protocol);
        resolve(socket);
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    });
  });
}
