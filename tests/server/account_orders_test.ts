import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, encodeHex, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import type { AdminAnswer, AdminBody } from "../../lib/protocol/admin_messages.ts";
import { finishDeletions, revokeAll } from "../../lib/server/account_orders.ts";
import { carryOut } from "../../lib/server/directory_orders.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import type { DirectoryOrder } from "../../lib/server/ports.ts";
import { entriesToRedact } from "../../lib/store/accounts.ts";
import { listCertificates } from "../../lib/store/certificate_list.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  ask,
  assertFails,
  DAY_MS,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  startChanging,
  startLoggingIn,
  startRegistering,
  type TestDirectory,
} from "../fakes/directory.ts";

const CA = await makeCa();
const { root } = CA;
const KEY = await generatePrivateKey("p256");

function order<T extends DirectoryOrder["type"]>(
  world: TestDirectory,
  type: T,
  body: AdminBody<T>,
): Promise<AdminAnswer<T>> {
  return carryOut(world.directory, { type, body } as DirectoryOrder) as Promise<AdminAnswer<T>>;
}

const invite = (world: TestDirectory, body: Partial<AdminBody<"INVITE">> = {}) =>
  order(world, "INVITE", { isReset: false, forMs: DAY_MS, uses: 1, ...body });

async function worldOf(registration: "open" | "invite" | "closed"): Promise<TestDirectory> {
  const world = await makeDirectory(CA);
  world.directory.passwords.registration = registration;
  return world;
}

async function register(
  world: TestDirectory,
  id: string,
  invitation?: string,
  password?: string,
): Promise<void> {
  const finish = await startRegistering(world.open(), {
    id,
    root,
    ...(invitation === undefined ? {} : { invitation }),
    ...(password === undefined ? {} : { password }),
  });
  await finish();
}

async function certify(session: DirectorySession, id: string): Promise<Uint8Array> {
  const csr = encodeBase64(await makeCsr(KEY, id));
  const { certificate } = await ask(session, "CSR", { csr });
  return parseBase64(String(certificate));
}

async function logsIn(world: TestDirectory, id: string, password?: string): Promise<boolean> {
  const finish = await startLoggingIn(world.open(), {
    id,
    root,
    ...(password === undefined ? {} : { password }),
  });
  return finish !== undefined;
}

test("an invitation lets somebody register once, and is kept as a hash only", async () => {
  const world = await worldOf("invite");
  const message = 'cannot register "alice": this server wants an invitation';
  await assertFails(register(world, "alice"), "refused", message);
  const { token, expiresMs, registration, number } = await invite(world);
  assert.equal(expiresMs, NOW_MS + DAY_MS);
  assert.equal(registration, "invite");
  assert.equal(parseBase64(token).length, 16);
  const logged = JSON.stringify(world.entries[number]?.private);
  assert.ok(!logged.includes(token));
  assert.ok(logged.includes(encodeHex(sha256(parseBase64(token)))));
  await register(world, "alice", token);
  assert.ok(await logsIn(world, "alice"));
  const used = "cannot use the invitation: it was used already, or withdrawn";
  await assertFails(register(world, "bob", token), "refused", used);
  // Whoever comes again under the same id hears that it is taken, and can log in.
  await assertFails(register(world, "alice", token), "conflict", /somebody has this id already$/);
});

test("an invitation is refused where it is not good, each with its own words", async () => {
  const world = await worldOf("invite");
  const foreign = encodeBase64(new Uint8Array(16));
  const forAlice = await invite(world, { id: "alice" });
  const short = await invite(world, { forMs: 1 });
  const withdrawn = await invite(world);
  await order(world, "WITHDRAW", { number: withdrawn.number });
  world.clock.nowMs += 1;
  const rows = [
    [foreign, "this server has not made it"],
    [forAlice.token, 'it is for somebody else than "bob"'],
    [short.token, `it has expired on ${new Date(NOW_MS + 1).toISOString()}`],
    [withdrawn.token, "it was used already, or withdrawn"],
  ] as const;
  for (const [token, why] of rows) {
    const message = `cannot use the invitation: ${why}`;
    await assertFails(register(world, "bob", token), "refused", message);
  }
  world.directory.passwords.registration = "closed";
  const closed = "cannot use the invitation: this server registers nobody any more";
  await assertFails(register(world, "alice", forAlice.token), "refused", closed);
  await assertFails(
    register(world, "alice"),
    "refused",
    'cannot register "alice": this server registers nobody',
  );
  world.directory.passwords.registration = "open";
  await assertFails(
    register(world, "bob", foreign),
    "refused",
    "cannot use the invitation: this server has not made it",
  );
  await register(world, "alice", forAlice.token);
});

