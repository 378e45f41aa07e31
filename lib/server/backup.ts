/**
 * A backup: all that a data folder cannot be without, in one archive (`archive.ts`), readable for its
 * owner alone. The log only grows, so a running server goes on meanwhile: what may be replaced is
 * opened first, then the server says how far the log is durable, and the log is read to there. Where
 * entries were redacted meanwhile it is read again.
 *
 * The first member, `MANIFEST`, says what the backup is (`backup_manifest.ts`). The passphrase is never
 * in it. `backup_reader.ts` reads one.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { encodeHex, utf8 } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { SECRET_MODE, syncFolder } from "../base/files.ts";
import { type Member, writeArchive } from "../store/archive.ts";
import { encodeCheckpointFile, readNotes } from "../store/checkpoint_file.ts";
import { diskFiles, type LogFile, openIfThere, readBytes } from "../store/disk.ts";
import { checkSeal } from "../store/snapshot.ts";
import { checkpointPath } from "../store/open_state.ts";
import {
  checkRecords,
  overlayRecords,
  readRedaction,
  type Redaction,
} from "../store/redaction_file.ts";
import { listSegments, segmentName } from "../store/segments.ts";
import { openOwn } from "../store/signed_log.ts";
import {
  FORMAT,
  ISSUER_FILE,
  type Manifest,
  MANIFEST_NAME,
  NEEDED,
  OPTIONAL,
} from "./backup_manifest.ts";
import { verifyBackup } from "./backup_reader.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import { loadLogStatement, loadRoot } from "./log_key.ts";
import type { DurableLog } from "./ports.ts";
import { hasErrors, type Verified } from "./verify.ts";

const READ_BYTES = 1024 * 1024;
/** How often the log is read anew because it was redacted meanwhile. */
const ATTEMPTS_MAX = 3;

export interface BackupOptions {
  readonly folder: string;
  readonly version: string;
  readonly nowMs: number;
  /** Replaces a backup that is there, once the new one is whole. */
  readonly replaces: boolean;
  /** How far the log is durable, where a server is running. */
  readonly askDurable: () => Promise<DurableLog | undefined>;
  /** Told how far it is, of about twice the size of the log: it is written, then verified. */
  readonly onBytes?: (done: number) => void;
}

/** What file systems of memory sticks and network shares say of a hard link. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

export interface BackedUp {
  readonly bytes: number;
  readonly verified: Verified;
  readonly manifest: Manifest;
}

/**
 * Backs a data folder up and verifies what was written; only then it gets its name. Without a
 * running server the caller holds the folder's lock.
 * @throws {PkiError} `conflict` if there is a file already, `storage` if it cannot be written or what
 *   was read is damaged; then nothing is left of it
 */
export async function backUp(path: string, options: BackupOptions): Promise<BackedUp> {
  const { replaces, onBytes = () => {} } = options;
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  if (there && !replaces) throw isThere(path);
  if (there && !there.isFile()) { // a device, a folder, a link: a rename would take its place
    throw new PkiError("conflict", `cannot write "${path}": it is not a plain file`, {
      hint: "name another file",
    });
  }
  const temporary = join(dirname(path), `.${basename(path)}.${encodeHex(randomBytes(6))}.new`);
  try {
    let written = 0;
    for (
      let attempt = 1;
      !await writeOnce(temporary, options, (done) => onBytes(written = done));
    ) {
      if (attempt++ === ATTEMPTS_MAX) throw isChanging(options.folder);
    }
    const { verified, manifest } = await verifyBackup(temporary, {
      onBytes: (done) => onBytes(written + done),
    });
    if (hasErrors(verified)) {
      const { what, where } = verified.findings.find(({ severity }) => severity === "error") ??
        { what: "", where: "" };
      const member = relative(temporary, where);
      throw new PkiError("storage", `cannot back up: "${member}" of the data folder: ${what}`, {
        hint: "see all that is wrong with: pki log verify",
      });
    }
    const bytes = fs.statSync(temporary).size;
    giveName(temporary, { path, replaces });
    return { bytes, verified, manifest };
  } finally {
    fs.rmSync(temporary, { force: true });
  }
}

/**
 * Writes the archive, from files that a server may be changing. Returns whether they fit together:
 * not where entries were redacted meanwhile.
 */
async function writeOnce(
  path: string,
  options: BackupOptions,
  onBytes: (done: number) => void,
): Promise<boolean> {
  fs.rmSync(path, { force: true });
  const source = await openSource(options);
  try {
    await writeArchive(path, source.members, { onBytes });
    return (await options.askDurable())?.redactions === source.redactions;
  } finally {
    await source.close();
  }
}

function isChanging(folder: string): PkiError {
  return new PkiError("busy", `cannot back up "${folder}": its log was redacted all the time`, {
    hint: "try again when the server has less to do",
  });
}

function isThere(path: string): PkiError {
  return new PkiError("conflict", `cannot write "${path}": it is there already`, {
    hint: "name another file, or replace this one with --force",
  });
}

