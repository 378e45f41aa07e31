/**
 * An entry of the log: what happened, when, a public part that anybody with a session may see, and
 * a private part that nobody sees and that can be redacted later (OPAQUE records, addresses).
 *
 * The tree hashes the *leaf*, in which a commitment stands for the private part; so redaction
 * changes no hash. The 32 random bytes keep a redacted part from being guessed.
 *
 * This file knows the body of a record and the leaf; `records.ts` knows length and checksum, and
 * `docs/log.md` shows the layout. Start reading at {@link encodeEntry}.
 */

import { type Bytes, concatBytes, copyBytes, parseUtf8, sha256, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

/** Every type of entry and its code in a record. A code is never given to another type. */
const TYPE_CODES = {
  registered: 1,
  issued: 2,
  published: 3,
  /** The password of an account was changed. */
  credentials: 4,
  revoked: 5,
  /** The administrator went on after entries had been lost: from here on the log has a new key. */
  restarted: 6,
  /** The administrator: an account may not log in, may again, is gone for good. */
  disabled: 7,
  enabled: 8,
  deleted: 9,
  /** The administrator: an invitation to register, or to choose a new password; and its end. */
  invited: 10,
  withdrawn: 11,
} as const satisfies Record<string, number>;

export type EntryType = keyof typeof TYPE_CODES;

const TYPES_BY_CODE: ReadonlyMap<number, EntryType> = new Map(
  Object.entries(TYPE_CODES).map(([type, code]) => [code, type as EntryType]),
);

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = { readonly [name: string]: JsonValue };

interface EntryHead {
  readonly type: EntryType;
  /** Milliseconds since 1970, UTC. */
  readonly timeMs: number;
  readonly public: JsonObject;
}

/** An entry with all that it had, or will have, when it is appended. */
export interface Entry extends EntryHead {
  readonly private: JsonObject | null;
  /** 32 random bytes for this entry alone; ignored, and null when read back, without a private part. */
  readonly salt: Bytes | null;
}

/** An entry whose private part was taken away; the commitment to it remains. */
export interface RedactedEntry extends EntryHead {
  readonly private: "redacted";
  readonly commitment: Bytes;
  /** How long the private part was: its place is kept, so that no later record moves. */
  readonly privateBytes: number;
}

export type StoredEntry = Entry | RedactedEntry;

export const SALT_BYTES = 32;

const FORMAT = 1;
const COMMITMENT_BYTES = 32;

/** What a record says about the private part. */
const FLAG_NONE = 0;
const FLAG_PRESENT = 1;
const FLAG_REDACTED = 2;

/** Stands where the commitment would, when there is nothing to commit to. */
const NO_COMMITMENT = new Uint8Array(COMMITMENT_BYTES);

/** The body of a record. */
export function encodeEntry(entry: StoredEntry): Bytes {
  const head = encodeHead(entry);
  if (entry.private === "redacted") {
    const { commitment, privateBytes } = entry;
    const gap = new Uint8Array(privateBytes);
    return concatBytes(head, Uint8Array.of(FLAG_REDACTED), commitment, u32(privateBytes), gap);
  }
  if (entry.private === null) return concatBytes(head, Uint8Array.of(FLAG_NONE), NO_COMMITMENT);
  const hidden = utf8(JSON.stringify(entry.private));
  return concatBytes(
    head,
    Uint8Array.of(FLAG_PRESENT),
    saltOf(entry),
    u32(hidden.length),
    hidden,
  );
}

/** What the tree hashes; the same before and after redaction. */
export function encodeLeaf(entry: StoredEntry): Bytes {
  const hasPrivate = entry.private === null ? 0 : 1;
  return concatBytes(encodeHead(entry), Uint8Array.of(hasPrivate), commitmentOf(entry));
}

/** The entry without its private part. One that never had a private part stays as it is. */
export function redactEntry(entry: StoredEntry): StoredEntry {
  if (entry.private === null || entry.private === "redacted") return entry;
  const { type, timeMs } = entry;
  return {
    type,
    timeMs,
    public: entry.public,
    private: "redacted",
    commitment: commitmentOf(entry),
    privateBytes: utf8(JSON.stringify(entry.private)).length,
  };
}

function encodeHead(entry: StoredEntry): Bytes {
  if (!Number.isSafeInteger(entry.timeMs) || entry.timeMs < 0) {
    throw new PkiError("internal", `cannot encode entry: time ${entry.timeMs} is out of range`);
  }
  const shown = utf8(JSON.stringify(entry.public));
  const head = new Uint8Array(14 + shown.length);
  const view = new DataView(head.buffer);
  view.setUint8(0, FORMAT);
  view.setUint8(1, TYPE_CODES[entry.type]);
  view.setBigUint64(2, BigInt(entry.timeMs));
  view.setUint32(10, shown.length);
  head.set(shown, 14);
  return head;
}

/** SHA-256(salt ‖ private part), or zeros where there is none. */
function commitmentOf(entry: StoredEntry): Bytes {
  if (entry.private === "redacted") return entry.commitment;
  if (entry.private === null) return NO_COMMITMENT;
  return sha256(saltOf(entry), utf8(JSON.stringify(entry.private)));
}

function saltOf(entry: Entry): Bytes {
  if (entry.salt?.length !== SALT_BYTES) {
    throw new PkiError("internal", "cannot encode entry: a private part needs a salt of 32 bytes");
  }
  return entry.salt;
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/**
 * Reads the body of a record, strictly: every length is checked, nothing may follow, and JSON must
 * be exactly as {@link encodeEntry} writes it, so that an entry has one encoding and one leaf.
 * @throws {PkiError} `storage`
 */
export function parseEntry(body: Uint8Array): StoredEntry {
  const cursor = new Cursor(body);
  const entry = { ...parseHead(cursor), ...parsePrivate(cursor) };
  if (cursor.left > 0) throw unreadable(`${cursor.left} bytes follow its end`);
  return entry;
}

/** What a leaf says: everything public, and the commitment to what is not. */
export interface Leaf extends EntryHead {
  readonly hasPrivate: boolean;
  readonly commitment: Bytes;
}

/**
 * Reads what {@link encodeLeaf} makes, as strictly as {@link parseEntry}.
 * @throws {PkiError} `storage`
 */
export function parseLeaf(bytes: Uint8Array): Leaf {
  const cursor = new Cursor(bytes);
  const head = parseHead(cursor);
  const flag = cursor.takeNumber(1, "flag");
  if (flag > 1) throw unreadable(`flag is ${flag}, 0 or 1 wanted`);
  const commitment = copyBytes(cursor.take(COMMITMENT_BYTES, "commitment"));
  if (cursor.left > 0) throw unreadable(`${cursor.left} bytes follow its end`);
  return { ...head, hasPrivate: flag === 1, commitment };
}

function parseHead(cursor: Cursor): EntryHead {
  const format = cursor.takeNumber(1, "format");
  if (format !== FORMAT) throw unreadable(`format is ${format}, ${FORMAT} wanted`);
  const code = cursor.takeNumber(1, "type");
  const type = TYPES_BY_CODE.get(code);
  if (type === undefined) throw unreadable(`type ${code} is unknown`);
  const timeMs = cursor.takeNumber(8, "time");
  const shown = parseJson(cursor.take(cursor.takeNumber(4, "length"), "public part"), "public");
  return { type, timeMs, public: shown };
}

function parsePrivate(
  cursor: Cursor,
):
  | Pick<Entry, "private" | "salt">
  | Pick<RedactedEntry, "private" | "commitment" | "privateBytes"> {
  const flag = cursor.takeNumber(1, "flag");
  switch (flag) {
    case FLAG_NONE:
      if (cursor.take(COMMITMENT_BYTES, "commitment").some((byte) => byte !== 0)) {
        throw unreadable("it commits to a private part that it says it never had");
      }
      return { private: null, salt: null };
    case FLAG_PRESENT: {
      const salt = copyBytes(cursor.take(SALT_BYTES, "salt"));
      const hidden = cursor.take(cursor.takeNumber(4, "length"), "private part");
      return { private: parseJson(hidden, "private"), salt };
    }
    case FLAG_REDACTED: {
      const commitment = copyBytes(cursor.take(COMMITMENT_BYTES, "commitment"));
      const gap = cursor.take(cursor.takeNumber(4, "length"), "redacted part");
      if (gap.some((byte) => byte !== 0)) throw unreadable("something is left of a redacted part");
      return { private: "redacted", commitment, privateBytes: gap.length };
    }
    default:
      throw unreadable(`flag is ${flag}, 0 to 2 wanted`);
  }
}

function parseJson(bytes: Uint8Array, part: "public" | "private"): JsonObject {
  let text: string;
  let value: JsonValue;
  let canonical: string;
  try {
    text = parseUtf8(bytes);
    value = JSON.parse(text);
    canonical = JSON.stringify(value);
  } catch (cause) {
    throw unreadable(`${part} part is not JSON`, cause);
  }
  if (canonical !== text) throw unreadable(`${part} part is not JSON in its one form`);
  if (!isObject(value)) throw unreadable(`${part} part is not a JSON object`);
  return value;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Walks over a body; asks before every step whether the bytes are there. */
class Cursor {
  readonly #body: Uint8Array;
  #at = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  get left(): number {
    return this.#body.length - this.#at;
  }

  /** A view of the next bytes. */
  take(length: number, what: string): Uint8Array {
    if (length > this.left) {
      throw unreadable(`${what} needs ${length} bytes, ${this.left} are left`);
    }
    this.#at += length;
    return this.#body.subarray(this.#at - length, this.#at);
  }

  /** An unsigned big-endian number, no larger than JavaScript can count. */
  takeNumber(length: 1 | 4 | 8, what: string): number {
    let value = 0;
    for (const byte of this.take(length, what)) value = value * 256 + byte;
    if (!Number.isSafeInteger(value)) throw unreadable(`${what} is out of range`);
    return value;
  }
}

function unreadable(why: string, cause?: unknown): PkiError {
  return new PkiError("storage", `cannot read entry: ${why}`, { cause });
}
