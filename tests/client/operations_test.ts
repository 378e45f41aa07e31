import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { certify, isForKey, lookUp, publish } from "../../lib/client/operations.ts";
import { encodeAnswer } from "../../lib/protocol/messages.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import {
  assertFails,
  DAY_MS,
  DOMAIN,
  issueUser,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
} from "../fakes/directory.ts";
import { connect, connectTo } from "./fake_socket.ts";

const LEAF = utf8("leaf");
const CA = await makeCa();
const OTHER_CA = await makeCa();
const KEY = await generatePrivateKey("p256");
const OTHER_KEY = await generatePrivateKey("ed25519");
const CSR = { csr: await makeCsr(KEY, "alice"), spki: encodeSpki(KEY) };
const ALICE = { id: "alice", anchor: { root: CA.root, domain: DOMAIN }, nowMs: NOW_MS };

test("certify(), publish() and lookUp() with a real directory", async () => {
  const world = await makeDirectory(CA);
  const connection = connectTo(await openAs(world, "alice", { leafHash: sha256(LEAF) }), LEAF);
  const certified = await certify(connection, CSR, ALICE);
  assert.equal(certified.id, "alice");
  assert.ok(isForKey(certified.ders[0], CSR.spki));
  assert.ok(!isForKey(certified.ders[0], encodeSpki(OTHER_KEY)));
  await assertFails(
    lookUp(connection, ALICE),
    "not-found",
    /^the server says: cannot find "alice"/,
  );
  await assertFails(
    publish(connection, { certificate: certified.ders[0], key: OTHER_KEY }),
    "refused",
    /not by the certificate's key/,
  );
  await publish(connection, { certificate: certified.ders[0], key: KEY });
  assert.deepEqual((await lookUp(connection, ALICE)).ders, certified.ders);
});

test("publish() through somebody who relays it to the server is refused", async () => {
  const world = await makeDirectory(CA);
  const session = await openAs(world, "alice", { leafHash: sha256(LEAF) });
  const { ders } = await certify(connectTo(session, LEAF), CSR, ALICE);
  await assertFails(
    publish(connectTo(session, utf8("other leaf")), { certificate: ders[0], key: KEY }),
    "refused",
    /not by the certificate's key/,
  );
});

/** What a server may try to make a client believe. */
const LIES: readonly (readonly [string, readonly [Uint8Array, Uint8Array], RegExp])[] = [
  [
    "somebody else's certificate",
    [await issueUser(CA, { id: "bob", key: KEY }), CA.issuing.der],
    /^the server answered with a certificate of "bob", not of "alice"$/,
  ],
  [
    "another CA's certificate",
    [await issueUser(OTHER_CA, { id: "alice", key: KEY }), OTHER_CA.issuing.der],
    /it is not of this CA$/,
  ],
  [
    "another issuing CA",
    [await issueUser(CA, { id: "alice", key: KEY }), OTHER_CA.issuing.der],
    /it is not of this CA$/,
  ],
  [
    "an expired certificate",
    [
      await issueUser(CA, { id: "alice", key: KEY, nowMs: NOW_MS - 31 * DAY_MS }),
      CA.issuing.der,
    ],
    /it expired /,
  ],
  ["the issuing CA's own certificate", [CA.issuing.der, CA.issuing.der], /^cannot trust/],
  ["no certificate", [utf8("?"), CA.issuing.der], /^cannot read/],
];

for (const [what, [certificate, issuing], message] of LIES) {
  test(`certify() and lookUp() do not believe ${what}`, async () => {
    const { socket, connection } = connect(LEAF);
    socket.onRequest = ({ seq }) =>
      socket.say(encodeAnswer(seq, {
        certificate: encodeBase64(certificate),
        issuing: encodeBase64(issuing),
      }));
    await assertFails(lookUp(connection, ALICE), "untrusted", message);
    await assertFails(certify(connection, CSR, ALICE), "untrusted", message);
  });
}

test("certify() does not believe a certificate for another key", async () => {
  const { socket, connection } = connect(LEAF);
  const der = await issueUser(CA, { id: "alice", key: OTHER_KEY });
  socket.onRequest = ({ seq }) =>
    socket.say(encodeAnswer(seq, {
      certificate: encodeBase64(der),
      issuing: encodeBase64(CA.issuing.der),
    }));
  await assertFails(
    certify(connection, CSR, ALICE),
    "untrusted",
    "the server certified another key than the one in the request",
  );
  assert.equal((await lookUp(connection, ALICE)).id, "alice");
});
