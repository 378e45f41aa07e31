import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex } from "../../lib/base/bytes.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { judgeServer, judgeUser } from "../../lib/x509/chain.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { type CertificateTemplate, formSerial, makeCertificate } from "../../lib/x509/make.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { x509 } from "../../lib/x509/provider.ts";
import { DOMAIN, HOUR_MS, issue, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];

function loadKey(type: KeyType) {
  const file = new URL(`../../testdata/x509/${type}.key`, import.meta.url);
  return createPrivateKey(fs.readFileSync(file, "utf8"));
}

test("makeCertificate() makes what @peculiar/x509 reads field by field", async () => {
  const issuer = await makeTestCa();
  const key = await generatePrivateKey("p256");
  const template: CertificateTemplate = {
    serial: formSerial(new Uint8Array(20).fill(0xab)),
    commonName: "alice.smith",
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS + HOUR_MS,
    spki: encodeSpki(key),
    uris: ["spiffe://x/user/alice.smith"],
    dns: ["a.example", "b.example"],
    extendedKeyUsage: ["1.3.6.1.5.5.7.3.2"],
  };
  const read = new x509.X509Certificate(await makeCertificate(template, issuer.issuing));
  assert.equal(read.serialNumber, `6b${"ab".repeat(19)}`);
  assert.equal(read.subject, "CN=alice.smith");
  assert.equal(read.issuer, `CN=${DOMAIN} issuing CA`);
  assert.equal(read.notBefore.getTime(), template.notBeforeMs);
  assert.equal(read.notAfter.getTime(), template.notAfterMs);
  assert.deepEqual(new Uint8Array(read.publicKey.rawData), template.spki);
  const names = read.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
  assert.deepEqual(names, [
    { type: "url", value: "spiffe://x/user/alice.smith" },
    { type: "dns", value: "a.example" },
    { type: "dns", value: "b.example" },
  ]);
  const basicConstraints = read.getExtension(x509.BasicConstraintsExtension);
  assert.equal(basicConstraints?.ca, false);
  assert.equal(basicConstraints?.critical, true);
  const keyUsage = read.getExtension(x509.KeyUsagesExtension);
  assert.equal(keyUsage?.usages, x509.KeyUsageFlags.digitalSignature);
  assert.equal(keyUsage?.critical, true);
  assert.deepEqual(Array.from(read.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? []), [
    "1.3.6.1.5.5.7.3.2",
  ]);
  assert.equal(
    read.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
    encodeHex(issuer.issuing.certificate.subjectKeyId ?? new Uint8Array()),
  );
  const issuing = new x509.X509Certificate(issuer.issuing.certificate.der);
  assert.equal(
    await read.verify({ publicKey: issuing.publicKey, date: new Date(NOW_MS + 1000) }),
    true,
  );
});

test("makeCertificate() leaves out what a template does not ask for", async () => {
  const key = await generatePrivateKey("p256");
  const read = new x509.X509Certificate(
    await makeCertificate({
      serial: formSerial(new Uint8Array(20)),
      commonName: "x",
      notBeforeMs: NOW_MS,
      notAfterMs: NOW_MS + HOUR_MS,
      spki: encodeSpki(key),
      uris: [],
      dns: [],
      extendedKeyUsage: [],
      ca: {},
    }, { key }),
  );
  assert.deepEqual(
    Array.from(read.extensions).map(({ type }) => type),
    ["2.5.29.19", "2.5.29.15", "2.5.29.14", "2.5.29.35"],
  );
  assert.equal(read.getExtension(x509.BasicConstraintsExtension)?.pathLength, undefined);
  assert.equal(await read.isSelfSigned(), true);
});

for (const type of TYPES) {
  test(`openssl verify -x509_strict accepts a chain of ${type}, for its names only`, {
    skip: WITHOUT_OPENSSL,
  }, async () => {
    const key = loadKey(type);
    const keys = { root: key, issuing: type === "rsa3072" ? key : await generatePrivateKey(type) };
    const ca = await makeTestCa({ keys });
    const { certificate: user } = await issue("user", { key, issuer: ca.issuing, id: "a.b" });
    const { certificate: server } = await issue("server", { key, issuer: ca.issuing });
    const issuing = ca.issuing.certificate.der;
    assert.equal(judgeUser([user.der, issuing], ca.judging).id, "a.b");
    judgeServer([server.der, issuing], ca.judging);

    const files = {
      "root.pem": encodeCertificatesPem([ca.root.certificate.der]),
      "issuing.pem": encodeCertificatesPem([issuing]),
      "user.pem": encodeCertificatesPem([user.der]),
      "server.pem": encodeCertificatesPem([server.der]),
    };
    const verify = (...args: readonly string[]) =>
      runOpenssl([
        ...["verify", "-x509_strict", "-policy_check", "-attime", String(NOW_MS / 1000)],
        ...["-CAfile", "root.pem", "-untrusted", "issuing.pem", ...args],
      ], files);
    for (
      const args of [
        ["-purpose", "sslclient", "user.pem"],
        ["-purpose", "sslserver", "-verify_hostname", `a.b.user.${DOMAIN}`, "user.pem"],
        ["-purpose", "sslserver", "-verify_hostname", `server.${DOMAIN}`, "server.pem"],
      ]
    ) {
      const { status, output } = verify(...args);
      assert.equal(status, 0, output);
    }
    assert.match(verify("-purpose", "sslclient", "server.pem").output, /purpose/);
    assert.match(verify("-verify_hostname", `server.${DOMAIN}`, "user.pem").output, /mismatch/);
  });
}

test("formSerial() makes a positive number of 20 bytes, with 158 of the random bits", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (random) => {
      const serial = formSerial(random);
      const [first = 0] = serial;
      assert.ok(first >= 0x40 && first < 0x80);
      assert.equal(first & 0x3f, (random[0] ?? 0) & 0x3f);
      assert.deepEqual(serial.subarray(1), new Uint8Array(random.subarray(1)));
    }),
  );
  for (const length of [0, 19, 21]) {
    assert.throws(() => formSerial(new Uint8Array(length)), {
      kind: "internal",
      message: "a serial number needs 20 random bytes",
    });
  }
});
