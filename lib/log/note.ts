/**
 * Signed notes, and the line of text in which a key for them is passed on (C2SP signed-note,
 * https://c2sp.org/signed-note; Go's golang.org/x/mod/sumdb/note reads and writes the same).
 *
 * Ed25519 only. Signatures of other keys are passed over, as the format demands: witnesses add
 * theirs. Start reading at {@link openNote}.
 */

import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import {
  type Bytes,
  concatBytes,
  copyBytes,
  encodeBase64,
  encodeHex,
  isEqualBytes,
  parseBase64,
  sha256,
  utf8,
} from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";

/** A key that notes are verified with. Name and id find its signatures in a note. */
export interface NoteKey {
  readonly name: string;
  /** Public, Ed25519. */
  readonly key: KeyObject;
  /** Four bytes: the start of SHA-256(name ‖ 0x0a ‖ 0x01 ‖ the key's 32 bytes). */
  readonly id: Bytes;
}

/**
 * Bounds on what is read. The format demands room for 16 signatures, which take 7 KB each where
 * they are post-quantum; Go's reader stops at 100 of them.
 */
export const NOTE_CHARACTERS_MAX = 128 * 1024;
export const NOTE_SIGNATURES_MAX = 100;

/** The signature type of Ed25519. */
const ED25519 = 0x01;
const ID_BYTES = 4;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** What stands before the 32 bytes in an Ed25519 key's SubjectPublicKeyInfo (RFC 8410, section 4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Base64 has plus signs too, names have none. */
const VERIFIER_KEY = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/;

const SIGNATURE_PREFIX = "\u2014 ";

// deno-lint-ignore no-control-regex
const CONTROL_CHARACTER = /[\0-\x09\x0b-\x1f]/;
// deno-lint-ignore no-control-regex
const NAME = /^[^\p{White_Space}+\0-\x1f]+$/u;

/** `name+id+key`: id in hex, key in base64 behind its type. */
export function encodeVerifierKey(name: string, key: KeyObject): string {
  checkName(name);
  const bytes = keyBytesOf(key);
  return `${name}+${encodeHex(idOf(name, bytes))}+${
    encodeBase64(concatBytes(Uint8Array.of(ED25519), bytes))
  }`;
}

/**
 * Reads what {@link encodeVerifierKey} writes, and nothing else.
 * @throws {PkiError} `malformed`
 */
export function parseVerifierKey(text: string): NoteKey {
  const [, name = "", hexId = "", base64 = ""] = VERIFIER_KEY.exec(text) ?? [];
  if (!isName(name)) {
    throw malformedKey("it is not a name, an id and a key with plus signs between them");
  }
  let typed: Bytes;
  try {
    typed = parseBase64(base64);
  } catch (cause) {
    throw malformedKey("its key is not base64", cause);
  }
  if (typed[0] !== ED25519 || typed.length !== 1 + KEY_BYTES) {
    throw malformedKey("its key is not an Ed25519 key");
  }
  const bytes = typed.subarray(1);
  const id = idOf(name, bytes);
  if (encodeHex(id) !== hexId) throw malformedKey("its id does not belong to its name and key");
  return { name, key: publicKeyOf(bytes), id };
}

/** The text, which must end in a line feed, with one signature. The same bytes each time. */
export function signNote(
  text: string,
  { name, key }: { readonly name: string; readonly key: KeyObject },
): string {
  const id = signingIdOf(name, key);
  if (!text.endsWith("\n") || !isNoteText(text)) {
    throw new PkiError("internal", "cannot sign note: its text is not lines of text");
  }
  const signature = sign(null, utf8(text), key);
  return `${text}\n${SIGNATURE_PREFIX}${name} ${encodeBase64(concatBytes(id, signature))}\n`;
}

/**
 * The text of a note that the key has signed. A signature that claims to be the key's and is not
 * spoils the note, also beside a good one.
 * @throws {PkiError} `untrusted`
 */
