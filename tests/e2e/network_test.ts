/**
 * A line between two hosts on a bad network: packets are lost and late, the line is slow, and it
 * breaks. Nothing is lost or cut short silently, and every end says what it knows.
 */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cheapenKey } from "../fakes/cheap_key.ts";
import {
  type Finished,
  inWords,
  inWorld,
  PASSWORDS,
  type Running,
  type RunOptions,
  until,
  type World,
} from "./harness.ts";
import { type Host, inNetwork, needsNetwork, type Network } from "./network.ts";
import { inTerminal, type Terminal } from "./terminal.ts";

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What one of the hosts runs. */
class Post {
  readonly #world: World;
  readonly host: Host;
  readonly id: string;

  constructor(world: World, host: Host, id: string) {
    this.#world = world;
    this.host = host;
    this.id = id;
  }

  start(args: readonly string[], options: RunOptions = {}): Running {
    return this.#world.startAs(this.id, args, {
      ...options,
      within: this.host.within,
      env: this.env,
    });
  }

  get env(): Readonly<Record<string, string>> {
    return { PKI_SERVER: `${this.host.router}:${this.#world.server.port}` };
  }

  /** Starts `pki listen`; gives the address to call, too. */
  async listen(args: readonly string[] = [], options: RunOptions = {}) {
    const running = this.start(
      ["listen", "--host", this.host.address, "--port", "0", "--json", ...args],
      options,
    );
    const [, port] = await running.waitFor(/"event":"listening".*"port":(\d+)/);
    return { running, where: `${this.host.address}:${port}` };
  }
}

interface Posts {
  readonly network: Network;
  readonly world: World;
  readonly alice: Post;
  readonly bob: Post;
}

/** Two hosts, alice at one and bob at the other, and `pki serve` on the router between them. */
async function withPosts(body: (posts: Posts) => Promise<void>): Promise<void> {
  await inNetwork((network) =>
    inWorld(async (world) => {
      const options = { within: network.within };
      await world.serve(["--host", "0.0.0.0", "--registration", "open"], options);
      for (const id of ["alice", "bob"]) {
        await world.ok(id, ["csr", "--register", "--no-publish"], options);
        await cheapenKey(join(world.home, "ids", id, "key.pem"), PASSWORDS[id] ?? "");
      }
      await body({
        network,
        world,
        alice: new Post(world, network.left, "alice"),
        bob: new Post(world, network.right, "bob"),
      });
    })
  );
}

/**
 * Percent of packets that may be lost while a call begins, which is given up after ten seconds: TCP asks
 * four times in them, and of ten in a hundred all four are lost now and then.
 */
const FEW = 2;

const PARTS: (readonly [string, (posts: Posts) => Promise<void>])[] = [];

/** Something that is tried on the one network of this file, in this order. */
function part(name: string, body: (posts: Posts) => Promise<void>): void {
  PARTS.push([name, body]);
}

/** Writes pieces of a stream to a program, no faster than it takes them. */
class Writer {
  readonly #running: Running;
  readonly #hash = createHash("sha256");
  readonly #piece = randomBytes(256 * 1024);
  /** Bytes that the program has taken. */
  taken = 0;

  constructor(running: Running) {
    this.#running = running;
  }

