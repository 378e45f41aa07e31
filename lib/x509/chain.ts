/**
 * Decides whether to believe a certificate: the one place in the program where trust is decided.
 * TLS engines only prove that the other side holds the key of the certificate that it shows.
 *
 * The chains of this CA have one shape: leaf, issuing CA, root (RFC 5280, section 6, with the pinned
 * root as trust anchor). Anything else is refused, as is everything in a certificate that is marked
 * critical and not understood here. Pure: time is an argument, and work is bounded by
 * {@link CANDIDATES_MAX}.
 */

import { PkiError } from "../base/errors.ts";
import {
  type Certificate,
  type GeneralName,
  KEY_USAGE,
  type NameConstraints,
  OID,
  parseCertificate,
} from "./certificate.ts";
import { isEqualBytes } from "../base/bytes.ts";
import { isSignatureValid, parsePublicKey } from "./keys.ts";
import { parseUserUri, serverDns, serverUri } from "./names.ts";

/** Certificates that somebody may show beside a leaf; the rest is not looked at. */
const CANDIDATES_MAX = 4;

const UNDERSTOOD = new Set<string>([
  OID.subjectKeyId,
  OID.keyUsage,
  OID.subjectAltName,
  OID.basicConstraints,
  OID.nameConstraints,
  OID.authorityKeyId,
  OID.extendedKeyUsage,
]);

export interface TrustAnchor {
  /** The pinned root. */
  readonly root: Certificate;
  readonly domain: string;
}

/** A chain that was judged good, and whose it is. */
export interface JudgedChain {
  readonly leaf: Certificate;
  readonly issuing: Certificate;
}

export interface JudgedUser extends JudgedChain {
  readonly id: string;
}

function untrusted(what: string, hint?: string): PkiError {
  return new PkiError("untrusted", `cannot trust certificate: ${what}`, hint ? { hint } : {});
}

function checkTime(certificate: Certificate, who: string, nowMs: number): void {
  if (nowMs < certificate.notBeforeMs) {
    throw untrusted(
      `${who} is not valid before ${new Date(certificate.notBeforeMs).toISOString()}`,
      "compare the clocks of both machines",
    );
  }
  if (nowMs > certificate.notAfterMs) {
    throw untrusted(
      `${who} expired ${new Date(certificate.notAfterMs).toISOString()}`,
      "its owner gets a new one with: pki csr",
    );
  }
}

function checkSignature(certificate: Certificate, issuer: Certificate, who: string): void {
  const { signatureAlgorithm: algorithm, tbs: data, signature } = certificate;
  const key = parsePublicKey(issuer.spki);
  if (!isSignatureValid({ algorithm, data, signature, key })) {
    throw untrusted(`the signature of ${who} is not by its issuer`);
  }
}

/** Whether a certificate names this CA as its issuer; its signature is not looked at. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { authorityKeyId } = certificate;
  return isEqualBytes(certificate.issuer, issuer.subject) &&
    authorityKeyId !== undefined && issuer.subjectKeyId !== undefined &&
    isEqualBytes(authorityKeyId, issuer.subjectKeyId);
}

function checkExtensionsUnderstood(certificate: Certificate, who: string): void {
  for (const { oid, critical } of certificate.extensions.values()) {
    if (critical && !UNDERSTOOD.has(oid)) {
      throw untrusted(`${who} has the unknown critical extension ${oid}`);
    }
  }
}

/** RFC 5280, section 6.1.4 (k), (l), (m), (n): what a certificate that signs others must say. */
function checkCa(certificate: Certificate, who: string, certificatesBelow: number): void {
  const { basicConstraints, keyUsage = 0 } = certificate;
  const isCritical = certificate.extensions.get(OID.basicConstraints)?.critical === true;
  if (!basicConstraints?.isCa || !isCritical) throw untrusted(`${who} is not a CA`);
  if ((keyUsage & KEY_USAGE.keyCertSign) === 0) {
    throw untrusted(`${who} must not sign certificates`);
  }
  if ((basicConstraints.pathLength ?? certificatesBelow) < certificatesBelow) {
    throw untrusted(`${who} must not have a CA below it`);
  }
}

/** DNS subtree (RFC 5280, section 4.2.1.10): the name itself and everything below it. */
function isDnsWithin(name: string, base: string): boolean {
  const [lowerName, lowerBase] = [name.toLowerCase(), base.toLowerCase()];
  return lowerBase === "" || lowerName === lowerBase || lowerName.endsWith(`.${lowerBase}`);
}

function isEmailWithin(address: string, base: string): boolean {
  const host = address.slice(address.lastIndexOf("@") + 1).toLowerCase();
  const lowerBase = base.toLowerCase();
  if (lowerBase.includes("@")) return address === base;
  return lowerBase.startsWith(".") ? host.endsWith(lowerBase) : host === lowerBase;
}

function isIpWithin(address: Uint8Array, range: Uint8Array): boolean {
  if (range.length !== address.length * 2) return false;
  return address.every((byte, i) => {
    const mask = range[address.length + i] ?? 0xff;
    return (byte & mask) === ((range[i] ?? 0) & mask);
  });
}

function isWithin(name: GeneralName, base: GeneralName): boolean {
  if (name.type === "dns" && base.type === "dns") return isDnsWithin(name.value, base.value);
  if (name.type === "email" && base.type === "email") return isEmailWithin(name.value, base.value);
  if (name.type === "ip" && base.type === "ip") return isIpWithin(name.value, base.value);
  // A constraint of a kind that we do not compare (URI, directory name, …) lets nothing of it pass.
  return false;
}

