/** Functions, aggregates and hooks of the caller's: cases of `database_suite.ts`. */

import assert from "node:assert/strict";
import type { Database } from "../../lib/store/database.ts";
import { bytes, type Case } from "./database_case.ts";
import { VALUES } from "./database_values.ts";

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

export const FUNCTION_CASES: readonly Case[] = [
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
];
