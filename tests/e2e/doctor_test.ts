/** `pki doctor` on the built program: a healthy world, and then one thing after the other broken. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Finished, inWords, inWorld, type World } from "./harness.ts";

interface Report {
  readonly ok: boolean;
  readonly findings: readonly {
    readonly check: string;
    readonly verdict: string;
    readonly message: string;
  }[];
}

async function examine(
  world: World,
  ...args: readonly string[]
): Promise<{ readonly finished: Finished; readonly report: Report }> {
  const finished = await world.run(["doctor", "--json", ...args]);
  assert.equal(finished.stdout.trimEnd().split("\n").length, 1, "one line");
  return { finished, report: JSON.parse(finished.stdout) as Report };
}

function verdictsOf({ findings }: Report): Readonly<Record<string, string>> {
  return Object.fromEntries(findings.map(({ check, verdict }) => [check, verdict]));
}

/** All files and their modes and times: what must not change. */
function listFiles(folder: string): readonly string[] {
  return fs.readdirSync(folder, { recursive: true }).map(String).sort()
    .map((name) => {
      const { mode, mtimeMs, size } = fs.statSync(join(folder, name));
      return `${name} ${mode} ${size} ${mtimeMs}`;
    });
}

const HEALTHY = {
  home: "ok",
  modes: "ok",
  configuration: "ok",
  environment: "ok",
  "pinned-root": "ok",
  identity: "ok",
  reach: "ok",
  "server-root": "ok",
  "server-trust": "ok",
  clock: "ok",
  status: "ok",
  published: "unchecked",
  "data-folder": "ok",
};

test("pki doctor says that all is well, changes nothing, and finds what was broken", () =>
  inWorld(async (world) => {
    const { port } = await world.serve();
    await world.ok("alice", ["csr", "--register"]);
    const before = listFiles(world.home);
    const { finished, report } = await examine(world);
    assert.equal(finished.code, 0, finished.stdout);
    assert.equal(report.ok, true);
    assert.deepEqual(verdictsOf(report), HEALTHY);
    assert.deepEqual(listFiles(world.home), before, "nothing was changed");

    const text = await world.as("alice", ["doctor"]);
    assert.equal(text.code, 0);
    assert.match(text.stdout, /^ok {9}the password unlocks the key of "alice", which fits$/m);
    assert.match(
      text.stdout,
      /^unchecked {2}whether .* is published.*\n {11}-> see with: pki req/m,
    );
    assert.equal(text.stderr, "nothing is wrong\n");
    const offline = await world.run(["doctor", "--offline", "--quiet"]);
    assert.equal(offline.code, 0, offline.stdout);
    assert.match(offline.stdout, /^unchecked {2}the server was not asked \(--offline\)$/m);
    assert.equal(offline.stderr, "");

    const key = join(world.home, "ids", "alice", "key.pem");
    fs.chmodSync(key, 0o644);
    const open = await world.run(["doctor"]);
    assert.equal(open.code, 9, open.stdout);
    assert.match(
      open.stdout,
      /^problem {4}others can read the secret in ".*key\.pem" \(mode 644\)$/m,
    );
    assert.match(open.stderr, /^pki: error: others can read .*\npki: hint: chmod 600 /);
    fs.chmodSync(key, 0o600);

    await world.ok("alice", ["revoke", "--yes"]);
    const revoked = await examine(world);
    assert.equal(revoked.finished.code, 6);
    assert.deepEqual(verdictsOf(revoked.report), { ...HEALTHY, status: "problem" });
    assert.match(
      inWords(revoked.finished.stderr),
      /^pki: error: the certificate of "alice" was revoked on 20.*\npki: hint: .*--rekey$/m,
    );

    await world.server.running.end();
    const away = await examine(world, "--server", `localhost:${port}`);
    assert.equal(away.finished.code, 8);
    assert.equal(verdictsOf(away.report)["reach"], "problem");
    assert.equal(verdictsOf(away.report)["clock"], "unchecked");

    // Another server, where the one that is trusted was.
    await world.serve(["--data", world.path("other")]);
    const other = await examine(world);
    assert.equal(other.finished.code, 6);
    const { "server-root": root, "server-trust": trust } = verdictsOf(other.report);
    assert.deepEqual([root, trust], ["problem", "problem"]);

    fs.writeFileSync(join(world.home, "config.json"), "{");
    const damaged = await examine(world, "--offline");
    assert.equal(damaged.finished.code, 3, damaged.finished.stdout);
    const { configuration, identity } = verdictsOf(damaged.report);
    assert.deepEqual([configuration, identity], ["problem", "unchecked"]);
  }));
