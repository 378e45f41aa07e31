import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import type { DurableLog } from "../../lib/server/ports.ts";
import { setUp } from "../../lib/server/setup.ts";
import { readNotes } from "../../lib/store/checkpoint_file.ts";
import { defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { type Verified, verifyFolder } from "../../lib/server/verify.ts";
import { Database } from "../../lib/store/database.ts";
import { diskFiles } from "../../lib/store/disk.ts";
import { sha256, utf8 } from "../../lib/base/bytes.ts";
import { freshPath, grow, makeDataFolder, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

const SEGMENT = "log/000000000000.log";
/** Of the server, then three for each of alice, bob and carol. */
const ENTRIES = 10;

function verify(folder: string): Promise<Verified> {
  return verifyFolder({
    files: diskFiles,
    paths: serverFiles(folder),
    witness: defaultWitness(folder),
  });
}

/** Findings as text, with paths from the folder on. */
function shown(folder: string, { findings }: Verified): readonly string[] {
  return findings.map(({ severity, where, what }) =>
    `${severity} ${relative(folder, where)}: ${what}`
  );
}

function flip(path: string, at: number): void {
  const bytes = fs.readFileSync(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  fs.writeFileSync(path, bytes);
}

/** Changes the tables of the snapshot, and seals it anew. */
function forge(path: string, sql: string): void {
  const bytes = fs.readFileSync(path);
  const title = utf8("pki state seal 1\n");
  const database = Database.deserialize(bytes.subarray(0, bytes.length - title.length - 32));
  database.exec(sql);
  const file = database.serialize();
  fs.writeFileSync(path, new Uint8Array([...file, ...title, ...sha256(file)]));
}

test("verifyFolder() finds nothing in a whole folder, and changes nothing", async () => {
  const folder = makeDataFolder();
  const before = fs.readdirSync(folder, { recursive: true }).sort();
  const verified = await verify(folder);
  assert.deepEqual(shown(folder, verified), []);
  assert.equal(verified.log.index.size, ENTRIES);
  assert.equal(verified.certificates, 4);
  assert.match(verified.origin ?? "", /^pki\.internal\/[0-9a-f]{16}\/1$/);
  assert.deepEqual(fs.readdirSync(folder, { recursive: true }).sort(), before);
});

interface Row {
  readonly name: string;
  readonly damage: (folder: string) => unknown;
  /** One of what is found; the others follow from it. */
  readonly finds: RegExp;
  readonly isHarmless?: true;
}

const ROWS: readonly Row[] = [
  {
    name: "a bit of a record is flipped",
    damage: (folder) => flip(join(folder, SEGMENT), 600),
    finds: /^error log\/000000000000\.log: record \d+ at byte \d+ fails its checksum/,
  },
  {
    name: "a bit of a segment's header is flipped",
    damage: (folder) => flip(join(folder, SEGMENT), 3),
    finds: /^error log\/000000000000\.log: byte 0: /,
  },
  {
    name: "the only segment is missing",
    damage: (folder) => fs.rmSync(join(folder, SEGMENT)),
    finds: /^error log\/checkpoint.*: the log has 0 entries, and it had 10 before$/,
  },
  {
    name: "the first segment is missing and another follows",
    damage: (folder) => fs.renameSync(join(folder, SEGMENT), join(folder, "log/000000000004.log")),
    finds: /^error log\/000000000004\.log: entries 0 to 3 are missing before it$/,
  },
  {
    name: "the last record is cut off",
    damage: (folder) => {
      const path = join(folder, SEGMENT);
      fs.truncateSync(path, fs.statSync(path).size - 3);
    },
    finds: /^error log\/checkpoint: the log has 9 entries, and it had 10 before$/,
  },
  {
    name: "the end is torn and nobody remembers more",
    damage: (folder) => fs.appendFileSync(join(folder, SEGMENT), new Uint8Array([0, 0, 1])),
    finds: /^note log\/000000000000\.log: the last 3 bytes were never acknowledged/,
    isHarmless: true,
  },
  {
    name: "a bit of the snapshot is flipped",
    damage: (folder) => flip(join(folder, "state.db"), 5000),
    finds: /^error state\.db: it is damaged/,
  },
  {
    name: "the snapshot is cut",
    damage: (folder) => fs.truncateSync(join(folder, "state.db"), 4096),
    finds: /^error state\.db: it has no seal/,
  },
  ...[
    "accounts SET record = 'mine' WHERE id = 'bob'",
    "certificates SET not_after_ms = 1",
    "published SET published_ms = 1",
  ].map((change): Row => ({
    name: `the snapshot was forged (${change})`,
    damage: (folder) => forge(join(folder, "state.db"), `UPDATE ${change}`),
    finds: new RegExp(
      `^error state\\.db: table "${change.split(" ")[0]}" is not what the log adds up to`,
    ),
  })),
  {
    name: "the snapshot lacks an account",
    damage: (folder) => forge(join(folder, "state.db"), "DELETE FROM accounts WHERE id = 'bob'"),
    finds: /^error state\.db: table "accounts" .* from row 2 on$/,
  },
  {
    name: "the snapshot's segments are others",
    damage: (folder) =>
      forge(join(folder, "state.db"), "UPDATE log_segments SET bytes = bytes - 1"),
    finds: /^error state\.db: its list of segments is not that of the log$/,
  },
  {
    name: "the snapshot's offsets are others",
    damage: (folder) =>
      forge(join(folder, "state.db"), "UPDATE log_tiles SET offsets = zeroblob(length(offsets))"),
    finds: /^error state\.db: its index of the log differs from entry 0 on$/,
  },
  {
    name: "a copy is the one before the newest",
    damage: async (folder) => {
      const kept = fs.readFileSync(join(folder, "certs/bob.pem"));
      await grow(folder, [], { renews: ["bob"] });
      fs.writeFileSync(join(folder, "certs/bob.pem"), kept);
    },
    finds: /^note certs\/bob\.pem: it is not the newest certificate; the log has that$/,
    isHarmless: true,
  },
  {
    name: "there is no snapshot",
    damage: (folder) => fs.rmSync(join(folder, "state.db")),
    finds: /^$/,
    isHarmless: true,
  },
  {
    name: "a bit of both checkpoints is flipped",
    damage: (folder) => [10, 2058].forEach((at) => flip(join(folder, "log/checkpoint"), at)),
    finds: /^error log\/checkpoint: no checkpoint in it is signed by this log's key$/,
  },
  {
    name: "one of two checkpoints is damaged",
    damage: (folder) => flip(join(folder, "log/checkpoint"), 10),
    finds: /^note log\/checkpoint: one of its two checkpoints is damaged/,
    isHarmless: true,
  },
  {
    name: "the log's key is not signed",
    damage: (folder) => flip(join(folder, "log.pub"), -10),
    finds: /^error log\.pub: it is not a key that the root has signed$/,
  },
  ...["root.crt", "issuing.crt", "server.crt"].map((name): Row => ({
    name: `a bit of ${name} is flipped`,
    damage: (folder) => flip(join(folder, name), 200),
    finds: new RegExp(`^error ${name}: `),
  })),
  ...["root.key", "issuing.key", "server.key", "opaque.key", "log.key"].flatMap((name): Row[] => [
    {
      name: `${name} is missing`,
      damage: (folder) => fs.rmSync(join(folder, name)),
      finds: new RegExp(`^error ${name}: it is missing$`),
    },
    {
      name: `${name} is something else`,
      damage: (folder) => fs.writeFileSync(join(folder, name), "a line\n"),
      finds: new RegExp(`^error ${name}: it is not an encrypted key$`),
    },
  ]),
  {
    name: "server.crt is one that the log does not have",
    damage: async (folder) => {
      const kept = fs.readFileSync(join(folder, "server.crt"));
      const other = makeDataFolder();
      fs.rmSync(join(other, "server.crt"));
      await grow(other, []);
      fs.copyFileSync(join(other, "server.crt"), join(folder, "server.crt"));
      assert.notDeepEqual(fs.readFileSync(join(folder, "server.crt")), kept);
    },
    finds: /^error server\.crt: the log does not have this certificate$/,
  },
  {
    name: "a copy is somebody else's",
    damage: (folder) =>
      fs.copyFileSync(join(folder, "certs/bob.pem"), join(folder, "certs/alice.pem")),
    finds: /^error certs\/alice\.pem: the log does not have this certificate$/,
  },
  {
    name: "a bit of a copy is flipped",
    damage: (folder) => flip(join(folder, "certs/bob.pem"), 100),
    finds: /^error certs\/bob\.pem: the log does not have this certificate$/,
  },
  {
    name: "there is a copy of nobody",
    damage: (folder) => fs.writeFileSync(join(folder, "certs/mallory.pem"), "x"),
    finds: /^error certs\/mallory\.pem: the log has no certificate of this id$/,
  },
  {
    name: "there is something else among the copies",
    damage: (folder) => fs.writeFileSync(join(folder, "certs/notes.txt"), "x"),
    finds: /^error certs\/notes\.txt: it does not belong here$/,
  },
  {
    name: "a copy is missing",
    damage: (folder) => fs.rmSync(join(folder, "certs/bob.pem")),
    finds: /^note certs\/bob\.pem: it is missing; the log has the certificate$/,
    isHarmless: true,
  },
  {
    name: "the certificates in the log are of another CA",
    damage: async (folder) => {
      const other = freshPath("data");
      await setUp(other, { domain: "pki.internal", passphrase: PASSPHRASE, nowMs: Date.now() });
      for (const name of ["root.crt", "issuing.crt", "log.pub"]) {
        fs.copyFileSync(join(other, name), join(folder, name));
      }
    },
    finds: /^error log, entry 0: the issuing CA has not signed certificate [0-9a-f]+$/,
  },
  {
    name: "the witness remembers more",
    damage: async (folder) => {
      const later = freshPath("data");
      fs.cpSync(folder, later, { recursive: true });
      fs.cpSync(defaultWitness(folder), defaultWitness(later));
      await grow(later, ["dave"]);
      fs.cpSync(defaultWitness(later), defaultWitness(folder));
    },
    finds: /^error \.\.\/data\.witness: the log has 10 entries, and it had 1\d before$/,
  },
];

for (const { name, damage, finds, isHarmless } of ROWS) {
  test(`verifyFolder() says so when ${name}`, async () => {
    const folder = makeDataFolder();
    await damage(folder);
    const verified = await verify(folder);
    const lines = shown(folder, verified);
    assert.ok([...lines, ""].some((line) => finds.test(line)), lines.join("\n"));
    const errors = lines.filter((line) => line.startsWith("error"));
    assert.equal(errors.length === 0, isHarmless === true, lines.join("\n"));
  });
}

test("verifyFolder() goes on after a fault and reports each", async () => {
  const folder = makeDataFolder();
  flip(join(folder, SEGMENT), 600);
  fs.rmSync(join(folder, "root.key"));
  flip(join(folder, "state.db"), 5000);
  fs.writeFileSync(join(folder, "certs/mallory.pem"), "x");
  const lines = shown(folder, await verify(folder)).join("\n");
  for (const file of ["root.key", "state.db", SEGMENT, "certs/mallory.pem"]) {
    assert.ok(lines.includes(`error ${file}: `), lines);
  }
});

test("verifyFolder() reads no further than the running server says", async () => {
  const folder = makeDataFolder();
  const { log: { index } } = await verify(folder);
  const [checkpoint = ""] = await readNotes(diskFiles, join(folder, "log/checkpoint"));
  const lookAt = (durable: DurableLog) =>
    verifyFolder({
      files: diskFiles,
      paths: serverFiles(folder),
      askDurable: () => Promise.resolve(durable),
    });
  const [segment] = index.segments;
  assert.ok(segment);
  const durable = { checkpoint, size: index.size, segments: [segment] };
  fs.appendFileSync(join(folder, SEGMENT), new Uint8Array(100)); // another write is under way
  const verified = await lookAt(durable);
  assert.equal(verified.isLive, true);
  assert.deepEqual(shown(folder, verified), []);
  const bytes = segment.bytes + 101;
  const behind = await lookAt({ ...durable, segments: [{ ...segment, bytes }] });
  assert.match(shown(folder, behind).join(), /it has \d+ bytes, the server has written \d+/);
  const strange = await lookAt({ ...durable, checkpoint: "nonsense" });
  assert.match(shown(folder, strange).join(), /running server: its checkpoint is not signed by/);
});
