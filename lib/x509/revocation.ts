/**
 * What CRLs say of a certificate (RFC 5280, section 6.3): which lists are about it, which of those
 * may be believed now, and whether it is in them. A list that cannot be used says nothing; it never
 * makes a certificate good.
 *
 * Lists of other issuers than the certificate's own (indirect ones) and lists for some reasons only
 * are refused when they are read.
 */

import { encodeHex, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "./certificate.ts";
import type { Crl, RevocationReason } from "./crl.ts";
import { isSameName, nameKeyOf } from "./distinguished_names.ts";
import { KEY_USAGE, parseDistributionPointName } from "./extensions.ts";
import type { GeneralName } from "./general_names.ts";
import type { PathWork } from "./path_work.ts";

const CRL_NUMBER = "2.5.29.20";

export type RevocationStatus =
  | { readonly status: "good" }
  | {
    readonly status: "revoked";
    /** Milliseconds since 1970. */
    readonly revokedMs: number;
    readonly reason: RevocationReason;
  }
  | { readonly status: "unknown"; readonly why: string };

/** How somebody wants to know whether certificates of a chain were revoked. */
export interface RevocationOptions {
  readonly crls?: readonly Crl[];
  /** Asked first, for what an OCSP response says; `undefined` where it does not know the certificate. */
  readonly statusOf?: (
    certificate: Certificate,
    issuer: Certificate,
  ) => RevocationStatus | undefined;
  /** Only the leaf's status is asked for; by default every certificate's but the root's. */
  readonly isLeafOnly?: boolean;
  /** A status that cannot be found out is no obstacle; by default it is. */
  readonly isUnknownGood?: boolean;
}

function keyOfName(name: GeneralName): string {
  switch (name.type) {
    case "dns":
    case "email":
    case "uri":
      return `${name.type} ${name.value}`;
    case "ip":
      return `ip ${encodeHex(name.value)}`;
    case "directory":
      return `directory ${nameKeyOf(name.value)}`;
    case "other":
      return ""; // equal to nothing
  }
}

/** Whether the list is for this certificate among its issuer's (section 6.3.3, b). */
function isInScope({ scope }: Crl, certificate: Certificate): boolean {
  if (!scope) return true;
  const isCa = certificate.basicConstraints?.isCa === true;
  if (scope.onlyUsers && isCa || scope.onlyCas && !isCa) return false;
  if (!scope.distributionPoint) return true;
  const points = certificate.crlDistributionPoints ?? [];
  const keys = new Set(points.flatMap(({ names }) => names).map(keyOfName));
  keys.delete("");
  return parseDistributionPointName(scope.distributionPoint)
    .some((name) => keys.has(keyOfName(name)));
}

/** Why a list of the right issuer must not be used, if so (sections 5.2.3, 6.3.3 a, f, g). */
function whyUnusable(
  crl: Crl,
  issuer: Certificate,
  { nowMs, work }: CrlOptions,
): string | undefined {
  const { authorityKeyId, thisUpdateMs, nextUpdateMs } = crl;
  const nowSecond = Math.floor(nowMs / 1000) * 1000;
  if (((issuer.keyUsage ?? KEY_USAGE.crlSign) & KEY_USAGE.crlSign) === 0) {
    return "its issuer must not sign CRLs";
  }
  if (
    authorityKeyId && issuer.subjectKeyId && !isEqualBytes(authorityKeyId, issuer.subjectKeyId)
  ) {
    return "the CRL is by another key of its issuer";
  }
  if (crl.number === undefined) return "the CRL has no number";
  if (crl.extensions.get(CRL_NUMBER)?.critical) return "the number of the CRL is marked critical";
  if (nowSecond < thisUpdateMs) return "the CRL is not valid yet";
  if (nextUpdateMs === undefined) return "the CRL does not say until when it is valid";
  if (nowSecond > nextUpdateMs) {
    return `the CRL expired ${new Date(nextUpdateMs).toISOString()}`;
  }
  try {
    return work.isSignedBy(crl, issuer) ? undefined : "the CRL is not signed by its issuer";
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") return error.message;
    throw error;
  }
}

function isNewer(a: Crl, b: Crl): boolean {
  return (a.number ?? 0n) > (b.number ?? 0n);
}

function newestOf(crls: readonly Crl[]): Crl | undefined {
  return crls.reduce<Crl | undefined>(
    (newest, crl) => !newest || isNewer(crl, newest) ? crl : newest,
    undefined,
  );
}

function isSameScope(a: Crl, b: Crl): boolean {
  const pointOf = ({ scope }: Crl) => encodeHex(scope?.distributionPoint ?? new Uint8Array());
  return a.scope?.onlyUsers === b.scope?.onlyUsers && a.scope?.onlyCas === b.scope?.onlyCas &&
    pointOf(a) === pointOf(b);
}

/** Whether a delta brings this list up to date (section 5.2.4). */
function isDeltaOf(delta: Crl, complete: Crl): boolean {
  return delta.deltaBase !== undefined && delta.deltaBase <= (complete.number ?? -1n) &&
    isNewer(delta, complete) && isSameScope(delta, complete);
}

export interface CrlOptions {
  readonly crls: readonly Crl[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly work: PathWork;
}

/**
 * What these lists say of a certificate: by the newest complete list that may be used, and the newest
 * delta on top of it.
 * @throws {PkiError} `untrusted`, check `work`
 */
export function statusByCrls(
  certificate: Certificate,
  issuer: Certificate,
  options: CrlOptions,
): RevocationStatus {
  const about = options.crls.filter((crl) =>
    isSameName(crl.issuer, certificate.issuer) && isInScope(crl, certificate)
  );
  let why = "there is no CRL of its issuer that is about it";
  const usable = about.filter((crl) => {
    const reason = whyUnusable(crl, issuer, options);
    if (reason !== undefined) why = reason;
    return reason === undefined;
  });
  const complete = newestOf(usable.filter((crl) => crl.deltaBase === undefined));
  if (!complete) return { status: "unknown", why };
  const delta = newestOf(usable.filter((crl) => isDeltaOf(crl, complete)));
  const entry = delta?.find(certificate.serial) ?? complete.find(certificate.serial);
  return !entry || entry.reason === "removeFromCRL"
    ? { status: "good" }
    : { status: "revoked", revokedMs: entry.revokedMs, reason: entry.reason };
}

/**
 * What is known of a certificate's revocation.
 * @throws {PkiError} `untrusted`, check `work`
 */
export function findStatus(
  certificate: Certificate,
  issuer: Certificate,
  { statusOf, crls = [], nowMs, work }: RevocationOptions & Omit<CrlOptions, "crls">,
): RevocationStatus {
  return statusOf?.(certificate, issuer) ??
    statusByCrls(certificate, issuer, { crls, nowMs, work });
}
