/**
 * What one certificate must be by itself, whatever chain it is in (RFC 5280, section 4): the form
 * that conforming CAs give it, and no critical extension that is not understood here.
 */

import type { Certificate } from "./certificate.ts";
import { isEmptyName, isSameName } from "./distinguished_names.ts";
import { OID } from "./extensions.ts";
import { describeName, isWellFormedName } from "./general_names.ts";

/** Self-issued certificates are a CA's with a new key (section 6.1): they do not count as a level. */
export function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return isSameName(subject, issuer);
}

/** Criticality that section 4.2 leaves no choice in. */
const CRITICALITY: readonly { readonly oid: string; readonly must: boolean }[] = [
  { oid: OID.subjectKeyId, must: false },
  { oid: OID.authorityKeyId, must: false },
  { oid: OID.authorityInfoAccess, must: false },
  { oid: OID.freshestCrl, must: false },
  { oid: OID.policyConstraints, must: true },
  { oid: OID.inhibitAnyPolicy, must: true },
];

const SERIAL_HEX_MAX = 40;

export interface FormOptions {
  readonly isLeaf: boolean;
  readonly isRoot: boolean;
  readonly isWebPki: boolean;
}

/** What is wrong with one certificate, whoever issued it, if anything is (section 4). */
export function formFaultOf(
  certificate: Certificate,
  { isLeaf, isRoot, isWebPki }: FormOptions,
): string | undefined {
  const { serial, issuer, subject, extensions, names, nameConstraints } = certificate;
  const isCa = certificate.basicConstraints?.isCa === true;
  // Old roots are numbered 0 (section 4.1.2.2 wants patience with them), and nothing refers to it.
  if (!isRoot && (serial.length > SERIAL_HEX_MAX || /^0*$|^[89a-f]/.test(serial))) {
    return "has a serial number that is not positive or longer than 20 bytes";
  }
  if (isEmptyName(issuer)) return "has no issuer";
  if (isEmptyName(subject) && (!isLeaf || isCa)) return "has no subject";
  if (isEmptyName(subject) && !extensions.get(OID.subjectAltName)?.critical) {
    return "has no subject, and no names marked critical in its place";
  }
  if (!isLeaf && !certificate.subjectKeyId) return "has no key identifier";
  // Nobody looks for the issuer of a root, though section 4.2.1.1 excuses self-signed ones only.
  if (!certificate.authorityKeyId && !isRoot) {
    return "does not identify its issuer's key";
  }
  const wrong = CRITICALITY.find(({ oid, must }) => extensions.get(oid)?.critical === !must);
  if (wrong) return `has extension ${wrong.oid} ${wrong.must ? "not " : ""}marked critical`;
  if (nameConstraints) {
    if (!isCa) return "has name constraints and is not a CA";
    // The Baseline Requirements let them be (section 7.1.2.5.2).
    if (!isWebPki && !extensions.get(OID.nameConstraints)?.critical) {
      return "has name constraints that are not marked critical";
    }
  }
  const name = names.find((one) => !isWellFormedName(one));
  return name && `has a name that is not well formed: ${describeName(name)}`;
}

const UNDERSTOOD = new Set<string>([
  OID.keyUsage,
  OID.subjectAltName,
  OID.basicConstraints,
  OID.nameConstraints,
  OID.certificatePolicies,
  OID.policyMappings,
  OID.policyConstraints,
  OID.inhibitAnyPolicy,
  OID.extendedKeyUsage,
]);

/** A pointer to a practice statement, and a notice: both without consequence (section 4.2.1.4). */
const KNOWN_QUALIFIERS = new Set(["1.3.6.1.5.5.7.2.1", "1.3.6.1.5.5.7.2.2"]);

/** What a certificate marks critical and nobody here understands. */
export function unknownIn({ extensions, policies = [] }: Certificate): string | undefined {
  for (const { oid, critical } of extensions.values()) {
    if (critical && !UNDERSTOOD.has(oid)) return `critical extension ${oid}`;
  }
  if (!extensions.get(OID.certificatePolicies)?.critical) return undefined;
  const qualifiers = policies.flatMap((policy) => policy.qualifiers);
  const unknown = qualifiers.find((qualifier) => !KNOWN_QUALIFIERS.has(qualifier));
  return unknown && `policy qualifier ${unknown}`;
}
