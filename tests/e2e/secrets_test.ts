/**
 * Where secrets must not be, after a server and its users have done most of what there is: output, log
 * lines, command lines, environments of children. And what may be read by whom: every file that is there
 * is of a kind in a table, with the mode that it has to have.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { formsOf, json, ok } from "./administrator.ts";
import { inWorld, needs, PASSWORDS, type Running, type World } from "./harness.ts";

const FOLDER = 0o40700;
const FILE = 0o100600;
const SOCKET = 0o140600;

/** What others publish may be read by others, as far as the umask lets them. */
const PUBLIC = 0o100644;

/** Everything that may be in a home, by its path from there. */
const MODES: readonly (readonly [pattern: RegExp, mode: number])[] = [
  [/^$/, FOLDER],
  [/^config\.json$/, FILE],
  [/^root\.crt$/, FILE],
  [/^log\.pub$/, FILE],
  [/^checkpoint$/, FILE],
  [/^agent\.sock$/, SOCKET],
  [/^ids$/, FOLDER],
  [/^ids\/[a-z]+$/, FOLDER],
  [/^ids\/[a-z]+\/(?:key|cert)\.pem$/, FILE],
  [/^ids\/[a-z]+\/endorsements\.json$/, FILE],
  [/^contacts$/, FOLDER],
  [/^contacts\/[a-z]+\.pem$/, FILE],
  [/^server\.passphrase$/, FILE],
  [/^server\.witness$/, FILE],
  [/^server$/, FOLDER],
  [/^server\/(?:root|issuing|server)\.(?:crt|key)$/, FILE],
  [/^server\/(?:root|issuing)\.crl$/, PUBLIC],
  [/^server\/(?:opaque\.key|log\.key|log\.pub|state\.db)$/, FILE],
  [/^server\/log$/, FOLDER],
  [/^server\/log\/[0-9a-z.-]+$/, FILE],
  [/^server\/certs$/, FOLDER],
  [/^server\/certs\/[a-z]+\.pem$/, FILE],
  [/^server\/issuers$/, FOLDER],
  [/^server\/issuers\/[0-9a-f]+\.(?:crt|key|succession)$/, FILE],
  [/^server\/admin\.sock$/, SOCKET],
  [/^server\/lock-[^/]+$/, SOCKET],
];

/** Every path below a folder, itself included, with its mode; not of what is just being written. */
function walk(folder: string, path = folder): (readonly [path: string, mode: number])[] {
  if (/\/\.[^/]+\.tmp$/.test(path)) return [];
  const { mode } = fs.lstatSync(path);
  const below = (mode & 0o170000) === 0o040000
    ? fs.readdirSync(path).flatMap((name) => walk(folder, join(path, name)))
    : [];
  return [[relative(folder, path), mode], ...below];
}

function assertModes(home: string, umask: string): void {
  const wrong = walk(home).flatMap(([path, mode]) => {
    const [, full = 0] = MODES.find(([pattern]) => pattern.test(path)) ?? [];
    const wanted = full & ~parseInt(umask, 8);
    if (mode === wanted) return [];
    return [
      `${path}: ${mode.toString(8)}, ${full === 0 ? "not in the table" : wanted.toString(8)}`,
    ];
  });
  assert.deepEqual(wrong, []);
}

/** Runs under another umask. */
const under = (
  umask: string,
): readonly string[] => ["sh", "-c", `umask ${umask} && exec "$0" "$@"`];

