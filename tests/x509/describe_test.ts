import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bytes, copyBytes, encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { describeCertificate, describeKey } from "../../lib/x509/describe.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { HOUR_MS, issue, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";

const ca = await makeTestCa();

test("describeCertificate() says what a user's certificate says", async () => {
  const { certificate } = await makeUser(ca, { id: "alice" });
  const { extensions, ...rest } = describeCertificate(certificate, NOW_MS);
  assert.deepEqual(rest, {
    subject: "CN=alice",
    issuer: "CN=pki.internal issuing CA",
    selfIssued: false,
    serial: certificate.serial,
    notBefore: "2026-11-01T11:59:00Z",
    notAfter: "2026-12-01T12:00:00Z",
    period: "current",
    key: {
      algorithm: "EC",
      curve: "P-256",
      bits: 256,
      sha256: encodeHex(sha256(certificate.spki)),
    },
    signatureAlgorithm: "ECDSA with SHA-256",
    names: [
      { type: "uri", value: "spiffe://pki.internal/user/alice" },
      { type: "dns", value: "alice.user.pki.internal" },
    ],
    issuerNames: [],
    isCa: false,
    pathLength: null,
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["clientAuth", "serverAuth"],
    permittedNames: [],
    excludedNames: [],
    policies: [],
    policyMappings: [],
    requireExplicitPolicy: null,
    inhibitPolicyMapping: null,
    inhibitAnyPolicy: null,
    crlLocations: [],
    ocspLocations: [],
    issuerLocations: [],
    subjectKeyId: encodeHex(certificate.subjectKeyId ?? new Uint8Array()),
    authorityKeyId: encodeHex(ca.issuing.certificate.subjectKeyId ?? new Uint8Array()),
    sha256: encodeHex(sha256(certificate.der)),
  });
  assert.deepEqual(
    extensions.map(({ name, critical, shown }) => ({ name, critical, shown })),
    [
      { name: "basicConstraints", critical: true, shown: true },
      { name: "keyUsage", critical: true, shown: true },
      { name: "extKeyUsage", critical: false, shown: true },
      { name: "subjectKeyIdentifier", critical: false, shown: true },
      { name: "authorityKeyIdentifier", critical: false, shown: true },
      { name: "subjectAltName", critical: false, shown: true },
    ],
  );
});

test("describeCertificate() says which names a CA is constrained to, and who issued itself", () => {
  const { root, issuing } = ca;
  const one = describeCertificate(issuing.certificate, NOW_MS);
  assert.equal(one.isCa, true);
  assert.equal(one.pathLength, 0);
  assert.deepEqual(one.keyUsage, ["keyCertSign", "crlSign"]);
  assert.deepEqual(one.permittedNames, [
    { type: "dns", value: "pki.internal" },
    { type: "email", value: "pki.internal" },
  ]);
  assert.deepEqual(one.excludedNames, [
    { type: "ip", value: "0.0.0.0/0" },
    { type: "ip", value: "::/0" },
  ]);
  assert.equal(one.selfIssued, false);
  assert.equal(describeCertificate(root.certificate, NOW_MS).selfIssued, true);
});

test("describeCertificate() compares the period with the time that it is given", async () => {
  const key = ca.issuing.key;
  const { certificate } = await issue("user", { key, issuer: ca.issuing, id: "bob" });
  const { notBeforeMs, notAfterMs } = certificate;
  const rows = [
    [notBeforeMs - 1, "future"],
    [notBeforeMs, "current"],
    [notAfterMs, "current"],
    [notAfterMs + 1, "expired"],
  ] as const;
  for (const [nowMs, period] of rows) {
    assert.equal(describeCertificate(certificate, nowMs).period, period);
  }
});

test("describeKey() describes every kind of key, ours or not", () => {
  const rows = [
    [generateKeyPairSync("ec", { namedCurve: "P-384" }), "EC", "P-384", 384],
    [generateKeyPairSync("ec", { namedCurve: "P-521" }), "EC", "P-521", 521],
    [generateKeyPairSync("ec", { namedCurve: "secp256k1" }), "EC", "secp256k1", 256],
    [generateKeyPairSync("rsa", { modulusLength: 1024 }), "RSA", null, 1024],
    [generateKeyPairSync("rsa", { modulusLength: 2049 }), "RSA", null, 2049],
    [generateKeyPairSync("ed25519"), "Ed25519", null, 256],
    [generateKeyPairSync("x25519"), "X25519", null, 253],
  ] as const;
  for (const [{ publicKey }, algorithm, curve, bits] of rows) {
    const spki = publicKey.export({ format: "der", type: "spki" });
    assert.deepEqual(describeKey(spki), {
      algorithm,
      curve,
      bits,
      sha256: encodeHex(sha256(spki)),
    });
  }
});

