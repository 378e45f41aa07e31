/**
 * Publishing a certificate (`CERTUP`, `CERTUP_FINISH`): only one that this directory has issued to
 * the session's user, and only with a signature by its key over a nonce that is used once.
 */

import { randomBytes } from "node:crypto";
import { type Bytes, encodeBase64, parseBase64, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { Answer } from "../protocol/answers.ts";
import type { RequestBody } from "../protocol/requests.ts";
import { certificateOf, type IssuedCertificate } from "../store/state.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { isLabelledSignatureValid, parsePublicKey } from "../x509/keys.ts";
import type { Directory } from "./directory.ts";

interface Publication extends IssuedCertificate {
  readonly der: Bytes;
}

/** The publications that one connection has begun. */
export class Publications {
  readonly #directory: Directory;
  /** SHA-256 of the leaf that the server showed on this connection. */
  readonly #leafHash: Uint8Array;
  /** Certificates waiting for their key's signature, by the nonce that it shall sign. */
  readonly #pending = new Map<string, Publication>();

  constructor(directory: Directory, leafHash: Uint8Array) {
    this.#directory = directory;
    this.#leafHash = leafHash;
  }

  /** Checks that this certificate may be published and asks for proof that its key agrees. */
  start(id: string, { certificate }: RequestBody<"CERTUP">): Answer {
    const issued = this.#findIssued(id, certificate);
    if (!issued) {
      throw new PkiError("refused", `cannot publish: no such certificate was issued to "${id}"`);
    }
    this.#check(id, issued);
    if (this.#pending.size >= LIMITS.publishNoncesMax) {
      throw new PkiError("refused", "cannot publish: too many publications were left unfinished");
    }
    const nonce = encodeBase64(randomBytes(32));
    this.#pending.set(nonce, { ...issued, der: parseBase64(certificate) });
    return { nonce };
  }

  /** A certificate that was issued to this user, found by its whole content. */
  #findIssued(id: string, certificate: string): IssuedCertificate | undefined {
    const { state, log } = this.#directory.options;
    const { serial } = parseCertificate(parseBase64(certificate));
    const issued = state.issued(serial);
    if (!issued || issued.id !== id || issued.profile !== "user") return undefined;
    return certificateOf(log.read(issued.entry)) === certificate ? issued : undefined;
  }

  #check(id: string, issued: IssuedCertificate): void {
    const { state } = this.#directory.options;
    if (issued.notAfterMs < this.#directory.nowMs) {
      throw new PkiError("refused", "cannot publish: the certificate has expired");
    }
    if (state.issued(issued.serial)?.revokedMs !== null) {
      throw new PkiError("refused", "cannot publish: the certificate is revoked");
    }
    if (issued.entry < (state.published(id)?.entry ?? 0)) {
      throw new PkiError("conflict", "cannot publish: a newer certificate is published already");
    }
  }

  async finish(id: string, request: RequestBody<"CERTUP_FINISH">): Promise<Answer> {
    const certificate = this.#pending.get(request.nonce);
    this.#pending.delete(request.nonce); // spent, whatever follows
    if (!certificate) {
      throw new PkiError("refused", "cannot publish: this nonce was not given, or is spent");
    }
    const isValid = isLabelledSignatureValid({
      key: parsePublicKey(parseCertificate(certificate.der).spki),
      signature: parseBase64(request.signature),
      label: "pki/1 CERTUP",
      parts: [
        parseBase64(request.nonce),
        parseBase64(request.clientNonce),
        sha256(certificate.der),
        this.#leafHash,
      ],
    });
    if (!isValid) {
      throw new PkiError(
        "refused",
        "cannot publish: the signature is not by the certificate's key",
      );
    }
    await this.#directory.inTurn(id, async () => {
      this.#check(id, certificate);
      await this.#directory.commit({
        type: "published",
        public: { serial: certificate.serial },
        private: null,
      });
    });
    return {};
  }
}
