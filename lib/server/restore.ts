/**
 * Makes a data folder out of a backup: unpacked under another name, verified whole, synced, renamed.
 * So it is there completely or not at all, and nothing that is there is replaced.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { encodeHex } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import {
  CHECK_PATH,
  FOLDER_MODE,
  makeFolder,
  SECRET_MODE,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { readNotes } from "../store/checkpoint_file.ts";
import { diskFiles } from "../store/disk.ts";
import { isLaterGeneration } from "../store/open_state.ts";
import { lossOf, openOwn } from "../store/signed_log.ts";
import { isId } from "../x509/names.ts";
import { type Manifest, MANIFEST_NAME } from "./backup_manifest.ts";
import { readBackup } from "./backup_reader.ts";
import { certificateCopy, serverFiles } from "./files.ts";
import { hasErrors, type Verified, verifyFolder } from "./verify.ts";

export interface RestoreOptions {
  /** Must not exist, or be empty. */
  readonly folder: string;
  readonly witness: string;
  readonly onBytes?: (done: number) => void;
}

export interface Restored {
  readonly manifest: Manifest;
  readonly verified: Verified;
  /** What the witness remembers that the backup does not have, as a sentence. */
  readonly loss: string | undefined;
  /** How many entries that are, where the witness tells. */
  readonly missing: number;
}

/**
 * @throws {PkiError} `conflict` if there is something in the folder, `malformed` if it is not a whole
 *   backup, `not-found`, `storage`; then nothing is left of it
 */
export async function restore(path: string, options: RestoreOptions): Promise<Restored> {
  const { onBytes } = options;
  const folder = resolve(options.folder);
  checkEmpty(folder);
  if (!fs.existsSync(path)) {
    throw new PkiError("not-found", `cannot restore "${path}": there is no such file`, {
      hint: CHECK_PATH,
    });
  }
  const temporary = `${folder}.new-${encodeHex(randomBytes(6))}`;
  try {
    makeFolder(dirname(folder));
    fs.mkdirSync(temporary, { mode: FOLDER_MODE });
    const paths = serverFiles(temporary);
    fs.mkdirSync(paths.log, { mode: FOLDER_MODE });
    fs.mkdirSync(paths.certificates, { mode: FOLDER_MODE });
    fs.mkdirSync(paths.issuers, { mode: FOLDER_MODE });
    const { manifest } = await readBackup(
      path,
      (name, content) => writeMember(join(temporary, name), content),
    );
    const verified = await verifyFolder({
      files: diskFiles,
      paths,
      hasCopies: false,
      ...(manifest.checkpoint === ""
        ? {}
        : { notes: new Map([[join(temporary, MANIFEST_NAME), manifest.checkpoint]]) }),
      onIssued: (id, pem) => {
        // Not synced: they follow from the log.
        if (isId(id)) writeFileAtomic(certificateCopy(paths, id), pem, { isDurable: false });
      },
      onDeleted: (id) => {
        if (isId(id)) fs.rmSync(certificateCopy(paths, id), { force: true });
      },
      ...(onBytes ? { onBytes } : {}),
    });
    if (hasErrors(verified)) throw notWhole(path, { verified, temporary });
    for (const made of [paths.log, paths.certificates, paths.issuers, temporary]) syncFolder(made);
    fs.renameSync(temporary, folder);
    syncFolder(dirname(folder));
    return { manifest, verified, ...await compareWitness(options.witness, verified) };
  } catch (error) {
    if (error instanceof PkiError) throw error;
    if (["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(systemCodeOf(error) ?? "")) {
      throw isInUse(folder);
    }
    throw new PkiError("storage", `cannot restore to "${folder}": ${messageOf(error)}`, {
      hint: "look after the disk, and who may write there",
      cause: error,
    });
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true }); // After the rename there is none.
  }
}

function checkEmpty(folder: string): void {
  let names: readonly string[];
  try {
    names = fs.readdirSync(folder);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return;
    throw isInUse(folder);
  }
  if (names.length > 0) throw isInUse(folder);
}

function isInUse(folder: string): PkiError {
  return new PkiError("conflict", `cannot restore to "${folder}": there is something already`, {
    hint: "move it away first, or name another folder with --data",
  });
}

function notWhole(
  path: string,
  { verified, temporary }: { readonly verified: Verified; readonly temporary: string },
): PkiError {
  const errors = verified.findings.filter(({ severity }) => severity === "error");
  const [first] = errors;
  const where = relative(temporary, first?.where ?? "");
  const more = errors.length > 1 ? `, and ${errors.length - 1} more` : "";
  return new PkiError("malformed", `cannot restore "${path}": "${where}": ${first?.what}${more}`, {
    hint: "see all that is wrong with: pki log verify FILE",
  });
}

async function writeMember(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, "wx", SECRET_MODE);
  try {
    for await (const chunk of content) {
      for (let at = 0; at < chunk.length;) {
        at += (await file.write(chunk, at, chunk.length - at, null)).bytesWritten;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What somebody remembers of this log that the backup is behind. */
async function compareWitness(
  witness: string,
  { verifier, log }: Verified,
): Promise<Pick<Restored, "loss" | "missing">> {
  const nothing = { loss: undefined, missing: 0 };
  if (!verifier) return nothing;
  const notes = await readNotes(diskFiles, witness).catch(() => []); // The server says so as well.
  if (notes.some((note) => isLaterGeneration(note, verifier.name))) {
    return { loss: "the log was started anew after this backup", missing: 0 };
  }
  for (const note of notes) {
    const checkpoint = openOwn(note, verifier);
    const loss = lossOf(log.index, checkpoint);
    if (!checkpoint || loss === undefined) continue;
    const sizes = notes.map((one) => openOwn(one, verifier)?.size ?? 0);
    const newest = notes[sizes.indexOf(Math.max(...sizes))] ?? note;
    return {
      loss: lossOf(log.index, openOwn(newest, verifier)) ?? loss,
      missing: Math.max(0, Math.max(...sizes) - log.index.size),
    };
  }
  return nothing;
}
