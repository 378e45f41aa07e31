/** Another issuing CA: who goes on, who believes what, and what a CA that was distrusted is worth. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { watch } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { logIn } from "../../lib/client/login.ts";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { isCrlSignedBy, parseCrl } from "../../lib/x509/crl.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { inWorld, needs, PASSWORDS } from "./harness.ts";
import { configOf, elsewhere, fails, makeOpensslRoot, openCa, pki } from "./own_roots.ts";
import { connectHonestly } from "./raw_client.ts";

test("pki rotate beside a running server: clients and peers of before go on", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const before = configOf(world.home).issuers;
    assert.equal(before?.length, 1);
    // Somebody else's machine, with an identity of before.
    const away = elsewhere(world, "away");
    fs.cpSync(world.home, away.home, {
      recursive: true,
      filter: (path) => path !== join(world.home, "server"),
    });
    const { stdout } = await pki(world, "rotate", "--json");
    const rotated = JSON.parse(stdout);
    assert.equal(rotated.before, before?.[0]);
    assert.equal(rotated.isRunning, true);
    await world.server.running.waitFor(/the server's own certificate was renewed/);

    await world.ok("alice", ["request", "bob"]);
    assert.deepEqual(configOf(world.home).issuers, [rotated.before, rotated.issuing]);
    await world.ok("alice", ["csr"]);
    const { stdout: chain } = await world.ok("alice", ["request", "alice"]);
    assert.equal(fingerprintOf(secondOf(chain)), rotated.issuing);

    // bob, who has not heard of it, does not believe alice; where he asks the server, he does.
    const deaf = await world.listen("bob", ["--offline"], { env: away.env, input: "" });
    const refused = await world.as("alice", ["connect", `localhost:${deaf.port}`], {
      input: "",
    });
    assert.equal(refused.code, 6, refused.stderr);
    assert.match(refused.stderr, /the issuing CA is not one that is pinned/);
    await deaf.running.end("SIGINT");
    const listener = await world.listen("bob", ["--once"], { env: away.env, input: "" });
    assert.deepEqual(configOf(away.home).issuers, [rotated.before, rotated.issuing]);
    const called = await world.ok("alice", ["connect", `localhost:${listener.port}`], {
      input: "x",
    });
    assert.match(called.stderr, /^bob is on the line/m);
    assert.equal((await listener.running.finished).stdout, "x");

    // Somebody new pins both, and believes what the first one has signed.
    const late = elsewhere(world, "late");
    const { fingerprint } = world.server;
    await world.ok("carol", ["csr", "--register", "--fingerprint", fingerprint], { env: late.env });
    await world.ok("carol", ["request", "bob"], { env: late.env });
    assert.deepEqual(
      configOf(late.home).issuers?.toSorted(),
      [
        rotated.before,
        rotated.issuing,
      ].sort(),
    );
    await pki(world, "log", "verify");
  }));

test("a session of before a rotation goes on, and the CA before still answers for its own", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const data = join(world.home, "server");
    const [before = ""] = configOf(world.home).issuers ?? [];
    const first = (await openCa(world, data, "issuing")).certificate;
    const connection = await connectHonestly(world);
    const password = PASSWORDS["alice"] ?? "";
    await logIn(connection, { id: "alice", password, rootDer: connection.anchor.root.der });
    const key = await generatePrivateKey("p256");
    const csr = encodeBase64(await makeCsr(key, "alice"));
    const old = await connection.request("CSR", { csr });
    assert.deepEqual(parseBase64(old.issuing), first.der);
    await pki(world, "rotate");
    const now = await connection.request("CSR", { csr });
    const second = (await openCa(world, data, "issuing")).certificate;
    assert.deepEqual(parseBase64(now.issuing), second.der);
    assert.deepEqual(
      parseBase64((await connection.request("CERTREQ", { id: "alice" })).issuing),
      first.der,
    );
    const { serial } = parseCertificate(parseBase64(old.certificate));
    await connection.request("REVOKE", { serial });
    connection.close();
    // Both lists are made, each by its own CA.
    for (const ca of [first, second]) {
      const path = ca === first
        ? join(data, "issuers", `${before.slice(0, 16)}.crl`)
        : join(data, "issuing.crl");
      const hasCome = () => {
        const list = fs.existsSync(path)
          ? parseCrl(new Uint8Array(fs.readFileSync(path)))
          : undefined;
        return list && isCrlSignedBy(list, ca) && (ca !== first || list.find(serial) !== undefined);
      };
      await untilChanged(data, hasCome);
    }
    await pki(world, "log", "verify");
  }));

/** Waits until something holds that changes with the files of a folder. */
async function untilChanged(folder: string, holds: () => boolean | undefined): Promise<void> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(new Error("it did not come")), 60_000);
  try {
    const changes = watch(folder, { recursive: true, signal: stop.signal });
    if (holds()) return;
    for await (const _ of changes) if (holds()) return;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/** DER of the second certificate of a chain. */
function secondOf(pem: string): Uint8Array {
  const [, second = ""] = pem.split(/(?<=-----END CERTIFICATE-----\n)/);
  return parsePemBlock(second, ["CERTIFICATE"], "it");
}

test("pki rotate --revoke-old: nobody believes the CA before, once they know", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { stderr } = await pki(world, "rotate", "--revoke-old", "keyCompromise");
    assert.match(stderr, /every certificate that it has signed is worthless/);
    const refused = await world.as("alice", ["request", "bob"]);
    assert.equal(refused.code, 6, refused.stderr);
    assert.match(refused.stderr, /the root has revoked the issuing CA/);
    assert.equal(configOf(world.home).revokedIssuers?.length, 1);
    for (const id of ["alice", "bob"]) await world.ok(id, ["csr"]);
    await world.ok("alice", ["request", "bob"]);
    const { stdout } = await pki(world, "issuer", "ls", "--json");
    const { issuers } = JSON.parse(stdout);
    assert.deepEqual(
      issuers.map(({ role, revoked }: Record<string, unknown>) => [role, revoked]),
      [["current", null], ["earlier", "keyCompromise"]],
    );
  }));

