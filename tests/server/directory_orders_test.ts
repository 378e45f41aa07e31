import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, encodeHex, isEqualBytes, parseBase64, utf8 } from "../../lib/base/bytes.ts";
import type { ErrorKind } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import {
  ADMIN_REASONS,
  type AdminAnswer,
  type AdminBody,
  encodeAdminAnswer,
  LIST_ROWS_MAX,
} from "../../lib/protocol/admin_messages.ts";
import { IGNORED_MAX } from "../../lib/protocol/answers.ts";
import { carryOut } from "../../lib/server/directory_orders.ts";
import { keyIdHex } from "../../lib/server/issuers.ts";
import type { DirectoryOrder, SessionEnd } from "../../lib/server/ports.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { isIssuedBy } from "../../lib/x509/path.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { importKeyPair, x509 } from "../../lib/x509/provider.ts";
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
const OUTSIDE = await makeOtherIssuer(CA, { outside: ["example.org"] });
const KEY = await generatePrivateKey("p256");
const SPKI = encodeBase64(encodeSpki(KEY));

function order<T extends DirectoryOrder["type"]>(
  world: TestDirectory,
  type: T,
  body: AdminBody<T>,
): Promise<AdminAnswer<T>> {
  const request = { type, body } as DirectoryOrder;
  return carryOut(world.directory, request) as Promise<AdminAnswer<T>>;
}

const certificateOf = ({ certificate }: AdminAnswer<"ISSUE">) =>
  parseCertificate(parseBase64(certificate));

/** Puts a certificate into the log as if it had been issued just now. */
async function put(
  world: TestDirectory,
  der: Uint8Array,
  { profile = "user", id }: { readonly profile?: string; readonly id?: string } = {},
): Promise<Certificate> {
  const certificate = encodeBase64(der);
  await world.directory.commit({
    type: "issued",
    public: { profile, ...(id === undefined ? {} : { id }), certificate },
    private: null,
  });
  return parseCertificate(der);
}

const putUser = (world: TestDirectory, id: string, nowMs = world.clock.nowMs) =>
  put(world, issueUser(CA, { id, key: KEY, nowMs }), { id });

// ISSUE

test("ISSUE certifies a server's key for its names, and logs that as nobody's identity", async () => {
  const world = await makeDirectory(CA);
  const dns = ["www.pki.test", "db.pki.test"];
  const answer = await order(world, "ISSUE", { profile: "server", dns, spki: SPKI, days: 10 });
  const leaf = certificateOf(answer);
  assert.equal(encodeBase64(leaf.spki), SPKI);
  assert.deepEqual(
    leaf.names,
    dns.map((value) => ({ type: "dns", value })),
  );
  assert.equal(leaf.notAfterMs, NOW_MS + 10 * DAY_MS);
  assert.ok(isEqualBytes(parseBase64(answer.issuing), CA.issuing.der));
  assert.ok(isIssuedBy(leaf, CA.issuing));
  assert.deepEqual(answer.ignored, []);
  assert.deepEqual(world.entries[answer.index]?.public, {
    profile: "server",
    certificate: answer.certificate,
  });
  assert.equal(world.state.issued(leaf.serial)?.id, null);
  assert.equal(world.copies.size, 0);
});

test("ISSUE certifies a service by its name, whatever users are called", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "backup");
  const answer = await order(world, "ISSUE", { profile: "service", name: "backup", spki: SPKI });
  const leaf = certificateOf(answer);
  assert.deepEqual(leaf.commonNames, ["backup"]);
  assert.deepEqual(world.entries[answer.index]?.public, {
    profile: "service",
    name: "backup",
    certificate: answer.certificate,
  });
  // It is not the user's: neither to be revoked nor to be published, nor to log in with.
  await assertFails(
    ask(session, "REVOKE", { serial: leaf.serial }),
    "not-found",
    /no such certificate/,
  );
  await assertFails(
    ask(session, "CERTUP", { certificate: answer.certificate }),
    "refused",
    /no such certificate was issued to "backup"/,
  );
  const shown = [leaf.der, CA.issuing.der];
  await assertFails(
    ask(world.open({ shown }), "LOGIN_CERTIFICATE", {}),
    "untrusted",
    /^cannot trust /,
  );
});

