import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { readCsr } from "../../lib/x509/csr.ts";
import { encodeElement, encodeOid, encodeSequence, encodeWholeBits } from "../../lib/x509/der.ts";
import { TAG } from "../../lib/x509/der.ts";
import { type CertificateDescription } from "../../lib/x509/describe.ts";
import { describeRequest, type RequestDescription } from "../../lib/x509/describe_request.ts";
import type { CrlDescription } from "../../lib/x509/describe_revocation.ts";
import {
  showCertificate,
  showCrl,
  showDuration,
  showOcspRequest,
  showOcspResponse,
  showRequest,
} from "../../lib/x509/describe_text.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 1, 12);
const HEX = "ab".repeat(32);

test("showDuration() shows whole units, two at least", () => {
  const rows = [
    [0, "0 seconds"],
    [999, "0 seconds"],
    [1000, "1 second"],
    [119_999, "119 seconds"],
    [120_000, "2 minutes"],
    [2 * 3_600_000 - 1, "119 minutes"],
    [2 * 3_600_000, "2 hours"],
    [2 * DAY_MS - 1, "47 hours"],
    [2 * DAY_MS, "2 days"],
    [5 * 365 * DAY_MS, "1825 days"],
  ] as const;
  for (const [durationMs, text] of rows) assert.equal(showDuration(durationMs), text);
});

const PLAIN: CertificateDescription = {
  subject: "CN=alice",
  issuer: "CN=ca",
  selfIssued: false,
  serial: "01",
  notBefore: "2026-11-01T11:59:00Z",
  notAfter: "2026-12-01T12:00:00Z",
  period: "current",
  key: { algorithm: "EC", curve: "P-256", bits: 256, sha256: HEX },
  signatureAlgorithm: "Ed25519",
  names: [],
  issuerNames: [],
  isCa: false,
  pathLength: null,
  keyUsage: [],
  extendedKeyUsage: [],
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
  subjectKeyId: null,
  authorityKeyId: null,
  extensions: [],
  sha256: HEX,
};

const show = (changes: Partial<CertificateDescription>, nowMs = NOW_MS) =>
  showCertificate({ ...PLAIN, ...changes }, { title: "certificate", nowMs });

test("showCertificate() leaves out what is not there", () => {
  assert.equal(
    show({}),
    `certificate
  subject         CN=alice
  issuer          CN=ca
  serial          01
  from            2026-11-01 11:59:00 UTC
  until           2026-12-01 12:00:00 UTC, in 30 days
  key             EC P-256
  signature       Ed25519
  CA              no
  SHA-256         ${HEX}
  SHA-256 of key  ${HEX}
`,
  );
});

test("showCertificate() shows everything that is there", () => {
  const text = show({
    subject: "",
    selfIssued: true,
    key: { algorithm: "RSA", curve: null, bits: 2048, sha256: HEX },
    names: [{ type: "dns", value: "a.example" }, { type: "directory", value: "CN=x" }],
    issuerNames: [{ type: "ip", value: "::1" }],
    isCa: true,
    pathLength: 0,
    keyUsage: ["keyCertSign", "crlSign"],
    extendedKeyUsage: ["clientAuth", "1.2.3"],
    permittedNames: [{ type: "dns", value: "example" }],
    excludedNames: [{ type: "ip", value: "0.0.0.0/0" }],
    policies: ["2.23.140.1.2.1", "1.2.3"],
    policyMappings: [{ issuer: "1.2", subject: "1.3" }],
    requireExplicitPolicy: 1,
    inhibitPolicyMapping: 0,
    inhibitAnyPolicy: 2,
    crlLocations: ["http://a/", "http://b/"],
    ocspLocations: ["http://c/"],
    issuerLocations: ["http://d/"],
    subjectKeyId: "aa",
    authorityKeyId: "bb",
    extensions: [
      { oid: "2.5.29.19", name: "basicConstraints", critical: true, shown: true, bytes: 2 },
      { oid: "1.2.3.4", name: null, critical: true, shown: false, bytes: 5 },
      { oid: "1.2.3.5", name: "tlsFeature", critical: false, shown: false, bytes: 6 },
    ],
  });
  assert.equal(
    text,
    `certificate
  subject         (empty)
  issuer          CN=ca (itself, by name)
  serial          01
  from            2026-11-01 11:59:00 UTC
  until           2026-12-01 12:00:00 UTC, in 30 days
  key             RSA, 2048 bits
  signature       Ed25519
  names           dns   a.example
                  directory CN=x
  issuer names    ip    ::1
  CA              yes, with no CA below it
  key usage       keyCertSign, crlSign
  purposes        clientAuth, 1.2.3
  only for names  dns   example
  never for names ip    0.0.0.0/0
  policies        2.23.140.1.2.1 (domain validated)
                  1.2.3
  policy mappings 1.2 is 1.3
  policy needed   after 1 more certificate
  no mappings     after 0 more certificates
  no anyPolicy    after 2 more certificates
  CRL             http://a/
                  http://b/
  OCSP            http://c/
  issuer at       http://d/
  key id          aa
  issuer key id   bb
  critical        basicConstraints, 1.2.3.4
  not shown       1.2.3.4, 5 bytes, critical
                  tlsFeature (1.2.3.5), 6 bytes
  SHA-256         ${HEX}
  SHA-256 of key  ${HEX}
`,
  );
});

