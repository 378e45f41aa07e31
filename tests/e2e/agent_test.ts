/** One password a sitting: `pki unlock`, everything without a password, `pki lock`. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Home } from "../../lib/client/home.ts";
import { putKey } from "../client/temporary_home.ts";
import { type Finished, inWorld, needs, PASSWORDS, ROOT, World } from "./harness.ts";
import { publishedSerial, serialOf } from "./identity.ts";
import { inTerminal } from "./terminal.ts";

const PROC = fs.existsSync("/proc/self/cmdline") ? {} : { skip: "needs /proc" };
/** How long anything may take before a test gives up; no test asserts a time below it. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;

/** Runs as somebody who gives no password; nothing can be asked. */
async function without(world: World, id: string, ...args: readonly string[]): Promise<Finished> {
  return await world.run([...args, "--id", id]);
}

async function unlocked(world: World): Promise<readonly string[]> {
  const { code, stdout, stderr } = await world.run(["unlock", "--list", "--json"]);
  assert.equal(code, 0, stderr);
  const { unlocked } = JSON.parse(stdout) as { unlocked: { id: string; until: string }[] };
  return unlocked.map(({ id }) => id);
}

/** The processes that are agents of this home. */
function agentsOf(world: World): readonly number[] {
  return fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const words = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.includes("agent") && words.includes(world.home);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    assert.ok(performance.now() < endMs, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const NO_PASSWORD = /^pki: error: cannot ask for the password: there is no terminal$/m;

test(
  "after one pki unlock no command needs a password or a terminal, until pki lock",
  PROC,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      assert.match((await without(world, "alice", "request", "bob")).stderr, NO_PASSWORD);
      const { stdout } = await world.ok("alice", ["unlock", "--for", "10m"]);
      assert.match(stdout, /^"alice" is unlocked for 10 m, until \d{4}-.*Z; pki lock ends it\n$/);
      const ok = async (...args: readonly string[]) => {
        const finished = await without(world, "alice", ...args);
        assert.equal(finished.code, 0, `pki ${args.join(" ")}: ${finished.stderr}`);
        return finished;
      };
      const first = serialOf(world, "alice");
      await ok("request", "bob");
      await ok("csr", "--no-publish");
      assert.notEqual(serialOf(world, "alice"), first);
      assert.equal(await publishedSerial(world, "alice"), first);
      await ok("upload");
      assert.equal(await publishedSerial(world, "alice"), serialOf(world, "alice"));
      await ok("renew");
      assert.equal(await publishedSerial(world, "alice"), serialOf(world, "alice"));
      const listening = world.start([
        ...["listen", "--id", "alice", "--host", "127.0.0.1", "--port", "0", "--json", "--once"],
      ], { input: "from alice" });
      const [, port] = await listening.waitFor(/"event":"listening".*"port":(\d+)/);
      await world.ok("bob", ["unlock"]);
      const called = await without(
        world,
        "bob",
        "connect",
        `localhost:${port}`,
        "--expect",
        "alice",
      );
      assert.deepEqual([called.code, called.stdout], [0, "from alice"], called.stderr);
      assert.equal((await listening.finished).code, 0);

      // One process has both keys, and nothing of them or the password can be read off it.
      assert.deepEqual(await unlocked(world), ["alice", "bob"]);
      const [agent, ...more] = agentsOf(world);
      assert.ok(agent !== undefined && more.length === 0);
      const shown = ["cmdline", "environ"].map((name) =>
        fs.readFileSync(`/proc/${agent}/${name}`, "latin1")
      ).join("");
      assert.doesNotMatch(shown, /PKI_|PRIVATE KEY|\.pass/);
      assert.equal(fs.lstatSync(join(world.home, "agent.sock")).mode & 0o777, 0o600);

      // What needs the password itself still does: a new key is encrypted with it.
      assert.match((await without(world, "alice", "renew", "--rekey")).stderr, NO_PASSWORD);

      // A disabled account is let in by nothing.
      assert.equal((await world.run(["users", "disable", "bob"])).code, 0);
      const disabled = await without(world, "bob", "request", "alice");
      assert.equal(disabled.code, 4, disabled.stderr);
      assert.match(disabled.stderr, /cannot log in: the account "bob" is disabled$/m);
      assert.equal((await world.run(["users", "enable", "bob"])).code, 0);
      assert.equal((await without(world, "bob", "request", "alice")).code, 0);

      const locked = await world.run(["lock", "--id", "bob", "--json"]);
      assert.deepEqual(JSON.parse(locked.stdout), { locked: ["bob"] });
      assert.match((await without(world, "bob", "request", "alice")).stderr, NO_PASSWORD);
      await ok("request", "bob");

      // A certificate that is revoked opens nothing, unlocked or not.
      await ok("revoke", "--yes");
      const refused = await without(world, "alice", "request", "bob");
      assert.equal(refused.code, 6, refused.stderr);
      assert.match(
        refused.stderr,
        /^pki: error: the certificate opens no session \(the server says: .* it is revoked\)$/m,
      );
      assert.match(refused.stderr, /^pki: hint: the password may: give it with --password-file$/m);
      await world.ok("alice", ["request", "bob"]);

      // With a new key the one that is kept is of no use, and the agent has nothing left.
      assert.deepEqual(await unlocked(world), ["alice"]);
      await world.ok("alice", ["csr", "--rekey"]);
      await until(() => agentsOf(world).length === 0, "the agent ends");
      assert.equal(fs.existsSync(join(world.home, "agent.sock")), false);
      assert.match((await without(world, "alice", "request", "bob")).stderr, NO_PASSWORD);

      await world.ok("alice", ["unlock"]);
      await ok("request", "bob");
      assert.equal((await world.run(["lock"])).stdout, '"alice" is locked\n');
      await until(() => agentsOf(world).length === 0, "the agent ends");

      // Another password is another file of the key, though the key is the same.
      await world.ok("alice", ["unlock"]);
      const file = world.path("new.pass");
      fs.writeFileSync(file, "seven boats in a bottle\n", { mode: 0o600 });
      await world.ok("alice", ["passwd", "--new-password-file", file]);
      assert.match((await without(world, "alice", "request", "bob")).stderr, NO_PASSWORD);
      await until(() => agentsOf(world).length === 0, "the agent ends");
      const again = await world.run(["lock"]);
      assert.deepEqual([again.code, again.stdout, again.stderr], [0, "", "nothing was unlocked\n"]);
    }),
);

