/**
 * Our database against `bun:sqlite`: one suite for both, a walk over everything that the real one
 * has, and what is known to differ, which `docs/sqlite.md` tells.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as ours from "../../lib/store/database.ts";
import { RESULT_CODES } from "../../lib/store/sqlite_error.ts";
import { UNSUPPORTED } from "../../lib/store/sqlite_unsupported.ts";
import type { Case } from "./database_case.ts";
import { cases } from "./database_suite.ts";

const { constants, Database, loadSqlite, SQLiteError, Statement } = ours;

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

/** All files with cases. */
async function readSuite(): Promise<string> {
  const folder = new URL("./", import.meta.url);
  const names = (await readdir(folder)).filter((name) => /^database_(?!test|bun)/.test(name));
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), "utf8")));
  return texts.join("\n");
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
      assert.equal(new SQLiteError("m", 266).code, "SQLITE_IOERR_READ");
      assert.equal(new SQLiteError("m", 10 | 99 << 8).code, "SQLITE_IOERR");
      assert.equal(new SQLiteError("m", 99).code, "SQLITE_UNKNOWN_99");
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
  {
    name: "what sql.js cannot do says so",
    reason: "the table in sqlite_unsupported.ts",
    run({ Database }) {
      const db = new Database();
      const image = db.serialize();
      const step = () => 0;
      const refused: Readonly<Record<keyof typeof UNSUPPORTED, readonly (() => unknown)[]>> = {
        "new Database(file)": [() => new Database("some.db"), () => Database.open("a.db", 4)],
        "Database.aggregate({ inverse })": [() => db.aggregate("a", { step, inverse: step })],
        "Database.fileControl": [
          ...[7, 27, 28, 35, 38].map((op) => () => db.fileControl(op)),
          ...[12, 36].map((op) => () => Database.deserialize(image).fileControl(op)),
          () => db.fileControl("temp", 42),
        ],
        "Database.loadExtension": [() => db.loadExtension("some.so")],
        "Database.serialize(name)": [() => db.serialize("temp")],
        "Statement.declaredTypes": [() => db.query("SELECT 1").declaredTypes],
        "Statement.native": [() => db.query("SELECT 1").native],
      };
      assert.deepEqual(Object.keys(refused), Object.keys(UNSUPPORTED));
      for (const [member, calls] of Object.entries(refused)) {
        for (const call of calls) {
          assert.throws(call, (error) => {
            assert(error instanceof Error);
            const why = UNSUPPORTED[member as keyof typeof UNSUPPORTED];
            assert(error.message.startsWith("cannot ") && error.message.endsWith(`: ${why}`));
            return true;
          }, member);
        }
      }
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
  for (const { name, run } of cases) test(name, () => run({ Database, SQLiteError, Statement }));
});

suite("our database, unlike bun's", () => {
  for (const { name, run } of differences) {
    test(name, () => run({ Database, SQLiteError, Statement }));
  }
});

test("what a hook throws becomes an uncaught exception after the statement has ended", async () => {
  const db = new Database();
  db.run("CREATE TABLE t (a)");
  db.onInsert = () => {
    throw new Error("from a hook");
  };
  const uncaught = new Promise((resolve) => process.once("uncaughtException", resolve));
  assert.equal(db.run("INSERT INTO t VALUES (1), (2)").changes, 2);
  db.onInsert = null;
  process.once("uncaughtException", () => {});
  const error = await uncaught;
  assert(error instanceof Error && error.message === "from a hook");
});

test("a database with a hook and functions can be collected and closed", () => {
  const db = new Database();
  db.function("f", () => 1);
  db.onInsert = () => {};
  const kept = db.prepare("SELECT f() AS a");
  db.close();
  assert.deepEqual(kept.get(), { a: 1 });
  kept.finalize();
  assert.throws(() => kept.get(), /finalized/);
});

test("RESULT_CODES has each code once, an extended one named after its primary one", () => {
  const names = Object.values(RESULT_CODES);
  assert.equal(new Set(names).size, names.length);
  for (const [errno, name] of Object.entries(RESULT_CODES)) {
    assert(name.startsWith(RESULT_CODES[Number(errno) & 0xff] ?? "?"), name);
  }
});

interface BunReport {
  readonly results: readonly { readonly name: string; readonly failure?: string }[];
  readonly members: Readonly<
    Record<"module" | "Database" | "database" | "statement", readonly string[]>
  >;
  readonly constants: Readonly<Record<string, number>>;
}

async function runBun(): Promise<BunReport> {
  const runner = fileURLToPath(new URL("database_bun_runner.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(await findBun(), [runner], { timeout: 60_000 });
  return JSON.parse(stdout) as BunReport;
}

suite("the real bun:sqlite", () => {
  const report = runBun();

  test("passes every case of the suite", async () => {
    const { results } = await report;
    assert.deepEqual(results.filter(({ failure }) => failure !== undefined), []);
    assert.deepEqual(results.map(({ name }) => name), cases.map(({ name }) => name));
  });

  test("has the same constants", async () => {
    assert.deepEqual({ ...constants }, (await report).constants);
  });

  test("has no member that ours has not, and each is in the suite or said to be missing", async () => {
    const { members } = await report;
    const text = await readSuite();
    const statement = new Database().query("SELECT 1");
    const subjects = { module: ours, Database, database: new Database(), statement };
    // Marks of a module, what every class has, and what has a test of its own above.
    const ignored = new RegExp(
      "^module\\.(?:__esModule|Symbol\\(Symbol\\.toStringTag\\)|constants)$|" +
        "\\.(?:constructor|name|length|prototype)$",
    );
    for (const [subject, names] of Object.entries(members)) {
      assert(names.length > 0);
      for (const name of names) {
        const where = `${subject}.${name}`;
        if (ignored.test(where)) continue;
        const symbol = /^Symbol\((.*)\)$/.exec(name)?.[1];
        const key = symbol === undefined
          ? name
          : symbol.startsWith("Symbol.")
          ? Symbol[symbol.slice("Symbol.".length) as "iterator"]
          : Symbol.for(symbol);
        assert(key in subjects[subject as keyof typeof subjects], `${where} is not there`);
        const listed = Object.keys(UNSUPPORTED).some((member) => member.endsWith(`.${name}`));
        const used = new RegExp(`\\b${symbol ?? name}\\b`).test(text);
        assert(listed || used, `${where} is neither in the suite nor said to be missing`);
      }
    }
    assert.equal(ours.default, Database);
  });
});

test("docs/sqlite.md tells what is missing and what differs", async () => {
  const text = (await readFile(new URL("docs/sqlite.md", ROOT), "utf8")).replace(/\s+/g, " ");
  for (const [member, why] of Object.entries(UNSUPPORTED)) {
    assert(text.includes(`\`${member}\``) && text.includes(why), member);
  }
  for (const { name } of differences) assert(text.includes(name), name);
});
