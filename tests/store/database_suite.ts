/**
 * What a database with the interface of `bun:sqlite` does, as a list of cases that knows neither
 * runtime: `database_test.ts` runs it on our adapter, and on the real thing by way of
 * `database_bun_runner.ts`. A case that the real thing fails is wrong.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type {
  Database,
  SQLiteError,
  SQLQueryBindings,
  Statement,
} from "../../lib/store/database.ts";

export interface Subject {
  readonly Database: typeof Database;
  readonly SQLiteError: typeof SQLiteError;
  readonly Statement: typeof Statement;
}

export interface Case {
  readonly name: string;
  readonly run: (subject: Subject) => void;
}

const PEOPLE = `
  CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, age INTEGER);
  INSERT INTO people (name, age) VALUES ('ada', 36), ('bob', 40), ('cyd', NULL);`;

function people({ Database }: Subject, options?: { strict?: boolean; safeIntegers?: boolean }) {
  const db = new Database(":memory:", options);
  db.run(PEOPLE);
  return db;
}

function names(db: Database): unknown[] {
  return db.query("SELECT name FROM people ORDER BY id").values().flat();
}

function bytes(...values: number[]): Uint8Array {
  return new Uint8Array(values);
}

/** Every kind of value that may be bound: what SQLite says of it and what comes back. */
const VALUES: readonly (readonly [value: unknown, type: string, back: unknown])[] = [
  [null, "null", null],
  [undefined, "null", null],
  [NaN, "null", null],
  [true, "integer", 1],
  [false, "integer", 0],
  [0, "integer", 0],
  [-0, "real", -0],
  [1.5, "real", 1.5],
  [2 ** 31 - 1, "integer", 2 ** 31 - 1],
  [2 ** 31, "integer", 2 ** 31],
  [-(2 ** 31), "integer", -(2 ** 31)],
  [-(2 ** 31) - 1, "integer", -(2 ** 31) - 1],
  [2 ** 53 - 1, "integer", 2 ** 53 - 1],
  [2 ** 53, "real", 2 ** 53],
  [1e300, "real", 1e300],
  [-Infinity, "real", -Infinity],
  [7n, "integer", 7],
  [-(2n ** 31n) - 1n, "integer", -(2 ** 31) - 1],
  [2n ** 53n + 1n, "integer", 2 ** 53],
  [2n ** 63n, "integer", -(2 ** 63)],
  ["", "text", ""],
  ["it's é🐱", "text", "it's é🐱"],
  ["a\0b", "text", "a\0b"],
  ["\ud800", "text", "\ufffd"],
  [bytes(), "blob", bytes()],
  [bytes(0, 255), "blob", bytes(0, 255)],
  [bytes(1, 2, 3, 4).subarray(1, 3), "blob", bytes(2, 3)],
  [bytes(9, 8).buffer, "blob", bytes(9, 8)],
  [new Uint16Array([258]), "blob", bytes(2, 1)],
];

/** What goes wrong, after `SETUP`, and what the error is called. */
const SETUP = `
  PRAGMA foreign_keys = ON;
  CREATE TABLE p (a INTEGER PRIMARY KEY);
  CREATE TABLE c (a REFERENCES p (a) DEFERRABLE INITIALLY IMMEDIATE);
  CREATE TABLE u (a UNIQUE, b NOT NULL DEFAULT 0, c CHECK (c > 0));
  CREATE TABLE k (a, b, UNIQUE (a), PRIMARY KEY (b, a));
  CREATE TABLE w (a TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE s (a INT) STRICT;
  CREATE TRIGGER kept BEFORE DELETE ON p BEGIN SELECT raise(ABORT, 'p is kept'); END;
  INSERT INTO p VALUES (1); INSERT INTO u VALUES (1, 1, 1); INSERT INTO k VALUES (1, 1);
  INSERT INTO w VALUES ('x');`;
const FAILURES: readonly (readonly [sql: string, code: string, errno: number, message: string])[] =
  [
    ["selec", "SQLITE_ERROR", 1, 'near "selec": syntax error'],
    ["SELECT * FROM nope", "SQLITE_ERROR", 1, "no such table: nope"],
    ["COMMIT", "SQLITE_ERROR", 1, "cannot commit - no transaction is active"],
    [
      "INSERT INTO u (a) VALUES (1)",
      "SQLITE_CONSTRAINT_UNIQUE",
      2067,
      "UNIQUE constraint failed: u.a",
    ],
    [
      "INSERT INTO k VALUES (1, 2)",
      "SQLITE_CONSTRAINT_UNIQUE",
      2067,
      "UNIQUE constraint failed: k.a",
    ],
    [
      "INSERT INTO k VALUES (1, 1)",
      "SQLITE_CONSTRAINT_PRIMARYKEY",
      1555,
      "UNIQUE constraint failed: k.b, k.a",
    ],
    [
      "INSERT INTO p VALUES (1)",
      "SQLITE_CONSTRAINT_PRIMARYKEY",
      1555,
      "UNIQUE constraint failed: p.a",
    ],
    [
      "INSERT INTO w VALUES ('x')",
      "SQLITE_CONSTRAINT_PRIMARYKEY",
      1555,
      "UNIQUE constraint failed: w.a",
    ],
    [
      "INSERT INTO u (rowid) VALUES (1)",
      "SQLITE_CONSTRAINT_ROWID",
      2579,
      "UNIQUE constraint failed: u.rowid",
    ],
    [
      "INSERT INTO u (b) VALUES (NULL)",
      "SQLITE_CONSTRAINT_NOTNULL",
      1299,
      "NOT NULL constraint failed: u.b",
    ],
    [
      "INSERT INTO u (c) VALUES (0)",
      "SQLITE_CONSTRAINT_CHECK",
      275,
      "CHECK constraint failed: c > 0",
    ],
    [
      "INSERT INTO c VALUES (5)",
      "SQLITE_CONSTRAINT_FOREIGNKEY",
      787,
      "FOREIGN KEY constraint failed",
    ],
    [
      "INSERT INTO s VALUES ('x')",
      "SQLITE_CONSTRAINT_DATATYPE",
      3091,
      "cannot store TEXT value in INT column s.a",
    ],
    ["DELETE FROM p", "SQLITE_CONSTRAINT_TRIGGER", 1811, "p is kept"],
    ["INSERT INTO p VALUES ('x')", "SQLITE_MISMATCH", 20, "datatype mismatch"],
    ["SELECT zeroblob(2000000000)", "SQLITE_TOOBIG", 18, "string or blob too big"],
    [
      "SELECT 1 ORDER BY 1 COLLATE nope",
      "SQLITE_ERROR_MISSING_COLLSEQ",
      257,
      "no such collation sequence: nope",
    ],
    ["ATTACH '/nope/nope' AS q", "SQLITE_CANTOPEN", 14, "unable to open database: /nope/nope"],
  ];

/** What a statement is, after the tables of `people`: whether it is read-only, whether it has rows. */
const KINDS: readonly (readonly [sql: string, readonly: boolean, reader: boolean])[] = [
  ["SELECT 1", true, true],
  ["SELECT * FROM people WHERE id = ?", true, true],
  ["INSERT INTO people (name) VALUES (?)", false, false],
  ["INSERT INTO people (name) VALUES (?) RETURNING id", false, true],
  ["-- first\n DELETE FROM people", false, false],
  ["WITH x AS (SELECT 1) SELECT * FROM x", true, true],
  ["WITH x AS (SELECT 1) DELETE FROM people WHERE id IN x", false, false],
  ["BEGIN", true, false],
  ["SAVEPOINT a", true, false],
  ["COMMIT", true, false],
  ["CREATE TABLE z (a)", false, false],
  ["CREATE TEMP TABLE z (a)", false, false],
  ["CREATE TABLE IF NOT EXISTS people (a)", false, false],
  ["DROP TABLE IF EXISTS nope", false, false],
  ["ATTACH ':memory:' AS q", true, false],
  ["VACUUM", false, false],
  ["ANALYZE", false, false],
  ["EXPLAIN SELECT 1", true, true],
  ["EXPLAIN DELETE FROM people", false, true],
  ["/* a */ EXPLAIN /* b */ QUERY -- c\n PLAN DELETE FROM people", false, true],
  ["PRAGMA user_version", true, true],
  ["PRAGMA user_version = 3", false, false],
  ["PRAGMA table_info(people)", true, true],
  ["PRAGMA journal_mode", false, true],
  ["PRAGMA foreign_keys = ON", true, false],
  ["PRAGMA wal_checkpoint", false, true],
];

/** What a function may give, what SQLite says of it, and what comes back. */
const RESULTS: readonly (readonly [value: unknown, type: string, back: unknown])[] = [
  ...VALUES,
  [1e15, "integer", 1e15],
  [9007199254740993n, "integer", 2 ** 53],
  ["x".repeat(3_000_000), "text", "x".repeat(3_000_000)],
];

const BUSY = {
  name: "TypeError",
  message: "This database connection is busy executing a query",
};

