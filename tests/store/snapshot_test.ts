import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, sha256, utf8 } from "../../lib/base/bytes.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import {
  encodeSnapshot,
  missingCopiesOf,
  parseSnapshot,
  readSnapshot,
} from "../../lib/store/snapshot.ts";
import { State } from "../../lib/store/state.ts";
import { FakeFiles } from "../fakes/files.ts";

await loadSqlite();

const leafOf = (n: number) => sha256(utf8(`leaf ${n}`));
const recordBytesOf = (n: number) => 100 + n % 7;

/** An index of so many entries, in segments of so many. */
function grow(index: LogIndex, to: number, segmentEntries = Infinity): LogIndex {
  if (index.segments.length === 0) index.startSegment();
  for (let n = index.size; n < to; n++) {
    if (n > 0 && n % segmentEntries === 0) index.startSegment();
    index.append(leafOf(n), recordBytesOf(n));
  }
  return index;
}

const SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513];

for (const segmentEntries of [Infinity, 100]) {
  test(`parseSnapshot() restores tiles, offsets and segments of ${segmentEntries} entries at every edge`, () => {
    for (const from of SIZES) {
      for (const to of SIZES.filter((size) => size >= from)) {
        // A snapshot, and the next one that is made from it.
        const state = State.empty();
        const first = parseSnapshot(
          concatBytes(
            ...encodeSnapshot({ state, index: grow(new LogIndex(), from, segmentEntries) }),
          ),
        );
        grow(first.index, to, segmentEntries);
        const { index, state: last } = parseSnapshot(concatBytes(...encodeSnapshot(first)));
        const wanted = grow(new LogIndex(), to, segmentEntries);
        assert.deepEqual(index.segments, wanted.segments);
        assert.deepEqual(index.tree.root(), wanted.tree.root());
        assert.equal(index.size, to);
        for (let n = 0; n < to; n++) assert.deepEqual(index.placeOf(n), wanted.placeOf(n));
        for (const one of [state, first.state, last]) one.close();
      }
    }
  });
}

const SNAPSHOT = concatBytes(
  ...encodeSnapshot({ state: State.empty(), index: grow(new LogIndex(), 3) }),
);

test("missingCopiesOf() says what the newest snapshot was taken with, and of none nothing", () => {
  const state = State.empty();
  assert.deepEqual(missingCopiesOf(state), []);
  let last = { state, index: grow(new LogIndex(), 3) };
  for (const missingCopies of [["alice", "bob.b-2"], ["carol"], []]) {
    const next = parseSnapshot(concatBytes(...encodeSnapshot(last, { missingCopies })));
    last.state.close();
    last = next;
    assert.deepEqual(missingCopiesOf(last.state), missingCopies);
  }
  last.state.close();
});

test("encodeSnapshot() makes an SQLite file with a seal behind its last page", () => {
  assert.equal(new TextDecoder().decode(SNAPSHOT.subarray(0, 15)), "SQLite format 3");
  const view = new DataView(SNAPSHOT.buffer, SNAPSHOT.byteOffset);
  const [pageBytes, pages] = [view.getUint16(16), view.getUint32(28)];
  assert.equal(SNAPSHOT.length, pageBytes * pages + 49);
  assert.equal(new TextDecoder().decode(SNAPSHOT.slice(-49, -32)), "pki state seal 1\n");
  const database = Database.deserialize(SNAPSHOT.slice(0, -49));
  assert.deepEqual(database.query("PRAGMA integrity_check").values(), [["ok"]]);
  assert.deepEqual(
    database.query("SELECT value FROM meta WHERE key = 'log_size'").values(),
    [["3"]],
  );
  database.close();
});

test("parseSnapshot() refuses a flip in every byte", () => {
  for (let at = 0; at < SNAPSHOT.length; at++) {
    // All of the header, the seal and the first rows; between them, every 13th.
    if (at > 200 && at < SNAPSHOT.length - 100 && at % 13 !== 0) continue;
    SNAPSHOT[at]! ^= 1 << at % 8;
    assert.throws(() => parseSnapshot(SNAPSHOT), { kind: "storage" }, `byte ${at}`);
    SNAPSHOT[at]! ^= 1 << at % 8;
  }
  parseSnapshot(SNAPSHOT).state.close();
});

test("parseSnapshot() refuses every truncation, and bytes behind the seal", () => {
  for (let length = 0; length < SNAPSHOT.length; length++) {
    assert.throws(() => parseSnapshot(SNAPSHOT.subarray(0, length)), { kind: "storage" });
  }
  const longer = concatBytes(SNAPSHOT, Uint8Array.of(0));
  assert.throws(() => parseSnapshot(longer), { message: "it has no seal" });
});

