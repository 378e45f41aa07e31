import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { concatBytes, encodeBase64 } from "../../lib/base/bytes.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { type Finished, inWords, inWorld, PASSWORDS, until, type World } from "./harness.ts";
import { publish } from "./publish.ts";
import { RawClient, requestFrame, withClient } from "./raw_client.ts";

function serverFolder(world: World): string {
  return join(world.home, "server");
}

function logFile(world: World): string {
  return join(serverFolder(world), "log", "000000000000.log");
}

/** A server that must not start. */
async function refusesToServe(
  world: World,
  { code, says, args = [], env = {} }: {
    readonly code: number;
    readonly says: RegExp;
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<Finished> {
  const running = world.start(["serve", "--port", "0", "--json", ...args], { env });
  // Should it start all the same, it is ended; its exit code tells.
  running.waitFor(/"event":"ready"/).then(() => running.kill("SIGTERM"), () => {});
  const ended = await running.finished;
  const stderr = inWords(ended.stderr);
  assert.equal(ended.code, code, ended.stdout + stderr);
  assert.match(stderr, says);
  assert.match(stderr, /^pki: error: /m);
  assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
  assert.equal(ended.stdout, "", "it never said that it is ready");
  return ended;
}

const key = await generatePrivateKey("p256");

test("a first start that was killed is made good by the next", () =>
  inWorld(async (world) => {
    const start = () => world.start(["serve", "--port", "0", "--json"]);
    const early = start();
    await early.waitFor(/made a passphrase/);
    await early.end("SIGKILL");
    const later = start();
    await later.waitFor(/made a root and an issuing CA|"event":"ready"/);
    await later.end("SIGKILL");
    await world.withUsers("alice");
    await world.server.running.end("SIGKILL");
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
  }));

test("a restart keeps the fingerprint, the accounts and the certificates", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { fingerprint, running } = world.server;
    const before = await world.ok("bob", ["request", "alice"]);
    assert.equal((await running.end()).code, 0);
    for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
      const again = await world.serve();
      assert.equal(again.fingerprint, fingerprint);
      assert.doesNotMatch(again.running.stderr, /warning|made/);
      assert.equal((await world.ok("bob", ["request", "alice"])).stdout, before.stdout);
      const ended = await again.running.end(signal);
      assert.equal(ended.code, signal === "SIGKILL" ? null : 0);
    }
  }));

test("a hang-up while the server starts does not end it, and has it reload when it runs", () =>
  inWorld(async (world) => {
    const running = world.start(["serve", "--port", "0", "--json"]);
    const isLocked = () =>
      fs.existsSync(serverFolder(world)) &&
      fs.readdirSync(serverFolder(world)).some((name) => name.startsWith("lock-"));
    await until(isLocked, "the folder is locked");
    running.kill("SIGHUP");
    await running.waitFor(/"event":"ready"/);
    await running.waitFor(/reloaded CAs, profiles and configuration: no setting has changed/);
    assert.equal((await running.end()).code, 0, running.stderr);
  }));

test("a data folder has one server at a time, which the second one names", () =>
  inWorld(async (world) => {
    const { running } = await world.serve();
    await refusesToServe(world, {
      code: 5,
      says: new RegExp(`process ${running.child.pid} is using it`),
    });
    await world.ok("alice", ["csr", "--register"]); // the first has not noticed
    await running.end("SIGKILL");
    await world.serve(); // what a killed server leaves is no obstacle
  }));

test("serve refuses a wrong passphrase, and leaves everything as it was", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    const wrong = world.path("wrong.passphrase");
    fs.writeFileSync(wrong, "this is not the passphrase\n", { mode: 0o600 });
    const before = fs.readFileSync(logFile(world));
    for (let attempt = 0; attempt < 2; attempt++) {
      await refusesToServe(world, {
        code: 4,
        says: /cannot open the server's keys: the passphrase does not fit$/m,
        args: ["--passphrase-file", wrong],
      });
    }
    assert.deepEqual(fs.readFileSync(logFile(world)), before);
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
  }));

