/** `pki renew` as its users run it: by hand, by cron, and for as long as the machine runs. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { IdentityFiles } from "../../lib/client/identity_files.ts";
import { followEndorsements } from "../../lib/protocol/endorsement.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey, encodeSpki, encryptPrivateKey } from "../../lib/x509/keys.ts";
import { formSerial, makeCertificate } from "../../lib/x509/make.ts";
import { encodeCertificatesPem, parseCertificatesPem, parsePemBlock } from "../../lib/x509/pem.ts";
import {
  inWords,
  inWorld,
  needs,
  PASSWORDS,
  PKI_FAULTS,
  runProgram,
  type World,
} from "./harness.ts";
import {
  assertFits,
  folderOf,
  leafOf,
  pemOf,
  publishedSerial,
  resultOf,
  serialOf,
} from "./identity.ts";

/** Alice and bob are certified, and alice is published. */
async function inAlicesWorld(
  body: (world: World) => Promise<void>,
  program?: string,
): Promise<void> {
  await inWorld(async (world) => {
    await world.withUsers("alice", { unpublished: "bob" });
    await body(world);
  }, program);
}

/** Encrypts alice's key with another password than that of her account. */
async function changeKeyPassword(world: World, password: string): Promise<string> {
  const path = join(folderOf(world, "alice"), "key.pem");
  const pem = fs.readFileSync(path, "utf8");
  const key = await decryptPrivateKey(pem, PASSWORDS["alice"] ?? "", "the key");
  fs.writeFileSync(path, await encryptPrivateKey(key, password));
  const file = world.path("key.pass");
  fs.writeFileSync(file, password);
  return file;
}

test("renew gets a new certificate for the same key, and publishes it as the old one was", () =>
  inAlicesWorld(async (world) => {
    const before = leafOf(world, "alice");
    const { stdout, stderr } = await world.ok("alice", ["renew", "--json"]);
    const after = leafOf(world, "alice");
    assert.notEqual(after.serial, before.serial);
    assert.deepEqual(after.spki, before.spki);
    assert.deepEqual(
      { ...resultOf(stdout), fingerprint: undefined },
      {
        renewed: true,
        id: "alice",
        serial: after.serial,
        fingerprint: undefined,
        notAfter: new Date(after.notAfterMs).toISOString(),
        published: true,
        certificate: join(folderOf(world, "alice"), "cert.pem"),
        key: join(folderOf(world, "alice"), "key.pem"),
      },
    );
    assert.equal(stderr, "");
    await assertFits(world, "alice");
    assert.equal(await publishedSerial(world, "alice"), after.serial);

    const bob = await world.ok("bob", ["renew"]);
    assert.match(
      bob.stdout,
      /^"bob" is certified until \d{4}-\d\d-\d\d\n$/,
      "not published before",
    );
    assert.equal(await publishedSerial(world, "bob"), undefined);

    await world.ok("alice", ["renew", "--no-publish"]);
    assert.equal(await publishedSerial(world, "alice"), after.serial);
    await world.ok("alice", ["renew"]);
    assert.equal(
      await publishedSerial(world, "alice"),
      after.serial,
      "the old one was not published",
    );
  }));

test("renew is let in by the certificate's key, --with-password by the account's password", () =>
  inAlicesWorld(async (world) => {
    const keyPassword = await changeKeyPassword(world, "another password for the key");
    const args = ["renew", "--id", "alice", "--password-file", keyPassword];
    const before = serialOf(world, "alice");
    const byCertificate = await world.run(args);
    assert.equal(byCertificate.code, 0, byCertificate.stderr);
    const renewed = serialOf(world, "alice");
    assert.notEqual(renewed, before);

    const byPassword = await world.run([...args, "--with-password"]);
    assert.equal(byPassword.code, 4);
    assert.match(
      byPassword.stderr,
      /^pki: error: cannot log in: the id or the password is wrong$/m,
    );
    const wrong = await world.as("alice", ["renew"]);
    assert.equal(wrong.code, 4);
    assert.match(
      wrong.stderr,
      /^pki: error: cannot open the key of "alice": the password does not/m,
    );
    assert.equal(serialOf(world, "alice"), renewed);

    await changeKeyPasswordBack(world, keyPassword);
    await world.ok("alice", ["renew", "--with-password"]);
    assert.notEqual(serialOf(world, "alice"), renewed);
  }));

