import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { fingerprintOf, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { checkRoot, domainOf, judgeServer, judgeUser } from "../../lib/x509/chain.ts";
import { contextTag, encodeElement } from "../../lib/x509/der.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { x509 } from "../../lib/x509/provider.ts";
import {
  DOMAIN,
  type Draft,
  draftIssuing,
  draftRoot,
  draftServer,
  draftUser,
  flipBit,
  type Holder,
  HOUR_MS,
  issue,
  makeTestCa,
  makeUser,
  nameConstraints,
  NOW_MS,
  signDraft,
  unknownExtension,
} from "../fakes/ca.ts";

const ca = await makeTestCa();
const { root, issuing, judging } = ca;
const [issuingDer, rootDer] = [issuing.certificate.der, root.certificate.der];
const key = await generatePrivateKey("p256");
const otherKey = await generatePrivateKey("p256");
const user = draftUser("alice", key);
const [userUri, userDns] = user.names;
const good = await signDraft(user, issuing);

function untrusted(what: string): { kind: string; message: string } {
  return { kind: "untrusted", message: `cannot trust certificate: ${what}` };
}

interface Row {
  readonly name: string;
  readonly shown: () => Promise<readonly Bytes[]> | readonly Bytes[];
  /** Why it is refused; none for a good row. */
  readonly refused?: string;
  readonly nowMs?: number;
}

/** A leaf of the issuing CA that says something else than it should. */
function leaf(deviation: Partial<Draft>): () => Promise<readonly Bytes[]> {
  return async () => [await signDraft({ ...user, ...deviation }, issuing), issuingDer];
}

/** A good leaf of an issuing CA that says something else than it should. */
function below(deviation: Partial<Draft>, names = user.names) {
  return async (): Promise<readonly Bytes[]> => {
    const der = await signDraft({ ...draftIssuing(issuing.key), ...deviation }, root);
    const holder: Holder = { key: issuing.key, certificate: parseCertificate(der) };
    return [await signDraft({ ...user, names }, holder), der];
  };
}

/** A CA with the issuing CA's names and key identifier that somebody else made. */
function impostorOfIssuing(): Promise<Bytes> {
  return signDraft(
    {
      ...draftIssuing(otherKey),
      subjectKeyId: encodeHex(issuing.certificate.subjectKeyId!),
      issuerName: `${DOMAIN} root`,
    },
    { key: otherKey, certificate: root.certificate },
  );
}

function uris(...values: readonly string[]): Partial<Draft> {
  return { names: values.map((value) => ({ type: "url" as const, value })) };
}

const encodedName = (tag: number, value: Uint8Array) =>
  encodeElement(contextTag(tag, false), value);
const NAME_FORBIDDEN = "it has a name that its issuing CA must not certify";
const NO_USER = "it is not a user's";
const NOT_OURS = "it is not of this CA";

const ROWS: readonly Row[] = [
  { name: "no certificate", shown: () => [], refused: "none was shown" },
  { name: "a leaf alone", shown: () => [good], refused: NOT_OURS },
  { name: "the issuing CA first", shown: () => [issuingDer, good], refused: NOT_OURS },
  { name: "the root alone", shown: () => [rootDer, rootDer], refused: NOT_OURS },
  { name: "the issuing CA as the leaf", shown: () => [issuingDer, rootDer], refused: NOT_OURS },
  {
    name: "a leaf directly under the root",
    shown: async () => [await signDraft(user, root), rootDer],
    refused: NOT_OURS,
  },
  {
    name: "a leaf directly under the root, with the issuing CA",
    shown: async () => [await signDraft(user, root), issuingDer],
    refused: NOT_OURS,
  },
  {
    name: "a CA below the issuing CA",
    shown: async () => {
      const draft = { ...draftIssuing(otherKey), commonName: "sub" };
      const sub = await signDraft(draft, issuing);
      const holder = { key: otherKey, certificate: parseCertificate(sub) };
      return [await signDraft(user, holder), sub, issuingDer];
    },
    refused: NOT_OURS,
  },
  {
    name: "a chain of another CA with the same names",
    shown: async () => (await makeUser(await makeTestCa(), { id: "alice" })).shown,
    refused: NOT_OURS,
  },
  {
    name: "an issuing CA of another root with the same names and key identifiers",
    shown: async () => {
      const impostor = await impostorOfIssuing();
      const holder = { key: otherKey, certificate: parseCertificate(impostor) };
      return [await signDraft(user, holder), impostor];
    },
    refused: "the signature of the issuing CA is not by its issuer",
  },
  {
    name: "a leaf that another key signed in the issuing CA's name",
    shown: async () => [
      await signDraft(user, { key: otherKey, certificate: issuing.certificate }),
      issuingDer,
    ],
    refused: "the signature of it is not by its issuer",
  },
  {
    name: "a flipped signature",
    shown: () => [flipBit(good, -1), issuingDer],
    refused: "the signature of it is not by its issuer",
  },
  { name: "another issuer's name", shown: leaf({ issuerName: "x" }), refused: NOT_OURS },
  { name: "no authority key identifier", shown: leaf({ authorityKeyId: null }), refused: NOT_OURS },
  {
    name: "another authority key identifier",
    shown: leaf({ authorityKeyId: "00".repeat(20) }),
    refused: NOT_OURS,
  },
  {
    name: "an issuing CA without a subject key identifier",
    shown: below({ subjectKeyId: null }),
    refused: NOT_OURS,
  },
  {
    name: "a certificate that begins in a second",
    shown: leaf({ notBeforeMs: NOW_MS + 1000 }),
    refused: "it is not valid before 2026-11-01T12:00:01.000Z",
  },
  {
    name: "a certificate that ended a second ago",
    shown: leaf({ notAfterMs: NOW_MS - 1000 }),
    refused: "it expired 2026-11-01T11:59:59.000Z",
  },
  { name: "a certificate that begins now", shown: leaf({ notBeforeMs: NOW_MS }) },
  { name: "a certificate that ends now", shown: leaf({ notAfterMs: NOW_MS }) },
  {
    name: "a certificate in the last second of its validity",
    shown: leaf({ notAfterMs: NOW_MS }),
    nowMs: NOW_MS + 999,
  },
  {
    name: "a certificate that begins within this second",
    shown: leaf({ notBeforeMs: NOW_MS + 1000 }),
    nowMs: NOW_MS + 999,
    refused: "it is not valid before 2026-11-01T12:00:01.000Z",
  },
  {
    name: "an issuing CA that is not valid yet",
    shown: below({ notBeforeMs: NOW_MS + 1000 }),
    refused: "the issuing CA is not valid before 2026-11-01T12:00:01.000Z",
  },
  {
    name: "an issuing CA that has expired",
    shown: below({ notAfterMs: NOW_MS - 1000 }),
    refused: "the issuing CA expired 2026-11-01T11:59:59.000Z",
  },
  {
    name: "a chain of a root that is not valid yet",
    shown: () => [good, issuingDer],
    nowMs: NOW_MS - 25 * HOUR_MS,
    refused: "the root is not valid before 2026-11-01T11:59:00.000Z",
  },
  {
    name: "a chain of a root that has expired",
    shown: () => [good, issuingDer],
    nowMs: root.certificate.notAfterMs + 1000,
    refused: "the root expired 2046-10-27T12:00:00.000Z",
  },
  {
    name: "an unknown critical extension",
    shown: leaf({ more: [unknownExtension({ isCritical: true })] }),
    refused: "it has the unknown critical extension 1.3.6.1.4.1.99999.1",
  },
  {
    name: "an unknown critical extension of the issuing CA",
    shown: below({ more: [unknownExtension({ isCritical: true })] }),
    refused: "the issuing CA has the unknown critical extension 1.3.6.1.4.1.99999.1",
  },
  {
    name: "an unknown extension that is not critical",
    shown: leaf({ more: [unknownExtension({ isCritical: false })] }),
  },
  {
    name: "an issuing CA without the CA bit",
    shown: below({ basicConstraints: { isCa: false, isCritical: true } }),
    refused: "the issuing CA is not a CA",
  },
  {
    name: "an issuing CA without basic constraints",
    shown: below({ basicConstraints: null }),
    refused: "the issuing CA is not a CA",
  },
  {
    name: "an issuing CA whose basic constraints are not critical",
    shown: below({ basicConstraints: { isCa: true, pathLength: 0, isCritical: false } }),
    refused: "the issuing CA is not a CA",
  },
  {
    name: "an issuing CA without keyCertSign",
    shown: below({ keyUsage: x509.KeyUsageFlags.cRLSign }),
    refused: "the issuing CA must not sign certificates",
  },
  {
    name: "an issuing CA without key usage",
    shown: below({ keyUsage: null }),
    refused: "the issuing CA must not sign certificates",
  },
  {
    name: "an issuing CA without a path length",
    shown: below({ basicConstraints: { isCa: true, isCritical: true } }),
  },
  {
    name: "a leaf that is a CA",
    shown: leaf({ basicConstraints: { isCa: true, isCritical: true } }),
    refused: "it is a CA's, not a user's or a server's",
  },
  { name: "a leaf without basic constraints", shown: leaf({ basicConstraints: null }) },
  {
    name: "a key that must not sign",
    shown: leaf({ keyUsage: x509.KeyUsageFlags.keyAgreement }),
    refused: "its key must not be used for signatures",
  },
  {
    name: "no key usage",
    shown: leaf({ keyUsage: null }),
    refused: "its key must not be used for signatures",
  },
  {
    name: "no extended key usage",
    shown: leaf({ extendedKeyUsage: null }),
    refused: "it is not meant for this use",
  },
  {
    name: "client authentication only",
    shown: leaf({ extendedKeyUsage: [OID.clientAuth] }),
    refused: "it is not meant for this use",
  },
  {
    name: "server authentication only",
    shown: leaf({ extendedKeyUsage: [OID.serverAuth] }),
    refused: "it is not meant for this use",
  },
  {
    name: "any usage (RFC 5280, section 4.2.1.12)",
    shown: leaf({ extendedKeyUsage: ["2.5.29.37.0"] }),
    refused: "it is not meant for this use",
  },
  {
    name: "usages that are more than needed",
    shown: leaf({ extendedKeyUsage: ["1.3.6.1.5.5.7.3.4", OID.serverAuth, OID.clientAuth] }),
  },
  { name: "no names", shown: leaf({ names: [] }), refused: NO_USER },
  { name: "a DNS name only", shown: leaf({ names: [userDns!] }), refused: NO_USER },
  {
    name: "two URIs",
    shown: leaf(uris(userUri!.value, `spiffe://${DOMAIN}/user/bob`)),
    refused: NO_USER,
  },
  {
    name: "the same URI twice",
    shown: leaf(uris(userUri!.value, userUri!.value)),
    refused: NO_USER,
  },
  {
    name: "a URI of another domain",
    shown: leaf(uris("spiffe://pki.example/user/alice")),
    refused: NO_USER,
  },
  {
    name: "a URI of a host",
    shown: leaf(uris("https://pki.internal/user/alice")),
    refused: NO_USER,
  },
  {
    name: "a URI that goes on",
    shown: leaf(uris(`spiffe://${DOMAIN}/user/alice/x`)),
    refused: NO_USER,
  },
  { name: "the server's URI", shown: leaf(uris(`spiffe://${DOMAIN}/server`)), refused: NO_USER },
  {
    name: "a DNS name of another domain",
    shown: leaf({ names: [userUri!, { type: "dns", value: "www.example.org" }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "a DNS name that only ends like the domain",
    shown: leaf({ names: [userUri!, { type: "dns", value: `x${DOMAIN}` }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "an IPv4 address",
    shown: leaf({ names: [userUri!, { type: "ip", value: "127.0.0.1" }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "an IPv6 address",
    shown: leaf({ names: [userUri!, { type: "ip", value: "::1" }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "an e-mail address of another domain",
    shown: leaf({ names: [userUri!, { type: "email", value: "alice@example.org" }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "an e-mail address of a host in the domain",
    shown: leaf({ names: [userUri!, { type: "email", value: `alice@x.${DOMAIN}` }] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "names of the domain in upper case",
    shown: leaf({
      names: [
        userUri!,
        { type: "dns", value: "X.PKI.Internal" },
        { type: "email", value: "Alice@PKI.Internal" },
      ],
    }),
  },
  {
    name: "a DNS name outside an issuing CA's excluded subtree",
    shown: below({ more: [nameConstraints({ excluded: [encodedName(2, utf8("x.internal"))] })] }),
  },
  {
    name: "a DNS name inside an issuing CA's excluded subtree",
    shown: below({ more: [nameConstraints({ excluded: [encodedName(2, utf8(DOMAIN))] })] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "a URI under an issuing CA with a constraint of another host's URIs",
    shown: below({ more: [nameConstraints({ permitted: [encodedName(6, utf8(`x.${DOMAIN}`))] })] }),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "a URI under an issuing CA with a constraint of its host's URIs",
    shown: below({ more: [nameConstraints({ permitted: [encodedName(6, utf8(DOMAIN))] })] }),
  },
  {
    name: "an address in an issuing CA's permitted range",
    shown: below({
      more: [
        nameConstraints({
          permitted: [encodedName(7, Uint8Array.of(10, 1, 0, 0, 255, 255, 0, 0))],
        }),
      ],
    }, [userUri!, { type: "ip", value: "10.1.2.3" }]),
  },
  {
    name: "an address outside an issuing CA's permitted range",
    shown: below({
      more: [
        nameConstraints({
          permitted: [encodedName(7, Uint8Array.of(10, 1, 0, 0, 255, 255, 0, 0))],
        }),
      ],
    }, [userUri!, { type: "ip", value: "10.2.2.3" }]),
    refused: NAME_FORBIDDEN,
  },
  {
    name: "the issuing CA behind more certificates than are looked at",
    shown: () => [good, good, rootDer, good, good, issuingDer],
    refused: NOT_OURS,
  },
  {
    name: "the issuing CA as the last that is looked at",
    shown: () => [good, good, rootDer, good, issuingDer],
  },
  { name: "the root in front of the issuing CA", shown: () => [good, rootDer, issuingDer] },
  {
    name: "something malformed in front of the issuing CA",
    shown: () => [good, utf8("x"), issuingDer.subarray(0, -1), issuingDer],
  },
  {
    name: "something malformed in place of the issuing CA",
    shown: () => [good, issuingDer.subarray(0, -1)],
    refused: NOT_OURS,
  },
  {
    name: "an impostor of the issuing CA in front of it",
    shown: async () => [good, await impostorOfIssuing(), issuingDer],
  },
  {
    name: "garbage behind what is looked at",
    shown: () => [good, issuingDer, good, good, good, utf8("x")],
  },
  { name: "a common name of the server", shown: leaf({ commonName: `server.${DOMAIN}` }) },
  { name: "the common name of another user", shown: leaf({ commonName: "bob" }) },
  { name: "exactly what the program makes", shown: () => [good, issuingDer] },
];

for (const { name, shown, refused, nowMs = NOW_MS } of ROWS) {
  test(`judgeUser() ${refused === undefined ? "accepts" : "refuses"} ${name}`, async () => {
    const ders = await shown();
    const judge = () => judgeUser(ders, { ...judging, nowMs });
    if (refused !== undefined) return assert.throws(judge, untrusted(refused));
    const judged = judge();
    assert.equal(judged.id, "alice");
    assert.deepEqual(judged.leaf.der, ders[0]);
    assert.deepEqual(judged.issuing.basicConstraints?.isCa, true);
  });
}

test("judgeUser() accepts no other issuing CA of the root than those that are pinned", async () => {
  const otherDer = await signDraft(draftIssuing(otherKey), root);
  const other: Holder = { key: otherKey, certificate: parseCertificate(otherDer) };
  const shownByOther = [await signDraft(user, other), otherDer];
  const pinning = (...ders: readonly Bytes[]) => ({
    ...judging,
    anchor: { ...judging.anchor, issuers: new Set(ders.map((der) => fingerprintOf(der))) },
  });
  const refusal = {
    ...untrusted("the issuing CA is not one that is pinned"),
    hint: /^a new one is learnt from the server .* and use pki trust$/,
  };
  assert.equal(judgeUser(shownByOther, judging).id, "alice");
  assert.throws(() => judgeUser(shownByOther, pinning(issuingDer)), refusal);
  assert.throws(() => judgeUser(shownByOther, pinning()), refusal);
  assert.equal(judgeUser(shownByOther, pinning(issuingDer, otherDer)).id, "alice");
  assert.equal(judgeUser([good, issuingDer], pinning(issuingDer)).id, "alice");
  const { shown } = await makeUser(ca, { id: "alice" });
  assert.throws(() => judgeServer(shown, pinning(otherDer)), {
    message: "cannot trust certificate: the issuing CA is not one that is pinned",
  });
});

test("judgeUser() accepts no issuing CA that the root has revoked", () => {
  const { serial } = issuing.certificate;
  const knowing = (...serials: readonly string[]) => ({
    ...judging,
    anchor: { ...judging.anchor, revokedIssuers: new Set(serials) },
  });
  assert.equal(judgeUser([good, issuingDer], knowing()).id, "alice");
  assert.equal(judgeUser([good, issuingDer], knowing(`${serial}00`)).id, "alice");
  assert.throws(() => judgeUser([good, issuingDer], knowing(serial)), {
    ...untrusted("the root has revoked the issuing CA"),
    hint: "its owner gets a new one with: pki csr",
  });
});

test("judgeUser() judges a known issuing CA again, each time that it is shown", async () => {
  const shown = [await signDraft({ ...user, notAfterMs: NOW_MS + 9e11 }, issuing), issuingDer];
  assert.equal(judgeUser(shown, judging).id, "alice");
  const { notAfterMs } = issuing.certificate;
  assert.equal(judgeUser(shown, { ...judging, nowMs: notAfterMs }).id, "alice");
  assert.throws(
    () => judgeUser(shown, { ...judging, nowMs: notAfterMs + 1000 }),
    untrusted(`the issuing CA expired ${new Date(notAfterMs).toISOString()}`),
  );
  assert.throws(
    () => judgeUser([good, flipBit(issuingDer, -1)], judging),
    untrusted("the signature of the issuing CA is not by its issuer"),
  );
});

for (const id of ["a.b", "alice.user.pki.internal", "a-b.c", "server", "0", "a".repeat(63)]) {
  test(`judgeUser() finds the id ${id}`, async () => {
    const { shown } = await makeUser(ca, { id });
    assert.equal(judgeUser(shown, judging).id, id);
  });
}

test("judgeUser() tells users of one CA from those of another domain's", async () => {
  const other = await makeTestCa({ domain: "pki.example" });
  const { shown } = await makeUser(other, { id: "alice" });
  assert.equal(judgeUser(shown, other.judging).id, "alice");
  assert.throws(() => judgeUser(shown, judging), untrusted(NOT_OURS));
  // The right root, asked for another domain.
  const anchor = { root: other.root.certificate, domain: DOMAIN };
  assert.throws(() => judgeUser(shown, { anchor, nowMs: NOW_MS }), untrusted(NO_USER));
});

const MALFORMED: readonly { readonly name: string; readonly shown: readonly Bytes[] }[] = [
  { name: "no bytes", shown: [new Uint8Array()] },
  { name: "text", shown: [utf8("certificate"), issuingDer] },
  {
    name: "a leaf with a byte behind it",
    shown: [concatBytes(good, Uint8Array.of(0)), issuingDer],
  },
  { name: "a leaf that lacks a byte", shown: [good.subarray(0, -1), issuingDer] },
  { name: "too many bytes", shown: [new Uint8Array(16_385), issuingDer] },
];

for (const { name, shown } of MALFORMED) {
  test(`judgeUser() and judgeServer() do not trust ${name}`, () => {
    for (const judge of [judgeUser, judgeServer]) {
      assert.throws(() => judge(shown, judging), (error) => {
        assert.ok(error instanceof PkiError);
        assert.equal(error.kind, "untrusted");
        assert.match(error.message, /^cannot read (DER|certificate): /);
        return true;
      });
    }
  });
}

test("judgeUser() trusts no certificate with any one bit flipped, leaf or issuing CA", () => {
  const chain = [good, issuingDer] as const;
  const which = fc.constantFrom(0 as const, 1 as const);
  fc.assert(
    fc.property(which, fc.nat(2000), fc.nat(7), (which, index, bit) => {
      const shown = [...chain];
      shown[which] = flipBit(chain[which], index % chain[which].length, bit);
      assert.throws(() => judgeUser(shown, judging), { kind: "untrusted" });
    }),
    { numRuns: 1500 },
  );
});

test("judgeUser() says what to do about a clock and an expired certificate", () => {
  const shown = [good, issuingDer];
  assert.throws(() => judgeUser(shown, { ...judging, nowMs: NOW_MS - 25 * HOUR_MS }), {
    hint: "compare the clocks of both machines",
  });
  assert.throws(() => judgeUser(shown, { ...judging, nowMs: NOW_MS + 2 * HOUR_MS }), {
    message: "cannot trust certificate: it expired 2026-11-01T13:00:00.000Z",
    hint: "its owner gets a new one with: pki csr",
  });
});

const server = draftServer(key);
const [serverUri, serverDns] = server.names;

function serverLeaf(deviation: Partial<Draft>): () => Promise<readonly Bytes[]> {
  return async () => [await signDraft({ ...server, ...deviation }, issuing), issuingDer];
}

const NO_SERVER = "it is not the server's";
const SERVER_ROWS: readonly Row[] = [
  { name: "no certificate", shown: () => [], refused: "none was shown" },
  { name: "a user", shown: () => [good, issuingDer], refused: NO_SERVER },
  {
    name: "a user whose common name is the server's",
    shown: leaf({ commonName: `server.${DOMAIN}` }),
    refused: NO_SERVER,
  },
  {
    name: "the user called server",
    shown: async () => (await makeUser(ca, { id: "server" })).shown,
    refused: NO_SERVER,
  },
  { name: "no names", shown: serverLeaf({ names: [] }), refused: NO_SERVER },
  { name: "the URI only", shown: serverLeaf({ names: [serverUri!] }), refused: NO_SERVER },
  { name: "the DNS name only", shown: serverLeaf({ names: [serverDns!] }), refused: NO_SERVER },
  {
    name: "the DNS name twice",
    shown: serverLeaf({ names: [serverDns!, serverDns!] }),
    refused: NO_SERVER,
  },
  {
    name: "one DNS name more",
    shown: serverLeaf({ names: [...server.names, userDns!] }),
    refused: NO_SERVER,
  },
  {
    name: "a user's URI with the server's DNS name",
    shown: serverLeaf({ names: [userUri!, serverDns!] }),
    refused: NO_SERVER,
  },
  {
    name: "client authentication only",
    shown: serverLeaf({ extendedKeyUsage: [OID.clientAuth] }),
    refused: "it is not meant for this use",
  },
  {
    name: "a key that must not sign",
    shown: serverLeaf({ keyUsage: x509.KeyUsageFlags.keyEncipherment }),
    refused: "its key must not be used for signatures",
  },
  {
    name: "an expired certificate",
    shown: serverLeaf({ notAfterMs: NOW_MS - 1000 }),
    refused: "it expired 2026-11-01T11:59:59.000Z",
  },
  {
    name: "a server of another CA with the same names",
    shown: async () => {
      const other = await makeTestCa();
      return [await signDraft(server, other.issuing), other.issuing.certificate.der];
    },
    refused: NOT_OURS,
  },
  { name: "its names in another order", shown: serverLeaf({ names: [serverDns!, serverUri!] }) },
  { name: "exactly what the program makes", shown: serverLeaf({}) },
];

for (const { name, shown, refused } of SERVER_ROWS) {
  test(`judgeServer() ${refused === undefined ? "accepts" : "refuses"} ${name}`, async () => {
    const ders = await shown();
    if (refused !== undefined) {
      return assert.throws(() => judgeServer(ders, judging), untrusted(refused));
    }
    assert.deepEqual(judgeServer(ders, judging).leaf.der, ders[0]);
  });
}

test("judgeUser() does not take the server for a user", async () => {
  const { certificate } = await issue("server", { key, issuer: issuing });
  const shown = [certificate.der, issuingDer];
  assert.throws(() => judgeUser(shown, judging), untrusted("it is not meant for this use"));
  assert.equal(encodeHex(judgeServer(shown, judging).leaf.spki), encodeHex(certificate.spki));
});

interface RootRow {
  readonly name: string;
  readonly make: () => Promise<Bytes> | Bytes;
  readonly refused?: string;
}

function rootWith(deviation: Partial<Draft>, signer: KeyObject = key): () => Promise<Bytes> {
  return () => signDraft({ ...draftRoot(key), ...deviation }, { key: signer });
}

const ROOT_ROWS: readonly RootRow[] = [
  { name: "a user", make: () => good, refused: "the root is not issued by itself" },
  { name: "an issuing CA", make: () => issuingDer, refused: "the root is not issued by itself" },
  {
    name: "a root that another key signed",
    make: rootWith({}, otherKey),
    refused: "the signature of the root is not by its issuer",
  },
  {
    name: "a flipped signature",
    make: () => flipBit(rootDer, -1),
    refused: "the signature of the root is not by its issuer",
  },
  {
    name: "a root that is not valid yet",
    make: rootWith({ notBeforeMs: NOW_MS + 1000 }),
    refused: "the root is not valid before 2026-11-01T12:00:01.000Z",
  },
  {
    name: "an expired root",
    make: rootWith({ notAfterMs: NOW_MS - 1000 }),
    refused: "the root expired 2026-11-01T11:59:59.000Z",
  },
  {
    name: "an unknown critical extension",
    make: rootWith({ more: [unknownExtension({ isCritical: true })] }),
    refused: "the root has the unknown critical extension 1.3.6.1.4.1.99999.1",
  },
  {
    name: "no CA bit",
    make: rootWith({ basicConstraints: { isCa: false, isCritical: true } }),
    refused: "the root is not a CA",
  },
  {
    name: "basic constraints that are not critical",
    make: rootWith({ basicConstraints: { isCa: true, pathLength: 1, isCritical: false } }),
    refused: "the root is not a CA",
  },
  {
    name: "a path length of 0",
    make: rootWith({ basicConstraints: { isCa: true, pathLength: 0, isCritical: true } }),
    refused: "the root must not have a CA below it",
  },
  {
    name: "no keyCertSign",
    make: rootWith({ keyUsage: x509.KeyUsageFlags.digitalSignature }),
    refused: "the root must not sign certificates",
  },
  {
    name: "no path length",
    make: rootWith({ basicConstraints: { isCa: true, isCritical: true } }),
  },
  { name: "a root without an authority key identifier", make: rootWith({ authorityKeyId: null }) },
  { name: "exactly what the program makes", make: () => rootDer },
];

for (const { name, make, refused } of ROOT_ROWS) {
  test(`checkRoot() ${refused === undefined ? "accepts" : "refuses"} ${name}`, async () => {
    const der = await make();
    if (refused !== undefined) {
      return assert.throws(() => checkRoot(der, NOW_MS), untrusted(refused));
    }
    assert.deepEqual(checkRoot(der, NOW_MS).der, der);
  });
}

test("checkRoot() does not trust what is no certificate", () => {
  assert.throws(() => checkRoot(utf8("x"), NOW_MS), {
    kind: "untrusted",
    message: "cannot read DER: it ends too early",
  });
});

test("domainOf() finds the one domain that an issuing CA is for", async () => {
  const other = await makeTestCa({ domain: "a.example.org" });
  assert.equal(domainOf(other.issuing.certificate), "a.example.org");
  const refusal = {
    kind: "storage",
    message: "cannot use the issuing CA: it is not constrained to one domain",
  };
  assert.throws(() => domainOf(root.certificate), refusal);
  const permitted = [encodedName(2, utf8("a.example")), encodedName(2, utf8("b.example"))];
  const two = await signDraft({
    ...draftIssuing(issuing.key),
    more: [nameConstraints({ permitted })],
  }, root);
  assert.throws(() => domainOf(parseCertificate(two)), refusal);
});

test("judgeUser() judges a leaf that it knows as one that it does not know", async () => {
  const der = await signDraft(user, issuing);
  const shown = [der, issuingDer];
  const options = { ...judging, nowMs: NOW_MS };
  const first = judgeUser(shown, options);
  const again = judgeUser([new Uint8Array(der), issuingDer], options);
  assert.equal(again.leaf, first.leaf, "it was not read twice");
  const { anchor } = judging;
  const refusals: readonly [string, () => unknown][] = [
    ["it is not of this CA", () => judgeUser([der], options)],
    [
      `it expired ${new Date(first.leaf.notAfterMs).toISOString()}`,
      () => judgeUser(shown, { ...options, nowMs: first.leaf.notAfterMs + 1000 }),
    ],
    [
      "the issuing CA is not one that is pinned",
      () => judgeUser(shown, { ...options, anchor: { ...anchor, issuers: new Set<string>() } }),
    ],
    [
      "the root has revoked the issuing CA",
      () =>
        judgeUser(shown, {
          ...options,
          anchor: { ...anchor, revokedIssuers: new Set([issuing.certificate.serial]) },
        }),
    ],
    ["it is not the server's", () => judgeServer(shown, options)],
    [
      "it is not a user's",
      () => judgeUser(shown, { ...options, anchor: { ...anchor, domain: "other.test" } }),
    ],
  ];
  for (const [why, judge] of refusals) assert.throws(judge, untrusted(why));
  const flipped = flipBit(der, -1); // of the signature
  assert.throws(
    () => judgeUser([flipped, issuingDer], options),
    untrusted("the signature of it is not by its issuer"),
  );
  assert.equal(judgeUser(shown, options).id, "alice", "and it is as good as before");
});

test("judgeUser() forgets no good leaf for others that are not good", () => {
  const judge = (der: Bytes) => judgeUser([der, issuingDer], { ...judging, nowMs: NOW_MS }).leaf;
  const known = judge(good);
  for (let bit = 0; bit < 8; bit++) {
    for (let i = 1; i <= 32; i++) assert.throws(() => judge(flipBit(good, -i, bit)));
  }
  assert.equal(judge(good), known);
});