test("of two who use an invitation at the same moment one gets in", async () => {
  const world = await worldOf("invite");
  const { token: invitation } = await invite(world);
  const finishes = await Promise.all(
    ["alice", "bob"].map((id) => startRegistering(world.open(), { id, root, invitation })),
  );
  const ended = await Promise.allSettled(finishes.map((finish) => finish()));
  assert.deepEqual(ended.map(({ status }) => status), ["fulfilled", "rejected"]);
  assert.equal(world.state.account("bob"), undefined);
});

test("INVITE refuses what would be of no use", async () => {
  const world = await worldOf("invite");
  await openAs(await worldOf("open"), "nobody"); // OPAQUE is loaded
  const { token } = await invite(world);
  await register(world, "alice", token);
  await assertFails(invite(world, { id: "alice" }), "conflict", /somebody has this id already$/);
  const nobody = 'cannot invite: there is no account "bob"';
  await assertFails(invite(world, { id: "bob", isReset: true }), "not-found", nobody);
  world.directory.passwords.registration = "closed";
  const closed = "cannot invite: this server registers nobody";
  await assertFails(invite(world, { id: "bob" }), "refused", closed);
  assert.ok(await invite(world, { id: "alice", isReset: true }), "who is there stays");
});

test("INVITATIONS lists what can still be used; WITHDRAW ends it", async () => {
  const world = await worldOf("invite");
  const { number } = await invite(world, { id: "alice", uses: 1 });
  await invite(world, { forMs: 1 });
  world.clock.nowMs += 1;
  const { invitations } = await order(world, "INVITATIONS", {});
  assert.deepEqual(invitations, [{
    number,
    id: "alice",
    isReset: false,
    uses: 1,
    usesLeft: 1,
    madeMs: NOW_MS,
    expiresMs: NOW_MS + DAY_MS,
  }]);
  await order(world, "WITHDRAW", { number });
  assert.deepEqual(await order(world, "INVITATIONS", {}), { invitations: [] });
  const none = `cannot withdraw: there is no open invitation ${number}`;
  await assertFails(order(world, "WITHDRAW", { number }), "not-found", none);
});

test("INVITATIONS and USERS come in pages", async () => {
  const world = await worldOf("invite");
  for (let i = 0; i < 160; i++) await invite(world);
  const { next } = await order(world, "INVITATIONS", {});
  assert.equal(next, 149);
  const rest = await order(world, "INVITATIONS", { after: 149 });
  assert.equal(rest.invitations.length, 10);
  assert.equal(rest.next, undefined);
  world.directory.passwords.registration = "open";
  for (const id of ["alice", "bob", "carol"]) await register(world, id);
  const first = await order(world, "USERS", { limit: 2 });
  assert.deepEqual([first.users.map(({ id }) => id), first.next], [["alice", "bob"], "bob"]);
  const second = await order(world, "USERS", { limit: 2, after: "bob" });
  assert.deepEqual([second.users.map(({ id }) => id), second.next], [["carol"], undefined]);
});

test("an invitation for a new password replaces the one that was forgotten", async () => {
  const world = await worldOf("closed");
  world.directory.passwords.registration = "open";
  await openAs(world, "alice");
  world.directory.passwords.registration = "closed";
  const { token } = await invite(world, { id: "alice", isReset: true });
  await register(world, "alice", token, "another horse");
  assert.ok(!await logsIn(world, "alice"));
  assert.ok(await logsIn(world, "alice", "another horse"));
  const used = "cannot use the invitation: it was used already, or withdrawn";
  await assertFails(register(world, "alice", token, "third"), "refused", used);
});

test("a disabled account loses its sessions, and does not log in", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "bob");
  const der = await certify(session, "bob");
  await order(world, "USER", { id: "bob", action: "disable" });
  await assertFails(
    ask(session, "CERTREQ", { id: "bob" }),
    "refused",
    "cannot do this: this session has ended",
  );
  // Only who knows the password is told more than that it is wrong.
  const visitor = world.open();
  const finish = await startLoggingIn(visitor, { id: "bob", root });
  assert.ok(finish);
  const message = 'cannot log in: the account "bob" is disabled';
  await assertFails(ask(visitor, "LOGIN_FINISH", finish), "refused", message);
  const shown = world.open({ shown: [der] });
  await ask(shown, "HELLO", {});
  await assertFails(ask(shown, "LOGIN_CERTIFICATE", {}), "refused", message);
  const again = 'nothing to do: the account "bob" is disabled';
  await assertFails(order(world, "USER", { id: "bob", action: "disable" }), "conflict", again);
  const { user } = await order(world, "USER", { id: "bob", action: "enable" });
  assert.deepEqual([user.disabledMs, user.valid], [null, 1]);
  assert.deepEqual(await ask(shown, "LOGIN_CERTIFICATE", {}), { id: "bob" });
});

