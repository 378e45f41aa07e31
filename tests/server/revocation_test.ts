import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import { OWNER_REASONS } from "../../lib/protocol/message_fields.ts";
import type { Issuer } from "../../lib/ca/authority.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import type { SessionEnd, Visitor } from "../../lib/server/ports.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { DerReader, encodeSequence, TAG } from "../../lib/x509/der.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { judgeOcspResponse } from "../../lib/x509/ocsp_judge.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import {
  ask,
  assertFails,
  DAY_MS,
  issueUser,
  LEAF_HASH,
  makeCa,
  makeDirectory,
  makeOtherIssuer,
  NOW_MS,
  openAs,
  type TestDirectory,
} from "../fakes/directory.ts";

const CA = await makeCa();
const OTHER_CA = await makeCa();
const KEY = await generatePrivateKey("p256");
const CSR = await makeCsr(KEY, "alice");
const BOBS_CSR = await makeCsr(KEY, "bob");

async function certify(session: DirectorySession, csr = CSR): Promise<Certificate> {
  const answer = await ask(session, "CSR", { csr: encodeBase64(csr) });
  return parseCertificate(parseBase64(parseAnswerBody("CSR", answer).certificate));
}

/** A session of somebody who shows a certificate, and how it was ended from the server's side. */
function openShowing(
  world: TestDirectory,
  certificate: Certificate,
  visitor: Partial<Visitor> = {},
) {
  const ends: SessionEnd[] = [];
  const session = world.directory.openSession({
    address: "192.0.2.7",
    leafHash: LEAF_HASH,
    shown: [certificate.der, CA.issuing.der],
    ...visitor,
  }, (end) => ends.push(end));
  return { session, ends };
}

