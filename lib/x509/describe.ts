/**
 * Says what certificates, requests, revocation lists and OCSP messages say, as plain values that
 * become JSON: `docs/inspect.md` has the fields. Nothing here is believed or judged; a description
 * of a forged certificate looks like any other.
 *
 * Fields are always there: `null` where something is absent, an empty list where there is none of it.
 */

import { encodeHex, sha256 } from "../base/bytes.ts";
import { type Certificate, fingerprintOf } from "./certificate.ts";
import { DerReader, parseOid, parseWholeBits, readWhole, TAG } from "./der.ts";
import { isSameName } from "./distinguished_names.ts";
import { type DistributionPoint, type Extension, KEY_USAGE, OID } from "./extensions.ts";
import { formatIp, type GeneralName } from "./general_names.ts";
import { formatName } from "./name_text.ts";
import {
  CURVE_NAMES,
  EXTENSION_NAMES,
  KEY_BITS,
  KEY_NAMES,
  nameOfOid,
  PURPOSE_NAMES,
  SIGNATURE_NAMES,
} from "./oid_names.ts";

export interface KeyDescription {
  /** `RSA`, `EC`, `Ed25519`, …, or an object identifier. */
  readonly algorithm: string;
  readonly curve: string | null;
  readonly bits: number | null;
  /** Of the SubjectPublicKeyInfo's DER, in hex. */
  readonly sha256: string;
}

/** A name that is not a distinguished one: what kind it is, and its text. */
export interface NameDescription {
  readonly type: "dns" | "email" | "uri" | "ip" | "directory" | "other";
  readonly value: string;
}

export interface ExtensionDescription {
  readonly oid: string;
  readonly name: string | null;
  readonly critical: boolean;
  /** Whether the other fields say what is in it; else there is only its length. */
  readonly shown: boolean;
  readonly bytes: number;
}

export interface CertificateDescription {
  readonly subject: string;
  readonly issuer: string;
  /** Whether both names are the same; not whether it is signed by its own key. */
  readonly selfIssued: boolean;
  readonly serial: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly period: "future" | "current" | "expired";
  readonly key: KeyDescription;
  readonly signatureAlgorithm: string;
  readonly names: readonly NameDescription[];
  readonly issuerNames: readonly NameDescription[];
  readonly isCa: boolean;
  readonly pathLength: number | null;
  readonly keyUsage: readonly string[];
  readonly extendedKeyUsage: readonly string[];
  readonly permittedNames: readonly NameDescription[];
  readonly excludedNames: readonly NameDescription[];
  readonly policies: readonly string[];
  readonly policyMappings: readonly { readonly issuer: string; readonly subject: string }[];
  readonly requireExplicitPolicy: number | null;
  readonly inhibitPolicyMapping: number | null;
  readonly inhibitAnyPolicy: number | null;
  readonly crlLocations: readonly string[];
  readonly ocspLocations: readonly string[];
  readonly issuerLocations: readonly string[];
  readonly subjectKeyId: string | null;
  readonly authorityKeyId: string | null;
  readonly extensions: readonly ExtensionDescription[];
  /** Of the DER, in hex. */
  readonly sha256: string;
}

/** ISO 8601, in whole seconds. */
export const iso = (timeMs: number) => new Date(timeMs).toISOString().replace(/\.000Z$/, "Z");
export const hexOrNull = (bytes: Uint8Array | undefined) => bytes ? encodeHex(bytes) : null;

/** Bits of an RSA modulus, or nothing where the key is not what it says it is. */
function rsaBits(keyBits: Uint8Array): number | null {
  try {
    const modulus =
      new DerReader(readWhole(keyBits, TAG.sequence).content).read(TAG.integer).content;
    const start = modulus.findIndex((byte) => byte !== 0);
    const first = modulus[start];
    return first === undefined ? null : (modulus.length - start) * 8 - Math.clz32(first) + 24;
  } catch {
    return null; // a key that nobody can use is shown all the same
  }
}

/** @throws {PkiError} `malformed` only where it is no SubjectPublicKeyInfo at all */
export function describeKey(spki: Uint8Array): KeyDescription {
  const reader = new DerReader(readWhole(spki, TAG.sequence).content);
  const parameters = reader.enter(TAG.sequence);
  const algorithm = nameOfOid(KEY_NAMES, parseOid(parameters.read(TAG.oid).content));
  const keyBits = parseWholeBits(reader.read(TAG.bitString).content);
  const curve = algorithm !== "EC"
    ? null
    : parameters.peekTag() === TAG.oid
    ? nameOfOid(CURVE_NAMES, parseOid(parameters.read(TAG.oid).content))
    : "explicit parameters";
  const bits = algorithm.startsWith("RSA")
    ? rsaBits(keyBits)
    : KEY_BITS[curve ?? algorithm] ?? null;
  return { algorithm, curve, bits, sha256: encodeHex(sha256(spki)) };
}

export function describeSignature(algorithm: Uint8Array): string {
  return nameOfOid(SIGNATURE_NAMES, parseOid(new DerReader(algorithm).read(TAG.oid).content));
}

