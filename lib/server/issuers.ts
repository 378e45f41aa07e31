/**
 * The CAs of a data folder, as far as they are public: the one that certificates come from now, the
 * ones before it, and those for names outside of the trust domain. `DIR/issuing.crt` is the first,
 * `DIR/issuers/<name>.crt` are all others, each named after its fingerprint; the keys lie beside.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { encodeHex, isEqualBytes } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { fileExists, readText, storageError } from "../base/files.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { decryptPrivateKey, encodeSpki } from "../x509/keys.ts";
import { parsePemBlock } from "../x509/pem.ts";
import type { ServerFiles } from "./files.ts";
import { loadRootList } from "./root_list.ts";

/** How many characters of its fingerprint name a CA's files. */
const NAME_CHARACTERS = 16;
const ISSUER_FILE = /^([0-9a-f]{16})\.crt$/;

/** What the files of a CA are called, without their ending. */
export function issuerName(certificate: Certificate): string {
  return fingerprintOf(certificate.der).slice(0, NAME_CHARACTERS);
}

/** Where a CA that is not, or no longer, the current one has its files. */
export function issuerFiles({ issuers }: ServerFiles, name: string) {
  return {
    certificate: join(issuers, `${name}.crt`),
    key: join(issuers, `${name}.key`),
    /** How the CA before it vouched for it; absent for those that were never current. */
    succession: join(issuers, `${name}.succession`),
    list: join(issuers, `${name}.crl`),
  };
}

/** The key that a certificate's signature is verified with, by which its issuer is found. */
export function keyIdHex({ subjectKeyId }: Certificate): string {
  if (!subjectKeyId) throw new PkiError("storage", "cannot use a CA without a key identifier");
  return encodeHex(subjectKeyId);
}

export interface Issuers {
  /** That new certificates of the trust domain come from. */
  readonly current: Certificate;
  /** That were current before, and answer for what they have signed; the newest first. */
  readonly earlier: readonly Certificate[];
  /**
   * For names outside of the trust domain, the newest first, which is the one that signs where several
   * are for the same names; nothing that they sign is anybody's identity here.
   */
  readonly outside: readonly Certificate[];
  /** Serial numbers of those that the root has revoked. */
  readonly revoked: ReadonlySet<string>;
}

/** All of them, the current one first. */
export function allIssuers({ current, earlier, outside }: Issuers): readonly Certificate[] {
  return [current, ...earlier, ...outside];
}

/** Those whose certificates are identities of the trust domain. */
export function domainIssuers({ current, earlier, revoked }: Issuers): readonly Certificate[] {
  return [current, ...earlier].filter(({ serial }) => !revoked.has(serial));
}

function readCertificate(path: string): Certificate {
  return parseCertificate(parsePemBlock(readText(path), ["CERTIFICATE"], path));
}

function permittedDns({ nameConstraints }: Certificate): readonly string[] {
  return (nameConstraints?.permitted ?? []).flatMap((name) =>
    name.type === "dns" ? [name.value] : []
  );
}

/** The issuing CA that new certificates come from. @throws {PkiError} `storage`, `not-found` */
export function loadIssuing({ issuingCertificate }: ServerFiles): Certificate {
  return readCertificate(issuingCertificate);
}

/**
 * The key of the current issuing CA. After a rotation that was cut short `issuing.key` may be of
 * another CA than `issuing.crt`; then the key is still where it was made or put aside.
 * @throws {PkiError} `refused` for a wrong passphrase, `storage` where it is lost
 */
export async function openIssuingKey(
  files: ServerFiles,
  issuing: Certificate,
  passphrase: string,
): Promise<KeyObject> {
  return await openFirstKey([files.issuingKey, asideKey(files, issuing)], issuing, passphrase);
}

/** The key of a CA that is not the current one. @throws {PkiError} as {@link openIssuingKey} */
export async function openOtherKey(
  files: ServerFiles,
  certificate: Certificate,
  passphrase: string,
): Promise<KeyObject> {
  return await openFirstKey([asideKey(files, certificate)], certificate, passphrase);
}

function asideKey(files: ServerFiles, certificate: Certificate): string {
  return issuerFiles(files, issuerName(certificate)).key;
}

async function openFirstKey(
  paths: readonly string[],
  certificate: Certificate,
  passphrase: string,
): Promise<KeyObject> {
  const [due = "", ...others] = paths;
  for (const path of [due, ...others.filter(fileExists)]) {
    const key = await decryptPrivateKey(readText(path), passphrase, path);
    if (isEqualBytes(encodeSpki(createPublicKey(key)), certificate.spki)) return key;
  }
  throw new PkiError("storage", `cannot use a CA: "${due}" is not its key`, {
    hint: "put the file back, or the whole folder, from a backup (pki restore)",
  });
}

function listNames(folder: string): readonly string[] {
  try {
    return fs.readdirSync(folder).flatMap((file) => ISSUER_FILE.exec(file)?.[1] ?? []).sort();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return []; // there was never another CA
    throw storageError(`cannot read "${folder}"`, error);
  }
}

/** Whether a CA is an issuing CA of the trust domain: constrained to it and nothing else. */
export function isForDomain(issuer: Certificate, domain: string): boolean {
  const names = permittedDns(issuer);
  return names.length === 1 && names[0] === domain;
}

/** Reads the CAs of a data folder. @throws {PkiError} `storage`, `malformed`, `not-found` */
export function loadIssuers(files: ServerFiles, domain: string): Issuers {
  const current = readCertificate(files.issuingCertificate);
  const list = loadRootList(files, readCertificate(files.rootCertificate));
  const others = listNames(files.issuers)
    .map((name) => readCertificate(issuerFiles(files, name).certificate))
    .filter((other) => issuerName(other) !== issuerName(current))
    .toSorted((a, b) => b.notBeforeMs - a.notBeforeMs);
  return {
    current,
    earlier: others.filter((other) => isForDomain(other, domain)),
    outside: others.filter((other) => !isForDomain(other, domain)),
    revoked: new Set([...list?.entries() ?? []].map(({ serial }) => serial)),
  };
}
