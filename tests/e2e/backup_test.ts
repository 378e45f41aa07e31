import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Finished, inWorld, type World } from "./harness.ts";

/** Says what went wrong where a command fails. */
async function ok(world: World, args: readonly string[]): Promise<Finished> {
  const finished = await world.run(args);
  assert.equal(finished.code, 0, `pki ${args.join(" ")}: ${finished.stderr}`);
  return finished;
}

async function json(world: World, args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse((await ok(world, [...args, "--json"])).stdout);
}

async function fails(
  world: World,
  args: readonly string[],
  { code, says }: { readonly code: number; readonly says: RegExp },
): Promise<void> {
  const finished = await world.run(args);
  assert.equal(finished.code, code, `pki ${args.join(" ")}: ${finished.stdout}${finished.stderr}`);
  assert.match(finished.stderr, says);
  assert.doesNotMatch(finished.stderr, /^\s+at /m, "no stack trace");
}

const folderOf = (world: World) => join(world.home, "server");

test("pki backup takes a running server under load, and pki restore makes it again", async () => {
  await inWorld(async (world) => {
    await world.withUsers("alice");
    const load = (async () => {
      for (let round = 0; round < 4; round++) await world.ok("alice", ["csr"]);
    })();
    const backups: string[] = [];
    let size = 0;
    for (let round = 0; round < 3; round++) {
      const path = world.path(`${round}.backup`);
      const result = await json(world, ["backup", path]);
      assert.ok(Number(result["size"]) >= size, "a later backup has no less");
      size = Number(result["size"]);
      assert.equal(fs.statSync(path).mode & 0o777, 0o600);
      const live = await json(world, ["log", "verify"]);
      assert.equal(live["isLive"], true);
      assert.equal(live["ok"], true);
      backups.push(path);
    }
    await load;
    await world.ok("bob", ["csr", "--register"]);
    const last = world.path("last.backup");
    const { stdout, stderr } = await ok(world, ["backup", last]);
    assert.match(stdout, /^backed up and verified: \d+ entries, \d+ certificates$/m);
    assert.match(stderr, /the passphrase of the keys is not in it but in ".*server\.passphrase"/);
    assert.doesNotMatch(
      fs.readFileSync(last, "latin1"),
      new RegExp(fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim()),
    );
    await fails(world, ["backup", last], { code: 5, says: /it is there already/ });
    await ok(world, ["backup", last, "--force"]);
    for (const path of [...backups, last]) await ok(world, ["log", "verify", path]);
    await world.server.running.end();

    const elsewhere = world.path("elsewhere/data");
    const restored = await ok(world, ["restore", last, "--data", elsewhere]);
    assert.match(restored.stdout, /^restored and verified: \d+ entries/m);
    assert.doesNotMatch(restored.stderr, /warning/);
    assert.deepEqual(
      fs.readFileSync(join(elsewhere, "certs/bob.pem")),
      fs.readFileSync(join(folderOf(world), "certs/bob.pem")),
    );
    await ok(world, ["log", "verify", "--data", elsewhere]);
    await world.serve(["--data", elsewhere]);
    const { stdout: pem } = await world.ok("alice", ["request", "bob"]);
    assert.match(pem, /BEGIN CERTIFICATE/);
    await world.ok("bob", ["csr"]);
  });
});