/** A home with the keys of these users, and no server: enough to unlock them. */
function withKeys(world: World, ...ids: readonly string[]): void {
  for (const id of ids) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const passphrase = PASSWORDS[id] ?? "";
    const options = { format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase } as const;
    putKey(new Home(world.home), id, privateKey.export(options) as string);
  }
}

test(
  "an agent ends with its time, by a signal, or killed, and another takes its place",
  PROC,
  () =>
    inWorld(async (world) => {
      withKeys(world, "alice", "bob");
      const socket = join(world.home, "agent.sock");
      await world.ok("alice", ["unlock", "--for", "1s"]);
      await until(() => agentsOf(world).length === 0, "its time is over");
      assert.equal(fs.existsSync(socket), false);

      for (const signal of ["SIGTERM", "SIGHUP", "SIGKILL"] as const) {
        await world.ok("alice", ["unlock"]);
        const [agent, ...more] = agentsOf(world);
        assert.ok(agent !== undefined && more.length === 0, `${signal}: there is one`);
        process.kill(agent, signal);
        await until(() => agentsOf(world).length === 0, `${signal} ends it`);
        assert.equal(fs.existsSync(socket), signal === "SIGKILL", signal);
        assert.deepEqual(await unlocked(world), []);
      }

      // Several at once, over what the killed one has left.
      const several = await Promise.all(
        ["alice", "bob", "alice", "bob"].map((id) => world.as(id, ["unlock"])),
      );
      for (const { code, stderr } of several) assert.equal(code, 0, stderr);
      assert.deepEqual((await unlocked(world)).toSorted(), ["alice", "bob"]);
      await until(() => agentsOf(world).length === 1, "one agent is enough");
      assert.deepEqual((await unlocked(world)).toSorted(), ["alice", "bob"]);

      fs.rmSync(socket);
      await until(() => agentsOf(world).length === 0, "it ends when its socket is gone");
      await world.ok("alice", ["unlock"]);
      fs.rmSync(world.home, { recursive: true });
      await until(() => agentsOf(world).length === 0, "it ends when its home is gone");
    }),
);

const REFUSED: readonly {
  readonly does: string;
  readonly args: readonly string[];
  readonly code: number;
  readonly error: string;
}[] = [
  ...["0m", "-1m", "1"].map((span) => ({
    does: `--for ${span}`,
    args: [`--for=${span}`],
    code: 2,
    error: `cannot use the value of --for: "${span}" is not a span of time: ` +
      "a number and one of s, m, h, d, w",
  })),
  ...["25h", "2d", "86401s"].map((span) => ({
    does: `--for ${span}`,
    args: ["--for", span],
    code: 2,
    error: `cannot use the value of --for: ${span} is too long: 24 h at most`,
  })),
  {
    does: "--for with --list",
    args: ["--list", "--for", "1m"],
    code: 2,
    error: "cannot use --for: with --list nothing is unlocked",
  },
  {
    does: "no password",
    args: ["--id", "alice"],
    code: 2,
    error: "cannot ask for the password: there is no terminal",
  },
  {
    does: "a wrong password",
    args: ["--id", "alice", "--password-file", "{folder}/bob.pass"],
    code: 4,
    error: 'cannot open the key of "alice": the password does not fit',
  },
  {
    does: "somebody who has no key",
    args: ["--id", "bob", "--password-file", "{folder}/bob.pass"],
    code: 5,
    error: 'cannot find the key of "bob" in "{home}"',
  },
];

