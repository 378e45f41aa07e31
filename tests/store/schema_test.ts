import assert from "node:assert/strict";
import { test } from "node:test";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { migrate, needsLog, SCHEMA_VERSION } from "../../lib/store/schema.ts";

await loadSqlite();

const versionOf = (database: Database) => database.query("PRAGMA user_version").values();

test("migrate() brings an empty database to the newest version, and leaves that alone", () => {
  const database = new Database(":memory:");
  migrate(database);
  assert.deepEqual(versionOf(database), [[SCHEMA_VERSION]]);
  const tables = () => database.query("SELECT name, sql FROM sqlite_schema ORDER BY name").values();
  const before = tables();
  migrate(database);
  assert.deepEqual(tables(), before);
});

const REFUSED: readonly { version: number; message: RegExp }[] = [
  { version: 1, message: /^it is of schema version 1, \d+ needed$/ },
  { version: SCHEMA_VERSION + 1, message: /newer version of pki$/ },
];

for (const { version, message } of REFUSED) {
  test(`migrate() refuses a database of version ${version}, and changes nothing`, () => {
    const database = new Database(":memory:");
    database.exec(`PRAGMA user_version = ${version}`);
    assert.throws(() => migrate(database), { kind: "storage", message });
    assert.deepEqual(versionOf(database), [[version]]);
    assert.deepEqual(database.query("SELECT name FROM sqlite_schema").values(), []);
  });
}

test("needsLog() is true of versions whose tables are of no use any more", () => {
  assert.equal(needsLog(1), true);
  assert.equal(needsLog(SCHEMA_VERSION), false);
});
