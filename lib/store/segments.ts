/**
 * The files of the log: one segment after the other, each named after the index of its first entry.
 * Reads them in order and changes nothing; `journal.ts` appends. See `docs/log.md`.
 */

import { join } from "node:path";
import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeLeaf, type StoredEntry } from "../log/entry.ts";
import {
  faultOfHeader,
  FILE_HEADER_BYTES,
  parseRecord,
  readRecords,
  recordBytesAt,
} from "../log/records.ts";
import { hashLeaf } from "../log/tree.ts";
import { diskError, type Files, type LogFile, readBytes } from "./disk.ts";
import type { LogIndex, Segment } from "./log_index.ts";
import {
  checkRedaction,
  readRedaction,
  type Redaction,
  redactionRefusal,
  redactPortion,
} from "./redaction_file.ts";

const NAME = /^\d{12}\.log$/;

/** What a record is first read with: most certificates fit. */
const READ_AHEAD_BYTES = 2048;

export function segmentName(first: number): string {
  return `${String(first).padStart(12, "0")}.log`;
}

/** First entries of the segments in a folder, in order; of a folder that is not there, none. */
export async function listSegments(files: Files, folder: string): Promise<readonly number[]> {
  try {
    const names = await files.list(folder);
    return names.filter((name) => NAME.test(name)).map((name) => parseInt(name, 10))
      .sort((a, b) => a - b);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw diskError(`cannot read log "${folder}"`, error);
  }
}

export interface LogLocation {
  readonly files: Files;
  readonly folder: string;
}

export interface ReadLogOptions extends LogLocation {
  /** Knows the entries that need not be read; gets those that are. */
  readonly index: LogIndex;
  readonly mode: "existing" | "read";
  readonly onEntry: (entry: StoredEntry, index: number) => void;
  /** So many bytes more were read. */
  readonly onBytes?: (count: number) => void;
  /** How far to read, where somebody may be appending: these segments, so many bytes of the last. */
  readonly until?: readonly Segment[];
}

/** A log that was read to its end. */
export interface LogReading {
  /** Its segments, open, by their first entry. */
  readonly handles: Map<number, LogFile>;
  /** What a crash left behind the last whole record. */
  readonly tornBytes: number;
  /** Space behind the last record that was reserved and not used. */
  readonly reservedBytes: number;
  /** What a crash kept from being redacted: it was read as if it were, and is yet to be done. */
  readonly redaction: Redaction;
}

function damaged(path: string, why: string): PkiError {
  return new PkiError("storage", `cannot read log "${path}": ${why}`, {
    hint: "nothing was changed; put a good copy of this file in its place, from a backup",
  });
}

/**
 * Reads the log from where the index ends. A folder without a log is an empty log.
 * @throws {PkiError} `storage` if it is damaged, or shorter than the index
 */
export async function readLog(options: ReadLogOptions): Promise<LogReading> {
  const { files, folder, index } = options;
  const redaction = await readRedaction({ files, folder });
  const there = options.until?.map(({ first }) => first) ?? await listSegments(files, folder);
  const handles = new Map<number, LogFile>();
  try {
    // Those that the snapshot stands for are looked at, not read.
    for (const { first } of index.segments) {
      if (!there.includes(first)) {
        throw damaged(join(folder, segmentName(first)), "it is missing");
      }
    }
    let rest = NOTHING;
    for (const first of there) {
      const path = join(folder, segmentName(first));
      const known = index.segments.find((segment) => segment.first === first);
      if (!known && first !== index.size) {
        throw damaged(path, `entries ${index.size} to ${first - 1} are missing before it`);
      }
      const file = await files.open(path, options.mode);
      handles.set(first, file);
      const isLast = first === there.at(-1);
      rest = await readSegment(file, { ...options, path, first, isLast, redaction });
    }
    // Where somebody is appending, what is redacted may lie beyond what was to be read.
    const read = options.until ? redaction.filter((one) => one.index < index.size) : redaction;
    await checkRedaction(read, { folder, index, handles });
    return { handles, redaction: read, ...rest };
  } catch (error) {
    await closeAll(handles);
    throw diskError(`cannot read log "${folder}"`, error);
  }
}

interface SegmentReading extends ReadLogOptions {
  readonly path: string;
  readonly first: number;
  readonly isLast: boolean;
  readonly redaction: Redaction;
}

