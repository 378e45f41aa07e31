/**
 * Several identities in one home, and their files in other people's hands: OpenSSL, Java, NSS and
 * GnuTLS open what `pki id export` writes, and `pki id import` takes what these write.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Finished, hasProgram, needs, PASSWORDS, runProgram, World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";

const FILE_PASSWORD = "seven grey kettles sing";
/** Of every script, and beyond the basic plane. */
const UNICODE_PASSWORD = "сім grün kettles 🔑 €";

interface Row {
  readonly id: string;
  readonly current: boolean;
  readonly state: string;
  readonly unlockedUntil: string | null;
  readonly keyType: string | null;
  readonly fingerprint: string | null;
  readonly notAfter: string | null;
}

function rowsOf({ stdout }: Finished): readonly Row[] {
  return stdout.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

async function list(world: World, ...args: readonly string[]): Promise<readonly Row[]> {
  return rowsOf(await good(world.run(["id", "--json", ...args])));
}

async function good(finished: Promise<Finished>): Promise<Finished> {
  const done = await finished;
  assert.equal(done.code, 0, done.stderr);
  return done;
}

function writeSecret(world: World, name: string, text: string): string {
  const path = world.path(name);
  fs.writeFileSync(path, `${text}\n`, { mode: 0o600 });
  return path;
}

/** Another program, in the world's folder, with UTF-8 arguments. */
async function tool(world: World, command: string, ...args: readonly string[]): Promise<Finished> {
  const env = { LC_ALL: "C.UTF-8", HOME: world.folder };
  return await runProgram(command, args, { cwd: world.folder, env });
}

const toolWorks = (world: World, command: string, ...args: readonly string[]) =>
  good(tool(world, command, ...args));

/** Alice with the usual key, carol with Ed25519, in one home. */
async function withTwo(world: World): Promise<void> {
  await world.serve();
  for (const [id, ...options] of [["alice"], ["carol", "--key-type", "ed25519"]]) {
    await world.ok(id ?? "", ["csr", "--register", ...options]);
  }
}

/** A world that the tests of this file share; what they change in its home they put back. */
const world = new World();
const filePassword = writeSecret(world, "file.pass", FILE_PASSWORD);

test("identities, from a list to other programs and back", { ...needs("openssl") }, async (t) => {
  try {
    await withTwo(world);
    await t.test("pki id lists them, for people and for programs", listed);
    await t.test("pki id use says who commands act as", used);
    await t.test("pki id show tells about one, and where its files are", shown);
    await t.test("pki id says which key is unlocked", shownUnlocked);
    await t.test("pki id export writes PKCS #12 for others, once", exported);
    await t.test("pki id export asks at a terminal", needs("tmux"), askedFor);
    await t.test("pki id export writes PEM, with and without the key", exportedPem);
    await t.test("other programs open the file", openedByOthers);
    await t.test("pki id import takes it into another home", imported);
    await t.test("pki id import takes what other programs write", importedFromOthers);
    await t.test("old ciphers are refused with a way out that works", oldRefused);
    for (const row of REFUSED) await t.test(`refuses ${row.does}`, () => checkRefused(row));
    await t.test("pki id rm removes one, and asks first", removed);
  } finally {
    await world.close();
  }
});

async function listed(): Promise<void> {
  const [alice, carol, ...others] = await list(world);
  assert.deepEqual(others, []);
  assert.deepEqual([alice?.id, alice?.keyType, alice?.state], ["alice", "p256", "valid"]);
  assert.deepEqual([carol?.id, carol?.keyType, carol?.state], ["carol", "ed25519", "valid"]);
  assert.deepEqual([alice?.current, carol?.current], [false, false]);
  const { output } = await openssl(
    "x509",
    "-noout",
    "-fingerprint",
    "-sha256",
    "-in",
    certificate(),
  );
  assert.equal(output.trim().split("=")[1]?.replaceAll(":", "").toLowerCase(), alice?.fingerprint);
  const { stdout, stderr } = await good(world.run(["id"]));
  const day = alice?.notAfter?.slice(0, 10);
  assert.equal(
    stdout,
    `   WHO           STATE           UNTIL       KEY      FINGERPRINT\n` +
      `   alice         valid           ${day}  p256     ${alice?.fingerprint}\n` +
      `   carol         valid           ${day}  ed25519  ${carol?.fingerprint}\n`,
  );
  assert.equal(stderr, "none is in use; choose one with: pki id use NAME\n");
  const empty = await good(world.run(["id", "--home", world.path("nobody")]));
  assert.equal(empty.stdout, "");
  assert.match(empty.stderr, /^there is no identity here yet; make one with: pki csr --id NAME$/m);
}

const certificate = () => join(world.home, "ids", "alice", "cert.pem");

async function openssl(...args: readonly string[]): Promise<{ readonly output: string }> {
  const { stdout, stderr } = await toolWorks(world, "openssl", ...args);
  return { output: stdout + stderr };
}

async function used(): Promise<void> {
  const asCarol = ["--password-file", world.passwordFile("carol")];
  const unclear = await world.run(["request", "alice", ...asCarol]);
  assert.equal(unclear.code, 2);
  assert.match(
    unclear.stderr,
    /hint: name yourself with --id, or choose one for good with: pki id use NAME/,
  );
  const { stdout } = await good(world.run(["id", "use", "carol"]));
  assert.equal(stdout, '"carol" is in use\n');
  assert.deepEqual((await list(world)).map(({ current }) => current), [false, true]);
  await good(world.run(["request", "alice", ...asCarol]));
  // Named ones go first: the environment, then the option.
  const env = { PKI_ID: "alice" };
  assert.match((await good(world.run(["id", "show"], { env }))).stdout, /^alice \(in use\)$/m);
  const both = await good(world.run(["id", "show", "--id", "carol"], { env }));
  assert.match(both.stdout, /^carol \(in use\)$/m);
  const hidden = await good(world.run(["id", "use", "carol"], { env }));
  assert.match(hidden.stderr, /^\$PKI_ID is set, and goes first: alice$/m);
}

async function shown(): Promise<void> {
  const facts = JSON.parse((await good(world.run(["id", "show", "alice", "--json"]))).stdout);
  assert.deepEqual(facts.names, ["spiffe://pki.internal/user/alice", "alice.user.pki.internal"]);
  assert.deepEqual([facts.id, facts.state, facts.current], ["alice", "valid", false]);
  assert.equal(facts.certificate, certificate());
  assert.ok(fs.existsSync(facts.key));
  const { stdout } = await good(world.run(["id", "show"]));
  assert.match(stdout, /^carol \(in use\)\n {2}state {8}valid\n/);
}

function exportArgs(id: string, file: string, ...more: readonly string[]): readonly string[] {
  return exportUnder(filePassword, id, file, ...more);
}

/** @param password file of the new file's password */
function exportUnder(
  password: string,
  id: string,
  file: string,
  ...more: readonly string[]
): readonly string[] {
  const passwords = ["--password-file", world.passwordFile(id), "--p12-password-file", password];
  return ["id", "export", id, "--p12", world.path(file), ...passwords, ...more];
}

async function shownUnlocked(): Promise<void> {
  await world.ok("alice", ["unlock", "--for", "1h"]);
  const [alice, carol] = await list(world);
  assert.match(alice?.unlockedUntil ?? "", /^20\d\d-/);
  assert.equal(carol?.unlockedUntil, null);
  const { stdout } = await good(world.run(["id"]));
  assert.match(
    stdout,
    /^ {3}WHO .* KEY {6}UNLOCKED {3}FINGERPRINT\n {3}alice .* p256 {5}\S+ .*\n\* {2}carol /,
  );
  assert.match(
    (await good(world.run(["id", "show", "alice"]))).stdout,
    /^ {2}unlocked {5}until 20/m,
  );
  // The key leaves the home by its password alone.
  const without = ["id", "export", "alice", "--p12", world.path("x.p12")];
  const refused = await world.run([...without, "--p12-password-file", filePassword]);
  assert.match(refused.stderr, /cannot ask for the password: there is no terminal/);
  await good(world.run(["lock"]));
  assert.equal((await list(world))[0]?.unlockedUntil, null);
}

async function exported(): Promise<void> {
  const { stdout } = await good(world.run(exportArgs("alice", "alice.p12", "--json")));
  const facts = JSON.parse(stdout);
  assert.deepEqual([facts.event, facts.id, facts.file], [
    "exported",
    "alice",
    world.path("alice.p12"),
  ]);
  assert.equal(fs.statSync(world.path("alice.p12")).mode & 0o777, 0o600);
  const before = fs.readFileSync(world.path("alice.p12"));
  const again = await world.run(exportArgs("alice", "alice.p12"));
  assert.equal(again.code, 5);
  assert.match(
    again.stderr,
    /cannot write ".*alice\.p12": there is such a file already\n.*--force/,
  );
  assert.deepEqual(fs.readFileSync(world.path("alice.p12")), before);
  await good(world.run(exportArgs("alice", "alice.p12", "--force")));
  assert.notDeepEqual(fs.readFileSync(world.path("alice.p12")), before);
  const carol = await good(world.run(exportArgs("carol", "carol.p12")));
  assert.match(carol.stderr, /NSS take no Ed25519 keys/);
}

async function askedFor(): Promise<void> {
  const path = world.path("asked.p12");
  const args = ["id", "export", "alice", "--p12", path];
  await inTerminal(world, args, async (terminal) => {
    await terminal.waitFor(/Password of alice/);
    await terminal.enter(PASSWORDS["alice"] ?? "");
    await terminal.waitFor(/New password, for the file/);
    await terminal.enter(FILE_PASSWORD);
    await terminal.waitFor(/The same password again/);
    await terminal.enter(`${FILE_PASSWORD}.`);
    await terminal.waitFor(/cannot export: the two passwords are different/);
    assert.equal(await terminal.exitCode(), 2);
  });
  assert.equal(fs.existsSync(path), false);
}

async function exportedPem(): Promise<void> {
  const alone = await good(world.run(["id", "export", "alice", "--no-key"]));
  assert.equal(alone.stdout, fs.readFileSync(certificate(), "utf8"));
  const file = world.path("alice-key.pem");
  await good(world.run(["id", "export", "alice", "--pem", file]));
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const { output } = await openssl(
    "pkey",
    "-in",
    file,
    "-noout",
    "-text",
    "-passin",
    `pass:${PASSWORDS["alice"]}`,
  );
  assert.match(output, /NIST CURVE: P-256/);
}

const pass = (password: string) => `pass:${password}`;

/** The built program does all of its rounds; every kind of key and password is tried in `tests/referees`. */
async function openedByOthers(): Promise<void> {
  const read = ["pkcs12", "-in", "alice.p12", "-info", "-noout", "-passin", pass(FILE_PASSWORD)];
  const { output } = await openssl(...read);
  assert.match(output, /^MAC: sha256, Iteration 600000$/m);
  const pbes2 = /PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256$/gm;
  assert.equal([...output.matchAll(pbes2)].length, 2);
  assert.equal([...output.matchAll(/^Certificate bag$/gm)].length, 3);
  if (hasProgram("pk12util")) {
    await makeNssFolder("nss");
    await toolWorks(world, "pk12util", "-i", "alice.p12", "-d", "sql:nss", "-W", FILE_PASSWORD);
    const { stdout } = await toolWorks(world, "certutil", "-K", "-d", "sql:nss");
    assert.match(stdout, / alice$/m);
  }
  const unicode = writeSecret(world, "unicode.pass", UNICODE_PASSWORD);
  const { stderr } = await good(world.run(exportUnder(unicode, "alice", "unicode.p12")));
  assert.match(stderr, /^Java opens no file whose password is not ASCII/m);
  await openssl("pkcs12", "-in", "unicode.p12", "-noout", "-passin", pass(UNICODE_PASSWORD));
}

async function makeNssFolder(name: string): Promise<void> {
  fs.mkdirSync(world.path(name), { recursive: true });
  await toolWorks(world, "certutil", "-N", "-d", `sql:${name}`, "--empty-password");
}

/** Imports with the file's password into another home. */
function importInto(home: string, file: string, ...more: readonly string[]): Promise<Finished> {
  const passwords = ["--p12-password-file", filePassword];
  const own = more.includes("--password-file")
    ? []
    : ["--password-file", world.passwordFile("alice")];
  return world.run([
    ...["id", "import", file.startsWith("/") ? file : world.path(file), "--home", world.path(home)],
    ...[...passwords, ...own, ...more],
  ]);
}

async function imported(): Promise<void> {
  const untrusted = await importInto("away", "alice.p12");
  assert.equal(untrusted.code, 6);
  assert.match(
    untrusted.stderr,
    /cannot trust the root in the file: none is pinned yet\n.*--fingerprint/,
  );
  const other = await importInto("away", "alice.p12", "--fingerprint", "0".repeat(64));
  assert.equal(other.code, 6);
  assert.equal(fs.existsSync(world.path("away")), false, "something was kept of what was refused");

  const { fingerprint } = world.server;
  const { stdout } = await good(
    importInto("away", "alice.p12", "--fingerprint", fingerprint, "--json"),
  );
  const facts = JSON.parse(stdout);
  assert.deepEqual([facts.event, facts.id], ["imported", "alice"]);
  assert.deepEqual(await list(world, "--home", world.path("away")), [
    { ...(await list(world))[0], current: true },
  ]);
  // It is as if it had been made here: the server takes key and certificate.
  const away = ["--home", world.path("away")];
  await world.ok("alice", ["request", "carol", ...away]);
  await world.ok("alice", ["renew", ...away]);
  // The certificate is another one now, and is not replaced without a word.
  const renewed = await list(world, ...away);
  const there = await importInto("away", "alice.p12");
  assert.equal(there.code, 5);
  assert.match(there.stderr, /cannot import "alice": there is one in the home already\n.*--yes/);
  assert.deepEqual(await list(world, ...away), renewed);
  await good(importInto("away", "alice.p12", "--yes"));
  assert.equal((await list(world, ...away))[0]?.fingerprint, (await list(world))[0]?.fingerprint);
}

/** Files by others, from the PEM of what we have exported. */
async function importedFromOthers(): Promise<void> {
  const word = pass(FILE_PASSWORD);
  await openssl("pkcs12", "-in", "alice.p12", "-out", "plain.pem", "-noenc", "-passin", word);
  await openssl(
    "pkcs12",
    "-in",
    "alice.p12",
    "-out",
    "locked.pem",
    "-passin",
    word,
    "-passout",
    word,
  );
  await openssl("pkey", "-in", "plain.pem", "-out", "alone.key");
  await openssl("pkcs12", "-export", "-in", "plain.pem", "-out", "openssl.p12", "-passout", word);
  const files = ["openssl.p12", "plain.pem", "locked.pem"];
  if (hasProgram("keytool")) {
    await toolWorks(world, "keytool", "-importkeystore", "-noprompt", ...[
      ...["-srckeystore", "alice.p12", "-srcstorepass", FILE_PASSWORD],
      ...["-destkeystore", "java.p12", "-deststorepass", FILE_PASSWORD],
    ]);
    files.push("java.p12");
  }
  if (hasProgram("pk12util")) {
    const from = ["-d", "sql:nss", "-n", "alice"];
    await toolWorks(world, "pk12util", "-o", "nss.p12", ...from, "-W", FILE_PASSWORD);
    files.push("nss.p12");
  }
  if (hasProgram("certtool")) {
    await toolWorks(world, "certtool", "--to-p12", "--outder", "--outfile", "gnutls.p12", ...[
      ...["--load-privkey", "alone.key", "--load-certificate", "plain.pem"],
      ...["--p12-name", "alice", "--password", FILE_PASSWORD],
    ]);
    files.push("gnutls.p12");
  }
  const [alice] = await list(world);
  for (const file of files) {
    const home = `from-${file}`;
    fs.mkdirSync(world.path(home), { mode: 0o700 });
    for (const name of ["root.crt", "config.json"]) {
      fs.copyFileSync(join(world.home, name), join(world.path(home), name));
    }
    const { stderr } = await importInto(home, file);
    assert.equal(stderr, "", file);
    const [found] = await list(world, "--home", world.path(home));
    assert.deepEqual(found, { ...alice, current: false }, file); // it is carol who is in use here
  }
  const separate = await importInto(
    "from-openssl.p12",
    "plain.pem",
    "--yes",
    "--key",
    world.path("alone.key"),
  );
  assert.equal(separate.code, 0, separate.stderr);
}

async function oldRefused(): Promise<void> {
  const word = pass(FILE_PASSWORD);
  const old = ["-in", "plain.pem", "-out", "OLD.p12", "-passout", word];
  const made = await tool(world, "openssl", "pkcs12", "-export", "-legacy", ...old);
  if (made.code !== 0) return; // this OpenSSL has given them up altogether
  const refused = await importInto("away", "OLD.p12", "--yes");
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /its encryption \(RC2 of 40 bits\) is not supported/);
  const [, hint = ""] =
    /hint: convert it with: (openssl .*); and import NEW\.pem/.exec(refused.stderr) ?? [];
  const [command = "", ...args] = hint.split(" ");
  await toolWorks(world, command, ...args, "-passin", word, "-passout", word);
  await good(importInto("away", "NEW.pem", "--yes"));
}

