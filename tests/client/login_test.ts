/** What of the log is part of greeting a server and of logging in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { logIn, register, tryLogIn } from "../../lib/client/login.ts";
import { REVOKED_ISSUERS_MAX } from "../../lib/client/server_connection.ts";
import { type Answer, encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import { PROTOCOL } from "../../lib/protocol/message_fields.ts";
import { createServerSetup, loadOpaque } from "../../lib/protocol/opaque.ts";
import { LoginDialogue } from "../../lib/server/accounts.ts";
import type { Account } from "../../lib/store/accounts.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import type { TrustAnchor } from "../../lib/x509/chain.ts";
import { encodeCrlEntry, encodeTbsCrl, signCrl } from "../../lib/x509/crl.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { vouchFor } from "../../lib/x509/succession.ts";
import { DOMAIN, type Holder, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { FakeLog, makeServer } from "./fake_log.ts";
import { connect } from "./fake_socket.ts";
import { CA, errorOf } from "./log_world.ts";

const OTHER_CA = await makeTestCa();
const { anchor: ANCHOR } = CA.judging;
const LOG = new FakeLog({ root: CA.root });
LOG.grow(3);

async function assertFails(work: Promise<unknown>, kind: ErrorKind, message: string) {
  const error = await errorOf(() => work);
  assert.deepEqual([error.kind, error.message], [kind, message]);
}

const HELLO = {
  root: encodeBase64(ANCHOR.root.der),
  domain: DOMAIN,
  versions: [PROTOCOL],
  time: new Date(NOW_MS).toISOString(),
  log: LOG.shown,
};
const { log: _, ...HELLO_WITHOUT_LOG } = HELLO;
const GREETING = { current: CA.issuing.certificate, nowMs: NOW_MS };

const GREETINGS: readonly (readonly [string, Answer, ErrorKind, string])[] = [
  [
    "another root",
    { ...HELLO, root: encodeBase64(OTHER_CA.root.certificate.der) },
    "untrusted",
    "the server names another root than the one that is pinned",
  ],
  [
    "another protocol",
    { ...HELLO, versions: ["pki/2"] },
    "protocol",
    "the server does not speak pki/1",
  ],
  [
    "another root's log",
    { ...HELLO, log: new FakeLog({ root: OTHER_CA.root }).shown },
    "untrusted",
    "cannot trust the server's log: its key is not signed by the pinned root",
  ],
  [
    "no log",
    HELLO_WITHOUT_LOG,
    "protocol",
    "cannot read the answer to HELLO: its fields are not as they should be",
  ],
];

for (const [what, answer, kind, message] of GREETINGS) {
  test(`ServerConnection.greet() refuses a server with ${what}`, async () => {
    const { socket, connection } = connect(utf8("leaf"));
    socket.onRequest = ({ seq }) => socket.say(encodeAnswer(seq, answer));
    await assertFails(connection.greet(ANCHOR, GREETING), kind, message);
    assert.throws(() => connection.logKey, { kind: "internal" });
  });
}

test("ServerConnection.greet() learns the log's key, which is not there before", async () => {
  const { socket, connection } = connect(utf8("leaf"));
  socket.onRequest = ({ seq }) => socket.say(encodeAnswer(seq, HELLO));
  assert.throws(() => connection.logKey, {
    kind: "internal",
    message: "the server was not greeted",
  });
  await connection.greet(ANCHOR, GREETING);
  assert.equal(connection.logKey.note.name, LOG.origin);
});

/** A server that tells successions, and answers for the root's list. */
function greetWith(
  hello: Answer,
  { current, list, anchor = ANCHOR }: {
    readonly current: Holder;
    readonly list?: Uint8Array;
    readonly anchor?: TrustAnchor;
  },
) {
  const { socket, connection } = connect(utf8("leaf"));
  socket.onRequest = (request) => {
    const { seq, type } = request;
    if (type === "HELLO") return socket.say(encodeAnswer(seq, hello));
    if (!list) return socket.say(encodeError(seq, { code: "NOT_FOUND", message: "there is none" }));
    const { offset = 0 } = type === "CRL" ? request : {};
    const chunk = encodeBase64(list.slice(offset, offset + LIMITS.crlChunkBytesMax));
    socket.say(encodeAnswer(seq, { number: "1", bytes: list.length, offset, chunk }));
  };
  const greeted = connection.greet(anchor, { current: current.certificate, nowMs: NOW_MS });
  return { greeted, connection, types: () => socket.requests.map(({ type }) => type) };
}

