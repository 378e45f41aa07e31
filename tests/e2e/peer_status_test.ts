/**
 * Whether a peer's certificate was revoked: one side that reaches the server is enough, and where
 * nobody knows, nobody is trusted unless `--offline` says otherwise.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { encodeBase64, parseBase64, utf8 } from "../../lib/base/bytes.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { revokedAt } from "../fakes/status.ts";
import { type Credential, Forge } from "./forge.ts";
import { inWords, inWorld, needs, runProgram, type World } from "./harness.ts";
import { RawClient, withClient } from "./raw_client.ts";
import { callAs, control, helloAs, RawListener, type RawPeer, READY, REVEAL } from "./raw_peer.ts";

const HELLO = helloAs("caller");

/** A server's address where nobody listens. */
const NOWHERE = ["--server", "localhost:1"];

type Event = Readonly<Record<string, unknown>>;

/** The events of a program with `--json`. */
function eventsIn(stderr: string): readonly Event[] {
  return stderr.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event);
}

function statusIn(stderr: string): unknown {
  return eventsIn(stderr).find(({ event }) => event === "connected")?.["status"];
}

/** A user takes back the own certificate. */
async function revoke(world: World, id: string, { leaf }: Credential): Promise<void> {
  await withClient(RawClient.loggedIn(world, id), async (client) => {
    await client.ok("REVOKE", { serial: leaf.serial, reason: "keyCompromise" });
  });
}

test("one side that reaches the server is enough, whichever it is", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const rows = [
      { listener: [], caller: [], bob: "stapled", alice: "stapled" },
      { listener: NOWHERE, caller: [], bob: "stapled", alice: "fetched" },
      { listener: [], caller: NOWHERE, bob: "fetched", alice: "stapled" },
    ];
    for (const { listener, caller, bob, alice } of rows) {
      const { running, port } = await world.listen("alice", ["--once", ...listener], {
        input: "from alice",
      });
      const called = await world.ok("bob", [
        ...["connect", `localhost:${port}`, "--json", ...caller],
      ], { input: "from bob" });
      const listened = await running.finished;
      assert.equal(listened.code, 0, listened.stderr);
      assert.deepEqual([called.stdout, listened.stdout], ["from alice", "from bob"]);
      assert.deepEqual([statusIn(listened.stderr), statusIn(called.stderr)], [bob, alice]);
      for (const [flags, { stderr }] of [[listener, listened], [caller, called]] as const) {
        const [first] = eventsIn(stderr);
        assert.equal(first?.["event"] === "unstapled", flags === NOWHERE, stderr);
      }
    }
  }));

test("people are told that peers have to ask the server themselves, but not with --quiet", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { port } = await world.listen("alice");
    const call = (...flags: readonly string[]) =>
      world.ok("bob", ["connect", `localhost:${port}`, ...NOWHERE, ...flags], { input: "" });
    const said = (await call()).stderr;
    assert.match(said, /^cannot reach localhost:1: nobody listens there; peers have to ask it/m);
    assert.equal((await call("--quiet")).stderr, "");
  }));

