/** What costs a signature or an entry, by a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { KEEP_EXPIRED_MS } from "../../lib/server/revocation_list.ts";
import { NO_WORK_LIMITS, WorkLimits, type WorkRates } from "../../lib/server/work_limits.ts";
import { encodeCrlEntries } from "../../lib/x509/crl_entries.ts";

/** Of a certificate on a list that says why. */
const ENTRY_BYTES =
  encodeCrlEntries([{ serial: "7f".repeat(20), revokedMs: 0, reason: "keyCompromise" }]).length;

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
  const { limits } = open({ statusesPerMinute: 3, addressesPerSite: 3 });
  const at = (address: string) => () => limits.chargeStatus({ user: undefined, address });
  assert.equal(count(at("2001:db8:0:1::1"))[0], 3);
  assert.equal(count(at("2001:db8:0:1::2"))[0], 0);
  assert.equal(count(at("2001:db8:0:2::1"))[0], 3);
  assert.equal(count(at("127.0.0.1"))[0], 1000);
  limits.configure({
    ...NO_WORK_LIMITS,
    ...{ statusesPerMinute: 3, statusesPerMinuteOnLoopback: 2, addressesPerSite: 3 },
  });
  assert.equal(count(at("127.0.0.1"))[0], 2);
  assert.equal(count(at("2001:db8:0:2::1"))[0], 0, "what stays as it was is not forgotten");
});

test("WorkLimits bounds what all networks of a site ask for, and no user for where they are", () => {
  const { limits } = open({ statusesPerMinute: 3, addressesPerSite: 2 });
  const at = (address: string, user?: string) => () => limits.chargeStatus({ user, address });
  assert.equal(count(at("2001:db8:0:1::1"))[0], 3);
  assert.equal(count(at("2001:db8:0:2::1"))[0], 3);
  assert.deepEqual(count(at("2001:db8:0:3::1")), [
    0,
    "cannot tell the status: too many were asked for, try again in 10 s",
  ]);
  assert.equal(count(at("2001:db8:0:3::1", "alice"))[0], 3);
  assert.equal(count(at("2001:db8:1:1::1"))[0], 3, "another site");
});

const by = (user: string, address = STRANGER.address) => ({ user, address });

test("WorkLimits bounds an account's entries, and leaves it a new password", () => {
  const { limits, clock } = open({ entriesPerHour: 100 });
  assert.deepEqual(count(() => limits.chargeEntry(by("alice"))), [
    100,
    "cannot do this: too many entries of the log by this account, try again in 36 s",
  ]);
  assert.equal(count(() => limits.chargeEntry(by("alice", "192.0.2.2")))[0], 0, "from anywhere");
  assert.equal(count(() => limits.chargeEntry(by("bob")))[0], 100);
  assert.deepEqual(count(() => limits.chargePassword(by("alice"))), [
    100,
    "cannot change the password: it was changed too often, try again in 36 s",
  ]);
  clock.nowMs = 36_000;
  assert.equal(count(() => limits.chargeEntry(by("alice")))[0], 1);
});

test("WorkLimits spares this machine in entries, unless it has a bound of its own", () => {
  const { limits } = open({ entriesPerHour: 3 });
  assert.equal(count(() => limits.chargeEntry(by("alice", "127.0.0.1")))[0], 1000);
  assert.equal(count(() => limits.chargeEntry(by("alice", "::1")))[0], 1000);
  assert.equal(count(() => limits.chargePassword(by("alice", "127.0.0.1")))[0], 1000);
  limits.configure({ ...NO_WORK_LIMITS, entriesPerHour: 3, entriesPerHourOnLoopback: 2 });
  assert.equal(count(() => limits.chargeEntry(by("alice", "::1")))[0], 2);
  assert.equal(count(() => limits.chargeEntry(by("alice", "127.0.0.1")))[0], 0);
  assert.equal(count(() => limits.chargeEntry(by("alice")))[0], 3);
});

test("WorkLimits admits everything where there are no bounds", () => {
  assert.equal(count(() => open({}).limits.chargeEntry(by("alice")))[0], 1000);
});

test("no account alone can have more revoked than a revocation list may have, by the standard bound", () => {
  // All that is issued is revoked, and is on the list until a week behind its end.
  const daysListed = LIMITS.userDays + KEEP_EXPIRED_MS / LIMITS.dayMs;
  const revoked = SERVER_LIMITS.entriesPerHour.standard * (1 + 24 * daysListed);
  assert.ok(revoked * ENTRY_BYTES < LIMITS.crlBytesMax / 2, `${revoked} certificates`);
});
