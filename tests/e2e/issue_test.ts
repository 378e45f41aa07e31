import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { fails, folderOf, json, list, ok } from "./administrator.ts";
import { inWorld, needs, runProgram, type World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

const OPENSSL = needs("openssl");
const PASSWORD = "seven wet bricks";

/** A folder that the command is run in, and what is in it. */
function makeFolder(
  world: World,
): { readonly cwd: string; readonly path: (name: string) => string } {
  const cwd = fs.mkdtempSync(world.path("issue-"));
  return { cwd, path: (name) => join(cwd, name) };
}

const SERVER = ["issue", "--profile", "server"];

async function openssl(args: readonly string[], cwd: string): Promise<string> {
  const { code, stdout, stderr } = await runProgram("openssl", args, { cwd });
  assert.equal(code, 0, `openssl ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

test(
  "pki issue makes a server's key and certificate, which openssl verifies",
  OPENSSL,
  () =>
    inWorld(async (world) => {
      await world.serve();
      const { cwd, path } = makeFolder(world);
      const args = ["--dns", "www.pki.internal,db.pki.internal", "--dns", "x.pki.internal"];
      const { stdout } = await ok(world, [...SERVER, ...args, "--plain-key", "--days", "5"], {
        cwd,
      });
      assert.match(stdout, /^server "www\.pki\.internal" is certified until \d{4}-\d\d-\d\d\n/);
      assert.match(
        stdout,
        /^ {2}certificate {2}www\.pki\.internal\.pem\n {2}key {10}www\.pki\.internal\.key\n/m,
      );
      assert.deepEqual(fs.readdirSync(cwd).sort(), [
        "www.pki.internal.key",
        "www.pki.internal.pem",
      ]);
      assert.equal(fs.statSync(path("www.pki.internal.key")).mode & 0o777, 0o600);
      assert.equal(fs.statSync(path("www.pki.internal.pem")).mode & 0o777, 0o644);
      const pem = fs.readFileSync(path("www.pki.internal.pem"), "utf8");
      const [leaf, issuing, ...more] = parseCertificatesPem(pem, "www").map(parseCertificate);
      assert.ok(leaf && issuing);
      assert.deepEqual(more, []);
      assert.deepEqual(
        leaf.names,
        ["www", "db", "x"].map((name) => ({ type: "dns", value: `${name}.pki.internal` })),
      );
      const key = createPrivateKey(fs.readFileSync(path("www.pki.internal.key")));
      assert.ok(new X509Certificate(pem).checkPrivateKey(key));
      fs.writeFileSync(path("root.pem"), fs.readFileSync(join(folderOf(world), "root.crt")));
      for (const name of ["www.pki.internal", "db.pki.internal"]) {
        await openssl([
          ...["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name],
          ...["-CAfile", "root.pem", "-untrusted", "www.pki.internal.pem", "www.pki.internal.pem"],
        ], cwd);
      }
      const [row] = await list(world, "--serial", leaf.serial.toUpperCase());
      assert.equal(row?.subject, "www.pki.internal +2 more");
      assert.equal(row?.profile, "server");
    }),
);

test(
  "pki issue encrypts a service's key with a password that is given",
  OPENSSL,
  () =>
    inWorld(async (world) => {
      await world.serve();
      const { cwd, path } = makeFolder(world);
      fs.writeFileSync(path("password"), `${PASSWORD}\n`);
      const args = ["issue", "--profile", "service", "--name", "backup", "--key-type", "p384"];
      const facts = await json(world, [...args, "--password-file", "password"], { cwd });
      const [der] = parseCertificatesPem(fs.readFileSync(path("backup.pem"), "utf8"), "backup");
      assert.ok(der);
      const leaf = parseCertificate(der);
      assert.deepEqual(facts, {
        profile: "service",
        name: "backup",
        serial: leaf.serial,
        fingerprint: fingerprintOf(der),
        notAfter: new Date(leaf.notAfterMs).toISOString(),
        index: facts["index"],
        ignored: [],
        certificate: "backup.pem",
        key: "backup.key",
      });
      const pem = fs.readFileSync(path("backup.key"), "utf8");
      assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
      const shown = await openssl(
        ["pkey", "-in", "backup.key", "-passin", "file:password", "-pubout"],
        cwd,
      );
      const spki = createPublicKey(shown).export({ format: "der", type: "spki" });
      assert.deepEqual(new Uint8Array(spki), leaf.spki);
      assert.equal(createPublicKey(shown).asymmetricKeyDetails?.namedCurve, "secp384r1");
    }),
);

test(
  "pki issue certifies a request from a file or from stdin, and says what it left out",
  OPENSSL,
  () =>
    inWorld(async (world) => {
      await world.serve();
      const { cwd, path } = makeFolder(world);
      await openssl([
        ...[
          "req",
          "-new",
          "-newkey",
          "rsa:2048",
          "-nodes",
          "-keyout",
          "www.key",
          "-out",
          "www.csr",
        ],
        ...["-subj", "/O=Example/CN=www.pki.internal"],
        ...["-addext", "subjectAltName=DNS:www.pki.internal"],
      ], cwd);
      await openssl(["req", "-in", "www.csr", "-outform", "DER", "-out", "www.der"], cwd);
      const args = [...SERVER, "--dns", "www.pki.internal"];
      const spkis = new Set<string>();
      const note = /^not taken from the request: subject attribute O\n/m;
      for (
        const [name, input] of [["www.csr"], ["www.der"], [
          "-",
          fs.readFileSync(path("www.csr")),
        ]] as const
      ) {
        const { stdout, stderr } = await ok(world, [...args, "--csr", name], {
          cwd,
          ...(input ? { input } : {}),
        });
        assert.match(stderr, note);
        const [leaf, issuing] = parseCertificatesPem(stdout, "stdout").map(parseCertificate);
        assert.ok(leaf && issuing);
        spkis.add(fingerprintOf(leaf.spki));
      }
      assert.equal(spkis.size, 1, "it is the request's key");
      const facts = await json(world, [...args, "--csr", "www.csr", "--out", "out.pem"], { cwd });
      assert.deepEqual(facts["ignored"], ["subject attribute O"]);
      assert.equal(facts["certificate"], "out.pem");
      assert.deepEqual(
        fs.readdirSync(cwd).sort(),
        ["out.pem", "www.csr", "www.der", "www.key"],
        "no key is made",
      );
      await fails(world, [...SERVER, "--csr", "www.csr"], {
        ...{ cwd, code: 2 },
        says: /its names are missing\npki: hint: the request asks for: --dns www\.pki\.internal\n/,
      });
      await fails(world, [...SERVER, "--dns", "db.pki.internal", "--csr", "www.csr"], {
        ...{ cwd, code: 4 },
        says: /cannot certify request: it asks for another name than "db\.pki\.internal"/,
      });
      await fails(world, [...args, "--csr", "www.key"], {
        ...{ cwd, code: 3 },
        says: /cannot read "www\.key": there is no certificate request in it/,
      });
      await fails(world, [...args, "--csr", "nowhere.csr"], {
        ...{ cwd, code: 5 },
        says: /cannot read "nowhere\.csr": there is no such file/,
      });
    }),
);

test("pki issue works without a running server, and then nobody else has the folder", () =>
  inWorld(async (world) => {
    await world.serve();
    await world.server.running.end();
    const { cwd, path } = makeFolder(world);
    await ok(world, [...SERVER, "--dns", "a.pki.internal", "--plain-key"], { cwd });
    assert.ok(fs.existsSync(path("a.pki.internal.pem")));
    const rows = await list(world);
    assert.deepEqual(rows.map(({ subject }) => subject), ["server.pki.internal", "a.pki.internal"]);
    fs.renameSync(join(world.home, "server.passphrase"), world.path("elsewhere"));
    await fails(world, ["ls"], {
      code: 2,
      says:
        /there is no passphrase\npki: hint: give it with --passphrase-file or \$PKI_CA_PASSPHRASE/,
    });
    assert.equal((await list(world, "--passphrase-file", world.path("elsewhere"))).length, 2);
    const passphrase = fs.readFileSync(world.path("elsewhere"), "utf8").trim();
    const env = { PKI_CA_PASSPHRASE: passphrase };
    assert.match((await ok(world, ["ls"], { env })).stdout, /a\.pki\.internal/);
    await fails(world, ["ls"], {
      ...{ code: 4, env: { PKI_CA_PASSPHRASE: "another passphrase" } },
      says: /cannot open the server's keys: the passphrase does not fit/,
    });
    // What it did is in the log like everything else, and a server goes on from there.
    await world.serve(["--passphrase-file", world.path("elsewhere")]);
    assert.equal((await list(world)).length, 2);
  }));

test("pki issue replaces no file, unless it is told to, and certifies nothing for nowhere", () =>
  inWorld(async (world) => {
    await world.serve();
    const { cwd, path } = makeFolder(world);
    const args = [...SERVER, "--dns", "a.pki.internal", "--plain-key"];
    await ok(world, args, { cwd });
    const key = fs.readFileSync(path("a.pki.internal.key"), "utf8");
    const before = (await list(world)).length;
    const there =
      /there is such a file\npki: hint: name another with --out and --key-out, or replace it with --force/;
    await fails(world, args, { cwd, code: 5, says: there });
    await fails(world, [...args, "--out", "b.pem", "--key-out", "a.pki.internal.key"], {
      ...{ cwd, code: 5, says: there },
    });
    await fails(world, [...args, "--out", "nowhere/b.pem"], {
      cwd,
      code: 9,
      says: /cannot write "nowhere/,
    });
    await fails(world, [...args, "--out", "b", "--key-out", "b"], {
      cwd,
      code: 2,
      says: /the same file/,
    });
    assert.equal(fs.readFileSync(path("a.pki.internal.key"), "utf8"), key);
    assert.equal((await list(world)).length, before, "nothing was certified");
    await ok(world, [...args, "--force"], { cwd });
    assert.notEqual(fs.readFileSync(path("a.pki.internal.key"), "utf8"), key);
    await ok(world, [...args, "--out", "b.crt"], { cwd });
    assert.ok(fs.existsSync(path("b.key")), "the key is called as the certificate is");
  }));

const REFUSED: readonly { args: readonly string[]; code: number; says: RegExp }[] = [
  {
    args: ["--profile", "user"],
    code: 4,
    says: /users ask for their own\npki: hint: the user runs: pki csr --id NAME/,
  },
  { args: ["--profile", "issuing"], code: 2, says: /it is none of server, service/ },
  { args: ["--dns", "a.pki.internal"], code: 2, says: /--profile/ },
  { args: ["--profile", "server"], code: 2, says: /name it with --dns HOST or --address IP/ },
  { args: ["--profile", "server", "--name", "x"], code: 2, says: /a server is named with --dns/ },
  { args: ["--profile", "service"], code: 2, says: /name it with --name/ },
  {
    args: ["--profile", "service", "--name", "x", "--dns", "a.pki.internal"],
    code: 2,
    says: /a service is named with --name/,
  },
  {
    args: ["--profile", "service", "--name", "x"],
    code: 2,
    says: /cannot ask for a password for the key: there is no terminal/,
  },
  {
    args: ["--profile", "service", "--name", "../x", "--plain-key"],
    code: 2,
    says: /cannot use the id|"\.\.\/x"/,
  },
  {
    args: ["--profile", "server", "--dns", "a.pki.internal", "--days", "0"],
    code: 2,
    says: /not a number of days/,
  },
  {
    args: ["--profile", "server", "--dns", "a.pki.internal", "--plain-key", "--days", "9999"],
    code: 4,
    says: /9999|397/,
  },
  {
    args: ["--profile", "server", "--dns", "www.example.org", "--plain-key"],
    code: 5,
    says:
      /no CA is for all of these names\npki: hint: make a CA for these names with: pki issuer add/,
  },
  {
    args: ["--profile", "server", "--dns", "server.pki.internal", "--plain-key"],
    code: 4,
    says: /it is reserved in the trust domain/,
  },
  {
    args: ["--profile", "server", "--dns", "a.pki.internal", "--csr", "x", "--plain-key"],
    code: 2,
    says: /with --csr it is the request's key/,
  },
];

test("pki issue says what it cannot do, and leaves no file behind", () =>
  inWorld(async (world) => {
    await world.serve();
    const { cwd } = makeFolder(world);
    for (const { args, code, says } of REFUSED) {
      await fails(world, ["issue", ...args], { cwd, code, says });
    }
    await fails(world, [...SERVER, "--dns", "a.pki.internal", "--plain-key", "--data", cwd], {
      ...{ cwd, code: 5 },
      says: /there is no data folder ".*"\npki: hint: name it with --data/,
    });
    assert.deepEqual(fs.readdirSync(cwd), []);
    assert.equal((await list(world)).length, 1);
  }));

test(
  "pki issue asks twice for a password at a terminal, and shows it never",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const out = world.path("asked.pem");
      const args = ["issue", "--profile", "service", "--name", "asked", "--out", out];
      await inTerminal(world, args, async (terminal) => {
        await terminal.waitFor(/Password for the new key/);
        await terminal.type(PASSWORD);
        await terminal.press("Enter");
        await terminal.waitFor(/The same password again/);
        await terminal.type(PASSWORD);
        await terminal.press("Enter");
        const screen = await terminal.waitFor(/key +.*asked\.key \(encrypted\)/);
        assert.doesNotMatch(screen.input, new RegExp(PASSWORD));
      });
      assert.match(fs.readFileSync(world.path("asked.key"), "utf8"), /^-----BEGIN ENCRYPTED/);
    }),
);
