/**
 * The last look before a signature: reads the bytes that are about to be signed, once, and holds them
 * against the template, the issuer and the rules of RFC 5280. It shares nothing with the code that
 * wrote them but the readers. A finding is a fault of this program and never of a request: it is
 * `internal`, and nothing is signed.
 */

import { createHash } from "node:crypto";
import { copyBytes, isEqualBytes, parseUtf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Certificate, KEY_USAGE } from "../x509/certificate.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  parseBoolean,
  parseNamedBits,
  parseOid,
  parseSmallInteger,
  parseTime,
  parseWholeBits,
  readWhole,
  TAG,
} from "../x509/der.ts";
import { keyIdOf } from "../x509/encode.ts";
import {
  type NameConstraints,
  OID,
  parseAuthorityInfoAccess,
  parseAuthorityKeyId,
  parseBasicConstraints,
  parseCertificatePolicies,
  parseCrlDistributionPoints,
  parseExtendedKeyUsage,
  parseNameConstraints,
} from "../x509/extensions.ts";
import { type GeneralName, isWellFormedName, parseGeneralNames } from "../x509/general_names.ts";
import { findForbiddenName } from "../x509/name_constraints.ts";
import type { CertificateTemplate, FixedTemplate, NameSubtrees } from "../x509/make.ts";
import { COMMON_NAME_CHARACTERS_MAX } from "./profile.ts";

export interface LintOptions {
  readonly template: CertificateTemplate;
  /** Absent for a root that signs itself. */
  readonly issuer?: Certificate;
  /** AlgorithmIdentifier that the signature will have. */
  readonly algorithm: Uint8Array;
  /** The longest validity that the profile allows, begun early included. */
  readonly validityMsMax: number;
}

function finding(rule: string): PkiError {
  return new PkiError("internal", `cannot sign: ${rule}`);
}

function demand(isKept: boolean, rule: string): void {
  if (!isKept) throw finding(rule);
}

/** The same texts in the same order. */
function demandSame(found: readonly string[], due: readonly string[], rule: string): void {
  demand(found.length === due.length && found.every((value, i) => value === due[i]), rule);
}

/** RFC 5280, section 4.1.2.6 and appendix A.1: one common name of 1 to 64 characters, or nothing. */
function lintName(name: Uint8Array, { commonName, ca }: CertificateTemplate): void {
  const reader = new DerReader(readWhole(name, TAG.sequence).content);
  if (commonName === undefined) {
    demand(ca === undefined, "a CA without a name");
    return demand(reader.isAtEnd, "the subject is not empty");
  }
  const { length } = commonName; // at least as many as characters
  demand(length >= 1 && length <= COMMON_NAME_CHARACTERS_MAX, "a common name of a wrong length");
  const set = reader.enter(TAG.set);
  const attribute = set.enter(TAG.sequence);
  const oid = parseOid(attribute.read(TAG.oid).content);
  const { tag, content } = attribute.read();
  for (const part of [attribute, set, reader]) part.end();
  demand(oid === OID.commonName, "the subject has another attribute than a common name");
  demand(tag === TAG.printableString || tag === TAG.utf8String, "a name of an odd type");
  demand(parseUtf8(content) === commonName, "another subject");
}

/** A name as text, to be compared: form and value. */
function textOf(name: GeneralName): string {
  switch (name.type) {
    case "ip":
      return `ip ${name.value.join()}`;
    case "directory":
    case "other":
      throw finding("a name of another form than DNS, e-mail, URI or address");
    default:
      return `${name.type} ${name.value}`;
  }
}

const uriText = (value: string) => textOf({ type: "uri", value });
const dnsText = (value: string) => textOf({ type: "dns", value });
const emailText = (value: string) => textOf({ type: "email", value });
const ipText = (value: Uint8Array) => textOf({ type: "ip", value });

