import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { askServer } from "../../lib/client/admin.ts";
import { writeLimits } from "./administrator.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { inWorld, PKI, PKI_FAULTS, untilAsync, type World } from "./harness.ts";
import { type Message, type RawClient, withClient } from "./raw_client.ts";

/** What a lookup of `fault-connection-<kind>` does, and what the server's operator hears. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  throw: /a connection worker threw: a fault on purpose; its connection was closed/,
  "throw-later": /a connection worker threw: a fault on purpose; its connection was closed/,
  reject: /a connection worker threw: a fault on purpose; its connection was closed/,
  stack: /a connection worker threw: Maximum call stack .*; its connection was closed/,
  memory: /a connection worker threw: Out of memory; its connection was closed/,
  exit: /a connection worker ended; its connection was closed/,
  loop: /a connection worker does not answer; its connection was closed/,
  json: /a connection worker does not answer; its connection was closed/,
  told: /a connection worker threw: environment \{\}, told (.*); its connection was closed/,
};

/** Requests of one connection that are under way at once. */
const IN_FLIGHT = 8;
/** Between them: each is to see whether the server still answers, not how fast. */
const PAUSE_MS = 20;

/** Looks something up until `isOver`, some at once, and checks each answer; returns how many. */
async function useMeanwhile(
  client: RawClient,
  wanted: unknown,
  isOver: () => boolean,
): Promise<number> {
  let count = 0;
  while (!isOver()) {
    for (let i = 0; i < IN_FLIGHT; i++) client.say("CERTREQ", { id: "alice" });
    for (let i = 0; i < IN_FLIGHT; i++, count++) {
      assert.equal((await client.next())["certificate"], wanted);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return count;
}

/** Asks for a fault among other things; returns what comes from there on. */
async function failAmongOthers(client: RawClient, kind: string): Promise<readonly Message[]> {
  for (let i = 0; i < IN_FLIGHT; i++) {
    client.say("CERTREQ", { id: i === IN_FLIGHT / 2 ? `fault-connection-${kind}` : "alice" });
  }
  return await client.rest();
}

async function countConnections(world: World): Promise<unknown> {
  return (await askServer(join(world.home, "server"), "STATUS", {}))?.connections;
}

test("a fault in a connection worker ends its own connection with an error, and no other notices", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { running } = world.server;
    await registerCheaply(world, "dora");
    const [first, second, ...failing] = await Promise.all(
      ["", "", "regexp", ...Object.keys(FAULTS)].map(() => loggedInCheaply(world, "dora")),
    );
    assert.ok(first && second);
    const { certificate } = await first.ok("CERTREQ", { id: "alice" });
    let isOver = false;
    const used = [first, second].map((one) => useMeanwhile(one, certificate, () => isOver));
    // Work that takes long and comes to an end is none.
    const [slow, ...others] = failing;
    await slow?.refused("NOT_FOUND", "CERTREQ", { id: "fault-connection-regexp" });
    const kinds = Object.keys(FAULTS);
    const heard = await Promise.all(
      others.map((client, i) => failAmongOthers(client, kinds[i] ?? "")),
    );
    isOver = true;
    for (const count of await Promise.all(used)) {
      assert.ok(count > 0, "the other connections went on");
    }
    for (const [i, messages] of heard.entries()) {
      const [last] = messages.slice(-1);
      assert.deepEqual(
        [last?.seq, last?.type, last?.code],
        [0, "ERROR", "INTERNAL"],
        kinds[i] ?? "",
      );
      assert.doesNotMatch(last?.message ?? "", /worker|purpose|threw|ended|answer/); // not what it was
      for (const answer of messages.slice(0, -1)) assert.equal(answer["certificate"], certificate);
    }
    for (const warning of Object.values(FAULTS)) await running.waitFor(warning);
    const status = await askServer(join(world.home, "server"), "STATUS", {});
    assert.equal(status?.measured?.workers.failed, kinds.length, "each is counted once");
    const [, told = ""] = FAULTS["told"]?.exec(running.stderr) ?? [];
    assertHarmless(told);
    slow?.close();
    await untilAsync(async () => await countConnections(world) === 2, "their places are free");
    await world.ok("bob", ["csr", "--register"]);
    first.close();
    second.close();
    await untilAsync(async () => await countConnections(world) === 0, "all places are free");
    const ended = await running.end();
    assert.equal(ended.code, 0, ended.stderr);
  }, PKI_FAULTS));

test("a connection worker that posts what none of ours does loses its session, and is counted as failed", () =>
  inWorld(async (world) => {
    writeLimits(world, { requestSeconds: 3 });
    await world.withUsers("alice");
    await registerCheaply(world, "dora");
    // One that keeps to itself that its session has ended, and goes on answering the main thread.
    const staying = await loggedInCheaply(world, "dora");
    staying.say("CERTREQ", { id: "fault-connection-stay" });
    const client = await loggedInCheaply(world, "dora");
    client.say("CERTREQ", { id: "fault-connection-junk" });
    const { seq, type, code } = await client.next();
    assert.deepEqual([seq, type, code], [0, "ERROR", "INTERNAL"]);
    client.close();
    await world.server.running.waitFor(
      /a connection worker broke the rules \(.*\); its session was ended/,
    );
    await world.ok("alice", ["request", "alice"]);
    const heard = await staying.rest();
    assert.deepEqual(heard.at(-1)?.code, "INTERNAL");
    await world.server.running.waitFor(
      /a connection worker did not end when its time was over; its connection was closed/,
    );
    await untilAsync(async () => await countConnections(world) === 0, "all places are free");
    const status = await askServer(join(world.home, "server"), "STATUS", {});
    assert.equal(status?.measured?.workers.failed, 3, "one for both that it did");
  }, PKI_FAULTS));

