import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { type Entry, type EntryType, type JsonObject } from "../../lib/log/entry.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { State } from "../../lib/store/state.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { issueUser, makeCa, NOW_MS } from "../fakes/directory.ts";

await loadSqlite();

const CA = await makeCa();
const KEY = await generatePrivateKey("p256");
const [ALICE_1, ALICE_2, BOB_1, SERVER] = await Promise.all(
  ["alice", "alice", "bob", "no-matter"].map((id) => issueUser(CA, { id, key: KEY })),
) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const serialOf = (der: Uint8Array) => parseCertificate(der).serial;

let timeMs = NOW_MS;

function entry(
  type: EntryType,
  shown: JsonObject,
  hidden: JsonObject | null = null,
): Entry {
  return {
    type,
    timeMs: timeMs++,
    public: shown,
    private: hidden,
    salt: hidden && new Uint8Array(32).fill(3),
  };
}

const registered = (id: string) =>
  entry("registered", {}, { id, credential: `c-${id}`, record: `r-${id}`, address: "::1" });
const issued = (id: string, der: Uint8Array) =>
  entry("issued", { profile: "user", id, certificate: encodeBase64(der) });
const published = (der: Uint8Array) => entry("published", { serial: serialOf(der) });

const ENTRIES: readonly Entry[] = [
  entry("issued", { profile: "server", certificate: encodeBase64(SERVER) }),
  registered("alice"),
  registered("bob"),
  issued("alice", ALICE_1),
  published(ALICE_1),
  issued("bob", BOB_1),
  issued("alice", ALICE_2),
  published(ALICE_2),
];

function stateOf(entries: readonly Entry[]): State {
  const state = State.empty();
  for (const one of entries) state.apply(one);
  return state;
}

const ALL = [ALICE_1, ALICE_2, BOB_1, SERVER];

/** Everything that can be asked of a state. */
const answersOf = (state: State) => ({
  accounts: ["alice", "bob", "carol"].map((id) => state.account(id)),
  published: ["alice", "bob", "carol"].map((id) => state.published(id)),
  issued: ["alice", "bob"].map((id) => ALL.map((der) => state.issuedTo(id, der))),
  newest: [...state.newestCertificates()],
});

test("State.apply() adds up what happened", () => {
  const state = stateOf(ENTRIES);
  assert.deepEqual(state.account("alice"), {
    id: "alice",
    credential: "c-alice",
    record: "r-alice",
  });
  assert.equal(state.account("carol"), undefined);
  assert.equal(state.account("Alice"), undefined);
  const newest = {
    number: 4,
    serial: serialOf(ALICE_2),
    id: "alice",
    notAfterMs: parseCertificate(ALICE_2).notAfterMs,
    der: ALICE_2,
  };
  assert.deepEqual(state.published("alice"), newest);
  assert.equal(newest.notAfterMs, NOW_MS + LIMITS.userDays * LIMITS.dayMs);
  assert.equal(state.published("bob"), undefined, "issued is not published");
  assert.deepEqual(state.issuedTo("alice", ALICE_2), newest);
  assert.equal(state.issuedTo("alice", ALICE_1)?.number, 2);
  assert.equal(state.issuedTo("alice", BOB_1), undefined, "somebody else's");
  assert.equal(state.issuedTo("alice", SERVER), undefined);
  assert.equal(state.issuedTo("no-matter", SERVER), undefined, "a server's is no user's");
  assert.deepEqual(
    [...state.newestCertificates()].map(({ id, der }) => [id, der]),
    [["bob", BOB_1], ["alice", ALICE_2]],
  );
});

test("State.apply() lets the last published certificate count", () => {
  const state = stateOf(ENTRIES.slice(0, 5));
  assert.deepEqual(state.published("alice")?.der, ALICE_1);
  for (const one of ENTRIES.slice(5)) state.apply(one);
  assert.deepEqual(state.published("alice")?.der, ALICE_2);
});

