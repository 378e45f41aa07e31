/**
 * The server's own certificate, which connections are shown: certified by the issuing CA like every
 * other one, and renewed when its time comes. Its key is the only one that the main thread has.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import { sha256 } from "../base/bytes.ts";
import type { Caller } from "../base/call.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { encodeSpki } from "../x509/keys.ts";
import { isIssuedBy } from "../x509/path.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../x509/pem.ts";
import type { ServedIdentity } from "./connections.ts";
import type { ServerFiles } from "./files.ts";
import type { EventLog } from "./log.ts";
import type { FromDirectory, ToDirectory } from "./ports.ts";

/** Every `LIMITS.serverRenewCheckMs`. */
const TRIED_AGAIN = "it is tried again within an hour";

export interface OwnCertificateOptions {
  readonly files: ServerFiles;
  /** The CA that certificates come from. */
  readonly issuing: Certificate;
  readonly directory: Pick<Caller<ToDirectory, FromDirectory>, "ask">;
  readonly log: EventLog;
  /** There is another one, for connections from now on. */
  readonly onRenewed: (identity: ServedIdentity) => void;
  readonly now?: () => number;
}

interface Identity {
  readonly key: KeyObject;
  certificate: Certificate;
  /** PEM of its certificate and CA that could not be written to the data folder. */
  unsaved?: string;
}

export class OwnCertificate {
  readonly #options: OwnCertificateOptions;
  #issuing: Certificate;
  #identity: Identity | undefined;

  constructor(options: OwnCertificateOptions) {
    this.#options = options;
    this.#issuing = options.issuing;
  }

  /** The CA that certificates come from now. */
  get issuing(): Certificate {
    return this.#issuing;
  }

  get #own(): Identity {
    if (!this.#identity) throw new PkiError("internal", "the server has no certificate yet");
    return this.#identity;
  }

  /** When it ends, in milliseconds since 1970. */
  get notAfterMs(): number {
    return this.#own.certificate.notAfterMs;
  }

  /** What connections are served with. */
  get served(): ServedIdentity {
    const { key, certificate } = this.#own;
    return {
      context: {
        key: key.export({ format: "pem", type: "pkcs8" }) as string,
        cert: this.#encode(certificate),
      },
      leafHash: sha256(certificate.der),
    };
  }

  /** Takes the certificate of the data folder, or has the first one made. */
  async load(key: KeyObject): Promise<void> {
    const path = this.#options.files.serverCertificate;
    const pem = readTextIfThere(path);
    const [leaf] = pem === undefined ? [] : parseCertificatesPem(pem, path);
    if (leaf !== undefined) {
      this.#identity = { key, certificate: parseCertificate(leaf) };
      return;
    }
    const certificate = await this.#certify(key);
    // A start takes from this file that the log is not new: no server goes on without it.
    writeFileAtomic(path, this.#encode(certificate));
    this.#identity = { key, certificate };
  }

  /** Has the server's key certified. @throws {PkiError} */
  async #certify(key: KeyObject): Promise<Certificate> {
    const { directory } = this.#options;
    const spki = encodeSpki(createPublicKey(key));
    const { certificate } = await directory.ask({ type: "certify-server", spki });
    if (!certificate) {
      throw new PkiError("internal", "the directory answered without a certificate");
    }
    return parseCertificate(certificate);
  }

  /** PEM of a certificate of ours and its CA. */
  #encode({ der }: Certificate): string {
    return encodeCertificatesPem([der, this.#issuing.der]);
  }

  /**
   * Keeps what was certified last. It is logged and good, whether it can be written or not: to have
   * another one certified each time would fill the log for nothing.
   */
  #save(own: Identity): void {
    if (own.unsaved === undefined) return;
    try {
      writeFileAtomic(this.#options.files.serverCertificate, own.unsaved);
      delete own.unsaved;
    } catch (error) {
      this.#warn(
        `the server's new certificate is used, and not kept: ${messageOf(error)}; ${TRIED_AGAIN}`,
      );
    }
  }

  #warn(message: string): void {
    this.#options.log.log({ level: "warning", event: "warning", message });
  }

  /** From now on certificates come from this CA. @returns whether it is another one */
  useIssuing(issuing: Certificate): boolean {
    const isAnother = fingerprintOf(this.#issuing.der) !== fingerprintOf(issuing.der);
    this.#issuing = issuing;
    return isAnother;
  }

  /**
   * Renews it when its time comes; connections under way keep the old one. While that is good, a
   * renewal that fails is a warning.
   * @throws {PkiError} what it fails with, where there is none that anybody accepts
   */
  async renewIfDue(): Promise<void> {
    const own = this.#own;
    this.#save(own);
    const { certificate } = own;
    // After a rotation that a crash cut short it may be of the CA before.
    const isOfCurrent = isIssuedBy(certificate, this.#issuing);
    const nowMs = (this.#options.now ?? Date.now)();
    // It is of a time to come where the clock was wrong: nobody accepts it until then.
    const isGood = isOfCurrent && certificate.notBeforeMs <= nowMs;
    const leftMs = certificate.notAfterMs - nowMs;
    if (isGood && leftMs > LIMITS.serverRenewDays * LIMITS.dayMs) return;
    // A new one could not last longer than the issuing CA does.
    if (isGood && this.#issuing.notAfterMs <= certificate.notAfterMs) {
      return this.#warn("the issuing CA ends soon, and the server's certificate with it");
    }
    try {
      await this.renew();
    } catch (error) {
      if (!isGood || leftMs <= 0) throw error;
      this.#warn(`cannot renew the server's certificate: ${messageOf(error)}; ${TRIED_AGAIN}`);
    }
  }

  /** @throws {PkiError} if it cannot be certified; then the one before is used */
  async renew(): Promise<void> {
    const { log, onRenewed } = this.#options;
    const own = this.#own;
    own.certificate = await this.#certify(own.key);
    own.unsaved = this.#encode(own.certificate);
    this.#save(own);
    onRenewed(this.served);
    const { serial, notAfterMs } = own.certificate;
    log.log({
      level: "notice",
      event: "server.renewed",
      message: "the server's own certificate was renewed",
      fields: { serial, notAfter: new Date(notAfterMs).toISOString() },
    });
  }
}
