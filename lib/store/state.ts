/**
 * What the log's entries add up to: accounts, which certificates were issued, published, revoked.
 * Kept in sql.js, changed only by {@link State.apply}, in the order of the log and after an entry is
 * durable; so the tables never hold anything that was not acknowledged. The certificates themselves
 * are in the log: the tables say in which entry.
 */

import { parseBase64 } from "../base/bytes.ts";
import type { StoredEntry } from "../log/entry.ts";
import { parseIssuedFacts } from "../x509/certificate.ts";
import { applyAccountEntry, isAccountEntry } from "./account_entries.ts";
import { type Account, findAccount } from "./accounts.ts";
import { Database, type Statement } from "./database.ts";
import { damaged, textField } from "./entry_fields.ts";
import { migrate } from "./schema.ts";

export interface IssuedCertificate {
  /** The log's entry that has it; counts up in the order of issuing. */
  readonly entry: number;
  readonly serial: string;
  readonly profile: string;
  readonly id: string | null;
  readonly notAfterMs: number;
  readonly issuedMs: number;
  readonly revokedMs: number | null;
  /** Why it was revoked, as RFC 5280 names it (section 5.3.1). */
  readonly reason: string | null;
  /** Key identifier of the CA that signed it, in hex. */
  readonly issuerKeyId: string;
}

/** The columns of an {@link IssuedCertificate}, for queries on the table `certificates`. */
export const CERTIFICATE_COLUMNS = `entry, serial, profile, id, not_after_ms AS notAfterMs,
  issued_ms AS issuedMs, revoked_ms AS revokedMs, reason,
  (SELECT key_id FROM issuers WHERE issuers.issuer = certificates.issuer) AS issuerKeyId`;

/** The certificate that an entry of type `issued` has, as base64. @throws {PkiError} `storage` */
export function certificateOf(entry: StoredEntry): string {
  if (entry.type !== "issued") throw damaged(`an entry is "${entry.type}", "issued" wanted`);
  return textField(entry.public, "certificate");
}

function reasonIn({ private: hidden }: StoredEntry): string | null {
  const reason = hidden === "redacted" ? undefined : hidden?.["reason"];
  return typeof reason === "string" ? reason : null;
}

/**
 * So many entries are one transaction, which costs a third less than one for each. Nobody else reads
 * this database, so that it makes no difference when they are committed; its pages stay few.
 */
const GROUP_ENTRIES_MAX = 64;

export class State {
  /** For the snapshot, which stores more than what entries add up to. */
  readonly database: Database;
  readonly #begin: Statement;
  readonly #commit: Statement;
  /** Entries of the transaction that is open, if one is. */
  #grouped = 0;
  #isBulk = false;
  /** Numbers of CAs by key identifier, as the table has them. */
  readonly #issuers = new Map<string, number>();

  private constructor(database: Database) {
    this.database = database;
    // What is deleted is overwritten: in a snapshot it would else stay readable.
    database.exec("PRAGMA secure_delete = ON");
    migrate(database);
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
  }

  static empty(): State {
    return new State(new Database(":memory:"));
  }

  /** From an SQLite file. @throws {Error} if it is none */
  static load(file: Uint8Array): State {
    return new State(Database.deserialize(file));
  }

