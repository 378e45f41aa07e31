/**
 * Reads a backup and verifies it where it is, without unpacking it: its members stand for the files of
 * a data folder.
 */

import * as fs from "node:fs";
import { open } from "node:fs/promises";
import { join, relative } from "node:path";
import { concatBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { readArchive } from "../store/archive.ts";
import type { Files } from "../store/disk.ts";
import {
  isBackupName,
  type Manifest,
  MANIFEST_BYTES_MAX,
  MANIFEST_NAME,
  NEEDED,
  parseManifest,
} from "./backup_manifest.ts";
import { serverFiles } from "./files.ts";
import { type Verified, verifyFolder } from "./verify.ts";

const TAR_BLOCK_BYTES = 512;

export interface VerifiedBackup {
  readonly verified: Verified;
  readonly manifest: Manifest;
}

/**
 * Verifies a backup where it is: every digest, then all that {@link verifyFolder} looks at.
 * @param onMember may take the content of a member elsewhere while it passes
 * @throws {PkiError} `malformed` where it is no backup, or not as it was written
 */
export async function verifyBackup(
  path: string,
  { onBytes, onMember }: {
    readonly onBytes?: (done: number) => void;
    readonly onMember?: TakeMember;
  } = {},
): Promise<VerifiedBackup> {
  const { manifest, places } = await readBackup(path, onMember);
  const archive = await open(path, "r");
  try {
    const verified = await verifyFolder({
      files: archiveFiles(path, { descriptor: archive.fd, places }),
      paths: serverFiles(path),
      hasCopies: false,
      ...(manifest.checkpoint === ""
        ? {}
        : { notes: new Map([[join(path, MANIFEST_NAME), manifest.checkpoint]]) }),
      ...(onBytes ? { onBytes } : {}),
    });
    return { verified, manifest };
  } finally {
    await archive.close();
  }
}

/** Where the content of a member is in the archive. */
interface Place {
  readonly at: number;
  readonly bytes: number;
}

export type TakeMember = (name: string, content: AsyncIterable<Uint8Array>) => Promise<void>;

/** Reads a backup whole: its digests fit, and its manifest lists what is in it. */
export async function readBackup(path: string, onMember?: TakeMember): Promise<{
  readonly manifest: Manifest;
  readonly places: ReadonlyMap<string, Place>;
}> {
  const what = `cannot read "${path}"`;
  const places = new Map<string, Place>();
  const manifestBytes: Uint8Array[] = [];
  let next = 0;
  await readArchive(path, async (name, bytes, content) => {
    places.set(name, { at: next + TAR_BLOCK_BYTES, bytes });
    next += TAR_BLOCK_BYTES + Math.ceil(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
    if (name !== MANIFEST_NAME) {
      if (onMember) await onMember(name, content);
      return;
    }
    if (bytes > MANIFEST_BYTES_MAX) {
      throw new PkiError("malformed", `${what}: its manifest is too long`);
    }
    for await (const chunk of content) manifestBytes.push(new Uint8Array(chunk));
  }, { isAllowed: isBackupName });
  if (!places.has(MANIFEST_NAME)) {
    throw new PkiError("malformed", `${what}: it is not a backup of pki`, {
      hint: "name a file that pki backup has written",
    });
  }
  const manifest = parseManifest(concatBytes(...manifestBytes), what);
  const found = [...places].filter(([name]) => name !== MANIFEST_NAME)
    .map(([name, { bytes }]) => ({ name, bytes }));
  if (JSON.stringify(found) !== JSON.stringify(manifest.files)) {
    throw new PkiError("malformed", `${what}: its ${MANIFEST_NAME} does not list what is in it`);
  }
  const missing = NEEDED.find((name) => !places.has(name));
  if (missing !== undefined) throw new PkiError("malformed", `${what}: it lacks "${missing}"`);
  return { manifest, places };
}

/** The members of an archive as files below its own path, to be read only. */
function archiveFiles(
  path: string,
  { descriptor, places }: {
    readonly descriptor: number;
    readonly places: ReadonlyMap<string, Place>;
  },
): Files {
  const refuse = () => Promise.reject(new Error("a backup is only read"));
  const nameOf = (file: string) => relative(path, file).replaceAll("\\", "/");
  return {
    makeFolder: refuse,
    rename: refuse,
    remove: refuse,
    syncFolder: refuse,
    list: (folder) => {
      const prefix = `${nameOf(folder)}/`;
      const names = [...places.keys()].filter((name) => name.startsWith(prefix));
      return Promise.resolve(names.map((name) => name.slice(prefix.length)));
    },
    open: (file) => {
      const place = places.get(nameOf(file));
      if (!place) {
        return Promise.reject(Object.assign(new Error("it is not there"), { code: "ENOENT" }));
      }
      return Promise.resolve({
        size: () => Promise.resolve(place.bytes),
        read: (into, position) => {
          const length = Math.max(0, Math.min(into.length, place.bytes - position));
          return length === 0 ? 0 : fs.readSync(descriptor, into, 0, length, place.at + position);
        },
        write: refuse,
        writeNow: () => {
          throw new Error("a backup is only read");
        },
        truncate: refuse,
        sync: refuse,
        close: () => Promise.resolve(),
      });
    },
  };
}
