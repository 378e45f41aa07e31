import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { sha256 } from "../../lib/base/bytes.ts";
import {
  isVouched,
  learnIssuers,
  learnRoot,
  type Succession,
  vouchFor,
} from "../../lib/x509/succession.ts";
import { draftIssuing, type Holder, makeTestCa, NOW_MS, signDraft } from "../fakes/ca.ts";

const CA = await makeTestCa();
const { root: ROOT, issuing: FIRST } = CA;
/** Issuing CAs of the same root, made as the first was. */
const underSameRoot = async (): Promise<Holder> => {
  const key = await generatePrivateKey("p256");
  const { issuing } = await makeTestCa({ keys: { root: ROOT.key, issuing: key } });
  // Made under a root of the same key and name: only its certificate is another.
  return issuing;
};
const [SECOND, THIRD, STRANGER] = await Promise.all([
  underSameRoot(),
  underSameRoot(),
  underSameRoot(),
]);
const OTHER = await makeTestCa();
const OTHER_DOMAIN = await makeTestCa({
  domain: "other.test",
  keys: { root: ROOT.key, issuing: await generatePrivateKey("p256") },
});

const fp = ({ certificate }: Holder) => fingerprintOf(certificate.der);

function vouch(later: Holder, by: Holder): Succession {
  return vouchFor(later.certificate, {
    kind: "issuing",
    by: by.certificate,
    key: by.key,
    isByRoot: by === ROOT,
  });
}

const { anchor: ANCHOR } = CA.judging;
const PINNED = { ...ANCHOR, issuers: new Set([fp(FIRST)]) };

function learn(successions: readonly Succession[], anchor: typeof PINNED | typeof ANCHOR = PINNED) {
  const options = { anchor, successions, current: SECOND.certificate, nowMs: NOW_MS };
  return [...learnIssuers(options)].sort();
}

const names = (...holders: readonly Holder[]) => holders.map(fp).sort();

interface Row {
  readonly name: string;
  readonly successions: readonly Succession[];
  readonly pins: readonly string[];
}

const good = vouch(SECOND, FIRST);

const ROWS: readonly Row[] = [
  { name: "nothing said", successions: [], pins: names(FIRST) },
  {
    name: "a CA that vouches for itself",
    successions: [vouch(STRANGER, STRANGER)],
    pins: names(FIRST),
  },
  {
    name: "a CA of the same root that is not pinned",
    successions: [vouch(SECOND, STRANGER)],
    pins: names(FIRST),
  },
  {
    name: "a CA of another root",
    successions: [vouch(OTHER.issuing, FIRST)],
    pins: names(FIRST),
  },
  {
    name: "a CA for another trust domain",
    successions: [vouch(OTHER_DOMAIN.issuing, FIRST)],
    pins: names(FIRST),
  },
  {
    name: "a signature over another certificate",
    successions: [{ ...good, signature: vouch(THIRD, FIRST).signature }],
    pins: names(FIRST),
  },
  {
    name: "a signature with another label",
    successions: [{
      ...good,
      signature: encodeBase64(
        signLabelled(FIRST.key, "pki/1 root", sha256(SECOND.certificate.der)),
      ),
    }],
    pins: names(FIRST),
  },
  {
    name: "another kind",
    successions: [{ ...good, kind: "root" }],
    pins: names(FIRST),
  },
  {
    name: "a CA shown that is not the one named",
    successions: [{ ...vouch(SECOND, STRANGER), by: fp(FIRST) }],
    pins: names(FIRST),
  },
  {
    name: "the CA that vouches not shown",
    successions: [{ ...good, issuer: undefined }],
    pins: names(FIRST),
  },
  {
    name: "a certificate that is none",
    successions: [{ ...good, certificate: "AAAA" }],
    pins: names(FIRST),
  },
  {
    name: "a damaged link beside a good one",
    successions: [{ ...good, signature: "AAAA" }, good],
    pins: names(FIRST, SECOND),
  },
  { name: "the pinned CA vouching", successions: [good], pins: names(FIRST, SECOND) },
  { name: "the root vouching", successions: [vouch(SECOND, ROOT)], pins: names(FIRST, SECOND) },
  {
    name: "two links in the wrong order",
    successions: [vouch(THIRD, SECOND), good],
    pins: names(FIRST, SECOND, THIRD),
  },
  {
    name: "a ring",
    successions: [vouch(THIRD, SECOND), vouch(SECOND, THIRD), vouch(FIRST, THIRD), good],
    pins: names(FIRST, SECOND, THIRD),
  },
];

for (const { name, successions, pins } of ROWS) {
  test(`learnIssuers() pins what it must with ${name}`, () => {
    assert.deepEqual(learn(successions), pins);
  });
}

