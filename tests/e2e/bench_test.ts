/** `pki bench` at servers of the test's and of its own: what it measures, leaves, refuses, and how it ends. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { needs, type RunOptions, until, World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

interface Report {
  readonly loop: string;
  readonly temporary: boolean;
  readonly interrupted: boolean;
  readonly givenUp: boolean;
  readonly operations: readonly {
    readonly operation: string;
    readonly count: number;
    readonly errors: Readonly<Record<string, number>>;
    readonly firstError?: { readonly code: string; readonly message: string };
  }[];
  readonly judged: number;
  readonly proven: number;
  readonly serverMemoryBytes?: number;
  readonly accounts: readonly string[];
  readonly deleted: boolean;
  readonly summary: string;
}

const BRIEF = ["--seconds", "1", "--warm-up", "0", "--clients", "3"];

async function bench(
  world: World,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Report> {
  const { code, stdout, stderr } = await world.run(["bench", "--json", ...args], options);
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout) as Report;
  for (const { operation, count, errors } of report.operations) {
    assert.ok(count > 0, `${operation} was done`);
    assert.deepEqual(errors, {}, operation);
  }
  return report;
}

async function withWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

/** Processes that were started with this among their words. */
function processesOf(word: string): readonly string[] {
  return fs.readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return fs.readFileSync(join("/proc", name, "cmdline"), "utf8").includes(word);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

test("pki bench --temporary measures a server of its own, and leaves nothing behind", () =>
  withWorld(async (world) => {
    const empty = world.path("tmp");
    fs.mkdirSync(empty);
    const env = { TMPDIR: empty, PKI_SERVER: "192.0.2.1:1", PKI_DATA: "/nonexistent" };
    const { code, stdout, stderr } = await world.run(
      ["bench", "--temporary", ...BRIEF, "--load", "visit"],
      { env },
    );
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "", "there is nothing to say, and nothing to draw on");
    assert.match(stdout, /^OPERATION +COUNT +PER SECOND .*\nvisit +\d+ +[\d.,]+ /);
    assert.match(
      stdout,
      /\n {2}server {5}127\.0\.0\.1:\d+: \d.* cores, .* of memory, \d+ threads\n/,
    );
    assert.match(stdout, /this server does [\d.,]+ visits a second; 99 of 100 end within/);
    assert.doesNotMatch(stdout, /\n {2}left/);
    assert.deepEqual(fs.readdirSync(empty), []);
    assert.deepEqual(processesOf(empty), [], "its server has ended");
    assert.equal(fs.existsSync(world.home), false);

    const gone = await world.run(["bench", "--temporary"], { env: { TMPDIR: world.path("gone") } });
    assert.equal(gone.code, 9, gone.stderr);
    assert.match(gone.stderr, /cannot make a folder in ".*gone" \(see \$TMPDIR\): .*\n.*hint/);

    // Whoever closes the terminal leaves no server behind either.
    const left = world.start(["bench", "--temporary", "--seconds", "600"], { env });
    const isServing = () =>
      fs.readdirSync(empty).some((name) => fs.existsSync(join(empty, name, "root.crt")));
    await until(() => isServing() || left.isOver, "the server is known to its client");
    assert.equal((await left.end("SIGHUP")).code, 130);
    assert.deepEqual(fs.readdirSync(empty), []);
    assert.deepEqual(processesOf(empty), [], "its server has ended");

    // Nor does one who is killed: of that only a folder tells.
    const killed = world.start(["bench", "--temporary", "--seconds", "600"], { env });
    await until(() => isServing() || killed.isOver, "the next server is known to its client");
    const server = () => processesOf(empty);
    assert.equal(server().length, 1);
    await killed.end("SIGKILL");
    await until(() => server().length === 0, "the server has ended");
  }));

