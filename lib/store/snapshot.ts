/**
 * The snapshot `state.db`: the tables and the index of the log as one SQLite file that the `sqlite3`
 * program opens. It names the size and the root of the log that it stands for. Behind the last page,
 * where SQLite does not look, is a seal: SHA-256 over all before it, so that a damaged snapshot is
 * never taken for the truth. It is never needed: the log alone is enough.
 */

import { encodeHex, isEqualBytes, sha256, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { HASH_BYTES, TILE_LEAVES } from "../log/tree.ts";
import type { Database } from "./database.ts";
import { LogIndex, type Segment } from "./log_index.ts";
import { type Files, openIfThere, readBytes } from "./disk.ts";
import { needsLog } from "./schema.ts";
import { type LogReading, readLog, type ReadLogOptions } from "./segments.ts";
import { State } from "./state.ts";

const SEAL_TITLE = utf8("pki state seal 1\n");
const SEAL_BYTES = SEAL_TITLE.length + HASH_BYTES;

/** Where SQLite keeps `user_version` (its file format, section 1.3). */
const USER_VERSION_AT = 60;
const SQLITE_HEADER_BYTES = 100;

export interface Snapshot {
  readonly state: State;
  readonly index: LogIndex;
}

export interface LoadedSnapshot extends Snapshot {
  /** How long it is on disk. */
  readonly bytes: number;
}

/** The snapshot in a file, if there is one. @throws {PkiError} `storage`; {Error} of the system */
export async function readSnapshot(
  files: Files,
  path: string,
): Promise<LoadedSnapshot | undefined> {
  const file = await openIfThere(files, path, "read");
  if (!file) return undefined;
  try {
    const bytes = await readBytes(file);
    return { ...parseSnapshot(bytes), bytes: bytes.length };
  } finally {
    await file.close();
  }
}

/**
 * Brings tables and index from where they are to the end of the log.
 * @throws {PkiError} `storage` if the log is damaged or does not follow
 */
export async function replayLog(
  state: State,
  options: Omit<ReadLogOptions, "onEntry">,
): Promise<LogReading> {
  state.startBulk();
  const reading = await readLog({
    ...options,
    onEntry: (entry, index) => state.apply(entry, index),
  });
  state.endBulk();
  return reading;
}

export interface SnapshotOptions {
  /**
   * Whether nothing may be left of what the tables held once. SQLite overwrites what is deleted, but
   * pages keep copies of rows that it has moved: only writing all of them anew is certain.
   */
  readonly forgets?: boolean;
  /** Whose copy in `certs/` is still to be written. */
  readonly missingCopies?: readonly string[];
}

/**
 * The tables and the index as a file, in parts that belong one behind the other. What the tables
 * held of an earlier snapshot is brought up to date.
 */
export function encodeSnapshot(
  { state, index }: Snapshot,
  { forgets = false, missingCopies = [] }: SnapshotOptions = {},
): readonly Uint8Array[] {
  const { database } = state;
  state.settle();
  database.transaction(() => {
    const put = database.query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)");
    put.run("log_size", String(index.size));
    put.run("log_root", encodeHex(index.tree.root()));
    put.run("missing_copies", missingCopies.join(" "));
    const [[last]] = database.query("SELECT coalesce(max(tile), 0) FROM log_tiles").values() as [
      [number],
    ];
    const putTile = database.query(
      "INSERT OR REPLACE INTO log_tiles (tile, hashes, offsets) VALUES (?, ?, ?)",
    );
    for (let tile = last; tile * TILE_LEAVES < index.size; tile++) {
      const { hashes, offsets } = index.encodeTile(tile);
      putTile.run(tile, hashes, offsets);
    }
    const putSegment = database.query(
      "INSERT OR REPLACE INTO log_segments (first, bytes) VALUES (?, ?)",
    );
    for (const { first, bytes } of index.segments) putSegment.run(first, bytes);
  })();
  if (forgets) rewritePages(database);
  const file = database.serialize();
  return [file, SEAL_TITLE, sha256(file)];
}

/**
 * Whose copy in `certs/` was still to be written when the snapshot was taken that these tables come
 * from; nobody's where they come from none, or from one of a version that took none then.
 */
export function missingCopiesOf({ database }: State): readonly string[] {
  const found = database.query<{ value: string }, []>(
    "SELECT value FROM meta WHERE key = 'missing_copies'",
  ).get();
  return found ? found.value.split(" ").filter((id) => id !== "") : [];
}

/**
 * Writes all pages anew. What SQLite gathers meanwhile is not kept in a file: sql.js lets one grow by
 * copying it again and again, which comes to nine times its size. Nor is there a journal: whom this
 * fails has no use for the tables any more.
 */
function rewritePages(database: Database): void {
  database.exec("PRAGMA temp_store = MEMORY; PRAGMA journal_mode = OFF");
  database.exec("VACUUM");
  database.exec("PRAGMA journal_mode = MEMORY");
}

/**
 * Reads a snapshot.
 * @throws {PkiError} `storage` with the reason why it cannot be used
 */
export function parseSnapshot(bytes: Uint8Array): Snapshot {
  const file = checkSeal(bytes);
  const state = State.load(file);
  try {
    const index = loadIndex(state);
    const meta = state.database.query<{ key: string; value: string }, []>(
      "SELECT key, value FROM meta",
    ).all();
    const { log_size: size, log_root: root } = Object.fromEntries(
      meta.map(({ key, value }) => [key, value]),
    );
    if (String(index.size) !== size || encodeHex(index.tree.root()) !== root) {
      throw new PkiError("storage", "its tables do not add up to its own tree head");
    }
    return { state, index };
  } catch (error) {
    state.close();
    throw error;
  }
}

/** The SQLite file in a snapshot that is whole. @throws {PkiError} `storage` */
export function checkSeal(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - SEAL_BYTES;
  if (end < SQLITE_HEADER_BYTES || !isAt(bytes, end, SEAL_TITLE)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const version = bytes.length < SQLITE_HEADER_BYTES ? 0 : view.getUint32(USER_VERSION_AT);
    throw new PkiError(
      "storage",
      version > 0 && needsLog(version) ? "it is of an earlier version of pki" : "it has no seal",
    );
  }
  const file = bytes.subarray(0, end);
  if (!isEqualBytes(sha256(file), bytes.subarray(end + SEAL_TITLE.length))) {
    throw new PkiError("storage", "it is damaged");
  }
  return file;
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  return isEqualBytes(bytes.subarray(at, at + wanted.length), wanted);
}

function loadIndex(state: State): LogIndex {
  const index = new LogIndex();
  const tiles = state.database.query<{ hashes: Uint8Array; offsets: Uint8Array }, []>(
    "SELECT hashes, offsets FROM log_tiles ORDER BY tile",
  );
  for (const { hashes, offsets } of tiles.iterate()) index.appendTile(hashes, offsets);
  index.restoreSegments(
    state.database.query<Segment, []>("SELECT first, bytes FROM log_segments ORDER BY first").all(),
  );
  return index;
}
