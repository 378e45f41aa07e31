/**
 * `pki listen` and `pki connect` as a pipe: every byte arrives or both sides know that it did not, and
 * the listener serves one peer after the other.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { inWorld, PKI, type Running, runProgram, type World } from "./harness.ts";

const MANY = 20 * 1024 * 1024;

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The events that a listener with `--json` has told so far. */
function eventsOf(running: Running): readonly string[] {
  return running.stderr.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => (JSON.parse(line) as { event: string }).event);
}

/** Waits until a listener says for the `count`th time that it listens. */
async function listensAgain(running: Running, count: number): Promise<void> {
  await running.waitFor(new RegExp(`(?:"event":"listening"[^]*){${count}}`));
}

/** A conversation with something said both ways, which keeps going: both stdins stay open. */
async function startConversation(
  world: World,
  args: { readonly listen?: readonly string[]; readonly connect?: readonly string[] } = {},
) {
  const listener = await world.listen("alice", args.listen ?? ["--once"], { keepStdin: true });
  const caller = world.startAs("bob", [
    "connect",
    `127.0.0.1:${listener.port}`,
    ...(args.connect ?? []),
  ], { keepStdin: true });
  listener.running.child.stdin?.write("alice begins\n");
  caller.child.stdin?.write("bob begins\n");
  await caller.waitFor(/alice begins\n/);
  await listener.running.waitFor(/bob begins\n/);
  return { listener: listener.running, port: listener.port, caller };
}

test("20 MB each way at the same time arrive byte for byte", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const [fromAlice, fromBob] = [randomBytes(MANY), randomBytes(MANY + 1)];
    const listener = await world.listen("alice", ["--once"], { input: fromAlice });
    const called = await world.as("bob", ["connect", `localhost:${listener.port}`], {
      input: fromBob,
    });
    const listened = await listener.running.finished;
    assert.equal(called.code, 0, called.stderr);
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(digest(called.stdoutBytes), digest(fromAlice));
    assert.equal(digest(listened.stdoutBytes), digest(fromBob));
  }));

test("one direction only, and none", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const bytes = randomBytes(MANY);
    const nothing = new Uint8Array();
    for (const [fromAlice, fromBob] of [[bytes, nothing], [nothing, bytes], [nothing, nothing]]) {
      const listener = await world.listen("alice", ["--once"], { input: fromAlice ?? nothing });
      const called = await world.as("bob", ["connect", `localhost:${listener.port}`], {
        input: fromBob ?? nothing,
      });
      const listened = await listener.running.finished;
      assert.equal(called.code, 0, called.stderr);
      assert.equal(listened.code, 0, listened.stderr);
      assert.equal(digest(called.stdoutBytes), digest(fromAlice ?? nothing));
      assert.equal(digest(listened.stdoutBytes), digest(fromBob ?? nothing));
    }
  }));

test("bytes that are no text pass unchanged", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const every = Uint8Array.from({ length: 1024 }, (_, i) => i % 256);
    const broken = Uint8Array.of(0, 0xff, 0xfe, 0xc3, 0x28, 0x0d, 0x0a, 0x1b, 0x5b, 0, 0xed, 0xa0);
    const listener = await world.listen("alice", ["--once"], { input: every });
    const called = await world.ok("bob", ["connect", `localhost:${listener.port}`], {
      input: broken,
    });
    const listened = await listener.running.finished;
    assert.deepEqual(new Uint8Array(called.stdoutBytes), every);
    assert.deepEqual(new Uint8Array(listened.stdoutBytes), broken);

    // Into a file, whose end is another than a pipe's.
    const again = await world.listen("alice", ["--once"], { input: every });
    const file = world.path("received");
    const { code, stderr } = await runProgram("sh", [
      ...["-c", '"$0" connect "$1" --id bob --password-file "$2" < /dev/null > "$3"'],
      ...[PKI, `localhost:${again.port}`, world.passwordFile("bob"), file],
    ], { env: { PKI_HOME: world.home, PKI_SERVER: `localhost:${world.server.port}` } });
    assert.equal(code, 0, stderr);
    assert.deepEqual(new Uint8Array(fs.readFileSync(file)), every);
  }));