/** What a use of `function` and `aggregate` is refused with, before SQLite sees it. */
const BAD_FUNCTIONS: readonly (readonly [args: unknown[], error: RegExp])[] = [
  [[], /^TypeError: Expected first argument to be a string$/],
  [[5, () => 1], /^TypeError: Expected first argument to be a string$/],
  [["f"], /^TypeError: Expected last argument to be a function$/],
  [["f", {}, 5], /^TypeError: Expected last argument to be a function$/],
  [["f", 5, () => 1], /^TypeError: Expected second argument to be an options object$/],
  [["", () => 1], /^TypeError: User-defined function name cannot be an empty string$/],
  [["a\0b", () => 1], /TypeError.*: The argument 'name' must be a string without null bytes/],
  [["f", { varargs: 1 }, () => 1], /^TypeError: Expected the "varargs" option to be a boolean$/],
  [["f", { directOnly: "" }, () => 1], /^TypeError: Expected the "directOnly" option/],
  [["é".repeat(128), () => 1], /^SQLiteError: bad parameter or other API misuse$/],
];
const BAD_AGGREGATES: readonly (readonly [args: unknown[], error: RegExp])[] = [
  [[5, { step: () => 1 }], /^TypeError: Expected first argument to be a string$/],
  [["f"], /^TypeError: Expected second argument to be an options object$/],
  [["f", () => 1], /^TypeError: Expected second argument to be an options object$/],
  [["f", {}], /^TypeError: Missing required option "step"$/],
  [["f", { step: 5 }], /^TypeError: Expected the "step" option to be a function$/],
  [["f", { step: () => 1, result: 5 }], /^TypeError: Expected the "result" option to be a func/],
  [["f", { step: () => 1, inverse: 5 }], /^TypeError: Expected the "inverse" option to be a f/],
];

const INVALIDATED = /This iterator was invalidated: its statement was run again/;

