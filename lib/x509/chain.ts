/**
 * Decides whether to believe a certificate of this CA: the one place in the program where trust in
 * users and servers is decided. TLS engines only prove that the other side holds the key of the
 * certificate that it shows.
 *
 * The chains of this CA have one shape: leaf, issuing CA, root. They must pass RFC 5280's path
 * validation (`path.ts`) under the pinned root, and then say what the profiles of this CA make
 * certificates say. Pure: time is an argument, and work is bounded, by {@link CANDIDATES_MAX} first.
 */

import { encodeLatin1, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { Recent } from "../base/recent.ts";
import {
  type Certificate,
  fingerprintOf,
  KEY_USAGE,
  OID,
  parseCertificate,
} from "./certificate.ts";
import { isSelfIssued } from "./certificate_form.ts";
import { isSameName } from "./distinguished_names.ts";
import { parseUserUri, serverDns, serverUri } from "./names.ts";
import { isIssuedBy, validatePath, validateRoot } from "./path.ts";
import { FailedCheck, failedCheckOf, untrusted } from "./path_failure.ts";
import { PathWork } from "./path_work.ts";

/** Certificates that somebody may show beside a leaf; the rest is not looked at. */
const CANDIDATES_MAX = 4;

/** What a user's certificate is for, and CAs must not be against. */
const USAGES = [OID.clientAuth, OID.serverAuth];

export interface TrustAnchor {
  /** The pinned root. */
  readonly root: Certificate;
  readonly domain: string;
  /**
   * SHA-256 fingerprints, in hex, of the issuing CAs that are pinned with the root. Without them any
   * CA that the root has certified counts; a root of one's own may have certified many: see
   * docs/decisions/0008-pinned-issuing-ca.md.
   */
  readonly issuers?: ReadonlySet<string>;
  /** Serial numbers of issuing CAs that the root has revoked, as {@link Certificate.serial}. */
  readonly revokedIssuers?: ReadonlySet<string>;
}

/** A chain that was judged good, and whose it is. */
export interface JudgedChain {
  readonly leaf: Certificate;
  readonly issuing: Certificate;
}

export interface JudgedUser extends JudgedChain {
  readonly id: string;
}

export interface JudgeOptions {
  readonly anchor: TrustAnchor;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** What cannot be read is as untrusted as a bad certificate. */
function parseShown(der: Uint8Array): Certificate {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (!(error instanceof PkiError) || error.kind !== "malformed") throw error;
    throw new PkiError("untrusted", error.message, { cause: new FailedCheck("form", 0) });
  }
}

function isMalformed(error: unknown): boolean {
  return error instanceof PkiError && error.kind === "malformed";
}

/**
 * Issuing CAs that were judged good under a root that is still in use: almost every chain has the
 * same one, whose bytes then need not be read and whose signature not be verified again. Nothing
 * else about them is remembered.
 */
const knownIssuing = new WeakMap<Certificate, readonly Certificate[]>();
const KNOWN_MAX = 4;

function remember(root: Certificate, issuing: Certificate): void {
  const known = knownIssuing.get(root) ?? [];
  if (known.includes(issuing)) return;
  knownIssuing.set(root, [issuing, ...known.slice(0, KNOWN_MAX - 1)]);
}

/**
 * Leaves that were judged good under a root, the last ones, read: whoever comes again shows the same
 * bytes, whose signature, which is looked up by the value that was read, then need not be verified
 * again. Nothing else is spared: time, revocation and everything else is judged each time. Who has no
 * good certificate cannot have others forgotten.
 */
const knownLeaves = new WeakMap<Certificate, Recent<Certificate>>();
/** Measured with keys of P-256: 5.5 MB. */
const KNOWN_LEAVES_MAX = 1000;

function readLeaf(root: Certificate, der: Uint8Array): Certificate {
  return knownLeaves.get(root)?.get(encodeLatin1(der)) ?? parseShown(der);
}

function rememberLeaf(root: Certificate, leaf: Certificate): void {
  const known = knownLeaves.get(root) ?? new Recent<Certificate>(KNOWN_LEAVES_MAX);
  knownLeaves.set(root, known);
  known.set(encodeLatin1(leaf.der), leaf);
}

/** The issuing CAs among what was shown beside a leaf; what cannot be read there is not one. */
function* findIssuing(
  leaf: Certificate,
  shown: readonly Uint8Array[],
  root: Certificate,
): Iterable<Certificate> {
  for (const der of shown.slice(0, CANDIDATES_MAX)) {
    try {
      const known = knownIssuing.get(root)?.find((one) => isEqualBytes(one.der, der));
      const candidate = known ?? parseCertificate(der);
      // The root is not an issuing CA: its own leaves would escape the name constraints.
      if (isSameName(candidate.subject, root.subject)) continue;
      if (!isIssuedBy(leaf, candidate) || !isIssuedBy(candidate, root)) continue;
      yield candidate;
    } catch (error) {
      if (!isMalformed(error)) throw error;
    }
  }
}

/** Our CAs say what their keys are for, which RFC 5280 asks of a CA and not of who verifies. */
function checkSaysUsage({ keyUsage }: Certificate, index: number, who: string): void {
  if (keyUsage === undefined) {
    throw untrusted("key-usage", index, `${who} must not sign certificates`);
  }
}

/** What our profiles make a leaf say beyond what a chain needs. */
function checkLeaf(leaf: Certificate, usages: readonly string[]): void {
  if (leaf.basicConstraints?.isCa) {
    throw untrusted("basic-constraints", 0, "it is a CA's, not a user's or a server's");
  }
  if (((leaf.keyUsage ?? 0) & KEY_USAGE.digitalSignature) === 0) {
    throw untrusted("key-usage", 0, "its key must not be used for signatures");
  }
  for (const usage of usages) {
    if (!leaf.extendedKeyUsage?.includes(usage)) {
      throw untrusted("extended-key-usage", 0, "it is not meant for this use");
    }
  }
}

/** @throws {PkiError} `untrusted` for an issuing CA that is not pinned, or that the root has revoked */
export function checkPinned(
  issuing: Certificate,
  { issuers, revokedIssuers }: TrustAnchor,
): void {
  if (issuers && !issuers.has(fingerprintOf(issuing.der))) {
    throw untrusted(
      "issuer",
      1,
      "the issuing CA is not one that is pinned",
      "a new one is learnt from the server by every command that talks to it; if the server itself " +
        "is refused, ask whoever runs it, on another way than this network, and use pki trust",
    );
  }
  if (revokedIssuers?.has(issuing.serial)) {
    throw untrusted(
      "revocation",
      1,
      "the root has revoked the issuing CA",
      "its owner gets a new one with: pki csr",
    );
  }
}

/** An expired leaf is its owner's to replace. */
function withHint(error: unknown): unknown {
  const failed = failedCheckOf(error);
  if (!(error instanceof PkiError) || failed?.check !== "time" || error.hint) return error;
  return new PkiError(error.kind, error.message, {
    hint: failed.index === 0
      ? "its owner gets a new one with: pki csr"
      : "whoever runs the CA has to renew it",
    cause: failed,
  });
}

interface ChainOptions extends JudgeOptions {
  readonly usages: readonly string[];
}

function judgeOne(
  chain: readonly [Certificate, Certificate, Certificate],
  { anchor, nowMs, usages }: ChainOptions,
  work: PathWork,
): JudgedChain {
  const [leaf, issuing, root] = chain;
  validatePath(chain, { nowMs, purposes: usages }, work);
  checkSaysUsage(root, 2, "the root");
  checkSaysUsage(issuing, 1, "the issuing CA");
  checkPinned(issuing, anchor);
  checkLeaf(leaf, usages);
  remember(root, issuing);
  rememberLeaf(root, leaf);
  return { leaf, issuing };
}

/** Checks everything but whose name it is. */
function judgeChain(shown: readonly Uint8Array[], options: ChainOptions): JudgedChain {
  const [leafDer, ...others] = shown;
  if (!leafDer) throw untrusted("form", undefined, "none was shown");
  const { root } = options.anchor;
  const leaf = readLeaf(root, leafDer);
  const work = new PathWork();
  let refusal: unknown;
  for (const issuing of findIssuing(leaf, others, root)) {
    try {
      return judgeOne([leaf, issuing, root], options, work);
    } catch (error) {
      if (!failedCheckOf(error)) throw error;
      refusal ??= withHint(error);
    }
  }
  throw refusal ?? untrusted("issuer", 0, "it is not of this CA");
}

function namesOfType({ names }: Certificate, type: "dns" | "uri"): readonly string[] {
  return names.flatMap((name) => name.type === type ? [name.value] : []);
}

/**
 * Judges a user's certificate: under the pinned root, in time, for client and server authentication,
 * with exactly one URI of the form `spiffe://D/user/<id>`, which says who it is.
 * @param shown DER of the leaf first, then whatever came with it
 * @throws {PkiError} `untrusted`
 */
export function judgeUser(
  shown: readonly Uint8Array[],
  { anchor, nowMs }: JudgeOptions,
): JudgedUser {
  const chain = judgeChain(shown, { anchor, nowMs, usages: USAGES });
  const [uri, ...moreUris] = namesOfType(chain.leaf, "uri");
  const id = uri !== undefined && moreUris.length === 0
    ? parseUserUri(uri, anchor.domain)
    : undefined;
  if (id === undefined) throw untrusted("names", 0, "it is not a user's");
  return { ...chain, id };
}

/**
 * Judges the certificate of the trust domain's server, which has exactly the server's two names,
 * whatever address was dialled.
 * @throws {PkiError} `untrusted`
 */
export function judgeServer(
  shown: readonly Uint8Array[],
  { anchor, nowMs }: JudgeOptions,
): JudgedChain {
  const chain = judgeChain(shown, { anchor, nowMs, usages: [OID.serverAuth] });
  const { leaf } = chain;
  const isServer = leaf.names.length === 2 &&
    namesOfType(leaf, "uri")[0] === serverUri(anchor.domain) &&
    namesOfType(leaf, "dns")[0] === serverDns(anchor.domain);
  if (!isServer) throw untrusted("names", 0, "it is not the server's");
  return chain;
}

/**
 * Checks that a certificate is a root that one may pin: a CA that signed itself, in time, and may
 * have our issuing CA below it. Whose key and which names it has is its owner's to decide.
 * @throws {PkiError} `untrusted`
 */
export function checkRoot(der: Uint8Array, nowMs: number): Certificate {
  const root = parseShown(der);
  if (!isSelfIssued(root)) throw untrusted("issuer", 0, "the root is not issued by itself");
  validateRoot(root, { nowMs, purposes: USAGES });
  checkSaysUsage(root, 0, "the root");
  if (root.basicConstraints?.pathLength === 0) {
    throw untrusted("path-length", 0, "the root must not have a CA below it");
  }
  return root;
}

/**
 * Judges a CA that shall be pinned: signed by the root, in time, with no CA below it, and constrained
 * to the trust domain.
 * @throws {PkiError} `untrusted`
 */
export function judgeIssuing(der: Uint8Array, { anchor, nowMs }: JudgeOptions): Certificate {
  const { root, domain } = anchor;
  const issuing = parseShown(der);
  if (isSameName(issuing.subject, root.subject) || !isIssuedBy(issuing, root)) {
    throw untrusted("issuer", 0, "the issuing CA is not of this root");
  }
  validatePath([issuing, root], { nowMs });
  checkSaysUsage(root, 1, "the root");
  const { basicConstraints, keyUsage = 0 } = issuing;
  if ((keyUsage & KEY_USAGE.keyCertSign) === 0) {
    throw untrusted("key-usage", 0, "the issuing CA must not sign certificates");
  }
  if (!basicConstraints?.isCa) {
    throw untrusted("basic-constraints", 0, "the issuing CA is not a CA");
  }
  if (basicConstraints.pathLength !== 0) {
    throw untrusted("path-length", 0, "the issuing CA may have a CA below it");
  }
  const names = permittedDns(issuing);
  if (names.length !== 1 || names[0] !== domain) {
    throw untrusted("name-constraints", 0, `the issuing CA is not constrained to ${domain}`);
  }
  return issuing;
}

function permittedDns({ nameConstraints }: Certificate): readonly string[] {
  return (nameConstraints?.permitted ?? [])
    .flatMap((name) => name.type === "dns" ? [name.value] : []);
}

/**
 * The trust domain that an issuing CA is for: the one DNS name that its constraints permit.
 * @throws {PkiError} `storage`
 */
export function domainOf(issuing: Certificate): string {
  const [domain, ...more] = permittedDns(issuing);
  if (domain === undefined || more.length > 0) {
    throw new PkiError("storage", "cannot use the issuing CA: it is not constrained to one domain");
  }
  return domain;
}
