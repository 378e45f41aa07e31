import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_PROFILES, type ServerProfile } from "../../lib/ca/profile.ts";
import {
  describeOwnServer,
  describeServer,
  describeService,
  describeUser,
  isOfDomain,
} from "../../lib/ca/subject.ts";
import { DOMAIN } from "../fakes/ca.ts";

const WILD: ServerProfile = { ...DEFAULT_PROFILES.server, areWildcardsAllowed: true };
const NARROW: ServerProfile = { ...WILD, dnsSuffixes: ["example.org", "example.net"] };
const NO_ADDRESSES: ServerProfile = { ...WILD, areAddressesAllowed: false };
const LONG = `${"a".repeat(60)}.example.org`;

const reserved = (name: string) => ({
  kind: "refused",
  message: `cannot certify "${name}": it is reserved in the trust domain ${DOMAIN}`,
});
const noName = (name: string) => ({
  kind: "usage",
  message: `cannot certify ${JSON.stringify(name)}: not a DNS name`,
});

const ROWS: readonly {
  readonly dns?: readonly string[];
  readonly addresses?: readonly string[];
  readonly profile?: ServerProfile;
  readonly refused?: { readonly kind: string; readonly message: string };
}[] = [
  {
    refused: {
      kind: "usage",
      message: 'cannot certify: profile "server" needs a DNS name or an address',
    },
  },
  {
    dns: Array.from({ length: 101 }, (_, i) => `h${i}.example.org`),
    refused: { kind: "usage", message: "cannot certify: 101 names, at most 100 accepted" },
  },
  { dns: Array.from({ length: 100 }, (_, i) => `h${i}.example.org`) },
  ...[
    "",
    ".",
    "a..b",
    "-a.example.org",
    "a-.example.org",
    "a_b.example.org",
    "www.example.org.",
    "www.example.org\0",
    "bücher.example",
    "192.0.2.1",
    "spiffe://x/y",
    `${"a".repeat(64)}.example.org`,
    `${"a.".repeat(126)}aa`,
    "*",
    "*.",
    "**.example.org",
    "a.*.example.org",
    "w*.example.org",
    "*.*.example.org",
  ].map((name) => ({ dns: ["good.example.org", name], refused: noName(name) })),
  ...[
    `server.${DOMAIN}`,
    `x.server.${DOMAIN}`,
    `user.${DOMAIN}`,
    `alice.user.${DOMAIN}`,
    `a.b.user.${DOMAIN}`,
    `service.${DOMAIN}`,
    `backup.service.${DOMAIN}`,
    `*.${DOMAIN}`,
    `*.user.${DOMAIN}`,
    `*.a.user.${DOMAIN}`,
    `*.service.${DOMAIN}`,
    `*.server.${DOMAIN}`,
  ].map((name) => ({ dns: [name], refused: reserved(name) })),
  { dns: [`SERVER.${DOMAIN}`], refused: reserved(`server.${DOMAIN}`) },
  {
    dns: [`www.${DOMAIN}`, DOMAIN, `myserver.${DOMAIN}`, `superuser.${DOMAIN}`, `*.www.${DOMAIN}`],
  },
  {
    dns: ["*.example.org"],
    profile: DEFAULT_PROFILES.server,
    refused: {
      kind: "refused",
      message: 'cannot certify "*.example.org": profile "server" does not allow wildcards',
    },
  },
  {
    dns: ["*.org"],
    refused: { kind: "refused", message: 'cannot certify "*.org": its wildcard covers too much' },
  },
  { dns: ["*.example.org"] },
  {
    dns: ["www.example.com"],
    profile: NARROW,
    refused: {
      kind: "refused",
      message:
        'cannot certify "www.example.com": profile "server" allows names of example.org, example.net only',
    },
  },
  {
    dns: ["badexample.org"],
    profile: NARROW,
    refused: {
      kind: "refused",
      message:
        'cannot certify "badexample.org": profile "server" allows names of example.org, example.net only',
    },
  },
  { dns: ["www.example.net", "example.org", "*.example.org"], profile: NARROW },
  {
    addresses: ["192.0.2.1"],
    profile: NO_ADDRESSES,
    refused: {
      kind: "refused",
      message: 'cannot certify "192.0.2.1": profile "server" does not allow addresses',
    },
  },
  {
    addresses: ["192.0.2.0/24"],
    refused: {
      kind: "usage",
      message: 'cannot use address "192.0.2.0/24": not an IP address',
    },
  },
  { addresses: ["192.0.2.1", "::1"] },
];

