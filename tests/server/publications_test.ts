import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import type { ErrorKind } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import type { RequestBody } from "../../lib/protocol/requests.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  ask,
  assertFails,
  issueUser,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  OTHER_LEAF_HASH,
  type TestDirectory,
} from "../fakes/directory.ts";
import { certify, KEY, publish, signedFinish, startPublishing } from "./publishing.ts";

const CA = await makeCa();
const OTHER_CA = await makeCa();
const OTHER_KEY = await generatePrivateKey("ed25519");

const NONCE = encodeBase64(new Uint8Array(32));
const SPENT = "cannot publish: this nonce was not given, or is spent";
const WRONG_SIGNATURE = "cannot publish: the signature is not by the certificate's key";

const typesOf = (world: TestDirectory) => world.entries.map(({ type }) => type);

/** A certificate can be published neither anew nor with a nonce that was given for it before. */
async function assertUnpublishable(
  session: DirectorySession,
  { der, nonce, kind, message }: {
    readonly der: Uint8Array;
    readonly nonce: string;
    readonly kind: ErrorKind;
    readonly message: string;
  },
): Promise<void> {
  await assertFails(ask(session, "CERTUP", { certificate: encodeBase64(der) }), kind, message);
  await assertFails(ask(session, "CERTUP_FINISH", signedFinish(nonce, der)), kind, message);
}

const publishedSerial = ({ state }: TestDirectory) => state.published("alice")?.serial;

test("CERTUP and CERTUP_FINISH publish a certificate, which CERTREQ finds", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  const der = await certify(alice);
  await publish(alice, der);
  assert.deepEqual(world.entries.at(-1), {
    type: "published",
    timeMs: NOW_MS,
    public: { serial: parseCertificate(der).serial },
    private: null,
    salt: null,
  });
  const bob = await openAs(world, "bob");
  assert.deepEqual(await ask(bob, "CERTREQ", { id: "alice" }), {
    certificate: encodeBase64(der),
    issuing: encodeBase64(CA.issuing.der),
    index: 1,
  });
  await publish(alice, der); // again is fine
});

test("CERTREQ does not find who has not published, and is not misled by names", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  await publish(session, await certify(session));
  await certify(await openAs(world, "bob"), await makeCsr(KEY, "bob"));
  for (const id of ["bob", "nobody", "alic", "alice-", "alice.user", "a.lice", "%"]) {
    await assertFails(
      ask(session, "CERTREQ", { id }),
      "not-found",
      `cannot find "${id}": nobody has published a certificate under this id`,
    );
  }
});

test("CERTUP refuses whatever was not issued to the session's user", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  const bob = await openAs(world, "bob");
  const own = await certify(alice);
  const damaged = own.slice();
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  const rows: Readonly<Record<string, Uint8Array>> = {
    "somebody else's": await certify(bob, await makeCsr(KEY, "bob")),
    "signed by the CA, but not in the table": await issueUser(CA, { id: "alice", key: KEY }),
    "another CA's": await issueUser(OTHER_CA, { id: "alice", key: KEY }),
    "the server's": await world.directory.certifyServer(encodeSpki(KEY)),
    "the issuing CA's": CA.issuing.der,
    "with another signature": damaged,
  };
  for (const [what, der] of Object.entries(rows)) {
    await assertFails(
      ask(alice, "CERTUP", { certificate: encodeBase64(der) }),
      "refused",
      'cannot publish: no such certificate was issued to "alice"',
    ).catch((error) => assert.fail(`${what}: ${error.message}`));
  }
  // What cannot be read is malformed, as a CSR would be.
  for (const der of [Uint8Array.of(...own, 0), own.subarray(0, -1), Uint8Array.of(1)]) {
    await assertFails(
      ask(alice, "CERTUP", { certificate: encodeBase64(der) }),
      "malformed",
      /^cannot read /,
    );
  }
  await startPublishing(alice, own);
});

test("CERTUP refuses an expired certificate, at its start and at its end", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const der = await certify(session);
  const { notAfterMs } = parseCertificate(der);
  world.clock.nowMs = notAfterMs;
  const nonce = await startPublishing(session, der);
  world.clock.nowMs = notAfterMs + 1;
  const message = "cannot publish: the certificate has expired";
  await assertUnpublishable(session, { der, nonce, kind: "refused", message });
  assert.equal(world.state.published("alice"), undefined);
});

test("CERTUP refuses an older certificate than the published one, at its start and its end", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const [older, newer] = [await certify(session), await certify(session)];
  const nonce = await startPublishing(session, older);
  await publish(session, newer);
  const message = "cannot publish: a newer certificate is published already";
  await assertUnpublishable(session, { der: older, nonce, kind: "conflict", message });
  assert.equal(publishedSerial(world), parseCertificate(newer).serial);
});

test("two sessions that publish at the same moment: the newer certificate stays", async () => {
  const world = await makeDirectory(CA);
  const sessions = [await openAs(world, "alice"), await openAs(world, "alice")] as const;
  const older = await certify(sessions[0]);
  const newer = await certify(sessions[1]);
  const finishes = [
    signedFinish(await startPublishing(sessions[0], older), older),
    signedFinish(await startPublishing(sessions[1], newer), newer),
  ] as const;
  let isFree = () => {};
  const held = new Promise<void>((resolve) => isFree = resolve);
  world.log.before = () => held;
  const both = Promise.allSettled([
    ask(sessions[1], "CERTUP_FINISH", finishes[1]),
    ask(sessions[0], "CERTUP_FINISH", finishes[0]),
  ]);
  isFree();
  assert.deepEqual((await both).map(({ status }) => status), ["fulfilled", "rejected"]);
  assert.equal(publishedSerial(world), parseCertificate(newer).serial);
});

