/** Who may come in: both sides of each bound, and that nothing is counted for ever. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Admission, type AdmissionLimits, type Guest } from "../../lib/server/admission.ts";

const LIMITS: AdmissionLimits = {
  socketsMax: 8,
  handshakeMs: 1000,
  each: { connections: 3, handshakes: 2 },
  local: { connections: Infinity, handshakes: Infinity },
  addressesPerSite: 2,
};

/** A hotel for names of sockets. */
function open(limits: Partial<AdmissionLimits> = {}) {
  const admission = new Admission<string>({ ...LIMITS, ...limits });
  let port = 0;
  /** A socket of an address, and what is done with it. */
  const come = (address: string, nowMs = 0) => {
    const peer = { address, port: ++port };
    const guest = admission.arrive(peer, `${address} ${port}`, nowMs);
    return { peer, guest };
  };
  return {
    admission,
    come,
    /** A handshake at once, and a connection if there may be one. */
    connect: (address: string) => {
      const { peer, guest } = come(address);
      return { guest, entry: guest && admission.connect(peer) };
    },
  };
}

test("Admission bounds handshakes of an address, and not those of others", () => {
  const { admission, come } = open();
  const first = come("192.0.2.1");
  assert.ok(first.guest);
  assert.ok(come("192.0.2.1").guest);
  assert.equal(come("192.0.2.1").guest, undefined);
  assert.ok(come("192.0.2.2").guest);
  assert.deepEqual([admission.handshakes, admission.dropped], [3, 1]);
  admission.greet(first.peer);
  admission.greet(first.peer); // twice is once
  assert.deepEqual([admission.handshakes, admission.sockets], [2, 3]);
  assert.ok(come("192.0.2.1").guest);
});

test("Admission bounds connections of an address, and those who hear that as well", () => {
  const { admission, connect } = open();
  for (let count = 0; count < 3; count++) assert.equal(connect("192.0.2.1").entry, "connected");
  const fourth = connect("192.0.2.1");
  assert.equal(fourth.entry, "too many");
  assert.equal(connect("192.0.2.2").entry, "connected");
  assert.equal(connect("192.0.2.1").entry, "too many");
  assert.equal(connect("192.0.2.1").guest, undefined, "five sockets are connections + handshakes");
  if (fourth.guest) admission.leave(fourth.guest);
  assert.equal(connect("192.0.2.1").entry, "too many", "it was not counted as a connection");
});

test("Admission.connect() counts a connection once, whoever asks again by its name", () => {
  const { admission, come, connect } = open();
  const { peer, guest } = come("192.0.2.1");
  assert.equal(admission.connect(peer), "connected");
  assert.equal(admission.connect(peer), "connected");
  assert.equal(connect("192.0.2.1").entry, "connected");
  if (guest) admission.leave(guest);
  assert.equal(connect("192.0.2.1").entry, "connected");
  assert.equal(connect("192.0.2.1").entry, "connected", "three are allowed");
});

test("Admission counts a home network of IPv6 as one address", () => {
  const { connect } = open();
  for (const host of ["1", "2", "3"]) {
    assert.equal(connect(`2001:db8:0:1::${host}`).entry, "connected");
  }
  assert.equal(connect("2001:db8:0:1:ffff::9").entry, "too many");
  assert.equal(connect("2001:db8:0:2::1").entry, "connected");
});

/** An address of each /64 of a /48. */
const ofSite = (home: number, site = 1) => `2001:db8:${site}:${home.toString(16)}::1`;

test("Admission bounds what all networks of a site have, at a few times an address", () => {
  const { admission, connect } = open({ socketsMax: 100 });
  const entries = Array.from({ length: 8 }, (_, home) => connect(ofSite(home)));
  assert.deepEqual(
    entries.map(({ entry }) => entry),
    [...Array(6).fill("connected"), "too many", "too many"],
  );
  assert.equal(connect(ofSite(1, 2)).entry, "connected", "another site");
  assert.equal(connect("192.0.2.1").entry, "connected");
  assert.equal(connect("::ffff:192.0.2.1").entry, "connected", "the same address, as IPv6 has it");
  assert.equal(connect("192.0.2.1").entry, "connected");
  assert.equal(connect("::ffff:192.0.2.1").entry, "too many");
  const [first] = entries;
  if (first?.guest) admission.leave(first.guest);
  assert.equal(connect(ofSite(9)).entry, "connected", "there is room again");
  // 6 are connected and 2 are about leaving; 10 are connections + handshakes.
  assert.equal(connect(ofSite(10)).entry, "too many");
  assert.equal(connect(ofSite(11)).entry, "too many");
  assert.equal(connect(ofSite(12)).guest, undefined);
});

