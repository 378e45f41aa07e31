/**
 * One file that a peer sends: it grows beside its place, under a name that says whose it is, and gets
 * its own name when it is whole, verified and on the disk. What is there of a large one when the line is
 * cut is kept, and gone on with when the same peer sends it again.
 */

import { createHash, type Hash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import process from "node:process";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import { type FileDescription, SMALL_FILE_BYTES_MAX } from "../protocol/outgoing_files.ts";
import type { FilePlace, FileStore } from "./file_store.ts";

const READ_BYTES = 1024 * 1024;
/** Times may be rounded by as much on their way to the disk and back. */
const TIME_SLACK_MS = 1;
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
const NEW_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW;
/** What `link` says where there are no hard links: on a stick with FAT, say. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

export interface StoredFile {
  readonly location: string;
  /** It was there before, with the same content. */
  readonly wasThere: boolean;
}

/** What is there of a file. */
export interface Had {
  readonly bytes: number;
  /** Of these bytes, base64. */
  readonly sha256: string;
}

export class IncomingFile {
  readonly #store: FileStore;
  readonly #place: FilePlace;
  readonly #description: FileDescription;
  #handle: FileHandle | undefined;
  #hash: Hash = createHash("sha256");
  #position = 0;
  /** A whole file of this content that is there already, if the sender confirms it. */
  #whole: string | undefined;

  private constructor(store: FileStore, place: FilePlace, description: FileDescription) {
    this.#store = store;
    this.#place = place;
    this.#description = description;
  }

  /** @throws {PkiError} `storage` */
  static async begin(store: FileStore, description: FileDescription): Promise<IncomingFile> {
    return new IncomingFile(store, await store.placeFile(description), description);
  }