/** Reads a program's stdout in small portions, so that the program has to wait for its reader. */
async function readSlowly(child: ChildProcess, portion: number): Promise<string> {
  const { stdout } = child;
  assert.ok(stdout);
  const hash = createHash("sha256");
  let isEnded = false;
  let wake: () => void = () => {};
  stdout.on("readable", () => wake());
  stdout.once("end", () => {
    isEnded = true;
    wake();
  });
  while (!isEnded) {
    const something = new Promise<void>((resolve) => wake = resolve);
    const bytes = (stdout.read(portion) ?? stdout.read()) as Uint8Array | null;
    if (bytes === null) await something;
    else {
      hash.update(bytes);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return hash.digest("hex");
}

test("a slow reader of stdout gets everything, on both sides", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const start = (id: string, args: readonly string[], input: Uint8Array) => {
      const child = spawn(PKI, [
        ...args,
        "--json",
        "--id",
        id,
        "--password-file",
        world.passwordFile(id),
      ], { cwd: tmpdir(), env: { PATH: process.env["PATH"], PKI_HOME: world.home } });
      child.stdin.on("error", () => {});
      child.stdin.end(input);
      const ended = once(child, "exit");
      return { child, ended };
    };
    const [fromAlice, fromBob] = [randomBytes(MANY), randomBytes(MANY)];
    const listen = ["listen", "--host", "127.0.0.1", "--port", "0", "--once"];
    const alice = start("alice", listen, fromAlice);
    let told = "";
    const port = await new Promise<string>((resolve, reject) => {
      alice.child.stderr.on("data", (chunk: Uint8Array) => {
        told += new TextDecoder().decode(chunk);
        const [, found] = /"event":"listening".*"port":(\d+)/.exec(told) ?? [];
        if (found !== undefined) resolve(found);
      });
      alice.child.once("exit", () => reject(new Error(told)));
    });
    const bob = start("bob", ["connect", `127.0.0.1:${port}`], fromBob);
    bob.child.stderr.resume();
    const [heardByAlice, heardByBob] = await Promise.all([
      readSlowly(alice.child, 5000),
      readSlowly(bob.child, 3001),
    ]);
    assert.equal(heardByBob, digest(fromAlice));
    assert.equal(heardByAlice, digest(fromBob));
    assert.deepEqual((await alice.ended)[0], 0, told);
    assert.deepEqual((await bob.ended)[0], 0);
  }));

test("a caller that is killed is a cut line", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { listener, caller } = await startConversation(world);
    await caller.end("SIGKILL");
    const listened = await listener.finished;
    assert.equal(listened.code, 7, listened.stderr);
    assert.match(listened.stderr, /"error":.*"the line was cut before everything was confirmed"/);
    assert.equal(listened.stdout, "bob begins\n", "what came before is kept");
  }));

test("a listener that is killed is a cut line", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { listener, caller } = await startConversation(world);
    await listener.end("SIGKILL");
    const called = await caller.finished;
    assert.equal(called.code, 7, called.stderr);
    assert.match(called.stderr, /pki: error: the line was cut before everything was confirmed/);
    assert.equal(called.stdout, "alice begins\n");
  }));

test("a peer that is killed while much is on its way is a cut line", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const victim of ["caller", "listener"] as const) {
      const bytes = randomBytes(4 * MANY);
      const listener = await world.listen("alice", ["--once"], { input: bytes });
      const caller = world.startAs("bob", ["connect", `127.0.0.1:${listener.port}`], {
        input: bytes,
      });
      const [killed, other] = victim === "caller"
        ? [caller, listener.running]
        : [listener.running, caller];
      const { stdout } = other.child;
      assert.ok(stdout);
      await once(stdout, "data");
      await killed.end("SIGKILL");
      const left = await other.finished;
      assert.equal(left.code, 7, left.stderr);
      assert.ok(left.stdoutBytes.length < bytes.length);
      assert.deepEqual(left.stdoutBytes, bytes.subarray(0, left.stdoutBytes.length));
    }
  }));