test("a deleted account is gone: sessions, certificates, copy and id", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "bob");
  const der = await certify(session, "bob");
  assert.ok(world.copies.has("bob"));
  const size = world.entries.length;
  await order(world, "USER", { id: "bob", action: "disable" });
  const { guesses } = world.directory;
  const known = guesses.knownAccounts;
  const { user, revoked, redacted } = await order(world, "USER", { id: "bob", action: "delete" });
  assert.equal(user.deletedMs, NOW_MS);
  assert.equal(guesses.knownAccounts, known - 1, "his addresses are forgotten");
  assert.equal(revoked, 1);
  assert.equal(redacted, 2);
  assert.deepEqual(
    world.entries.filter(({ private: hidden }) => (hidden as unknown) === "redacted")
      .map(({ type }) => type),
    ["registered", "disabled"],
  );
  assert.deepEqual(
    world.entries.slice(size).map(({ type }) => type),
    ["disabled", "deleted", "revoked"],
  );
  const issued = world.state.issued(parseCertificate(der).serial);
  assert.equal(issued?.reason, "cessationOfOperation");
  assert.ok(!world.copies.has("bob"));
  await assertFails(ask(session, "CERTREQ", { id: "bob" }), "refused", /has ended$/);
  assert.ok(!await logsIn(world, "bob"), "as for an id that nobody ever had");
  await assertFails(register(world, "bob"), "conflict", /somebody has this id already$/);
  const none = 'cannot enable "bob": there is no such account';
  await assertFails(order(world, "USER", { id: "bob", action: "enable" }), "not-found", none);
  await assertFails(
    order(world, "USER", { id: "carol", action: "delete" }),
    "not-found",
    'cannot delete "carol": there is no such account',
  );
});

test("PASSWD changes the password, and ends what the old one had opened", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "alice");
  const other = await openAs(world, "alice");
  const der = await certify(session, "alice");
  const shown = world.open({ shown: [der] });
  await ask(shown, "HELLO", {});
  await ask(shown, "LOGIN_CERTIFICATE", {});
  const finish = await startChanging(session, { id: "alice", password: "new horse", root });
  assert.ok(await logsIn(world, "alice"), "nothing has changed yet");
  assert.deepEqual(await finish(), {});
  assert.ok(!await logsIn(world, "alice"));
  assert.ok(await logsIn(world, "alice", "new horse"));
  await assertFails(ask(other, "CERTREQ", { id: "alice" }), "refused", /has ended$/);
  await assertFails(ask(session, "CERTREQ", { id: "bob" }), "not-found", /./);
  await assertFails(ask(shown, "CERTREQ", { id: "bob" }), "not-found", /./);
  await assertFails(
    ask(shown, "PASSWD", { request: "AAAA" }),
    "refused",
    "cannot change the password: log in with the password, not with the certificate",
  );
  await assertFails(finish(), "refused", "cannot finish: no new password was begun");
  await assertFails(ask(world.open(), "PASSWD", { request: "AAAA" }), "refused", /log in first$/);
});

test("of two sessions of one user that change the password at once the first does, and stays", async () => {
  const world = await worldOf("open");
  const sessions = [await openAs(world, "alice"), await openAs(world, "alice")] as const;
  const finishes = [
    await startChanging(sessions[0], { id: "alice", password: "first", root }),
    await startChanging(sessions[1], { id: "alice", password: "second", root }),
  ];
  const ended = finishes.map((finish) => finish());
  assert.deepEqual(await ended[0], {});
  const late = "cannot do this: this session has ended";
  await assertFails(ended[1] ?? assert.fail(), "refused", late);
  assert.ok(await logsIn(world, "alice", "first"));
  await assertFails(ask(sessions[0], "CERTREQ", { id: "bob" }), "not-found", /./);
});

