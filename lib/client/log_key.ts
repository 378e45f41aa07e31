/**
 * Whose log it is: the key that signs its checkpoints, believed because the pinned root has signed
 * it. Its name is the log's origin, which says of which CA it is and how often that CA's log was
 * started anew. Pure.
 */

import { parseBase64, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type NoteKey, parseVerifierKey } from "../log/note.ts";
import { parseOrigin } from "../log/origin.ts";
import { printable } from "../base/printable.ts";
import type { AnswerOf } from "../protocol/messages.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import { isLabelledSignatureValid, parsePublicKey } from "../x509/keys.ts";

/** A log's key as the server showed it: the verifier key and the root's signature over it. */
export type ShownLogKey = AnswerOf<"HELLO">["log"];

export interface LogKey {
  /** Opens the log's checkpoints; its name is the origin that they must have. */
  readonly note: NoteKey;
  /** 1 for the first log of this CA; one more each time that it was started anew after a loss. */
  readonly generation: number;
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
    key: parsePublicKey(anchor.root.spki),
    signature: parseBase64(shown.signature),
    label: "pki/1 log key",
    parts: [utf8(shown.key)],
  });
  if (!isSigned) throw distrustLog("its key is not signed by the pinned root");
  let note: NoteKey;
  let isOurs: boolean;
  try {
    note = parseVerifierKey(shown.key);
    isOurs = isOriginOf(note.name, anchor);
  } catch (cause) {
    throw distrustLog("its key cannot be read", { cause });
  }
  if (!isOurs) throw distrustLog(`its key is for another log, "${printable(note.name)}"`);
  return { note, generation: parseOrigin(note.name).generation, shown };
}

/** Two lines, as the server keeps it: the verifier key, then the root's signature over it. */
export function encodeLogKey({ shown: { key, signature } }: LogKey): string {
  return `${key}\n${signature}\n`;
}

/** Reads what {@link encodeLogKey} writes and judges it. @throws {PkiError} `untrusted`, `malformed` */
export function parseLogKey(text: string, anchor: TrustAnchor): LogKey {
  const [key = "", signature = "", ...rest] = text.split("\n");
  if (rest.length !== 1 || rest[0] !== "") {
    throw new PkiError("malformed", "cannot read the log's key: it has not two lines");
  }
  return judgeLogKey({ key, signature }, anchor);
}
