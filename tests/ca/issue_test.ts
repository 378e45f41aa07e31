import assert from "node:assert/strict";
import { test } from "node:test";
import {
  issueCertificate,
  type IssueRequest,
  prepareCertificate,
  type ProfileName,
} from "../../lib/ca/issue.ts";
import { OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import type { CertificateTemplate } from "../../lib/x509/make.ts";
import { DOMAIN, makeTestCa, NOW_MS } from "../fakes/ca.ts";

const DAY_MS = 86_400_000;
const ca = await makeTestCa();
const key = await generatePrivateKey("p256");
const GOOD: IssueRequest = {
  profile: "user",
  domain: DOMAIN,
  id: "alice",
  spki: encodeSpki(key),
  nowMs: NOW_MS + 999,
  random: new Uint8Array(20).fill(7),
  issuerNotAfterMs: ca.issuing.certificate.notAfterMs,
};

const { id: _, ...NO_ID } = GOOD;
const NOT_AN_ID = { kind: "usage", message: "cannot use id: not a possible id" };
const EXPIRED = {
  kind: "internal",
  message: "cannot issue: the issuing CA's own certificate has expired",
};

const ROWS: readonly {
  readonly name: string;
  readonly request: IssueRequest;
  readonly refused?: { readonly kind: string; readonly message: string };
}[] = [
  { name: "a user without an id", request: NO_ID, refused: NOT_AN_ID },
  {
    name: "an id that is a path",
    request: { ...GOOD, id: "../x" },
    refused: { kind: "usage", message: 'cannot use id "../x": not a possible id' },
  },
  { name: "an id with NUL", request: { ...GOOD, id: "alice\0" }, refused: NOT_AN_ID },
  {
    name: "a domain of one label",
    request: { ...GOOD, domain: "internal" },
    refused: {
      kind: "usage",
      message: 'cannot use trust domain "internal": not a domain name',
    },
  },
  {
    name: "a key that is none",
    request: { ...GOOD, spki: new Uint8Array() },
    refused: { kind: "malformed", message: "cannot read DER: it ends too early" },
  },
  {
    name: "too few random bytes",
    request: { ...GOOD, random: new Uint8Array(19) },
    refused: { kind: "internal", message: "a serial number needs 20 random bytes" },
  },
  {
    name: "an issuer that ends now",
    request: { ...GOOD, issuerNotAfterMs: GOOD.nowMs },
    refused: EXPIRED,
  },
  { name: "an issuer that has ended", request: { ...GOOD, issuerNotAfterMs: 0 }, refused: EXPIRED },
  { name: "a good request", request: GOOD },
];

for (const { name, request, refused } of ROWS) {
  test(`prepareCertificate() ${refused ? "refuses" : "accepts"} ${name}`, () => {
    if (refused) assert.throws(() => prepareCertificate(request), refused);
    else assert.equal(Object.isFrozen(prepareCertificate(request)), true);
  });
}

test("prepareCertificate() counts days from whole seconds, begins early, ends with the issuer", () => {
  const { notBeforeMs, notAfterMs } = prepareCertificate(GOOD);
  assert.equal(notBeforeMs, NOW_MS - 60_000);
  assert.equal(notAfterMs, NOW_MS + 30 * DAY_MS);
  const issuerNotAfterMs = NOW_MS + DAY_MS;
  assert.equal(prepareCertificate({ ...GOOD, issuerNotAfterMs }).notAfterMs, issuerNotAfterMs);
});

const NOTHING = { dns: [], emails: [], uris: [], ranges: [] };

const PROFILE_ROWS: Readonly<
  Record<ProfileName, {
    readonly days: number;
    readonly commonName: string;
    readonly uris: readonly string[];
    readonly dns: readonly string[];
    readonly usages: readonly string[];
    readonly addresses?: readonly Uint8Array[];
    readonly policies?: readonly string[];
    readonly ca?: CertificateTemplate["ca"];
  }>
> = {
  root: {
    days: 7300,
    commonName: `${DOMAIN} root`,
    uris: [],
    dns: [],
    usages: [],
    ca: { pathLength: 1 },
  },
  issuing: {
    days: 1825,
    commonName: `${DOMAIN} issuing CA`,
    uris: [],
    dns: [],
    usages: [],
    policies: ["2.5.29.32.0"],
    ca: {
      pathLength: 0,
      constraints: {
        permitted: { ...NOTHING, dns: [DOMAIN], emails: [DOMAIN] },
        excluded: { ...NOTHING, ranges: [new Uint8Array(8), new Uint8Array(32)] },
      },
    },
  },
  outside: {
    days: 1825,
    commonName: `${DOMAIN} outside CA`,
    uris: [],
    dns: [],
    usages: [],
    policies: ["2.5.29.32.0"],
    ca: {
      pathLength: 0,
      constraints: {
        permitted: {
          ...NOTHING,
          dns: ["example.org"],
          emails: ["example.org"],
          ranges: [Uint8Array.of(10, 0, 0, 0, 255, 0, 0, 0)],
        },
        excluded: { ...NOTHING, uris: [DOMAIN], ranges: [new Uint8Array(32)] },
      },
    },
  },
  user: {
    days: 30,
    commonName: "alice",
    uris: [`spiffe://${DOMAIN}/user/alice`],
    dns: [`alice.user.${DOMAIN}`],
    addresses: [],
    usages: [OID.clientAuth, OID.serverAuth],
  },
  server: {
    days: 90,
    commonName: `server.${DOMAIN}`,
    uris: [`spiffe://${DOMAIN}/server`],
    dns: [`server.${DOMAIN}`],
    addresses: [],
    usages: [OID.serverAuth],
  },
};

for (const profile of Object.keys(PROFILE_ROWS) as ProfileName[]) {
  test(`prepareCertificate() says of a ${profile} exactly what its profile says`, () => {
    const { issuerNotAfterMs: _, ...request } = GOOD;
    const { days, usages, ...fields } = PROFILE_ROWS[profile];
    const permitted = { dns: ["Example.org"], addresses: ["10.0.0.0/8"] };
    assert.deepEqual(prepareCertificate({ ...request, profile, permitted }), {
      serial: Uint8Array.of(0x47, ...new Uint8Array(19).fill(7)),
      notBeforeMs: NOW_MS - 60_000,
      notAfterMs: NOW_MS + days * DAY_MS,
      spki: GOOD.spki,
      extendedKeyUsage: usages,
      ...fields,
    });
  });
}

test("issueCertificate() signs what was prepared", async () => {
  const template = prepareCertificate(GOOD);
  const made = parseCertificate(await issueCertificate(template, ca.issuing));
  assert.equal(made.serial, `47${"07".repeat(19)}`);
  assert.deepEqual(made.commonNames, ["alice"]);
  assert.deepEqual(made.names, [
    { type: "uri", value: `spiffe://${DOMAIN}/user/alice` },
    { type: "dns", value: `alice.user.${DOMAIN}` },
  ]);
  assert.deepEqual(made.issuer, ca.issuing.certificate.subject);
});

test("issueCertificate() gives nobody what is not as it was prepared", () => {
  const template = prepareCertificate(GOOD);
  const half = { ...template, notAfterMs: template.notAfterMs + 500 }; // X.509 has whole seconds
  assert.throws(() => issueCertificate(half, ca.issuing), {
    kind: "internal",
    message: "cannot sign: another end",
  });
});
