/**
 * The revocation list (CRL, RFC 5280, section 5) of one CA: made when it is due, and kept in memory
 * and in the data folder.
 *
 * It is due when half of its validity is over, and soon after a revocation; but not soon after another
 * list that took long to make, so that making lists takes but a small part of the time. It is gathered
 * in pages, between which the directory does its work. Its number is the time in milliseconds, and
 * greater than that of the list in the folder: it never goes back, also when the clock was set or the
 * folder was put back from a backup.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Bytes, encodeHex } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { fileExists, PUBLIC_MODE, storageError } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { listRevoked } from "../store/certificate_list.ts";
import type { State } from "../store/state.ts";
import { parseCrlHead } from "../x509/crl.ts";
import { encodeCrlEntries } from "../x509/crl_entries.ts";
import type { DirectoryAuthority } from "./directory.ts";
import { reasonOf } from "./revocation.ts";

/** Rows that are read before others have their turn: some milliseconds. */
const PAGE_ROWS = 250;

/** Between two lists lie so many times of what the first one took, but never more than this. */
export const REST_FACTOR = 20;
export const REST_MS_MAX = 60_000;

/** How long an entry stays behind the end of its certificate: every list in between has it. */
export const KEEP_EXPIRED_MS = 7 * LIMITS.dayMs;

/** So much of a list's validity is never left without another in its place, unless the time of day jumps. */
const LEFT_MS_MIN = LIMITS.crlValidityMs / 4;

/** What a list takes beside its entries, at most: two names, a key identifier, a signature. */
const FRAME_BYTES_MAX = 16 * 1024;

/** The newest list and the one before, which somebody may be in the middle of reading. */
const LISTS_KEPT = 2;

/** A CA and where its list goes. */
export interface ListedIssuer {
  /** SHA-256 of its certificate, in hex. */
  readonly fingerprint: string;
  readonly issuerKeyId: string;
  readonly path: string;
}

export interface RevocationListsOptions {
  readonly state: State;
  readonly authority: Pick<DirectoryAuthority, "signList">;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly now?: () => number;
  /** A clock that nobody sets, in milliseconds. */
  readonly elapsed?: () => number;
  /** What entries may take; default: as many as clients read. */
  readonly entriesBytesMax?: number;
}

export interface KeptList {
  readonly number: string;
  readonly der: Bytes;
}

export class RevocationList {
  readonly issuer: ListedIssuer;
  readonly #options: RevocationListsOptions;
  readonly #now: () => number;
  readonly #elapsed: () => number;
  readonly #kept: KeptList[] = [];
  #lastNumber: bigint;
  /** How long the directory was held up by the last list, and when that was done. */
  #busyMs = 0;
  #endedMs = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Infinity;
  #making: Promise<void> | undefined;
  /** Something was revoked that the newest list does not have. */
  #isStale = false;
  #isClosed = false;

  /** @param before the list of the same CA, if it was in another place until now */
  constructor(issuer: ListedIssuer, options: RevocationListsOptions, before?: RevocationList) {
    this.issuer = issuer;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#elapsed = options.elapsed ?? (() => performance.now());
    const found = this.#findInFolder();
    this.#lastNumber = found?.number ?? 0n;
    if (found?.isGood) this.#kept.push({ number: String(found.number), der: found.der });
    if (!before) return;
    if (before.#lastNumber > this.#lastNumber) this.#lastNumber = before.#lastNumber;
    this.#kept.splice(0, LISTS_KEPT, ...before.#kept);
  }

  /** The list in the folder: handed out until there is another, if it is this CA's and still good. */
  #findInFolder() {
    const { path, issuerKeyId } = this.issuer;
    if (!fileExists(path)) return undefined;
    try {
      const der = new Uint8Array(fs.readFileSync(path));
      const { number, nextUpdateMs = 0, authorityKeyId } = parseCrlHead(der);
      const isOwn = authorityKeyId !== undefined && encodeHex(authorityKeyId) === issuerKeyId;
      return { number, der, isGood: isOwn && nextUpdateMs > this.#now() };
    } catch (error) {
      this.#options.warn(`the list "${path}" is made anew: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Something was revoked. */
  changed(): void {
    this.#isStale = true;
    this.schedule(LIMITS.crlDelayMs);
  }

  /** Has the list made after that time, or later if the last one is not long ago. */
  schedule(delayMs: number): void {
    if (this.#isClosed || this.#making) return; // the one that is being made looks after what comes
    const nowMs = this.#elapsed();
    const restedMs = this.#endedMs + Math.min(this.#busyMs * REST_FACTOR, REST_MS_MAX);
    const dueMs = Math.max(nowMs + delayMs, restedMs);
    // Who revokes all the time does not put the list off.
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), dueMs - nowMs);
  }

  /** There is a list afterwards, and a new one soon; without one it is made first. */
  async begin(): Promise<void> {
    this.#lookLater();
    if (this.find(undefined)) return this.schedule(0);
    this.#start();
    await this.#making;
  }

  /**
   * The time of day may jump: then the newest list has ended, or has not begun, long before another is
   * due by a clock that nobody sets.
   */
  #lookLater(): void {
    clearTimeout(this.#look);
    this.#look = setTimeout(() => {
      if (this.#isClosed) return;
      const newest = this.find(undefined);
      const leftMs = newest && (parseCrlHead(newest.der).nextUpdateMs ?? 0) - this.#now();
      const isInTime = leftMs === undefined ||
        leftMs >= LEFT_MS_MIN && leftMs <= LIMITS.crlValidityMs;
      if (!isInTime) this.schedule(0);
      this.#lookLater();
    }, LIMITS.crlLookMs);
  }

  #start(): void {
    this.#making ??= this.#makeAndGoOn();
  }

