/**
 * The CAs of a data folder, as far as they are public: the one that certificates come from now, the
 * ones before it, and those for names outside of the trust domain. `DIR/issuing.crt` is the first,
 * `DIR/issuers/<name>.crt` are all others, each named after its fingerprint; the keys lie beside.
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { encodeHex } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { readText, storageError } from "../base/files.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { parsePemBlock } from "../x509/pem.ts";
import type { ServerFiles } from "./files.ts";

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
  /** For names outside of the trust domain; nothing that they sign is anybody's identity here. */
  readonly outside: readonly Certificate[];
}

/** All of them, the current one first. */
export function allIssuers({ current, earlier, outside }: Issuers): readonly Certificate[] {
  return [current, ...earlier, ...outside];
}

/** Those whose certificates are identities of the trust domain. */
export function domainIssuers({ current, earlier }: Issuers): readonly Certificate[] {
  return [current, ...earlier];
}

function readCertificate(path: string): Certificate {
  return parseCertificate(parsePemBlock(readText(path), ["CERTIFICATE"], path));
}

function permittedDns({ nameConstraints }: Certificate): readonly string[] {
  return (nameConstraints?.permitted ?? []).flatMap((name) =>
    name.type === "dns" ? [name.value] : []
  );
}

function listNames(folder: string): readonly string[] {
  try {
    return fs.readdirSync(folder).flatMap((file) => ISSUER_FILE.exec(file)?.[1] ?? []).sort();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return []; // there was never another CA
    throw storageError(`cannot read "${folder}"`, error);
  }
}

/** Reads the CAs of a data folder. @throws {PkiError} `storage`, `malformed`, `not-found` */
export function loadIssuers(files: ServerFiles, domain: string): Issuers {
  const current = readCertificate(files.issuingCertificate);
  const others = listNames(files.issuers)
    .map((name) => readCertificate(issuerFiles(files, name).certificate))
    .filter((other) => issuerName(other) !== issuerName(current));
  const isOfDomain = (other: Certificate) => {
    const names = permittedDns(other);
    return names.length === 1 && names[0] === domain;
  };
  return {
    current,
    earlier: others.filter(isOfDomain).toSorted((a, b) => b.notBeforeMs - a.notBeforeMs),
    outside: others.filter((other) => !isOfDomain(other)),
  };
}