/** What a timer of no time would wait for, too. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

const revokedOf = ({ entries }: TestDirectory) => entries.filter(({ type }) => type === "revoked");

// REVOKE

for (const reason of [undefined, ...OWNER_REASONS]) {
  test(`REVOKE by the owner records the serial number for all and the reason ${reason} for us`, async () => {
    const world = await makeDirectory(CA);
    const session = await openAs(world, "alice");
    const { serial } = await certify(session);
    world.clock.nowMs += 1234;
    const answer = await ask(session, "REVOKE", { serial, ...(reason ? { reason } : {}) });
    assert.deepEqual(parseAnswerBody("REVOKE", answer), {
      serial,
      time: new Date(NOW_MS + 1234).toISOString(),
    });
    const [entry, ...more] = revokedOf(world);
    assert.deepEqual(entry?.public, { serial });
    assert.deepEqual(entry?.private, { reason: reason ?? "unspecified" });
    assert.deepEqual(more, []);
    assert.equal(world.state.issued(serial)?.revokedMs, NOW_MS + 1234);
    assert.equal(world.state.issued(serial)?.reason, reason ?? "unspecified");
  });
}

test("REVOKE ends sessions at once, and is answered after it is durable outside of the log, too", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const { serial } = certificate;
  const shown = openShowing(world, certificate);
  await ask(shown.session, "HELLO", {});
  const held = Promise.withResolvers<void>();
  world.signedLog.witness = () => held.promise;
  let isAnswered = false;
  const answer = ask(session, "REVOKE", { serial }).then(() => isAnswered = true);
  while (revokedOf(world).length === 0) await turn();
  await turn();
  assert.equal(isAnswered, false);
  assert.equal(shown.ends.length, 1, "a session of a stolen key waits for no disk");
  held.resolve();
  await answer;
});

test("Revocation.revoke() ends the sessions of what was revoked where another one cannot be logged", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const [first, second] = [await certify(session), await certify(session)];
  const [firsts, seconds] = [openShowing(world, first), openShowing(world, second)];
  for (const one of [firsts, seconds]) await ask(one.session, "HELLO", {});
  const { signedLog, state, directory } = world;
  const append = signedLog.append.bind(signedLog);
  signedLog.append = (entry) =>
    entry.public["serial"] === first.serial
      ? Promise.reject(new PkiError("storage", "the disk is full"))
      : append(entry);
  const both = [first, second].flatMap(({ serial }) => state.issued(serial) ?? []);
  await assertFails(
    directory.revocation.revoke(both, "unspecified"),
    "storage",
    "the disk is full",
  );
  assert.deepEqual(revokedOf(world).map((entry) => entry.public), [{ serial: second.serial }]);
  assert.deepEqual([firsts.ends.length, seconds.ends.length], [0, 1]);
});

test("REVOKE is refused for everything but the user's own certificates, in the same words", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const bobs = await certify(await openAs(world, "bob"), BOBS_CSR);
  const server = parseCertificate(await world.directory.certifyServer(bobs.spki));
  for (const serial of [bobs.serial, server.serial, CA.issuing.serial, CA.root.serial, "00"]) {
    await assertFails(
      ask(session, "REVOKE", { serial }),
      "not-found",
      `cannot revoke ${serial}: no such certificate of "alice"`,
    );
  }
  await assertFails(
    ask(world.open(), "REVOKE", { serial: bobs.serial }),
    "refused",
    "cannot do this: log in first",
  );
  assert.deepEqual(revokedOf(world), []);
});

test("REVOKE of what is revoked changes nothing, also at the same moment", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const second = await openAs(world, "alice");
  const { serial } = await certify(session);
  const answers = await Promise.all([
    ask(session, "REVOKE", { serial, reason: "keyCompromise" }),
    ask(second, "REVOKE", { serial, reason: "superseded" }),
    ask(session, "REVOKE", { serial }),
  ]);
  world.clock.nowMs += DAY_MS;
  answers.push(await ask(session, "REVOKE", { serial }));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assert.equal(revokedOf(world).length, 1);
  assert.equal(world.state.issued(serial)?.reason, "keyCompromise");
});

test("REVOKE that cannot be stored revokes nothing", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const { session: other, ends } = openShowing(world, certificate);
  await ask(other, "LOGIN_CERTIFICATE", {});
  world.log.before = () => {
    throw new PkiError("storage", "the disk is full");
  };
  await assertFails(
    ask(session, "REVOKE", { serial: certificate.serial }),
    "storage",
    "the disk is full",
  );
  assert.equal(world.state.issued(certificate.serial)?.revokedMs, null);
  assert.equal(await statusOf(world, certificate), "good");
  await turn();
  assert.deepEqual(ends, []);
  world.log.before = () => {};
  await ask(session, "REVOKE", { serial: certificate.serial });
  assert.equal(await statusOf(world, certificate), "revoked");
});

test("A revoked certificate is found no more, published no more, and opens no session", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const newer = await certify(session);
  await world.directory.commit({
    type: "published",
    public: { serial: certificate.serial },
    private: null,
  });
  await ask(session, "CERTREQ", { id: "alice" });
  await ask(session, "REVOKE", { serial: certificate.serial });
  await assertFails(ask(session, "CERTREQ", { id: "alice" }), "not-found", /nobody has published/);
  await assertFails(
    ask(session, "CERTUP", { certificate: encodeBase64(certificate.der) }),
    "refused",
    "cannot publish: the certificate is revoked",
  );
  const message = "cannot trust the certificate: it is revoked";
  for (const type of ["HELLO", "LOGIN_CERTIFICATE"] as const) {
    const { session } = openShowing(world, certificate);
    await assertFails(ask(session, type, {}), "untrusted", message);
  }
  const { session: good } = openShowing(world, newer);
  assert.deepEqual(await ask(good, "LOGIN_CERTIFICATE", {}), { id: "alice" });
});

test("REVOKE while the certificate waits to be published leaves it unpublished", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  await ask(session, "CERTUP", { certificate: encodeBase64(certificate.der) });
  await ask(session, "REVOKE", { serial: certificate.serial });
  assert.equal(world.state.published("alice"), undefined);
});

// Sessions that end

test("Revoking ends the sessions that the certificate opened, and no others", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const newer = await certify(session);
  const bobs = await certify(await openAs(world, "bob"), BOBS_CSR);
  const open = [certificate, certificate, newer, bobs].map((one) => openShowing(world, one));
  for (const { session } of open) await ask(session, "LOGIN_CERTIFICATE", {});
  const greeted = openShowing(world, certificate);
  await ask(greeted.session, "HELLO", {});
  await ask(session, "REVOKE", { serial: certificate.serial });
  await turn();
  const end = {
    end: { code: "UNTRUSTED", message: "the session has ended: its certificate was revoked" },
  };
  assert.deepEqual(open.map(({ ends }) => ends), [[end], [end], [], []]);
  assert.deepEqual(greeted.ends, [end], "it could have logged in");
  const [ended, , other] = open;
  assert.ok(ended && other);
  await assertFails(
    ask(ended.session, "CERTREQ", { id: "alice" }),
    "refused",
    "cannot do this: this session has ended",
  );
  assert.equal((await certify(other.session)).commonNames[0], "alice");
  await certify(session);
});

test("A session that ends has its running requests answered before it hears of it", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const { session: other, ends } = openShowing(world, certificate);
  await ask(other, "LOGIN_CERTIFICATE", {});
  const writing = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  world.log.before = ({ type }) => {
    if (type !== "issued") return;
    begun.resolve();
    return writing.promise;
  };
  const order: string[] = [];
  const running = certify(other).then(() => order.push("answer"));
  await begun.promise;
  await ask(session, "REVOKE", { serial: certificate.serial });
  await turn();
  assert.deepEqual(ends, [], "the answer comes first");
  writing.resolve();
  await running;
  order.push(ends.length === 0 ? "not yet" : "ended before");
  await turn();
  assert.deepEqual(order, ["answer", "not yet"]);
  assert.equal(ends.length, 1);
});

test("A session that revokes its own certificate gets the answer, and then ends", async () => {
  const world = await makeDirectory(CA);
  const certificate = await certify(await openAs(world, "alice"));
  const { session, ends } = openShowing(world, certificate);
  await ask(session, "LOGIN_CERTIFICATE", {});
  const answer = await ask(session, "REVOKE", { serial: certificate.serial });
  assert.deepEqual(ends, []);
  assert.equal(answer["serial"], certificate.serial);
  await turn();
  assert.equal(ends.length, 1);
});

test("Nothing is certified for a session that ended while its request was being signed", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const { session: other } = openShowing(world, certificate);
  await ask(other, "LOGIN_CERTIFICATE", {});
  const signing = Promise.withResolvers<void>();
  const { authority } = world.directory.options;
  const { certify: sign } = authority;
  authority.certify = async (certification) => {
    await signing.promise;
    return await sign(certification);
  };
  const running = certify(other);
  await ask(session, "REVOKE", { serial: certificate.serial });
  const before = world.entries.length;
  signing.resolve();
  await assertFails(running, "refused", "cannot do this: this session has ended");
  assert.equal(world.entries.length, before);
});

test("Sessions whose connection is gone are not told", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const { session: gone, ends } = openShowing(world, certificate);
  await ask(gone, "LOGIN_CERTIFICATE", {});
  world.directory.closeSession(gone);
  await ask(session, "REVOKE", { serial: certificate.serial });
  await turn();
  assert.deepEqual(ends, []);
});

// LOGIN_CERTIFICATE

test("LOGIN_CERTIFICATE opens a session for whom the certificate is of, and only once", async () => {
  const world = await makeDirectory(CA);
  const certificate = await certify(await openAs(world, "alice"));
  const { session } = openShowing(world, certificate);
  await assertFails(certify(session), "refused", "cannot do this: log in first");
  assert.deepEqual(await ask(session, "LOGIN_CERTIFICATE", {}), { id: "alice" });
  assert.equal(session.user, "alice");
  assert.equal((await certify(session)).commonNames[0], "alice");
  await assertFails(
    ask(session, "LOGIN_CERTIFICATE", {}),
    "refused",
    "cannot do this: this session is logged in already",
  );
});

test("LOGIN_CERTIFICATE finds out that the log has lost what the client has seen", async () => {
  const world = await makeDirectory(CA);
  const certificate = await certify(await openAs(world, "alice"));
  const { session } = openShowing(world, certificate);
  const checkpoint = world.signedLog.checkpoint;
  world.signedLog.lossBy = (note) => note === checkpoint ? "it is shorter" : undefined;
  await assertFails(
    ask(session, "LOGIN_CERTIFICATE", { checkpoint }),
    "untrusted",
    /has lost entries/,
  );
  assert.equal(session.user, undefined);
  assert.deepEqual(world.losses, [["it is shorter", checkpoint]]);
});

test("LOGIN_CERTIFICATE is refused without a certificate that is good at this moment", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const certificate = await certify(session);
  const unlogged = parseCertificate(issueUser(CA, { id: "alice", key: KEY }));
  const foreign = parseCertificate(issueUser(OTHER_CA, { id: "alice", key: KEY }));
  const server = parseCertificate(await world.directory.certifyServer(certificate.spki));
  const login = (visitor: Partial<Visitor>, one = certificate) =>
    ask(openShowing(world, one, visitor).session, "LOGIN_CERTIFICATE", {});
  await assertFails(login({ shown: [] }), "refused", "cannot log in: no certificate was shown");
  await assertFails(
    login({}, unlogged),
    "untrusted",
    "cannot trust the certificate: it is not in the log",
  );
  await assertFails(
    login({}, foreign),
    "untrusted",
    /^cannot trust certificate: it is not of this CA$/,
  );
  await assertFails(
    login({ shown: [foreign.der, OTHER_CA.issuing.der, OTHER_CA.root.der] }),
    "untrusted",
    /^cannot trust certificate: /,
  );
  await assertFails(login({}, server), "untrusted", /it is not meant for this use$/);
  await assertFails(login({ shown: [CA.issuing.der] }), "untrusted", /^cannot trust certificate: /);
  await assertFails(login({ shown: [Uint8Array.of(48, 0)] }), "untrusted", /^cannot read /);

  const nobodys = parseCertificate(issueUser(CA, { id: "nobody", key: KEY }));
  await world.directory.commit({
    type: "issued",
    public: { profile: "user", id: "nobody", certificate: encodeBase64(nobodys.der) },
    private: null,
  });
  await assertFails(login({}, nobodys), "refused", 'cannot log in: there is no account "nobody"');

  // Good when the connection was greeted, and no more when it logs in.
  const { session: late } = openShowing(world, certificate);
  await ask(late, "HELLO", {});
  world.clock.nowMs = certificate.notAfterMs + 1000;
  await assertFails(
    ask(late, "LOGIN_CERTIFICATE", {}),
    "untrusted",
    /^cannot trust certificate: it expired /,
  );
  world.clock.nowMs = certificate.notAfterMs;
  assert.deepEqual(await login({}), { id: "alice" }, "to the last moment");
});

// STATUS

const requestFor = (serials: readonly string[], more: { nonce?: Uint8Array; hash?: "sha1" } = {}) =>
  encodeOcspRequest({ issuer: CA.issuing, serials, ...more });

async function askStatus(world: TestDirectory, request: Uint8Array): Promise<Uint8Array> {
  const answer = await ask(world.open(), "STATUS", { request: encodeBase64(request) });
  return parseBase64(parseAnswerBody("STATUS", answer).response);
}

async function statusOf(world: TestDirectory, leaf: Certificate): Promise<string> {
  const response = await askStatus(world, requestFor([leaf.serial]));
  return judgeOcspResponse(response, { leaf, issuing: CA.issuing, nowMs: world.clock.nowMs })
    .status;
}

test("STATUS says good of a certificate for an hour, to anybody", async () => {
  const world = await makeDirectory(CA);
  const leaf = await certify(await openAs(world, "alice"));
  for (const hash of ["sha1", undefined] as const) {
    const request = requestFor([leaf.serial], hash ? { hash } : {});
    const judged = judgeOcspResponse(await askStatus(world, request), {
      ...{ leaf, issuing: CA.issuing, nowMs: NOW_MS },
    });
    assert.deepEqual(judged, {
      status: "good",
      thisUpdateMs: NOW_MS,
      nextUpdateMs: NOW_MS + LIMITS.ocspValidityMs,
    });
  }
});

test("STATUS says since when a certificate is revoked and why, from that moment on", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const leaf = await certify(session);
  assert.equal(await statusOf(world, leaf), "good");
  assert.equal(await statusOf(world, leaf), "good", "from what is kept");
  world.clock.nowMs += 60_000;
  await ask(session, "REVOKE", { serial: leaf.serial, reason: "keyCompromise" });
  const response = await askStatus(world, requestFor([leaf.serial]));
  const judged = judgeOcspResponse(response, {
    ...{ leaf, issuing: CA.issuing, nowMs: world.clock.nowMs },
  });
  assert.equal(judged.status, "revoked");
  assert.equal(judged.revokedMs, NOW_MS + 60_000);
  assert.equal(judged.reason, "keyCompromise");
});

test("STATUS says unknown, never good, of what is not in the table of this CA's certificates", async () => {
  const world = await makeDirectory(CA);
  const made = parseCertificate(issueUser(CA, { id: "alice", key: KEY }));
  assert.equal(await statusOf(world, made), "unknown");
  // In the table, but of another CA.
  const foreign = parseCertificate(issueUser(OTHER_CA, { id: "alice", key: KEY }));
  await world.directory.commit({
    type: "issued",
    public: { profile: "user", id: "alice", certificate: encodeBase64(foreign.der) },
    private: null,
  });
  const { basic } = parseOcspResponse(await askStatus(world, requestFor([foreign.serial])));
  assert.deepEqual(basic?.answers.map(({ status }) => status.type), ["unknown"]);
});

const errorOf = async (world: TestDirectory, request: Uint8Array) =>
  parseOcspResponse(await askStatus(world, request)).status;

test("STATUS knows nothing of other CAs, also not of the root, and of what is no request", async () => {
  const world = await makeDirectory(CA);
  const leaf = await certify(await openAs(world, "alice"));
  const of = (issuer: Certificate) => encodeOcspRequest({ issuer, serials: [leaf.serial] });
  assert.equal(await errorOf(world, of(OTHER_CA.issuing)), "unauthorized");
  assert.equal(await errorOf(world, of(CA.root)), "unauthorized");
  // The name of one CA and the key of another.
  assert.equal(
    await errorOf(world, of({ ...CA.issuing, spki: OTHER_CA.issuing.spki })),
    "unauthorized",
  );
  assert.equal(
    await errorOf(world, of({ ...CA.issuing, subject: CA.root.subject })),
    "unauthorized",
  );
  const good = of(CA.issuing);
  for (const bad of [Uint8Array.of(0), Uint8Array.of(48, 0), good.subarray(0, -1)]) {
    assert.equal(await errorOf(world, bad), "malformedRequest");
  }
  assert.equal(await errorOf(world, good), "successful");
});

test("STATUS answers for each CA of the folder, signed by that one, and for one at a time", async () => {
  const earlier = await makeOtherIssuer(CA);
  const world = await makeDirectory(CA, { earlier: [earlier] });
  const leaf = parseCertificate(
    issueUser({ ...CA, issuing: earlier.certificate, issuingKey: earlier.key }, {
      ...{ id: "alice", key: KEY },
    }),
  );
  await world.directory.commit({
    type: "issued",
    public: { profile: "user", id: "alice", certificate: encodeBase64(leaf.der) },
    private: null,
  });
  const { certificate: issuing } = earlier;
  const request = encodeOcspRequest({ issuer: issuing, serials: [leaf.serial] });
  const response = await askStatus(world, request);
  assert.equal(judgeOcspResponse(response, { leaf, issuing, nowMs: NOW_MS }).status, "good");
  // The same serial number of the current CA is another certificate.
  const { basic } = parseOcspResponse(await askStatus(world, requestFor([leaf.serial])));
  assert.deepEqual(basic?.answers.map(({ status }) => status.type), ["unknown"]);
  assert.equal(await errorOf(world, mixedRequest(issuing, leaf.serial)), "unauthorized");
});

/** Somebody's certificate of another CA, in the log. */
async function putOf(world: TestDirectory, { certificate, key }: Issuer, id: string) {
  const ca = { ...CA, issuing: certificate, issuingKey: key };
  const leaf = parseCertificate(issueUser(ca, { id, key: KEY }));
  await world.directory.commit({
    type: "issued",
    public: { profile: "user", id, certificate: encodeBase64(leaf.der) },
    private: null,
  });
  return leaf;
}

