import assert from "node:assert/strict";
import { test } from "node:test";
import { describeStanding, markStanding } from "../../commands/standing.ts";
import type { Identity, IdentityState } from "../../lib/client/identities.ts";

const NOW = Date.UTC(2026, 10, 26, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A state, how much time is left, what is said, and what the prompt says. */
const ROWS: ReadonlyArray<readonly [IdentityState, number | undefined, string, string?]> = [
  ["no-certificate", undefined, "no certificate yet; CSR gets one", "no certificate"],
  ["no-key", undefined, "no certificate yet; CSR gets one", "no certificate"],
  ["no-key", DAY, "no key here; CSR makes one and has it certified", "no key"],
  ["damaged", undefined, "the certificate here cannot be read; CSR gets another", "damaged"],
  [
    "untrusted",
    DAY,
    "the certificate is not under the pinned root; CSR gets another",
    "untrusted",
  ],
  ["expired", -DAY, "the certificate has ended on 2026-11-25; CSR gets another", "expired"],
  [
    "not-yet-valid",
    DAY,
    "the certificate is not good yet; is the clock of this machine right?",
    "not yet valid",
  ],
  [
    "expiring",
    3 * DAY,
    "certified until 2026-11-29 (3 days); it is time to RENEW",
    "expiring",
  ],
  ["valid", 29.9 * DAY, "certified until 2026-12-26 (29 days)"],
  ["valid", 2 * DAY, "certified until 2026-11-28 (2 days)"],
  ["valid", 2 * DAY - 1, "certified until 2026-11-28 (47 hours)"],
  ["valid", 2 * HOUR - 1, "certified until 2026-11-26 (119 minutes)"],
  ["valid", 1, "certified until 2026-11-26 (about a minute)"],
];

test("describeStanding() and markStanding() say what is good, or what to do", () => {
  for (const [state, leftMs, text, mark] of ROWS) {
    const identity = {
      id: "alice",
      state,
      ...(leftMs === undefined ? {} : { certificate: { leaf: { notAfterMs: NOW + leftMs } } }),
    } as Identity;
    assert.equal(describeStanding(identity, NOW), text);
    assert.equal(markStanding(identity), mark);
  }
});
