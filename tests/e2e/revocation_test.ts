/** Revocation as independent software sees it, over the wire of a running server. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { concatBytes, encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { askServer } from "../../lib/client/admin.ts";
import type { AdminBody } from "../../lib/protocol/admin_messages.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { parseCrl } from "../../lib/x509/crl.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { folderOf } from "./administrator.ts";
import { inWorld, needs, PASSWORDS, runProgram, type World } from "./harness.ts";
import { type Message, RawClient, withClient } from "./raw_client.ts";

const OPENSSL = needs("openssl");

const certificatePath = (world: World, id: string) => join(world.home, "ids", id, "cert.pem");

function leafOf(world: World, id: string) {
  const path = certificatePath(world, id);
  const [der] = parseCertificatesPem(fs.readFileSync(path, "utf8"), path);
  assert.ok(der);
  return parseCertificate(der);
}

/** What a user shows in TLS. */
async function identityOf(world: World, id: string) {
  const path = join(world.home, "ids", id, "key.pem");
  const key = await decryptPrivateKey(fs.readFileSync(path, "utf8"), PASSWORDS[id] ?? "", path);
  return {
    key: key.export({ format: "pem", type: "pkcs8" }) as string,
    cert: fs.readFileSync(certificatePath(world, id), "utf8"),
  };
}

async function revoke(world: World, body: AdminBody<"REVOKE">) {
  const answer = await askServer(folderOf(world), "REVOKE", body);
  assert.ok(answer, "the server runs");
  return answer;
}

async function openssl(world: World, args: readonly string[], code = 0): Promise<string> {
  const finished = await runProgram("openssl", args, { cwd: world.folder });
  const output = finished.stdout + finished.stderr;
  assert.equal(finished.code, code, `openssl ${args.join(" ")}: ${output}`);
  return output;
}

/** Leaf and CAs as files of their own, for openssl. */
function writeChain(world: World, id: string): void {
  const folder = folderOf(world);
  fs.copyFileSync(certificatePath(world, id), world.path(`${id}.pem`));
  fs.copyFileSync(join(folder, "issuing.crt"), world.path("issuing.pem"));
  fs.copyFileSync(join(folder, "root.crt"), world.path("root.pem"));
}

/** An OCSP request that openssl makes, answered over the wire, and what openssl says of the response. */
async function askWithOpenssl(
  world: World,
  about: readonly string[],
  { issuer = "issuing.pem", options = [] as readonly string[], code = 0 } = {},
): Promise<string> {
  const question = ["ocsp", ...options, "-issuer", issuer, ...about];
  await openssl(world, [...question, "-reqout", "request.der"]);
  const request = encodeBase64(fs.readFileSync(world.path("request.der")));
  await withClient(RawClient.open(world), async (client) => {
    await client.ok("HELLO");
    const { response } = await client.ok("STATUS", { request });
    fs.writeFileSync(world.path("response.der"), parseBase64(String(response)));
  });
  // Another nonce would be added to the request that is read, and be missing in the response.
  return await openssl(world, [
    ...[...question, "-no_nonce", "-reqin", "request.der", "-respin", "response.der"],
    ...["-CAfile", "root.pem", "-verify_other", "issuing.pem"],
  ], code);
}

test(
  "openssl ocsp asks, and verifies what STATUS answers: good, revoked and why, unknown",
  OPENSSL,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      writeChain(world, "alice");
      writeChain(world, "bob");
      const alice = ["-cert", "alice.pem"];
      const serial = `0x${leafOf(world, "alice").serial}`;
      for (const options of [[], ["-no_nonce"], ["-sha256"], ["-sha1", "-no_nonce"]]) {
        const said = await askWithOpenssl(world, alice, { options });
        assert.match(said, /^Response verify OK$/m);
        assert.match(said, /^alice\.pem: good$/m);
        assert.doesNotMatch(said, /WARNING: no nonce in response/);
        assert.match(said, /Next Update: /);
      }
      await revoke(world, { serial: serial.slice(2), reason: "keyCompromise" });
      for (const options of [[], ["-no_nonce"]]) {
        const said = await askWithOpenssl(world, [
          ...alice,
          "-cert",
          "bob.pem",
          "-serial",
          "0x5555",
        ], {
          options,
        });
        assert.match(said, /^Response verify OK$/m);
        assert.match(
          said,
          /^alice\.pem: revoked$[^]*Reason: keyCompromise\n[^]*Revocation Time: /m,
        );
        assert.match(said, /^bob\.pem: good$/m);
        assert.match(said, /^0x5555: unknown$/m);
      }
      const other = await askWithOpenssl(world, ["-cert", "issuing.pem"], {
        issuer: "root.pem",
        code: 1,
      });
      assert.match(other, /Responder Error: unauthorized \(6\)/);
    }),
);

