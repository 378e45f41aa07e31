/**
 * The extensions of certificates (RFC 5280, section 4.2), from DER into plain values. It says what is
 * written there; what follows from it is decided in `path.ts`.
 */

import { encodeHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  type Element,
  parseBoolean,
  parseOid,
  parseSmallInteger,
  readWhole,
  TAG,
} from "./der.ts";
import { type GeneralName, parseGeneralName, readGeneralNames } from "./general_names.ts";

/** Extensions, usages and policies by object identifier (RFC 5280, section 4.2). */
export const OID = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  issuerAltName: "2.5.29.18",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  anyPolicy: "2.5.29.32.0",
  policyMappings: "2.5.29.33",
  authorityKeyId: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  anyExtendedKeyUsage: "2.5.29.37.0",
  freshestCrl: "2.5.29.46",
  inhibitAnyPolicy: "2.5.29.54",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  ocsp: "1.3.6.1.5.5.7.48.1",
  caIssuers: "1.3.6.1.5.5.7.48.2",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  extensionRequest: "1.2.840.113549.1.9.14",
  commonName: "2.5.4.3",
} as const;

/** Bits of KeyUsage as certificates hold them here (RFC 5280, section 4.2.1.3). */
export const KEY_USAGE = {
  digitalSignature: 1 << 0,
  contentCommitment: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const;

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export interface BasicConstraints {
  readonly isCa: boolean;
  readonly pathLength?: number;
}

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** The issuer's key and, in the other form, the issuer's certificate (RFC 5280, section 4.2.1.1). */
export interface AuthorityKeyId {
  readonly keyId: Uint8Array | undefined;
  readonly certificate:
    | { readonly issuer: readonly GeneralName[]; readonly serial: string }
    | undefined;
}

export interface PolicyInformation {
  readonly oid: string;
  /** Which kinds of qualifiers it has; what they say is not read. */
  readonly qualifiers: readonly string[];
}

export interface PolicyMapping {
  readonly issuerPolicy: string;
  readonly subjectPolicy: string;
}

/** After how many more certificates each rule begins (RFC 5280, section 4.2.1.11). */
export interface PolicyConstraints {
  readonly requireExplicit: number | undefined;
  readonly inhibitMapping: number | undefined;
}

export interface DistributionPoint {
  /** Its full name: several ways to the same list; empty where it has none. */
  readonly names: readonly GeneralName[];
  /** Whether it says more: some reasons only, an issuer of its own, a name relative to the issuer's. */
  readonly hasMore: boolean;
}

/** Locations by what is there (RFC 5280, section 4.2.2.1): URIs only, as nothing else is of use. */
export interface AuthorityInfoAccess {
  readonly ocsp: readonly string[];
  readonly caIssuers: readonly string[];
  /** How many locations are there besides. */
  readonly others: number;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read certificate: ${what}`);
}

/** Extensions of a certificate or of a request: none twice (RFC 5280, section 4.2). */
export function parseExtensions(reader: DerReader): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  while (!reader.isAtEnd) {
    const one = reader.enter(TAG.sequence);
    const oid = parseOid(one.read(TAG.oid).content);
    const criticalElement = one.readOptional(TAG.boolean);
    const critical = criticalElement !== undefined && parseBoolean(criticalElement.content);
    if (criticalElement && !critical) throw malformed("a default value that DER leaves out");
    const value = one.read(TAG.octetString).content;
    one.end();
    if (extensions.has(oid)) throw malformed(`extension ${oid} twice`);
    extensions.set(oid, { oid, critical, value });
  }
  return extensions;
}

/** Every element of a SEQUENCE OF that must not be empty. */
function parseList<T>(
  value: Uint8Array,
  what: string,
  readOne: (reader: DerReader) => T,
): readonly T[] {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const list: T[] = [];
  while (!reader.isAtEnd) list.push(readOne(reader));
  if (list.length === 0) throw malformed(`an empty list of ${what}`);
  return list;
}

const readOid = (reader: DerReader): string => parseOid(reader.read(TAG.oid).content);

export function parseBasicConstraints(value: Uint8Array): BasicConstraints {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const ca = reader.readOptional(TAG.boolean);
  const isCa = ca !== undefined && parseBoolean(ca.content);
  if (ca && !isCa) throw malformed("a default value that DER leaves out");
  const pathLength = reader.readOptional(TAG.integer);
  reader.end();
  if (pathLength && !isCa) throw malformed("a path length without a CA");
  return pathLength ? { isCa, pathLength: parseSmallInteger(pathLength.content) } : { isCa };
}

export function parseExtendedKeyUsage(value: Uint8Array): readonly string[] {
  return parseList(value, "usages", readOid);
}

function parseSubtrees(element: Element | undefined): readonly GeneralName[] {
  const names: GeneralName[] = [];
  if (!element) return names;
  const reader = new DerReader(element.content);
  while (!reader.isAtEnd) {
    const subtree = reader.enter(TAG.sequence);
    names.push(parseGeneralName(subtree.read()));
    subtree.end(); // minimum is 0 and maximum absent (RFC 5280, section 4.2.1.10), so DER omits both
  }
  if (names.length === 0) throw malformed("an empty list of subtrees");
  return names;
}

/** Subtrees of at least one kind: constraints that say nothing are forbidden (section 4.2.1.10). */
export function parseNameConstraints(value: Uint8Array): NameConstraints {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const permitted = parseSubtrees(reader.readOptional(contextTag(0, true)));
  const excluded = parseSubtrees(reader.readOptional(contextTag(1, true)));
  reader.end();
  if (permitted.length + excluded.length === 0) throw malformed("name constraints without any");
  return { permitted, excluded };
}

export function parseAuthorityKeyId(value: Uint8Array): AuthorityKeyId {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const keyId = reader.readOptional(contextTag(0, false))?.content;
  const issuer = reader.readOptional(contextTag(1, true));
  const serial = reader.readOptional(contextTag(2, false));
  reader.end();
  if (!issuer !== !serial) throw malformed("half of its issuer's issuer and serial number");
  const certificate = issuer && serial
    ? {
      issuer: readGeneralNames(new DerReader(issuer.content)),
      serial: encodeHex(checkInteger(serial.content)),
    }
    : undefined;
  return { keyId, certificate };
}

/** Policies (RFC 5280, section 4.2.1.4), none twice. */
export function parseCertificatePolicies(value: Uint8Array): readonly PolicyInformation[] {
  const policies = parseList(value, "policies", (reader) => {
    const one = reader.enter(TAG.sequence);
    const oid = readOid(one);
    const qualifiersElement = one.readOptional(TAG.sequence);
    one.end();
    const qualifiers = qualifiersElement
      ? parseList(qualifiersElement.whole, "policy qualifiers", (list) => {
        const qualifier = list.enter(TAG.sequence);
        const kind = readOid(qualifier);
        qualifier.read();
        qualifier.end();
        return kind;
      })
      : [];
    return { oid, qualifiers };
  });
  if (new Set(policies.map(({ oid }) => oid)).size < policies.length) {
    throw malformed("a policy twice");
  }
  return policies;
}

export function parsePolicyMappings(value: Uint8Array): readonly PolicyMapping[] {
  return parseList(value, "policy mappings", (reader) => {
    const pair = reader.enter(TAG.sequence);
    const issuerPolicy = readOid(pair);
    const subjectPolicy = readOid(pair);
    pair.end();
    return { issuerPolicy, subjectPolicy };
  });
}

export function parsePolicyConstraints(value: Uint8Array): PolicyConstraints {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const [requireExplicit, inhibitMapping] = [0, 1].map((number) => {
    const element = reader.readOptional(contextTag(number, false));
    return element && parseSmallInteger(element.content);
  });
  reader.end();
  if (requireExplicit === undefined && inhibitMapping === undefined) {
    throw malformed("policy constraints without any");
  }
  return { requireExplicit, inhibitMapping };
}

export function parseInhibitAnyPolicy(value: Uint8Array): number {
  return parseSmallInteger(readWhole(value, TAG.integer).content);
}

/** A DistributionPointName's content: the full name, or nothing where it is relative to the issuer's. */
export function parseDistributionPointName(content: Uint8Array): readonly GeneralName[] {
  const reader = new DerReader(content);
  const fullName = reader.readOptional(contextTag(0, true));
  if (!fullName) reader.read(contextTag(1, true));
  reader.end();
  return fullName ? readGeneralNames(new DerReader(fullName.content)) : [];
}

export function parseCrlDistributionPoints(value: Uint8Array): readonly DistributionPoint[] {
  return parseList(value, "distribution points", (reader) => {
    const point = reader.enter(TAG.sequence);
    const name = point.readOptional(contextTag(0, true));
    const reasons = point.readOptional(contextTag(1, false));
    const issuer = point.readOptional(contextTag(2, true));
    point.end();
    if (!name && !issuer) throw malformed("a distribution point without a name");
    const names = name ? parseDistributionPointName(name.content) : [];
    return { names, hasMore: names.length === 0 || reasons !== undefined || issuer !== undefined };
  });
}

export function parseAuthorityInfoAccess(value: Uint8Array): AuthorityInfoAccess {
  const locations = parseList(value, "locations", (reader) => {
    const description = reader.enter(TAG.sequence);
    const method = readOid(description);
    const location = parseGeneralName(description.read());
    description.end();
    return { method, uri: location.type === "uri" ? location.value : undefined };
  });
  const urisOf = (wanted: string) =>
    locations.flatMap(({ method, uri }) => method === wanted && uri !== undefined ? [uri] : []);
  const [ocsp, caIssuers] = [urisOf(OID.ocsp), urisOf(OID.caIssuers)];
  return { ocsp, caIssuers, others: locations.length - ocsp.length - caIssuers.length };
}
