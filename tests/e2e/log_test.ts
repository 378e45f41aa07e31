import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { TLS_OPTIONS } from "../../lib/base/tls.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { PROTOCOL } from "../../lib/protocol/message_fields.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { type Finished, inWords, inWorld, type World } from "./harness.ts";
import { listenAlone } from "./place.ts";
import { frame, RawClient, withClient } from "./raw_client.ts";

const dataOf = (world: World) => join(world.home, "server");
const witnessOf = (world: World) => `${dataOf(world)}.witness`;

/** What clients of one home remember of the log. */
const remembered = (world: World) => fs.readFileSync(join(world.home, "checkpoint"), "utf8");

function evidence(world: World): readonly string[] {
  const folder = join(world.home, "evidence");
  return fs.existsSync(folder) ? fs.readdirSync(folder).sort() : [];
}

function copyFolder(from: string, to: string): void {
  fs.rmSync(to, { recursive: true, force: true });
  // A server that was killed leaves its sockets.
  const filter = (path: string) => !fs.lstatSync(path).isSocket();
  fs.cpSync(from, to, { recursive: true, filter });
}

const SERVE = ["serve", "--port", "0", "--json"];

/** A server that must not start. */
async function refusesToServe(
  world: World,
  { code, says, args = [] }: {
    readonly code: number;
    readonly says: RegExp;
    readonly args?: readonly string[];
  },
): Promise<Finished> {
  const running = world.start([...SERVE, ...args]);
  // Should it start all the same, it is ended; its exit code tells.
  running.waitFor(/"event":"ready"/).then(() => running.kill("SIGTERM"), () => {});
  const ended = await running.finished;
  const stderr = inWords(ended.stderr);
  assert.equal(ended.code, code, ended.stdout + stderr);
  assert.match(stderr, says);
  assert.match(stderr, /^pki: hint: /m);
  assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
  assert.equal(ended.stdout, "", "it never said that it is ready");
  return { ...ended, stderr };
}

const LOST = /^pki: error: the log has lost entries: /m;
const WAYS_OUT = /^pki: hint: put the newest backup in its place .*; .*pki serve --accept-loss/m;

/** Alice in a copy of the data folder; then bob, whom the copy does not know; the server has stopped. */
async function forget(world: World, args: readonly string[] = []): Promise<string> {
  await world.serve(args);
  await world.ok("alice", ["csr", "--register"]);
  await world.server.running.end();
  const copy = world.path("copy");
  copyFolder(dataOf(world), copy);
  await world.serve(args);
  await world.ok("bob", ["csr", "--register"]);
  await world.server.running.end();
  return copy;
}

test("a data folder put back from an older copy is not served while the witness remembers", () =>
  inWorld(async (world) => {
    const copy = await forget(world);
    copyFolder(copy, dataOf(world));
    for (let attempt = 0; attempt < 2; attempt++) {
      const { stderr } = await refusesToServe(world, { code: 9, says: LOST });
      assert.match(stderr, WAYS_OUT);
      assert.match(stderr, /the log has \d+ entries, and it had \d+ before \(".*\.witness"\)/);
    }
    const before = remembered(world);

    const { running } = await world.serve(["--accept-loss"]);
    assert.match(
      running.stderr,
      /^pki: warning: going on with a loss: .*; the log gets a new key/m,
    );
    const seen = await world.ok("alice", ["request", "alice"]);
    assert.match(seen.stderr, /the server's log was started anew \(generation 2\) after a loss/);
    assert.equal(evidence(world).length, 1);
    const [kept = ""] = evidence(world);
    const facts = JSON.parse(fs.readFileSync(join(world.home, "evidence", kept), "utf8"));
    assert.equal(facts.knownCheckpoint, before);
    assert.match(remembered(world), /\/2\n/);
    // Said once, and everything works.
    const again = await world.ok("alice", ["request", "alice"]);
    assert.doesNotMatch(again.stderr, /anew/);
    assert.equal((await world.as("bob", ["request", "alice"])).code, 4, "bob was lost");
    await world.ok("carol", ["csr", "--register"]);
    await running.end();
    await world.serve(); // and the next start has nothing to say
    assert.doesNotMatch(world.server.running.stderr, /warning/);
    await world.ok("alice", ["request", "carol"]);

    // The folder of before the loss is behind this one.
    await world.server.running.end();
    const newer = world.path("newer");
    fs.renameSync(dataOf(world), newer);
    copyFolder(copy, dataOf(world));
    await refusesToServe(world, { code: 9, says: /it was started anew as .*\/2 after this copy/ });
  }));

test("serve --accept-loss is refused where nothing is lost", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    const before = fs.readFileSync(join(dataOf(world), "log.pub"));
    await refusesToServe(world, {
      code: 5,
      says: /^pki: error: cannot accept a loss: the log has lost nothing$/m,
      args: ["--accept-loss"],
    });
    assert.deepEqual(fs.readFileSync(join(dataOf(world), "log.pub")), before);
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
  }));

