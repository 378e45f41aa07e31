import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import {
  inWords,
  inWorld,
  needs,
  PKI_FAULTS,
  ROOT,
  runProgram,
  until,
  untilRead,
  type World,
} from "./harness.ts";
import { ok } from "./administrator.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { publish } from "./publish.ts";
import { type Message, RawClient, withClient } from "./raw_client.ts";

const key = await generatePrivateKey("p256");
const dataOf = (world: World) => join(world.home, "server");
const snapshotOf = (world: World) => join(dataOf(world), "state.db");
const copyOf = (world: World, id: string) => join(dataOf(world), "certs", `${id}.pem`);

function copyFolder(from: string, to: string): void {
  fs.rmSync(to, { recursive: true, force: true });
  // A server that was killed leaves its sockets.
  const filter = (path: string) => !fs.lstatSync(path).isSocket();
  fs.cpSync(from, to, { recursive: true, filter });
}

/** Files below a folder, without sockets. */
function filesOf(folder: string): readonly string[] {
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => fs.lstatSync(join(folder, name)).isFile()).sort();
}

async function askSqlite(path: string, sql: string): Promise<string> {
  const { code, stdout, stderr } = await runProgram("sqlite3", ["-readonly", path, sql]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

/** Size and root of the log, as the newest checkpoint has them. */
async function treeHead(client: RawClient): Promise<{ size: string; root: string }> {
  const { checkpoint } = await client.ok("PROOF");
  const [, size = "", root = ""] = String(checkpoint).split("\n");
  return { size, root: Buffer.from(root, "base64").toString("hex") };
}

// A data folder of version 1

test("the data folder of version 1 is served as it is", () =>
  inWorld(async (world) => {
    copyFolder(join(ROOT, "testdata", "data-v1"), dataOf(world));
    fs.copyFileSync(
      join(ROOT, "testdata", "data-v1.passphrase"),
      join(world.home, "server.passphrase"),
    );
    const log = join(dataOf(world), "log", "000000000000.log");
    const before = fs.readFileSync(log);
    const { running, fingerprint } = await world.serve();
    assert.match(
      running.stderr,
      /^pki: warning: the snapshot ".*state\.db" is not used: it is of an earlier version of pki; everything is read from the log$/m,
    );
    assert.doesNotMatch(running.stderr, /error|made a root/);
    assert.ok(fs.readFileSync(log).subarray(0, before.length).equals(before));
    assert.match(
      fs.readFileSync(join(dataOf(world), "log.pub"), "utf8"),
      /^pki\.internal\/[0-9a-f]{16}\/1\+/,
    );
    const root = join(ROOT, "testdata", "data-v1", "root.crt");
    const [der] = parseCertificatesPem(fs.readFileSync(root, "utf8"), root);
    assert.ok(der);
    assert.equal(fingerprint, fingerprintOf(der));
    // Accounts and certificates are those of then, whatever the date is now.
    for (const [id, other] of [["alice", "bob"], ["bob", "alice"]] as const) {
      await withClient(RawClient.loggedIn(world, id), async (client) => {
        const found = await client.ok("CERTREQ", { id: other });
        assert.ok(before.includes(String(found["certificate"])), "it is of then");
      });
    }
    for (const name of ["alice.pem", "bob.pem"]) {
      const copy = (folder: string) => fs.readFileSync(join(folder, "certs", name), "utf8");
      assert.equal(copy(dataOf(world)), copy(join(ROOT, "testdata", "data-v1")));
    }
    // And it goes on from there.
    for (const id of ["alice", "bob"]) await world.ok(id, ["csr"]);
    await world.ok("alice", ["request", "bob"]);
    await world.ok("bob", ["request", "alice"]);
    assert.equal((await running.end()).code, 0);
    const again = await world.serve();
    assert.doesNotMatch(again.running.stderr, /warning/);
    await world.ok("alice", ["request", "bob"]);
  }));

// The snapshot

test(
  "state.db is a database that names the log it stands for",
  needs("sqlite3"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const head = await withClient(RawClient.loggedIn(world, "alice"), treeHead);
      assert.equal((await world.server.running.end()).code, 0);
      const ask = (sql: string) => askSqlite(snapshotOf(world), sql);
      assert.equal(await ask("PRAGMA integrity_check"), "ok");
      assert.equal(await ask("PRAGMA foreign_key_check"), "");
      assert.equal(
        await ask("SELECT key, value FROM meta ORDER BY key"),
        `log_root|${head.root}\nlog_size|${head.size}\nmissing_copies|`,
      );
      assert.equal(await ask("SELECT id FROM accounts ORDER BY id"), "alice\nbob");
      assert.equal(await ask("SELECT id FROM published ORDER BY id"), "alice\nbob");
      const { running } = await world.serve(); // reading has not broken the seal
      assert.doesNotMatch(running.stderr, /warning/);
    }),
);

interface Issued {
  readonly certificate: string;
  readonly index: number;
}

/** Has certificates issued and published until the server is gone; keeps what was acknowledged. */
async function useServer(client: RawClient, acknowledged: Issued[]): Promise<void> {
  const csr = encodeBase64(await makeCsr(key, "dora"));
  for (;;) {
    const { certificate, index } = await client.ok("CSR", { csr });
    acknowledged.push({ certificate: String(certificate), index: Number(index) });
    if (acknowledged.length % 8 === 0) {
      assert.equal(await publish(client, String(certificate), key), "OK");
    }
  }
}

async function checkLogged(world: World, acknowledged: readonly Issued[]): Promise<void> {
  await withClient(loggedInCheaply(world, "dora"), async (client) => {
    for (const { certificate, index } of acknowledged) {
      const { leaf } = await client.ok("PROOF", { index });
      assert.ok(new TextDecoder().decode(parseBase64(String(leaf))).includes(certificate));
    }
  });
}

/** Uses the server until a file of the data folder shows up so often, then kills the server. */
async function killWhen(
  world: World,
  { name, times, acknowledged }: {
    readonly name: string;
    readonly times: number;
    readonly acknowledged: Issued[];
  },
): Promise<void> {
  const client = await loggedInCheaply(world, "dora");
  const { running } = world.server;
  let left = times;
  const watcher = fs.watch(dataOf(world), (_, changed) => {
    if (changed === name && --left === 0) running.kill("SIGKILL");
  });
  try {
    await assert.rejects(useServer(client, acknowledged), /closed the connection/);
  } finally {
    watcher.close();
    client.close();
  }
  assert.equal((await running.finished).code, null, running.stderr);
  assert.doesNotMatch(running.stderr, /warning|error/);
}

test("snapshots are taken while the server is used, and kill -9 in one of them loses nothing", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    const acknowledged: Issued[] = [];
    // The first change is its making, later ones are its writing and renaming.
    for (const times of [1, 2, 3, 4]) {
      await killWhen(world, { name: "state.db.new", times, acknowledged });
      await world.serve();
      assert.doesNotMatch(world.server.running.stderr, /warning|error/);
      await checkLogged(world, acknowledged);
    }
    await killWhen(world, { name: "state.db", times: 1, acknowledged });
    assert.ok(fs.existsSync(snapshotOf(world)), "it was taken without a stop");
    await world.serve();
    await checkLogged(world, acknowledged);
    assert.equal((await world.server.running.end()).code, 0);
    assert.equal(fs.existsSync(`${snapshotOf(world)}.new`), false);
  }, PKI_FAULTS));

