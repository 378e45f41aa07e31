import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { issueCertificate, prepareCertificate } from "../../lib/ca/issue.ts";
import { openCheckpoint, signCheckpoint } from "../../lib/log/checkpoint.ts";
import { encodeLeaf } from "../../lib/log/entry.ts";
import { encodeVerifierKey } from "../../lib/log/note.ts";
import { checkConsistency, checkInclusion } from "../../lib/log/proof.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import type { RequestBody, RequestType } from "../../lib/protocol/requests.ts";
import { OPAQUE_SUITE, startLogin } from "../../lib/protocol/opaque.ts";
import { LoginDialogue } from "../../lib/server/accounts.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { judgeServer, judgeUser } from "../../lib/x509/chain.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  ask,
  assertFails,
  DAY_MS,
  DOMAIN,
  issueUser,
  LEAF_HASH,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  OTHER_LEAF_HASH,
  startLoggingIn,
  startRegistering,
  type TestDirectory,
} from "../fakes/directory.ts";
import { certify, CSR, KEY, publish, signedFinish, startPublishing } from "./publishing.ts";

const CA = await makeCa();
const OTHER_CA = await makeCa();

const WRONG_LOGIN = "cannot log in: the id or the password is wrong";
const LOG_IN_FIRST = "cannot do this: log in first";
const LOGGED_IN = "cannot do this: this session is logged in already";

const typesOf = (world: TestDirectory) => world.entries.map(({ type }) => type);

/** Everything that the tables say of somebody. */
const tablesOf = ({ state }: TestDirectory, id = "alice") => ({
  account: state.account(id),
  published: state.published(id),
  newest: state.newestOf(id),
});

test("what is logged and cannot be kept in the tables stops everything", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const { state } = world;
  const apply = state.apply.bind(state);
  state.apply = () => {
    throw new Error("disk I/O error");
  };
  const message = "cannot keep what was logged: entry 1: disk I/O error";
  await assertFails(certify(session), "internal", message);
  state.apply = apply;
  assert.deepEqual(world.faults, [message]);
  assert.deepEqual(typesOf(world), ["registered", "issued"]);
});

// HELLO

test("HELLO says who the server is, by the clock of the server", async () => {
  const world = await makeDirectory(CA);
  const answer = await ask(world.open(), "HELLO", {});
  assert.deepEqual(parseAnswerBody("HELLO", answer), {
    root: encodeBase64(CA.root.der),
    domain: DOMAIN,
    versions: ["pki/1"],
    time: "2026-07-31T12:00:00.000Z",
    log: {
      key: encodeVerifierKey(world.verifier.name, world.logKey),
      signature: world.logSignature,
    },
    successions: [],
    registration: "open",
  });
});

test("HELLO is refused to one who shows a certificate that is not trusted", async () => {
  const world = await makeDirectory(CA);
  const own = await issueUser(CA, { id: "alice", key: KEY });
  const expired = await issueUser(CA, { id: "alice", key: KEY, nowMs: NOW_MS - 31 * DAY_MS });
  const early = await issueUser(CA, { id: "alice", key: KEY, nowMs: NOW_MS + DAY_MS });
  const elsewhere = await issueUser(CA, { id: "alice", key: KEY, domain: "other.test" });
  const foreign = await issueUser(OTHER_CA, { id: "alice", key: KEY });
  const server = await world.directory.certifyServer(encodeSpki(KEY));
  const damaged = own.slice();
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  const rows: readonly (readonly [readonly Uint8Array[], RegExp])[] = [
    [[foreign], /^cannot trust certificate: it is not of this CA$/],
    [[foreign, OTHER_CA.issuing.der], /^cannot trust certificate: it is not of this CA$/],
    [[expired], /^cannot trust certificate: it expired /],
    [[early], /^cannot trust certificate: it is not valid before /],
    [[elsewhere], /^cannot trust certificate: it has a name that its issuing CA must not certify$/],
    [[server], /^cannot trust certificate: it is not meant for this use$/],
    [[CA.issuing.der], /^cannot trust certificate: /],
    [[CA.root.der], /^cannot trust certificate: /],
    [[damaged], /^cannot trust certificate: the signature of it is not by its issuer$/],
    [[Uint8Array.of(1, 2, 3)], /^cannot read /],
  ];
  for (const [shown, message] of rows) {
    await assertFails(ask(world.open({ shown }), "HELLO", {}), "untrusted", message);
  }
  // One that nobody logged may be from before a loss, or made with a stolen key.
  await assertFails(
    ask(world.open({ shown: [own] }), "HELLO", {}),
    "untrusted",
    /^cannot trust the certificate: it is not in the log$/,
  );
  const logged = await certify(await openAs(world, "alice"));
  for (const shown of [[], [logged], [logged, CA.issuing.der]]) {
    assert.equal((await ask(world.open({ shown }), "HELLO", {}))["domain"], DOMAIN);
  }
});

