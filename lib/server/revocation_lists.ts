/**
 * The revocation lists (CRLs, RFC 5280, section 5): one for each CA, made when it is due, kept in
 * memory and in the data folder, and handed out in parts.
 *
 * A list is due when half of its validity is over, and soon after a revocation; how soon depends on
 * how long the last one took to make, so that making lists never takes more than a small part of the
 * time. It is gathered in pages, between which the directory does its work. Its number is the time
 * in milliseconds, and greater than that of the list in the folder: it never goes back, also when
 * the folder was restored from a backup or the clock was set.
 */

import * as fs from "node:fs";
import { type Bytes, concatBytes, encodeBase64 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { fileExists, PUBLIC_MODE, storageError, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import type { AnswerOf } from "../protocol/messages.ts";
import { listRevoked } from "../store/certificate_list.ts";
import type { State } from "../store/state.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { encodeCrlEntry, parseCrl } from "../x509/crl.ts";
import type { DirectoryAuthority } from "./directory.ts";
import { reasonOf } from "./revocation.ts";

/** Rows that are read before others have their turn: some milliseconds. */
const PAGE_ROWS = 1000;

/** A list is not made again before so many times of what it took. */
const REST_FACTOR = 20;

/** How long an entry stays behind the end of its certificate: every list in between has it. */
const KEEP_EXPIRED_MS = 7 * LIMITS.dayMs;

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
}

interface KeptList {
  readonly number: string;
  readonly der: Bytes;
}

/** The list of one CA. */
class RevocationList {
  readonly issuer: ListedIssuer;
  readonly #options: RevocationListsOptions;
  readonly #now: () => number;
  readonly #kept: KeptList[] = [];
  #lastNumber: bigint;
  #tookMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Infinity;
  #isMaking = false;
  #isStale = false;
  #isClosed = false;

  constructor(issuer: ListedIssuer, options: RevocationListsOptions) {
    this.issuer = issuer;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#lastNumber = this.#numberInFolder();
  }

  #numberInFolder(): bigint {
    const { path } = this.issuer;
    if (!fileExists(path)) return 0n;
    try {
      return parseCrl(fs.readFileSync(path)).number ?? 0n;
    } catch (error) {
      this.#options.warn(`the list "${path}" is not used: ${messageOf(error)}`);
      return 0n;
    }
  }

  /** Makes the list soon; sooner if it does not take long. */
  schedule(delayMs: number): void {
    if (this.#isClosed) return;
    if (this.#isMaking) {
      this.#isStale = true;
      return;
    }
    const restMs = Math.max(delayMs, this.#tookMs * REST_FACTOR);
    const dueMs = performance.now() + restMs;
    // Who revokes all the time only puts the list off to where it was.
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#make(), restMs);
  }

  async #make(): Promise<void> {
    this.#isMaking = true;
    this.#isStale = false;
    this.#dueMs = Infinity;
    const startMs = performance.now();
    let nextMs: number = LIMITS.crlValidityMs / 2;
    try {
      await this.make();
    } catch (error) {
      if (this.#isClosed) return;
      this.#options.warn(`no revocation list was made: ${messageOf(error)}; it is tried again`);
      nextMs = LIMITS.snapshotRetryMs;
    } finally {
      this.#tookMs = performance.now() - startMs;
      this.#isMaking = false;
    }
    this.schedule(this.#isStale ? LIMITS.crlDelayMs : nextMs);
  }

  /** Makes the list now. @throws {PkiError} `storage` */
  async make(): Promise<void> {
    const thisUpdateMs = Math.floor(this.#now() / 1000) * 1000;
    const entries = await this.#gather(thisUpdateMs);
    const now = BigInt(this.#now());
    const number = now > this.#lastNumber ? now : this.#lastNumber + 1n;
    const der = await this.#options.authority.signList({
      issuerKeyId: this.issuer.issuerKeyId,
      number,
      thisUpdateMs,
      nextUpdateMs: thisUpdateMs + LIMITS.crlValidityMs,
      entries,
    });
    if (this.#isClosed) return;
    // In the folder before anybody has it: the number must never be used again.
    writeFileAtomic(this.issuer.path, der, { mode: PUBLIC_MODE });
    this.#lastNumber = number;
    this.#kept.unshift({ number: String(number), der });
    this.#kept.length = Math.min(this.#kept.length, LISTS_KEPT);
  }

  async #gather(nowMs: number): Promise<Bytes[]> {
    const { state } = this.#options;
    /** A part for each page: fewer things to hand over. */
    const entries: Bytes[] = [];
    for (let afterEntry = -1;;) {
      const rows = listRevoked(state.database, {
        issuerKeyId: this.issuer.issuerKeyId,
        endsAfterMs: nowMs - KEEP_EXPIRED_MS,
        afterEntry,
        limit: PAGE_ROWS,
      });
      entries.push(concatBytes(...rows.map((row) => {
        const { serial, revokedMs } = row;
        return encodeCrlEntry({ serial, revokedMs, reason: reasonOf(row) });
      })));
      const last = rows.at(-1);
      if (!last || rows.length < PAGE_ROWS) return entries;
      afterEntry = last.entry;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#isClosed) throw new PkiError("interrupted", "the server stops");
    }
  }

  /** The newest list, or the one of a number. */
  find(number: string | undefined): KeptList | undefined {
    return number === undefined ? this.#kept[0] : this.#kept.find((one) => one.number === number);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}

/** What a question about a list may name. */
export interface ListQuestion {
  /** SHA-256 of the CA's certificate in hex; the current issuing CA's where it is absent. */
  readonly issuer?: string;
  readonly number?: string;
  readonly offset?: number;
}

export class RevocationLists {
  readonly #options: RevocationListsOptions;
  #lists: readonly RevocationList[] = [];
  /** A list that is not made here: the root's, by the root's fingerprint. */
  #root: { readonly fingerprint: string; readonly list: KeptList } | undefined;

  constructor(options: RevocationListsOptions) {
    this.#options = options;
  }

  /** Whose lists are kept from now on, the current issuing CA's first; new ones are made at once. */
  use(issuers: readonly ListedIssuer[], root: { rootDer: Uint8Array; path: string }): void {
    const before = this.#lists;
    this.#lists = issuers.map((issuer) =>
      before.find((list) =>
        list.issuer.path === issuer.path &&
        list.issuer.fingerprint === issuer.fingerprint
      ) ?? new RevocationList(issuer, this.#options)
    );
    for (const list of before) if (!this.#lists.includes(list)) list.close();
    for (const list of this.#lists) if (!list.find(undefined)) list.schedule(0);
    this.#root = this.#readRootList(root);
  }

  #readRootList({ rootDer, path }: { rootDer: Uint8Array; path: string }) {
    if (!fileExists(path)) return undefined;
    try {
      const der = new Uint8Array(fs.readFileSync(path));
      const number = String(parseCrl(der).number ?? 0n);
      return { fingerprint: fingerprintOf(rootDer), list: { number, der } };
    } catch (error) {
      this.#options.warn(messageOf(storageError(`cannot use the list "${path}"`, error)));
      return undefined;
    }
  }

  /** Something was revoked. */
  changed(issuerKeyId: string): void {
    this.#lists.find(({ issuer }) => issuer.issuerKeyId === issuerKeyId)
      ?.schedule(LIMITS.crlDelayMs);
  }

  /** Makes all lists now. @throws {PkiError} `storage` */
  async makeAll(): Promise<void> {
    for (const list of this.#lists) await list.make();
  }

  /** A part of a list. @throws {PkiError} `not-found` if there is none, or not of that number any more */
  read({ issuer, number, offset = 0 }: ListQuestion): AnswerOf<"CRL"> {
    const list = this.#find(issuer, number);
    if (!list) throw new PkiError("not-found", "cannot find the list: ask for the newest one");
    const { der } = list;
    if (offset > der.length) throw new PkiError("not-found", "cannot find this part of the list");
    return {
      number: list.number,
      bytes: der.length,
      offset,
      chunk: encodeBase64(der.subarray(offset, offset + LIMITS.crlChunkBytesMax)),
    };
  }

  #find(issuer: string | undefined, number: string | undefined): KeptList | undefined {
    if (this.#root && issuer === this.#root.fingerprint) {
      const { list } = this.#root;
      return number === undefined || number === list.number ? list : undefined;
    }
    const list = issuer === undefined
      ? this.#lists[0]
      : this.#lists.find((one) => one.issuer.fingerprint === issuer);
    return list?.find(number);
  }

  close(): void {
    for (const list of this.#lists) list.close();
  }
}
