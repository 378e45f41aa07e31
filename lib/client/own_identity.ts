/**
 * The certificate and key of somebody's own, as the home has them, for renewing and revoking: unlike
 * for a conversation the certificate may have expired.
 */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { encodeSpki } from "../x509/keys.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../x509/pem.ts";
import type { TlsIdentity } from "./dial.ts";
import type { Home } from "./home.ts";
import { isForKey } from "./operations.ts";

/** A certificate that ends in less than this is not shown any more: the server's clock may be ahead. */
const LAST_USE_MS = 60_000;

export interface OwnCertificate {
  readonly id: string;
  /** As it stands in the file: leaf, then issuing CA. */
  readonly pem: string;
  readonly leaf: Certificate;
  readonly issuing: Certificate;
}

/**
 * Reads the PEM of a user's own certificate and judges it as of when it was good.
 * @throws {PkiError} `untrusted` if it is not this user's, under the pinned root
 */
export function parseOwnCertificate(
  pem: string,
  { id, anchor, nowMs, what }: {
    readonly id: string;
    readonly anchor: TrustAnchor;
    readonly nowMs: number;
    /** Names the file in messages. */
    readonly what: string;
  },
): OwnCertificate {
  const ders = parseCertificatesPem(pem, what);
  const [leafDer] = ders;
  const endMs = leafDer ? parseCertificate(leafDer).notAfterMs : nowMs;
  const judged = judgeUser(ders, { anchor, nowMs: Math.min(nowMs, endMs) });
  if (judged.id !== id) {
    throw new PkiError(
      "untrusted",
      `the certificate in "${what}" is of "${judged.id}", not of "${id}"`,
      { hint: `get one for "${id}" with: pki csr --id ${id}` },
    );
  }
  return { id, pem, leaf: judged.leaf, issuing: judged.issuing };
}

/** @throws {PkiError} `not-found` if there is none, or no pinned root */
export function loadOwnCertificate(
  home: Home,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): OwnCertificate {
  const pem = home.loadCertificatePem(id);
  const anchor = home.loadAnchor(nowMs);
  if (!anchor) {
    throw new PkiError("not-found", `cannot find the pinned root in "${home.folder}"`, {
      hint: `it comes with your certificate: pki csr --id ${id}`,
    });
  }
  return parseOwnCertificate(pem, { id, anchor, nowMs, what: home.certificatePath(id) });
}

/** Whether somebody who is shown the certificate will find it in time. */
export function isInTime({ leaf }: OwnCertificate, nowMs: number): boolean {
  return leaf.notBeforeMs <= nowMs && nowMs + LAST_USE_MS < leaf.notAfterMs;
}

/** @throws {PkiError} `conflict` if a key is not the certificate's */
export function checkOwnKey(
  { id, leaf }: Pick<OwnCertificate, "id" | "leaf">,
  key: KeyObject,
): void {
  if (isForKey(leaf.der, encodeSpki(key))) return;
  throw new PkiError("conflict", `the certificate of "${id}" is for another key`, {
    hint: `get one for this key with: pki csr --id ${id}`,
  });
}

/** What TLS needs to show a certificate, as PEM. */
export function tlsIdentityOf(
  { leaf, issuing }: Pick<OwnCertificate, "leaf" | "issuing">,
  key: KeyObject,
): TlsIdentity {
  return {
    key: key.export({ format: "pem", type: "pkcs8" }) as string,
    cert: encodeCertificatesPem([leaf.der, issuing.der]),
  };
}