test("showCertificate() says how far its ends are away", () => {
  const lineOf = (label: string, nowMs: number) =>
    new RegExp(`^  ${label} +(.*)$`, "m").exec(show({}, nowMs))?.[1];
  const [begin, end] = [Date.parse(PLAIN.notBefore), Date.parse(PLAIN.notAfter)];
  assert.equal(lineOf("from", begin - 3 * DAY_MS), "2026-11-01 11:59:00 UTC, in 3 days");
  assert.equal(lineOf("until", end), "2026-12-01 12:00:00 UTC, in 0 seconds");
  assert.equal(lineOf("until", end + 3 * DAY_MS), "2026-12-01 12:00:00 UTC, expired 3 days ago");
  const caOf = (pathLength: number | null) =>
    /^ {2}CA +(.*)$/m.exec(show({ isCa: true, pathLength }))?.[1];
  assert.equal(caOf(null), "yes");
  assert.equal(caOf(2), "yes, with CAs below it, 2 at most in a chain");
});

test("nothing that a certificate says reaches the terminal as a command", () => {
  const hostile = "a\x1b[2J\x9b31m\u202eb\r\nissuer";
  const harmless = "a\ufffd[2J\ufffd31m\ufffdb\ufffd\ufffdissuer";
  const name = { type: "dns", value: hostile } as const;
  const text = show({
    subject: hostile,
    issuer: hostile,
    names: [name],
    permittedNames: [name],
    crlLocations: [hostile],
    ocspLocations: [hostile],
    policies: [hostile],
  });
  assert.equal(text.split(harmless).length - 1, 7);
  assert.match(text, /^[\n\x20-\x7e\ufffd]*$/);
});

test("a name in a request is shown as text, whatever is in it", () => {
  const algorithm = encodeSequence(encodeOid("1.3.101.112"));
  const attribute = encodeSequence(
    encodeOid("2.5.4.3"),
    encodeElement(TAG.utf8String, utf8("a\x1b]0;x\x07\u202e")),
  );
  const bits = encodeWholeBits(new Uint8Array(32));
  const info = encodeSequence(
    encodeElement(TAG.integer, Uint8Array.of(0)),
    encodeSequence(encodeElement(TAG.set, attribute)),
    encodeSequence(algorithm, bits),
    encodeElement(0xa0),
  );
  const csr = readCsr(encodeSequence(info, algorithm, bits));
  assert.match(
    showRequest(describeRequest(csr), "it"),
    /^ {2}subject +CN=a\ufffd\]0\\;x\ufffd\ufffd$/m,
  );
});

test("showRequest() shows what is asked for, and who asks", () => {
  const request: RequestDescription = {
    subject: "CN=x",
    key: { algorithm: "Ed25519", curve: null, bits: 256, sha256: HEX },
    signatureAlgorithm: "Ed25519",
    signedByKey: true,
    names: [{ type: "dns", value: "x.example" }],
    isCa: true,
    pathLength: null,
    keyUsage: ["keyCertSign"],
    extendedKeyUsage: ["serverAuth"],
    attributes: [
      { oid: "1.2.840.113549.1.9.14", name: "extensionRequest" },
      { oid: "1.2.840.113549.1.9.7", name: "challengePassword" },
      { oid: "1.2.3", name: null },
    ],
    extensions: [],
    sha256: HEX,
  };
  assert.equal(
    showRequest(request, "certification request"),
    `certification request
  subject         CN=x
  key             Ed25519
  signature       Ed25519, by this key
  asks for names  dns   x.example
  asks for CA     yes
  key usage       keyCertSign
  purposes        serverAuth
  attributes      challengePassword, 1.2.3
  SHA-256         ${HEX}
  SHA-256 of key  ${HEX}
`,
  );
  const signature = (signedByKey: boolean | null) =>
    /^ {2}signature +(.*)$/m.exec(showRequest({ ...request, signedByKey }, "it"))?.[1];
  assert.equal(signature(false), "Ed25519, NOT by this key");
  assert.equal(signature(null), "Ed25519, not verified");
  assert.doesNotMatch(showRequest({ ...request, isCa: false }, "it"), /asks for CA/);
});

