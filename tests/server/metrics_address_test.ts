import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { isHostMeant } from "../../lib/server/metrics_listener.ts";
import { settleMetrics } from "../../lib/server/metrics_address.ts";

/** What names stand for here. */
const NAMES: Readonly<Record<string, string>> = {
  localhost: "::1",
  "box.example.org": "192.0.2.7",
  "inside.example.org": "127.0.0.1",
};

function find(host: string): Promise<{ address: string }> {
  const address = NAMES[host];
  return address === undefined
    ? Promise.reject(new Error(`getaddrinfo ENOTFOUND ${host}`))
    : Promise.resolve({ address });
}

const settle = (host: string, isExposed = false) =>
  settleMetrics({ host, port: 9464, isExposed }, find);

test("settleMetrics() takes addresses of this machine alone, by whatever name", async () => {
  for (
    const [host, address] of [
      ["127.0.0.1", "127.0.0.1"],
      ["127.9.9.9", "127.9.9.9"],
      ["::1", "::1"],
      ["localhost", "::1"],
      ["inside.example.org", "127.0.0.1"],
    ] as const
  ) {
    assert.equal((await settle(host)).address, address);
  }
});

test("settleMetrics() refuses what others reach, unless that is allowed", async () => {
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1", "box.example.org"]) {
    await assert.rejects(settle(host), (error: PkiError) => {
      assert.equal(error.kind, "usage");
      assert.match(error.message, /^cannot serve metrics on ".*": other machines reach it/);
      assert.match(error.hint ?? "", /127\.0\.0\.1:9464.*--metrics-exposed/);
      return true;
    }, host);
    assert.equal((await settle(host, true)).address, NAMES[host] ?? host);
  }
});

test("settleMetrics() says which name is none", async () => {
  await assert.rejects(settle("nowhere.example.org"), {
    kind: "usage",
    message: 'cannot serve metrics on "nowhere.example.org": ' +
      "getaddrinfo ENOTFOUND nowhere.example.org",
  });
});

test("isHostMeant() refuses names that somebody else could have pointed here", () => {
  const own = "Metrics.example.org";
  for (
    const host of [
      ...["127.0.0.1", "127.0.0.1:9464", "[::1]:9464", "[::1]", "192.0.2.1:1", "localhost"],
      ...["LOCALHOST:9464", "metrics.example.org:9464", "METRICS.example.org"],
    ]
  ) {
    assert.ok(isHostMeant(host, own), host);
  }
  for (
    const host of [
      ...[undefined, "", "evil.example", "evil.example:9464", "127.0.0.1.evil.example"],
      ...["localhost.evil.example", "localhost@evil.example", "metrics.example.org.evil.example"],
      ...["[::1", "::1", "[::1].evil.example", "127.0.0.1:99999999", "a b", "127.1", "0x7f.1"],
    ]
  ) {
    assert.ok(!isHostMeant(host, own), String(host));
  }
});