test("CERTUP_FINISH spends a nonce, whatever follows", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const der = await certify(session);
  const failed = await startPublishing(session, der);
  await assertFails(
    ask(session, "CERTUP_FINISH", signedFinish(failed, der, { key: OTHER_KEY })),
    "refused",
    WRONG_SIGNATURE,
  );
  await assertFails(
    ask(session, "CERTUP_FINISH", signedFinish(failed, der)),
    "refused",
    SPENT,
  );
  const finish = signedFinish(await startPublishing(session, der), der);
  const twice = await Promise.allSettled([
    ask(session, "CERTUP_FINISH", finish),
    ask(session, "CERTUP_FINISH", finish),
  ]);
  assert.deepEqual(twice.map(({ status }) => status), ["fulfilled", "rejected"]);
  await assertFails(ask(session, "CERTUP_FINISH", finish), "refused", SPENT);
  assert.equal(typesOf(world).filter((type) => type === "published").length, 1);
});

test("CERTUP_FINISH refuses a nonce that this session was not given", async () => {
  const world = await makeDirectory(CA);
  const [alice, again, bob] = [
    await openAs(world, "alice"),
    await openAs(world, "alice"),
    await openAs(world, "bob"),
  ];
  const der = await certify(alice);
  const nonce = await startPublishing(alice, der);
  for (const session of [again, bob]) {
    await assertFails(
      ask(session, "CERTUP_FINISH", signedFinish(nonce, der)),
      "refused",
      SPENT,
    );
  }
  await assertFails(
    ask(alice, "CERTUP_FINISH", signedFinish(NONCE, der)),
    "refused",
    SPENT,
  );
  await ask(alice, "CERTUP_FINISH", signedFinish(nonce, der)); // others have not spent it
});

test("CERTUP_FINISH refuses a signature over anything else", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const der = await certify(session);
  const other = await certify(session);
  const rows: readonly (readonly [string, (nonce: string) => RequestBody<"CERTUP_FINISH">])[] = [
    ["another key", (nonce) => signedFinish(nonce, der, { key: OTHER_KEY })],
    ["another server's leaf", (nonce) => signedFinish(nonce, der, { leafHash: OTHER_LEAF_HASH })],
    ["another nonce", (nonce) => signedFinish(nonce, der, { signedNonce: NONCE })],
    ["another certificate of the key", (nonce) => signedFinish(nonce, der, { signedDer: other })],
    ["another client nonce", (nonce) => ({ ...signedFinish(nonce, der), clientNonce: NONCE })],
    ["nothing", (nonce) => ({ nonce, clientNonce: NONCE, signature: "AA==" })],
    ["zeros", (nonce) => ({
      nonce,
      clientNonce: NONCE,
      signature: encodeBase64(Uint8Array.of(0x30, 6, 2, 1, 0, 2, 1, 0)),
    })],
  ];
  for (const [what, finish] of rows) {
    await assertFails(
      ask(session, "CERTUP_FINISH", finish(await startPublishing(session, der))),
      "refused",
      WRONG_SIGNATURE,
    ).catch((error) => assert.fail(`${what}: ${error.message}`));
  }
  assert.equal(world.state.published("alice"), undefined);
  await publish(session, der);
});

test("CERTUP_FINISH accepts the signature of every type of key", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  for (const type of ["p256", "p384", "ed25519"] as const) {
    const key = await generatePrivateKey(type);
    await publish(session, await certify(session, await makeCsr(key, "alice")), key);
  }
});

test("CERTUP gives out only so many nonces at once", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const der = await certify(session);
  const nonces = new Set<string>();
  for (let i = 0; i < LIMITS.publishNoncesMax; i++) {
    nonces.add(await startPublishing(session, der));
  }
  assert.equal(nonces.size, LIMITS.publishNoncesMax);
  await assertFails(
    ask(session, "CERTUP", { certificate: encodeBase64(der) }),
    "refused",
    "cannot publish: too many publications were left unfinished",
  );
  const [nonce = ""] = nonces;
  await ask(session, "CERTUP_FINISH", signedFinish(nonce, der));
  await startPublishing(session, der);
});

// Revocation

test("a revoked certificate is neither published nor found", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const der = await certify(session);
  await publish(session, der);
  const nonce = await startPublishing(session, der);
  await world.directory.commit({
    type: "revoked",
    public: { serial: parseCertificate(der).serial },
    private: null,
  });
  await assertFails(
    ask(session, "CERTREQ", { id: "alice" }),
    "not-found",
    'cannot find "alice": nobody has published a certificate under this id',
  );
  const message = "cannot publish: the certificate is revoked";
  await assertUnpublishable(session, { der, nonce, kind: "refused", message });
  const next = await certify(session);
  await publish(session, next);
  const found = parseAnswerBody("CERTREQ", await ask(session, "CERTREQ", { id: "alice" }));
  assert.equal(found.certificate, encodeBase64(next));
});