// Registration

test("REGISTER and REGISTER_FINISH store an account, its secrets in the private part", async () => {
  const world = await makeDirectory(CA);
  const finish = await startRegistering(world.open(), { id: "alice", root: CA.root });
  assert.equal(world.entries.length, 0, "something is stored before the end");
  assert.deepEqual(await finish(), {});
  const [entry] = world.entries;
  assert.ok(entry?.type === "registered");
  assert.equal(entry.timeMs, NOW_MS);
  assert.deepEqual(entry.public, {});
  const account = world.state.account("alice");
  assert.ok(account);
  assert.match(account.credential, /^[0-9a-f]{64}$/);
  const { disabledMs: _, ...recorded } = account;
  assert.deepEqual(entry.private, recorded);
  assert.equal(account.address, "192.0.2.1");
  assert.equal(entry.salt?.length, 32);
});

test("REGISTER refuses an id that is taken, before anything is evaluated", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice");
  const message = 'cannot register "alice": somebody has this id already';
  await assertFails(
    ask(world.open(), "REGISTER", { id: "alice", request: "not even OPAQUE" }),
    "conflict",
    message,
  );
  await assertFails(
    ask(world.open(), "REGISTER", { id: "bob", request: "AAAA" }),
    "malformed",
    /./,
  );
  assert.deepEqual(typesOf(world), ["registered"]);
});

test("two who register the same id at the same moment: exactly one wins, and can log in", async () => {
  const world = await makeDirectory(CA);
  let isFree = () => {};
  const held = new Promise<void>((resolve) => isFree = resolve);
  world.log.before = () => held;
  const finishes = await Promise.all(
    ["first", "second", "third"].map((password) =>
      startRegistering(world.open(), { id: "alice", password, root: CA.root })
    ),
  );
  const results = Promise.allSettled(finishes.map((finish) => finish()));
  isFree();
  const settled = await results;
  assert.deepEqual(settled.map(({ status }) => status), ["fulfilled", "rejected", "rejected"]);
  for (const result of settled.slice(1)) {
    assert.ok(result.status === "rejected" && result.reason instanceof PkiError);
    assert.equal(result.reason.kind, "conflict");
  }
  assert.deepEqual(typesOf(world), ["registered"]);
  const login = (password: string) =>
    startLoggingIn(world.open(), { id: "alice", password, root: CA.root });
  assert.ok(await login("first"));
  assert.equal(await login("second"), undefined);
});

test("the second who registers an id gets it if storing the first failed", async () => {
  const world = await makeDirectory(CA);
  let failures = 1;
  world.log.before = () => {
    if (failures-- > 0) throw new PkiError("storage", "disk full");
  };
  const [first, second] = await Promise.all([
    startRegistering(world.open(), { id: "alice", password: "first", root: CA.root }),
    startRegistering(world.open(), { id: "alice", password: "second", root: CA.root }),
  ]);
  const [one, two] = await Promise.allSettled([first(), second()]);
  assert.ok(one.status === "rejected" && one.reason instanceof PkiError);
  assert.equal(one.reason.kind, "storage");
  assert.equal(two.status, "fulfilled");
  assert.ok(await startLoggingIn(world.open(), { id: "alice", password: "second", root: CA.root }));
});

test("REGISTER_FINISH needs a registration of its own, and each only once", async () => {
  const world = await makeDirectory(CA);
  const session = world.open();
  const message = "cannot finish: no registration was started";
  await assertFails(ask(session, "REGISTER_FINISH", { record: "AAAA" }), "refused", message);
  const finish = await startRegistering(session, { id: "alice", root: CA.root });
  await assertFails(ask(world.open(), "REGISTER_FINISH", { record: "AAAA" }), "refused", message);
  await finish();
  await assertFails(finish(), "refused", message);
  // A login in between ends it.
  const late = await startRegistering(session, { id: "bob", root: CA.root });
  await startLoggingIn(session, { id: "alice", root: CA.root });
  await assertFails(late(), "refused", message);
  assert.deepEqual(typesOf(world), ["registered"]);
});

