import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { createAuthority } from "../../lib/ca/authority.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { judgeServer, judgeUser } from "../../lib/x509/chain.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { x509 } from "../../lib/x509/provider.ts";
import { DOMAIN, flipBit, makeTestCa, NOW_MS } from "../fakes/ca.ts";

const ca = await makeTestCa();
const key = await generatePrivateKey("p256");
const csr = await makeCsr(key, "alice");
const issuing = ca.issuing.certificate;
const options = {
  issuing: ca.issuing,
  domain: DOMAIN,
  profiles: parseProfiles(undefined, DOMAIN),
};
const authority = createAuthority({ ...options, now: () => NOW_MS });

test("certifyUser() takes nothing from a request but its key", () => {
  const der = authority.certifyUser("alice", csr);
  assert.equal(judgeUser([der, issuing.der], ca.judging).id, "alice");
  const made = parseCertificate(der);
  assert.deepEqual(made.spki, encodeSpki(key));
  assert.equal(made.basicConstraints?.isCa, false);
});

test("certifyUser() gives each certificate a serial number of its own", async () => {
  const serials = new Set<string>();
  for (let i = 0; i < 5; i++) {
    serials.add(parseCertificate(await authority.certifyUser("alice", csr)).serial);
  }
  assert.equal(serials.size, 5);
});

const ROWS = [
  {
    name: "a request for another user",
    id: "bob",
    csr,
    kind: "refused",
    message: 'cannot certify request: it asks for another name than "bob"',
  },
  {
    name: "a request that another key signed",
    id: "alice",
    csr: flipBit(csr, -1),
    kind: "malformed",
    message: "cannot accept request: its signature is not by the key in it",
  },
  {
    name: "what is no request",
    id: "alice",
    csr: utf8("x"),
    kind: "malformed",
    message: "cannot read DER: it ends too early",
  },
  {
    name: "an impossible id",
    id: "",
    csr: await makeEmptyCsr(),
    kind: "usage",
    message: "cannot use id: not a possible id",
  },
] as const;

/** A request with an empty subject, which fits every user. */
async function makeEmptyCsr(): Promise<Uint8Array> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await x509.cryptoProvider.get().subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ]);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
  });
  return new Uint8Array(csr.rawData);
}

for (const { name, id, csr, kind, message } of ROWS) {
  test(`certifyUser() refuses ${name}`, () => {
    assert.throws(() => authority.certifyUser(id, csr), { kind, message });
  });
}

test("certifyUser() certifies an empty subject for the user who asks", async () => {
  const der = authority.certifyUser("bob", await makeEmptyCsr());
  assert.equal(judgeUser([der, issuing.der], ca.judging).id, "bob");
});

test("certifyServer() makes the server's certificate, and refuses what is no key", () => {
  const der = authority.certifyServer(encodeSpki(key));
  assert.deepEqual(judgeServer([der, issuing.der], ca.judging).leaf.spki, encodeSpki(key));
  assert.throws(() => authority.certifyServer(utf8("x")), {
    kind: "malformed",
  });
});

test("an authority takes its clock and its randomness from outside", async () => {
  const fixed = createAuthority({
    ...options,
    now: () => issuing.notAfterMs - 1500,
    random: (length) => new Uint8Array(length).fill(1),
  });
  const made = parseCertificate(await fixed.certifyUser("alice", csr));
  assert.equal(made.serial, `41${"01".repeat(19)}`);
  assert.equal(made.notAfterMs, issuing.notAfterMs);
});

test("an authority whose certificate has expired certifies nobody", () => {
  const expired = createAuthority({ ...options, now: () => issuing.notAfterMs });
  assert.throws(() => expired.certifyUser("alice", csr), {
    kind: "internal",
    message: "cannot issue: the issuing CA's own certificate has expired",
  });
});

test("createAuthority() refuses a key that is not the certificate's", () => {
  assert.throws(() => createAuthority({ ...options, issuing: { ...ca.issuing, key } }), {
    kind: "storage",
    message: "cannot use the issuing CA: its key is not the certificate's",
  });
});
