/** One client with five thousand requests under way, and another with one at a time. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import type { GivenLimits } from "../../lib/base/server_limits.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { inWorld, PASSWORDS, type World } from "./harness.ts";
import { folderOf, pemOf } from "./identity.ts";
import { RawClient } from "./raw_client.ts";

/** All of them are under way at once: the server's limits say so. */
const CONNECTIONS = 5;
const REQUESTS = 1000;
/**
 * In the order of their coming one or two of the single requests would be answered meanwhile, each behind
 * all that had come before it; in turns it is dozens.
 */
const MEANWHILE_MIN = 8;

/** A session that the identity's certificate has opened. */
async function openSession(world: World, id: string, key: string): Promise<RawClient> {
  const client = await RawClient.open(world, { key, cert: pemOf(world, id) });
  await client.ok("HELLO");
  await client.ok("LOGIN_CERTIFICATE");
  return client;
}

function writeLimits(world: World, limits: GivenLimits): void {
  const folder = join(world.home, "server");
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(join(folder, "pki.json"), JSON.stringify({ limits }));
}

async function keyOf(world: World, id: string): Promise<string> {
  const pem = fs.readFileSync(join(folderOf(world, id), "key.pem"), "utf8");
  const key = await decryptPrivateKey(pem, PASSWORDS[id] ?? "", "the key");
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}

test("five thousand requests of one user under way delay another's single one by a few only", () =>
  inWorld(async (world) => {
    writeLimits(world, { requestsInFlight: REQUESTS, answersUnreadBytes: 64 * 1024 * 1024 });
    await world.withUsers("alice", "bob");
    await world.ok("bob", ["upload"]);
    const [aliceKey, bobKey] = await Promise.all([keyOf(world, "alice"), keyOf(world, "bob")]);
    const bob = await openSession(world, "bob", bobKey);
    const flooders: RawClient[] = [];
    for (let count = 0; count < CONNECTIONS; count++) {
      flooders.push(await openSession(world, "alice", aliceKey));
    }
    // Each is signed by itself, because of the nonce: so the flood takes its time.
    const [, issuing] = parseCertificatesPem(pemOf(world, "bob"), "bob's certificate");
    const request = encodeBase64(encodeOcspRequest({
      issuer: parseCertificate(issuing ?? new Uint8Array()),
      serials: ["01"],
      nonce: new Uint8Array(32),
    }));
    for (const flooder of flooders) {
      for (let count = 0; count < REQUESTS; count++) flooder.say("STATUS", { request });
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
    let meanwhile = 0;
    for (; answered < CONNECTIONS * REQUESTS && meanwhile < MEANWHILE_MIN; meanwhile++) {
      await bob.ok("CERTREQ", { id: "bob" });
    }
    await Promise.all(floods);
    assert.equal(answered, CONNECTIONS * REQUESTS);
    assert.ok(meanwhile >= MEANWHILE_MIN, `${meanwhile} single requests were answered meanwhile`);
    for (const client of [bob, ...flooders]) client.close();
  }));
