/** Bounds that an operator sets in `pki.json`, each reached by somebody, and what they hear. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import type { GivenLimits } from "../../lib/base/server_limits.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { folderOf, writeLimits } from "./administrator.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { inWorld, PKI_FAULTS, until, type World } from "./harness.ts";
import { header, RawClient } from "./raw_client.ts";

/** Has the running server take other limits. */
async function changeLimits(
  world: World,
  limits: GivenLimits,
  settings: { readonly maxConnections?: number } = {},
): Promise<void> {
  const { running } = world.server;
  const before = running.stderr.length;
  writeLimits(world, limits, settings);
  running.kill("SIGHUP");
  await until(
    () => /configuration: .*\blimits is /.test(running.stderr.slice(before)),
    "the limits are reloaded",
  );
}

/** A TCP connection that says nothing. */
async function knock(world: World, localAddress = "127.0.0.1"): Promise<Silent> {
  const socket = connectTcp({ host: "127.0.0.1", port: world.server.port, localAddress });
  const silent = new Silent(socket);
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return silent;
}

class Silent {
  readonly #socket: Socket;
  isOver = false;
  bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.bytes += chunk.length);
    socket.on("error", () => {}); // "close" follows
    socket.once("close", () => this.isOver = true);
  }

  /** Resolves when the server has ended it. */
  async end(): Promise<void> {
    await until(() => this.isOver, "a connection is ended that says nothing");
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Why a connection was ended: the last thing that the server said. */
async function lastWord(client: RawClient): Promise<string> {
  const { seq, code, message } = (await client.rest()).at(-1) ?? assert.fail("not a word");
  assert.equal(seq, 0);
  return `${code}: ${message}`;
}

async function greeted(world: World, localAddress?: string): Promise<RawClient> {
  const client = await RawClient.open(world, localAddress === undefined ? {} : { localAddress });
  await client.ok("HELLO");
  return client;
}

/** Far more often than anybody may. */
const ASKED_MAX = 600;

/** Goes on asking until the server ends it; returns the server's last word. */
async function askOnAndOn(client: RawClient): Promise<string> {
  for (let asked = 0; asked < ASKED_MAX; asked++) {
    client.say("PROOF");
    const { seq, code, message } = await client.next();
    if (seq === 0) return `${code}: ${message}`;
    // As a person would, from time to time. What it waits for is the server's last word.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return "nothing, for as long as it was asked";
}

test("every bound on time ends its own connection, and says which it was", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    // One bound at a time, so that nobody has to hurry who is about another one. Those who are in keep
    // what they had.
    await changeLimits(world, { handshakeSeconds: 3 });
    const silent = await knock(world);
    await changeLimits(world, { helloSeconds: 3 });
    const mute = await RawClient.open(world);
    await changeLimits(world, { frameSeconds: 2 });
    const halting = await greeted(world);
    halting.write(header(100));
    await changeLimits(world, { loginSeconds: 5 });
    const stranger = await greeted(world);
    await changeLimits(world, { idleSeconds: 3 });
    const idle = await loggedInCheaply(world, "dora");
    await changeLimits(world, { sessionSeconds: 10 });
    const busy = await loggedInCheaply(world, "dora");
    assert.equal(
      await askOnAndOn(busy),
      "TIMEOUT: connection closed: it was open for 10 s; connect again",
    );
    const closed = "TIMEOUT: connection closed: ";
    assert.equal(await lastWord(idle), `${closed}nothing was asked for 3 s`);
    assert.equal(await lastWord(mute), `${closed}there was no HELLO for 3 s`);
    assert.equal(await lastWord(halting), `${closed}a message took longer than 2 s to come`);
    assert.equal(await lastWord(stranger), `${closed}the login took longer than 5 s`);
    await silent.end();
    assert.equal(silent.bytes, 0);
  }));

test("a request that takes too long ends its connection, whatever becomes of it", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    await changeLimits(world, { requestSeconds: 3 });
    const client = await loggedInCheaply(world, "dora");
    client.say("CERTREQ", { id: "fault-connection-forget" });
    await client.refused("NOT_FOUND", "CERTREQ", { id: "dora" }); // others are answered meanwhile
    assert.equal(
      await lastWord(client),
      "TIMEOUT: connection closed: a request took longer than 3 s, and may still be carried out",
    );
    // Nor is it waited for when the connection is about to end for another reason.
    const rude = await loggedInCheaply(world, "dora");
    rude.say("CERTREQ", { id: "fault-connection-forget" });
    rude.write(header(0));
    assert.match(await lastWord(rude), /^PROTOCOL: cannot read frame: its length is 0/);
  }, PKI_FAULTS));

