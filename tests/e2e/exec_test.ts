/** `pki listen --exec`: every caller has a program of its own, and no program outlives its caller. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { test } from "node:test";
import { inWorld, type Running, untilRead, type World } from "./harness.ts";

const MANY = 20 * 1024 * 1024;

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function withPeers(world: World): Promise<void> {
  await world.withUsers("alice", "bob", "carol");
}

/** Alice serves with this program. */
async function serving(world: World, command: string, env: Record<string, string> = {}) {
  const { running, port } = await world.listen("alice", ["--exec", command], { env });
  const call = (id: string, input: string | Uint8Array) =>
    world.as(id, ["connect", `127.0.0.1:${port}`], { input });
  const hold = (id: string) =>
    world.startAs(id, ["connect", `127.0.0.1:${port}`], { keepStdin: true });
  return { running, call, hold };
}

/** Whether a process is there, and no zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Resolves when a process is gone. */
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The events of this kind that a listener has told. */
function eventsOf(running: Running, event: string): readonly Record<string, unknown>[] {
  return running.stderr.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((told) => told["event"] === event);
}

test("--exec: every caller has a program, several at once, and each byte arrives", () =>
  inWorld(async (world) => {
    await withPeers(world);
    const { running, call } = await serving(world, "cat");
    const sizes = [0, 1, 70_000, 65_535, 65_536, 9, 1_000_001, MANY];
    for (let at = 0; at < sizes.length; at += 2) {
      await Promise.all(
        sizes.slice(at, at + 2).map(async (size, i) => {
          const bytes = randomBytes(size);
          const { code, stderr, stdoutBytes } = await call(i === 0 ? "bob" : "carol", bytes);
          assert.equal(code, 0, stderr);
          assert.equal(digest(stdoutBytes), digest(bytes), `${size} bytes`);
        }),
      );
    }
    await running.waitFor(new RegExp(`(?:"event":"exited"[^]*){${sizes.length}}`));
    for (const told of eventsOf(running, "exited")) {
      assert.deepEqual([told["code"], told["signal"]], [0, null]);
    }
    const stopped = await running.end("SIGTERM");
    assert.equal(stopped.code, 130);
    assert.equal(stopped.stdout, "", "nothing of it goes to the listener's stdout");
  }));

test("--exec: a program knows who calls and no secret, and is told apart by what it says and does", () =>
  inWorld(async (world) => {
    await withPeers(world);
    const secrets = { PKI_PASSWORD: "paper horse", PKI_CA_PASSPHRASE: "paper horse" };
    const { running, call } = await serving(
      world,
      'case $PKI_PEER_ID in bob) env; printf "\\033[31mred\\n" >&2; exec cat >/dev/null;; ' +
        "carol) echo half; exit 3;; esac",
      secrets,
    );
    const served = await call("bob", "some words");
    assert.equal(served.code, 0, served.stderr);
    assert.match(served.stdout, /^PKI_PEER_ID=bob$/m);
    assert.match(served.stdout, /^PKI_PEER_FINGERPRINT=[0-9a-f]{64}$/m);
    assert.match(served.stdout, /^PKI_PEER_STATUS=stapled$/m);
    assert.doesNotMatch(served.stdout, /PASSWORD|PASSPHRASE|paper horse/);
    await running.waitFor(/"event":"stderr","peer":"bob"/);
    const [said] = eventsOf(running, "stderr");
    assert.deepEqual(said?.["peer"], "bob");
    // A program that fails: what it wrote is there, and the caller knows that it is not all.
    const failed = await call("carol", "");
    assert.equal(failed.code, 7, failed.stderr);
    assert.equal(failed.stdout, "half\n");
    assert.match(failed.stderr, /cut by the other side: the program ended with exit code 3/);
    await running.waitFor(/"event":"exited","peer":"carol","code":3,"signal":null/);
  }));

test("--exec: a program that stops reading, and one that never reads", () =>
  inWorld(async (world) => {
    await withPeers(world);
    const early = await serving(
      world,
      "head -c 5; exec <&-; [ $PKI_PEER_ID = carol ] || sleep 600",
    );
    const cut = await early.call("bob", randomBytes(MANY));
    assert.equal(cut.code, 7, cut.stderr);
    assert.match(cut.stderr, /cut by the other side: the program has stopped reading/);
    assert.equal(cut.stdoutBytes.length, 5, "what it had said arrived");
    const deaf = await serving(world, "echo $$; exec sleep 600");
    const caller = deaf.hold("bob");
    const [pid] = await caller.waitFor(/^\d+\n/);
    caller.child.stdin?.end(randomBytes(MANY));
    await deaf.running.waitFor(/"event":"connected"/);
    await caller.end("SIGKILL");
    await gone(Number(pid));
    await deaf.running.waitFor(/"event":"exited","peer":"bob","code":null,"signal":"SIGTERM"/);
    const after = await early.call("carol", "12345");
    assert.match(after.stdout, /^12345/, "others are served as before");
  }));

test("--exec: what a program has started ends with its caller, and all end with the listener", () =>
  inWorld(async (world) => {
    await withPeers(world);
    const file = world.path("pids");
    const { running, hold } = await serving(
      world,
      `sleep 600 & echo $! >> ${file}; trap "" TERM; echo ready; cat >/dev/null; wait`,
    );
    const bob = hold("bob");
    await bob.waitFor(/ready/);
    const flood = await serving(world, `echo $$ >> ${file}; exec yes`);
    const carol = flood.hold("carol");
    const { stdout } = carol.child;
    assert.ok(stdout);
    await once(stdout, "data");
    await untilRead([file], (text) => (text?.split("\n").length ?? 0) === 3);
    const pids = fs.readFileSync(file, "utf8").trim().split("\n").map(Number);
    assert.ok(pids.every(isAlive));
    await carol.end("SIGKILL");
    await flood.running.waitFor(/"event":"exited","peer":"carol"/);
    assert.equal((await running.end("SIGTERM")).code, 130);
    for (const pid of pids) await gone(pid);
    const left = await bob.finished;
    assert.equal(left.code, 7, left.stderr);
    assert.match(left.stderr, /the line was cut by the other side: /);
  }));

test("--exec is refused where it makes no sense", () =>
  inWorld(async (world) => {
    for (
      const [args, why] of [
        [["--exec", " "], /cannot serve callers: the command is empty/],
        [["--exec", "cat", "--transcript", "x"], /cannot keep a transcript/],
      ] as const
    ) {
      const { code, stderr } = await world.run(["listen", ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, why);
    }
  }));