interface RefusedRow {
  readonly does: string;
  readonly args: () => readonly string[];
  readonly code: number;
  readonly error: RegExp;
  readonly hint?: RegExp;
}

const REFUSED: readonly RefusedRow[] = [
  {
    does: "a mistyped command",
    args: () => ["id", "us"],
    code: 2,
    error: /there is no command "us": did you mean use\?/,
  },
  {
    does: "using who is not here",
    args: () => ["id", "use", "bob"],
    code: 5,
    error: /cannot find the key of "bob" in ".*"/,
    hint: /pki csr --id bob/,
  },
  {
    does: "an impossible name",
    args: () => ["id", "use", "../alice"],
    code: 2,
    error: /cannot use id "\.\.\/alice": not a possible id/,
  },
  {
    does: "two names",
    args: () => ["id", "show", "alice", "--id", "carol"],
    code: 2,
    error: /cannot tell who is meant: "alice" or "carol"/,
  },
  {
    does: "an export of nothing",
    args: () => ["id", "export", "alice"],
    code: 2,
    error: /cannot export: say what to write, one of three/,
    hint: /--p12 FILE .*, --pem FILE, or --no-key/,
  },
  {
    does: "an export of two things",
    args: () => ["id", "export", "alice", "--no-key", "--pem", world.path("x.pem")],
    code: 2,
    error: /cannot export: say what to write, one of three/,
  },
  {
    does: "an export without the file's password",
    args: () => [
      "id",
      "export",
      "alice",
      "--p12",
      world.path("x.p12"),
      "--password-file",
      world.passwordFile("alice"),
    ],
    code: 2,
    error: /cannot ask for the file's password: there is no terminal/,
    hint: /--p12-password-file/,
  },
  {
    does: "an export with an easy password",
    args: () => exportUnder(writeSecret(world, "easy.pass", "password1"), "alice", "x.p12"),
    code: 2,
    error: /cannot use the password: it is easy to guess/,
  },
  {
    does: "an export with another's password",
    args: () =>
      exportArgs("alice", "x.p12").map((word) =>
        word === world.passwordFile("alice") ? world.passwordFile("bob") : word
      ),
    code: 4,
    error: /cannot open the key of "alice": the password does not fit/,
  },
  {
    does: "an export into a folder that is not there",
    args: () => exportArgs("alice", "nowhere/x.p12"),
    code: 9,
    error: /cannot write ".*nowhere\/x\.p12"/,
  },
  {
    does: "an import of a file that is not there",
    args: () => ["id", "import", world.path("nothing.p12")],
    code: 5,
    error: /cannot read ".*nothing\.p12": there is no such file/,
  },
  {
    does: "an import with a wrong password",
    args: () => [
      "id",
      "import",
      world.path("alice.p12"),
      "--p12-password-file",
      world.passwordFile("bob"),
    ],
    code: 4,
    error: /cannot open ".*alice\.p12": the password does not fit/,
  },
  {
    does: "an import without the file's password",
    args: () => ["id", "import", world.path("alice.p12")],
    code: 2,
    error: /cannot ask for the file's password: there is no terminal/,
    hint: /--p12-password-file/,
  },
  {
    does: "an import of certificates alone",
    args: () => ["id", "import", certificate()],
    code: 3,
    error: /cannot use ".*cert\.pem": there is no private key in it/,
  },
  {
    does: "an import as somebody else",
    args: () => [
      "id",
      "import",
      world.path("alice.p12"),
      "--p12-password-file",
      filePassword,
      "--id",
      "bob",
    ],
    code: 6,
    error: /the certificate in ".*alice\.p12" is of "alice", not of "bob"/,
  },
  {
    does: "an import under another root than the pinned one",
    args: () => [
      "id",
      "import",
      world.path("alice.p12"),
      "--p12-password-file",
      filePassword,
      "--fingerprint",
      "0".repeat(64),
    ],
    code: 6,
    error: /the pinned root is [0-9a-f]{64}, not 0{64}/,
  },
  {
    does: "a removal without a word",
    args: () => ["id", "rm", "alice"],
    code: 2,
    error: /cannot ask whether to remove "alice": there is no terminal/,
    hint: /--yes/,
  },
  {
    does: "a removal of who is not here",
    args: () => ["id", "rm", "bob", "--yes"],
    code: 5,
    error: /cannot find "bob" in ".*"/,
  },
];

