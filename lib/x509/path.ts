/**
 * Validates a chain of certificates (RFC 5280, section 6.1), each check by itself and in the order of
 * {@link PATH_CHECKS}. Finding a chain among many certificates is `path_building.ts`; what the
 * program's own certificates must say beyond this is `chain.ts`. Start reading at {@link CHECKS}.
 *
 * Stricter than RFC 5280 asks, so that what it accepts others accept too: the root is a certificate
 * and held to the same rules, in time included; what section 4 demands of conforming CAs is demanded;
 * key identifiers must be there and fit; intermediate CAs with an extended key usage pass on no other.
 * Pure: time is an argument, and work is bounded (`path_work.ts`).
 */

import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "./certificate.ts";
import { formFaultOf, isSelfIssued, unknownIn } from "./certificate_form.ts";
import { isSameName } from "./distinguished_names.ts";
import { KEY_USAGE, type NameConstraints, OID } from "./extensions.ts";
import { describeName } from "./general_names.ts";
import {
  areConstraintsWellFormed,
  constrainedNamesOf,
  findForbiddenName,
} from "./name_constraints.ts";
import { nameOfPlace, PATH_CHECKS, type PathCheck, untrusted } from "./path_failure.ts";
import { PathWork, publicKeyOf, type WorkKind } from "./path_work.ts";
import { type PolicyOptions, processPolicies } from "./policies.ts";
import { findStatus, type RevocationOptions } from "./revocation.ts";
import { checkSignatureAlgorithm } from "./verifying.ts";
import { isNamed, type WantedName } from "./wanted_names.ts";
import { checkWebPki } from "./web_pki.ts";

/** The longest chain that is looked at, leaf and root included. */
export const CHAIN_CERTIFICATES_MAX = 16;

/** What a chain is held against. */
export interface PathOptions {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Extended key usages that the leaf must be good for, by object identifier. */
  readonly purposes?: readonly string[];
  /** Bits of {@link KEY_USAGE} that the leaf must have, where it has a key usage at all. */
  readonly keyUsage?: number;
  /** Names that the leaf must all be for. */
  readonly wanted?: readonly WantedName[];
  /** CAs between leaf and root, self-issued ones not counted; by default as many as fit. */
  readonly intermediatesMax?: number;
  readonly policies?: PolicyOptions;
  /** Without it, nobody asks whether a certificate was revoked. */
  readonly revocation?: RevocationOptions;
  /** The rules of the public Web on top of RFC 5280's. */
  readonly isWebPki?: boolean;
}

/** A chain that passed every check. */
export interface ValidatedPath {
  /** Leaf first, root last. */
  readonly chain: readonly Certificate[];
  /** The policies that it is good for; with `2.5.29.32.0` among them, for any. */
  readonly policies: ReadonlySet<string>;
  readonly work: Readonly<Record<WorkKind, number>>;
}

/** What all checks work on: leaf first, root last. */
interface Path {
  readonly chain: readonly Certificate[];
  readonly options: PathOptions;
  readonly work: PathWork;
  readonly who: (index: number) => string;
}

/** Whether a certificate names the other as its issuer, by name and by key; its signature is not looked at. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { authorityKeyId } = certificate;
  const { subjectKeyId } = issuer;
  return authorityKeyId !== undefined && subjectKeyId !== undefined &&
    isEqualBytes(authorityKeyId, subjectKeyId) && isSameName(certificate.issuer, issuer.subject);
}

/** Certificates with their places, from the root down to the leaf. */
function fromRoot({ chain }: Path): readonly [number, Certificate][] {
  return [...chain.entries()].toReversed();
}

/** The same without the leaf. */
function casFromRoot(path: Path): readonly [number, Certificate][] {
  return fromRoot(path).slice(0, -1);
}

/** Malformed keys and algorithms are a failed check, not an error. */
function asFailed<T>(check: PathCheck, index: number, who: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") {
      throw untrusted(check, index, `${who}: ${error.message}`);
    }
    throw error;
  }
}

