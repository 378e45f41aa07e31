/**
 * A CA for tests, made as the program makes its own, and certificates that deviate from its profiles
 * in any way. What deviates is signed with @peculiar/x509's generator directly.
 */

import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { NameConstraints } from "@peculiar/asn1-x509";
import { type Bytes, copyBytes, encodeHex } from "../../lib/base/bytes.ts";
import { issueCertificate, prepareCertificate, type ProfileName } from "../../lib/ca/issue.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { type Certificate, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import type { JudgeOptions } from "../../lib/x509/chain.ts";
import { contextTag, encodeElement, encodeSequence } from "../../lib/x509/der.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { importKeyPair, x509 } from "../../lib/x509/provider.ts";

export const DOMAIN = "pki.internal";
/** When everything here is made: the clock of these tests. */
export const NOW_MS = Date.UTC(2026, 10, 1, 12);
export const HOUR_MS = 3_600_000;

/** A certificate with its key: a CA, or an end entity. */
export interface Holder {
  readonly key: KeyObject;
  readonly certificate: Certificate;
}

export interface TestCa {
  readonly root: Holder;
  readonly issuing: Holder;
  /** What {@link judgeUser} and {@link judgeServer} are asked with. */
  readonly judging: JudgeOptions;
}

export interface TestCaOptions {
  readonly domain?: string;
  readonly keys?: { readonly root: KeyObject; readonly issuing: KeyObject };
}

/** A certificate of one of the program's profiles. */
export async function issue(
  profile: ProfileName,
  { key, issuer, id, domain = DOMAIN }: {
    readonly key: KeyObject;
    readonly issuer?: Holder;
    readonly id?: string;
    readonly domain?: string;
  },
): Promise<Holder> {
  const template = prepareCertificate({
    profile,
    domain,
    spki: encodeSpki(key),
    nowMs: NOW_MS,
    random: randomBytes(20),
    ...(id === undefined ? {} : { id }),
    ...(issuer ? { issuerNotAfterMs: issuer.certificate.notAfterMs } : {}),
  });
  const der = await issueCertificate(template, issuer ?? { key });
  return { key, certificate: parseCertificate(der) };
}

/** A root and an issuing CA as `serve` makes them. */
export async function makeTestCa(
  { domain = DOMAIN, keys }: TestCaOptions = {},
): Promise<TestCa> {
  const [rootKey, issuingKey] = keys
    ? [keys.root, keys.issuing]
    : await Promise.all([generatePrivateKey("p256"), generatePrivateKey("p256")]);
  const root = await issue("root", { key: rootKey, domain });
  const issuing = await issue("issuing", { key: issuingKey, issuer: root, domain });
  return {
    root,
    issuing,
    judging: { anchor: { root: root.certificate, domain }, nowMs: NOW_MS },
  };
}

/** A user's certificate and key, ready to be shown. */
export async function makeUser(
  ca: TestCa,
  { id, keyType = "p256" }: { readonly id: string; readonly keyType?: KeyType },
): Promise<Holder & { readonly shown: readonly Bytes[] }> {
  const key = await generatePrivateKey(keyType);
  const { domain } = ca.judging.anchor;
  const user = await issue("user", { key, issuer: ca.issuing, id, domain });
  return { ...user, shown: [user.certificate.der, ca.issuing.certificate.der] };
}

type GeneralNameJson = { readonly type: "url" | "dns" | "email" | "ip"; readonly value: string };

/** Everything that a certificate can say; `null` leaves an extension out. */
export interface Draft {
  readonly key: KeyObject;
  readonly commonName: string;
  /** Instead of the issuer's common name. */
  readonly issuerName?: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly basicConstraints:
    | { readonly isCa: boolean; readonly pathLength?: number; readonly isCritical: boolean }
    | null;
  readonly keyUsage: number | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly names: readonly GeneralNameJson[];
  /** In hex; `undefined` for the right one. */
  readonly subjectKeyId?: string | null;
  readonly authorityKeyId?: string | null;
  readonly more: readonly x509.Extension[];
}

/** A good user's certificate, to be deviated from. */
export function draftUser(id: string, key: KeyObject): Draft {
  return {
    key,
    commonName: id,
    notBeforeMs: NOW_MS - HOUR_MS,
    notAfterMs: NOW_MS + HOUR_MS,
    basicConstraints: { isCa: false, isCritical: true },
    keyUsage: x509.KeyUsageFlags.digitalSignature,
    extendedKeyUsage: [OID.clientAuth, OID.serverAuth],
    names: [
      { type: "url", value: `spiffe://${DOMAIN}/user/${id}` },
      { type: "dns", value: `${id}.user.${DOMAIN}` },
    ],
    more: [],
  };
}