const EVERYTHING = `
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
string_mask = utf8only
[name]
C = DE
O = Ex,ample
CN = Everything
[extensions]
basicConstraints = CA:true, pathlen:3
keyUsage = critical, digitalSignature, keyEncipherment, keyCertSign, decipherOnly, keyAgreement
extendedKeyUsage = emailProtection, timeStamping, 1.2.3.4
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = DNS:a.example, email:b@c.example, URI:urn:x, IP:10.0.0.1, IP:2001:db8::1, dirName:other, otherName:1.2.3.4;UTF8:x, RID:1.2.3
issuerAltName = DNS:issuer.example
nameConstraints = permitted;IP:192.0.2.0/255.255.255.0, permitted;IP:192.0.2.0/255.0.255.0, permitted;dirName:other, excluded;URI:.example
certificatePolicies = 2.23.140.1.2.1, 1.2.3.4
policyMappings = 1.2.3:1.2.4
policyConstraints = requireExplicitPolicy:2, inhibitPolicyMapping:0
inhibitAnyPolicy = 5
crlDistributionPoints = URI:http://crl.example/a, URI:http://crl.example/b
authorityInfoAccess = OCSP;URI:http://ocsp.example, caIssuers;URI:http://ca.example/ca.crt
tlsfeature = status_request
1.3.6.1.4.1.99999.7 = critical, DER:0500
[other]
CN = Other
`;

/** A certificate with every extension that there is a field for, by openssl. */
function makeEverything(): Bytes {
  return inFolder({ "openssl.cnf": EVERYTHING }, (cwd) => {
    const { status, output } = runTool("openssl", [
      ...["req", "-x509", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes", "-sha384"],
      ...["-keyout", "key.pem", "-out", "cert.pem", "-days", "10", "-set_serial", "0x80"],
    ], { cwd });
    assert.equal(status, 0, output);
    const [der] = parseCertificatesPem(fs.readFileSync(join(cwd, "cert.pem"), "utf8"), "it");
    assert.ok(der);
    return der;
  });
}

test("describeCertificate() says everything that openssl can put into a certificate", {
  skip: without("openssl"),
}, () => {
  const der = makeEverything();
  const certificate = parseCertificate(der);
  const { notBefore, notAfter, subjectKeyId, authorityKeyId, extensions, ...rest } =
    describeCertificate(certificate, certificate.notBeforeMs + HOUR_MS);
  assert.equal(Date.parse(notAfter) - Date.parse(notBefore), 10 * 24 * HOUR_MS);
  assert.equal(subjectKeyId, authorityKeyId);
  assert.deepEqual(rest, {
    subject: "CN=Everything,O=Ex\\,ample,C=DE",
    issuer: "CN=Everything,O=Ex\\,ample,C=DE",
    selfIssued: true,
    serial: "0080",
    period: "current",
    key: {
      algorithm: "RSA",
      curve: null,
      bits: 2048,
      sha256: encodeHex(sha256(
        createPublicKey({ key: copyBytes(certificate.spki) as never, format: "der", type: "spki" })
          .export({ format: "der", type: "spki" }),
      )),
    },
    signatureAlgorithm: "RSA with SHA-384",
    names: [
      { type: "dns", value: "a.example" },
      { type: "email", value: "b@c.example" },
      { type: "uri", value: "urn:x" },
      { type: "ip", value: "10.0.0.1" },
      { type: "ip", value: "2001:db8::1" },
      { type: "directory", value: "CN=Other" },
      { type: "other", value: "1.2.3.4" },
      { type: "other", value: "tag 8" },
    ],
    issuerNames: [{ type: "dns", value: "issuer.example" }],
    isCa: true,
    pathLength: 3,
    keyUsage: [
      "digitalSignature",
      "keyEncipherment",
      "keyAgreement",
      "keyCertSign",
      "decipherOnly",
    ],
    extendedKeyUsage: ["emailProtection", "timeStamping", "1.2.3.4"],
    permittedNames: [
      { type: "ip", value: "192.0.2.0/24" },
      { type: "ip", value: "192.0.2.0/255.0.255.0" },
      { type: "directory", value: "CN=Other" },
    ],
    excludedNames: [{ type: "uri", value: ".example" }],
    policies: ["2.23.140.1.2.1", "1.2.3.4"],
    policyMappings: [{ issuer: "1.2.3", subject: "1.2.4" }],
    requireExplicitPolicy: 2,
    inhibitPolicyMapping: 0,
    inhibitAnyPolicy: 5,
    crlLocations: ["http://crl.example/a", "http://crl.example/b"],
    ocspLocations: ["http://ocsp.example"],
    issuerLocations: ["http://ca.example/ca.crt"],
    sha256: encodeHex(sha256(der)),
  });
  assert.deepEqual(extensions.filter(({ shown }) => !shown), [
    {
      oid: "1.3.6.1.5.5.7.1.24",
      name: "tlsFeature",
      critical: false,
      shown: false,
      bytes: 5,
    },
    { oid: "1.3.6.1.4.1.99999.7", name: null, critical: true, shown: false, bytes: 2 },
  ]);
  assert.equal(extensions.length, 16);
});
