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
 * Start reading at {@link openJournal}; the format is in `lib/log/records.ts` and `docs/log.md`.
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { platform } from "node:process";
import type { Bytes } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { encodeLeaf, type StoredEntry } from "../log/entry.ts";
import { encodeFileHeader, encodeRecord, readRecords } from "../log/records.ts";
import { hashLeaf, Tree } from "../log/tree.ts";

/** The disk, as far as the journal needs it. What a method promises about a crash stands with it. */
export interface Files {
  /** Makes a folder that only its owner may enter, unless there is one. Durable after its parent's `syncFolder`. */
  makeFolder(path: string): Promise<void>;
  /**
   * Opens for reading and writing; `create` makes an empty file that only its owner may read, also
   * in place of another. A new name is durable after `syncFolder`.
   */
  open(path: string, mode: "existing" | "create"): Promise<LogFile>;
  /** Atomic: after a crash there is the old file or the new. Durable after `syncFolder`. */
  rename(from: string, to: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}

/** An open file. Before `sync` returns, any part of what was written or cut may be lost in a crash. */
export interface LogFile {
  size(): Promise<number>;
  /** Both return how many bytes it was, which may be fewer. */
  read(into: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<number>;
  truncate(length: number): Promise<void>;
  /** Makes content and length durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The real disk. */
export const diskFiles: Files = {
  async makeFolder(path) {
    try {
      await settle((done) => fs.mkdir(path, { mode: 0o700 }, done));
    } catch (error) {
      if (systemCodeOf(error) !== "EEXIST") throw error;
    }
  },
  async open(path, mode) {
    const flags = mode === "create" ? "w+" : "r+";
    return diskFile(await settle<number>((done) => fs.open(path, flags, 0o600, done)));
  },
  async rename(from, to) {
    await settle((done) => fs.rename(from, to, done));
  },
  async syncFolder(path) {
    // Windows has no such thing, and makes names durable by itself.
    if (platform === "win32") return;
    const fd = await settle<number>((done) => fs.open(path, "r", done));
    try {
      await settle((done) => fs.fsync(fd, done));
    } finally {
      await settle((done) => fs.close(fd, done));
    }
  },
};

function diskFile(fd: number): LogFile {
  return {
    async size() {
      return (await settle<fs.Stats>((done) => fs.fstat(fd, done))).size;
    },
    read: (into, position) =>
      settle((done) => fs.read(fd, into, 0, into.length, position, (error, n) => done(error, n))),
    write: (bytes, position) =>
      settle((done) =>
        fs.write(fd, bytes, 0, bytes.length, position, (error, n) => done(error, n))
      ),
    truncate: (length) => settle((done) => fs.ftruncate(fd, length, done)),
    sync: () => settle((done) => fs.fdatasync(fd, done)),
    close: () => settle((done) => fs.close(fd, done)),
  };
}

/** A promise of what a function with a callback gives. `promisify` names results differently in each engine. */
function settle<T = void>(start: (done: (error: Error | null, value?: T) => void) => void) {
  return new Promise<T>((resolve, reject) =>
    start((error, value) => error ? reject(error) : resolve(value as T))
  );
}

/** Where an entry went. */
export interface Appended {
  /** How many entries stand before it in the log. */
  readonly index: number;
  readonly leafHash: Bytes;
}

export interface OpenedJournal {
  readonly journal: Journal;
  /** All entries, in order. */
  readonly entries: readonly StoredEntry[];
  /** What a crash had left behind the last whole record, and was cut. */
  readonly bytesCut: number;
  /** Whether there was no log and one was made. */
  readonly isNew: boolean;
}

/** Named after the index of its first entry. */
const FILE_NAME = "000000000000.log";

/** Most engines refuse to read 2 GiB or more at once. */
const READ_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Opens the journal in a folder, which is made if its parent is there. Cuts a torn tail; changes
 * nothing in a damaged log.
 * @throws {PkiError} `storage` if the log is damaged or cannot be read, or a new one not be made
 */
export async function openJournal(
  folder: string,
  { files = diskFiles }: { files?: Files } = {},
): Promise<OpenedJournal> {
  const path = join(folder, FILE_NAME);
  let file: LogFile | undefined;
  try {
    file = await openExisting(path, files);
    const isNew = file === undefined;
    file ??= await createFile(folder, files);
    const bytes = await readWhole(file);
    const entries: StoredEntry[] = [];
    const tree = new Tree();
    const end = readRecords(bytes, ({ entry }) => {
      entries.push(entry);
      tree.append(hashLeaf(encodeLeaf(entry)));
    });
    if (end.status === "corrupt") {
      throw new PkiError("storage", `cannot read log "${path}": ${end.reason}`, {
        hint: "nothing was changed; put a good copy of this file in its place, from a backup",
      });
    }
    if (end.status === "torn") await file.truncate(end.offset);
    // Also without a cut, and also the name: whoever died before us may have written and not synced,
    // and from now on what is there counts as part of the log.
    await file.sync();
    await files.syncFolder(folder);
    const journal = new Journal(file, { path, syncedBytes: end.offset, tree });
    return { journal, entries, bytesCut: bytes.length - end.offset, isNew };
  } catch (error) {
    await file?.close().catch(() => {}); // The first failure is the one to tell.
    throw error instanceof PkiError ? error : storageError(`cannot open log "${path}"`, error);
  }
}

async function openExisting(path: string, files: Files): Promise<LogFile | undefined> {
  try {
    return await files.open(path, "existing");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Makes an empty log. It gets its name, which the caller makes durable, only once it is whole: a
 * log without a header is therefore damaged and not new.
 */
async function createFile(folder: string, files: Files): Promise<LogFile> {
  await files.makeFolder(folder);
  // Also when it was there: a start that made it may have died before this line.
  await files.syncFolder(dirname(folder));
  const path = join(folder, FILE_NAME);
  const file = await files.open(`${path}.new`, "create");
  try {
    await writeWhole(file, encodeFileHeader(), 0);
    await file.sync();
    await files.rename(`${path}.new`, path);
    return file;
  } catch (error) {
    await file.close().catch(() => {}); // The first failure is the one to tell.
    throw error;
  }
}

async function readWhole(file: LogFile): Promise<Bytes> {
  const bytes = new Uint8Array(await file.size());
  for (let at = 0; at < bytes.length;) {
    const count = await file.read(bytes.subarray(at, at + READ_BYTES_MAX), at);
    if (count === 0) throw new Error(`the file ended at byte ${at} of ${bytes.length}`);
    at += count;
  }
  return bytes;
}

/** A short write is a failure: the rest would fail too, as on a full disk. */
async function writeWhole(file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
  const count = await file.write(bytes, position);
  if (count !== bytes.length) {
    throw new Error(`only ${count} of ${bytes.length} bytes were written`);
  }
}

/** An append that has not been acknowledged. */
interface Waiting {
  readonly record: Bytes;
  readonly leafHash: Bytes;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: PkiError) => void;
}

export class Journal {
  readonly #file: LogFile;
  readonly #path: string;
  /** What was synced, as a tree and as the length of the file; only `#commit` moves them. */
  readonly #tree: Tree;
  #syncedBytes: number;

  #waiting: Waiting[] = [];
  /** The one run of `#commitAll`, while there is something to commit. */
  #commits: Promise<void> | undefined;
  /** Why nothing can be appended any more. */
  #poison: PkiError | undefined;
  #closed: Promise<void> | undefined;

  /** For {@link openJournal}. `syncedBytes` is the length of the file, all of it synced. */
  constructor(
    file: LogFile,
    at: { readonly path: string; readonly syncedBytes: number; readonly tree: Tree },
  ) {
    this.#file = file;
    this.#path = at.path;
    this.#syncedBytes = at.syncedBytes;
    this.#tree = at.tree;
  }

  /** How many entries are durable. */
  get size(): number {
    return this.#tree.size;
  }

  /** The root of the tree over the entries that are durable. */
  treeRoot(): Bytes {
    return this.#tree.root();
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
      const leafHash = hashLeaf(encodeLeaf(entry));
      if (this.#closed !== undefined) throw refusal(this.#path, "the journal is closed");
      if (this.#poison !== undefined) throw this.#poison;
      this.#waiting.push({ record, leafHash, resolve, reject });
      this.#commits ??= this.#commitAll();
    });
  }

  /** Waits for what is under way and closes the file; later appends are refused. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#commits;
      await this.#file.close();
    })();
    return this.#closed;
  }

  async #commitAll(): Promise<void> {
    await Promise.resolve(); // What is appended in the same turn shares the first sync.
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#commit(batch);
    }
    this.#commits = undefined;
  }

  /** One write, one sync. Never throws: every outcome goes to those who wait. */
  async #commit(batch: readonly Waiting[]): Promise<void> {
    if (this.#poison !== undefined) return rejectAll(batch, this.#poison);
    const bytes = joinRecords(batch);
    try {
      await writeWhole(this.#file, bytes, this.#syncedBytes);
    } catch (error) {
      await this.#takeBack();
      return rejectAll(batch, storageError(`cannot append to log "${this.#path}"`, error));
    }
    try {
      await this.#file.sync();
    } catch (error) {
      this.#poisonBy("a sync failed", error);
      // As well as it goes, so that a restart does not find in the system's cache what the disk may
      // never have got. Nothing depends on it: a crash can keep these records all the same.
      await this.#file.truncate(this.#syncedBytes).catch(() => {});
      return rejectAll(batch, storageError(`cannot sync log "${this.#path}"`, error));
    }
    this.#syncedBytes += bytes.length;
    for (const { leafHash, resolve } of batch) {
      const index = this.#tree.size;
      this.#tree.append(leafHash);
      resolve({ index, leafHash });
    }
  }

  /**
   * Cuts what a failed write left. The cut is synced before anything is written over it: a crash
   * could else leave old records behind the torn new ones, and that looks like corruption.
   */
  async #takeBack(): Promise<void> {
    try {
      await this.#file.truncate(this.#syncedBytes);
      await this.#file.sync();
    } catch (error) {
      this.#poisonBy("a failed write could not be taken back", error);
    }
  }

  #poisonBy(what: string, cause: unknown): void {
    this.#poison = refusal(this.#path, `${what} earlier: ${messageOf(cause)}`, cause);
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

function rejectAll(batch: readonly Waiting[], error: PkiError): void {
  for (const { reject } of batch) reject(error);
}

function refusal(path: string, why: string, cause?: unknown): PkiError {
  return new PkiError("storage", `cannot append to log "${path}": ${why}`, {
    hint: "look after the disk, then start again; what was acknowledged is safe",
    cause,
  });
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space",
  EDQUOT: "the quota is used up: free some space",
  EACCES: "the log belongs to the user who runs the server: check its owner and mode",
  EROFS: "the disk is mounted read-only",
};

function storageError(what: string, cause: unknown): PkiError {
  const hint = HINTS[systemCodeOf(cause) ?? ""] ?? "look after the disk";
  return new PkiError("storage", `${what}: ${messageOf(cause)}`, { hint, cause });
}
