/**
 * Chains of any form, for tests of path validation: every field of a certificate can be replaced, and
 * nothing is checked.
 */

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { type Bytes, utf8 } from "../../lib/base/bytes.ts";
import { type Certificate, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import {
  contextTag,
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeSignatureAlgorithm, keyIdOf, signTbs } from "../../lib/x509/encode.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";

/** When these certificates are in time, and a day around it. */
export const NOW_MS = Date.UTC(2026, 10, 1, 12);
const DAY_MS = 86_400_000;

/** A certificate and its key. */
export interface Holder {
  readonly key: KeyObject;
  readonly certificate: Certificate;
}

/** An extension: its value in DER; `null` leaves one out that would be there. */
export interface ExtensionSpec {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array | null;
}

export interface Spec {
  /** A common name, or DER of the whole name. */
  readonly subject: string | Uint8Array;
  /** DER in place of the issuer's name. */
  readonly issuerName?: Uint8Array;
  readonly key?: KeyObject;
  /** DER in place of the key's. */
  readonly spki?: Uint8Array;
  /** A CA has this; `{}` is one without a path length. */
  readonly ca?: { readonly pathLength?: number };
  readonly dns?: readonly string[];
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Content bytes of the serial number. */
  readonly serial?: Uint8Array;
  /** In place of those that it would have, or besides. */
  readonly extensions?: readonly ExtensionSpec[];
}

/** A P-256 key of its own for each call. */
export function nextKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** DER of a Name with one attribute a part: `[oid, text]`. */
export function nameOf(...attributes: readonly (readonly [string, string])[]): Bytes {
  return encodeSequence(
    ...attributes.map(([oid, text]) =>
      encodeElement(
        TAG.set,
        encodeSequence(encodeOid(oid), encodeElement(TAG.utf8String, utf8(text))),
      )
    ),
  );
}

/** GeneralNames by their tags, and subtrees of them. */
export const generalName = {
  email: (text: string): Bytes => encodeElement(contextTag(1, false), utf8(text)),
  dns: (text: string): Bytes => encodeElement(contextTag(2, false), utf8(text)),
  directory: (name: Uint8Array): Bytes => encodeElement(contextTag(4, true), name),
  uri: (text: string): Bytes => encodeElement(contextTag(6, false), utf8(text)),
  ip: (...bytes: readonly number[]): Bytes =>
    encodeElement(contextTag(7, false), Uint8Array.from(bytes)),
  otherName: (typeId: string, text: string): Bytes =>
    encodeElement(
      contextTag(0, true),
      encodeOid(typeId),
      encodeElement(contextTag(0, true), encodeElement(TAG.utf8String, utf8(text))),
    ),
};

export function subjectAltName(...names: readonly Uint8Array[]): ExtensionSpec {
  return { oid: OID.subjectAltName, value: encodeSequence(...names) };
}

export function nameConstraints(
  { permitted = [], excluded = [] }: {
    readonly permitted?: readonly Uint8Array[];
    readonly excluded?: readonly Uint8Array[];
  },
): ExtensionSpec {
  const subtrees = (number: number, names: readonly Uint8Array[]) =>
    names.length === 0
      ? new Uint8Array()
      : encodeElement(contextTag(number, true), ...names.map((name) => encodeSequence(name)));
  return {
    oid: OID.nameConstraints,
    critical: true,
    value: encodeSequence(subtrees(0, permitted), subtrees(1, excluded)),
  };
}

export function policies(...oids: readonly string[]): ExtensionSpec {
  const value = encodeSequence(...oids.map((oid) => encodeSequence(encodeOid(oid))));
  return { oid: OID.certificatePolicies, value };
}

export function policyMappings(...pairs: readonly (readonly [string, string])[]): ExtensionSpec {
  const value = encodeSequence(
    ...pairs.map(([issuer, subject]) => encodeSequence(encodeOid(issuer), encodeOid(subject))),
  );
  return { oid: OID.policyMappings, critical: true, value };
}

export function policyConstraints(
  { requireExplicit, inhibitMapping }: {
    readonly requireExplicit?: number;
    readonly inhibitMapping?: number;
  },
): ExtensionSpec {
  const skip = (number: number, count: number | undefined) =>
    count === undefined
      ? new Uint8Array()
      : encodeElement(contextTag(number, false), Uint8Array.of(count));
  const value = encodeSequence(skip(0, requireExplicit), skip(1, inhibitMapping));
  return { oid: OID.policyConstraints, critical: true, value };
}

export function inhibitAnyPolicy(count: number): ExtensionSpec {
  return { oid: OID.inhibitAnyPolicy, critical: true, value: encodeInteger(count) };
}

export function extendedKeyUsage(...oids: readonly string[]): ExtensionSpec {
  return { oid: OID.extendedKeyUsage, value: encodeSequence(...oids.map(encodeOid)) };
}

/** Bits by their numbers, up to 7. */
export function keyUsage(...bits: readonly number[]): ExtensionSpec {
  return { oid: OID.keyUsage, critical: true, value: encodeNamedBits(bits) };
}

function defaultExtensions(spec: Spec, spki: Uint8Array, issuerKeyId: Uint8Array) {
  const { ca, dns = [] } = spec;
  const basicConstraints = encodeSequence(
    encodeBoolean(true),
    ca?.pathLength === undefined ? new Uint8Array() : encodeInteger(ca.pathLength),
  );
  const extensions: ExtensionSpec[] = [
    { oid: OID.basicConstraints, critical: true, value: ca ? basicConstraints : null },
    ca ? keyUsage(5, 6) : keyUsage(0),
    { oid: OID.subjectKeyId, value: encodeOctetString(keyIdOf(spki)) },
    {
      oid: OID.authorityKeyId,
      value: encodeSequence(encodeElement(contextTag(0, false), issuerKeyId)),
    },
  ];
  if (dns.length > 0) extensions.push(subjectAltName(...dns.map(generalName.dns)));
  return extensions;
}

function encodeExtension({ oid, critical = false, value }: ExtensionSpec): Uint8Array {
  if (value === null) return new Uint8Array();
  return encodeSequence(
    encodeOid(oid),
    critical ? encodeBoolean(true) : new Uint8Array(),
    encodeOctetString(value),
  );
}

let serials = 1;

/** Makes a certificate; without an issuer it is self-signed. */
export function certify(spec: Spec, issuer?: Holder): Holder {
  const key = spec.key ?? nextKey();
  const spki = spec.spki ?? encodeSpki(key);
  const signer = issuer?.key ?? key;
  const subject = typeof spec.subject === "string"
    ? nameOf([OID.commonName, spec.subject])
    : spec.subject;
  const issuerKeyId = issuer?.certificate.subjectKeyId ?? keyIdOf(encodeSpki(signer));
  const replaced = new Set(spec.extensions?.map(({ oid }) => oid));
  const extensions = [
    ...defaultExtensions(spec, spki, issuerKeyId).filter(({ oid }) => !replaced.has(oid)),
    ...spec.extensions ?? [],
  ];
  const algorithm = encodeSignatureAlgorithm(signer);
  const tbs = encodeSequence(
    encodeElement(contextTag(0, true), encodeInteger(2)),
    encodeElement(TAG.integer, spec.serial ?? Uint8Array.of(1, serials >> 8, serials++ & 0xff)),
    algorithm,
    spec.issuerName ?? issuer?.certificate.subject ?? subject,
    encodeSequence(
      encodeTime(spec.notBeforeMs ?? NOW_MS - DAY_MS),
      encodeTime(spec.notAfterMs ?? NOW_MS + DAY_MS),
    ),
    subject,
    spki,
    encodeElement(contextTag(3, true), encodeSequence(...extensions.map(encodeExtension))),
  );
  const der = signTbs(tbs, signer);
  return { key, certificate: parseCertificate(der) };
}

/** A chain from specs, root first; what comes back is leaf first, as validation takes it. */
export function makeChain(...specs: readonly Spec[]): readonly Certificate[] {
  const holders: Holder[] = [];
  for (const spec of specs) holders.push(certify(spec, holders[holders.length - 1]));
  return holders.map(({ certificate }) => certificate).toReversed();
}