test("a CA that the root revokes ends the sessions that its certificates have opened", async () => {
  const earlier = await makeOtherIssuer(CA);
  const world = await makeDirectory(CA, { earlier: [earlier] });
  const others = await openAs(world, "alice");
  const leaf = await putOf(world, earlier, "alice");
  const { session, ends } = openShowing(world, leaf);
  await ask(session, "LOGIN_CERTIFICATE", {});
  const { directory } = world;
  const { issuers, successions } = directory;
  directory.useIssuers(issuers, successions);
  assert.deepEqual(ends, []);
  const revoked = new Set([earlier.certificate.serial]);
  directory.useIssuers({ ...issuers, revoked }, successions);
  assert.deepEqual(ends.map(({ end }) => end), [{
    code: "UNTRUSTED",
    message: "the session has ended: the CA of its certificate was revoked",
  }]);
  await assertFails(ask(session, "CERTREQ", { id: "alice" }), "refused", /has ended$/);
  await ask(others, "CSR", { csr: encodeBase64(CSR) });
});

test("a certificate opens sessions however many CAs have followed the one that issued it", async () => {
  const earlier: Issuer[] = [];
  for (let number = 2; number < 9; number++) earlier.push(await makeOtherIssuer(CA, { number }));
  const world = await makeDirectory(CA, { earlier });
  await openAs(world, "alice");
  const [oldest] = earlier.slice(-1);
  assert.ok(oldest);
  const { session } = openShowing(world, await putOf(world, oldest, "alice"));
  assert.deepEqual(await ask(session, "LOGIN_CERTIFICATE", {}), { id: "alice" });
});