test("without a witness, a client that remembers more stops the server, and it stays stopped", () =>
  inWorld(async (world) => {
    const witness = world.path("elsewhere.witness");
    const args = ["--witness", witness];
    const copy = await forget(world, args);
    assert.ok(fs.existsSync(witness));
    assert.equal(fs.existsSync(witnessOf(world)), false);
    fs.rmSync(witness);
    copyFolder(copy, dataOf(world));

    const { running } = await world.serve(args);
    const before = remembered(world);
    const asked = await world.as("alice", ["request", "alice"]);
    assert.equal(asked.code, 6, asked.stderr);
    assert.equal(asked.stdout, "");
    assert.doesNotMatch(asked.stderr, /^\s+at /m);
    const ended = await running.finished;
    assert.equal(ended.code, 9, ended.stderr);
    assert.match(
      inWords(ended.stderr),
      /^pki: error: the log has lost entries: .*\(a client's checkpoint\)/m,
    );
    assert.match(inWords(ended.stderr), WAYS_OUT);
    assert.doesNotMatch(ended.stderr, /^\s+at /m);
    assert.equal(remembered(world), before, "the client forgets nothing");
    for (let attempt = 0; attempt < 2; attempt++) {
      const { stderr } = await refusesToServe(world, { code: 9, says: LOST, args });
      assert.match(stderr, WAYS_OUT);
    }
    await world.serve([...args, "--accept-loss"]);
    const seen = await world.ok("alice", ["request", "alice"]);
    assert.match(seen.stderr, /started anew \(generation 2\)/);
  }));

test("a checkpoint that nobody has signed stops no server", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const [head = "", size = ""] = remembered(world).split("\n");
    const forged = remembered(world).replace(`${head}\n${size}\n`, `${head}\n999\n`);
    await withClient(RawClient.open(world), async (client) => {
      await client.ok("HELLO");
      const login = await client.startLogin("alice");
      await client.ok("LOGIN_FINISH", { ...login, checkpoint: forged });
    });
    await world.ok("alice", ["request", "alice"]);
  }));

/** A front for the world's server, with its key, that keeps from it what clients remember of the log. */
async function startForgetfulRelay(world: World, folder: string) {
  const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
  const path = join(folder, "server.key");
  const key = await decryptPrivateKey(fs.readFileSync(path, "utf8"), passphrase, path);
  const sockets = new Set<TLSSocket>();
  const server = createServer({
    ...TLS_OPTIONS,
    key: key.export({ format: "pem", type: "pkcs8" }) as string,
    cert: fs.readFileSync(join(folder, "server.crt"), "utf8"),
    ALPNProtocols: [PROTOCOL],
  });
  server.on("secureConnection", (client: TLSSocket) => {
    const { port } = world.server;
    const upstream = connect({
      ...TLS_OPTIONS,
      host: "127.0.0.1",
      port,
      ALPNProtocols: [PROTOCOL],
    });
    const frames = new FrameReader();
    client.on("data", (chunk: Uint8Array) => {
      frames.push(new Uint8Array(chunk));
      for (let body = frames.read(); body; body = frames.read()) {
        const { checkpoint: _, ...said } = JSON.parse(new TextDecoder().decode(body));
        upstream.write(frame(JSON.stringify(said)));
      }
    });
    upstream.on("data", (chunk: Uint8Array) => client.write(chunk));
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(from);
      from.on("error", () => {}); // "close" follows
      from.on("close", () => to.destroy());
    }
  });
  return {
    where: await listenAlone(server),
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test("a server that went another way with the same keys is noticed by the client, and nothing is saved", () =>
  inWorld(async (world) => {
    const copy = await forget(world);
    // The copy goes another way, and further: carol in bob's place. It has never seen the client.
    const args = ["--data", copy, "--witness", world.path("other.witness")];
    const fork = await world.serve(args);
    const other = world.path("other-home");
    const env = { PKI_HOME: other };
    const { fingerprint } = fork;
    await world.ok("carol", ["csr", "--register", "--fingerprint", fingerprint], { env });
    await world.ok("carol", ["csr", "--rekey"], { env });
    // An honest server would stop by itself (see above); this one does not want to know.
    const relay = await startForgetfulRelay(world, copy);
    try {
      const before = remembered(world);
      const pem = world.path("carol.pem");
      // The relay cannot show alice's certificate, whose key it has not.
      const to = ["--with-password", "--server", relay.where];
      for (
        const args of [["request", "carol", "--out", pem], ["request", "alice"], ["csr", "--rekey"]]
      ) {
        const kept = evidence(world).length;
        const cert = fs.readFileSync(join(world.home, "ids", "alice", "cert.pem"), "utf8");
        const asked = await world.as("alice", [...args, ...to]);
        assert.equal(asked.code, 6, asked.stderr);
        assert.equal(asked.stdout, "");
        assert.match(
          asked.stderr,
          /^pki: hint: show whoever runs the server the evidence in ".*"$/m,
        );
        assert.doesNotMatch(asked.stderr, /^\s+at /m);
        assert.equal(evidence(world).length, kept + 1);
        assert.equal(fs.existsSync(pem), false, "a certificate was saved");
        assert.equal(remembered(world), before);
        assert.equal(fs.readFileSync(join(world.home, "ids", "alice", "cert.pem"), "utf8"), cert);
      }
      const [name = ""] = evidence(world);
      const facts = JSON.parse(fs.readFileSync(join(world.home, "evidence", name), "utf8"));
      assert.equal(facts.knownCheckpoint, before);
      assert.match(facts.answer.checkpoint, /^pki\.internal\/[0-9a-f]{16}\/1\n/);
      assert.notEqual(facts.answer.checkpoint, before);
    } finally {
      await relay.close();
    }
    assert.equal(fork.running.isOver, false);
  }));
