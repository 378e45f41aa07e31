/** `pki.json`, the environment and `--print-config`, from before the first start on. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { resolveLimits } from "../../lib/base/server_limits.ts";
import { inWorld } from "./harness.ts";

test("a server takes its settings from pki.json, which may be there before the first start", () =>
  inWorld(async (world) => {
    const folder = join(world.home, "server");
    const path = join(folder, "pki.json");
    const write = (value: unknown) => fs.writeFileSync(path, JSON.stringify(value));

    const early = await world.run(["serve", "--print-config"]);
    assert.equal(early.code, 0, early.stderr);
    assert.equal(JSON.parse(early.stdout).settings.registration, "open");
    assert.equal(fs.existsSync(world.home), false, "it has made something");

    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(world.path("passphrase"), "a passphrase of its own\n", { mode: 0o600 });
    write({ prot: 0 });
    const refused = await world.run(["serve"]);
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /^pki: error: cannot use ".*pki\.json": prot: no such setting$/m);
    assert.deepEqual(fs.readdirSync(folder), ["pki.json"], "a start that fails changes nothing");

    write({});
    const profiles = join(folder, "profiles.json");
    fs.writeFileSync(profiles, '{"user":{"days":0}}');
    const bad = await world.run(["serve"]);
    assert.equal(bad.code, 3, bad.stderr);
    assert.match(bad.stderr, /^pki: error: cannot use ".*\/profiles\.json": user\.days: .+$/m);
    assert.match(bad.stderr, /^pki: hint: docs\/profiles\.md says what can be written there$/m);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["pki.json", "profiles.json"]);
    fs.rmSync(profiles);

    write({
      port: 1, // the test's own option goes before it
      domain: "pki.example.org",
      passphraseFile: "../../passphrase",
      witness: "../elsewhere.witness",
      maxConnections: 7,
      publicAddress: "pki.example.org",
    });
    const env = { PKI_SERVE_REGISTRATION: "invite", PKI_SERVE_HSOT: "0.0.0.0" };
    const { running } = await world.serve([], { env });
    const [line] = await running.waitFor(/^\{"event":"ready".*\}$/m);
    assert.equal(JSON.parse(line).domain, "pki.example.org");
    assert.match(running.stderr, /\$PKI_SERVE_HSOT says nothing: did you mean/);
    assert.ok(fs.existsSync(join(world.home, "elsewhere.witness")));
    assert.equal(fs.existsSync(join(world.home, "server.passphrase")), false);
    assert.equal(JSON.parse(fs.readFileSync(path, "utf8")).maxConnections, 7);

    const printed = await world.run(["serve", "--print-config", "--log-level", "debug"], {
      env: { PKI_DATA: folder, PKI_HOME: world.path("none"), PKI_SERVE_REGISTRATION: "closed" },
    });
    assert.equal(printed.code, 0, printed.stderr);
    assert.deepEqual(JSON.parse(printed.stdout), {
      folder,
      file: path,
      settings: {
        host: "127.0.0.1",
        port: 1,
        domain: "pki.example.org",
        passphraseFile: world.path("passphrase"),
        maxConnections: 7,
        witness: join(world.home, "elsewhere.witness"),
        registration: "closed",
        publicAddress: "pki.example.org:7443",
        logFormat: "text",
        logLevel: "debug",
      },
      sources: {
        host: "default",
        port: `file ${path}`,
        domain: `file ${path}`,
        passphraseFile: `file ${path}`,
        maxConnections: `file ${path}`,
        witness: `file ${path}`,
        registration: "environment $PKI_SERVE_REGISTRATION",
        publicAddress: `file ${path}`,
        logFormat: "default",
        logLevel: "option --log-level",
      },
      limits: resolveLimits(),
    });
    assert.equal((await running.end()).code, 0);
    // Whoever looks after the log knows the witness, too.
    const kept = fs.readFileSync(join(world.home, "elsewhere.witness"));
    fs.writeFileSync(join(world.home, "elsewhere.witness"), "not a checkpoint\n");
    const verified = await world.run(["log", "verify"]);
    assert.equal(verified.code, 9, verified.stderr);
    assert.match(verified.stderr, /elsewhere\.witness/);
    fs.writeFileSync(join(world.home, "elsewhere.witness"), kept);
    // Also commands that open the folder themselves find the passphrase, and stdin is none of files.
    const offline = await world.run(["users", "--json"]);
    assert.equal(offline.code, 0, offline.stderr);
    fs.writeFileSync(profiles, "{");
    const unread = await world.run(["users"]);
    assert.equal(unread.code, 3, unread.stderr);
    assert.match(unread.stderr, /^pki: error: cannot use ".*\/profiles\.json": /m);
    fs.rmSync(profiles);
    const stdin = world.start(["serve", "--port", "0", "--json", "--passphrase-file", "-"], {
      input: "a passphrase of its own\n",
    });
    await stdin.waitFor(/"event":"ready"/);
    assert.equal((await stdin.end()).code, 0);
    // The passphrase itself, in the environment, goes before the file that pki.json names.
    const wrong = await world.run(["serve", "--port", "0"], {
      env: { PKI_CA_PASSPHRASE: "this is not the passphrase" },
    });
    assert.equal(wrong.code, 4, wrong.stderr);
  }));
