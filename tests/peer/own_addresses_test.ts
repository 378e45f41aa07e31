import assert from "node:assert/strict";
import { test } from "node:test";
import { ownHosts } from "../../lib/peer/own_addresses.ts";

const LOOPBACK = ["127.0.0.1", "::1"];

const ROWS: readonly (readonly [
  name: string,
  bound: string,
  hosts: readonly string[],
  announced: readonly string[],
])[] = [
  ["one address is announced as it is", "192.168.1.5", ["10.0.0.1"], ["192.168.1.5"]],
  ["so is loopback, where that is all", "127.0.0.1", ["10.0.0.1"], ["127.0.0.1"]],
  ["so is loopback of IPv6", "::1", ["10.0.0.1"], ["::1"]],
  ["no loopback where there is more", "0.0.0.0", [...LOOPBACK, "10.0.0.1"], ["10.0.0.1"]],
  ["loopback where there is nothing else", "0.0.0.0", LOOPBACK, ["127.0.0.1"]],
  ["both loopbacks, if it listens on both", "::", LOOPBACK, LOOPBACK],
  ["no IPv6 where it does not listen", "0.0.0.0", ["fd00::2", "10.0.0.1"], ["10.0.0.1"]],
  ["both families in turn", "::", ["10.0.0.1", "fd00::2", "10.0.0.2"], [
    "10.0.0.1",
    "fd00::2",
    "10.0.0.2",
  ]],
  [
    "what everybody can reach comes first",
    "::",
    ["10.0.0.1", "fd00::2", "8.8.8.8", "2001:db8::1"],
    [
      "8.8.8.8",
      "2001:db8::1",
      "10.0.0.1",
      "fd00::2",
    ],
  ],
  ["no link-local of IPv6", "::", ["fe80::1", "febf::1", "10.0.0.1"], ["10.0.0.1"]],
  ["not even where there is nothing else", "::", ["fe80::1", ...LOOPBACK], LOOPBACK],
  ["link-local of IPv4 where there is nothing better", "::", ["169.254.1.1", ...LOOPBACK], [
    "169.254.1.1",
  ]],
  ["no link-local of IPv4 where there is", "0.0.0.0", ["169.254.1.1", "172.31.0.1"], [
    "172.31.0.1",
  ]],
  ["the private ranges, and what is just beside them", "0.0.0.0", [
    ...["172.16.0.1", "172.15.0.1", "172.32.0.1", "192.168.0.1", "192.169.0.1"],
    ...["100.64.0.1", "100.63.0.1"],
  ], [
    ...["172.15.0.1", "172.32.0.1", "192.169.0.1", "100.63.0.1"],
    ...["172.16.0.1", "192.168.0.1", "100.64.0.1"],
  ]],
  ["eight at most", "0.0.0.0", Array.from({ length: 12 }, (_, at) => `10.0.0.${at}`), [
    ...Array.from({ length: 8 }, (_, at) => `10.0.0.${at}`),
  ]],
];

for (const [name, bound, hosts, announced] of ROWS) {
  test(`ownHosts(): ${name}`, () => {
    const interfaces = {
      lo: hosts.filter((host) => LOOPBACK.includes(host)),
      eth0: hosts.filter((host) => !LOOPBACK.includes(host)),
      gone: undefined,
    };
    const found = Object.fromEntries(
      Object.entries(interfaces).map(([name, all]) => [
        name,
        all?.map((address) => ({ address, internal: name === "lo" })),
      ]),
    );
    assert.deepEqual(ownHosts(bound, found), announced);
  });
}
