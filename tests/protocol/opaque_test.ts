import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import {
  answerLogin,
  answerRegistration,
  bindLogin,
  createServerSetup,
  isLoginFinished,
  loadOpaque,
  type Parties,
  startLogin,
  startRegistration,
} from "../../lib/protocol/opaque.ts";

await loadOpaque();

const SETUP = createServerSetup();
const ALICE: Parties = { id: "alice", rootFingerprint: "0a".repeat(32) };
const LEAF_HASH = sha256(utf8("leaf"));
const PASSWORD = "correct horse";
const CREDENTIAL = "c1";

// Every finish costs Argon2id with 64 MiB, so one account serves all tests.
const RECORD = (() => {
  const { request, finish } = startRegistration(PASSWORD, ALICE);
  return finish(answerRegistration({ setup: SETUP, credential: CREDENTIAL, request }));
})();

/** The server's answer to a first message; the account is alice's unless said otherwise. */
function answerTo(request: string, changes: Partial<Parameters<typeof answerLogin>[0]> = {}) {
  return answerLogin({
    setup: SETUP,
    credential: CREDENTIAL,
    record: RECORD,
    request,
    parties: ALICE,
    ...changes,
  });
}

/** One login that succeeds on both sides. */
const LOGIN = (() => {
  const client = startLogin(PASSWORD, ALICE);
  const { state, response } = answerTo(client.request);
  const result = client.finish(response);
  assert.ok(result);
  return {
    state,
    finish: result.finish,
    sessionKey: result.sessionKey,
    binding: bindLogin(result.sessionKey, LEAF_HASH),
    leafHash: LEAF_HASH,
    parties: ALICE,
  };
})();

test("OPAQUE: a registration and a login with the same password succeed", () => {
  assert.equal(isLoginFinished(LOGIN), true);
});

test("OPAQUE: neither password nor session key is in what travels", () => {
  for (const sent of [RECORD, LOGIN.finish]) {
    assert.ok(!sent.includes(PASSWORD) && !sent.includes(LOGIN.sessionKey));
  }
});

test("OPAQUE: a wrong password is seen by the client", () => {
  const client = startLogin("wrong horse", ALICE);
  assert.equal(client.finish(answerTo(client.request).response), undefined);
});

test("OPAQUE: a login under another root's fingerprint fails on the client", () => {
  const client = startLogin(PASSWORD, { ...ALICE, rootFingerprint: "0b".repeat(32) });
  assert.equal(client.finish(answerTo(client.request).response), undefined);
});

test("OPAQUE: a login as another user fails on the client, also with the same password", () => {
  const client = startLogin(PASSWORD, ALICE);
  const { response } = answerTo(client.request, { parties: { ...ALICE, id: "bob" } });
  assert.equal(client.finish(response), undefined);
});

test("OPAQUE: an unknown user gets an answer of the same form that nobody can finish", () => {
  const client = startLogin(PASSWORD, ALICE);
  const known = answerTo(client.request);
  const unknown = answerTo(client.request, { record: undefined });
  assert.equal(unknown.response.length, known.response.length);
  assert.match(unknown.response, /^[A-Za-z0-9_-]+$/);
  assert.equal(unknown.state.length, known.state.length);
  assert.equal(client.finish(unknown.response), undefined);
});

test("OPAQUE: the blind evaluation of an id stays the same, with or without a record", () => {
  // Its first 32 bytes; a guesser who asks twice must not see an id that does not exist change.
  const { request } = startLogin(PASSWORD, ALICE);
  const evaluated = (changes: Parameters<typeof answerTo>[1]) =>
    answerTo(request, changes).response.slice(0, 42);
  assert.equal(evaluated({}), evaluated({ record: undefined }));
  assert.equal(evaluated({ credential: "u" }), evaluated({ credential: "u", record: undefined }));
  assert.notEqual(evaluated({}), evaluated({ credential: "c2" }));
  assert.notEqual(answerTo(request).response, answerTo(request).response);
});