function checkForm({ chain, who, options: { isWebPki = false } }: Path): void {
  for (const [index, certificate] of chain.entries()) {
    const place = { isLeaf: index === 0, isRoot: index === chain.length - 1, isWebPki };
    const fault = formFaultOf(certificate, place);
    if (fault !== undefined) throw untrusted("form", index, `${who(index)} ${fault}`);
  }
  if (isWebPki) asFailed("algorithm", 0, "its chain", () => checkWebPki(chain));
}

function checkIssuers({ chain, who }: Path): void {
  for (const [index, issuer] of chain.entries()) {
    const certificate = chain[index - 1];
    if (certificate && !isIssuedBy(certificate, issuer)) {
      throw untrusted("issuer", index - 1, `${who(index - 1)} is not issued by ${who(index)}`);
    }
  }
}

function checkAlgorithms({ chain, who }: Path): void {
  for (const [index, certificate] of chain.entries()) {
    asFailed("algorithm", index, who(index), () => {
      const issuer = chain[index + 1];
      publicKeyOf(certificate);
      if (issuer) checkSignatureAlgorithm(certificate.signatureAlgorithm, publicKeyOf(issuer));
    });
  }
}

function checkSignatures(path: Path): void {
  for (const [index, certificate] of fromRoot(path)) {
    const who = path.who(index);
    const issuer = path.chain[index + 1];
    if (!issuer) continue;
    if (!asFailed("algorithm", index, who, () => path.work.isSignedBy(certificate, issuer))) {
      throw untrusted("signature", index, `the signature of ${who} is not by its issuer`);
    }
  }
}

/** In whole seconds, as certificates tell time (section 4.1.2.5), ends included. */
function checkTimes(path: Path): void {
  const nowSecond = Math.floor(path.options.nowMs / 1000) * 1000;
  for (const [index, { notBeforeMs, notAfterMs }] of fromRoot(path)) {
    const who = path.who(index);
    if (nowSecond < notBeforeMs) {
      const since = new Date(notBeforeMs).toISOString();
      const hint = "compare the clocks of both machines";
      throw untrusted("time", index, `${who} is not valid before ${since}`, hint);
    }
    if (nowSecond > notAfterMs) {
      throw untrusted("time", index, `${who} expired ${new Date(notAfterMs).toISOString()}`);
    }
  }
}

function checkCriticalExtensions(path: Path): void {
  for (const [index, certificate] of fromRoot(path)) {
    const unknown = unknownIn(certificate);
    if (unknown === undefined) continue;
    throw untrusted("critical-extension", index, `${path.who(index)} has the unknown ${unknown}`);
  }
}

/** Section 6.1.4, k. */
function checkCas(path: Path): void {
  for (const [index, { basicConstraints, extensions }] of casFromRoot(path)) {
    if (!basicConstraints?.isCa || !extensions.get(OID.basicConstraints)?.critical) {
      throw untrusted("basic-constraints", index, `${path.who(index)} is not a CA`);
    }
  }
}

const count = (cas: number) => cas === 1 ? "1 CA" : `${cas} CAs`;

/** Section 6.1.4, l and m: how many more CAs each one lets be below it. */
function checkPathLengths(path: Path): void {
  const { chain, who, options: { intermediatesMax = CHAIN_CERTIFICATES_MAX } } = path;
  let left = intermediatesMax;
  let limit = `there must not be more than ${count(intermediatesMax)} between it and the root`;
  for (const [index, certificate] of casFromRoot(path)) {
    if (index < chain.length - 1 && !isSelfIssued(certificate)) {
      if (left === 0) throw untrusted("path-length", index, limit);
      left--;
    }
    const { pathLength = left } = certificate.basicConstraints ?? {};
    if (pathLength >= left) continue;
    left = pathLength;
    limit = `${who(index)} must not have ${
      pathLength === 0 ? "a CA" : `more than ${count(pathLength)}`
    } below it`;
  }
}

