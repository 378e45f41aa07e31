import assert from "node:assert/strict";
import { test } from "node:test";
import { describeIdentityState, type IdentityState } from "../../commands/identity_state.ts";

const NOW = Date.UTC(2026, 10, 26, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const ROWS: ReadonlyArray<readonly [IdentityState, string]> = [
  [{ kind: "none" }, "no certificate yet; CSR gets one"],
  [
    { kind: "unusable", why: "it is torn" },
    "the certificate here is of no use (it is torn); CSR gets another",
  ],
  [
    { kind: "expired", notAfterMs: NOW - DAY },
    "the certificate has ended on 2026-11-25; CSR gets another",
  ],
  [{ kind: "certified", notAfterMs: NOW + 29.9 * DAY }, "certified until 2026-12-26 (29 days)"],
  [{ kind: "certified", notAfterMs: NOW + 2 * DAY }, "certified until 2026-11-28 (2 days)"],
  [{ kind: "certified", notAfterMs: NOW + 2 * DAY - 1 }, "certified until 2026-11-28 (47 hours)"],
  [
    { kind: "certified", notAfterMs: NOW + 2 * HOUR - 1 },
    "certified until 2026-11-26 (119 minutes)",
  ],
  [{ kind: "certified", notAfterMs: NOW + 1 }, "certified until 2026-11-26 (about a minute)"],
];

test("describeIdentityState() says until when, and what to do where there is no certificate", () => {
  for (const [state, text] of ROWS) assert.equal(describeIdentityState(state, NOW), text);
});