test("a listener goes back to listening after success, after a cut, and serves the next", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const { running, port } = await world.listen("alice", [], { input: "once only" });
    const where = `127.0.0.1:${port}`;
    const first = await world.ok("bob", ["connect", where], { input: "1" });
    assert.equal(first.stdout, "once only");
    await listensAgain(running, 2);
    const cut = world.startAs("carol", ["connect", where], { keepStdin: true });
    cut.child.stdin?.write("2");
    await running.waitFor(/^12$/);
    await cut.end("SIGKILL");
    await listensAgain(running, 3);
    assert.match(running.stderr, /"event":"failed","peer":"carol","kind":"truncated"/);
    for (const id of ["bob", "carol", "bob"]) {
      const next = await world.ok(id, ["connect", where], { input: "3" });
      assert.equal(next.stdout, "", "the end of its stdin is told at once");
    }
    await listensAgain(running, 6);
    assert.equal(running.stdout, "12333");
    const conversation = ["connected", "ended", "listening"];
    assert.deepEqual(eventsOf(running).filter((event) => event !== "contact"), [
      "listening",
      ...conversation,
      ...["connected", "failed", "listening"],
      ...conversation,
      ...conversation,
      ...conversation,
    ]);
    const stopped = await running.end("SIGINT");
    assert.equal(stopped.code, 130);
  }));

test("what stdin holds goes to the peer of the moment", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const { running, port } = await world.listen("alice", [], { keepStdin: true });
    const where = `127.0.0.1:${port}`;
    running.child.stdin?.write("early\n");
    const bob = world.startAs("bob", ["connect", where], { input: "" });
    await bob.waitFor(/^early\n$/);
    running.child.stdin?.write("for bob\n");
    await bob.waitFor(/^early\nfor bob\n$/);
    await bob.end("SIGKILL");
    await listensAgain(running, 2);
    running.child.stdin?.write("for whoever comes next\n");
    const carol = world.startAs("carol", ["connect", where], { input: "" });
    await carol.waitFor(/^for whoever comes next\n$/);
    running.child.stdin?.end("and the last\n");
    const finished = await carol.finished;
    assert.equal(finished.code, 0, finished.stderr);
    assert.equal(finished.stdout, "for whoever comes next\nand the last\n");
    const late = await world.ok("bob", ["connect", where], { input: "" });
    assert.equal(late.stdout, "");
  }));

test("roles can change from one conversation to the next", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const [waits, calls] of [["alice", "bob"], ["bob", "alice"], ["alice", "bob"]]) {
      assert.ok(waits && calls);
      const listener = await world.listen(waits, ["--once"], { input: `from ${waits}` });
      const called = await world.ok(calls, ["connect", `localhost:${listener.port}`], {
        input: `from ${calls}`,
      });
      assert.equal(called.stdout, `from ${waits}`);
      const listened = await listener.running.finished;
      assert.equal(listened.code, 0, listened.stderr);
      assert.equal(listened.stdout, `from ${calls}`);
    }
  }));

test("a second caller hears that the listener is busy, and the first is not disturbed", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const { listener, port, caller } = await startConversation(world, { listen: [] });
    for (let i = 0; i < 2; i++) {
      const busy = await world.as("carol", ["connect", `127.0.0.1:${port}`], { input: "me too" });
      assert.equal(busy.code, 8, busy.stderr);
      assert.match(busy.stderr, /another conversation is under way/);
      assert.equal(busy.stdout, "");
    }
    await listener.waitFor(/"event":"busy","peer":"carol"/);
    listener.child.stdin?.end("alice ends\n");
    caller.child.stdin?.end("bob ends\n");
    const called = await caller.finished;
    assert.equal(called.code, 0, called.stderr);
    assert.equal(called.stdout, "alice begins\nalice ends\n");
    await listensAgain(listener, 2);
    assert.equal(listener.stdout, "bob begins\nbob ends\n");
    const next = await world.ok("carol", ["connect", `127.0.0.1:${port}`], { input: "now me" });
    assert.equal(next.stdout, "");
    await listener.waitFor(/now me$/);
  }));

/** The consumer of a program's output goes away, as `head` does; then more output comes. */
async function stopReading(reader: Running, writer: Running): Promise<void> {
  const { stdout } = reader.child;
  assert.ok(stdout);
  stdout.destroy();
  await once(stdout, "close");
  writer.child.stdin?.write(randomBytes(1024 * 1024));
}