/** What is in the home, but for the server: a refusal changes nothing of it. */
function readHome(): Readonly<Record<string, string>> {
  const names = fs.readdirSync(world.home, { recursive: true }) as string[];
  const files = names.filter((name) => !name.startsWith("server"))
    .filter((name) => fs.statSync(join(world.home, name)).isFile()).sort();
  return Object.fromEntries(
    files.map((name) => [name, fs.readFileSync(join(world.home, name), "utf8")]),
  );
}

async function checkRefused({ args, code, error, hint }: RefusedRow): Promise<void> {
  const before = readHome();
  const finished = await world.run(args());
  assert.match(finished.stderr, new RegExp(`^pki: error: ${error.source}`, "m"));
  if (hint) assert.match(finished.stderr, new RegExp(`^pki: hint: .*${hint.source}`, "m"));
  assert.equal(finished.code, code);
  assert.equal(finished.stdout, "");
  assert.deepEqual(readHome(), before);
  for (const name of ["x.p12", "x.pem"]) assert.equal(fs.existsSync(world.path(name)), false);
}

async function removed(): Promise<void> {
  const { stdout, stderr } = await good(world.run(["id", "rm", "carol", "--yes"]));
  assert.equal(stdout, 'removed "carol"\n');
  assert.match(stderr, /^the certificate [0-9a-f]+ is still good: .* pki revoke --id carol/m);
  assert.deepEqual(fs.readdirSync(join(world.home, "ids")), ["alice"]);
  // Carol was in use; now there is only alice.
  assert.deepEqual((await list(world)).map(({ id, current }) => [id, current]), [["alice", true]]);
  if (!hasProgram("tmux")) return;
  await inTerminal(world, ["id", "rm", "alice"], async (terminal) => {
    await terminal.waitFor(/Remove key and certificate of "alice"\?/);
    await terminal.press("Enter"); // no, unless one says yes
    assert.notEqual(await terminal.exitCode(), 0);
  });
  assert.deepEqual((await list(world)).map(({ id }) => id), ["alice"]);
}
