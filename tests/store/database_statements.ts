/** The life of statements, and what a database tells and keeps of them: cases of `database_suite.ts`. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { bytes, type Case, names, people } from "./database_case.ts";

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

const INVALIDATED = /This iterator was invalidated: its statement was run again/;

export const STATEMENT_CASES: readonly Case[] = [
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
];
