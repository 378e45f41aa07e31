/** `pki ping` at servers that are well, and at those that are not. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld } from "./harness.ts";
import { RawClient, withClient } from "./raw_client.ts";

test("pki ping says whether a server is well, to whom it is trusted, and how it ends if not", () =>
  inWorld(async (world) => {
    const { port, fingerprint, running } = await world.serve(["--max-connections", "2"]);
    const address = `localhost:${port}`;
    const nowhere = { env: { PKI_HOME: "/nonexistent/home", PKI_SERVER: address } };
    const ping = async (args: readonly string[] = [], options = {}) => {
      const { code, stdout, stderr } = await world.run(["ping", "--json", ...args], options);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };

    const { connectMs, answerMs, time, offsetMs, notAfter, ...rest } = await ping();
    assert.deepEqual(rest, {
      event: "alive",
      address,
      domain: "pki.internal",
      root: fingerprint,
      trusted: true,
      voucher: "this-machine",
      daysLeft: 89,
    });
    assert.ok(connectMs > 0 && answerMs > 0 && Math.abs(offsetMs) < 60_000);
    assert.ok(Date.parse(time) < Date.parse(notAfter));
    assert.equal(fs.existsSync(join(world.home, "root.crt")), false, "it has pinned a root");

    const unknown = await ping([], nowhere);
    assert.deepEqual([unknown.trusted, unknown.voucher], [false, "nobody"]);
    const given = await ping(["--fingerprint", fingerprint], nowhere);
    assert.deepEqual([given.trusted, given.voucher], [true, "fingerprint"]);
    await world.ok("alice", ["csr", "--register"]);
    assert.equal((await ping()).voucher, "pinned");
    const text = await world.run(["ping"]);
    assert.match(text.stdout, /^the server of pki\.internal at localhost:\d+ is well\n {2}trusted/);

    const fails = async (code: number, says: RegExp, args: readonly string[], options = {}) => {
      const ended = await world.run(["ping", ...args], options);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, says);
      assert.equal(ended.stdout, "");
    };
    await fails(6, /its root is /, ["--fingerprint", "00".repeat(32)], nowhere);
    await fails(2, /64 hexadecimal digits/, ["--fingerprint", "00"]);
    await fails(2, /is not a span of time/, ["--timeout", "0"]);
    // Two clients are all that it holds.
    await withClient(
      RawClient.open(world),
      (one) =>
        withClient(RawClient.open(world), async (other) => {
          await Promise.all([one.ok("HELLO"), other.ok("HELLO")]);
          await fails(8, /the server is busy: 2 connections are open/, []);
        }),
    );

    // Something that takes the connection and says nothing.
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const silentPort = (silent.address() as AddressInfo).port;
    const silentArgs = ["--server", `127.0.0.1:${silentPort}`, "--timeout", "1s"];
    await fails(8, /cannot reach 127\.0\.0\.1:\d+: it does not answer within 1 s/, silentArgs);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));

    assert.equal((await running.end()).code, 0);
    await fails(8, /nobody listens there/, []);
    // Another server at the address of the one that is pinned.
    const other = world.path("other");
    const again = await world.serve(["--data", other]);
    await fails(6, /cannot trust the server/, ["--server", `localhost:${again.port}`]);
  }));
