/** What reads DER from outside: changed as trees, half of it signed again so that it gets past the signature. */

import assert from "node:assert/strict";
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import fc from "fast-check";
import { type Bytes, concatBytes, isEqualBytes } from "../../lib/base/bytes.ts";
import type { ErrorKind } from "../../lib/base/errors.ts";
import { createAuthority } from "../../lib/ca/authority.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { judgeUser } from "../../lib/x509/chain.ts";
import {
  encodeCrlEntry,
  encodeTbsCrl,
  isCrlSignedBy,
  parseCrl,
  signCrl,
} from "../../lib/x509/crl.ts";
import { readCsr } from "../../lib/x509/csr.ts";
import { encodeSequence } from "../../lib/x509/der.ts";
import { describeCertificate } from "../../lib/x509/describe.ts";
import { describeRequest } from "../../lib/x509/describe_request.ts";
import {
  describeCrl,
  describeOcspRequest,
  describeOcspResponse,
} from "../../lib/x509/describe_revocation.ts";
import {
  showCertificate,
  showCrl,
  showOcspRequest,
  showOcspResponse,
  showRequest,
} from "../../lib/x509/describe_text.ts";
import { encodeOcspRequest, matchesIssuer, parseOcspRequest } from "../../lib/x509/ocsp.ts";
import { judgeOcspResponse } from "../../lib/x509/ocsp_judge.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { type ItemKind, recognize } from "../../lib/x509/recognize.ts";
import { DOMAIN, NOW_MS } from "../fakes/ca.ts";
import {
  altNames,
  assembleCsr,
  CSR_KEY,
  dnsName,
  extension,
  extensions,
  subjectOf,
} from "../fakes/csr.ts";
import { alice, answer, bob, ca, nonce, respond } from "../fakes/ocsp.ts";
import {
  type DerMutation,
  derMutation,
  type DerNode,
  encodeTree,
  mutateTree,
  parseTree,
} from "./der_tree.ts";
import { onlyFails, type Target } from "./target.ts";

const authority = createAuthority({
  issuing: ca.issuing,
  domain: DOMAIN,
  profiles: parseProfiles(undefined, DOMAIN),
  now: () => NOW_MS,
});

const rsaRequest = fs.readFileSync(new URL("../../testdata/x509/rsa2048.csr", import.meta.url));
const [, rsaBody = ""] = /-----BEGIN[^-]+-----([^-]+)-----END/.exec(rsaRequest.toString()) ?? [];

const REQUESTS: readonly Bytes[] = [
  assembleCsr(),
  assembleCsr(extensions(altNames(dnsName(`alice.user.${DOMAIN}`)))),
  assembleCsr({
    subject: subjectOf(),
    ...extensions(
      extension("2.5.29.19", encodeSequence(), { isCritical: true }),
      extension("2.5.29.15", Uint8Array.of(3, 2, 7, 0x80), { isCritical: true }),
    ),
  }),
  Uint8Array.from(Buffer.from(rsaBody, "base64")),
];

/** The elements of something signed: what is signed, the algorithm, the signature. */
function partsOf(der: Uint8Array): readonly DerNode[] {
  return parseTree(der).children ?? [];
}

/** What was signed put under a signature that fits; as it is if it has lost its shape. */
function signAgain(tree: DerNode, by: KeyObject): DerNode {
  const [tbs, algorithm, signature] = tree.children ?? [];
  if (!tbs || !algorithm || !signature) return tree;
  const bits = concatBytes(Uint8Array.of(0), sign("sha256", encodeTree(tbs), by));
  const signed = { tag: 0x03, prefix: new Uint8Array(), content: bits };
  return { ...tree, children: [tbs, algorithm, signed] };
}

interface Changed {
  readonly sample: number;
  readonly mutations: readonly DerMutation[];
  readonly isSignedAgain: boolean;
}

/** Samples with one to four changes; by `signer` signed again, or not. */
function derOf(samples: readonly Uint8Array[], signer?: KeyObject): fc.Arbitrary<Bytes> {
  const trees = samples.map(parseTree);
  return fc.record({
    sample: fc.nat({ max: samples.length - 1 }),
    mutations: fc.oneof(
      fc.array(derMutation, { minLength: 1, maxLength: 1 }),
      fc.array(derMutation, { minLength: 1, maxLength: 4 }),
    ),
    isSignedAgain: fc.boolean(),
  }).map(({ sample, mutations, isSignedAgain }: Changed) => {
    const tree = trees[sample] as DerNode;
    const changed = mutations.reduce(mutateTree, tree);
    return encodeTree(isSignedAgain && signer ? signAgain(changed, signer) : changed);
  });
}

/** Verifies what a parser took with the engine alone. */
function assertSigned(parts: readonly DerNode[], spki: Uint8Array): void {
  const [tbs, , signature] = parts;
  assert.ok(tbs && signature);
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  const digest = publicKey.asymmetricKeyType === "ed25519" ? null : "sha256";
  const bits = encodeTree(signature);
  const contentAt = bits.length -
    (bits.length < 0x82
      ? bits[1] ?? 0
      : bits.length < 0x103
      ? bits[2] ?? 0
      : (bits[2] ?? 0) * 256 + (bits[3] ?? 0));
  assert.ok(verify(digest, encodeTree(tbs), publicKey, bits.subarray(contentAt + 1)));
}