test("ISSUE has names outside of the domain certified by the CA that is for them", async () => {
  const world = await makeDirectory(CA, { outside: [OUTSIDE] });
  const answer = await order(world, "ISSUE", {
    profile: "server",
    dns: ["www.example.org"],
    addresses: ["10.1.2.3"],
    spki: SPKI,
  });
  assert.ok(isEqualBytes(parseBase64(answer.issuing), OUTSIDE.certificate.der));
  assert.equal(
    world.state.issued(certificateOf(answer).serial)?.issuerKeyId,
    keyIdHex(OUTSIDE.certificate),
  );
});

test("ISSUE takes the key of a request, and says what it did not take", async () => {
  const world = await makeDirectory(CA);
  const { algorithm: signingAlgorithm, keys } = await importKeyPair(KEY);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ["Example"] }, { CN: ["www.pki.test"] }],
    keys,
    signingAlgorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "www.pki.test" }]),
    ],
  });
  const answer = await order(world, "ISSUE", {
    profile: "server",
    dns: ["www.pki.test"],
    csr: encodeBase64(new Uint8Array(csr.rawData)),
  });
  assert.equal(encodeBase64(certificateOf(answer).spki), SPKI);
  assert.deepEqual(answer.ignored, ["subject attribute O"]);
});

test("ISSUE answers in one frame, whatever a request asks for", async () => {
  const world = await makeDirectory(CA);
  const { algorithm: signingAlgorithm, keys } = await importKeyPair(KEY);
  const usages = Array.from({ length: 2500 }, (_, n) => `1.2.${n + 1}`);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm,
    extensions: [new x509.ExtendedKeyUsageExtension(usages)],
  });
  const answer = await order(world, "ISSUE", {
    profile: "server",
    dns: ["www.pki.test"],
    csr: encodeBase64(new Uint8Array(csr.rawData)),
  });
  assert.ok(encodeAdminAnswer(1, answer).length <= LIMITS.frameBytesMax);
  assert.equal(answer.ignored.length, IGNORED_MAX.phrases);
});

const REFUSED: readonly [AdminBody<"ISSUE">, ErrorKind, RegExp][] = [
  [{ profile: "server", dns: ["www.pki.test"] }, "usage", /^cannot certify: either a request or /],
  [
    { profile: "server", dns: ["www.pki.test"], spki: SPKI, csr: SPKI },
    "usage",
    /^cannot certify: either a request or /,
  ],
  [{ profile: "server", spki: SPKI }, "usage", /needs a DNS name or an address$/],
  [{ profile: "server", dns: ["not a name"], spki: SPKI }, "usage", /: not a DNS name$/],
  [{ profile: "server", dns: ["server.pki.test"], spki: SPKI }, "refused", /: it is reserved /],
  [{ profile: "server", dns: ["alice.user.pki.test"], spki: SPKI }, "refused", /: it is reserved /],
  [{ profile: "server", dns: ["www.other.test"], spki: SPKI }, "not-found", /no CA is for all of /],
  [{ profile: "server", addresses: ["10.0.0.1"], spki: SPKI }, "not-found", /no CA is for all of /],
  [
    { profile: "server", addresses: ["10.0.0"], spki: SPKI },
    "usage",
    /not an IP address$/,
  ],
  [{ profile: "service", spki: SPKI }, "usage", /./],
  [{ profile: "service", name: "../x", spki: SPKI }, "usage", /./],
  [{ profile: "service", name: "a", dns: ["www.pki.test"], spki: SPKI }, "usage", /are fixed$/],
  [{ profile: "server", dns: ["www.pki.test"], spki: "AAAA" }, "malformed", /./],
  [{ profile: "server", dns: ["www.pki.test"], spki: "?" }, "malformed", /./],
  [{ profile: "server", dns: ["www.pki.test"], csr: "AAAA" }, "malformed", /./],
  [{ profile: "server", dns: ["www.pki.test"], spki: SPKI, days: 9999 }, "refused", /./],
];

