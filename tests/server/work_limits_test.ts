/** What costs a signature or an entry, by a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { NO_WORK_LIMITS, WorkLimits, type WorkRates } from "../../lib/server/work_limits.ts";

function open(rates: Partial<WorkRates>) {
  const clock = { nowMs: 0 };
  const limits = new WorkLimits({ key: new Uint8Array(32).fill(7), now: () => clock.nowMs });
  limits.configure({ ...NO_WORK_LIMITS, ...rates });
  return { limits, clock };
}

/** How often it goes before it is refused, up to 1,000 times; and what the refusal says. */
function count(charge: () => void): readonly [number, string | undefined] {
  for (let times = 0; times < 1000; times++) {
    try {
      charge();
    } catch (error) {
      assert.equal((error as { kind?: string }).kind, "busy");
      return [times, (error as Error).message];
    }
  }
  return [1000, undefined];
}

const STRANGER = { user: undefined, address: "192.0.2.1" };

test("WorkLimits bounds OCSP responses for each address, and for each user apart from it", () => {
  const { limits, clock } = open({ statusesPerMinute: 12 });
  const words = "cannot tell the status: too many were asked for, try again in 5 s";
  assert.deepEqual(count(() => limits.chargeStatus(STRANGER)), [12, words]);
  assert.deepEqual(count(() => limits.chargeStatus({ ...STRANGER, user: "alice" })), [12, words]);
  assert.equal(count(() => limits.chargeStatus({ ...STRANGER, address: "192.0.2.2" }))[0], 12);
  clock.nowMs = 4999;
  assert.equal(count(() => limits.chargeStatus(STRANGER))[0], 0);
  clock.nowMs = 5000;
  assert.equal(count(() => limits.chargeStatus(STRANGER))[0], 1);
  clock.nowMs = 5000 + 60_000;
  assert.equal(count(() => limits.chargeStatus(STRANGER))[0], 12, "and never more");
});

test("WorkLimits counts a home network of IPv6 as one address, and this machine by itself", () => {
  const { limits } = open({ statusesPerMinute: 3 });
  const at = (address: string) => () => limits.chargeStatus({ user: undefined, address });
  assert.equal(count(at("2001:db8:0:1::1"))[0], 3);
  assert.equal(count(at("2001:db8:0:1::2"))[0], 0);
  assert.equal(count(at("2001:db8:0:2::1"))[0], 3);
  assert.equal(count(at("127.0.0.1"))[0], 1000);
  limits.configure({ ...NO_WORK_LIMITS, statusesPerMinute: 3, statusesPerMinuteOnLoopback: 2 });
  assert.equal(count(at("127.0.0.1"))[0], 2);
  assert.equal(count(at("2001:db8:0:2::1"))[0], 0, "what stays as it was is not forgotten");
});

test("WorkLimits bounds an account's entries, and leaves it a new password", () => {
  const { limits, clock } = open({ entriesPerHour: 100 });
  assert.deepEqual(count(() => limits.chargeEntry("alice")), [
    100,
    "cannot do this: too many entries of the log by this account, try again in 36 s",
  ]);
  assert.equal(count(() => limits.chargeEntry("bob"))[0], 100);
  assert.deepEqual(count(() => limits.chargePassword("alice")), [
    100,
    "cannot change the password: it was changed too often, try again in 36 s",
  ]);
  clock.nowMs = 36_000;
  assert.equal(count(() => limits.chargeEntry("alice"))[0], 1);
});

test("WorkLimits admits everything where there are no bounds, and a load test by the standard ones", () => {
  assert.equal(count(() => open({}).limits.chargeEntry("alice"))[0], 1000);
  const { limits, clock } = open({ entriesPerHour: SERVER_LIMITS.entriesPerHour.standard });
  // One account that has 2,000 certificates made each second for five minutes.
  for (; clock.nowMs < 300_000; clock.nowMs += 0.5) limits.chargeEntry("alice");
});
