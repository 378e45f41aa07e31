/** `pki revoke` by the owner: what it ends, and that losing things does not keep one from it. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fetchCrl } from "../../lib/client/crl.ts";
import { loadOwnCertificate, tlsIdentityOf } from "../../lib/client/own_identity.ts";
import { Home } from "../../lib/client/home.ts";
import { fetchStatus } from "../../lib/client/status.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { inWorld, needs, PASSWORDS, type World } from "./harness.ts";
import { folderOf, pemOf, publishedSerial, resultOf, serialOf } from "./identity.ts";
import { connectHonestly, RawClient, withClient } from "./raw_client.ts";
import { inTerminal } from "./terminal.ts";

/** Alice is published, bob is certified. */
async function inAlicesWorld(body: (world: World) => Promise<void>): Promise<void> {
  await inWorld(async (world) => {
    await world.withUsers("alice", { unpublished: "bob" });
    await body(world);
  });
}

/** What the issuing CA says of alice's certificate that is in the home, or that was. */
async function statusOf(world: World, own = ownOf(world)): Promise<string> {
  const connection = await connectHonestly(world);
  try {
    const { leaf, issuing } = own;
    const { judged } = await fetchStatus(connection, { leaf, issuing, nowMs: Date.now() });
    return judged.reason === undefined ? judged.status : `${judged.status}: ${judged.reason}`;
  } finally {
    connection.close();
  }
}

function ownOf(world: World) {
  return loadOwnCertificate(new Home(world.home), { id: "alice", nowMs: Date.now() });
}

/** A session that alice's certificate has opened. */
async function sessionOfCertificate(world: World): Promise<RawClient> {
  const own = ownOf(world);
  const pem = new Home(world.home).loadKeyPem("alice");
  const key = await decryptPrivateKey(pem, PASSWORDS["alice"] ?? "", "alice's key");
  const client = await RawClient.open(world, tlsIdentityOf(own, key));
  await client.ok("HELLO");
  const { id } = await client.ok("LOGIN_CERTIFICATE");
  assert.equal(id, "alice");
  return client;
}

test("revoke ends all that the certificate could do, and leaves the account", () =>
  inAlicesWorld(async (world) => {
    const own = ownOf(world);
    const { serial } = own.leaf;
    assert.equal(await publishedSerial(world, "alice"), serial);
    assert.equal(await statusOf(world), "good");
    await withClient(sessionOfCertificate(world), async (bySerial) => {
      await withClient(RawClient.loggedIn(world, "alice"), async (byPassword) => {
        const { stdout, stderr } = await world.ok("alice", [
          "revoke",
          "--yes",
          "--json",
          "--reason",
          "keyCompromise",
        ]);
        const result = resultOf(stdout);
        assert.deepEqual(Object.keys(result), ["id", "serial", "fingerprint", "revoked"]);
        assert.deepEqual([result["id"], result["serial"]], ["alice", serial]);
        assert.ok(Math.abs(Date.parse(String(result["revoked"])) - Date.now()) < 60_000);
        assert.match(stderr, /"next, a new key and certificate: pki csr --id alice --rekey"/);
        const [last, ...more] = await bySerial.rest();
        assert.deepEqual([last?.seq, last?.code, more.length], [0, "UNTRUSTED", 0]);
        await byPassword.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
      });
    });
    assert.equal(await publishedSerial(world, "alice"), undefined);
    assert.equal(await statusOf(world, own), "revoked: keyCompromise");
    const refused = await sessionOfCertificate(world).catch((error) => error);
    assert.match(String(refused), /it is revoked/);
    assert.equal((await world.as("alice", ["renew"])).code, 6);
    await world.ok("alice", ["csr", "--rekey"]);
    assert.equal(await publishedSerial(world, "alice"), serialOf(world, "alice"));
    assert.equal(await statusOf(world), "good");
  }));

test("revoke asks for nothing without a terminal, and revokes nothing without --yes", () =>
  inAlicesWorld(async (world) => {
    const { code, stderr } = await world.as("alice", ["revoke"]);
    assert.equal(code, 2);
    assert.equal(
      stderr,
      "pki: error: cannot ask whether to revoke: there is no terminal\n" +
        "pki: hint: a revocation cannot be undone; answer beforehand with --yes\n",
    );
    assert.equal(await statusOf(world), "good");
  }));

test(
  "revoke asks at a terminal, and takes no for an answer",
  needs("tmux"),
  () =>
    inAlicesWorld(async (world) => {
      const args = ["revoke", "--id", "alice", "--password-file", world.passwordFile("alice")];
      const server = ["--server", `localhost:${world.server.port}`];
      const question = new RegExp(
        `The certificate ${serialOf(world, "alice")} of "alice" is good until [-\\d]{10}\\.`,
      );
      await inTerminal(world, [...args, ...server], async (terminal) => {
        await terminal.waitFor(question);
        await terminal.waitFor(/Revoking it cannot be undone\. Revoke it\?/);
        await terminal.waitFor(/● No/);
        await terminal.press("Enter");
        assert.equal(await terminal.exitCode(), 4);
        assert.match(await terminal.screen(), /^pki: error: nothing was revoked$/m);
      });
      assert.equal(await statusOf(world), "good");
      await inTerminal(world, [...args, ...server], async (terminal) => {
        await terminal.waitFor(/● No/);
        await terminal.press("Left");
        await terminal.waitFor(/● Yes/);
        await terminal.press("Enter");
        assert.equal(await terminal.exitCode(), 0);
      });
      assert.equal(await statusOf(world), "revoked: unspecified");
    }),
);

