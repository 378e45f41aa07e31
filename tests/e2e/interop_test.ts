/**
 * Other people's TLS with what a running `pki serve` certifies: openssl's server with a host's certificate and
 * its status, clients by openssl, GnuTLS and curl; and users and services as clients themselves.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../../lib/x509/pem.ts";
import { folderOf, ok } from "./administrator.ts";
import { type Finished, inWorld, needs, Running, runProgram, type World } from "./harness.ts";
import { RawClient, withClient } from "./raw_client.ts";

/** Whom a TLS client shall reach. */
interface Dial {
  readonly port: number;
  readonly host: string;
  /** File with the root that is trusted. */
  readonly root: string;
}

interface Client {
  readonly name: string;
  readonly programs: readonly string[];
  readonly dial: (world: World, dial: Dial) => Promise<Finished>;
  /** What it says of a good host, another name, another root, a certificate that is revoked. */
  readonly words: Readonly<Record<"good" | "name" | "root" | "revoked", RegExp>>;
}

async function run(world: World, command: string, args: readonly string[]): Promise<Finished> {
  return await runProgram(command, args, { cwd: world.folder, input: "GET / HTTP/1.0\r\n\r\n" });
}

const CLIENTS: readonly Client[] = [
  {
    name: "openssl",
    programs: [],
    dial: (world, { port, host, root }) =>
      run(world, "openssl", [
        ...["s_client", "-connect", `127.0.0.1:${port}`, "-servername", host, "-ign_eof"],
        ...["-CAfile", root, "-no-CApath", "-verify_return_error", "-verify_hostname", host],
        ...["-status"],
      ]),
    words: {
      good: /Cert Status: good/,
      name: /hostname mismatch/,
      root: /unable to get local issuer certificate/,
      revoked: /Cert Status: revoked/,
    },
  },
  {
    name: "gnutls",
    programs: ["gnutls-cli"],
    dial: (world, { port, host, root }) =>
      run(world, "gnutls-cli", [
        ...["--port", `${port}`, "--x509cafile", root, "--verify-hostname", host],
        ...["--sni-hostname", host, "127.0.0.1"],
      ]),
    words: {
      good: /The certificate is trusted/,
      name: /does not match/,
      root: /issuer is unknown/,
      revoked: /revoked/,
    },
  },
  {
    name: "curl",
    programs: ["curl"],
    dial: (world, { port, host, root }) =>
      run(world, "curl", [
        ...[
          "--silent",
          "--show-error",
          "--cacert",
          root,
          "--capath",
          "/nonexistent",
          "--cert-status",
        ],
        ...["--resolve", `${host}:${port}:127.0.0.1`, `https://${host}:${port}/`],
      ]),
    words: {
      good: /New, TLSv1\.3, Cipher is TLS_AES_/,
      name: /no alternative certificate subject name matches/,
      root: /unable to get local issuer certificate/,
      revoked: /revocation reason: keyCompromise/,
    },
  },
];

/** Certificate and key of this machine's name, by a CA for outside names, as `host.pem` and `host.key`. */
async function issueForHost(world: World): Promise<Certificate> {
  const args = ["--dns", "localhost", "--plain-key", "--out", "host.pem"];
  await ok(world, ["issuer", "add", "--dns", "localhost"]);
  await ok(world, ["issue", "--profile", "server", ...args], { cwd: world.folder });
  const [leaf, issuer] = readChain(world, "host.pem");
  fs.writeFileSync(world.path("ca.pem"), encodeCertificatesPem([issuer.der]));
  fs.copyFileSync(join(folderOf(world), "root.crt"), world.path("root.pem"));
  return leaf;
}

function readChain(world: World, file: string): readonly [Certificate, Certificate] {
  const text = fs.readFileSync(world.path(file), "utf8");
  const [leaf, issuer] = parseCertificatesPem(text, file).map(parseCertificate);
  assert.ok(leaf && issuer);
  return [leaf, issuer];
}

/** What the CA says of the host's certificate now, for the host to staple. */
async function fetchStatus(world: World): Promise<void> {
  const [leaf, issuer] = readChain(world, "host.pem");
  const request = encodeBase64(encodeOcspRequest({ issuer, serials: [leaf.serial], hash: "sha1" }));
  await withClient(RawClient.open(world), async (client) => {
    await client.ok("HELLO");
    const { response } = await client.ok("STATUS", { request });
    fs.writeFileSync(world.path("status.der"), parseBase64(String(response)));
  });
}

