/**
 * Accounts and invitations as the tables have them. Nothing is changed here but by entries of the log
 * (`account_entries.ts`), except for what is forgotten once the log has forgotten it.
 */

import type { Database } from "./database.ts";

export interface Account {
  readonly id: string;
  /** OPAQUE credential identifier, random, one for each registration. */
  readonly credential: string;
  /** OPAQUE registration record, as its library encodes it. */
  readonly record: string;
  /** Where the password was chosen from. */
  readonly address: string | null;
  /** Since when it may not log in. */
  readonly disabledMs: number | null;
}

export type AccountState = "active" | "disabled" | "deleted";

/** An account as an administrator is told of it. */
export interface AccountRow {
  readonly id: string;
  readonly registeredMs: number | null;
  readonly disabledMs: number | null;
  readonly deletedMs: number | null;
  /** Certificates that are good now, and when the last of them ends. */
  readonly valid: number;
  readonly notAfterMs: number | null;
}

export interface Invitation {
  /** The log's entry that has it; what it is called by. */
  readonly number: number;
  /** SHA-256 of the token, in hex. */
  readonly tokenHash: string;
  /** The only id that may be registered with it. */
  readonly id: string | null;
  /** Whether it lets the owner of the id choose a new password. */
  readonly isReset: boolean;
  readonly uses: number;
  readonly usesLeft: number;
  readonly madeMs: number;
  readonly expiresMs: number;
}

/** An account that is there, whether it may log in or not. */
export function findAccount(database: Database, id: string): Account | undefined {
  return database.query<Account, [string]>(
    `SELECT id, credential, record, address, disabled_ms AS disabledMs FROM accounts
     WHERE id = ? AND deleted_ms IS NULL`,
  ).get(id) ?? undefined;
}

/** Whether somebody has the id, or ever had it. */
export function isIdTaken(database: Database, id: string): boolean {
  return database.query<unknown, [string]>("SELECT 1 FROM accounts WHERE id = ?").get(id) !== null;
}

export function hasAccounts(database: Database): boolean {
  return database.query("SELECT 1 FROM accounts LIMIT 1").get() !== null;
}

export interface AccountQuery {
  readonly nowMs: number;
  readonly id?: string | undefined;
  readonly state?: AccountState | undefined;
  /** The last id of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

const STATE_CONDITIONS: Readonly<Record<AccountState, string>> = {
  active: "disabled_ms IS NULL AND deleted_ms IS NULL",
  disabled: "disabled_ms IS NOT NULL",
  deleted: "deleted_ms IS NOT NULL",
};

/** A page of accounts, by id. */
export function listAccounts(
  database: Database,
  { nowMs, id, state, after = "", limit }: AccountQuery,
): readonly AccountRow[] {
  const conditions = [
    id === undefined ? "id > ?" : "id = ?",
    ...(state === undefined ? [] : [STATE_CONDITIONS[state]]),
  ];
  const good = `FROM certificates INDEXED BY certificates_by_id
    WHERE certificates.id = accounts.id AND revoked_ms IS NULL AND not_after_ms >= ?`;
  return database.query<AccountRow, (string | number)[]>(
    `SELECT id, registered_ms AS registeredMs, disabled_ms AS disabledMs, deleted_ms AS deletedMs,
       (SELECT count(*) ${good}) AS valid, (SELECT max(not_after_ms) ${good}) AS notAfterMs
     FROM accounts WHERE ${conditions.join(" AND ")} ORDER BY id LIMIT ?`,
  ).all(nowMs, nowMs, id ?? after, limit);
}

/**
 * Deleted accounts with certificates that are still good, or with entries that are not redacted, which
 * is what a deletion does last: a crash came between.
 */
export function unfinishedDeletions(database: Database, nowMs: number): readonly string[] {
  return database.query<[string], [number]>(
    `SELECT id FROM accounts WHERE deleted_ms IS NOT NULL AND (
       EXISTS (SELECT 1 FROM account_entries WHERE account_entries.id = accounts.id) OR
       EXISTS (
         SELECT 1 FROM certificates INDEXED BY certificates_by_id
         WHERE certificates.id = accounts.id AND revoked_ms IS NULL AND not_after_ms >= ?))`,
  ).values(nowMs).flat() as string[];
}

/** Entries of the log that still have private parts of accounts that are deleted. */
export function entriesToRedact(database: Database): readonly number[] {
  return database.query<[number], []>(
    `SELECT entry FROM account_entries
     WHERE id IN (SELECT id FROM accounts WHERE deleted_ms IS NOT NULL) ORDER BY entry`,
  ).values().flat() as number[];
}

/** The log has redacted these entries: then nothing is left of what they were about. */
export function forgetEntries(database: Database, entries: readonly number[]): void {
  const forget = database.query("DELETE FROM account_entries WHERE entry = ?");
  database.transaction(() => {
    for (const entry of entries) forget.run(entry);
  })();
}

interface StoredInvitation extends Omit<Invitation, "isReset"> {
  readonly isReset: number;
}

const INVITATION_COLUMNS = `entry AS number, token_hash AS tokenHash, id, is_reset AS isReset, uses,
  uses_left AS usesLeft, made_ms AS madeMs, expires_ms AS expiresMs`;

const parseInvitation = (row: StoredInvitation): Invitation => ({
  ...row,
  isReset: row.isReset === 1,
});

/** @param tokenHash SHA-256 of the token, in hex */
export function findInvitation(database: Database, tokenHash: string): Invitation | undefined {
  const row = database.query<StoredInvitation, [string]>(
    `SELECT ${INVITATION_COLUMNS} FROM invitations WHERE token_hash = ?`,
  ).get(tokenHash);
  return row ? parseInvitation(row) : undefined;
}

/** @param number of the log's entry that has it */
export function findInvitationByNumber(database: Database, number: number): Invitation | undefined {
  const row = database.query<StoredInvitation, [number]>(
    `SELECT ${INVITATION_COLUMNS} FROM invitations WHERE entry = ?`,
  ).get(number);
  return row ? parseInvitation(row) : undefined;
}

/** Invitations that can still be used, the oldest first. */
export function listInvitations(
  database: Database,
  { nowMs, after = -1, limit }: {
    readonly nowMs: number;
    /** The number of the last one of the page before. */
    readonly after?: number | undefined;
    readonly limit: number;
  },
): readonly Invitation[] {
  return database.query<StoredInvitation, [number, number, number]>(
    `SELECT ${INVITATION_COLUMNS} FROM invitations
     WHERE entry > ? AND uses_left > 0 AND expires_ms > ? ORDER BY entry LIMIT ?`,
  ).all(after, nowMs, limit).map(parseInvitation);
}