/** What a connection's worker was told has no secret in it: the client's bytes, numbers, and its channel. */
function assertHarmless(told: string): void {
  const messages = told.split(" ").map((text) =>
    JSON.parse(text) as string | Record<string, unknown>
  );
  assert.ok(messages.length >= 2, told);
  for (const message of messages) {
    if (typeof message === "string") continue;
    const { type, directory = {}, limits = {}, ...rest } = message;
    assert.ok(["start", "read", "ping"].includes(String(type)), told);
    assert.deepEqual(directory, {}, told);
    for (const value of Object.values({ ...limits as object, ...rest })) {
      assert.equal(typeof value, "number", told);
    }
  }
}

test("the shipped executable looks these ids up like any other", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    await withClient(loggedInCheaply(world, "dora"), async (client) => {
      for (const kind of ["throw", "exit", "loop"]) {
        for (const place of ["connection", "directory", "authority", "main"]) {
          await client.refused("NOT_FOUND", "CERTREQ", { id: `fault-${place}-${kind}` });
        }
      }
    });
  }));

/** Which of these words, all of ASCII, a file has in it, read in pieces. */
function wordsIn(path: string, words: readonly string[]): readonly string[] {
  const piece = new Uint8Array(4 * 1024 * 1024);
  const overlap = Math.max(...words.map((word) => word.length)) - 1;
  const decoder = new TextDecoder("latin1");
  const found = new Set<string>();
  const descriptor = fs.openSync(path, "r");
  try {
    let kept = 0;
    for (;;) {
      const count = fs.readSync(descriptor, piece, kept, piece.length - kept, null);
      if (count === 0) return words.filter((word) => found.has(word));
      const filled = kept + count;
      const text = decoder.decode(piece.subarray(0, filled));
      for (const word of words) if (text.includes(word)) found.add(word);
      kept = Math.min(overlap, filled);
      piece.copyWithin(0, filled - kept, filled);
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

test("the shipped executable has no code that fails on purpose", () => {
  const traces = ["throw-later", "a fault on purpose", "isFaultIn", "keepTold"];
  assert.deepEqual(wordsIn(PKI, traces), []);
  assert.deepEqual(wordsIn(PKI_FAULTS, traces), traces);
});

/** A folder with everything in it that an engine might take up by itself. */
function makeTrap(world: World): { readonly folder: string; readonly sprung: string } {
  const folder = world.path("trap");
  const sprung = world.path("sprung");
  const files = {
    "bunfig.toml": 'preload = ["./preload.ts"]\n[test]\npreload = ["./preload.ts"]\n',
    "preload.ts": `require("node:fs").writeFileSync(${JSON.stringify(sprung)}, "");\n`,
    ".env": `PKI_HOME=${world.path("other-home")}\nPKI_SERVER=localhost:1\nPKI_ID=mallory\n` +
      "PKI_CA_PASSPHRASE=a passphrase from nowhere\nPKI_PASSWORD=a password from nowhere\n" +
      "BUN_OPTIONS=--preload=./preload.ts\nNODE_OPTIONS=--require=./preload.ts\n",
    "package.json": '{"name":"trap","type":"module","imports":{"node:fs":"./preload.ts"}}\n',
    "tsconfig.json": '{"compilerOptions":{"paths":{"*":["./preload.ts"]}}}\n',
    "main.js": `import fs from "node:fs"; fs.writeFileSync(${JSON.stringify(sprung)}, "");\n`,
  };
  fs.mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    fs.writeFileSync(join(folder, name), content);
  }
  for (const name of [".env.local", ".env.production", ".env.development"]) {
    fs.copyFileSync(join(folder, ".env"), join(folder, name));
  }
  fs.copyFileSync(join(folder, "main.js"), join(folder, "connection_worker.js"));
  fs.copyFileSync(join(folder, "main.js"), join(folder, "directory_worker.js"));
  return { folder, sprung };
}

test("the executable takes nothing from the folder it is started in", () =>
  inWorld(async (world) => {
    const { folder: cwd, sprung } = makeTrap(world);
    const before = fs.readdirSync(cwd).sort();
    await world.serve([], { cwd });
    await world.ok("alice", ["csr", "--register"], { cwd });
    await world.ok("alice", ["upload"], { cwd });
    const found = await world.run(
      ["request", "alice", "--password-file", world.passwordFile("alice")], // the only identity
      { cwd },
    );
    assert.equal(found.code, 0, found.stderr);
    assert.ok(fs.existsSync(join(world.home, "server.passphrase")), "the passphrase is its own");
    const listener = await world.listen("alice", ["--once"], { cwd, input: "hello\n" });
    const called = await world.ok("alice", ["connect", `localhost:${listener.port}`], { cwd });
    assert.equal(called.stdout, "hello\n");
    // With no home of its own it is the user's, which is not there, and never the trap's.
    const homeless = await world.run(["request", "alice", "--id", "alice"], {
      cwd,
      env: { PKI_HOME: "", PKI_SERVER: "" },
    });
    assert.notEqual(homeless.code, 0);
    assert.doesNotMatch(homeless.stderr, /other-home|localhost:1\b|mallory/);
    assert.equal((await world.server.running.end()).code, 0);
    assert.equal(fs.existsSync(sprung), false, "a script of the folder was run");
    assert.equal(fs.existsSync(world.path("other-home")), false);
    assert.deepEqual(fs.readdirSync(cwd).sort(), before);
  }));
