/**
 * The server that a load is for: one address, found once, and a root that is trusted. Each connection
 * is one attempt at that address; the certificate that it shows is judged once and must stay the same.
 */

import type { TLSSocket } from "node:tls";
import { type Bytes, isEqualBytes, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { shownCertificates } from "../base/tls.ts";
import type { Address } from "../client/address.ts";
import { attempt, type TlsIdentity } from "../client/attempt.ts";
import { ServerConnection } from "../client/server_connection.ts";
import { PROTOCOL } from "../protocol/message_fields.ts";
import { judgeServer, type TrustAnchor } from "../x509/chain.ts";
import { serverDns } from "../x509/names.ts";

/** One that was found: who was reached there, and how to get there again. */
export interface Target {
  /** As a number; nothing is looked up any more. */
  readonly place: Address;
  readonly anchor: TrustAnchor;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class Connector {
  readonly target: Target;
  #judgedLeaf: Bytes | undefined;
  #leafHash: Bytes | undefined;

  constructor(target: Target) {
    this.target = target;
  }

  /** SHA-256 of the leaf that the server shows. @throws {PkiError} `internal` before it has shown one */
  get leafHash(): Bytes {
    if (!this.#leafHash) throw new PkiError("internal", "the server has not shown itself yet");
    return this.#leafHash;
  }

  /**
   * TCP and TLS, to a server whose certificate is the one that was judged.
   * @throws {PkiError} `unreachable`, `timeout`, `protocol`, `untrusted`, `interrupted`
   */
  async connect(
    identity?: TlsIdentity,
    signal: AbortSignal = this.target.signal,
  ): Promise<TLSSocket> {
    const { place, anchor } = this.target;
    const serverName = serverDns(anchor.domain);
    const socket = await attempt({ place, protocol: PROTOCOL, serverName, identity, signal });
    try {
      this.#check(socket);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #check(socket: TLSSocket): void {
    const { raw } = socket.getPeerCertificate(false);
    if (this.#judgedLeaf && raw && isEqualBytes(raw, this.#judgedLeaf)) return;
    const { anchor, now } = this.target;
    const { leaf } = judgeServer(shownCertificates(socket), { anchor, nowMs: now() });
    this.#judgedLeaf = leaf.der;
    this.#leafHash = sha256(leaf.der);
  }

  /** A connection as every client has one, greeted, for what is not measured. */
  async greet(identity?: TlsIdentity): Promise<ServerConnection> {
    const socket = await this.connect(identity);
    const { anchor, now, signal } = this.target;
    const nowMs = now();
    const { leaf, issuing } = judgeServer(shownCertificates(socket), { anchor, nowMs });
    const connection = new ServerConnection(socket, leaf.der, signal);
    try {
      await connection.greet(anchor, { current: issuing, nowMs });
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }
}
