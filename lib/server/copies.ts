/**
 * The copies in the folder `certs`: each user's newest certificate, under the user's id. They follow
 * from the log, so one that cannot be written now is written later, and nobody is refused for it.
 */

import { parseBase64 } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import { makeFolder, readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeCertificatesPem } from "../x509/pem.ts";
import type { DirectoryLog } from "./directory.ts";
import { certificateCopy, type ServerFiles } from "./files.ts";
import { certificateOf, type State } from "../store/state.ts";

/** The system writes to disk what is this old, also where nobody asked for it. */
const UNSYNCED_MS = 60 * 60_000;

export interface CopiesOptions {
  readonly files: ServerFiles;
  readonly state: State;
  readonly log: Pick<DirectoryLog, "read">;
  readonly issuingDer: Uint8Array;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
}

export class CertificateCopies {
  readonly #options: CopiesOptions;
  /** Whose copy could not be written. */
  readonly #missing = new Set<string>();
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CopiesOptions) {
    this.#options = options;
    makeFolder(options.files.certificates);
  }

  /** Not synced: after a power cut the log makes it again. */
  save(id: string, certificates: readonly Uint8Array[]): void {
    try {
      this.#write(id, encodeCertificatesPem(certificates));
    } catch (error) {
      if (this.#missing.size === 0) this.#options.warn(`${messageOf(error)}; it is tried again`);
      this.#missing.add(id);
      this.#retry ??= setTimeout(() => this.#saveMissing(), LIMITS.copyRetryMs);
    }
  }

  #write(id: string, pem: string): void {
    writeFileAtomic(certificateCopy(this.#options.files, id), pem, { isDurable: false });
    this.#missing.delete(id);
  }

  #saveMissing(): void {
    this.#retry = undefined;
    for (const id of [...this.#missing]) {
      try {
        this.save(id, this.#certificatesOf(id));
      } catch (error) {
        this.#options.warn(`the copy of "${id}" is not written: ${messageOf(error)}`);
        this.#missing.delete(id);
      }
    }
  }

  #certificatesOf(id: string): readonly Uint8Array[] {
    const { state, log, issuingDer } = this.#options;
    const newest = state.newestOf(id);
    return newest ? [parseBase64(certificateOf(log.read(newest.entry))), issuingDer] : [];
  }

  /** Writes the copies that whoever died before us may not have written. Returns how many. */
  mend(fromEntry: number): number {
    const { state, files } = this.#options;
    let mended = 0;
    for (const id of state.recentlyCertified(fromEntry, UNSYNCED_MS)) {
      const certificates = this.#certificatesOf(id);
      if (readCopy(certificateCopy(files, id)) === encodeCertificatesPem(certificates)) continue;
      this.save(id, certificates);
      mended++;
    }
    return mended;
  }

  close(): void {
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
