import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import { startLogin, startRegistration } from "../../lib/protocol/opaque.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  ask,
  assertFails,
  makeCa,
  makeDirectory,
  openAs,
  startLoggingIn,
  type TestDirectory,
} from "../fakes/directory.ts";

const CA = await makeCa();
const HOME = "192.0.2.1";
const ELSEWHERE = "198.51.100.7";
const TOO_MANY = "cannot log in: too many attempts for this account from here, try again in 300 s";

const requestFor = (id: string) =>
  startLogin("a guess", { id, rootFingerprint: fingerprintOf(CA.root.der) }).request;

/** Guesses as often as is admitted; returns the forms of the answers. */
async function guessAll(world: TestDirectory, id: string, address: string): Promise<unknown[]> {
  const request = requestFor(id);
  const forms = [];
  for (let i = 0; i < LIMITS.guessesAtOnce; i++) {
    const answer = await ask(world.open({ address }), "LOGIN", { id, request });
    forms.push(Object.entries(answer).map(([key, value]) => [key, String(value).length]));
  }
  return forms;
}

/** A login with the right password. */
async function logIn(world: TestDirectory, id: string, address: string): Promise<void> {
  const session = world.open({ address });
  const finish = await startLoggingIn(session, { id, root: CA.root });
  assert.ok(finish);
  assert.deepEqual(await ask(session, "LOGIN_FINISH", finish), { id });
}

test("LOGIN is refused as busy when there were too many, before anything is evaluated", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice", { address: HOME });
  const forms = [];
  for (const id of ["alice", "nobody"]) {
    forms.push(await guessAll(world, id, ELSEWHERE));
    // What is no OPAQUE message would be called malformed if anybody looked at it.
    for (const request of [requestFor(id), "AAAA"]) {
      const session = world.open({ address: ELSEWHERE });
      await assertFails(ask(session, "LOGIN", { id, request }), "busy", TOO_MANY);
    }
  }
  assert.deepEqual(forms[0], forms[1], "the same answers for an id that nobody has");
  await logIn(world, "alice", HOME);
  world.clock.nowMs += LIMITS.guessIntervalMs;
  await logIn(world, "alice", ELSEWHERE); // which is her own from now on
  await assertFails(guessAll(world, "alice", "203.0.113.1"), "busy", TOO_MANY);
  await logIn(world, "alice", ELSEWHERE);
});

test("LOGIN_FINISH gives back what LOGIN was charged, if it opens the session", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice", { address: HOME });
  for (let i = 0; i < 2 * LIMITS.guessesAtOnce; i++) await logIn(world, "alice", ELSEWHERE);
  const session = world.open({ address: "203.0.113.1" });
  for (let i = 0; i < LIMITS.guessesAtOnce; i++) {
    const finish = await startLoggingIn(session, { id: "alice", root: CA.root });
    assert.ok(finish);
    const spoilt = { ...finish, binding: encodeBase64(new Uint8Array(32)) };
    await assertFails(ask(session, "LOGIN_FINISH", spoilt), "refused", /./);
  }
  await assertFails(
    ask(session, "LOGIN", { id: "alice", request: requestFor("alice") }),
    "busy",
    TOO_MANY,
  );
});

test("LOGIN_CERTIFICATE has no limit, and its address counts as the owner's", async () => {
  const world = await makeDirectory(CA);
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, "alice"));
  const answer = await ask(await openAs(world, "alice", { address: HOME }), "CSR", { csr });
  const shown = [parseBase64(parseAnswerBody("CSR", answer).certificate)];
  await guessAll(world, "alice", ELSEWHERE);
  for (let i = 0; i < 2 * LIMITS.guessesAtOnce; i++) {
    const session = world.open({ address: ELSEWHERE, shown });
    assert.deepEqual(await ask(session, "LOGIN_CERTIFICATE", {}), { id: "alice" });
  }
  await logIn(world, "alice", ELSEWHERE);
});

test("REGISTER is limited for each address, with an invitation or without", async () => {
  const world = await makeDirectory(CA);
  const parties = { id: "bob", rootFingerprint: fingerprintOf(CA.root.der) };
  const { request } = startRegistration("any password", parties);
  const session = world.open({ address: ELSEWHERE });
  for (let i = 0; i < LIMITS.registrationsAtOnce - 1; i++) {
    world.directory.guesses.startRegistration(ELSEWHERE);
  }
  const invitation = encodeBase64(new Uint8Array(16));
  const register = { id: "bob", request };
  await assertFails(ask(session, "REGISTER", { ...register, invitation }), "refused", /invitation/);
  for (const body of [register, { ...register, invitation }]) {
    await assertFails(
      ask(session, "REGISTER", body),
      "busy",
      "cannot register: too many registrations from this address, try again in 10 s",
    );
  }
  await ask(world.open({ address: HOME }), "REGISTER", register);
});
