import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import { Announcements, ANNOUNCEMENTS_MAX } from "../../lib/server/announcements.ts";
import { carryOut } from "../../lib/server/directory_orders.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import type { DirectoryOrder } from "../../lib/server/ports.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { sha256 } from "../../lib/base/bytes.ts";
import {
  ask,
  assertFails,
  LEAF_HASH,
  makeCa,
  makeDirectory,
  openAs,
  type TestDirectory,
} from "../fakes/directory.ts";

const CA = await makeCa();
const KEY = await generatePrivateKey("p256");
const HOME = "192.0.2.1:7450";
const OFFICE = "[2001:db8::1]:9000";
const UNKNOWN = 'cannot find "bob": nobody has published a certificate under this id';

// The class alone.

function makeAnnouncements() {
  const clock = { nowMs: 1_000_000 };
  const disabled = new Set<string>();
  const announcements = new Announcements({
    now: () => clock.nowMs,
    isEnabled: (id) => !disabled.has(id),
  });
  const announce = (id: string, addresses: readonly string[], seconds = 60, serial?: string) =>
    announcements.announce(id, { addresses: [...addresses], seconds }, serial);
  return { clock, disabled, announcements, announce };
}

test("Announcements keep what was said last, until it expires or is withdrawn", () => {
  const { clock, announcements, announce } = makeAnnouncements();
  assert.equal(announcements.find("bob"), undefined);
  announce("bob", [HOME, OFFICE], 600);
  assert.deepEqual(announcements.find("bob"), { addresses: [HOME, OFFICE], seconds: 600 });
  clock.nowMs += 1;
  assert.equal(announcements.find("bob")?.seconds, 600, "rounded up");
  announce("bob", [OFFICE]);
  assert.deepEqual(announcements.find("bob"), { addresses: [OFFICE], seconds: 60 });
  assert.equal(announcements.find("alice"), undefined);
  clock.nowMs += 59_999;
  assert.deepEqual(announcements.find("bob"), { addresses: [OFFICE], seconds: 1 });
  clock.nowMs += 1;
  assert.equal(announcements.find("bob"), undefined);
  announce("bob", [HOME]);
  announce("bob", []);
  assert.equal(announcements.find("bob"), undefined);
});

test("Announcements forget whose account or certificate is gone", () => {
  const { disabled, announcements, announce } = makeAnnouncements();
  announce("alice", [HOME]);
  announce("bob", [HOME], 60, "07");
  announcements.forgetRevoked("bob", new Set(["08"]));
  announcements.forgetRevoked("carol", new Set(["07"]));
  assert.ok(announcements.find("bob"), "another certificate, or another user's");
  announcements.forgetRevoked("bob", new Set(["06", "07"]));
  assert.equal(announcements.find("bob"), undefined);
  announcements.forgetRevoked("alice", new Set(["01"]));
  assert.equal(
    announcements.find("alice"),
    undefined,
    "what a password has opened, by any of them",
  );
  announce("alice", [HOME]);
  announcements.forget("alice");
  assert.equal(announcements.find("alice"), undefined);
  announce("alice", [HOME]);
  disabled.add("alice");
  assert.equal(announcements.find("alice"), undefined);
  disabled.delete("alice");
  assert.equal(announcements.find("alice"), undefined, "it does not come back");
});

test("Announcements take so many and no more, and make room as they expire", () => {
  const { clock, announcements, announce } = makeAnnouncements();
  announce("short", [HOME], 60);
  for (let count = 1; count < ANNOUNCEMENTS_MAX; count++) announce(`user${count}`, [HOME], 3600);
  assert.throws(
    () => announce("late", [HOME]),
    new PkiError("busy", "cannot announce: too many others do, try again later"),
  );
  announce("user1", [OFFICE], 3600);
  assert.deepEqual(announcements.find("user1")?.addresses, [OFFICE], "who is in stays in");
  announce("late", []);
  clock.nowMs += 60_000;
  announce("late", [HOME]);
  assert.ok(announcements.find("late"));
});

// In the directory.

const locate = async (session: DirectorySession, id = "bob") =>
  parseAnswerBody("LOCATE", await ask(session, "LOCATE", { id }));
const announce = (session: DirectorySession, addresses: string[] = [HOME], seconds = 600) =>
  ask(session, "ANNOUNCE", { addresses, seconds });
const order = (world: TestDirectory, order: Pick<DirectoryOrder, "type" | "body">) =>
  carryOut(world.directory, order as DirectoryOrder);

/** Has a key of bob's certified. */
async function certify(session: DirectorySession): Promise<Certificate> {
  const csr = encodeBase64(await makeCsr(KEY, "bob"));
  const { certificate } = parseAnswerBody("CSR", await ask(session, "CSR", { csr }));
  return parseCertificate(parseBase64(certificate));
}

