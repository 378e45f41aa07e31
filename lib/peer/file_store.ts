/**
 * Where what a peer sends is stored: a folder in which nothing is ever overwritten, and out of which no
 * name and no symbolic link leads. Which name something gets, and in which folder, is decided here; how
 * one file comes in is in `incoming_file.ts`.
 *
 * A local program that exchanges folders for links while a transfer runs is not kept out: whoever may
 * write into this folder needs no peer for that.
 */

import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeHex, sha256, utf8 } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import type { FileDescription } from "../protocol/outgoing_files.ts";
import { FileCommits } from "./file_commit.ts";
import {
  collisionKey,
  cutToBytes,
  numberName,
  sanitizeName,
  sanitizeTopName,
} from "./file_name.ts";

/** Names that are tried for one file: "a (1)" to "a (999)". */
const TRIES_MAX = 1000;
/** Of a file's name in that of the part that is there of it, in bytes. */
const PART_NAME_BYTES_MAX = 200;
/** Of the hash that says whose part it is. */
const OWNER_BYTES = 12;
/** What a peer may say about who may read, write and execute a file: never that others may write. */
const PERMISSIONS = 0o755;
const FILE_PERMISSIONS_MIN = 0o600;
const FOLDER_PERMISSIONS_MIN = 0o700;

/** Which folders came from whom, so that only such are added to. */
export interface ReceivedFolders {
  list(): readonly ReceivedFolder[];
  add(folder: ReceivedFolder): void;
}

export interface ReceivedFolder {
  /** Who sent it, as {@link FileStoreOptions.owner}, in hex. */
  readonly owner: string;
  /** What the sender calls it. */
  readonly name: string;
  readonly location: string;
  /** What tells it from another folder that has taken its place: systems use numbers again. */
  readonly inode: number;
  /** When it was made, in milliseconds since 1970. */
  readonly bornMs: number;
}

export interface FileStoreOptions {
  readonly folder: string;
  /** Stands for who sends: nobody else's parts and folders are gone on with. */
  readonly owner: Uint8Array;
  readonly received: ReceivedFolders;
  /** Of this process: what no file is given. */
  readonly umask: number;
}

interface Folder {
  readonly location: string;
  /** {@link collisionKey} of names that this transfer has used. */
  readonly taken: Set<string>;
}

/** A place for a file: where the part of it is, and what it may be called. */
export interface FilePlace {
  readonly folder: string;
  readonly partLocation: string;
  /** Locations in the order in which they are tried; no other file of this transfer gets one of them. */
  readonly locations: () => Iterable<string>;
}

export class FileStore {
  readonly #options: FileStoreOptions;
  readonly #owner: string;
  readonly #folders = new Map<string, Folder>();
  /** What is given to folders at the end: one that may not be written to could not be filled. */
  readonly #descriptions = new Map<string, FileDescription>();
  readonly commits = new FileCommits();

  constructor(options: FileStoreOptions) {
    this.#options = options;
    this.#owner = encodeHex(options.owner);
    this.#folders.set(keyOf([]), { location: options.folder, taken: new Set() });
  }

