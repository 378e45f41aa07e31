/**
 * What {@link verifyFolder} finds of a folder's CAs: root, issuing CAs, how they followed each other,
 * the root's revocation list, the log's key and the profiles; and by whom a certificate was signed.
 */

import { basename, join } from "node:path";
import * as v from "valibot";
import { encodeHex, isEqualBytes, parseBase64 } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";
import { parseProfiles } from "../ca/profile_config.ts";
import type { NoteKey } from "../log/note.ts";
import { successionSchema } from "../protocol/message_fields.ts";
import { type Files, openIfThere, readBytes } from "../store/disk.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { checkRoot, domainOf } from "../x509/chain.ts";
import { isCrlSignedBy, parseCrl } from "../x509/crl.ts";
import { encodeCertificatesPem, parsePemBlock } from "../x509/pem.ts";
import { isVouched } from "../x509/succession.ts";
import { isCaSignatureValid, parseVerifyingKey } from "../x509/verifying.ts";
import type { ServerFiles } from "./files.ts";
import { isForDomain, issuerName } from "./issuers.ts";
import { parseLogStatement } from "./log_key.ts";

/** Where findings go; see `verify.ts`. */
export interface CaReport {
  readonly error: (where: string, what: string) => void;
  readonly note: (where: string, what: string) => void;
  /** The text of a file that has to be there; otherwise it is reported. */
  readonly readText: (path: string) => Promise<string | undefined>;
}

export interface VerifyCasOptions extends CaReport {
  readonly files: Files;
  readonly paths: ServerFiles;
}

/** A CA whose certificate is good, with its key ready for many signatures. */
interface KnownCa {
  readonly certificate: Certificate;
  readonly key: ReturnType<typeof parseVerifyingKey>;
  readonly pem: string;
  readonly isOfDomain: boolean;
}

export interface VerifiedCas {
  readonly verifier: NoteKey | undefined;
  /** Files of keys that belong to a CA below the root. */
  readonly keys: readonly string[];
  /** Why a certificate of the log is not as it should be; `undefined` if it is, or nobody can tell. */
  readonly faultOf: (certificate: Certificate, profile: unknown) => string | undefined;
  /** PEM of the CA that has signed it; empty where it is unknown. */
  readonly issuerPemOf: (certificate: Certificate) => string;
}

/** Names of files in `issuers`, sorted; none where nobody ever made another CA. */
async function listIssuerFiles({ files, paths, error }: VerifyCasOptions) {
  try {
    return [...await files.list(paths.issuers)].sort();
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") error(paths.issuers, messageOf(cause));
    return [];
  }
}

function attempt<T>({ error }: CaReport, where: string, work: () => T): T | undefined {
  try {
    return work();
  } catch (cause) {
    error(where, messageOf(cause));
    return undefined;
  }
}

async function readRoot(options: VerifyCasOptions): Promise<Certificate | undefined> {
  const { paths: { rootCertificate }, readText } = options;
  const pem = await readText(rootCertificate);
  if (pem === undefined) return undefined;
  return attempt(options, rootCertificate, () => {
    const der = parsePemBlock(pem, ["CERTIFICATE"], "it");
    // A backup stays what it is when its root has ended.
    return checkRoot(der, parseCertificate(der).notBeforeMs);
  });
}

/** Reads a CA's certificate; what the root has not signed is reported, and is none. */
async function readCa(
  options: VerifyCasOptions,
  path: string,
  { root, domain }: { readonly root: Certificate | undefined; readonly domain: string | undefined },
): Promise<KnownCa | undefined> {
  const pem = await options.readText(path);
  if (pem === undefined) return undefined;
  return attempt(options, path, () => {
    const certificate = parseCertificate(parsePemBlock(pem, ["CERTIFICATE"], "it"));
    const of = domain ?? domainOf(certificate);
    if (root && !isSignedBy(certificate, root, parseVerifyingKey(root.spki))) {
      throw new Error("the root has not signed it");
    }
    return {
      certificate,
      key: parseVerifyingKey(certificate.spki),
      pem: encodeCertificatesPem([certificate.der]),
      isOfDomain: isForDomain(certificate, of),
    };
  });
}