async function changeKeyPasswordBack(world: World, file: string): Promise<void> {
  const path = join(folderOf(world, "alice"), "key.pem");
  const key = await decryptPrivateKey(
    fs.readFileSync(path, "utf8"),
    fs.readFileSync(file, "utf8"),
    "the key",
  );
  fs.writeFileSync(path, await encryptPrivateKey(key, PASSWORDS["alice"] ?? ""));
}

test("renew --if-expiring does nothing while it is not due, not even a question or a connection", () =>
  inAlicesWorld(async (world) => {
    const { serial, notAfterMs } = leafOf(world, "alice");
    const { port } = world.server;
    await world.server.running.end();
    const env = { PKI_SERVER: `localhost:${port}` };
    for (const span of ["10d", "29%", "1s"]) {
      const quiet = await world.run(["renew", "--id", "alice", "--if-expiring", span, "--quiet"]);
      assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, "", ""], span);
    }
    const { code, stdout } = await world.run(
      ["renew", "--id", "alice", "--if-expiring", "10d", "--json"],
      { env },
    );
    assert.equal(code, 0);
    const result = resultOf(stdout);
    assert.deepEqual(
      [result["renewed"], result["serial"], result["notAfter"]],
      [false, serial, new Date(notAfterMs).toISOString()],
    );
    const due = await world.as("alice", ["renew", "--if-expiring", "31d"], { env });
    assert.equal(due.code, 8, due.stderr);
    assert.equal(serialOf(world, "alice"), serial);
    await world.serve();
    const { stdout: renewed } = await world.ok("alice", [
      "renew",
      "--if-expiring",
      "31d",
      "--json",
    ]);
    assert.equal(resultOf(renewed)["renewed"], true);
  }));

test(
  "renew --rekey changes key and certificate together, also where openssl looks",
  needs("openssl"),
  () =>
    inAlicesWorld(async (world) => {
      const before = leafOf(world, "alice");
      await world.ok("alice", ["renew", "--rekey"]);
      assert.notDeepEqual(leafOf(world, "alice").spki, before.spki);
      await assertFits(world, "alice");
      await world.ok("alice", ["renew", "--rekey", "--key-type", "ed25519"]);
      await assertFits(world, "alice");
      assert.equal(await publishedSerial(world, "alice"), serialOf(world, "alice"));
      assert.deepEqual(fs.readdirSync(folderOf(world, "alice")).sort(), [
        "cert.pem",
        "endorsements.json",
        "key.pem",
      ]);
      const openssl = async (...args: readonly string[]) =>
        (await runProgram("openssl", args, { cwd: folderOf(world, "alice") })).stdout;
      const passin = `file:${world.passwordFile("alice")}`;
      const ofKey = await openssl("pkey", "-in", "key.pem", "-passin", passin, "-pubout");
      assert.match(ofKey, /BEGIN PUBLIC KEY/);
      assert.equal(ofKey, await openssl("x509", "-in", "cert.pem", "-noout", "-pubkey"));
    }),
);

test("renew --rekey that is killed at any moment leaves key, certificate and endorsements that fit", () =>
  inAlicesWorld(async (world) => {
    const folder = folderOf(world, "alice");
    const files = new IdentityFiles(folder);
    const root = parsePemBlock(
      fs.readFileSync(join(world.home, "root.crt"), "utf8"),
      ["CERTIFICATE"],
      "the root",
    );
    let pinned = leafOf(world, "alice").spki;
    /** Whoever knew the key before knows this one. */
    const assertEndorsed = (when: string) => {
      const key = leafOf(world, "alice").spki;
      const endorsements = files.endorsements.leadingTo(key);
      assert.ok(followEndorsements(endorsements, { root, id: "alice", pinned, key }), when);
      pinned = key;
    };
    // At every other of the changes that the folder of the identity sees, one run after the other.
    for (let changes = 1; changes <= 40; changes += 2) {
      const running = world.startAs("alice", ["renew", "--rekey"]);
      let seen = 0;
      const watcher = fs.watch(folder, () => {
        if (++seen === changes) running.kill("SIGKILL");
      });
      const { code } = await running.finished;
      watcher.close();
      const pem = fs.readFileSync(files.keyPathInUse, "utf8");
      const key = await decryptPrivateKey(pem, PASSWORDS["alice"] ?? "", "the key");
      assert.deepEqual(encodeSpki(key), leafOf(world, "alice").spki, `killed at ${changes}`);
      assertEndorsed(`killed at ${changes}`);
      if (code === 0) break; // there are not so many changes
      assert.equal(code, null);
    }
    await world.ok("alice", ["renew", "--rekey"]);
    await assertFits(world, "alice");
    assertEndorsed("in the end");
    const left = fs.readdirSync(folder).filter((name) => name.startsWith("key-"));
    assert.deepEqual(left, [], "a key that was left by a run that was killed is taken again");
  }));

