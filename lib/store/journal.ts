/**
 * The journal: the log on disk, and the promise that what was acknowledged stays.
 *
 * `append` resolves only after the entry was synced. While one sync runs, what arrives waits and
 * shares the next one (group commit), so that many writers cost hardly more than one.
 *
 * After a fault: a failed write is taken back and the next append starts afresh, so a full disk
 * heals by itself. A failed sync is final, because the system may have dropped the bytes and would
 * call the next sync a success; every append is refused until a restart has read what is there.
 *
 * The journal does not lock its folder: the caller sees to it that nobody else appends.
 * `start_journal.ts` begins one; the format is in `lib/log/records.ts` and `docs/log.md`.
 */

import { join } from "node:path";
import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { StoredEntry } from "../log/entry.ts";
import { encodeRecord, leafOf, markFollowing, parseRecord } from "../log/records.ts";
import { hashLeaf } from "../log/tree.ts";
import { diskError, type Files, type LogFile, writeBytes, writeBytesNow } from "./disk.ts";
import type { LogIndex } from "./log_index.ts";
import { createSegment } from "./new_segment.ts";
import { Redactor } from "./redactor.ts";
import { closeAll, listSegments, type LogLocation, readRecordAt, segmentName } from "./segments.ts";

/** Where an entry went. */
export interface Appended {
  /** How many entries stand before it in the log. */
  readonly index: number;
  readonly leafHash: Bytes;
}

/** What is written at once. The system's cache takes it in microseconds; another thread takes more. */
const BYTES_AT_ONCE_MAX = 64 * 1024;

export interface JournalOptions extends LogLocation {
  readonly index: LogIndex;
  /** After each sync, before those who wait hear of it: the index holds what is durable. */
  readonly onSynced?: () => void;
  /** Told how long each sync took, and how many entries it has made durable. */
  readonly onSyncTime?: (ms: number, entries: number) => void;
  readonly segmentBytesMax?: number;
  /** So much space is written ahead, with zeros; none without it. */
  readonly reserveBytes?: number;
}

/** An append that has not been acknowledged. */
interface Waiting {
  readonly record: Bytes;
  readonly leafHash: Bytes;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: PkiError) => void;
}

/** Entries that are to be redacted. */
interface Redacting {
  readonly entries: readonly number[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Journal {
  readonly #files: Files;
  readonly #folder: string;
  readonly #segmentBytesMax: number;
  readonly #reserveBytes: number;
  readonly #onSynced: () => void;
  readonly #onSyncTime: (ms: number, entries: number) => void;
  /** What was synced; only `#commit` moves it. */
  readonly #index: LogIndex;
  /** All segments, open, by their first entry. */
  readonly #handles: Map<number, LogFile>;

  /** How far the last segment is written for certain: with records, and behind them with zeros. */
  #reservedTo = 0;
  /** Whether there may be zeros in it, also where writing them is said to have failed. */
  #isReserved = false;
  #waiting: Waiting[] = [];
  #redacting: Redacting[] = [];
  readonly #redactor: Redactor;
  /** The one run of `#commitAll`, while there is something to commit. */
  #commits: Promise<void> | undefined;
  /** Why nothing can be appended any more. */
  #poison: PkiError | undefined;
  #closed: Promise<void> | undefined;

  /** For `startJournal`: the index knows all of the log, and all of it is synced. */
  constructor(handles: Map<number, LogFile>, options: JournalOptions) {
    this.#handles = handles;
    this.#files = options.files;
    this.#folder = options.folder;
    this.#index = options.index;
    this.#onSynced = options.onSynced ?? (() => {});
    this.#onSyncTime = options.onSyncTime ?? (() => {});
    this.#segmentBytesMax = options.segmentBytesMax ?? LIMITS.segmentBytesMax;
    this.#reserveBytes = options.reserveBytes ?? 0;
    this.#redactor = new Redactor({
      ...options,
      handles,
      onUnfinished: (cause) => this.#poisonBy("a redaction was begun and not finished", cause),
    });
  }