// Login

test("LOGIN_FINISH opens the session that belongs to the user who logged in", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  await assertFails(
    ask(session, "CERTREQ", { id: "bob" }),
    "not-found",
    'cannot find "bob": nobody has published a certificate under this id',
  );
});

test("LOGIN_FINISH refuses everything else with the same words", async () => {
  const world = await makeDirectory(CA);
  const { root } = CA;
  await openAs(world, "alice");
  await openAs(world, "bob");
  const session = world.open();
  const start = (changes = {}) =>
    startLoggingIn(session, { id: "alice", root, ...changes }).then((finish) => {
      assert.ok(finish);
      return finish;
    });
  const refused = (finish: RequestBody<"LOGIN_FINISH">, to = session) =>
    assertFails(ask(to, "LOGIN_FINISH", finish), "refused", WRONG_LOGIN);

  await refused({ finish: "AAAA", binding: encodeBase64(LEAF_HASH) }); // nothing was started
  await refused(await start({ leafHash: OTHER_LEAF_HASH })); // relayed from another server
  const good = await start();
  await refused(good, world.open({ leafHash: LEAF_HASH })); // another connection's
  await refused({ ...good, binding: encodeBase64(LEAF_HASH) }); // which ends the dialogue:
  await refused(good);
  const older = await start();
  await start();
  await refused(older); // replayed with another state
  const replaced = await start();
  await startRegistering(session, { id: "carol", root });
  await refused(replaced); // a registration in between ends it
  await startLoggingIn(session, { id: "nobody", root });
  await refused(good);

  await assertFails(ask(session, "CERTREQ", { id: "bob" }), "refused", LOG_IN_FIRST);
  assert.deepEqual(await ask(session, "LOGIN_FINISH", await start()), { id: "alice" });
});

test("a wrong password and a wrong root are seen by the client", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice");
  const start = (changes: object) =>
    startLoggingIn(world.open(), { id: "alice", root: CA.root, ...changes });
  assert.equal(await start({ password: "wrong horse" }), undefined);
  assert.equal(await start({ root: OTHER_CA.root }), undefined);
  assert.equal(await start({ id: "nobody" }), undefined);
  assert.ok(await start({}));
});

test("LOGIN answers for an unknown id as for a known one, and the same way each time", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice");
  const { request } = startLogin("any", { id: "alice", rootFingerprint: "0" });
  const login = async (id: string) =>
    parseAnswerBody("LOGIN", await ask(world.open(), "LOGIN", { id, request }));
  const [known, again, unknown, unknownAgain, other] = await Promise.all(
    ["alice", "alice", "nobody", "nobody", "no-one"].map(login),
  );
  assert.ok(known && again && unknown && unknownAgain && other);
  assert.equal(unknown.suite, OPAQUE_SUITE);
  assert.deepEqual(Object.keys(unknown), Object.keys(known));
  assert.equal(unknown.response.length, known.response.length);
  // The blind evaluation: the same for an id, whether it exists or not, and another for each.
  const evaluated = ({ response }: { response: string }) => response.slice(0, 42);
  assert.equal(evaluated(known), evaluated(again));
  assert.equal(evaluated(unknown), evaluated(unknownAgain));
  assert.equal(new Set([known, unknown, other].map(evaluated)).size, 3);
  for (const id of ["alice", "nobody"]) {
    await assertFails(
      ask(world.open(), "LOGIN", { id, request: "AAAA" }),
      "malformed",
      "cannot read the login: not an OPAQUE message",
    );
  }
});

test("LoginDialogue asks for an account by exactly the id that was given", () => {
  const asked: string[] = [];
  const dialogue = new LoginDialogue({
    secrets: { setup: "", unknown: "" },
    rootFingerprint: "",
    find: (id) => void asked.push(id),
    admit: ({ id }) => (asked.push(id), { isReset: false }),
    countGuess: (id) => (asked.push(id), () => {}),
  }, LEAF_HASH);
  assert.throws(() => dialogue.startRegistration({ id: "a.b-c", request: "A" }), {
    kind: "malformed",
  });
  assert.throws(() => dialogue.startLogin({ id: "a.b", request: "A" }), { kind: "malformed" });
  assert.deepEqual(asked, ["a.b-c", "a.b", "a.b"]);
});

// Who may do what

