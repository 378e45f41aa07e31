/**
 * Verifies a certificate for somebody who wants to know all that is wrong with it: finds the chain
 * that is meant, makes every check of path validation, and says of each whether it holds. What is
 * trusted, and where news of revocations come from, is the caller's to say.
 */

import { PkiError } from "../base/errors.ts";
import { type Certificate, fingerprintOf } from "../x509/certificate.ts";
import { judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { isSameName } from "../x509/distinguished_names.ts";
import { CHAIN_CERTIFICATES_MAX, examinePath, isIssuedBy, type PathOptions } from "../x509/path.ts";
import { findPath } from "../x509/path_building.ts";
import { failedCheckOf, PATH_CHECKS, type PathCheck, untrusted } from "../x509/path_failure.ts";

/** Certificates that are looked at to find a chain. */
const CANDIDATES_MAX = 128;

/** What one check says: it holds, it fails, or it was not made. */
export type CheckResult =
  | { readonly check: PathCheck; readonly result: "ok" }
  | { readonly check: PathCheck; readonly result: "failed"; readonly failure: PkiError }
  | { readonly check: PathCheck; readonly result: "skipped"; readonly why: string };

export interface Verification {
  /** Leaf first; up to the root, if there is a chain that leads there. */
  readonly chain: readonly Certificate[];
  readonly results: readonly CheckResult[];
}

export interface Verifiable {
  readonly leaf: Certificate;
  /** What may lie between leaf and root, in any order, trusted in nothing. */
  readonly intermediates: readonly Certificate[];
  readonly root: Certificate;
}

function isSame(a: Certificate, b: Certificate): boolean {
  return a === b || fingerprintOf(a.der) === fingerprintOf(b.der);
}

/** The first chain that names and keys lead along from the leaf to the root, good or not. */
function assemble({ leaf, intermediates, root }: Verifiable): readonly Certificate[] | undefined {
  const candidates = intermediates.slice(0, CANDIDATES_MAX);
  const dead = new Set<Certificate>();
  const extend = (chain: readonly Certificate[]): readonly Certificate[] | undefined => {
    const last = chain.at(-1);
    if (!last || chain.length >= CHAIN_CERTIFICATES_MAX) return undefined;
    if (isIssuedBy(last, root)) return [...chain, root];
    for (const candidate of candidates) {
      if (dead.has(candidate) || chain.includes(candidate) || !isIssuedBy(last, candidate)) {
        continue;
      }
      const found = extend([...chain, candidate]);
      if (found) return found;
      dead.add(candidate); // it leads nowhere, whatever comes before it
    }
    return undefined;
  };
  return extend([leaf]);
}

/**
 * The chain that is meant: one that is good, or else one that reaches the root.
 * @throws {PkiError} `untrusted` where none does
 */
export function findChain(
  verifiable: Verifiable,
  options: PathOptions,
): readonly Certificate[] {
  const { leaf, intermediates, root } = verifiable;
  if (isSame(leaf, root)) {
    throw untrusted(
      "issuer",
      0,
      "it is the root itself, which is trusted or not, but not verified",
    );
  }
  try {
    return findPath({ ...options, leaf, intermediates, anchors: [root] }).chain;
  } catch (error) {
    if (!failedCheckOf(error)) throw error;
    const chain = assemble(verifiable);
    if (chain) return chain;
    throw missingIssuer(verifiable);
  }
}

/** Which certificate would have to be there. */
function missingIssuer({ leaf, intermediates }: Verifiable): PkiError {
  const above = intermediates.filter((one) => isIssuedBy(leaf, one));
  return untrusted(
    "issuer",
    0,
    above.length === 0
      ? "the certificate of the CA that issued it is not there, and it is not the root's own"
      : "no chain leads from it to the root",
    "a file has the certificate first and then the CAs above it",
  );
}

/** A name that is asked for as well as what a chain needs. */
export interface UserWanted {
  readonly id: string;
  readonly anchor: TrustAnchor;
}

/** Whether it is that user's certificate, as everybody else here judges it. */
function checkUser(chain: readonly Certificate[], nowMs: number, { id, anchor }: UserWanted): void {
  const judged = judgeUser(chain.map(({ der }) => der), { anchor, nowMs });
  if (judged.id !== id) {
    throw untrusted("names", 0, `it is the certificate of "${judged.id}", not of "${id}"`);
  }
}

export interface VerifyOptions extends PathOptions {
  readonly user?: UserWanted;
  /** Why revocation is not asked about; then it is not. */
  readonly withoutRevocation?: string;
}

/**
 * Makes every check, also after one has failed.
 * @param chain from {@link findChain}
 */
export function verifyChain(
  chain: readonly Certificate[],
  { user, withoutRevocation, ...options }: VerifyOptions,
): Verification {
  const findings = examinePath(chain, options);
  const isNamed = options.wanted !== undefined && options.wanted.length > 0 || user !== undefined;
  const results = findings.map(({ check, failure }): CheckResult => {
    if (failure) return { check, result: "failed", failure };
    if (check === "revocation" && withoutRevocation !== undefined) {
      return { check, result: "skipped", why: withoutRevocation };
    }
    if (check === "names" && !isNamed) {
      return { check, result: "skipped", why: "no name was asked for" };
    }
    return { check, result: "ok" };
  });
  return { chain, results: user ? withUser(results, chain, { user, options }) : results };
}

/** What is asked of a user beyond a chain is shown with the check that it is about. */
function withUser(
  results: readonly CheckResult[],
  chain: readonly Certificate[],
  { user, options }: { readonly user: UserWanted; readonly options: PathOptions },
): readonly CheckResult[] {
  try {
    checkUser(chain, options.nowMs, user);
    return results;
  } catch (failure) {
    const failed = failedCheckOf(failure);
    if (!failed || !(failure instanceof PkiError)) throw failure;
    return results.map((one) =>
      one.check === failed.check && one.result !== "failed"
        ? { check: one.check, result: "failed", failure }
        : one
    );
  }
}

/** What can be said where there is no chain. */
export function withoutChain(leaf: Certificate, failure: PkiError): Verification {
  return {
    chain: [leaf],
    results: PATH_CHECKS.flatMap((check): CheckResult[] => {
      if (check === "work") return [];
      if (check === "issuer") return [{ check, result: "failed", failure }];
      return [{ check, result: "skipped", why: "there is no chain to the root" }];
    }),
  };
}

/** Whether a list is about certificates that this CA has issued, by its name. */
export function isListOf(list: { readonly issuer: Uint8Array }, ca: Certificate): boolean {
  return isSameName(list.issuer, ca.subject);
}
