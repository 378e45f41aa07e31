import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  describeIdentity,
  type IdentityState,
  listIdentities,
} from "../../lib/client/identities.ts";
import type { Home } from "../../lib/client/home.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { inHome, putKey } from "./temporary_home.ts";

const DAY_MS = 24 * 3_600_000;
const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();
const ALICE = await makeUser(CA, { id: "alice" });
const BOB = await makeUser(CA, { id: "bob", keyType: "ed25519" });
const OF_OTHER = await makeUser(OTHER_CA, { id: "alice" });
const { notBeforeMs, notAfterMs } = ALICE.certificate;
const LIFE_MS = notAfterMs - notBeforeMs;

interface StateRow {
  readonly name: string;
  readonly state: IdentityState;
  readonly certificate?: string;
  readonly nowMs?: number;
  readonly isPinned?: boolean;
  readonly hasKey?: boolean;
}

const PEM = encodeCertificatesPem(ALICE.shown);

const STATES: readonly StateRow[] = [
  { name: "no certificate", state: "no-certificate" },
  { name: "a certificate without a key", state: "no-key", certificate: PEM, hasKey: false },
  { name: "text", state: "damaged", certificate: "no PEM" },
  {
    name: "a certificate that is cut",
    state: "damaged",
    certificate: encodeCertificatesPem([ALICE.certificate.der.slice(0, -1)]),
  },
  { name: "no pinned root", state: "untrusted", certificate: PEM, isPinned: false },
  {
    name: "a certificate of another CA",
    state: "untrusted",
    certificate: encodeCertificatesPem(OF_OTHER.shown),
  },
  {
    name: "somebody else's certificate",
    state: "untrusted",
    certificate: encodeCertificatesPem(BOB.shown),
  },
  {
    name: "no issuing CA",
    state: "untrusted",
    certificate: encodeCertificatesPem([ALICE.certificate.der]),
  },
  {
    name: "the moment before it begins",
    state: "not-yet-valid",
    certificate: PEM,
    nowMs: notBeforeMs - 1,
  },
  { name: "its beginning", state: "valid", certificate: PEM, nowMs: notBeforeMs + 60_000 },
  {
    name: "a little more than a third of its life left",
    state: "valid",
    certificate: PEM,
    nowMs: notAfterMs - LIFE_MS / 3 - 1,
  },
  {
    name: "a third of its life left",
    state: "expiring",
    certificate: PEM,
    nowMs: notAfterMs - LIFE_MS / 3,
  },
  { name: "its last moment", state: "expiring", certificate: PEM, nowMs: notAfterMs },
  { name: "the moment after it", state: "expired", certificate: PEM, nowMs: notAfterMs + 1 },
  { name: "a year after it", state: "expired", certificate: PEM, nowMs: notAfterMs + 365 * DAY_MS },
];

function pin(home: Home): void {
  home.pin(CA.judging.anchor, "localhost:7443");
}

for (const { name, state, certificate, nowMs = NOW_MS, isPinned = true, hasKey = true } of STATES) {
  test(`describeIdentity() calls it ${state} with ${name}`, async () => {
    await inHome((home) => {
      if (isPinned) pin(home);
      if (hasKey) putKey(home, "alice", "key");
      if (certificate !== undefined) home.files("alice").replaceCertificate(certificate, undefined);
      assert.equal(describeIdentity(home, { id: "alice", nowMs }).state, state);
    });
  });
}

test("describeIdentity() says what the certificate says", async () => {
  await inHome((home) => {
    pin(home);
    putKey(home, "bob", "key");
    home.files("bob").replaceCertificate(encodeCertificatesPem(BOB.shown), undefined);
    const { certificate } = describeIdentity(home, { id: "bob", nowMs: NOW_MS });
    assert.equal(certificate?.keyType, "ed25519");
    assert.equal(certificate.fingerprint, fingerprintOf(BOB.certificate.der));
    assert.deepEqual(certificate.leaf.der, BOB.certificate.der);
  });
});

test("listIdentities() lists who has a key or a certificate, and nothing else", async () => {
  await inHome((home) => {
    assert.deepEqual(listIdentities(home, NOW_MS), []);
    putKey(home, "bob", "key");
    home.files("alice").replaceCertificate(PEM, undefined);
    home.files("carol").checkWritable(); // as before a key is made
    fs.mkdirSync(join(home.folder, "ids", "Not An Id"));
    fs.writeFileSync(join(home.folder, "ids", "dave"), "a file");
    assert.deepEqual(listIdentities(home, NOW_MS).map(({ id, state }) => [id, state]), [
      ["alice", "no-key"],
      ["bob", "no-certificate"],
    ]);
  });
});

test("Home.removeIdentity() removes everything of one identity, and that it is in use", async () => {
  await inHome((home) => {
    for (const id of ["alice", "bob"]) putKey(home, id, "key");
    home.files("alice").replaceCertificate(PEM, undefined);
    home.useId("bob");
    home.removeIdentity("alice");
    assert.deepEqual(fs.readdirSync(join(home.folder, "ids")), ["bob"]);
    assert.equal(home.idInUse, "bob");
    home.removeIdentity("bob");
    assert.deepEqual(fs.readdirSync(join(home.folder, "ids")), []);
    assert.equal(home.idInUse, undefined);
    assert.throws(() => home.removeIdentity("bob"), {
      kind: "not-found",
      message: `cannot find "bob" in "${home.folder}"`,
    });
    assert.throws(() => home.removeIdentity(".."), { kind: "usage" });
  });
});