  /**
   * Takes one durable entry in. Of what was redacted that which is public still counts.
   * @param index of the entry in the log
   * @throws {PkiError} `storage` if it cannot follow what was there before
   */
  apply(entry: StoredEntry, index: number): void {
    if (this.#grouped === 0) this.#begin.run();
    this.#grouped++;
    this.#apply(entry, index);
    if (this.#grouped >= GROUP_ENTRIES_MAX && !this.#isBulk) this.settle();
  }

  /** Ends the transaction, if one is open: before that the database is not to be had as a file. */
  settle(): void {
    if (this.#grouped === 0) return;
    this.#commit.run();
    this.#grouped = 0;
  }

  #apply(entry: StoredEntry, index: number): void {
    if (isAccountEntry(entry)) {
      return applyAccountEntry((sql, values) => this.#run(sql, values), entry, index);
    }
    switch (entry.type) {
      case "issued": {
        const { serial, notAfterMs, issuerKeyId } = parseIssuedFacts(
          parseBase64(certificateOf(entry)),
        );
        const id = entry.public["id"];
        this.#run(
          `INSERT INTO certificates (entry, serial, profile, id, not_after_ms, issued_ms, issuer)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          [
            index,
            serial,
            textField(entry.public, "profile"),
            typeof id === "string" ? id : null,
            notAfterMs,
            entry.timeMs,
            this.#issuerNumber(issuerKeyId),
          ],
        );
        return;
      }
      case "published":
        this.#run(
          `INSERT INTO published (id, entry, published_ms)
           SELECT id, entry, ? FROM certificates WHERE serial = ? AND id IS NOT NULL
           ON CONFLICT (id) DO UPDATE SET entry = excluded.entry, published_ms = excluded.published_ms`,
          [entry.timeMs, textField(entry.public, "serial")],
        );
        return;
      case "revoked":
        this.#run(
          `UPDATE certificates SET revoked_ms = ?, reason = ?
           WHERE serial = ? AND revoked_ms IS NULL`,
          [
            entry.timeMs,
            reasonIn(entry),
            textField(entry.public, "serial"),
          ],
        );
        return;
      case "restarted":
        this.#run("INSERT OR REPLACE INTO meta (key, value) VALUES ('log_key', ?)", [
          textField(entry.public, "key"),
        ]);
        return;
    }
  }

  /** The number that stands for a CA in the table; there are few of them. */
  #issuerNumber(keyId: string): number {
    const find = this.database.query<{ issuer: number }, [string]>(
      "SELECT issuer FROM issuers WHERE key_id = ?",
    );
    const known = this.#issuers.get(keyId) ?? find.get(keyId)?.issuer;
    if (known === undefined) {
      this.database.query("INSERT INTO issuers (key_id) VALUES (?)").run(keyId);
    }
    const number = known ?? find.get(keyId)?.issuer ?? 0;
    this.#issuers.set(keyId, number);
    return number;
  }

  /** Every entry changes exactly one row. */
  #run(sql: string, values: readonly (string | number | null)[]): void {
    const { changes } = this.database.query(sql).run(...values);
    if (changes !== 1) throw damaged("an entry is about something that was never there");
  }

  /** An account that is there, whether it may log in or not. */
  account(id: string): Account | undefined {
    return findAccount(this.database, id);
  }

  /** The certificate that a user published last. */
  published(id: string): IssuedCertificate | undefined {
    return this.database.query<IssuedCertificate, [string]>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates
       WHERE entry = (SELECT entry FROM published WHERE id = ?)`,
    ).get(id) ?? undefined;
  }

  issued(serial: string): IssuedCertificate | undefined {
    return this.database.query<IssuedCertificate, [string]>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates WHERE serial = ?`,
    ).get(serial) ?? undefined;
  }

  /** A user's newest certificate. */
  newestOf(id: string): IssuedCertificate | undefined {
    return this.database.query<IssuedCertificate, [string]>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates WHERE id = ? ORDER BY entry DESC LIMIT 1`,
    ).get(id) ?? undefined;
  }

  /** Who got a certificate from an entry of the log on, or within some time before the last one. */
  recentlyCertified(fromEntry: number, withinMs: number): readonly string[] {
    return this.database.query<[string], [number, number]>(
      `SELECT DISTINCT id FROM certificates WHERE id IS NOT NULL AND
       id NOT IN (SELECT id FROM accounts WHERE deleted_ms IS NOT NULL) AND
       (entry >= ? OR issued_ms >= (SELECT max(issued_ms) FROM certificates) - ?)`,
    ).values(fromEntry, withinMs).flat() as string[];
  }

  /** Whether somebody had the id and is no more. */
  isDeleted(id: string): boolean {
    return this.database.query<unknown, [string]>(
      "SELECT 1 FROM accounts WHERE id = ? AND deleted_ms IS NOT NULL",
    ).get(id) !== null;
  }

  /** The log's key since it was last started anew, as the log has it. */
  get restartedKey(): string | undefined {
    return this.database.query<{ value: string }, []>(
      "SELECT value FROM meta WHERE key = 'log_key'",
    ).get()?.value;
  }

  /** Applies many entries as one, however many they are. Ended by {@link State.endBulk}. */
  startBulk(): void {
    this.#isBulk = true;
  }

  endBulk(): void {
    this.#isBulk = false;
    this.settle();
  }

  close(): void {
    this.database.close(true);
  }
}