async function makeNext(): Promise<Holder> {
  const issuing = await generatePrivateKey("p256");
  return (await makeTestCa({ keys: { root: CA.root.key, issuing } })).issuing;
}

const NEXT = await makeNext();
const fp = ({ certificate }: Holder) => fingerprintOf(certificate.der);
const PINNED = { ...ANCHOR, issuers: new Set([fp(CA.issuing)]) };
const BY_FIRST = vouchFor(NEXT.certificate, {
  kind: "issuing",
  by: CA.issuing.certificate,
  key: CA.issuing.key,
  isByRoot: false,
});

/** A list of the root, or of somebody else, with these certificates. */
function makeList(by: Holder, ...revoked: readonly Holder[]): Uint8Array {
  const entries = revoked.map(({ certificate: { serial } }) =>
    encodeCrlEntry({ serial, revokedMs: NOW_MS, reason: "keyCompromise" })
  );
  const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + 1000 };
  return signCrl(encodeTbsCrl({ issuer: by.certificate, number: 1n, ...times, entries }), by);
}

const NOT_PINNED = "cannot trust certificate: the issuing CA is not one that is pinned";

test("ServerConnection.greet() sends nothing but HELLO to an issuing CA that nobody vouches for", async () => {
  const successions = [{ ...BY_FIRST, signature: "AAAA" }];
  const told = greetWith({ ...HELLO, successions }, { current: NEXT, anchor: PINNED });
  await assertFails(told.greeted, "untrusted", NOT_PINNED);
  assert.deepEqual(told.types(), ["HELLO"]);
});

test("ServerConnection.greet() pins the server's issuing CA where none is, and asks for no list", async () => {
  const told = greetWith(HELLO, { current: CA.issuing });
  await told.greeted;
  assert.deepEqual(told.connection.anchor, PINNED);
  assert.deepEqual(told.types(), ["HELLO"]);
});

test("ServerConnection.greet() follows to the next issuing CA, and asks for the root's list", async () => {
  const hello = { ...HELLO, successions: [BY_FIRST] };
  const both = new Set([fp(CA.issuing), fp(NEXT)]);
  const none = greetWith(hello, { current: NEXT, anchor: PINNED });
  await none.greeted;
  assert.deepEqual(none.connection.anchor.issuers, both);
  assert.deepEqual(none.types(), ["HELLO", "CRL"]);
  const list = makeList(CA.root, OTHER_CA.issuing);
  const some = greetWith(hello, { current: NEXT, anchor: PINNED, list });
  await some.greeted;
  const { serial } = OTHER_CA.issuing.certificate;
  assert.deepEqual(some.connection.anchor.revokedIssuers, new Set([serial]));
  // What was known to be revoked stays so.
  const anchor = { ...PINNED, revokedIssuers: new Set(["0a"]) };
  const more = greetWith(hello, { current: NEXT, anchor, list });
  await more.greeted;
  assert.deepEqual(more.connection.anchor.revokedIssuers, new Set(["0a", serial]));
});

test("ServerConnection.greet() refuses a server whose issuing CA is revoked, or came by one that is", async () => {
  const hello = { ...HELLO, successions: [BY_FIRST] };
  await assertFails(
    greetWith(hello, { current: NEXT, anchor: PINNED, list: makeList(CA.root, NEXT) }).greeted,
    "untrusted",
    NOT_PINNED,
  );
  await assertFails(
    greetWith(hello, { current: CA.issuing, anchor: PINNED, list: makeList(CA.root, CA.issuing) })
      .greeted,
    "untrusted",
    "cannot trust certificate: the root has revoked the issuing CA",
  );
  await assertFails(
    greetWith(hello, { current: NEXT, anchor: PINNED, list: makeList(CA.root, CA.issuing) })
      .greeted,
    "untrusted",
    NOT_PINNED,
  );
});