  /** Bytes that can still be stored; `undefined` where the system does not say. */
  async freeBytes(): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await fs.statfs(this.#options.folder);
      return bavail * bsize;
    } catch {
      return undefined; // then writing says it
    }
  }

  /** Bytes of what this sender's earlier tries have left here, and of other parts. */
  async bytesThere(): Promise<number> {
    const { folder, received } = this.#options;
    let bytes = 0;
    for (const name of await fs.readdir(folder).catch(() => [])) {
      if (PART.test(name)) bytes += await sizeOf(join(folder, name));
    }
    for (const { owner, location } of received.list()) {
      if (owner === this.#owner && dirname(location) === folder) bytes += await sizeOf(location);
    }
    return bytes;
  }

  /** The mode of a file of which the sender says this. */
  fileMode(permissions: number): number {
    return permissions & PERMISSIONS & ~this.#options.umask | FILE_PERMISSIONS_MIN;
  }

  /** Makes a folder that was announced, or finds it. @throws {PkiError} `storage` */
  async makeFolder(description: FileDescription): Promise<string> {
    const { location } = await this.#folderOf(description.path);
    this.#descriptions.set(location, description);
    return location;
  }

  /** Where the folder is that a path begins with, once something is in it. */
  topOf(path: readonly string[]): string | undefined {
    return this.#folders.get(keyOf(path.slice(0, 1)))?.location;
  }

  /** Finds a place for a file. @throws {PkiError} `storage` */
  async placeFile({ path }: FileDescription): Promise<FilePlace> {
    const parent = await this.#folderOf(path.slice(0, -1));
    const name = nameOf(path);
    const owner = encodeHex(sha256(this.#options.owner, utf8(keyOf(path))).slice(0, OWNER_BYTES));
    const part = `.${cutToBytes(name, PART_NAME_BYTES_MAX)}.${owner}.part`;
    const locations = reserveNames(parent, name);
    locations().next(); // in the order in which files come, whichever is complete first
    return { folder: parent.location, partLocation: join(parent.location, part), locations };
  }

  /**
   * Gives folders the modes and times that they were announced with, when everything is in them.
   * @throws {PkiError} `storage`
   */
  async finishFolders(): Promise<void> {
    const deepestFirst = [...this.#descriptions].reverse();
    for (const [location, { permissions, modified }] of deepestFirst) {
      try {
        const handle = await fs.open(location, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
        try {
          const mode = permissions & PERMISSIONS & ~this.#options.umask | FOLDER_PERMISSIONS_MIN;
          await handle.chmod(mode);
          await handle.utimes(modified / 1000, modified / 1000);
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (systemCodeOf(error) === "EISDIR" || systemCodeOf(error) === "EPERM") continue; // Windows
        throw storageError(`cannot finish folder "${location}"`, error);
      }
    }
  }

  /** The folder for a path, made step by step. */
  async #folderOf(path: readonly string[]): Promise<Folder> {
    const key = keyOf(path);
    const known = this.#folders.get(key);
    if (known) return known;
    const parent = await this.#folderOf(path.slice(0, -1));
    const folder = await this.#enterFolder(parent, path);
    this.#folders.set(key, folder);
    return folder;
  }

  async #enterFolder(parent: Folder, path: readonly string[]): Promise<Folder> {
    const name = nameOf(path);
    for (let n = 0; n < TRIES_MAX; n++) {
      const candidate = numberName(name, n);
      const key = collisionKey(candidate);
      if (parent.taken.has(key)) continue;
      const location = join(parent.location, candidate);
      try {
        if (!await this.#isFolderFor(path, location)) continue;
      } catch (error) {
        throw storageError(`cannot make folder "${location}"`, error);
      }
      parent.taken.add(key);
      return { location, taken: new Set() };
    }
    throw new PkiError("conflict", `cannot make folder "${name}": no name for it is free`);
  }

  /** Whether the folder at this place is for this path: it is made here, or was before for this sender. */
  async #isFolderFor(path: readonly string[], location: string): Promise<boolean> {
    const isTop = path.length === 1;
    const describe = ({ ino, birthtimeMs }: Stats): ReceivedFolder => ({
      owner: this.#owner,
      name: path[0] ?? "",
      location,
      inode: ino,
      bornMs: Math.floor(birthtimeMs), // not all engines say more of it
    });
    try {
      await fs.mkdir(location, FOLDER_PERMISSIONS_MIN);
    } catch (error) {
      if (systemCodeOf(error) !== "EEXIST") throw error;
      const stats = await fs.lstat(location);
      if (!stats.isDirectory()) return false;
      return !isTop || this.#options.received.list().some((one) => isSame(one, describe(stats)));
    }
    if (isTop) this.#options.received.add(describe(await fs.lstat(location)));
    return true;
  }
}

/** What parts are called: see `placeFile`. */
const PART = /^\..*\.[0-9a-f]{24}\.part$/;

/** Bytes in a file, or in all files below a folder; 0 for what cannot be looked at. */
async function sizeOf(location: string): Promise<number> {
  const stats = await fs.lstat(location).catch(() => undefined);
  if (!stats?.isDirectory()) return stats?.isFile() ? stats.size : 0;
  let bytes = 0;
  for (const name of await fs.readdir(location).catch(() => [])) {
    bytes += await sizeOf(join(location, name));
  }
  return bytes;
}

function isSame(a: ReceivedFolder, b: ReceivedFolder): boolean {
  return a.owner === b.owner && a.name === b.name && a.location === b.location &&
    a.inode === b.inode && a.bornMs === b.bornMs;
}

/** Names for one file, reserved as they are asked for, and the same each time. */
function reserveNames({ location, taken }: Folder, name: string): () => Generator<string> {
  const own = new Set<string>();
  const reserve = (candidate: string) => {
    const key = collisionKey(candidate);
    if (own.has(key)) return true;
    if (taken.has(key)) return false;
    taken.add(key);
    own.add(key);
    return true;
  };
  return function* () {
    for (let n = 0; n < TRIES_MAX; n++) {
      const candidate = numberName(name, n);
      if (reserve(candidate)) yield join(location, candidate);
    }
  };
}

function nameOf(path: readonly string[]): string {
  const name = path[path.length - 1] ?? "";
  return path.length === 1 ? sanitizeTopName(name) : sanitizeName(name);
}

/** Stands for a path; no name that could be used has NUL in it, but one that is sent may. */
function keyOf(path: readonly string[]): string {
  return JSON.stringify(path);
}
