/**
 * What an administrator or a revocation list asks of the certificates, in pages that take
 * milliseconds however many certificates there are. Which index a page is read along is decided here
 * and not by SQLite, which knows nothing of how the certificates are spread.
 */

import type { Database } from "./database.ts";
import { CERTIFICATE_COLUMNS, type IssuedCertificate } from "./state.ts";

/** What a certificate is now; one that was revoked stays so when its time is over. */
export type CertificateState = "valid" | "expired" | "revoked";

/** Which certificates are wanted; what is absent does not matter. */
export interface CertificateFilter {
  readonly id?: string | undefined;
  readonly serial?: string | undefined;
  readonly profile?: string | undefined;
  readonly state?: CertificateState | undefined;
  /** Valid, and ends before this, in milliseconds since 1970. */
  readonly endsBeforeMs?: number | undefined;
}

export interface CertificateQuery extends CertificateFilter {
  readonly nowMs: number;
  /** The last certificate of the page before. */
  readonly after?: { readonly notAfterMs: number; readonly entry: number } | undefined;
  readonly limit: number;
}

/** A condition of SQL and the values of its parameters. */
type Condition = readonly [sql: string, ...values: readonly (string | number)[]];

/** How a page is read: along which index, from where on, in which order. */
interface Walk {
  /** What follows the table's name. */
  readonly along: string;
  readonly order: string;
  /** What makes the index the right one, and where the page before ended. */
  readonly conditions: readonly Condition[];
}

const USER = "user";

/** In the order of issuing. */
function byEntry(along: string, after: CertificateQuery["after"], ...first: Condition[]): Walk {
  const from: Condition[] = after ? [["entry > ?", after.entry]] : [];
  return { along, order: "entry", conditions: [...first, ...from] };
}

function chooseWalk({ id, serial, profile, state, endsBeforeMs, after }: CertificateQuery): Walk {
  if (serial !== undefined) return byEntry("", after, ["serial = ?", serial]);
  if (id !== undefined) return byEntry("INDEXED BY certificates_by_id", after, ["id = ?", id]);
  if (profile !== undefined && profile !== USER) {
    return byEntry("INDEXED BY certificates_of_others", after, [`profile <> '${USER}'`], [
      "profile = ?",
      profile,
    ]);
  }
  if (state === "revoked" && endsBeforeMs === undefined) {
    return {
      along: "INDEXED BY certificates_revoked",
      order: "issuer, not_after_ms, entry",
      conditions: after
        ? [[
          "(issuer, not_after_ms, entry) > ((SELECT issuer FROM certificates WHERE entry = ?), ?, ?)",
          after.entry,
          after.notAfterMs,
          after.entry,
        ]]
        : [],
    };
  }
  if (state === undefined && endsBeforeMs === undefined) return byEntry("NOT INDEXED", after);
  return {
    along: "INDEXED BY certificates_by_end",
    order: "not_after_ms, entry",
    conditions: after ? [["(not_after_ms, entry) > (?, ?)", after.notAfterMs, after.entry]] : [],
  };
}

function filterConditions(
  { profile, state, endsBeforeMs, nowMs }: CertificateQuery,
): readonly Condition[] {
  const conditions: Condition[] = [];
  if (profile !== undefined) conditions.push(["profile = ?", profile]);
  if (state === "revoked") conditions.push(["revoked_ms IS NOT NULL"]);
  if (state === "expired") conditions.push(["revoked_ms IS NULL"], ["not_after_ms < ?", nowMs]);
  if (state === "valid" || endsBeforeMs !== undefined) {
    conditions.push(["revoked_ms IS NULL"], ["not_after_ms >= ?", nowMs]);
  }
  if (endsBeforeMs !== undefined) conditions.push(["not_after_ms < ?", endsBeforeMs]);
  return conditions;
}

/** A page's query and the values of its parameters. Everything that comes from outside is a value. */
export function pageQuery(query: CertificateQuery): {
  readonly sql: string;
  readonly values: readonly (string | number)[];
} {
  const { along, order, conditions } = chooseWalk(query);
  const all = [...conditions, ...filterConditions(query)];
  const where = all.length > 0 ? `WHERE ${all.map(([sql]) => sql).join(" AND ")}` : "";
  return {
    sql: `SELECT ${CERTIFICATE_COLUMNS} FROM certificates ${along} ${where}
      ORDER BY ${order} LIMIT ?`,
    values: [...all.flatMap(([, ...values]) => values), query.limit],
  };
}

/**
 * A page of certificates: in the order of issuing where a user, a profile or nothing in particular is
 * asked for; what is revoked, by CA and end; what is valid or expired, by end.
 */
export function listCertificates(
  database: Database,
  query: CertificateQuery,
): readonly IssuedCertificate[] {
  const { sql, values } = pageQuery(query);
  return database.query<IssuedCertificate, (string | number)[]>(sql).all(...values);
}

/** A revoked certificate, as a revocation list has it. */
export interface RevokedCertificate {
  readonly entry: number;
  readonly serial: string;
  readonly notAfterMs: number;
  readonly revokedMs: number;
  readonly reason: string | null;
}

export const REVOKED_QUERY =
  `SELECT entry, serial, not_after_ms AS notAfterMs, revoked_ms AS revokedMs, reason
   FROM certificates INDEXED BY certificates_revoked
   WHERE issuer = (SELECT issuer FROM issuers WHERE key_id = ?) AND revoked_ms IS NOT NULL
     AND (not_after_ms, entry) > (?, ?)
   ORDER BY not_after_ms, entry LIMIT ?`;

/**
 * A page of what was revoked of the certificates of one CA, by their end.
 * @param after the last one of the page before; what ends before it is left out, too
 */
export function listRevoked(
  database: Database,
  { issuerKeyId, after, limit }: {
    readonly issuerKeyId: string;
    readonly after: { readonly notAfterMs: number; readonly entry: number };
    readonly limit: number;
  },
): readonly RevokedCertificate[] {
  return database.query<RevokedCertificate, [string, number, number, number]>(REVOKED_QUERY)
    .all(issuerKeyId, after.notAfterMs, after.entry, limit);
}
