import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, parseHex, utf8 } from "../../lib/base/bytes.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { type Crl, encodeCrlEntry, parseCrl, type RevocationReason } from "../../lib/x509/crl.ts";
import {
  contextTag,
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeSequence,
  encodeTime,
} from "../../lib/x509/der.ts";
import {
  encodeAuthorityKeyId,
  encodeExtension,
  encodeSignatureAlgorithm,
  signTbs,
} from "../../lib/x509/encode.ts";
import { failedCheckOf } from "../../lib/x509/path_failure.ts";
import { PathWork, WORK_MAX } from "../../lib/x509/path_work.ts";
import { statusByCrls } from "../../lib/x509/revocation.ts";
import { validatePath } from "../../lib/x509/path.ts";
import {
  certify,
  type ExtensionSpec,
  generalName,
  type Holder,
  keyUsage,
  nameOf,
  nextKey,
  NOW_MS,
} from "../fakes/paths.ts";

const CRL_NUMBER = "2.5.29.20";
const DELTA_INDICATOR = "2.5.29.27";
const ISSUING_POINT = "2.5.29.28";
const HOUR_MS = 3_600_000;
const HERE = generalName.uri("http://a.example.org/1.crl");
const ELSEWHERE = generalName.uri("http://a.example.org/2.crl");

const pointName = (...names: readonly Uint8Array[]): Bytes =>
  encodeElement(contextTag(0, true), encodeElement(contextTag(0, true), ...names));
const points: ExtensionSpec = {
  oid: OID.crlDistributionPoints,
  value: encodeSequence(encodeSequence(pointName(HERE))),
};

const root = certify({ subject: "root", ca: {} });
const ca = certify({ subject: "ca", ca: {}, extensions: [points] }, root);
const leaf = certify({ subject: "leaf", dns: ["a.example.org"], extensions: [points] }, ca);
const chain = [leaf, ca, root].map(({ certificate }) => certificate);

interface CrlSpec {
  readonly by?: Holder;
  readonly issuerName?: Uint8Array;
  /** `null` for none. */
  readonly number?: number | null;
  readonly isNumberCritical?: boolean;
  readonly deltaBase?: number;
  readonly thisUpdateMs?: number;
  /** `null` for none. */
  readonly nextUpdateMs?: number | null;
  readonly authorityKeyId?: Uint8Array;
  /** Content of the IssuingDistributionPoint. */
  readonly scope?: Uint8Array;
  readonly revoked?: readonly (readonly [Holder, RevocationReason])[];
}

function makeCrl(spec: CrlSpec): Crl {
  const { by = ca, number = 1, nextUpdateMs = NOW_MS + HOUR_MS, deltaBase, scope } = spec;
  const entries = (spec.revoked ?? []).map(([{ certificate }, reason]) =>
    encodeCrlEntry({ serial: parseHex(certificate.serial), revokedMs: NOW_MS - HOUR_MS, reason })
  );
  const extensions = [
    encodeExtension(
      OID.authorityKeyId,
      false,
      encodeAuthorityKeyId(spec.authorityKeyId ?? by.certificate.subjectKeyId!),
    ),
    number === null
      ? new Uint8Array()
      : encodeExtension(CRL_NUMBER, spec.isNumberCritical ?? false, encodeInteger(number)),
    deltaBase === undefined
      ? new Uint8Array()
      : encodeExtension(DELTA_INDICATOR, true, encodeInteger(deltaBase)),
    scope ? encodeExtension(ISSUING_POINT, true, encodeSequence(scope)) : new Uint8Array(),
  ];
  const tbs = encodeSequence(
    encodeInteger(1),
    encodeSignatureAlgorithm(by.key),
    spec.issuerName ?? by.certificate.subject,
    encodeTime(spec.thisUpdateMs ?? NOW_MS - HOUR_MS),
    nextUpdateMs === null ? new Uint8Array() : encodeTime(nextUpdateMs),
    entries.length > 0 ? encodeSequence(...entries) : new Uint8Array(),
    encodeElement(contextTag(0, true), encodeSequence(...extensions)),
  );
  return parseCrl(signTbs(tbs, by.key));
}

