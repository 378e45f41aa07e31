/** Invitations and accounts, as the administrator and the people who are invited meet them. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeInvitation, parseInvitation } from "../../lib/protocol/invitation.ts";
import { fails, folderOf, json, ok } from "./administrator.ts";
import { type Finished, inWorld, needs, runProgram, untilRead, type World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

const textOf = (result: Readonly<Record<string, unknown>>, name: string) => {
  const value = result[name];
  assert.ok(typeof value === "string", `"${name}" in ${JSON.stringify(result)}`);
  return value;
};

/** A line of the administrator's. */
async function invite(world: World, ...args: readonly string[]): Promise<string> {
  return textOf(await json(world, ["invite", ...args]), "invitation");
}

/** Joins from a home of its own, with no other help than the line and a password. */
function joinAs(
  world: World,
  { id, line, home = id, more = [] }: {
    readonly id: string;
    readonly line: string;
    readonly home?: string;
    readonly more?: readonly string[];
  },
): Promise<Finished> {
  const args = ["join", line, "--home", world.path(home), "--password-file"];
  return world.run([...args, world.passwordFile(id), ...more]);
}

/** How many records of the log still have what a password is checked with. */
function countCredentials(world: World): number {
  const folder = join(folderOf(world), "log");
  const segments = fs.readdirSync(folder).filter((name) => name.endsWith(".log"));
  const bytes = segments.map((name) => fs.readFileSync(join(folder, name), "latin1")).join("");
  return bytes.split('"credential"').length - 1;
}

test("from an invitation to a published certificate, and what is refused on the way", async () => {
  await inWorld(async (world) => {
    const { running, port, fingerprint } = await world.serve(["--registration", "invite"]);
    const [ready] = await running.waitFor(/^\{"event":"ready".*\}$/m);
    const first = textOf(JSON.parse(ready), "invitation");
    const { address, fingerprint: root, id } = parseInvitation(first);
    assert.deepEqual([address, root, id], [`127.0.0.1:${port}`, fingerprint, undefined]);

    await fails(
      world,
      ["csr", "--id", "alice", "--register", "--password-file"].concat(
        world.passwordFile("alice"),
      ),
      {
        code: 4,
        says:
          /^pki: error: .*cannot register "alice": this server wants an invitation\npki: hint: ask .*pki invite.*pki join$/m,
      },
    );
    // Nobody says who it is for.
    const nobody = await joinAs(world, { id: "alice", line: first });
    assert.equal(nobody.code, 2);
    assert.match(
      nobody.stderr,
      /the invitation is for anybody\npki: hint: name yourself with --id/,
    );

    const alice = await world.run(
      ["join", "--id", "alice", "--home", world.path("alice"), "--json", "--quiet"]
        .concat("--password-file", world.passwordFile("alice")),
      { input: `${first}\n` },
    );
    assert.equal(alice.code, 0, alice.stderr);
    assert.equal(alice.stderr, "");
    const joined = JSON.parse(alice.stdout) as Record<string, unknown>;
    assert.equal(joined["published"], true);
    assert.equal(joined["root"], fingerprint);
    assert.ok(fs.existsSync(textOf(joined, "certificate")));
    // Cut short, it can be repeated with the same line and password.
    const again = await joinAs(world, { id: "alice", line: first, more: ["--id", "alice"] });
    assert.equal(again.code, 0, again.stderr);
    const stolen = await joinAs(world, {
      id: "carol",
      line: first,
      home: "thief",
      more: ["--id", "alice"],
    });
    assert.equal(stolen.code, 4);
    assert.match(stolen.stderr, /somebody has the id "alice", with another password/);

    const forBob = await invite(world, "--id", "bob");
    const used = await joinAs(world, { id: "bob", line: first, more: ["--id", "bob"] });
    assert.equal(used.code, 4);
    assert.match(
      used.stderr,
      /cannot use the invitation: it was used already, or withdrawn\npki: hint: ask /,
    );
    const other = await joinAs(world, { id: "bob", line: forBob, more: ["--id", "carol"] });
    assert.equal(other.code, 2);
    assert.match(other.stderr, /cannot join as "carol": the invitation is for "bob"/);
    const cut = await joinAs(world, { id: "bob", line: forBob.slice(0, 60) });
    assert.equal(cut.code, 3);
    assert.match(cut.stderr, /cannot read the invitation: some of it is missing/);
    // Another root at that address; and another server than the one of this home.
    const forged = encodeInvitation({ ...parseInvitation(forBob), fingerprint: "0".repeat(64) });
    const untrusted = await joinAs(world, { id: "bob", line: forged, home: "new" });
    assert.equal(untrusted.code, 6);
    assert.match(untrusted.stderr, /cannot trust the server: its root is [0-9a-f]{64}, not 0{64}/);
    const elsewhere = await joinAs(world, { id: "bob", line: forged, home: "alice" });
    assert.equal(elsewhere.code, 6);
    assert.match(elsewhere.stderr, /this home .* is for another server.*\npki: hint: .*--home DIR/);

    const withdrawn = await json(world, ["invite", "--uses", "3"]);
    await ok(world, ["invite", "--withdraw", String(withdrawn["number"])]);
    const short = await json(world, ["invite", "--expires", "1s", "--id", "carol"]);
    const isOpen = async () => {
      const { stdout } = await ok(world, ["invite", "--list", "--json"]);
      return stdout.includes(`"number":${short["number"]},`);
    };
    while (await isOpen());
    const late = await joinAs(world, { id: "carol", line: textOf(short, "invitation") });
    assert.equal(late.code, 4);
    assert.match(late.stderr, /cannot use the invitation: it has expired on 20/);
    const open = await ok(world, ["invite", "--list", "--json"]);
    assert.equal(open.stdout.split("\n").length - 1, 1, "bob's alone");

    const bob = await joinAs(world, { id: "bob", line: forBob });
    assert.equal(bob.code, 0, bob.stderr);
    const request = await world.run(
      ["request", "alice", "--home", world.path("bob"), "--password-file"]
        .concat(world.passwordFile("bob")),
    );
    assert.match(request.stdout, /^-----BEGIN CERTIFICATE-----/);

    // Without a server: the folder is opened under its lock.
    await running.end();
    fs.writeFileSync(join(folderOf(world), "pki.json"), '{"port":0}\n');
    await fails(world, ["invite", "--id", "carol"], {
      code: 2,
      says: /cannot tell where the server is reached: .*\npki: hint: .*--address HOST:PORT/,
    });
    const left = await ok(world, ["invite", "--list", "--json"]);
    assert.equal(left.stdout, "", "one that nobody has seen is withdrawn");
    const offline = await json(world, ["invite", "--id", "carol", "--address", "ca.test:1"]);
    assert.equal(parseInvitation(textOf(offline, "invitation")).address, "ca.test:1");
  });
});