/** Changes tables under a right seal: somebody's mistake, not the disk's. */
function forge(sql: string): Uint8Array {
  const database = Database.deserialize(SNAPSHOT.slice(0, -49));
  database.exec(sql);
  const file = database.serialize();
  database.close();
  return concatBytes(file, utf8("pki state seal 1\n"), sha256(file));
}

const FORGED: readonly { sql: string; message: RegExp }[] = [
  { sql: "DELETE FROM meta", message: /do not add up/ },
  { sql: "UPDATE meta SET value = '4' WHERE key = 'log_size'", message: /do not add up/ },
  { sql: "UPDATE meta SET value = '00' WHERE key = 'log_root'", message: /do not add up/ },
  { sql: "UPDATE log_tiles SET hashes = zeroblob(96)", message: /do not add up/ },
  { sql: "UPDATE log_tiles SET offsets = zeroblob(8)", message: /does not fit its offsets/ },
  { sql: "UPDATE log_tiles SET hashes = zeroblob(95)", message: /are not a tile/ },
  { sql: "PRAGMA user_version = 99", message: /newer version/ },
  { sql: "PRAGMA user_version = 1", message: /schema version 1/ },
];

for (const { sql, message } of FORGED) {
  test(`parseSnapshot() refuses what does not add up: ${sql}`, () => {
    assert.throws(() => parseSnapshot(forge(sql)), { kind: "storage", message });
  });
}

test("readSnapshot() says how long the file is, closes it, and finds none where none is", async () => {
  const files = new FakeFiles();
  assert.equal(await readSnapshot(files, "/state.db"), undefined);
  files.plant("/state.db", SNAPSHOT);
  assert.equal((await readSnapshot(files, "/state.db"))?.bytes, SNAPSHOT.length);
  files.plant("/state.db", SNAPSHOT.slice(1));
  await assert.rejects(readSnapshot(files, "/state.db"), { kind: "storage" });
  assert.equal(files.openCount, 0);
});

/** Of how many of these users something secret is anywhere in a file. */
function tracesOf(file: Uint8Array, ids: readonly string[]): number {
  const content = new TextDecoder("latin1").decode(file);
  const found = [...content.matchAll(/(?:secret|credential) of (user\d+)\./g)];
  const seen = new Set(found.map(([, id]) => id));
  return ids.filter((id) => seen.has(id)).length;
}

test("encodeSnapshot() leaves no trace of what was deleted when it has to forget", () => {
  const state = State.empty();
  const ids = Array.from({ length: 3000 }, (_, n) => `user${n * 7919 % 3000}`);
  const recordOf = (id: string) => `secret of ${id}.`.padEnd(150 + id.length * 13 % 90, "x");
  state.startBulk();
  // In no order, so that pages are split and rows moved between them.
  for (const [n, id] of ids.entries()) {
    state.apply({
      type: "registered",
      timeMs: n,
      public: {},
      private: { id, credential: `credential of ${id}.`, record: recordOf(id) },
      salt: new Uint8Array(32),
    }, n);
  }
  state.endBulk();
  const gone = ids.filter((_, n) => n % 3 === 0);
  const left = ids.filter((_, n) => n % 3 !== 0);
  const index = grow(new LogIndex(), 3);
  const before = parseSnapshot(concatBytes(...encodeSnapshot({ state, index })));
  for (const one of [state, before.state]) { // as it lives, and as the worker loads it
    assert.equal(
      tracesOf(concatBytes(...encodeSnapshot({ state: one, index })), gone),
      gone.length,
    );
    for (const id of gone) one.database.query("DELETE FROM accounts WHERE id = ?").run(id);
    const careless = concatBytes(...encodeSnapshot({ state: one, index }));
    assert.ok(tracesOf(careless, gone) < 40, "most of it is overwritten at once");
    const snapshot = concatBytes(...encodeSnapshot({ state: one, index }, { forgets: true }));
    assert.equal(tracesOf(snapshot, gone), 0);
    assert.equal(tracesOf(snapshot, left), left.length);
    const { state: last } = parseSnapshot(snapshot);
    assert.equal(last.account(left[0] ?? "")?.record, recordOf(left[0] ?? ""));
    const journal = one.database.query("PRAGMA journal_mode").values();
    assert.deepEqual(journal, [["memory"]], "what fails afterwards can be undone");
    for (const each of [one, last]) each.close();
  }
});