const flag = (number: number): Bytes =>
  encodeElement(contextTag(number, false), encodeBoolean(true).subarray(2));
const good = { status: "good" } as const;
const revoked = (reason: RevocationReason) => ({
  status: "revoked",
  revokedMs: NOW_MS - HOUR_MS,
  reason,
});
const unknown = (why: string) => ({ status: "unknown", why });
const NONE = unknown("there is no CRL of its issuer that is about it");
const REVOKED: CrlSpec = { revoked: [[leaf, "superseded"]] };

interface Row {
  readonly name: string;
  readonly crls: readonly CrlSpec[];
  readonly is: unknown;
  readonly nowMs?: number;
}

const ROWS: readonly Row[] = [
  { name: "no list", crls: [], is: NONE },
  { name: "a list of another CA", crls: [{ by: root }], is: NONE },
  { name: "a list that it is not in", crls: [{ revoked: [[ca, "superseded"]] }], is: good },
  { name: "a list that it is in", crls: [REVOKED], is: revoked("superseded") },
  {
    name: "a list in the CA's name by somebody else",
    crls: [{
      by: { ...ca, key: nextKey() },
    }],
    is: unknown("the CRL is not signed by its issuer"),
  },
  {
    name: "a list by another key of the CA",
    crls: [{ authorityKeyId: utf8("x") }],
    is: unknown("the CRL is by another key of its issuer"),
  },
  {
    name: "a list without a number",
    crls: [{ number: null }],
    is: unknown("the CRL has no number"),
  },
  {
    name: "a list whose number is critical",
    crls: [{ isNumberCritical: true }],
    is: unknown("the number of the CRL is marked critical"),
  },
  {
    name: "a list that begins in a second",
    crls: [{ thisUpdateMs: NOW_MS + 1000 }],
    is: unknown("the CRL is not valid yet"),
  },
  { name: "a list that begins now", crls: [{ thisUpdateMs: NOW_MS }], is: good },
  {
    name: "a list that ended a second ago",
    crls: [{ nextUpdateMs: NOW_MS - 1000 }],
    is: unknown("the CRL expired 2026-11-01T11:59:59.000Z"),
  },
  {
    name: "a list in its last second",
    crls: [{ nextUpdateMs: NOW_MS }],
    nowMs: NOW_MS + 999,
    is: good,
  },
  {
    name: "a list without an end",
    crls: [{ nextUpdateMs: null }],
    is: unknown("the CRL does not say until when it is valid"),
  },
  {
    name: "a usable list beside one that is not",
    crls: [{ nextUpdateMs: NOW_MS - 1000 }, REVOKED],
    is: revoked("superseded"),
  },
  {
    name: "a newer list than one that it was in",
    crls: [{ number: 2 }, { ...REVOKED, revoked: [[leaf, "certificateHold"]] }],
    is: good,
  },
  {
    name: "an older list than one that it is in",
    crls: [{ number: 1 }, { ...REVOKED, number: 2 }],
    is: revoked("superseded"),
  },
  { name: "a list of CAs only", crls: [{ scope: flag(2) }], is: NONE },
  {
    name: "a list of users only",
    crls: [{ ...REVOKED, scope: flag(1) }],
    is: revoked("superseded"),
  },
  {
    name: "a list of its distribution point",
    crls: [{ ...REVOKED, scope: pointName(ELSEWHERE, HERE) }],
    is: revoked("superseded"),
  },
  { name: "a list of another point", crls: [{ scope: pointName(ELSEWHERE) }], is: NONE },
  {
    name: "a delta alone",
    crls: [{ number: 2, deltaBase: 1 }],
    is: unknown("there is no CRL of its issuer that is about it"),
  },
  {
    name: "a delta that adds it",
    crls: [{ number: 1 }, { ...REVOKED, number: 2, deltaBase: 1 }],
    is: revoked("superseded"),
  },
  {
    name: "a delta that removes it",
    crls: [
      { number: 1, revoked: [[leaf, "certificateHold"]] },
      { number: 2, deltaBase: 1, revoked: [[leaf, "removeFromCRL"]] },
    ],
    is: good,
  },
  {
    name: "the newest of two deltas",
    crls: [
      { number: 1 },
      { ...REVOKED, number: 3, deltaBase: 1 },
      { number: 2, deltaBase: 1, revoked: [[leaf, "certificateHold"]] },
    ],
    is: revoked("superseded"),
  },
  {
    name: "a delta to a newer list than there is",
    crls: [{ number: 1 }, { ...REVOKED, number: 3, deltaBase: 2 }],
    is: good,
  },
  {
    name: "a delta that is older than the list",
    crls: [{ number: 3 }, { ...REVOKED, number: 2, deltaBase: 1 }],
    is: good,
  },
  {
    name: "a delta of another scope",
    crls: [{ number: 1 }, { ...REVOKED, number: 2, deltaBase: 1, scope: flag(1) }],
    is: good,
  },
];

