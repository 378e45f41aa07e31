/**
 * What is sent: files and folders under the paths that a person named, in a fixed order, with their
 * sizes. Symbolic links below them are never followed, and whatever is no file and no folder is left
 * out; all of that is told, so that nobody takes a part for the whole.
 */

import * as fs from "node:fs/promises";
import type { Stats } from "node:fs";
import { basename, join, resolve } from "node:path";
import { utf8 } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { CHECK_PATH, storageError } from "../base/files.ts";
import { NAME_BYTES_MAX } from "./file_name.ts";

/** Files and folders of one transfer: some 200 bytes of memory each, on both sides. */
export const FILES_MAX = 500_000;
/** Names in a path, as the protocol has it. */
const DEPTH_MAX = 64;
/** What a folder that we stand in or that has no name is called. */
const NAMELESS = "files";

export interface SentFile {
  /** Names from what was asked for on, as the receiver is told. */
  readonly path: readonly string[];
  /** Where it is here. */
  readonly location: string;
  readonly kind: "file" | "folder";
  /** Bytes; 0 of a folder. */
  readonly size: number;
  readonly permissions: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
}

/** What is not sent, and why. */
export interface LeftOut {
  readonly location: string;
  readonly why: string;
  /** It would have been sent if the system let us read it. */
  readonly isUnreadable?: boolean;
}

export interface Walk {
  readonly files: readonly SentFile[];
  readonly leftOut: readonly LeftOut[];
  readonly bytes: number;
}

/** The 9 bits of a mode that say who may read, write and execute; never setuid and the like. */
const PERMISSIONS = 0o777;

function whyNot(stats: Stats): string | undefined {
  if (stats.isFile() || stats.isDirectory()) return undefined;
  if (stats.isSymbolicLink()) return "a symbolic link";
  if (stats.isSocket()) return "a socket";
  if (stats.isFIFO()) return "a named pipe";
  return "a device";
}

function describe(path: readonly string[], location: string, stats: Stats): SentFile {
  const isFolder = stats.isDirectory();
  return {
    path,
    location,
    kind: isFolder ? "folder" : "file",
    size: isFolder ? 0 : stats.size,
    permissions: stats.mode & PERMISSIONS,
    modifiedMs: Math.trunc(stats.mtimeMs),
  };
}

/** In the order of their code units, which is the same everywhere. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Looks at everything that is to be sent. A path that was named may be a symbolic link itself.
 * @throws {PkiError} `not-found` for a path that is not there, `usage` for two of the same name, for
 *   what cannot be sent, or for too much
 */
export async function walkFiles(locations: readonly string[]): Promise<Walk> {
  const files: SentFile[] = [];
  const leftOut: LeftOut[] = [];
  const names = new Set<string>();
  const add = (file: SentFile) => {
    if (files.length >= FILES_MAX) {
      throw new PkiError("usage", `cannot send more than ${FILES_MAX} files at once`, {
        hint: "send parts of it one after the other, or pipe an archive: tar c . | pki connect …",
      });
    }
    files.push(file);
  };
  const enter = async (folder: SentFile): Promise<void> => {
    let entries: string[];
    try {
      entries = (await fs.readdir(folder.location)).sort(compare);
    } catch (error) {
      const { location } = folder;
      leftOut.push({ location, why: whyUnreadable(error), isUnreadable: true });
      return;
    }
    for (const name of entries) {
      const location = join(folder.location, name);
      const leaveOut = (why: string) => void leftOut.push({ location, why });
      if (folder.path.length >= DEPTH_MAX) {
        leaveOut(`more than ${DEPTH_MAX} folders deep`);
        continue;
      }
      let stats: Stats;
      try {
        stats = await fs.lstat(location);
      } catch (error) {
        // A name that is not UTF-8 comes from the system as another one, which is not there.
        const isName = name.includes("\ufffd") && systemCodeOf(error) === "ENOENT";
        if (isName) leaveOut("its name is not UTF-8");
        else leftOut.push({ location, why: whyUnreadable(error), isUnreadable: true });
        continue;
      }
      const why = whyNot(stats) ?? whyNoName(name);
      if (why !== undefined) {
        leaveOut(why);
        continue;
      }
      const file = describe([...folder.path, name], location, stats);
      add(file);
      if (file.kind === "folder") await enter(file);
    }
  };
  for (const named of locations) {
    const location = resolve(named);
    const name = basename(location) || NAMELESS;
    const stats = await statNamed(named, location);
    const why = whyNot(stats) ?? whyNoName(name);
    if (why !== undefined) throw new PkiError("usage", `cannot send "${named}": ${why}`);
    if (names.has(name)) {
      throw new PkiError("usage", `cannot send two files of the name "${name}" at once`, {
        hint: "send them one after the other, or rename one",
      });
    }
    names.add(name);
    const file = describe([name], location, stats);
    add(file);
    if (file.kind === "folder") await enter(file);
  }
  return { files, leftOut, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

function whyUnreadable(error: unknown): string {
  return `it cannot be read: ${reasonOf(error)}`;
}

function whyNoName(name: string): string | undefined {
  return utf8(name).length > NAME_BYTES_MAX
    ? `its name has more than ${NAME_BYTES_MAX} bytes`
    : undefined;
}

async function statNamed(named: string, location: string): Promise<Stats> {
  try {
    return await fs.stat(location);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT" || systemCodeOf(error) === "ENOTDIR") {
      throw new PkiError("not-found", `cannot send "${named}": there is no such file`, {
        hint: CHECK_PATH,
      });
    }
    throw storageError(`cannot send "${named}"`, error, "check its mode, and that of its folder");
  }
}

/** What the system says, without the name of the call and of the file. */
function reasonOf(error: unknown): string {
  return messageOf(error).replace(/, [a-z]+ '[^]*$/, "").replace(/^[A-Z]+: /, "");
}
