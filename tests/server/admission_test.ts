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
    return { peer, ...admission.arrive(peer, `${address} ${port}`, nowMs) };
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

/** Who has handshakes under way on eight places, one after the other; who comes; who gives way. */
const DISPLACING: readonly (readonly [
  what: string,
  here: readonly (readonly [address: string, handshakes: number])[],
  comes: string,
  displaced: string | undefined,
])[] = [
  ["all of one", [["192.0.2.1", 8]], "192.0.2.2", "192.0.2.1 1"],
  ["most of one", [["192.0.2.1", 3], ["192.0.2.2", 5]], "192.0.2.3", "192.0.2.2 4"],
  ["as many of two", [["192.0.2.1", 4], ["192.0.2.2", 4]], "192.0.2.3", "192.0.2.1 1"],
  [
    "two more of two than of the newcomer",
    [["192.0.2.1", 3], ["192.0.2.2", 3], ["192.0.2.3", 2]],
    "192.0.2.4",
    "192.0.2.1 1",
  ],
  [
    "no more than of the newcomer with it",
    [["192.0.2.1", 4], ["192.0.2.2", 4]],
    "192.0.2.2",
    undefined,
  ],
  [
    "two more of one than of the newcomer",
    [["192.0.2.1", 5], ["192.0.2.2", 3]],
    "192.0.2.2",
    "192.0.2.1 1",
  ],
  [
    "one more of two than of the newcomer",
    [["192.0.2.1", 3], ["192.0.2.2", 3], ["192.0.2.3", 2]],
    "192.0.2.3",
    undefined,
  ],
  ["all of the newcomer", [["192.0.2.1", 8]], "192.0.2.1", undefined],
  ["all of the newcomer's /64", [["2001:db8:1:1::1", 8]], "2001:db8:1:1::2", undefined],
  ["all of the newcomer's /48", [["2001:db8:1:1::1", 8]], "2001:db8:1:2::1", undefined],
  ["all of another /48", [["2001:db8:1:1::1", 8]], "2001:db8:2:1::1", "2001:db8:1:1::1 1"],
  [
    "most of a /48, one of each /64",
    [["192.0.2.1", 2], ...Array.from({ length: 6 }, (_, home) => [ofSite(home), 1] as const)],
    "192.0.2.2",
    `${ofSite(0)} 3`,
  ],
  ["all of this machine", [["127.0.0.1", 8]], "192.0.2.1", "127.0.0.1 1"],
  [
    "one of each",
    Array.from({ length: 8 }, (_, host) => [`192.0.2.${host}`, 1] as const),
    "192.0.2.9",
    undefined,
  ],
];

for (const [what, here, comes, displaced] of DISPLACING) {
  test(`Admission has ${displaced ? "one" : "nobody"} give way where all places are taken: ${what}`, () => {
    const { admission, come } = open({ each: { connections: 9, handshakes: 9 } });
    for (const [address, handshakes] of here) {
      for (let count = 0; count < handshakes; count++) {
        const arrival = come(address);
        assert.ok(arrival.guest && arrival.displaced === undefined, "there is room");
      }
    }
    const arrival = come(comes);
    assert.equal(arrival.displaced, displaced);
    assert.equal(arrival.guest !== undefined, displaced !== undefined);
    assert.deepEqual([admission.sockets, admission.handshakes], [8, 8]);
    assert.equal(admission.dropped, displaced === undefined ? 1 : 0);
  });
}

test("Admission lets others in whoever says nothing from many addresses, and goes on coming", () => {
  const { admission, come } = open({
    socketsMax: 1256,
    each: { connections: 256, handshakes: 64 },
  });
  const attackers = Array.from({ length: 20 }, (_, host) => `192.0.2.${host}`);
  const storm = () => {
    for (let round = 0; round < 64; round++) for (const address of attackers) come(address);
  };
  storm();
  assert.equal(admission.sockets, 1256);
  const others = Array.from({ length: 100 }, (_, host) => {
    const arrival = come(`198.51.100.${host}`);
    assert.ok(arrival.guest, `the other one of ${host}`);
    assert.match(arrival.displaced ?? "nobody", /^192\.0\.2\./);
    return arrival;
  });
  storm();
  for (const { peer, guest } of others) {
    assert.equal(guest?.state, "handshake");
    assert.equal(admission.connect(peer), "connected");
  }
  assert.equal(admission.sockets, 1256);
});

test("Admission has nobody give way who is past the handshake, nor for one who has too many", () => {
  const { admission, come } = open({ each: { connections: 6, handshakes: 3 } });
  const hosts = [1, 1, 1, 1, 1, 1, 2, 2];
  for (const host of hosts) {
    const { peer } = come(`192.0.2.${host}`);
    if (host === 1) assert.equal(admission.connect(peer), "connected");
    else admission.greet(peer);
  }
  assert.deepEqual(come("192.0.2.3"), { peer: { address: "192.0.2.3", port: 9 } });
  admission.configure({ ...LIMITS, socketsMax: 14, each: { connections: 6, handshakes: 3 } });
  for (const host of [4, 4, 4, 5, 5, 5]) assert.ok(come(`192.0.2.${host}`).guest);
  assert.equal(come("192.0.2.1").displaced, "192.0.2.4 10");
  assert.equal(come("192.0.2.5").guest, undefined, "three are its bound");
  admission.configure({ ...LIMITS, socketsMax: 14, each: { connections: 6, handshakes: 1 } });
  assert.equal(come("192.0.2.1").displaced, undefined, "one is its bound");
});

test("Admission has forgotten one that gave way, whatever still comes of it", () => {
  const { admission, come } = open({ socketsMax: 2, each: { connections: 9, handshakes: 9 } });
  const [first, second] = [come("192.0.2.1"), come("192.0.2.1")];
  const third = come("192.0.2.2");
  assert.equal(third.displaced, "192.0.2.1 1");
  assert.equal(first.guest?.state, "gone");
  assert.equal(admission.connect(first.peer), "gone");
  for (const { guest } of [first, first, second, third]) if (guest) admission.leave(guest);
  assert.deepEqual([admission.sockets, admission.handshakes, admission.networks], [0, 0, 0]);
  assert.deepEqual(admission.overdue(Infinity), []);
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
  const { guest: before } = admission.arrive(peer, "before", 0);
  assert.equal(admission.connect(peer), "connected");
  const { guest: after } = admission.arrive(peer, "after", 0);
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
          const { guest, displaced } = admission.arrive(peer, "", 0);
          if (displaced !== undefined) {
            assert.equal(guests.length, LIMITS.socketsMax, "nobody gives way where there is room");
            guests.splice(guests.findIndex(({ state }) => state === "gone"), 1);
          }
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
