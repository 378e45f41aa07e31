/**
 * What both our TLS servers and both our TLS clients demand of a connection. TLS encrypts and proves
 * that the other side holds the key of the certificate it shows; whether that certificate is trusted
 * is never asked of the engine, so `authorized` is not read anywhere.
 */

import { constants } from "node:crypto";
import { isIPv6 } from "node:net";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { type Bytes, copyBytes } from "./bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "./errors.ts";

/** TLS 1.3 only (RFC 8446), no session tickets; the chain is judged by us. */
export const TLS_OPTIONS = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  rejectUnauthorized: false,
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

/** More certificates than this in what a peer shows are not looked at. */
const SHOWN_MAX = 5;

/** DER of what the other side showed, the leaf first; empty if it showed nothing. */
export function shownCertificates(socket: TLSSocket): readonly Bytes[] {
  const shown: Bytes[] = [];
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  const seen = new Set<DetailedPeerCertificate>();
  while (at?.raw && !seen.has(at) && shown.length < SHOWN_MAX) {
    seen.add(at);
    shown.push(copyBytes(at.raw));
    at = at.issuerCertificate;
  }
  return shown;
}

/** DER of the leaf alone, at most one: for whoever has the issuers and needs no others. */
export function shownLeaf(socket: TLSSocket): readonly Bytes[] {
  const { raw } = socket.getPeerCertificate();
  return raw ? [copyBytes(raw)] : [];
}

/**
 * Checks what engines let pass: another protocol or none, a resumed session, another cipher.
 * @throws {PkiError} `protocol`
 */
export function checkConnection(socket: TLSSocket, protocol: string): void {
  if (socket.alpnProtocol !== protocol) {
    throw new PkiError("protocol", `connection refused: the other side does not speak ${protocol}`);
  }
  if (socket.isSessionReused()) {
    throw new PkiError("protocol", "connection refused: it resumes an earlier TLS session");
  }
  const cipher = socket.getCipher()?.name ?? "none";
  if (!cipher.startsWith("TLS_AES_")) {
    throw new PkiError(
      "protocol",
      `connection refused: it is encrypted with ${cipher}, not with AES`,
    );
  }
}

/** Why a server cannot listen, and what to do about it. */
export function listenError(
  error: unknown,
  { host, port }: { readonly host: string; readonly port: number },
): PkiError {
  const code = systemCodeOf(error);
  const isAddress = code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN";
  const why = code === "EADDRINUSE"
    ? "something else listens there"
    : code === "EACCES"
    ? "that port is for root alone"
    : isAddress
    ? "this machine does not have that address"
    : messageOf(error);
  const place = isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
  return new PkiError("unreachable", `cannot listen on ${place}: ${why}`, {
    cause: error,
    hint: isAddress
      ? "choose another address with --host, or 0.0.0.0 for all of them"
      : "choose another port with --port, or 0 for any free one",
  });
}
