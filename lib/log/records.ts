/**
 * A segment of the log: a header of 16 bytes, then records, each `u32 length | u32 checksum | body`.
 * Wraps entries into records and walks the bytes of a segment.
 *
 * What a crash may do to a file is the one hard question here. Only bytes after the last sync can
 * be missing or wrong, and nothing after the last sync was acknowledged. But a reader is not told
 * where the last sync was, and one write may hold several records. So a bad record is called
 *
 * - `torn`, and may be cut, only if no whole record that began a write of its own starts at any byte
 *   after it: the next write begins when the last one is synced, and records that were written behind
 *   others are marked;
 * - `corrupt` otherwise, and nobody touches the file.
 *
 * What it cannot see is damage to the very last write after it was synced: that looks torn. Only
 * somebody who remembers the tree's size can tell, which is one use of checkpoints.
 *
 * Zeros up to the end of the file are space that was reserved: writing over it is synced in half the
 * time that a growing file takes.
 *
 * Nobody can hide a record in what they have us log: a record is at most 1 MiB, so its first byte
 * is 0, and JSON text has no such byte.
 */

import { type Bytes, concatBytes, utf8 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { crc32c } from "./crc32c.ts";
import { encodeEntry, encodeLeaf, parseEntry, redactEntry, type StoredEntry } from "./entry.ts";

export const FILE_HEADER_BYTES = 16;

/** Length and checksum, in front of a body. */
const RECORD_HEADER_BYTES = 8;
/** Of a body: format, type, time, and the length of the public part, which follows. */
const ENTRY_HEAD_BYTES = 14;
const BODY_BYTES_MAX = LIMITS.recordBytesMax - RECORD_HEADER_BYTES;

/** Set in the length of a record that was written together with the one before it. */
const FOLLOWS = 0x0080_0000;

/** How long the body of the record is whose header starts here, as far as it says. */
function bodyBytesAt(file: DataView, offset: number): number {
  return (file.getUint32(offset) & ~FOLLOWS) >>> 0;
}

/** What a segment starts with: what it is, and the index of its first entry in 6 bytes. */
export function encodeFileHeader(firstIndex: number): Bytes {
  const index = new Uint8Array(8);
  new DataView(index.buffer).setBigUint64(0, BigInt(firstIndex));
  return concatBytes(utf8("pki log 1\n"), index.subarray(2));
}

/**
 * An entry as a record.
 * @throws {PkiError} `storage` if it is larger than `LIMITS.recordBytesMax`
 */
export function encodeRecord(entry: StoredEntry): Bytes {
  const body = encodeEntry(entry);
  if (body.length > BODY_BYTES_MAX) {
    throw new PkiError(
      "storage",
      `cannot log entry: record has ${body.length + RECORD_HEADER_BYTES} bytes, ` +
        `at most ${LIMITS.recordBytesMax} allowed`,
    );
  }
  const record = new Uint8Array(RECORD_HEADER_BYTES + body.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, body.length);
  view.setUint32(4, crc32c(body, crc32c(record.subarray(0, 4))));
  record.set(body, RECORD_HEADER_BYTES);
  return record;
}

/**
 * The leaf of the entry that a record was made from, or read from. Without a private part, as most
 * are, it is the record's body byte for byte, and not encoded once more.
 */
export function leafOf(record: Uint8Array, entry: StoredEntry): Uint8Array {
  if (entry.private !== null) return encodeLeaf(entry);
  return record.subarray(RECORD_HEADER_BYTES, recordBytesAt(record));
}

/** Marks a record as written together with the one before it, in place. */
export function markFollowing(record: Bytes): void {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  view.setUint32(0, view.getUint32(0) | FOLLOWS);
  view.setUint32(4, checksumOf(record));
}

/**
 * The record without the private part: as long as before, and marked if it was. One that has none
 * comes back as it is.
 * @throws {PkiError} `storage` if it is not whole
 */
export function redactRecord(record: Uint8Array): Bytes {
  const redacted = encodeRecord(redactEntry(parseRecord(record)));
  const isFollowing = ((record[1] ?? 0) & FOLLOWS >>> 16) !== 0;
  if (isFollowing) markFollowing(redacted);
  return redacted;
}

/** Where in a whole record it says whether there is a private part: behind the public one. */
export function flagOffsetOf(record: Uint8Array): number {
  const publicAt = RECORD_HEADER_BYTES + ENTRY_HEAD_BYTES;
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  return publicAt + view.getUint32(publicAt - 4);
}

function checksumOf(record: Uint8Array): number {
  return crc32c(record.subarray(RECORD_HEADER_BYTES), crc32c(record.subarray(0, 4)));
}

/** A record that was read. */
export interface LogRecord {
  /** How many entries stand before it in the log. */
  readonly index: number;
  /** Where it starts, in bytes from the start of its segment. */
  readonly offset: number;
  /** How long it is with its header. */
  readonly recordBytes: number;
  readonly entry: StoredEntry;
  /** What the tree hashes of it; a view of the bytes that were read. */
  readonly leaf: Uint8Array;
}

/** How the walk over a segment ended. All records before `offset` are good. */
export type RecordsEnd =
  /** Nothing but zeros is left, if anything. */
  | { readonly status: "complete"; readonly offset: number }
  /** `offset` to the end of the file was never synced as a whole, and may be cut. */
  | { readonly status: "torn"; readonly offset: number; readonly reason: string }
  /** Something is wrong at `offset` that no crash explains, or that we do not understand. */
  | { readonly status: "corrupt"; readonly offset: number; readonly reason: string };

/** What is wrong with the header that a segment starts with, if anything. */
export function faultOfHeader(bytes: Uint8Array, firstIndex: number): string | undefined {
  const isRight = encodeFileHeader(firstIndex).every((byte, at) => bytes[at] === byte);
  return isRight ? undefined : `byte 0: the file is not a log of format 1 from entry ${firstIndex}`;
}

export interface ReadOptions {
  /** Index of the first record in the bytes. */
  readonly index: number;
  /** Where the bytes start in their segment. */
  readonly offset: number;
}

/** Walks the bytes of a segment behind its header; hands over each record and says how it ended. */
export function readRecords(
  bytes: Uint8Array,
  start: ReadOptions,
  onRecord: (record: LogRecord) => void,
): RecordsEnd {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  for (let index = start.index; at < bytes.length; index++) {
    const offset = start.offset + at;
    const where = `record ${index} at byte ${offset}`;
    const fault = faultAt(view, at);
    if (fault !== undefined) {
      if (isZero(bytes, at)) return { status: "complete", offset };
      const next = findRecord(view, at + 1);
      return next === undefined ? { status: "torn", offset, reason: `${where} ${fault}` } : {
        status: "corrupt",
        offset,
        reason: `${where} ${fault}, and a whole record follows at byte ${start.offset + next}`,
      };
    }
    // From here on the record is what somebody wrote: if we cannot read it, it is not ours to cut.
    const end = at + RECORD_HEADER_BYTES + bodyBytesAt(view, at);
    let entry: StoredEntry;
    try {
      entry = parseBody(bytes.subarray(at + RECORD_HEADER_BYTES, end));
    } catch (error) {
      return { status: "corrupt", offset, reason: `${where} is whole: ${messageOf(error)}` };
    }
    const leaf = leafOf(bytes.subarray(at, end), entry);
    onRecord({ index, offset, recordBytes: end - at, entry, leaf });
    at = end;
  }
  return { status: "complete", offset: start.offset + at };
}

/**
 * How many bytes the record has that starts here, as far as its header says.
 * @throws {PkiError} `storage`
 */
export function recordBytesAt(bytes: Uint8Array): number {
  if (bytes.length < RECORD_HEADER_BYTES) {
    throw new PkiError("storage", `cannot read record: ${bytes.length} bytes of its header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const recordBytes = RECORD_HEADER_BYTES + bodyBytesAt(view, 0);
  if (recordBytes > LIMITS.recordBytesMax) {
    throw new PkiError("storage", `cannot read record: it claims to have ${recordBytes} bytes`);
  }
  return recordBytes;
}

/** Reads the one record that starts here. @throws {PkiError} `storage` if it is not whole */
export function parseRecord(bytes: Uint8Array): StoredEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fault = faultAt(view, 0);
  if (fault !== undefined) throw new PkiError("storage", `cannot read record: it ${fault}`);
  return parseBody(bytes.subarray(RECORD_HEADER_BYTES, recordBytesAt(bytes)));
}

function parseBody(body: Uint8Array): StoredEntry {
  if (body.length > BODY_BYTES_MAX) throw new PkiError("storage", "record is too long");
  return parseEntry(body);
}

/** What is wrong with the record that starts here, if anything. */
function faultAt(file: DataView, offset: number): string | undefined {
  const left = file.byteLength - offset;
  if (left < RECORD_HEADER_BYTES) return `has ${left} bytes of its header`;
  const wanted = RECORD_HEADER_BYTES + bodyBytesAt(file, offset);
  if (wanted > left) return `has ${left} of ${wanted} bytes`;
  return isWhole(file, offset, wanted) ? undefined : "fails its checksum";
}

function isZero(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Where the next whole record starts that began a write, looking at every byte. */
function findRecord(file: DataView, from: number): number | undefined {
  for (let offset = from; offset + RECORD_HEADER_BYTES < file.byteLength; offset++) {
    const bodyBytes = file.getUint32(offset); // one that is marked is beyond the limit
    if (bodyBytes === 0 || bodyBytes > BODY_BYTES_MAX) continue;
    const recordBytes = RECORD_HEADER_BYTES + bodyBytes;
    if (recordBytes > file.byteLength - offset) continue;
    if (isWhole(file, offset, recordBytes)) return offset;
  }
  return undefined;
}

function isWhole(file: DataView, offset: number, recordBytes: number): boolean {
  const record = new Uint8Array(file.buffer, file.byteOffset + offset, recordBytes);
  return checksumOf(record) === file.getUint32(offset + 4);
}
