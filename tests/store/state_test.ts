import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, encodeHex } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { type Entry, type EntryType, type JsonObject, redactEntry } from "../../lib/log/entry.ts";
import { Database, loadSqlite, SQLiteError } from "../../lib/store/database.ts";
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
  entries.forEach((one, index) => state.apply(one, index));
  return state;
}

const ALL = [ALICE_1, ALICE_2, BOB_1, SERVER];

/** Everything that can be asked of a state. */
const answersOf = (state: State) => ({
  accounts: ["alice", "bob", "carol"].map((id) => state.account(id)),
  published: ["alice", "bob", "carol"].map((id) => state.published(id)),
  issued: ALL.map((der) => state.issued(serialOf(der))),
  newest: ["alice", "bob", "carol"].map((id) => state.newestOf(id)),
});

test("State.apply() adds up what happened", () => {
  const state = stateOf(ENTRIES);
  assert.deepEqual(state.account("alice"), {
    id: "alice",
    credential: "c-alice",
    record: "r-alice",
    address: "::1",
    disabledMs: null,
  });
  assert.equal(state.account("carol"), undefined);
  assert.equal(state.account("Alice"), undefined);
  const newest = {
    entry: 6,
    serial: serialOf(ALICE_2),
    profile: "user",
    id: "alice",
    notAfterMs: parseCertificate(ALICE_2).notAfterMs,
    issuedMs: ENTRIES[6]?.timeMs,
    revokedMs: null,
    reason: null,
    issuerKeyId: encodeHex(CA.issuing.subjectKeyId ?? new Uint8Array()),
  };
  assert.deepEqual(state.published("alice"), newest);
  assert.equal(newest.notAfterMs, NOW_MS + LIMITS.userDays * LIMITS.dayMs);
  assert.equal(state.published("bob"), undefined, "issued is not published");
  assert.deepEqual(state.issued(serialOf(ALICE_2)), newest);
  assert.deepEqual(state.newestOf("alice"), newest);
  assert.equal(state.issued(serialOf(ALICE_1))?.entry, 3);
  assert.equal(state.issued("00"), undefined);
  const server = state.issued(serialOf(SERVER));
  assert.deepEqual([server?.entry, server?.profile, server?.id], [0, "server", null]);
});

test("State.apply() changes a password for the id that has the account", () => {
  const state = stateOf(ENTRIES);
  state.apply(entry("credentials", {}, { id: "bob", credential: "c2", record: "r2" }), 8);
  assert.deepEqual(state.account("bob"), {
    id: "bob",
    credential: "c2",
    record: "r2",
    address: null,
    disabledMs: null,
  });
  assert.equal(state.account("alice")?.record, "r-alice");
});

test("State.apply() marks the certificate that was revoked, and no other", () => {
  const state = stateOf(ENTRIES);
  const revoked = entry("revoked", { serial: serialOf(ALICE_2) }, { reason: "keyCompromise" });
  state.apply(revoked, 8);
  assert.equal(state.issued(serialOf(ALICE_2))?.revokedMs, revoked.timeMs);
  assert.equal(state.published("alice")?.revokedMs, revoked.timeMs);
  assert.equal(state.issued(serialOf(ALICE_2))?.reason, "keyCompromise");
  assert.equal(state.issued(serialOf(ALICE_1))?.revokedMs, null);
});

test("State.apply() leaves out what was redacted", () => {
  const state = State.empty();
  state.apply(redactEntry(registered("alice")), 0);
  assert.equal(state.account("alice"), undefined);
  state.apply(registered("bob"), 1);
  assert.ok(state.account("bob"));
});

test("State.apply() keeps a revocation whose reason was redacted", () => {
  const state = stateOf(ENTRIES);
  const revoked = entry("revoked", { serial: serialOf(ALICE_2) }, { reason: "keyCompromise" });
  state.apply(redactEntry(revoked), 8);
  assert.equal(state.issued(serialOf(ALICE_2))?.revokedMs, revoked.timeMs);
  assert.equal(state.issued(serialOf(ALICE_2))?.reason, null);
});

test("State.apply() takes no certificate back twice", () => {
  const state = stateOf(ENTRIES);
  const revoked = entry("revoked", { serial: serialOf(ALICE_2) }, { reason: "keyCompromise" });
  state.apply(revoked, 8);
  assert.throws(() => state.apply({ ...revoked, timeMs: revoked.timeMs + 1 }, 9), {
    kind: "storage",
    message: /was never there$/,
  });
});