for (const { dns = [], addresses = [], profile = WILD, refused } of ROWS) {
  const shown = JSON.stringify([...dns.slice(-1), ...addresses.slice(-1)]);
  test(`describeServer() ${refused ? "refuses" : "accepts"} ${shown} (${dns.length})`, () => {
    const describe = () => describeServer({ dns, addresses }, { profile, domain: DOMAIN });
    if (refused) assert.throws(describe, refused);
    else assert.equal(describe().dns.length, dns.length);
  });
}

test("describeServer() takes each name once, in lower case, the first one that fits as CN", () => {
  const names = { dns: ["WWW.Example.org", "www.example.org"], addresses: ["::1", "0:0::1"] };
  assert.deepEqual(describeServer(names, { profile: WILD, domain: DOMAIN }), {
    commonName: "www.example.org",
    uris: [],
    dns: ["www.example.org"],
    addresses: [Uint8Array.of(...new Uint8Array(15), 1)],
  });
  const long = describeServer({ dns: [LONG], addresses: [] }, { profile: WILD, domain: DOMAIN });
  assert.equal("commonName" in long, false);
  const none = describeServer({ dns: [], addresses: ["::1"] }, { profile: WILD, domain: DOMAIN });
  assert.equal("commonName" in none, false);
});

test("users, services and the domain's own server have fixed names", () => {
  assert.deepEqual(describeUser("a.b", DOMAIN), {
    commonName: "a.b",
    uris: [`spiffe://${DOMAIN}/user/a.b`],
    dns: [`a.b.user.${DOMAIN}`],
    addresses: [],
  });
  assert.deepEqual(describeService("backup", DOMAIN), {
    commonName: "backup",
    uris: [`spiffe://${DOMAIN}/service/backup`],
    dns: [`backup.service.${DOMAIN}`],
    addresses: [],
  });
  assert.deepEqual(describeOwnServer(DOMAIN), {
    commonName: `server.${DOMAIN}`,
    uris: [`spiffe://${DOMAIN}/server`],
    dns: [`server.${DOMAIN}`],
    addresses: [],
  });
  const long = `${"a".repeat(63)}.internal`;
  assert.equal("commonName" in describeOwnServer(long), false);
  for (const describe of [describeUser, describeService]) {
    assert.throws(() => describe("../x", DOMAIN), { kind: "usage" });
  }
});

for (
  const { dns = [], addresses = [], isOf } of [
    { dns: [DOMAIN], isOf: true },
    { dns: [`www.${DOMAIN}`, `*.www.${DOMAIN}`], isOf: true },
    { dns: [`www.${DOMAIN}`, "www.example.org"], isOf: false },
    { dns: [`not${DOMAIN}`], isOf: false },
    { dns: ["*.example.org"], isOf: false },
    { addresses: ["10.0.0.1"], isOf: false },
    { dns: [DOMAIN], addresses: ["10.0.0.1"], isOf: false },
  ]
) {
  test(`isOfDomain() is ${isOf} for ${JSON.stringify([dns, addresses])}`, () => {
    const subject = describeServer({ dns, addresses }, { profile: WILD, domain: "other.example" });
    assert.equal(isOfDomain(subject, DOMAIN), isOf);
  });
}