test("OPAQUE: isLoginFinished() refuses everything that does not fit, without throwing", () => {
  const other = answerTo(startLogin(PASSWORD, ALICE).request);
  const unknown = answerTo(startLogin(PASSWORD, ALICE).request, { record: undefined });
  const flipped = new Uint8Array(LOGIN.binding);
  flipped[31] = (flipped[31] ?? 0) ^ 1;
  const rows: readonly (readonly [string, Partial<typeof LOGIN>])[] = [
    ["a login that was relayed to a server with another leaf", { leafHash: sha256(utf8("other")) }],
    ["the state of another login", { state: other.state }],
    ["the state of an unknown user", { state: unknown.state }],
    ["a state that is none", { state: "AAAA" }],
    ["no finish", { finish: "" }],
    ["a short finish", { finish: "AAAA" }],
    ["a finish that is not base64url", { finish: "!" }],
    ["another finish", { finish: LOGIN.finish.replace(/^./, (c) => c === "A" ? "B" : "A") }],
    ["no binding", { binding: new Uint8Array(0) }],
    ["a short binding", { binding: LOGIN.binding.slice(0, 31) }],
    ["another binding", { binding: flipped }],
    ["the binding of another leaf", {
      binding: bindLogin(LOGIN.sessionKey, sha256(utf8("other"))),
    }],
  ];
  for (const [what, change] of rows) {
    assert.equal(isLoginFinished({ ...LOGIN, ...change }), false, what);
  }
  assert.equal(isLoginFinished(LOGIN), true);
});

// Made with Python's hmac.
test("bindLogin() is HMAC-SHA-256 over the label and the leaf's hash", () => {
  assert.equal(
    encodeHex(bindLogin("session key", new Uint8Array(32).fill(7))),
    "79638577bf75d06d9591ef67eb5507f01bb4aede95ebbb536c88c4655ba7ac84",
  );
});

const NOT_OPAQUE = ["A", "AAAA", "!", "A".repeat(43), "A".repeat(500)];

test("answerRegistration() and answerLogin() refuse what is no OPAQUE message", () => {
  for (const request of NOT_OPAQUE) {
    assert.throws(() => answerRegistration({ setup: SETUP, credential: CREDENTIAL, request }), {
      name: "PkiError",
      kind: "malformed",
      message: "cannot read the registration: not an OPAQUE message",
    });
    for (const record of [RECORD, undefined]) {
      assert.throws(() => answerTo(request, { record }), {
        name: "PkiError",
        kind: "malformed",
        message: "cannot read the login: not an OPAQUE message",
      });
    }
  }
});

test("a client that is answered with what is no OPAQUE message blames the server", () => {
  const refusal = {
    name: "PkiError",
    kind: "protocol",
    message: "cannot read the server's answer: not an OPAQUE message",
  };
  for (const response of NOT_OPAQUE) {
    assert.throws(() => startRegistration(PASSWORD, ALICE).finish(response), refusal);
    assert.throws(() => startLogin(PASSWORD, ALICE).finish(response), refusal);
  }
});

test("createServerSetup() makes another secret each time, and only its own server knows a user", () => {
  const setup = createServerSetup();
  assert.notEqual(setup, SETUP);
  const client = startLogin(PASSWORD, ALICE);
  assert.equal(client.finish(answerTo(client.request, { setup }).response), undefined);
});

test("OPAQUE: a random password is not stretched, and opens nothing that is", () => {
  const parties = { ...ALICE, isPasswordRandom: true };
  const first = startRegistration(PASSWORD, parties);
  const record = first.finish(
    answerRegistration({ setup: SETUP, credential: CREDENTIAL, request: first.request }),
  );
  const finish = (asked: typeof parties | Parties) => {
    const login = startLogin(PASSWORD, asked);
    return login.finish(answerTo(login.request, { record }).response);
  };
  assert.ok(finish(parties));
  assert.equal(finish(ALICE), undefined);
});
