import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { encodeHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { type Entry, redactEntry } from "../../lib/log/entry.ts";
import { encodeFileHeader, encodeRecord } from "../../lib/log/records.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { type OpenedState, openState } from "../../lib/store/open_state.ts";

await loadSqlite();

const LOG_FILE = "000000000000.log";

function registered(id: string): Entry {
  return {
    type: "registered",
    timeMs: 1,
    public: {},
    private: { id, credential: `c-${id}`, record: `r-${id}` },
    salt: new Uint8Array(32).fill(5),
  };
}

interface Place {
  readonly log: string;
  readonly snapshot: string;
}

/** A data folder for one test. */
async function inPlace(work: (place: Place) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-state-"));
  try {
    await work({ log: join(folder, "log"), snapshot: join(folder, "state.db") });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function add(opened: OpenedState, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const entry = registered(id);
    await opened.journal.append(entry);
    opened.state.apply(entry);
  }
}

/** Ends as the server does, with a snapshot; or as a server that was killed, without. */
async function end(opened: OpenedState, snapshotPath?: string): Promise<void> {
  const { journal, state } = opened;
  await journal.close();
  if (snapshotPath !== undefined) {
    const position = { size: journal.size, root: encodeHex(journal.treeRoot()) };
    fs.writeFileSync(snapshotPath, state.encodeSnapshot(position));
  }
  state.close();
}

const open = ({ log, snapshot }: Place) => openState(log, snapshot);

const knownTo = ({ state }: OpenedState) =>
  ["alice", "bob", "carol", "dave"].filter((id) => state.account(id)?.record === `r-${id}`);

/** What was opened, closed again. */
async function look(place: Place) {
  const opened = await open(place);
  const { warnings, isReplayed, isNew } = opened;
  const known = knownTo(opened);
  await end(opened);
  return { known, warnings, isReplayed, isNew };
}

/** A log of alice and bob with a snapshot; then carol, whom the snapshot does not know. */
async function fill(place: Place): Promise<void> {
  const first = await open(place);
  await add(first, "alice", "bob");
  await end(first, place.snapshot);
  const second = await open(place);
  await add(second, "carol");
  await end(second);
}

const EVERYBODY = ["alice", "bob", "carol"];

const ignored = (place: Place, why: string) => [
  `the snapshot "${place.snapshot}" is not used: ${why}; the log has everything`,
];

test("openState() makes a new log, and says so", async () => {
  await inPlace(async (place) => {
    assert.deepEqual(await look(place), {
      known: [],
      warnings: [],
      isReplayed: false,
      isNew: true,
    });
    assert.deepEqual(await look(place), {
      known: [],
      warnings: [],
      isReplayed: false,
      isNew: false,
    });
    await end(await open(place), place.snapshot); // of an empty log
    assert.deepEqual((await look(place)).warnings, []);
  });
});

test("openState() loads the snapshot and replays what is behind it", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const wanted = { known: EVERYBODY, warnings: [], isReplayed: true, isNew: false };
    assert.deepEqual(await look(place), wanted);
    await end(await open(place), place.snapshot);
    assert.deepEqual(await look(place), { ...wanted, isReplayed: false });
    fs.rmSync(place.snapshot);
    assert.deepEqual(await look(place), wanted);
  });
});

test("openState() takes what the snapshot says, and does not replay it too", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const database = Database.deserialize(fs.readFileSync(place.snapshot));
    database.run("UPDATE accounts SET record = 'r-dave', id = 'dave' WHERE id = 'alice'");
    fs.writeFileSync(place.snapshot, database.serialize());
    assert.deepEqual((await look(place)).known, ["bob", "carol", "dave"]);
  });
});

test("openState() ignores the snapshot of another log, with a warning", async () => {
  await inPlace(async (place) => {
    await fill(place);
    await inPlace(async (other) => {
      const opened = await open(other);
      await add(opened, "dave", "bob");
      await end(opened, place.snapshot);
    });
    assert.deepEqual(await look(place), {
      known: EVERYBODY,
      warnings: ignored(place, "it is of another log"),
      isReplayed: true,
      isNew: false,
    });
  });
});

