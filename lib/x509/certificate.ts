/**
 * Reads an X.509 certificate (RFC 5280, section 4) from DER into plain values. It says what is
 * written there; whether to believe it is decided in `path.ts` and `chain.ts`.
 */

import { type Bytes, copyBytes, encodeHex, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  type Element,
  encodeOid,
  parseNamedBits,
  parseSmallInteger,
  parseTime,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";
import { parseCommonNames } from "./distinguished_names.ts";
import {
  type AuthorityInfoAccess,
  type AuthorityKeyId,
  type BasicConstraints,
  type DistributionPoint,
  type Extension,
  type NameConstraints,
  OID,
  parseAuthorityInfoAccess,
  parseAuthorityKeyId,
  parseBasicConstraints,
  parseCertificatePolicies,
  parseCrlDistributionPoints,
  parseExtendedKeyUsage,
  parseExtensions,
  parseInhibitAnyPolicy,
  parseNameConstraints,
  parsePolicyConstraints,
  parsePolicyMappings,
  type PolicyConstraints,
  type PolicyInformation,
  type PolicyMapping,
} from "./extensions.ts";
import { type GeneralName, parseGeneralNames } from "./general_names.ts";

// Where certificates are read, these are needed with them.
export { parseCommonNames } from "./distinguished_names.ts";
export {
  type Extension,
  KEY_USAGE,
  type NameConstraints,
  OID,
  parseExtensions,
} from "./extensions.ts";
export { type GeneralName, parseGeneralNames } from "./general_names.ts";

export interface Certificate {
  readonly der: Bytes;
  /** The signed part, as it stands in `der`. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
  /** The serial number's content bytes in hex, as it stands there. */
  readonly serial: string;
  /** DER of the names; `distinguished_names.ts` compares them. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly commonNames: readonly string[];
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: number | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly names: readonly GeneralName[];
  readonly issuerNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
  /** The issuer's certificate by its issuer and serial number: a hint, not followed. */
  readonly authorityCertificate: AuthorityKeyId["certificate"];
  readonly policies: readonly PolicyInformation[] | undefined;
  readonly policyMappings: readonly PolicyMapping[] | undefined;
  readonly policyConstraints: PolicyConstraints | undefined;
  readonly inhibitAnyPolicy: number | undefined;
  readonly crlDistributionPoints: readonly DistributionPoint[] | undefined;
  readonly authorityInfoAccess: AuthorityInfoAccess | undefined;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read certificate: ${what}`);
}

/** The version, which must be 3, and the serial number in hex. */
function readSerial(tbs: DerReader): string {
  const version = tbs.readOptional(contextTag(0, true)); // absent in version 1
  if (!version || parseSmallInteger(readWhole(version.content, TAG.integer).content) !== 2) {
    throw malformed("not of version 3");
  }
  return encodeHex(checkInteger(tbs.read(TAG.integer).content));
}

function readValidity(tbs: DerReader) {
  const validity = tbs.enter(TAG.sequence);
  const notBeforeMs = parseTime(validity.read());
  const notAfterMs = parseTime(validity.read());
  validity.end();
  return { notBeforeMs, notAfterMs };
}

/** What the tables of issued certificates keep of one. */
export interface IssuedFacts extends Pick<Certificate, "serial" | "notAfterMs"> {
  /** The authority key identifier in hex: which issuing CA signed it. */
  readonly issuerKeyId: string;
}

const AUTHORITY_KEY_ID = encodeOid(OID.authorityKeyId);

/**
 * Serial number, end and issuer's key of a certificate of our own, several times faster than all of
 * it: what a start reads a hundred thousand times. The rest is walked over and not looked at.
 * @throws {PkiError} `malformed`, also where no key identifier says who issued it
 */
export function parseIssuedFacts(der: Uint8Array): IssuedFacts {
  const tbs = new DerReader(
    new DerReader(readWhole(der, TAG.sequence).content).read(TAG.sequence).content,
  );
  const serial = readSerial(tbs);
  tbs.read(TAG.sequence); // signature algorithm
  tbs.read(TAG.sequence); // issuer
  const { notAfterMs } = readValidity(tbs);
  tbs.read(TAG.sequence); // subject
  tbs.read(TAG.sequence); // public key
  const extensions = tbs.enter(contextTag(3, true)).enter(TAG.sequence);
  while (!extensions.isAtEnd) {
    const { content } = extensions.read(TAG.sequence);
    if (!AUTHORITY_KEY_ID.every((byte, i) => content[i] === byte)) continue;
    const extension = new DerReader(content);
    extension.read(TAG.oid);
    extension.readOptional(TAG.boolean);
    const authority = readWhole(extension.read(TAG.octetString).content, TAG.sequence);
    const keyId = new DerReader(authority.content).readOptional(contextTag(0, false));
    if (keyId) return { serial, notAfterMs, issuerKeyId: encodeHex(keyId.content) };
    break;
  }
  throw malformed("no key identifier of its issuer");
}

/**
 * Reads one certificate.
 * @throws {PkiError} `malformed` for anything that is not DER of a version 3 certificate
 */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > LIMITS.derBytesMax) {
    throw malformed(`${bytes.length} bytes, at most ${LIMITS.derBytesMax} accepted`);
  }
  const der = copyBytes(bytes);
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const tbsElement = outer.read(TAG.sequence);
  const signatureAlgorithm = outer.read(TAG.sequence);
  const signature = parseWholeBits(outer.read(TAG.bitString).content);
  outer.end();

  const tbs = new DerReader(tbsElement.content);
  const serial = readSerial(tbs);
  const innerAlgorithm = tbs.read(TAG.sequence);
  if (encodeHex(innerAlgorithm.whole) !== encodeHex(signatureAlgorithm.whole)) {
    throw malformed("two different signature algorithms");
  }
  const issuer = tbs.read(TAG.sequence).whole;
  const { notBeforeMs, notAfterMs } = readValidity(tbs);
  const subject = tbs.read(TAG.sequence).whole;
  const spki = tbs.read(TAG.sequence).whole;
  const extensionsElement = tbs.readOptional(contextTag(3, true));
  tbs.end();
  if (!extensionsElement) throw malformed("no extensions");
  const extensionsOuter = new DerReader(extensionsElement.content);
  const extensions = parseExtensions(extensionsOuter.enter(TAG.sequence));
  extensionsOuter.end();

  const read = <T>(oid: string, parse: (value: Uint8Array) => T): T | undefined => {
    const extension = extensions.get(oid);
    return extension ? parse(extension.value) : undefined;
  };
  const authority = read(OID.authorityKeyId, parseAuthorityKeyId);
  return {
    der,
    tbs: tbsElement.whole,
    signatureAlgorithm,
    signature,
    serial,
    issuer,
    subject,
    commonNames: parseCommonNames(subject),
    notBeforeMs,
    notAfterMs,
    spki,
    extensions,
    basicConstraints: read(OID.basicConstraints, parseBasicConstraints),
    keyUsage: read(
      OID.keyUsage,
      (value) => parseNamedBits(readWhole(value, TAG.bitString).content),
    ),
    extendedKeyUsage: read(OID.extendedKeyUsage, parseExtendedKeyUsage),
    names: read(OID.subjectAltName, parseGeneralNames) ?? [],
    issuerNames: read(OID.issuerAltName, parseGeneralNames) ?? [],
    nameConstraints: read(OID.nameConstraints, parseNameConstraints),
    subjectKeyId: read(OID.subjectKeyId, (value) => readWhole(value, TAG.octetString).content),
    authorityKeyId: authority?.keyId,
    authorityCertificate: authority?.certificate,
    policies: read(OID.certificatePolicies, parseCertificatePolicies),
    policyMappings: read(OID.policyMappings, parsePolicyMappings),
    policyConstraints: read(OID.policyConstraints, parsePolicyConstraints),
    inhibitAnyPolicy: read(OID.inhibitAnyPolicy, parseInhibitAnyPolicy),
    crlDistributionPoints: read(OID.crlDistributionPoints, parseCrlDistributionPoints),
    authorityInfoAccess: read(OID.authorityInfoAccess, parseAuthorityInfoAccess),
  };
}

/** SHA-256 of the DER in hex: how people compare roots, and how the protocol names a certificate. */
export function fingerprintOf(der: Uint8Array): string {
  return encodeHex(sha256(der));
}