test("pki unlock says what it cannot do, and starts nothing", PROC, () =>
  inWorld(async (world) => {
    withKeys(world, "alice");
    const fill = (text: string) =>
      text.replace("{folder}", world.folder).replace("{home}", world.home);
    for (const { does, args, code, error } of REFUSED) {
      const finished = await world.run(["unlock", ...args.map(fill)]);
      assert.equal(finished.code, code, `${does}: ${finished.stderr}`);
      const [said] = finished.stderr.split("\n");
      assert.equal(said, `pki: error: ${fill(error)}`, does);
    }
    fs.chmodSync(world.home, 0o775);
    const open = await world.run(["unlock", "--id", "alice"]);
    assert.equal(open.code, 6, "before it asks for the password");
    assert.match(open.stderr, /^pki: error: cannot use the agent of ".*": others can write in/m);
    assert.match(open.stderr, /^pki: hint: .*chmod 700/m);
    fs.chmodSync(world.home, 0o700);
    assert.deepEqual(agentsOf(world), []);

    // A key goes to nobody who is not surely the user's own agent.
    await world.ok("alice", ["unlock"]);
    const socket = join(world.home, "agent.sock");
    fs.chmodSync(socket, 0o666);
    for (const command of [["unlock"], ["lock"], ["unlock", "--list"]]) {
      const refused = await world.as("alice", command);
      assert.equal(refused.code, 6, refused.stderr);
      assert.match(
        refused.stderr,
        /^pki: error: cannot use the agent of ".*": others can connect/m,
      );
    }
    // What only wants a key says so, and goes on as if there were none.
    const listening = await world.run(["renew", "--id", "alice"]);
    assert.equal(listening.code, 5, "it has no certificate yet");
    fs.chmodSync(socket, 0o600);
    assert.deepEqual(await unlocked(world), ["alice"]);
    await world.run(["lock"]);
  }));

test(
  "pki unlock and pki lock work from source under Deno, too",
  PROC,
  () =>
    inWorld(async (outer) => {
      const program = outer.path("pki-from-source");
      const config = join(ROOT, "deno.json");
      fs.writeFileSync(
        program,
        `#!/bin/sh\nexec '${process.execPath}' run --quiet --allow-all --config '${config}' ` +
          `'${join(ROOT, "main.ts")}' "$@"\n`,
        { mode: 0o755 },
      );
      const world = new World(program);
      try {
        withKeys(world, "alice");
        const env = { DENO_DIR: process.env["DENO_DIR"] ?? "", HOME: process.env["HOME"] ?? "" };
        await world.ok("alice", ["unlock"], { env });
        const listed = await world.run(["unlock", "--list"], { env });
        assert.match(listed.stdout, /^alice {2}until .* left\)\n$/);
        assert.equal((await world.run(["lock"], { env })).stdout, '"alice" is locked\n');
        await until(() => agentsOf(world).length === 0, "the agent ends");
      } finally {
        await world.close();
      }
    }),
);

test(
  "at a terminal the password is asked for once, and the session asks nothing",
  { ...needs("tmux"), ...PROC },
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      await inTerminal(world, ["unlock"], async (terminal) => {
        await terminal.waitFor(/◆ +Password of alice, which unlocks the key/);
        await terminal.enter(PASSWORDS["alice"] ?? "");
        assert.equal(await terminal.exitCode(), 0);
        assert.match(await terminal.screen(), /"alice" is unlocked for 15 m/);
      });
      await inTerminal(world, ["request", "alice"], async (terminal) => {
        assert.equal(await terminal.exitCode(), 0);
        assert.doesNotMatch(await terminal.screen(), /Password/);
      });
      await inTerminal(world, [], async (terminal) => {
        await terminal.waitFor(/^alice>/m);
        await terminal.enter("request alice");
        await terminal.waitFor(/-----END CERTIFICATE-----[^]*alice>/);
        assert.doesNotMatch(await terminal.history(), /Password/);
        await terminal.enter("lock");
        await terminal.waitFor(/"alice" is locked[^]*alice>/);
        await terminal.enter("request alice");
        await terminal.waitFor(/◆ +Password of alice/);
      });
      await world.run(["lock"]);
    }),
);