  async #makeAndGoOn(): Promise<void> {
    this.#dueMs = Infinity;
    this.#busyMs = 0;
    let nextMs: number | undefined;
    try {
      await this.#make();
    } catch (error) {
      if (this.#isClosed) return;
      this.#options.warn(`no revocation list was made: ${messageOf(error)}; it is tried again`);
      nextMs = LIMITS.snapshotRetryMs;
    } finally {
      this.#endedMs = this.#elapsed();
      this.#making = undefined;
    }
    this.schedule(nextMs ?? (this.#isStale ? LIMITS.crlDelayMs : LIMITS.crlValidityMs / 2));
  }

  /** @throws {PkiError} `storage`; `interrupted` if it was closed meanwhile */
  async #make(isLast = false): Promise<void> {
    const wasStale = this.#isStale;
    this.#isStale = false;
    try {
      const thisUpdateMs = Math.floor(this.#now() / 1000) * 1000;
      const entries = await this.#gather(thisUpdateMs, isLast);
      checkReadable(entries, this.#options.entriesBytesMax);
      const now = BigInt(this.#now());
      const number = now > this.#lastNumber ? now : this.#lastNumber + 1n;
      const der = await this.#options.authority.signList({
        issuerKeyId: this.issuer.issuerKeyId,
        number,
        thisUpdateMs,
        nextUpdateMs: thisUpdateMs + LIMITS.crlValidityMs,
        entries,
      });
      if (this.#isClosed && !isLast) throw new PkiError("interrupted", "the server stops");
      // In the folder before anybody has it: the number must never be used again.
      await writeList(this.issuer.path, der);
      this.#lastNumber = number;
      this.#kept.unshift({ number: String(number), der });
      this.#kept.length = Math.min(this.#kept.length, LISTS_KEPT);
    } catch (error) {
      this.#isStale ||= wasStale;
      throw error;
    }
  }

  async #gather(nowMs: number, isLast: boolean): Promise<Bytes[]> {
    const { state: { database } } = this.#options;
    const { issuerKeyId } = this.issuer;
    /** A part for each page: fewer things to hand over. */
    const entries: Bytes[] = [];
    let after = { notAfterMs: nowMs - KEEP_EXPIRED_MS, entry: -1 };
    for (;;) {
      const beganMs = this.#elapsed();
      const rows = listRevoked(database, { issuerKeyId, after, limit: PAGE_ROWS });
      entries.push(encodeCrlEntries(rows.map((row) => ({ ...row, reason: reasonOf(row) }))));
      this.#busyMs += this.#elapsed() - beganMs;
      const last = rows.at(-1);
      if (!last || rows.length < PAGE_ROWS) return entries;
      after = last;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#isClosed && !isLast) throw new PkiError("interrupted", "the server stops");
    }
  }

  /** The newest list, or the one of a number. */
  find(number: string | undefined): KeptList | undefined {
    return number === undefined ? this.#kept[0] : this.#kept.find((one) => one.number === number);
  }

  /** Makes no list any more, and writes nothing. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#look);
    await this.#making;
  }

  /** Makes no list any more; but what was revoked is in the folder's list afterwards. */
  async close(): Promise<void> {
    await this.stop();
    if (!this.#isStale) return;
    await this.#make(true).catch((error) =>
      this.#options.warn(`no revocation list was made: ${messageOf(error)}; the log has everything`)
    );
  }
}

/** @throws {PkiError} `storage` if a list of these entries is longer than anybody reads */
function checkReadable(
  entries: readonly Uint8Array[],
  bytesMax = LIMITS.crlBytesMax - FRAME_BYTES_MAX,
): void {
  const bytes = entries.reduce((sum, { length }) => sum + length, 0);
  if (bytes <= bytesMax) return;
  throw new PkiError(
    "storage",
    `too many certificates are revoked: they take ${bytes} bytes, and clients read ${bytesMax}; ` +
      "OCSP goes on telling of all of them",
  );
}

/**
 * Writes a list atomically and durably, without holding the thread up meanwhile: it has megabytes.
 * @throws {PkiError} `storage`
 */
async function writeList(path: string, der: Uint8Array): Promise<void> {
  const { promises } = fs;
  const name = `.${basename(path)}.${encodeHex(randomBytes(6))}.tmp`;
  const temporary = join(dirname(path), name);
  try {
    const file = await promises.open(temporary, "wx", PUBLIC_MODE);
    try {
      await file.writeFile(der);
      await file.sync();
    } finally {
      await file.close();
    }
    await promises.rename(temporary, path);
    const folder = await promises.open(dirname(path), "r");
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await promises.rm(temporary, { force: true }).catch(() => {}); // the first failure is the one to tell
    throw storageError(`cannot write "${path}"`, error);
  }
}