for (const [body, kind, message] of REFUSED) {
  test(`ISSUE is refused for ${JSON.stringify(body).replaceAll(SPKI, "…")}`, async () => {
    const world = await makeDirectory(CA);
    await assertFails(order(world, "ISSUE", body), kind, message);
    assert.deepEqual(world.entries, []);
  });
}

// LIST

test("LIST tells what the tables say, and what others than users are called", async () => {
  const world = await makeDirectory(CA, { outside: [OUTSIDE] });
  const alice = await putUser(world, "alice");
  await order(world, "ISSUE", { profile: "service", name: "backup", spki: SPKI });
  await order(world, "ISSUE", {
    profile: "server",
    dns: ["www.example.org", "db.example.org"],
    addresses: ["10.1.2.3"],
    spki: SPKI,
  });
  await order(world, "ISSUE", { profile: "server", addresses: ["10.0.0.1"], spki: SPKI });
  await put(world, CA.issuing.der, { profile: "issuing" });
  const { certificates, next } = await order(world, "LIST", {});
  assert.equal(next, undefined);
  assert.deepEqual(certificates[0], {
    entry: 0,
    serial: alice.serial,
    profile: "user",
    id: "alice",
    subject: null,
    issuedMs: NOW_MS,
    notAfterMs: alice.notAfterMs,
    revokedMs: null,
    reason: null,
    issuerKeyId: encodeHex(CA.issuing.subjectKeyId ?? new Uint8Array()),
  });
  assert.deepEqual(
    certificates.slice(1).map(({ profile, id, subject }) => [profile, id, subject]),
    [
      ["service", null, "backup"],
      ["server", null, "www.example.org +2 more"],
      ["server", null, "10.0.0.1"],
      ["issuing", null, "pki.test issuing CA"],
    ],
  );
});

test("LIST filters, and names the place where the next page begins", async () => {
  const world = await makeDirectory(CA);
  for (let n = 0; n < 7; n++) await putUser(world, n % 2 === 0 ? "alice" : "bob");
  const all: number[] = [];
  let after: AdminBody<"LIST">["after"];
  const pages: number[] = [];
  for (;;) {
    const { certificates, next } = await order(world, "LIST", {
      id: "alice",
      limit: 2,
      ...(after ? { after } : {}),
    });
    pages.push(certificates.length);
    all.push(...certificates.map(({ entry }) => entry));
    if (!next) break;
    after = next;
  }
  assert.deepEqual(all, [0, 2, 4, 6]);
  assert.deepEqual(pages, [2, 2, 0]);
});

test("LIST judges by the clock of the server what is valid, expired, or soon to be", async () => {
  const world = await makeDirectory(CA);
  await putUser(world, "old", NOW_MS - 31 * DAY_MS);
  await putUser(world, "ending", NOW_MS - 25 * DAY_MS);
  await putUser(world, "new");
  const revoked = await putUser(world, "revoked", NOW_MS - 25 * DAY_MS);
  await order(world, "REVOKE", { serial: revoked.serial, reason: "unspecified" });
  const idsOf = async (body: AdminBody<"LIST">) =>
    (await order(world, "LIST", body)).certificates.map(({ id }) => id);
  assert.deepEqual(await idsOf({ state: "expired" }), ["old"]);
  assert.deepEqual(await idsOf({ state: "valid" }), ["ending", "new"]);
  assert.deepEqual(await idsOf({ state: "revoked" }), ["revoked"]);
  assert.deepEqual(await idsOf({ endsBeforeMs: NOW_MS + 14 * DAY_MS }), ["ending"]);
  world.clock.nowMs += 6 * DAY_MS;
  assert.deepEqual(await idsOf({ state: "expired" }), ["old", "ending"]);
});

