/**
 * Checkpoints: what the log's key says about the log, in a form that other tools read (C2SP
 * tlog-checkpoint, https://c2sp.org/tlog-checkpoint). A signed note of three lines: the log's
 * origin, the size of its tree, the root in base64. The key bears the origin as its name.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type NoteKey, openNote, signNote } from "./note.ts";
import { HASH_BYTES } from "./tree.ts";

export interface Checkpoint {
  /** Which log; see `origin.ts`. */
  readonly origin: string;
  /** Leaves of its tree. */
  readonly size: number;
  readonly root: Bytes;
}

/** No leading zeros. */
const SIZE = /^(?:0|[1-9][0-9]{0,15})$/;

/** An origin that is worth showing: printable ASCII, which ours are. */
const SHOWN_ORIGIN = /^[\x21-\x7e]{1,512}$/;

/** The note; the same bytes each time. A log must not sign two checkpoints that do not fit together. */
export function signCheckpoint(
  { origin, size, root }: Checkpoint,
  { key }: { readonly key: KeyObject },
): string {
  if (!Number.isSafeInteger(size) || size < 0 || root.length !== HASH_BYTES) {
    throw new PkiError("internal", `cannot sign checkpoint: ${size} leaves, ${root.length} bytes`);
  }
  return signNote(`${origin}\n${size}\n${encodeBase64(root)}\n`, { name: origin, key });
}

/**
 * The checkpoint that the key has signed for the log of its name. Lines after the third, which the
 * format allows, are passed over.
 * @throws {PkiError} `untrusted`
 */
export function openCheckpoint(note: string, key: NoteKey): Checkpoint {
  const lines = openNote(note, key).slice(0, -1).split("\n");
  const [origin, digits, base64, ...extensions] = lines;
  if (origin !== key.name) throw distrust("it is about another log");
  if (digits === undefined || base64 === undefined || extensions.includes("")) {
    throw distrust("it does not have the lines of a checkpoint");
  }
  const size = Number(digits);
  if (!SIZE.test(digits) || !Number.isSafeInteger(size)) throw distrust("its size is no number");
  let root: Bytes;
  try {
    root = parseBase64(base64);
  } catch (cause) {
    throw distrust("its root is not base64", cause);
  }
  if (root.length !== HASH_BYTES) throw distrust(`its root has ${root.length} bytes`);
  return { origin, size, root };
}

/**
 * The origin that a checkpoint names. **Not verified**: it only tells which key to ask for.
 * @throws {PkiError} `malformed`
 */
export function readOrigin(note: string): string {
  const end = note.indexOf("\n");
  const origin = note.slice(0, Math.max(end, 0));
  if (!SHOWN_ORIGIN.test(origin)) {
    throw new PkiError("malformed", "cannot read the checkpoint: it does not begin with an origin");
  }
  return origin;
}

function distrust(why: string, cause?: unknown): PkiError {
  return new PkiError("untrusted", `cannot trust the checkpoint: ${why}`, { cause });
}
