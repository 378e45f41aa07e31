/**
 * The log's own key: Ed25519, made once and certified by the root, so that a client that has pinned
 * the root can tell the log's checkpoints from anybody else's. `log.pub` holds what is public: the
 * verifier key (C2SP signed-note), and below it the root's signature over it.
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
import { parsePemBlock } from "../x509/pem.ts";
import type { ServerFiles } from "./files.ts";

const LABEL = "pki/1 log key";

/** What `HELLO` says of the log. */
export interface LogStatement {
  /** Verifier key: name (the log's origin), id, key. */
  readonly key: string;
  /** The root's signature over it, in base64. */
  readonly signature: string;
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
  readonly rootKey: KeyObject;
  readonly domain: string;
  /** 1 for a new log, one more for each time that it was started anew. */
  readonly generation: number;
  readonly passphrase: string;
}

/** Makes a key and has the root sign it; replaces the one that is there. @throws {PkiError} `storage` */
export async function makeLogKey(files: ServerFiles, options: MakeLogKeyOptions): Promise<void> {
  const { root, rootKey, domain, generation, passphrase } = options;
  const key = await generatePrivateKey("ed25519");
  const rootFingerprint = fingerprintOf(root.der);
  const verifierKey = encodeVerifierKey(formatOrigin({ domain, rootFingerprint, generation }), key);
  const signature = encodeBase64(signLabelled(rootKey, LABEL, utf8(verifierKey)));
  const pem = await encryptPrivateKey(key, passphrase);
  // The public part last: without it there is no key yet.
  writeFileAtomic(files.logKey, pem);
  writeFileAtomic(files.logPublic, `${verifierKey}\n${signature}\n`);
}

/** Like {@link makeLogKey}, with the root's key out of its file. */
export async function makeLogKeyByRoot(
  files: ServerFiles,
  options: Omit<MakeLogKeyOptions, "rootKey">,
): Promise<void> {
  const rootKey = await decryptPrivateKey(
    readText(files.rootKey),
    options.passphrase,
    files.rootKey,
  );
  await makeLogKey(files, { ...options, rootKey });
}

/** The public part. @throws {PkiError} `storage` if it is damaged or not signed by this root */
export function loadLogStatement(files: ServerFiles, root: Certificate): LogPublic {
  const parsed = parseLogStatement(readText(files.logPublic), root);
  if (parsed) return parsed;
  throw damaged(files, `"${files.logPublic}" is not a key that the root has signed`);
}

/** What `log.pub` says; `undefined` if it is damaged or not signed by this root. */
export function parseLogStatement(text: string, root: Certificate): LogPublic | undefined {
  const [key = "", signature = ""] = text.split("\n");
  try {
    const verifier = parseVerifierKey(key);
    const isSigned = isLabelledSignatureValid({
      key: parsePublicKey(root.spki),
      signature: parseBase64(signature),
      label: LABEL,
      parts: [utf8(key)],
    });
    return isSigned ? { verifier, statement: { key, signature } } : undefined;
  } catch {
    return undefined; // One answer for every way in which it is not what we wrote.
  }
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