/** An address and its mask as a prefix, where the mask is one. */
function formatRange(range: Uint8Array): string {
  const half = range.length / 2;
  const [address, mask] = [range.subarray(0, half), range.subarray(half)];
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const prefix = bits.replace(/0+$/, "");
  const isPrefix = !prefix.includes("0");
  return `${formatIp(address)}/${isPrefix ? prefix.length : formatIp(mask)}`;
}

function describeName(name: GeneralName, ip: (bytes: Uint8Array) => string): NameDescription {
  switch (name.type) {
    case "dns":
    case "email":
    case "uri":
      return { type: name.type, value: name.value };
    case "ip":
      return { type: "ip", value: ip(name.value) };
    case "directory":
      return { type: "directory", value: formatName(name.value) };
    case "other":
      return { type: "other", value: name.typeId ?? `tag ${name.tag & 0x1f}` };
  }
}

export const describeNames = (names: readonly GeneralName[]) =>
  names.map((name) => describeName(name, formatIp));
const describeSubtrees = (names: readonly GeneralName[] = []) =>
  names.map((name) => describeName(name, formatRange));

export function describeKeyUsage(keyUsage = 0): readonly string[] {
  return Object.entries(KEY_USAGE).flatMap(([name, bit]) => (keyUsage & bit) === 0 ? [] : [name]);
}

export const describePurposes = (oids: readonly string[] = []) =>
  oids.map((oid) => nameOfOid(PURPOSE_NAMES, oid));

export function describeExtensions(
  extensions: ReadonlyMap<string, Extension>,
  shown: ReadonlySet<string>,
): readonly ExtensionDescription[] {
  return [...extensions.values()].map(({ oid, critical, value }) => ({
    oid,
    name: EXTENSION_NAMES[oid] ?? null,
    critical,
    shown: shown.has(oid),
    bytes: value.length,
  }));
}

function locationsOf(points: readonly DistributionPoint[] = []): readonly string[] {
  return points.flatMap(({ names }) => describeNames(names).map(({ value }) => value));
}

function periodOf(
  { notBeforeMs, notAfterMs }: Pick<Certificate, "notBeforeMs" | "notAfterMs">,
  nowMs: number,
): CertificateDescription["period"] {
  if (nowMs < notBeforeMs) return "future";
  return nowMs > notAfterMs ? "expired" : "current";
}

/** Extensions whose content the fields of a certificate's description have. */
const SHOWN: ReadonlySet<string> = new Set([
  OID.subjectKeyId,
  OID.keyUsage,
  OID.subjectAltName,
  OID.issuerAltName,
  OID.basicConstraints,
  OID.nameConstraints,
  OID.crlDistributionPoints,
  OID.certificatePolicies,
  OID.policyMappings,
  OID.authorityKeyId,
  OID.policyConstraints,
  OID.extendedKeyUsage,
  OID.inhibitAnyPolicy,
  OID.authorityInfoAccess,
]);

/** What a certificate says; `nowMs` is for its period only. */
export function describeCertificate(
  certificate: Certificate,
  nowMs: number,
): CertificateDescription {
  const { subject, issuer, serial, notBeforeMs, notAfterMs, spki, basicConstraints } = certificate;
  const { nameConstraints, policyConstraints, authorityInfoAccess } = certificate;
  return {
    subject: formatName(subject),
    issuer: formatName(issuer),
    selfIssued: isSameName(subject, issuer),
    serial,
    notBefore: iso(notBeforeMs),
    notAfter: iso(notAfterMs),
    period: periodOf(certificate, nowMs),
    key: describeKey(spki),
    signatureAlgorithm: describeSignature(certificate.signatureAlgorithm.content),
    names: describeNames(certificate.names),
    issuerNames: describeNames(certificate.issuerNames),
    isCa: basicConstraints?.isCa === true,
    pathLength: basicConstraints?.pathLength ?? null,
    keyUsage: describeKeyUsage(certificate.keyUsage),
    extendedKeyUsage: describePurposes(certificate.extendedKeyUsage),
    permittedNames: describeSubtrees(nameConstraints?.permitted),
    excludedNames: describeSubtrees(nameConstraints?.excluded),
    policies: (certificate.policies ?? []).map(({ oid }) => oid),
    policyMappings: (certificate.policyMappings ?? []).map(({ issuerPolicy, subjectPolicy }) => ({
      issuer: issuerPolicy,
      subject: subjectPolicy,
    })),
    requireExplicitPolicy: policyConstraints?.requireExplicit ?? null,
    inhibitPolicyMapping: policyConstraints?.inhibitMapping ?? null,
    inhibitAnyPolicy: certificate.inhibitAnyPolicy ?? null,
    crlLocations: locationsOf(certificate.crlDistributionPoints),
    ocspLocations: authorityInfoAccess?.ocsp ?? [],
    issuerLocations: authorityInfoAccess?.caIssuers ?? [],
    subjectKeyId: hexOrNull(certificate.subjectKeyId),
    authorityKeyId: hexOrNull(certificate.authorityKeyId),
    extensions: describeExtensions(certificate.extensions, SHOWN),
    sha256: fingerprintOf(certificate.der),
  };
}
