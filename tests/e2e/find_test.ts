/**
 * Finding people: what a listener announces, who is told, and every way of not reaching somebody. One
 * world for all of it.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, PKI, type Running, type RunOptions, type World } from "./harness.ts";
import { Forge } from "./forge.ts";
import { control, RawListener } from "./raw_peer.ts";
import { inTerminal } from "./terminal.ts";

const IDS = ["alice", "bob", "carol"];
/** A name that nothing but an announcement has. */
const NOWHERE = "no-such-host-of-bobs.invalid:9";

/** A machine without IPv6, a container often, tries the same over IPv4. */
const HAS_SIX = Object.values(networkInterfaces()).flat().some((one) => one?.address === "::1");
const LOOPBACK = HAS_SIX ? "::1" : "127.0.0.1";
/** As an address has it. */
const HERE = HAS_SIX ? "[::1]" : LOOPBACK;

/** What is meant to the letter. */
const literally = (text: string) => text.replace(/[[\].]/g, "\\$&");

/** A listener on the loopback of IPv6, and the port that it got. */
async function listenOnSix(
  world: World,
  id: string,
  args: readonly string[] = [],
  options: RunOptions = { input: "" },
): Promise<{ readonly running: Running; readonly port: number }> {
  const running = world.startAs(
    id,
    ["listen", "--host", LOOPBACK, "--port", "0", "--json", ...args],
    options,
  );
  const [, port] = await running.waitFor(/"event":"listening".*"port":(\d+)/);
  return { running, port: Number(port) };
}

const call = (world: World, target: string, ...args: readonly string[]) =>
  world.as("alice", ["connect", target, ...args], { input: `to ${target}` });

/** Calls and expects this failure, whole. */
async function fails(
  world: World,
  [target, ...args]: readonly string[],
  [code, message, hint]: readonly [number, string, RegExp],
): Promise<void> {
  const called = await call(world, target ?? "", ...args);
  const [, said, advice = ""] = /^pki: error: (.*)\n(?:pki: hint: (.*)\n)?$/m.exec(called.stderr) ??
    [];
  assert.deepEqual([called.code, said], [code, message], called.stderr);
  assert.match(advice, hint);
  assert.equal(called.stdout, "");
}

/** Every byte that the server keeps, as text; what is just being written may be gone by then. */
function readAll(folder: string): string {
  return (fs.readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => !name.endsWith(".tmp"))
    .map((name) => join(folder, name))
    .filter((path) => fs.statSync(path).isFile())
    .map((path) => Buffer.from(fs.readFileSync(path)).toString("latin1"))
    .join("\n");
}

