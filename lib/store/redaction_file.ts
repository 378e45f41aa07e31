/**
 * The file `redact` in the log's folder: it is there while records are being written over, and after
 * a crash in the middle of that. Whoever reads the log puts its records in the place of those on the
 * disk; who may change the log also finishes what it says (`startJournal`).
 */

import { join } from "node:path";
import { isEqualBytes } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
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
export function redactionRefusal(folder: string, why: string, cause?: unknown): PkiError {
  return new PkiError("storage", `cannot use "${redactionPath(folder)}": ${why}`, {
    hint: "nothing was changed; without this file the log is read as it is (see pki log verify)",
    cause,
  });
}

/** @throws {PkiError} `storage` if there is one that cannot be read */
export async function readRedaction({ files, folder }: Location): Promise<Redaction> {
  const path = redactionPath(folder);
  try {
    const file = await openIfThere(files, path, "read");
    if (!file) return [];
    try {
      const bytes = await file.size();
      if (bytes > FILE_BYTES_MAX) throw redactionRefusal(folder, `it has ${bytes} bytes`);
      return parseRedaction(await readBytes(file, 0, bytes));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof PkiError) throw redactionRefusal(folder, messageOf(error), error);
    throw diskError(`cannot read "${path}"`, error);
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
  for (const redacted of redaction) {
    const { index: entry, segment, offset, record } = redacted;
    const place = entry < index.size ? index.placeOf(entry) : undefined;
    const file = handles.get(segment);
    if (!place || !file) {
      throw redactionRefusal(folder, `entry ${entry} is not in the log, which has ${index.size}`);
    }
    const end = Math.min(await file.size(), offset + record.length);
    const fault = faultOfRedacted(await readBytes(file, offset, end), redacted);
    if (fault !== undefined) throw redactionRefusal(folder, faultOf(redacted, fault));
    if (place.segment !== segment || place.offset !== offset) {
      throw redactionRefusal(folder, faultOf(redacted, "that is not its place"));
    }
    const leafHash = hashLeaf(encodeLeaf(parseRecord(record)));
    if (!isEqualBytes(leafHash, index.tree.leafHash(entry))) {
      throw redactionRefusal(folder, faultOf(redacted, "it is not the entry that was logged"));
    }
  }
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
