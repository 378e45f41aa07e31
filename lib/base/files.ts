/**
 * Files as a careful program writes them: whole or not at all, for the owner's eyes only where they
 * are secret, and read with a bound.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseUtf8 } from "./bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "./errors.ts";
import { LIMITS } from "./limits.ts";

export const SECRET_MODE = 0o600;
/** For certificates that a user asks for by name. */
export const PUBLIC_MODE = 0o644;
export const FOLDER_MODE = 0o700;

/** What to do about a file that is not there. */
export const CHECK_PATH = "see whether the path is right, from the folder that this runs in";

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: "make the folder first, or name another",
  ENOTDIR: "name another folder: this one is a file",
  EISDIR: "name a file, not a folder",
  ENOSPC: "free some space and try again",
  EDQUOT: "free some space and try again",
  EACCES: "check who owns the folder, and its mode",
  EPERM: "check who owns the folder, and its mode",
  EROFS: "check who owns the folder, and its mode",
};

/**
 * A fault of the system as an error of ours, with what to do about it; one of ours stays as it is.
 * @param otherHint for faults of which the system's code says nothing
 */
export function storageError(what: string, cause: unknown, otherHint?: string): PkiError {
  if (cause instanceof PkiError) return cause;
  const hint = HINTS[systemCodeOf(cause) ?? ""] ?? otherHint;
  // Which call it was, and of what file beside the one that is named, is of no use to anybody.
  const why = messageOf(cause).replace(/, [a-z]+ '[^']*'(?: -> '[^']*')?$/, "");
  return new PkiError("storage", `${what}: ${why}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Makes the entries of a folder durable; where folders cannot be synced there is nothing to do. */
export function syncFolder(folder: string): void {
  let descriptor: number;
  try {
    descriptor = fs.openSync(folder, "r");
  } catch (error) {
    if (systemCodeOf(error) === "EISDIR" || systemCodeOf(error) === "EPERM") return; // Windows
    throw error;
  }
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

export interface WriteOptions {
  readonly mode?: number;
  /** Whether it must survive a power cut; not for what can be made again. */
  readonly isDurable?: boolean;
}

/**
 * Writes a file atomically and durably: beside it, synced, renamed, folder synced. After an error the
 * old content is there.
 * @throws {PkiError} `storage`
 */
export function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  { mode = SECRET_MODE, isDurable = true }: WriteOptions = {},
): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const there = fs.statSync(path, { throwIfNoEntry: false });
    if (there && !there.isFile()) return fs.writeFileSync(path, content); // a device, a FIFO
    const descriptor = fs.openSync(temporary, "wx", mode);
    try {
      fs.writeFileSync(descriptor, content);
      if (isDurable) fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, path);
    if (isDurable) syncFolder(dirname(path));
  } catch (error) {
    try {
      fs.rmSync(temporary, { force: true });
    } catch {
      // Where the file could not even be made (ENOTDIR, ENAMETOOLONG), the first error says why.
    }
    throw storageError(`cannot write "${path}"`, error);
  }
}

/** What `link` says where there are no hard links: on a stick with FAT, say. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

/** Gives a file a second name that nobody has yet; where that cannot be, a copy of it. */
function placeOnce(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
  } catch (error) {
    if (!NO_LINKS.includes(systemCodeOf(error) ?? "")) throw error;
    fs.copyFileSync(from, to, fs.constants.COPYFILE_EXCL);
  }
}

/**
 * Writes a file that must not be there yet, durably and whole; returns whether it was written. Of
 * several who try, one succeeds, and what it wrote stays.
 * @throws {PkiError} `storage`
 */
export function writeFileOnce(
  path: string,
  content: string | Uint8Array,
  mode = SECRET_MODE,
): boolean {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    writeFileAtomic(temporary, content, { mode });
  } catch (error) {
    const cause = error instanceof PkiError ? error.cause : error; // names the file that is meant
    throw storageError(`cannot write "${path}"`, cause);
  }
  try {
    placeOnce(temporary, path);
    syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw storageError(`cannot write "${path}"`, error);
  } finally {
    fs.rmSync(temporary, { force: true });
  }
}

/** Makes a folder and those above it, for the owner alone. @throws {PkiError} `storage` */
export function makeFolder(path: string): void {
  try {
    fs.mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    throw storageError(`cannot make folder "${path}"`, error);
  }
}

export function fileExists(path: string): boolean {
  return fs.existsSync(path);
}

/**
 * Reads a text file of bounded size; `undefined` if there is none.
 * @throws {PkiError} `storage` if it cannot be read, `malformed` if it is too large or not UTF-8
 */
export function readTextIfThere(path: string): string | undefined {
  let bytes: Uint8Array;
  try {
    const descriptor = fs.openSync(path, "r");
    try {
      bytes = readBounded(descriptor, path);
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    if (error instanceof PkiError) throw error;
    throw storageError(`cannot read "${path}"`, error);
  }
  return parseUtf8(bytes);
}

function readBounded(descriptor: number, path: string): Uint8Array {
  const buffer = new Uint8Array(LIMITS.fileBytesMax + 1);
  let length = 0;
  while (length < buffer.length) {
    const read = fs.readSync(descriptor, buffer, length, buffer.length - length, null);
    if (read === 0) return buffer.slice(0, length);
    length += read;
  }
  throw new PkiError("malformed", `cannot read "${path}": more than ${LIMITS.fileBytesMax} bytes`, {
    hint: "see whether it is the right file",
  });
}

/** The first line of a file: how passwords and passphrases are kept. @throws {PkiError} as {@link readText} */
export function readFirstLine(path: string): string {
  return firstLineOf(readText(path));
}

export function firstLineOf(text: string): string {
  return text.replace(/\r?\n[^]*$/, "");
}

/** Like {@link readTextIfThere}, for a file that must be there. @throws {PkiError} also `not-found` */
export function readText(path: string): string {
  const text = readTextIfThere(path);
  if (text === undefined) {
    throw new PkiError("not-found", `cannot read "${path}": there is no such file`, {
      hint: CHECK_PATH,
    });
  }
  return text;
}
