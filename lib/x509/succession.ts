/**
 * Successions: how an issuing CA that comes later is vouched for by one that is pinned already, and a
 * new root by the root before it. A certificate under the pinned root alone is not enough, since a
 * root of one's own may have other CAs below it.
 *
 * What vouches is a signature by the earlier CA's key, or by the root's, over a label and the SHA-256
 * of the later CA's certificate. Pure. Start at {@link learnIssuers}.
 */

import type { KeyObject } from "node:crypto";
import { encodeBase64, encodeHex, parseBase64, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "./certificate.ts";
import { checkRoot, judgeIssuing, type TrustAnchor } from "./chain.ts";
import { isLabelledSignatureValid, parsePublicKey, signLabelled } from "./keys.ts";

/** One link, with DER as base64: as `HELLO` tells it and as the data folder keeps it. */
export interface Succession {
  readonly kind: "issuing" | "root";
  /** The CA that comes later. */
  readonly certificate: string;
  /** SHA-256 of the certificate of the CA that vouches, in hex. */
  readonly by: string;
  /** That certificate; absent where it is the root's. */
  readonly issuer?: string | undefined;
  readonly signature: string;
}

const LABELS = { issuing: "pki/1 issuing CA", root: "pki/1 root" } as const;

/**
 * Vouches for a CA that comes later.
 * @param by certificate and key of the CA that vouches: the issuing CA before it, or the root
 */
export function vouchFor(
  certificate: Certificate,
  { kind, by, key, isByRoot }: {
    readonly kind: Succession["kind"];
    readonly by: Certificate;
    readonly key: KeyObject;
    readonly isByRoot: boolean;
  },
): Succession {
  return {
    kind,
    certificate: encodeBase64(certificate.der),
    by: fingerprintOf(by.der),
    ...(isByRoot ? {} : { issuer: encodeBase64(by.der) }),
    signature: encodeBase64(signLabelled(key, LABELS[kind], sha256(certificate.der))),
  };
}

function isSignedBy({ kind, certificate, signature }: Succession, by: Certificate): boolean {
  return isLabelledSignatureValid({
    key: parsePublicKey(by.spki),
    signature: parseBase64(signature),
    label: LABELS[kind],
    parts: [sha256(parseBase64(certificate))],
  });
}

/**
 * Whether the CA that a succession names has signed it: the root, or the one shown in it. Whether
 * that one is anybody to believe is another question.
 */
export function isVouched(succession: Succession, root: Certificate): boolean {
  return readLink(succession, { root }).length > 0;
}

export interface LearnOptions {
  /** What is pinned so far; without `issuers` nothing is. */
  readonly anchor: TrustAnchor;
  /** What the server tells; nothing in it is trusted. */
  readonly successions: readonly Succession[];
  /** The issuing CA of the server's own certificate, which was judged under the root. */
  readonly current: Certificate;
  readonly nowMs: number;
}

/** A link with its certificates read, for whatever it is worth. */
interface Link {
  readonly succession: Succession;
  readonly later: string;
  /** The CA that vouches; it is what it says, and no more is known of it. */
  readonly voucher: Certificate;
}

/** Damaged links, and links of a CA that is not shown, count as none. */
function readLink(
  succession: Succession,
  { root }: Pick<TrustAnchor, "root">,
): readonly Link[] {
  try {
    const { certificate, by, issuer } = succession;
    const voucher = by === fingerprintOf(root.der)
      ? root
      : issuer === undefined
      ? undefined
      : parseCertificate(parseBase64(issuer));
    if (!voucher || fingerprintOf(voucher.der) !== by || !isSignedBy(succession, voucher)) {
      return [];
    }
    return [{ succession, later: encodeHex(sha256(parseBase64(certificate))), voucher }];
  } catch (error) {
    if (error instanceof PkiError) return [];
    throw error;
  }
}

/** Serial numbers of the certificates that links show, whatever these are worth. */
export function serialsIn(successions: readonly Succession[]): readonly string[] {
  return successions.flatMap(({ certificate, issuer = certificate }) =>
    [certificate, issuer].flatMap((base64) => {
      try {
        return [parseCertificate(parseBase64(base64)).serial];
      } catch (error) {
        if (error instanceof PkiError) return [];
        throw error;
      }
    })
  );
}

/** Whether a CA may be pinned: under the root, in time, for the domain, and not revoked. */
function isGoodIssuing(der: Uint8Array, { anchor, nowMs }: LearnOptions): boolean {
  try {
    const { serial } = judgeIssuing(der, { anchor, nowMs });
    return !anchor.revokedIssuers?.has(serial);
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/**
 * The issuing CAs to pin, as fingerprints: those that are, and all that these vouch for, directly or
 * one over the other. A CA that vouches may have ended since, but not been revoked.
 *
 * At the first contact it is the server's own issuing CA and those that led to it, whose certificates
 * people still have.
 * @throws {PkiError} `untrusted` if that one must not be pinned
 */
export function learnIssuers(options: LearnOptions): ReadonlySet<string> {
  const { anchor, successions, current } = options;
  const isFirst = anchor.issuers === undefined;
  // Nobody vouches for it, so its own words have to do: it is for this domain and has no CA below it.
  if (isFirst) judgeIssuing(current.der, options);
  const links = successions.filter(({ kind }) => kind === "issuing")
    .flatMap((succession) => readLink(succession, anchor));
  const pins = new Set(anchor.issuers ?? [fingerprintOf(current.der)]);
  const rootFingerprint = fingerprintOf(anchor.root.der);
  // Each round adds at least one, or is the last; there are few links.
  for (let before = -1; before < pins.size;) {
    before = pins.size;
    for (const { succession: { by, certificate }, later, voucher } of links) {
      const isBelieved = by === rootFingerprint ||
        pins.has(by) && !anchor.revokedIssuers?.has(voucher.serial);
      if (isBelieved && isGoodIssuing(parseBase64(certificate), options)) pins.add(later);
      const leadsHere = isFirst && by !== rootFingerprint && pins.has(later);
      if (leadsHere && isGoodIssuing(voucher.der, options)) pins.add(by);
    }
  }
  return pins;
}

/**
 * The root that the pinned one vouches for, over however many roots in between; `undefined` where it
 * vouches for none.
 */
export function learnRoot(
  { root, successions, nowMs }: {
    readonly root: Certificate;
    readonly successions: readonly Succession[];
    readonly nowMs: number;
  },
): Certificate | undefined {
  let newest = root;
  const passed = new Set([fingerprintOf(root.der)]);
  for (let isNew = true; isNew;) {
    isNew = false;
    for (const succession of successions) {
      if (succession.kind !== "root" || succession.by !== fingerprintOf(newest.der)) continue;
      const later = readRoot(succession, newest, nowMs);
      if (!later || passed.has(fingerprintOf(later.der))) continue;
      passed.add(fingerprintOf(later.der));
      newest = later;
      isNew = true;
      break;
    }
  }
  return newest === root ? undefined : newest;
}

function readRoot(
  succession: Succession,
  by: Certificate,
  nowMs: number,
): Certificate | undefined {
  try {
    if (!isSignedBy(succession, by)) return undefined;
    return checkRoot(parseBase64(succession.certificate), nowMs);
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}