test("ServerConnection.greet() reads a list of the root in several parts, and keeps what matters", async () => {
  const serials = Array.from({ length: 3000 }, (_, n) => `7f${n.toString(16).padStart(38, "0")}`);
  // Whoever knows only a part of the list must know the CAs that there are.
  serials.push(CA.issuing.certificate.serial);
  const entries = serials.map((serial) =>
    encodeCrlEntry({ serial, revokedMs: NOW_MS, reason: "superseded" })
  );
  const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + 1000 };
  const template = { issuer: CA.root.certificate, number: 1n, ...times, entries };
  const list = signCrl(encodeTbsCrl(template), CA.root);
  assert.ok(list.length > 2 * LIMITS.crlChunkBytesMax);
  const hello = { ...HELLO, successions: [BY_FIRST] };
  const anchor = { ...PINNED, issuers: new Set([...PINNED.issuers, fp(NEXT)]) };
  const { greeted, connection } = greetWith(hello, { current: NEXT, anchor, list });
  await greeted;
  const { revokedIssuers = new Set() } = connection.anchor;
  assert.equal(revokedIssuers.size, REVOKED_ISSUERS_MAX);
  assert.ok(revokedIssuers.has(CA.issuing.certificate.serial));
});

test("ServerConnection.greet() refuses a list that is not the root's", async () => {
  const hello = { ...HELLO, successions: [BY_FIRST] };
  for (const list of [makeList(OTHER_CA.root), makeList(CA.issuing), utf8("no list")]) {
    const { greeted } = greetWith(hello, { current: NEXT, anchor: PINNED, list });
    const error = await errorOf(() => greeted);
    assert.equal(error.kind, "untrusted");
    assert.match(error.message, /^cannot use the root's revocation list: /);
  }
});

const ALICE = { id: "alice", password: "correct horse", rootDer: ANCHOR.root.der };

/** A server that knows logins and notes what they carry; a test may refuse the last step. */
async function makeLoginServer() {
  await loadOpaque();
  const server = makeServer(LOG, CA.issuing);
  const accounts = new Map<string, Account>();
  const dialogue = new LoginDialogue({
    secrets: { setup: createServerSetup(), unknown: "unknown ids" },
    rootFingerprint: fingerprintOf(ANCHOR.root.der),
    find: (id) => accounts.get(id),
    admit: () => ({ isReset: false }),
    countGuess: () => () => {},
  }, sha256(utf8("leaf")));
  const checkpoints: (string | undefined)[] = [];
  const refusal: { error?: PkiError } = {};
  server.answer = (request) => {
    switch (request.type) {
      case "REGISTER":
        return dialogue.startRegistration(request);
      case "REGISTER_FINISH": {
        const account = dialogue.finishRegistration(request);
        accounts.set(account.id, { ...account, address: null, disabledMs: null });
        return {};
      }
      case "LOGIN":
        return dialogue.startLogin(request);
      case "LOGIN_FINISH": {
        checkpoints.push(request.checkpoint);
        const id = dialogue.finishLogin(request);
        if (refusal.error) throw refusal.error;
        return { id };
      }
      default:
        throw new PkiError("refused", "not here");
    }
  };
  const connection = await server.connect();
  await register(connection, ALICE);
  return { connection, checkpoints, refusal };
}

test("logIn() shows the checkpoint that it is given, and none otherwise", async () => {
  const { connection, checkpoints } = await makeLoginServer();
  await logIn(connection, ALICE);
  assert.equal(await tryLogIn(connection, { ...ALICE, checkpoint: undefined }), true);
  await logIn(connection, { ...ALICE, checkpoint: LOG.checkpoint() });
  assert.deepEqual(checkpoints, [undefined, undefined, LOG.checkpoint()]);
});

test("tryLogIn() sees by itself that a password or an id is wrong, and shows nothing then", async () => {
  const { connection, checkpoints } = await makeLoginServer();
  const checkpoint = LOG.checkpoint();
  for (const wrong of [{ password: "wrong horse" }, { id: "bob" }]) {
    assert.equal(await tryLogIn(connection, { ...ALICE, ...wrong, checkpoint }), false);
    await assertFails(
      logIn(connection, { ...ALICE, ...wrong, checkpoint }),
      "refused",
      "cannot log in: the id or the password is wrong",
    );
  }
  assert.deepEqual(checkpoints, []);
});

test("tryLogIn() does not take what the server says of the log for a wrong password", async () => {
  const { connection, refusal } = await makeLoginServer();
  const rows: readonly (readonly [ErrorKind, string])[] = [
    ["refused", "the server says: it has lost entries of its log"],
    [
      "storage",
      "the server says: nothing can be stored now; whoever runs the program can read why",
    ],
  ];
  for (const [kind, message] of rows) {
    refusal.error = new PkiError(kind, "it has lost entries of its log");
    const login = { ...ALICE, checkpoint: LOG.checkpoint() };
    await assertFails(tryLogIn(connection, login), kind, message);
    await assertFails(logIn(connection, login), kind, message);
  }
});