/** A certificate that says as much as it can, signed by nobody that matters. */
async function verboseCertificate(serial: string, commonName: string): Promise<Uint8Array> {
  const { algorithm: signingAlgorithm, keys } = await importKeyPair(KEY);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: [{ CN: [commonName] }],
    issuer: [{ CN: ["somebody"] }],
    notBefore: new Date(NOW_MS),
    notAfter: new Date(NOW_MS + DAY_MS),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm,
    extensions: [new x509.AuthorityKeyIdentifierExtension("aa".repeat(20))],
  });
  return new Uint8Array(certificate.rawData);
}

test("LIST fits into a frame whatever certificates are called, and leaves none out", async () => {
  const world = await makeDirectory(CA);
  const count = LIST_ROWS_MAX + 5;
  for (let n = 0; n < count; n++) {
    const serial = `7f${n.toString(16).padStart(38, "0")}`;
    // Characters of three bytes in UTF-8; and one that JSON writes with six.
    const name = `\u0001${"語".repeat(252)}`;
    await put(world, await verboseCertificate(serial, name), { profile: "issuing" });
  }
  const found: number[] = [];
  let after: AdminBody<"LIST">["after"];
  for (;;) {
    const answer = await order(world, "LIST", after ? { after } : {});
    const frame = encodeAdminAnswer(Number.MAX_SAFE_INTEGER, answer);
    assert.ok(frame.length <= LIMITS.frameBytesMax, `${frame.length} bytes`);
    found.push(...answer.certificates.map(({ entry }) => entry));
    for (const { subject } of answer.certificates) assert.equal(subject?.length, 253);
    if (!answer.next) break;
    after = answer.next;
  }
  assert.deepEqual(found, Array.from({ length: count }, (_, entry) => entry));
});

test("LIST of users fills its pages", async () => {
  const world = await makeDirectory(CA);
  const id = "a".repeat(63);
  const der = issueUser(CA, { id, key: KEY });
  const at = encodeHex(der).indexOf(parseCertificate(der).serial) / 2;
  for (let n = 0; n < LIST_ROWS_MAX + 1; n++) {
    der[at + 19] = n & 0xff;
    der[at + 18] = n >> 8;
    await put(world, der, { id });
  }
  const { certificates, next } = await order(world, "LIST", { limit: 100_000 });
  assert.equal(certificates.length, LIST_ROWS_MAX);
  assert.ok(utf8(JSON.stringify(certificates)).length < 60_000);
  assert.equal((await order(world, "LIST", next ? { after: next } : {})).certificates.length, 1);
});

// REVOKE

for (const reason of ADMIN_REASONS) {
  test(`REVOKE by an administrator takes any certificate back: ${reason}`, async () => {
    const world = await makeDirectory(CA, { outside: [OUTSIDE] });
    const issued = await order(world, "ISSUE", {
      profile: "server",
      dns: ["www.example.org"],
      spki: SPKI,
    });
    const { serial } = certificateOf(issued);
    const answer = await order(world, "REVOKE", { serial, reason });
    assert.equal(answer.more, 0);
    const [row, ...others] = answer.revoked;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [row?.serial, row?.revokedMs, row?.reason, row?.subject],
      [serial, NOW_MS, reason, "www.example.org"],
    );
    assert.deepEqual(world.entries.at(-1)?.private, { reason });
    assert.deepEqual(world.revoked, [keyIdHex(OUTSIDE.certificate)], "its list is due");
  });
}

test("REVOKE by an administrator takes all back that a user has, in one go, and ends the sessions", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const ends: SessionEnd[] = [];
  const open = (shown: readonly Uint8Array[]) =>
    world.directory.openSession(
      { address: "", leafHash: LEAF_HASH, shown },
      (end) => ends.push(end),
    );
  const csr = encodeBase64(await makeCsr(KEY, "alice"));
  for (let n = 0; n < 3; n++) await ask(session, "CSR", { csr });
  await putUser(world, "bob");
  const old = await putUser(world, "alice", NOW_MS - 31 * DAY_MS);
  const newest = await putUser(world, "alice");
  await ask(open([newest.der, CA.issuing.der]), "LOGIN_CERTIFICATE", {});
  const held = Promise.withResolvers<void>();
  let waiting = 0;
  world.log.before = () => {
    if (++waiting === 4) held.resolve(); // all of them are on their way before the first is there
    return held.promise;
  };
  const { revoked, more } = await order(world, "REVOKE", { id: "alice", reason: "keyCompromise" });
  assert.equal(more, 0);
  assert.equal(revoked.length, 4);
  assert.ok(revoked.every(({ id, revokedMs }) => id === "alice" && revokedMs === NOW_MS));
  assert.equal(world.state.issued(old.serial)?.revokedMs, null, "it had ended");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(ends.length, 1);
  await assertFails(
    ask(session, "CSR", { csr }),
    "refused",
    "cannot do this: this session has ended",
  );
  await assertFails(
    order(world, "REVOKE", { id: "alice", reason: "unspecified" }),
    "not-found",
    'cannot revoke: "alice" has no valid certificate',
  );
});