test("a login that began with the password before does not end behind its change", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "alice");
  const early = world.open();
  const finish = await startLoggingIn(early, { id: "alice", root });
  assert.ok(finish);
  await (await startChanging(session, { id: "alice", password: "new horse", root }))();
  const message = "cannot log in: the password was changed a moment ago";
  await assertFails(ask(early, "LOGIN_FINISH", finish), "refused", message);
});

test("a login that ends behind the deletion of its account leaves nothing known of it", async () => {
  const world = await worldOf("open");
  await openAs(world, "bob");
  const early = world.open();
  const finish = await startLoggingIn(early, { id: "bob", root });
  assert.ok(finish);
  await order(world, "USER", { id: "bob", action: "delete" });
  const message = 'cannot log in: there is no account "bob"';
  await assertFails(ask(early, "LOGIN_FINISH", finish), "refused", message);
  assert.equal(world.directory.guesses.knownAccounts, 0);
});

test("revokeAll() reads on behind what it has revoked, until nothing is left", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "bob");
  const csr = encodeBase64(await makeCsr(KEY, "bob"));
  for (let i = 0; i < 5; i++) await ask(session, "CSR", { csr });
  const { database } = world.state;
  const query = database.query.bind(database);
  const pages: unknown[] = [];
  const spy = (sql: string) => {
    const statement = query(sql);
    if (!sql.includes("certificates_by_id")) return statement;
    return {
      all: (...values: (string | number)[]) => {
        pages.push([values.length, values.at(-1)]);
        return statement.all(...values);
      },
    };
  };
  Object.assign(database, { query: spy });
  assert.equal(await revokeAll(world.directory, "bob", 2), 5);
  const [first, ...others] = pages as readonly (readonly [number, number])[];
  assert.ok(first);
  assert.equal(others.length, 3);
  // Each with one value more: where the page before has ended.
  assert.deepEqual(others, Array(3).fill([first[0] + 1, 2]));
  assert.equal(await revokeAll(world.directory, "bob", 2), 0);
});

test("a password that is changed while its account is deleted comes too late", async () => {
  const world = await worldOf("open");
  const session = await openAs(world, "bob");
  const finish = await startChanging(session, { id: "bob", password: "new horse", root });
  const deleted = order(world, "USER", { id: "bob", action: "delete" });
  await assertFails(finish(), "refused", 'cannot change the password: there is no account "bob"');
  assert.equal((await deleted).user.deletedMs, NOW_MS);
  assert.ok(!await logsIn(world, "bob", "new horse"));
});

test("whether an id is taken, nobody is told who could not register it anyway", async () => {
  const world = await worldOf("open");
  await openAs(world, "alice");
  const invitation = encodeBase64(new Uint8Array(16));
  const foreign = "cannot use the invitation: this server has not made it";
  const rows = [
    ["invite", {}, 'cannot register "alice": this server wants an invitation'],
    ["closed", {}, 'cannot register "alice": this server registers nobody'],
    ["open", { invitation }, foreign],
    ["invite", { invitation }, foreign],
    ["closed", { invitation }, foreign],
  ] as const;
  for (const [registration, given, message] of rows) {
    world.directory.passwords.registration = registration;
    const asked = ask(world.open(), "REGISTER", { id: "alice", request: "AAAA", ...given });
    await assertFails(asked, "refused", message);
  }
});

test("a registration that began while everybody could register ends with that", async () => {
  const world = await worldOf("open");
  const finish = await startRegistering(world.open(), { id: "alice", root });
  world.directory.passwords.registration = "invite";
  const message = 'cannot register "alice": this server wants an invitation';
  await assertFails(finish(), "refused", message);
});

test("finishDeletions() does what a crash has left of a deletion, whatever that is", async () => {
  const world = await worldOf("open");
  for (const id of ["alice", "bob", "carol"]) await certify(await openAs(world, id), id);
  const deleteOnly = (id: string) =>
    world.directory.commit({ type: "deleted", public: {}, private: { id } });
  const good = listCertificates(world.state.database, { id: "bob", nowMs: NOW_MS, limit: 9 });
  await world.directory.revocation.revoke(good, "cessationOfOperation");
  await deleteOnly("alice");
  await deleteOnly("bob"); // whose certificates are revoked: only copy and private parts are left
  await finishDeletions(world.directory);
  assert.deepEqual([...world.copies.keys()], ["carol"]);
  assert.deepEqual(entriesToRedact(world.state.database), []);
  const { users } = await order(world, "USERS", {});
  assert.deepEqual(users.map(({ id, valid }) => [id, valid]), [["alice", 0], ["bob", 0], [
    "carol",
    1,
  ]]);
});