/** Openssl's server with the host's certificate on a free port, until `use` is done. */
async function withHost(
  world: World,
  args: readonly string[],
  use: (port: number) => Promise<void>,
): Promise<void> {
  const own = ["-cert", "host.pem", "-cert_chain", "ca.pem", "-key", "host.key"];
  const listening = ["s_server", "-accept", "127.0.0.1:0", "-www", ...own, ...args];
  const host = new Running("openssl", listening, { cwd: world.folder, keepStdin: true });
  try {
    const [, port] = await host.waitFor(/^ACCEPT 127\.0\.0\.1:(\d+)$/m);
    await use(Number(port));
  } finally {
    await host.end();
  }
}

/** A root that somebody else made under our root's name. */
async function makeOtherRoot(world: World): Promise<void> {
  const made = await runProgram("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-subj", "/CN=pki.internal root", "-keyout", "other.key", "-out", "other.pem"],
  ], { cwd: world.folder });
  assert.equal(made.code, 0, made.stderr);
}

for (const { name: who, programs, dial, words } of CLIENTS) {
  test(
    `${who} believes a host of ours by the root alone, and nobody else`,
    needs("openssl", ...programs),
    () =>
      inWorld(async (world) => {
        await world.serve();
        const { serial } = await issueForHost(world);
        await makeOtherRoot(world);
        await fetchStatus(world);
        const stapled = ["-status_file", "status.der"];
        const says = async (dialled: Dial, pattern: RegExp) => {
          const { code, stdout, stderr } = await dial(world, dialled);
          assert.match(stdout + stderr, pattern);
          return code;
        };
        await withHost(world, stapled, async (port) => {
          const good = { port, host: "localhost", root: "root.pem" };
          assert.equal(await says(good, words.good), 0);
          assert.notEqual(await says({ ...good, host: "other.localhost" }, words.name), 0);
          assert.notEqual(await says({ ...good, root: "other.pem" }, words.root), 0);
        });
        await ok(world, ["revoke", "--serial", serial, "--reason", "keyCompromise", "--yes"]);
        await fetchStatus(world);
        await withHost(world, stapled, async (port) => {
          const code = await says({ port, host: "localhost", root: "root.pem" }, words.revoked);
          // Openssl's client shows the status, and leaves it to whoever reads that.
          assert.equal(code === 0, who === "openssl");
        });
      }),
  );
}

test(
  "openssl's server believes users and services as clients, and nobody who is revoked",
  needs("openssl", "curl"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      await issueForHost(world);
      await ok(world, [
        ...[
          "issue",
          "--profile",
          "service",
          "--name",
          "backup",
          "--plain-key",
          "--out",
          "backup.pem",
        ],
      ], { cwd: world.folder });
      for (const id of ["alice", "bob"]) {
        const folder = join(world.home, "ids", id);
        fs.copyFileSync(join(folder, "cert.pem"), world.path(`${id}.pem`));
        const opened = await runProgram("openssl", [
          ...["pkey", "-in", join(folder, "key.pem"), "-passin", `file:${world.passwordFile(id)}`],
          ...["-out", `${id}.key`],
        ], { cwd: world.folder });
        assert.equal(opened.code, 0, opened.stderr);
      }
      await world.ok("bob", ["revoke", "--yes"]);
      // Before it ends, the server writes its newest list.
      await world.server.running.end();
      fs.copyFileSync(join(folderOf(world), "issuing.crl"), world.path("list.crl"));
      const demanding = [
        ...["-Verify", "2", "-verify_return_error", "-CAfile", "root.pem", "-no-CApath"],
        ...["-crl_check", "-CRL", "list.crl", "-CRLform", "DER"],
      ];
      await withHost(world, demanding, async (port) => {
        const call = async (...own: readonly string[]) =>
          await run(world, "curl", [
            ...["--silent", "--show-error", "--cacert", "root.pem", ...own],
            `https://localhost:${port}/`,
          ]);
        for (const who of ["alice", "backup"]) {
          const { code, stdout, stderr } = await call(
            "--cert",
            `${who}.pem`,
            "--key",
            `${who}.key`,
          );
          assert.equal(code, 0, stderr);
          assert.match(stdout, new RegExp(`Subject: CN ?= ?${who}\\n`));
        }
        const revoked = await call("--cert", "bob.pem", "--key", "bob.key");
        assert.notEqual(revoked.code, 0);
        assert.match(revoked.stderr, /alert certificate revoked/);
        const hostAsClient = await call("--cert", "host.pem", "--key", "host.key");
        assert.notEqual(hostAsClient.code, 0);
        assert.match(hostAsClient.stderr, /alert/);
        const nobody = await call();
        assert.notEqual(nobody.code, 0);
        assert.match(nobody.stderr, /alert certificate required/);
      });
    }),
);