test("pki backup takes a stopped server, and pki log verify says what was damaged since", async () => {
  await inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    const path = world.path("b.backup");
    const { size } = await json(world, ["backup", path]);
    const verified = await json(world, ["log", "verify"]);
    assert.deepEqual([verified["ok"], verified["size"], verified["isLive"]], [true, size, false]);
    const human = await ok(world, ["log", "verify"]);
    assert.match(human.stdout, /^verified: \d+ entries, 2 certificates\n {2}log +pki\.internal\//);
    assert.equal(human.stderr, "");

    const segment = join(folderOf(world), "log/000000000000.log");
    const whole = fs.readFileSync(segment);
    const damaged = new Uint8Array(whole);
    damaged[500] = (damaged[500] ?? 0) ^ 1;
    fs.writeFileSync(segment, damaged);
    fs.writeFileSync(join(folderOf(world), "certs/mallory.pem"), "x");
    const found = await world.run(["log", "verify", "--json"]);
    assert.equal(found.code, 9);
    const { ok: isOk, findings } = JSON.parse(found.stdout);
    assert.equal(isOk, false);
    const wheres = (findings as { where: string }[]).map(({ where }) => where);
    assert.ok(wheres.includes(segment), String(wheres));
    assert.ok(wheres.includes(join(folderOf(world), "certs/mallory.pem")), String(wheres));
    await fails(world, ["log", "verify"], { code: 9, says: /^pki: error: ".*log": record \d+/m });
    await fails(world, ["backup", world.path("damaged.backup")], { code: 9, says: /checksum/ });
    assert.deepEqual(fs.readdirSync(world.folder).filter((name) => name.includes("damaged")), []);
    assert.deepEqual(fs.readFileSync(segment), Buffer.from(damaged), "nothing was changed");
  });
});

test("pki restore of an older backup says what is missing, and pki serve refuses it", async () => {
  await inWorld(async (world) => {
    await world.withUsers("alice");
    const path = world.path("b.backup");
    await ok(world, ["backup", path]);
    await world.ok("bob", ["csr", "--register"]);
    await world.server.running.end();
    await fails(world, ["restore", path], { code: 5, says: /there is something already/ });
    fs.renameSync(folderOf(world), world.path("broken"));
    const { stderr } = await ok(world, ["restore", path]);
    assert.match(stderr, /^pki: warning: this backup is older than the server was: .*missing$/m);
    assert.match(stderr, /--accept-loss/);
    await fails(world, ["log", "verify"], { code: 9, says: /the log has \d+ entries, and it had/ });
    await fails(world, ["serve", "--port", "0"], { code: 9, says: /the log has lost entries/ });
    await world.serve(["--accept-loss"]);
    assert.equal((await json(world, ["log", "verify"]))["ok"], true);
    await ok(world, ["backup", world.path("after.backup")]);
  });
});

test("pki restore refuses a backup that is cut or damaged, and leaves nothing", async () => {
  await inWorld(async (world) => {
    await world.serve();
    const path = world.path("b.backup");
    await ok(world, ["backup", path]);
    const whole = fs.readFileSync(path);
    const flipped = new Uint8Array(whole);
    const at = whole.indexOf("BEGIN ENCRYPTED") + 100;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    const target = world.path("target/data");
    for (const bytes of [flipped, whole.subarray(0, whole.length >> 1), whole.subarray(0, 100)]) {
      fs.writeFileSync(path, bytes);
      await fails(world, ["restore", path, "--data", target], { code: 3, says: /cannot read/ });
      await fails(world, ["log", "verify", path], { code: 3, says: /cannot read/ });
      assert.deepEqual(fs.readdirSync(world.path("target")), []);
    }
  });
});

test("pki backup and pki log verify say so when there is no data folder", async () => {
  await inWorld(async (world) => {
    const nowhere = { code: 5, says: /there is no data folder/ };
    await fails(world, ["backup", world.path("b.backup")], nowhere);
    await fails(world, ["log", "verify"], nowhere);
    await fails(world, ["restore", world.path("b.backup")], { code: 5, says: /no such file/ });
    await fails(world, ["log", "verify", world.path("b.backup")], {
      code: 5,
      says: /no such file/,
    });
    await fails(world, ["log", "verify", "x", "--data", "y"], { code: 2, says: /at once/ });
    await fails(world, ["backup"], { code: 2, says: /FILE is missing/ });
    assert.equal(fs.existsSync(world.home), false);
  });
});
