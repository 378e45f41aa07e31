import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { backUp } from "../../lib/server/backup.ts";
import { isBackupName } from "../../lib/server/backup_manifest.ts";
import { verifyBackup } from "../../lib/server/backup_reader.ts";
import { defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { addIssuer } from "../../lib/server/outside_issuer.ts";
import type { DurableLog } from "../../lib/server/ports.ts";
import { restore } from "../../lib/server/restore.ts";
import { rotate } from "../../lib/server/rotate.ts";
import { hasErrors, verifyFolder } from "../../lib/server/verify.ts";
import { readArchive, writeArchive } from "../../lib/store/archive.ts";
import { readNotes } from "../../lib/store/checkpoint_file.ts";
import { diskFiles } from "../../lib/store/disk.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { freshPath, grow, makeDataFolder, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

const SEGMENT = "log/000000000000.log";
const ENTRIES = 10;
const NOW_MS = Date.UTC(2026, 10, 1);

function back(folder: string, path: string, more: Partial<Parameters<typeof backUp>[1]> = {}) {
  return backUp(path, {
    folder,
    version: "0.0.0",
    nowMs: NOW_MS,
    replaces: false,
    askDurable: () => Promise.resolve(undefined),
    ...more,
  });
}

function restoreTo(path: string, folder: string) {
  return restore(path, { folder, witness: defaultWitness(folder) });
}

/** Which error, and that nothing is left beside the folder. */
async function refuses(
  work: Promise<unknown>,
  { kind, says }: { readonly kind: ErrorKind; readonly says: RegExp },
): Promise<void> {
  const error: unknown = await work.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof PkiError, `PkiError wanted: ${error}`);
  assert.match(error.message, says);
  assert.equal(error.kind, kind);
}

function contentsOf(folder: string): Map<string, string> {
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  return new Map(
    names.filter((name) => fs.statSync(join(folder, name)).isFile()).sort()
      .map((name) => [name, fs.readFileSync(join(folder, name), "base64")]),
  );
}

async function makeBackup(): Promise<string> {
  const path = freshPath("b.backup");
  await back(makeDataFolder(), path);
  return path;
}

/** The members of an archive, to be packed anew. */
async function membersOf(path: string): Promise<Map<string, Uint8Array>> {
  const members = new Map<string, Uint8Array>();
  await readArchive(path, async (name, _bytes, content) => {
    const parts: number[] = [];
    for await (const chunk of content) parts.push(...chunk);
    members.set(name, new Uint8Array(parts));
  }, { isAllowed: () => true });
  return members;
}

async function repack(members: ReadonlyMap<string, Uint8Array>): Promise<string> {
  const path = freshPath("repacked.backup");
  await writeArchive(
    path,
    [...members].map(([name, content]) => ({ name, bytes: content.length, content: [content] })),
  );
  return path;
}

test("restore() makes what backUp() was given", async () => {
  const folder = makeDataFolder();
  const path = freshPath("b.backup");
  const { bytes, verified, manifest } = await back(folder, path);
  assert.equal(bytes, fs.statSync(path).size);
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  assert.equal(verified.log.index.size, ENTRIES);
  assert.equal(manifest.timeMs, NOW_MS);
  assert.deepEqual(fs.readdirSync(dirname(path)), ["b.backup"]);
  const made = freshPath("data");
  const restored = await restoreTo(path, made);
  assert.equal(restored.loss, undefined);
  assert.equal(fs.statSync(made).mode & 0o777, 0o700);
  const [before, then] = [contentsOf(folder), contentsOf(made)];
  // The checkpoint's file has two slots, and the backup one checkpoint.
  for (const contents of [before, then]) contents.delete("log/checkpoint");
  assert.deepEqual(then, before);
  const options = { files: diskFiles, paths: serverFiles(made) };
  assert.deepEqual((await verifyFolder(options)).findings, []);
  await grow(made, ["dave"]); // opens it as a server does
  const whole = await verifyFolder({ ...options, witness: defaultWitness(made) });
  assert.deepEqual(whole.findings, []);
  assert.equal(whole.log.index.size, ENTRIES + 3);
});