for (const isGone of [false, true]) {
  const who = isGone ? "for somebody who has gone" : "just then";
  test(`REVOKE of all that a user has takes a certificate back that is being written ${who}`, async () => {
    const world = await makeDirectory(CA);
    const session = await openAs(world, "alice");
    const csr = encodeBase64(await makeCsr(KEY, "alice"));
    await ask(session, "CSR", { csr });
    const held = Promise.withResolvers<void>();
    const isWritten = Promise.withResolvers<void>();
    world.log.before = ({ type }) => {
      if (type !== "issued") return;
      isWritten.resolve();
      return held.promise;
    };
    const late = ask(session, "CSR", { csr });
    await isWritten.promise;
    if (isGone) world.directory.closeSession(session);
    const revoking = order(world, "REVOKE", { id: "alice", reason: "keyCompromise" });
    while (!world.entries.some(({ type }) => type === "revoked")) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    held.resolve();
    const { certificate } = await late;
    const { revoked } = await revoking;
    const { serial } = parseCertificate(parseBase64(String(certificate)));
    assert.equal(world.state.issued(serial)?.reason, "keyCompromise");
    assert.equal(revoked.length, 2);
  });
}

test("REVOKE says how many there are that it does not tell", async () => {
  const world = await makeDirectory(CA);
  const count = LIST_ROWS_MAX + 2;
  const der = issueUser(CA, { id: "alice", key: KEY });
  const at = encodeHex(der).indexOf(parseCertificate(der).serial) / 2;
  for (let n = 0; n < count; n++) {
    der[at + 19] = n & 0xff;
    der[at + 18] = n >> 8;
    await put(world, der, { id: "alice" });
  }
  const { revoked, more } = await order(world, "REVOKE", { id: "alice", reason: "unspecified" });
  assert.equal(revoked.length + more, count);
  assert.equal(more, 2);
  assert.equal(world.revoked.length, count);
});

test("REVOKE by an administrator is refused for what is not there, or not to be revoked", async () => {
  const world = await makeDirectory(CA);
  const { serial } = await putUser(world, "alice");
  const issuing = await put(world, CA.issuing.der, { profile: "issuing" });
  await order(world, "REVOKE", { serial, reason: "unspecified" });
  const before = world.entries.length;
  const rows: readonly [Omit<AdminBody<"REVOKE">, "reason">, ErrorKind, string][] = [
    [{}, "malformed", "cannot revoke: name either a serial number or a user"],
    [{ serial, id: "alice" }, "malformed", "cannot revoke: name either a serial number or a user"],
    [{ serial: "00" }, "not-found", "cannot revoke 00: no such certificate"],
    [{ serial }, "conflict", `cannot revoke ${serial}: it is revoked already`],
    [
      { serial: issuing.serial },
      "refused",
      `cannot revoke ${issuing.serial}: only the root's key revokes a CA`,
    ],
    [{ id: "nobody" }, "not-found", 'cannot revoke: "nobody" has no valid certificate'],
    [{ id: "alice" }, "not-found", 'cannot revoke: "alice" has no valid certificate'],
  ];
  for (const [body, kind, message] of rows) {
    await assertFails(order(world, "REVOKE", { ...body, reason: "superseded" }), kind, message);
  }
  assert.equal(world.entries.length, before);
});
