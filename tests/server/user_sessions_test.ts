/** How many sessions one user may have, wherever they come from. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import { UserSessions } from "../../lib/server/user_sessions.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { ask, assertFails, makeCa, makeDirectory, openAs } from "../fakes/directory.ts";

/** Opens as many sessions as may be, up to 1,000; each from another address where none is given. */
function enterAll(
  sessions: UserSessions,
  { user = "alice", isByPassword = true, address }: {
    readonly user?: string;
    readonly isByPassword?: boolean;
    readonly address?: string;
  },
): { readonly leave: readonly (() => void)[]; readonly heard: string } {
  const leave: (() => void)[] = [];
  while (leave.length < 1000) {
    const from = address ?? `192.0.${leave.length % 256}.1`;
    try {
      leave.push(sessions.enter({ user, isByPassword, address: from }));
    } catch (error) {
      assert.equal((error as { kind?: string }).kind, "busy");
      return { leave, heard: (error as Error).message };
    }
  }
  return { leave, heard: "" };
}

test("UserSessions bounds a user's sessions from all addresses, each way to log in by itself", () => {
  const sessions = new UserSessions({ connectionsPerUser: 3, connectionsPerUserOnLoopback: 0 });
  const words = (by: string) =>
    `cannot log in: too many sessions of this account are open (3 by ${by}), try again in 5 s`;
  const { leave, heard } = enterAll(sessions, {});
  assert.deepEqual([leave.length, heard], [3, words("password")]);
  const byKey = enterAll(sessions, { isByPassword: false });
  assert.deepEqual([byKey.leave.length, byKey.heard], [3, words("certificate")]);
  assert.equal(enterAll(sessions, { user: "bob" }).leave.length, 3, "others do not notice");
  assert.equal(enterAll(sessions, { address: "127.0.0.1" }).leave.length, 1000, "this machine");
  leave[1]?.();
  assert.equal(enterAll(sessions, {}).leave.length, 1, "one has left");
  sessions.configure({ connectionsPerUser: 5, connectionsPerUserOnLoopback: 1001 });
  assert.equal(enterAll(sessions, {}).leave.length, 2, "who is in is still counted");
  assert.equal(enterAll(sessions, { address: "::1" }).leave.length, 1);
  sessions.configure({ connectionsPerUser: 0, connectionsPerUserOnLoopback: 0 });
  assert.equal(enterAll(sessions, {}).leave.length, 1000, "no bound");
});

test("UserSessions keeps nothing of users who have left", () => {
  const sessions = new UserSessions();
  const { leave } = enterAll(sessions, {});
  assert.equal(sessions.size, 1);
  for (const one of leave) one();
  assert.equal(sessions.size, 0);
});

test("a login beyond the user's sessions is busy, and admitted when a connection is gone", async () => {
  const world = await makeDirectory(await makeCa(), {
    sessionBounds: { connectionsPerUser: 2, connectionsPerUserOnLoopback: 0 },
  });
  const first = await openAs(world, "alice", { address: "192.0.2.1" });
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, "alice"));
  const issued = parseAnswerBody("CSR", await ask(first, "CSR", { csr })).certificate;
  const shown = [parseBase64(issued)];
  const visit = (host: number) => world.open({ address: `198.51.100.${host}`, shown });
  const open = [visit(1), visit(2)];
  for (const session of open) await ask(session, "LOGIN_CERTIFICATE", {});
  const third = visit(3);
  const words =
    "cannot log in: too many sessions of this account are open (2 by certificate), try again in 5 s";
  await assertFails(ask(third, "LOGIN_CERTIFICATE", {}), "busy", words);
  await assertFails(ask(third, "CERTREQ", { id: "alice" }), "refused", /log in first/);
  for (const session of open) {
    await assertFails(ask(session, "CERTREQ", { id: "bob" }), "not-found", /bob/);
  }
  world.directory.closeSession(third); // which had none, and gives none back
  await assertFails(ask(visit(4), "LOGIN_CERTIFICATE", {}), "busy", words);
  const [gone] = open;
  assert.ok(gone);
  world.directory.closeSession(gone);
  world.directory.closeSession(gone); // only once
  await ask(visit(5), "LOGIN_CERTIFICATE", {});
  await assertFails(ask(visit(6), "LOGIN_CERTIFICATE", {}), "busy", words);
});

test("what a user may have leaves room for others", () => {
  const eachWay = SERVER_LIMITS.connectionsPerUser.standard;
  assert.ok(7 * 2 * eachWay < 1000 && 8 * 2 * eachWay >= 1000, "docs/limits.md: 8 accounts");
});
