import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress, parseAddress } from "../../lib/client/address.ts";

const GOOD: readonly (readonly [text: string, host: string, port: number, formatted?: string])[] = [
  ["localhost", "localhost", 7443, "localhost:7443"],
  ["localhost:7443", "localhost", 7443],
  ["localhost:1", "localhost", 1],
  ["localhost:65535", "localhost", 65_535],
  ["localhost:00080", "localhost", 80, "localhost:80"],
  ["192.0.2.1:80", "192.0.2.1", 80],
  ["pki.example.org", "pki.example.org", 7443, "pki.example.org:7443"],
  ["a_b-c:9", "a_b-c", 9],
  ["münchen.example:9", "münchen.example", 9],
  ["[::1]", "::1", 7443, "[::1]:7443"],
  ["[::1]:9", "::1", 9],
  ["[2001:DB8::1]:9", "2001:DB8::1", 9],
  ["[::ffff:192.0.2.1]:9", "::ffff:192.0.2.1", 9],
  ["[fe80::1%eth0]:9", "fe80::1%eth0", 9],
  ["[fe80::1%2]:9", "fe80::1%2", 9],
];

const BAD: readonly string[] = [
  "",
  ":",
  ":7443",
  "localhost:",
  "localhost:0",
  "localhost:00000",
  "localhost:65536",
  "localhost:99999",
  "localhost:100000",
  "localhost:-1",
  "localhost:+1",
  "localhost:1.5",
  "localhost:1e3",
  "localhost:0x10",
  "localhost:٣",
  "localhost:http",
  "localhost:80:80",
  "localhost:80 ",
  " localhost:80",
  "local host:80",
  "localhost:80\n",
  "localhost\n",
  "::1",
  "::1:9",
  "2001:db8::1",
  "[::1",
  "::1]",
  "[]",
  "[]:9",
  "[::1]9",
  "[::1]:",
  "[::1]:0",
  "[localhost]:9",
  "[::1%]:9",
  "[fe80::1%a b]:9",
  "[[::1]]:9",
  "a[::1]:9",
  "https://localhost:9",
  "alice@localhost:9",
];

for (const [text, host, port, formatted = text] of GOOD) {
  test(`parseAddress() of ${JSON.stringify(text)}, and formatAddress() back`, () => {
    const address = parseAddress(text, 7443);
    assert.deepEqual(address, { host, port });
    assert.equal(formatAddress(address), formatted);
    assert.deepEqual(parseAddress(formatted, 1), address);
  });
}

for (const text of BAD) {
  test(`parseAddress() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseAddress(text, 7450), {
      name: "PkiError",
      kind: "usage",
      message: `cannot use address ${JSON.stringify(text)}: not host:port`,
      hint: "an address looks like localhost:7450 or [::1]:7450",
    });
  });
}
