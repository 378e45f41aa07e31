/**
 * Whether a peer is who it was: keys that are new, the same, vouched for, and neither; what a person at
 * a terminal is asked; and a directory that certifies somebody else under a known name.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Forge } from "./forge.ts";
import { type Finished, inWorld, needs, type Running, type World } from "./harness.ts";
import { callAs, control, RawListener, READY, REVEAL } from "./raw_peer.ts";
import { inTerminal } from "./terminal.ts";

/** Everybody has a home of their own here: alice the world's, where the server is too. */
function homeOf(world: World, owner: string): Readonly<Record<string, string>> {
  return owner === "alice" ? {} : { PKI_HOME: world.path(`home-of-${owner}`) };
}

async function ok(world: World, owner: string, args: readonly string[], id = owner) {
  return await world.ok(id, args, { env: homeOf(world, owner) });
}

/** A server with alice and bob, who are certified. */
async function certifyBoth(world: World): Promise<void> {
  await world.withUsers("alice", "bob");
  world.moveOut("bob", world.path("home-of-bob"));
}

type Event = Readonly<Record<string, unknown>>;

function eventsIn(text: string, name?: string): readonly Event[] {
  return text.split("\n").filter((line) => line.startsWith('{"event"'))
    .map((line) => JSON.parse(line) as Event)
    .filter(({ event }) => name === undefined || event === name);
}

interface Talk {
  readonly caller: Finished;
  /** What each side told about the other as a contact. */
  readonly news: { readonly caller: readonly Event[]; readonly listener: readonly Event[] };
  readonly listener: Finished;
}

/** Bob calls alice, who listens until somebody has called. */
async function talk(world: World, args: readonly string[] = []): Promise<Talk> {
  const { running, port } = await world.listen("alice", [], { input: "" });
  const caller = await world.as("bob", ["connect", `localhost:${port}`, "--json", ...args], {
    env: homeOf(world, "bob"),
  });
  await running.waitFor(/"event":"(?:ended|turned-away)"/);
  const listener = await running.end();
  return {
    caller,
    listener,
    news: {
      caller: eventsIn(caller.stderr, "contact"),
      listener: eventsIn(listener.stderr, "contact"),
    },
  };
}

/** What a talk told that went well, as who was what. */
async function newsOf(world: World): Promise<readonly unknown[]> {
  const { caller, news } = await talk(world);
  assert.equal(caller.code, 0, caller.stderr);
  return [...news.listener, ...news.caller].map(({ peer, contact }) => `${peer} is ${contact}`);
}

async function contactsOf(world: World, owner: string): Promise<readonly Event[]> {
  const { code, stdout, stderr } = await world.run(["contacts", "--json"], {
    env: homeOf(world, owner),
  });
  assert.equal(code, 0, stderr);
  return stdout.split("\n").flatMap((line) => line === "" ? [] : [JSON.parse(line) as Event]);
}

const NOT_VOUCHED = "has another key than before, and the one before does not vouch for it";

/** Bob's call comes to nothing, and he hears no reason. */
async function assertAliceRefuses(world: World): Promise<void> {
  const { caller, listener } = await talk(world);
  assert.equal(caller.code, 4, caller.stderr);
  assert.match(
    caller.stderr,
    /the peer refuses: no reason is given","hint":"if you have a new key/,
  );
  const [away] = eventsIn(listener.stderr, "turned-away");
  assert.deepEqual(away, {
    event: "turned-away",
    kind: "untrusted",
    message: `"bob" ${NOT_VOUCHED}`,
  });
}

test("a contact is pinned, renewed, and followed where the old key vouches for the new one", () =>
  inWorld(async (world) => {
    await certifyBoth(world);
    const first = await talk(world);
    assert.equal(first.caller.code, 0, first.caller.stderr);
    const [ofBob, ofAlice] = [first.news.listener[0], first.news.caller[0]];
    assert.deepEqual([ofBob?.["contact"], ofAlice?.["contact"]], ["new", "new"]);
    assert.deepEqual(ofBob?.["words"], ofAlice?.["words"], "both sides have the same words");
    assert.equal((ofBob?.["words"] as readonly string[]).length, 5);
    const [bob] = await contactsOf(world, "alice");
    assert.deepEqual([bob?.["id"], bob?.["key"]], ["bob", ofBob?.["key"]]);
    assert.deepEqual((await contactsOf(world, "bob")).map(({ id }) => id), ["alice"]);

    await ok(world, "bob", ["renew"]);
    assert.deepEqual(await newsOf(world), [], "the same key in another certificate");
    await ok(world, "bob", ["renew", "--rekey"]);
    await ok(world, "alice", ["renew", "--rekey"]);
    await ok(world, "alice", ["renew", "--rekey", "--key-type", "ed25519"]);
    assert.deepEqual(await newsOf(world), ["bob is endorsed", "alice is endorsed"]);
    assert.deepEqual(await newsOf(world), [], "what is pinned now is the new keys");
    const file = join(world.home, "ids", "alice", "endorsements.json");
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);

    // A damaged file is no reason to keep quiet, nor to be believed: it is as if there were none.
    await ok(world, "alice", ["renew", "--rekey"]);
    const good = fs.readFileSync(file);
    fs.writeFileSync(file, "damaged");
    const damaged = await talk(world);
    assert.equal(damaged.caller.code, 6, damaged.caller.stderr);
    assert.match(
      damaged.listener.stderr,
      /"warning":\{"message":"cannot read .*endorsements\.json/,
    );
    fs.writeFileSync(file, good);
    assert.deepEqual(await newsOf(world), ["alice is endorsed"]);
  }));

