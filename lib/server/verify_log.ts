/**
 * Walks the segments of a log for {@link verifyFolder}: every record, the tree, and the tables that
 * they add up to, compared with those of the snapshot at the entry that it stands for. Unlike
 * `segments.ts` it goes on after a damaged record, with the next segment.
 */

import { join } from "node:path";
import { isEqualBytes } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { encodeLeaf, type StoredEntry } from "../log/entry.ts";
import { faultOfHeader, FILE_HEADER_BYTES, readRecords } from "../log/records.ts";
import { hashLeaf, TILE_LEAVES } from "../log/tree.ts";
import { type Files, openIfThere, readBytes } from "../store/disk.ts";
import { LogIndex, type Segment } from "../store/log_index.ts";
import {
  faultInLog,
  findRedaction,
  type Redaction,
  redactionPath,
  redactPortion,
} from "../store/redaction_file.ts";
import { listSegments, segmentName } from "../store/segments.ts";
import type { Snapshot } from "../store/snapshot.ts";
import { State } from "../store/state.ts";

type Report = (where: string, what: string) => void;

export interface WalkOptions {
  readonly files: Files;
  readonly folder: string;
  readonly snapshot: Snapshot | undefined;
  readonly snapshotPath: string;
  /** How far to read, where somebody may be appending. */
  readonly until?: readonly Segment[];
  readonly onEntry: (entry: StoredEntry, index: number) => void;
  readonly onError: Report;
  readonly onNote: Report;
  readonly onBytes?: (done: number) => void;
}

export interface LogFacts {
  /** Of the entries before the first fault. */
  readonly index: LogIndex;
  /** Whether no entry is damaged or missing before the end. */
  readonly isWhole: boolean;
}

const TABLES = [
  ["accounts", "id"],
  ["account_entries", "entry"],
  ["invitations", "entry"],
  ["certificates", "entry"],
  ["published", "id"],
] as const;

export async function walkLog(options: WalkOptions): Promise<LogFacts> {
  const walk = new Walk(options);
  try {
    await walk.run();
    return { index: walk.index, isWhole: walk.isWhole };
  } finally {
    walk.close();
  }
}

class Walk {
  readonly #options: WalkOptions;
  readonly #state = State.empty();
  readonly index = new LogIndex();
  isWhole = true;
  #isApplied = true;
  #doneBytes = 0;
  /** What a crash kept from being redacted is read as if it were. */
  #redaction: Redaction = [];
  readonly #redacted: number[] = [];

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  close(): void {
    this.#state.close();
  }

  async run(): Promise<void> {
    const { files, folder, until, onError, snapshot, snapshotPath } = this.#options;
    let firsts: readonly number[] = [];
    try {
      firsts = until?.map(({ first }) => first) ?? await listSegments(files, folder);
      await this.#lookForOthers();
      await this.#findRedaction();
    } catch (error) {
      onError(folder, messageOf(error));
      this.isWhole = false;
    }
    this.#state.startBulk();
    this.#compareSnapshot();
    let next = 0;
    for (const first of firsts) {
      const path = join(folder, segmentName(first));
      if (first !== next) {
        onError(path, `entries ${next} to ${first - 1} are missing before it`);
        this.isWhole = false;
      }
      try {
        next = await this.#readSegment({ path, first, isLast: first === firsts.at(-1) });
      } catch (error) {
        if (error instanceof PkiError) throw error; // of whoever was told of entries and bytes
        onError(path, messageOf(error));
        this.isWhole = false;
        next = first;
      }
    }
    this.#state.endBulk();
    this.#checkRedaction();
    if (snapshot && this.isWhole && snapshot.index.size > this.index.size) {
      const { size } = snapshot.index;
      onError(snapshotPath, `it stands for ${size} entries, the log has ${this.index.size}`);
    }
  }