  /**
   * Appends an entry; resolves, in order, once it is durable.
   * Refused after a failed write, it is not in the log. Refused after a failed sync, it may be, if
   * the machine crashes too: the next start tells.
   * @throws {PkiError} `storage`
   */
  append(entry: StoredEntry): Promise<Appended> {
    return new Promise((resolve, reject) => {
      // Encoded at once: what the caller does to the entry later does not matter.
      const record = encodeRecord(entry);
      const leafHash = hashLeaf(leafOf(record, entry));
      if (this.#closed !== undefined) throw refusal(this.#folder, "the journal is closed");
      if (this.#poison !== undefined) throw this.#poison;
      this.#waiting.push({ record, leafHash, resolve, reject });
      this.#commits ??= this.#commitAll();
    });
  }

  /**
   * Takes the private parts of durable entries away: one by one their records are written over, in
   * turn with what is appended. Whoever reads the log meanwhile, or after a crash, finds all of them
   * redacted or none. Entries that have no private part, or none any more, are passed over.
   *
   * Refused, it may be done all the same: now, or by the next start.
   * @throws {PkiError} `not-found`, and nothing is redacted; `storage`
   */
  redact(entries: readonly number[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw refusal(this.#folder, "the journal is closed");
      this.#redacting.push({ entries: [...entries], resolve, reject });
      this.#commits ??= this.#commitAll();
    });
  }

  /**
   * Changes whenever entries are redacted, when that begins and when it ends. Who has read files of the
   * log between two equal numbers, of one running server, has not read both of a record, or one record
   * of a batch redacted and another not.
   */
  get redactions(): number {
    return this.#redactor.count;
  }

  /**
   * Reads a durable entry back and compares it with the tree.
   * @throws {PkiError} `not-found`; `storage` if it cannot be read or is damaged
   */
  read(index: number): StoredEntry {
    return this.#read(index).entry;
  }

  #read(index: number): { readonly entry: StoredEntry; readonly record: Uint8Array } {
    const { segment, offset } = this.#index.placeOf(index);
    const path = join(this.#folder, segmentName(segment));
    const file = this.#handles.get(segment);
    if (!file) throw refusal(this.#folder, "the journal is closed");
    try {
      const record = this.#redactor.recordOf(index) ?? readRecordAt(file, offset);
      const entry = parseRecord(record);
      const leafHash = hashLeaf(leafOf(record, entry));
      if (isEqualBytes(leafHash, this.#index.tree.leafHash(index))) return { entry, record };
      throw new PkiError("storage", "it is not the entry that was logged");
    } catch (error) {
      throw new PkiError(
        "storage",
        `cannot read entry ${index} at byte ${offset} of "${path}": ${messageOf(error)}`,
        { hint: "put a good copy of this file in its place, from a backup", cause: error },
      );
    }
  }

  /** Waits for what is under way and closes the files; later appends are refused. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#commits;
      await this.#cutReserve().catch(() => {}); // Else the next start does.
      await closeAll(this.#handles);
      this.#handles.clear();
    })();
    return this.#closed;
  }

  async #commitAll(): Promise<void> {
    await Promise.resolve(); // What is appended in the same turn shares the first sync.
    let acknowledge = () => {};
    while (this.#waiting.length > 0 || this.#redacting.length > 0) {
      const redacting = this.#redacting.shift();
      if (redacting) {
        acknowledge();
        acknowledge = () => {};
        await this.#redact(redacting);
        continue;
      }
      const batch = this.#waiting;
      this.#waiting = [];
      // The disk gets the next batch before the last one is signed for and those of it go on: that
      // takes longer. Until the next one is synced the index stays at the last one.
      const committing = this.#commit(batch);
      acknowledge();
      acknowledge = await committing;
    }
    this.#commits = undefined;
    acknowledge();
  }

  /** Never throws: the outcome goes to the one who waits. */
  async #redact({ entries, resolve, reject }: Redacting): Promise<void> {
    if (this.#poison !== undefined) return reject(this.#poison);
    await this.#redactor.redact(entries, (index) => this.#read(index)).then(resolve, reject);
  }

  /**
   * One write, one sync. Never throws: every outcome goes to those who wait. A failure goes there at
   * once, a success by the function that is returned.
   */
  async #commit(batch: readonly Waiting[]): Promise<() => void> {
    // Not waited for in vain: whoever signs for the last batch would come before the write.
    if (this.#isSegmentFull && this.#poison === undefined) await this.#startSegment();
    if (this.#poison !== undefined) return rejectAll(batch, this.#poison);
    const segment = this.#index.segments.at(-1);
    const file = segment && this.#handles.get(segment.first);
    if (!segment || !file) return rejectAll(batch, refusal(this.#folder, "the journal is closed"));
    const { bytes: syncedBytes } = segment;
    if (this.#reserveBytes > 0) { for (const { record } of batch.slice(1)) markFollowing(record); }
    const bytes = joinRecords(batch);
    try {
      if (bytes.length > BYTES_AT_ONCE_MAX) await writeBytes(file, bytes, syncedBytes);
      else writeBytesNow(file, bytes, syncedBytes);
    } catch (error) {
      await this.#takeBack(file, syncedBytes);
      return rejectAll(batch, diskError(`cannot append to log "${this.#folder}"`, error));
    }
    const end = syncedBytes + bytes.length;
    if (this.#reserveBytes > 0 && end > this.#reservedTo) await this.#reserve(file, end);
    const startMs = performance.now();
    try {
      await file.sync();
    } catch (error) {
      this.#poisonBy("a sync failed", error);
      // As well as it goes, so that a restart does not find in the system's cache what the disk may
      // never have got. Nothing depends on it: a crash can keep these records all the same.
      await file.truncate(syncedBytes).catch(() => {});
      return rejectAll(batch, diskError(`cannot sync log "${this.#folder}"`, error));
    }
    this.#onSyncTime(performance.now() - startMs, batch.length);
    const from = this.#index.size;
    for (const { leafHash, record } of batch) this.#index.append(leafHash, record.length);
    return () => {
      try {
        this.#onSynced();
      } finally {
        batch.forEach(({ leafHash, resolve }, i) => resolve({ index: from + i, leafHash }));
      }
    };
  }

  /**
   * Writes zeros behind the records once there are none left. While writes stay within them, a sync has
   * no new length to make durable, and takes half the time. Where there is no space the file just grows.
   */
  async #reserve(file: LogFile, end: number): Promise<void> {
    this.#isReserved = true;
    try {
      this.#reservedTo = end;
      this.#reservedTo += await file.write(new Uint8Array(this.#reserveBytes), end);
    } catch {
      // What was written of it is zeros all the same.
    }
  }

  /** Takes back the space that no record needed. @throws {Error} of the system */
  async #cutReserve(): Promise<void> {
    const segment = this.#index.segments.at(-1);
    const file = segment && this.#handles.get(segment.first);
    if (!file || !this.#isReserved || this.#poison !== undefined) return;
    await file.truncate(segment.bytes);
    this.#reservedTo = segment.bytes;
    await file.sync();
    this.#isReserved = false;
  }

  get #isSegmentFull(): boolean {
    return (this.#index.segments.at(-1)?.bytes ?? 0) >= this.#segmentBytesMax;
  }

  /** Begins another file. Where the disk is full, the old one grows on. */
  async #startSegment(): Promise<void> {
    try {
      await this.#cutReserve();
    } catch (error) {
      // Zeros may be left, or an unsynced cut: behind that no other file may begin.
      return this.#poisonBy("a full file could not be cut", error);
    }
    const location = { files: this.#files, folder: this.#folder };
    const first = this.#index.size;
    let file: LogFile;
    try {
      file = await createSegment(location, first);
    } catch (error) {
      // Tried again with the next entries, which tell what is wrong with the disk. Unless it was made
      // all the same: what went on in the old file then would be in front of it.
      const isThere = await listSegments(this.#files, this.#folder).then(
        (segments) => segments.includes(first),
        () => true,
      );
      if (isThere) this.#poisonBy("a new file could not be made", error);
      return;
    }
    try {
      await this.#files.syncFolder(this.#folder);
    } catch (error) {
      await file.close().catch(() => {}); // It is out of use either way.
      return this.#poisonBy("a sync of the folder failed", error);
    }
    this.#index.startSegment();
    this.#handles.set(this.#index.size, file);
    this.#reservedTo = 0;
    this.#isReserved = false;
  }

  /**
   * Cuts what a failed write left. The cut is synced before anything is written over it: a crash
   * could else leave old records behind the torn new ones, and that looks like corruption.
   */
  async #takeBack(file: LogFile, syncedBytes: number): Promise<void> {
    this.#reservedTo = syncedBytes;
    try {
      await file.truncate(syncedBytes);
      await file.sync();
    } catch (error) {
      this.#poisonBy("a failed write could not be taken back", error);
    }
  }

  #poisonBy(what: string, cause: unknown): void {
    this.#poison = refusal(this.#folder, `${what} earlier: ${messageOf(cause)}`, cause);
  }
}

function joinRecords(batch: readonly Waiting[]): Bytes {
  const whole = new Uint8Array(batch.reduce((sum, { record }) => sum + record.length, 0));
  let at = 0;
  for (const { record } of batch) {
    whole.set(record, at);
    at += record.length;
  }
  return whole;
}

function rejectAll(batch: readonly Waiting[], error: PkiError): () => void {
  for (const { reject } of batch) reject(error);
  return () => {};
}

function refusal(folder: string, why: string, cause?: unknown): PkiError {
  return new PkiError("storage", `cannot append to log "${folder}": ${why}`, {
    hint: "look after the disk, then start again; what was acknowledged is safe",
    cause,
  });
}
