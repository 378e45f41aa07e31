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
  /**
   * What makes the index the right one, and where the page before ended; in several legs, one behind
   * the other, where SQLite would not find that place in the index otherwise: a comparison of
   * (not_after_ms, entry) it makes with the first of both only, and reads all that end together again.
   */
  readonly legs: readonly (readonly Condition[])[];
  /** Whether nothing that has ended comes along this way. */
  readonly isInTime?: boolean;
}

const USER = "user";

/** In the order of issuing. */
function byEntry(along: string, after: CertificateQuery["after"], ...first: Condition[]): Walk {
  const from: Condition[] = after ? [["entry > ?", after.entry]] : [];
  return { along, order: "entry", legs: [[...first, ...from]] };
}

/** What comes behind a place among certificates by their end. */
function behind(
  { notAfterMs, entry }: NonNullable<CertificateQuery["after"]>,
): readonly (readonly Condition[])[] {
  return [
    [["not_after_ms = ?", notAfterMs], ["entry > ?", entry]],
    [["not_after_ms > ?", notAfterMs]],
  ];
}

/** The number of the CA that signed the last certificate of the page before. */
const SAME_ISSUER = "(SELECT issuer FROM certificates WHERE entry = ?)";

function chooseWalk(
  { id, serial, profile, state, endsBeforeMs, nowMs, after }: CertificateQuery,
): Walk {
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
      legs: after
        ? [
          ...behind(after).map((leg): readonly Condition[] => [
            [`issuer = ${SAME_ISSUER}`, after.entry],
            ...leg,
          ]),
          [[`issuer > ${SAME_ISSUER}`, after.entry]],
        ]
        : [[]],
    };
  }
  if (state === undefined && endsBeforeMs === undefined) return byEntry("NOT INDEXED", after);
  const byEnd = { along: "INDEXED BY certificates_by_end", order: "not_after_ms, entry" };
  if (state === "expired") return { ...byEnd, legs: after ? behind(after) : [[]] };
  // One lower bound, not two: SQLite would begin at either of them.
  const isBegun = after !== undefined && after.notAfterMs >= nowMs;
  const legs = isBegun ? behind(after) : [[["not_after_ms >= ?", nowMs] as const]];
  return { ...byEnd, legs, isInTime: true };
}

function filterConditions(
  { profile, state, endsBeforeMs, nowMs }: CertificateQuery,
  { isInTime = false }: Walk,
): readonly Condition[] {
  const conditions: Condition[] = [];
  if (profile !== undefined) conditions.push(["profile = ?", profile]);
  if (state === "revoked") conditions.push(["revoked_ms IS NOT NULL"]);
  if (state === "expired") conditions.push(["revoked_ms IS NULL"], ["not_after_ms < ?", nowMs]);
  if (state === "valid" || endsBeforeMs !== undefined) {
    conditions.push(["revoked_ms IS NULL"]);
    if (!isInTime) conditions.push(["not_after_ms >= ?", nowMs]);
  }
  if (endsBeforeMs !== undefined) conditions.push(["not_after_ms < ?", endsBeforeMs]);
  return conditions;
}

/** A query but for its limit, and the values of its parameters. */
export interface Leg {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

/**
 * The queries of a page, one behind the other until it is full; each needs a limit as its last value.
 * Everything that comes from outside is a value.
 */
export function pageQueries(query: CertificateQuery): readonly Leg[] {
  const walk = chooseWalk(query);
  const { along, order, legs } = walk;
  const filter = filterConditions(query, walk);
  return legs.map((leg) => {
    const all = [...leg, ...filter];
    const where = all.length > 0 ? `WHERE ${all.map(([sql]) => sql).join(" AND ")}` : "";
    return {
      sql: `SELECT ${CERTIFICATE_COLUMNS} FROM certificates ${along} ${where}
        ORDER BY ${order} LIMIT ?`,
      values: all.flatMap(([, ...values]) => values),
    };
  });
}

function readLegs<Row>(database: Database, legs: readonly Leg[], limit: number): readonly Row[] {
  const rows: Row[] = [];
  for (const { sql, values } of legs) {
    if (rows.length === limit) break;
    const query = database.query<Row, (string | number)[]>(sql);
    rows.push(...query.all(...values, limit - rows.length));
  }
  return rows;
}

/**
 * A page of certificates: in the order of issuing where a user, a profile or nothing in particular is
 * asked for; what is revoked, by CA and end; what is valid or expired, by end.
 */
export function listCertificates(
  database: Database,
  query: CertificateQuery,
): readonly IssuedCertificate[] {
  return readLegs(database, pageQueries(query), query.limit);
}

/** A revoked certificate, as a revocation list has it. */
export interface RevokedCertificate {
  readonly entry: number;
  readonly serial: string;
  readonly notAfterMs: number;
  readonly revokedMs: number;
  readonly reason: string | null;
}

interface RevokedQuery {
  readonly issuerKeyId: string;
  /** The last one of the page before; what ends before it is left out, too. */
  readonly after: { readonly notAfterMs: number; readonly entry: number };
}

/** The queries of {@link listRevoked}, as of {@link pageQueries}. */
export function revokedQueries({ issuerKeyId, after }: RevokedQuery): readonly Leg[] {
  return behind(after).map((leg) => ({
    sql: `SELECT entry, serial, not_after_ms AS notAfterMs, revoked_ms AS revokedMs, reason
      FROM certificates INDEXED BY certificates_revoked
      WHERE issuer = (SELECT issuer FROM issuers WHERE key_id = ?) AND revoked_ms IS NOT NULL
        AND ${leg.map(([sql]) => sql).join(" AND ")}
      ORDER BY not_after_ms, entry LIMIT ?`,
    values: [issuerKeyId, ...leg.flatMap(([, ...values]) => values)],
  }));
}

/** A page of what was revoked of the certificates of one CA, by their end. */
export function listRevoked(
  database: Database,
  { limit, ...query }: RevokedQuery & { readonly limit: number },
): readonly RevokedCertificate[] {
  return readLegs(database, revokedQueries(query), limit);
}
