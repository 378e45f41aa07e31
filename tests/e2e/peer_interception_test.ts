/**
 * Somebody in between two peers: with certificates of a foreign CA, with stolen ones that were revoked,
 * as another user, and with the help of a CA that lies, where nothing but the safety words, or having
 * talked before, can tell.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { Forge } from "./forge.ts";
import { type Finished, inWords, inWorld, type World } from "./harness.ts";
import { serialOf } from "./identity.ts";
import { Interceptor, type Masks } from "./interceptor.ts";
import { RawListener } from "./raw_peer.ts";

type Event = Readonly<Record<string, unknown>>;

function eventOf({ stderr }: Finished, name: string): Event | undefined {
  return stderr.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event).find(({ event }) => event === name);
}

interface Outcome {
  readonly caller: Finished;
  readonly listener: Finished;
  /** What the one in between has heard. */
  readonly heard: string;
}

/** bob calls alice, through somebody who wears these masks; with none, nobody is in between. */
async function callThrough(
  world: World,
  masks: Masks | undefined,
  { home = world.home, callerHome = home, caller = [] }: {
    readonly home?: string;
    readonly callerHome?: string;
    readonly caller?: readonly string[];
  } = {},
): Promise<Outcome> {
  const listener = await world.listen("alice", ["--once", "--home", home], {
    input: "secret of alice",
  });
  const between = masks && await Interceptor.start(masks, listener.port);
  const where = between?.where ?? `127.0.0.1:${listener.port}`;
  const called = await world.as("bob", [
    ...["connect", where, "--json", "--home", callerHome, ...caller],
  ], { input: "secret of bob" });
  const heard = await between?.heard ?? "";
  between?.close();
  // Who never came to a conversation is still waited for.
  if (called.code !== 0) listener.running.kill("SIGINT");
  return { caller: called, listener: await listener.running.finished, heard };
}

test("nobody gets in between without a certificate of the one who is expected", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const forge = await Forge.ofServer(world);
    const foreign = await Forge.foreign(world);
    const carol = await forge.registered(world, "carol");
    // What is stolen is good until it is revoked.
    const stolen = {
      alice: await forge.registered(world, "alice"),
      bob: await forge.registered(world, "bob"),
    };
    for (const id of ["alice", "bob"] as const) {
      await world.ok(id, ["csr", "--rekey"]);
      const revoked = await world.run(["revoke", "--serial", stolen[id].leaf.serial, "--yes"]);
      assert.equal(revoked.code, 0, revoked.stderr);
      assert.notEqual(serialOf(world, id), stolen[id].leaf.serial);
    }
    const rows = [
      {
        name: "another CA with the same names",
        masks: { toCaller: await foreign.user("alice"), toListener: await foreign.user("bob") },
        says: /it is not of this CA/,
      },
      {
        name: "stolen certificates that were revoked",
        masks: {
          toCaller: { ...stolen.alice, isUnstapled: true },
          toListener: { ...stolen.bob, isUnstapled: true },
        },
        says: /revoked/,
      },
      {
        name: "another user",
        masks: { toCaller: carol, toListener: carol },
        says: /"carol" answers at 127\.[\d.]+:\d+, not "alice"/,
      },
    ];
    for (const { name, masks, says } of rows) {
      const { caller, listener, heard } = await callThrough(world, masks, {
        caller: ["--expect", "alice"],
      });
      assert.equal(caller.code, 6, `${name}: ${caller.stderr}`);
      assert.match(inWords(caller.stderr), says, name);
      assert.equal(eventOf(listener, "connected"), undefined, name);
      assert.doesNotMatch(`${heard}${caller.stdout}${listener.stdout}`, /secret/, name);
    }
    // One who does not even speak is no one whom we trust, and not only a line that was cut.
    const mute = await RawListener.start(await foreign.user("alice"), (peer) => peer.leave());
    const called = await world.as("bob", ["connect", mute.where], {
      input: "secret",
    });
    mute.close();
    assert.equal(called.code, 6, called.stderr);
    assert.match(called.stderr, /it is not of this CA/);
  }));

function wordsIn(finished: Finished): unknown {
  const words = eventOf(finished, "connected")?.["words"];
  assert.ok(Array.isArray(words) && words.length === 5, finished.stderr);
  return words;
}

test("a CA that lies is found out by the safety words, and by who has talked before", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const masks = { toCaller: await forge.user("alice"), toListener: await forge.user("bob") };
    const strangers = world.path("strangers");
    fs.cpSync(world.home, strangers, {
      recursive: true,
      filter: (path) => !path.endsWith("/server"),
    });

    const tapped = await callThrough(world, masks, { home: strangers });
    assert.equal(tapped.caller.code, 0, tapped.caller.stderr);
    assert.equal(tapped.listener.code, 0, tapped.listener.stderr);
    assert.match(tapped.heard, /secret of alice/, "the CA's lie is enough to hear all of it");
    assert.notDeepEqual(wordsIn(tapped.caller), wordsIn(tapped.listener));

    const untapped = await callThrough(world, undefined);
    assert.equal(untapped.caller.code, 0, untapped.caller.stderr);
    assert.deepEqual(wordsIn(untapped.caller), wordsIn(untapped.listener));

    // Now each knows the other's key, and no CA can say that it is another one: one side at a time,
    // since whoever refuses first decides what both say.
    const pinned = await callThrough(world, masks, { home: strangers, callerHome: world.home });
    assert.equal(pinned.caller.code, 6, pinned.caller.stderr);
    assert.match(inWords(pinned.caller.stderr), /"alice" has another key than before/);
    const refused = await callThrough(world, masks, { callerHome: strangers });
    assert.equal(refused.caller.code, 4, refused.caller.stderr);
    assert.equal(eventOf(refused.listener, "turned-away")?.["kind"], "untrusted");
    for (const { heard, caller, listener } of [pinned, refused]) {
      assert.doesNotMatch(`${heard}${caller.stdout}${listener.stdout}`, /secret/);
    }
  }));