/** About two certificates of two CAs. */
function mixedRequest(other: Certificate, serial: string): Uint8Array {
  const listOf = (der: Uint8Array) => {
    const outer = new DerReader(der).enter(TAG.sequence);
    return outer.enter(TAG.sequence).read(TAG.sequence).content;
  };
  const requests = [CA.issuing, other].map((issuer) =>
    listOf(encodeOcspRequest({ issuer, serials: [serial] }))
  );
  return encodeSequence(encodeSequence(encodeSequence(...requests)));
}

test("STATUS answers for several certificates at once, and repeats a nonce", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const leaves = [await certify(session), await certify(session)];
  const [first, second] = leaves;
  assert.ok(first && second);
  await ask(session, "REVOKE", { serial: second.serial });
  const nonce = new Uint8Array(32).fill(7);
  const request = requestFor([first.serial, second.serial, "5555"], { nonce });
  const { basic } = parseOcspResponse(await askStatus(world, request));
  assert.deepEqual(
    basic?.answers.map(({ certId, status }) => [certId.serial, status.type]),
    [[first.serial, "good"], [second.serial, "revoked"], ["5555", "unknown"]],
  );
  assert.deepEqual(basic?.nonce, nonce);
});

/** From now on counts the answers that the authority signs. */
function countSigned(world: TestDirectory): () => number {
  let signed = 0;
  const { authority } = world.directory.options;
  const { signStatus } = authority;
  authority.signStatus = (status) => {
    signed++;
    return signStatus(status);
  };
  return () => signed;
}