test("serve does not set up in a folder that has other things in it", () =>
  inWorld(async (world) => {
    const data = world.path("data");
    fs.mkdirSync(data);
    fs.writeFileSync(join(data, "letter.txt"), "dear bob\n");
    const args = ["--data", data];
    await refusesToServe(world, { code: 5, says: /it has other things in it/, args });
    assert.deepEqual(fs.readdirSync(data), ["letter.txt"]);
    assert.deepEqual(fs.readdirSync(world.folder).filter((name) => /^data./.test(name)), []);
    fs.rmSync(join(data, "letter.txt"));
    await world.serve(args); // an empty folder will do
  }));

test("beyond --max-connections a client hears BUSY and when to come back", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    await world.serve(["--max-connections", "2"]);
    const [first, second] = await Promise.all([RawClient.open(world), RawClient.open(world)]);
    await first.ok("HELLO");
    await second.ok("HELLO");
    await withClient(RawClient.open(world), async (third) => {
      const said = await third.rest();
      assert.deepEqual(said.map(({ seq, code }) => [seq, code]), [[0, "BUSY"]]);
      assert.match(said[0]?.message ?? "", /2 connections are open, try again in \d+ s/);
    });
    const asked = await world.as("alice", ["request", "alice"]);
    assert.equal(asked.code, 8, asked.stderr);
    assert.match(asked.stderr, /^pki: error: .*busy.*try again in \d+ s/m);
    await second.ok("HELLO"); // those who are in have not noticed
    first.close();
    await first.rest();
    await world.ok("alice", ["request", "alice"]);
    second.close();
  }));

test("SIGTERM lets running requests be answered, durably, and nothing new begin", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { running } = world.server;
    const csr = encodeBase64(await makeCsr(key, "alice"));
    const client = await RawClient.loggedIn(world, "alice");
    const count = 20; // fits into one record of TLS, so the server has all or none
    client.write(
      concatBytes(
        ...Array.from({ length: count }, (_, at) => requestFrame(100 + at, "CSR", { csr })),
      ),
    );
    const answers = [await client.next()];
    running.kill("SIGTERM");
    answers.push(...await client.rest());
    assert.deepEqual(answers.map(({ type }) => type), Array(count).fill("OK"));
    const ended = await running.finished;
    assert.equal(ended.code, 0, ended.stderr);
    await world.serve();
    await withClient(RawClient.loggedIn(world, "alice"), async (again) => {
      for (const { certificate } of answers) {
        assert.equal(await publish(again, String(certificate), key), "OK");
      }
    });
  }));

test("SIGTERM ends a server whose clients say nothing", () =>
  inWorld(async (world) => {
    await world.serve();
    const silent = await RawClient.open(world);
    const half = await RawClient.open(world);
    for (const client of [silent, half]) await client.ok("HELLO"); // the server has them now
    half.write(Uint8Array.of(0, 0)); // the beginning of a frame
    const ended = await world.server.running.end();
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(await silent.rest(), []);
    assert.deepEqual(await half.rest(), []);
  }));

test("a log with a torn end loses only that, with a warning", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await world.server.running.end(signal);
      const whole = fs.readFileSync(logFile(world));
      fs.appendFileSync(logFile(world), Uint8Array.of(0, 0, 1, 0, 1, 2, 3, 4, 0x7b));
      const { running } = await world.serve();
      assert.match(running.stderr, /^pki: warning: the log ended in 9 bytes .* were cut off$/m);
      assert.deepEqual(fs.readFileSync(logFile(world)), whole);
      await world.ok("alice", ["request", "bob"]);
    }
    // The half of a record that was being written.
    await world.server.running.end("SIGKILL");
    const whole = fs.readFileSync(logFile(world));
    fs.appendFileSync(logFile(world), whole.subarray(16, 16 + 60));
    const { running } = await world.serve();
    assert.match(running.stderr, /^pki: warning: the log ended in 60 bytes/m);
  }));

