/** What statements answer, what they count, and how they fail: cases of `database_suite.ts`. */

import assert from "node:assert/strict";
import { type Case, names, people } from "./database_case.ts";

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

export const ANSWER_CASES: readonly Case[] = [
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
];