test("STATUS answers again what it has signed, for some minutes, and never to a nonce", async () => {
  const world = await makeDirectory(CA);
  const leaf = await certify(await openAs(world, "alice"));
  const plain = requestFor([leaf.serial]);
  const fresh = requestFor([leaf.serial], { nonce: new Uint8Array(16).fill(1) });
  const signed = countSigned(world);
  const first = await askStatus(world, plain);
  world.clock.nowMs += LIMITS.ocspReuseMs - 1;
  assert.deepEqual(await askStatus(world, plain), first);
  assert.equal(signed(), 1);
  world.clock.nowMs += 1;
  const later = await askStatus(world, plain);
  assert.equal(signed(), 2);
  assert.equal(
    judgeOcspResponse(later, { leaf, issuing: CA.issuing, nowMs: world.clock.nowMs }).thisUpdateMs,
    NOW_MS + LIMITS.ocspReuseMs,
  );
  await askStatus(world, fresh);
  await askStatus(world, fresh);
  assert.equal(signed(), 4);
});

test("STATUS gives no answer again that is not good now, whatever the clock was set to", async () => {
  const world = await makeDirectory(CA);
  const leaf = await certify(await openAs(world, "alice"));
  const plain = requestFor([leaf.serial]);
  const thisUpdateOf = (response: Uint8Array) =>
    parseOcspResponse(response).basic?.answers[0]?.thisUpdateMs;
  const rows: readonly (readonly [what: string, setMs: number, isKept: boolean])[] = [
    ["a little forward", 60_000, true],
    ["forward to its last moment", LIMITS.ocspValidityMs - 1, true],
    ["forward behind its end", LIMITS.ocspValidityMs, false],
    ["back a moment before it", -1, false],
    ["back an hour", -60 * 60_000, false],
  ];
  for (const [what, setMs, isKept] of rows) {
    // Of another second each time: nothing is left of the row before.
    world.clock.nowMs = NOW_MS;
    world.clock.elapsedMs = (world.clock.elapsedMs ?? 0) + LIMITS.ocspReuseMs;
    assert.equal(thisUpdateOf(await askStatus(world, plain)), NOW_MS, what);
    world.clock.nowMs += setMs;
    world.clock.elapsedMs += LIMITS.ocspReuseMs - 1;
    const set = thisUpdateOf(await askStatus(world, plain)) ?? 0;
    assert.equal(set === NOW_MS, isKept, what);
    assert.ok(set <= world.clock.nowMs, what);
  }
  // Nor is it kept for longer: time goes on also where the clock on the wall stands still.
  world.clock.nowMs = NOW_MS;
  world.clock.elapsedMs = 10 * LIMITS.ocspReuseMs;
  const signed = countSigned(world);
  for (const [elapsedMs, times] of [[0, 1], [LIMITS.ocspReuseMs - 1, 1], [1, 2]] as const) {
    world.clock.elapsedMs += elapsedMs;
    await askStatus(world, plain);
    assert.equal(signed(), times);
  }
});

