/**
 * Takes the private parts of entries away where they are: first it is written down what is going to
 * be done (`redaction_file.ts`), then record after record is written over, then that is said to be
 * done. The journal calls it in turn with what it appends.
 */

import { randomInt } from "node:crypto";
import type { Bytes } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import type { StoredEntry } from "../log/entry.ts";
import { redactRecord } from "../log/records.ts";
import type { RedactedRecord } from "../log/redaction.ts";
import { diskError, type LogFile } from "./disk.ts";
import type { LogIndex } from "./log_index.ts";
import {
  carryOutRedaction,
  type Redaction,
  redactionPath,
  removeRedaction,
  writeRedaction,
} from "./redaction_file.ts";
import type { LogLocation } from "./segments.ts";

/** Where the count begins, at random, so that two servers one after the other do not agree. */
const COUNT_START_MAX = 2 ** 32;

export interface RedactorOptions extends LogLocation {
  readonly index: LogIndex;
  /** All segments, open, by their first entry. */
  readonly handles: ReadonlyMap<number, LogFile>;
  /** Records were begun to be written over, and that failed: only the next start can finish. */
  readonly onUnfinished: (cause: unknown) => void;
}

export class Redactor {
  readonly #options: RedactorOptions;
  /** Records that are being written over, or may be half written over. */
  #redacted: ReadonlyMap<number, Bytes> = new Map();
  #count = randomInt(COUNT_START_MAX);

  constructor(options: RedactorOptions) {
    this.#options = options;
  }

  /** Changes whenever entries are redacted: when a batch begins, when it ends, and with each call. */
  get count(): number {
    return this.#count;
  }

  /** What an entry's record is, where the disk may have neither what it was nor what it will be. */
  recordOf(index: number): Bytes | undefined {
    return this.#redacted.get(index);
  }

  /**
   * Redacts entries in one batch; more than `LIMITS.redactionBytesMax` of them in several, the newest
   * first, so that an account keeps its beginning as long as it has anything.
   * @param read an entry, and the whole record of it
   * @throws {PkiError} `not-found` before anything is done; `storage`
   */
  async redact(
    entries: readonly number[],
    read: (index: number) => { readonly entry: StoredEntry; readonly record: Uint8Array },
  ): Promise<void> {
    const { index: log } = this.#options;
    const newestFirst = [...new Set(entries)].sort((a, b) => b - a);
    for (const index of newestFirst) log.placeOf(index);
    let batch: RedactedRecord[] = [];
    let bytes = 0;
    for (const index of newestFirst) {
      const { entry, record } = read(index);
      if (entry.private === null || entry.private === "redacted") continue;
      if (bytes + record.length > LIMITS.redactionBytesMax) {
        await this.#redactBatch(batch.reverse());
        [batch, bytes] = [[], 0];
      }
      batch.push({ index, ...log.placeOf(index), record: redactRecord(record) });
      bytes += record.length;
    }
    if (batch.length > 0) await this.#redactBatch(batch.reverse());
    // Also where they were redacted already: whoever asks knows of something that has them.
    if (entries.length > 0) this.#count++;
  }

  async #redactBatch(redaction: Redaction): Promise<void> {
    const { files, folder, handles, onUnfinished } = this.#options;
    const fail = (cause: unknown) => diskError(`cannot redact log "${folder}"`, cause);
    this.#count++;
    try {
      try {
        await writeRedaction({ files, folder }, redaction);
      } catch (error) {
        // It may be there all the same. If it stays, the next start does what it says.
        await files.remove(redactionPath(folder)).catch(() => {});
        throw fail(error);
      }
      this.#redacted = new Map(redaction.map(({ index, record }) => [index, record]));
      try {
        await carryOutRedaction(redaction, handles);
      } catch (error) {
        // Another batch would take the place of what is needed to finish this one.
        onUnfinished(error);
        throw fail(error);
      }
      this.#redacted = new Map();
      // If it stays, the next start does it once more, which changes nothing.
      await removeRedaction({ files, folder }).catch(() => {});
    } finally {
      this.#count++;
    }
  }
}
