import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { test } from "node:test";
import { encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import {
  encodeLogKey,
  isOriginOf,
  judgeLogKey,
  parseLogKey,
  type ShownLogKey,
} from "../../lib/client/log_key.ts";
import { encodeVerifierKey } from "../../lib/log/note.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import { DOMAIN, makeTestCa } from "../fakes/ca.ts";
import { FakeLog, makeLogKey, showKey } from "./fake_log.ts";

const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();
const { anchor: ANCHOR } = CA.judging;
const KEY = makeLogKey();
const LOG = new FakeLog({ root: CA.root, key: KEY });
const DIGITS = fingerprintOf(ANCHOR.root.der).slice(0, 16);
const OTHER_DIGITS = fingerprintOf(OTHER_CA.root.certificate.der).slice(0, 16);

/** Signed by the root, whatever it is. */
function signed(key: string, label: "pki/1 log key" | "pki/1 CERTUP" = "pki/1 log key") {
  return { key, signature: encodeBase64(signLabelled(CA.root.key, label, utf8(key))) };
}

/** By an issuing CA, as where the root is somebody else's. */
function signedByIssuing(issuing: typeof CA.issuing, text = LOG.shown.key): ShownLogKey {
  const signature = signLabelled(issuing.key, "pki/1 log key", utf8(text));
  return {
    key: text,
    signature: encodeBase64(signature),
    issuer: encodeBase64(issuing.certificate.der),
  };
}

const PINNED = { ...ANCHOR, issuers: new Set([fingerprintOf(CA.issuing.certificate.der)]) };

const NOT_SIGNED = "its key is not signed by the pinned root";
const NOT_PINNED = "its key is signed by an issuing CA that is not pinned";
const UNREADABLE = "its key cannot be read";

const REFUSALS: readonly (readonly [what: string, shown: ShownLogKey, why: string])[] = [
  ["a signature by another root", showKey(LOG.origin, KEY, OTHER_CA.root), NOT_SIGNED],
  ["a signature by the issuing CA", showKey(LOG.origin, KEY, CA.issuing), NOT_SIGNED],
  ["a signature over another key", {
    key: encodeVerifierKey(LOG.origin, createPublicKey(makeLogKey())),
    signature: LOG.shown.signature,
  }, NOT_SIGNED],
  ["a signature over another name", {
    key: encodeVerifierKey(`${DOMAIN}/${DIGITS}/2`, createPublicKey(KEY)),
    signature: LOG.shown.signature,
  }, NOT_SIGNED],
  ["a signature made for something else", signed(LOG.shown.key, "pki/1 CERTUP"), NOT_SIGNED],
  ["a signature that is none", { ...LOG.shown, signature: "AAAA" }, NOT_SIGNED],
  ["a key that is none", signed("key"), UNREADABLE],
  ["a name that is no origin", showKey("log", KEY, CA.root), UNREADABLE],
  ["generation 0", showKey(`${DOMAIN}/${DIGITS}/0`, KEY, CA.root), UNREADABLE],
  ["no generation", showKey(`${DOMAIN}/${DIGITS}`, KEY, CA.root), UNREADABLE],
  [
    "another trust domain",
    showKey(`other.test/${DIGITS}/1`, KEY, CA.root),
    `its key is for another log, "other.test/${DIGITS}/1"`,
  ],
  [
    "another root",
    showKey(`${DOMAIN}/${OTHER_DIGITS}/1`, KEY, CA.root),
    `its key is for another log, "${DOMAIN}/${OTHER_DIGITS}/1"`,
  ],
  ["a signature by another issuing CA", signedByIssuing(OTHER_CA.issuing), NOT_PINNED],
  [
    "an issuing CA that is none",
    { ...signedByIssuing(CA.issuing), issuer: "AAAA" },
    "the issuing CA that has signed its key cannot be read",
  ],
  [
    "the root's signature in the name of the issuing CA",
    { ...LOG.shown, issuer: encodeBase64(CA.issuing.certificate.der) },
    "its key is not signed by the issuing CA that it names",
  ],
];

for (const [what, shown, why] of REFUSALS) {
  test(`judgeLogKey() and parseLogKey() refuse ${what}`, () => {
    const error = {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the server's log: ${why}`,
    };
    const text = [shown.key, shown.signature, ...(shown.issuer ? [shown.issuer] : []), ""];
    assert.throws(() => judgeLogKey(shown, PINNED), error);
    assert.throws(() => parseLogKey(text.join("\n"), PINNED), error);
  });
}

test("judgeLogKey() believes a key that the pinned root has signed, of any generation", () => {
  for (const generation of [1, 2, 17]) {
    const log = new FakeLog({ root: CA.root, generation });
    const key = judgeLogKey(log.shown, ANCHOR);
    assert.equal(key.generation, generation);
    assert.equal(key.note.name, `${DOMAIN}/${DIGITS}/${generation}`);
    assert.deepEqual(key.shown, log.shown);
    assert.deepEqual(parseLogKey(encodeLogKey(key), ANCHOR), key);
  }
});

test("judgeLogKey() believes a pinned issuing CA, and none before one is pinned", () => {
  const shown = signedByIssuing(CA.issuing);
  const key = judgeLogKey(shown, PINNED);
  assert.equal(key.signedBy, "issuing");
  assert.equal(judgeLogKey(LOG.shown, PINNED).signedBy, "root");
  assert.deepEqual(parseLogKey(encodeLogKey(key), PINNED), key);
  assert.throws(() => judgeLogKey(shown, ANCHOR), {
    kind: "untrusted",
    message: `cannot trust the server's log: ${NOT_PINNED}`,
  });
});

test("parseLogKey() refuses what has not two lines", () => {
  const { key, signature } = LOG.shown;
  const texts = ["", "\n", key, `${key}\n${signature}`, `${key}\n${signature}\n\n\n`, `${key}\n`];
  for (const text of texts) {
    assert.throws(() => parseLogKey(text, ANCHOR), {
      kind: "malformed",
      message: "cannot read the log's key: it has not two lines, or three",
    }, JSON.stringify(text));
  }
});

test("isOriginOf() compares trust domain and root", () => {
  const rows: readonly (readonly [string, boolean])[] = [
    [`other.test/${DIGITS}/1`, false],
    [`${DOMAIN}/${OTHER_DIGITS}/1`, false],
    [`${DOMAIN}/${DIGITS}/1`, true],
    [`${DOMAIN}/${DIGITS}/2`, true],
  ];
  for (const [origin, isOurs] of rows) assert.equal(isOriginOf(origin, ANCHOR), isOurs, origin);
});
