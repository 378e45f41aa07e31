/**
 * What the log's entries add up to: accounts, issued certificates, published certificates. Kept in
 * sql.js, changed only by {@link State.apply}, in the order of the log and after an entry is durable;
 * so the tables never hold anything that was not acknowledged.
 */

import { parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Entry } from "../log/entry.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { Database } from "./database.ts";

/** Numbered, forward only: version n of the schema is what the first n steps make. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE accounts (
     id TEXT PRIMARY KEY,
     credential TEXT NOT NULL,
     record TEXT NOT NULL,
     registered_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE certificates (
     number INTEGER PRIMARY KEY,
     serial TEXT NOT NULL UNIQUE,
     fingerprint TEXT NOT NULL UNIQUE,
     profile TEXT NOT NULL,
     id TEXT,
     not_after_ms INTEGER NOT NULL,
     issued_ms INTEGER NOT NULL,
     der BLOB NOT NULL
   ) STRICT;
   CREATE INDEX certificates_by_id ON certificates (id, number);
   CREATE TABLE published (
     id TEXT PRIMARY KEY,
     number INTEGER NOT NULL REFERENCES certificates (number),
     published_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

export interface Account {
  readonly id: string;
  /** OPAQUE credential identifier, random, one for each registration. */
  readonly credential: string;
  /** OPAQUE registration record, as its library encodes it. */
  readonly record: string;
}

export interface IssuedCertificate {
  /** Counts up in the order of issuing. */
  readonly number: number;
  readonly serial: string;
  readonly id: string | null;
  readonly notAfterMs: number;
  readonly der: Uint8Array<ArrayBuffer>;
}

/** Where in the log a state stands. */
export interface LogPosition {
  readonly size: number;
  /** Merkle tree head over the entries, in hex. */
  readonly root: string;
}

const CERTIFICATE_COLUMNS = "number, serial, id, not_after_ms AS notAfterMs, der";

function damaged(what: string): PkiError {
  return new PkiError("storage", `cannot read the log: ${what}`);
}

function textField(part: Readonly<Record<string, unknown>> | null, key: string): string {
  const value = part?.[key];
  if (typeof value !== "string") throw damaged(`an entry lacks "${key}"`);
  return value;
}

export class State {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
    this.#migrate();
  }

  static empty(): State {
    return new State(new Database(":memory:"));
  }

  /** From a snapshot. @throws {Error} if it is not a database, or one with damaged pages */
  static load(snapshot: Uint8Array): State {
    const database = Database.deserialize(snapshot);
    // Damage behind the header would show only when its page is first needed: too late to replay.
    const [verdict] = database.query("PRAGMA quick_check(1)").values();
    if (verdict?.[0] !== "ok") throw new Error("it is damaged");
    return new State(database);
  }

  #migrate(): void {
    const { user_version: version } = this.#database.query<{ user_version: number }, []>(
      "PRAGMA user_version",
    ).get() ?? { user_version: 0 };
    if (version > MIGRATIONS.length) {
      throw new PkiError("storage", "cannot read the state: it is of a newer version of pki");
    }
    MIGRATIONS.slice(version).forEach((step, i) => {
      this.#database.transaction(() => {
        this.#database.exec(step);
        this.#database.exec(`PRAGMA user_version = ${version + i + 1}`);
      })();
    });
  }

  /** Takes one durable entry in. */
  apply(entry: Entry): void {
    switch (entry.type) {
      case "registered":
        this.#database.query(
          "INSERT INTO accounts (id, credential, record, registered_ms) VALUES (?, ?, ?, ?)",
        ).run(
          textField(entry.private, "id"),
          textField(entry.private, "credential"),
          textField(entry.private, "record"),
          entry.timeMs,
        );
        return;
      case "issued": {
        const der = parseBase64(textField(entry.public, "certificate"));
        const { serial, notAfterMs } = parseCertificate(der);
        const id = entry.public["id"];
        this.#database.query(
          `INSERT INTO certificates (serial, fingerprint, profile, id, not_after_ms, issued_ms, der)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
        ).run(
          serial,
          fingerprintOf(der),
          textField(entry.public, "profile"),
          typeof id === "string" ? id : null,
          notAfterMs,
          entry.timeMs,
          der,
        );
        return;
      }
      case "published":
        this.#database.query(
          `INSERT INTO published (id, number, published_ms)
           SELECT id, number, ? FROM certificates WHERE serial = ?
           ON CONFLICT (id) DO UPDATE SET number = excluded.number, published_ms = excluded.published_ms`,
        ).run(entry.timeMs, textField(entry.public, "serial"));
        return;
    }
  }

  account(id: string): Account | undefined {
    return this.#database.query<Account, [string]>(
      "SELECT id, credential, record FROM accounts WHERE id = ?",
    ).get(id) ?? undefined;
  }

  /** The certificate that a user published last. */
  published(id: string): IssuedCertificate | undefined {
    return this.#database.query<IssuedCertificate, [string]>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates
       WHERE number = (SELECT number FROM published WHERE id = ?)`,
    ).get(id) ?? undefined;
  }

  /** A certificate that was issued to this user, found by its whole content. */
  issuedTo(id: string, der: Uint8Array): IssuedCertificate | undefined {
    return this.#database.query<IssuedCertificate, [string, string]>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates
       WHERE fingerprint = ? AND id = ? AND profile = 'user'`,
    ).get(fingerprintOf(der), id) ?? undefined;
  }

  /** Everybody's newest certificate, for the copies in the folder `certs`. */
  *newestCertificates(): Generator<IssuedCertificate & { readonly id: string }> {
    const rows = this.#database.query<IssuedCertificate & { id: string }, []>(
      `SELECT ${CERTIFICATE_COLUMNS} FROM certificates WHERE number IN
       (SELECT max(number) FROM certificates WHERE id IS NOT NULL GROUP BY id)`,
    );
    yield* rows.iterate();
  }

  /** Where in the log the snapshot that this state was loaded from stood. */
  get snapshotPosition(): LogPosition | undefined {
    const rows = this.#database.query<{ key: string; value: string }, []>(
      "SELECT key, value FROM meta",
    ).all();
    const meta = new Map(rows.map(({ key, value }) => [key, value]));
    const [size, root] = [Number(meta.get("log_size")), meta.get("log_root")];
    return Number.isSafeInteger(size) && root !== undefined ? { size, root } : undefined;
  }

  /** The whole state as an SQLite file that names its position in the log. */
  encodeSnapshot({ size, root }: LogPosition): Uint8Array {
    const put = this.#database.query(
      "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    );
    put.run("log_size", String(size));
    put.run("log_root", root);
    return this.#database.serialize();
  }

  close(): void {
    this.#database.close();
  }
}
