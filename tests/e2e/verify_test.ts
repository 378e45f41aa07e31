import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { askServer } from "../../lib/client/admin.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { encodePem, parseCertificatesPem } from "../../lib/x509/pem.ts";
import { fails, folderOf, json, ok } from "./administrator.ts";
import { inWorld, type World } from "./harness.ts";

const CHECKS = [
  "form",
  "issuer",
  "algorithm",
  "signature",
  "time",
  "critical-extension",
  "basic-constraints",
  "path-length",
  "key-usage",
  "extended-key-usage",
  "name-constraints",
  "policy",
  "names",
  "revocation",
];

interface Check {
  readonly check: string;
  readonly result: string;
  readonly why?: string;
}

const certificatePath = (world: World, id: string) => join(world.home, "ids", id, "cert.pem");

/** The result of a check, as `--json` tells it. */
async function checkOf(world: World, args: readonly string[], name: string): Promise<Check> {
  const { stdout } = await world.run(["verify", "--json", ...args]);
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly Check[] };
  assert.deepEqual(checks.map(({ check }) => check), CHECKS);
  const found = checks.find(({ check }) => check === name);
  assert.ok(found);
  return found;
}

function revoke(world: World, path: string) {
  const [der] = parseCertificatesPem(fs.readFileSync(path, "utf8"), path);
  assert.ok(der);
  const { serial } = parseCertificate(der);
  return askServer(folderOf(world), "REVOKE", { serial, reason: "superseded" });
}

test("pki verify makes every check, and asks the server whether it was revoked", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const alice = certificatePath(world, "alice");
    const { stdout } = await ok(world, ["verify", alice, "--user", "alice"]);
    const [first = "", ...lines] = stdout.trimEnd().split("\n");
    assert.match(first, /^verified: "alice", until \d{4}-\d\d-\d\d$/);
    assert.equal(lines.length, CHECKS.length);
    for (const line of lines) assert.match(line, /^ {2}[a-z ]+ {2}ok$/);
    const facts = await json(world, ["verify", "-"], { input: fs.readFileSync(alice) });
    assert.equal(facts["ok"], true);
    assert.equal((facts["chain"] as unknown[]).length, 3);
    await fails(world, ["verify", alice, "--user", "bob"], {
      code: 6,
      says:
        /^pki: error: cannot trust certificate: it is the certificate of "alice", not of "bob"$/m,
    });
    for (const purpose of ["client", "server"]) {
      await ok(world, ["verify", alice, "--purpose", purpose, "--name", "alice.user.pki.internal"]);
    }
    const { result, why } = await checkOf(
      world,
      [alice, "--name", "bob.user.pki.internal"],
      "names",
    );
    assert.deepEqual([result, why], ["failed", 'it is not for dns "bob.user.pki.internal"']);

    await revoke(world, alice);
    const refused = await fails(world, ["verify", alice], {
      code: 6,
      says: /it was revoked \d{4}-\d\d-\d\dT[\d:.]+Z \(superseded\)$/m,
    });
    assert.match(
      refused.stdout,
      /^not verified: "alice"[^]*^ {2}revocation +failed: it was revoked /m,
    );
    await ok(world, ["verify", certificatePath(world, "bob")]);
    const skipped = await checkOf(world, [alice, "--offline"], "revocation");
    assert.deepEqual([skipped.result, skipped.why], ["skipped", "nobody was asked (--offline)"]);
    await ok(world, ["verify", alice, "--offline"]);
  }));

test("pki verify trusts no silence: without the server it wants a list, or to be told so", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const [alice, bob] = [certificatePath(world, "alice"), certificatePath(world, "bob")];
    await revoke(world, bob);
    await world.server.running.end();
    const list = join(folderOf(world), "issuing.crl");
    await fails(world, ["verify", alice], {
      code: 6,
      says:
        /is not known: cannot reach [^]*\npki: hint: a list from a file is taken with --crl; --offline leaves/,
    });
    await ok(world, ["verify", alice, "--offline"]);
    await ok(world, ["verify", alice, "--crl", list]);
    await fails(world, ["verify", bob, "--crl", list], {
      code: 6,
      says: /it was revoked .* \(superseded\)/,
    });
    const pem = world.path("list.pem");
    fs.writeFileSync(pem, encodePem("X509 CRL", fs.readFileSync(list)));
    await fails(world, ["verify", bob, "--crl", pem, "--offline"], {
      code: 6,
      says: /it was revoked/,
    });
    // Of another time: what the list says now does not count then.
    const later = new Date(Date.now() + 3 * 86_400_000).toISOString().slice(0, 10);
    await fails(world, ["verify", alice, "--crl", list, "--at", later], {
      code: 6,
      says: /is not known: the CRL expired/,
    });
    await ok(world, ["verify", alice, "--at", later]);
    const year = new Date(Date.now() + 400 * 86_400_000).toISOString().slice(0, 10);
    await fails(world, ["verify", alice, "--at", `${year}T12:00:00Z`], {
      code: 6,
      says: /it expired /,
    });
  }));

