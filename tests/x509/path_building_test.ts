import assert from "node:assert/strict";
import { test } from "node:test";
import { type Certificate, OID } from "../../lib/x509/certificate.ts";
import {
  encodeElement,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { findPath } from "../../lib/x509/path_building.ts";
import { failedCheckOf } from "../../lib/x509/path_failure.ts";
import { PathWork, WORK_MAX } from "../../lib/x509/path_work.ts";
import {
  certify,
  extendedKeyUsage,
  generalName,
  type Holder,
  nameConstraints,
  nextKey,
  NOW_MS,
} from "../fakes/paths.ts";

const root = certify({ subject: "root", ca: {} });
const ca = certify({ subject: "ca", ca: {} }, root);
const leaf = certify({ subject: "leaf", dns: ["a.example.org"] }, ca);

const certificatesOf = (...holders: readonly Holder[]): readonly Certificate[] =>
  holders.map(({ certificate }) => certificate);

/** The chain's common names, or the check that failed. */
function find(
  end: Holder,
  intermediates: readonly Holder[],
  anchors: readonly Holder[] = [root],
  work = new PathWork(),
): string {
  try {
    const { chain } = findPath({
      leaf: end.certificate,
      intermediates: certificatesOf(...intermediates),
      anchors: certificatesOf(...anchors),
      nowMs: NOW_MS,
      purposes: [OID.serverAuth],
    }, work);
    return chain.map(({ commonNames }) => commonNames[0]).join(" < ");
  } catch (error) {
    const failed = failedCheckOf(error);
    if (!failed) throw error;
    return failed.check;
  }
}

test("findPath() finds a chain in whatever order certificates come", () => {
  const lower = certify({ subject: "lower", ca: {} }, ca);
  const end = certify({ subject: "leaf" }, lower);
  const other = certify({ subject: "other", ca: {} }, root);
  for (
    const shown of [[lower, ca, other], [other, ca, lower], [ca, end, lower, root, other, other]]
  ) assert.equal(find(end, shown), "leaf < lower < ca < root");
  assert.equal(find(end, [lower, other]), "issuer");
  assert.equal(find(end, []), "issuer");
});

test("findPath() ends at whatever is trusted", () => {
  assert.equal(find(leaf, [root], [ca]), "leaf < ca");
  assert.equal(find(leaf, [ca], [certify({ subject: "root", ca: {} }), root]), "leaf < ca < root");
  assert.equal(find(leaf, [ca, root], []), "issuer");
});

test("findPath() never trusts a leaf for being a root itself", () => {
  assert.equal(find(root, [], [root]), "issuer");
});

test("findPath() goes on where a chain is refused, and says why the first one was", () => {
  const spec = { subject: "ca", key: ca.key, ca: {} };
  const expired = certify({ ...spec, notAfterMs: NOW_MS - 1000 }, root);
  const forMail = certify({ ...spec, extensions: [extendedKeyUsage("1.3.6.1.5.5.7.3.4")] }, root);
  const forbidding = certify({
    ...spec,
    extensions: [nameConstraints({ excluded: [generalName.dns("example.org")] })],
  }, root);
  const bad = [expired, forMail, forbidding];
  assert.equal(find(leaf, [...bad, ca]), "leaf < ca < root");
  assert.equal(find(leaf, bad), "time");
  assert.equal(find(leaf, [forMail, forbidding, expired]), "extended-key-usage");
  assert.equal(find(leaf, [forbidding, forMail]), "name-constraints");
});

test("findPath() goes around an expired root that is cross-signed", () => {
  const old = certify({ subject: "old root", ca: {}, notAfterMs: NOW_MS - 1000 });
  const crossed = certify({ subject: "root", key: root.key, ca: {} }, old);
  assert.equal(find(leaf, [crossed, ca], [old, root]), "leaf < ca < root");
});

test("findPath() ends in loops of cross-signed CAs", () => {
  const specs = ["a", "b", "c"].map((subject) => ({ subject, key: nextKey(), ca: {} }));
  const roots = specs.map((spec) => certify(spec));
  const crossed = roots.flatMap((by) =>
    specs.filter(({ key }) => key !== by.key).map((spec) => certify(spec, by))
  );
  const end = certify({ subject: "leaf" }, roots[0]);
  const work = new PathWork();
  assert.equal(find(end, crossed, [root], work), "issuer");
  // The leaf under two certificates of its CA, and each of those six under two of another's.
  assert.ok(work.spent.signatures <= 2 + 6 * 2, `${work.spent.signatures} signatures`);
  assert.match(find(end, crossed, [root, roots[2]!]), /^leaf < a (< b )?< c$/);
});

test("findPath() follows no name whose signature does not hold", () => {
  const impostor = certify({
    subject: "ca",
    ca: {},
    extensions: [{
      oid: OID.subjectKeyId,
      value: encodeOctetString(ca.certificate.subjectKeyId!),
    }],
  }, root);
  assert.equal(find(leaf, [impostor]), "signature");
  assert.equal(find(leaf, [impostor, ca]), "leaf < ca < root");
});

test("findPath() passes over a CA whose key is not accepted", () => {
  const strange = encodeSequence(
    encodeSequence(encodeOid("1.2.3")),
    encodeElement(TAG.bitString, Uint8Array.of(0, 1)),
  );
  const unusable = certify({
    subject: "ca",
    ca: {},
    spki: strange,
    extensions: [{
      oid: OID.subjectKeyId,
      value: encodeOctetString(ca.certificate.subjectKeyId!),
    }],
  }, root);
  assert.equal(find(leaf, [unusable]), "algorithm");
  assert.equal(find(leaf, [unusable, ca]), "leaf < ca < root");
});

test("findPath() stops at its bound on signatures", () => {
  const keyId = { oid: OID.subjectKeyId, value: encodeOctetString(ca.certificate.subjectKeyId!) };
  const impostors = (count: number) =>
    Array.from(
      { length: count },
      () => certify({ subject: "ca", key: nextKey(), ca: {}, extensions: [keyId] }, root),
    );
  const work = new PathWork();
  const tooMany = [...impostors(WORK_MAX.signatures + 1), ca];
  assert.equal(find(leaf, tooMany, [root], work), "work");
  assert.equal(work.spent.signatures, WORK_MAX.signatures);
  // Two are needed for the chain.
  const enough = [...impostors(WORK_MAX.signatures - 2), ca];
  assert.equal(find(leaf, enough), "leaf < ca < root");
});

test("findPath() stops at its bounds where every CA has certified every other", () => {
  // Eight CAs, each certified by each: more than 10,000 ways to go, and none to a root.
  const specs = Array.from({ length: 8 }, (_, i) => ({ subject: `${i}`, key: nextKey(), ca: {} }));
  const selves = specs.map((spec) => certify(spec));
  const crossed = selves.flatMap((by, i) =>
    specs.filter((_, j) => j !== i).map((spec) => certify(spec, by))
  );
  const end = certify({ subject: "leaf" }, selves[0]);
  const works = Array.from({ length: 12 }, () => new PathWork());
  for (const work of works) assert.equal(find(end, crossed, [root], work), "work");
  const [first, last] = [works[0]!.spent, works[works.length - 1]!.spent];
  assert.equal(first.signatures, WORK_MAX.signatures);
  // Once all signatures are known, it is the ways themselves that are too many.
  assert.deepEqual(last, { signatures: 0, steps: WORK_MAX.steps, comparisons: 0 });
});

test("findPath() looks at no more certificates than its bound", () => {
  const others = Array.from({ length: 128 }, () => leaf);
  assert.equal(find(leaf, [...others, ca]), "issuer");
  assert.equal(find(leaf, [...others.slice(1), ca]), "leaf < ca < root");
});