test("showCrl() shows the first entries, and how many there are", () => {
  const list: CrlDescription = {
    issuer: "CN=ca",
    number: "7",
    deltaBase: null,
    thisUpdate: "2026-11-01T11:00:00Z",
    nextUpdate: "2026-11-01T13:00:00Z",
    period: "current",
    onlyUsers: false,
    onlyCas: false,
    locations: ["http://a/"],
    signatureAlgorithm: "Ed25519",
    authorityKeyId: "aa",
    extensions: [],
    entryCount: 3,
    entries: [
      {
        serial: "01",
        revoked: "2026-10-01T00:00:00Z",
        reason: "superseded",
        invaliditySince: null,
      },
      {
        serial: "02",
        revoked: "2026-10-02T00:00:00Z",
        reason: "keyCompromise",
        invaliditySince: "2026-09-01T00:00:00Z",
      },
    ],
    sha256: HEX,
  };
  const options = { title: "revocation list", nowMs: NOW_MS };
  assert.equal(
    showCrl(list, options),
    `revocation list
  issuer          CN=ca
  number          7
  list            complete
  issued          2026-11-01 11:00:00 UTC
  next due        2026-11-01 13:00:00 UTC, in 60 minutes
  signature       Ed25519
  to be found at  http://a/
  issuer key id   aa
  SHA-256         ${HEX}
  revoked         3
    01  2026-10-01 00:00:00 UTC  superseded
    02  2026-10-02 00:00:00 UTC  keyCompromise, not to be trusted since 2026-09-01 00:00:00 UTC
    and 1 more: --all shows them
`,
  );
  const whole = showCrl({ ...list, entryCount: 2, nextUpdate: null, number: null }, options);
  assert.doesNotMatch(whole, /--all|next due|number/);
  const kind = (changes: Partial<CrlDescription>) =>
    /^ {2}list +(.*)$/m.exec(showCrl({ ...list, ...changes }, options))?.[1];
  assert.equal(
    kind({ deltaBase: "6", onlyUsers: true }),
    "a delta to list 6, of end entities only",
  );
  assert.equal(kind({ onlyCas: true }), "complete, of CAs only");
  const late = showCrl(list, { ...options, nowMs: NOW_MS + 3 * DAY_MS });
  assert.match(late, /next due +2026-11-01 13:00:00 UTC, due 2 days ago/);
});

test("showOcspRequest() and showOcspResponse() show questions and answers", () => {
  const id = { hash: "sha1", issuerNameHash: "aa", issuerKeyHash: "bb" } as const;
  assert.equal(
    showOcspRequest({
      certificates: [{ serial: "01", ...id }, { serial: "02", ...id }],
      nonce: "ff",
    }, "OCSP request"),
    `OCSP request
  asks about      01
                  02
  issuer's hash   sha1
  nonce           ff
`,
  );
  const times = {
    thisUpdate: "2026-11-01T12:00:00Z",
    nextUpdate: "2026-11-01T13:00:00Z",
    period: "current",
  } as const;
  assert.equal(
    showOcspResponse({
      status: "successful",
      responderKeyId: "cc",
      responderName: null,
      produced: "2026-11-01T12:00:00Z",
      nonce: null,
      signatureAlgorithm: "Ed25519",
      certificateCount: 1,
      answers: [
        { serial: "01", ...id, status: "good", revoked: null, reason: null, ...times },
        {
          serial: "02",
          ...id,
          status: "revoked",
          revoked: "2026-10-01T00:00:00Z",
          reason: "superseded",
          ...times,
          nextUpdate: null,
        },
      ],
    }, { title: "OCSP response", nowMs: NOW_MS }),
    `OCSP response
  response        successful
  by              the key cc
  produced        2026-11-01 12:00:00 UTC
  signature       Ed25519
  certificates    1 beside the signature
  01
    status        good
    from          2026-11-01 12:00:00 UTC
    until         2026-11-01 13:00:00 UTC, in 60 minutes
  02
    status        revoked
    revoked       2026-10-01 00:00:00 UTC, superseded
    from          2026-11-01 12:00:00 UTC
`,
  );
});