  get #isLarge(): boolean {
    return this.#description.size > SMALL_FILE_BYTES_MAX;
  }

  /**
   * What is there of it already: from an earlier try, or all of it. Only a file of the same name, size
   * and time is looked at, so that nobody learns the hash of a file that they know nothing of.
   * @throws {PkiError} `storage`, also if there is not enough room for the rest
   */
  async have(): Promise<Had> {
    return await this.#storing(async () => {
      const had = await this.#haveWhole() ?? await this.#havePart();
      const free = await this.#store.freeBytes();
      if (free !== undefined && this.#description.size - had.bytes > free) throw noRoom();
      return had;
    });
  }

  async #haveWhole(): Promise<Had | undefined> {
    const { size, modified } = this.#description;
    for (const location of this.#place.locations()) {
      const stats = await fs.lstat(location).catch(() => undefined);
      if (!stats) return undefined;
      if (!stats.isFile() || stats.size !== size) continue;
      if (Math.abs(stats.mtimeMs - modified) > TIME_SLACK_MS) continue;
      const read = await hashOf(location);
      if (read?.bytes !== size) continue;
      this.#whole = location;
      this.#hash = read.hash;
      this.#position = size;
      return this.#had();
    }
    return undefined;
  }

  async #havePart(): Promise<Had> {
    this.#handle = await this.#openPart();
    this.#hash = createHash("sha256");
    this.#position = 0;
    const { size } = await this.#handle.stat();
    if (size > this.#description.size) {
      await this.#handle.truncate(0); // another file was sent under this name
      return this.#had();
    }
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, READ_BYTES, this.#position);
      if (bytesRead === 0) return this.#had();
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#position += bytesRead;
    }
  }

  #had(): Had {
    return { bytes: this.#position, sha256: this.#hash.copy().digest("base64") };
  }

  /** Opens the part that is there of a large file, if it is one of ours; else makes a new one. */
  async #openPart(): Promise<FileHandle> {
    const location = this.#place.partLocation;
    if (this.#isLarge) {
      try {
        const handle = await fs.open(location, constants.O_RDWR | NO_FOLLOW);
        if (isOwn(await handle.stat())) return handle;
        await handle.close();
      } catch (error) {
        // A link or a folder in the way; what cannot be removed is said by what follows.
        if (systemCodeOf(error) !== "ENOENT") await fs.rm(location, { force: true });
      }
    }
    return await fs.open(location, NEW_FLAGS, 0o600).catch(async (error) => {
      if (systemCodeOf(error) !== "EEXIST") throw error;
      await fs.rm(location);
      return await fs.open(location, NEW_FLAGS, 0o600);
    });
  }

  /** What follows begins here: at what was there, or at 0. @throws {PkiError} `storage` */
  async start(offset: number): Promise<void> {
    if (offset === this.#position && (this.#handle || this.#whole !== undefined)) return;
    await this.#storing(async () => {
      this.#whole = undefined;
      this.#handle ??= await this.#openPart();
      await this.#handle.truncate(0);
      this.#hash = createHash("sha256");
      this.#position = 0;
    });
  }

  /** @throws {PkiError} `storage` */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#storing(async () => {
      const { handle } = this;
      this.#hash.update(bytes);
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, this.#position);
        at += bytesWritten;
        this.#position += bytesWritten;
      }
    });
  }

  private get handle(): FileHandle {
    if (!this.#handle) throw new PkiError("internal", "a file is written before it has begun");
    return this.#handle;
  }

  /**
   * The sender has ended it: it is compared with the sender's hash, put onto the disk and given its
   * name. Resolves when all that is done.
   * @throws {PkiError} `conflict` if it is not what was announced, `storage`
   */
  async finish(sha256: string, isWhole: boolean): Promise<StoredFile> {
    const hash = this.#hash.digest("base64");
    if (!isWhole || hash !== sha256) {
      await this.discard();
      throw new PkiError(
        "conflict",
        isWhole ? "it is not what the sender has: its SHA-256 differs" : "it changed meanwhile",
      );
    }
    if (this.#whole !== undefined) {
      await this.abandon();
      return { location: this.#whole, wasThere: true };
    }
    return await this.#storing(async () => {
      try {
        return await this.#commit(hash);
      } catch (error) {
        if (!this.#isLarge) await fs.rm(this.#place.partLocation, { force: true });
        throw error;
      }
    });
  }

  async #commit(hash: string): Promise<StoredFile> {
    const { handle } = this;
    const { permissions, modified } = this.#description;
    await handle.chmod(this.#store.fileMode(permissions));
    await handle.utimes(modified / 1000, modified / 1000);
    this.#handle = undefined; // closed by who commits
    const { folder } = this.#place;
    return await this.#store.commits.commit({ handle, folder, place: () => this.#rename(hash) });
  }

  /** Gives the file the first name that is free, unless the same is there already under one. */
  async #rename(hash: string): Promise<StoredFile> {
    const { partLocation, locations } = this.#place;
    for (const location of locations()) {
      if (await this.#isSame(location, hash)) {
        await fs.rm(partLocation);
        return { location, wasThere: true };
      }
      if (await moveOnce(partLocation, location)) return { location, wasThere: false };
    }
    throw new PkiError("conflict", "no name for it is free");
  }

  async #isSame(location: string, sha256: string): Promise<boolean> {
    const stats = await fs.lstat(location).catch(() => undefined);
    if (!stats?.isFile() || stats.size !== this.#description.size) return false;
    return (await hashOf(location))?.hash.digest("base64") === sha256;
  }

  /** The file does not come any further now: of a large one what is there is kept. */
  async abandon(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
    if (handle && (!this.#isLarge || this.#position === 0)) {
      await fs.rm(this.#place.partLocation, { force: true });
    }
  }

  /** The file is not wanted any more. */
  async discard(): Promise<void> {
    this.#position = 0;
    await this.abandon();
  }

  async #storing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { path } = this.#description;
      throw storageError(`cannot store "${path.join("/")}"`, error);
    }
  }
}

function noRoom(): PkiError {
  return new PkiError("storage", "there is not enough room for it", {
    hint: "free some space, then have it sent again",
  });
}

/** Whether a part was made by us: a file of our own that has no other name. */
function isOwn(stats: Stats): boolean {
  const uid = process.getuid?.();
  return stats.isFile() && stats.nlink === 1 && (uid === undefined || stats.uid === uid);
}

/** The hash of a file's content; `undefined` if it cannot be read. */
async function hashOf(location: string): Promise<{ hash: Hash; bytes: number } | undefined> {
  const flags = constants.O_RDONLY | NO_FOLLOW | (constants.O_NONBLOCK ?? 0);
  const handle = await fs.open(location, flags).catch(() => undefined);
  if (!handle) return undefined;
  try {
    const hash = createHash("sha256");
    const buffer = new Uint8Array(READ_BYTES);
    for (let bytes = 0;;) {
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, bytes);
      if (bytesRead === 0) return { hash, bytes };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Gives a file another name, unless that is taken; returns whether it has it. */
async function moveOnce(from: string, to: string): Promise<boolean> {
  try {
    await fs.link(from, to);
    await fs.rm(from);
    return true;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "EEXIST") return false;
    if (!NO_LINKS.includes(code ?? "")) throw error;
  }
  // Without links: take the name with an empty file of our own, and put the whole one in its place.
  try {
    await (await fs.open(to, NEW_FLAGS, 0o600)).close();
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  }
  await fs.rename(from, to);
  return true;
}