const NONCE = encodeBase64(new Uint8Array(32));
const OPERATIONS: readonly (readonly [RequestType, object])[] = [
  ["CSR", { csr: encodeBase64(CSR) }],
  ["CERTUP", { certificate: encodeBase64(CA.root.der) }],
  ["CERTUP_FINISH", { nonce: NONCE, clientNonce: NONCE, signature: NONCE }],
  ["CERTREQ", { id: "alice" }],
  ["PROOF", { index: 0 }],
];
const ACCESS: readonly (readonly [RequestType, object])[] = [
  ["REGISTER", { id: "bob", request: "AAAA" }],
  ["REGISTER_FINISH", { record: "AAAA" }],
  ["LOGIN", { id: "bob", request: "AAAA" }],
  ["LOGIN_FINISH", { finish: "AAAA", binding: NONCE }],
];

for (const [type, body] of OPERATIONS) {
  test(`${type} is refused to a session that is not logged in, whatever it has tried`, async () => {
    const world = await makeDirectory(CA);
    const own = await certify(await openAs(world, "alice"));
    // The worker in front checks this too; the directory does not rely on it.
    const refused = (session: DirectorySession) =>
      assertFails(ask(session, type, body as never), "refused", LOG_IN_FIRST);
    const session = world.open({ shown: [own] });
    await refused(session);
    await ask(session, "HELLO", {});
    await refused(session);
    const finish = await startLoggingIn(session, { id: "alice", root: CA.root });
    assert.ok(finish);
    await refused(session);
    await assertFails(
      ask(session, "LOGIN_FINISH", { ...finish, binding: NONCE }),
      "refused",
      WRONG_LOGIN,
    );
    await refused(session);
    await (await startRegistering(session, { id: "bob", root: CA.root }))();
    await refused(session);
    assert.deepEqual(typesOf(world), ["registered", "issued", "registered"]);
  });
}

for (const [type, body] of ACCESS) {
  test(`${type} is refused to a session that is logged in`, async () => {
    const session = await openAs(await makeDirectory(CA), "alice");
    await assertFails(ask(session, type, body as never), "refused", LOGGED_IN);
  });
}

// CSR

test("CSR certifies the session's user and keeps a copy", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const answer = parseAnswerBody("CSR", await ask(session, "CSR", { csr: encodeBase64(CSR) }));
  const der = parseBase64(answer.certificate);
  const chain = [der, parseBase64(answer.issuing)];
  const judged = judgeUser(chain, { anchor: { root: CA.root, domain: DOMAIN }, nowMs: NOW_MS });
  assert.equal(judged.id, "alice");
  assert.deepEqual(judged.leaf.spki, encodeSpki(KEY));
  assert.deepEqual(world.entries[1], {
    type: "issued",
    timeMs: NOW_MS,
    public: { profile: "user", id: "alice", certificate: answer.certificate },
    private: null,
    salt: null,
  });
  assert.deepEqual(world.copies.get("alice"), chain);
  assert.equal(answer.index, 1);
  assert.equal(world.state.issued(parseCertificate(der).serial)?.entry, 1);
  assert.equal(world.state.published("alice"), undefined, "published without being asked to");
});

test("nothing that a connection has asked for is begun once it is gone; what runs goes on", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  const running = ask(session, "CSR", { csr: encodeBase64(CSR) });
  world.directory.closeSession(session);
  await assert.rejects(ask(session, "CSR", { csr: encodeBase64(CSR) }), {
    kind: "refused",
    message: "cannot do this: the connection is gone",
  });
  parseAnswerBody("CSR", await running);
  assert.deepEqual(world.entries.map(({ type }) => type), ["registered", "issued"]);
});

test("CSR refuses a request that asks for somebody else, and one that cannot be read", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice");
  await assertFails(
    ask(session, "CSR", { csr: encodeBase64(await makeCsr(KEY, "bob")) }),
    "refused",
    'cannot certify request: it asks for another name than "alice"',
  );
  const damaged = CSR.slice();
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  for (const csr of [Uint8Array.of(0), CSR.subarray(1), CSR.subarray(0, -1), damaged]) {
    await assertFails(ask(session, "CSR", { csr: encodeBase64(csr) }), "malformed", /./);
  }
  assert.deepEqual(typesOf(world), ["registered"]);
  assert.equal(world.copies.size, 0);
});

