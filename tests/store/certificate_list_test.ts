import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CertificateFilter,
  type CertificateQuery,
  type Leg,
  listCertificates,
  listRevoked,
  pageQueries,
  revokedQueries,
} from "../../lib/store/certificate_list.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { migrate } from "../../lib/store/schema.ts";

await loadSqlite();

const NOW_MS = Date.UTC(2026, 10, 1);
const DAY_MS = 86_400_000;

interface Row {
  readonly entry: number;
  readonly id: string | null;
  readonly profile: string;
  readonly notAfterMs: number;
  readonly revokedMs: number | null;
  readonly issuer: number;
}

/** 240 certificates of two CAs, with every combination of what can be asked for. */
const ROWS: readonly Row[] = Array.from({ length: 240 }, (_, n) => {
  const profile = ["user", "user", "user", "server", "service"][n % 5] ?? "user";
  return {
    entry: n * 3,
    profile,
    id: profile === "user" ? `user${n % 7}` : null,
    // Some end at the very moment, some on the same day.
    notAfterMs: NOW_MS + (n % 12 - 4) * 5 * DAY_MS,
    revokedMs: n % 3 === 0 ? NOW_MS - n : null,
    issuer: n % 4 === 0 ? 2 : 1,
  };
});

const serialOf = (entry: number) => entry.toString(16).padStart(8, "0");

