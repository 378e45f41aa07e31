/** A server as a service: lines of its log, SIGHUP, and what a supervisor hears of it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { formsOf } from "./administrator.ts";
import { inWorld, needs, PASSWORDS, PKI, runProgram, type World } from "./harness.ts";
import { RawClient, withClient } from "./raw_client.ts";

interface Line {
  readonly event: string;
  readonly level: string;
  readonly time: string;
  readonly [field: string]: unknown;
}

function linesOf(stderr: string): Line[] {
  return stderr.trimEnd().split("\n").map((line) => {
    // deno-lint-ignore no-control-regex -- none of them is what is wanted
    assert.match(line, /^\{[^\u0000-\u001f\u007f]*\}$/, "not a line of JSON");
    return JSON.parse(line) as Line;
  });
}

function configure(world: World, value: unknown): void {
  const folder = join(world.home, "server");
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(
    join(folder, "pki.json"),
    typeof value === "string" ? value : JSON.stringify(value),
  );
}

test("the log has every event on a line of JSON and no secret, and SIGHUP changes what can change", () =>
  inWorld(async (world) => {
    configure(world, { logFormat: "json", registration: "open" });
    const { running } = await world.serve();
    await world.ok("alice", ["csr", "--register"]);
    const invited = await world.run(["invite", "--id", "bob", "--json"]);
    const { invitation } = JSON.parse(invited.stdout);
    await world.ok("alice", ["upload"]);
    await world.ok("bob", ["csr", "--register"]);
    const wrong = join(world.folder, "wrong.pass");
    fs.writeFileSync(wrong, "nobody has this password here\n", { mode: 0o600 });
    const guess = ["request", "alice", "--id", "bob", "--with-password", "--password-file", wrong];
    assert.equal((await world.run(guess)).code, 4);
    assert.equal((await world.run(["revoke", "--user", "bob", "--yes"])).code, 0);
    await running.waitFor(/"event":"certificate\.revoked"/);

    const lines = linesOf(running.stderr);
    const find = (event: string) => lines.filter((line) => line.event === event);
    const events = new Set(lines.map(({ event }) => event));
    const wanted = [
      "server.ready",
      "connection.accepted",
      "connection.closed",
      "account.registered",
      "login.accepted",
      "login.unfinished",
      "certificate.issued",
      "certificate.published",
      "certificate.revoked",
      "invitation.made",
      "admin.order",
      "note",
    ];
    for (const event of wanted) assert.ok(events.has(event), `nothing told of ${event}`);
    assert.deepEqual(find("account.registered").map(({ id }) => id), ["alice", "bob"]);
    assert.equal(find("login.unfinished")[0]?.["id"], "bob");
    assert.equal(find("certificate.revoked")[0]?.["id"], "bob");
    assert.ok(find("connection.closed").some(({ id, seconds }) => id === "alice" && seconds));
    for (const { time, level } of lines) {
      assert.ok(Date.parse(time) > 0 && level !== "error" && level !== "debug");
    }
    const told = running.stderr;
    const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
    for (
      const secret of [...Object.values(PASSWORDS), passphrase, ...formsOf(String(invitation))]
    ) {
      assert.ok(!told.includes(secret), "a secret is in the log");
    }

    // What can change does, what cannot is named, and mistakes change nothing.
    const { fixed, ...change } = { fixed: { host: "0.0.0.0" }, registration: "closed" };
    configure(world, { ...change, ...fixed, logLevel: "warning", logFormat: "json" });
    running.kill("SIGHUP");
    await running.waitFor(/"event":"configuration\.fixed".*"name":"host"/);
    const closed = await world.as("carol", ["csr", "--register"]);
    assert.equal(closed.code, 4, closed.stderr);
    assert.match(closed.stderr, /this server registers nobody/);
    configure(world, '{"registration":"opne"}');
    running.kill("SIGHUP");
    await running.waitFor(/"event":"configuration\.refused".*none of open, invite, closed/);
    assert.equal((await world.as("carol", ["csr", "--register"])).code, 4, "all stays as it was");
    // Nor does half of a change: a CA that came with profiles that cannot be used is not known.
    const profiles = join(world.home, "server", "profiles.json");
    configure(world, { registration: "open" });
    fs.writeFileSync(profiles, "{");
    running.kill("SIGHUP");
    await running.waitFor(/"event":"configuration\.refused".*profiles/);
    assert.equal((await world.as("carol", ["csr", "--register"])).code, 4, "no setting either");
    const entries = async () =>
      JSON.parse((await world.run(["status", "--json"])).stdout).log.entries;
    const before = await entries();
    const added = await world.run(["issuer", "add", "--dns", "example.org"]);
    assert.equal(added.code, 9, added.stderr);
    assert.match(added.stderr, /the server has not taken it over: cannot use .*profiles/);
    assert.equal(await entries(), before);
    fs.rmSync(profiles);
    configure(world, { registration: "open", maxConnections: 1 });
    running.kill("SIGHUP");
    await running.waitFor(
      /^pki: reloaded CAs, profiles and configuration: .*registration is open/m,
    );
    await world.ok("carol", ["csr", "--register"]);
    assert.equal((await running.end()).code, 0);
    assert.match(running.stderr, /stopping: running requests finish/);
  }));

test("a log that nobody reads keeps the server from nothing, not even from ending", () =>
  inWorld(async (world) => {
    const program = world.path("pki-unread");
    // Stderr is a pipe that the server itself holds open for reading, and nobody reads.
    const script = `#!/bin/sh
mkfifo "$0.pipe"
exec 3<>"$0.pipe"
exec '${PKI}' "$@" 2>"$0.pipe"
`;
    fs.writeFileSync(program, script, { mode: 0o755 });
    const { running } = await world.serve(["--log-level", "debug"], { program });
    await withClient(RawClient.open(world), async (client) => {
      // A pipe holds 64 KiB; each of these makes a line of some 100 bytes.
      for (let count = 0; count < 1500; count++) await client.ok("HELLO");
    });
    assert.equal((await running.end()).code, 0);
  }));

/** Runs a server at a terminal, has it reload, closes the terminal; prints how the server ends. */
const AT_A_TERMINAL = `
import os, pty, signal, sys
signal.alarm(120)
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
def until(text):
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)
until(b"makes the next invitation")
os.kill(pid, signal.SIGHUP)
until(b"no setting has changed")
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

test("a server at a terminal reloads when it is told to, and ends well when that is closed", {
  ...needs("python3"),
}, () =>
  inWorld(async (world) => {
    const args = ["-c", AT_A_TERMINAL, PKI, "serve", "--port", "0"];
    const { code, stdout, stderr } = await world.run(args, { program: "python3" });
    assert.deepEqual([code, stdout], [0, "0\n"], stderr);
    assert.ok(fs.existsSync(join(world.home, "server", "state.db")), "it has taken a snapshot");
  }));

/** Listens as a supervisor does, and prints one line of JSON a datagram. */
const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;

test("a supervisor hears of ready, reload, watchdog and stop, and SIGHUP ends other commands", {
  ...needs("python3", "systemd-notify"),
}, () =>
  inWorld(async (world) => {
    const socket = world.path("notify");
    const receiver = spawn("python3", ["-c", RECEIVER, socket], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const heard: string[] = [];
    let look = () => {};
    const lines = createInterface({ input: receiver.stdout });
    lines.on("line", (line) => {
      heard.push(line);
      look();
    });
    const until = (pattern: RegExp) =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no ${pattern} in ${heard}`)), 60_000);
        look = () => {
          if (!heard.some((line) => pattern.test(line))) return;
          clearTimeout(timer);
          resolve();
        };
        look();
      });
    try {
      await until(/^listening$/);
      const env = {
        NOTIFY_SOCKET: socket,
        WATCHDOG_USEC: "400000",
        PKI_CA_PASSPHRASE: "not for others to see",
      };
      // As in a service: stderr is what the variable names, which others may read.
      const program = world.path("pki-in-journal");
      const journal = "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr)";
      fs.writeFileSync(program, `#!/bin/sh\n${journal} exec '${PKI}' "$@"\n`, { mode: 0o755 });
      const options = { env, program };
      const { running, port } = await world.serve(["--log-format", "json"], options);
      await until(/READY=1.*STATUS=serving pki\.internal at 127\.0\.0\.1:/);
      await until(/^"WATCHDOG=1/);
      heard.length = 0;
      running.kill("SIGHUP");
      await until(/RELOADING=1/);
      await until(/READY=1/);
      assert.ok(
        heard.findIndex((line) => /RELOADING/.test(line)) <
          heard.findIndex((line) => /READY/.test(line)),
      );
      assert.ok(port > 0);
      const { code, stdout } = await running.end();
      assert.equal(code, 0);
      await until(/STOPPING=1/);
      assert.match(stdout, /"event":"ready"/);
      assert.doesNotMatch(stdout + running.stderr, /pki1:|invitation\.made/);
      assert.match(running.stderr, /"nobody is registered yet; pki invite makes the first invit/);
      const told = linesOf(running.stderr).map(({ event }) => event);
      assert.deepEqual(told.slice(-3), [
        "configuration.reloaded",
        "server.stopping",
        "server.stopped",
      ]);
      // Nobody has asked another command to live on when its terminal is gone.
      const waiting = world.start(["inspect", "-"], { keepStdin: true });
      process.kill(waiting.child.pid ?? 0, 0);
      assert.equal((await waiting.end("SIGHUP")).code, null);
    } finally {
      receiver.kill();
    }
  }));