test("where no side reaches the server each refuses, unless --offline says otherwise", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await world.server.running.end();
    const listener = await world.listen("alice");
    const call = (port: number, ...flags: readonly string[]) =>
      world.as("bob", ["connect", `localhost:${port}`, ...flags], { input: "from bob" });

    const refused = await call(listener.port);
    assert.equal(refused.code, 6, refused.stderr);
    // Whoever is the first to say so: both have the same reason.
    assert.match(
      refused.stderr,
      /pki: error: (the peer refuses: )?cannot trust certificate: whether it was revoked is not kno/,
    );
    assert.match(refused.stderr, /pki: hint: .*let either side reach the server/);
    const refusedByAlice = await call(listener.port, "--offline");
    assert.equal(refusedByAlice.code, 6, refusedByAlice.stderr);
    assert.match(
      refusedByAlice.stderr,
      /pki: error: the peer refuses: cannot trust certificate: whether it was revoked is not known/,
    );
    await listener.running.waitFor(/(?:"event":"turned-away","kind":"untrusted"[^]*){2}/);
    assert.equal(listener.running.stdout, "");
    await listener.running.end();

    const offline = await world.listen("alice", ["--offline", "--once"], { input: "from alice" });
    const refusedByBob = await call(offline.port);
    assert.equal(refusedByBob.code, 6, refusedByBob.stderr);
    assert.match(
      refusedByBob.stderr,
      /pki: error: cannot trust certificate: whether it was revoked is not known\n/,
    );
    assert.match(
      refusedByBob.stderr,
      /pki: hint: none came with it; the server: cannot reach .*, or accept that with --offline/,
    );
    const accepted = await call(offline.port, "--offline", "--quiet");
    assert.equal(accepted.code, 0, accepted.stderr);
    assert.equal(accepted.stdout, "from alice");
    assert.equal(
      accepted.stderr,
      "pki: warning: whether the certificate of alice was revoked is not known (--offline)\n",
    );
    const listened = await offline.running.finished;
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(statusIn(listened.stderr), "unchecked");
    assert.doesNotMatch(listened.stderr, /unstapled/);
  }));

/** A listener on TCP that counts who calls, and says nothing. */
async function listenSilently(): Promise<{ server: Server; port: number; calls: () => number }> {
  let calls = 0;
  const server = createServer((socket) => {
    calls++;
    socket.on("error", () => {}); // the caller gives up
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address);
  return { server, port: address.port, calls: () => calls };
}

test("with --offline no server is asked", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { server, port, calls } = await listenSilently();
    const flags = ["--offline", "--server", `127.0.0.1:${port}`];
    const listener = await world.listen("alice", ["--once", ...flags]);
    await world.ok("bob", ["connect", `localhost:${listener.port}`, ...flags]);
    assert.equal((await listener.running.finished).code, 0);
    assert.equal(calls(), 0);
    server.close();
  }));

test("a server that does not answer is given up in time", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { server, port, calls } = await listenSilently();
    const listener = await world.listen("alice", ["--once"]);
    const called = await world.ok("bob", [
      ...["connect", `localhost:${listener.port}`, "--server", `127.0.0.1:${port}`],
    ]);
    assert.match(called.stderr, /^cannot reach 127\.0\.0\.1:\d+: no answer in 3 s; peers have to/m);
    assert.equal(calls(), 1);
    assert.equal(statusIn((await listener.running.finished).stderr), "fetched");
    server.close();
  }));

test("a revoked peer is refused, and knows why", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const bob = await forge.registered(world, "bob");
    const { running, port } = await world.listen("alice");
    await revoke(world, "bob", bob);

    const revoked = /cannot trust certificate: it was revoked 20/;
    for (const command of [["connect", `localhost:${port}`], ["listen", "--port", "0"]]) {
      const own = await world.as("bob", command);
      assert.equal(own.code, 6, own.stderr);
      assert.match(
        own.stderr,
        /pki: error: no peer will trust your certificate: it was revoked 20/,
      );
      assert.match(own.stderr, /pki: hint: get a new one with: pki csr --rekey/);
    }
    const calls = await world.as("bob", ["connect", `localhost:${port}`, "--offline"]);
    assert.equal(calls.code, 6, calls.stderr);
    assert.match(calls.stderr, /the peer refuses: cannot trust certificate: it was revoked 20/);
    await running.waitFor(
      /"event":"turned-away","kind":"untrusted","message":"[^"]*was revoked 20/,
    );

    const listens = await world.listen("bob", ["--offline"]);
    const called = await world.as("alice", ["connect", `localhost:${listens.port}`]);
    assert.equal(called.code, 6, called.stderr);
    assert.match(called.stderr, revoked);

    // What the server says of bob, stapled by somebody who means well: --offline does not help.
    const request = encodeOcspRequest({
      issuer: forge.issuing,
      serials: [bob.leaf.serial],
    });
    const said = await withClient(RawClient.open(world), async (client) => {
      await client.ok("HELLO");
      return String((await client.ok("STATUS", { request: encodeBase64(request) }))["response"]);
    });
    const offline = await world.listen("alice", ["--offline"]);
    assert.match(
      await refusalOf(await callAs(bob, offline.port), { ...HELLO, status: said }),
      revoked,
    );

    await world.ok("bob", ["csr", "--rekey"]);
    await world.ok("bob", ["connect", `localhost:${port}`]);
  }));

