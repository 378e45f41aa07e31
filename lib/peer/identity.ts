/** What one needs to take part in a conversation: the own key and certificate, and the pinned root. */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import type { Home } from "../client/home.ts";
import { isForKey } from "../client/operations.ts";
import type { Certificate } from "../x509/certificate.ts";
import { judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { decryptPrivateKey, encodeSpki } from "../x509/keys.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../x509/pem.ts";
import type { ConversationStart } from "./ports.ts";

export interface PeerIdentity {
  readonly id: string;
  readonly anchor: TrustAnchor;
  readonly issuingDer: Uint8Array;
  /** For TLS, as PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
}

function pemOf(key: KeyObject): string {
  return key.export({ format: "pem", type: "pkcs8" }) as string;
}

/** An identity whose certificate was judged, and whose key is still locked. */
export interface LockedIdentity {
  readonly id: string;
  readonly anchor: TrustAnchor;
  readonly leaf: Certificate;
  readonly issuing: Certificate;
  readonly keyPem: string;
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
  const keyPem = home.loadKeyPem(id);
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
    );
  }
  return { id, anchor, leaf, issuing, keyPem };
}

/** Opens the key. @throws {PkiError} `refused` for a wrong password, `conflict` */
export async function openIdentity(
  { id, anchor, leaf, issuing, keyPem }: LockedIdentity,
  password: string,
): Promise<PeerIdentity> {
  const key = await decryptPrivateKey(keyPem, password, `the key of "${id}"`);
  if (!isForKey(leaf.der, encodeSpki(key))) {
    throw new PkiError("conflict", `the certificate of "${id}" is for another key`, {
      hint: `get one for this key with: pki csr --id ${id}`,
    });
  }
  return {
    id,
    anchor,
    issuingDer: issuing.der,
    tls: { key: pemOf(key), cert: encodeCertificatesPem([leaf.der, issuing.der]) },
  };
}

/** What a conversation's worker needs of us, and of the peer, who showed these certificates. */
export function startOf(
  { anchor, issuingDer }: PeerIdentity,
  more: Pick<ConversationStart, "mode" | "shown" | "status" | "isOffline">,
): ConversationStart {
  const { root, domain, ...pins } = anchor;
  return { rootDer: root.der, domain, pins, issuingDer, ...more };
}
