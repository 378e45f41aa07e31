/** Roots and issuing CAs: made, brought along, added; and under which passphrase. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, runProgram, type World } from "./harness.ts";
import {
  assertOk,
  configOf,
  elsewhere,
  fails,
  fingerprintOfFile,
  makeOpensslRoot,
  openssl,
  pki,
} from "./own_roots.ts";

const FILES = ["root.crt", "issuing.crt"] as const;

/** Has Debian's verifiers judge a chain. */
async function verifyByOthers(
  world: World,
  { data, certPem, hasNss }: {
    readonly data: string;
    readonly certPem: string;
    readonly hasNss: boolean;
  },
): Promise<void> {
  const folder = fs.mkdtempSync(world.path("verify-"));
  const [rootPem, issuingPem] = FILES.map((name) => fs.readFileSync(join(data, name), "utf8"));
  const [leafPem = ""] = certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
  fs.writeFileSync(join(folder, "root.pem"), rootPem ?? "");
  fs.writeFileSync(join(folder, "issuing.pem"), issuingPem ?? "");
  fs.writeFileSync(join(folder, "leaf.pem"), leafPem);
  fs.writeFileSync(join(folder, "chain.pem"), leafPem + issuingPem + rootPem);
  await openssl(
    folder,
    ...["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem"],
    ...["-untrusted", "issuing.pem", "leaf.pem"],
  );
  const run = async (command: string, ...args: readonly string[]) =>
    assertOk(await runProgram(command, args, { cwd: folder }), `${command} ${args.join(" ")}`);
  await run("certtool", "--verify-chain", "--infile", "chain.pem");
  if (hasNss) {
    await run("certutil", "-N", "-d", "sql:.", "--empty-password");
    for (const [name, trust] of [["root", "CT,C,C"], ["issuing", ",,"], ["leaf", ",,"]]) {
      await run(
        "certutil",
        ...["-A", "-d", "sql:.", "-n", name ?? "", "-t", trust ?? ""],
        ...["-a", "-i", `${name}.pem`],
      );
    }
    await run("certutil", "-V", "-d", "sql:.", "-n", "leaf", "-u", "V");
  }
  const store = ["-keystore", "store.p12", "-storepass", "changeit", "-noprompt"];
  await run("keytool", "-importcert", "-alias", "root", "-file", "root.pem", ...store);
  await run("keytool", "-importcert", "-alias", "issuing", "-file", "issuing.pem", ...store);
}

/** Root list and names of a data folder, by what openssl and certtool say of them. */
async function verifyRootList(data: string): Promise<void> {
  await openssl(data, "crl", "-in", "root.crl", "-inform", "DER", "-CAfile", "root.crt", "-noout");
}