/** The newest list, as a client reads it; it is in the folder by then. */
async function fetchList(world: World): Promise<Uint8Array> {
  return await withClient(RawClient.open(world), async (client) => {
    await client.ok("HELLO");
    const first = await client.ok("CRL");
    const parts = [parseBase64(String(first["chunk"]))];
    for (let at = parts[0]?.length ?? 0; at < Number(first["bytes"]);) {
      const next = await client.ok("CRL", { number: first["number"], offset: at });
      const part = parseBase64(String(next["chunk"]));
      parts.push(part);
      at += part.length;
    }
    return concatBytes(...parts);
  });
}

/** Asks until the list has as many entries. */
async function listWith(world: World, entries: number): Promise<Uint8Array> {
  for (;;) {
    const der = await fetchList(world);
    if (parseCrl(der).entryCount === entries) return der;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test(
  "the server's list is what openssl verifies certificates against, and in its folder",
  OPENSSL,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      writeChain(world, "alice");
      writeChain(world, "bob");
      const path = join(folderOf(world), "issuing.crl");
      const verify = async (id: string, code: number) =>
        await openssl(world, [
          ...["verify", "-x509_strict", "-crl_check", "-CRLfile", "list.crl"],
          ...["-CAfile", "root.pem", "-untrusted", "issuing.pem", `${id}.pem`],
        ], code);
      const first = await listWith(world, 0);
      fs.writeFileSync(world.path("list.crl"), first);
      await openssl(world, [
        "crl",
        "-inform",
        "DER",
        "-in",
        "list.crl",
        "-CAfile",
        "issuing.pem",
        "-noout",
      ]);
      await verify("alice", 0);
      const { serial } = leafOf(world, "alice");
      await revoke(world, { serial, reason: "superseded" });
      const second = await listWith(world, 1);
      assert.deepEqual(new Uint8Array(fs.readFileSync(path)), second);
      assert.equal(fs.statSync(path).mode & 0o777, 0o644);
      fs.writeFileSync(world.path("list.crl"), second);
      assert.match(await verify("alice", 2), /certificate revoked/);
      await verify("bob", 0);
      assert.equal(parseCrl(second).find(serial)?.reason, "superseded");

      // Revoked just before the end: it is in the folder's list. And no number is used twice.
      const bob = leafOf(world, "bob").serial;
      await revoke(world, { serial: bob, reason: "unspecified" });
      await world.server.running.end();
      const third = parseCrl(fs.readFileSync(path));
      assert.ok(third.find(bob));
      await world.serve();
      // Until there is another, the one in the folder is handed out.
      let fourth = parseCrl(await listWith(world, 2));
      while (fourth.number === third.number) {
        assert.deepEqual(fourth.der, third.der);
        await new Promise((resolve) => setTimeout(resolve, 50));
        fourth = parseCrl(await listWith(world, 2));
      }
      const numbers = [parseCrl(first), parseCrl(second), third, fourth].map(({ number = 0n }) =>
        number
      );
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a < b ? -1 : 1));
    }),
);

const ENDED: Partial<Message> = {
  seq: 0,
  type: "ERROR",
  code: "UNTRUSTED",
  message: "the session has ended: its certificate was revoked",
};

