import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import { sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { Home } from "../../lib/client/home.ts";
import { LogMemory } from "../../lib/client/log_memory.ts";
import { type Asking, publish } from "../../lib/client/operations.ts";
import {
  checkOwnKey,
  isInTime,
  loadOwnCertificate,
  type OwnCertificate,
  parseOwnCertificate,
} from "../../lib/client/own_identity.ts";
import {
  type CertifyAndStore,
  certifyAndStore,
  isPublished,
  takeNewKey,
} from "../../lib/client/renewal.ts";
import { checkRevoked, revokeOwn } from "../../lib/client/revocation.ts";
import { logInByCertificate } from "../../lib/client/login.ts";
import { isAnswer, type ServerConnection } from "../../lib/client/server_connection.ts";
import { endorse, followEndorsements } from "../../lib/protocol/endorsement.ts";
import { encodeAnswer } from "../../lib/protocol/answers.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  generatePrivateKey,
  keyTypeOf,
} from "../../lib/x509/keys.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../../lib/x509/pem.ts";
import {
  assertFails,
  DAY_MS,
  DOMAIN,
  issueUser,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  type TestDirectory,
} from "../fakes/directory.ts";
import { connect, connectTo } from "./fake_socket.ts";
import { inHome } from "./temporary_home.ts";

const LEAF = utf8("leaf");
const LEAF_HASH = sha256(LEAF);
const CA = await makeCa();
const ANCHOR = { root: CA.root, domain: DOMAIN };
const PASSWORD = "alice rides a paper horse";
const ALICE = { id: "alice", password: PASSWORD, keyType: "p256" } as const;

interface Visit {
  readonly connection: ServerConnection;
  readonly asking: Asking;
}

/** A connection to a directory, greeted; with a certificate where one is shown. */
async function visit(
  world: TestDirectory,
  home: Home,
  shown: readonly Uint8Array[] | "password" = "password",
): Promise<Visit> {
  const session = shown === "password"
    ? await openAs(world, "alice", { leafHash: LEAF_HASH })
    : world.open({ leafHash: LEAF_HASH, shown });
  const connection = connectTo(session, LEAF);
  await connection.greet(ANCHOR, { current: world.ca.issuing, nowMs: NOW_MS });
  const log = new LogMemory({
    home,
    connection,
    anchor: ANCHOR,
    address: { host: "192.0.2.1", port: 7443 },
    now: () => NOW_MS,
    warn: (text) => assert.fail(text),
  });
  return { connection, asking: { id: "alice", anchor: ANCHOR, nowMs: NOW_MS, log } };
}

/** Alice's home with a certificate of this directory, and her first visit. */
async function withAlice(
  work: (world: TestDirectory, home: Home, visit: Visit) => Promise<void>,
): Promise<void> {
  await inHome(async (home) => {
    home.pin(ANCHOR, "localhost:7443");
    const world = await makeDirectory(CA);
    const first = await visit(world, home);
    const key = await takeNewKey(home, ALICE);
    await certifyAndStore(first.connection, { home, key, replaced: undefined }, first.asking);
    await work(world, home, first);
  });
}

/** The key of a certificate of alice's. */
async function unlock(home: Home, own: OwnCertificate): Promise<KeyObject> {
  const key = await decryptPrivateKey(home.loadKeyPem("alice"), PASSWORD, "the key");
  checkOwnKey(own, key);
  return key;
}

function load(home: Home, nowMs = NOW_MS) {
  return loadOwnCertificate(home, { id: "alice", nowMs });
}

test("certifyAndStore() renews with the same key, logged in by the certificate", async () => {
  await withAlice(async (world, home) => {
    const own = load(home);
    const key = await unlock(home, own);
    const { connection, asking } = await visit(world, home, [own.leaf.der, own.issuing.der]);
    await logInByCertificate(connection, { id: "alice", checkpoint: asking.log.knownNote() });
    await certifyAndStore(connection, { home, key, replaced: own.pem }, asking);
    const renewed = load(home);
    assert.notEqual(renewed.leaf.serial, own.leaf.serial);
    assert.deepEqual(renewed.leaf.spki, own.leaf.spki);
    assert.ok(await unlock(home, renewed));
  });
});

test("certifyAndStore() changes key and certificate together", async () => {
  await withAlice(async (_world, home, { connection, asking }) => {
    const own = load(home);
    const key = await takeNewKey(home, { ...ALICE, keyType: "ed25519" });
    assert.deepEqual(load(home).pem, own.pem, "nothing has changed yet");
    assert.ok(await unlock(home, own));
    await certifyAndStore(connection, { home, key, replaced: own.pem }, asking);
    const renewed = load(home);
    assert.deepEqual(renewed.leaf.spki, encodeSpki(key));
    assert.equal(keyTypeOf(await unlock(home, renewed)), "ed25519");
  });
});

