/** What one needs to take part in a conversation: the own key and certificate, and the pinned root. */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import type { TlsIdentity } from "../client/dial.ts";
import type { Home } from "../client/home.ts";
import { tlsIdentityOf } from "../client/own_identity.ts";
import type { Certificate } from "../x509/certificate.ts";
import { judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { parseCertificatesPem } from "../x509/pem.ts";
import type { LineStart } from "./greeting.ts";

export interface PeerIdentity {
  readonly id: string;
  readonly anchor: TrustAnchor;
  /** DER of the own certificate. */
  readonly certificateDer: Uint8Array;
  readonly issuingDer: Uint8Array;
  readonly tls: TlsIdentity;
}

/** An identity whose certificate was judged, and whose key is still locked. */
export interface LockedIdentity {
  readonly id: string;
  readonly anchor: TrustAnchor;
  readonly leaf: Certificate;
  readonly issuing: Certificate;
}

/**
 * Finds an identity of the home and judges its own certificate, so that an expired one is noticed here
 * and not by the peer.
 * @throws {PkiError} `not-found`, `untrusted`
 */
export function findIdentity(
  home: Home,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): LockedIdentity {
  const anchor = home.loadAnchor(nowMs);
  home.loadKeyPem(id); // without it nothing else is of use
  const certificatePath = home.certificatePath(id);
  const ders = parseCertificatesPem(home.loadCertificatePem(id), certificatePath);
  if (!anchor) {
    throw new PkiError("not-found", `cannot find the pinned root in "${home.folder}"`, {
      hint: `it comes with your certificate: pki csr --id ${id}`,
    });
  }
  const { leaf, issuing, id: certifiedId } = judgeUser(ders, { anchor, nowMs });
  if (certifiedId !== id) {
    throw new PkiError(
      "untrusted",
      `the certificate in "${certificatePath}" is of "${certifiedId}"`,
      { hint: "get another certificate with: pki csr" },
    );
  }
  return { id, anchor, leaf, issuing };
}

/** With the key of the certificate, everything that a conversation needs. */
export function unlockIdentity(
  { id, anchor, leaf, issuing }: LockedIdentity,
  key: KeyObject,
): PeerIdentity {
  return {
    id,
    anchor,
    certificateDer: leaf.der,
    issuingDer: issuing.der,
    tls: tlsIdentityOf({ leaf, issuing }, key),
  };
}

/** What a conversation's worker needs of us, and of the peer, who showed these certificates. */
export function startOf(
  { anchor, certificateDer, issuingDer }: PeerIdentity,
  more: Pick<LineStart, "mode" | "role" | "shown" | "isOffline">,
): LineStart {
  const { root, domain, ...pins } = anchor;
  return { rootDer: root.der, domain, pins, ownDer: certificateDer, issuingDer, ...more };
}
