/**
 * What identities a home has, and in which state each is. The keys stay locked: whether one fits its
 * certificate is found when it is used.
 */

import { PkiError } from "../base/errors.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import type { KeyType } from "../x509/algorithms.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import { keyTypeOf, parsePublicKey } from "../x509/keys.ts";
import { parseCertificatesPem } from "../x509/pem.ts";
import type { Home } from "./home.ts";
import { parseOwnCertificate } from "./own_identity.ts";
import { DEFAULT_MARGIN, isDue } from "./renewal.ts";

/** `expiring`: it is time to renew it, as `pki renew` has it. */
export type IdentityState =
  | "valid"
  | "expiring"
  | "expired"
  | "not-yet-valid"
  | "no-certificate"
  | "no-key"
  | "untrusted"
  | "damaged";

export interface Identity {
  readonly id: string;
  readonly state: IdentityState;
  /** Absent where there is none, or it cannot be read. */
  readonly certificate?: {
    readonly leaf: Certificate;
    readonly keyType: KeyType;
    readonly fingerprint: string;
  };
}

function parseLeaf(pem: string, path: string): Identity["certificate"] {
  try {
    const [der] = parseCertificatesPem(pem, path);
    if (!der) return undefined;
    const leaf = parseCertificate(der);
    const keyType = keyTypeOf(parsePublicKey(leaf.spki));
    return { leaf, keyType, fingerprint: fingerprintOf(leaf.der) };
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") return undefined;
    throw error;
  }
}

/** The pinned root, as long as it is one to judge by. */
function loadAnchor(home: Home, nowMs: number): TrustAnchor | undefined {
  try {
    return home.loadAnchor(nowMs);
  } catch (error) {
    if (error instanceof PkiError) return undefined; // every command that needs it says why
    throw error;
  }
}

function isTrusted(
  pem: string,
  options: { readonly id: string; readonly anchor: TrustAnchor; readonly nowMs: number },
): boolean {
  try {
    parseOwnCertificate(pem, { ...options, what: "" });
    return true;
  } catch (error) {
    if (error instanceof PkiError && error.kind === "untrusted") return false;
    throw error;
  }
}

/** The state of one identity, of which something is in the home. */
export function describeIdentity(
  home: Home,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): Identity {
  const hasKey = home.hasKey(id);
  const pem = home.files(id).loadCertificate();
  if (pem === undefined) return { id, state: hasKey ? "no-certificate" : "no-key" };
  const certificate = parseLeaf(pem, home.certificatePath(id));
  if (!certificate) return { id, state: "damaged" };
  const { leaf } = certificate;
  const anchor = loadAnchor(home, nowMs);
  const state = (): IdentityState => {
    if (!hasKey) return "no-key";
    if (nowMs < leaf.notBeforeMs) return "not-yet-valid";
    if (!anchor || !isTrusted(pem, { id, anchor, nowMs })) return "untrusted";
    if (nowMs > leaf.notAfterMs) return "expired";
    return isDue(leaf, DEFAULT_MARGIN, nowMs) ? "expiring" : "valid";
  };
  return { id, state: state(), certificate };
}

/** All identities that have a key or a certificate in the home, by id. */
export function listIdentities(home: Home, nowMs: number): readonly Identity[] {
  return home.listFolders()
    .filter((id) => home.hasKey(id) || home.files(id).loadCertificate() !== undefined)
    .map((id) => describeIdentity(home, { id, nowMs }));
}
