/**
 * Examines a data folder, or a backup, without a passphrase and without changing anything: that the
 * log is whole, that everything else in the folder agrees with it, and that what it says was signed
 * by whom it names. It goes on after a fault where that makes sense, and reports all that it finds.
 *
 * What may change under a running server is read before the server is asked how far the log is
 * durable; so everything read is a part of what is durable then. Start at {@link verifyFolder}.
 */

import { join } from "node:path";
import { encodeBase64, parseBase64, parseUtf8 } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { StoredEntry } from "../log/entry.ts";
import type { NoteKey } from "../log/note.ts";
import { readNotes } from "../store/checkpoint_file.ts";
import { loadSqlite } from "../store/database.ts";
import { type Files, openIfThere, readBytes } from "../store/disk.ts";
import { checkpointPath, isLaterGeneration } from "../store/open_state.ts";
import { listSegments, segmentName } from "../store/segments.ts";
import { lossOf, openOwn } from "../store/signed_log.ts";
import { type LoadedSnapshot, readSnapshot } from "../store/snapshot.ts";
import { certificateOf } from "../store/state.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { encodeCertificatesPem, parsePem, parsePemBlock } from "../x509/pem.ts";
import type { ServerFiles } from "./files.ts";
import type { DurableLog } from "./ports.ts";
import { type VerifiedCas, verifyCas } from "./verify_cas.ts";
import { Copies } from "./verify_copies.ts";
import { type LogFacts, walkLog } from "./verify_log.ts";

/** How often all is read anew because entries were redacted meanwhile. */
const ATTEMPTS_MAX = 3;

/** What keys and secrets are kept as. */
const KEY_LABELS: readonly string[] = ["ENCRYPTED PRIVATE KEY", "ENCRYPTED PKI SECRET"];

/** Something that is not as it should be. */
export interface Finding {
  readonly what: string;
  /** The file. */
  readonly where: string;
  /** A note is of no harm: the next start mends it, or it is worth knowing. */
  readonly severity: "error" | "note";
}

export interface VerifyOptions {
  readonly files: Files;
  readonly paths: ServerFiles;
  /** Remembers the newest checkpoint elsewhere. */
  readonly witness?: string;
  /** Further checkpoint notes that have to fit, by where they are from. */
  readonly notes?: ReadonlyMap<string, string>;
  /** How far the log is durable, where a server is running. */
  readonly askDurable?: () => Promise<DurableLog | undefined>;
  /** Whether there are copies of certificates to compare; there are none in a backup. */
  readonly hasCopies?: boolean;
  /** Each user's certificates as the copy has them, in the order of the log. What it throws ends all. */
  readonly onIssued?: (id: string, pem: string) => void;
  /** A user is gone for good, and has no copy any more. What it throws ends all. */
  readonly onDeleted?: (id: string) => void;
  /** Told how many bytes of the log have been read so far; a `PkiError` that it throws ends all. */
  readonly onBytes?: (done: number) => void;
}

export interface Verified {
  readonly findings: readonly Finding[];
  readonly origin: string | undefined;
  /** As far as it could be read. */
  readonly log: LogFacts;
  readonly certificates: number;
  /** What the log's checkpoints are verified with. */
  readonly verifier: NoteKey | undefined;
  /** Whether a server was running. */
  readonly isLive: boolean;
}

export function hasErrors({ findings }: Pick<Verified, "findings">): boolean {
  return findings.some(({ severity }) => severity === "error");
}

/** How many bytes of log there are to read, for a bar that shows how far it is. */
export async function measureLog(files: Files, folder: string): Promise<number> {
  let bytes = 0;
  for (const first of await listSegments(files, folder)) {
    const file = await files.open(join(folder, segmentName(first)), "read");
    bytes += await file.size();
    await file.close();
  }
  return bytes;
}