test("certifyAndStore() keeps the word of the key before, or sees to it that there is none", async () => {
  await withAlice(async (_world, home, { connection, asking }) => {
    const { endorsements } = home.files("alice");
    const change = async (follows: CertifyAndStore["follows"]) => {
      const own = load(home);
      const key = await takeNewKey(home, ALICE);
      const storing = { home, key, replaced: own.pem, ...(follows ? { follows } : {}) };
      await certifyAndStore(connection, storing, asking);
      return { pinned: own.leaf.spki, key: load(home).leaf.spki };
    };
    const scope = { root: ANCHOR.root.der, id: "alice" };
    const leads = (range: { readonly pinned: Uint8Array; readonly key: Uint8Array }) =>
      followEndorsements(endorsements.leadingTo(range.key), { ...scope, ...range });

    const old = await unlock(home, load(home));
    const first = await change({ vouching: old });
    assert.deepEqual(leads(first)?.map(({ timeMs }) => timeMs), [NOW_MS]);
    const own = load(home);
    const key = await unlock(home, own);
    await certifyAndStore(connection, { home, key, replaced: own.pem }, asking);
    assert.equal(leads(first)?.length, 1, "a renewal with the same key takes nothing away");

    // A word for the key that comes next, of an earlier try that ended between two writes.
    const next = await takeNewKey(home, ALICE);
    endorsements.add(
      encodeSpki(key),
      endorse(scope, { by: key, key: encodeSpki(next), timeMs: 1 }),
    );
    const second = await change({ vouching: undefined });
    assert.deepEqual(second.key, encodeSpki(next));
    assert.equal(leads(second), undefined);
    const third = await change({ vouching: await unlock(home, load(home)) });
    assert.equal(leads(third)?.length, 1);
    assert.equal(leads({ ...third, pinned: first.pinned }), undefined);
  });
});

test("certifyAndStore() asks for nothing where endorsements cannot be read", async () => {
  await withAlice(async (_world, home, { asking }) => {
    const { socket, connection } = connect(LEAF);
    fs.writeFileSync(`${home.folder}/ids/alice/endorsements.json`, "?");
    const own = load(home);
    await assertFails(
      certifyAndStore(
        connection,
        { home, key: await unlock(home, own), replaced: own.pem },
        asking,
      ),
      "malformed",
      /endorsements.json": not as it should be$/,
    );
    assert.equal(socket.requests.length, 0);
  });
});

test("certifyAndStore() keeps what another command has stored meanwhile", async () => {
  await withAlice(async (_world, home, { connection, asking }) => {
    const own = load(home);
    const key = await unlock(home, own);
    await certifyAndStore(connection, { home, key, replaced: own.pem }, asking);
    const stored = load(home);
    await assertFails(
      certifyAndStore(connection, { home, key, replaced: own.pem }, asking),
      "conflict",
      'cannot keep the new certificate of "alice": another command has stored one meanwhile',
    );
    assert.equal(load(home).pem, stored.pem);
  });
});

test("certifyAndStore() asks for nothing that it could not store", async () => {
  await inHome(async (home) => {
    const { socket, connection } = connect(LEAF);
    fs.mkdirSync(`${home.folder}/ids`, { recursive: true });
    fs.writeFileSync(`${home.folder}/ids/alice`, "a file where the folder should be");
    const key = await generatePrivateKey("p256");
    const asking = { id: "alice", anchor: ANCHOR, nowMs: NOW_MS } as Asking;
    await assertFails(
      certifyAndStore(connection, { home, key, replaced: undefined }, asking),
      "storage",
      /^cannot make folder "/,
    );
    assert.equal(socket.requests.length, 0);
  });
});

test("takeNewKey() takes the key again that nobody has certified, if it is of use", async () => {
  await inHome(async (home) => {
    const first = await takeNewKey(home, ALICE);
    assert.deepEqual(encodeSpki(await takeNewKey(home, ALICE)), encodeSpki(first));
    const other = await takeNewKey(home, { ...ALICE, keyType: "p384" });
    assert.equal(keyTypeOf(other), "p384");
    const foreign = await takeNewKey(home, { ...ALICE, keyType: "p384", password: "forgotten" });
    assert.notDeepEqual(encodeSpki(foreign), encodeSpki(other));
  });
});

test("isPublished() knows the certificate that the directory gives out from others", async () => {
  await withAlice(async (_world, home, { connection, asking }) => {
    const own = load(home);
    assert.equal(await isPublished(connection, own), false);
    const key = await unlock(home, own);
    await publish(connection, { certificate: own.leaf.der, key });
    assert.equal(await isPublished(connection, own), true);
    await certifyAndStore(connection, { home, key, replaced: own.pem }, asking);
    assert.equal(await isPublished(connection, load(home)), false);
    connection.close();
    await assertFails(isPublished(connection, own), "internal", /closed by us/);
  });
});

