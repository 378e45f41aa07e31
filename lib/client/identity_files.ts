/**
 * The files of an identity, `key.pem` and `cert.pem`, and how both change together although a crash
 * may come between any two writes. (`endorsements.json` beside them: `own_endorsements.ts`.)
 *
 * A new key is kept beside the old one, under a name made of its public key, before anybody is asked
 * to certify it: no certificate can come to be whose key is lost. Then the certificate is replaced:
 * this one renaming is the change. Last the new key takes the place of the old one. Whoever reads
 * looks for the key of the certificate that is there, by that name first: so before, between and
 * after these steps the two fit, and a key is overwritten only when no certificate here needs it.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { encodeHex, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  makeFolder,
  readTextIfThere,
  storageError,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { parseCertificatesPem } from "../x509/pem.ts";
import { OwnEndorsements } from "./own_endorsements.ts";

/** A new key's name has so many hex digits of its public key's SHA-256: enough to tell a few keys apart. */
const NAME_DIGITS = 16;
const NEW_KEY = /^key-[0-9a-f]{16}\.pem$/;

export class IdentityFiles {
  readonly #folder: string;

  /** @param folder of one identity; it need not be there yet */
  constructor(folder: string) {
    this.#folder = folder;
  }

  get keyPath(): string {
    return join(this.#folder, "key.pem");
  }

  get certificatePath(): string {
    return join(this.#folder, "cert.pem");
  }

  /** What the identity's keys have signed for the keys that followed. */
  get endorsements(): OwnEndorsements {
    return new OwnEndorsements(join(this.#folder, "endorsements.json"));
  }

  /** Where the key of the certificate is; with no certificate, the key. */
  get keyPathInUse(): string {
    const newPaths = this.#newKeyPaths();
    const pem = newPaths.length > 0 ? this.loadCertificate() : undefined;
    const path = pem === undefined ? undefined : this.#newKeyPathOf(pem);
    return path !== undefined && newPaths.includes(path) ? path : this.keyPath;
  }

  #newKeyPath(spki: Uint8Array): string {
    return join(this.#folder, `key-${encodeHex(sha256(spki)).slice(0, NAME_DIGITS)}.pem`);
  }

  #newKeyPathOf(certificatePem: string): string | undefined {
    try {
      const [leaf] = parseCertificatesPem(certificatePem, this.certificatePath);
      return leaf && this.#newKeyPath(parseCertificate(leaf).spki);
    } catch (error) {
      // Whoever reads a damaged certificate says so; it has no key.
      if (error instanceof PkiError && error.kind === "malformed") return undefined;
      throw error;
    }
  }

  loadCertificate(): string | undefined {
    return readTextIfThere(this.certificatePath);
  }

  /**
   * Gives the key of the certificate its name, if a crash has left it under that of a new one: a key
   * that is in use must never be taken for a new one later.
   */
  #settle(): void {
    const path = this.keyPathInUse;
    if (path === this.keyPath) return;
    try {
      fs.renameSync(path, this.keyPath);
      syncFolder(this.#folder);
    } catch (cause) {
      throw storageError(`cannot write "${this.keyPath}"`, cause);
    }
  }

  /**
   * A key that was made to be certified, the newest; whether it was is not known.
   * @throws {PkiError} `storage`
   */
  loadNewKey(): string | undefined {
    this.#settle();
    const [newest] = this.#newKeyPaths();
    return newest === undefined ? undefined : readTextIfThere(newest);
  }

  #newKeyPaths(): readonly string[] {
    let names: string[];
    try {
      names = fs.readdirSync(this.#folder);
    } catch {
      return []; // no folder, no keys
    }
    const timeOf = (path: string) => fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return names.filter((name) => NEW_KEY.test(name))
      .map((name) => join(this.#folder, name))
      .sort((a, b) => timeOf(b) - timeOf(a));
  }

  /**
   * Keeps a new key beside the one in use; to be called before it is certified.
   * @throws {PkiError} `storage`
   */
  saveNewKey(pem: string, spki: Uint8Array): void {
    makeFolder(this.#folder);
    this.#settle();
    writeFileAtomic(this.#newKeyPath(spki), pem);
  }

  /**
   * Replaces the file of the key in use by the same key, encrypted anew. Not where another content
   * than `replaced` is there by now: another command may have replaced the key. Returns whether it was
   * replaced. (Between the last look and the renaming nothing but a moment passes.)
   * @throws {PkiError} `storage`
   */
  replaceKey(pem: string, replaced: string): boolean {
    const path = this.keyPathInUse;
    if (readTextIfThere(path) !== replaced) return false;
    writeFileAtomic(path, pem);
    return true;
  }

  /**
   * Checks that something can be stored here, before anybody is asked for it.
   * @throws {PkiError} `storage`
   */
  checkWritable(): void {
    makeFolder(this.#folder);
    const temporary = `${this.certificatePath}.${randomBytes(6).toString("hex")}.tmp`;
    writeFileAtomic(temporary, "");
    fs.rmSync(temporary, { force: true });
  }

  /**
   * Replaces the certificate, and the key by the new one if it is for that. Not where another
   * certificate than `replaced` is there by now: two commands may run at once, and neither may take
   * away the key of what the other has stored. Returns whether it was replaced. (Between the last
   * look and the renaming nothing but a moment passes.)
   * @throws {PkiError} `storage`; then the old certificate and its key are there, or the new ones
   */
  replaceCertificate(pem: string, replaced: string | undefined): boolean {
    makeFolder(this.#folder);
    const temporary = `${this.certificatePath}.${randomBytes(6).toString("hex")}.tmp`;
    writeFileAtomic(temporary, pem);
    try {
      if (this.loadCertificate() !== replaced) return false;
      fs.renameSync(temporary, this.certificatePath);
      syncFolder(this.#folder);
      this.#settle();
      return true;
    } catch (cause) {
      throw storageError(`cannot write "${this.certificatePath}"`, cause);
    } finally {
      fs.rmSync(temporary, { force: true });
    }
  }
}
