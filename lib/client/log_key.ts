/**
 * Whose log it is: the key that signs its checkpoints, believed because the pinned root, or a pinned
 * issuing CA where the root's key is with somebody else, has signed it. Its name is the log's origin, which says of which CA it is and how often that CA's log was
 * started anew. Pure.
 */

import { parseBase64, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type NoteKey, parseVerifierKey } from "../log/note.ts";
import { parseOrigin } from "../log/origin.ts";
import { printable } from "../base/printable.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import { isLabelledSignatureValid, parsePublicKey } from "../x509/keys.ts";

/** A log's key as the server showed it: the verifier key and a CA's signature over it. */
export type ShownLogKey = AnswerOf<"HELLO">["log"];

export interface LogKey {
  /** Opens the log's checkpoints; its name is the origin that they must have. */
  readonly note: NoteKey;
  /** 1 for the first log of this CA; one more each time that it was started anew after a loss. */
  readonly generation: number;
  readonly signedBy: "root" | "issuing";
  /** As it was shown, for whoever wants to check it again. */
  readonly shown: ShownLogKey;
}

/** Every distrust of the log reads alike. */
export function distrustLog(
  why: string,
  options: { readonly hint?: string; readonly cause?: unknown } = {},
): PkiError {
  return new PkiError("untrusted", `cannot trust the server's log: ${why}`, options);
}

/** Whether a log of this name belongs to the CA of this root. @throws {PkiError} `malformed` */
export function isOriginOf(origin: string, { root, domain }: TrustAnchor): boolean {
  const parsed = parseOrigin(origin);
  return parsed.domain === domain &&
    parsed.rootFingerprint16 === fingerprintOf(root.der).slice(0, 16);
}

/**
 * Judges the key that `HELLO` shows.
 * @throws {PkiError} `untrusted`
 */
export function judgeLogKey(shown: ShownLogKey, anchor: TrustAnchor): LogKey {
  const isSigned = isLabelledSignatureValid({
    key: parsePublicKey(findSigner(shown, anchor).spki),
    signature: parseBase64(shown.signature),
    label: "pki/1 log key",
    parts: [utf8(shown.key)],
  });
  if (!isSigned) {
    throw distrustLog(
      shown.issuer === undefined
        ? "its key is not signed by the pinned root"
        : "its key is not signed by the issuing CA that it names",
    );
  }
  let note: NoteKey;
  let isOurs: boolean;
  try {
    note = parseVerifierKey(shown.key);
    isOurs = isOriginOf(note.name, anchor);
  } catch (cause) {
    throw distrustLog("its key cannot be read", { cause });
  }
  if (!isOurs) throw distrustLog(`its key is for another log, "${printable(note.name)}"`);
  const signedBy = shown.issuer === undefined ? "root" : "issuing";
  return { note, generation: parseOrigin(note.name).generation, signedBy, shown };
}

/** The CA that has signed the key: the root, or an issuing CA, which has to be a pinned one. */
function findSigner({ issuer }: ShownLogKey, { root, issuers }: TrustAnchor): Certificate {
  if (issuer === undefined) return root;
  let signer: Certificate;
  try {
    signer = parseCertificate(parseBase64(issuer));
  } catch (cause) {
    throw distrustLog("the issuing CA that has signed its key cannot be read", { cause });
  }
  // That it is under the root was found out when it was pinned.
  if (issuers?.has(fingerprintOf(signer.der))) return signer;
  throw distrustLog("its key is signed by an issuing CA that is not pinned");
}

/**
 * A line each, as the server keeps it: the verifier key, the signature over it and, where that is not
 * the root's, the certificate of the issuing CA whose it is.
 */
export function encodeLogKey({ shown: { key, signature, issuer } }: LogKey): string {
  return [key, signature, ...(issuer === undefined ? [] : [issuer]), ""].join("\n");
}

/** Reads what {@link encodeLogKey} writes and judges it. @throws {PkiError} `untrusted`, `malformed` */
export function parseLogKey(text: string, anchor: TrustAnchor): LogKey {
  const lines = text.split("\n");
  const [key = "", signature = "", issuer] = lines.slice(0, -1);
  if (lines.at(-1) !== "" || lines.length < 3 || lines.length > 4) {
    throw new PkiError("malformed", "cannot read the log's key: it has not two lines, or three");
  }
  return judgeLogKey({ key, signature, ...(issuer === undefined ? {} : { issuer }) }, anchor);
}