function makeTables(): Database {
  const database = new Database(":memory:");
  migrate(database);
  database.run("INSERT INTO issuers (issuer, key_id) VALUES (1, 'aa'), (2, 'bb')");
  for (const { entry, profile, id, notAfterMs, revokedMs, issuer } of ROWS) {
    database.query(
      `INSERT INTO certificates
       (entry, serial, profile, id, not_after_ms, issued_ms, revoked_ms, reason, issuer)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      entry,
      serialOf(entry),
      profile,
      id,
      notAfterMs,
      NOW_MS - 40 * DAY_MS,
      revokedMs,
      revokedMs === null ? null : "superseded",
      issuer,
    );
  }
  return database;
}

const DATABASE = makeTables();

/** All pages, one after the other, as entries. */
function listAll(filter: CertificateFilter, limit: number): readonly number[] {
  const found: number[] = [];
  let after: CertificateQuery["after"];
  for (;;) {
    const page = listCertificates(DATABASE, { ...filter, nowMs: NOW_MS, after, limit });
    assert.ok(page.length <= limit);
    found.push(...page.map(({ entry }) => entry));
    after = page.at(-1);
    if (page.length < limit) return found;
  }
}

/** The same by looking at each. */
function wanted({ id, serial, profile, state, endsBeforeMs }: CertificateFilter): Row[] {
  return ROWS.filter((row) => {
    const found = row.revokedMs !== null
      ? "revoked"
      : row.notAfterMs < NOW_MS
      ? "expired"
      : "valid";
    return (id === undefined || row.id === id) &&
      (serial === undefined || serialOf(row.entry) === serial) &&
      (profile === undefined || row.profile === profile) &&
      (state === undefined || found === state) &&
      (endsBeforeMs === undefined || found === "valid" && row.notAfterMs < endsBeforeMs);
  });
}

const IN_A_WEEK_MS = NOW_MS + 7 * DAY_MS;
const FILTERS: readonly CertificateFilter[] = [
  undefined,
  { id: "user1" },
  { id: "nobody" },
  { serial: serialOf(9) },
  { serial: "00ff00ff" },
].flatMap((who) =>
  [undefined, "user", "server", "unheard-of"].flatMap((profile) =>
    ([undefined, "valid", "expired", "revoked"] as const).flatMap((state) =>
      [undefined, IN_A_WEEK_MS].map((endsBeforeMs) => ({ ...who, profile, state, endsBeforeMs }))
    )
  )
);

test("listCertificates() finds what is asked for, in pages of any length", () => {
  for (const filter of FILTERS) {
    const expected = wanted(filter).map(({ entry }) => entry);
    for (const limit of [1, 7, 1000]) {
      const found = listAll(filter, limit);
      assert.deepEqual([...found].sort((a, b) => a - b), expected, JSON.stringify(filter));
      assert.deepEqual(found, listAll(filter, 1000), `${JSON.stringify(filter)}: the same order`);
    }
  }
});

test("listCertificates() tells what has the least time left first", () => {
  const ends = listCertificates(DATABASE, { state: "valid", nowMs: NOW_MS, limit: 1000 })
    .map(({ notAfterMs }) => notAfterMs);
  assert.ok(ends.length > 50);
  assert.deepEqual(ends, [...ends].sort((a, b) => a - b));
  assert.equal(ends[0], NOW_MS, "one that ends at this very moment is valid");
});

test("listCertificates() lists nothing that has ended as valid, whatever place it is given", () => {
  for (const notAfterMs of [0, NOW_MS - 1, NOW_MS]) {
    const query = {
      state: "valid",
      nowMs: NOW_MS,
      after: { notAfterMs, entry: 0 },
      limit: 1000,
    } as const;
    const rows = listCertificates(DATABASE, query);
    assert.ok(rows.length > 0);
    assert.ok(rows.every((row) => row.notAfterMs >= NOW_MS));
  }
});

test("listCertificates() takes what it is asked for as a value, never as SQL", () => {
  for (const text of ["' OR 1=1 --", "%", '"', "user1\0"]) {
    assert.deepEqual(listAll({ id: text }, 10), []);
    assert.deepEqual(listAll({ profile: text }, 10), []);
    assert.deepEqual(listAll({ serial: text }, 10), []);
  }
});

test("listRevoked() has what one CA revoked, but for what ended before", () => {
  for (const [issuerKeyId, issuer] of [["aa", 1], ["bb", 2], ["cc", 3]] as const) {
    const expected = ROWS.filter((row) =>
      row.issuer === issuer && row.revokedMs !== null && row.notAfterMs >= NOW_MS - 10 * DAY_MS
    );
    for (const limit of [1, 7, 1000]) {
      const found = [];
      let after = { notAfterMs: NOW_MS - 10 * DAY_MS, entry: -1 };
      for (;;) {
        const page = listRevoked(DATABASE, { issuerKeyId, after, limit });
        found.push(...page);
        const last = page.at(-1);
        if (!last) break;
        after = last;
      }
      assert.deepEqual(
        found.map(({ entry }) => entry).sort((a, b) => a - b),
        expected.map(({ entry }) => entry),
      );
      for (const { entry, serial, reason, revokedMs } of found) {
        assert.equal(serial, serialOf(entry));
        assert.equal(reason, "superseded");
        assert.equal(revokedMs, NOW_MS - entry / 3);
      }
    }
  }
});

/** How SQLite would carry queries out, step by step. */
function plansOf(legs: readonly Leg[]): readonly string[] {
  return legs.map(({ sql, values }) =>
    DATABASE.query<{ detail: string }, (string | number)[]>(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...values, 10)
      .map(({ detail }) => detail)
      // What a column's own query looks up, by its key.
      .filter((detail) =>
        !/SUBQUERY|issuers|^SEARCH certificates USING INTEGER PRIMARY KEY \(rowid=/.test(detail)
      )
      .join("; ")
  );
}

const AFTER = { notAfterMs: NOW_MS, entry: 5 };
const along = (index: string, ...places: readonly string[]) =>
  places.map((place) => `SEARCH certificates USING INDEX ${index} (${place})`);
const BY_ENTRY = ["SEARCH certificates USING INTEGER PRIMARY KEY (rowid>?)"];
const BY_ID = along("certificates_by_id", "id=? AND entry>?");
const OF_OTHERS = along("certificates_of_others", "profile=? AND entry>?");
const BY_END = ["not_after_ms=? AND entry>?", "not_after_ms>?"];

const PLANS: readonly { filter: CertificateFilter; plans: readonly string[] }[] = [
  { filter: {}, plans: BY_ENTRY },
  { filter: { profile: "user" }, plans: BY_ENTRY },
  { filter: { id: "alice" }, plans: BY_ID },
  { filter: { id: "alice", state: "valid" }, plans: BY_ID },
  { filter: { id: "alice", state: "revoked", endsBeforeMs: 5 }, plans: BY_ID },
  { filter: { profile: "server" }, plans: OF_OTHERS },
  { filter: { profile: "server", state: "expired" }, plans: OF_OTHERS },
  { filter: { profile: "server", endsBeforeMs: IN_A_WEEK_MS }, plans: OF_OTHERS },
  {
    filter: { state: "expired" },
    plans: along(
      "certificates_by_end",
      "not_after_ms=? AND entry>?",
      "not_after_ms>? AND not_after_ms<?",
    ),
  },
  { filter: { state: "valid" }, plans: along("certificates_by_end", ...BY_END) },
  { filter: { state: "valid", profile: "user" }, plans: along("certificates_by_end", ...BY_END) },
  {
    filter: { endsBeforeMs: IN_A_WEEK_MS },
    plans: along(
      "certificates_by_end",
      "not_after_ms=? AND entry>?",
      "not_after_ms>? AND not_after_ms<?",
    ),
  },
  {
    filter: { state: "revoked" },
    plans: along(
      "certificates_revoked",
      ...BY_END.map((place) => `issuer=? AND ${place}`),
      "issuer>?",
    ),
  },
  {
    filter: { serial: "01" },
    plans: along("sqlite_autoindex_certificates_1", "serial=?"),
  },
];

for (const { filter, plans } of PLANS) {
  test(`listCertificates() finds its place in an index for ${JSON.stringify(filter)}`, () => {
    const queries = pageQueries({ ...filter, nowMs: NOW_MS, after: AFTER, limit: 10 });
    assert.deepEqual(plansOf(queries), plans);
  });
}

test("listCertificates() begins without a place where the index begins", () => {
  const begin = (filter: CertificateFilter) =>
    plansOf(pageQueries({ ...filter, nowMs: NOW_MS, limit: 10 }));
  assert.deepEqual(begin({ state: "valid" }), along("certificates_by_end", "not_after_ms>?"));
  assert.deepEqual(begin({ state: "revoked" }), [
    "SCAN certificates USING INDEX certificates_revoked",
  ]);
});

test("listRevoked() finds its place in an index", () => {
  assert.deepEqual(
    plansOf(revokedQueries({ issuerKeyId: "aa", after: AFTER })),
    along("certificates_revoked", ...BY_END.map((place) => `issuer=? AND ${place}`)),
  );
});
