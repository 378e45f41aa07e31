/** Which root and issuing CA a client believes, and how that changes. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { vouchFor } from "../../lib/x509/succession.ts";
import { inWorld, needs } from "./harness.ts";
import {
  configOf,
  elsewhere,
  fails,
  fingerprintOfFile,
  makeOpensslRoot,
  openCa,
  pki,
} from "./own_roots.ts";

test("pki trust does not pin a CA that is known to be revoked", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const pem = fs.readFileSync(join(world.home, "server", "issuing.crt"), "utf8");
    const { serial } = parseCertificate(parsePemBlock(pem, ["CERTIFICATE"], "it"));
    const config = join(world.home, "config.json");
    const pinned = { ...configOf(world.home), revokedIssuers: [serial] };
    fs.writeFileSync(config, JSON.stringify(pinned));
    const { code, stderr } = await world.as("alice", [
      ...["trust", "--fingerprint", world.server.fingerprint],
    ]);
    assert.equal(code, 6, stderr);
    assert.match(stderr, /the root has revoked the issuing CA/);
    assert.deepEqual(configOf(world.home), pinned);
  }));

test(
  "another CA of the same root is nobody to those who have pinned ours",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const { args } = await makeOpensslRoot(world, { genpkey: ["-algorithm", "ED25519"] });
      const [ours, theirs] = [world.path("ours"), world.path("theirs")];
      await pki(world, "init", "--data", ours, ...args);
      await pki(world, "init", "--data", theirs, ...args);
      const server = await world.serve(["--data", ours]);
      const { fingerprint } = server;
      await world.ok("alice", ["csr", "--register", "--fingerprint", fingerprint]);
      await server.running.end();

      // The other CA answers at another address: the root is right, its issuing CA is not.
      await world.serve(["--data", theirs]);
      assert.equal(world.server.fingerprint, fingerprint, "it is the same root");
      const refused = await world.as("alice", ["request", "alice"]);
      assert.equal(refused.code, 6, refused.stderr);
      assert.match(refused.stderr, /the issuing CA is not one that is pinned/);
      assert.match(refused.stderr, /hint: .*pki trust/);
      assert.equal(configOf(world.home).issuers?.length, 1, "nothing was learnt");

      // Whoever has a certificate of it is no peer, on either side.
      const mallory = elsewhere(world, "mallory");
      await world.ok("bob", ["csr", "--register", "--fingerprint", fingerprint], {
        env: mallory.env,
      });
      const listener = await world.listen("alice");
      const called = await world.as("bob", ["connect", `localhost:${listener.port}`], {
        env: mallory.env,
        input: "",
      });
      assert.equal(called.code, 6, called.stderr);
      await listener.running.end("SIGINT");
      const other = await world.listen("bob", [], { env: mallory.env });
      const calling = await world.as("alice", ["connect", `localhost:${other.port}`], {
        input: "",
      });
      assert.equal(calling.code, 6, calling.stderr);
      assert.match(calling.stderr, /the issuing CA is not one that is pinned/);
      await other.running.end("SIGINT");

      // Until alice says so herself.
      await fails(world, ["trust"], { code: 2, stderr: /its fingerprint is missing/ });
      await fails(world, ["trust", "--fingerprint", "0".repeat(64)], {
        code: 6,
        stderr: /cannot trust the server: its root is [0-9a-f]{64}, not 0{64}/,
      });
      await pki(world, "trust", "--fingerprint", fingerprint);
      assert.deepEqual(configOf(world.home).issuers, [
        fingerprintOfFile(join(theirs, "issuing.crt")),
      ]);
    }),
);

test("pki trust replaces the root, says so, and keeps the one before", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const before = world.server.fingerprint;
    await world.server.running.end();
    await world.serve(["--data", world.path("anew"), "--domain", "pki.example.org"]);
    const { fingerprint } = world.server;
    const refused = await world.as("alice", ["csr"]);
    assert.equal(refused.code, 6, refused.stderr);
    assert.match(refused.stderr, /replace the root with pki trust/);
    await fails(world, ["trust", "--yes"], { code: 2, stderr: /fingerprint is missing/ });
    const { stdout, stderr } = await pki(world, "trust", "--fingerprint", fingerprint, "--quiet");
    assert.match(stdout, new RegExp(`^  root         ${fingerprint}$`, "m"));
    assert.match(
      stderr,
      new RegExp(`warning: the root was replaced; the one before \\(${before}\\)`),
    );
    assert.equal(fingerprintOfFile(join(world.home, "root.crt.old")), before);
    assert.equal(fingerprintOfFile(join(world.home, "root.crt")), fingerprint);
    const [evidence = ""] = fs.readdirSync(join(world.home, "evidence"));
    const kept = JSON.parse(fs.readFileSync(join(world.home, "evidence", evidence), "utf8"));
    assert.match(kept.knownCheckpoint, /^pki\.internal\//);
    await world.ok("alice", ["csr", "--register"]);
  }));

test("a new root is taken over by the old root's signature, loudly, with its issuing CA", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const before = world.server.fingerprint;
    await world.server.running.end();
    const [old, data] = [join(world.home, "server"), world.path("next")];
    await pki(world, "init", "--data", data);
    const [oldRoot, root, issuing] = [
      await openCa(world, old, "root"),
      await openCa(world, data, "root"),
      await openCa(world, data, "issuing"),
    ];
    const links = {
      root: vouchFor(root.certificate, {
        kind: "root",
        by: oldRoot.certificate,
        key: oldRoot.key,
        isByRoot: true,
      }),
      issuing: vouchFor(issuing.certificate, {
        kind: "issuing",
        by: root.certificate,
        key: root.key,
        isByRoot: true,
      }),
    };
    const tell = (...kinds: readonly (keyof typeof links)[]) => {
      fs.rmSync(join(data, "issuers"), { recursive: true, force: true });
      fs.mkdirSync(join(data, "issuers"), { mode: 0o700 });
      kinds.forEach((kind, i) => {
        const path = join(data, "issuers", `${String(i).padStart(16, "0")}.succession`);
        fs.writeFileSync(path, JSON.stringify(links[kind]));
      });
    };
    // Neither the issuing CA's link alone nor the root's is enough.
    for (const kinds of [["issuing"], ["root"]] as const) {
      tell(...kinds);
      await world.serve(["--data", data]);
      const refused = await world.as("alice", ["csr", "--register"]);
      assert.equal(refused.code, 6, `${kinds}: ${refused.stderr}`);
      assert.equal(fingerprintOfFile(join(world.home, "root.crt")), before);
      await world.server.running.end();
    }
    tell("root", "issuing");
    await world.serve(["--data", data]);
    const { stderr } = await world.ok("alice", ["csr", "--register", "--quiet"]);
    assert.match(stderr, /warning: THE ROOT OF pki\.internal HAS CHANGED: the one before, /);
    assert.equal(fingerprintOfFile(join(world.home, "root.crt")), world.server.fingerprint);
    assert.equal(fingerprintOfFile(join(world.home, "root.crt.old")), before);
    const again = await world.ok("alice", ["request", "alice"]).catch((error) => error);
    assert.doesNotMatch(String(again.stderr ?? again), /HAS CHANGED/, "it is said once");
  }));

test("a home of before there were pins gets them at the next connection", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const path = join(world.home, "config.json");
    const { issuers, ...config } = JSON.parse(fs.readFileSync(path, "utf8"));
    fs.writeFileSync(path, JSON.stringify(config));
    await pki(world, "rotate");
    await world.ok("alice", ["request", "alice"]);
    const pinned = configOf(world.home).issuers ?? [];
    assert.equal(pinned.length, 2);
    assert.ok(pinned.includes(issuers[0]));
  }));