/** RFC 5280, section 4.2.1.6. */
function lintNames(
  value: Uint8Array,
  { uris, dns, addresses = [] }: CertificateTemplate,
  constraints: NameConstraints | undefined,
): void {
  const names = parseGeneralNames(value);
  demand(names.every(isWellFormedName), "a name of a forbidden form");
  const due = [...uris.map(uriText), ...dns.map(dnsText), ...addresses.map(ipText)];
  demandSame(names.map(textOf), due, "other names");
  const isForbidden = constraints && findForbiddenName(names, constraints) !== undefined;
  demand(!isForbidden, "a name that its issuer must not certify");
}

/** RFC 5280, section 4.2.1.9. */
function lintBasicConstraints(value: Uint8Array, ca: CertificateTemplate["ca"]): void {
  const { isCa, pathLength } = parseBasicConstraints(value);
  demand(isCa === (ca !== undefined), "a CA, or not one, by mistake");
  demand(pathLength === ca?.pathLength, "another path length");
}

function subtreeTexts({ dns, emails, uris, ranges }: NameSubtrees): readonly string[] {
  return [
    ...dns.map(dnsText),
    ...emails.map(emailText),
    ...uris.map(uriText),
    ...ranges.map(ipText),
  ];
}

/** RFC 5280, section 4.2.1.10: on a CA only, ranges of 8 or 32 bytes. */
function lintNameConstraints(value: Uint8Array, ca: CertificateTemplate["ca"]): void {
  const found = parseNameConstraints(value);
  const due = ca?.constraints;
  if (!due) throw finding("name constraints that were not prepared");
  for (const name of [...found.permitted, ...found.excluded]) {
    const isRange = name.type === "ip";
    demand(!isRange || [8, 32].includes(name.value.length), "a range of a wrong length");
  }
  demandSame(found.permitted.map(textOf), subtreeTexts(due.permitted), "other permitted names");
  demandSame(found.excluded.map(textOf), subtreeTexts(due.excluded), "other excluded names");
}

/** RFC 5280, section 4.2.1.13: each point one full name, one way to get one list. */
function lintDistributionPoints(value: Uint8Array, crl: readonly string[]): void {
  const points = parseCrlDistributionPoints(value);
  demand(
    points.every((point) => !point.hasMore && point.names.length === 1),
    "an odd CRL location",
  );
  demandSame(points.flatMap(({ names }) => names.map(textOf)), crl.map(uriText), "another CRL");
}

function lintAccess(value: Uint8Array, { ocsp = [], issuers = [] }: CertificateTemplate): void {
  const found = parseAuthorityInfoAccess(value);
  demand(found.others === 0, "an odd location");
  demandSame(found.ocsp, ocsp, "another OCSP responder");
  demandSame(found.caIssuers, issuers, "another location of the issuer");
}

/** RFC 5280, section 4.2.1.3: a CA signs certificates and CRLs, everybody else signs. */
function lintKeyUsage(value: Uint8Array, ca: CertificateTemplate["ca"]): void {
  const usage = parseNamedBits(readWhole(value, TAG.bitString).content);
  const due = ca ? KEY_USAGE.keyCertSign | KEY_USAGE.crlSign : KEY_USAGE.digitalSignature;
  demand(usage === due, "another key usage");
}

function lintPolicies(value: Uint8Array, policies: readonly string[]): void {
  const found = parseCertificatePolicies(value);
  demand(found.every(({ qualifiers }) => qualifiers.length === 0), "a policy with qualifiers");
  demandSame(found.map(({ oid }) => oid), policies, "another policy");
}

/** Which extensions must be critical, and which must not (RFC 5280, section 4.2.1). */
const IS_CRITICAL: Readonly<Record<string, boolean>> = {
  [OID.basicConstraints]: true,
  [OID.keyUsage]: true,
  [OID.nameConstraints]: true,
  [OID.extendedKeyUsage]: false,
  [OID.subjectKeyId]: false,
  [OID.authorityKeyId]: false,
  [OID.certificatePolicies]: false,
  [OID.crlDistributionPoints]: false,
  [OID.authorityInfoAccess]: false,
};

interface ExtensionContext {
  readonly template: CertificateTemplate;
  readonly subjectKeyId: Uint8Array;
  readonly authorityKeyId: Uint8Array;
  /** The issuer's. */
  readonly constraints: NameConstraints | undefined;
}

