import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { checkAgent, checkIdentities, checkPinnedRoot } from "../../lib/client/doctor_identity.ts";
import type { Home } from "../../lib/client/home.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { encryptPrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { linesOf, patientOf } from "./patient.ts";
import { inHome, putKey } from "./temporary_home.ts";

const ca = await makeTestCa();
const alice = await makeUser(ca, { id: "alice" });
const bob = await makeUser(ca, { id: "bob" });
const PASSWORD = "alice rides a paper horse";
const keyPem = await encryptPrivateKey(alice.key, PASSWORD);
const root = ca.root.certificate;
const DAY_MS = LIMITS.dayMs;

function pin(home: Home, issuers = [fingerprintOf(ca.issuing.certificate.der)]): void {
  const anchor = { ...ca.judging.anchor, issuers: new Set(issuers) };
  home.pin(anchor, "ca.example.org:7443");
}

function putAlice(home: Home, shown = alice.shown): void {
  putKey(home, "alice", keyPem);
  fs.writeFileSync(home.certificatePath("alice"), encodeCertificatesPem(shown));
}

test("checkAgent() says what is unlocked, and what is wrong with the agent", () =>
  inHome(async (home) => {
    const unlocked = [{ id: "alice", untilMs: NOW_MS }];
    const found = (findUnlocked: () => Promise<typeof unlocked>) =>
      checkAgent(patientOf(home, { findUnlocked }));
    assert.deepEqual(await found(() => Promise.resolve([])), []);
    assert.deepEqual(linesOf(await found(() => Promise.resolve(unlocked))), [
      'ok: the key of "alice" is unlocked until 2026-11-01T12:00:00.000Z',
    ]);
    const foreign = new PkiError("untrusted", "others can connect to it");
    await assert.rejects(found(() => Promise.reject(foreign)), { kind: "untrusted" });
  }));

test("checkPinnedRoot() says whether a root is pinned, and until when it is good", () =>
  inHome((home) => {
    const found = (nowMs = NOW_MS) => linesOf(checkPinnedRoot(patientOf(home, { nowMs })));
    assert.deepEqual(found(), ["warning: no root is pinned: no server is trusted yet"]);
    pin(home);
    const until = new Date(root.notAfterMs).toISOString().slice(0, 10);
    const what = `the root of pki.internal is pinned: ${fingerprintOf(root.der)}, until ${until}`;
    assert.deepEqual(found(), [`ok: ${what}`]);
    assert.deepEqual(found(root.notAfterMs - 365 * DAY_MS), [`ok: ${what}`]);
    assert.deepEqual(found(root.notAfterMs - 365 * DAY_MS + 1), [
      `warning: ${what}, which is soon`,
    ]);
    assert.throws(() => checkPinnedRoot(patientOf(home, { nowMs: root.notAfterMs + HOUR_MS })), {
      kind: "untrusted",
    });
    home.changeConfig(({ issuers: _, ...config }) => config);
    assert.deepEqual(found(), [`warning: ${what}, and no issuing CA with it`]);
    home.changeConfig(({ domain: _, ...config }) => config);
    assert.throws(() => found(), { kind: "malformed" });
  }));

test("checkIdentities() judges each certificate under the pinned root, and its time", async () => {
  const { notBeforeMs, notAfterMs } = alice.certificate;
  const until = new Date(notAfterMs).toISOString().slice(0, 10);
  const good = `ok: "alice" is certified under the pinned root until ${until}`;
  const third = (notAfterMs - notBeforeMs) / 3;
  const rows: readonly (readonly [number, string])[] = [
    [
      notBeforeMs - 1,
      'unchecked: whether the certificate of "alice" is good is not known without a good root',
    ],
    [notBeforeMs, good],
    [notAfterMs - third - 1, good],
    [notAfterMs - third, `warning: the certificate of "alice" ends soon, on ${until}`],
    [notAfterMs, `problem (untrusted): the certificate of "alice" expired on ${until}`],
  ];
  await inHome(async (home) => {
    assert.deepEqual(linesOf(await checkIdentities(patientOf(home))), [
      "warning: there is no identity in the home yet",
    ]);
    pin(home);
    putKey(home, "alice", keyPem);
    assert.deepEqual(linesOf(await checkIdentities(patientOf(home))), [
      'warning: "alice" has a key and no certificate',
    ]);
    putAlice(home);
    for (const [nowMs, line] of rows) {
      assert.deepEqual(linesOf(await checkIdentities(patientOf(home, { nowMs }))), [line]);
    }
  });
});

test("checkIdentities() finds what is no good: another's certificate, an open key, another key", () =>
  inHome(async (home) => {
    pin(home);
    const found = async (password?: string) =>
      linesOf(await checkIdentities(patientOf(home, { password })));
    putAlice(home, bob.shown);
    const [other = ""] = await found();
    assert.match(other, /^problem \(untrusted\): .*of "bob", not of "alice"$/);
    putAlice(home);
    const [good = "", ...more] = await found();
    assert.match(good, /^ok: "alice" is certified/);
    assert.deepEqual(more, []);
    assert.deepEqual(await found(PASSWORD), [
      good,
      'ok: the password unlocks the key of "alice", which fits',
    ]);
    assert.deepEqual(await found("another"), [
      good,
      'problem (refused): cannot open the key of "alice": the password does not fit',
    ]);
    putKey(home, "alice", await encryptPrivateKey(bob.key, PASSWORD));
    assert.deepEqual(await found(PASSWORD), [
      good,
      'problem (conflict): the certificate of "alice" is for another key',
    ]);
    putKey(home, "alice", alice.key.export({ format: "pem", type: "pkcs8" }) as string);
    assert.deepEqual(await found(), [
      good,
      'problem (storage): the key of "alice" is not encrypted',
    ]);
  }));
