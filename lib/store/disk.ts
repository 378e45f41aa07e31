/**
 * The disk, as far as the store needs it, and what each step promises about a crash. Everything that
 * has to last goes through {@link Files}, so that tests can make any step fail.
 */

import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { platform } from "node:process";
import type { Bytes } from "../base/bytes.ts";
import { type PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";

export interface Files {
  /** Makes a folder that only its owner may enter, unless there is one. Durable after its parent's `syncFolder`. */
  makeFolder(path: string): Promise<void>;
  /** Names in a folder, in no order. */
  list(path: string): Promise<readonly string[]>;
  /**
   * Opens for reading and writing, or only for reading; `create` makes an empty file that only its
   * owner may read, also in place of another. A new name is durable after `syncFolder`.
   */
  open(path: string, mode: "existing" | "read" | "create"): Promise<LogFile>;
  /** Atomic: after a crash there is the old file or the new. Durable after `syncFolder`. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}

/** An open file. Before `sync` returns, any part of what was written or cut may be lost in a crash. */
export interface LogFile {
  size(): Promise<number>;
  /**
   * Reads and writes return how many bytes it was, which may be fewer. `read` and `writeNow` block:
   * they are for what the system's cache answers in microseconds.
   */
  read(into: Uint8Array, position: number): number;
  write(bytes: Uint8Array, position: number): Promise<number>;
  writeNow(bytes: Uint8Array, position: number): number;
  truncate(length: number): Promise<void>;
  /** Makes content and length durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const OPEN_FLAGS = { existing: "r+", read: "r", create: "w+" } as const;

/** The real disk. */
export const diskFiles: Files = {
  async makeFolder(path) {
    try {
      await settle((done) => fs.mkdir(path, { mode: 0o700 }, done));
    } catch (error) {
      if (systemCodeOf(error) !== "EEXIST") throw error;
    }
  },
  list: (path) => settle<string[]>((done) => fs.readdir(path, done)),
  async open(path, mode) {
    return diskFile(
      await settle<number>((done) => fs.open(path, OPEN_FLAGS[mode], 0o600, done)),
    );
  },
  async rename(from, to) {
    await settle((done) => fs.rename(from, to, done));
  },
  async remove(path) {
    await settle((done) => fs.unlink(path, done));
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
    read: (into, position) => fs.readSync(fd, into, 0, into.length, position),
    write: (bytes, position) =>
      settle((done) =>
        fs.write(fd, bytes, 0, bytes.length, position, (error, n) => done(error, n))
      ),
    writeNow: (bytes, position) => fs.writeSync(fd, bytes, 0, bytes.length, position),
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

/** Opens a file that may not be there. */
export async function openIfThere(
  files: Files,
  path: string,
  mode: "existing" | "read",
): Promise<LogFile | undefined> {
  try {
    return await files.open(path, mode);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Most engines refuse to read 2 GiB or more at once. */
const READ_BYTES_MAX = 64 * 1024 * 1024;

/** The bytes of a file from one offset to another, or to its end. */
export async function readBytes(file: LogFile, from = 0, to?: number): Promise<Bytes> {
  const end = to ?? await file.size();
  const bytes = new Uint8Array(Math.max(0, end - from));
  for (let at = 0; at < bytes.length;) {
    const count = file.read(bytes.subarray(at, at + READ_BYTES_MAX), from + at);
    if (count === 0) throw new Error(`the file ended at byte ${from + at} of ${end}`);
    at += count;
  }
  return bytes;
}

/** A short write is a failure: the rest would fail too, as on a full disk. */
export async function writeBytes(file: LogFile, bytes: Uint8Array, position: number) {
  checkWritten(await file.write(bytes, position), bytes.length);
}

/** As {@link writeBytes}, while everything else waits: for a few KB it costs less than to have it done. */
export function writeBytesNow(file: LogFile, bytes: Uint8Array, position: number) {
  checkWritten(file.writeNow(bytes, position), bytes.length);
}

function checkWritten(count: number, wanted: number): void {
  if (count !== wanted) {
    throw Object.assign(new Error(`only ${count} of ${wanted} bytes were written`), {
      code: "ENOSPC",
    });
  }
}

/**
 * Writes a file whole or not at all, and durably: beside it as `.new`, synced, renamed, folder synced.
 * `parts` come one behind the other. For one writer at a time.
 */
export async function replaceFile(
  files: Files,
  path: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  const temporary = join(dirname(path), `${basename(path)}.new`);
  try {
    const file = await files.open(temporary, "create");
    try {
      let at = 0;
      for (const part of parts) {
        await writeBytes(file, part, at);
        at += part.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary).catch(() => {}); // The first failure is the one to tell.
    throw error;
  }
  await files.syncFolder(dirname(path));
}

/** Why the log or a snapshot could not be read or written. */
export function diskError(what: string, cause: unknown): PkiError {
  return storageError(what, cause, "look after the disk");
}
