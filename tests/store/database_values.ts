/** Values and parameters of statements, as `bun:sqlite` takes and gives them: cases of `database_suite.ts`. */

import assert from "node:assert/strict";
import type { SQLQueryBindings } from "../../lib/store/database.ts";
import { bytes, type Case, people } from "./database_case.ts";

/** Every kind of value that may be bound: what SQLite says of it and what comes back. */
export const VALUES: readonly (readonly [value: unknown, type: string, back: unknown])[] = [
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

export const VALUE_CASES: readonly Case[] = [
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
];
