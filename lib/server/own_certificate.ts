/**
 * The server's own certificate, which connections are shown: certified by the issuing CA like every
 * other one, and renewed when its time comes. Its key is the only one that the main thread has.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import { sha256 } from "../base/bytes.ts";
import type { Caller } from "../base/call.ts";
import { PkiError } from "../base/errors.ts";
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

export interface OwnCertificateOptions {
  readonly files: ServerFiles;
  /** The CA that certificates come from. */
  readonly issuing: Certificate;
  readonly directory: Caller<ToDirectory, FromDirectory>;
  readonly log: EventLog;
  /** There is another one, for connections from now on. */
  readonly onRenewed: (identity: ServedIdentity) => void;
}

interface Identity {
  readonly key: KeyObject;
  certificate: Certificate;
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
        cert: encodeCertificatesPem([certificate.der, this.#issuing.der]),
      },
      leafHash: sha256(certificate.der),
    };
  }

  /** Takes the certificate of the data folder, or has the first one made. */
  async load(key: KeyObject): Promise<void> {
    const path = this.#options.files.serverCertificate;
    const pem = readTextIfThere(path);
    const [leaf] = pem === undefined ? [] : parseCertificatesPem(pem, path);
    const certificate = leaf === undefined ? await this.#certify(key) : parseCertificate(leaf);
    this.#identity = { key, certificate };
  }

  /** Has the server's key certified and keeps the certificate. */
  async #certify(key: KeyObject): Promise<Certificate> {
    const { directory, files } = this.#options;
    const spki = encodeSpki(createPublicKey(key));
    const { certificate } = await directory.ask({ type: "certify-server", spki });
    if (!certificate) {
      throw new PkiError("internal", "the directory answered without a certificate");
    }
    const pem = encodeCertificatesPem([certificate, this.#issuing.der]);
    writeFileAtomic(files.serverCertificate, pem);
    return parseCertificate(certificate);
  }

  /** From now on certificates come from this CA. @returns whether it is another one */
  useIssuing(issuing: Certificate): boolean {
    const isAnother = fingerprintOf(this.#issuing.der) !== fingerprintOf(issuing.der);
    this.#issuing = issuing;
    return isAnother;
  }

  /** Renews it when its time comes; connections under way keep the old one. */
  async renewIfDue(): Promise<void> {
    const { certificate } = this.#own;
    // After a rotation that a crash cut short it may be of the CA before.
    const isOfCurrent = isIssuedBy(certificate, this.#issuing);
    const nowMs = Date.now();
    // It is of a time to come where the clock was wrong: nobody accepts it until then.
    const isGood = isOfCurrent && certificate.notBeforeMs <= nowMs;
    const leftMs = certificate.notAfterMs - nowMs;
    if (isGood && leftMs > LIMITS.serverRenewDays * LIMITS.dayMs) return;
    // A new one could not last longer than the issuing CA does.
    if (isGood && this.#issuing.notAfterMs <= certificate.notAfterMs) {
      const message = "the issuing CA ends soon, and the server's certificate with it";
      this.#options.log.log({ level: "warning", event: "warning", message });
      return;
    }
    await this.renew();
  }

  async renew(): Promise<void> {
    const { log, onRenewed } = this.#options;
    const own = this.#own;
    own.certificate = await this.#certify(own.key);
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