/** Greets with this, and gives the words of the refusal, after which nothing more may come. */
async function refusalOf(peer: RawPeer, hello: Event): Promise<string> {
  peer.send(control(hello), control(REVEAL), control(READY));
  await peer.control("HELLO");
  const { code, message } = await peer.refusal();
  assert.equal(code, "UNTRUSTED");
  assert.deepEqual(await peer.typesToClose(), []);
  return String(message);
}

const HOUR_MS = 3_600_000;

/** What a peer of that certificate might staple that is worth nothing, in base64. */
async function worthless(world: World, forge: Forge, credential: Credential) {
  const foreign = await Forge.foreign(world);
  const longAgoMs = Date.now() - 2 * HOUR_MS;
  const soonMs = Date.now() + HOUR_MS;
  return {
    "nothing": undefined,
    "no response": encodeBase64(utf8("good")),
    "a stale one": encodeBase64(forge.status(credential, { thisUpdateMs: longAgoMs })),
    "one of the future": encodeBase64(forge.status(credential, { thisUpdateMs: soonMs })),
    "one for years": encodeBase64(
      forge.status(credential, { nextUpdateMs: Date.now() + 20_000 * HOUR_MS }),
    ),
    "another user's": (await forge.user("carol")).status,
    "one of another CA": encodeBase64(foreign.status(credential)),
  } as const;
}

const UNKNOWN = /^cannot trust certificate: its CA says that it has not issued it$/;
const NOT_KNOWN = /^cannot trust certificate: whether it was revoked is not known$/;

test("a listener takes no status for good but the CA's own, fresh, of this certificate", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const online = await world.listen("alice");
    const alone = await world.listen("alice", NOWHERE);
    const offline = await world.listen("alice", ["--offline"]);
    const registered = await forge.registered(world, "bob");
    // Signed by the CA's key, but nowhere in its tables: what a thief of that key would make.
    const forged = await forge.user("mallory");

    const good = [...Object.entries(await worthless(world, forge, registered)), [
      "a good one",
      registered.status,
    ]] as const;
    for (const [name, status] of good) {
      const hello = status === undefined ? HELLO : { ...HELLO, status };
      if (name !== "a good one") {
        const refusal = await refusalOf(await callAs(registered, alone.port), hello);
        assert.match(refusal, NOT_KNOWN, name);
        assert.doesNotMatch(refusal, /localhost/, "where our server is, is not for the peer");
      }
      for (const { port } of name === "a good one" ? [alone, online, offline] : [online, offline]) {
        const peer = await callAs(registered, port);
        peer.send(control(hello), control(REVEAL));
        await peer.control("HELLO");
        await peer.control("NONCE");
        await peer.control("READY");
        peer.hangUp();
      }
    }
    for (const [name, status] of Object.entries(await worthless(world, forge, forged))) {
      const hello = status === undefined ? HELLO : { ...HELLO, status };
      assert.match(await refusalOf(await callAs(forged, online.port), hello), UNKNOWN, name);
    }
    for (
      const [status, says] of [
        [forge.status(forged, { status: { type: "unknown" } }), UNKNOWN],
        [forge.status(forged, { status: revokedAt(Date.now()) }), /it was revoked 20/],
      ] as const
    ) {
      const hello = { ...HELLO, status: encodeBase64(status) };
      for (const { port } of [online, alone, offline]) {
        assert.match(await refusalOf(await callAs(forged, port), hello), says);
      }
    }
  }));