test("Directory.certifyServer() certifies the server and logs it", async () => {
  const world = await makeDirectory(CA);
  const der = await world.directory.certifyServer(encodeSpki(KEY));
  const options = { anchor: { root: CA.root, domain: DOMAIN }, nowMs: NOW_MS };
  judgeServer([der, CA.issuing.der], options);
  assert.deepEqual(world.entries.map((entry) => entry.public), [
    { profile: "server", certificate: encodeBase64(der) },
  ]);
  assert.deepEqual(world.state.recentlyCertified(0, 0), [], "it is nobody's");
});

// PROOF

/** What a `PROOF` answers, verified as far as its signature goes. */
async function prove(world: TestDirectory, session: DirectorySession, body = {}) {
  const answer = parseAnswerBody("PROOF", await ask(session, "PROOF", body));
  const all = (hashes: readonly string[] | undefined) => hashes?.map(parseBase64);
  return {
    checkpoint: openCheckpoint(answer.checkpoint, world.verifier),
    consistency: all(answer.consistency),
    leaf: answer.leaf === undefined ? undefined : parseBase64(answer.leaf),
    inclusion: all(answer.inclusion),
  };
}

test("PROOF proves to anybody that the log goes on from every size that it had", async () => {
  const world = await makeDirectory(CA);
  const heads = [(await prove(world, world.open())).checkpoint];
  const alice = await openAs(world, "alice");
  for (let count = 0; count < 6; count++) {
    await certify(alice);
    heads.push((await prove(world, world.open())).checkpoint);
  }
  assert.deepEqual(heads.map(({ size }) => size), [0, 2, 3, 4, 5, 6, 7]);
  for (const from of heads) {
    const { checkpoint, consistency, leaf } = await prove(world, world.open(), { from: from.size });
    assert.equal(checkpoint.size, 7);
    assert.ok(consistency);
    assert.equal(leaf, undefined);
    checkConsistency({ from, to: checkpoint, proof: consistency });
  }
  await assertFails(ask(alice, "PROOF", { from: 8 }), "not-found", /the log has 7 entries/);
});

test("PROOF proves every entry to who is logged in, and shows no private part", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  await publish(alice, await certify(alice));
  for (const [index, entry] of world.entries.entries()) {
    const { checkpoint, leaf, inclusion } = await prove(world, alice, { index });
    assert.ok(leaf && inclusion);
    assert.deepEqual(leaf, encodeLeaf(entry));
    checkInclusion({ leafHash: hashLeaf(leaf), index, ...checkpoint, proof: inclusion });
    if (entry.private !== null) {
      assert.doesNotMatch(new TextDecoder().decode(leaf), /record|credential|192\.0\.2\.1/);
    }
  }
  await assertFails(ask(alice, "PROOF", { index: 3 }), "not-found", /./);
});

// A client's checkpoint

test("LOGIN_FINISH takes every checkpoint that the log goes on from, and what is nobody's", async () => {
  const world = await makeDirectory(CA);
  const early = world.signedLog.checkpoint;
  await openAs(world, "alice");
  const { root } = CA;
  const otherKey = await generatePrivateKey("ed25519");
  const head = { origin: world.verifier.name, size: 99, root: new Uint8Array(32) };
  const rows: Readonly<Record<string, string>> = {
    "of an empty log": early,
    "the newest": world.signedLog.checkpoint,
    "of another key": signCheckpoint(head, { key: otherKey }),
    "of another log": signCheckpoint({ ...head, origin: "elsewhere" }, { key: world.logKey }),
    "no note": "hello",
    "with another size": world.signedLog.checkpoint.replace("\n1\n", "\n9\n"),
  };
  for (const [what, checkpoint] of Object.entries(rows)) {
    const session = world.open();
    const finish = await startLoggingIn(session, { id: "alice", root });
    assert.ok(finish);
    assert.deepEqual(
      await ask(session, "LOGIN_FINISH", { ...finish, checkpoint }),
      { id: "alice" },
      what,
    );
  }
  assert.deepEqual(world.losses, []);
});

