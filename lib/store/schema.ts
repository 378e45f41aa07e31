/**
 * The tables that the log adds up to, as numbered steps, forward only. A snapshot of an earlier
 * version gets the steps that it lacks when it is loaded. A step that needs what only the log knows
 * says so, and everything is rebuilt from the log instead.
 */

import { PkiError } from "../base/errors.ts";
import type { Database } from "./database.ts";

/** A step from the version before. */
interface Migration {
  readonly sql: string;
  /** Whether tables of earlier versions cannot be carried over. */
  readonly needsLog?: true;
}

/** Version n is what the first n steps make. Never changed once it has landed; see `docs/log.md`. */
const MIGRATIONS: readonly Migration[] = [
  // Kept certificates whole, and did not know which entry of the log each came from.
  { sql: "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID" },
  {
    needsLog: true,
    sql: `
      CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        credential TEXT NOT NULL,
        record TEXT NOT NULL,
        registered_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE certificates (
        entry INTEGER PRIMARY KEY,
        serial TEXT NOT NULL UNIQUE,
        profile TEXT NOT NULL,
        id TEXT,
        not_after_ms INTEGER NOT NULL,
        issued_ms INTEGER NOT NULL,
        revoked_ms INTEGER,
        reason TEXT
      ) STRICT;
      CREATE INDEX certificates_by_id ON certificates (id, entry);
      CREATE TABLE published (
        id TEXT PRIMARY KEY,
        entry INTEGER NOT NULL REFERENCES certificates (entry),
        published_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE log_tiles (
        tile INTEGER PRIMARY KEY,
        hashes BLOB NOT NULL,
        offsets BLOB NOT NULL
      ) STRICT;
      CREATE TABLE log_segments (first INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;`,
  },
  // Which CA signed a certificate stands in the certificate alone, and that is in the log.
  {
    needsLog: true,
    sql: `
      CREATE TABLE issuers (issuer INTEGER PRIMARY KEY, key_id TEXT NOT NULL UNIQUE) STRICT;
      ALTER TABLE certificates ADD COLUMN issuer INTEGER REFERENCES issuers (issuer);
      CREATE INDEX certificates_by_end ON certificates (not_after_ms, entry)
        WHERE revoked_ms IS NULL;
      CREATE INDEX certificates_revoked ON certificates (issuer, not_after_ms, entry)
        WHERE revoked_ms IS NOT NULL;
      CREATE INDEX certificates_of_others ON certificates (profile, entry)
        WHERE profile <> 'user';`,
  },
  // Which entries an account's private parts are in is known from the log alone.
  {
    needsLog: true,
    sql: `
      DROP TABLE accounts;
      CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        credential TEXT,
        record TEXT,
        address TEXT,
        registered_ms INTEGER,
        disabled_ms INTEGER,
        deleted_ms INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE account_entries (entry INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT;
      CREATE INDEX account_entries_by_id ON account_entries (id, entry);
      CREATE TABLE invitations (
        entry INTEGER PRIMARY KEY,
        token_hash TEXT NOT NULL UNIQUE,
        id TEXT,
        is_reset INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        uses_left INTEGER NOT NULL,
        made_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
      ) STRICT;`,
  },
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Tables of an earlier version are of no use any more: the log has to be read again. */
export function needsLog(version: number): boolean {
  return MIGRATIONS.slice(version).some((step) => step.needsLog === true);
}

/**
 * Brings an empty database, or one of an earlier version, to the newest.
 * @throws {PkiError} `storage` if it is of a newer version, or cannot be carried over
 */
export function migrate(database: Database): void {
  const { user_version: version } = database.query<{ user_version: number }, []>(
    "PRAGMA user_version",
  ).get() ?? { user_version: 0 };
  if (version > SCHEMA_VERSION) {
    throw new PkiError("storage", "cannot read the state: it is of a newer version of pki", {
      hint: "start the version of pki that wrote it, or a newer one",
    });
  }
  if (version > 0 && needsLog(version)) {
    throw new PkiError("storage", `it is of schema version ${version}, ${SCHEMA_VERSION} needed`);
  }
  MIGRATIONS.slice(version).forEach(({ sql }, i) => {
    database.transaction(() => {
      database.exec(sql);
      database.exec(`PRAGMA user_version = ${version + i + 1}`);
    })();
  });
}
