/** How often an address may begin a handshake, by a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { type ArrivalLimits, ArrivalRates } from "../../lib/server/arrival_rates.ts";

const LIMITED: ArrivalLimits = { perSecond: 5, perSecondOnLoopback: 0, addressesPerSite: 3 };
const AT_ONCE = 5 * LIMITS.handshakeBurstSeconds;
const MANY = 1000;

function open(limits: Partial<ArrivalLimits> = {}) {
  const rates = new ArrivalRates(new Uint8Array(32).fill(3));
  rates.configure({ ...LIMITED, ...limits });
  return {
    rates,
    /** How many of many are admitted, each from the address that its number gives. */
    admitted: (nowMs: number, addressOf: (count: number) => string) =>
      Array.from({ length: MANY }, (_, count) => rates.admit(addressOf(count), nowMs))
        .filter((isIn) => isIn).length,
  };
}

/** One address of each /64 of a /48. */
const ofSite = (home: number, site = 1) => `2001:db8:${site}:${home.toString(16)}::1`;

test("ArrivalRates.admit() has a rate for each address, and as many at once as in some seconds", () => {
  const { admitted } = open();
  const one = () => "192.0.2.1";
  assert.equal(admitted(0, one), AT_ONCE);
  assert.equal(admitted(199, one), 0);
  assert.equal(admitted(200, one), 1);
  assert.equal(admitted(1200, one), 5);
  assert.equal(admitted(1200, () => "192.0.2.2"), AT_ONCE, "others do not notice");
  assert.equal(admitted(10_000_000, one), AT_ONCE, "and never more");
  assert.equal(admitted(10_000_000, () => "::ffff:192.0.2.1"), 0, "the same, as IPv6 has it");
});

test("ArrivalRates.admit() has a rate for all networks of a site, a few times an address'", () => {
  const { admitted } = open();
  assert.equal(admitted(0, () => ofSite(1)), AT_ONCE);
  assert.equal(admitted(0, (count) => `2001:db8:1:1::${count.toString(16)}`), 0, "one /64");
  assert.equal(admitted(0, (count) => ofSite(2 + count)), 2 * AT_ONCE);
  assert.equal(admitted(1000, (count) => ofSite(2 + count)), 15);
  assert.equal(admitted(1000, (count) => ofSite(2 + count, 2)), 3 * AT_ONCE, "another site");
});

test("ArrivalRates.admit() counts only what it admits", () => {
  const { admitted } = open();
  admitted(0, (count) => ofSite(count)); // the site has no more
  assert.equal(admitted(1000, () => ofSite(0xffff)), 15, "of its own it had used nothing");
});

test("ArrivalRates.configure() spares this machine unless it is said, and forgets nothing that stays", () => {
  const { rates, admitted } = open();
  assert.equal(admitted(0, () => "127.0.0.1"), MANY);
  assert.equal(admitted(0, () => "::1"), MANY);
  assert.equal(admitted(0, () => "192.0.2.1"), AT_ONCE);
  rates.configure({ ...LIMITED, perSecondOnLoopback: 1 });
  assert.equal(admitted(0, () => "127.0.0.1"), LIMITS.handshakeBurstSeconds);
  assert.equal(admitted(0, () => "127.0.0.2"), LIMITS.handshakeBurstSeconds);
  assert.equal(admitted(0, () => "::1"), LIMITS.handshakeBurstSeconds);
  assert.equal(admitted(0, () => "192.0.2.1"), 0);
  rates.configure({ ...LIMITED, perSecond: 0 });
  assert.equal(admitted(0, () => "192.0.2.1"), MANY);
  assert.equal(admitted(0, () => ofSite(1)), MANY);
});