test("revoke goes by the password where the key, the certificate or both are lost", () =>
  inAlicesWorld(async (world) => {
    const folder = folderOf(world, "alice");
    const lose: readonly (readonly [string, () => void])[] = [
      ["the key", () => fs.rmSync(join(folder, "key.pem"))],
      ["a key that is damaged", () => fs.writeFileSync(join(folder, "key.pem"), "no key")],
      ["the certificate", () => fs.rmSync(join(folder, "cert.pem"))],
      ["a certificate that is damaged", () => fs.writeFileSync(join(folder, "cert.pem"), "none")],
      ["the whole identity", () => fs.rmSync(folder, { recursive: true })],
    ];
    for (const [what, work] of lose) {
      const own = ownOf(world);
      assert.equal(await publishedSerial(world, "alice"), own.leaf.serial, what);
      work();
      const wrong = await world.run([
        ...["revoke", "--yes", "--id", "alice", "--password-file", world.passwordFile("bob")],
      ]);
      assert.equal(wrong.code, 4, `${what}: ${wrong.stderr}`);
      assert.equal(await statusOf(world, own), "good", what);
      const { stdout } = await world.ok("alice", ["revoke", "--yes", "--json"]);
      assert.equal(resultOf(stdout)["serial"], own.leaf.serial, what);
      assert.equal(await statusOf(world, own), "revoked: unspecified", what);
      fs.rmSync(folder, { recursive: true, force: true });
      await world.ok("alice", ["csr"]);
    }
    fs.rmSync(folder, { recursive: true });
    await world.ok("alice", ["revoke", "--yes"]);
    const nothing = await world.as("alice", ["revoke", "--yes"]);
    assert.equal(nothing.code, 5, nothing.stderr);
  }));

test("revoke --cert takes back an earlier certificate, and only one of one's own", () =>
  inAlicesWorld(async (world) => {
    const old = world.path("old.pem");
    fs.writeFileSync(old, pemOf(world, "alice"));
    const oldOwn = ownOf(world);
    await world.ok("alice", ["renew"]);
    const { stdout } = await world.ok("alice", ["revoke", "--yes", "--json", "--cert", old]);
    assert.equal(resultOf(stdout)["serial"], oldOwn.leaf.serial);
    assert.equal(await statusOf(world, oldOwn), "revoked: unspecified");
    assert.equal(await statusOf(world), "good");
    assert.equal(await publishedSerial(world, "alice"), serialOf(world, "alice"));

    const bobs = world.path("bob.pem");
    fs.writeFileSync(bobs, pemOf(world, "bob"));
    const foreign = await world.as("alice", ["revoke", "--yes", "--cert", bobs]);
    assert.equal(foreign.code, 6);
    assert.match(foreign.stderr, /the certificate in ".*bob\.pem" is of "bob", not of "alice"$/m);
    const missing = await world.as("alice", ["revoke", "--yes", "--cert", world.path("none.pem")]);
    assert.equal(missing.code, 5);
    await world.ok("bob", ["renew"]); // it counts as before
  }));

test("revoke a second time changes nothing, and says since when", () =>
  inAlicesWorld(async (world) => {
    const args = ["revoke", "--yes", "--json", "--reason", "superseded"];
    const first = resultOf((await world.ok("alice", args)).stdout);
    const own = ownOf(world);
    const again = await world.ok("alice", ["revoke", "--yes", "--json"]);
    assert.deepEqual(resultOf(again.stdout), first);
    assert.match(again.stderr, /"the certificate opens no session .*; trying the password"/);
    assert.equal(await statusOf(world, own), "revoked: superseded");
  }));

test("revoke puts the certificate on the list that anybody gets", () =>
  inAlicesWorld(async (world) => {
    const { leaf, issuing } = ownOf(world);
    await world.ok("alice", ["revoke", "--yes", "--reason", "cessationOfOperation"]);
    const connection = await connectHonestly(world);
    try {
      // The list follows within seconds; until then the one before is handed out.
      const giveUpMs = Date.now() + 60_000;
      for (;;) {
        const crl = await fetchCrl(connection, { issuer: issuing, nowMs: Date.now() });
        const revocation = crl.find(leaf.serial);
        if (revocation) {
          assert.equal(revocation.reason, "cessationOfOperation");
          break;
        }
        assert.ok(Date.now() < giveUpMs, "the list never had it");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      connection.close();
    }
  }));