/** Reads all that a folder says of its CAs. */
export async function verifyCas(options: VerifyCasOptions): Promise<VerifiedCas> {
  const { paths, error } = options;
  const root = await readRoot(options);
  const current = await readCa(options, paths.issuingCertificate, { root, domain: undefined });
  const domain = current && domainOf(current.certificate);
  const names = await listIssuerFiles(options);
  const others: KnownCa[] = [];
  for (const name of names.filter((file) => file.endsWith(".crt"))) {
    const path = join(paths.issuers, name);
    const ca = await readCa(options, path, { root, domain });
    if (!ca) continue;
    if (issuerName(ca.certificate) !== basename(name, ".crt")) {
      error(path, "it is not named after its fingerprint");
    }
    others.push(ca);
  }
  const cas = [...(current ? [current] : []), ...others];
  await checkSuccessions(options, names, { root, cas });
  if (root) await checkRootList(options, root, cas);
  if (domain !== undefined) await checkProfiles(options, domain);
  const byKeyId = new Map(cas.map((ca) => [hexOf(ca.certificate.subjectKeyId), ca]));
  const issuerOf = ({ authorityKeyId }: Certificate) => byKeyId.get(hexOf(authorityKeyId));
  return {
    verifier: root && await readVerifier(options, root),
    keys: [
      paths.issuingKey,
      ...names.filter((name) => /^[0-9a-f]{16}\.crt$/.test(name))
        .map((name) => join(paths.issuers, `${basename(name, ".crt")}.key`)),
    ],
    faultOf: (certificate, profile) => {
      if (!root || !current) return undefined;
      if (profile === "issuing") {
        return isSignedBy(certificate, root, parseVerifyingKey(root.spki))
          ? undefined
          : `the root has not signed the CA ${certificate.serial}`;
      }
      const issuer = issuerOf(certificate);
      if (!issuer || !isSignedBy(certificate, issuer.certificate, issuer.key)) {
        return `the issuing CA has not signed certificate ${certificate.serial}`;
      }
      return (profile === "user" || profile === "service") && !issuer.isOfDomain
        ? `a CA for other names has signed the ${profile}'s certificate ${certificate.serial}`
        : undefined;
    },
    issuerPemOf: (certificate) => issuerOf(certificate)?.pem ?? "",
  };
}

function hexOf(keyId: Uint8Array | undefined): string {
  return encodeHex(keyId ?? new Uint8Array());
}

async function readVerifier(
  options: VerifyCasOptions,
  root: Certificate,
): Promise<NoteKey | undefined> {
  const { paths: { logPublic }, readText } = options;
  const statement = await readText(logPublic);
  if (statement === undefined) return undefined;
  return attempt(options, logPublic, () => {
    const parsed = parseLogStatement(statement, root);
    if (!parsed) throw new Error("it is not a key that the root, or a CA under it, has signed");
    return parsed.verifier;
  });
}

/** That each CA that followed another is vouched for, by a CA of this folder. */
async function checkSuccessions(
  options: VerifyCasOptions,
  names: readonly string[],
  { root, cas }: { readonly root: Certificate | undefined; readonly cas: readonly KnownCa[] },
): Promise<void> {
  const known = new Set(cas.map(({ certificate }) => fingerprintOf(certificate.der)));
  for (const name of names.filter((file) => file.endsWith(".succession"))) {
    const path = join(options.paths.issuers, name);
    const text = await options.readText(path);
    if (text === undefined || !root) continue;
    attempt(options, path, () => {
      const succession = v.parse(successionSchema(), parseJson(text));
      const later = parseCertificate(parseBase64(succession.certificate));
      const isByOurs = succession.by === fingerprintOf(root.der) || known.has(succession.by);
      if (!isByOurs || !isVouched(succession, root)) {
        throw new Error("no CA of this folder has signed it");
      }
      if (issuerName(later) !== basename(name, ".succession")) {
        throw new Error("it is for another CA than it is named after");
      }
    });
  }
}

async function checkRootList(
  { files, paths: { rootList }, error, note }: VerifyCasOptions,
  root: Certificate,
  cas: readonly KnownCa[],
): Promise<void> {
  try {
    const file = await openIfThere(files, rootList, "read");
    if (!file) return; // its root may be somebody else's, or from before there were lists
    const bytes = await file.size();
    if (bytes > LIMITS.crlBytesMax) throw new PkiError("malformed", "it is too long");
    const list = parseCrl(await readBytes(file).finally(() => file.close()));
    if (!isCrlSignedBy(list, root)) throw new PkiError("malformed", "the root has not signed it");
    const lastEndMs = Math.max(...cas.map(({ certificate }) => certificate.notAfterMs));
    if ((list.nextUpdateMs ?? Infinity) < lastEndMs) {
      note(rootList, "it ends before a CA does; the next use of the root's key makes it anew");
    }
  } catch (cause) {
    error(rootList, messageOf(cause));
  }
}

async function checkProfiles(options: VerifyCasOptions, domain: string): Promise<void> {
  const { files, paths: { profiles }, readText } = options;
  const file = await openIfThere(files, profiles, "read").catch(() => undefined);
  if (!file) return;
  await file.close();
  const json = await readText(profiles);
  attempt(options, profiles, () => parseProfiles(json, domain));
}

function isSignedBy(
  { issuer, signatureAlgorithm: algorithm, tbs: data, signature }: Certificate,
  by: Certificate,
  key: ReturnType<typeof parseVerifyingKey>,
): boolean {
  return isEqualBytes(issuer, by.subject) &&
    isCaSignatureValid({ algorithm, data, signature, key });
}
