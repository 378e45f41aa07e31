/**
 * Makes certificates: the few shapes that this CA issues, written as DER directly and signed with
 * `node:crypto`. @peculiar/x509's generator costs 5 ms for what takes a hundredth of one here; it
 * and openssl are the referees in the tests.
 *
 * What is the same for every certificate of a CA ({@link Signer}) or of a profile
 * ({@link encodeFixedExtensions}) is encoded once. Nothing is judged here: `lib/ca` checks a
 * template, and lints the bytes before they are signed.
 */

import { createHash, type KeyObject, sign } from "node:crypto";
import { type Bytes, concatBytes, copyBytes, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { KEY_TYPES } from "./algorithms.ts";
import { type Certificate, OID } from "./certificate.ts";
import {
  contextTag,
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeNamedBits,
  encodeOid,
  encodeSequence,
  encodeTime,
  TAG,
} from "./der.ts";
import { DerWriter } from "./der_writer.ts";
import {
  encodeAuthorityKeyId,
  encodeExtension,
  encodeSignatureAlgorithm,
  keyBitsOf,
  keyIdOf,
} from "./encode.ts";
import { keyTypeOf } from "./keys.ts";

/** Names by form, as name constraints have them (RFC 5280, section 4.2.1.10). */
export interface NameSubtrees {
  /** Each name and everything below it. */
  readonly dns: readonly string[];
  /** Hosts of addresses. */
  readonly emails: readonly string[];
  /** Hosts of URIs. */
  readonly uris: readonly string[];
  /** Address and mask, 8 or 32 bytes. */
  readonly ranges: readonly Uint8Array[];
}

/** What a certificate shall say; see RFC 5280, section 4.2.1, for the extensions. */
export interface CertificateTemplate {
  /** Content of the serial number: 1 to 20 bytes, the first from 0x01 to 0x7f. */
  readonly serial: Uint8Array;
  /** Absent for an empty subject; the names are then marked critical (RFC 5280, section 4.1.2.6). */
  readonly commonName?: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** 4 or 16 bytes each. */
  readonly addresses?: readonly Uint8Array[];
  /** Object identifiers; none for a CA. */
  readonly extendedKeyUsage: readonly string[];
  /** Object identifiers of certificate policies. */
  readonly policies?: readonly string[];
  /** URLs of the issuer's CRL, its OCSP responder and its certificate. */
  readonly crl?: readonly string[];
  readonly ocsp?: readonly string[];
  readonly issuers?: readonly string[];
  /** Absent for an end-entity certificate. */
  readonly ca?: {
    readonly pathLength?: number;
    readonly constraints?: { readonly permitted: NameSubtrees; readonly excluded: NameSubtrees };
  };
}

/** A key that signs certificates, with what it puts into every one of them. */
export interface Signer {
  readonly key: KeyObject;
  readonly digest: "sha256" | "sha384" | null;
  /** AlgorithmIdentifier of its signatures. */
  readonly algorithm: Bytes;
  /** DER of its Name; absent for a root that signs itself. */
  readonly name?: Uint8Array;
  /** Its subject key identifier; absent for a root that signs itself. */
  readonly keyId?: Uint8Array;
  /** The whole extension that names its key. */
  readonly authorityKeyId?: Bytes;
}

/** @param issuer the CA's certificate and key; without a certificate, a root that signs itself */
export function prepareSigner(
  { key, certificate }: { readonly key: KeyObject; readonly certificate?: Certificate },
): Signer {
  const { digest } = KEY_TYPES[keyTypeOf(key)];
  const common = { key, digest, algorithm: encodeSignatureAlgorithm(key) };
  if (!certificate) return common;
  const keyId = certificate.subjectKeyId ?? keyIdOf(certificate.spki);
  return {
    ...common,
    name: certificate.subject,
    keyId,
    authorityKeyId: encodeExtension(OID.authorityKeyId, false, encodeAuthorityKeyId(keyId)),
  };
}

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** A Name of one common name or none; every name that we make has this form. */
export function encodeName(commonName: string | undefined): Bytes {
  if (commonName === undefined) return EMPTY_NAME;
  const tag = PRINTABLE.test(commonName) ? TAG.printableString : TAG.utf8String;
  return new DerWriter().bytes(utf8(commonName)).wrap(tag, 0).bytes(COMMON_NAME)
    .wrap(TAG.sequence, 0).wrap(TAG.set, 0).wrap(TAG.sequence, 0).take();
}

const EMPTY_NAME = encodeSequence();
const COMMON_NAME = encodeOid(OID.commonName);
const DNS_TAG = contextTag(2, false);
const URI_TAG = contextTag(6, false);
const IP_TAG = contextTag(7, false);

const encodeDns = (name: string) => encodeElement(DNS_TAG, utf8(name));
const encodeEmail = (name: string) => encodeElement(contextTag(1, false), utf8(name));
const encodeUri = (name: string) => encodeElement(URI_TAG, utf8(name));
const encodeIp = (bytes: Uint8Array) => encodeElement(IP_TAG, bytes);

function encodeSubtrees(number: number, { dns, emails, uris, ranges }: NameSubtrees): Bytes {
  const names = [
    ...dns.map(encodeDns),
    ...emails.map(encodeEmail),
    ...uris.map(encodeUri),
    ...ranges.map(encodeIp),
  ];
  // Neither list may be there and empty (RFC 5280, section 4.2.1.10: SIZE (1..MAX)).
  if (names.length === 0) return new Uint8Array();
  return encodeElement(contextTag(number, true), ...names.map((name) => encodeSequence(name)));
}

function encodeBasicConstraints(ca: CertificateTemplate["ca"]): Bytes {
  if (!ca) return encodeSequence();
  const { pathLength } = ca;
  return encodeSequence(
    encodeBoolean(true),
    ...(pathLength === undefined ? [] : [encodeInteger(pathLength)]),
  );
}

function encodeDistributionPoints(urls: readonly string[]): Bytes {
  // One point for each URL: several names of one point would promise the same CRL at each.
  const points = urls.map((url) => {
    const fullName = encodeElement(contextTag(0, true), encodeUri(url));
    return encodeSequence(encodeElement(contextTag(0, true), fullName));
  });
  return encodeSequence(...points);
}

function encodeAccess(method: string, urls: readonly string[]): readonly Bytes[] {
  return urls.map((url) => encodeSequence(encodeOid(method), encodeUri(url)));
}

/** Bits 5 and 6 (keyCertSign, cRLSign) of a CA, bit 0 (digitalSignature) of everybody else. */
const CA_USAGE = [5, 6];
const LEAF_USAGE = [0];

/** What of a template does not depend on whose certificate it is. */
export type FixedTemplate = Pick<
  CertificateTemplate,
  "ca" | "extendedKeyUsage" | "policies" | "crl" | "ocsp" | "issuers"
>;

/** The extensions that are the same for every certificate of a profile, one after the other. */
export function encodeFixedExtensions(
  { ca, extendedKeyUsage, policies = [], crl = [], ocsp = [], issuers = [] }: FixedTemplate,
): Bytes {
  const extensions = [
    encodeExtension(OID.basicConstraints, true, encodeBasicConstraints(ca)),
    encodeExtension(OID.keyUsage, true, encodeNamedBits(ca ? CA_USAGE : LEAF_USAGE)),
  ];
  const add = (oid: string, isCritical: boolean, value: Uint8Array) => {
    extensions.push(encodeExtension(oid, isCritical, value));
  };
  if (extendedKeyUsage.length > 0) {
    add(OID.extendedKeyUsage, false, encodeSequence(...extendedKeyUsage.map(encodeOid)));
  }
  if (ca?.constraints) {
    const { permitted, excluded } = ca.constraints;
    const value = encodeSequence(encodeSubtrees(0, permitted), encodeSubtrees(1, excluded));
    add(OID.nameConstraints, true, value);
  }
  if (policies.length > 0) {
    const information = policies.map((oid) => encodeSequence(encodeOid(oid)));
    add(OID.certificatePolicies, false, encodeSequence(...information));
  }
  if (crl.length > 0) add(OID.crlDistributionPoints, false, encodeDistributionPoints(crl));
  if (ocsp.length + issuers.length > 0) {
    const access = [
      ...encodeAccess(OID.ocsp, ocsp),
      ...encodeAccess(OID.caIssuers, issuers),
    ];
    add(OID.authorityInfoAccess, false, encodeSequence(...access));
  }
  return concatBytes(...extensions);
}

const VERSION_3 = encodeElement(contextTag(0, true), encodeInteger(2));
const EXTENSIONS_TAG = contextTag(3, true);
const SUBJECT_ALT_NAME = encodeOid(OID.subjectAltName);
const CRITICAL = encodeBoolean(true);
/** The extension up to the 20 bytes of the key id. */
const SUBJECT_KEY_ID_START = encodeExtension(
  OID.subjectKeyId,
  false,
  encodeElement(TAG.octetString, new Uint8Array(20)),
).slice(0, -20);

function writeNames(
  writer: DerWriter,
  { uris, dns, addresses = [], commonName }: CertificateTemplate,
): void {
  const end = writer.mark;
  // Last one first: see DerWriter.
  for (let i = addresses.length - 1; i >= 0; i--) {
    writer.element(IP_TAG, addresses[i] ?? EMPTY_NAME);
  }
  for (let i = dns.length - 1; i >= 0; i--) {
    const { mark } = writer;
    writer.ascii(dns[i] ?? "").wrap(DNS_TAG, mark);
  }
  for (let i = uris.length - 1; i >= 0; i--) {
    const { mark } = writer;
    writer.ascii(uris[i] ?? "").wrap(URI_TAG, mark);
  }
  if (writer.mark === end) return;
  writer.wrap(TAG.sequence, end).wrap(TAG.octetString, end);
  if (commonName === undefined) writer.bytes(CRITICAL);
  writer.bytes(SUBJECT_ALT_NAME).wrap(TAG.sequence, end);
}

/**
 * The part of a certificate that is signed (RFC 5280, section 4.1, TBSCertificate).
 * @param fixed what {@link encodeFixedExtensions} made of this template, if it was made before
 */
export function encodeTbs(
  template: CertificateTemplate,
  signer: Signer,
  fixed: Uint8Array = encodeFixedExtensions(template),
): Bytes {
  const { serial, commonName, notBeforeMs, notAfterMs, spki } = template;
  const subject = encodeName(commonName);
  const subjectKeyId = createHash("sha1").update(keyBitsOf(spki)).digest();
  const authorityKeyId = signer.authorityKeyId ??
    encodeExtension(OID.authorityKeyId, false, encodeAuthorityKeyId(subjectKeyId));
  const writer = new DerWriter();
  writeNames(writer, template);
  writer.bytes(authorityKeyId).bytes(subjectKeyId).bytes(SUBJECT_KEY_ID_START).bytes(fixed)
    .wrap(TAG.sequence, 0).wrap(EXTENSIONS_TAG, 0)
    .bytes(spki).bytes(subject);
  const { mark } = writer;
  return writer.bytes(encodeTime(notAfterMs)).bytes(encodeTime(notBeforeMs)).wrap(
    TAG.sequence,
    mark,
  )
    .bytes(signer.name ?? subject)
    .bytes(signer.algorithm)
    .element(TAG.integer, serial)
    .bytes(VERSION_3)
    .wrap(TAG.sequence, 0).take();
}

/** Signs exactly these bytes: a certificate. */
export function signCertificate(tbs: Uint8Array, { key, digest, algorithm }: Signer): Bytes {
  const signature = sign(digest, tbs, key);
  return new DerWriter().bytes(signature).byte(0).wrap(TAG.bitString, 0)
    .bytes(algorithm).bytes(tbs).wrap(TAG.sequence, 0).take();
}

/**
 * Makes and signs a certificate (RFC 5280, section 4.1), without a look at what it says.
 * @param issuer the CA's certificate and key; without a certificate, a self-signed root
 */
export function makeCertificate(
  template: CertificateTemplate,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Bytes {
  const signer = prepareSigner(issuer);
  return signCertificate(encodeTbs(template, signer), signer);
}

/**
 * Forms a serial number from random bytes: 20 bytes, positive (RFC 5280, section 4.1.2.2), 158 random
 * bits.
 */
export function formSerial(random: Uint8Array): Bytes {
  const serial = copyBytes(random);
  if (serial.length !== 20) {
    throw new PkiError("internal", "a serial number needs 20 random bytes");
  }
  serial[0] = (serial[0] ?? 0) & 0x3f | 0x40;
  return serial;
}