// Damage

/** What clients were told, and have to be told again. */
interface Told {
  readonly found: ReadonlyMap<string, Message>;
  readonly leaves: readonly unknown[];
}

async function askAll(client: RawClient): Promise<Told> {
  const found = new Map<string, Message>();
  for (const id of ["alice", "bob"]) found.set(id, await client.ask("CERTREQ", { id }));
  const { size } = await treeHead(client);
  const leaves: unknown[] = [];
  for (let index = 0; index < Number(size); index++) {
    const { code, leaf } = await client.ask("PROOF", { index });
    leaves.push(leaf ?? code);
  }
  return { found, leaves };
}

/** Whether an answer is the one of before, or says that the disk has it no more. */
function isHonest(now: unknown, before: unknown): boolean {
  return now === "STORAGE" || now === before;
}

const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  "is missing": (path) => fs.rmSync(path),
  "is cut": (path) => fs.truncateSync(path, fs.statSync(path).size >> 1),
  "has a flipped bit": (path) => {
    const bytes = fs.readFileSync(path);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 4;
    fs.writeFileSync(path, bytes);
  },
};

/** Alice, and dora who asks; a snapshot, then bob behind it. */
async function fillWithTail(world: World): Promise<void> {
  await world.withUsers("alice");
  await registerCheaply(world, "dora");
  await world.server.running.end();
  await world.serve();
  await world.ok("bob", ["csr", "--register"]);
}

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`a file of the data folder that ${what} is made good, or named, and never a wrong answer`, () =>
    inWorld(async (world) => {
      await fillWithTail(world);
      const before = await withClient(loggedInCheaply(world, "dora"), askAll);
      await world.server.running.end("SIGKILL");
      const good = world.path("good");
      copyFolder(dataOf(world), good);
      const witness = `${dataOf(world)}.witness`;
      const goodWitness = fs.readFileSync(witness);
      for (const name of filesOf(good)) {
        copyFolder(good, dataOf(world));
        fs.writeFileSync(witness, goodWitness);
        damage(join(dataOf(world), name));
        const running = world.start(["serve", "--port", "0", "--json"]);
        const line = await running.waitFor(/^\{"event":"ready".*\}$/m).catch(() => undefined);
        if (line) {
          running.kill("SIGKILL");
          await running.finished;
          await world.serve();
          const now = await withClient(loggedInCheaply(world, "dora"), askAll);
          assert.equal(
            now.leaves.length >= before.leaves.length,
            true,
            `${name}: entries are lost`,
          );
          for (const [index, leaf] of before.leaves.entries()) {
            assert.ok(isHonest(now.leaves[index], leaf), `${name}: entry ${index}`);
          }
          for (const [id, { certificate }] of before.found) {
            const answer = now.found.get(id);
            assert.ok(
              isHonest(answer?.["certificate"] ?? answer?.code, certificate),
              `${name}: ${id}`,
            );
          }
          await world.server.running.end("SIGKILL");
          assert.doesNotMatch(world.server.running.stderr, /^\s+at /m, name);
        } else {
          const { code, stderr } = await running.finished;
          const isKey = name.endsWith(".key");
          assert.ok(code === 9 || (isKey && code === 4), `${name}: exit ${code}: ${stderr}`);
          assert.match(inWords(stderr), /^pki: error: /m, name);
          assert.match(inWords(stderr), /^pki: hint: /m, `${name}: ${stderr}`);
        }
        assert.doesNotMatch(running.stderr, /^\s+at /m, name);
      }
      copyFolder(good, dataOf(world));
      fs.writeFileSync(witness, goodWitness);
      await world.serve();
      await world.ok("alice", ["request", "bob"]);
    }));
}