test("backUp() takes all CAs along, and needs no key of the root", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const rootPem = fs.readFileSync(files.rootKey, "utf8");
  const rootKey = await decryptPrivateKey(rootPem, PASSPHRASE, "root.key");
  const common = { passphrase: PASSPHRASE, nowMs: Date.now(), rootKey, keyType: "p256" } as const;
  await rotate(folder, { ...common, distrustsOld: false });
  await grow(folder, ["dave"]);
  await addIssuer(folder, { ...common, dns: ["example.org"], addresses: [] });
  fs.writeFileSync(files.profiles, "{}");
  fs.rmSync(files.rootKey);
  const path = freshPath("b.backup");
  await back(folder, path);
  const made = freshPath("data");
  await restoreTo(path, made);
  const [before, then] = [contentsOf(folder), contentsOf(made)];
  for (const contents of [before, then]) contents.delete("log/checkpoint");
  assert.deepEqual(then, before);
  assert.ok(then.has("root.crl") && then.has("profiles.json"));
  assert.equal([...then.keys()].filter((name) => name.startsWith("issuers/")).length, 7);
});

test("backUp() goes no further than the running server says", async () => {
  const folder = makeDataFolder();
  const options = { files: diskFiles, paths: serverFiles(folder) };
  const { log: { index: { size, segments } } } = await verifyFolder(options);
  const [checkpoint = ""] = (await readNotes(diskFiles, join(folder, "log/checkpoint")))
    .filter((note) => note.includes(`\n${size}\n`));
  const durable: DurableLog = { checkpoint, size, segments: [...segments], redactions: 0 };
  fs.appendFileSync(join(folder, SEGMENT), new Uint8Array(100));
  const path = freshPath("b.backup");
  await back(folder, path, { askDurable: () => Promise.resolve(durable) });
  const { verified, manifest } = await verifyBackup(path);
  assert.deepEqual(verified.findings, []);
  assert.equal(verified.log.index.size, ENTRIES);
  assert.equal(manifest.checkpoint, checkpoint);
});

test("backUp() replaces a backup only when told to, and by a whole one", async () => {
  const folder = makeDataFolder();
  const path = freshPath("b.backup");
  fs.writeFileSync(path, "precious");
  await refuses(back(folder, path), { kind: "conflict", says: /it is there already$/ });
  assert.equal(fs.readFileSync(path, "utf8"), "precious");
  const segment = fs.readFileSync(join(folder, SEGMENT));
  const damaged = new Uint8Array(segment);
  damaged[600] = (damaged[600] ?? 0) ^ 1;
  fs.writeFileSync(join(folder, SEGMENT), damaged);
  await refuses(back(folder, path, { replaces: true }), {
    kind: "storage",
    says: /^cannot back up: "log\/000000000000\.log" of the data folder: record \d+ .* checksum/,
  });
  assert.equal(fs.readFileSync(path, "utf8"), "precious");
  assert.deepEqual(fs.readdirSync(dirname(path)), ["b.backup"]);
  fs.writeFileSync(join(folder, SEGMENT), segment);
  await back(folder, path, { replaces: true });
  assert.equal(hasErrors((await verifyBackup(path)).verified), false);
});

test("backUp() replaces nothing but a plain file", async () => {
  const folder = makeDataFolder();
  const path = freshPath("link");
  fs.symlinkSync("elsewhere", path);
  const refusal = { kind: "conflict", says: /it is not a plain file$/ } as const;
  await refuses(back(folder, path, { replaces: true }), refusal);
  assert.equal(fs.readlinkSync(path), "elsewhere");
  await refuses(back(folder, dirname(path), { replaces: true }), refusal);
  await refuses(back(folder, path), { kind: "conflict", says: /it is there already$/ });
});

test("backUp() leaves out a snapshot that cannot be used: the log has everything", async () => {
  for (const spoil of [() => new Uint8Array(10), (bytes: Uint8Array) => bytes.with(99, 255)]) {
    const folder = makeDataFolder();
    const { snapshot } = serverFiles(folder);
    const path = freshPath("b.backup");
    fs.writeFileSync(snapshot, spoil(fs.readFileSync(snapshot)));
    await back(folder, path);
    assert.equal((await membersOf(path)).has("state.db"), false);
    const restored = freshPath("restored");
    await restoreTo(path, restored);
    assert.equal(
      hasErrors(await verifyFolder({ files: diskFiles, paths: serverFiles(restored) })),
      false,
    );
  }
});

