import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { inWorld, needs, PASSWORDS, PKI, ROOT, runProgram, World } from "./harness.ts";

/** The whole journey with one program; what `README.md` promises. */
async function journey(world: World): Promise<void> {
  await world.withUsers("alice", "bob");
  const { stdout } = await world.ok("alice", ["request", "bob"]);
  assert.match(stdout, /^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n-----BEGIN/);

  const listener = await world.listen("alice", ["--once"], { input: "from alice\n" });
  const caller = await world.ok("bob", ["connect", `localhost:${listener.port}`], {
    input: "from bob\n",
  });
  assert.equal(caller.stdout, "from alice\n");
  assert.match(caller.stderr, /^alice is on the line/m);
  const listened = await listener.running.finished;
  assert.equal(listened.code, 0);
  assert.equal(listened.stdout, "from bob\n");
  assert.match(listened.stderr, /"event":"connected","peer":"bob"/);

  const stopped = await world.server.running.end("SIGTERM");
  assert.equal(stopped.code, 0, "serve ends cleanly");
}

test("the journey in the executable", () => inWorld(journey));

test("the journey with the executable alone in an empty folder", () =>
  inWorld(async (world) => {
    const folder = world.path("alone");
    fs.mkdirSync(folder);
    const alone = join(folder, "pki");
    fs.copyFileSync(PKI, alone);
    fs.chmodSync(alone, 0o755);
    const inside = new World(alone);
    try {
      await journey(inside);
    } finally {
      await inside.close();
    }
  }));

test("the journey from source under Deno", () =>
  inWorld(async (world) => {
    const program = world.path("pki-from-source");
    const deno = process.execPath;
    fs.writeFileSync(
      program,
      `#!/bin/sh\nexec '${deno}' run --quiet --allow-all --config '${join(ROOT, "deno.json")}' ` +
        `'${join(ROOT, "main.ts")}' "$@"\n`,
      { mode: 0o755 },
    );
    const fromSource = new World(program);
    try {
      await journey(fromSource);
    } finally {
      await fromSource.close();
    }
  }));

test(
  "openssl verifies the journey's certificates and opens its keys",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const serverFolder = join(world.home, "server");
      for (const keyType of ["p256", "p384", "rsa3072", "ed25519"]) {
        await world.ok("alice", ["csr", "--register", "--rekey", "--key-type", keyType]);
        const certificate = join(world.home, "ids", "alice", "cert.pem");
        for (const purpose of ["sslclient", "sslserver"]) {
          const verified = await runProgram("openssl", [
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            join(serverFolder, "root.crt"),
            "-untrusted",
            certificate,
            certificate,
          ]);
          assert.equal(verified.code, 0, `${keyType} as ${purpose}: ${verified.stderr}`);
        }
        const opened = await runProgram("openssl", [
          "pkey",
          "-in",
          join(world.home, "ids", "alice", "key.pem"),
          "-passin",
          `pass:${PASSWORDS["alice"]}`,
          "-pubout",
        ]);
        assert.equal(opened.code, 0, opened.stderr);
        const certified = await runProgram("openssl", [
          "x509",
          "-in",
          certificate,
          "-noout",
          "-pubkey",
        ]);
        assert.equal(opened.stdout, certified.stdout, `${keyType}: the key is the certificate's`);
        const copy = fs.readFileSync(join(serverFolder, "certs", "alice.pem"), "utf8");
        assert.equal(copy, fs.readFileSync(certificate, "utf8"), "the copy is named after the id");
      }
      const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
      for (const name of ["root.key", "issuing.key", "server.key"]) {
        const path = join(serverFolder, name);
        const opened = await runProgram("openssl", [
          "pkey",
          "-in",
          path,
          "-passin",
          `pass:${passphrase}`,
          "-noout",
        ]);
        assert.equal(opened.code, 0, `${name}: ${opened.stderr}`);
        assert.equal(fs.statSync(path).mode & 0o777, 0o600, `${name} is for its owner alone`);
      }
    }),
);

test(
  "a request made by openssl is certified, published and found",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("bob");
      const key = world.path("foreign.key");
      const csr = world.path("foreign.csr");
      const out = world.path("foreign.pem");
      const made = await runProgram("openssl", [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-384",
        "-nodes",
        "-keyout",
        key,
        "-out",
        csr,
        "-subj",
        "/CN=alice",
      ]);
      assert.equal(made.code, 0, made.stderr);
      const certified = await world.ok("alice", [
        ...["csr", "--register", "--csr", csr, "--out", out],
      ]);
      assert.match(
        certified.stderr,
        /^not published: that takes a signature by the key, which is/m,
      );
      assert.equal((await world.as("bob", ["request", "alice"])).code, 5);
      await world.ok("alice", ["upload", "--cert", out, "--key", key]);
      const found = await world.ok("bob", ["request", "alice"]);
      assert.equal(found.stdout, fs.readFileSync(out, "utf8"));
      const others = await world.as("bob", ["csr", "--csr", csr]);
      assert.equal(others.code, 4, "nobody gets a certificate for somebody else's name");
      assert.match(others.stderr, /asks for another name than "bob"/);
    }),
);

test("the executable is one file", needs("file"), async () => {
  const described = await runProgram("file", ["-L", PKI]);
  assert.match(described.stdout, /ELF .*executable|Mach-O/);
});
