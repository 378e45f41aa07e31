import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, type EntryType, type JsonObject, redactEntry } from "../../lib/log/entry.ts";
import {
  entriesToRedact,
  findInvitation,
  forgetEntries,
  hasAccounts,
  isIdTaken,
  listAccounts,
  listInvitations,
} from "../../lib/store/accounts.ts";
import { loadSqlite } from "../../lib/store/database.ts";
import { State } from "../../lib/store/state.ts";

await loadSqlite();

const NOW_MS = 1_000_000;

function entry(
  type: EntryType,
  hidden: JsonObject | null,
  { shown = {}, timeMs = NOW_MS }: { readonly shown?: JsonObject; readonly timeMs?: number } = {},
): Entry {
  return { type, timeMs, public: shown, private: hidden, salt: hidden && new Uint8Array(32) };
}

const registered = (id: string, shown: JsonObject = {}) =>
  entry("registered", { id, credential: `c-${id}`, record: `r-${id}`, address: "::1" }, { shown });
const invited = (tokenHash: string, more: JsonObject = {}) =>
  entry("invited", { tokenHash, uses: 1, expiresMs: NOW_MS + 10, ...more });

function stateOf(entries: readonly Entry[]): State {
  const state = State.empty();
  entries.forEach((one, index) => state.apply(one, index));
  return state;
}

const USERS = (state: State) => listAccounts(state.database, { nowMs: NOW_MS, limit: 10 });

/** Every row of the tables that entries about accounts change. */
const rowsOf = ({ database }: State) =>
  ["accounts", "account_entries", "invitations"].map((table) =>
    database.query(`SELECT * FROM ${table}`).all()
  );

test("an account is disabled, enabled, and deleted for good", () => {
  const state = stateOf([registered("alice"), registered("bob")]);
  assert.equal(state.account("bob")?.disabledMs, null);
  state.apply(entry("disabled", { id: "bob" }, { timeMs: 7 }), 2);
  assert.equal(state.account("bob")?.disabledMs, 7);
  assert.equal(state.account("bob")?.record, "r-bob", "whoever knows the password is told why");
  state.apply(entry("enabled", { id: "bob" }), 3);
  assert.equal(state.account("bob")?.disabledMs, null);
  state.apply(entry("disabled", { id: "bob" }), 4);
  state.apply(entry("deleted", { id: "bob" }, { timeMs: 9 }), 5);
  assert.equal(state.account("bob"), undefined);
  assert.ok(isIdTaken(state.database, "bob"), "an id is never handed out again");
  assert.ok(!isIdTaken(state.database, "carol"));
  const [, bob] = USERS(state);
  assert.deepEqual(bob, {
    id: "bob",
    registeredMs: null,
    disabledMs: null,
    deletedMs: 9,
    valid: 0,
    notAfterMs: null,
  });
  assert.throws(() => state.apply(registered("bob"), 6), { code: "SQLITE_CONSTRAINT_PRIMARYKEY" });
});

test("a rebuild from a log that was redacted makes the tables that there were", () => {
  const entries = [
    invited("h1", { uses: 2 }),
    registered("alice"),
    registered("bob", { invitation: 0 }),
    entry("disabled", { id: "bob" }),
    entry("credentials", { id: "bob", credential: "c", record: "r", address: "::2" }),
    entry("enabled", { id: "bob" }),
    entry("deleted", { id: "bob" }),
  ];
  const live = stateOf(entries);
  assert.deepEqual(entriesToRedact(live.database), [2, 3, 4, 5]);
  forgetEntries(live.database, [2, 3, 4, 5]);
  assert.deepEqual(entriesToRedact(live.database), []);
  const rebuilt = State.empty();
  entries.forEach((one, index) => {
    rebuilt.apply([2, 3, 4, 5].includes(index) ? redactEntry(one) : one, index);
  });
  assert.deepEqual(rowsOf(rebuilt), rowsOf(live));
  const [first] = listInvitations(rebuilt.database, { nowMs: NOW_MS, limit: 9 });
  assert.equal(first?.usesLeft, 1, "a use counts, whoever it was");
});

test("an invitation is used up, withdrawn, or expires", () => {
  const state = stateOf([
    invited("h0", { id: "alice" }),
    invited("h1", { uses: 2, isReset: true }),
    registered("alice", { invitation: 0 }),
  ]);
  assert.deepEqual(findInvitation(state.database, "h0"), {
    number: 0,
    tokenHash: "h0",
    id: "alice",
    isReset: false,
    uses: 1,
    usesLeft: 0,
    madeMs: NOW_MS,
    expiresMs: NOW_MS + 10,
  });
  assert.equal(findInvitation(state.database, "h2"), undefined);
  const open = (nowMs: number) =>
    listInvitations(state.database, { nowMs, limit: 9 }).map(({ number }) => number);
  assert.deepEqual(open(NOW_MS), [1]);
  assert.deepEqual(open(NOW_MS + 9), [1]);
  assert.deepEqual(open(NOW_MS + 10), []);
  assert.equal(findInvitation(state.database, "h1")?.isReset, true);
  state.apply(entry("withdrawn", null, { shown: { withdrawn: 1 } }), 3);
  assert.deepEqual(open(NOW_MS), []);
});

test("listAccounts() pages by id, and filters by state", () => {
  const state = stateOf([
    ...["dora", "alice", "bob", "carol"].map((id) => registered(id)),
    entry("disabled", { id: "bob" }),
    entry("deleted", { id: "carol" }),
  ]);
  const { database } = state;
  const list = (query: Partial<Parameters<typeof listAccounts>[1]>) =>
    listAccounts(database, { nowMs: NOW_MS, limit: 10, ...query }).map(({ id }) => id);
  assert.deepEqual(list({}), ["alice", "bob", "carol", "dora"]);
  assert.deepEqual(list({ limit: 2 }), ["alice", "bob"]);
  assert.deepEqual(list({ after: "bob", limit: 2 }), ["carol", "dora"]);
  assert.deepEqual(list({ state: "active" }), ["alice", "dora"]);
  assert.deepEqual(list({ state: "disabled" }), ["bob"]);
  assert.deepEqual(list({ state: "deleted" }), ["carol"]);
  assert.deepEqual(list({ id: "bob", state: "active" }), []);
  assert.deepEqual(list({ id: "bob" }), ["bob"]);
  assert.ok(hasAccounts(database));
  assert.ok(!hasAccounts(State.empty().database));
});

test("State.apply() refuses what cannot have been logged of accounts", () => {
  const state = stateOf([registered("alice")]);
  const before = rowsOf(state);
  const storage = (message: RegExp) => ({ kind: "storage", message });
  const rows: readonly (readonly [Entry, object])[] = [
    [entry("disabled", { id: "bob" }), storage(/was never there/)],
    [entry("enabled", { id: "bob" }), storage(/was never there/)],
    [entry("disabled", null), storage(/lacks "id"/)],
    [entry("invited", { tokenHash: "h", uses: 1 }), storage(/lacks "expiresMs"/)],
    [entry("invited", { uses: 1, expiresMs: 1 }), storage(/lacks "tokenHash"/)],
    [entry("invited", { tokenHash: "h", uses: "1", expiresMs: 1 }), storage(/lacks "uses"/)],
    [entry("withdrawn", null, { shown: { withdrawn: 5 } }), storage(/was never there/)],
    [registered("bob", { invitation: 5 }), storage(/was never there/)],
  ];
  for (const [one, refusal] of rows) assert.throws(() => state.apply(one, 1), refusal);
  assert.deepEqual(rowsOf(state), before);
});
