/**
 * A file that is being sent: read from front to back with bounded memory, and noticed when it is not
 * what it was any more. Symbolic links are not followed, and whatever else than a file has taken its
 * place is not opened for good.
 */

import { createHash, type Hash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import type { SentFile } from "./file_walk.ts";

/** Read at once: as many whole frames as fit into a mebibyte, so that no frame is a short one. */
const FRAME_FILE_BYTES = 65_531;
const READ_BYTES = 16 * FRAME_FILE_BYTES;

/** What is said of a file that is not what it was. */
export function changed(location: string): PkiError {
  return new PkiError("conflict", `cannot send "${location}": it changed while it was sent`, {
    hint: "send it again when nobody writes to it",
  });
}

export class FileSource {
  readonly #handle: FileHandle;
  readonly #location: string;
  /** As it was when it was opened. */
  readonly #first: Stats;
  readonly size: number;
  #hash: Hash = createHash("sha256");
  #position = 0;

  private constructor(handle: FileHandle, location: string, stats: Stats) {
    this.#handle = handle;
    this.#location = location;
    this.#first = stats;
    this.size = stats.size;
  }

  /**
   * Opens a file as it is now.
   * @throws {PkiError} `storage` if that is not possible, `conflict` if there is another file by now
   */
  static async open({ location }: SentFile): Promise<FileSource> {
    let handle: FileHandle;
    try {
      // A named pipe would have us wait for a writer.
      const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
      handle = await open(location, flags);
    } catch (error) {
      if (systemCodeOf(error) === "ELOOP") throw changed(location);
      throw storageError(`cannot send "${location}"`, error, "check its mode");
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw changed(location);
      return new FileSource(handle, location, stats);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get permissions(): number {
    return this.#first.mode & 0o777;
  }

  get modifiedMs(): number {
    return Math.trunc(this.#first.mtimeMs);
  }

  /** SHA-256 of everything up to here, base64. */
  get sha256(): string {
    return this.#hash.copy().digest("base64");
  }

  /**
   * Whether the first so many bytes have this SHA-256 (base64). If so, reading goes on behind them;
   * else it begins at the front.
   */
  async skip(bytes: number, sha256: string): Promise<boolean> {
    while (this.#position < bytes) {
      const piece = await this.#read(Math.min(READ_BYTES, bytes - this.#position));
      if (piece.length === 0) break;
      this.#hash.update(piece);
      this.#position += piece.length;
    }
    if (this.#position === bytes && this.sha256 === sha256) return true;
    this.#hash = createHash("sha256");
    this.#position = 0;
    return false;
  }

  /**
   * The next piece; `undefined` at the end. The last one is handed out only if the file is still what
   * it was, so that whoever gets all of it has a file that existed.
   * @throws {PkiError} `conflict` if the file changed
   */
  async next(): Promise<Uint8Array | undefined> {
    const left = this.size - this.#position;
    if (left === 0) return undefined;
    const piece = await this.#read(Math.min(READ_BYTES, left));
    if (piece.length === 0) throw changed(this.#location);
    if (piece.length === left) await this.#checkSame();
    this.#hash.update(piece);
    this.#position += piece.length;
    return piece;
  }

  async #checkSame(): Promise<void> {
    const now = await this.#handle.stat();
    const isSame = now.size === this.size && now.mtimeMs === this.#first.mtimeMs;
    if (!isSame) throw changed(this.#location);
  }

  async #read(count: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(count);
    try {
      const { bytesRead } = await this.#handle.read(buffer, 0, count, this.#position);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw storageError(`cannot send "${this.#location}"`, error);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