async function publish(session: DirectorySession, { der }: Certificate): Promise<void> {
  const { nonce } = await ask(session, "CERTUP", { certificate: encodeBase64(der) });
  const clientNonce = new Uint8Array(32);
  const parts = [parseBase64(String(nonce)), clientNonce, sha256(der), LEAF_HASH];
  await ask(session, "CERTUP_FINISH", {
    nonce: String(nonce),
    clientNonce: encodeBase64(clientNonce),
    signature: encodeBase64(signLabelled(KEY, "pki/1 CERTUP", ...parts)),
  });
}

/** A session that a certificate has opened. */
async function openShowing(world: TestDirectory, { der }: Certificate): Promise<DirectorySession> {
  const session = world.open({ shown: [der, CA.issuing.der] });
  await ask(session, "HELLO", {});
  await ask(session, "LOGIN_CERTIFICATE", {});
  return session;
}

test("ANNOUNCE and LOCATE are for those who are logged in", async () => {
  const world = await makeDirectory(CA);
  const session = world.open();
  await assertFails(announce(session), "refused", "cannot do this: log in first");
  await assertFails(locate(session), "refused", "cannot do this: log in first");
});

test("LOCATE tells an unknown id from one that has announced nothing as far as CERTREQ does", async () => {
  const world = await makeDirectory(CA);
  const [alice, bob] = [await openAs(world, "alice"), await openAs(world, "bob")];
  const noSuch = (id: string) => UNKNOWN.replace("bob", id);
  for (const id of ["nobody", "bob"]) { // who has an account and no certificate is as unknown
    await assertFails(locate(alice, id), "not-found", noSuch(id));
    await assertFails(ask(alice, "CERTREQ", { id }), "not-found", noSuch(id));
  }
  const certificate = await certify(bob);
  await assertFails(locate(alice), "not-found", UNKNOWN);
  await publish(bob, certificate);
  assert.deepEqual(await locate(alice), { addresses: [], seconds: 0 });
  await announce(bob, [HOME, OFFICE]);
  assert.deepEqual(await locate(alice), { addresses: [HOME, OFFICE], seconds: 600 });
  world.clock.nowMs += 600_000;
  assert.deepEqual(await locate(alice), { addresses: [], seconds: 0 });
});

test("ANNOUNCE speaks for the session's own user, is in no log and changes no table", async () => {
  const world = await makeDirectory(CA);
  const [alice, bob] = [await openAs(world, "alice"), await openAs(world, "bob")];
  const [entries, told, changes] = [world.entries.length, world.told.length, world.changes.count];
  await announce(bob, [HOME]);
  await announce(alice, [OFFICE]);
  assert.deepEqual((await locate(alice, "bob")).addresses, [HOME]);
  assert.deepEqual((await locate(bob, "alice")).addresses, [OFFICE]);
  assert.equal(world.entries.length, entries);
  assert.equal(world.changes.count, changes);
  assert.doesNotMatch(JSON.stringify(world.told.slice(told)), /192\.0\.2\.1:|2001:db8/);
});

test("an announcement ends with the certificate that opened its session, and with no other", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  const bob = await openAs(world, "bob");
  const [first, second] = [await certify(bob), await certify(bob)];
  await announce(await openShowing(world, second));
  await ask(bob, "REVOKE", { serial: first.serial });
  assert.deepEqual((await locate(alice)).addresses, [HOME]);
  await ask(bob, "REVOKE", { serial: second.serial });
  await assertFails(locate(alice), "not-found", UNKNOWN);
  await announce(bob);
  const third = await certify(bob);
  await order(world, { type: "REVOKE", body: { id: "bob", reason: "unspecified" } });
  await assertFails(locate(alice), "not-found", UNKNOWN);
  assert.notEqual(world.state.issued(third.serial)?.revokedMs, null);
});

for (const action of ["disable", "delete"] as const) {
  test(`an announcement ends when the account is ${action}d`, async () => {
    const world = await makeDirectory(CA);
    const [alice, bob] = [await openAs(world, "alice"), await openAs(world, "bob")];
    await publish(bob, await certify(bob));
    await announce(bob);
    await order(world, { type: "USER", body: { id: "bob", action } });
    await assertFails(locate(alice), "not-found", UNKNOWN);
    await assertFails(announce(bob), "refused", "cannot do this: this session has ended");
    if (action === "delete") return;
    await order(world, { type: "USER", body: { id: "bob", action: "enable" } });
    assert.deepEqual(await locate(alice), { addresses: [], seconds: 0 });
  });
}
