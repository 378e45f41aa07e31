/**
 * What becomes of each thing that a request asks for: it is granted since the profile says the same,
 * ignored by rule and named in the answer, or refused. The key and the signature were judged when the
 * request was read (`lib/x509/csr.ts`, `lib/x509/public_key.ts`).
 *
 * | in the request | becomes |
 * | --- | --- |
 * | public key | the certificate's |
 * | common name, names | one's own: granted; another: refused |
 * | other attributes of the subject | ignored; refused if longer than RFC 5280 allows |
 * | basic constraints, key usage | of a CA: refused; else granted as far as the profile goes |
 * | extended key usage | granted as far as the profile goes |
 * | subject key identifier | ours: granted; another: ignored |
 * | another extension | critical: refused; else ignored |
 * | challenge password, other attributes | ignored |
 */

import { PkiError } from "../base/errors.ts";
import { isEqualBytes } from "../base/bytes.ts";
import { type Extension, type GeneralName, KEY_USAGE, OID } from "../x509/certificate.ts";
import type { CsrFields } from "../x509/csr.ts";
import { parseNamedBits, readAs, readWhole, TAG } from "../x509/der.ts";
import { keyIdOf } from "../x509/encode.ts";
import { parseBasicConstraints, parseExtendedKeyUsage } from "../x509/extensions.ts";
import { describeName, formatIp } from "../x509/general_names.ts";
import { COMMON_NAME_CHARACTERS_MAX } from "./profile.ts";
import type { Subject } from "./subject.ts";

