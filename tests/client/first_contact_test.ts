import assert from "node:assert/strict";
import { test } from "node:test";
import { findAnchor, parseFingerprint } from "../../lib/client/first_contact.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { assertFails, DAY_MS, DOMAIN, makeCa, NOW_MS } from "../fakes/directory.ts";
import { inHome } from "./temporary_home.ts";

const CA = await makeCa();
const FINGERPRINT = fingerprintOf(CA.root.der);

const HEX = "0123456789abcdef".repeat(4);

test("parseFingerprint() reads a fingerprint as people write it", () => {
  const colons = HEX.replace(/..(?=.)/g, "$&:");
  for (const text of [HEX, HEX.toUpperCase(), colons, colons.toUpperCase()]) {
    assert.equal(parseFingerprint(text), HEX);
  }
});

test("parseFingerprint() refuses what has not 64 hexadecimal digits", () => {
  const bad = [
    "",
    ":",
    HEX.slice(1),
    `${HEX}0`,
    HEX.slice(0, 40), // SHA-1
    `g${HEX.slice(1)}`,
    ` ${HEX}`,
    `${HEX}\n`,
    `0x${HEX}`,
    `sha256:${HEX}`,
    `０${HEX.slice(1)}`,
    `${HEX.slice(0, 32)} ${HEX.slice(32)}`,
  ];
  for (const text of bad) {
    assert.throws(() => parseFingerprint(text), {
      name: "PkiError",
      kind: "usage",
      message: "cannot use the fingerprint: 64 hexadecimal digits are needed",
    }, JSON.stringify(text));
  }
});

/** With a pinned root nobody is asked and nothing is dialled. */
const OPTIONS = {
  address: { host: "192.0.2.1", port: 1 },
  nowMs: NOW_MS,
  fingerprint: undefined,
  ask: () => Promise.reject(new Error("asked")),
  note: () => assert.fail("noted"),
};

test("findAnchor() returns the pinned root, and checks a fingerprint against it", async () => {
  await inHome(async (home) => {
    home.pin({ root: CA.root, domain: DOMAIN }, "localhost:7443");
    for (const fingerprint of [undefined, FINGERPRINT]) {
      const { anchor } = await findAnchor({ ...OPTIONS, home, fingerprint });
      assert.deepEqual(anchor.root.der, CA.root.der);
      assert.equal(anchor.domain, DOMAIN);
    }
    await assertFails(
      findAnchor({ ...OPTIONS, home, fingerprint: HEX }),
      "untrusted",
      `the pinned root is ${FINGERPRINT}, not ${HEX}`,
    );
    await assertFails(
      findAnchor({ ...OPTIONS, home, nowMs: NOW_MS + 21 * 365 * DAY_MS }),
      "untrusted",
      /the root expired/,
    );
    assert.deepEqual(home.loadAnchor(NOW_MS)?.root.der, CA.root.der);
  });
});