test("Admission bounds handshakes under way of a site", () => {
  const { admission, come } = open({ socketsMax: 100 });
  const came = Array.from({ length: 5 }, (_, home) => come(ofSite(home)));
  assert.deepEqual(came.map(({ guest }) => guest !== undefined), [true, true, true, true, false]);
  assert.ok(come(ofSite(1, 2)).guest, "another site");
  const [first] = came;
  if (first) admission.greet(first.peer);
  assert.ok(come(ofSite(6)).guest);
  assert.equal(come(ofSite(7)).guest, undefined);
  assert.equal(admission.dropped, 2);
});

test("Admission spares this machine, but for the bound on all sockets", () => {
  const { admission, connect, come } = open();
  for (let count = 0; count < 7; count++) assert.equal(connect("127.0.0.1").entry, "connected");
  assert.ok(come("::1").guest);
  assert.equal(come("192.0.2.1").guest, undefined);
  assert.equal(admission.sockets, 8);
  admission.configure({ ...LIMITS, socketsMax: 100, local: LIMITS.each });
  assert.equal(connect("127.0.0.1").guest, undefined, "from now on");
});

test("Admission.overdue() names handshakes that take too long, and nothing else", () => {
  const { admission, come } = open();
  come("192.0.2.1", 0);
  const done = come("192.0.2.1", 0);
  admission.connect(done.peer);
  come("192.0.2.2", 500);
  assert.deepEqual(admission.overdue(999), []);
  assert.deepEqual(admission.overdue(1000), ["192.0.2.1 1"]);
  assert.deepEqual(admission.overdue(1500), ["192.0.2.1 1", "192.0.2.2 3"]);
});

test("Admission tells a port's new owner from the one before", () => {
  const { admission } = open();
  const peer = { address: "192.0.2.1", port: 5 };
  const before = admission.arrive(peer, "before", 0);
  assert.equal(admission.connect(peer), "connected");
  const after = admission.arrive(peer, "after", 0);
  if (before) admission.leave(before); // heard of late
  if (before) admission.leave(before);
  assert.equal(admission.connect(peer), "connected");
  if (after) admission.leave(after);
  assert.equal(admission.connect(peer), "gone");
  assert.deepEqual([admission.sockets, admission.networks], [0, 0]);
});

test("Admission has forgotten everything when everybody has left, whatever they did", () => {
  const addresses = ["192.0.2.1", "192.0.2.2", "127.0.0.1", "", ofSite(1), ofSite(2), ofSite(3)];
  const address = fc.constantFrom(...addresses);
  const step = fc.tuple(fc.constantFrom("arrive", "greet", "connect", "leave"), address, fc.nat(5));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { admission } = open();
      const guests: Guest<string>[] = [];
      for (const [what, address, port] of steps) {
        const peer = { address, port };
        if (what === "arrive") {
          const guest = admission.arrive(peer, "", 0);
          if (guest) guests.push(guest);
        } else if (what === "greet") admission.greet(peer);
        else if (what === "connect") admission.connect(peer);
        else {
          const [guest] = guests.splice(port, 1);
          if (guest) admission.leave(guest);
        }
        assert.equal(admission.sockets, guests.length);
        assert.ok(guests.length <= LIMITS.socketsMax);
        const connected = guests.filter(({ state }) => state === "connected");
        for (const [home, own] of Map.groupBy(connected, ({ networks }) => networks.home)) {
          assert.ok(home.startsWith("ipv4 127.") || own.length <= 3, home);
        }
        for (const [site, own] of Map.groupBy(connected, ({ networks }) => networks.site)) {
          assert.ok(site === undefined || own.length <= 6, `${site}`);
        }
      }
      for (const guest of guests) admission.leave(guest);
      assert.deepEqual([admission.sockets, admission.handshakes, admission.networks], [0, 0, 0]);
    }),
  );
});
