/**
 * Faults of the threads that the server cannot be without, in the middle of requests and of groups of
 * entries on their way to the disk: it stops, says so, and has everything that it has acknowledged.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { concatBytes, encodeBase64, parseBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { checkSeal } from "../../lib/store/snapshot.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { folderOf, list, ok } from "./administrator.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { inWords, inWorld, PKI_FAULTS, until } from "./harness.ts";
import type { Message, RawClient } from "./raw_client.ts";

const HINT = /^pki: hint: everything that was acknowledged is in the log; start the server again$/m;

/** What a lookup of `fault-<id>` does, and what the operator hears of it. */
const FAULTS: readonly (readonly [id: string, says: RegExp, hint?: RegExp])[] = [
  ["directory-told", /^pki: error: the directory failed: environment \{\}, told /m],
  ["directory-memory", /^pki: error: the directory failed: Out of memory/m],
  ["directory-exit", /^pki: error: the directory ended by itself$/m],
  ["directory-loop", /^pki: error: the directory does not answer$/m],
  ["authority-told", /^pki: error: the authority failed: environment \{\}, told /m],
  ["authority-loop", /^pki: error: the authority does not answer$/m],
  [
    "main-throw",
    /^pki: error: something unforeseen happened: Error: a fault on purpose$/m,
    /report/,
  ],
];

/** Requests of one client, of which the one that fails is in the middle. */
const REQUESTS = 24;

/** Asks for certificates and for a fault among them; returns everything until the connection ends. */
async function askUntilFault(
  client: RawClient,
  csr: string,
  fault: string,
): Promise<readonly Message[]> {
  for (let i = 0; i < REQUESTS; i++) {
    if (i === REQUESTS / 2) client.say("CERTREQ", { id: `fault-${fault}` });
    client.say("CSR", { csr });
  }
  return await client.rest();
}

test("a fault in directory, authority or main thread stops the server, and loses nothing", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await registerCheaply(world, "dora");
    const csr = encodeBase64(await makeCsr(await generatePrivateKey("p256"), "dora"));
    const acknowledged = new Map<number, string>();
    for (const [fault, says, hint = HINT] of FAULTS) {
      const { running } = world.server;
      const ids = [fault, "none", "none"];
      const clients = await Promise.all(ids.map(() => loggedInCheaply(world, "dora")));
      const heard = await Promise.all(
        clients.map((client, i) => askUntilFault(client, csr, ids[i] ?? "")),
      );
      const stopped = await running.finished;
      const stderr = inWords(stopped.stderr);
      assert.equal(stopped.code, 1, `${fault}: ${stderr}`);
      assert.match(stderr, says);
      assert.match(stderr, hint);
      assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
      for (const { type, index, certificate, seq, code } of heard.flat()) {
        if (type === "ERROR" && seq === 0) assert.equal(code, "INTERNAL", fault);
        if (type !== "OK") continue;
        const { serial } = parseCertificate(parseBase64(String(certificate)));
        acknowledged.set(Number(index), serial);
      }
      await world.serve();
    }
    assert.ok(acknowledged.size >= FAULTS.length, `${acknowledged.size} were acknowledged`);
    const rows = await list(world, "--limit", "10000");
    const listed = new Map(rows.map(({ index, serial }) => [index, serial]));
    for (const [index, serial] of acknowledged) {
      assert.equal(listed.get(index), serial, `entry ${index}`);
    }
    await world.ok("alice", ["request", "alice"]);

    // One that comes while the server ends does not keep it from that.
    const client = await loggedInCheaply(world, "dora");
    await client.refused("NOT_FOUND", "CERTREQ", { id: "fault-directory-exit-soon" });
    client.say("CERTREQ", { id: "fault-connection-forget" }); // which the end waits for
    const ended = await world.server.running.end();
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(inWords(ended.stderr), /^pki: error: the directory ended by itself$/m);

    // Nor does a directory that will never end; what was acknowledged is there all the same.
    await world.serve();
    const late = await loggedInCheaply(world, "dora");
    const { index } = await late.ok("CSR", { csr });
    await late.refused("NOT_FOUND", "CERTREQ", { id: "fault-directory-loop-soon" });
    late.say("CERTREQ", { id: "fault-connection-forget" });
    const given = await world.server.running.end();
    assert.equal(given.code, 1, given.stderr);
    assert.match(inWords(given.stderr), /^pki: error: the directory has not ended within 1.5 s$/m);
    assert.match(inWords(given.stderr), HINT);
    await world.serve();
    const kept = await list(world, "--limit", "10000");
    assert.ok(kept.some((row) => row.index === index), `entry ${index}`);
    assert.equal((await world.server.running.end()).code, 0);
    await ok(world, ["log", "verify"]);
  }, PKI_FAULTS));

test("a fault before the server is ready ends it like any other, and leaves nothing behind", () =>
  inWorld(async (world) => {
    await world.serve();
    const folder = folderOf(world);
    assert.equal((await world.server.running.end()).code, 0);
    const path = join(folder, "state.db");
    await loadSqlite();
    const database = Database.deserialize(checkSeal(new Uint8Array(fs.readFileSync(path))));
    // What looks after missing copies from the start on fails, beside all that somebody waits for.
    database.exec(
      `UPDATE meta SET value = 'somebody' WHERE key = 'missing_copies';
       ALTER TABLE certificates RENAME COLUMN issued_ms TO fault`,
    );
    const file = database.serialize();
    database.close();
    fs.writeFileSync(path, concatBytes(file, utf8("pki state seal 1\n"), sha256(file)));
    const { code, stdout, stderr } = await world.run(["serve", "--port", "0", "--json"]);
    assert.deepEqual([code, stdout], [1, ""], stderr);
    assert.match(
      inWords(stderr),
      /^pki: error: the directory failed: no such column: issued_ms/m,
    );
    assert.match(inWords(stderr), HINT);
    assert.deepEqual(
      fs.readdirSync(folder).filter((name) => fs.lstatSync(join(folder, name)).isSocket()),
      [],
      "it was stopped, and not only ended",
    );
  }));

test("a TCP connection that does not begin TLS is closed, by serve and by listen", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const listener = await world.listen("alice", [], { keepStdin: true });
    await Promise.all([world.server.port, listener.port].map((port) => {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => {}); // "close" follows
      socket.resume();
      // The engine would end it, too, after two minutes.
      return until(() => socket.closed, `port ${port} ends what says nothing`);
    }));
  }));
