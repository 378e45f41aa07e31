/** Transactions, copies of databases and read-only ones: cases of `database_suite.ts`. */

import assert from "node:assert/strict";
import { bytes, type Case, names, people } from "./database_case.ts";

export const TRANSACTION_CASES: readonly Case[] = [
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