function lintExtension(
  oid: string,
  value: Uint8Array,
  { template, subjectKeyId, authorityKeyId, constraints }: ExtensionContext,
): void {
  const { ca, crl = [], policies = [], extendedKeyUsage } = template;
  switch (oid) {
    case OID.basicConstraints:
      return lintBasicConstraints(value, ca);
    case OID.keyUsage:
      return lintKeyUsage(value, ca);
    case OID.extendedKeyUsage:
      return demandSame(parseExtendedKeyUsage(value), extendedKeyUsage, "another extended usage");
    case OID.subjectKeyId: {
      const { content } = readWhole(value, TAG.octetString);
      return demand(isEqualBytes(content, subjectKeyId), "the key identifier of another key");
    }
    case OID.authorityKeyId: {
      const { keyId, certificate } = parseAuthorityKeyId(value);
      const isIssuers = keyId !== undefined && isEqualBytes(keyId, authorityKeyId);
      return demand(isIssuers && !certificate, "the key identifier of another issuer");
    }
    case OID.subjectAltName:
      return lintNames(value, template, constraints);
    case OID.nameConstraints:
      return lintNameConstraints(value, ca);
    case OID.certificatePolicies:
      return lintPolicies(value, policies);
    case OID.crlDistributionPoints:
      return lintDistributionPoints(value, crl);
    case OID.authorityInfoAccess:
      return lintAccess(value, template);
    default:
      throw finding(`extension ${oid}, which no profile has`);
  }
}

/** How many extensions this template has to have. */
function countDue(
  { ca, extendedKeyUsage, policies = [], crl = [], ocsp = [], issuers = [], ...names }:
    CertificateTemplate,
): number {
  const { uris, dns, addresses = [] } = names;
  const optional = [
    extendedKeyUsage.length,
    policies.length,
    crl.length,
    ocsp.length + issuers.length,
    uris.length + dns.length + addresses.length,
    ca?.constraints === undefined ? 0 : 1,
  ];
  // Always: basic constraints, key usage, subject and authority key identifier.
  return 4 + optional.filter((count) => count > 0).length;
}

/** Whole extensions that passed, and what they were held against. */
interface Passed {
  readonly template: FixedTemplate;
  readonly extensions: { readonly oid: string; readonly whole: Uint8Array }[];
}

/**
 * What passed last for a profile, by its usages: the same bytes held against the same demands are
 * compared and not read again. One for each profile, each as long as the extensions of one certificate.
 */
const passedBefore = new WeakMap<object, Passed>();

/** The extensions that follow from the profile alone. */
const FIXED: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.certificatePolicies,
  OID.crlDistributionPoints,
  OID.authorityInfoAccess,
]);

function passedOf(template: CertificateTemplate): Passed {
  const { ca, extendedKeyUsage, policies, crl, ocsp, issuers } = template;
  const known = passedBefore.get(extendedKeyUsage);
  const due = known?.template;
  // The very same lists, which nobody changes.
  if (
    known && due && due.ca === ca && due.policies === policies && due.crl === crl &&
    due.ocsp === ocsp && due.issuers === issuers
  ) return known;
  const passed = { template, extensions: [] };
  passedBefore.set(extendedKeyUsage, passed);
  return passed;
}

function lintExtensions(extensions: DerReader, context: ExtensionContext): void {
  const { template } = context;
  const passed = passedOf(template);
  const seen = new Set<string>();
  for (let at = 0; !extensions.isAtEnd; at++) {
    const { whole, content: fields } = extensions.read(TAG.sequence);
    const before = passed.extensions[at];
    if (before && !seen.has(before.oid) && isEqualBytes(before.whole, whole)) {
      seen.add(before.oid);
      continue;
    }
    const extension = new DerReader(fields);
    const oid = parseOid(extension.read(TAG.oid).content);
    const flag = extension.readOptional(TAG.boolean);
    const isCritical = flag !== undefined && parseBoolean(flag.content);
    const { content } = extension.read(TAG.octetString);
    extension.end();
    demand(!seen.has(oid), `extension ${oid} twice`);
    seen.add(oid);
    // Names are critical where the subject is empty (RFC 5280, section 4.2.1.6).
    const isCriticalDue = IS_CRITICAL[oid] ?? template.commonName === undefined;
    demand(
      isCritical === isCriticalDue && (flag === undefined || isCritical),
      `extension ${oid} with another criticality`,
    );
    lintExtension(oid, content, context);
    if (FIXED.has(oid) && at === passed.extensions.length) {
      passed.extensions.push({ oid, whole: copyBytes(whole) });
    }
  }
  demand(seen.size === countDue(template), "an extension is missing");
}