function isSameType(a: GeneralName, b: GeneralName): boolean {
  return a.type === b.type && (a.type !== "other" || b.type !== "other" || a.tag === b.tag);
}

/** RFC 5280, section 4.2.1.10, for the names in the leaf's SAN. */
function checkNameConstraints(leaf: Certificate, { permitted, excluded }: NameConstraints): void {
  for (const name of leaf.names) {
    const permittedOfType = permitted.filter((base) => isSameType(base, name));
    const excludedOfType = excluded.filter((base) => isSameType(base, name));
    const isComparable = name.type === "dns" || name.type === "email" || name.type === "ip";
    const isPermitted = permittedOfType.length === 0 ||
      permittedOfType.some((base) => isWithin(name, base));
    const isExcluded = excludedOfType.some((base) => !isComparable || isWithin(name, base));
    if (!isPermitted || isExcluded) {
      throw untrusted("it has a name that its issuing CA must not certify");
    }
  }
}

function checkLeaf(leaf: Certificate, usages: readonly string[]): void {
  if (leaf.basicConstraints?.isCa) throw untrusted("it is a CA's, not a user's or a server's");
  if (((leaf.keyUsage ?? 0) & KEY_USAGE.digitalSignature) === 0) {
    throw untrusted("its key must not be used for signatures");
  }
  for (const usage of usages) {
    if (!leaf.extendedKeyUsage?.includes(usage)) {
      throw untrusted("it is not meant for this use");
    }
  }
}

/** Checks everything but whose name it is. */
function judgeChain(
  shown: readonly Uint8Array[],
  { anchor, nowMs, usages }: {
    readonly anchor: TrustAnchor;
    readonly nowMs: number;
    readonly usages: readonly string[];
  },
): JudgedChain {
  const [leafDer, ...candidates] = shown;
  if (!leafDer) throw untrusted("none was shown");
  const { root } = anchor;
  const leaf = parseCertificate(leafDer);
  // The root, which issued itself, is not an issuing CA: its own leaves escape the name constraints.
  const issuing = candidates.slice(0, CANDIDATES_MAX)
    .map((der) => parseCertificate(der))
    .filter((candidate) => !isEqualBytes(candidate.subject, root.subject))
    .find((candidate) => isIssuedBy(leaf, candidate) && isIssuedBy(candidate, root));
  if (!issuing) throw untrusted("it is not of this CA");
  checkSignature(issuing, root, "the issuing CA");
  checkSignature(leaf, issuing, "it");
  checkTime(root, "the root", nowMs);
  checkTime(issuing, "the issuing CA", nowMs);
  checkTime(leaf, "it", nowMs);
  checkExtensionsUnderstood(root, "the root");
  checkExtensionsUnderstood(issuing, "the issuing CA");
  checkExtensionsUnderstood(leaf, "it");
  checkCa(root, "the root", 1);
  checkCa(issuing, "the issuing CA", 0);
  for (const constraints of [root.nameConstraints, issuing.nameConstraints]) {
    if (constraints) checkNameConstraints(leaf, constraints);
  }
  checkLeaf(leaf, usages);
  return { leaf, issuing };
}

function namesOfType({ names }: Certificate, type: "dns" | "uri"): readonly string[] {
  return names.flatMap((name) => name.type === type ? [name.value] : []);
}

/** Malformed bytes where a certificate should be are as untrusted as a bad certificate. */
function asUntrusted<T>(judge: () => T): T {
  try {
    return judge();
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") {
      throw new PkiError("untrusted", error.message, { cause: error });
    }
    throw error;
  }
}

export interface JudgeOptions {
  readonly anchor: TrustAnchor;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
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
  return asUntrusted(() => {
    const chain = judgeChain(shown, { anchor, nowMs, usages: [OID.clientAuth, OID.serverAuth] });
    const [uri, ...moreUris] = namesOfType(chain.leaf, "uri");
    const id = uri !== undefined && moreUris.length === 0
      ? parseUserUri(uri, anchor.domain)
      : undefined;
    if (id === undefined) throw untrusted("it is not a user's");
    return { ...chain, id };
  });
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
  return asUntrusted(() => {
    const chain = judgeChain(shown, { anchor, nowMs, usages: [OID.serverAuth] });
    const { leaf } = chain;
    const isServer = leaf.names.length === 2 &&
      namesOfType(leaf, "uri")[0] === serverUri(anchor.domain) &&
      namesOfType(leaf, "dns")[0] === serverDns(anchor.domain);
    if (!isServer) throw untrusted("it is not the server's");
    return chain;
  });
}

/**
 * Checks that a certificate is a root that one may pin: a CA that signed itself, in time.
 * @throws {PkiError} `untrusted`
 */
export function checkRoot(der: Uint8Array, nowMs: number): Certificate {
  return asUntrusted(() => {
    const root = parseCertificate(der);
    if (!isEqualBytes(root.issuer, root.subject)) {
      throw untrusted("the root is not issued by itself");
    }
    checkSignature(root, root, "the root");
    checkTime(root, "the root", nowMs);
    checkExtensionsUnderstood(root, "the root");
    checkCa(root, "the root", 1);
    return root;
  });
}

/**
 * The trust domain that an issuing CA is for: the one DNS name that its constraints permit.
 * @throws {PkiError} `storage`
 */
export function domainOf(issuing: Certificate): string {
  const domains = (issuing.nameConstraints?.permitted ?? [])
    .flatMap((name) => name.type === "dns" ? [name.value] : []);
  const [domain, ...more] = domains;
  if (domain === undefined || more.length > 0) {
    throw new PkiError("storage", "cannot use the issuing CA: it is not constrained to one domain");
  }
  return domain;
}