test("output that nobody reads any more is a failure on both sides", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const role of ["caller", "listener"] as const) {
      const { listener, caller } = await startConversation(world);
      const [reader, writer] = role === "caller" ? [caller, listener] : [listener, caller];
      await stopReading(reader, writer);
      const [read, written] = await Promise.all([reader.finished, writer.finished]);
      assert.equal(read.code, 9, `${role}: ${read.stderr}`);
      assert.match(read.stderr, /cannot write what arrived: nobody reads it any more/, role);
      assert.equal(written.code, 7, `${role}: ${written.stderr}`);
      assert.match(
        written.stderr,
        /the line was cut by the other side: nobody reads what arrives there any more/,
        role,
      );
    }
  }));

test("each direction ends by itself: whoever reads stdout sees the end while stdin goes on", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const first of ["caller", "listener"] as const) {
      const { listener, caller } = await startConversation(world);
      const [done, other] = first === "caller" ? [caller, listener] : [listener, caller];
      const { stdout } = other.child;
      assert.ok(stdout);
      const ended = once(stdout, "end");
      done.child.stdin?.end("the last of one side\n");
      await ended;
      assert.match(other.stdout, /the last of one side\n$/);
      assert.equal(other.child.exitCode, null, "it still has something to say");
      other.child.stdin?.write("the other side goes on\n");
      await done.waitFor(/the other side goes on\n/);
      other.child.stdin?.end("and ends\n");
      for (const { code, stderr } of await Promise.all([done.finished, other.finished])) {
        assert.equal(code, 0, `${first}: ${stderr}`);
      }
      assert.match(done.stdout, /and ends\n$/);
    }
  }));

test("a peer that stands still is taken for dead in the time that was set, a blocked one is not", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const patient = ["--once", "--dead-after", "1h"];
    for (const hasty of ["caller", "listener"] as const) {
      const args = {
        listen: hasty === "listener" ? ["--once", "--dead-after", "5s"] : patient,
        connect: hasty === "caller" ? ["--dead-after", "5s"] : patient.slice(1),
      };
      const { listener, caller } = await startConversation(world, args);
      const [watcher, watched] = hasty === "caller" ? [caller, listener] : [listener, caller];
      watched.kill("SIGSTOP");
      const { code, stderr } = await watcher.finished;
      watched.kill("SIGCONT");
      assert.equal(code, 7, stderr);
      assert.match(stderr, /the line was cut: nothing was heard from the other side for 5 s/);
      assert.equal((await watched.finished).code, 7, "who stood still finds itself cut off");
    }
    // Nobody reads what bob gets, and alice reads nothing either: both stand, and both live.
    const bytes = randomBytes(MANY);
    const listener = await world.listen("alice", ["--once", "--dead-after", "4s"], {
      input: bytes,
    });
    const caller = world.startAs("bob", [
      ...["connect", `127.0.0.1:${listener.port}`, "--dead-after", "4s"],
    ], { input: bytes });
    const { child } = listener.running;
    await Promise.all([child, caller.child].map(async ({ stdout }) => {
      assert.ok(stdout);
      await once(stdout, "data");
      stdout.pause();
    }));
    await new Promise((resolve) => setTimeout(resolve, 9000)); // as long as it takes to be dead twice
    for (const each of [child, caller.child]) each.stdout?.resume();
    for (
      const { code, stderr, stdoutBytes } of [
        await listener.running.finished,
        await caller.finished,
      ]
    ) {
      assert.equal(code, 0, stderr);
      assert.equal(digest(stdoutBytes), digest(bytes));
    }
  }));

test("an interrupted side ends with 130, and the other knows that it was cut", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    for (const role of ["caller", "listener"] as const) {
      const { listener, caller } = await startConversation(world);
      const [stopped, left] = role === "caller" ? [caller, listener] : [listener, caller];
      assert.equal((await stopped.end("SIGINT")).code, 130, role);
      const { code, stderr } = await left.finished;
      assert.equal(code, 7, `${role}: ${stderr}`);
    }
    const waiting = await world.listen("alice");
    assert.equal((await waiting.running.end("SIGINT")).code, 130, "also with nobody there");
  }));
