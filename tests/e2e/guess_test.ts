import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { startLogin } from "../../lib/protocol/opaque.ts";
import { inWorld, type World } from "./harness.ts";
import { type Message, RawClient, withClient } from "./raw_client.ts";

const TOO_MANY =
  /^cannot log in: too many attempts for this account from here, try again in (\d+) s$/;

/** Guesses from an address of this machine until one is refused; returns every answer. */
async function guessAll(world: World, id: string, localAddress: string): Promise<Message[]> {
  return await withClient(RawClient.open(world, { localAddress }), async (client) => {
    await client.ok("HELLO");
    const parties = { id, rootFingerprint: world.server.fingerprint };
    const { request } = startLogin("not the password", parties);
    const answers: Message[] = [];
    do answers.push(await client.ask("LOGIN", { id, request })); while (
      answers.at(-1)?.type === "OK"
    );
    return answers;
  });
}

/** What an answer looks like to somebody who compares: its fields and how long they are. */
const formOf = ({ seq: _, ...rest }: Message) =>
  Object.entries(rest).map(([key, value]) => [key, String(value).length]);

test("guessing is slowed down, for whoever does it and for whatever name, and not for the owner", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const strangers = await guessAll(world, "alice", "127.0.0.2");
    const made = await guessAll(world, "nobody", "127.0.0.3");
    assert.deepEqual(strangers.map(formOf), made.map(formOf), "an unknown id is treated alike");
    assert.equal(strangers.length, LIMITS.guessesAtOnce + 1);
    for (const last of [strangers.at(-1), made.at(-1)]) {
      assert.equal(last?.code, "BUSY");
      const [, seconds] = TOO_MANY.exec(last?.message ?? "") ?? [];
      assert.ok(Number(seconds) > 0 && Number(seconds) <= LIMITS.guessIntervalMs / 1000);
    }
    // Another stranger finds no more room for alice; for bob there is some.
    const [refused] = await guessAll(world, "alice", "127.0.0.4");
    assert.equal(refused?.code, "BUSY");
    await withClient(RawClient.open(world, { localAddress: "127.0.0.4" }), async (client) => {
      await client.ok("HELLO");
      assert.equal((await client.logIn("bob")).type, "OK");
    });
    // Alice, where she registered, notices nothing.
    await world.ok("alice", ["request", "bob", "--with-password"]);
    // Whoever guesses there takes from what is hers, and a command says so.
    const own = await guessAll(world, "alice", "127.0.0.1");
    assert.equal(own.length, LIMITS.guessesAtOnce + 1);
    const late = await world.as("alice", ["request", "bob", "--with-password"]);
    const [said = ""] = late.stderr.replace(/^pki: error: the server says: /, "").split("\n");
    assert.match(said, TOO_MANY);
    assert.equal(late.code, 8);
    // Her certificate opens a session all the same.
    await world.ok("alice", ["request", "bob"]);
  }));