test("State: entries applied as they come and entries replayed give the same answers", () => {
  for (let size = 0; size <= ENTRIES.length; size++) {
    const live = stateOf(ENTRIES.slice(0, size));
    const snapshot = live.encodeSnapshot({ size, root: "00" });
    const replayed = State.load(snapshot);
    assert.deepEqual(answersOf(replayed), answersOf(live));
    for (const one of ENTRIES.slice(size)) {
      live.apply(one);
      replayed.apply(one);
    }
    assert.deepEqual(answersOf(replayed), answersOf(live));
    assert.deepEqual(answersOf(replayed), answersOf(stateOf(ENTRIES)));
  }
});

test("State.encodeSnapshot() names its position, and the next one replaces it", () => {
  const state = stateOf(ENTRIES);
  assert.equal(state.snapshotPosition, undefined);
  const first = State.load(state.encodeSnapshot({ size: 8, root: "ab".repeat(32) }));
  assert.deepEqual(first.snapshotPosition, { size: 8, root: "ab".repeat(32) });
  const second = State.load(first.encodeSnapshot({ size: 9, root: "cd".repeat(32) }));
  assert.deepEqual(second.snapshotPosition, { size: 9, root: "cd".repeat(32) });
  assert.deepEqual(answersOf(second), answersOf(state));
});

test("State.encodeSnapshot() makes an SQLite file that others can read", () => {
  const database = Database.deserialize(stateOf(ENTRIES).encodeSnapshot({ size: 8, root: "" }));
  assert.deepEqual(database.query("SELECT id FROM accounts ORDER BY id").values(), [
    ["alice"],
    ["bob"],
  ]);
  assert.deepEqual(database.query("PRAGMA integrity_check").values(), [["ok"]]);
  database.close();
});

test("State.apply() refuses what cannot have been logged, and changes nothing", () => {
  const state = stateOf(ENTRIES);
  const before = answersOf(state);
  const storage = (message: RegExp) => ({ name: "PkiError", kind: "storage", message });
  const rows: readonly (readonly [Entry, object])[] = [
    [entry("registered", {}), storage(/lacks "id"/)],
    [entry("registered", {}, { id: "carol" }), storage(/lacks "credential"/)],
    [entry("registered", {}, { id: "carol", credential: "c" }), storage(/lacks "record"/)],
    [entry("registered", {}, { id: 7, credential: "c", record: "r" }), storage(/lacks "id"/)],
    [entry("registered", { id: "carol", credential: "c", record: "r" }), storage(/lacks "id"/)],
    [registered("alice"), { code: "SQLITE_CONSTRAINT_PRIMARYKEY" }],
    [entry("issued", { profile: "user", id: "bob" }), storage(/lacks "certificate"/)],
    [entry("issued", { id: "bob", certificate: encodeBase64(CA.root.der) }), storage(/"profile"/)],
    [entry("issued", { profile: "user", certificate: "!" }), { kind: "malformed" }],
    [entry("issued", { profile: "user", certificate: "AQID" }), { kind: "malformed" }],
    [issued("alice", ALICE_1), { code: "SQLITE_CONSTRAINT_UNIQUE" }],
    [entry("published", {}), storage(/lacks "serial"/)],
  ];
  for (const [one, refusal] of rows) assert.throws(() => state.apply(one), refusal);
  state.apply(entry("published", { serial: "00" })); // of no certificate
  assert.deepEqual(answersOf(state), before);
});

test("State keeps ids and records apart from SQL", () => {
  const id = "'; DROP TABLE accounts; --";
  const state = stateOf([registered(id), registered("alice")]);
  assert.equal(state.account(id)?.record, `r-${id}`);
  assert.equal(state.account("' OR 1=1 --"), undefined);
  assert.ok(state.account("alice"));
});

test("State.load() refuses a file of a newer version", () => {
  const database = Database.deserialize(State.empty().encodeSnapshot({ size: 0, root: "" }));
  database.exec("PRAGMA user_version = 1000");
  assert.throws(() => State.load(database.serialize()), {
    name: "PkiError",
    kind: "storage",
    message: "cannot read the state: it is of a newer version of pki",
  });
});

test("State.load() refuses what is no database", () => {
  for (const bytes of [new Uint8Array(0), Uint8Array.of(1, 2, 3), new Uint8Array(8192).fill(7)]) {
    assert.throws(() => State.load(bytes));
  }
});