export function openNote(note: string, key: NoteKey): string {
  const { text, signatures } = splitNote(note);
  const own = signatures.filter(({ name, id }) => name === key.name && isEqualBytes(id, key.id));
  if (own.length === 0) throw distrust("the key has not signed it");
  const signed = utf8(text);
  for (const { signature } of own) {
    if (signature.length !== SIGNATURE_BYTES || !verify(null, signed, key.key, signature)) {
      throw distrust("its signature is wrong");
    }
  }
  return text;
}

interface NoteSignature {
  readonly name: string;
  readonly id: Bytes;
  readonly signature: Bytes;
}

function splitNote(note: string): { text: string; signatures: readonly NoteSignature[] } {
  if (note.length > NOTE_CHARACTERS_MAX) {
    throw distrust(`it has ${note.length} characters, at most ${NOTE_CHARACTERS_MAX} are read`);
  }
  if (!isNoteText(note)) throw distrust("it has characters that a note cannot have");
  // The text may have empty lines too: the last one in the note is what counts.
  const end = note.lastIndexOf("\n\n") + 1;
  if (end === 0) throw distrust("no empty line stands before its signatures");
  const lines = note.slice(end + 1).split("\n");
  if (lines.pop() !== "") throw distrust("its last line does not end");
  if (lines.length === 0) throw distrust("it has no signatures");
  if (lines.length > NOTE_SIGNATURES_MAX) {
    throw distrust(`it has ${lines.length} signatures, at most ${NOTE_SIGNATURES_MAX} are read`);
  }
  return { text: note.slice(0, end), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): NoteSignature {
  const [name = "", base64 = "", ...rest] = line.slice(SIGNATURE_PREFIX.length).split(" ");
  if (!line.startsWith(SIGNATURE_PREFIX) || !isName(name) || rest.length > 0) {
    throw distrust("a line where signatures stand is none");
  }
  let bytes: Bytes;
  try {
    bytes = parseBase64(base64);
  } catch (cause) {
    throw distrust("a signature is not base64", cause);
  }
  if (bytes.length <= ID_BYTES) throw distrust("a signature is too short");
  return { name, id: bytes.slice(0, ID_BYTES), signature: bytes.slice(ID_BYTES) };
}

/** Text that UTF-8 can express, without control characters but the line feed. */
function isNoteText(text: string): boolean {
  return text.isWellFormed() && !CONTROL_CHARACTER.test(text);
}

function isName(text: string): boolean {
  return NAME.test(text) && text.isWellFormed();
}

function checkName(name: string): void {
  if (!isName(name)) {
    throw new PkiError("internal", `cannot use note key: ${JSON.stringify(name)} is not a name`);
  }
}

function idOf(name: string, keyBytes: Uint8Array): Bytes {
  return sha256(utf8(`${name}\n`), Uint8Array.of(ED25519), keyBytes).slice(0, ID_BYTES);
}

/** The one name that each signing key was last used with; a log has one, and signs often. */
const signingIds = new WeakMap<KeyObject, { readonly name: string; readonly id: Bytes }>();

function signingIdOf(name: string, key: KeyObject): Bytes {
  const known = signingIds.get(key);
  if (known?.name === name) return known.id;
  checkName(name);
  const id = idOf(name, keyBytesOf(key));
  signingIds.set(key, { name, id });
  return id;
}

function keyBytesOf(key: KeyObject): Bytes {
  if (key.asymmetricKeyType !== "ed25519") {
    throw new PkiError("internal", `cannot use note key: it is ${key.asymmetricKeyType}`);
  }
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const spki = publicKey.export({ format: "der", type: "spki" });
  return copyBytes(spki.subarray(SPKI_PREFIX.length));
}

function publicKeyOf(keyBytes: Uint8Array): KeyObject {
  const der = Buffer.concat([SPKI_PREFIX, keyBytes]);
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch (cause) {
    throw malformedKey(messageOf(cause), cause);
  }
}

function malformedKey(why: string, cause?: unknown): PkiError {
  return new PkiError("malformed", `cannot read the note key: ${why}`, { cause });
}

function distrust(why: string, cause?: unknown): PkiError {
  return new PkiError("untrusted", `cannot trust the note: ${why}`, { cause });
}
