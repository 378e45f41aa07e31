import assert from "node:assert/strict";
import { before, test } from "node:test";
import { CensusTaker } from "../../lib/server/census.ts";
import { loadSqlite } from "../../lib/store/database.ts";
import { State } from "../../lib/store/state.ts";

const NOW_MS = Date.UTC(2026, 10, 26);

before(() => loadSqlite());

interface Row {
  readonly endsInMs: number;
  readonly isRevoked?: boolean;
  /** Publishes it under the id. */
  readonly publishedBy?: string;
}

/** Tables as entries of the log would make them, filled directly: it is about counting. */
function makeState(certificates: readonly Row[], accounts: readonly string[] = []): State {
  const state = State.empty();
  const { database } = state;
  database.query("INSERT INTO issuers (key_id) VALUES ('aa')").run();
  certificates.forEach(({ endsInMs, isRevoked, publishedBy = null }, entry) => {
    database.query(
      `INSERT INTO certificates
         (entry, serial, profile, id, not_after_ms, issued_ms, issuer, revoked_ms)
       VALUES (?, ?, 'user', ?, ?, ?, 1, ?)`,
    ).run(entry, String(entry), publishedBy, NOW_MS + endsInMs, NOW_MS, isRevoked ? NOW_MS : null);
    if (publishedBy === null) return;
    database.query("INSERT INTO published (id, entry, published_ms) VALUES (?, ?, ?)")
      .run(publishedBy, entry, NOW_MS);
  });
  accounts.forEach((kind, at) => {
    database.query("INSERT INTO accounts (id, disabled_ms, deleted_ms) VALUES (?, ?, ?)").run(
      ...[`user${String(at).padStart(5, "0")}`, kind === "disabled" ? 1 : null],
      kind === "deleted" ? 1 : null,
    );
  });
  return state;
}

/** A taker whose counts take as long as the test says. */
function makeTaker(state: State) {
  /** With each look the clock goes on by `tickMs`. */
  const clock = { ms: 0, tickMs: 0, pauses: 0, warnings: [] as string[] };
  const taker = new CensusTaker({
    database: state.database,
    warn: (text) => void clock.warnings.push(text),
    now: () => NOW_MS,
    clock: () => clock.ms += clock.tickMs,
    pause: () => {
      clock.pauses++;
      clock.ms += 1000; // that others have: it does not count
      return Promise.resolve();
    },
  });
  return { taker, clock };
}

test("CensusTaker.read() counts by state, and knows when the first published one ends", async () => {
  const state = makeState([
    { endsInMs: 0 }, // its last millisecond
    { endsInMs: -1 },
    { endsInMs: 5, publishedBy: "alice" },
    { endsInMs: 2, publishedBy: "bob", isRevoked: true },
    { endsInMs: -2, publishedBy: "carol" },
    { endsInMs: -3, isRevoked: true },
    { endsInMs: 9, publishedBy: "dora" },
  ], ["active", "disabled", "deleted", "active", "active"]);
  const { taker } = makeTaker(state);
  assert.deepEqual(await taker.read(), {
    atMs: NOW_MS,
    certificates: { valid: 3, expired: 2, revoked: 2 },
    published: 2,
    accounts: { active: 3, disabled: 1, deleted: 1 },
    publishedEndsMs: NOW_MS + 5,
  });
});

test("CensusTaker.read() counts nothing where nothing is", async () => {
  const { taker } = makeTaker(makeState([]));
  assert.deepEqual(await taker.read(), {
    atMs: NOW_MS,
    certificates: { valid: 0, expired: 0, revoked: 0 },
    published: 0,
    accounts: { active: 0, disabled: 0, deleted: 0 },
    publishedEndsMs: null,
  });
});

for (const rows of [1999, 2000, 2001, 4000]) {
  test(`CensusTaker.read() misses no row at the end of a page (${rows})`, async () => {
    const state = makeState(
      Array.from({ length: rows }, (_, at) => ({
        endsInMs: at % 2 === 0 ? 1 : -1,
        publishedBy: `user${String(at).padStart(5, "0")}`,
      })),
      Array.from({ length: rows }, (_, at) => at % 3 === 0 ? "disabled" : "active"),
    );
    const { taker, clock } = makeTaker(state);
    const census = await taker.read() ?? assert.fail();
    const even = Math.ceil(rows / 2);
    assert.deepEqual(census.certificates, { valid: even, expired: rows - even, revoked: 0 });
    assert.equal(census.published, even);
    const disabled = Math.ceil(rows / 3);
    assert.deepEqual(census.accounts, { active: rows - disabled, disabled, deleted: 0 });
    assert.equal(clock.pauses, 3 * Math.floor(rows / 2000), "others have their turn");
  });
}

test("CensusTaker.read() counts anew only when two hundred times as long has passed", async () => {
  const state = makeState(Array.from({ length: 2001 }, () => ({ endsInMs: 1 })));
  const { taker, clock } = makeTaker(state);
  clock.tickMs = 5;
  const first = await taker.read();
  clock.tickMs = 0;
  clock.ms += 4 * 5 * 200 - 1; // four pages
  assert.equal(await taker.read(), first);
  clock.ms += 1;
  await taker.read();
  await taker.settle();
  const second = await taker.read();
  assert.notEqual(second, first);
  assert.deepEqual(second, first);
});

test("CensusTaker.read() does not wait for a count that takes long", async () => {
  const state = makeState(Array.from({ length: 2001 }, () => ({ endsInMs: 1 })));
  let gate = Promise.withResolvers<void>();
  let ms = 0;
  const taker = new CensusTaker({
    database: state.database,
    warn: assert.fail,
    now: () => NOW_MS,
    clock: () => ms,
    pause: () => gate.promise,
  });
  assert.equal(await taker.read(), undefined, "nothing is known yet");
  ms = 100;
  gate.resolve();
  await taker.settle();
  const first = await taker.read();
  assert.equal(first?.certificates.valid, 2001);
  gate = Promise.withResolvers();
  ms += 100 * 200;
  assert.equal(await taker.read(), first, "the one before, at once");
  gate.resolve();
  await taker.settle();
  assert.notEqual(await taker.read(), first);
});

test("CensusTaker.stop() ends a count between two pages", async () => {
  const state = makeState(Array.from({ length: 2001 }, () => ({ endsInMs: 1 })));
  const gate = Promise.withResolvers<void>();
  const taker = new CensusTaker({
    database: state.database,
    warn: assert.fail,
    pause: () => gate.promise,
  });
  assert.equal(await taker.read(), undefined);
  const stopped = taker.stop();
  gate.resolve();
  await stopped;
  state.close();
});

test("CensusTaker.read() survives tables that cannot be read, and says so once a while", async () => {
  const state = makeState([{ endsInMs: 1 }]);
  const { taker, clock } = makeTaker(state);
  state.close();
  assert.equal(await taker.read(), undefined);
  assert.equal(clock.warnings.length, 1);
  assert.match(clock.warnings[0] ?? "", /^cannot count certificates and accounts: /);
});