test("STATUS keeps no answer that a revocation has overtaken", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const leaf = await certify(session);
  const signing = Promise.withResolvers<void>();
  const { authority } = world.directory.options;
  const { signStatus } = authority;
  authority.signStatus = async (status) => {
    await signing.promise;
    return await signStatus(status);
  };
  const early = statusOf(world, leaf);
  await ask(session, "REVOKE", { serial: leaf.serial });
  signing.resolve();
  assert.equal(await early, "good", "it was asked before");
  assert.equal(await statusOf(world, leaf), "revoked");
});

test("STATUS keeps so many answers, and forgets the oldest", async () => {
  const world = await makeDirectory(CA);
  const leaf = await certify(await openAs(world, "alice"));
  let signed = 0;
  const { authority } = world.directory.options;
  authority.signStatus = () => Promise.resolve(Uint8Array.of(signed++ & 0xff, 1));
  const own = requestFor([leaf.serial]);
  await askStatus(world, own);
  for (let n = 0; n < 4095; n++) {
    await askStatus(world, requestFor([(0x10000000 + n).toString(16)]));
  }
  await askStatus(world, own);
  assert.equal(signed, 4096, "all of them are kept");
  await askStatus(world, requestFor(["7fffffff"]));
  await askStatus(world, own);
  assert.equal(signed, 4098);
});