test("State.recentlyCertified() names who got a certificate from an entry on, or lately", () => {
  const state = stateOf(ENTRIES);
  assert.deepEqual(state.recentlyCertified(6, 0), ["alice"]);
  assert.deepEqual([...state.recentlyCertified(5, 0)].sort(), ["alice", "bob"]);
  assert.deepEqual(state.recentlyCertified(100, 0), ["alice"], "the last one counts as lately");
  assert.deepEqual([...state.recentlyCertified(100, 1)].sort(), ["alice", "bob"]);
  assert.deepEqual(State.empty().recentlyCertified(0, 0), []);
});

test("State.apply() lets the last published certificate count", () => {
  const state = stateOf(ENTRIES.slice(0, 5));
  assert.equal(state.published("alice")?.serial, serialOf(ALICE_1));
  ENTRIES.slice(5).forEach((one, i) => state.apply(one, 5 + i));
  assert.equal(state.published("alice")?.serial, serialOf(ALICE_2));
});

test("State: entries applied as they come, replayed behind a snapshot, or in bulk are the same", () => {
  for (let size = 0; size <= ENTRIES.length; size++) {
    const live = stateOf(ENTRIES.slice(0, size));
    live.settle();
    const replayed = State.load(live.database.serialize());
    assert.deepEqual(answersOf(replayed), answersOf(live));
    replayed.startBulk();
    ENTRIES.slice(size).forEach((one, i) => {
      live.apply(one, size + i);
      replayed.apply(one, size + i);
    });
    replayed.endBulk();
    assert.deepEqual(answersOf(replayed), answersOf(live));
    assert.deepEqual(answersOf(replayed), answersOf(stateOf(ENTRIES)));
  }
});

test("State.settle() ends the group of entries that is open, so that a file has all of them", () => {
  const state = State.empty();
  const ids = Array.from({ length: 130 }, (_, n) => `user${n}`);
  ids.forEach((id, n) => {
    state.apply(registered(id), n);
    assert.equal(state.account(id)?.id, id, "whoever asks this state sees it at once");
    if (n % 50 !== 0) return;
    assert.throws(() => state.database.serialize(), { code: "SQLITE_BUSY" });
    state.settle();
    const loaded = State.load(state.database.serialize());
    assert.deepEqual(ids.filter((id) => loaded.account(id)), ids.slice(0, n + 1));
    loaded.close();
  });
  state.settle();
  state.settle();
  assert.equal(State.load(state.database.serialize()).account("user129")?.id, "user129");
  state.close();
});

test("State.apply() commits a group once it is full, unless many are applied as one", () => {
  const isOpenAfter = (entries: number, isBulk: boolean) => {
    const state = State.empty();
    if (isBulk) state.startBulk();
    for (let n = 0; n < entries; n++) state.apply(registered(`user${n}`), n);
    const { inTransaction } = state.database;
    state.close();
    return inTransaction;
  };
  const sizes = [0, 1, 63, 64, 65, 128];
  assert.deepEqual(
    sizes.map((size) => isOpenAfter(size, false)),
    [false, true, true, false, true, false],
  );
  assert.deepEqual(
    sizes.map((size) => isOpenAfter(size, true)),
    [false, true, true, true, true, true],
  );
});

test("State.apply() that fails within a group takes none of the others of it along", () => {
  for (const at of [0, 1, 62, 63, 64]) {
    const state = State.empty();
    const ids = Array.from({ length: 70 }, (_, n) => `user${n}`);
    ids.forEach((id, n) => {
      if (n === at) {
        assert.throws(() => state.apply(entry("published", {}), n), { kind: "storage" });
      }
      if (n === at + 1) assert.throws(() => state.apply(registered("user0"), n), SQLiteError);
      state.apply(registered(id), n);
    });
    state.settle();
    const loaded = State.load(state.database.serialize());
    assert.deepEqual(ids.filter((id) => loaded.account(id)), ids, `at ${at}`);
    loaded.close();
    state.close();
  }
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
    [entry("published", { serial: "00" }), storage(/about something that was never there/)],
    [entry("published", { serial: serialOf(SERVER) }), storage(/was never there/)],
    [entry("revoked", { serial: "00" }), storage(/was never there/)],
    [
      entry("credentials", {}, { id: "carol", credential: "c", record: "r" }),
      storage(/was never there/),
    ],
  ];
  for (const [one, refusal] of rows) assert.throws(() => state.apply(one, 8), refusal);
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
  const database = Database.deserialize(State.empty().database.serialize());
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
