/** What one needs to take part in a conversation: the own key and certificate, and the pinned root. */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import type { Home } from "../client/home.ts";
import { isForKey } from "../client/operations.ts";
import type { LineMode } from "../protocol/peer.ts";
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

/**
 * Opens an identity of the home and judges its own certificate, so that an expired one is noticed here
 * and not by the peer.
 * @throws {PkiError} `not-found`, `untrusted`, `refused` for a wrong password
 */
export async function openIdentity(
  home: Home,
  { id, nowMs, password }: {
    readonly id: string;
    readonly nowMs: number;
    readonly password: () => Promise<string>;
  },
): Promise<PeerIdentity> {
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
  const key = await decryptPrivateKey(keyPem, await password(), `the key of "${id}"`);
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

/** What a conversation's worker needs of us, and of the peer who showed these certificates. */
export function startOf(
  { anchor, issuingDer }: PeerIdentity,
  mode: LineMode,
  shown: readonly Uint8Array[],
): ConversationStart {
  return { mode, rootDer: anchor.root.der, domain: anchor.domain, issuingDer, shown };
}
