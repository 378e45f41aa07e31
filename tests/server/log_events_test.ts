/** What the directory tells whoever runs the server: of every entry and request, and no secret. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { carryOut } from "../../lib/server/directory_orders.ts";
import { formatLine, type LogEvent } from "../../lib/server/log.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  ask,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  startLoggingIn,
  startRegistering,
  type TestDirectory,
} from "../fakes/directory.ts";

const shownOf = ({ event, fields }: LogEvent) => [event, fields] as const;

/** What was told since the last time. */
function tellNew({ told }: TestDirectory): LogEvent[] {
  return told.splice(0).filter(({ level }) => level !== "debug");
}

test("a directory tells of registrations, logins, certificates and revocations", async () => {
  const ca = await makeCa();
  const world = await makeDirectory(ca);
  const session = await openAs(world, "alice", { connection: 7 });
  const who = { connection: 7, address: "192.0.2.1" };
  assert.deepEqual(tellNew(world).map(shownOf), [
    ["account.registered", { entry: 0, id: "alice", address: "192.0.2.1" }],
    ["login.accepted", { ...who, id: "alice", by: "password" }],
  ]);
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, "alice"));
  await ask(session, "CSR", { csr });
  const [issued] = tellNew(world);
  const { serial } = world.state.newestOf("alice") ?? assert.fail();
  assert.equal(issued?.event, "certificate.issued");
  const { notAfter, ...fields } = issued?.fields ?? {};
  assert.deepEqual(fields, { entry: 1, profile: "user", id: "alice", serial });
  assert.ok(Date.parse(String(notAfter)) > NOW_MS);
  await ask(session, "REVOKE", { serial, reason: "superseded" });
  assert.deepEqual(tellNew(world).map(shownOf), [
    ["certificate.revoked", { entry: 2, id: "alice", serial, reason: "superseded" }],
  ]);
  await assert.rejects(ask(session, "CERTREQ", { id: "bob" }));
  const [refused] = tellNew(world);
  assert.deepEqual(refused, {
    level: "info",
    event: "request.refused",
    message: 'cannot find "bob": nobody has published a certificate under this id',
    fields: { ...who, id: "alice", type: "CERTREQ", code: "NOT_FOUND" },
  });
});

test("a directory tells of guesses, whether they are finished or not", async () => {
  const ca = await makeCa();
  const world = await makeDirectory(ca);
  await (await startRegistering(world.open(), { id: "alice", root: ca.root }))();
  tellNew(world);
  const session = world.open({ connection: 1 });
  const guess = () =>
    startLoggingIn(session, { id: "alice", password: "not that one", root: ca.root });
  assert.equal(await guess(), undefined);
  assert.deepEqual(tellNew(world), [], "it may be finished yet");
  await guess();
  const who = { connection: 1, address: "192.0.2.1", id: "alice" };
  assert.deepEqual(tellNew(world).map(shownOf), [["login.unfinished", who]]);
  world.directory.closeSession(session);
  assert.deepEqual(tellNew(world).map(shownOf), [["login.unfinished", who]]);

  const other = world.open({ connection: 2 });
  await startLoggingIn(other, { id: "nobody", root: ca.root });
  const finish = {
    finish: encodeBase64(new Uint8Array(64)),
    binding: encodeBase64(new Uint8Array(32)),
  };
  await assert.rejects(ask(other, "LOGIN_FINISH", finish));
  const [refused, ...more] = tellNew(world);
  assert.equal(refused?.event, "login.refused");
  assert.equal(refused?.message, "cannot log in: the id or the password is wrong");
  assert.equal(refused?.fields?.["id"], "nobody");
  world.directory.closeSession(other);
  assert.deepEqual([...more, ...tellNew(world)], [], "it is told once");

  await assert.rejects(ask(world.open(), "REGISTER", { id: "alice", request: "AA" }));
  assert.equal(tellNew(world)[0]?.event, "registration.refused");
});

test("a directory tells of invitations and accounts, and never a token", async () => {
  const world = await makeDirectory(await makeCa());
  const { directory } = world;
  await openAs(world, "alice");
  tellNew(world);
  const invite = {
    type: "INVITE",
    body: { id: "bob", isReset: false, forMs: 1000, uses: 1 },
  } as const;
  const answer = await carryOut(directory, invite);
  const number = world.entries.length - 1;
  await carryOut(directory, { type: "WITHDRAW", body: { number } });
  for (const action of ["disable", "enable", "delete"] as const) {
    await carryOut(directory, { type: "USER", body: { id: "alice", action } });
  }
  const told = tellNew(world);
  const expires = new Date(NOW_MS + 1000).toISOString();
  assert.deepEqual(told.map(shownOf), [
    ["invitation.made", { entry: number, id: "bob", uses: 1, expires, invitation: number }],
    ["invitation.withdrawn", { entry: number + 1, invitation: number }],
    ["account.disabled", { entry: number + 2, id: "alice" }],
    ["account.enabled", { entry: number + 3, id: "alice" }],
    ["account.deleted", { entry: number + 4, id: "alice" }],
  ]);
  assert.ok("token" in answer);
  const hash = world.entries[number]?.private?.["tokenHash"];
  for (const event of told) {
    const line = formatLine(event, "json", NOW_MS);
    assert.ok(!line.includes(String(answer.token)) && !line.includes(String(hash)), line);
  }
});

test("a directory tells of its own faults in full, where clients hear a general sentence", async () => {
  const world = await makeDirectory(await makeCa());
  const session = await openAs(world, "alice", { connection: 3 });
  tellNew(world);
  world.log.before = () => {
    throw new Error("the disk is on fire");
  };
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, "alice"));
  await assert.rejects(ask(session, "CSR", { csr }));
  assert.deepEqual(tellNew(world), [{
    level: "error",
    event: "request.failed",
    message: "the disk is on fire",
    fields: { connection: 3, address: "192.0.2.1", id: "alice", type: "CSR", code: "INTERNAL" },
  }]);
});