test("copies that are damaged or gone after a kill are made again", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const damage of Object.values(DAMAGES)) {
      const paths = ["alice", "bob"].map((id) => copyOf(world, id));
      const before = paths.map((path) => fs.readFileSync(path, "utf8"));
      await world.server.running.end("SIGKILL");
      paths.forEach(damage);
      await world.serve();
      await untilRead(paths, (text, i) => text === before[i]);
    }
  }));

test("a copy that cannot be written holds up no snapshot, and a later start makes it", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const path = copyOf(world, "alice");
    const before = fs.readFileSync(path, "utf8");
    fs.rmSync(path);
    fs.mkdirSync(join(path, "in the way"), { recursive: true });
    await world.ok("alice", ["renew"]);
    const { running } = world.server;
    const warning = /^pki: warning: cannot write ".*alice\.pem": .*; it is tried again$/m;
    await until(() => warning.test(inWords(running.stderr)), "a warning");
    assert.equal(fs.existsSync(snapshotOf(world)), false);
    await ok(world, ["users", "delete", "bob", "--yes"]);
    await until(() => fs.existsSync(snapshotOf(world)), "a snapshot that has forgotten bob");
    assert.equal((await running.end()).code, 0);
    fs.rmSync(path, { recursive: true });
    await world.serve(); // all that is logged is in the snapshot
    await untilRead([path], (text) => text?.includes("END CERTIFICATE") ?? false);
    assert.notEqual(fs.readFileSync(path, "utf8"), before);
    assert.equal(fs.existsSync(copyOf(world, "bob")), false);
    assert.equal((await world.server.running.end()).code, 0);
    await ok(world, ["log", "verify"]);
  }));