/** Section 6.1.4, n; what 4.2.1.3 says of keyCertSign; and what the caller asks of the leaf. */
function checkKeyUsages(path: Path): void {
  for (const [index, { keyUsage = KEY_USAGE.keyCertSign }] of casFromRoot(path)) {
    if ((keyUsage & KEY_USAGE.keyCertSign) === 0) {
      throw untrusted("key-usage", index, `${path.who(index)} must not sign certificates`);
    }
  }
  const { keyUsage, basicConstraints } = path.chain[0] ?? {};
  if (keyUsage === undefined) return;
  if ((keyUsage & KEY_USAGE.keyCertSign) !== 0 && !basicConstraints?.isCa) {
    throw untrusted("key-usage", 0, "its key may sign certificates, but it is not a CA");
  }
  const { keyUsage: wanted = 0 } = path.options;
  if ((keyUsage & wanted) !== wanted) {
    throw untrusted("key-usage", 0, "its key is not meant for this use");
  }
}

/** Section 4.2.1.12; what a CA is not for, nothing below it is for. */
function checkExtendedKeyUsages(path: Path): void {
  for (const [index, { extendedKeyUsage: usages }] of fromRoot(path)) {
    if (!usages || usages.includes(OID.anyExtendedKeyUsage)) continue;
    if (path.options.purposes?.some((purpose) => !usages.includes(purpose))) {
      throw untrusted("extended-key-usage", index, `${path.who(index)} is not meant for this use`);
    }
  }
}

/** Section 6.1.3, b and c, and 6.1.4, g. */
function checkNameConstraints(path: Path): void {
  const { who, work } = path;
  const inForce: [number, NameConstraints][] = [];
  for (const [index, certificate] of fromRoot(path)) {
    const { nameConstraints } = certificate;
    // A CA's certificate for its own new key must not be bound by what it passes on.
    const isExempt = inForce.length === 0 || index > 0 && isSelfIssued(certificate);
    const names = isExempt ? [] : constrainedNamesOf(certificate);
    for (const [above, constraints] of inForce) {
      const { permitted, excluded } = constraints;
      work.spend("comparisons", names.length * (permitted.length + excluded.length));
      const name = findForbiddenName(names, constraints);
      if (!name) continue;
      const issuer = above === 1 ? "its issuing CA" : who(above);
      throw untrusted(
        "name-constraints",
        index,
        `${who(index)} has a name that ${issuer} must not certify`,
        `the name is ${describeName(name)}`,
      );
    }
    if (!nameConstraints) continue;
    if (!areConstraintsWellFormed(nameConstraints)) {
      throw untrusted("name-constraints", index, `${who(index)} has malformed name constraints`);
    }
    inForce.push([index, nameConstraints]);
  }
}

function checkPolicies(path: Path): ReadonlySet<string> {
  const { chain, who, options } = path;
  const result = processPolicies(chain.toReversed(), isSelfIssued, options.policies);
  if ("policies" in result) return result.policies;
  const index = chain.length - 1 - result.failedAt;
  throw untrusted("policy", index, `${who(index)} ${result.what}`);
}

function checkNames({ chain: [leaf], options: { wanted = [] } }: Path): void {
  const missing = wanted.find((name) => !isNamed(leaf?.names ?? [], name));
  if (missing) throw untrusted("names", 0, `it is not for ${describeName(missing)}`);
}

/** Section 6.1.3, a, 3, and section 6.3. */
function checkRevocation(path: Path): void {
  const { chain, who, work, options: { revocation, nowMs } } = path;
  if (!revocation) return;
  const { isLeafOnly = false, isUnknownGood = false } = revocation;
  for (const [index, certificate] of fromRoot(path)) {
    const issuer = chain[index + 1];
    if (!issuer || isLeafOnly && index > 0) continue;
    const status = findStatus(certificate, issuer, { ...revocation, nowMs, work });
    if (status.status === "revoked") {
      const when = new Date(status.revokedMs).toISOString();
      const what = `${who(index)} was revoked ${when} (${status.reason})`;
      throw untrusted("revocation", index, what);
    }
    if (status.status === "unknown" && !isUnknownGood) {
      const what = `whether ${who(index)} was revoked is not known: ${status.why}`;
      throw untrusted("revocation", index, what);
    }
  }
}