type Rest = Pick<LogReading, "tornBytes" | "reservedBytes">;

const NOTHING: Rest = { tornBytes: 0, reservedBytes: 0 };

/** Returns what is behind the last whole record. */
async function readSegment(file: LogFile, reading: SegmentReading): Promise<Rest> {
  const { index, path, first, isLast, onEntry, onBytes, until, redaction } = reading;
  const fileBytes = await file.size();
  const bytes = Math.min(fileBytes, isLast ? until?.at(-1)?.bytes ?? Infinity : Infinity);
  const header = await readBytes(file, 0, Math.min(FILE_HEADER_BYTES, bytes));
  const fault = faultOfHeader(header, first);
  if (fault !== undefined) throw damaged(path, fault);
  const known = index.segments.find((segment) => segment.first === first);
  if (!known) index.startSegment();
  const from = known?.bytes ?? FILE_HEADER_BYTES;
  if (bytes < from) throw damaged(path, `it has ${bytes} bytes, the snapshot knows of ${from}`);
  if (known && known !== index.segments.at(-1)) {
    if (bytes === from) return NOTHING;
    throw damaged(path, `it has ${bytes} bytes, the snapshot knows of ${from}`);
  }
  onBytes?.(from);
  const content: Bytes = await readBytes(file, from, bytes);
  const misfit = redactPortion(content, redaction, { first, from });
  if (misfit !== undefined) throw redactionRefusal(reading.folder, misfit);
  const end = readRecords(content, { index: index.size, offset: from }, (record) => {
    onEntry(record.entry, record.index);
    index.append(hashLeaf(record.leaf), record.recordBytes);
    onBytes?.(record.recordBytes);
  });
  if (end.status === "corrupt") throw damaged(path, end.reason);
  if (end.status === "torn" && !isLast) {
    throw damaged(path, `${end.reason}, and another segment follows`);
  }
  const restBytes = bytes - end.offset;
  if (end.status === "torn") return { tornBytes: restBytes, reservedBytes: 0 };
  // It is cut before another one begins.
  if (restBytes > 0 && !isLast) {
    throw damaged(path, `${restBytes} zeros follow its last record, and another segment follows`);
  }
  return { tornBytes: 0, reservedBytes: restBytes };
}

/**
 * Whether the log has the last entry that an index knows, where the index knows it. An index that is
 * of another log, or ahead of this one, is found out by that alone: an entry names its time, and
 * random numbers where it matters. One that cannot be read counts as not there.
 */
export async function hasLastEntryOf(
  index: LogIndex,
  { files, folder }: LogLocation,
): Promise<boolean> {
  if (index.size === 0) return true;
  const { segment, offset } = index.placeOf(index.size - 1);
  try {
    const file = await files.open(join(folder, segmentName(segment)), "read");
    try {
      const end = Math.min(await file.size(), offset + LIMITS.recordBytesMax);
      const bytes = await readBytes(file, offset, end);
      redactPortion(bytes, await readRedaction({ files, folder }), {
        first: segment,
        from: offset,
      });
      const leaf = encodeLeaf(parseRecord(bytes));
      return isEqualBytes(hashLeaf(leaf), index.tree.leafHash(index.size - 1));
    } finally {
      await file.close();
    }
  } catch {
    return false; // Reading the log from its start says what is wrong.
  }
}

/**
 * The one record that starts here, as far as it is there.
 * @throws {PkiError} `storage`; {Error} of the system
 */
export function readRecordAt(file: LogFile, offset: number): Uint8Array {
  let bytes = readUpTo(file, { offset, length: READ_AHEAD_BYTES });
  const recordBytes = recordBytesAt(bytes);
  if (recordBytes > bytes.length) bytes = readUpTo(file, { offset, length: recordBytes });
  return bytes.subarray(0, recordBytes);
}

function readUpTo(
  file: LogFile,
  { offset, length }: { readonly offset: number; readonly length: number },
): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const count = file.read(bytes.subarray(at), offset + at);
    if (count === 0) break;
    at += count;
  }
  return bytes.subarray(0, at);
}

export async function closeAll(handles: ReadonlyMap<number, LogFile>): Promise<void> {
  for (const file of handles.values()) await file.close().catch(() => {}); // Nothing depends on it.
}