function giveName(
  temporary: string,
  { path, replaces }: { readonly path: string; readonly replaces: boolean },
): void {
  try {
    // A link, unlike a rename, fails where somebody was faster; so does making an empty file first.
    if (!replaces && !hasLinked(temporary, path)) {
      fs.closeSync(fs.openSync(path, "wx", SECRET_MODE));
    }
    if (fs.existsSync(temporary)) fs.renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw isThere(path);
    throw new PkiError("storage", `cannot write "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** Gives a file its name by a link, where the file system has links. */
function hasLinked(temporary: string, path: string): boolean {
  try {
    fs.linkSync(temporary, path);
    fs.rmSync(temporary);
    return true;
  } catch (error) {
    if (NO_LINKS.has(systemCodeOf(error) ?? "")) return false;
    throw error;
  }
}

interface Source {
  readonly members: readonly Member[];
  /** What the running server said of it. */
  readonly redactions: number | undefined;
  close(): Promise<void>;
}

/** Opens everything, in the order that makes it fit together. */
async function openSource(options: BackupOptions): Promise<Source> {
  const { folder, version, nowMs, askDurable } = options;
  const paths = serverFiles(folder);
  const opened: LogFile[] = [];
  const members: Member[] = [];
  const addFile = async (name: string, isNeeded: boolean): Promise<void> => {
    const file = await openIfThere(diskFiles, join(folder, name), "read");
    if (!file) {
      if (!isNeeded) return;
      throw new PkiError("storage", `cannot back up "${folder}": "${name}" is missing`, {
        hint: "see with pki log verify what else is damaged, and restore an earlier backup",
      });
    }
    opened.push(file);
    members.push(memberOf(name, file, await file.size()));
  };
  const close = async () => {
    for (const file of opened) await file.close().catch(() => {}); // Nothing depends on it.
  };
  try {
    for (const name of NEEDED) await addFile(name, true);
    for (const name of OPTIONAL) await addFile(name, false);
    for (const name of listIssuerFiles(paths)) await addFile(`issuers/${name}`, false);
    // One that cannot be used would only spoil the backup: it is made anew from the log.
    if (await isSnapshotWhole(paths.snapshot)) await addFile("state.db", false);
    const durable = await askDurable();
    const checkpoint = durable?.checkpoint ?? await newestNote(paths);
    if (checkpoint !== "") {
      const content = encodeCheckpointFile(checkpoint);
      members.push({ name: "log/checkpoint", bytes: content.length, content: [content] });
    }
    const segments = durable?.segments ?? await segmentsOf(paths.log);
    const redaction = await readRedaction({ files: diskFiles, folder: paths.log });
    // Opened one by one: there may be more of them than a process may have open.
    for (const { first, bytes } of segments) {
      const name = `log/${segmentName(first)}`;
      const redacted = redaction.filter(({ segment }) => segment === first);
      members.push({ name, bytes, content: contentOf(join(folder, name), { bytes, redacted }) });
    }
    const files = members.map(({ name, bytes }) => ({ name, bytes }));
    const manifest: Manifest = { format: FORMAT, version, timeMs: nowMs, checkpoint, files };
    const content = utf8(`${JSON.stringify(manifest, null, 2)}\n`);
    return {
      members: [{ name: MANIFEST_NAME, bytes: content.length, content: [content] }, ...members],
      redactions: durable?.redactions,
      close,
    };
  } catch (error) {
    await close();
    if (error instanceof PkiError) throw error;
    throw new PkiError("storage", `cannot back up "${folder}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function listIssuerFiles({ issuers }: ServerFiles): readonly string[] {
  try {
    return fs.readdirSync(issuers).filter((name) => ISSUER_FILE.test(name)).sort();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return []; // there is no other CA
    throw error;
  }
}

async function isSnapshotWhole(path: string): Promise<boolean> {
  const file = await openIfThere(diskFiles, path, "read");
  if (!file) return false;
  try {
    checkSeal(await readBytes(file));
    return true;
  } catch {
    return false;
  } finally {
    await file.close();
  }
}

async function segmentsOf(log: string) {
  const segments = [];
  for (const first of await listSegments(diskFiles, log)) {
    segments.push({ first, bytes: fs.statSync(join(log, segmentName(first))).size });
  }
  return segments;
}

/** The newest checkpoint that a stopped server remembers. */
async function newestNote(paths: ServerFiles): Promise<string> {
  const { verifier } = loadLogStatement(paths, loadRoot(paths));
  const notes = await readNotes(diskFiles, checkpointPath(paths.log));
  const sizeOf = (note: string) => openOwn(note, verifier)?.size ?? -1;
  return notes.filter((note) => sizeOf(note) >= 0).sort((a, b) => sizeOf(a) - sizeOf(b)).at(-1) ??
    "";
}

function memberOf(name: string, file: LogFile, bytes: number): Member {
  return { name, bytes, content: portions(file, bytes) };
}

/** A segment; what a crash kept from being redacted is, in the backup. */
async function* contentOf(
  path: string,
  { bytes, redacted }: { readonly bytes: number; readonly redacted: Redaction },
): AsyncGenerator<Uint8Array> {
  const file = await diskFiles.open(path, "read");
  try {
    const within = redacted.filter(({ offset }) => offset < bytes);
    await checkRecords(within, { file, folder: dirname(path) });
    let at = 0;
    for await (const portion of portions(file, bytes)) {
      overlayRecords(portion, { at, records: within });
      yield portion;
      at += portion.length;
    }
  } finally {
    await file.close();
  }
}

async function* portions(file: LogFile, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes;) {
    const portion = new Uint8Array(Math.min(READ_BYTES, bytes - at));
    const count = file.read(portion, at);
    if (count === 0) return; // The archive finds out that it is too short.
    yield portion.subarray(0, count);
    at += count;
    await Promise.resolve();
  }
}
