import assert from "node:assert/strict";
import { test } from "node:test";
import { isLocal, networksOf } from "../../lib/server/network.ts";

test("networksOf() names the networks that an address is in", () => {
  const rows: readonly (readonly [string, string, string | undefined])[] = [
    ["192.0.2.1", "ipv4 192.0.2.1", undefined],
    ["127.0.0.1", "ipv4 127.0.0.1", undefined],
    ["::ffff:192.0.2.1", "ipv4 192.0.2.1", undefined],
    ["::FFFF:192.0.2.1", "ipv4 192.0.2.1", undefined],
    ["2001:db8:1:2:3:4:5:6", "ipv6 20010db800010002", "ipv6 20010db80001"],
    ["2001:db8:1:2::", "ipv6 20010db800010002", "ipv6 20010db80001"],
    ["2001:DB8:1:0002:ffff::1", "ipv6 20010db800010002", "ipv6 20010db80001"],
    ["2001:db8:1:3::1", "ipv6 20010db800010003", "ipv6 20010db80001"],
    ["::1", "ipv6 0000000000000000", "ipv6 000000000000"],
    ["fe80::1%eth0", "ipv6 fe80000000000000", "ipv6 fe8000000000"],
    ["", "unknown", undefined], // the socket is gone
    ["somewhere", "unknown", undefined],
  ];
  for (const [address, home, site] of rows) {
    assert.deepEqual(networksOf(address), { home, site }, address);
  }
});

test("isLocal() is true of addresses of this machine alone", () => {
  for (const address of ["127.0.0.1", "127.200.3.4", "::1", "::ffff:127.0.0.1"]) {
    assert.ok(isLocal(networksOf(address)), address);
  }
  for (
    const address of ["192.0.2.1", "12.7.0.1", "::2:0:0:0:1", "fe80::1", "2001:db8::1", "", "x"]
  ) {
    assert.ok(!isLocal(networksOf(address)), address);
  }
});