test("a caller tells nothing to a listener of whom nobody says that it is not revoked", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const forge = await Forge.ofServer(world);
    const mallory = await forge.user("mallory");
    const rows = [
      { flags: [], status: undefined, says: /its CA says that it has not issued it/ },
      { flags: NOWHERE, status: undefined, says: /whether it was revoked is not known/ },
      {
        flags: ["--offline"],
        status: encodeBase64(forge.status(mallory, { status: revokedAt(Date.now()) })),
        says: /it was revoked 20/,
      },
    ];
    for (const { flags, status, says } of rows) {
      const refused = Promise.withResolvers<string>();
      const listener = await RawListener.start(mallory, (peer) => {
        const hello = { ...helloAs("listener"), ...(status === undefined ? {} : { status }) };
        refusalOf(peer, hello).then(refused.resolve, refused.reject);
      });
      const called = await world.as("alice", ["connect", listener.where, ...flags], {
        input: "a secret",
      });
      assert.equal(called.code, 6, called.stderr);
      assert.match(called.stderr, says);
      assert.match(await refused.promise, says);
      assert.equal(called.stdout, "");
      listener.close();
    }
  }));

test("openssl believes what a peer staples", needs("openssl"), () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const { port } = await world.listen("alice");
    const peer = await callAs(await forge.registered(world, "bob"), port);
    const { status } = await peer.control("HELLO");
    peer.hangUp();
    const alice = await forge.registered(world, "alice");
    const path = world.path("status.der");
    fs.writeFileSync(path, parseBase64(String(status)));
    const read = (leafPath: string) =>
      runProgram("openssl", [
        ...["ocsp", "-respin", path, "-sha256", "-issuer", alice.issuingPath, "-cert", leafPath],
        ...["-CAfile", forge.rootPath, "-verify_other", alice.issuingPath, "-no_nonce"],
      ]);
    const { code, stdout, stderr } = await read(alice.leafPath);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /Response verify OK/);
    assert.match(stdout, /^\S+: good\n\s+This Update: .*\n\s+Next Update: /);
    const other = await read((await forge.user("carol")).leafPath);
    assert.match(other.stdout + other.stderr, /No Status found/);
  }));

test("a listener shows its status as soon as the server is back, and ends if it is revoked", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const alice = await forge.registered(world, "alice");
    const bob = await forge.registered(world, "bob");
    const { port, running } = world.server;
    const serveAgain = async () => {
      const again = world.start(["serve", "--port", `${port}`, "--json"]);
      await again.waitFor(/"event":"ready"/);
      return again;
    };
    const withoutServer = async () => {
      const listener = await world.listen("alice", [], { keepStdin: true });
      assert.match(listener.running.stderr, /^\{"event":"unstapled","kind":"unreachable"/);
      return listener;
    };
    await running.end();
    const first = await withoutServer();
    const before = await callAs(bob, first.port);
    assert.equal("status" in await before.control("HELLO"), false);
    before.hangUp();
    const again = await serveAgain();
    await first.running.waitFor(/"event":"stapled"/);
    const after = await callAs(bob, first.port);
    assert.ok((await after.control("HELLO"))["status"]);
    after.hangUp();
    await first.running.end();

    await revoke(world, "alice", alice);
    await again.end();
    const second = await withoutServer();
    const talking = await callAs(bob, second.port);
    await talking.open();
    await second.running.waitFor(/"event":"connected"/);
    const third = await withoutServer();
    await serveAgain();
    const ended = await third.running.finished;
    assert.equal(ended.code, 6, ended.stderr);
    assert.match(
      inWords(ended.stderr),
      /pki: error: no peer will trust your certificate: it was revoked 20/,
    );
    assert.equal(second.running.isOver, false, "a conversation goes on");
    talking.hangUp();
    assert.equal((await second.running.finished).code, 6);
  }));