test("restore() takes a folder with a slash behind its name", async () => {
  const path = await makeBackup();
  const folder = freshPath("slash");
  await restore(path, { folder: `${folder}/`, witness: defaultWitness(folder) });
  assert.equal(fs.existsSync(serverFiles(folder).rootCertificate), true);
  const empty = freshPath("empty");
  fs.mkdirSync(empty);
  await restore(path, { folder: `${empty}/`, witness: defaultWitness(empty) });
  assert.equal(fs.existsSync(serverFiles(empty).rootCertificate), true);
});

test("backUp() leaves nothing behind when it fails", async () => {
  const folder = makeDataFolder();
  fs.rmSync(join(folder, "log.key"));
  const path = freshPath("b.backup");
  await refuses(back(folder, path), { kind: "storage", says: /"log\.key" is missing$/ });
  await refuses(back(makeDataFolder(), join(path, "no", "folder")), {
    kind: "storage",
    says: /^cannot write ".*": /,
  });
  assert.deepEqual(fs.readdirSync(dirname(path)), []);
});

interface Row {
  readonly name: string;
  /** A path of something that is no good backup. */
  readonly make: () => Promise<string> | string;
  readonly kind: ErrorKind;
  readonly says: RegExp;
}

function written(content: string | Uint8Array): string {
  const path = freshPath("other.backup");
  fs.writeFileSync(path, content);
  return path;
}

/** A backup whose members were changed and whose digests fit. */
async function changed(
  change: (members: Map<string, Uint8Array>) => void,
): Promise<string> {
  const members = await membersOf(await makeBackup());
  change(members);
  return await repack(members);
}

/** As above, where the manifest fits too. */
async function forged(change: (members: Map<string, Uint8Array>) => void): Promise<string> {
  return await changed((members) => {
    change(members);
    const manifest = JSON.parse(new TextDecoder().decode(members.get("MANIFEST")));
    manifest.files = [...members].filter(([name]) => name !== "MANIFEST")
      .map(([name, { length }]) => ({ name, bytes: length }));
    members.set("MANIFEST", utf8(JSON.stringify(manifest)));
  });
}

const ROWS: readonly Row[] = [
  {
    name: "there is no file",
    make: () => freshPath("none"),
    kind: "not-found",
    says: /no such file$/,
  },
  { name: "it is empty", make: () => written(""), kind: "malformed", says: /it is empty|cut off/ },
  {
    name: "it is text",
    make: () => written("a line\n".repeat(1000)),
    kind: "malformed",
    says: /not an archive/,
  },
  {
    name: "it is another archive",
    make: () => repack(new Map([["root.crt", utf8("x")]])),
    kind: "malformed",
    says: /it is not a backup of pki$/,
  },
  {
    name: "a name leads out of the folder",
    make: () => repack(new Map([["certs/alice.pem", utf8("x")]])),
    kind: "malformed",
    says: /"certs\/alice\.pem" does not belong into it$/,
  },
  {
    name: "it is of a later format",
    make: () => changed((members) => members.set("MANIFEST", utf8('{"format":2}'))),
    kind: "malformed",
    says: /its MANIFEST is not one that pki wrote$/,
  },
  {
    name: "the manifest lists something else",
    make: () => changed((members) => members.delete("state.db")),
    kind: "malformed",
    says: /its MANIFEST does not list what is in it$/,
  },
  {
    name: "a key is missing",
    make: () => forged((members) => members.delete("opaque.key")),
    kind: "malformed",
    says: /it lacks "opaque\.key"$/,
  },
  {
    name: "the log was cut at a record, and the rest fits",
    make: () =>
      forged((members) => {
        members.set(SEGMENT, (members.get(SEGMENT) ?? new Uint8Array()).subarray(0, 16));
        members.delete("state.db");
      }),
    kind: "malformed",
    says: /the log has 0 entries, and it had 10 before/,
  },
];