/** How each check is made; `work` is one that all of them make. */
const CHECKS: Readonly<Record<Exclude<PathCheck, "work">, (path: Path) => unknown>> = {
  "form": checkForm,
  "issuer": checkIssuers,
  "algorithm": checkAlgorithms,
  "signature": checkSignatures,
  "time": checkTimes,
  "critical-extension": checkCriticalExtensions,
  "basic-constraints": checkCas,
  "path-length": checkPathLengths,
  "key-usage": checkKeyUsages,
  "extended-key-usage": checkExtendedKeyUsages,
  "name-constraints": checkNameConstraints,
  "policy": checkPolicies,
  "names": checkNames,
  "revocation": checkRevocation,
};

/** Makes one check; what it cannot read has failed it. */
function runCheck(check: keyof typeof CHECKS, path: Path): void {
  try {
    CHECKS[check](path);
  } catch (error) {
    if (!(error instanceof PkiError) || error.kind !== "malformed") throw error;
    throw untrusted(check, undefined, error.message);
  }
}

function preparePath(
  chain: readonly Certificate[],
  options: PathOptions,
  work = new PathWork(),
): Path {
  if (chain.length < 2) {
    throw untrusted("issuer", undefined, "a chain is a certificate and its issuers, up to a root");
  }
  if (chain.length > CHAIN_CERTIFICATES_MAX) {
    const what = `its chain has more than ${CHAIN_CERTIFICATES_MAX} certificates`;
    throw untrusted("work", undefined, what);
  }
  return { chain, options, work, who: (index) => nameOfPlace(index, chain.length) };
}

/**
 * Validates a chain.
 * @param chain leaf first, root last: the last one is trusted as far as it is among one's own roots,
 *   which the caller knows
 * @param work counts on where several chains are tried for one decision
 * @throws {PkiError} `untrusted`, with the check that failed as {@link FailedCheck}
 */
export function validatePath(
  chain: readonly Certificate[],
  options: PathOptions,
  work?: PathWork,
): ValidatedPath {
  const path = preparePath(chain, options, work);
  for (const check of PATH_CHECKS) {
    if (check !== "work") runCheck(check, path);
  }
  return { chain, policies: checkPolicies(path), work: path.work.spent };
}

/** What can be asked of a root by itself: everything that is about one CA's certificate. */
const ROOT_CHECKS = [
  "algorithm",
  "signature",
  "time",
  "critical-extension",
  "basic-constraints",
  "key-usage",
  "extended-key-usage",
] as const satisfies readonly PathCheck[];

/**
 * Validates a root as its own issuer, where somebody is about to trust it.
 * @throws {PkiError} `untrusted`
 */
export function validateRoot(root: Certificate, options: PathOptions): void {
  const fault = formFaultOf(root, { isLeaf: false, isRoot: true, isWebPki: false });
  if (fault !== undefined) throw untrusted("form", 0, `the root ${fault}`);
  const path = { chain: [root, root], options, work: new PathWork(), who: () => "the root" };
  for (const check of ROOT_CHECKS) runCheck(check, path);
}

/** What one check says of a chain. */
export interface Finding {
  readonly check: PathCheck;
  /** Why it failed; `undefined` where it did not. */
  readonly failure: PkiError | undefined;
}

/**
 * Makes every check of a chain, also after one has failed, for somebody who wants to know all that is
 * wrong with it. A chain is good if no check failed; one that failed in `signature` says nothing true.
 * @throws {PkiError} `untrusted` for a chain that is too short or too long to be looked at
 */
export function examinePath(
  chain: readonly Certificate[],
  options: PathOptions,
): readonly Finding[] {
  const path = preparePath(chain, options);
  return PATH_CHECKS.flatMap((check): readonly Finding[] => {
    if (check === "work") return [];
    try {
      runCheck(check, path);
      return [{ check, failure: undefined }];
    } catch (error) {
      if (error instanceof PkiError && error.kind === "untrusted") {
        return [{ check, failure: error }];
      }
      throw error;
    }
  });
}