test("LOGIN_FINISH with a checkpoint that the log does not go on from says that it has lost entries", async () => {
  const world = await makeDirectory(CA);
  await openAs(world, "alice");
  const { root } = CA;
  const own = (size: number) =>
    signCheckpoint(
      { origin: world.verifier.name, size, root: new Uint8Array(32) },
      { key: world.logKey },
    );
  const rows: readonly (readonly [checkpoint: string, loss: string])[] = [
    [own(2), "the log has 1 entries, and it had 2 before"],
    [own(1), "the first 1 entries of the log are not those that it had before"],
  ];
  for (const [checkpoint] of rows) {
    const session = world.open();
    const finish = await startLoggingIn(session, { id: "alice", root });
    assert.ok(finish);
    await assertFails(
      ask(session, "LOGIN_FINISH", { ...finish, checkpoint }),
      "untrusted",
      "cannot log in: the log has lost entries that you have seen; the server stops",
    );
    await assertFails(ask(session, "CERTREQ", { id: "alice" }), "refused", LOG_IN_FIRST);
  }
  assert.deepEqual(world.losses, rows.map(([checkpoint, loss]) => [loss, checkpoint]));
  // Only who has proven a password is heard.
  const session = world.open();
  const finish = await startLoggingIn(session, { id: "alice", root });
  assert.ok(finish);
  await assertFails(
    ask(session, "LOGIN_FINISH", { ...finish, binding: NONCE, checkpoint: own(2) }),
    "refused",
    WRONG_LOGIN,
  );
  assert.equal(world.losses.length, rows.length);
});

test("Directory says of each entry, and of nothing else, that something was logged", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  await publish(alice, await certify(alice));
  await ask(alice, "CERTREQ", { id: "alice" });
  world.log.before = () => {
    throw new PkiError("storage", "disk full");
  };
  await assertFails(certify(alice), "storage", "disk full");
  assert.equal(world.changes.count, 3);
  assert.equal(world.entries.length, 3);
});

// The log fails

test("a log that fails leaves the tables as they are, and nothing was promised", async () => {
  const world = await makeDirectory(CA);
  const alice = await openAs(world, "alice");
  const der = await certify(alice);
  const newer = await certify(alice);
  await publish(alice, der);
  const before = tablesOf(world);
  const copies = new Map(world.copies);
  const register = await startRegistering(world.open(), { id: "bob", root: CA.root });
  const nonce = await startPublishing(alice, newer);
  world.log.before = () => {
    throw new PkiError("storage", "disk full");
  };
  await assertFails(register(), "storage", "disk full");
  await assertFails(certify(alice), "storage", "disk full");
  await assertFails(
    ask(alice, "CERTUP_FINISH", signedFinish(nonce, newer)),
    "storage",
    "disk full",
  );
  await assertFails(world.directory.certifyServer(encodeSpki(KEY)), "storage", "disk full");
  assert.deepEqual(tablesOf(world), before);
  assert.equal(world.state.account("bob"), undefined);
  assert.deepEqual(world.copies, copies, "a copy of what was never issued");
  // And it heals.
  world.log.before = () => {};
  await publish(alice, newer);
  await openAs(world, "bob");
});

test("the tables change only after the log has the entry", async () => {
  const world = await makeDirectory(CA);
  const finish = await startRegistering(world.open(), { id: "alice", root: CA.root });
  let seen: unknown = "not asked";
  world.log.before = () => {
    seen = world.state.account("alice");
  };
  await finish();
  assert.equal(seen, undefined);
  assert.ok(world.state.account("alice"));
});

test("Directory.inTurn() runs one user's changes in order, and other users' beside them", async () => {
  const { directory } = await makeDirectory(CA);
  const order: string[] = [];
  let isFree = () => {};
  const held = new Promise<void>((resolve) => isFree = resolve);
  const first = directory.inTurn("alice", async () => {
    await held;
    order.push("alice 1");
    throw new Error("failed");
  });
  const second = directory.inTurn("alice", () => Promise.resolve(order.push("alice 2")));
  await directory.inTurn("bob", () => Promise.resolve(order.push("bob")));
  isFree();
  await assert.rejects(first, /failed/);
  assert.equal(await second, 3);
  assert.deepEqual(order, ["bob", "alice 1", "alice 2"]);
});

test("a certificate of the user profile for somebody else's key shows nothing of a login", async () => {
  // Whoever shows bob's certificate in TLS is still nobody until he logs in.
  const world = await makeDirectory(CA);
  const der = await issueCertificate(
    prepareCertificate({
      profile: "user",
      domain: DOMAIN,
      id: "bob",
      spki: encodeSpki(KEY),
      nowMs: NOW_MS,
      random: randomBytes(20),
    }),
    { key: CA.issuingKey, certificate: CA.issuing },
  );
  const session = await openAs(world, "alice", { shown: [der] });
  await assertFails(
    ask(session, "CSR", { csr: encodeBase64(await makeCsr(KEY, "bob")) }),
    "refused",
    /another name than "alice"/,
  );
});
