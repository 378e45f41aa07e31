/** One client with two thousand requests under way, and another with one at a time. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { inWorld, PASSWORDS, type World } from "./harness.ts";
import { folderOf, pemOf } from "./identity.ts";
import { RawClient } from "./raw_client.ts";

/** Each has as many of its requests carried out at once as the server allows: 32. */
const CONNECTIONS = 10;
const REQUESTS = 200;
/** Requests of the other client, one after the other, during the flood. */
const SINGLES = 3;
/**
 * Where requests are done in the order of their coming, as many as are carried out at once come
 * between; in turns it is a few, and those that were answered while the single one was on its way.
 */
const BETWEEN_MAX = CONNECTIONS * SERVER_LIMITS.requestsInFlight.standard / 2;

/** A session that the identity's certificate has opened. */
async function openSession(world: World, id: string, key: string): Promise<RawClient> {
  const client = await RawClient.open(world, { key, cert: pemOf(world, id) });
  await client.ok("HELLO");
  await client.ok("LOGIN_CERTIFICATE");
  return client;
}

async function keyOf(world: World, id: string): Promise<string> {
  const pem = fs.readFileSync(join(folderOf(world, id), "key.pem"), "utf8");
  const key = await decryptPrivateKey(pem, PASSWORDS[id] ?? "", "the key");
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}

test("two thousand requests of one user delay another's single one by a few answers only", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await world.ok("bob", ["upload"]);
    const [aliceKey, bobKey] = await Promise.all([keyOf(world, "alice"), keyOf(world, "bob")]);
    const bob = await openSession(world, "bob", bobKey);
    const flooders: RawClient[] = [];
    for (let count = 0; count < CONNECTIONS; count++) {
      flooders.push(await openSession(world, "alice", aliceKey));
    }
    for (const flooder of flooders) {
      for (let count = 0; count < REQUESTS; count++) flooder.say("CERTREQ", { id: "bob" });
    }
    let answered = 0;
    const begun = Promise.withResolvers<void>();
    const floods = flooders.map(async (flooder) => {
      for (let count = 0; count < REQUESTS; count++) {
        assert.equal((await flooder.next()).type, "OK");
        answered++;
        begun.resolve();
      }
    });
    await begun.promise;
    const between: number[] = [];
    for (let count = 0; count < SINGLES; count++) {
      const before = answered;
      await bob.ok("CERTREQ", { id: "bob" });
      between.push(answered - before);
    }
    await Promise.all(floods);
    assert.equal(answered, CONNECTIONS * REQUESTS);
    const [median = NaN] = between.toSorted((a, b) => a - b).slice(SINGLES / 2);
    assert.ok(median < BETWEEN_MAX, `${between.join(", ")} answers between`);
    for (const client of [bob, ...flooders]) client.close();
  }));
