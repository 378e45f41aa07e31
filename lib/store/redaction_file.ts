/**
 * The file `redact` in the log's folder: it is there while records are being written over, and after
 * a crash in the middle of that. Whoever reads the log puts its records in the place of those on the
 * disk; who may change the log also finishes what it says (`startJournal`).
 */

import { join } from "node:path";
import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeLeaf } from "../log/entry.ts";
import { parseRecord } from "../log/records.ts";
import {
  encodeRedaction,
  faultOfRedacted,
  parseRedaction,
  type RedactedRecord,
} from "../log/redaction.ts";
import { hashLeaf } from "../log/tree.ts";
import {
  diskError,
  type Files,
  type LogFile,
  openIfThere,
  readBytes,
  replaceFile,
  writeBytes,
} from "./disk.ts";
import type { LogIndex } from "./log_index.ts";

/** The records that it holds: none where nothing was being redacted. */
export type Redaction = readonly RedactedRecord[];

interface Location {
  readonly files: Files;
  readonly folder: string;
}

/** The largest file: places and records, of which each is at most as long as its own limit. */
const FILE_BYTES_MAX = 2 * LIMITS.redactionBytesMax;

export function redactionPath(folder: string): string {
  return join(folder, "redact");
}

/** It says something that must not be done. */
export function redactionRefusal(folder: string, why: string): PkiError {
  return new PkiError("storage", `cannot use "${redactionPath(folder)}": ${why}`, {
    hint: "nothing was changed; without this file the log is read as it is (see pki log verify)",
  });
}

/** @throws {PkiError} `storage` if there is one that cannot be read */
export async function readRedaction(location: Location): Promise<Redaction> {
  try {
    const { redaction, fault } = await findRedaction(location);
    if (fault !== undefined) throw redactionRefusal(location.folder, fault);
    return redaction;
  } catch (error) {
    throw diskError(`cannot read "${redactionPath(location.folder)}"`, error);
  }
}

/** What is to be redacted, or what is wrong with the file that says it. @throws {Error} of the system */
export async function findRedaction(
  { files, folder }: Location,
): Promise<{ readonly redaction: Redaction; readonly fault?: string }> {
  const file = await openIfThere(files, redactionPath(folder), "read");
  if (!file) return { redaction: [] };
  try {
    const bytes = await file.size();
    if (bytes > FILE_BYTES_MAX) return { redaction: [], fault: `it has ${bytes} bytes` };
    return { redaction: parseRedaction(await readBytes(file, 0, bytes)) };
  } catch (error) {
    if (error instanceof PkiError) return { redaction: [], fault: error.message };
    throw error;
  } finally {
    await file.close();
  }
}

/** Writes down what is going to be done, durably. @throws {Error} of the system */
export async function writeRedaction(
  { files, folder }: Location,
  redaction: Redaction,
): Promise<void> {
  await replaceFile(files, redactionPath(folder), [encodeRedaction(redaction)]);
}

/** Where bytes come from. */
export interface Portion {
  /** Their segment, by its first entry. */
  readonly first: number;
  /** Where in it they start. */
  readonly from: number;
}

/**
 * Puts the redacted records that begin in a part of a segment in the place of those that were read.
 * @returns why that cannot be, if anything
 */
export function redactPortion(
  bytes: Uint8Array,
  redaction: Redaction,
  { first, from }: Portion,
): string | undefined {
  for (const record of redaction) {
    const at = record.offset - from;
    if (record.segment !== first || at < 0 || at >= bytes.length) continue;
    const fault = faultOfRedacted(bytes.subarray(at), record);
    if (fault !== undefined) return faultOf(record, fault);
    bytes.set(record.record, at);
  }
  return undefined;
}

/**
 * Holds redacted records of one segment against what is there.
 * @throws {PkiError} `storage`; {Error} of the system
 */
export async function checkRecords(
  redaction: Redaction,
  { file, folder }: { readonly file: LogFile; readonly folder: string },
): Promise<void> {
  for (const record of redaction) {
    const fault = faultOfRedacted(await readThere(file, record), record);
    if (fault !== undefined) throw redactionRefusal(folder, faultOf(record, fault));
  }
}

async function readThere(file: LogFile, { offset, record }: RedactedRecord): Promise<Bytes> {
  const end = Math.min(await file.size(), offset + record.length);
  return await readBytes(file, offset, end);
}

/** Puts what lies in a portion of any length, of records that were checked, in its place. */
export function overlayRecords(
  portion: Uint8Array,
  { at, records }: { readonly at: number; readonly records: Redaction },
): void {
  for (const { offset, record } of records) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + record.length, at + portion.length);
    if (from < to) portion.set(record.subarray(from - offset, to - offset), from - at);
  }
}

function faultOf({ index, segment, offset }: RedactedRecord, fault: string): string {
  return `entry ${index} at byte ${offset} of segment ${segment}: ${fault}`;
}

/**
 * Holds what is to be redacted against all of the log, before it is done.
 * @throws {PkiError} `storage`; {Error} of the system
 */
export async function checkRedaction(
  redaction: Redaction,
  { folder, index, handles }: {
    readonly folder: string;
    readonly index: LogIndex;
    readonly handles: ReadonlyMap<number, LogFile>;
  },
): Promise<void> {
  for (const record of redaction) {
    const file = handles.get(record.segment);
    if (file && record.index < index.size) await checkRecords([record], { file, folder });
    const fault = faultInLog(record, index);
    if (fault !== undefined) throw redactionRefusal(folder, fault);
  }
}

/** Why a redacted record cannot be that of its entry, if anything. */
export function faultInLog(redacted: RedactedRecord, index: LogIndex): string | undefined {
  const { index: entry, segment, offset, record } = redacted;
  if (entry >= index.size) return `entry ${entry} is not in the log, which has ${index.size}`;
  const place = index.placeOf(entry);
  if (place.segment !== segment || place.offset !== offset) {
    return faultOf(redacted, "that is not its place");
  }
  const leafHash = hashLeaf(encodeLeaf(parseRecord(record)));
  if (isEqualBytes(leafHash, index.tree.leafHash(entry))) return undefined;
  return faultOf(redacted, "it is not the entry that was logged");
}

/**
 * Writes the records over those that are there, durably, also where they look the same: what a sync
 * that failed has left may not be on the disk.
 * @throws {Error} of the system
 */
export async function carryOutRedaction(
  redaction: Redaction,
  handles: ReadonlyMap<number, LogFile>,
): Promise<void> {
  const touched = new Set<LogFile>();
  for (const { segment, offset, record } of redaction) {
    const file = handles.get(segment);
    if (!file) throw new PkiError("internal", `segment ${segment} is not open`);
    await writeBytes(file, record, offset);
    touched.add(file);
  }
  for (const file of touched) await file.sync();
}

/**
 * Says that it is done. Where the file stays all the same, the next start does it once more.
 * @throws {Error} of the system
 */
export async function removeRedaction({ files, folder }: Location): Promise<void> {
  await files.remove(redactionPath(folder));
  await files.syncFolder(folder);
}
