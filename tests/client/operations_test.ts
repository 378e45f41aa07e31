/** The operations with a real directory behind them; `operations_lies_test.ts` has the dishonest ones. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256, utf8 } from "../../lib/base/bytes.ts";
import type { Home } from "../../lib/client/home.ts";
import { LogMemory } from "../../lib/client/log_memory.ts";
import { type Asking, certify, isForKey, lookUp, publish } from "../../lib/client/operations.ts";
import type { ServerConnection } from "../../lib/client/server_connection.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  assertFails,
  DOMAIN,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  type TestDirectory,
} from "../fakes/directory.ts";
import { connectTo } from "./fake_socket.ts";
import { inHome } from "./temporary_home.ts";

const LEAF = utf8("leaf");
const CA = await makeCa();
const ANCHOR = { root: CA.root, domain: DOMAIN };
const KEY = await generatePrivateKey("p256");
const OTHER_KEY = await generatePrivateKey("ed25519");
const CSR = { csr: await makeCsr(KEY, "alice"), spki: encodeSpki(KEY) };

interface Visit {
  readonly connection: ServerConnection;
  readonly alice: Asking;
}

/** Alice's session with a directory, and what her home remembers of its log. */
async function visit(world: TestDirectory, home: Home): Promise<Visit> {
  const connection = connectTo(await openAs(world, "alice", { leafHash: sha256(LEAF) }), LEAF);
  await connection.greet(ANCHOR, { current: CA.issuing, nowMs: NOW_MS });
  const log = new LogMemory({
    home,
    connection,
    anchor: ANCHOR,
    address: { host: "192.0.2.1", port: 7443 },
    now: () => NOW_MS,
    warn: (text) => assert.fail(text),
  });
  return { connection, alice: { id: "alice", anchor: ANCHOR, nowMs: NOW_MS, log } };
}

test("certify(), publish() and lookUp() with a real directory and its log", async () => {
  await inHome(async (home) => {
    const { connection, alice } = await visit(await makeDirectory(CA), home);
    const certified = await certify(connection, CSR, alice);
    assert.equal(certified.id, "alice");
    assert.ok(isForKey(certified.ders[0], CSR.spki));
    assert.ok(!isForKey(certified.ders[0], encodeSpki(OTHER_KEY)));
    const first = home.loadCheckpoint();
    assert.notEqual(first, undefined, "the log is remembered");
    await assertFails(
      lookUp(connection, alice),
      "not-found",
      /^the server says: cannot find "alice"/,
    );
    await assertFails(
      publish(connection, { certificate: certified.ders[0], key: OTHER_KEY }),
      "refused",
      /not by the certificate's key/,
    );
    await publish(connection, { certificate: certified.ders[0], key: KEY });
    await alice.log.prove();
    assert.notEqual(home.loadCheckpoint(), first, "publishing is an entry");
    assert.deepEqual((await lookUp(connection, alice)).ders, certified.ders);
  });
});

test("publish() through somebody who relays it to the server is refused", async () => {
  await inHome(async (home) => {
    const world = await makeDirectory(CA);
    const { connection, alice } = await visit(world, home);
    const { ders } = await certify(connection, CSR, alice);
    const session = await openAs(world, "alice", { leafHash: sha256(LEAF) });
    await assertFails(
      publish(connectTo(session, utf8("other leaf")), { certificate: ders[0], key: KEY }),
      "refused",
      /not by the certificate's key/,
    );
  });
});