for (const { name, crls, is, nowMs = NOW_MS } of ROWS) {
  test(`statusByCrls() decides by ${name}`, () => {
    const options = { crls: crls.map(makeCrl), nowMs, work: new PathWork() };
    assert.deepEqual(statusByCrls(leaf.certificate, ca.certificate, options), is);
  });
}

test("statusByCrls() takes no list of a CA that must not sign lists", () => {
  const silent = certify({ subject: "ca", ca: {}, extensions: [keyUsage(5)] }, root);
  const any = certify({
    subject: "ca",
    ca: {},
    extensions: [{ oid: OID.keyUsage, value: null }],
  }, root);
  const statusUnder = (by: Holder) => {
    const { certificate } = certify({ subject: "leaf" }, by);
    const options = { crls: [makeCrl({ by })], nowMs: NOW_MS, work: new PathWork() };
    return statusByCrls(certificate, by.certificate, options);
  };
  assert.deepEqual(statusUnder(silent), unknown("its issuer must not sign CRLs"));
  assert.deepEqual(statusUnder(any), good);
});

test("statusByCrls() knows its issuer's name in other letters", () => {
  const options = {
    crls: [makeCrl({ ...REVOKED, issuerName: nameOf([OID.commonName, " CA "]) })],
    nowMs: NOW_MS,
    work: new PathWork(),
  };
  assert.deepEqual(
    statusByCrls(leaf.certificate, ca.certificate, options),
    revoked("superseded"),
  );
});

test("statusByCrls() verifies no more lists than the bound allows", () => {
  const crls = Array.from({ length: WORK_MAX.signatures + 1 }, () => makeCrl({}));
  const ask = (work: PathWork) =>
    statusByCrls(leaf.certificate, ca.certificate, { crls, nowMs: NOW_MS, work });
  assert.throws(() => ask(new PathWork()), (error) => failedCheckOf(error)?.check === "work");
  // What has been verified is known, so the last one is all that is left to do.
  const again = new PathWork();
  assert.deepEqual(ask(again), good);
  assert.equal(again.spent.signatures, 1);
});

test("validatePath() asks the lists of every CA about the certificates below it", () => {
  const ofCa = makeCrl({});
  const ofRoot = makeCrl({ by: root });
  const judge = (...crls: readonly Crl[]) => {
    try {
      validatePath(chain, { nowMs: NOW_MS, revocation: { crls } });
    } catch (error) {
      return { ...failedCheckOf(error) };
    }
    return undefined;
  };
  assert.equal(judge(ofCa, ofRoot), undefined);
  assert.deepEqual(judge(ofCa), { check: "revocation", index: 1 });
  assert.deepEqual(judge(ofRoot), { check: "revocation", index: 0 });
  const caRevoked = makeCrl({ by: root, number: 2, revoked: [[ca, "cACompromise"]] });
  assert.deepEqual(judge(ofCa, ofRoot, caRevoked), { check: "revocation", index: 1 });
  assert.deepEqual(judge(makeCrl(REVOKED), ofRoot), { check: "revocation", index: 0 });
});
