/** `LogMemory` and the files in the home: damage, loss, a crash between two of them. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTestCa } from "../fakes/ca.ts";
import { FakeLog } from "./fake_log.ts";
import { assertDistrusts, errorOf, inWorld, startAnew } from "./log_world.ts";

const OTHER_CA = await makeTestCa();

const DAMAGED = "it is damaged";
const HINT = "put it back as it was; or move it away to trust the server's log as it is now, " +
  "without what was remembered of it";

test("LogMemory says which file is damaged and what to do, accuses nobody, and changes nothing", async () => {
  const otherCa = new FakeLog({ root: OTHER_CA.root });
  otherCa.grow(5);
  const rows: readonly (readonly [
    name: "checkpoint" | "log.pub",
    spoil: (text: string) => string | Uint8Array,
    why: string,
  ])[] = [
    ["checkpoint", () => "", DAMAGED],
    ["checkpoint", () => "\0", DAMAGED],
    ["checkpoint", () => Uint8Array.of(0xff), DAMAGED],
    ["checkpoint", () => "x".repeat(300_000), DAMAGED],
    ["checkpoint", (text) => text.slice(0, -2), DAMAGED],
    ["checkpoint", (text) => text.split("\n")[0]!, DAMAGED],
    ["checkpoint", (text) => text.replace("\n5\n", "\n4\n"), DAMAGED],
    ["checkpoint", (text) => text.replace("/1\n", "/2\n"), DAMAGED],
    ["checkpoint", (text) => text.replace(/\/1(?=[\n ])/g, "/2"), DAMAGED],
    ["checkpoint", () => startAnew(1).checkpoint(), DAMAGED],
    ["checkpoint", () => otherCa.checkpoint(), "it is of another CA than the pinned one"],
    ["log.pub", () => "", DAMAGED],
    ["log.pub", (text) => text.slice(0, -2), DAMAGED],
    ["log.pub", (text) => text.replace("+", "-"), DAMAGED],
    ["log.pub", () => `${otherCa.shown.key}\n${otherCa.shown.signature}\n`, DAMAGED],
  ];
  for (const [name, spoil, why] of rows) {
    await inWorld(async ({ home, server, visit, evidence }) => {
      await (await visit()).prove();
      const path = join(home.folder, name);
      fs.writeFileSync(path, spoil(fs.readFileSync(path, "utf8")));
      const bytes = fs.readFileSync(path);
      const visited = await visit();
      const asked = server.asked.length;
      for (const use of [() => visited.prove(), () => visited.knownNote()]) {
        const error = await errorOf(use);
        assert.deepEqual([error.kind, error.exitCode], ["malformed", 3], error.message);
        assert.equal(error.message, `cannot use "${path}": ${why}`);
        assert.equal(error.hint, HINT);
      }
      assert.equal(server.asked.length, asked);
      assert.deepEqual(evidence(), []);
      assert.deepEqual(fs.readFileSync(path), bytes);
      fs.renameSync(path, `${path}.old`); // as the hint says
      await visited.prove();
    });
  }
});

test("LogMemory notices damage also to a checkpoint that a new generation would replace", async () => {
  await inWorld(async ({ home, server, visit, warnings }) => {
    await (await visit()).prove();
    const damaged = (home.loadCheckpoint() ?? "").replace("\n5\n", "\n4\n");
    fs.writeFileSync(home.checkpointPath, damaged);
    server.log = startAnew(2);
    const visited = await visit();
    const error = await errorOf(() => visited.prove());
    assert.equal(error.message, `cannot use "${home.checkpointPath}": ${DAMAGED}`);
    assert.equal(home.loadCheckpoint(), damaged);
    assert.deepEqual(warnings, []);
  });
});

test("LogMemory does not look at the key while there is no checkpoint", async () => {
  await inWorld(async ({ home, log, visit }) => {
    await (await visit()).prove();
    fs.rmSync(home.checkpointPath);
    fs.writeFileSync(home.logKeyPath, Uint8Array.of(0xff));
    await (await visit()).prove();
    assert.equal(home.loadLogKey(), `${log.shown.key}\n${log.shown.signature}\n`);
  });
});

test("LogMemory trusts anew, whatever the key, once the checkpoint was moved away", async () => {
  await inWorld(async ({ home, server, visit, remembered }) => {
    server.log = startAnew(2);
    await (await visit()).prove();
    fs.rmSync(home.checkpointPath);
    server.log = startAnew(1);
    await (await visit()).prove();
    assert.equal(remembered(), 3);
    await (await visit()).prove();
  });
});

test("LogMemory reads a checkpoint whose key was never saved", async () => {
  await inWorld(async ({ home, server, log, visit }) => {
    await (await visit()).prove();
    fs.rmSync(home.logKeyPath);
    log.grow(1);
    await (await visit()).prove();
    assert.equal(server.asked.at(-1)?.from, 5);
    assert.notEqual(home.loadLogKey(), undefined);
  });
});

test("LogMemory is not harmed by a crash between the key of a new generation and its checkpoint", async () => {
  await inWorld(async (world) => {
    const { home, server, log, visit, remembered, warnings } = world;
    await (await visit()).prove();
    const anew = startAnew(2);
    home.saveLogKey(`${anew.shown.key}\n${anew.shown.signature}\n`);
    server.log = log;
    const visited = await visit();
    await assertDistrusts(
      world,
      () => visited.prove(),
      "it is of generation 1, but generation 2 was seen before",
    );
    server.log = anew;
    await (await visit()).prove();
    assert.deepEqual([remembered(), warnings.length], [3, 1]);
  });
});

test("LogMemory.prove() says that it cannot remember, and then nothing is believed", async () => {
  await inWorld(async ({ home, visit }) => {
    fs.writeFileSync(home.folder, "a file where the folder should be");
    const visited = await visit();
    const error = await errorOf(() => visited.prove());
    assert.equal(error.kind, "storage", error.message);
  });
});
