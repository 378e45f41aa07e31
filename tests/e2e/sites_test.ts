/** What one address and one site may have, with addresses as the engine shows them: a network of its own. */

import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { writeLimits } from "./administrator.ts";
import { inWorld, needs, ROOT, Running } from "./harness.ts";
import type { SitesOptions } from "./sites_client.ts";

const SERVER = { v4: "192.0.2.1", v6: "2001:db8::1" };

/** Addresses of documentation (RFC 5737, RFC 3849), and what is heard from each, one after the other. */
const ROWS: readonly (readonly [from: string, hears: string])[] = [
  ["2001:db8:1:1::1", "OK"],
  ["2001:db8:1:1::2", "OK"],
  ["2001:db8:1:1:ffff::3", "BUSY"], // the same /64
  ["2001:db8:1:2::1", "OK"],
  ["2001:db8:1:3::1", "OK"],
  ["2001:db8:1:4::1", "BUSY"], // the same /48
  ["2001:db8:1:ffff::1", "BUSY"],
  ["2001:db8:2:1::1", "OK"],
  ["192.0.2.1", "OK"],
  ["192.0.2.1", "OK"],
  ["192.0.2.1", "BUSY"],
  ["192.0.2.2", "OK"],
];

/** What stands before a program, to run it in a network that has these addresses and nothing else. */
function ownNetwork(): readonly string[] {
  const addresses = new Set([SERVER.v4, SERVER.v6, ...ROWS.map(([from]) => from)]);
  const added = [...addresses].map((one) =>
    `ip address add ${one}/${isIPv6(one) ? 128 : 32} dev lo`
  );
  const script = ["ip link set lo up", ...added, 'exec "$@"'].join(" && ");
  return ["unshare", "--net", "sh", "-c", script, "sh"];
}

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? needs("unshare", "nsenter", "ip") : { skip: "needs root, for a network" };

test(
  "an address of IPv4, a /64 and a /48 of IPv6 each have what they may, and no more",
  skip,
  () =>
    inWorld(async (world) => {
      writeLimits(world, { connectionsPerAddress: 2, addressesPerSite: 2 });
      const { running, port } = await world.serve(["--host", "::"], { within: ownNetwork() });
      const options: SitesOptions = {
        port,
        server: SERVER,
        from: ROWS.map(([from]) => from),
      };
      const script = join(ROOT, "tests", "e2e", "sites_client.ts");
      const args = ["run", "--quiet", "--allow-all", "--no-check", script, JSON.stringify(options)];
      const client = new Running(process.execPath, args, {
        cwd: ROOT,
        within: ["nsenter", "--net", "--target", String(running.child.pid)],
      });
      const { code, stdout, stderr } = await client.finished;
      assert.equal(code, 0, stderr);
      const heard = JSON.parse(stdout) as readonly string[];
      assert.deepEqual(ROWS.map(([from], at) => [from, heard[at]]), ROWS);
      assert.equal((await running.end()).code, 0);
    }),
);