/** Most of what makes files; returns every secret that there was. */
async function live(world: World, umask: string): Promise<{
  readonly running: Running;
  readonly said: readonly string[];
  readonly secrets: readonly string[];
}> {
  const within = under(umask);
  const passphrase = "seven passphrases of the authority";
  const { running } = await world.serve(["--log-level", "debug", "--registration", "invite"], {
    within,
    env: { PKI_CA_PASSPHRASE: passphrase },
  });
  const said: string[] = [];
  const keep = async (work: ReturnType<World["run"]>) => {
    const { stdout, stderr, code } = await work;
    assert.equal(code, 0, stderr);
    said.push(stdout, stderr);
  };
  const tokens: string[] = [];
  for (const id of ["alice", "bob"]) {
    const { invitation } = await json(world, ["invite", "--id", id]);
    tokens.push(String(invitation));
    await keep(
      world.run([
        "join",
        "--invite-file",
        "-",
        "--id",
        id,
        "--password-file",
        world.passwordFile(id),
      ], {
        input: `${invitation}\n`,
        within,
      }),
    );
  }
  await keep(world.as("alice", ["csr", "--rekey"], { within }));
  await keep(world.as("bob", ["request", "alice"], { within }));
  const listener = await world.listen("alice", ["--once"], { input: "hello\n", within });
  await keep(world.as("bob", ["connect", `localhost:${listener.port}`], { within, input: "" }));
  const { stdout, stderr } = await listener.running.finished;
  said.push(stdout, stderr);
  const { serial } = await json(world, ["ls", "--user", "bob", "--limit", "1"]);
  await ok(world, ["revoke", "--serial", String(serial), "--yes"]);
  return {
    running,
    said,
    secrets: [passphrase, ...Object.values(PASSWORDS), ...tokens.flatMap(formsOf)],
  };
}

for (const umask of ["000", "077"]) {
  test(`under umask ${umask} every file has its mode, and no secret is where it must not be`, () =>
    inWorld(async (world) => {
      const { running, said, secrets } = await live(world, umask);
      assertModes(world.home, umask);
      const { pid } = running.child;
      const commandLine = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1");
      // All that the server has said of its own, at its most talkative.
      const { code, stdout, stderr } = await running.end();
      assert.equal(code, 0, stderr);
      assert.match(stderr, /login\.accepted|account\.registered|request\.done/);
      const told = [...said, stdout, stderr, commandLine].join("\n");
      for (const secret of secrets) assert.ok(!told.includes(secret), `${secret} was told`);
      assert.doesNotMatch(told, /PRIVATE KEY/);
      assertModes(world.home, umask);
      for (const [path] of walk(join(world.home, "server"))) {
        const whole = join(world.home, "server", path);
        if (!fs.statSync(whole).isFile()) continue;
        const content = fs.readFileSync(whole, "latin1");
        for (const secret of secrets) assert.ok(!content.includes(secret), `${secret} in ${path}`);
        assert.doesNotMatch(content, /BEGIN (?:EC |RSA )?PRIVATE KEY/, path);
      }
    }));
}

test(
  "what a server starts has nothing of its environment",
  needs("systemd-notify", "python3"),
  () =>
    inWorld(async (world) => {
      const socket = world.path("notify.sock");
      // `systemd-notify` waits until what it sent after its message is taken, so it is still there.
      const listener = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
s.recv(4096)
def of(pid, what):
  try: return open(f"/proc/{pid}/{what}", "rb").read()
  except OSError: return b""
for pid in filter(str.isdigit, os.listdir("/proc")):
  if of(pid, "cmdline").startswith(b"/usr/bin/systemd-notify") and sys.argv[1].encode() in of(pid, "environ"):
    print(repr([of(pid, "environ"), of(pid, "cmdline")]), flush=True)
s.recv(4096)
`;
      const program = "/usr/bin/python3";
      const watcher = world.start(["-c", listener, socket], { program });
      await watcher.waitFor(/^bound$/m);
      const passphrase = "seven passphrases of the authority";
      await world.serve([], { env: { NOTIFY_SOCKET: socket, PKI_CA_PASSPHRASE: passphrase } });
      const [told] = await watcher.waitFor(/^\[.*\]$/m);
      assert.ok(!told.includes(passphrase), told);
      assert.doesNotMatch(told, /PKI_|HOME=|PATH=/);
      watcher.kill("SIGKILL");
    }),
);