test("the unit that pki prints satisfies systemd, and is hardened", {
  ...needs("systemd-analyze"),
}, () =>
  inWorld(async (world) => {
    const printed = await world.run([
      ...["serve", "--print-unit", "--host", "::", "--public-address", "pki.example.org"],
      ...["--witness", '/mnt/a b/%w$"', "--passphrase-file", "/etc/pki/secret"],
    ]);
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(
      printed.stdout,
      /^ExecStart=\/usr\/local\/bin\/pki serve --passphrase-file \$\{CREDENTIALS_DIRECTORY\}\/passphrase --host :: --witness "\/mnt\/a b\/%%w\$\$\\"" --public-address pki\.example\.org:7443$/m,
    );
    // A disk that was full is so no more after a while; what people have to mend is not mended by it.
    assert.match(
      printed.stdout,
      /^Restart=on-failure\n(?:.*\n)*RestartPreventExitStatus=2 3 4 5$/m,
    );
    assert.match(printed.stdout, /^LoadCredential=passphrase:\/etc\/pki\/secret$/m);
    const folder = world.path("units");
    fs.mkdirSync(folder);
    const unit = join(folder, "pki-under-test.service");
    // It is not installed here: the program is where it was built.
    fs.writeFileSync(
      unit,
      printed.stdout.replace("ExecStart=/usr/local/bin/pki", `ExecStart=${PKI}`),
    );
    const verified = await runProgram("systemd-analyze", ["verify", "--man=no", unit]);
    assert.deepEqual([verified.code, verified.stderr, verified.stdout], [0, "", ""]);
    // From 0, without any rights, to 10; in tenths.
    const threshold = ["security", "--offline=true", "--no-pager", "--threshold=15", unit];
    const judged = await runProgram("systemd-analyze", threshold);
    assert.equal(judged.code, 0, judged.stdout);
    const refused = await world.run(["serve", "--print-unit", "--data", "/srv"]);
    assert.equal(refused.code, 2);
  }));