test("logInByCertificate() opens a session for nobody else than the certificate is of", async () => {
  await withAlice(async (world, home) => {
    const { leaf, issuing } = load(home);
    const { connection } = await visit(world, home, [leaf.der, issuing.der]);
    await assertFails(
      logInByCertificate(connection, { id: "bob" }),
      "protocol",
      'the server takes "bob" for "alice"',
    );
    const without = await visit(world, home, []);
    await assertFails(
      logInByCertificate(without.connection, { id: "alice" }),
      "refused",
      "the server says: cannot log in: no certificate was shown",
    );
  });
});

test("revokeOwn() ends what the certificate could do; isAnswer() tells whose word that is", async () => {
  await withAlice(async (world, home, first) => {
    const { leaf, issuing } = load(home);
    const anybody = await visit(world, home, []);
    const status = { leaf, issuing, nowMs: NOW_MS };
    await assertFails(
      checkRevoked(anybody.connection, status),
      "untrusted",
      "the server took the revocation, but its CA says that the certificate is good",
    );
    const options = { serial: leaf.serial, reason: "keyCompromise" } as const;
    assert.equal(await revokeOwn(first.connection, options), NOW_MS);
    await checkRevoked(anybody.connection, status);
    assert.equal(await revokeOwn(first.connection, options), NOW_MS, "once more is no fault");
    const error = await visit(world, home, [leaf.der, issuing.der]).catch((thrown) => thrown);
    assert.ok(isAnswer(error) && error.kind === "untrusted", String(error));
    assert.equal(error.message, "the server says: cannot trust the certificate: it is revoked");
    assert.equal(isAnswer(new PkiError("untrusted", error.message)), false);
    await assertFails(
      revokeOwn(first.connection, { serial: "0102", reason: undefined }),
      "not-found",
      'the server says: cannot revoke 0102: no such certificate of "alice"',
    );
  });
});

test("revokeOwn() does not take the revocation of another certificate for an answer", async () => {
  const { socket, connection } = connect(LEAF);
  socket.onRequest = ({ seq }) => {
    const time = new Date(NOW_MS).toISOString();
    socket.say(encodeAnswer(seq, { serial: "0b", time }));
  };
  await assertFails(
    revokeOwn(connection, { serial: "0a", reason: undefined }),
    "protocol",
    "the server has revoked another certificate than was asked for",
  );
});

test("loadOwnCertificate() reads what has expired, and nothing of anybody else", async () => {
  await withAlice(async (_world, home) => {
    const own = load(home, NOW_MS + 90 * DAY_MS);
    assert.equal(own.id, "alice");
    assert.equal(isInTime(own, NOW_MS), true);
    assert.equal(isInTime(own, own.leaf.notBeforeMs - 1), false);
    assert.equal(isInTime(own, own.leaf.notAfterMs - 60_001), true);
    assert.equal(isInTime(own, own.leaf.notAfterMs - 60_000), false);

    const key = await generatePrivateKey("p256");
    const options = { anchor: ANCHOR, nowMs: NOW_MS, what: "a.pem" };
    const ofBob = encodeCertificatesPem([issueUser(CA, { id: "bob", key }), CA.issuing.der]);
    assert.throws(() => parseOwnCertificate(ofBob, { ...options, id: "alice" }), {
      kind: "untrusted",
      message: 'the certificate in "a.pem" is of "bob", not of "alice"',
    });
    assert.equal(parseOwnCertificate(ofBob, { ...options, id: "bob" }).id, "bob");
    const other = await makeCa();
    const ofOther = encodeCertificatesPem([
      issueUser(other, { id: "bob", key }),
      other.issuing.der,
    ]);
    assert.throws(() => parseOwnCertificate(ofOther, { ...options, id: "bob" }), {
      kind: "untrusted",
      message: /^cannot trust certificate: /,
    });
    const [leaf = LEAF] = parseCertificatesPem(own.pem, "own.pem");
    const tooEarly = { ...options, id: "alice", nowMs: NOW_MS - DAY_MS };
    assert.throws(
      () => parseOwnCertificate(encodeCertificatesPem([leaf, CA.issuing.der]), tooEarly),
      { kind: "untrusted", message: /not valid before/ },
    );
  });
});

test("checkOwnKey() refuses a key that is not the certificate's", async () => {
  await withAlice(async (_world, home) => {
    const own = load(home);
    await assertFails(
      (async () => checkOwnKey(own, await generatePrivateKey("p256")))(),
      "conflict",
      'the certificate of "alice" is for another key',
    );
    await unlock(home, own);
  });
});
