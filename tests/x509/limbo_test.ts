/**
 * The path-validation cases of x509-limbo, where they are at hand: no invalid chain is accepted and
 * no valid one refused, but for the differences listed here with their reasons. A difference that is
 * none any more fails too.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { messageOf, PkiError } from "../../lib/base/errors.ts";
import { type Certificate, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { type Crl, parseCrl } from "../../lib/x509/crl.ts";
import { KEY_USAGE } from "../../lib/x509/extensions.ts";
import { type FindOptions, findPath } from "../../lib/x509/path_building.ts";
import { failedCheckOf } from "../../lib/x509/path_failure.ts";
import { PathWork } from "../../lib/x509/path_work.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { parseIp, type WantedName } from "../../lib/x509/wanted_names.ts";

const FILE = process.env.PKI_LIMBO ??
  fileURLToPath(new URL("../../../shared/vectors/limbo.json", import.meta.url));
const skip = existsSync(FILE) ? false : `there is no ${FILE}`;

const PeerName = v.object({ kind: v.picklist(["DNS", "IP", "RFC822"]), value: v.string() });
const Case = v.object({
  id: v.string(),
  trusted_certs: v.array(v.string()),
  untrusted_intermediates: v.array(v.string()),
  peer_certificate: v.string(),
  validation_kind: v.picklist(["SERVER", "CLIENT"]),
  validation_time: v.nullable(v.string()),
  expected_peer_name: v.nullable(PeerName),
  expected_peer_names: v.array(PeerName),
  key_usage: v.array(v.picklist(["digitalSignature", "keyCertSign"])),
  extended_key_usage: v.array(v.string()),
  max_chain_depth: v.nullable(v.number()),
  crls: v.array(v.string()),
  expected_result: v.picklist(["SUCCESS", "FAILURE"]),
});
type Case = v.InferOutput<typeof Case>;

/** When the vectors were collected: for cases that name no time. */
const DEFAULT_MS = Date.UTC(2026, 2, 13);

function wantedName({ kind, value }: v.InferOutput<typeof PeerName>): WantedName {
  switch (kind) {
    case "DNS":
      return { type: "dns", value };
    case "RFC822":
      return { type: "email", value };
    case "IP":
      return { type: "ip", value: parseIp(value) };
  }
}

/** What cannot be read is as if it were not there. */
function readable<T>(pems: readonly string[], label: string, parse: (der: Uint8Array) => T): T[] {
  return pems.flatMap((pem) => {
    try {
      return [parse(parsePemBlock(pem, [label], "it"))];
    } catch (error) {
      if (error instanceof PkiError && error.kind === "malformed") return [];
      throw error;
    }
  });
}

const certificatesOf = (pems: readonly string[]): Certificate[] =>
  readable(pems, "CERTIFICATE", parseCertificate);
const crlsOf = (pems: readonly string[]): Crl[] => readable(pems, "X509 CRL", parseCrl);

const SAN_BESIDE_CN =
  "its common name is none of its names, which section 7.1.4.3 forbids, as webpki::cn::not-in-san has it";

/** Cases that we decide otherwise, and why that is right here. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "rfc5280::aki::cross-signed-root-missing-aki":
    "nobody looks for the issuer of a root that is trusted; cve::cve-2024-0567 has such a root, and is good",
  "webpki::nc::nc-permits-dns-san-pattern": SAN_BESIDE_CN,
  "webpki::san::exact-localhost-ip-san": SAN_BESIDE_CN,
  "webpki::san::leftmost-wildcard-san": SAN_BESIDE_CN,
};

function findOptions(one: Case, leaf: Certificate): FindOptions {
  return {
    leaf,
    intermediates: certificatesOf(one.untrusted_intermediates),
    anchors: certificatesOf(one.trusted_certs),
    nowMs: one.validation_time ? Date.parse(one.validation_time) : DEFAULT_MS,
    purposes: [one.validation_kind === "SERVER" ? OID.serverAuth : OID.clientAuth],
    keyUsage: one.key_usage.reduce((bits, name) => bits | KEY_USAGE[name], 0),
    wanted: [one.expected_peer_name ?? [], one.expected_peer_names].flat().map(wantedName),
    // What the public Web asks contradicts the rest: each case is held against its own rules.
    isWebPki: /^(webpki|online)::/.test(one.id),
    ...(one.max_chain_depth === null ? {} : { intermediatesMax: one.max_chain_depth }),
    ...(one.crls.length > 0 ? { revocation: { crls: crlsOf(one.crls) } } : {}),
  };
}

/** Whether the chain is good, why not, and the work that it took. */
function judge(one: Case): {
  readonly verdict: Case["expected_result"];
  readonly why: string;
  readonly work: PathWork;
} {
  const work = new PathWork();
  const [leaf] = certificatesOf([one.peer_certificate]);
  if (!leaf) return { verdict: "FAILURE", why: "the leaf cannot be read", work };
  try {
    findPath(findOptions(one, leaf), work);
    return { verdict: "SUCCESS", why: "every check", work };
  } catch (error) {
    const failed = failedCheckOf(error);
    if (!failed) throw error;
    return { verdict: "FAILURE", why: `${failed.check}: ${messageOf(error)}`, work };
  }
}

/** No case needs more signatures than a chain has certificates, and a few. */
const SIGNATURES_MAX = 24;

const cases = skip === false
  ? v.parse(v.object({ testcases: v.array(Case) }), JSON.parse(readFileSync(FILE, "utf8")))
    .testcases
  : [];

test(
  "findPath() decides x509-limbo as its authors do, but for listed differences",
  { skip },
  () => {
    const seen = { SUCCESS: 0, FAILURE: 0 };
    for (const one of cases) {
      const { verdict, why, work } = judge(one);
      const isDifferent = one.id in DIFFERENCES;
      const isExpected = verdict === one.expected_result;
      assert.equal(isExpected, !isDifferent, `${one.id}: ${one.expected_result} by ${why}`);
      assert.ok(work.spent.signatures <= SIGNATURES_MAX, `${one.id}: ${work.spent.signatures}`);
      seen[one.expected_result]++;
    }
    for (const id of Object.keys(DIFFERENCES)) {
      assert.ok(cases.some((one) => one.id === id), `there is no case ${id}`);
    }
    assert.ok(seen.SUCCESS > 50 && seen.FAILURE > 100, `only ${JSON.stringify(seen)}`);
  },
);
