/** One client with thousands of requests under way, on many connections, and another with a few. */

import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { writeLimits } from "./administrator.ts";
import { inWorld, PASSWORDS, type World } from "./harness.ts";
import { folderOf, pemOf } from "./identity.ts";
import { type Message, RawClient } from "./raw_client.ts";

/** All of them are under way at once: the server's limits say so. */
const CONNECTIONS = 8;
const REQUESTS = 400;
/** Of the other, all at once too; in turns, as many of the flood are carried out meanwhile. */
const OTHERS = 100;
/**
 * In turns of connections it would be `CONNECTIONS` times as many; what is beyond `OTHERS` is done
 * before all of them have been read.
 */
const MEANWHILE_MAX = 4 * OTHERS;
/** In the order of their coming next to nothing of the flood would be left behind them. */
const LEFT_MIN = CONNECTIONS * REQUESTS / 2;

/** A session that the identity's certificate has opened. */
async function openSession(world: World, id: string, own: KeyObject): Promise<RawClient> {
  const key = own.export({ type: "pkcs8", format: "pem" });
  const client = await RawClient.open(world, { key, cert: pemOf(world, id) });
  await client.ok("HELLO");
  await client.ok("LOGIN_CERTIFICATE");
  return client;
}

async function keyOf(world: World, id: string): Promise<KeyObject> {
  const pem = fs.readFileSync(join(folderOf(world, id), "key.pem"), "utf8");
  return await decryptPrivateKey(pem, PASSWORDS[id] ?? "", "the key");
}

/** Entries that the log had when it was asked for, as its checkpoint says in the second line. */
const sizeIn = (proof?: Message): number => Number(String(proof?.["checkpoint"]).split("\n")[1]);

test("thousands of requests of one user under way delay another's by as many of them only", () =>
  inWorld(async (world) => {
    // Few at work: what is counted below is whose turn it was.
    writeLimits(world, { requestsInFlight: REQUESTS, requestsAtWork: 8 });
    await world.withUsers("alice", "bob");
    await world.ok("bob", ["upload"]);
    const [aliceKey, bobKey] = await Promise.all([keyOf(world, "alice"), keyOf(world, "bob")]);
    const bob = await openSession(world, "bob", bobKey);
    const flooders: RawClient[] = [];
    for (let count = 0; count < CONNECTIONS; count++) {
      flooders.push(await openSession(world, "alice", aliceKey));
    }
    const csr = encodeBase64(await makeCsr(aliceKey, "alice"));
    for (const flooder of flooders) {
      for (let count = 0; count < REQUESTS; count++) flooder.say("CSR", { csr });
    }
    await Promise.all(flooders.map((flooder) => flooder.next()));
    // The log grows by each request of the flood: it says itself how many were carried out meanwhile.
    const first = bob.say("PROOF");
    for (let count = 0; count < OTHERS; count++) bob.say("CERTREQ", { id: "bob" });
    const last = bob.say("PROOF");
    const answers = new Map<number, Message>();
    while (answers.size <= last - first) {
      const answer = await bob.next();
      assert.equal(answer.type, "OK");
      answers.set(answer.seq, answer);
    }
    const [before, after] = [sizeIn(answers.get(first)), sizeIn(answers.get(last))];
    let newest = 0;
    for (const flooder of flooders) {
      for (let count = 1; count < REQUESTS; count++) {
        const { type, index } = await flooder.next();
        assert.equal(type, "OK");
        newest = Math.max(newest, Number(index));
      }
    }
    assert.ok(newest - after >= LEFT_MIN, `of the flood ${newest - after} were left`);
    assert.ok(after - before <= MEANWHILE_MAX, `${after - before} of the flood came before`);
    assert.ok(after > before, "both have turns");
    for (const client of [bob, ...flooders]) client.close();
  }));
