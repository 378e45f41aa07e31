/**
 * The copies in the folder `certs`: each user's newest certificate, under the user's id. They follow
 * from the log, so one that cannot be written now is written later, and nobody is refused for it.
 *
 * A copy is written before the answer. Of a user who gets one certificate after the other only the
 * newest counts: after the first they wait, and the last of them is written.
 */

import * as fs from "node:fs";
import { parseBase64 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { makeFolder, readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeCertificatesPem } from "../x509/pem.ts";
import type { DirectoryLog } from "./directory.ts";
import { certificateCopy, type ServerFiles } from "./files.ts";
import { certificateOf, type IssuedCertificate, type State } from "../store/state.ts";

/** The system writes to disk what is this old, also where nobody asked for it. */
const UNSYNCED_MS = 60 * 60_000;

/** A copy takes some 100 µs. */
const MENDED_AT_ONCE = 20;
/** Copies that were missing and are written in one piece: a tenth of a second. */
const RETRIED_AT_ONCE = 1000;
/** Until it is said again that a copy cannot be written: nobody looks into the log more often. */
const WARNED_AGAIN_MS = 60 * 60_000;

export interface CopiesOptions {
  readonly files: ServerFiles;
  readonly state: State;
  readonly log: Pick<DirectoryLog, "read">;
  /** The CA that signed a certificate. */
  readonly issuerOf: (issued: IssuedCertificate) => Uint8Array | undefined;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  /** A clock that nobody sets, in milliseconds. */
  readonly elapsed?: () => number;
}

export class CertificateCopies {
  readonly #options: CopiesOptions;
  /** Whose copy could not be written. */
  readonly #missing = new Set<string>();
  /** Whose copy was written a moment ago. */
  readonly #recent = new Set<string>();
  /** What has come since then for one of those. */
  readonly #waiting = new Map<string, readonly Uint8Array[]>();
  /** Who is no more since we run. */
  readonly #removed = new Set<string>();
  /** Whose copies {@link CertificateCopies.mend} looks at, and how many it has seen. */
  #mended: readonly string[] = [];
  #seen = 0;
  #isClosed = false;
  #warnedMs = -Infinity;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #turn: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CopiesOptions) {
    this.#options = options;
    makeFolder(options.files.certificates);
  }

  /** Writes a copy now, or in a moment if it has just written one for this user. */
  save(id: string, certificates: readonly Uint8Array[]): void {
    if (this.#recent.has(id)) {
      this.#waiting.set(id, certificates);
      return;
    }
    this.#recent.add(id);
    this.#turn ??= setTimeout(() => this.#endTurn(), LIMITS.copyPauseMs);
    this.#save(id, certificates);
  }

  /** Removes the copy of a user who is no more. */
  remove(id: string): void {
    this.#waiting.delete(id);
    this.#missing.delete(id);
    this.#removed.add(id);
    try {
      fs.rmSync(certificateCopy(this.#options.files, id), { force: true });
    } catch (error) {
      this.#options.warn(`the copy of "${id}" is not removed: ${messageOf(error)}`);
    }
  }

  #endTurn(): void {
    this.#turn = undefined;
    this.#recent.clear();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [id, certificates] of waiting) this.save(id, certificates);
  }

  /** Writes what waits for its moment. */
  saveWaiting(): void {
    for (const [id, certificates] of this.#waiting) this.#save(id, certificates);
    this.#waiting.clear();
  }

  /** Not synced: after a power cut the log makes it again. */
  #save(id: string, certificates: readonly Uint8Array[]): void {
    try {
      this.#write(id, encodeCertificatesPem(certificates));
    } catch (error) {
      this.#tell(id, messageOf(error));
      this.#missing.add(id);
      this.#saveMissingLater();
    }
  }

  /** Not of each copy and each try: whatever is wrong, it is mostly the same with all of them. */
  #tell(id: string, why: string): void {
    const nowMs = (this.#options.elapsed ?? (() => performance.now()))();
    if (this.#missing.size > 0 && nowMs < this.#warnedMs + WARNED_AGAIN_MS) return;
    this.#warnedMs = nowMs;
    const others = this.#missing.size - (this.#missing.has(id) ? 1 : 0);
    this.#options.warn(`${why}; it is tried again${others > 0 ? `, with ${others} more` : ""}`);
  }

  #write(id: string, pem: string): void {
    writeFileAtomic(certificateCopy(this.#options.files, id), pem, { isDurable: false });
    this.#missing.delete(id);
  }

  /**
   * Up to the first that fails again: where the disk is full, or the folder is nobody's to write, all
   * of them would, and the directory would do nothing else meanwhile.
   */
  #saveMissing(atOnceMax = Infinity): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    for (const id of [...this.#missing].slice(0, atOnceMax)) {
      try {
        this.#save(id, this.#certificatesOf(id));
      } catch (error) {
        this.#options.warn(`the copy of "${id}" is not written: ${messageOf(error)}`);
        this.#missing.delete(id);
      }
      if (this.#retry !== undefined) { // it has failed
        this.#missing.delete(id); // and set again: it becomes the last
        this.#missing.add(id);
        return;
      }
    }
    if (this.#missing.size > 0) this.#saveMissingLater();
  }

  #saveMissingLater(): void {
    this.#retry ??= setTimeout(() => this.#saveMissing(RETRIED_AT_ONCE), LIMITS.copyRetryMs);
  }

  /** @throws {PkiError} `storage` */
  #certificatesOf(id: string): readonly Uint8Array[] {
    const { state, log, issuerOf } = this.#options;
    const newest = state.newestOf(id);
    const issuer = newest && issuerOf(newest);
    if (!issuer) throw new PkiError("storage", "the CA that has signed it is not known any more");
    return [parseBase64(certificateOf(log.read(newest.entry))), issuer];
  }

  /**
   * Writes the copies that whoever ran before us may not have written, a few at a time: lookups
   * go on between them.
   * @param fromEntry where a snapshot ends, which stands for the copies before it
   * @param missing but for these, of which it said so
   */
  async mend(fromEntry: number, missing: readonly string[] = []): Promise<void> {
    const { state, files, warn } = this.#options;
    const ids = [...new Set([...missing, ...state.recentlyCertified(fromEntry, UNSYNCED_MS)])];
    this.#mended = ids;
    for (const [at, id] of ids.entries()) {
      this.#seen = at;
      if (at % MENDED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
      if (this.#isClosed) return;
      // Nobody is brought back who was deleted, before or since the list was made.
      if (this.#removed.has(id) || state.isDeleted(id)) continue;
      try {
        const certificates = this.#certificatesOf(id);
        const isThere =
          readCopy(certificateCopy(files, id)) === encodeCertificatesPem(certificates);
        if (!isThere) this.#save(id, certificates);
      } catch (error) {
        warn(`the copy of "${id}" is not written: ${messageOf(error)}`);
      }
    }
    this.#mended = [];
  }

  /** Whose copy may not be there, or not the newest: what a start has to look at once more. */
  get missing(): readonly string[] {
    const unseen = this.#mended.slice(this.#seen);
    const ids = new Set([...this.#missing, ...this.#waiting.keys(), ...unseen]);
    return [...ids].filter((id) => !this.#removed.has(id));
  }

  /** Writes what waits, and tries what is missing a last time. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#turn);
    this.saveWaiting();
    this.#saveMissing();
    clearTimeout(this.#retry);
  }
}

function readCopy(path: string): string | undefined {
  try {
    return readTextIfThere(path);
  } catch {
    return undefined; // damaged: it is written again
  }
}
