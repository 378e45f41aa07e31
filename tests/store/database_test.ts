/**
 * Our database against `bun:sqlite`: one suite for both, and what is known to differ.
 *
 * Not there at all: `raw`, `native`, `columnTypes`, `declaredTypes`, `reader`, `readonly`,
 * `function`, `aggregate`, `onInsert` and its like, `loadExtension`, `fileControl`, `handle`,
 * `setCustomSQLite`.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import process from "node:process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { constants, Database, loadSqlite, SQLiteError } from "../../lib/store/database.ts";
import { type Case, cases } from "./database_suite.ts";

const ROOT = new URL("../../", import.meta.url);

/** The executable of the package `bun` for this system, which its install script would have copied. */
async function findBun(): Promise<string> {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `bun-${system}-${arch}`;
  const packages = new URL("node_modules/.deno/", ROOT);
  const folder = (await readdir(packages)).find((entry) => entry.startsWith(`@oven+${name}@`));
  assert(folder !== undefined, `@oven/${name} is not under node_modules/.deno: run "deno install"`);
  const program = process.platform === "win32" ? "bun.exe" : "bun";
  const path = `${folder}/node_modules/@oven/${name}/bin/${program}`;
  return fileURLToPath(new URL(path, packages));
}

/** Where our database is not like bun's, on purpose or for want of a function in sql.js. */
const differences: readonly (Case & { readonly reason: string })[] = [
  {
    name: "a file's name is refused",
    reason: "a database lives in memory; files are written by the journal and the snapshot",
    run({ Database, SQLiteError }) {
      for (const name of ["some.db", "file::memory:"]) {
        assert.throws(() => new Database(name), (error) => {
          assert(error instanceof SQLiteError);
          assert.equal(error.code, "SQLITE_CANTOPEN");
          assert.match(error.message, /^cannot open ".*": this database lives in memory/);
          return true;
        });
      }
    },
  },
  {
    name: "serialize() in a transaction that has written is SQLITE_BUSY",
    reason: "sql.js exports by a backup, which wants a committed state; bun copies the pages",
    run({ Database }) {
      const db = new Database();
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1); BEGIN");
      assert(db.serialize().length > 0);
      db.run("INSERT INTO t VALUES (2)");
      assert.throws(() => db.serialize(), { name: "SQLiteError", code: "SQLITE_BUSY", errno: 5 });
      db.run("COMMIT");
      assert.deepEqual(new Database(db.serialize()).query("SELECT a FROM t").values(), [[1], [2]]);
      assert.throws(() => db.serialize("temp"), /^Error: cannot serialize "temp"/);
    },
  },
  {
    name: "a read-only database has no temporary tables either",
    reason: "sql.js has no read-only image; PRAGMA query_only stands in for it",
    run({ Database }) {
      const db = Database.deserialize(new Database().serialize(), true);
      assert.throws(() => db.run("CREATE TEMP TABLE t (a)"), { code: "SQLITE_READONLY" });
    },
  },
  {
    name: "byteOffset is always -1",
    reason: "sql.js does not export sqlite3_error_offset",
    run({ Database }) {
      assert.throws(() => new Database().run("selec"), { byteOffset: -1 });
    },
  },
  {
    name: "a trigger that raises SQLite's own words is taken for SQLite",
    reason: "sql.js does not export sqlite3_extended_errcode; codes come from messages",
    run({ Database }) {
      const db = new Database();
      db.run(`CREATE TABLE t (a); CREATE TRIGGER r BEFORE INSERT ON t
        BEGIN SELECT raise(ABORT, 'UNIQUE constraint failed: t.a'); END`);
      const insert = () => db.run("INSERT INTO t VALUES (1)");
      assert.throws(insert, { code: "SQLITE_CONSTRAINT_UNIQUE" });
    },
  },
  {
    name: "an SQLiteError can be made by anyone, and its constructor is its own",
    reason: "bun makes an Error and calls it SQLiteError",
    run({ SQLiteError }) {
      assert.equal(new SQLiteError("m", 2067).code, "SQLITE_CONSTRAINT_UNIQUE");
      assert.equal(new SQLiteError("m", 266).code, "SQLITE_IOERR");
    },
  },
  {
    name: "SQLite is built without FTS5 and R-trees, and with 32766 parameters at most",
    reason: "that is how sql.js builds it; FTS3 is there",
    run({ Database }) {
      const db = new Database();
      assert.throws(() => db.run("CREATE VIRTUAL TABLE f USING fts5 (a)"), /no such module: fts5/);
      assert.throws(() => db.run("CREATE VIRTUAL TABLE r USING rtree (a, b, c)"), /rtree/);
      assert.throws(() => db.query("SELECT ?40000"), /must be between \?1 and \?32766/);
      db.run("CREATE VIRTUAL TABLE f USING fts3 (a)");
    },
  },
  {
    name: "pragmas show a file without locks that lives in memory, and WAL can be chosen",
    reason: "sql.js keeps the database in a file of a file system in memory",
    run({ Database }) {
      const db = new Database();
      assert.deepEqual(db.query("PRAGMA locking_mode").values(), [["exclusive"]]);
      assert.deepEqual(db.query("PRAGMA journal_mode").values(), [["memory"]]);
      assert.deepEqual(db.query("PRAGMA synchronous").values(), [[0]]);
      assert.deepEqual(db.query("PRAGMA journal_mode = WAL").values(), [["wal"]]);
      db.run("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
      const undone = db.transaction(() => {
        db.run("DELETE FROM t");
        throw new Error("undo");
      });
      assert.throws(undone, /undo/);
      const copy = new Database(db.serialize());
      assert.deepEqual(copy.query("SELECT a FROM t").values(), [[1]]);
    },
  },
];

test("new Database() before loadSqlite() says what to do", async () => {
  assert.throws(() => new Database(), /SQLite is not loaded, await loadSqlite\(\) first/);
  await Promise.all([loadSqlite(), loadSqlite()]);
  await loadSqlite();
  assert.equal(new Database().inTransaction, false);
  assert.equal(constants.SQLITE_OPEN_READONLY, 1);
});

suite("our database", () => {
  for (const { name, run } of cases) test(name, () => run({ Database, SQLiteError }));
});

suite("our database, unlike bun's", () => {
  for (const { name, run } of differences) test(name, () => run({ Database, SQLiteError }));
});

test("bun:sqlite passes every case of the suite", async () => {
  const runner = fileURLToPath(new URL("database_bun_runner.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(await findBun(), [runner], { timeout: 60_000 });
  const results = JSON.parse(stdout) as { name: string; failure?: string }[];
  assert.deepEqual(results.filter(({ failure }) => failure !== undefined), []);
  assert.deepEqual(results.map(({ name }) => name), cases.map(({ name }) => name));
});