test("pki verify trusts another root where it is told to, and none by itself", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const alice = certificatePath(world, "alice");
    const root = join(folderOf(world), "root.crt");
    const elsewhere = ["--home", world.path("nowhere")];
    await fails(world, ["verify", alice, "--offline", ...elsewhere], {
      code: 5,
      says: /no root is pinned here\npki: hint: name a root with --root FILE/,
    });
    await ok(world, [
      "verify",
      alice,
      "--offline",
      "--root",
      root,
      "--user",
      "alice",
      ...elsewhere,
    ]);
    await fails(world, ["verify", alice, "--root", root, ...elsewhere], {
      code: 6,
      says: /the root is not the server's: name its CA's list with --crl/,
    });
    const list = join(folderOf(world), "issuing.crl");
    await ok(world, ["verify", alice, "--root", root, "--crl", list, ...elsewhere]);
    await fails(world, ["verify", alice, "--root", alice, ...elsewhere], {
      code: 6,
      says: /the root /,
    });
    // The leaf alone, where nothing of ours helps; and where it does.
    const [leaf] = parseCertificatesPem(fs.readFileSync(alice, "utf8"), alice);
    fs.writeFileSync(world.path("leaf.der"), leaf ?? new Uint8Array());
    await fails(world, [
      "verify",
      world.path("leaf.der"),
      "--root",
      root,
      "--offline",
      ...elsewhere,
    ], {
      code: 6,
      says:
        /the certificate of the CA that issued it is not there[^]*hint: a file has the certificate first/,
    });
    await ok(world, ["verify", world.path("leaf.der")]);
    await fails(world, ["verify", root], { code: 6, says: /it is the root itself/ });
  }));

test("pki verify cannot read what is no certificate, or no list", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const alice = certificatePath(world, "alice");
    const junk = world.path("junk");
    fs.writeFileSync(junk, "nothing of that kind");
    const damaged = world.path("damaged.pem");
    fs.writeFileSync(damaged, encodePem("CERTIFICATE", Uint8Array.of(0x30, 1)));
    const rows: readonly [readonly string[], number, RegExp][] = [
      [[junk], 3, /there is no certificate in it/],
      [[damaged], 3, /cannot read /],
      [[world.path("nowhere.pem")], 5, /there is no such file/],
      [[alice, "--crl", junk], 3, /there is no revocation list in it/],
      [[alice, "--crl", world.path("nowhere.crl")], 5, /there is no such file/],
      [[alice, "--root", junk], 3, /there is no certificate in it/],
      [[alice, "--at", "yesterday"], 2, /"yesterday" is not a time/],
      [[alice, "--at", "2027-13-01"], 2, /is not a time/],
      [[alice, "--purpose", "mail"], 2, /"mail" is none of client, server/],
      [[alice, "--user", "alice", "--name", "x"], 2, /for a user and something else at once/],
      [[alice, "--user", "../x"], 2, /\.\.\/x/],
      [[], 2, /FILE is missing|missing/],
    ];
    for (const [args, code, says] of rows) await fails(world, ["verify", ...args], { code, says });
  }));

test("pki verify shows no control characters of a certificate", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const path = certificatePath(world, "alice");
    const [der] = parseCertificatesPem(fs.readFileSync(path, "utf8"), path);
    assert.ok(der);
    const text = String.fromCharCode(...der);
    const evil = text.replaceAll("alice", "\x1b[2Jx");
    fs.writeFileSync(world.path("evil.der"), Uint8Array.from(evil, (one) => one.charCodeAt(0)));
    const { code, stdout, stderr } = await world.run(["verify", world.path("evil.der")]);
    assert.ok(code === 6 || code === 3);
    assert.ok(!(stdout + stderr).includes("\x1b"));
  }));
