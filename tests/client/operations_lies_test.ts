/** What a server may try to make a client believe, about certificates and about its log. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { type Asking, certify, lookUp } from "../../lib/client/operations.ts";
import type { ServerConnection } from "../../lib/client/server_connection.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { type Holder, issue, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { assertDistrusts, CA, errorOf, inWorld, type World } from "./log_world.ts";

const OTHER_CA = await makeTestCa();
const KEY = await generatePrivateKey("p256");
const OTHER_KEY = await generatePrivateKey("ed25519");
const CSR = { csr: await makeCsr(KEY, "alice"), spki: encodeSpki(KEY) };

async function issueUser(id: string, { issuing }: { readonly issuing: Holder }, key = KEY) {
  return (await issue("user", { key, issuer: issuing, id })).certificate.der;
}

const ALICE = await issueUser("alice", CA);
const ISSUING = CA.issuing.certificate.der;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Answers both requests with this certificate, which is at this index. */
function answerWith(
  { server }: World,
  { certificate, issuing = ISSUING, index }: {
    readonly certificate: Uint8Array;
    readonly issuing?: Uint8Array;
    readonly index: number;
  },
): void {
  const { answer } = server;
  server.answer = (request) =>
    request.type === "PROOF" ? answer(request) : {
      certificate: encodeBase64(certificate),
      issuing: encodeBase64(issuing),
      index,
    };
}

async function visit(
  { server, visit }: World,
  nowMs = NOW_MS,
): Promise<{ connection: ServerConnection; alice: Asking }> {
  const { anchor } = CA.judging;
  return {
    connection: await server.connect(),
    alice: { id: "alice", anchor, nowMs, log: await visit() },
  };
}

const LIES: readonly {
  readonly what: string;
  readonly certificate: Uint8Array;
  readonly issuing?: Uint8Array;
  readonly nowMs?: number;
  readonly message: RegExp;
}[] = [
  {
    what: "somebody else's certificate",
    certificate: await issueUser("bob", CA),
    message: /^the server answered with a certificate of "bob", not of "alice"$/,
  },
  {
    what: "another CA's certificate",
    certificate: await issueUser("alice", OTHER_CA),
    issuing: OTHER_CA.issuing.certificate.der,
    message: /it is not of this CA$/,
  },
  {
    what: "another issuing CA",
    certificate: ALICE,
    issuing: OTHER_CA.issuing.certificate.der,
    message: /it is not of this CA$/,
  },
  {
    what: "an expired certificate",
    certificate: ALICE,
    nowMs: NOW_MS + 31 * DAY_MS,
    message: /it expired /,
  },
  {
    what: "the issuing CA's own certificate",
    certificate: ISSUING,
    message: /^cannot trust certificate/,
  },
  { what: "no certificate", certificate: utf8("?"), message: /^cannot read/ },
];

for (const { what, certificate, issuing = ISSUING, nowMs, message } of LIES) {
  test(`certify() and lookUp() do not believe ${what}, although the log has it`, async () => {
    await inWorld(async (world) => {
      const index = world.log.issue("alice", certificate);
      answerWith(world, { certificate, issuing, index });
      const { connection, alice } = await visit(world, nowMs);
      const uses = [() => lookUp(connection, alice), () => certify(connection, CSR, alice)];
      for (const use of uses) {
        const error = await errorOf(use);
        assert.equal(error.kind, "untrusted", error.message);
        assert.match(error.message, message);
      }
      assert.deepEqual(world.server.asked, [], "the log was asked about what was refused already");
      assert.equal(world.home.loadCheckpoint(), undefined);
    });
  });
}

test("certify() does not believe a certificate for another key", async () => {
  await inWorld(async (world) => {
    const certificate = await issueUser("alice", CA, OTHER_KEY);
    answerWith(world, { certificate, index: world.log.issue("alice", certificate) });
    const { connection, alice } = await visit(world);
    const error = await errorOf(() => certify(connection, CSR, alice));
    assert.deepEqual([error.kind, error.message], [
      "untrusted",
      "the server certified another key than the one in the request",
    ]);
    assert.equal((await lookUp(connection, alice)).id, "alice");
  });
});

/** The certificate is good, but where is it recorded? */
const UNLOGGED: readonly (readonly [what: string, append: (world: World) => number])[] = [
  ["is recorded for somebody else", ({ log }) => log.issue("bob", ALICE)],
  ["is not the one that is recorded", ({ log }) => log.issue("alice", ISSUING)],
  [
    "is recorded as something else",
    ({ log }) =>
      log.append("published", {
        profile: "user",
        id: "alice",
        certificate: encodeBase64(ALICE),
      }),
  ],
  ["is not where the server says", ({ log }) => log.issue("alice", ALICE) - 1],
];

for (const [what, append] of UNLOGGED) {
  test(`certify() and lookUp() do not believe a good certificate that ${what}`, async () => {
    await inWorld(async (world) => {
      answerWith(world, { certificate: ALICE, index: append(world) });
      const { connection, alice } = await visit(world);
      const uses = [() => lookUp(connection, alice), () => certify(connection, CSR, alice)];
      for (const use of uses) {
        await assertDistrusts(world, use, "it does not contain this certificate");
      }
    });
  });
}

test("certify() and lookUp() do not believe a good certificate of a server that lost entries", async () => {
  await inWorld(async (world) => {
    const { server, log } = world;
    await (await world.visit()).prove();
    server.log = log.copy(3);
    answerWith(world, { certificate: ALICE, index: server.log.issue("alice", ALICE) });
    const { connection, alice } = await visit(world);
    const uses = [() => lookUp(connection, alice), () => certify(connection, CSR, alice)];
    for (const use of uses) {
      await assertDistrusts(
        world,
        use,
        "it forgot entries that it showed before: 4 are left of 5",
      );
    }
  });
});

test("certify() and lookUp() remember the log before they return a certificate that it has", async () => {
  await inWorld(async (world) => {
    const index = world.log.issue("alice", ALICE);
    answerWith(world, { certificate: ALICE, index });
    const { connection, alice } = await visit(world);
    assert.deepEqual((await certify(connection, CSR, alice)).leaf.der, ALICE);
    assert.equal(world.remembered(), 6);
    world.log.grow(1);
    assert.deepEqual((await lookUp(connection, alice)).leaf.der, ALICE);
    assert.equal(world.remembered(), 7);
    assert.deepEqual(world.server.asked, [{ from: undefined, index }, { from: 6, index }]);
  });
});
