/** Makes certificates and certification requests, with @peculiar/x509. */

import type { KeyObject } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import * as asn1 from "@peculiar/asn1-x509";
import { type Bytes, copyBytes, encodeHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Certificate, OID } from "./certificate.ts";
import { importKeyPair, x509 } from "./provider.ts";

/** What a certificate shall say; see RFC 5280, section 4.2.1, for the extensions. */
export interface CertificateTemplate {
  /** Content of the serial number: 1 to 20 bytes, the first from 0x01 to 0x7f. */
  readonly serial: Uint8Array;
  readonly commonName: string;
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

/** A Name of one common name; every name that we make has this form. */
function nameOf(commonName: string) {
  return [{ CN: [commonName] }];
}

const IP_ALL = [new Uint8Array(8), new Uint8Array(32)];

/** Permitted: DNS and e-mail names of the domain. Excluded: every IPv4 and IPv6 address. */
function nameConstraintsExtension(domain: string) {
  const subtree = (name: ConstructorParameters<typeof asn1.GeneralName>[0]) =>
    new asn1.GeneralSubtree({ base: new asn1.GeneralName(name) });
  const constraints = new asn1.NameConstraints({
    permittedSubtrees: new asn1.GeneralSubtrees([
      subtree({ dNSName: domain }),
      subtree({ rfc822Name: domain }),
    ]),
    excludedSubtrees: new asn1.GeneralSubtrees(
      IP_ALL.map((range) => new asn1.GeneralSubtree({ base: rawIpRange(range) })),
    ),
  });
  return new x509.Extension(OID.nameConstraints, true, AsnConvert.serialize(constraints));
}

/** An iPAddress of a constraint: address and mask, 8 or 32 bytes (RFC 5280, section 4.2.1.10). */
function rawIpRange(range: Uint8Array): asn1.GeneralName {
  return AsnConvert.parse(Uint8Array.of(0x87, range.length, ...range), asn1.GeneralName);
}

async function keyId(spki: Uint8Array): Promise<string> {
  return encodeHex(new Uint8Array(await new x509.PublicKey(copyBytes(spki)).getKeyIdentifier()));
}

/**
 * Makes and signs a certificate.
 * @param issuer the CA's certificate and key; without a certificate, a self-signed root
 */
export async function makeCertificate(
  template: CertificateTemplate,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Promise<Bytes> {
  const { algorithm, keys } = await importKeyPair(issuer.key);
  const { ca, uris, dns } = template;
  const usage = ca
    ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
    : x509.KeyUsageFlags.digitalSignature;
  const issuerSpki = issuer.certificate?.spki ?? template.spki;
  const names = [
    ...uris.map((value) => ({ type: "url" as const, value })),
    ...dns.map((value) => ({ type: "dns" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: encodeHex(template.serial),
    subject: nameOf(template.commonName),
    issuer: nameOf(issuer.certificate?.commonNames[0] ?? template.commonName),
    notBefore: new Date(template.notBeforeMs),
    notAfter: new Date(template.notAfterMs),
    publicKey: new x509.PublicKey(copyBytes(template.spki)),
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(ca !== undefined, ca?.pathLength, true),
      new x509.KeyUsagesExtension(usage, true),
      ...(template.extendedKeyUsage.length > 0
        ? [new x509.ExtendedKeyUsageExtension([...template.extendedKeyUsage], false)]
        : []),
      new x509.SubjectKeyIdentifierExtension(await keyId(template.spki), false),
      new x509.AuthorityKeyIdentifierExtension(await keyId(issuerSpki), false),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names, false)] : []),
      ...(ca?.permittedDomain ? [nameConstraintsExtension(ca.permittedDomain)] : []),
    ],
  });
  return copyBytes(new Uint8Array(certificate.rawData));
}

/** Makes a certification request for `CN=<id>`, signed by the key that shall be certified. */
export async function makeCsr(key: KeyObject, id: string): Promise<Bytes> {
  const { algorithm, keys } = await importKeyPair(key);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(id),
    keys,
    signingAlgorithm: algorithm,
  });
  return copyBytes(new Uint8Array(csr.rawData));
}

/**
 * Forms a serial number from random bytes: 20 bytes, positive (RFC 5280, section 4.1.2.2), 152 random
 * bits and more.
 */
export function formSerial(random: Uint8Array): Bytes {
  const serial = copyBytes(random);
  if (serial.length !== 20) throw new PkiError("internal", "a serial number needs 20 random bytes");
  serial[0] = (serial[0] ?? 0) & 0x3f | 0x40;
  return serial;
}
