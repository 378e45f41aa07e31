/**
 * Counts certificates and accounts by their state, for whoever watches the server. A count goes
 * through whole tables, so it is made in pages between which the directory works, and made again only
 * when two hundred times as long has passed as the directory worked for it: half a percent of one
 * thread, however large the tables are. What is small is thereby always counted anew.
 */

import { messageOf } from "../base/errors.ts";
import type { Census } from "../protocol/measured.ts";
import type { Database } from "../store/database.ts";

/** Rows of a page: about a millisecond. */
const PAGE_ROWS = 2000;
/** How many times as long as a count was worked for it is good for. */
const REUSE_FACTOR = 200;
/** Until it is tried again where the tables could not be read. */
const RETRY_MS = 60_000;
/** A count that takes no longer than this is waited for; else the one before is told. */
const WAIT_MS = 50;

const CERTIFICATES = `
  SELECT count(*) AS rows, max(entry) AS last, count(revoked_ms) AS revoked,
    count(*) FILTER (WHERE revoked_ms IS NULL AND not_after_ms >= ?2) AS valid
  FROM (SELECT entry, revoked_ms, not_after_ms FROM certificates
    WHERE entry > ?1 ORDER BY entry LIMIT ${PAGE_ROWS})`;

const PUBLISHED = `
  SELECT count(*) AS rows, max(id) AS last, count(*) FILTER (WHERE is_valid) AS valid,
    min(not_after_ms) FILTER (WHERE is_valid) AS endsMs
  FROM (SELECT published.id AS id, not_after_ms,
      revoked_ms IS NULL AND not_after_ms >= ?2 AS is_valid
    FROM published CROSS JOIN certificates ON certificates.entry = published.entry
    WHERE published.id > ?1 ORDER BY published.id LIMIT ${PAGE_ROWS})`;

const ACCOUNTS = `
  SELECT count(*) AS rows, max(id) AS last, count(disabled_ms) AS disabled,
    count(deleted_ms) AS deleted
  FROM (SELECT id, disabled_ms, deleted_ms FROM accounts WHERE id > ?1 ORDER BY id LIMIT ${PAGE_ROWS})`;

export interface CensusOptions {
  readonly database: Database;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly now?: () => number;
  /** By which it is known how long something takes, in milliseconds. */
  readonly clock?: () => number;
  /** Lets the thread do other things. */
  readonly pause?: () => Promise<void>;
}

interface Page {
  readonly rows: number;
  readonly last: number | string | null;
}

export class CensusTaker {
  readonly #database: Database;
  readonly #warn: (text: string) => void;
  readonly #now: () => number;
  readonly #clock: () => number;
  readonly #pause: () => Promise<void>;
  #newest: Census | undefined;
  /** How long the last count took, and how much of that the thread worked for it. */
  #tookMs = 0;
  #busyMs = 0;
  #dueMs = -Infinity;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor({ database, warn, now, clock, pause }: CensusOptions) {
    this.#database = database;
    this.#warn = warn;
    this.#now = now ?? Date.now;
    this.#clock = clock ?? (() => performance.now());
    this.#pause = pause ?? (() => new Promise((resolve) => setTimeout(resolve, 0)));
  }

  /** The newest count, made anew if it is time; `undefined` while the first one takes long. */
  async read(): Promise<Census | undefined> {
    if (!this.#running && this.#clock() >= this.#dueMs) {
      this.#running = this.#countOnce().finally(() => this.#running = undefined);
    }
    if (this.#running && this.#tookMs <= WAIT_MS) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, WAIT_MS);
      });
      await Promise.race([this.#running, patience]);
      clearTimeout(timer);
    }
    return this.#newest;
  }

  /** Waits for a count that is under way. */
  async settle(): Promise<void> {
    await this.#running;
  }

  /** Ends a count that is under way: the tables are about to be closed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** Never throws: who watches the server must not end it. */
  async #countOnce(): Promise<void> {
    const startMs = this.#clock();
    let hasFailed = false;
    this.#busyMs = 0;
    try {
      await this.#count();
    } catch (error) {
      hasFailed = true;
      this.#warn(`cannot count certificates and accounts: ${messageOf(error)}`);
    }
    const endMs = this.#clock();
    this.#tookMs = endMs - startMs;
    this.#dueMs = endMs + (hasFailed ? RETRY_MS : this.#busyMs * REUSE_FACTOR);
  }

  async #count(): Promise<void> {
    const nowMs = this.#now();
    const certificates = { valid: 0, expired: 0, revoked: 0 };
    for await (
      const page of this.#pages<{ revoked: number; valid: number }>(CERTIFICATES, -1, nowMs)
    ) {
      certificates.revoked += page.revoked;
      certificates.valid += page.valid;
      certificates.expired += page.rows - page.revoked - page.valid;
    }
    let published = 0;
    let endsMs = Infinity;
    for await (
      const page of this.#pages<{ valid: number; endsMs: number | null }>(PUBLISHED, "", nowMs)
    ) {
      published += page.valid;
      endsMs = Math.min(endsMs, page.endsMs ?? Infinity);
    }
    const accounts = { active: 0, disabled: 0, deleted: 0 };
    for await (
      const page of this.#pages<{ disabled: number; deleted: number }>(ACCOUNTS, "")
    ) {
      accounts.disabled += page.disabled;
      accounts.deleted += page.deleted;
      accounts.active += page.rows - page.disabled - page.deleted;
    }
    if (this.#isStopped) return;
    this.#newest = {
      atMs: nowMs,
      certificates,
      published,
      accounts,
      publishedEndsMs: endsMs === Infinity ? null : endsMs,
    };
  }

  /** One page after the other, from behind a place in the table's order. */
  async *#pages<R>(
    sql: string,
    from: number | string,
    ...values: readonly number[]
  ): AsyncGenerator<R & Page> {
    let after = from;
    while (!this.#isStopped) {
      const startMs = this.#clock();
      const page = this.#database.query<R & Page, (string | number)[]>(sql).get(after, ...values);
      this.#busyMs += this.#clock() - startMs;
      if (!page || page.rows === 0) return;
      yield page;
      if (page.rows < PAGE_ROWS || page.last === null) return;
      after = page.last;
      await this.#pause();
    }
  }
}
