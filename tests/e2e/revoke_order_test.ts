/** `pki revoke --serial` and `pki revoke --user`, as the administrator gives them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fails, list, ok } from "./administrator.ts";
import { inWorld, needs, type World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

const serialOf = async (world: World, ...args: readonly string[]) =>
  (await list(world, ...args))[0]?.serial ?? "";

test("pki revoke takes back a certificate or all of a user, with a server and without", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await world.ok("alice", ["csr"]);
    const bob = await serialOf(world, "--user", "bob");
    const { stdout } = await ok(world, ["revoke", "--serial", bob.toUpperCase(), "--yes"]);
    assert.equal(stdout, `1 certificate is revoked (unspecified):\n  ${bob}\n`);
    assert.deepEqual(
      (await list(world, "--state", "revoked")).map(({ serial, reason }) => [serial, reason]),
      [[bob, "unspecified"]],
    );
    assert.equal((await world.as("alice", ["request", "bob"])).code, 5);
    await world.server.running.end();

    const args = ["revoke", "--user", "alice", "--reason", "affiliationChanged", "--yes", "--json"];
    const said = JSON.parse((await ok(world, args)).stdout);
    assert.deepEqual([said.count, said.reason], [2, "affiliationChanged"]);
    for (const row of said.revoked) {
      assert.deepEqual([row.id, row.state, row.reason], ["alice", "revoked", "affiliationChanged"]);
    }
    assert.equal((await list(world, "--state", "revoked")).length, 3);
    await world.serve();
    assert.equal((await list(world, "--state", "revoked", "--user", "alice")).length, 2);
    // An account is no certificate: its owner gets another one.
    await world.ok("alice", ["csr", "--rekey"]);
    assert.equal((await list(world, "--state", "valid", "--user", "alice")).length, 1);
  }));

test("pki revoke says what it cannot revoke, and revokes nothing", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const serial = await serialOf(world, "--user", "alice");
    const rows: readonly [readonly string[], number, RegExp][] = [
      [["--serial", "00", "--yes"], 5, /cannot revoke 00: no such certificate/],
      [["--user", "nobody", "--yes"], 5, /"nobody" has no valid certificate/],
      [["--user", "../x", "--yes"], 2, /\.\.\/x/],
      [["--serial", "zz", "--yes"], 2, /"zz" is not a serial number/],
      [
        ["--serial", serial, "--user", "alice", "--yes"],
        2,
        /name either one certificate or a user/,
      ],
      [["--serial", serial, "--id", "alice", "--yes"], 2, /as the owner and as the administrator/],
      [["--serial", serial, "--reason", "certificateHold", "--yes"], 2, /is none of unspecified, /],
      [["--data", world.home, "--yes"], 2, /name it with --serial HEX or --user NAME/],
      [
        ["--id", "alice", "--reason", "cACompromise", "--yes"],
        2,
        /only the administrator says that/,
      ],
      [["--serial", serial], 2, /there is no terminal\npki: hint: .* answer beforehand with --yes/],
      [["--serial", serial, "--yes", "--data", world.folder], 5, /there is no data folder/],
    ];
    for (const [args, code, says] of rows) await fails(world, ["revoke", ...args], { code, says });
    assert.deepEqual(await list(world, "--state", "revoked"), []);
    await ok(world, ["revoke", "--serial", serial, "--yes"]);
    await fails(world, ["revoke", "--serial", serial, "--yes"], {
      code: 5,
      says: /it is revoked already/,
    });
  }));

test(
  "pki revoke shows at a terminal what it is about to revoke, and asks",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const serial = await serialOf(world, "--user", "alice");
      const question = /alice +user +valid[^]*Revoke this certificate\? This cannot be undone\./;
      await inTerminal(world, ["revoke", "--user", "alice"], async (terminal) => {
        await terminal.waitFor(question);
        await terminal.press("Enter");
        await terminal.waitFor(/nothing was revoked/);
        assert.equal(await terminal.exitCode(), 4);
      });
      assert.deepEqual(await list(world, "--state", "revoked"), []);
      await inTerminal(world, ["revoke", "--serial", serial], async (terminal) => {
        await terminal.waitFor(question);
        await terminal.press("Left");
        await terminal.waitFor(/● Yes/);
        await terminal.press("Enter");
        await terminal.waitFor(/1 certificate is revoked \(unspecified\)/);
        assert.equal(await terminal.exitCode(), 0);
      });
      assert.equal((await list(world, "--state", "revoked"))[0]?.serial, serial);
    }),
);
