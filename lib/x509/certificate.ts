/**
 * Reads an X.509 certificate (RFC 5280, section 4) from DER into plain values. It says what is
 * written there; whether to believe it is decided in `chain.ts`.
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
  parseBoolean,
  parseNamedBits,
  parseOid,
  parseSmallInteger,
  parseTime,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";

/** Extensions and usages by object identifier (RFC 5280, sections 4.2.1.1 to 4.2.1.12). */
export const OID = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  extensionRequest: "1.2.840.113549.1.9.14",
  commonName: "2.5.4.3",
} as const;

/** Bits of KeyUsage as {@link Certificate.keyUsage} holds them (RFC 5280, section 4.2.1.3). */
export const KEY_USAGE = {
  digitalSignature: 1 << 0,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
} as const;

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** A GeneralName (RFC 5280, section 4.2.1.6); `other` covers the forms that we never use. */
export type GeneralName =
  | { readonly type: "dns" | "email" | "uri"; readonly value: string }
  | { readonly type: "ip"; readonly value: Uint8Array }
  | { readonly type: "other"; readonly tag: number };

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

export interface Certificate {
  readonly der: Bytes;
  /** The signed part, as it stands in `der`. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
  /** The serial number's content bytes in hex, as it stands there. */
  readonly serial: string;
  /** DER of the names; compared as bytes, since we make all of them. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly commonNames: readonly string[];
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly basicConstraints: { readonly isCa: boolean; readonly pathLength?: number } | undefined;
  readonly keyUsage: number | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly names: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read certificate: ${what}`);
}

function parseIa5(content: Uint8Array): string {
  if (content.some((byte) => byte > 0x7e || byte < 0x20)) {
    throw malformed("a name with odd characters");
  }
  return String.fromCharCode(...content);
}

function parseGeneralName({ tag, content }: Element): GeneralName {
  switch (tag) {
    case contextTag(1, false):
      return { type: "email", value: parseIa5(content) };
    case contextTag(2, false):
      return { type: "dns", value: parseIa5(content) };
    case contextTag(6, false):
      return { type: "uri", value: parseIa5(content) };
    case contextTag(7, false):
      return { type: "ip", value: content };
    default:
      return { type: "other", tag };
  }
}

/** GeneralNames, never empty (RFC 5280, section 4.2.1.6). */
export function parseGeneralNames(value: Uint8Array): readonly GeneralName[] {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const names: GeneralName[] = [];
  while (!reader.isAtEnd) names.push(parseGeneralName(reader.read()));
  if (names.length === 0) throw malformed("an empty list of names");
  return names;
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
  return names;
}

function parseNameConstraints(value: Uint8Array): NameConstraints {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const permitted = parseSubtrees(reader.readOptional(contextTag(0, true)));
  const excluded = parseSubtrees(reader.readOptional(contextTag(1, true)));
  reader.end();
  return { permitted, excluded };
}

function parseBasicConstraints(value: Uint8Array): NonNullable<Certificate["basicConstraints"]> {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const ca = reader.readOptional(TAG.boolean);
  const isCa = ca !== undefined && parseBoolean(ca.content);
  if (ca && !isCa) throw malformed("a default value that DER leaves out");
  const pathLength = reader.readOptional(TAG.integer);
  reader.end();
  if (pathLength && !isCa) throw malformed("a path length without a CA");
  return pathLength ? { isCa, pathLength: parseSmallInteger(pathLength.content) } : { isCa };
}

function parseExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const usages: string[] = [];
  while (!reader.isAtEnd) usages.push(parseOid(reader.read(TAG.oid).content));
  if (usages.length === 0) throw malformed("an empty list of usages");
  return usages;
}

function parseAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  return reader.readOptional(contextTag(0, false))?.content;
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

const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The common names in a Name; those in other character sets than UTF-8 and its subsets are refused. */
export function parseCommonNames(name: Uint8Array): readonly string[] {
  const reader = new DerReader(readWhole(name, TAG.sequence).content);
  const commonNames: string[] = [];
  while (!reader.isAtEnd) {
    const set = reader.enter(TAG.set);
    while (!set.isAtEnd) {
      const attribute = set.enter(TAG.sequence);
      const oid = parseOid(attribute.read(TAG.oid).content);
      const value = attribute.read();
      attribute.end();
      if (oid !== OID.commonName) continue;
      const isText = value.tag === TAG.utf8String || value.tag === TAG.printableString ||
        value.tag === TAG.ia5String;
      if (!isText) throw malformed("a common name of an odd type");
      try {
        commonNames.push(textDecoder.decode(value.content));
      } catch {
        throw malformed("a common name that is not UTF-8");
      }
    }
  }
  return commonNames;
}

/** The version, which must be 3, and the serial number in hex. */
function readSerial(tbs: DerReader): string {
  const version = tbs.enter(contextTag(0, true));
  if (parseSmallInteger(version.read(TAG.integer).content) !== 2) {
    throw malformed("not of version 3");
  }
  version.end();
  return encodeHex(checkInteger(tbs.read(TAG.integer).content));
}

function readValidity(tbs: DerReader) {
  const validity = tbs.enter(TAG.sequence);
  const notBeforeMs = parseTime(validity.read());
  const notAfterMs = parseTime(validity.read());
  validity.end();
  return { notBeforeMs, notAfterMs };
}

/**
 * Serial number and end of a certificate of our own, ten times faster than all of it: what a start
 * reads a hundred thousand times. The rest is not looked at.
 * @throws {PkiError} `malformed`
 */
export function parseSerialAndEnd(
  der: Uint8Array,
): Pick<Certificate, "serial" | "notAfterMs"> {
  const tbs = new DerReader(
    new DerReader(readWhole(der, TAG.sequence).content).read(TAG.sequence).content,
  );
  const serial = readSerial(tbs);
  tbs.read(TAG.sequence); // signature algorithm
  tbs.read(TAG.sequence); // issuer
  const { notAfterMs } = readValidity(tbs);
  return { serial, notAfterMs };
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
    const keyId = parseAuthorityKeyId(extension.read(TAG.octetString).content);
    if (keyId) return { serial, notAfterMs, issuerKeyId: encodeHex(keyId) };
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
    nameConstraints: read(OID.nameConstraints, parseNameConstraints),
    subjectKeyId: read(OID.subjectKeyId, (value) => readWhole(value, TAG.octetString).content),
    authorityKeyId: read(OID.authorityKeyId, parseAuthorityKeyId),
  };
}

/** SHA-256 of the DER in hex: how people compare roots, and how the protocol names a certificate. */
export function fingerprintOf(der: Uint8Array): string {
  return encodeHex(sha256(der));
}