/** What the certificate will say. */
export interface Granted {
  readonly subject: Subject;
  /** Object identifiers. */
  readonly extendedKeyUsage: readonly string[];
  /** Names that stand for the same holder and may be asked for, but are not put into the certificate. */
  readonly alsoKnownAs?: readonly GeneralName[];
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot accept request: ${what}`);
}

function refused(what: string, hint?: string): PkiError {
  return new PkiError("refused", `cannot certify request: ${what}`, hint ? { hint } : {});
}

/** Attributes of a subject: their short names (RFC 4514, section 3) and the bounds of RFC 5280, A.1. */
const SUBJECT_ATTRIBUTES: Readonly<Record<string, { name: string; charactersMax: number }>> = {
  [OID.commonName]: { name: "CN", charactersMax: COMMON_NAME_CHARACTERS_MAX },
  "2.5.4.4": { name: "SN", charactersMax: 32_768 },
  "2.5.4.5": { name: "serialNumber", charactersMax: 64 },
  "2.5.4.6": { name: "C", charactersMax: 2 },
  "2.5.4.7": { name: "L", charactersMax: 128 },
  "2.5.4.8": { name: "ST", charactersMax: 128 },
  "2.5.4.9": { name: "street", charactersMax: 32_768 },
  "2.5.4.10": { name: "O", charactersMax: 64 },
  "2.5.4.11": { name: "OU", charactersMax: 64 },
  "2.5.4.12": { name: "title", charactersMax: 64 },
  "2.5.4.42": { name: "GN", charactersMax: 32_768 },
  "2.5.4.46": { name: "dnQualifier", charactersMax: 32_768 },
  "2.5.4.65": { name: "pseudonym", charactersMax: 128 },
  "1.2.840.113549.1.9.1": { name: "emailAddress", charactersMax: 255 },
  "0.9.2342.19200300.100.1.1": { name: "UID", charactersMax: 256 },
  "0.9.2342.19200300.100.1.25": { name: "DC", charactersMax: 63 },
};

/** Extensions and attributes that people meet, by names that they know. */
const KNOWN_NAMES: Readonly<Record<string, string>> = {
  [OID.subjectKeyId]: "subject key identifier",
  [OID.keyUsage]: "key usage",
  [OID.subjectAltName]: "subject alternative name",
  [OID.issuerAltName]: "issuer alternative name",
  [OID.basicConstraints]: "basic constraints",
  [OID.nameConstraints]: "name constraints",
  [OID.crlDistributionPoints]: "CRL distribution points",
  [OID.certificatePolicies]: "certificate policies",
  [OID.policyMappings]: "policy mappings",
  [OID.authorityKeyId]: "authority key identifier",
  [OID.policyConstraints]: "policy constraints",
  [OID.extendedKeyUsage]: "extended key usage",
  [OID.inhibitAnyPolicy]: "inhibit anyPolicy",
  [OID.authorityInfoAccess]: "authority information access",
  "1.3.6.1.5.5.7.1.24": "TLS feature",
  "1.3.6.1.5.5.7.48.1.5": "no OCSP check",
  "2.16.840.1.113730.1.1": "Netscape certificate type",
  "2.16.840.1.113730.1.13": "Netscape comment",
  "1.2.840.113549.1.9.2": "unstructured name",
  "1.2.840.113549.1.9.7": "challenge password",
  "1.2.840.113549.1.9.8": "unstructured address",
  "1.3.6.1.4.1.311.2.1.14": "Microsoft's request for extensions",
  "1.3.6.1.4.1.311.13.2.3": "Microsoft's version of the system",
  "1.3.6.1.4.1.311.20.2": "Microsoft's certificate template",
  "1.3.6.1.4.1.311.21.20": "Microsoft's client",
};

function describeOid(oid: string): string {
  const name = KNOWN_NAMES[oid];
  return name === undefined ? oid : `${oid} (${name})`;
}

/** Things that a request asks for and does not get. */
type Ignored = string[];

function checkSubject({ subject, commonNames }: CsrFields, granted: Granted, ignored: Ignored) {
  for (const { oid, text } of subject) {
    const { name = oid, charactersMax = Infinity } = SUBJECT_ATTRIBUTES[oid] ?? {};
    if (text !== undefined && text.length > charactersMax) {
      throw malformed(
        `${name} in its subject has ${text.length} characters, at most ${charactersMax} accepted`,
      );
    }
    if (oid !== OID.commonName) ignored.push(`subject attribute ${name}`);
  }
  if (commonNames.length > 1) throw malformed(`its subject has ${commonNames.length} common names`);
  const [commonName] = commonNames;
  const { subject: own } = granted;
  if (commonName === undefined || commonName === own.commonName) return;
  // A host may be called by any of its names; comparing them ignores case (RFC 4343).
  const isHosts = own.uris.length === 0 && (own.dns.includes(commonName.toLowerCase()) ||
    own.addresses.some((address) => formatIp(address) === commonName));
  if (isHosts) {
    ignored.push("subject attribute CN");
    return;
  }
  throw refuseName(granted);
}

function refuseName({ subject: { commonName, dns } }: Granted): PkiError {
  const own = commonName ?? dns[0] ?? "";
  return refused(
    `it asks for another name than "${own}"`,
    `ask for the subject CN=${own} only, or for an empty subject`,
  );
}

function isSame(a: GeneralName, b: GeneralName): boolean {
  switch (a.type) {
    case "dns":
      return b.type === "dns" && a.value.toLowerCase() === b.value;
    case "email":
    case "uri":
      return b.type === a.type && a.value === b.value;
    case "ip":
      return b.type === "ip" && isEqualBytes(a.value, b.value);
    case "directory":
    case "other":
      return false;
  }
}

const LABEL_CHARACTERS_MAX = 63;
const DNS_CHARACTERS_MAX = 253;

function checkNames({ names }: CsrFields, granted: Granted, ignored: Ignored): void {
  const { uris, dns, addresses } = granted.subject;
  const own: readonly GeneralName[] = [
    ...uris.map((value) => ({ type: "uri" as const, value })),
    ...dns.map((value) => ({ type: "dns" as const, value })),
    ...addresses.map((value) => ({ type: "ip" as const, value })),
  ];
  for (const name of names) {
    if (name.type === "other" || name.type === "directory") {
      throw refused("it asks for a name of a form that is not certified");
    }
    if (
      name.type === "dns" && (name.value.length > DNS_CHARACTERS_MAX ||
        name.value.split(".").some((label) => label.length > LABEL_CHARACTERS_MAX))
    ) {
      throw malformed("a DNS name in it is too long");
    }
    if (own.some((one) => isSame(name, one))) continue;
    if (!granted.alsoKnownAs?.some((one) => isSame(name, one))) throw refuseName(granted);
    ignored.push(`name ${describeName(name)}`);
  }
}

const NOT_FOR_CAS = "it asks for a CA's certificate";

function checkBasicConstraints({ value }: Extension): void {
  if (readAs("request", () => parseBasicConstraints(value)).isCa) throw refused(NOT_FOR_CAS);
}

/** Bits of KeyUsage by name (RFC 5280, section 4.2.1.3), in their order. */
const KEY_USAGE_NAMES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
];

function checkKeyUsage({ value }: Extension, ignored: Ignored): void {
  const read = () => parseNamedBits(readWhole(value, TAG.bitString).content);
  const bits = readAs("request", read);
  if ((bits & (KEY_USAGE.keyCertSign | KEY_USAGE.crlSign)) !== 0) throw refused(NOT_FOR_CAS);
  KEY_USAGE_NAMES.forEach((name, bit) => {
    if (bit > 0 && (bits & 1 << bit) !== 0) ignored.push(`key usage ${name}`);
  });
}

function checkExtendedKeyUsage({ value }: Extension, granted: Granted, ignored: Ignored): void {
  for (const usage of readAs("request", () => parseExtendedKeyUsage(value))) {
    if (!granted.extendedKeyUsage.includes(usage)) ignored.push(`extended key usage ${usage}`);
  }
}

function checkExtension(
  extension: Extension,
  { csr, granted, ignored }: { csr: CsrFields; granted: Granted; ignored: Ignored },
): void {
  switch (extension.oid) {
    case OID.subjectAltName:
      return checkNames(csr, granted, ignored);
    case OID.basicConstraints:
      return checkBasicConstraints(extension);
    case OID.keyUsage:
      return checkKeyUsage(extension, ignored);
    case OID.extendedKeyUsage:
      return checkExtendedKeyUsage(extension, granted, ignored);
  }
  const name = `extension ${describeOid(extension.oid)}`;
  if (extension.critical) {
    throw refused(`it asks for the critical ${name}, which is never given`);
  }
  const isOurs = extension.oid === OID.subjectKeyId &&
    isEqualBytes(readWhole(extension.value, TAG.octetString).content, keyIdOf(csr.spki));
  if (!isOurs) ignored.push(name);
}

/**
 * Judges a request against what will be certified.
 * @returns what it asks for and does not get, as short phrases
 * @throws {PkiError} `refused` for what must not be asked for, `malformed` for what is not well formed
 */
export function checkCsr(csr: CsrFields, granted: Granted): readonly string[] {
  const ignored: Ignored = [];
  checkSubject(csr, granted, ignored);
  for (const { oid } of csr.attributes) {
    if (oid !== OID.extensionRequest) ignored.push(`attribute ${describeOid(oid)}`);
  }
  for (const extension of csr.extensions.values()) {
    checkExtension(extension, { csr, granted, ignored });
  }
  return ignored;
}