test("an account is disabled, gets a new password, and is deleted for good", {
  ...needs("openssl"),
}, async () => {
  await inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const files = ["--password-file", world.passwordFile("bob")];
    const asBob = (more: readonly string[]) => world.run([...more, "--id", "bob", ...files]);
    await ok(world, ["users", "disable", "bob"]);
    const disabled = await asBob(["request", "alice"]);
    assert.equal(disabled.code, 4);
    assert.match(disabled.stderr, /cannot log in: the account "bob" is disabled/);
    const hidden = await world.as("alice", ["request", "bob"]);
    assert.equal(hidden.code, 5);
    await ok(world, ["users", "enable", "bob"]);

    // The account's password, and the key's.
    fs.writeFileSync(world.path("new.pass"), "seven boats in a bottle\n", { mode: 0o600 });
    const changed = await asBob(
      ["passwd", "--new-password-file", world.path("new.pass"), "--json", "--quiet"],
    );
    assert.equal(changed.code, 0, changed.stderr);
    assert.deepEqual(JSON.parse(changed.stdout), { id: "bob", account: true, key: true });
    const old = await asBob(["request", "alice", "--with-password"]);
    assert.equal(old.code, 4);
    files[1] = world.path("new.pass");
    assert.equal((await asBob(["request", "alice"])).code, 0);
    assert.equal((await asBob(["request", "alice", "--with-password"])).code, 0);
    const opened = await runProgram("openssl", [
      ...["pkey", "-in", join(world.home, "ids", "bob", "key.pem"), "-noout"],
      ...["-passin", `file:${world.path("new.pass")}`],
    ]);
    assert.equal(opened.code, 0, opened.stderr);

    // Forgotten: the administrator invites to choose another one.
    const line = await invite(world, "--id", "bob", "--reset");
    const reset = await joinAs(world, { id: "carol", line, home: "bob-again" });
    assert.equal(reset.code, 0, reset.stderr);
    assert.match(reset.stderr, /^"bob" has a new password$/m);
    assert.equal((await asBob(["request", "alice", "--with-password"])).code, 4);

    const before = countCredentials(world);
    await fails(world, ["users", "delete", "bob"], {
      code: 2,
      says: /answer beforehand with --yes/,
    });
    const deleted = await json(world, ["users", "delete", "bob", "--yes"]);
    assert.equal(deleted["state"], "deleted");
    assert.ok(Number(deleted["revoked"]) >= 2);
    assert.equal(countCredentials(world), before - 3, "registered, changed, reset");
    // A snapshot that knows of it is there at once, and the rest of the folder agrees.
    const snapshot = join(folderOf(world), "state.db");
    await untilRead([snapshot], (text) => text?.includes("pki state seal 1\n") ?? false);
    await ok(world, ["log", "verify"]);
    assert.ok(!fs.existsSync(join(folderOf(world), "certs", "bob.pem")));
    const gone = await asBob(["request", "alice", "--with-password"]);
    assert.match(gone.stderr, /cannot log in: the id or the password is wrong/);
    await fails(world, ["invite", "--id", "bob"], {
      code: 5,
      says: /cannot invite "bob": somebody has this id already\npki: hint: .*--reset/,
    });

    // All of it is in the log alone, too.
    await world.server.running.end();
    fs.rmSync(join(folderOf(world), "state.db"));
    await world.serve();
    const taken = await asBob(["csr", "--register"]);
    assert.equal(taken.code, 4);
    const { stdout } = await ok(world, ["users", "--json"]);
    const states = stdout.trim().split("\n").map((row) => JSON.parse(row) as { state: string });
    assert.deepEqual(states.map(({ state }) => state), ["active", "deleted"]);
    await ok(world, ["log", "verify"]);
  });
});

test("pki join at a terminal asks one question", { ...needs("tmux") }, async () => {
  await inWorld(async (world) => {
    await world.serve(["--registration", "invite"]);
    const line = await invite(world, "--id", "alice");
    const home = world.path("fresh");
    await inTerminal(world, ["join"], async (terminal) => {
      await terminal.waitFor(/Your invitation, the line that begins with pki1:/);
      await terminal.enter(line);
      await terminal.waitFor(/Choose a password for alice/);
      await terminal.enter("alice1234");
      await terminal.waitFor(/cannot use the password: [^]*◆ {2}Choose a password for alice/);
      await terminal.enter("a paper horse in the rain");
      await terminal.waitFor(/"alice" has joined pki\.internal and is certified until/);
      assert.equal(await terminal.exitCode(), 0);
      assert.doesNotMatch(await terminal.screen(), /paper horse/);
    }, { home });
  });
});
