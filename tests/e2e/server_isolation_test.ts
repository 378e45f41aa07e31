import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { inWorld, PKI, PKI_FAULTS, type World } from "./harness.ts";
import { type RawClient, withClient } from "./raw_client.ts";

/** What a lookup of this id does to a connection's worker, and what the server's operator hears. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  "fault-throw": /a connection worker threw: a fault on purpose; its connection was closed/,
  "fault-exit": /a connection worker ended; its connection was closed/,
  "fault-hang": /a connection worker does not answer; its connection was closed/,
};

/** Between two lookups: each is to see whether the server still answers, not how fast. */
const LOOKUP_MS = 20;

/** Looks something up, again and again, until `until` has settled; returns how often. */
async function useMeanwhile(client: RawClient, until: Promise<unknown>): Promise<number> {
  let isOver = false;
  until.finally(() => isOver = true).catch(() => {}); // whoever waits for it says what it was
  let count = 0;
  while (!isOver) {
    await client.ok("CERTREQ", { id: "alice" });
    count++;
    await new Promise((resolve) => setTimeout(resolve, LOOKUP_MS));
  }
  return count;
}

for (const [id, warning] of Object.entries(FAULTS)) {
  test(`${id} ends its own connection with an error, and no other notices`, () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      await registerCheaply(world, "dora");
      const { running } = world.server;
      const bystander = await loggedInCheaply(world, "dora");
      await withClient(loggedInCheaply(world, "dora"), async (client) => {
        client.say("CERTREQ", { id });
        const ended = client.rest();
        const used = await useMeanwhile(bystander, ended);
        assert.ok(used > 0, "the other connection went on");
        const said = (await ended).filter(({ seq }) => seq === 0);
        assert.deepEqual(said.map(({ type, code }) => [type, code]), [["ERROR", "INTERNAL"]]);
        assert.doesNotMatch(said[0]?.message ?? "", /worker|purpose|threw|ended|answer/); // not what it was
      });
      await running.waitFor(warning);
      await bystander.ok("CERTREQ", { id: "alice" });
      await world.ok("bob", ["csr", "--register"]);
      await world.ok("alice", ["request", "alice"]);
      // Its worker and its place among the connections are free again.
      bystander.close();
      const ended = await running.end();
      assert.equal(ended.code, 0, ended.stderr);
    }, PKI_FAULTS));
}

test("connections whose workers fail do not use up the places of others", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await registerCheaply(world, "dora");
    await world.server.running.end();
    await world.serve(["--max-connections", "2"]);
    const bystander = await loggedInCheaply(world, "dora");
    for (const id of ["fault-throw", "fault-exit", "fault-throw", "fault-exit"]) {
      await withClient(loggedInCheaply(world, "dora"), async (client) => {
        client.say("CERTREQ", { id });
        assert.deepEqual((await client.rest()).filter(({ seq }) => seq === 0).length, 1);
      });
    }
    await bystander.ok("CERTREQ", { id: "alice" });
    bystander.close();
  }, PKI_FAULTS));

test("the shipped executable looks these ids up like any other", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    await withClient(loggedInCheaply(world, "dora"), async (client) => {
      for (const id of [...Object.keys(FAULTS), "fault-directory"]) {
        await client.refused("NOT_FOUND", "CERTREQ", { id });
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
  const traces = [...Object.keys(FAULTS), "fault-directory", "a fault on purpose"];
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