test("renew logs in with the password when the certificate has expired", () =>
  inAlicesWorld(async (world) => {
    const path = join(folderOf(world, "alice"), "cert.pem");
    const [leaf, issuing] = parseCertificatesPem(pemOf(world, "alice"), path).map((der) =>
      parseCertificate(der)
    );
    assert.ok(leaf && issuing);
    const folder = join(world.home, "server");
    const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
    const issuingPem = fs.readFileSync(join(folder, "issuing.key"), "utf8");
    const endMs = Math.floor(Date.now() / 1000) * 1000 - 1000;
    const expired = await makeCertificate({
      serial: formSerial(randomBytes(20)),
      commonName: "alice",
      notBeforeMs: endMs - LIMITS.backdateMs,
      notAfterMs: endMs,
      spki: leaf.spki,
      uris: ["spiffe://pki.internal/user/alice"],
      dns: ["alice.user.pki.internal"],
      extendedKeyUsage: ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"],
    }, {
      key: await decryptPrivateKey(issuingPem, passphrase, "issuing.key"),
      certificate: issuing,
    });
    fs.writeFileSync(path, encodeCertificatesPem([expired, issuing.der]));
    assert.equal((await world.as("alice", ["listen", "--port", "0"])).code, 6, "it has expired");
    const { stdout } = await world.ok("alice", ["renew", "--json", "--if-expiring", "1s"]);
    assert.equal(resultOf(stdout)["renewed"], true);
    assert.ok(leafOf(world, "alice").notAfterMs > Date.now() + 29 * LIMITS.dayMs);
  }));

test("renew says what is wrong, each with its exit code, and changes nothing", () =>
  inAlicesWorld(async (world) => {
    const before = pemOf(world, "alice");
    const rows: readonly (readonly [string, readonly string[], number, RegExp])[] = [
      ["alice", ["--key-type", "p384"], 2, /cannot use --key-type: it goes with --rekey$/m],
      ["alice", ["--if-expiring", "soon"], 2, /"soon" is not a span of time/],
      ["carol", [], 5, /cannot find a certificate of "carol"/],
      ["alice", ["--server", "localhost:1"], 8, /cannot reach localhost:1: nobody listens there$/m],
      ["alice", ["--fingerprint", "0".repeat(64)], 6, /the pinned root is /],
    ];
    for (const [id, args, code, message] of rows) {
      const finished = await world.as(id, ["renew", ...args]);
      assert.equal(finished.code, code, finished.stderr);
      assert.match(finished.stderr, message);
      assert.equal(finished.stdout, "");
    }
    assert.equal(pemOf(world, "alice"), before);
    fs.renameSync(join(folderOf(world, "alice"), "key.pem"), world.path("key.pem"));
    const keyless = await world.run(["renew", "--id", "alice"]); // it would have to ask for a password
    assert.equal(keyless.code, 5, keyless.stderr);
    assert.match(keyless.stderr, /cannot find the key of "alice"/);
  }));

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

function eventsOf(stdout: string): readonly Event[] {
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as Event);
}

const WATCH = ["renew", "--watch", "--json"];

