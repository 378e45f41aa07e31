/**
 * Finds a chain from a certificate to a root among many others (RFC 4158), with a bound on work.
 *
 * Depth first, and each link is a name, a key identifier and a verified signature, so that what is
 * merely claimed leads nowhere. No CA (by name and key) comes twice in a chain: cross-signed loops
 * end there. Whatever is left for a hostile set to multiply is cut off by the bound.
 */

import { encodeHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "./certificate.ts";
import { nameKeyOf } from "./distinguished_names.ts";
import {
  CHAIN_CERTIFICATES_MAX,
  type PathOptions,
  type ValidatedPath,
  validatePath,
} from "./path.ts";
import { failedCheckOf, untrusted } from "./path_failure.ts";
import { PathWork } from "./path_work.ts";

/** Certificates that are looked at as possible CAs; the rest is not. The largest test case shows 100. */
const INTERMEDIATES_MAX = 128;

export interface FindOptions extends PathOptions {
  readonly leaf: Certificate;
  /** Whatever may lie between, in any order, trusted in nothing. */
  readonly intermediates: readonly Certificate[];
  /** The roots, or other CAs, that are trusted. */
  readonly anchors: readonly Certificate[];
}

/** A certificate that may come next in a chain. */
interface Candidate {
  readonly certificate: Certificate;
  readonly isAnchor: boolean;
  /** Who it is, by name and key, whatever certificates there are of it. */
  readonly identity: string;
}

/** How an issuer is looked up: by its name and the identifier of its key. */
function placeOf(name: Uint8Array, keyId: Uint8Array | undefined): string | undefined {
  return keyId && `${nameKeyOf(name)} ${encodeHex(keyId)}`;
}

function isMalformed(error: unknown): error is PkiError {
  return error instanceof PkiError && error.kind === "malformed";
}

/** Where work throws `malformed`, there is nothing. */
function unlessMalformed<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isMalformed(error)) return undefined;
    throw error;
  }
}

function identityOf({ subject, spki }: Certificate): string {
  return `${nameKeyOf(subject)} ${encodeHex(spki)}`;
}

/** Candidates by their place, anchors first. */
function indexCandidates(
  { anchors, intermediates }: FindOptions,
): ReadonlyMap<string, readonly Candidate[]> {
  const index = new Map<string, Candidate[]>();
  const add = (certificate: Certificate, isAnchor: boolean) => {
    const place = unlessMalformed(() => placeOf(certificate.subject, certificate.subjectKeyId));
    if (place === undefined) return;
    const candidates = index.get(place) ?? [];
    candidates.push({ certificate, isAnchor, identity: identityOf(certificate) });
    index.set(place, candidates);
  };
  for (const anchor of anchors) add(anchor, true);
  for (const certificate of intermediates.slice(0, INTERMEDIATES_MAX)) add(certificate, false);
  return index;
}

/**
 * Finds a chain that passes every check of {@link validatePath}.
 * @param work what it took, also where it failed, for somebody who wants to know
 * @throws {PkiError} `untrusted`: why the first chain that reached a root was refused; else why none
 *   reached one; or `work` where the bound was reached first
 */
export function findPath(options: FindOptions, work = new PathWork()): ValidatedPath {
  const { leaf } = options;
  const index = indexCandidates(options);
  let refusal: PkiError | undefined;
  let brokenLink: PkiError | undefined;

  function isLink(certificate: Certificate, issuer: Certificate): boolean {
    try {
      if (work.isSignedBy(certificate, issuer)) return true;
      const what = "a signature in its chain is not by the issuer that is named";
      brokenLink ??= untrusted("signature", undefined, what);
    } catch (error) {
      if (!isMalformed(error)) throw error;
      brokenLink ??= untrusted("algorithm", undefined, error.message);
    }
    return false;
  }

  function validate(chain: readonly Certificate[]): ValidatedPath | undefined {
    try {
      return validatePath(chain, options, work);
    } catch (error) {
      const failed = failedCheckOf(error);
      if (!(error instanceof PkiError) || !failed || failed.check === "work") throw error;
      refusal ??= error;
      return undefined;
    }
  }

  /** Tries every way on from the end of a chain. */
  function extend(
    chain: readonly Certificate[],
    last: Certificate,
    seen: ReadonlySet<string>,
  ): ValidatedPath | undefined {
    const place = unlessMalformed(() => placeOf(last.issuer, last.authorityKeyId));
    for (const { certificate, isAnchor, identity } of index.get(place ?? "") ?? []) {
      work.spend("steps");
      if (seen.has(identity) || !isLink(last, certificate)) continue;
      const longer = [...chain, certificate];
      if (longer.length > CHAIN_CERTIFICATES_MAX) continue;
      const found = isAnchor
        ? validate(longer)
        : extend(longer, certificate, new Set([...seen, identity]));
      if (found) return found;
    }
    return undefined;
  }

  const found = extend([leaf], leaf, new Set([unlessMalformed(() => identityOf(leaf)) ?? ""]));
  if (found) return found;
  throw refusal ?? brokenLink ??
    untrusted("issuer", undefined, "no chain leads from it to a trusted root");
}
