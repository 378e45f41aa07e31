/**
 * Makes certificates: the few shapes that this CA issues, written as DER directly and signed with
 * `node:crypto`. @peculiar/x509's generator costs 5 ms for what takes a twentieth of one here; it
 * and openssl are the referees in the tests.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, copyBytes, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Certificate, OID } from "./certificate.ts";
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
} from "./der.ts";
import {
  encodeAuthorityKeyId,
  encodeExtension,
  encodeSignatureAlgorithm,
  keyIdOf,
  signTbs,
} from "./encode.ts";

/** What a certificate shall say; see RFC 5280, section 4.2.1, for the extensions. */
export interface CertificateTemplate {
  /** Content of the serial number: 1 to 20 bytes, the first from 0x01 to 0x7f. */
  readonly serial: Uint8Array;
  readonly commonName: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** Object identifiers; none for a CA. */
  readonly extendedKeyUsage: readonly string[];
  /** Absent for an end-entity certificate. */
  readonly ca?: {
    readonly pathLength?: number;
    /** Names below this domain only, and no addresses. */
    readonly permittedDomain?: string;
  };
}

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** A Name of one common name; every name that we make has this form. */
function encodeName(commonName: string): Bytes {
  const tag = PRINTABLE.test(commonName) ? TAG.printableString : TAG.utf8String;
  const attribute = encodeSequence(encodeOid(OID.commonName), encodeElement(tag, utf8(commonName)));
  return encodeSequence(encodeElement(TAG.set, attribute));
}

const encodeDns = (name: string) => encodeElement(contextTag(2, false), utf8(name));
const encodeEmail = (name: string) => encodeElement(contextTag(1, false), utf8(name));
const encodeUri = (name: string) => encodeElement(contextTag(6, false), utf8(name));
const encodeIpRange = (range: Uint8Array) => encodeElement(contextTag(7, false), range);

/** Every IPv4 and every IPv6 address, as address and mask (RFC 5280, section 4.2.1.10). */
const ALL_ADDRESSES = [new Uint8Array(8), new Uint8Array(32)];

/** Permitted: DNS and e-mail names of the domain. Excluded: every address. */
function encodeNameConstraints(domain: string): Bytes {
  const permitted = [encodeDns(domain), encodeEmail(domain)].map((name) => encodeSequence(name));
  const excluded = ALL_ADDRESSES.map((range) => encodeSequence(encodeIpRange(range)));
  return encodeSequence(
    encodeElement(contextTag(0, true), ...permitted),
    encodeElement(contextTag(1, true), ...excluded),
  );
}

function encodeBasicConstraints(ca: CertificateTemplate["ca"]): Bytes {
  if (!ca) return encodeSequence();
  const { pathLength } = ca;
  return encodeSequence(
    encodeBoolean(true),
    ...(pathLength === undefined ? [] : [encodeInteger(pathLength)]),
  );
}

/** Bits 5 and 6 (keyCertSign, cRLSign) of a CA, bit 0 (digitalSignature) of everybody else. */
const CA_USAGE = [5, 6];
const LEAF_USAGE = [0];

function encodeExtensions(template: CertificateTemplate, issuerKeyId: Uint8Array): Bytes {
  const { ca, uris, dns, extendedKeyUsage, spki } = template;
  const names = [...uris.map(encodeUri), ...dns.map(encodeDns)];
  const extensions = [
    encodeExtension(OID.basicConstraints, true, encodeBasicConstraints(ca)),
    encodeExtension(OID.keyUsage, true, encodeNamedBits(ca ? CA_USAGE : LEAF_USAGE)),
    ...(extendedKeyUsage.length > 0
      ? [
        encodeExtension(
          OID.extendedKeyUsage,
          false,
          encodeSequence(...extendedKeyUsage.map(encodeOid)),
        ),
      ]
      : []),
    encodeExtension(OID.subjectKeyId, false, encodeOctetString(keyIdOf(spki))),
    encodeExtension(OID.authorityKeyId, false, encodeAuthorityKeyId(issuerKeyId)),
    ...(names.length > 0
      ? [encodeExtension(OID.subjectAltName, false, encodeSequence(...names))]
      : []),
    ...(ca?.permittedDomain
      ? [encodeExtension(OID.nameConstraints, true, encodeNameConstraints(ca.permittedDomain))]
      : []),
  ];
  return encodeElement(contextTag(3, true), encodeSequence(...extensions));
}

const VERSION_3 = encodeElement(contextTag(0, true), encodeInteger(2));

/**
 * Makes and signs a certificate (RFC 5280, section 4.1).
 * @param issuer the CA's certificate and key; without a certificate, a self-signed root
 */
export function makeCertificate(
  template: CertificateTemplate,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Bytes {
  const { serial, commonName, notBeforeMs, notAfterMs, spki } = template;
  const subject = encodeName(commonName);
  const issuerKeyId = issuer.certificate?.subjectKeyId ?? keyIdOf(issuer.certificate?.spki ?? spki);
  const tbs = encodeSequence(
    VERSION_3,
    encodeElement(TAG.integer, serial),
    encodeSignatureAlgorithm(issuer.key),
    issuer.certificate?.subject ?? subject,
    encodeSequence(encodeTime(notBeforeMs), encodeTime(notAfterMs)),
    subject,
    spki,
    encodeExtensions(template, issuerKeyId),
  );
  return signTbs(tbs, issuer.key);
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