test("renew --watch renews what is due, notices what others do, and ends when it is told", () =>
  inAlicesWorld(async (world) => {
    const before = serialOf(world, "alice");
    const watch = world.startAs("alice", [...WATCH, "--if-expiring", "40d"]);
    await watch.waitFor(/"event":"waiting"/);
    const renewed = serialOf(world, "alice");
    assert.notEqual(renewed, before);
    assert.equal(await publishedSerial(world, "alice"), renewed);
    await world.ok("alice", ["renew"]);
    await watch.waitFor(/"event":"replaced".*\n.*"event":"waiting"/);
    const { code, stdout } = await watch.end("SIGTERM");
    assert.equal(code, 0);
    const events = eventsOf(stdout);
    assert.deepEqual(events.map(({ event }) => event), [
      "renewed",
      "waiting",
      "replaced",
      "waiting",
    ]);
    assert.deepEqual(
      events.map(({ serial }) => serial),
      [renewed, renewed, serialOf(world, "alice"), serialOf(world, "alice")],
    );
    assert.equal(events[0]?.["published"], true);

    const interrupted = world.startAs("alice", ["renew", "--watch"]);
    await interrupted.waitFor(/the certificate is renewed in \d+ d/);
    assert.equal((await interrupted.end("SIGINT")).code, 130);
  }, PKI_FAULTS));

test("renew --watch waits for a server that is away, and says so once", () =>
  inAlicesWorld(async (world) => {
    const { port, running } = world.server;
    const before = serialOf(world, "alice");
    await running.end();
    const args = ["renew", "--watch", "--if-expiring", "40d"];
    const watch = world.startAs("alice", [...args, "--json"]);
    const quiet = world.startAs("alice", args);
    await watch.waitFor(/(?:"event":"failed"[^]*){3}/);
    await quiet.waitFor(
      /not renewed: cannot reach localhost:\d+: nobody listens there; it is tried/,
    );
    const server = world.start(["serve", "--port", String(port), "--json"]);
    await server.waitFor(/"event":"ready"/);
    await watch.waitFor(/"event":"waiting"/);
    await quiet.waitFor(/the certificate is renewed in \d+ d/);
    const { code, stdout } = await watch.end("SIGTERM");
    assert.equal(code, 0);
    const [first, ...rest] = eventsOf(stdout);
    assert.equal(first?.event, "failed");
    assert.match(String(first?.["message"]), /^cannot reach localhost:\d+: nobody listens there$/);
    assert.equal(first?.["kind"], "unreachable");
    assert.ok(Date.parse(String(first?.["retry"])) > 0);
    assert.ok(rest.some(({ event }) => event === "renewed" || event === "replaced"));
    assert.notEqual(serialOf(world, "alice"), before);
    const { stderr } = await quiet.end("SIGTERM");
    assert.equal(stderr.match(/not renewed: cannot reach/g)?.length, 1, stderr);
  }, PKI_FAULTS));

test("renew --watch ends with exit 6 when the certificate is revoked, waiting or at the start", () =>
  inAlicesWorld(async (world) => {
    const watch = world.startAs("alice", WATCH);
    await watch.waitFor(/"event":"waiting"/);
    await world.ok("alice", ["revoke", "--yes"]);
    const { code, stderr } = await watch.finished;
    assert.equal(code, 6);
    const said = inWords(stderr);
    assert.match(said, /^pki: error: cannot renew the certificate of "alice": it is revoked$/m);
    assert.match(said, /^pki: hint: .*pki csr --id alice --rekey$/m);
    const due = await world.as("alice", [...WATCH, "--if-expiring", "40d"]);
    assert.equal(due.code, 6);
    assert.match(
      inWords(due.stderr),
      /the server says: cannot trust the certificate: it is revoked$/m,
    );
  }, PKI_FAULTS));

test("renew --watch hides the password from whoever looks at the process", {
  skip: process.platform !== "linux",
}, () =>
  inAlicesWorld(async (world) => {
    const watch = world.startAs("alice", WATCH);
    await watch.waitFor(/"event":"waiting"/);
    const look = (file: string) =>
      fs.readFileSync(`/proc/${watch.child.pid}/${file}`, "utf8").replaceAll("\0", " ");
    for (const file of ["cmdline", "environ"]) {
      assert.ok(look(file).includes("pki"), file);
      assert.ok(!look(file).includes(PASSWORDS["alice"] ?? "?"), file);
    }
    await watch.end();
  }, PKI_FAULTS));
