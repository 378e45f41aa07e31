/** Roots and issuing CAs: made, brought along, rotated, distrusted; and what clients make of it. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { watch } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { logIn } from "../../lib/client/login.ts";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { isCrlSignedBy, parseCrl } from "../../lib/x509/crl.ts";
import { decryptPrivateKey, generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { vouchFor } from "../../lib/x509/succession.ts";
import { type Finished, inWorld, needs, PASSWORDS, runProgram, type World } from "./harness.ts";
import { connectHonestly } from "./raw_client.ts";

function assertOk(finished: Finished, what: string): Finished {
  assert.equal(finished.code, 0, `${what}: ${finished.stderr}`);
  return finished;
}

/** Runs `pki` and expects success. */
async function pki(world: World, ...args: readonly string[]): Promise<Finished> {
  return assertOk(await world.run(args), args.join(" "));
}

async function fails(
  world: World,
  args: readonly string[],
  { code, stderr }: { readonly code: number; readonly stderr: RegExp },
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const finished = await world.run(args, { env });
  assert.equal(finished.code, code, finished.stderr);
  assert.match(finished.stderr, stderr);
}

async function openssl(cwd: string, ...args: readonly string[]): Promise<Finished> {
  return assertOk(await runProgram("openssl", args, { cwd }), `openssl ${args.join(" ")}`);
}

function fingerprintOfFile(path: string): string {
  return fingerprintOf(parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path));
}

interface Config {
  readonly issuers?: readonly string[];
  readonly revokedIssuers?: readonly string[];
}

function configOf(home: string): Config {
  return JSON.parse(fs.readFileSync(join(home, "config.json"), "utf8"));
}

/** Another home: somebody on another machine. */
function elsewhere(world: World, name: string) {
  const home = world.path(name);
  return { home, env: { PKI_HOME: home } };
}

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

/** A root made with openssl, as somebody may have it. */
async function makeOpensslRoot(
  world: World,
  { genpkey, isEncrypted = false, keyUsage = "keyCertSign,cRLSign" }: {
    readonly genpkey: readonly string[];
    readonly isEncrypted?: boolean;
    readonly keyUsage?: string;
  },
): Promise<{ readonly folder: string; readonly args: readonly string[] }> {
  const folder = fs.mkdtempSync(world.path("root-"));
  await openssl(
    folder,
    "genpkey",
    ...genpkey,
    ...(isEncrypted ? ["-aes-256-cbc", "-pass", "pass:of the root alone"] : []),
    ...["-out", "root.key"],
  );
  fs.writeFileSync(join(folder, "root.pass"), "of the root alone\n");
  await openssl(
    folder,
    ...["req", "-x509", "-new", "-key", "root.key", "-days", "3000", "-out", "root.crt"],
    ...(isEncrypted ? ["-passin", "file:root.pass"] : []),
    ...[
      "-subj",
      "/O=Example/CN=Example Root R1",
      "-addext",
      `keyUsage=critical,${keyUsage}`,
    ],
    ...["-addext", "basicConstraints=critical,CA:TRUE,pathlen:1"],
  );
  const args = [
    ...["--root-cert", join(folder, "root.crt"), "--root-key", join(folder, "root.key")],
    ...(isEncrypted ? ["--root-passphrase-file", join(folder, "root.pass")] : []),
  ];
  return { folder, args };
}

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

/** A CA of a data folder with its key. */
async function openCa(world: World, data: string, name: "root" | "issuing") {
  const [certPem, keyPem] = ["crt", "key"].map((ending) =>
    fs.readFileSync(join(data, `${name}.${ending}`), "utf8")
  );
  const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
  return {
    certificate: parseCertificate(parsePemBlock(certPem ?? "", ["CERTIFICATE"], name)),
    key: await decryptPrivateKey(keyPem ?? "", passphrase, name),
  };
}

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