test("people are found where they announce to be, and every way of not reaching them is told", () =>
  inWorld(async (world) => {
    await world.withUsers(...IDS);
    const elsewhere = /name it: bob@HOST:7450$/;

    // Nobody is asked for a password, and no server, for what cannot be.
    const usage: readonly (readonly [readonly string[], string, RegExp])[] = [
      [["localhost"], 'cannot call "localhost": a host needs a port', /^say localhost:7450$/],
      [["Bob"], 'cannot call "Bob": neither an id nor host:port', /host of that name say Bob:7450/],
      [["bob@localhost:0"], 'cannot use address "localhost:0": not host:port', /localhost:7450/],
      [["bob", "--offline"], 'cannot find "bob" with --offline: no server is asked', elsewhere],
      [["bob", "--expect", "carol"], 'cannot call "bob" and expect "carol"', /leave --expect out/],
    ];
    for (const [args, message, hint] of usage) await fails(world, args, [2, message, hint]);
    for (
      const [args, says] of [
        [["--address", "localhost"], /cannot use --address: nothing is announced/],
        [["--announce", "--offline"], /cannot announce with --offline/],
        [["--announce", "--address", "münchen.example"], /it is not in ASCII/],
        [["--announce", "--address", "[fe80::1%eth0]"], /it is not in ASCII/],
        [["--announce", "--address", "localhost:x"], /not host:port/],
        [["--announce", "--address", Array(9).fill("localhost").join()], /more than 8 addresses/],
      ] as const
    ) {
      const listened = await world.run(["listen", "--id", "bob", ...args]);
      assert.deepEqual([listened.code, says.test(listened.stderr)], [2, true], listened.stderr);
    }

    // Known or not, but nowhere.
    const nothing = 'cannot reach "bob": nothing is announced under this id';
    await fails(world, ["bob"], [
      5,
      nothing,
      /^ask "bob" to wait with pki listen --announce; .*bob@HOST:7450$/,
    ]);
    await fails(world, ["example.org"], [
      5,
      'cannot reach "example.org": nobody is known under this id',
      /for the host of that name say example\.org:7450$/,
    ]);
    await fails(world, ["bob", "--server", "localhost:1"], [
      8,
      'cannot find out where "bob" is: cannot reach localhost:1: nobody listens there',
      elsewhere,
    ]);

    // Several addresses: nobody, somebody else, somebody of another CA, no host, and then bob, over IPv6.
    const foreign = await (await Forge.foreign(world)).user("bob");
    const stranger = await RawListener.start(foreign, (peer) => peer.send(control(peer.hello)));
    const strangerAt = stranger.where;
    const carol = await world.listen("carol", [], { keepStdin: true });
    const carolAt = `127.0.0.1:${carol.port}`;
    const bob = await listenOnSix(world, "bob", [
      "--announce",
      ...["--address", `127.0.0.1:1,${carolAt},${strangerAt},${NOWHERE},${HERE}`],
    ]);
    const bobAt = `${HERE}:${bob.port}`;
    await bob.running.waitFor(
      new RegExp(
        `"event":"announced","id":"bob","addresses":\\["127.0.0.1:1","${carolAt}","${strangerAt}","${NOWHERE}","${
          literally(bobAt)
        }"\\]`,
      ),
    );
    const reaches = async (target: string) => {
      const called = await call(world, target);
      assert.equal(called.code, 0, called.stderr);
      await bob.running.waitFor(new RegExp(`to ${literally(target)}$`));
      return called.stderr;
    };
    assert.match(
      await reaches("bob"),
      /^calling bob at 127\.0\.0\.1:1, [^]*^bob is on the line[^]*^bob has hung up$/m,
    );
    await carol.running.waitFor(/"event":"turned-away","kind":"untrusted"/);
    assert.doesNotMatch(carol.running.stderr, /bob/, "she does not hear whom somebody looks for");
    stranger.close();

    // At an address, and nobody else there.
    await reaches(`bob@${bobAt}`);
    await reaches(bobAt);
    const asksFor = /^ask "bob" for the address/;
    const notBob = `"carol" answers at ${carolAt}, not "bob"`;
    await fails(world, [`bob@${carolAt}`], [6, notBob, asksFor]);
    await fails(world, [carolAt, "--expect", "bob"], [6, notBob, asksFor]);
    await fails(world, ["bob@localhost:1"], [
      8,
      "cannot reach localhost:1: nobody listens there",
      /pki listen/,
    ]);

    // It is nowhere but in memory, and gone when bob has gone.
    const said = world.server.running.stdout + world.server.running.stderr;
    assert.doesNotMatch(said + readAll(join(world.home, "server")), /no-such-host-of-bobs/);
    const ended = await bob.running.end();
    assert.match(ended.stderr, /^\{"event":"withdrawn","id":"bob"\}$/m);
    assert.equal(ended.code, 130);
    await fails(world, ["bob"], [5, nothing, elsewhere]);

    // What is left of a listener that was killed leads nowhere, with the reason for each address.
    const killed = await listenOnSix(world, "bob", ["--announce"]);
    await killed.running.waitFor(
      new RegExp(`"addresses":\\["${literally(HERE)}:\\d+"\\]`),
    );
    await killed.running.end("SIGKILL");
    await fails(world, ["bob"], [
      8,
      `cannot reach "bob": nobody listens there`,
      /may be gone since/,
    ]);
    const gone = await listenOnSix(world, "bob", [
      "--announce",
      ...["--address", `127.0.0.1:1,127.0.0.1:2,${NOWHERE},${carolAt}`],
    ]);
    await gone.running.waitFor(/"announced"/);
    await fails(world, ["bob"], [6, notBob, asksFor]);
    await carol.running.end();
    await fails(world, ["bob"], [
      8,
      `cannot reach "bob": nobody listens there (127.0.0.1:1, 127.0.0.1:2, ${carolAt}); ` +
      `the host name is unknown (${NOWHERE})`,
      elsewhere,
    ]);
    await gone.running.end();

    // A listener on all addresses announces those of the interfaces; one whose server is away listens.
    const everywhere = world.startAs("carol", [
      "listen",
      "--host",
      HAS_SIX ? "::" : "0.0.0.0",
      "--port",
      "0",
      "--announce",
    ]);
    const [, list = ""] = await everywhere.waitFor(
      /^announced that carol is at (.*); others come with: pki connect carol$/m,
    );
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all);
    const isAlone = own.every(({ address, internal }) => internal || address.startsWith("fe80:"));
    for (const place of list.split(", ")) {
      const host = place.replace(/^\[?(.*?)\]?:\d+$/, "$1");
      const found = own.find(({ address }) => address === host);
      assert.ok(found && (isAlone || !found.internal), `${place} is an address of this machine`);
    }
    await everywhere.end();
    const alone = await world.listen("carol", ["--announce", "--server", "localhost:1"], {
      input: "from carol",
    });
    await alone.running.waitFor(/"event":"unannounced","id":"carol","kind":"unreachable"/);
    const called = await call(world, `carol@127.0.0.1:${alone.port}`);
    assert.deepEqual([called.code, called.stdout], [0, "from carol"], called.stderr);
    const { stderr } = await alone.running.end();
    assert.equal(stderr.match(/unannounced/g)?.length, 1);
    assert.doesNotMatch(stderr, /withdrawn/);

    // An account that is disabled is as nobody, to others and for itself.
    const last = await listenOnSix(world, "bob", ["--announce"]);
    await last.running.waitFor(/"announced"/);
    const disabled = await world.run(["users", "disable", "bob"]);
    assert.equal(disabled.code, 0, disabled.stderr);
    await fails(world, ["bob"], [
      5,
      'cannot reach "bob": nobody is known under this id',
      /for the host of that name say bob:7450$/,
    ]);
    const refused = await world.as("bob", ["connect", "alice"], { input: "" });
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(
      refused.stderr,
      /^pki: error: cannot find out where "alice" is: the server says: .*account "bob" is disabled/m,
    );
  }));

