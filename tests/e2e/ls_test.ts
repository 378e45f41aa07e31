import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { test } from "node:test";
import { fails, folderOf, list, ok } from "./administrator.ts";
import { growLog } from "../../bench/large_log.ts";
import { inWorld, needs, PKI } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

test("pki ls lists what was issued, whole or in part, with a server and without", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await world.ok("alice", ["csr"]);
    for (const isRunning of [true, false]) {
      if (!isRunning) await world.server.running.end();
      const { stdout, stderr } = await ok(world, ["ls"]);
      const [header = "", ...lines] = stdout.trimEnd().split("\n");
      assert.match(header, /^WHO +PROFILE +STATE +ENDS +SERIAL$/);
      assert.deepEqual(lines.map((line) => line.split(/ +/).slice(0, 3)), [
        ["server.pki.internal", "server", "valid"],
        ["alice", "user", "valid"],
        ["bob", "user", "valid"],
        ["alice", "user", "valid"],
      ]);
      for (const line of lines) {
        assert.match(line, / \d{4}-\d\d-\d\d {2}[0-9a-f]{40}$/);
      }
      assert.equal(new Set(lines.map((line) => line.length)).size, 1, "columns are aligned");
      assert.equal(stderr, "4 certificates\n");
      const all = await list(world);
      assert.deepEqual(all.map(({ id, subject }) => id ?? subject), [
        "server.pki.internal",
        "alice",
        "bob",
        "alice",
      ]);
      const whoOf = async (...args: readonly string[]) =>
        (await list(world, ...args)).map(({ id, subject }) => id ?? subject);
      assert.deepEqual(await whoOf("--user", "alice"), ["alice", "alice"]);
      assert.deepEqual(await whoOf("--user", "nobody"), []);
      assert.deepEqual(await whoOf("--profile", "server"), ["server.pki.internal"]);
      assert.deepEqual(await whoOf("--state", "revoked"), []);
      assert.deepEqual(await whoOf("--state", "expired"), []);
      assert.equal((await whoOf("--state", "valid")).at(-1), "server.pki.internal", "it ends last");
      assert.deepEqual(await whoOf("--expiring", "31d"), ["alice", "bob", "alice"]);
      assert.deepEqual(await whoOf("--expiring", "29d"), []);
      assert.deepEqual(await whoOf("--limit", "2"), ["server.pki.internal", "alice"]);
      const serial = all[2]?.serial ?? "";
      const colons = serial.toUpperCase().replace(/(..)(?!$)/g, "$1:");
      assert.deepEqual(await whoOf("--serial", colons), ["bob"]);
    }
  }));

const REFUSED: readonly { args: readonly string[]; says: RegExp }[] = [
  {
    args: ["--serial", "xyz"],
    says: /cannot use the value of --serial: "xyz" is not a serial number/,
  },
  { args: ["--serial", "40".repeat(21)], says: /is not a serial number: up to 20 bytes/ },
  { args: ["--user", "../x"], says: /\.\.\/x/ },
  { args: ["--state", "good"], says: /"good" is none of valid, expired, revoked/ },
  { args: ["--expiring", "14"], says: /"14" is not a span of time/ },
  {
    args: ["--expiring", "1d", "--state", "expired"],
    says: /what is expired is not expiring any more/,
  },
  { args: ["--limit", "0"], says: /"0" is not a number from 1 on/ },
];

test("pki ls says what it cannot be asked", () =>
  inWorld(async (world) => {
    await world.serve();
    for (const { args, says } of REFUSED) await fails(world, ["ls", ...args], { code: 2, says });
  }));

test("pki ls shows many certificates page by page, and ends when nobody reads on", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    const many = 2000;
    await growLog(folderOf(world), many);
    await world.serve();
    const rows = await list(world);
    assert.equal(rows.length, many + 2);
    assert.equal(new Set(rows.map(({ serial }) => serial)).size, many + 2);
    const { stdout } = await ok(world, ["ls", "--state", "valid"]);
    assert.equal(stdout.trimEnd().split("\n").length, many + 3);
    // A pipe that is closed after the first lines is not an error of a server.
    const child = spawn("sh", ["-c", '"$0" ls --json | head -n 3', PKI], {
      env: { PATH: "/usr/bin:/bin", PKI_HOME: world.home },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    let complaints = "";
    child.stdout.on("data", (chunk) => text += String(chunk));
    child.stderr.on("data", (chunk) => complaints += String(chunk));
    await new Promise((resolve) => child.once("close", resolve));
    assert.equal(text.trimEnd().split("\n").length, 3);
    assert.equal(complaints, "");
    assert.match((await ok(world, ["ls", "--limit", "1"])).stdout, /server\.pki\.internal/);
  }));

test("pki ls fits a terminal, however it is called", needs("tmux"), () =>
  inWorld(async (world) => {
    await world.serve();
    const names = Array.from({ length: 3 }, (_, n) => `${"long-".repeat(8)}${n}.pki.internal`);
    fs.mkdirSync(world.path("x"));
    await ok(world, ["issue", "--profile", "server", "--dns", names.join(), "--plain-key"], {
      cwd: world.path("x"),
    });
    await inTerminal(world, ["ls"], async (terminal) => {
      const { input: screen } = await terminal.waitFor(/2 certificates/);
      assert.match(screen, /^long-long-.*… {2}server {3}valid/m);
      const lines = screen.split("\n").filter((line) => / [0-9a-f]{40}$/.test(line.trimEnd()));
      assert.equal(lines.length, 2, "none is broken into two");
    });
  }));
