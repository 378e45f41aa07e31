/**
 * What is to be redacted, written down before anything is overwritten: every redacted record whole,
 * and where it belongs. Whoever finds it after a crash can finish, and until that is done read the
 * log as if it were.
 *
 * It is believed as little as any file: it has a digest, and each record has to be the redaction of
 * what is in its place. What is there may be a mix of both, byte by byte, where a crash came between.
 * The layout is in `docs/log.md`.
 */

import { type Bytes, copyBytes, isEqualBytes, sha256, utf8 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { encodeLeaf, SALT_BYTES, type StoredEntry } from "./entry.ts";
import { FILE_HEADER_BYTES, flagOffsetOf, parseRecord, recordBytesAt } from "./records.ts";

/** A record without its private part, and where it takes the place of the one that has it. */
export interface RedactedRecord {
  /** How many entries stand before it in the log. */
  readonly index: number;
  /** Its segment, by the first entry of that. */
  readonly segment: number;
  /** Where it starts, in bytes from the start of its segment. */
  readonly offset: number;
  readonly record: Bytes;
}

const TITLE = utf8("pki redact 1\n");
const COUNT_BYTES = 4;
/** Index, segment, offset. */
const PLACE_BYTES = 6 + 6 + 4;
const DIGEST_BYTES = 32;
/** Behind salt or commitment. */
const LENGTH_BYTES = 4;

/** @param records at least one, by index */
export function encodeRedaction(records: readonly RedactedRecord[]): Bytes {
  const bytes = new Uint8Array(redactionBytes(records));
  const view = new DataView(bytes.buffer);
  bytes.set(TITLE);
  view.setUint32(TITLE.length, records.length);
  let at = TITLE.length + COUNT_BYTES;
  for (const { index, segment, offset, record } of records) {
    view.setUint16(at, Math.floor(index / 2 ** 32));
    view.setUint32(at + 2, index % 2 ** 32);
    view.setUint16(at + 6, Math.floor(segment / 2 ** 32));
    view.setUint32(at + 8, segment % 2 ** 32);
    view.setUint32(at + 12, offset);
    bytes.set(record, at + PLACE_BYTES);
    at += PLACE_BYTES + record.length;
  }
  bytes.set(sha256(bytes.subarray(0, at)), at);
  return bytes;
}

/** How long it gets. */
function redactionBytes(records: readonly RedactedRecord[]): number {
  const content = records.reduce((sum, { record }) => sum + PLACE_BYTES + record.length, 0);
  return TITLE.length + COUNT_BYTES + content + DIGEST_BYTES;
}

/** Reads it, strictly. @throws {PkiError} `storage` with the reason alone */
export function parseRedaction(bytes: Uint8Array): readonly RedactedRecord[] {
  const end = bytes.length - DIGEST_BYTES;
  if (end < TITLE.length + COUNT_BYTES) throw unreadable(`it has ${bytes.length} bytes`);
  if (!isEqualBytes(bytes.subarray(0, TITLE.length), TITLE)) {
    throw unreadable("it is not a redaction of format 1");
  }
  if (!isEqualBytes(sha256(bytes.subarray(0, end)), bytes.subarray(end))) {
    throw unreadable("it is damaged");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const count = view.getUint32(TITLE.length);
  const records: RedactedRecord[] = [];
  let at = TITLE.length + COUNT_BYTES;
  while (at < end) {
    if (at + PLACE_BYTES > end) throw unreadable("it ends within a place");
    const index = view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
    const segment = view.getUint16(at + 6) * 2 ** 32 + view.getUint32(at + 8);
    const offset = view.getUint32(at + 12);
    at += PLACE_BYTES;
    const record = parseRedacted(bytes.subarray(at, end), index);
    at += record.length;
    if (index <= (records.at(-1)?.index ?? -1)) throw unreadable("its entries are not in order");
    if (segment > index || offset < FILE_HEADER_BYTES) {
      throw unreadable(`entry ${index} cannot be at byte ${offset} of segment ${segment}`);
    }
    records.push({ index, segment, offset, record });
  }
  if (records.length !== count || count === 0) {
    throw unreadable(`it has ${records.length} records, and says ${count}`);
  }
  return records;
}

/** The record that starts here. */
function parseRedacted(bytes: Uint8Array, index: number): Bytes {
  try {
    const record = copyBytes(bytes.subarray(0, recordBytesAt(bytes)));
    if (parseRecord(record).private !== "redacted") throw new Error("it is not redacted");
    return record;
  } catch (error) {
    throw unreadable(`entry ${index}: ${messageOf(error)}`);
  }
}

/**
 * Why a redacted record cannot take the place of what is there, if anything: it has to be the same
 * but for the private part, and to have the same leaf where that can be told. That what is there is
 * whole cannot be asked for.
 */
export function faultOfRedacted(there: Uint8Array, { record }: RedactedRecord): string | undefined {
  if (there.length < record.length) {
    return `${there.length} of its ${record.length} bytes are there`;
  }
  const old = there.subarray(0, record.length);
  const flagAt = flagOffsetOf(record);
  const lengthAt = flagAt + 1 + SALT_BYTES;
  const flag = old[flagAt] ?? 0;
  const isSame = isEqualBytes(old.subarray(0, 4), record.subarray(0, 4)) &&
    isEqualBytes(old.subarray(8, flagAt), record.subarray(8, flagAt)) &&
    (flag === 1 || flag === 2) &&
    isEqualBytes(
      old.subarray(lengthAt, lengthAt + LENGTH_BYTES),
      record.subarray(lengthAt, lengthAt + LENGTH_BYTES),
    );
  if (!isSame) return "another record is there";
  let whole: StoredEntry;
  try {
    whole = parseRecord(old);
  } catch {
    return undefined; // Half written over: what it was is not to be seen any more.
  }
  const isSameLeaf = isEqualBytes(encodeLeaf(whole), encodeLeaf(parseRecord(record)));
  return isSameLeaf ? undefined : "the record that is there has another leaf";
}

function unreadable(why: string): PkiError {
  return new PkiError("storage", why);
}