test("pki bench measures a server that is there, as its accounts or as somebody of the home", () =>
  withWorld(async (world) => {
    const { running } = await world.serve(["--log-format", "json"]);
    await world.ok("alice", ["csr", "--register"]);
    const users = async () => {
      const { stdout } = await world.run(["users", "--json"]);
      return stdout.trim().split("\n").map((line) => (JSON.parse(line) as { id: string }).id);
    };
    const alice = ["--id", "alice", "--password-file", world.passwordFile("alice")];

    const looked = await bench(world, [...BRIEF, "--load", "lookup", ...alice]);
    assert.equal(looked.judged, 1, "all answers are held against the one that was judged");
    assert.equal(looked.proven, 1);
    assert.ok((looked.serverMemoryBytes ?? 0) > 10_000_000, "its folder says which process it is");
    const visited = await bench(world, [
      ...[...BRIEF, "--load", "visit", "--rate", "5", ...alice],
    ]);
    assert.equal(visited.loop, "open");
    assert.deepEqual(await users(), ["alice"], "nothing is left behind");

    const mixed = await bench(world, [...BRIEF, "--yes"]);
    assert.match(mixed.summary, /operations a second/);
    assert.equal(mixed.accounts.length, 3);
    for (const id of mixed.accounts) assert.match(id, /^bench-[0-9a-f]{8}-[1-3]$/);
    assert.deepEqual(await users(), ["alice", ...mixed.accounts].sort());

    const refused: readonly (readonly [code: number, says: RegExp, args: readonly string[]])[] = [
      [2, /cannot ask whether accounts may be left in the server's log\n.*--yes/, BRIEF],
      [2, /cannot do issue as "alice": it would leave certificates/, [
        ...[...BRIEF, "--load", "issue", ...alice],
      ]],
      [2, /cannot use --server with --temporary/, ["--temporary", "--server", "localhost"]],
      [2, /cannot use --delete with --temporary/, ["--temporary", "--delete"]],
      [2, /cannot use --id with --delete/, ["--delete", ...alice]],
      [5, /cannot delete accounts afterwards: the server does not run on/, [
        ...[...BRIEF, "--yes", "--delete", "--data", world.path("elsewhere")],
      ]],
      [2, /"0" is not a number from 1 to 1000/, ["--clients", "0"]],
      [2, /"3601" is not a number from 1 to 3600/, ["--seconds", "3601"]],
      [4, /cannot put load on 192\.0\.2\.1:7443: it is not on this machine\n.*say --yes/, [
        ...["--server", "192.0.2.1"],
      ]],
      [5, /certificate of "bob"/, ["--load", "visit", "--id", "bob"]],
      [6, /the pinned root is /, ["--yes", "--fingerprint", "00".repeat(32)]],
    ];
    for (const [code, says, args] of refused) {
      const ended = await world.run(["bench", ...args]);
      assert.equal(ended.code, code, `${args.join(" ")}: ${ended.stderr}`);
      assert.match(ended.stderr, says);
      assert.equal(ended.stdout, "");
    }

    // Interrupted while it measures: the server has told of a visit.
    const long = ["bench", "--json", "--load", "visit", "--warm-up", "0", "--seconds", "600"];
    const visits = () => running.stderr.split("login.accepted").length;
    let before = visits();
    const interrupted = world.start([...long, ...alice]);
    await until(() => visits() > before || interrupted.isOver, "somebody visits");
    const { code, stdout, stderr } = await interrupted.end("SIGINT");
    assert.equal(code, 130, stderr);
    assert.equal((JSON.parse(stdout) as Report).interrupted, true);

    // The server dies meanwhile: that is told, and is no good end.
    before = visits();
    const cut = world.start([...long, ...alice]);
    const seen = running.stderr.length;
    const owing = world.start([...long, "--clients", "1", "--yes", "--delete"]);
    const isMeasured = () =>
      running.stderr.slice(seen).split("\n").some((line) =>
        ["login.accepted", '"bench-', '"certificate"'].every((word) => line.includes(word))
      );
    await until(() => isMeasured() || owing.isOver, "one who will want accounts deleted visits");
    // More than those that were still on their way when the one before was interrupted.
    await until(() => visits() > before + 20 || cut.isOver, "somebody visits again");
    running.kill("SIGKILL");
    const ended = await cut.finished;
    const [row] = (JSON.parse(ended.stdout) as Report).operations;
    assert.ok((row?.errors["UNREACHABLE"] ?? 0) > 0, ended.stdout);
    const isFault = (row?.errors["TRUNCATED"] ?? 0) > 0;
    assert.equal(ended.code, isFault ? 7 : 8, ended.stderr);
    assert.match(row?.firstError?.message ?? "", /\S/);
    // What was measured is told also where nobody is there to delete accounts any more.
    const owed = await owing.finished;
    assert.match(owed.stderr, /cannot delete .*bench-.*no server runs on/);
    assert.equal(owed.code, 5, owed.stderr);
    const told = JSON.parse(owed.stdout) as Report;
    assert.deepEqual([told.deleted, told.accounts.length], [false, 1]);

    // By invitation: as many accounts as it is good for.
    const limits = JSON.stringify({ entriesPerHour: 30 });
    await world.serve(["--registration", "invite", "--max-connections", "4"], {
      env: { PKI_SERVE_LIMITS: limits },
    });
    const refusal = await world.run(["bench", ...BRIEF, "--yes"]);
    assert.equal(refusal.code, 4);
    assert.match(refusal.stderr, /it takes an invitation\n.*pki invite --uses 8/);
    const invite = async (uses: string) => {
      const { stdout } = await world.run(["invite", "--uses", uses, "--json"]);
      return { input: `${(JSON.parse(stdout) as { invitation: string }).invitation}\n` };
    };
    const invitee = ["--invite-file", "-", "--yes", "--load", "lookup", "--delete"];
    const two = await bench(world, [...BRIEF, ...invitee], await invite("2"));
    assert.equal(two.accounts.length, 2);
    const gone = await world.run(["users", "--state", "deleted", "--json"]);
    for (const id of two.accounts) assert.match(gone.stdout, new RegExp(`"id":"${id}"`));

    // A server that soon says no to everything: that is no measure of it, and no good end.
    const issue = ["--load", "issue", "--clients", "2", "--warm-up", "0", "--seconds", "600"];
    const no = await world.run(
      ["bench", "--json", ...issue, "--yes", "--delete", "--invite-file", "-"],
      await invite("1"),
    );
    assert.equal(no.code, 8, no.stderr);
    assert.match(
      no.stderr,
      /"cannot say what this server can do: .*; the first: the server says: /,
    );
    const { givenUp, summary, operations: [refusedRow] } = JSON.parse(no.stdout) as Report;
    assert.equal(givenUp, true);
    assert.match(summary, /^given up after .* these figures are not what this server can do: /);
    assert.equal(refusedRow?.firstError?.code, "BUSY");

    // More clients than connections: accounts are not forgotten when nothing can be measured.
    const crowd = ["bench", "--load", "lookup", "--clients", "6", "--yes", "--invite-file", "-"];
    const fail = async (...options: readonly string[]) => {
      const { code, stderr } = await world.run([...crowd, ...options], await invite("1"));
      assert.equal(code, 8, stderr);
      assert.match(stderr, /cannot open connection [1-6] of 6: .*busy.*\n.*fewer --clients/);
      return stderr;
    };
    const left = /registered, and left behind: (bench-[0-9a-f]{8}-1)\n/.exec(await fail());
    assert.doesNotMatch(await fail("--delete"), /left behind/);
    const all = JSON.parse(
      `[${(await world.run(["users", "--json"])).stdout.trim().replaceAll("\n", ",")}]`,
    ) as { id: string; state: string }[];
    assert.deepEqual(
      all.filter(({ id, state }) => id.startsWith("bench-") && state === "active")
        .map(({ id }) => id).filter((id) => ![...mixed.accounts, ...told.accounts].includes(id)),
      [left?.[1]],
    );
  }));

test(
  "pki bench at a terminal asks before it leaves anything behind",
  needs("tmux"),
  () =>
    withWorld(async (world) => {
      const { port } = await world.serve();
      const server = ["--server", `localhost:${port}`];
      await inTerminal(world, ["bench", "--load", "lookup", ...server], async (terminal) => {
        await terminal.waitFor(/This registers 8 accounts [^]*stays in that server's log for ever/);
        await terminal.press("Enter");
        await terminal.waitFor(/nothing was done/);
        assert.equal(await terminal.exitCode(), 4);
      });
    }),
);