test("a log that is damaged within is not touched, and named", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await world.server.running.end();
    const good = fs.readFileSync(logFile(world));
    const damaged = new Uint8Array(good);
    const middle = damaged.length >> 1;
    damaged[middle] = (damaged[middle] ?? 0) ^ 1;
    const headless = new Uint8Array(good);
    headless[0] = 0x51;
    // Cut at a record's end: whole in itself, but the snapshot knows of more.
    const firstRecord = 16 + 8 + good.readUInt32BE(16);
    const cases = [
      // What the snapshot stands for is not read at the start, so for this one there is none.
      {
        bytes: damaged,
        hasSnapshot: false,
        says: /cannot read log ".*000000000000\.log": record \d+ at byte \d+/,
      },
      { bytes: headless, says: /cannot read log ".*": byte 0: the file is not a log/ },
      { bytes: new Uint8Array(0), says: /cannot read log/ },
      {
        bytes: good.subarray(0, firstRecord),
        says: /the log has lost entries: it has 1 entries, the snapshot knows of \d+/,
      },
    ];
    const snapshot = join(serverFolder(world), "state.db");
    const kept = fs.readFileSync(snapshot);
    for (const { bytes, says, hasSnapshot = true } of cases) {
      fs.writeFileSync(logFile(world), bytes);
      if (hasSnapshot) fs.writeFileSync(snapshot, kept);
      else fs.rmSync(snapshot);
      const { stderr } = await refusesToServe(world, { code: 9, says });
      assert.match(stderr, /"hint":"[^"]*backup/);
      assert.deepEqual(new Uint8Array(fs.readFileSync(logFile(world))), new Uint8Array(bytes));
    }
    fs.writeFileSync(logFile(world), good);
    await world.serve();
    await world.ok("alice", ["request", "bob"]);
  }));

test("a log that is missing is not replaced by an empty one, however often one tries", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const folder = join(serverFolder(world), "log");
    const kept = world.path("kept");
    for (const signal of ["SIGKILL", "SIGTERM"] as const) { // without a snapshot, and with one
      await world.server.running.end(signal);
      assert.equal(fs.existsSync(join(serverFolder(world), "state.db")), signal === "SIGTERM");
      fs.renameSync(folder, kept);
      for (let attempt = 0; attempt < 3; attempt++) {
        await refusesToServe(world, { code: 9, says: /log/ });
      }
      fs.rmSync(folder, { recursive: true, force: true });
      fs.renameSync(kept, folder);
      await world.serve();
      await world.ok("alice", ["request", "alice"]);
    }
  }));

test("a snapshot that is damaged or gone is made again from the log", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const snapshot = join(serverFolder(world), "state.db");
    const damages = [
      () => fs.rmSync(snapshot),
      () => fs.writeFileSync(snapshot, "not a database"),
      () => fs.writeFileSync(snapshot, ""),
      () => fs.truncateSync(snapshot, 5000),
    ];
    for (const [index, damage] of damages.entries()) {
      assert.equal((await world.server.running.end()).code, 0);
      damage();
      const { running } = await world.serve();
      if (index > 0) assert.match(running.stderr, /^pki: warning: the snapshot .* is not used/m);
      await world.ok("alice", ["request", "bob"]);
    }
  }));

test("a port that is taken is named, with a way out", () =>
  inWorld(async (world) => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    const ended = await world.run(["serve", "--port", String(port), "--json"]);
    assert.equal(ended.code, 8, ended.stderr);
    assert.match(ended.stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: `));
    assert.match(inWords(ended.stderr), /^pki: hint: choose another port with --port/m);
    await new Promise((resolve) => holder.close(resolve));
    const again = world.start(["serve", "--port", String(port), "--json"]);
    await again.waitFor(new RegExp(`"event":"ready".*"port":${port}`)); // nothing was left behind
  }));

test("a passphrase from the environment is used and written nowhere", () =>
  inWorld(async (world) => {
    const passphrase = PASSWORDS["carol"] ?? "";
    const env = { PKI_CA_PASSPHRASE: passphrase };
    const { fingerprint, running } = await world.serve([], { env });
    await world.ok("alice", ["csr", "--register"]);
    assert.equal((await running.end()).code, 0);
    assert.equal(fs.existsSync(join(world.home, "server.passphrase")), false);
    for (const name of fs.readdirSync(world.home, { recursive: true }) as string[]) {
      const path = join(world.home, name);
      if (!fs.statSync(path).isFile()) continue;
      assert.equal(fs.readFileSync(path).includes(passphrase), false, name);
    }
    assert.doesNotMatch(running.stdout + running.stderr, new RegExp(passphrase));
    await refusesToServe(world, { code: 2, says: /there is no passphrase/ });
    await refusesToServe(world, {
      code: 4,
      says: /cannot open the server's keys: the passphrase does not fit$/m,
      env: { PKI_CA_PASSPHRASE: "this is not the passphrase" },
    });
    const again = await world.serve([], { env });
    assert.equal(again.fingerprint, fingerprint);
  }));