const SERIAL_BYTES_MAX = 20;

/** RFC 5280, section 4.1.2.2: positive, at most 20 bytes. */
function lintSerial(content: Uint8Array, due: Uint8Array): void {
  const [first = 0] = checkInteger(content);
  demand(
    first < 0x80 && content.some((byte) => byte !== 0),
    "a serial number that is not positive",
  );
  demand(content.length <= SERIAL_BYTES_MAX, "a serial number of more than 20 bytes");
  demand(isEqualBytes(content, due), "another serial number");
}

function lintValidity(
  validity: DerReader,
  { template, issuer, validityMsMax }: LintOptions,
): void {
  const notBeforeMs = parseTime(validity.read()); // refuses years in the wrong type
  const notAfterMs = parseTime(validity.read());
  validity.end();
  demand(notBeforeMs === template.notBeforeMs, "another beginning");
  demand(notAfterMs === template.notAfterMs, "another end");
  demand(notBeforeMs < notAfterMs, "it ends before it begins");
  demand(
    notAfterMs - notBeforeMs <= validityMsMax,
    "it is valid for longer than its profile allows",
  );
  demand(notAfterMs <= (issuer?.notAfterMs ?? Infinity), "it outlives its issuer");
}

/** SHA-1 of the key bits (RFC 5280, section 4.2.1.2, method 1). */
function subjectKeyIdOf(spki: Uint8Array): Uint8Array {
  const key = new DerReader(spki);
  key.read(TAG.sequence);
  const keyBits = parseWholeBits(key.read(TAG.bitString).content);
  return createHash("sha1").update(keyBits).digest();
}

function lint(tbs: Uint8Array, options: LintOptions): void {
  const { template, issuer, algorithm } = options;
  const reader = new DerReader(readWhole(tbs, TAG.sequence).content);
  const version = reader.enter(contextTag(0, true));
  demand(parseSmallInteger(version.read(TAG.integer).content) === 2, "another version than 3");
  version.end();
  lintSerial(reader.read(TAG.integer).content, template.serial);
  demand(isEqualBytes(reader.read(TAG.sequence).whole, algorithm), "another signature algorithm");
  const issuerName = reader.read(TAG.sequence).whole;
  lintValidity(reader.enter(TAG.sequence), options);
  const subject = reader.read(TAG.sequence).whole;
  lintName(subject, template);
  demand(isEqualBytes(issuerName, issuer?.subject ?? subject), "another issuer");
  const spki = reader.read(TAG.sequence);
  demand(isEqualBytes(spki.whole, template.spki), "another public key");
  const outer = reader.enter(contextTag(3, true));
  reader.end();
  const extensions = outer.enter(TAG.sequence);
  outer.end();
  const subjectKeyId = subjectKeyIdOf(spki.content);
  const authorityKeyId = issuer ? issuer.subjectKeyId ?? keyIdOf(issuer.spki) : subjectKeyId;
  const constraints = issuer?.nameConstraints;
  lintExtensions(extensions, { template, subjectKeyId, authorityKeyId, constraints });
}

/**
 * Checks a TBSCertificate.
 * @throws {PkiError} `internal` with the rule that is broken
 */
export function lintTbs(tbs: Uint8Array, options: LintOptions): void {
  try {
    lint(tbs, options);
  } catch (error) {
    if (!(error instanceof PkiError) || error.kind !== "malformed") throw error;
    throw new PkiError("internal", `cannot sign: ${error.message}`, { cause: error });
  }
}