/** Whatever a request says, its certificate is of the session's user alone, for the key that signed. */
function certify(csr: Bytes): void {
  const { certificate, issuer } = authority.certify({ profile: "user", id: "alice", csr });
  const made = parseCertificate(certificate);
  assert.equal(judgeUser([certificate, issuer], ca.judging).id, "alice");
  assert.deepEqual(made.commonNames, ["alice"]);
  assert.deepEqual(
    made.names.map((name) => "value" in name ? String(name.value) : name.type).toSorted(),
    [
      `alice.user.${DOMAIN}`,
      `spiffe://${DOMAIN}/user/alice`,
    ],
  );
  assert.equal(made.basicConstraints?.isCa, false);
  const { spki } = readCsr(csr);
  assert.deepEqual(made.spki, spki);
  assertSigned(partsOf(csr), spki);
}

/** Who is in a certificate, to somebody who only looks for the bytes of an id in it. */
function judge(der: Bytes): void {
  const { id, leaf } = judgeUser([der, ca.issuing.certificate.der], ca.judging);
  assert.ok(Buffer.from(der).includes(`spiffe://${DOMAIN}/user/${id}`, 0, "latin1"), id);
  assert.ok(isEqualBytes(leaf.der, der));
  assertSigned(partsOf(der), ca.issuing.certificate.spki);
}

/** Control characters, with which a terminal could be written all over; lines end as ours do. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/;

const SHOWN: Readonly<Record<ItemKind, (der: Bytes) => string>> = {
  certificate: (der) =>
    showCertificate(describeCertificate(parseCertificate(der), NOW_MS), {
      title: "certificate",
      nowMs: NOW_MS,
    }),
  request: (der) => showRequest(describeRequest(readCsr(der)), "request"),
  crl: (der) =>
    showCrl(describeCrl(parseCrl(der), { nowMs: NOW_MS, entriesMax: 5 }), {
      title: "list",
      nowMs: NOW_MS,
    }),
  ocspRequest: (der) => showOcspRequest(describeOcspRequest(parseOcspRequest(der)), "request"),
  ocspResponse: (der) =>
    showOcspResponse(describeOcspResponse(parseOcspResponse(der), NOW_MS), {
      title: "response",
      nowMs: NOW_MS,
    }),
};

function show(bytes: Bytes): void {
  for (const { kind, der } of recognize(bytes, "a file").items) {
    const text = SHOWN[kind](der);
    assert.ok(!CONTROLS.test(text), JSON.stringify(text));
  }
}

const LIST = signCrl(
  encodeTbsCrl({
    issuer: ca.issuing.certificate,
    number: 7n,
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NOW_MS + 1000,
    entries: [encodeCrlEntry({ serial: alice.serial, revokedMs: NOW_MS, reason: "superseded" })],
  }),
  ca.issuing,
);

const STATUS_REQUEST = encodeOcspRequest({
  issuer: ca.issuing.certificate,
  serials: [alice.serial, bob.serial],
  nonce,
});

/** A response that was changed and not signed again says nothing; `bob` is whom none of them is about. */
function judgeStatus(response: Bytes): void {
  const issuing = ca.issuing.certificate;
  const options = { issuing, nowMs: NOW_MS };
  assert.throws(() => judgeOcspResponse(response, { ...options, leaf: bob }), {
    kind: "untrusted",
  });
  const { nextUpdateMs } = judgeOcspResponse(response, { ...options, leaf: alice });
  assert.ok(nextUpdateMs >= NOW_MS);
  // RFC 6960, section 4.2.1: the status, then in [0] the type and, in octets, what is signed.
  const [, outer] = partsOf(response);
  const [, octets] = outer?.children?.[0]?.children ?? [];
  assertSigned(octets?.children?.[0]?.children ?? [], issuing.spki);
}

function read(list: Bytes): void {
  const crl = parseCrl(list);
  const [entry] = [...crl.entries()];
  if (!isCrlSignedBy(crl, ca.issuing.certificate)) return;
  assertSigned(partsOf(list), ca.issuing.certificate.spki);
  assert.ok(entry === undefined || /^[0-9a-f]+$/.test(entry.serial));
}

function readStatusRequest(request: Bytes): void {
  const { certIds } = parseOcspRequest(request);
  assert.ok(certIds.length > 0);
  for (const certId of certIds) matchesIssuer(certId, ca.issuing.certificate);
}

function target(
  name: string,
  { good, by, kinds, use }: {
    readonly good: readonly Bytes[];
    /** Who signs again what was changed. */
    readonly by?: KeyObject;
    readonly kinds: readonly ErrorKind[];
    readonly use: (input: Bytes) => void;
  },
): Target {
  return {
    name,
    inputs: derOf(good, by),
    good,
    run: (input) => onlyFails(kinds, () => use(input)),
  };
}

const issuingKey = ca.issuing.key;

export const X509_TARGETS: readonly Target[] = [
  target("request", {
    good: REQUESTS,
    by: CSR_KEY,
    kinds: ["malformed", "refused"],
    use: certify,
  }),
  target("certificate", {
    good: [alice.der],
    by: issuingKey,
    kinds: ["malformed", "untrusted"],
    use: judge,
  }),
  target("list", { good: [LIST], by: issuingKey, kinds: ["malformed"], use: read }),
  target("status request", {
    good: [STATUS_REQUEST],
    kinds: ["malformed"],
    use: readStatusRequest,
  }),
  target("status response", {
    good: [respond(), respond({ answers: [answer()], nonce })],
    kinds: ["untrusted"],
    use: judgeStatus,
  }),
  target("shown", {
    good: [...REQUESTS, alice.der, LIST, STATUS_REQUEST, respond()],
    kinds: ["malformed"],
    use: show,
  }),
];