test("every bound on how much is kept for each address and each account, from a reload on", () =>
  inWorld(async (world) => {
    await world.serve();
    const { running } = world.server;
    // This machine is spared where nothing is said.
    const crowd = await Promise.all(Array.from({ length: 5 }, () => greeted(world, "127.0.0.9")));
    for (const client of crowd) client.close();

    await changeLimits(world, {
      ...{ connectionsPerAddress: 2, handshakesPerAddress: 2, handshakeSeconds: 60 },
      ...{ statusesPerMinute: 3, entriesPerHour: 2 },
    });
    const two = [await greeted(world, "127.0.0.2"), await greeted(world, "127.0.0.2")];
    const third = await RawClient.open(world, { localAddress: "127.0.0.2" });
    assert.equal(
      await lastWord(third),
      "BUSY: the server is busy: too many connections from this address, try again in 5 s",
    );
    const elsewhere = await greeted(world, "127.0.0.3");
    two[0]?.close();
    for (let isIn = false; !isIn;) {
      const again = await RawClient.open(world, { localAddress: "127.0.0.2" });
      again.say("HELLO");
      isIn = (await again.next()).type === "OK";
      again.close();
    }

    const silent = [await knock(world, "127.0.0.4"), await knock(world, "127.0.0.4")];
    const dropped = await knock(world, "127.0.0.4");
    await dropped.end();
    assert.equal(dropped.bytes, 0);
    await running.waitFor(/1 connections were dropped before TLS: too many at once/);
    (await greeted(world, "127.0.0.5")).close(); // others do not notice
    for (const one of silent) one.close();

    const path = join(folderOf(world), "issuing.crt");
    const issuer = parseCertificate(
      parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path),
    );
    const ask = (nonce: number) => ({
      request: encodeBase64(
        encodeOcspRequest({ issuer, serials: ["01"], nonce: new Uint8Array(16).fill(nonce) }),
      ),
    });
    for (let nonce = 1; nonce <= 3; nonce++) await elsewhere.ok("STATUS", ask(nonce));
    const refused = await elsewhere.refused("BUSY", "STATUS", ask(4));
    assert.match(refused.message ?? "", /too many were asked for, try again in \d+ s$/);
    // Another address, and whoever has logged in, has a bound of its own.
    const alice = await greeted(world, "127.0.0.6");
    await alice.ok("STATUS", ask(5));
    await alice.register("alice");
    assert.equal((await alice.logIn("alice")).type, "OK");
    await alice.refused("MALFORMED", "CSR", { csr: "AAAA" });
    await alice.refused("MALFORMED", "CSR", { csr: "AAAA" });
    const over = await alice.refused("BUSY", "CSR", { csr: "AAAA" });
    assert.match(over.message ?? "", /too many entries of the log by this account, try again in/);

    // As many as in six seconds come in at once; whoever comes on and on is soon refused before TLS.
    await changeLimits(world, { handshakesPerSecond: 1, handshakeSeconds: 60 });
    const came: Silent[] = [];
    while (came.length < 1000 && !came.some(({ isOver }) => isOver)) {
      came.push(await knock(world, "127.0.0.8"));
    }
    assert.ok(came.length > 6 && came.length < 1000, `${came.length} have come`);
    assert.ok(came.every(({ bytes }) => bytes === 0));
    await running.waitFor(/connections were dropped before TLS: too many of one address within a/);
    (await greeted(world, "127.0.0.7")).close(); // others do not notice
    // Who was refused before TLS has failed in no handshake; those have who said nothing and left.
    let status = await world.run(["status", "--json"]);
    while (JSON.parse(status.stdout).handshakes.failed < silent.length) {
      status = await world.run(["status", "--json"]);
    }
    const { connections: { refused: reasons }, handshakes } = JSON.parse(status.stdout);
    assert.ok(reasons.rate >= 1 && reasons.sockets === 1, status.stdout);
    assert.equal(handshakes.failed, silent.length, status.stdout);
    for (const one of came) one.close();

    // One account from many addresses: who is in goes on, and others come in.
    await changeLimits(world, { connectionsPerUser: 1 });
    const again = await greeted(world, "127.0.0.10");
    const tooMany = await again.logIn("alice");
    assert.equal(
      `${tooMany.code}: ${tooMany.message}`,
      "BUSY: cannot log in: too many sessions of this account are open (1 by password), try again in 5 s",
    );
    const beyond = await world.as("alice", ["request", "alice"]);
    assert.equal(beyond.code, 8, beyond.stderr);
    assert.match(
      beyond.stderr,
      /error: .*too many sessions of this account are open.*, try again in 5 s/,
    );
    await alice.refused("NOT_FOUND", "LOCATE", { id: "alice" });
    await again.register("bob");
    assert.equal((await again.logIn("bob")).type, "OK");
    again.close();

    // All places are taken by handshakes that say nothing, of a few addresses: others come in.
    const places = 8 + LIMITS.handshakesMax;
    await changeLimits(world, { handshakeSeconds: 60 }, { maxConnections: 8 });
    const crowdOf = (host: number) =>
      Promise.all(Array.from({ length: places / 4 }, () => knock(world, `127.0.0.${host}`)));
    const waiting = (await Promise.all([21, 22, 23, 24, 25].map(crowdOf))).flat();
    for (const host of [31, 32, 33]) (await greeted(world, `127.0.0.${host}`)).close();
    await running.waitFor(
      /dropped before TLS: their handshakes gave way to others, since all places/,
    );
    const { stdout } = await world.run(["status", "--json"]);
    const { displaced } = JSON.parse(stdout).connections.refused;
    assert.ok(displaced >= 1, stdout);
    assert.ok(waiting.every(({ bytes }) => bytes === 0));
    for (const one of waiting) one.close();

    await changeLimits(world, { memoryMegabytes: 1 });
    const late = await RawClient.open(world);
    assert.match(
      await lastWord(late),
      /^BUSY: the server is busy: it uses more than 1 MB of memory/,
    );
    await alice.refused("NOT_FOUND", "LOCATE", { id: "alice" }); // who is in goes on
    for (const client of [two[1], elsewhere, alice]) client?.close();
  }));