test("a key that nothing vouches for is refused by both sides, until the contact is forgotten", () =>
  inWorld(async (world) => {
    await certifyBoth(world);
    assert.deepEqual(await newsOf(world), ["bob is new", "alice is new"]);
    await ok(world, "bob", ["renew", "--rekey"]);
    await ok(world, "bob", ["csr", "--rekey"]); // breaks the chain that has just begun
    await assertAliceRefuses(world);

    const receiving = world.startAs("alice", [
      ...["receive", "--host", "127.0.0.1", "--port", "0", "--allow", "bob"],
      ...["--dir", world.path("incoming"), "--json"],
    ]);
    const [, port] = await receiving.waitFor(/"event":"listening".*"port":(\d+)/);
    const sent = await world.as("bob", ["send", `localhost:${port}`, world.passwordFile("carol")], {
      env: homeOf(world, "bob"),
    });
    assert.equal(sent.code, 4, sent.stderr);
    const received = await receiving.end();
    assert.equal(eventsIn(received.stderr, "turned-away")[0]?.["kind"], "untrusted");
    assert.deepEqual(fs.readdirSync(world.path("incoming")), []);

    // What the directory says is no better, and is told apart.
    const looked = await ok(world, "alice", ["request", "bob", "--json"]);
    assert.match(
      looked.stderr,
      /"warning":\{"message":"the directory's certificate of \\"bob\\" is for/,
    );
    assert.equal((JSON.parse(looked.stdout) as Event)["contact"], "changed");
    const refused = await world.as("alice", ["request", "bob", "--known"]);
    assert.deepEqual([refused.code, refused.stdout], [6, ""]);
    const unknown = await world.as("alice", ["request", "alice", "--known"]);
    assert.equal(unknown.code, 6, unknown.stderr);

    await world.ok("alice", ["contacts", "forget", "bob"]);
    assert.equal((await world.run(["contacts", "forget", "bob"])).code, 5);
    assert.deepEqual(await newsOf(world), ["bob is new"]);
    await world.ok("alice", ["request", "bob", "--known"]);

    await ok(world, "alice", ["csr", "--rekey"]);
    for (const args of [[], ["--yes"], ["--expect", "alice"]]) {
      const { caller, listener } = await talk(world, args);
      assert.equal(caller.code, 6, caller.stderr);
      const { error } = JSON.parse(caller.stderr.trimEnd().split("\n").at(-1) ?? "") as {
        readonly error: Event;
      };
      assert.equal(error["message"], `"alice" ${NOT_VOUCHED}`);
      assert.match(String(error["hint"]), /: pki contacts forget alice$/);
      assert.match(listener.stderr, /the peer refuses: no reason is given/);
      assert.equal(caller.stdout, "");
    }
    const env = homeOf(world, "bob");
    await world.ok("bob", ["contacts", "forget", "alice"], { env });
    assert.deepEqual(await newsOf(world), ["alice is new"]);
    const shown = await world.run(["contacts", "show", "alice"], { env });
    assert.match(shown.stdout, /^alice\n {2}key +[0-9a-f]{64} \(P-256\)\n/);
    assert.match(shown.stdout, /\n {2}answered at +localhost:\d+/);
  }));

test("listen takes no impossible name for somebody who may call", () =>
  inWorld(async (world) => {
    for (const allow of ["Bob", "bob,", "bob,../x", "bob carol"]) {
      const { code, stderr } = await world.run(["listen", "--allow", allow, "--id", "alice"]);
      assert.deepEqual([code, /^pki: error: cannot use id/.test(stderr)], [2, true], allow);
    }
  }));

test("a directory that certifies somebody else as bob is caught by whoever knows bob", () =>
  inWorld(async (world) => {
    await certifyBoth(world);
    assert.deepEqual(await newsOf(world), ["bob is new", "alice is new"]);
    // Somebody who has bob's password has another key certified, all by the book.
    const thief = { PKI_HOME: world.path("home-of-thief") };
    const { fingerprint } = world.server;
    await world.ok("bob", ["csr", "--fingerprint", fingerprint], { env: thief });
    // And whoever has the issuing CA's key needs no password.
    const forge = await Forge.ofServer(world);
    const forgedBob = await forge.user("bob");

    const { running, port } = await world.listen("alice", [], { input: "for bob alone" });
    const where = `localhost:${port}`;
    const stolen = await world.as("bob", ["connect", where], { env: thief, input: "from a thief" });
    assert.deepEqual([stolen.code, stolen.stdout], [4, ""]);
    const forged = await callAs(forgedBob, port);
    await forged.meet();
    assert.deepEqual(await forged.refusal(), {
      type: "REFUSED",
      code: "REFUSED",
      message: "no reason is given",
    });
    assert.deepEqual(await forged.typesToClose(), [], "and nothing of what is for bob");
    const real = await world.as("bob", ["connect", where], { env: homeOf(world, "bob") });
    assert.deepEqual([real.code, real.stdout], [0, "for bob alone"]);
    const listened = await running.end();
    assert.equal(listened.stdout, "");
    assert.equal(eventsIn(listened.stderr, "turned-away").length, 2);

    const forgedAlice = await forge.user("alice");
    const heard = Promise.withResolvers<readonly number[]>();
    const impostor = await RawListener.start(forgedAlice, async (peer) => {
      peer.send(control(peer.hello));
      await peer.control("HELLO");
      peer.send(control(REVEAL), control(READY));
      await peer.refusal();
      heard.resolve(await peer.typesToClose());
    });
    const args = ["connect", impostor.where, "--expect", "alice", "--yes"];
    const called = await world.as("bob", args, { env: homeOf(world, "bob"), input: "for alice" });
    assert.equal(called.code, 6, called.stderr);
    assert.match(called.stderr, new RegExp(`"alice" ${NOT_VOUCHED}`));
    assert.deepEqual(await heard.promise, [], "and nothing of what is for alice");
    impostor.close();
  }));

/** Bob calls, again and again, as somebody whom alice is asked about. */
function call(world: World, port: string): Running {
  return world.startAs("bob", ["connect", `127.0.0.1:${port}`, "--json"], {
    env: homeOf(world, "bob"),
    input: "it is me",
  });
}

/** A listener at a terminal has said on which port. */
async function portOf(screen: { waitFor(pattern: RegExp): Promise<RegExpExecArray> }) {
  const [, port = ""] = await screen.waitFor(/listening on port (\d+);/);
  return port;
}

const ALARM =
  /bob HAS ANOTHER KEY THAN BEFORE[^]*\n {2}(\w+(?: {2}\w+){4})\n[^]*type the name in full/;

test(
  "at a terminal somebody with another key is let in by name alone",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      await certifyBoth(world);
      assert.deepEqual(await newsOf(world), ["bob is new", "alice is new"]);
      await ok(world, "bob", ["csr", "--rekey"]);
      const as = ["--id", "alice", "--password-file", world.passwordFile("alice")];
      const listen = ["listen", "--host", "127.0.0.1", "--port", "0", ...as, "--yes"];
      await inTerminal(world, listen, async (terminal) => {
        const port = await portOf(terminal);
        const first = call(world, port);
        await terminal.waitFor(ALARM);
        // A second caller hears busy meanwhile, whoever it is.
        assert.equal((await call(world, port).finished).code, 8);
        await terminal.enter("y");
        const refused = await first.finished;
        assert.equal(refused.code, 4, refused.stderr);
        assert.match(refused.stderr, /no reason is given/);
        await terminal.waitFor(/which was not confirmed/);

        const gone = call(world, port);
        await gone.waitFor(/"event":"asked"/);
        await gone.end("SIGKILL");
        await terminal.waitFor(/turned a caller away: the line was cut/);

        const second = call(world, port);
        const [asked] = await second.waitFor(/^\{"event":"asked".*\}$/m);
        const [, shown = ""] = await terminal.waitFor(
          new RegExp(`(?:${ALARM.source}[^]*){2}`), // the last one
        );
        const { words } = JSON.parse(asked) as { readonly words: readonly string[] };
        assert.ok((await terminal.screen()).includes(words.join("  ")), `${words} and ${shown}`);
        await terminal.enter("bob");
        await terminal.waitFor(/bob is on the line[^]*the new key of bob/);
        await terminal.waitFor(/it is me/);
        await terminal.press("C-d");
        assert.equal((await second.finished).code, 0);
      });

      await ok(world, "bob", ["csr", "--rekey"]);
      const env = homeOf(world, "bob");
      const { running, port } = await world.listen("bob", [], { env, input: "" });
      const connect = ["connect", `127.0.0.1:${port}`, ...as];
      await inTerminal(world, connect, async (terminal) => {
        await terminal.waitFor(ALARM);
        await terminal.enter("bobby");
        await terminal.waitFor(/pki: error: "bob" has another key than before, which was not/);
        assert.equal(await terminal.exitCode(), 6);
      });
      await running.end();
    }),
);