test(
  "pki rotate --revoke-old changes nothing where the root may not sign lists",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const { args } = await makeOpensslRoot(world, {
        genpkey: ["-algorithm", "ED25519"],
        keyUsage: "keyCertSign",
      });
      await pki(world, "init", ...args);
      const issuing = fs.readFileSync(join(world.home, "server", "issuing.crt"), "utf8");
      await fails(world, ["rotate", "--revoke-old", "superseded"], {
        code: 4,
        stderr: /cannot make the root's revocation list: its key must not be used for that/,
      });
      assert.equal(fs.readFileSync(join(world.home, "server", "issuing.crt"), "utf8"), issuing);
      await pki(world, "rotate");
    }),
);

test("pki rotate --revoke-old, cut short before the root's list was written, is finished", () =>
  inWorld(async (world) => {
    await pki(world, "init");
    const list = join(world.home, "server", "root.crl");
    const before = fs.readFileSync(list);
    await pki(world, "rotate", "--revoke-old", "keyCompromise");
    fs.writeFileSync(list, before);
    await pki(world, "rotate", "--revoke-old", "keyCompromise");
    const { stdout } = await pki(world, "issuer", "ls", "--json");
    assert.deepEqual(
      JSON.parse(stdout).issuers.map((
        one: Record<string, unknown>,
      ) => [one["role"], one["revoked"]]),
      [["current", null], ["earlier", "keyCompromise"]],
    );
  }));

test("pki rotate without a server, with another type of key; backup and restore keep it all", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    await pki(world, "rotate", "--key-type", "ed25519");
    await pki(world, "issuer", "add", "--dns", "example.org", "--address", "10.0.0.0/8");
    await pki(world, "log", "verify");
    const data = join(world.home, "server");
    await pki(world, "backup", world.path("one.backup"));
    const files = fs.readdirSync(join(data, "issuers"));
    fs.rmSync(data, { recursive: true });
    await pki(world, "restore", world.path("one.backup"));
    assert.deepEqual(
      fs.readdirSync(join(data, "issuers")).filter((name) => !name.startsWith("lock-")).sort(),
      files.filter((name) => !name.startsWith("lock-")).sort(),
    );
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
    await world.ok("alice", ["csr"]);
    assert.equal(configOf(world.home).issuers?.length, 2);
    await pki(world, "log", "verify");
  }));