  async #lookForOthers(): Promise<void> {
    const { files, folder, onNote } = this.#options;
    for (const name of await files.list(folder)) {
      if (/^\d{12}\.log$/.test(name) || ["checkpoint", "redact"].includes(name)) continue;
      onNote(join(folder, name), "it is no part of the log");
    }
  }

  async #findRedaction(): Promise<void> {
    const { files, folder, onError } = this.#options;
    const { redaction, fault } = await findRedaction({ files, folder });
    this.#redaction = redaction;
    if (fault !== undefined) onError(redactionPath(folder), fault);
  }

  /** That it is about entries of this log, once that is known. */
  #checkRedaction(): void {
    const { folder, onError, onNote, until } = this.#options;
    const path = redactionPath(folder);
    // A running server does it, and may have gone on.
    const count = this.#redaction.length;
    if (count === 0 || until || !this.isWhole) return;
    const faults = this.#redaction.map((record) => faultInLog(record, this.index))
      .filter((fault) => fault !== undefined);
    for (const fault of faults) onError(path, fault);
    if (faults.length > 0) return;
    onNote(path, `a crash kept entries from being redacted (${count}); the next start does it`);
  }

  /** Returns the index of the entry that follows. */
  async #readSegment({ path, first, isLast }: {
    readonly path: string;
    readonly first: number;
    readonly isLast: boolean;
  }): Promise<number> {
    const { files, until, onError, onNote, onEntry } = this.#options;
    const file = await openIfThere(files, path, "read");
    if (!file) throw new Error("it is missing");
    try {
      const fileBytes = await file.size();
      const durableBytes = until?.find((segment) => segment.first === first)?.bytes;
      if (durableBytes !== undefined && fileBytes < durableBytes) {
        onError(path, `it has ${fileBytes} bytes, the server has written ${durableBytes}`);
        this.isWhole = false;
      }
      const bytes = Math.min(fileBytes, durableBytes ?? fileBytes);
      const content = await readBytes(file, 0, bytes);
      const misfit = redactPortion(content, this.#redaction, { first, from: 0 });
      if (misfit !== undefined) {
        onError(redactionPath(this.#options.folder), misfit);
        this.#redaction = []; // Once is enough.
      }
      const fault = faultOfHeader(content.subarray(0, FILE_HEADER_BYTES), first);
      if (fault !== undefined) throw new Error(fault);
      this.#count(FILE_HEADER_BYTES);
      if (this.isWhole) this.index.startSegment();
      let next = first;
      const start = { index: first, offset: FILE_HEADER_BYTES };
      const end = readRecords(content.subarray(FILE_HEADER_BYTES), start, (record) => {
        this.#take(record.entry, record);
        onEntry(record.entry, record.index);
        this.#count(record.recordBytes);
        next = record.index + 1;
      });
      if (end.status === "complete" && (isLast || end.offset === bytes)) return next;
      if (end.status === "complete") {
        throw new Error(
          `${bytes - end.offset} zeros follow its last record, and another segment follows`,
        );
      }
      if (end.status === "torn" && isLast && durableBytes === undefined) {
        // Whether something is missing the checkpoints tell.
        onNote(
          path,
          `the last ${
            bytes - end.offset
          } bytes were never acknowledged; the next start cuts them off`,
        );
        return next;
      }
      onError(path, end.reason);
      this.isWhole = false;
      return next;
    } finally {
      await file.close();
    }
  }

  #count(bytes: number): void {
    this.#doneBytes += bytes;
    this.#options.onBytes?.(this.#doneBytes);
  }

  #take(
    entry: StoredEntry,
    { index, recordBytes }: { readonly index: number; readonly recordBytes: number },
  ): void {
    if (!this.isWhole) return;
    if (entry.private === "redacted") this.#redacted.push(index);
    if (this.#isApplied) {
      try {
        this.#state.apply(entry, index);
      } catch (error) {
        this.#isApplied = false;
        this.#options.onError(`${this.#options.folder}, entry ${index}`, messageOf(error));
      }
    }
    this.index.append(hashLeaf(encodeLeaf(entry)), recordBytes);
    this.#compareSnapshot();
  }

  /** Compares once the log is as long as it was for the snapshot. */
  #compareSnapshot(): void {
    const { snapshot, snapshotPath, onError } = this.#options;
    if (!snapshot || snapshot.index.size !== this.index.size) return;
    const { index, state } = snapshot;
    if (!isEqualBytes(index.tree.root(), this.index.tree.root())) {
      return onError(
        snapshotPath,
        `it is not of this log: the tree of ${index.size} entries is another`,
      );
    }
    for (let tile = 0; tile * TILE_LEAVES < index.size; tile++) {
      const [theirs, ours] = [index.encodeTile(tile), this.index.encodeTile(tile)];
      if (isEqualBytes(theirs.hashes, ours.hashes) && isEqualBytes(theirs.offsets, ours.offsets)) {
        continue;
      }
      onError(snapshotPath, `its index of the log differs from entry ${tile * TILE_LEAVES} on`);
      break;
    }
    if (describe(index) !== describe(this.index)) {
      onError(snapshotPath, "its list of segments is not that of the log");
    }
    if (!this.#isApplied) return;
    this.#passOverRedacted(snapshot);
    for (const [table, key] of TABLES) {
      const difference = firstDifference(
        state,
        this.#state,
        `SELECT * FROM ${table} ORDER BY ${key}`,
      );
      if (difference === undefined) continue;
      onError(
        snapshotPath,
        `table "${table}" is not what the log adds up to, from row ${difference} on`,
      );
    }
  }

  /**
   * Takes out of the snapshot what the log cannot tell any more: it is older than the redaction. An
   * account is that of which every entry is redacted.
   */
  #passOverRedacted({ state: { database } }: Snapshot): void {
    const { onNote, snapshotPath, until } = this.#options;
    const find = database.query<{ id: string }, [number]>(
      "SELECT id FROM account_entries WHERE entry = ?",
    );
    const known = this.#redacted.flatMap((entry) => {
      const row = find.get(entry);
      return row ? [{ entry, id: row.id }] : [];
    });
    if (known.length === 0) return;
    for (const { entry } of known) {
      database.query("DELETE FROM account_entries WHERE entry = ?").run(entry);
    }
    for (const id of new Set(known.map(({ id }) => id))) {
      database.query(
        `DELETE FROM accounts WHERE id = ? AND deleted_ms IS NULL AND
         NOT EXISTS (SELECT 1 FROM account_entries WHERE account_entries.id = accounts.id)`,
      ).run(id);
    }
    // A running server makes the next one at once.
    if (until) return;
    onNote(
      snapshotPath,
      `it has private parts of ${known.length} entries that were redacted since; ` +
        "the next start makes another",
    );
  }
}

function firstDifference(one: State, other: State, sql: string): number | undefined {
  const [mine, theirs] = [one, other].map(({ database }) =>
    database.query(sql).iterate()[Symbol.iterator]()
  );
  for (let row = 1;; row++) {
    const [a, b] = [mine?.next(), theirs?.next()];
    if (JSON.stringify(a?.value) !== JSON.stringify(b?.value)) return row;
    if (a?.done || b?.done) return a?.done === b?.done ? undefined : row;
  }
}

/** Where the segments end; one without an entry may be there already, or not yet. */
function describe({ segments }: LogIndex): string {
  return JSON.stringify(segments.filter(({ bytes }) => bytes > FILE_HEADER_BYTES));
}
