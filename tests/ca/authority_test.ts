import assert from "node:assert/strict";
import { createPrivateKey, type KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import { encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { type Certification, createAuthority, type Issuer } from "../../lib/ca/authority.ts";
import { issueCertificate, prepareCertificate } from "../../lib/ca/issue.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { judgeServer, judgeUser } from "../../lib/x509/chain.ts";
import { keyIdOf } from "../../lib/x509/encode.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { DOMAIN, flipBit, issue, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { assembleCsr, CSR_KEY, relativeName, subjectOf } from "../fakes/csr.ts";
import { encodeSequence } from "../../lib/x509/der.ts";

const DAY_MS = 86_400_000;
const ca = await makeTestCa();
const spki = encodeSpki(CSR_KEY);
const csr = assembleCsr();

/** A CA for names outside of the domain. */
async function makeOutside(
  dns: readonly string[],
  addresses: readonly string[],
  number: number,
): Promise<Issuer> {
  const key = await generatePrivateKey("p256");
  const template = prepareCertificate({
    profile: "outside",
    domain: DOMAIN,
    number,
    permitted: { dns, addresses },
    spki: encodeSpki(key),
    nowMs: NOW_MS,
    random: new Uint8Array(20).fill(number),
    issuerNotAfterMs: ca.root.certificate.notAfterMs,
  });
  return { key, certificate: parseCertificate(issueCertificate(template, ca.root)) };
}

const earlier = await issue("issuing", {
  key: await generatePrivateKey("p256"),
  issuer: ca.root,
});
const web = await makeOutside(["example.org"], [], 1);
const lab = await makeOutside(["lab.example"], ["10.0.0.0/8", "2001:db8::/32"], 2);

const options = {
  issuing: ca.issuing,
  others: [earlier, web, lab],
  domain: DOMAIN,
  profiles: parseProfiles(undefined, DOMAIN),
  now: () => NOW_MS,
};
const authority = createAuthority(options);

test("certify() takes nothing from a user's request but its key", () => {
  const key = CSR_KEY;
  const subject = encodeSequence(
    relativeName("2.5.4.10", "Example"),
    relativeName(OID.commonName, "alice"),
  );
  const { certificate, issuer, ignored } = authority.certify({
    profile: "user",
    id: "alice",
    csr: assembleCsr({ subject }),
  });
  assert.deepEqual(issuer, ca.issuing.certificate.der);
  assert.deepEqual(ignored, ["subject attribute O"]);
  assert.equal(judgeUser([certificate, issuer], ca.judging).id, "alice");
  const made = parseCertificate(certificate);
  assert.deepEqual(made.spki, encodeSpki(key));
  assert.deepEqual(made.commonNames, ["alice"]);
  assert.equal(made.basicConstraints?.isCa, false);
  assert.equal(made.notAfterMs, NOW_MS + 30 * DAY_MS);
});

test("certify() gives each certificate a serial number of its own", () => {
  const serials = new Set<string>();
  for (let i = 0; i < 5; i++) {
    const { certificate } = authority.certify({ profile: "user", id: "alice", csr });
    serials.add(parseCertificate(certificate).serial);
  }
  assert.equal(serials.size, 5);
});

test("certify() certifies an empty subject for the user who asks", () => {
  const empty = assembleCsr({ subject: encodeSequence() });
  const { certificate, issuer } = authority.certify({ profile: "user", id: "bob", csr: empty });
  assert.equal(judgeUser([certificate, issuer], ca.judging).id, "bob");
});

test("certify() takes a public key in place of a request", () => {
  const { certificate, ignored } = authority.certify({ profile: "service", id: "backup", spki });
  const made = parseCertificate(certificate);
  assert.deepEqual(made.names, [
    { type: "uri", value: `spiffe://${DOMAIN}/service/backup` },
    { type: "dns", value: `backup.service.${DOMAIN}` },
  ]);
  assert.deepEqual(made.extendedKeyUsage, [OID.clientAuth]);
  assert.deepEqual(ignored, []);
});

const CHOICES: readonly {
  readonly dns?: readonly string[];
  readonly addresses?: readonly string[];
  readonly by?: Issuer;
  readonly hint?: string;
}[] = [
  { dns: [`www.${DOMAIN}`], by: ca.issuing },
  { dns: [DOMAIN, `*.www.${DOMAIN}`], by: ca.issuing },
  { dns: ["example.org"], by: web },
  { dns: ["a.b.example.org", "*.example.org"], by: web },
  { dns: ["www.lab.example"], by: lab },
  { addresses: ["10.1.2.3"], by: lab },
  { addresses: ["2001:db8::5"], dns: ["x.lab.example"], by: lab },
  { dns: ["example.com"], hint: "--dns example.com" },
  { dns: ["notexample.org"], hint: "--dns notexample.org" },
  { dns: ["*.example.net"], hint: "--dns example.net" },
  {
    dns: ["www.example.org", "www.lab.example"],
    hint: "--dns www.example.org --dns www.lab.example",
  },
  { dns: [`www.${DOMAIN}`, "example.org"], hint: `--dns www.${DOMAIN} --dns example.org` },
  {
    dns: [`www.${DOMAIN}`],
    addresses: ["10.0.0.1"],
    hint: `--dns www.${DOMAIN} --address 10.0.0.1`,
  },
  { dns: ["example.org"], addresses: ["10.0.0.1"], hint: "--dns example.org --address 10.0.0.1" },
  { addresses: ["192.0.2.1"], hint: "--address 192.0.2.1" },
  { addresses: ["::1"], hint: "--address ::1" },
];
const WILD = createAuthority({
  ...options,
  profiles: parseProfiles('{"server":{"wildcards":true}}', DOMAIN),
});

for (const { dns = [], addresses = [], by, hint = "" } of CHOICES) {
  const names = JSON.stringify([...dns, ...addresses]);
  test(`certify() ${by ? "finds the CA" : "has no CA"} for the server ${names}`, () => {
    const certify = () => WILD.certify({ profile: "server", dns, addresses, spki });
    if (!by) {
      const first = dns[0] ?? addresses[0] ?? "";
      return assert.throws(certify, {
        kind: "not-found",
        message: `cannot certify "${first}": no CA is for all of these names`,
        hint: `make a CA for these names with: pki issuer add ${hint}`,
      });
    }
    const { certificate, issuer } = certify();
    assert.deepEqual(issuer, by.certificate.der);
    const made = parseCertificate(certificate);
    assert.deepEqual(made.issuer, by.certificate.subject);
    assert.deepEqual(made.authorityKeyId, keyIdOf(by.certificate.spki));
    assert.deepEqual(
      made.names.flatMap(({ type, ...name }) =>
        type === "dns" && "value" in name ? [name.value] : []
      ),
      dns,
    );
  });
}

test("an authority without other CAs certifies the domain's names only", () => {
  const { others: _, ...alone } = options;
  const certify = (dns: string) =>
    createAuthority(alone).certify({ profile: "server", dns: [dns], spki });
  assert.throws(() => certify("example.org"), { kind: "not-found" });
  certify(`www.${DOMAIN}`);
});

const SHAPED = createAuthority({
  ...options,
  profiles: parseProfiles(
    JSON.stringify({
      user: {
        days: 2,
        daysMax: 3,
        keys: ["p384", "rsa"],
        rsaBitsMin: 3072,
        usages: ["emailProtection"],
        policies: ["1.3.6.1.4.1.99999.1"],
        crl: ["http://pki.example/{issuer}.crl", "http://b.example/{issuer}"],
        ocsp: ["http://ocsp.example/"],
        issuers: ["http://pki.example/{issuer}.crt"],
      },
    }),
    DOMAIN,
  ),
});

function load(name: string): KeyObject {
  const file = new URL(`../../testdata/x509/${name}.key`, import.meta.url);
  return createPrivateKey(fs.readFileSync(file, "utf8"));
}

test("certify() says what the profile says", () => {
  const { certificate, issuer } = SHAPED.certify({
    profile: "user",
    id: "alice",
    spki: encodeSpki(load("p384")),
  });
  assert.equal(judgeUser([certificate, issuer], ca.judging).id, "alice");
  const made = parseCertificate(certificate);
  const keyId = encodeHex(keyIdOf(ca.issuing.certificate.spki));
  assert.equal(made.notAfterMs, NOW_MS + 2 * DAY_MS);
  assert.deepEqual(made.extendedKeyUsage, [OID.clientAuth, OID.serverAuth, "1.3.6.1.5.5.7.3.4"]);
  assert.deepEqual(made.policies?.map(({ oid }) => oid), ["1.3.6.1.4.1.99999.1"]);
  assert.deepEqual(
    made.crlDistributionPoints?.map(({ names }) => names),
    [`http://pki.example/${keyId}.crl`, `http://b.example/${keyId}`].map((value) => [
      { type: "uri", value },
    ]),
  );
  assert.deepEqual(made.authorityInfoAccess, {
    ocsp: ["http://ocsp.example/"],
    caIssuers: [`http://pki.example/${keyId}.crt`],
    others: 0,
  });
});

interface Refusal {
  readonly name: string;
  readonly by?: typeof authority;
  readonly asked: Certification;
  readonly kind?: string;
  readonly message?: string;
}

const USER = { profile: "user", id: "alice" } as const;
const HOST = { profile: "server", dns: [`www.${DOMAIN}`] } as const;

const REFUSALS: readonly Refusal[] = [
  {
    name: "a request for another user",
    asked: { ...USER, id: "bob", csr },
    kind: "refused",
    message: 'cannot certify request: it asks for another name than "bob"',
  },
  {
    name: "a request that another key signed",
    asked: { ...USER, csr: flipBit(csr, -1) },
    kind: "malformed",
    message: "cannot accept request: its signature is not by the key in it",
  },
  {
    name: "what is no request",
    asked: { ...USER, csr: utf8("x") },
    kind: "malformed",
    message: "cannot read DER: it ends too early",
  },
  {
    name: "what is no key",
    asked: { ...USER, spki: utf8("x") },
    kind: "malformed",
    message: "cannot read DER: it ends too early",
  },
  {
    name: "neither request nor key",
    asked: USER,
    kind: "usage",
    message: "cannot certify: either a request or a public key is needed",
  },
  {
    name: "a request and a key",
    asked: { ...USER, csr, spki },
    kind: "usage",
    message: "cannot certify: either a request or a public key is needed",
  },
  {
    name: "an impossible id",
    asked: { ...USER, id: "", csr: assembleCsr({ subject: encodeSequence() }) },
    kind: "usage",
    message: "cannot use id: not a possible id",
  },
  {
    name: "a service without a name",
    asked: { profile: "service", spki },
    kind: "usage",
    message: "cannot use id: not a possible id",
  },
  {
    name: "a user with a host's name",
    asked: { ...USER, csr, dns: [`www.${DOMAIN}`] },
    kind: "usage",
    message: 'cannot certify: the names of profile "user" are fixed',
  },
  {
    name: "a service with an address",
    asked: { profile: "service", id: "backup", spki, addresses: ["10.0.0.1"] },
    kind: "usage",
    message: 'cannot certify: the names of profile "service" are fixed',
  },
  {
    name: "a server with an id",
    asked: { ...HOST, id: "alice", spki },
    kind: "usage",
    message: 'cannot certify: profile "server" has no id, but names of hosts',
  },
  {
    name: "the domain's own server as a host",
    asked: { profile: "server", dns: [`server.${DOMAIN}`], spki },
    kind: "refused",
    message: `cannot certify "server.${DOMAIN}": it is reserved in the trust domain ${DOMAIN}`,
  },
  {
    name: "a host's request for a host more",
    asked: { ...HOST, csr: assembleCsr({ subject: subjectOf("www.example.org") }) },
    kind: "refused",
    message: `cannot certify request: it asks for another name than "www.${DOMAIN}"`,
  },
  ...[0, -1, 1.5, Number.NaN].map((days) => ({
    name: `${days} days`,
    asked: { ...USER, csr, days },
    kind: "usage",
    message: `cannot certify: ${days} is not a number of days`,
  })),
  {
    name: "a day too many",
    asked: { ...USER, csr, days: 91 },
    kind: "refused",
    message: 'cannot certify: 91 days asked for, at most 90 by profile "user"',
  },
  { name: "as many days as there can be", asked: { ...USER, csr, days: 90 } },
  {
    name: "a key of a type that the profile does not have",
    by: SHAPED,
    asked: { ...USER, csr },
    kind: "refused",
    message: 'cannot certify the key: profile "user" does not allow P-256',
  },
  {
    name: "an RSA key that is too short for the profile",
    by: SHAPED,
    asked: { ...USER, spki: encodeSpki(load("rsa2048")) },
    kind: "refused",
    message:
      'cannot certify the key: RSA key has 2048 bits, at least 3072 needed by profile "user"',
  },
  {
    name: "an RSA key that is just long enough",
    by: SHAPED,
    asked: { ...USER, spki: encodeSpki(load("rsa3072")) },
  },
];

for (const { name, by = authority, asked, kind, message } of REFUSALS) {
  test(`certify() ${kind === undefined ? "accepts" : "refuses"} ${name}`, () => {
    if (kind === undefined) return void by.certify(asked);
    assert.throws(() => by.certify(asked), { kind, message: message ?? "" });
  });
}

test("certifyServer() makes the server's certificate, and refuses what is no key", () => {
  const der = authority.certifyServer(spki);
  const shown = [der, ca.issuing.certificate.der];
  assert.deepEqual(judgeServer(shown, ca.judging).leaf.spki, spki);
  assert.throws(() => authority.certifyServer(utf8("x")), { kind: "malformed" });
});

test("an authority takes its clock and its randomness from outside", () => {
  const { certificate: issuing } = ca.issuing;
  const fixed = createAuthority({
    ...options,
    now: () => issuing.notAfterMs - 1500,
    random: (length) => new Uint8Array(length).fill(1),
  });
  const { certificate } = fixed.certify({ ...USER, csr });
  const made = parseCertificate(certificate);
  assert.equal(made.serial, `41${"01".repeat(19)}`);
  assert.equal(made.notAfterMs, issuing.notAfterMs);
});

test("an authority whose certificate has expired certifies nobody", () => {
  const now = () => ca.issuing.certificate.notAfterMs;
  assert.throws(() => createAuthority({ ...options, now }).certify({ ...USER, csr }), {
    kind: "internal",
    message: "cannot issue: the issuing CA's own certificate has expired",
  });
});

test("createAuthority() refuses a key that is not the certificate's", () => {
  const wrong = { certificate: ca.issuing.certificate, key: CSR_KEY };
  for (const bad of [{ issuing: wrong }, { others: [wrong] }]) {
    assert.throws(() => createAuthority({ ...options, ...bad }), {
      kind: "storage",
      message: "cannot use the issuing CA: its key is not the certificate's",
    });
  }
});