for (const keyType of ["p256", "p384", "rsa3072", "ed25519"]) {
  test(
    `pki init makes CAs of ${keyType} that other verifiers accept`,
    needs("openssl", "certtool", "certutil", "keytool"),
    () =>
      inWorld(async (world) => {
        const data = join(world.home, "server");
        const { stderr, stdout } = await pki(world, "init", "--key-type", keyType);
        assert.match(stdout, /^made a data folder for pki\.internal\n/);
        assert.match(stderr, /root\.key", and the server does not need it: move it/);
        await world.withUsers("alice");
        await verifyByOthers(world, {
          data,
          certPem: fs.readFileSync(join(world.home, "ids", "alice", "cert.pem"), "utf8"),
          hasNss: keyType !== "ed25519", // which NSS does not know
        });
        await verifyRootList(data);
        await fails(world, ["init"], { code: 5, stderr: /it is a data folder already/ });
      }),
  );
}

test("pki init --json says what was made, and the first pki serve uses it", () =>
  inWorld(async (world) => {
    const { stdout } = await pki(world, "init", "--domain", "pki.example.org", "--json");
    const made = JSON.parse(stdout);
    assert.equal(made.event, "ready");
    assert.equal(made.domain, "pki.example.org");
    const server = await world.serve();
    assert.equal(server.fingerprint, made.fingerprint);
    await server.running.end();
    await fails(world, ["serve", "--port", "0", "--root-key", "x"], {
      code: 2,
      stderr: /the server needs it to accept a loss only/,
    });
  }));

const OWN_ROOTS = [
  { name: "RSA 4096", genpkey: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"] },
  {
    name: "P-384",
    genpkey: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    isEncrypted: true,
  },
  { name: "Ed25519", genpkey: ["-algorithm", "ED25519"] },
];

for (const { name, ...making } of OWN_ROOTS) {
  test(
    `pki init takes a root of one's own (${name}), and keeps its key or leaves it out`,
    needs("openssl"),
    () =>
      inWorld(async (world) => {
        const { folder, args } = await makeOpensslRoot(world, making);
        const data = join(world.home, "server");
        await pki(world, "init", ...args, "--without-root-key");
        assert.equal(fs.existsSync(join(data, "root.key")), false);
        await world.withUsers("alice");
        assert.equal(world.server.fingerprint, fingerprintOfFile(join(folder, "root.crt")));
        await openssl(
          data,
          ...["verify", "-x509_strict", "-CAfile", join(folder, "root.crt")],
          ...["-untrusted", "issuing.crt", join(world.home, "ids", "alice", "cert.pem")],
        );
        await fails(world, ["rotate"], {
          code: 5,
          stderr: /cannot use the root's key: there is no/,
        });
        await pki(world, "rotate", ...args.slice(2));
        await world.ok("alice", ["csr"]);
        const other = world.path("other");
        await pki(world, "init", "--data", other, ...args);
        const kept = fs.readFileSync(join(other, "root.key"), "utf8");
        assert.match(kept, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
      }),
  );
}

test(
  "pki init refuses a root whose key is another's, and half of a root",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const genpkey = ["-algorithm", "ED25519"];
      const [one, other] = [
        await makeOpensslRoot(world, { genpkey }),
        await makeOpensslRoot(world, { genpkey }),
      ];
      const rootCert = ["--root-cert", join(one.folder, "root.crt")];
      const rootKey = ["--root-key", join(other.folder, "root.key")];
      await fails(world, ["init", ...rootCert, ...rootKey], {
        code: 5,
        stderr: /it is not the certificate's key/,
      });
      await fails(world, ["init", ...rootCert], { code: 2, stderr: /takes both --root-cert and/ });
      await fails(world, ["init", "--without-root-key"], { code: 2, stderr: /it would be lost/ });
      assert.equal(fs.existsSync(join(world.home, "server")), false);
    }),
);

test(
  "an outside root signs the issuing CA, and the next one",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const { folder } = await makeOpensslRoot(world, { genpkey: ["-algorithm", "ED25519"] });
      const data = join(world.home, "server");
      const sign = async (csr: string, ...more: readonly string[]) => {
        await openssl(
          folder,
          ...["x509", "-req", "-in", csr, "-CA", "root.crt", "-CAkey", "root.key", "-days", "900"],
          ...["-out", "issuing.crt", ...more],
        );
        return join(folder, "issuing.crt");
      };
      const rootCert = ["--root-cert", join(folder, "root.crt")];
      const csr = world.path("issuing.csr");
      await pki(world, "init", "--issuing-csr", csr);
      await openssl(folder, "req", "-in", csr, "-verify", "-noout");
      await fails(world, ["serve", "--port", "0"], { code: 5, stderr: /has not come back yet/ });
      const bare = await sign(csr);
      await fails(world, ["init", "--issuing-cert", bare, ...rootCert], {
        code: 3,
        stderr: /not of version 3\n[^]*hint: .*-copy_extensions copy/,
      });
      const good = await sign(csr, "-copy_extensions", "copy");
      await pki(world, "init", "--issuing-cert", good, ...rootCert);
      await world.withUsers("alice");
      // The log's key is signed by the issuing CA, which the client has pinned.
      const logKey = fs.readFileSync(join(world.home, "log.pub"), "utf8").split("\n");
      assert.equal(logKey.length, 4);
      await fails(world, ["rotate"], { code: 5, stderr: /--issuing-csr, then --issuing-cert/ });
      const next = world.path("next.csr");
      await pki(world, "rotate", "--issuing-csr", next);
      const signed = await sign(next, "-copy_extensions", "copy");
      await pki(world, "rotate", "--issuing-cert", signed);
      assert.equal(
        fingerprintOfFile(join(data, "issuing.crt")),
        fingerprintOfFile(join(folder, "issuing.crt")),
      );
      await world.ok("alice", ["request", "alice"]);
      assert.equal(configOf(world.home).issuers?.length, 2);
      // Somebody who comes later pins both, and believes what the first has signed.
      const late = elsewhere(world, "late");
      await world.ok("bob", [
        ...["csr", "--register", "--fingerprint", world.server.fingerprint],
      ], { env: late.env });
      await world.ok("bob", ["request", "alice"], { env: late.env });
      await pki(world, "log", "verify");
      await world.server.running.end();
      await pki(world, "log", "verify");
      await world.serve();
      await world.ok("alice", ["upload"]);
    }),
);

