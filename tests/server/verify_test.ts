import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import type { DurableLog } from "../../lib/server/ports.ts";
import { setUp } from "../../lib/server/setup.ts";
import { loadRoot } from "../../lib/server/log_key.ts";
import { addIssuer } from "../../lib/server/outside_issuer.ts";
import { saveRootList } from "../../lib/server/root_list.ts";
import { rotate } from "../../lib/server/rotate.ts";
import { readNotes } from "../../lib/store/checkpoint_file.ts";
import { defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { type Verified, verifyFolder } from "../../lib/server/verify.ts";
import { diskFiles } from "../../lib/store/disk.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import {
  forge,
  freshPath,
  grow,
  makeDataFolder,
  PASSPHRASE,
  removeFolders,
} from "./data_folder.ts";

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

function loadCa(pem: string): Certificate {
  return parseCertificate(parsePemBlock(pem, ["CERTIFICATE"], "it"));
}

function flip(path: string, at: number): void {
  const bytes = fs.readFileSync(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  fs.writeFileSync(path, bytes);
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
    finds: /^error log\.pub: it is not a key that the root, or a CA under it, has signed$/,
  },
  ...["root.crt", "issuing.crt", "server.crt"].map((name): Row => ({
    name: `a bit of ${name} is flipped`,
    damage: (folder) => flip(join(folder, name), 200),
    finds: new RegExp(`^error ${name}: `),
  })),
  {
    name: "root.key is kept elsewhere",
    damage: (folder) => fs.rmSync(join(folder, "root.key")),
    finds: /^$/,
    isHarmless: true,
  },
  {
    name: "root.key is something else",
    damage: (folder) => fs.writeFileSync(join(folder, "root.key"), "a line\n"),
    finds: /^error root\.key: it is not an encrypted key$/,
  },
  {
    name: "the root's list is damaged",
    damage: (folder) => flip(join(folder, "root.crl"), -1),
    finds: /^error root\.crl: the root has not signed it$/,
  },
  {
    name: "the root's list is another root's",
    damage: async (folder) => {
      const other = freshPath("data");
      await setUp(other, { domain: "pki.internal", passphrase: PASSPHRASE, nowMs: Date.now() });
      fs.copyFileSync(join(other, "root.crl"), join(folder, "root.crl"));
    },
    finds: /^error root\.crl: the root has not signed it$/,
  },
  {
    name: "the root's list ends early",
    damage: async (folder) => {
      const files = serverFiles(folder);
      const key = await decryptPrivateKey(
        fs.readFileSync(files.rootKey, "utf8"),
        PASSPHRASE,
        "root.key",
      );
      saveRootList(files, { certificate: loadRoot(files), key }, {
        issuers: [],
        nowMs: Date.now(),
      });
    },
    finds: /^note root\.crl: it ends before a CA does; /,
    isHarmless: true,
  },
  {
    name: "the profiles cannot be used",
    damage: (folder) => fs.writeFileSync(join(folder, "profiles.json"), '{"user":{"days":0}}'),
    finds: /^error profiles\.json: cannot use the profiles: user\.days: /,
  },
  ...["issuing.key", "server.key", "opaque.key", "log.key"].flatMap((name): Row[] => [
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
  fs.rmSync(join(folder, "log.key"));
  flip(join(folder, "state.db"), 5000);
  fs.writeFileSync(join(folder, "certs/mallory.pem"), "x");
  const lines = shown(folder, await verify(folder)).join("\n");
  for (const file of ["log.key", "state.db", SEGMENT, "certs/mallory.pem"]) {
    assert.ok(lines.includes(`error ${file}: `), lines);
  }
});

/** Made once: every key in it costs half a second. */
let rotated: Promise<string> | undefined;

/** Rotated twice, with certificates of each issuing CA, and with a CA for other names. */
async function makeRotatedFolder(): Promise<string> {
  return makeDataFolder(await (rotated ??= rotateFolder(makeDataFolder())));
}

async function rotateFolder(folder: string): Promise<string> {
  const files = serverFiles(folder);
  const rootKey = await decryptPrivateKey(
    fs.readFileSync(files.rootKey, "utf8"),
    PASSPHRASE,
    "root.key",
  );
  const common = { passphrase: PASSPHRASE, nowMs: Date.now(), rootKey, keyType: "p256" } as const;
  await rotate(folder, { ...common, distrustsOld: false });
  await grow(folder, ["dave"], { renews: ["alice"] });
  await rotate(folder, { ...common, distrustsOld: true });
  await grow(folder, ["erin"]);
  await addIssuer(folder, { ...common, dns: ["example.org"], addresses: ["10.0.0.0/8"] });
  return folder;
}

/** The only file of these in the folder of CAs, by what it holds. */
function issuerFile(folder: string, ending: string, holds: (text: string) => boolean): string {
  const path = join(folder, "issuers");
  const found = fs.readdirSync(path).filter((name) => name.endsWith(ending))
    .find((name) => holds(fs.readFileSync(join(path, name), "utf8")));
  assert.ok(found !== undefined);
  return join(path, found);
}

const isOutside = (pem: string) =>
  loadCa(pem).nameConstraints?.permitted.some(({ type }) => type === "ip") === true;

test("verifyFolder() finds nothing in a folder with CAs of all kinds", async () => {
  const folder = await makeRotatedFolder();
  const verified = await verify(folder);
  assert.deepEqual(shown(folder, verified), []);
  assert.equal(verified.certificates, 7);
});

const ROTATED_ROWS: readonly Row[] = [
  {
    name: "the certificate of an earlier CA is missing",
    damage: (folder) => {
      const [name = ""] = fs.readdirSync(join(folder, "issuers"))
        .filter((file) => file.endsWith(".key"));
      const others = fs.readdirSync(join(folder, "issuers")).filter((file) =>
        file.endsWith(".crt") &&
        !isOutside(fs.readFileSync(join(folder, "issuers", file), "utf8"))
      );
      assert.ok(name !== "" && others.length === 3);
      for (const file of others) fs.rmSync(join(folder, "issuers", file));
    },
    finds: /^error log, entry \d+: the issuing CA has not signed certificate [0-9a-f]+$/,
  },
  {
    name: "the key of another CA is missing",
    damage: (folder) => fs.rmSync(issuerFile(folder, ".crt", isOutside).replace(/\.crt$/, ".key")),
    finds: /^error issuers\/[0-9a-f]{16}\.key: it is missing$/,
  },
  {
    name: "a CA is under another name",
    damage: (folder) => {
      const path = issuerFile(folder, ".crt", isOutside);
      const other = join(folder, "issuers", "0123456789abcdef");
      fs.renameSync(path, `${other}.crt`);
      fs.renameSync(path.replace(/\.crt$/, ".key"), `${other}.key`);
    },
    finds: /^error issuers\/0123456789abcdef\.crt: it is not named after its fingerprint$/,
  },
  {
    name: "a CA is of another root",
    damage: async (folder) => {
      const other = freshPath("data");
      await setUp(other, { domain: "pki.internal", passphrase: PASSPHRASE, nowMs: Date.now() });
      fs.copyFileSync(join(other, "issuing.crt"), issuerFile(folder, ".crt", isOutside));
    },
    finds: /^error issuers\/[0-9a-f]{16}\.crt: the root has not signed it$/,
  },
  {
    name: "a succession is changed",
    damage: (folder) => {
      const path = issuerFile(folder, ".succession", (text) => text.includes('"issuer"'));
      const succession = JSON.parse(fs.readFileSync(path, "utf8"));
      const [other = ""] = [issuerFile(folder, ".succession", (text) => !text.includes('"issuer"'))]
        .map((file) => JSON.parse(fs.readFileSync(file, "utf8")).certificate);
      fs.writeFileSync(path, JSON.stringify({ ...succession, certificate: other }));
    },
    finds: /^error issuers\/[0-9a-f]{16}\.succession: no CA of this folder has signed it$/,
  },
  {
    name: "a succession is for another CA",
    damage: (folder) => {
      const [one, other] = [true, false].map((isByCa) =>
        issuerFile(folder, ".succession", (text) => text.includes('"issuer"') === isByCa)
      );
      fs.copyFileSync(one ?? "", other ?? "");
    },
    finds: /^error issuers\/[0-9a-f]{16}\.succession: it is for another CA than it is named after$/,
  },
];

for (const { name, damage, finds } of ROTATED_ROWS) {
  test(`verifyFolder() says so when ${name}`, async () => {
    const folder = await makeRotatedFolder();
    await damage(folder);
    const lines = shown(folder, await verify(folder));
    assert.ok(lines.some((line) => finds.test(line)), lines.join("\n"));
  });
}

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
  const durable = { checkpoint, size: index.size, segments: [segment], redactions: 0 };
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