test("openState() refuses a log that has lost entries, and one that is gone", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const path = join(place.log, LOG_FILE);
    const whole = fs.readFileSync(path);
    const record = encodeRecord(registered("bob"));
    const cut = fs.readFileSync(path).subarray(0, whole.indexOf(record));
    const lost = async (entries: number) => {
      const error: unknown = await open(place).then(() => undefined, (thrown) => thrown);
      assert.ok(error instanceof PkiError, String(error));
      assert.equal(error.kind, "storage");
      assert.equal(
        error.message,
        `cannot start: the log has ${entries} entries, the snapshot knows of 2`,
      );
      assert.match(error.hint ?? "", /backup/);
    };
    fs.writeFileSync(path, cut);
    await lost(1);
    fs.rmSync(path);
    await lost(0);
    fs.writeFileSync(path, whole);
    assert.deepEqual((await look(place)).known, EVERYBODY);
  });
});

test("openState() cuts a torn tail, with a warning", async () => {
  await inPlace(async (place) => {
    await fill(place);
    fs.appendFileSync(join(place.log, LOG_FILE), encodeRecord(registered("dave")).subarray(0, -3));
    const { known, warnings } = await look(place);
    assert.deepEqual(known, EVERYBODY);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^the log ended in \d+ bytes that were never acknowledged/);
    assert.deepEqual((await look(place)).warnings, []);
  });
});

test("openState() refuses a log that is damaged in the middle", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const path = join(place.log, LOG_FILE);
    const bytes = fs.readFileSync(path);
    bytes[encodeFileHeader().length + 20] = (bytes[encodeFileHeader().length + 20] ?? 0) ^ 1;
    fs.writeFileSync(path, bytes);
    await assert.rejects(open(place), { name: "PkiError", kind: "storage" });
    assert.deepEqual(fs.readFileSync(path), bytes, "a damaged log was changed");
  });
});

const DAMAGES: Readonly<Record<string, (snapshot: Uint8Array) => Uint8Array>> = {
  "empty": () => new Uint8Array(0),
  "text": () => new TextEncoder().encode("not a database\n".repeat(100)),
  "zeros": (snapshot) => new Uint8Array(snapshot.length),
  "the first page only": (snapshot) => snapshot.subarray(0, 4096),
  "half of it": (snapshot) => snapshot.subarray(0, snapshot.length >> 1),
  "a bad magic": (snapshot) => snapshot.map((byte, i) => i === 3 ? byte ^ 1 : byte),
  "pages of noise": (snapshot) => snapshot.map((byte, i) => i < 4096 ? byte : byte ^ 0x5a),
  "another database": () => new Database(":memory:").serialize(),
};

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`openState() rebuilds the state when the snapshot is damaged (${what})`, async () => {
    await inPlace(async (place) => {
      await fill(place);
      fs.writeFileSync(place.snapshot, damage(fs.readFileSync(place.snapshot)));
      const { known, warnings, isReplayed } = await look(place);
      assert.deepEqual(known, EVERYBODY);
      assert.equal(isReplayed, true);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? "", /^the snapshot ".*state\.db" is not used: /);
    });
  });
}

test("openState() rebuilds the state when any one page of the snapshot is damaged", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const whole = fs.readFileSync(place.snapshot);
    for (let page = 0; page < whole.length; page += 4096) {
      const damaged = new Uint8Array(whole).fill(0x5a, page, page + 4096);
      fs.writeFileSync(place.snapshot, damaged);
      const { known, warnings } = await look(place);
      assert.deepEqual(known, EVERYBODY, `page at ${page}`);
      assert.equal(warnings.length, 1, `page at ${page}`);
    }
  });
});

test("openState() goes on without a snapshot that cannot be read", async () => {
  await inPlace(async (place) => {
    await fill(place);
    fs.rmSync(place.snapshot);
    fs.mkdirSync(place.snapshot);
    const { known, warnings } = await look(place);
    assert.deepEqual(known, EVERYBODY);
    assert.equal(warnings.length, 1);
  });
});

test("openState() leaves out what was redacted, and its place still counts", async () => {
  await inPlace(async (place) => {
    await fill(place);
    const rewrite = (entries: readonly Parameters<typeof encodeRecord>[0][]) =>
      fs.writeFileSync(
        join(place.log, LOG_FILE),
        new Uint8Array([
          ...encodeFileHeader(),
          ...entries.flatMap((one) => [...encodeRecord(one)]),
        ]),
      );
    const [alice, bob, carol] = EVERYBODY.map(registered) as [Entry, Entry, Entry];
    rewrite([redactEntry(alice), bob, carol]);
    assert.deepEqual(await look(place), {
      known: EVERYBODY, // the snapshot has her
      warnings: [],
      isReplayed: true,
      isNew: false,
    });
    fs.rmSync(place.snapshot);
    assert.deepEqual((await look(place)).known, ["bob", "carol"]);
  });
});
