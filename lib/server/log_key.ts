/**
 * The log's own key: Ed25519, made once and certified by the root, so that a client that has pinned
 * the root can tell the log's checkpoints from anybody else's. Where the root's key is with somebody
 * else, the issuing CA certifies it, which clients have pinned as well. `log.pub` holds what is
 * public, a line each: the verifier key (C2SP signed-note), the signature over it and, where that is
 * an issuing CA's, the CA's certificate.
 */

import type { KeyObject } from "node:crypto";
import { encodeBase64, isEqualBytes, parseBase64, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { readText, writeFileAtomic } from "../base/files.ts";
import { encodeVerifierKey, type NoteKey, parseVerifierKey } from "../log/note.ts";
import { formatOrigin, parseOrigin } from "../log/origin.ts";
import type { LogSigner } from "../store/signed_log.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  encryptPrivateKey,
  generatePrivateKey,
  isLabelledSignatureValid,
  parsePublicKey,
  signLabelled,
} from "../x509/keys.ts";
import { judgeIssuing } from "../x509/chain.ts";
import { parsePemBlock } from "../x509/pem.ts";
import type { ServerFiles } from "./files.ts";

const LABEL = "pki/1 log key";

/** What `HELLO` says of the log. */
export interface LogStatement {
  /** Verifier key: name (the log's origin), id, key. */
  readonly key: string;
  /** A CA's signature over it, in base64. */
  readonly signature: string;
  /** The issuing CA whose signature it is, DER in base64; absent where it is the root's. */
  readonly issuer?: string;
}

/** A CA that certifies the log's key. */
export interface LogKeySigner {
  readonly key: KeyObject;
  /** Absent for the root. */
  readonly issuing?: Certificate;
}

/** What of the log's key is public. */
export interface LogPublic {
  readonly verifier: NoteKey;
  readonly statement: LogStatement;
}

export interface LogKey extends LogSigner {
  readonly statement: LogStatement;
}

export interface MakeLogKeyOptions {
  readonly root: Certificate;
  readonly signer: LogKeySigner;
  readonly domain: string;
  /** 1 for a new log, one more for each time that it was started anew. */
  readonly generation: number;
  readonly passphrase: string;
}

/** Makes a key and has a CA sign it; replaces the one that is there. @throws {PkiError} `storage` */
export async function makeLogKey(files: ServerFiles, options: MakeLogKeyOptions): Promise<void> {
  const { root, signer, domain, generation, passphrase } = options;
  const key = await generatePrivateKey("ed25519");
  const rootFingerprint = fingerprintOf(root.der);
  const verifierKey = encodeVerifierKey(formatOrigin({ domain, rootFingerprint, generation }), key);
  const pem = await encryptPrivateKey(key, passphrase);
  // The public part last: without it there is no key yet.
  writeFileAtomic(files.logKey, pem);
  certifyLogKey(files, verifierKey, signer);
}

/** Has a CA sign the log's key and keeps that in place of what was signed before. */
export function certifyLogKey(
  files: ServerFiles,
  verifierKey: string,
  { key, issuing }: LogKeySigner,
): void {
  const signature = encodeBase64(signLabelled(key, LABEL, utf8(verifierKey)));
  const lines = [verifierKey, signature, ...(issuing ? [encodeBase64(issuing.der)] : [])];
  writeFileAtomic(files.logPublic, `${lines.join("\n")}\n`);
}

/** The public part. @throws {PkiError} `storage` if it is damaged or not signed by this root */
export function loadLogStatement(files: ServerFiles, root: Certificate): LogPublic {
  const parsed = parseLogStatement(readText(files.logPublic), root);
  if (parsed) return parsed;
  throw damaged(files, `"${files.logPublic}" is not a key that a CA of this root has signed`);
}

/** What `log.pub` says; `undefined` if it is damaged or not signed by this root. */
export function parseLogStatement(text: string, root: Certificate): LogPublic | undefined {
  const [key = "", signature = "", issuer = ""] = text.split("\n");
  try {
    const verifier = parseVerifierKey(key);
    const signer = issuer === "" ? root : readSigner(issuer, { root, origin: verifier.name });
    const isSigned = isLabelledSignatureValid({
      key: parsePublicKey(signer.spki),
      signature: parseBase64(signature),
      label: LABEL,
      parts: [utf8(key)],
    });
    const statement = { key, signature, ...(issuer === "" ? {} : { issuer }) };
    return isSigned ? { verifier, statement } : undefined;
  } catch {
    return undefined; // One answer for every way in which it is not what we wrote.
  }
}

/**
 * The issuing CA that has signed: it is of this root and for the log's trust domain. Whether it has
 * ended since does not matter here; clients judge it by what they have pinned.
 */
function readSigner(
  issuer: string,
  { root, origin }: { readonly root: Certificate; readonly origin: string },
): Certificate {
  const der = parseBase64(issuer);
  const anchor = { root, domain: parseOrigin(origin).domain };
  return judgeIssuing(der, { anchor, nowMs: parseCertificate(der).notBeforeMs });
}

/** Both parts. @throws {PkiError} `storage`, `refused` for a wrong passphrase */
export async function loadLogKey(
  files: ServerFiles,
  { root, passphrase }: { readonly root: Certificate; readonly passphrase: string },
): Promise<LogKey> {
  const { verifier, statement } = loadLogStatement(files, root);
  const key = await decryptPrivateKey(readText(files.logKey), passphrase, files.logKey);
  if (!isEqualBytes(encodeSpki(key), encodeSpki(verifier.key))) {
    throw damaged(files, `"${files.logKey}" is not the key of "${files.logPublic}"`);
  }
  return { key, verifier, statement };
}

function damaged({ logKey, logPublic }: ServerFiles, why: string): PkiError {
  return new PkiError("storage", `cannot sign the log: ${why}`, {
    hint: `put "${logKey}" and "${logPublic}" back, from the same backup`,
  });
}

/** Which generation a verifier key's log is. */
export function generationOf({ name }: NoteKey): number {
  return parseOrigin(name).generation;
}

/** The root of a data folder, as it is written there. */
export function loadRoot(files: ServerFiles): Certificate {
  const pem = readText(files.rootCertificate);
  return parseCertificate(parsePemBlock(pem, ["CERTIFICATE"], files.rootCertificate));
}