export const cases: readonly Case[] = [
  {
    name: "new Database() opens an empty database for every name of memory",
    run({ Database }) {
      assert.equal(new Database().filename, ":memory:");
      assert.equal(new Database("").filename, "");
      assert.equal(new Database(" :memory: ").filename, ":memory:");
      assert.equal(
        Database.open(":memory:", { create: true, readwrite: true }).inTransaction,
        false,
      );
      assert.deepEqual(new Database().query("SELECT * FROM sqlite_schema").all(), []);
    },
  },
  {
    name: "new Database() refuses what makes no sense",
    run({ Database }) {
      const anonymous = /Cannot open an anonymous database in read-only mode/;
      assert.throws(() => new Database(":memory:", { readonly: true }), anonymous);
      assert.throws(() => new Database("", { readwrite: false }), anonymous);
      assert.throws(() => new Database("", 1), anonymous);
      assert.throws(() => new Database("", { readonly: true, create: true }), TypeError);
      assert.throws(() => new Database("", { readOnly: true } as object), /Misspelled/);
      assert.throws(() => new Database(5 as unknown as string), /Expected 'filename'/);
      assert.throws(() => new Database(null as unknown as string), /got 'object'/);
      assert.throws(() => new Database(bytes()), /must not be empty/);
    },
  },
  {
    name: "values keep their type and come back",
    run({ Database }) {
      const statement = new Database().query("SELECT typeof(?1), ?1");
      for (const [value, type, back] of VALUES) {
        assert.deepEqual(statement.values(value as string), [[type, back]], String(value));
        assert.deepEqual(statement.values([value as string]), [[type, back]], String(value));
      }
    },
  },
  {
    name: "values that SQLite has no type for are refused",
    run({ Database }) {
      const db = new Database();
      const refused: unknown[] = [Symbol("s"), () => 1, new Date(0), [[1]], [{ a: 1 }], /x/];
      for (const value of refused) {
        const get = () => db.query("SELECT ? AS a").get(value as string);
        assert.throws(get, { name: "TypeError", message: /^Binding expected string/ });
      }
      const named = () => db.query("SELECT $a AS a").get({ $a: { b: 1 } as unknown as string });
      assert.throws(named, TypeError);
    },
  },
  {
    name: "wide integers are integers in every column and comparison",
    run({ Database }) {
      const db = new Database(":memory:", { safeIntegers: true });
      db.run("CREATE TABLE t (a TEXT, b INTEGER, c, d REAL)");
      const insert = db.prepare("INSERT INTO t VALUES (?1, ?1, ?1, ?1)");
      for (const value of [5_000_000_000, 2n ** 62n, 5]) insert.run(value);
      const types = db.query("SELECT typeof(a), typeof(b), typeof(c), typeof(d), c FROM t")
        .values();
      assert.deepEqual(types, [
        ["text", "integer", "integer", "real", 5_000_000_000n],
        ["text", "integer", "integer", "real", 2n ** 62n],
        ["text", "integer", "integer", "real", 5n],
      ]);
      for (const column of ["a", "b", "c", "d"]) {
        const count = db.query(`SELECT count(*) FROM t WHERE ${column} = ?`);
        assert.deepEqual(count.values(5_000_000_000), [[1n]], column);
        assert.deepEqual(count.values(5_000_000_000n), [[1n]], column);
        assert.deepEqual(count.values("5000000000"), [[column === "c" ? 0n : 1n]], column);
      }
      db.run("INSERT INTO t (a, c) VALUES ('05000000000', '5000000000')");
      const asText = db.query("SELECT count(*) FROM t WHERE a = ?");
      assert.deepEqual(asText.values(5_000_000_000), [[1n]], "compared as text with a text");
      const limited = db.query("SELECT ?1 AS wide FROM t LIMIT ?1 OFFSET ?2").all(2n ** 40n, 3);
      assert.deepEqual(limited, [{ wide: 2n ** 40n }]);
      const mixed = db.query("SELECT ? AS a, '?' AS b, ? AS c /* ? */, ? AS d");
      assert.deepEqual(mixed.values(2 ** 40, "x", 2n ** 50n), [[2n ** 40n, "?", "x", 2n ** 50n]]);
      assert.deepEqual(mixed.values(1, 2 ** 40, 1), [[1n, "?", 2n ** 40n, 1n]]);
      const five = db.query("SELECT ?, ?, ?, ?, ?");
      for (let mask = 0; mask < 32; mask += 1) {
        const row = [0, 1, 2, 3, 4].map((at) => BigInt(at) + (mask >> at & 1 ? 2n ** 40n : 0n));
        assert.deepEqual(five.values(row), [row], `mask ${mask}`);
      }
      assert.deepEqual(db.query("SELECT ?, $a + 1").columnNames, ["?", "$a + 1"]);
      assert.deepEqual(db.query("SELECT ?").get(2 ** 40), { "?": 2n ** 40n });
    },
  },
  {
    name: "integers are read as numbers, or as bigint with safeIntegers",
    run(subject) {
      const sql = "SELECT 9007199254740993 AS a, 1.0 AS b, 5 AS c";
      const db = new subject.Database();
      assert.deepEqual(db.query(sql).get(), { a: 2 ** 53, b: 1, c: 5 });
      const safe = { a: 9007199254740993n, b: 1, c: 5n };
      const statement = db.prepare(sql);
      assert.equal(statement.safeIntegers(), false);
      assert.equal(statement.safeIntegers(true), statement);
      assert.equal(statement.safeIntegers(), true);
      assert.deepEqual(statement.get(), safe);
      assert.deepEqual([...statement.iterate()], [safe]);
      assert.deepEqual(statement.safeIntegers(false).get(), { a: 2 ** 53, b: 1, c: 5 });

      const safeDb = people(subject, { safeIntegers: true });
      assert.deepEqual(safeDb.query(sql).get(), safe);
      const insert = "INSERT INTO people (name) VALUES ('dan') ON CONFLICT DO NOTHING";
      assert.deepEqual(safeDb.run(insert), { changes: 1, lastInsertRowid: 4n });
      assert.deepEqual(safeDb.query(insert).run(), { changes: 0, lastInsertRowid: 4n });
      const tooWide = () => safeDb.query("SELECT ?").get(2n ** 63n);
      assert.throws(tooWide, { name: "RangeError", message: /'9223372036854775808'/ });
      assert.throws(() => safeDb.query("SELECT ?").get(-(2n ** 63n) - 1n), RangeError);
    },
  },
  {
    name: "parameters go by position, one by one or in an array",
    run({ Database }) {
      for (const strict of [false, true]) {
        const db = new Database(":memory:", { strict });
        const statement = db.prepare("SELECT ? AS a, ? AS b");
        assert.equal(statement.paramsCount, 2);
        assert.deepEqual(statement.get(), { a: null, b: null });
        assert.deepEqual(statement.get(1, 2), { a: 1, b: 2 });
        assert.deepEqual(statement.get(), { a: 1, b: 2 }, "what was bound stays");
        assert.deepEqual(statement.get([3, 4]), { a: 3, b: 4 });
        assert.deepEqual(statement.get([]), { a: null, b: null });
        assert.deepEqual(statement.get(bytes(7), 2), { a: bytes(7), b: 2 });
        assert.throws(() => statement.get(1), /expected 2 values, received 1/);
        assert.throws(() => statement.get(1, 2, 3), /expected 2 values, received 3/);
        assert.throws(() => statement.get(null), /expected 2 values, received 1/);
        assert.deepEqual(statement.get(), { a: null, b: null }, "a failed binding leaves none");
        assert.deepEqual(db.query("SELECT 1 AS a").get(5), { a: 1 }, "none wanted, any ignored");
        assert.deepEqual(db.prepare("SELECT ? AS a, ? AS b", [1, 2]).get(), { a: 1, b: 2 });
        assert.deepEqual(
          db.prepare<unknown, SQLQueryBindings[]>(
            "SELECT ? AS a",
            5 as unknown as SQLQueryBindings[],
          ).get(),
          { a: 5 },
        );
        assert.throws(() => db.prepare("SELECT ? AS a", [1, 2]), /expected 1 values, received 2/);
      }
    },
  },
  {
    name: "numbered and mixed parameters count like SQLite's",
    run({ Database }) {
      const db = new Database();
      const mixed = db.query("SELECT ?2 AS b, ?1 AS a, ? AS c, $x AS x, $x AS y");
      assert.equal(mixed.paramsCount, 4);
      assert.deepEqual(mixed.get(1, 2, 3, 4), { b: 2, a: 1, c: 3, x: 4, y: 4 });
      assert.equal(db.query("SELECT ?5").paramsCount, 5);
      assert.equal(db.query("SELECT $a, $a, @a").paramsCount, 2);
      const tricky = `SELECT '?', "?", \`?\`, [?], a$b, 1 -- ?
        FROM (SELECT 1 AS "?", 2 AS a$b) /* ? :a */ WHERE 1 = ? AND 'it''s ?' <> :b`;
      assert.equal(db.query(tricky).paramsCount, 2);
      assert.deepEqual(db.query("SELECT $a::b(c) AS a").get({ "$a::b(c)": 1 }), { a: 1 });
    },
  },
  {
    name: "parameters go by name, with or without their prefix",
    run({ Database }) {
      for (const strict of [false, true]) {
        const statement = new Database("", { strict }).prepare("SELECT $a AS a, :b AS b, @c AS c");
        const row = { a: 1, b: 2, c: 3 };
        assert.deepEqual(statement.get({ $a: 1, ":b": 2, "@c": 3 }), row);
        assert.deepEqual(statement.get({ a: 1, b: 2, c: 3 }), row);
        assert.deepEqual(statement.get({ a: 1, b: 2, c: 3, $d: 4 }), row, "others are ignored");
        assert.deepEqual(statement.get(1, 2, 3), row);
        assert.deepEqual(statement.get({ a: 1, b: undefined, c: 3 }), { a: 1, b: null, c: 3 });
        const instance = new (class {
          a = 1;
          b = 2;
          c = 3;
        })();
        assert.deepEqual(statement.get({ ...instance }), row);
        assert.deepEqual(statement.get(instance as unknown as Record<string, number>), row);
        const both = statement.get({ $a: 1, a: 5, b: 2, c: 3 });
        assert.deepEqual(both, { a: strict ? 5 : 1, b: 2, c: 3 });
      }
    },
  },
  {
    name: "missing names are null, or an error in strict mode",
    run({ Database }) {
      const sql = "SELECT $a AS a, :b AS b";
      const statement = new Database().prepare(sql);
      assert.deepEqual(statement.get({ $a: 1 }), { a: 1, b: null });
      assert.deepEqual(statement.get({ ":a": 1, $b: 1 }), { a: null, b: null });
      assert.deepEqual(statement.get(Object.create({ a: 1, b: 2 })), { a: null, b: null });
      const strict = new Database("", { strict: true }).prepare(sql);
      assert.throws(() => strict.get({ a: 1 }), /^Error: Missing parameter "b"$/);
      assert.throws(() => strict.get({ b: 1 }), /^Error: Missing parameter "a"$/);
      assert.throws(() => strict.get({}), /Missing parameter "a"/);
      const plain = new Database("", { strict: true }).prepare("SELECT ? AS a");
      assert.throws(() => plain.get({ a: 1 }), /Missing parameter "\?1"/);
      assert.deepEqual(plain.get({ 0: 4 }), { a: 4 });
    },
  },
  {
    name: "get, all and values answer rows, null and empty lists",
    run(subject) {
      const db = people(subject);
      const adults = db.query("SELECT id, name FROM people WHERE age > ? ORDER BY id");
      assert.deepEqual(adults.get(30), { id: 1, name: "ada" });
      assert.deepEqual(adults.all(30), [{ id: 1, name: "ada" }, { id: 2, name: "bob" }]);
      assert.deepEqual(adults.values(30), [[1, "ada"], [2, "bob"]]);
      assert.equal(adults.get(99), null);
      assert.deepEqual(adults.all(99), []);
      assert.deepEqual(adults.values(99), []);
      assert.equal(db.query("CREATE TABLE IF NOT EXISTS people (a)").get(), null);
      assert.deepEqual(adults.columnNames, ["id", "name"]);
      assert.deepEqual(db.query("DELETE FROM people").columnNames, []);
    },
  },
  {
    name: "rows with odd column names stay what they are",
    run({ Database }) {
      const db = new Database();
      assert.deepEqual(db.query("SELECT 1 AS a, 2 AS a, 3 AS b").get(), { a: 2, b: 3 });
      assert.deepEqual(db.query("SELECT 1 AS a, 2 AS a").values(), [[1, 2]]);
      const row = db.query("SELECT 1 AS __proto__, 2 AS b").get() as object;
      assert.deepEqual(Object.keys(row), ["__proto__", "b"]);
      assert.equal(Object.getPrototypeOf(row), Object.prototype);
    },
  },
  {
    name: "run() tells changes and the last row id",
    run({ Database }) {
      const db = new Database();
      const steps: readonly (readonly [sql: string, changes: number, lastInsertRowid: number])[] = [
        ["CREATE TABLE t (a INTEGER PRIMARY KEY, b)", 0, 0],
        ["INSERT INTO t (b) VALUES (1), (2), (3)", 3, 3],
        ["SELECT * FROM t", 0, 3],
        ["UPDATE t SET b = 1 WHERE a > 1", 2, 3],
        ["DELETE FROM t WHERE 0", 0, 3],
        ["INSERT INTO t (b) VALUES (1); INSERT INTO t (b) VALUES (1), (1)", 3, 6],
        ["INSERT OR IGNORE INTO t (a) VALUES (6)", 0, 6],
        ["REPLACE INTO t (a) VALUES (77)", 1, 77],
        ["INSERT INTO t (b) VALUES (1), (2) RETURNING a", 2, 79],
        ["PRAGMA user_version = 3", 0, 79],
        ["ALTER TABLE t RENAME TO u", 0, 79],
        ["CREATE TABLE t2 AS SELECT * FROM u", 0, 79],
        ["BEGIN", 0, 79],
        ["DELETE FROM u", 9, 79],
        ["ROLLBACK", 0, 79],
        ["UPDATE u SET b = 1", 9, 79],
        ["WITH x AS (SELECT 1) SELECT * FROM x", 0, 79],
        ["WITH x AS (SELECT 1) UPDATE u SET b = 2 WHERE a IN x", 1, 79],
        ["/* a */ WITH x AS (VALUES (90)) INSERT INTO u (a) SELECT * FROM x", 1, 90],
        ["EXPLAIN DELETE FROM u", 0, 90],
        ["; -- b\n DELETE FROM u WHERE a = 90", 1, 90],
        ["INSERT INTO u (a) VALUES (79) ON CONFLICT DO NOTHING", 0, 90],
        ["INSERT INTO u (a) VALUES (79) ON CONFLICT DO UPDATE SET b = 3", 1, 90],
      ];
      for (const [sql, changes, lastInsertRowid] of steps) {
        assert.deepEqual(db.run(sql), { changes, lastInsertRowid }, sql);
      }
      assert.deepEqual(db.query("DELETE FROM u WHERE a > 77").run(), {
        changes: 2,
        lastInsertRowid: 90,
      });
      assert.deepEqual(db.query("SELECT 1").run(), { changes: 0, lastInsertRowid: 90 });
      assert.deepEqual(db.exec("DELETE FROM u"), { changes: 7, lastInsertRowid: 90 });
    },
  },
  {
    name: "changes of triggers and of statements that nobody counted are not counted",
    run({ Database }) {
      const db = new Database();
      db.run(`CREATE TABLE t (a); CREATE TABLE log (a);
        CREATE TRIGGER logged AFTER INSERT ON t BEGIN
          INSERT INTO log VALUES (new.a); INSERT INTO log VALUES (new.a); END;`);
      const insert = db.query("INSERT INTO t VALUES (?) RETURNING a");
      assert.deepEqual(insert.run(1), { changes: 1, lastInsertRowid: 1 });
      assert.deepEqual(insert.all(2), [{ a: 2 }]);
      assert.deepEqual([...insert.iterate(3)], [{ a: 3 }]);
      assert.deepEqual(db.query("SELECT 1").run(), { changes: 0, lastInsertRowid: 3 });
      assert.deepEqual(db.run("DELETE FROM t WHERE a = 9"), { changes: 0, lastInsertRowid: 3 });
      assert.deepEqual(db.query("SELECT count(*) FROM log").values(), [[6]]);

      db.run("CREATE UNIQUE INDEX one ON t (a)");
      const half = "INSERT OR FAIL INTO t VALUES (11), (12), (11)";
      assert.throws(() => db.run(half), { code: "SQLITE_CONSTRAINT_UNIQUE" });
      assert.equal(db.run("SELECT 1").changes, 0);
      assert.throws(() => db.query(half.replaceAll("1", "2")).run());
      assert.equal(db.query("SELECT 1").run().changes, 0);
      assert.equal(db.run("UPDATE t SET a = a + 100").changes, 6);
    },
  },
  {
    name: "run() runs every statement, the first with parameters",
    run(subject) {
      const { Database } = subject;
      const db = new Database();
      db.run(`${"--------------\n".repeat(99)}SELECT 1`);
      db.run("; -- nothing\n CREATE TABLE t (a);; /* ; */ CREATE TABLE é (a); -- end");
      assert.deepEqual(db.query("SELECT * FROM é").all(), []);
      assert.deepEqual(db.run("INSERT INTO t VALUES (?); INSERT INTO t VALUES ('é;')", [1]), {
        changes: 2,
        lastInsertRowid: 2,
      });
      db.run("INSERT INTO t VALUES ($a)", { $a: 3 });
      db.run("INSERT INTO t VALUES (?)", 2 ** 40);
      db.run("INSERT INTO t VALUES (?)");
      assert.deepEqual(db.query("SELECT a FROM t").values().flat(), [1, "é;", 3, 2 ** 40, null]);
      assert.throws(
        () => db.run("INSERT INTO t VALUES (?)", 1, 2),
        /expected 1 values, received 2/,
      );
      assert.throws(() => db.run("DELETE FROM t", 1), /expected 0 values, received 1/);
      assert.throws(() => db.run("INSERT INTO t VALUES (9); SELECT nope"), /no such column/);
      assert.deepEqual(db.query("SELECT count(*) FROM t").values(), [[6]]);
    },
  },
  {
    name: "texts without a statement are refused",
    run({ Database }) {
      const db = new Database();
      assert.throws(() => db.run(""), /^Error: SQL string mustn't be blank$/);
      for (
        const sql of [";", "  ", "-- hi", `-- ${"-".repeat(99)}\n;/**//* ${"*/ /*".repeat(99)} end`]
      ) {
        assert.throws(() => db.run(sql), /^Error: Query contained no valid SQL statement/);
        assert.throws(() => db.prepare(sql), /^RangeError: Invalid SQL statement$/);
      }
      assert.throws(() => db.query(""), /^Error: SQL query cannot be empty\.$/);
      assert.throws(() => db.query(5 as unknown as string), /^TypeError: Expected 'query'/);
      assert.throws(() => db.run(5 as unknown as string), /Expected SQL string/);
      assert.throws(() => db.prepare(5 as unknown as string), /Expected SQL string/);
      assert.deepEqual(db.prepare("SELECT 1 AS a; SELECT 2 AS b").all(), [{ a: 1 }]);
    },
  },
  {
    name: "failures are SQLiteErrors with code and errno",
    run({ Database, SQLiteError }) {
      const db = new Database();
      db.run(SETUP);
      for (const [sql, code, errno, message] of FAILURES) {
        for (const run of [() => db.run(sql), () => db.prepare(sql).all()]) {
          assert.throws(run, (error) => {
            assert(error instanceof SQLiteError && error instanceof Error, sql);
            const { name, code: gotCode, errno: gotErrno, message: gotMessage } = error;
            const got = [name, gotCode, gotErrno, gotMessage];
            assert.deepEqual(got, ["SQLiteError", code, errno, message]);
            return true;
          });
        }
      }
      assert.equal(db.query("SELECT 1 AS a").values().length, 1, "and nothing is broken by them");
    },
  },
  {
    name: "a statement that was reading when a rollback undid a change of the schema is aborted",
    run(subject) {
      const db = people(subject);
      db.run("BEGIN; CREATE TABLE t (a)");
      const rows = db.query("SELECT name FROM people").iterate();
      rows.next();
      db.run("ROLLBACK");
      assert.throws(() => rows.next(), {
        code: "SQLITE_ABORT_ROLLBACK",
        errno: 516,
        message: "abort due to ROLLBACK",
      });
      assert.equal(names(db).length, 3);
    },
  },
  {
    name: "a statement works on after it failed",
    run(subject) {
      const db = people(subject);
      const insert = db.prepare("INSERT INTO people (name) VALUES (?)");
      assert.throws(() => insert.run("ada"), { code: "SQLITE_CONSTRAINT_UNIQUE" });
      assert.deepEqual(insert.run("dan"), { changes: 1, lastInsertRowid: 4 });
    },
  },
  {
    name: "iterate() reads row by row and may be left early",
    run(subject) {
      const db = people(subject);
      const statement = db.query<{ name: string }, []>("SELECT name FROM people ORDER BY id");
      const seen: string[] = [];
      for (const { name } of statement) {
        seen.push(name);
        if (seen.length < 3) db.run("UPDATE people SET age = age + 1");
      }
      assert.deepEqual(seen, ["ada", "bob", "cyd"]);
      for (const { name } of statement.iterate()) {
        assert.equal(name, "ada");
        break;
      }
      assert.deepEqual([...statement.iterate()].length, 3);
      const one = db.query("SELECT id FROM people WHERE name = $name").iterate({ $name: "bob" });
      assert.deepEqual(one.next(), { value: { id: 2 }, done: false });
      assert.deepEqual(one.next(), { value: undefined, done: true });
    },
  },
  {
    name: "iterate() starts with its first step, and its statement run anew ends it",
    run(subject) {
      const db = people(subject);
      const insert = db.query("INSERT INTO people (name) VALUES ('x'), ('y') RETURNING id");
      const ids = insert.iterate();
      assert.equal(names(db).length, 3);
      assert.deepEqual(ids.next().value, { id: 4 });
      assert.equal(names(db).length, 5, "all is written at once");
      assert.equal(db.inTransaction, false);
      ids.return(undefined);
      assert.equal(names(db).length, 5);

      const all = db.query("SELECT name FROM people");
      const first = all.iterate();
      first.next();
      assert.equal(all.all().length, 5);
      assert.throws(() => first.next(), INVALIDATED);
      const [left, right] = [all.iterate(), all.iterate()];
      left.next();
      right.next();
      assert.throws(() => left.next(), INVALIDATED);
      assert.equal([...right].length, 4);
    },
  },
  {
    name: "as() makes instances without calling the constructor",
    run(subject) {
      class Person {
        declare name: string;
        constructor() {
          throw new Error("never called");
        }
        get shout() {
          return this.name.toUpperCase();
        }
        set age(_: number) {
          throw new Error("never called");
        }
      }
      const db = people(subject);
      const plain = db.prepare("SELECT name, age FROM people WHERE id = 1");
      const statement = plain.as(Person);
      assert.equal(statement as unknown, plain);
      const person = statement.get();
      assert(person instanceof Person);
      assert.equal(person.shout, "ADA");
      assert.deepEqual(Object.keys(person), ["name", "age"]);
      assert(statement.all()[0] instanceof Person);
      assert([...statement.iterate()][0] instanceof Person);
      assert.deepEqual(statement.values(), [["ada", 36]]);
      assert.deepEqual(statement.as(undefined).get(), { name: "ada", age: 36 });
      assert.throws(() => plain.as(5 as unknown as typeof Person), TypeError);
      assert.throws(() => plain.as((() => 1) as unknown as typeof Person), TypeError);
    },
  },
  {
    name: "toString() shows the bound values",
    run({ Database }) {
      const sql = "SELECT ?1 AS a, $b AS b /* ? */, '?' AS c, :d, ?";
      const statement = new Database().prepare(sql);
      const shown = (a: string, b: string, d: string, e: string) =>
        `SELECT ${a} AS a, ${b} AS b /* ? */, '?' AS c, ${d}, ${e}`;
      assert.equal(statement.toString(), shown("NULL", "NULL", "NULL", "NULL"));
      const rows:
        readonly (readonly [values: unknown[], texts: [string, string, string, string]])[] = [
          [[1, "it's", bytes(1, 255), 1.5], ["1", "'it''s'", "x'01ff'", "1.5"]],
          [[null, 2n ** 40n, true, 2 ** 40], ["NULL", "1099511627776", "1", "1099511627776"]],
          [[1e300, NaN, 1e21, 0.1], ["1.0e+300", "NULL", "1.0e+21", "0.1"]],
          [[1e15, 1e16, -0, -1.5e-7], ["1000000000000000", "1.0e+16", "0.0", "-1.5e-07"]],
          [[Infinity, -Infinity, 0.0001, 1 / 3], ["Inf", "-Inf", "0.0001", "0.333333333333333"]],
        ];
      for (const [values, texts] of rows) {
        statement.get(values as string[]);
        assert.equal(String(statement), shown(...texts));
      }
      const json = JSON.parse(JSON.stringify(new Database().prepare("SELECT ? AS a")));
      const wanted = { sql: "SELECT NULL AS a", isFinalized: false, paramsCount: 1 };
      assert.deepEqual(json, { ...wanted, columnNames: ["a"] });
      const tagged = new Database().prepare("SELECT 1");
      assert.equal(tagged[Symbol.toStringTag], '"SELECT 1"');
      assert.deepEqual([...tagged[Symbol.iterator]()], [{ 1: 1 }]);
    },
  },
  {
    name: "query() keeps statements by their text, the last used twenty",
    run({ Database }) {
      const db = new Database();
      const first = db.query("SELECT 1 AS a");
      assert.equal(db.query("SELECT 1 AS a"), first);
      assert.notEqual(db.prepare("SELECT 1 AS a"), first);
      for (let at = 0; at < 19; at += 1) db.query(`SELECT 'other ${at}'`);
      assert.equal(db.query("SELECT 1 AS a"), first);
      for (let at = 0; at < 19; at += 1) db.query(`SELECT 'further ${at}'`);
      assert.equal(db.query("SELECT 1 AS a"), first);
      for (let at = 0; at < 20; at += 1) db.query(`SELECT 'last ${at}'`);
      assert.notEqual(db.query("SELECT 1 AS a"), first);
      assert.deepEqual(first.get(), { a: 1 }, "what was dropped works on");
      const second = db.query("SELECT 1 AS a");
      second.finalize();
      assert.deepEqual(db.query("SELECT 1 AS a").get(), { a: 1 });
      assert.equal(Database.MAX_QUERY_CACHE_SIZE, 20);
    },
  },
  {
    name: "a finalized statement says so",
    run({ Database }) {
      const db = new Database();
      const statement = db.prepare("SELECT ? AS a");
      const rows = statement.iterate(1);
      rows.next();
      assert.equal(statement.isFinalized, false);
      statement.finalize();
      statement.finalize();
      statement[Symbol.dispose]();
      assert.equal(statement.isFinalized, true);
      assert.equal(statement.toString(), "");
      const finalized = /^Error: Statement has finalized$/;
      assert.throws(() => statement.get(1), finalized);
      assert.throws(() => statement.all(), finalized);
      assert.throws(() => statement.values(), finalized);
      assert.throws(() => statement.run(), finalized);
      assert.throws(() => [...statement], finalized);
      assert.throws(() => statement.columnNames, finalized);
      assert.throws(() => statement.paramsCount, finalized);
      assert.throws(() => statement.safeIntegers(true), finalized);
      assert.throws(() => rows.next(), finalized);
      db.close();
      assert.throws(() => statement.get(1), finalized);
    },
  },
  {
    name: "close() ends statements of query(), close(true) all of them",
    run({ Database }) {
      const closed = /^Error: Database has closed$/;
      for (const force of [false, true]) {
        const db = new Database();
        db.run("CREATE TABLE t (a)");
        const kept = db.query("SELECT 1 AS a UNION SELECT 2");
        const own = db.prepare("INSERT INTO t VALUES (1)");
        const rows = kept.iterate();
        const transaction = db.transaction(() => 1);
        rows.next();
        assert.equal(db.close(force), undefined);
        db.close();
        assert.throws(() => kept.all(), closed);
        assert.throws(() => rows.next(), closed);
        assert.equal(kept.isFinalized, true);
        assert.equal(kept.toString(), "");
        if (force) assert.throws(() => own.run(), closed);
        else assert.deepEqual(own.run(), { changes: 1, lastInsertRowid: 1 });
        own.finalize();
        assert.throws(() => db.run("SELECT 1"), closed);
        assert.throws(() => db.inTransaction, closed);
        assert.throws(transaction, closed);
        assert.throws(() => db.query("SELECT 3"), /^RangeError: Cannot use a closed database$/);
        assert.throws(() => db.prepare("SELECT 3"), /^RangeError: Cannot use a closed database$/);
        assert.throws(() => db.transaction(() => 1), RangeError);
        assert.throws(() => db.serialize(), /closed database/);
      }
    },
  },
  {
    name: "using closes databases and statements",
    run({ Database }) {
      const use = () => {
        using db = new Database();
        using statement = db.prepare("SELECT 1 AS a");
        assert.deepEqual(statement.get(), { a: 1 });
        return { db, statement };
      };
      const { db, statement } = use();
      assert.equal(statement.isFinalized, true);
      assert.throws(() => db.query("SELECT 1"), /closed database/);
    },
  },
  {
    name: "transaction() commits, and rolls back and rethrows",
    run(subject) {
      const db = people(subject);
      const add = db.transaction((name: string, fail: unknown) => {
        assert.equal(db.inTransaction, true);
        db.run("INSERT INTO people (name) VALUES (?)", name);
        if (fail !== undefined) throw fail;
        return name.length;
      });
      for (const kind of ["default", "deferred", "immediate", "exclusive"] as const) {
        assert.equal(add[kind](kind, undefined), kind.length);
        assert.throws(() => add[kind](`not ${kind}`, new Error("no")), /^Error: no$/);
        assert.equal(db.inTransaction, false);
      }
      let thrown: unknown;
      try {
        add("dan", "a text");
      } catch (error) {
        thrown = error;
      }
      assert.equal(thrown, "a text");
      assert.throws(() => add("ada", undefined), { code: "SQLITE_CONSTRAINT_UNIQUE" });
      const added = ["default", "deferred", "immediate", "exclusive"];
      assert.deepEqual(names(db), ["ada", "bob", "cyd", ...added]);
      assert.equal(add.database, db);
      assert.equal(add.default, add);
      assert.equal(add.exclusive.deferred, add.deferred);
      assert.throws(() => db.transaction(5 as unknown as () => void), TypeError);
      const owner: { isOwn: () => boolean } = {
        isOwn: db.transaction(function (this: unknown) {
          return this === owner;
        }),
      };
      assert.equal(owner.isOwn(), true);
    },
  },
  {
    name: "transactions nest as savepoints",
    run(subject) {
      const db = people(subject);
      const insert = db.prepare("INSERT INTO people (name) VALUES (?)");
      const inner = db.transaction((name: string) => {
        insert.run(name);
        if (name.startsWith("bad")) throw new Error(name);
      });
      const outer = db.transaction((list: string[], isStrict: boolean) => {
        for (const name of list) {
          try {
            inner.immediate(name);
          } catch (error) {
            if (isStrict) throw error;
          }
          assert.equal(db.inTransaction, true);
        }
      });
      outer(["dan", "bad", "eve"], false);
      assert.deepEqual(names(db), ["ada", "bob", "cyd", "dan", "eve"]);
      assert.throws(() => outer(["fay", "bad", "gus"], true), /^Error: bad$/);
      assert.deepEqual(names(db), ["ada", "bob", "cyd", "dan", "eve"]);
      assert.equal(db.inTransaction, false);
    },
  },
  {
    name: "transaction() copes with what SQLite ended itself",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)");
      const twice = db.transaction(() => {
        db.run("INSERT INTO t VALUES (1)");
        db.run("INSERT INTO t VALUES (1)");
      });
      assert.throws(twice, { code: "SQLITE_CONSTRAINT_UNIQUE" });
      assert.equal(db.inTransaction, false);
      const ended = db.transaction(() => db.run("ROLLBACK"));
      assert.throws(ended, /cannot commit - no transaction is active/);
      db.run("PRAGMA foreign_keys = ON; CREATE TABLE p (a PRIMARY KEY)");
      db.run("CREATE TABLE c (a REFERENCES p (a) DEFERRABLE INITIALLY DEFERRED)");
      const orphan = db.transaction(() => db.run("INSERT INTO c VALUES (1)"));
      assert.throws(orphan, { code: "SQLITE_CONSTRAINT_FOREIGNKEY" });
      assert.equal(db.inTransaction, false);
      assert.deepEqual(db.query("SELECT * FROM c").all(), []);
    },
  },
  {
    name: "inTransaction tells the truth whoever began and ended it",
    run({ Database, SQLiteError }) {
      const db = new Database();
      const told: boolean[] = [];
      for (
        const sql of ["SELECT 1", "BEGIN", "COMMIT", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a"]
      ) {
        db.run(sql);
        told.push(db.inTransaction);
      }
      assert.deepEqual(told, [false, true, false, true, true, false]);
      db.run("CREATE TABLE t (a)");
      const rows = db.query("INSERT INTO t VALUES (1), (2) RETURNING a").iterate();
      rows.next();
      assert.equal(db.inTransaction, false);
      assert.throws(() => db.transaction(() => 1)(), (error) => {
        return error instanceof SQLiteError && error.code === "SQLITE_BUSY";
      });
      rows.return(undefined);
      assert.equal(db.inTransaction, false, "that transaction was rolled back");
    },
  },
  {
    name: "serialize() and deserialize() copy a database",
    run(subject) {
      const { Database } = subject;
      const db = people(subject);
      const image = db.serialize();
      assert.equal(image.subarray(0, 15).toString(), "SQLite format 3");
      for (const copy of [new Database(image), Database.deserialize(image)]) {
        assert.equal(copy.filename, ":memory:");
        assert.deepEqual(names(copy), ["ada", "bob", "cyd"]);
        copy.run("DELETE FROM people");
        assert.deepEqual(names(copy), []);
      }
      const ofBuffer = Database.deserialize(new Uint8Array(image).buffer);
      assert.deepEqual(names(ofBuffer), ["ada", "bob", "cyd"]);
      const strict = Database.deserialize(image, { strict: true, safeIntegers: true });
      assert.deepEqual(strict.query("SELECT $a AS a").get({ a: 1 }), { a: 1n });
      const own = Database.deserialize(image);
      image.fill(0);
      assert.deepEqual(names(own), ["ada", "bob", "cyd"]);
      assert.deepEqual(names(db), ["ada", "bob", "cyd"]);
      assert.deepEqual(
        new Database(new Database().serialize()).run("CREATE TABLE t (a)").changes,
        0,
      );
      assert.throws(() => Database.deserialize("x" as unknown as Uint8Array), TypeError);
    },
  },
  {
    name: "serialize() leaves statements, iterators and pragmas as they are",
    run(subject) {
      const db = people(subject);
      db.run("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; CREATE TEMP TABLE x (a)");
      const prepared = db.prepare("SELECT name FROM people WHERE id = ?");
      const insert = db.query("INSERT INTO people (name) VALUES (?)");
      prepared.get(2);
      const rows = db.query("SELECT name FROM people").iterate();
      assert.deepEqual(rows.next().value, { name: "ada" });
      assert(db.serialize().length > 0);
      assert.deepEqual(rows.next().value, { name: "bob" });
      rows.return(undefined);
      assert.deepEqual(prepared.get(), { name: "bob" });
      assert.deepEqual(insert.run("dan"), { changes: 1, lastInsertRowid: 4 });
      assert.deepEqual(db.query("PRAGMA foreign_keys").values(), [[1]]);
      assert.deepEqual(db.query("PRAGMA recursive_triggers").values(), [[1]]);
      assert.deepEqual(db.query("SELECT * FROM temp.x").all(), []);
      assert.deepEqual(names(subject.Database.deserialize(db.serialize())).length, 4);
    },
  },
  {
    name: "a read-only database refuses to be written",
    run(subject) {
      const image = people(subject).serialize();
      const open = [
        subject.Database.deserialize(image, true),
        subject.Database.deserialize(image, { readonly: true }),
        new subject.Database(image, { readonly: true }),
      ];
      for (const db of open) {
        const readonly = { code: "SQLITE_READONLY", errno: 8, name: "SQLiteError" };
        assert.throws(() => db.run("DELETE FROM people"), readonly);
        assert.throws(() => db.query("DELETE FROM people").run(), readonly);
        assert.throws(() => db.run("CREATE TABLE t (a)"), readonly);
        assert.throws(() => db.transaction(() => 1).immediate(), readonly);
        assert.deepEqual(db.transaction(() => names(db))(), ["ada", "bob", "cyd"]);
      }
    },
  },
  {
    name: "bytes that are no database fail with their first statement",
    run(subject) {
      const { Database } = subject;
      for (const junk of [bytes(1, 2, 3), new Uint8Array(4096).fill(7)]) {
        const db = new Database(junk);
        assert.equal(db.inTransaction, false);
        const read = () => db.query("SELECT * FROM sqlite_schema").all();
        assert.throws(read, { code: "SQLITE_NOTADB", errno: 26 });
      }
      const db = people(subject);
      db.run("INSERT INTO people (name) SELECT value FROM json_each('[' || ? || '0]')", [
        Array.from({ length: 2000 }, (_, at) => `"${at}${"x".repeat(50)}",`).join(""),
      ]);
      const torn = new Database(db.serialize().subarray(0, 8192));
      assert.throws(() => torn.query("SELECT * FROM people").all(), { code: "SQLITE_CORRUPT" });
    },
  },
  {
    name: "statements follow changes of the schema",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
      const all = db.query("SELECT *, ? AS bound FROM t");
      for (const bound of [7, 2 ** 40]) {
        assert.deepEqual(all.get(bound), { a: 1, bound });
        db.run("ALTER TABLE t ADD COLUMN b DEFAULT 5");
        assert.deepEqual(all.get(bound), { a: 1, b: 5, bound });
        db.run("ALTER TABLE t RENAME COLUMN b TO c");
        assert.deepEqual(all.get(bound), { a: 1, c: 5, bound });
        assert.deepEqual(all.columnNames, ["a", "c", "bound"]);
        db.query("ALTER TABLE t DROP COLUMN c").run();
      }
      const undone = db.transaction(() => {
        db.run("ALTER TABLE t ADD COLUMN d");
        assert.deepEqual(all.get(1), { a: 1, d: null, bound: 1 });
        throw new Error("undo");
      });
      assert.throws(undone, /undo/);
      assert.deepEqual(all.get(1), { a: 1, bound: 1 });
      db.run("DROP TABLE t");
      assert.throws(() => all.get(1), { code: "SQLITE_ERROR", message: "no such table: t" });
      db.run("CREATE TABLE t (z)");
      assert.deepEqual(all.columnNames, ["a", "bound"]);
      assert.deepEqual(all.all(1), []);
      assert.deepEqual(all.columnNames, ["z", "bound"]);
    },
  },
  {
    name: "large values and many rows come back whole",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB, c TEXT)");
      const blob = new Uint8Array(1_000_000).map((_, at) => at * 7);
      const text = "é".repeat(300_000);
      const insert = db.prepare("INSERT INTO t (b, c) VALUES (?, ?)");
      insert.run(blob, text);
      db.transaction(() => {
        for (let at = 2; at <= 5000; at += 1) insert.run(bytes(at & 255), `row ${at}`);
      })();
      const [row] = db.query("SELECT b, c FROM t WHERE a = 1").values();
      assert.deepEqual(row, [blob, text]);
      assert.equal(db.query("SELECT a FROM t").values().length, 5000);
      assert.deepEqual(db.query("SELECT sum(a) AS sum FROM t").get(), { sum: 12_502_500 });
    },
  },
  {
    name: "what was bound stays as it was, whatever becomes of the array it came from",
    run({ Database }) {
      const statement = new Database().prepare("SELECT ? AS a, ? AS b");
      const changed = bytes(1, 2);
      assert.deepEqual(statement.get(changed, 2 ** 40), { a: bytes(1, 2), b: 2 ** 40 });
      changed[0] = 9;
      assert.deepEqual(statement.get(), { a: bytes(1, 2), b: 2 ** 40 });
      // Compared without assert.deepEqual, which would show the difference for minutes.
      const large = Buffer.alloc(200_000, 7);
      const [copy, text] = [Buffer.from(large), "é".repeat(200_000)];
      for (const args of [[large, text], []]) {
        const row = statement.get(...args) as { a: Uint8Array; b: string };
        assert(copy.equals(row.a) && text === row.b);
        large.fill(0);
      }
      const other = Buffer.from([5, 6]);
      assert.deepEqual(statement.get(other.subarray(1), null), { a: bytes(6), b: null });
      other.fill(0);
      assert.deepEqual(statement.get(), { a: bytes(6), b: null });
    },
  },
  {
    name: "bindings of statements that are read side by side do not touch each other",
    run({ Database }) {
      const db = new Database();
      const sql = "SELECT ?1 || value AS a FROM json_each('[1,2,3]')";
      const [left, right] = [db.prepare(sql), db.prepare(sql)];
      const [one, two] = [left.iterate("left ".repeat(30)), right.iterate("right ")];
      for (const digit of ["1", "2", "3"]) {
        assert.deepEqual(one.next().value, { a: "left ".repeat(30) + digit });
        assert.deepEqual(two.next().value, { a: `right ${digit}` });
        assert.deepEqual(db.query("SELECT ? AS a").get("x".repeat(5000)), { a: "x".repeat(5000) });
      }
    },
  },
  {
    name: "raw() answers the bytes that SQLite keeps",
    run({ Database }) {
      const sql = "SELECT 1, -2, 1.5, 'é', x'00ff', NULL, '', x'', ?";
      for (const safeIntegers of [false, true]) {
        const statement = new Database("", { safeIntegers }).query(sql);
        assert.deepEqual(statement.raw(2 ** 40), [[
          bytes(1, 0, 0, 0, 0, 0, 0, 0),
          bytes(254, 255, 255, 255, 255, 255, 255, 255),
          bytes(0, 0, 0, 0, 0, 0, 248, 63),
          bytes(195, 169),
          bytes(0, 255),
          null,
          bytes(),
          bytes(),
          bytes(0, 0, 0, 0, 0, 1, 0, 0),
        ]]);
      }
      assert.deepEqual(new Database().query("SELECT 1 WHERE 0").raw(), []);
    },
  },
  {
    name: "reader and readonly tell what a statement does",
    run(subject) {
      const db = people(subject);
      for (const [sql, readonly, reader] of KINDS) {
        const statement = db.prepare(sql);
        assert.deepEqual([statement.readonly, statement.reader], [readonly, reader], sql);
      }
      const on = db.prepare("PRAGMA foreign_keys = ON");
      db.run("PRAGMA foreign_keys = OFF");
      assert.equal(on.readonly, true);
      assert.deepEqual(db.query("PRAGMA foreign_keys").values(), [[0]], "asking sets nothing");
    },
  },
  {
    name: "columnTypes are those of the first row",
    run(subject) {
      const db = people(subject);
      const sql = "SELECT 1, 1.5, 'é', x'00ff', NULL, ? AS p";
      const statement = db.prepare(sql);
      const types = ["INTEGER", "FLOAT", "TEXT", "BLOB", "NULL"];
      assert.deepEqual(statement.columnTypes, [...types, "NULL"]);
      statement.get(0.5);
      assert.deepEqual(statement.columnTypes, [...types, "FLOAT"]);
      assert.deepEqual(db.query("SELECT * FROM people WHERE 0").columnTypes, Array(3).fill("NULL"));
      let runs = 0;
      db.function("run", () => runs += 1);
      const counting = db.query("SELECT run() FROM people");
      assert.deepEqual([counting.columnTypes, counting.columnTypes], [["INTEGER"], ["INTEGER"]]);
      assert.equal(runs, 2);
      const rows = db.query("SELECT * FROM people").iterate();
      rows.next();
      assert.equal(db.query("SELECT * FROM people").columnTypes.length, 3);
      assert.throws(() => rows.next(), INVALIDATED);
      for (const write of ["DELETE FROM people RETURNING id", "PRAGMA journal_mode"]) {
        const ask = () => db.query(write).columnTypes;
        assert.throws(ask, /^Error: columnTypes is not available for non-read-only statements/);
      }
      assert.deepEqual(names(db), ["ada", "bob", "cyd"]);
      assert.deepEqual(db.query("BEGIN").columnTypes, []);
      assert.equal(db.inTransaction, true, "it was run");
      statement.finalize();
      for (const member of ["columnTypes", "reader", "readonly", "declaredTypes"] as const) {
        assert.throws(() => statement[member], /^Error: Statement has finalized$/, member);
      }
    },
  },
  {
    name: "function() defines functions that take and give what SQLite knows",
    run({ Database }) {
      const db = new Database();
      assert.equal(db.function("plus", (a: number, b: number) => a + b), db);
      const added = db.query("SELECT plus(1, 2), typeof(PLUS(1, 2)), plus(0.5, 2), plus('a', 'b')");
      assert.deepEqual(added.values(), [[3, "integer", 2.5, "ab"]]);
      for (const [value, type, back] of RESULTS) {
        db.function("give", () => value as string);
        const given = db.prepare("SELECT typeof(give()), give()").values();
        assert.deepEqual(given, [[type, back]], String(value).slice(0, 99));
      }
      for (const value of [{}, [1], Symbol("s"), () => 1, new Date(0), Promise.resolve(1)]) {
        db.function("Give", () => value as unknown as string);
        const message = "User-defined function Give() returned an invalid value";
        assert.throws(() => db.query("SELECT give()").get(), { name: "TypeError", message });
      }
      let seen: unknown[] = [];
      db.function("see", { varargs: true }, function (this: unknown, ...args: unknown[]) {
        seen = [this, ...args];
      });
      const see = () => db.query("SELECT see(1, 1.5, 'é', x'00ff', NULL, 9007199254740993)").get();
      see();
      assert.deepEqual(seen, [undefined, 1, 1.5, "é", bytes(0, 255), null, 2 ** 53]);
      db.function("see", { varargs: true, safeIntegers: true }, (...args: unknown[]) => {
        seen = args;
      });
      see();
      assert.deepEqual(seen, [1n, 1.5, "é", bytes(0, 255), null, 9007199254740993n]);
      db.query("SELECT see(1.0, -9223372036854775808, ?)").get("x".repeat(300_000));
      assert.deepEqual(seen, [1, -(2n ** 63n), "x".repeat(300_000)]);
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (plus(1, 1)), (2)");
      assert.deepEqual(db.query("SELECT a FROM t WHERE plus(a, 1) = 3").values(), [[2], [2]]);
    },
  },
  {
    name: "functions are told apart by name and number of arguments, and may be replaced",
    run({ Database }) {
      const db = new Database();
      db.function("f", () => "none");
      db.function("f", (a) => `one ${a}`);
      db.function("F", { varargs: true }, (...args: unknown[]) => `many ${args.length}`);
      assert.deepEqual(db.query("SELECT f(), f(1), f(1, 2)").values(), [[
        "none",
        "one 1",
        "many 2",
      ]]);
      const kept = db.prepare("SELECT f() AS a");
      assert.deepEqual(kept.get(), { a: "none" });
      db.function("F", () => "other");
      assert.deepEqual(kept.get(), { a: "other" });
      db.function("upper", (a) => `mine ${a}`);
      assert.deepEqual(db.query("SELECT upper('x')").values(), [["mine x"]]);
      const rows = db.query("SELECT f() FROM json_each('[1,2]')").iterate();
      rows.next();
      assert.throws(() => db.function("f", () => "late"), { code: "SQLITE_BUSY", errno: 5 });
      assert.deepEqual(rows.next().value, { "f()": "other" });
      rows.return(undefined);
      db.function("f", () => "late");
      assert.deepEqual(kept.get(), { a: "late" });
      db.function("one", (a) => a);
      const wrong = /^SQLiteError: wrong number of arguments to function one\(\)$/;
      assert.throws(() => db.query("SELECT one(1, 2)"), wrong);
      for (const [args, error] of BAD_FUNCTIONS) {
        assert.throws(() => Reflect.apply(db.function, db, args), error, String(args[0]));
      }
      assert.throws(() => new Database().query("SELECT f()"), /no such function: f/);
      db.close();
      assert.throws(() => db.function("f", () => 1), /^Error: Database has closed$/);
    },
  },
  {
    name: "functions may be deterministic, and kept out of views",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a)");
      db.function("f", (a) => a);
      assert.throws(() => db.run("CREATE INDEX i ON t (f(a))"), /non-deterministic functions/);
      db.function("f", { deterministic: true }, (a) => a);
      db.run("CREATE INDEX i ON t (f(a)); INSERT INTO t VALUES (1)");
      db.function("d", { directOnly: true }, () => 1);
      db.run("CREATE VIEW v AS SELECT d() AS a");
      assert.deepEqual(db.query("SELECT d() AS a").get(), { a: 1 });
      assert.throws(() => db.query("SELECT * FROM v").get(), /unsafe use of d\(\)/);
      const safe = new Database("", { safeIntegers: true });
      let type = "";
      safe.function("f", (a) => {
        type = typeof a;
      });
      safe.query("SELECT f(1)").get();
      assert.equal(type, "bigint");
      safe.function("wide", () => 2n ** 63n);
      assert.throws(() => safe.query("SELECT wide()").get(), { name: "RangeError" });
    },
  },
  {
    name: "what a function throws is thrown by the query, and nothing is broken by it",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
      let toThrow: unknown;
      db.function("fail", () => {
        throw toThrow;
      });
      db.function("fail_at", (a, at) => {
        if (a === at) throw toThrow;
        return a;
      });
      const calls = [
        () => db.query("SELECT fail()").get(),
        () => db.query("SELECT fail_at(a, 2) FROM t").all(),
        () => [...db.query("SELECT fail_at(a, 3) FROM t").iterate()],
        () => db.query("UPDATE t SET a = fail_at(a, 2)").run(),
        () => db.run("SELECT 1; SELECT fail(); DELETE FROM t"),
        () => db.run("SELECT fail(), ?", 1),
        () => db.transaction(() => db.run("INSERT INTO t VALUES (fail())"))(),
      ];
      for (const thrown of [new RangeError("not today"), "a text", undefined]) {
        toThrow = thrown;
        for (const call of calls) {
          let caught: unknown = "nothing";
          try {
            call();
          } catch (error) {
            caught = error;
          }
          assert.equal(caught, thrown, String(call));
          assert.throws(() => db.query("SELECT nope"), /no such column/);
        }
      }
      assert.equal(db.inTransaction, false);
      assert.deepEqual(db.query("SELECT a FROM t").values(), [[1], [2], [3]]);
    },
  },
  {
    name: "a database is busy while a function or hook runs",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a)");
      const kept = db.prepare("SELECT 1 AS a");
      const begin = db.transaction(() => 1);
      const refused: Readonly<Record<string, () => unknown>> = {
        get: () => kept.get(),
        all: () => kept.all(),
        values: () => kept.values(),
        raw: () => kept.raw(),
        runStatement: () => kept.run(),
        iterate: () => kept.iterate().next(),
        columnNames: () => kept.columnNames,
        columnTypes: () => kept.columnTypes,
        paramsCount: () => kept.paramsCount,
        reader: () => kept.reader,
        readonly: () => kept.readonly,
        safeIntegers: () => kept.safeIntegers(true),
        as: () => kept.as(undefined),
        finalize: () => kept.finalize(),
        toJSON: () => JSON.stringify(kept),
        run: () => db.run("SELECT 1"),
        prepare: () => db.prepare("SELECT 2"),
        query: () => db.query("SELECT 3"),
        inTransaction: () => db.inTransaction,
        begin: () => begin(),
        serialize: () => db.serialize(),
        function: () => db.function("g", () => 1),
        aggregate: () => db.aggregate("g", { step: () => {} }),
        onInsert: () => db.onInsert,
        setOnInsert: () => db.onInsert = null,
        fileControl: () => db.fileControl(42),
        handle: () => db.handle,
        close: () => db.close(),
      };
      let checked = 0;
      const check = () => {
        for (const [name, call] of Object.entries(refused)) {
          assert.throws(call, BUSY, name);
          checked += 1;
        }
        assert.equal(kept.toString(), "SELECT 1 AS a");
        assert.equal(kept.isFinalized, false);
        assert.deepEqual(new Database().query("SELECT 1 AS a").get(), { a: 1 });
      };
      db.function("checked", check);
      db.aggregate("checked_all", { step: check, result: check });
      db.query("SELECT checked()").get();
      db.query("SELECT checked_all()").get();
      let failure: unknown;
      db.onInsert = () => {
        try {
          check();
        } catch (error) {
          failure = error;
        }
      };
      db.run("INSERT INTO t VALUES (1)");
      assert.equal(failure, undefined);
      assert.equal(checked, Object.keys(refused).length * 4);
      assert.deepEqual(kept.get(), { a: 1 });
    },
  },
  {
    name: "aggregate() folds the rows of each group",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
      const sum = { start: 0, step: (sum: number, a: number) => sum + a };
      assert.equal(db.aggregate("add_all", sum), db);
      const added = db.query("SELECT add_all(a), typeof(add_all(a)) FROM t");
      assert.deepEqual(added.values(), [[6, "integer"]]);
      assert.deepEqual(db.query("SELECT add_all(a) FROM t WHERE 0").values(), [[0]]);
      db.aggregate<unknown[]>("list", {
        start: () => [],
        step: (items, a) => {
          items.push(a);
        },
        result: (items) => items.join("+"),
      });
      const lists = db.query("SELECT a % 2, list(a), list(a * 10) FROM t GROUP BY a % 2");
      assert.deepEqual(lists.values(), [[0, "2", "20"], [1, "1+3", "10+30"]]);
      db.aggregate("joined", { step: (all, a) => [all, a].join(), inverse: null, result: null });
      assert.deepEqual(db.query("SELECT joined(a) FROM t").values(), [[",1,2,3"]]);
      db.aggregate("count_args", {
        varargs: true,
        start: 0,
        step: (n: number, ...args: unknown[]) => n + args.length,
      });
      assert.deepEqual(db.query("SELECT count_args(1, 2, a) FROM t").values(), [[9]]);
      db.aggregate("rows", { start: 0, step: (n: number) => n + 1 });
      assert.deepEqual(db.query("SELECT rows() FROM t").values(), [[3]]);
      db.aggregate("wide", { safeIntegers: true, start: 0n, step: (n: bigint, a) => n + a });
      const wide = db.query("SELECT wide(9007199254740993) FROM t WHERE a = 1").safeIntegers(true);
      assert.deepEqual(wide.values(), [[9007199254740993n]]);
      const asWindow = () => db.query("SELECT add_all(a) OVER (ROWS 1 PRECEDING) FROM t").all();
      assert.throws(asWindow, /add_all\(\) may not be used as a window function/);
      const rows = db.query("SELECT list(a) AS l FROM t GROUP BY a").iterate();
      assert.deepEqual(rows.next().value, { l: "1" });
      rows.return(undefined);
      db.function("add_all", (a) => a);
      assert.deepEqual(db.query("SELECT add_all(a) FROM t").values(), [[1], [2], [3]]);
      for (const [args, error] of BAD_AGGREGATES) {
        assert.throws(() => Reflect.apply(db.aggregate, db, args), error, String(args[0]));
      }
    },
  },
  {
    name: "what an aggregate throws is thrown by the query, and no more of it is called",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
      const log: string[] = [];
      let failing = "";
      const note = (step: string) => {
        log.push(step);
        if (step === failing) throw new RangeError(step);
        return 0;
      };
      db.aggregate("noted", {
        start: () => note("start"),
        step: (_, a: number) => note(`step ${a}`),
        result: () => note("result"),
      });
      const steps = ["start", "step 1", "step 2", "step 3", "result"];
      for (const [at, step] of steps.entries()) {
        failing = step;
        log.length = 0;
        const get = () => db.query("SELECT noted(a) FROM t").get();
        assert.throws(get, { name: "RangeError", message: step });
        assert.deepEqual(log, steps.slice(0, at + 1));
      }
      failing = "result";
      const rows = db.query("SELECT a, (SELECT noted(b.a) FROM t AS b) FROM t").iterate();
      assert.throws(() => rows.next(), { message: "result" });
      failing = "";
      assert.deepEqual(db.query("SELECT noted(a) FROM t").values(), [[0]]);
      const groups = db.query("SELECT a, noted(a) FROM t GROUP BY a").iterate();
      groups.next();
      failing = "result";
      groups.return(undefined);
      assert.throws(() => db.query("SELECT nope"), /no such column/);
      assert.throws(() => db.run("INSERT INTO t VALUES (nope)"), /no such column/);
      db.aggregate("odd", { start: () => [1], step: () => {} });
      const torn = "SELECT noted(a), sum(json(CASE a WHEN 2 THEN '{' ELSE '1' END)) FROM t";
      log.length = 0;
      assert.throws(() => db.query(torn).all(), { message: "result" });
      assert.deepEqual(log, ["start", "step 1", "step 2", "result"]);
      failing = "";
      assert.throws(() => db.run(torn), { message: "malformed JSON" });
      const odd = /^TypeError: User-defined function odd\(\) returned an invalid value$/;
      assert.throws(() => db.query("SELECT odd() FROM t").get(), odd);
    },
  },
  {
    name: "hooks are told each row that changes",
    run({ Database }) {
      for (const safeIntegers of [false, true]) {
        const db = new Database("", { safeIntegers });
        const seen: unknown[] = [];
        const note = (kind: string) =>
          function (this: unknown, from: Database, ...change: unknown[]) {
            seen.push([kind, this === db, from === db, ...change]);
          };
        assert.deepEqual([db.onInsert, db.onUpdate, db.onDelete], [null, null, null]);
        const [insert, update, remove] = ["insert", "update", "delete"].map(note);
        assert(insert && update && remove);
        db.onInsert = insert;
        db.onUpdate = update;
        db.onDelete = remove;
        assert.deepEqual([db.onInsert, db.onUpdate, db.onDelete], [insert, update, remove]);
        const wide = 9007199254740993n;
        db.run(`CREATE TABLE t (id INTEGER PRIMARY KEY, b); CREATE TEMP TABLE tt (a);
          CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID; ATTACH ':memory:' AS other;
          CREATE TABLE other.o (a); INSERT INTO t VALUES (5, 1), (${wide}, 2);
          UPDATE t SET id = 6 WHERE id = 5; REPLACE INTO t VALUES (6, 7);
          DELETE FROM t WHERE id = 6; INSERT INTO tt VALUES (1); INSERT INTO w VALUES (1);
          INSERT INTO other.o VALUES (1); DELETE FROM t; BEGIN; INSERT INTO tt VALUES (2); ROLLBACK`);
        const rowid = (id: bigint) => safeIntegers ? id : Number(id);
        assert.deepEqual(seen, [
          ["insert", true, true, "t", rowid(5n), "main"],
          ["insert", true, true, "t", rowid(wide), "main"],
          ["update", true, true, "t", rowid(6n), "main"],
          ["insert", true, true, "t", rowid(6n), "main"],
          ["delete", true, true, "t", rowid(6n), "main"],
          ["insert", true, true, "tt", rowid(1n), "temp"],
          ["insert", true, true, "o", rowid(1n), "other"],
          ["insert", true, true, "tt", rowid(2n), "temp"],
        ]);
        seen.length = 0;
        db.onInsert = undefined;
        assert.equal(db.onInsert, null);
        db.query("INSERT INTO tt VALUES (1)").run();
        db.query("UPDATE tt SET a = 2 WHERE a = ?").run(2 ** 40);
        db.onUpdate = null;
        db.onDelete = null;
        db.run("UPDATE tt SET a = 3; DELETE FROM tt WHERE a");
        assert.deepEqual(seen, []);
        for (const bad of [5, "x", {}]) {
          const set = () => db.onInsert = bad as unknown as null;
          assert.throws(set, /^TypeError: Expected a function or null$/);
        }
        db.close();
        assert.throws(() => db.onInsert = insert, /^Error: Database has closed$/);
      }
    },
  },
  {
    name: "fileControl() of a database without a file finds nothing",
    run({ Database }) {
      const db = new Database();
      for (const op of [1, 4, 5, 10, 12, 13, 18, 20, 36, 42, 999]) {
        assert.equal(db.fileControl(op, new BigInt64Array(2)), op === 42 ? 0 : 12, String(op));
      }
      assert.equal(db.fileControl(10, 0), 12);
      assert.equal(db.fileControl(42), 0);
      assert.equal(db.fileControl("main", 42, null), 0);
      const control = db.fileControl as (...args: unknown[]) => number;
      for (const args of [[], ["main"], ["main", "x"], [null]]) {
        assert.throws(() => Reflect.apply(control, db, args), /^Error: Expected number$/);
      }
      assert.throws(() => db.fileControl(42, new Uint8Array(7)), /must be at least 8 bytes/);
      const bad = /Expected result to be a number, null or a TypedArray/;
      for (const arg of ["x", {}]) {
        assert.throws(() => Reflect.apply(control, db, [42, arg]), bad);
      }
    },
  },
  {
    name: "handle, cache count, type and setCustomSQLite()",
    run({ Database }) {
      const [one, two] = [new Database(), new Database()];
      assert.equal(two.handle, one.handle + 1);
      one.close();
      assert.equal(two.handle, one.handle + 1);
      const symbols = two as unknown as Record<symbol, unknown>;
      assert.equal(symbols[Symbol.for("sqlite-type")], "bun:sqlite");
      const count = Symbol.for("Bun.Database.cache.count");
      assert.equal(symbols[count], 0);
      two.query("SELECT 1").get();
      two.query("SELECT 1").get();
      two.query("SELECT 2").get();
      assert.equal(symbols[count], 2);
      two.clearQueryCache();
      assert.equal(symbols[count], 0);
      assert.deepEqual(two.query("SELECT 1 AS a").get(), { a: 1 });
      const set = () => Database.setCustomSQLite(5 as unknown as string);
      assert.throws(set, /^Error: Expected SQLite path$/);
      assert.throws(
        () => two.loadExtension(5 as unknown as string),
        /^TypeError: Expected string$/,
      );
    },
  },
  {
    name: "a transaction whose promise is rejected already is rolled back",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a)");
      const insert = db.transaction(async (wait: boolean, fail: boolean) => {
        db.run("INSERT INTO t VALUES (?)", Number(wait));
        if (wait) await undefined;
        if (fail) throw new Error("no");
        return "{ <rejected>";
      });
      for (const [wait, fail] of [[false, true], [true, true], [false, false]] as const) {
        insert(wait, fail).catch(() => {});
        assert.equal(db.inTransaction, false);
      }
      assert.deepEqual(db.query("SELECT a FROM t").values(), [[1], [0]]);
    },
  },
];
