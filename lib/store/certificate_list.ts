/** What an administrator or a revocation list asks of the certificates, in pages that take milliseconds. */

import type { Database } from "./database.ts";
import { CERTIFICATE_COLUMNS, type IssuedCertificate } from "./state.ts";

/** Which certificates are wanted; what is absent does not matter. */
export interface CertificateFilter {
  readonly id?: string | undefined;
  readonly serial?: string | undefined;
  readonly profile?: string | undefined;
  /** `valid` is neither expired nor revoked. */
  readonly state?: "valid" | "expired" | "revoked" | undefined;
  /** Ends before this, in milliseconds since 1970, and is neither expired nor revoked. */
  readonly endsBeforeMs?: number | undefined;
}

export interface CertificateQuery extends CertificateFilter {
  readonly nowMs: number;
  /** The last certificate of the page before: its end, for a list by end, and its entry. */
  readonly after?: { readonly notAfterMs: number; readonly entry: number } | undefined;
  readonly limit: number;
}

/**
 * A page of certificates: by their end where that is asked for, else in the order of issuing.
 * Everything that varies is a parameter of SQL, never a part of it.
 */
export function listCertificates(
  database: Database,
  { id, serial, profile, state, endsBeforeMs, nowMs, after, limit }: CertificateQuery,
): readonly IssuedCertificate[] {
  const isByEnd = endsBeforeMs !== undefined;
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const add = (condition: string, ...more: readonly (string | number)[]) => {
    conditions.push(condition);
    values.push(...more);
  };
  if (id !== undefined) add("id = ?", id);
  if (serial !== undefined) add("serial = ?", serial);
  if (profile !== undefined) add("profile = ?", profile);
  if (state === "revoked") add("revoked_ms IS NOT NULL");
  if (state === "expired") add("not_after_ms < ?", nowMs);
  if (state === "valid" || isByEnd) add("revoked_ms IS NULL AND not_after_ms >= ?", nowMs);
  if (isByEnd) add("not_after_ms < ?", endsBeforeMs);
  if (after && isByEnd) add("(not_after_ms, entry) > (?, ?)", after.notAfterMs, after.entry);
  else if (after) add("entry > ?", after.entry);
  const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
  return database.query<IssuedCertificate, (string | number)[]>(
    `SELECT ${CERTIFICATE_COLUMNS} FROM certificates ${where}
     ORDER BY ${isByEnd ? "not_after_ms, entry" : "entry"} LIMIT ?`,
  ).all(...values, limit);
}

/** A revoked certificate, as a revocation list has it. */
export interface RevokedCertificate {
  readonly entry: number;
  readonly serial: string;
  readonly revokedMs: number;
  readonly reason: string | null;
}

/**
 * A page of what was revoked of the certificates of one CA, in the order of issuing.
 * @param endsAfterMs leaves out what had ended by then
 */
export function listRevoked(
  database: Database,
  { issuerKeyId, endsAfterMs, afterEntry, limit }: {
    readonly issuerKeyId: string;
    readonly endsAfterMs: number;
    readonly afterEntry: number;
    readonly limit: number;
  },
): readonly RevokedCertificate[] {
  return database.query<RevokedCertificate, [string, number, number, number]>(
    `SELECT entry, serial, revoked_ms AS revokedMs, reason FROM certificates
     WHERE issuer = (SELECT issuer FROM issuers WHERE key_id = ?)
       AND revoked_ms IS NOT NULL AND entry > ? AND not_after_ms >= ?
     ORDER BY entry LIMIT ?`,
  ).all(issuerKeyId, afterEntry, endsAfterMs, limit);
}

/** How many certificates of each CA are revoked, to tell whether a revocation list is up to date. */
export function countRevoked(database: Database, issuerKeyId: string): number {
  return database.query<{ count: number }, [string]>(
    `SELECT count(*) AS count FROM certificates
     WHERE issuer = (SELECT issuer FROM issuers WHERE key_id = ?) AND revoked_ms IS NOT NULL`,
  ).get(issuerKeyId)?.count ?? 0;
}