/** The `skip` option of a test that makes up what names stand for: on Linux, as root. */
function needsOwnNames(): { skip?: string } {
  if (!HAS_SIX) return { skip: "needs IPv6 on the loopback" };
  const missing = needs("unshare", "mount");
  if (missing.skip !== undefined) return missing;
  const tried = spawnSync("unshare", ["-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"]);
  return tried.status === 0 ? {} : { skip: "needs a mount namespace of its own" };
}

test(
  "a name that has several addresses is reached at the one that is of use",
  needsOwnNames(),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const hosts = world.path("hosts");
      fs.writeFileSync(hosts, "127.0.0.1 localhost\n::1 both.test\n127.0.0.1 both.test\n");
      const withNames = (args: readonly string[]) =>
        world.run([
          "-m",
          "sh",
          "-c",
          'mount --bind "$0" /etc/hosts && exec "$@"',
          hosts,
          PKI,
          ...args,
        ], {
          program: "unshare",
          input: "",
        });
      const alice = ["--id", "alice", "--password-file", world.passwordFile("alice")];
      const bob = await world.listen("bob", [], { input: "" });
      const call = () => withNames(["connect", `bob@both.test:${bob.port}`, ...alice]);

      // Nobody is there under IPv6; then somebody who hangs up; the server's name is treated alike.
      const alone = await call();
      assert.equal(alone.code, 0, alone.stderr);
      const rude = createServer((socket) => socket.destroy());
      await new Promise<void>((resolve) => rude.listen(bob.port, "::1", resolve));
      try {
        const beside = await call();
        assert.equal(beside.code, 0, beside.stderr);
        await bob.running.end();
        const failed = await call();
        assert.equal(failed.code, 8);
        assert.match(
          failed.stderr,
          new RegExp(
            `^pki: error: cannot reach both\\.test:${bob.port}: it closed the connection ` +
              `\\(\\[::1\\]:${bob.port}\\); nobody listens there \\(127\\.0\\.0\\.1:${bob.port}\\)$`,
            "m",
          ),
        );
      } finally {
        rude.close();
      }
      const server = ["--server", `both.test:${world.server.port}`];
      const asked = await withNames(["request", "alice", ...server, ...alice]);
      assert.equal(asked.code, 0, asked.stderr);
    }),
);

test("the interactive session calls people by name", needs("tmux"), () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const bob = await listenOnSix(world, "bob", ["--announce"], { keepStdin: true });
    await bob.running.waitFor(/"announced"/);
    const args = ["--id", "alice", "--password-file", world.passwordFile("alice")];
    await inTerminal(world, args, async (terminal) => {
      await terminal.waitFor(/^alice> *$/m);
      await terminal.enter("connect");
      await terminal.waitFor(/◆ +Whom\? \(a name, or host:port\)/);
      await terminal.enter("bob");
      await terminal.waitFor(/calling bob at \S+:\d+\n[^]*bob is on the line/);
      await bob.running.waitFor(/"event":"connected","peer":"alice"/);
      bob.running.child.stdin?.end("hello\n");
      await terminal.waitFor(/bob: hello/);
    });
  }));