test(
  "pki serve and pki log verify take a root whose key is of a type that we do not make",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const { folder } = await makeOpensslRoot(world, {
        genpkey: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
      });
      const csr = world.path("issuing.csr");
      await pki(world, "init", "--issuing-csr", csr);
      await openssl(
        folder,
        ...["x509", "-req", "-in", csr, "-CA", "root.crt", "-CAkey", "root.key", "-days", "900"],
        ...["-out", "issuing.crt", "-copy_extensions", "copy"],
      );
      await pki(
        world,
        ...["init", "--issuing-cert", join(folder, "issuing.crt")],
        ...["--root-cert", join(folder, "root.crt")],
      );
      fs.writeFileSync(join(folder, "index.txt"), "");
      fs.writeFileSync(join(folder, "number"), "01\n");
      fs.writeFileSync(
        join(folder, "ca.cnf"),
        "[ca]\ndefault_ca = it\n[it]\ndatabase = index.txt\ncrlnumber = number\n" +
          "default_md = sha512\ndefault_crl_days = 1000\ncrl_extensions = extensions\n" +
          "[extensions]\nauthorityKeyIdentifier = keyid:always\n",
      );
      await openssl(
        folder,
        ...["ca", "-gencrl", "-config", "ca.cnf", "-cert", "root.crt", "-keyfile", "root.key"],
        ...["-out", "root.pem"],
      );
      await openssl(
        folder,
        ...["crl", "-in", "root.pem", "-outform", "DER"],
        ...["-out", join(world.home, "server", "root.crl")],
      );
      await world.withUsers("alice");
      await world.ok("alice", ["request", "alice"]);
      await pki(world, "log", "verify");
    }),
);

test("pki serve does not need the root's key", () =>
  inWorld(async (world) => {
    const first = await world.serve(["--domain", "pki.internal"]); // it makes the folder itself
    await first.running.end();
    assert.match(
      first.running.stderr,
      /the root's key is \\".*root\.key\\", and the server does not need/,
    );
    fs.renameSync(join(world.home, "server", "root.key"), world.path("root.key"));
    await world.withUsers("alice");
    const { stderr } = world.server.running;
    assert.doesNotMatch(stderr, /root/, "it says nothing of it");
    await pki(world, "log", "verify");
    await pki(world, "backup", world.path("one.backup"));
  }));

test(
  "a CA for other names certifies these, and the domain's does not",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const data = join(world.home, "server");
      for (const name of ["pki.internal", "host.pki.internal", "internal"]) {
        await fails(world, ["issuer", "add", "--dns", name], {
          code: 4,
          stderr: /it has names of the trust domain pki\.internal/,
        });
      }
      await fails(world, ["issuer", "add"], {
        code: 2,
        stderr: /it needs a DNS name or an address/,
      });
      const { stdout } = await pki(
        world,
        ...["issuer", "add", "--dns", "example.org", "--address", "10.0.0.0/8", "--json"],
        ...["--name", "Example Hosts CA"],
      );
      const { name, permitted } = JSON.parse(stdout);
      assert.deepEqual(permitted, ["example.org", "10.0.0.0/8"]);
      const ca = join(data, "issuers", `${name}.crt`);
      const { stdout: text } = await openssl(data, "x509", "-in", ca, "-noout", "-text");
      assert.match(text, /Subject: CN = Example Hosts CA/);
      assert.match(text, /Permitted:\n\s+DNS:example\.org/);
      await openssl(data, "verify", "-x509_strict", "-CAfile", "root.crt", ca);
      await pki(world, "issuer", "revoke", name, "--reason", "cessationOfOperation");
      await pki(world, "log", "verify");
      const { stdout: list } = await pki(world, "issuer", "ls");
      assert.match(list, new RegExp(`^${name}  outside   p256 .*revoked$`, "m"));
    }),
);

test("pki passphrase changes what the keys are under; the home's copy follows", () =>
  inWorld(async (world) => {
    const server = await world.serve();
    fs.writeFileSync(world.path("new"), "the new passphrase\n");
    const change = ["passphrase", "--new-passphrase-file", world.path("new")];
    await fails(world, change, { code: 5, stderr: /process \d+ is using it/ });
    await server.running.end();
    fs.writeFileSync(world.path("short"), "short\n");
    await fails(world, ["passphrase", "--new-passphrase-file", world.path("short")], {
      code: 2,
      stderr: /shorter than/,
    });
    const old = fs.readFileSync(join(world.home, "server.passphrase"), "utf8");
    const { stdout } = await pki(world, ...change);
    assert.match(stdout, /^changed the passphrase of 5 keys$/m);
    assert.equal(
      fs.readFileSync(join(world.home, "server.passphrase"), "utf8"),
      "the new passphrase\n",
    );
    await world.withUsers("alice");
    await world.server.running.end();
    fs.writeFileSync(world.path("old"), old);
    await fails(world, ["serve", "--port", "0", "--passphrase-file", world.path("old")], {
      code: 4,
      stderr: /the passphrase does not fit/,
    });
    fs.writeFileSync(world.path("own"), "of the root alone\n");
    await pki(world, "passphrase", "--root", "--new-passphrase-file", world.path("own"));
    await fails(world, ["rotate"], { code: 4, stderr: /--root-passphrase-file/ });
    await pki(world, "rotate", "--root-passphrase-file", world.path("own"));
  }));