for (const { name, make, kind, says } of ROWS) {
  test(`restore() refuses a backup when ${name}, and leaves nothing`, async () => {
    const path = await make();
    const folder = freshPath("data");
    await refuses(restoreTo(path, folder), { kind, says });
    assert.deepEqual(fs.readdirSync(dirname(folder)), []);
  });
}

test("restore() replaces nothing", async () => {
  const path = await makeBackup();
  const folder = freshPath("data");
  fs.mkdirSync(folder);
  fs.writeFileSync(join(folder, "precious"), "x");
  const conflict = { kind: "conflict", says: /there is something already$/ } as const;
  await refuses(restoreTo(path, folder), conflict);
  assert.deepEqual(fs.readdirSync(folder), ["precious"]);
  const file = freshPath("file");
  fs.writeFileSync(file, "x");
  await refuses(restoreTo(path, file), conflict);
  fs.rmSync(join(folder, "precious"));
  await restoreTo(path, folder); // an empty folder is as good as none
  assert.deepEqual(fs.readdirSync(dirname(folder)), ["data"]);
});

test("restore() says what the witness remembers beyond the backup", async () => {
  const folder = makeDataFolder();
  const path = freshPath("b.backup");
  await back(folder, path);
  await grow(folder, ["dave"]);
  const made = freshPath("data");
  const { loss, missing } = await restore(path, { folder: made, witness: defaultWitness(folder) });
  assert.equal(loss, "the log has 10 entries, and it had 13 before");
  assert.equal(missing, 3);
});

const SEED = Number(process.env["PKI_TEST_SEED"] ?? randomInt(2 ** 31));
const FLIPS = 150;
const CUTS = 40;

test(`restore() never takes a changed archive (seed ${SEED})`, async () => {
  const whole = fs.readFileSync(await makeBackup());
  let state = SEED;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const original = contentsOf(
    await (async () => {
      const folder = freshPath("data");
      await restoreTo(written(whole), folder);
      return folder;
    })(),
  );
  const path = freshPath("changed.backup");
  let refused = 0;
  const tryOne = async (bytes: Uint8Array, what: string) => {
    fs.writeFileSync(path, bytes);
    const folder = freshPath("data");
    try {
      await restoreTo(path, folder);
    } catch (error) {
      assert.ok(error instanceof PkiError && error.kind === "malformed", `${what}: ${error}`);
      assert.deepEqual(fs.readdirSync(dirname(folder)), [], what);
      refused++;
      return;
    }
    // A header's time, or the filling between members, changes nothing that is restored.
    assert.deepEqual(contentsOf(folder), original, what);
  };
  for (let flip = 0; flip < FLIPS; flip++) {
    const bytes = new Uint8Array(whole);
    const [at, bit] = [random(bytes.length), random(8)];
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
    await tryOne(bytes, `bit ${bit} of byte ${at} flipped, seed ${SEED}`);
  }
  assert.ok(refused > FLIPS / 2, `only ${refused} of ${FLIPS} flips were noticed`);
  for (let cut = 0; cut < CUTS; cut++) {
    const length = random(whole.length);
    refused = 0;
    await tryOne(whole.subarray(0, length), `cut at ${length}, seed ${SEED}`);
    assert.equal(refused, 1, `cut at ${length} of ${whole.length}, seed ${SEED}`);
  }
});

test("isBackupName() is a list of what may be in a backup", () => {
  for (
    const name of [
      "root.key",
      "root.crl",
      "profiles.json",
      "issuers/0123456789abcdef.crt",
      "issuers/0123456789abcdef.succession",
      "issuers/next.key",
      "log/000000000012.log",
      "log/checkpoint",
      "MANIFEST",
    ]
  ) {
    assert.equal(isBackupName(name), true, name);
  }
  for (
    const name of [
      "../root.key",
      "/root.key",
      "server.passphrase",
      "log/12.log",
      "log/../root.key",
      "log/000000000012.log/x",
      "certs/alice.pem",
      "issuers/0123456789ABCDEF.crt",
      "issuers/0123456789abcdef.crt/x",
      "issuers/../root.key",
      "issuers/lock-1-0123456789abcdef",
      "lock",
    ]
  ) assert.equal(isBackupName(name), false, name);
});