test("revoking ends the sessions of that certificate at once, and nobody else notices", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const [alice, bob] = await Promise.all([identityOf(world, "alice"), identityOf(world, "bob")]);
    const csr = encodeBase64(await makeCsr(await decryptKey(world, "alice"), "alice"));
    await withClient(RawClient.open(world, alice), async (revoked) => {
      await revoked.ok("HELLO");
      assert.equal((await revoked.ok("LOGIN_CERTIFICATE"))["id"], "alice");
      await withClient(RawClient.open(world, bob), async (other) => {
        await other.ok("HELLO");
        assert.equal((await other.ok("LOGIN_CERTIFICATE"))["id"], "bob");
        await withClient(RawClient.loggedIn(world, "alice"), async (byPassword) => {
          await revoked.ok("CERTREQ", { id: "bob" });
          const seqs = Array.from({ length: 8 }, () => revoked.say("CSR", { csr }));
          const { serial } = leafOf(world, "alice");
          await revoke(world, { serial, reason: "privilegeWithdrawn" });
          const said = await revoked.rest();
          const end = said.findIndex(({ seq }) => seq === 0);
          assert.deepEqual(said[end], ENDED);
          // What was under way is answered before; what came too late is refused behind it.
          for (const { seq, type, message } of said.slice(0, end)) {
            assert.ok(seqs.includes(seq));
            assert.ok(type === "OK" || /this session has ended/.test(message ?? ""), `${message}`);
          }
          assert.ok(said.slice(end + 1).every(({ type }) => type === "ERROR"));
          await other.ok("CERTREQ", { id: "bob" });
          await byPassword.ok("CSR", { csr });
          await other.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
        });
      });
    });
    await withClient(RawClient.open(world, alice), async (again) => {
      const refusal = await again.refused("UNTRUSTED", "HELLO");
      assert.equal(refusal.message, "cannot trust the certificate: it is revoked");
    });
    // The account is as it was: the owner gets another certificate with the password.
    await world.ok("alice", ["csr", "--rekey"]);
  }));

async function decryptKey(world: World, id: string) {
  const path = join(world.home, "ids", id, "key.pem");
  return await decryptPrivateKey(fs.readFileSync(path, "utf8"), PASSWORDS[id] ?? "", path);
}

test("revoking all that a user has ends every session of the user, by password, too", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    await withClient(RawClient.loggedIn(world, "alice"), async (alice) => {
      await withClient(RawClient.loggedIn(world, "bob"), async (bob) => {
        await world.ok("alice", ["csr", "--rekey"]);
        const { revoked, more } = await revoke(world, {
          id: "alice",
          reason: "affiliationChanged",
        });
        assert.deepEqual([revoked.length, more], [2, 0]);
        assert.deepEqual(await alice.rest(), [{
          ...ENDED,
          code: "REFUSED",
          message: "the session has ended: its user's certificates were revoked",
        }]);
        await bob.ok("CERTREQ", { id: "bob" });
      });
    });
  }));

test("a session that a certificate opened can revoke it, and is answered before it ends", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { serial } = leafOf(world, "alice");
    await withClient(RawClient.open(world, await identityOf(world, "alice")), async (client) => {
      await client.ok("HELLO");
      await client.refused("REFUSED", "REVOKE", { serial });
      await client.ok("LOGIN_CERTIFICATE");
      await client.refused("MALFORMED", "REVOKE", { serial, reason: "cACompromise" });
      await client.refused("NOT_FOUND", "REVOKE", { serial: "00" });
      const seq = client.say("REVOKE", { serial, reason: "superseded" });
      const [answer, end, ...more] = await client.rest();
      assert.deepEqual([answer?.seq, answer?.type, answer?.["serial"]], [seq, "OK", serial]);
      assert.deepEqual(end, ENDED);
      assert.deepEqual(more, []);
    });
  }));

test("what was revoked stays so when the server is killed the moment after", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { serial } = leafOf(world, "alice");
    await revoke(world, { serial, reason: "keyCompromise" });
    await world.server.running.end("SIGKILL");
    await world.serve();
    const client = await RawClient.open(world, await identityOf(world, "alice"));
    await withClient(Promise.resolve(client), async () => {
      assert.match((await client.refused("UNTRUSTED", "HELLO")).message ?? "", /it is revoked$/);
    });
    const list = parseCrl(await listWith(world, 1));
    assert.equal(list.find(serial)?.reason, "keyCompromise");
  }));