/** @throws {PkiError} what `askDurable` throws, and whatever makes going on senseless */
export async function verifyFolder(options: VerifyOptions): Promise<Verified> {
  await loadSqlite();
  for (let attempt = 1;; attempt++) {
    const verification = new Verification(options);
    const verified = await verification.run();
    // What was redacted while it was read may look damaged.
    const isSettled = !verified.isLive || !hasErrors(verified) || attempt === ATTEMPTS_MAX ||
      (await options.askDurable?.())?.redactions === verification.redactions;
    if (isSettled) return verified;
  }
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #findings: Finding[] = [];
  readonly #copies: Copies;
  #cas: VerifiedCas | undefined;
  #verifier: NoteKey | undefined;
  #serverLeaf: string | undefined;
  #isServerLeafLogged = false;
  #certificates = 0;
  /** What a running server said of them. */
  redactions: number | undefined;

  constructor(options: VerifyOptions) {
    this.#options = options;
    const { files, paths, hasCopies = true } = options;
    this.#copies = new Copies({
      files,
      folder: hasCopies ? paths.certificates : undefined,
      error: (where, what) => this.#error(where, what),
      note: (where, what) => this.#note(where, what),
    });
  }

  #error(where: string, what: string): void {
    this.#findings.push({ what, where, severity: "error" });
  }

  #note(where: string, what: string): void {
    this.#findings.push({ what, where, severity: "note" });
  }

  async run(): Promise<Verified> {
    const { files, paths, askDurable, notes: givenNotes, onBytes } = this.#options;
    await this.#readCas();
    await this.#readKeys();
    const remembered = await this.#readCheckpoints();
    await this.#copies.read();
    const snapshot = await this.#readSnapshot();
    const durable = await askDurable?.();
    this.redactions = durable?.redactions;
    const notes = new Map([...remembered, ...(givenNotes ?? [])]);
    if (durable) notes.set("the running server", durable.checkpoint);
    let log: LogFacts;
    try {
      log = await walkLog({
        files,
        folder: paths.log,
        snapshot,
        snapshotPath: paths.snapshot,
        ...(durable ? { until: durable.segments } : {}),
        onEntry: (entry, index) => this.#checkEntry(entry, index),
        onError: (where, what) => this.#error(where, what),
        onNote: (where, what) => this.#note(where, what),
        ...(onBytes ? { onBytes } : {}),
      });
    } finally {
      snapshot?.state.close();
    }
    this.#checkNotes(notes, log);
    this.#copies.check({ isLive: durable !== undefined });
    if (this.#serverLeaf !== undefined && !this.#isServerLeafLogged && log.isWhole) {
      this.#error(paths.serverCertificate, "the log does not have this certificate");
    }
    return {
      findings: this.#findings,
      origin: this.#verifier?.name,
      log,
      certificates: this.#certificates,
      verifier: this.#verifier,
      isLive: durable !== undefined,
    };
  }

  /** The text of a file that has to be there. */
  async #readText(path: string): Promise<string | undefined> {
    try {
      const file = await openIfThere(this.#options.files, path, "read");
      if (!file) {
        this.#error(path, "it is missing");
        return undefined;
      }
      try {
        const bytes = await file.size();
        if (bytes <= LIMITS.fileBytesMax) return parseUtf8(await readBytes(file, 0, bytes));
        this.#error(path, `it has ${bytes} bytes, at most ${LIMITS.fileBytesMax} expected`);
      } finally {
        await file.close();
      }
    } catch (error) {
      this.#error(path, messageOf(error));
    }
    return undefined;
  }

  /** Reports what is thrown. */
  #try<T>(where: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#error(where, messageOf(error));
      return undefined;
    }
  }

  async #readCas(): Promise<void> {
    const { files, paths } = this.#options;
    this.#cas = await verifyCas({
      files,
      paths,
      readText: (path) => this.#readText(path),
      error: (where, what) => this.#error(where, what),
      note: (where, what) => this.#note(where, what),
    });
    this.#verifier = this.#cas.verifier;
  }

  /** That they are there; whether they can be opened only the passphrase can tell. */
  async #readKeys(): Promise<void> {
    const { paths, files } = this.#options;
    // The root's key is best kept elsewhere.
    const root = await openIfThere(files, paths.rootKey, "read").catch(() => undefined);
    await root?.close();
    const keys = [
      ...(root ? [paths.rootKey] : []),
      ...(this.#cas?.keys ?? []),
      paths.serverKey,
      paths.opaqueKey,
      paths.logKey,
    ];
    for (const path of keys) {
      const text = await this.#readText(path);
      if (text === undefined) continue;
      const blocks = this.#try(path, () => parsePem(text));
      if (blocks && !KEY_LABELS.includes(blocks[0]?.label ?? "")) {
        this.#error(path, "it is not an encrypted key");
      }
    }
    const server = await openIfThere(files, paths.serverCertificate, "read").catch(() => undefined);
    if (!server) {
      return this.#note(paths.serverCertificate, "it is missing; the server makes another");
    }
    await server.close();
    const pem = await this.#readText(paths.serverCertificate);
    if (pem === undefined) return;
    this.#try(paths.serverCertificate, () => {
      const leaf = parseCertificate(parsePemBlock(pem, ["CERTIFICATE"], "it"));
      if (this.#cas?.faultOf(leaf, "user") !== undefined) {
        throw new Error("the issuing CA has not signed it");
      }
      this.#serverLeaf = encodeBase64(leaf.der);
    });
  }

  /** Checkpoints that are remembered, by file and slot. */
  async #readCheckpoints(): Promise<ReadonlyMap<string, string>> {
    const { files, paths, witness } = this.#options;
    const found = new Map<string, string>();
    const verifier = this.#verifier;
    if (!verifier) return found;
    for (const path of [checkpointPath(paths.log), ...(witness === undefined ? [] : [witness])]) {
      try {
        const notes = (await readNotes(files, path)).filter((note) => note.trim() !== "");
        const own = notes.filter((note) => openOwn(note, verifier));
        own.forEach((note, i) => found.set(i === 0 ? path : `${path} (slot ${i + 1})`, note));
        const later = notes.find((note) => isLaterGeneration(note, verifier.name));
        if (later !== undefined) {
          this.#error(path, "it is of a log that was started anew after this one");
        } else if (notes.length > 0 && own.length === 0) {
          this.#error(path, "no checkpoint in it is signed by this log's key");
        } else if (own.length < notes.length) {
          this.#note(path, "one of its two checkpoints is damaged; the next one replaces it");
        }
      } catch (error) {
        this.#error(path, messageOf(error));
      }
    }
    return found;
  }

  #checkNotes(notes: ReadonlyMap<string, string>, log: LogFacts): void {
    const verifier = this.#verifier;
    if (!verifier) return;
    for (const [where, note] of notes) {
      const checkpoint = openOwn(note, verifier);
      const loss = checkpoint && lossOf(log.index, checkpoint);
      if (!checkpoint) this.#error(where, "its checkpoint is not signed by this log's key");
      else if (loss !== undefined) this.#error(where, loss);
    }
  }

  async #readSnapshot(): Promise<LoadedSnapshot | undefined> {
    const { files, paths } = this.#options;
    try {
      return await readSnapshot(files, paths.snapshot);
    } catch (error) {
      const isOld = messageOf(error) === "it is of an earlier version of pki";
      (isOld ? this.#note : this.#error).call(
        this,
        paths.snapshot,
        `${messageOf(error)}; it is not needed, the server makes it anew from the log`,
      );
      return undefined;
    }
  }

  /** An entry that was read; also behind a fault, where its place is a guess. */
  #checkEntry(entry: StoredEntry, index: number): void {
    const { paths, onIssued } = this.#options;
    if (entry.type === "deleted") return this.#takeDeleted(entry);
    if (entry.type !== "issued") return;
    const where = `${paths.log}, entry ${index}`;
    const issued = this.#try(where, () => {
      const base64 = certificateOf(entry);
      return { base64, certificate: parseCertificate(parseBase64(base64)) };
    });
    if (!issued) return;
    const { base64, certificate } = issued;
    this.#certificates++;
    const fault = this.#try(where, () => this.#cas?.faultOf(certificate, entry.public["profile"]));
    if (fault !== undefined) this.#error(where, fault);
    if (base64 === this.#serverLeaf) this.#isServerLeafLogged = true;
    const id = entry.public["id"];
    if (typeof id !== "string") return;
    const pem = encodeCertificatesPem([certificate.der]) +
      (this.#cas?.issuerPemOf(certificate) ?? "");
    onIssued?.(id, pem);
    this.#copies.issued(id, pem);
  }

  #takeDeleted({ private: hidden }: StoredEntry): void {
    const id = hidden === "redacted" ? undefined : hidden?.["id"];
    if (typeof id !== "string") return;
    this.#copies.deleted(id);
    this.#options.onDeleted?.(id);
  }
}