  /** Writes all pieces and ends the stream; gives the SHA-256 of it. */
  async write(pieces: number): Promise<string> {
    const { stdin } = this.#running.child;
    assert.ok(stdin);
    for (let at = 0; at < pieces; at++) {
      this.#piece.writeUInt32BE(at);
      this.#hash.update(this.#piece);
      if (!stdin.write(Uint8Array.from(this.#piece))) await once(stdin, "drain");
      this.taken += this.#piece.length;
    }
    stdin.end();
    return this.#hash.digest("hex");
  }
}

/** Waits until a program has written so much. Fails if it ends first. */
async function untilWritten(running: Running, bytes: number): Promise<void> {
  const { stdout } = running.child;
  assert.ok(stdout);
  const ended = running.finished.then(({ stderr }) => {
    throw new Error(`ended before it had written ${bytes} bytes: ${stderr}`);
  });
  ended.catch(() => {}); // if it ends later, that is another matter
  while (running.stdoutLength < bytes) await Promise.race([once(stdout, "data"), ended]);
}

part(
  "a slow line holds the writer back, and a broken one that is mended goes on",
  async ({ network, alice, bob }) => {
    const listener = await alice.listen(["--once"]);
    const caller = bob.start(["connect", listener.where], { keepStdin: true });
    await listener.running.waitFor(/"event":"connected"/);
    network.limit(1000);
    const memory = () => Math.max(listener.running.peakMiB, caller.peakMiB);
    const before = memory();
    const pieces = 48;
    const writer = new Writer(caller);
    const writing = writer.write(pieces);
    await untilWritten(listener.running, 300_000);
    const taken = writer.taken;
    assert.ok(taken < 8 * 1024 * 1024, `${taken} bytes were taken while the line was slow`);

    // Not a packet passes now; TCP has tried in vain before there is a way again.
    network.limit();
    network.cut();
    const resent = network.resent(bob.host) + 2;
    await until(() => network.resent(bob.host) >= resent, "TCP sends again what was lost");
    network.mend();

    const wanted = await writing;
    const growth = memory() - before;
    assert.ok(growth < 48, `${growth} MiB more`);
    const [called, listened] = await Promise.all([caller.finished, listener.running.finished]);
    assert.equal(called.code, 0, called.stderr);
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(digest(listened.stdoutBytes), wanted);
  },
);

part(
  "an address that swallows everything keeps nobody from the other one",
  async ({ network, alice, bob }) => {
    network.swallowIpv6();
    network.name("right", "alice.example", [alice.host.address6, alice.host.address]);
    const listener = await alice.listen(["--once"], { input: "from alice" });
    const [port] = /\d+$/.exec(listener.where) ?? [];
    const called = await bob.start(["connect", `alice.example:${port}`], { input: "from bob" })
      .finished;
    assert.equal(called.code, 0, called.stderr);
    assert.equal(called.stdout, "from alice");
    assert.equal((await listener.running.finished).stdout, "from bob");
  },
);

part(
  "a line that breaks for good is noticed at both ends within the time that was set",
  async (posts) => {
    const { network, alice, bob } = posts;
    const dead = ["--dead-after", "5s"];
    const listener = await alice.listen(["--once", ...dead], { keepStdin: true });
    const caller = bob.start(["connect", listener.where, "--json", ...dead], { keepStdin: true });
    await listener.running.waitFor(/"event":"connected"/);
    const writer = new Writer(caller);
    network.limit(20_000);
    writer.write(64).catch(() => {}); // it will be cut
    await untilWritten(listener.running, 2_000_000);
    network.cut();
    const [listened, called] = await Promise.all([listener.running.finished, caller.finished]);
    network.limit();
    network.mend();
    for (const { code, stderr } of [listened, called]) {
      assert.equal(code, 7, stderr);
      assert.match(
        inWords(stderr),
        /^pki: error: the line was cut: nothing was heard from the other side for 5 s/m,
      );
    }
    // Each says what it knows: what arrived here for certain, and of the rest that it is not known.
    const knows = ({ stderr }: Finished) => {
      const [line = ""] = /^\{"event":"failed".*$/m.exec(stderr) ?? [];
      const { sent, confirmed, received } = JSON.parse(line) as Readonly<Record<string, unknown>>;
      return { sent, confirmed, received };
    };
    const arrived = listened.stdoutBytes.length;
    assert.deepEqual(knows(listened), { sent: 0, confirmed: false, received: arrived });
    const { sent } = knows(called);
    assert.deepEqual(knows(called), { sent, confirmed: false, received: 0 });
    assert.ok(Number(sent) > arrived, `${sent} sent, ${arrived} arrived`);
  },
);

part("a file whose way is cut goes on where it was when it is sent again", async (posts) => {
  const { network, world, alice, bob } = posts;
  const file = world.path("large");
  const bytes = randomBytes(16 * 1024 * 1024);
  fs.writeFileSync(file, bytes);
  const incoming = world.path("incoming");
  const receiver = alice.start([
    ...["receive", "--host", alice.host.address, "--port", "0", "--json"],
    ...["--dir", incoming, "--allow", "bob"],
  ]);
  const [, port] = await receiver.waitFor(/"event":"listening".*"port":(\d+)/);
  const where = `${alice.host.address}:${port}`;
  network.limit(20_000);
  const send = () => bob.start(["send", where, file, "--json"]);
  const first = send();
  const part = () => fs.readdirSync(incoming).find((name) => name.endsWith(".part"));
  await until(
    () => fs.existsSync(incoming) && fs.statSync(join(incoming, part() ?? ".")).size > 2_000_000,
    "a part of the file is there",
  );
  network.cut();
  const resent = network.resent(bob.host) + 2;
  await until(() => network.resent(bob.host) >= resent, "TCP sends again what was lost");
  // Whoever does not want to wait for the network need not.
  assert.equal((await first.end("SIGINT")).code, 130);
  network.limit();
  network.mend();
  await receiver.waitFor(/"event":"failed","peer":"bob"/);
  const again = await send().finished;
  assert.equal(again.code, 0, again.stderr);
  const { resumed } = JSON.parse(again.stdout) as { readonly resumed: number };
  assert.ok(resumed > 2_000_000, again.stdout);
  assert.equal(digest(fs.readFileSync(join(incoming, "large"))), digest(bytes));
});

part(
  "what is lost and late on the way arrives byte for byte, both ways",
  async ({ network, alice, bob }) => {
    await network.delay(25);
    for (const percent of [FEW, 10]) {
      network.lose(FEW);
      const [fromAlice, fromBob] = [randomBytes(400_000), randomBytes(300_001)];
      const listener = await alice.listen(["--once"], { keepStdin: true });
      const caller = bob.start(["connect", listener.where], { keepStdin: true });
      await listener.running.waitFor(/"event":"connected"/);
      network.lose(percent);
      listener.running.child.stdin?.end(fromAlice);
      caller.child.stdin?.end(fromBob);
      const [called, listened] = await Promise.all([caller.finished, listener.running.finished]);
      assert.equal(called.code, 0, called.stderr);
      assert.equal(listened.code, 0, listened.stderr);
      assert.equal(digest(called.stdoutBytes), digest(fromAlice));
      assert.equal(digest(listened.stdoutBytes), digest(fromBob));
    }
  },
);

part("a talk loses no message, and ticks those that have arrived", async (posts) => {
  const { network, world, alice, bob } = posts;
  network.lose(FEW);
  const at = (post: Post, args: readonly string[], body: (terminal: Terminal) => Promise<void>) =>
    inTerminal(
      world,
      [...args, "--id", post.id, "--password-file", world.passwordFile(post.id)],
      body,
      {
        within: post.host.within,
        env: post.env,
      },
    );
  const listening = ["listen", "--host", alice.host.address, "--port", "0"];
  await at(alice, listening, async (listener) => {
    const [, port] = await listener.waitFor(/ is listening on port (\d+);/);
    await at(bob, ["connect", `${alice.host.address}:${port}`], async (caller) => {
      await listener.waitFor(/^bob is on the line:[^]*^alice> *$/m);
      await caller.waitFor(/^alice is on the line:[^]*^bob> *$/m);
      network.lose(10);
      const numbers = Array.from({ length: 12 }, (_, i) => i);
      for (const number of numbers) {
        await caller.enter(`number ${number}`);
        await listener.enter(`answer ${number}`);
      }
      const all = (what: (number: number) => string) =>
        new RegExp(numbers.map(what).join("[^]*"), "m");
      await listener.waitFor(all((number) => `^\\d\\d:\\d\\d bob: number ${number}$`));
      await caller.waitFor(all((number) => `^\\d\\d:\\d\\d✓bob> number ${number}$`));
      await caller.waitFor(all((number) => `^\\d\\d:\\d\\d alice: answer ${number}$`));
      await listener.waitFor(all((number) => `^\\d\\d:\\d\\d✓alice> answer ${number}$`));

      // What is said while nothing comes through has no tick, until it does.
      network.cut();
      await caller.enter("into the void");
      const resent = network.resent(bob.host) + 2;
      await until(() => network.resent(bob.host) >= resent, "TCP sends again what was lost");
      assert.doesNotMatch(await caller.screen(), /✓bob> into the void/);
      network.mend();
      await caller.waitFor(/^\d\d:\d\d✓bob> into the void$/m);
      await listener.waitFor(/^\d\d:\d\d bob: into the void$/m);
      await caller.enter("/quit");
      assert.equal(await caller.exitCode(), 0);
    });
  });
});

test("two hosts on a bad network", needsNetwork("tmux"), (t) =>
  withPosts(async (posts) => {
    for (const [name, body] of PARTS) {
      await t.test(name, () => body(posts));
    }
  }));