/** A good server's certificate. */
export function draftServer(key: KeyObject): Draft {
  return {
    ...draftUser("server", key),
    commonName: `server.${DOMAIN}`,
    extendedKeyUsage: [OID.serverAuth],
    names: [
      { type: "url", value: `spiffe://${DOMAIN}/server` },
      { type: "dns", value: `server.${DOMAIN}` },
    ],
  };
}

/** A good issuing CA, but for name constraints (give them in `more`). */
export function draftIssuing(key: KeyObject): Draft {
  return {
    ...draftUser("issuing", key),
    commonName: `${DOMAIN} issuing CA`,
    basicConstraints: { isCa: true, pathLength: 0, isCritical: true },
    keyUsage: x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
    extendedKeyUsage: null,
    names: [],
  };
}

/** A good root. */
export function draftRoot(key: KeyObject): Draft {
  return {
    ...draftIssuing(key),
    commonName: `${DOMAIN} root`,
    basicConstraints: { isCa: true, pathLength: 1, isCritical: true },
  };
}

async function keyIdOf(key: KeyObject): Promise<string> {
  const { keys } = await importKeyPair(key);
  return encodeHex(
    new Uint8Array(await (await x509.PublicKey.create(keys.publicKey)).getKeyIdentifier()),
  );
}

/** Signs a draft; without an issuer's certificate it is self-signed. */
export async function signDraft(
  draft: Draft,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Promise<Bytes> {
  const { algorithm, keys } = await importKeyPair(issuer.key);
  const { basicConstraints, keyUsage, extendedKeyUsage, names } = draft;
  const subjectKeyId = draft.subjectKeyId === undefined
    ? await keyIdOf(draft.key)
    : draft.subjectKeyId;
  const issuerKeyId = issuer.certificate?.subjectKeyId;
  const authorityKeyId = draft.authorityKeyId === undefined
    ? issuerKeyId ? encodeHex(issuerKeyId) : await keyIdOf(issuer.key)
    : draft.authorityKeyId;
  const extensions: x509.Extension[] = [];
  if (basicConstraints) {
    const { isCa, pathLength, isCritical } = basicConstraints;
    extensions.push(new x509.BasicConstraintsExtension(isCa, pathLength, isCritical));
  }
  if (keyUsage !== null) extensions.push(new x509.KeyUsagesExtension(keyUsage, true));
  if (extendedKeyUsage) {
    extensions.push(new x509.ExtendedKeyUsageExtension([...extendedKeyUsage], false));
  }
  if (subjectKeyId !== null) {
    extensions.push(new x509.SubjectKeyIdentifierExtension(subjectKeyId, false));
  }
  if (authorityKeyId !== null) {
    extensions.push(new x509.AuthorityKeyIdentifierExtension(authorityKeyId, false));
  }
  if (names.length > 0) {
    extensions.push(new x509.SubjectAlternativeNameExtension([...names], false));
  }
  const issuerName = draft.issuerName ?? issuer.certificate?.commonNames[0] ?? draft.commonName;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: "01",
    subject: [{ CN: [draft.commonName] }],
    issuer: [{ CN: [issuerName] }],
    notBefore: new Date(draft.notBeforeMs),
    notAfter: new Date(draft.notAfterMs),
    publicKey: new x509.PublicKey(encodeSpki(createPublicKey(draft.key))),
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [...extensions, ...draft.more],
  });
  return copyBytes(new Uint8Array(certificate.rawData));
}

/** An extension that nobody knows. */
export function unknownExtension({ isCritical }: { readonly isCritical: boolean }): x509.Extension {
  return new x509.Extension("1.3.6.1.4.1.99999.1", isCritical, Uint8Array.of(5, 0));
}

/** NameConstraints from GeneralNames in DER (implicit tags 1 e-mail, 2 DNS, 6 URI, 7 IP). */
export function nameConstraints(
  { permitted = [], excluded = [] }: {
    readonly permitted?: readonly Uint8Array[];
    readonly excluded?: readonly Uint8Array[];
  },
): x509.Extension {
  const subtrees = (number: number, names: readonly Uint8Array[]) =>
    names.length === 0
      ? new Uint8Array()
      : encodeElement(contextTag(number, true), ...names.map((name) => encodeSequence(name)));
  const value = encodeSequence(subtrees(0, permitted), subtrees(1, excluded));
  AsnConvert.parse(value, NameConstraints); // what it says is well formed
  return new x509.Extension(OID.nameConstraints, true, value);
}

/** These bytes with one bit flipped. */
export function flipBit(bytes: Uint8Array, index: number, bit = 0): Bytes {
  const flipped = copyBytes(bytes);
  const at = index < 0 ? bytes.length + index : index;
  flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
  return flipped;
}