test("learnIssuers() does not believe a CA that was revoked, nor pins one", () => {
  const revoked = (holder: Holder) => ({
    ...PINNED,
    revokedIssuers: new Set([holder.certificate.serial]),
  });
  assert.deepEqual(learn([good], revoked(FIRST)), names(FIRST));
  assert.deepEqual(learn([good], revoked(SECOND)), names(FIRST));
  assert.deepEqual(learn([good], revoked(THIRD)), names(FIRST, SECOND));
  assert.deepEqual(learn([vouch(SECOND, ROOT)], revoked(FIRST)), names(FIRST, SECOND));
});

test("learnIssuers() pins at the first contact the CA that is shown, and those before it", () => {
  assert.deepEqual(learn([], ANCHOR), names(SECOND));
  assert.deepEqual(learn([good], ANCHOR), names(FIRST, SECOND));
  assert.deepEqual(learn([vouch(THIRD, SECOND), good], ANCHOR), names(FIRST, SECOND, THIRD));
  assert.deepEqual(learn([vouch(SECOND, ROOT)], ANCHOR), names(SECOND));
  assert.deepEqual(learn([vouch(SECOND, OTHER.issuing)], ANCHOR), names(SECOND));
  assert.deepEqual(learn([vouch(THIRD, STRANGER)], ANCHOR), names(SECOND));
});

test("learnIssuers() pins no CA that has ended, or that may have CAs below it", async () => {
  const key = await generatePrivateKey("p256");
  const draft = draftIssuing(key);
  const ended = { ...draft, notAfterMs: NOW_MS - 1000 };
  const { pathLength: _, ...unbounded } = draft.basicConstraints ??
    { isCa: true, isCritical: true };
  for (const one of [ended, { ...draft, basicConstraints: unbounded }, draft]) {
    const der = await signDraft(one, { key: ROOT.key, certificate: ROOT.certificate });
    const later = { key, certificate: parseCertificate(der) };
    assert.deepEqual(learn([vouch(later, FIRST)]), names(FIRST));
  }
});

test("learnIssuers() pins at the first contact no CA that could certify other names, or CAs", async () => {
  const key = await generatePrivateKey("p256");
  const { pathLength: _, ...unbounded } = draftIssuing(key).basicConstraints ??
    { isCa: true, isCritical: true };
  const unconstrained = await signDraft(draftIssuing(key), ROOT);
  const rows = [
    [unconstrained, "the issuing CA is not constrained to pki.internal"],
    [OTHER_DOMAIN.issuing.certificate.der, "the issuing CA is not of this root"],
    [
      await signDraft({ ...draftIssuing(key), basicConstraints: unbounded }, ROOT),
      "the issuing CA may have a CA below it",
    ],
  ] as const;
  for (const [der, why] of rows) {
    const current = parseCertificate(der);
    const options = { anchor: ANCHOR, successions: [], current, nowMs: NOW_MS };
    assert.throws(() => learnIssuers(options), {
      kind: "untrusted",
      message: `cannot trust certificate: ${why}`,
    });
  }
});

test("isVouched() says whether the CA that is named has signed", () => {
  assert.equal(isVouched(good, ROOT.certificate), true);
  assert.equal(isVouched(vouch(SECOND, STRANGER), ROOT.certificate), true);
  assert.equal(isVouched({ ...good, by: fp(THIRD) }, ROOT.certificate), false);
  assert.equal(isVouched(vouch(SECOND, ROOT), OTHER.root.certificate), false);
});

test("learnRoot() follows the signatures of roots, and nothing else", async () => {
  const [newer, newest] = [OTHER.root, (await makeTestCa()).root];
  const link = (later: Holder, by: Holder, kind: Succession["kind"] = "root") =>
    vouchFor(later.certificate, { kind, by: by.certificate, key: by.key, isByRoot: true });
  const root = ROOT.certificate;
  const found = (...successions: readonly Succession[]) =>
    learnRoot({ root, successions, nowMs: NOW_MS })?.der;
  assert.equal(found(), undefined);
  assert.equal(found(link(newer, newest)), undefined);
  assert.equal(found(link(newer, ROOT, "issuing")), undefined);
  assert.equal(found({ ...link(newer, newest), by: fp(ROOT) }), undefined);
  assert.equal(found(link(FIRST, ROOT)), undefined, "not a root");
  assert.deepEqual(found(link(newer, ROOT)), newer.certificate.der);
  assert.deepEqual(found(link(newest, newer), link(newer, ROOT)), newest.certificate.der);
  assert.deepEqual(found(link(newer, ROOT), link(ROOT, newer)), newer.certificate.der);
});
