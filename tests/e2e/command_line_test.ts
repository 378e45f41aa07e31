/** Command lines without a terminal: exit code, stdout and stderr, to the letter. See design, section 8. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { inWorld, needs, PASSWORDS, PKI, runProgram, until, type World } from "./harness.ts";

/** A command line that is refused. `{folder}`, `{home}` and `{port}` stand for the world's. */
interface RefusedRow {
  readonly does: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly code: number;
  readonly error: string;
  readonly hint?: string;
}

const LIST_HINT = "pki --help lists the commands, pki COMMAND --help their options";
const ID_HINT =
  "an id has lower-case letters and digits, with single dots or hyphens between them, at most 63";
const PASSWORD_HINT = "give it with --password-file, $PKI_PASSWORD_FILE or $PKI_PASSWORD";
const PASSWORD = ["--password-file", "{folder}/alice.pass"];
const ALICE = ["--id", "alice", ...PASSWORD];

function fill(text: string, world: World, port = 0): string {
  return text.replaceAll("{folder}", world.folder).replaceAll("{home}", world.home)
    .replaceAll("{port}", String(port));
}

async function checkRefused(world: World, row: RefusedRow, port?: number): Promise<void> {
  const { does, args, env, code, error, hint } = row;
  const filled = args.map((arg) => fill(arg, world, port));
  const found = await world.run(filled, env ? { env } : {});
  const expected = `pki: error: ${error}\n${hint === undefined ? "" : `pki: hint: ${hint}\n`}`;
  assert.deepEqual(
    { code: found.code, stdout: found.stdout, stderr: found.stderr },
    { code, stdout: "", stderr: fill(expected, world, port) },
    does,
  );
}

/** Refused before anything is asked of a server. */
const REFUSED_ALONE: readonly RefusedRow[] = [
  {
    does: "no command and no terminal",
    args: [],
    code: 2,
    error: "cannot ask what to do: there is no terminal",
    hint: "name a command; pki --help lists them",
  },
  {
    does: "an unknown command",
    args: ["frobnicate"],
    code: 2,
    error: 'there is no command "frobnicate"',
    hint: LIST_HINT,
  },
  {
    does: "a command that is almost one",
    args: ["reqest", "bob"],
    code: 2,
    error: 'there is no command "reqest": did you mean request?',
    hint: LIST_HINT,
  },
  {
    does: "an unknown option",
    args: ["request", "bob", "--outt", "x"],
    code: 2,
    error: "there is no option --outt: did you mean --out?",
    hint: LIST_HINT,
  },
  {
    does: "an unknown option before the command is not taken for one",
    args: ["--qiet", "csr"],
    code: 2,
    error: "there is no option --qiet: did you mean --quiet?",
    hint: LIST_HINT,
  },
  {
    does: "an unknown letter",
    args: ["csr", "-x"],
    code: 2,
    error: "there is no option -x",
    hint: LIST_HINT,
  },
  {
    does: "an option without its value",
    args: ["request", "bob", "--id"],
    code: 2,
    error: "--id needs a value",
    hint: LIST_HINT,
  },
  {
    does: "a leading option without its value",
    args: ["--home"],
    code: 2,
    error: "--home needs a value",
    hint: LIST_HINT,
  },
  {
    does: "an option given before and behind the command",
    args: ["--id", "alice", "csr", "--id", "bob"],
    code: 2,
    error: "--id is given more than once",
    hint: LIST_HINT,
  },
  {
    does: "a missing argument",
    args: ["request"],
    code: 2,
    error: "NAME is missing",
    hint: LIST_HINT,
  },
  {
    does: "a missing address",
    args: ["connect", "--id", "alice"],
    code: 2,
    error: "NAME|HOST:PORT is missing",
    hint: LIST_HINT,
  },
  {
    does: "an argument too many",
    args: ["request", "bob", "carol"],
    code: 2,
    error: 'cannot use "carol": one argument too many',
    hint: LIST_HINT,
  },
  {
    does: "an id with capitals",
    args: ["csr", "--id", "Alice"],
    code: 2,
    error: 'cannot use id "Alice": not a possible id',
    hint: ID_HINT,
  },
  {
    does: "an id that is a path",
    args: ["request", "../x"],
    code: 2,
    error: 'cannot use id "../x": not a possible id',
    hint: ID_HINT,
  },
  {
    does: "an id that would turn the terminal's writing",
    args: ["request", "\u202ebob"],
    code: 2,
    error: "cannot use id: not a possible id",
    hint: ID_HINT,
  },
  {
    does: "an id of 64 characters",
    args: ["request", "a".repeat(64)],
    code: 2,
    error: "cannot use id: not a possible id",
    hint: ID_HINT,
  },
  {
    does: "an id from the environment that is none",
    args: ["upload"],
    env: { PKI_ID: "a b" },
    code: 2,
    error: "cannot use id: not a possible id",
    hint: ID_HINT,
  },
  {
    does: "an --allow with an empty name",
    args: ["listen", "--id", "alice", "--allow", "bob,,carol"],
    code: 2,
    error: "cannot use id: not a possible id",
    hint: ID_HINT,
  },
  {
    does: "an --expect that is no id",
    args: ["connect", "localhost:7450", "--expect", "Bob"],
    code: 2,
    error: 'cannot use id "Bob": not a possible id',
    hint: ID_HINT,
  },
  ...["70000", "-1", "x", "1e3", " 80", "7450.0"].map((port) => ({
    does: `port ${JSON.stringify(port)}`,
    args: ["listen", `--port=${port}`],
    code: 2,
    error: `cannot use the value of --port: ${JSON.stringify(port)} is not a port: 0 to 65535`,
    hint: LIST_HINT,
  })),
  {
    does: "an option with nothing behind its equals sign",
    args: ["listen", "--port="],
    code: 2,
    error: "--port needs a value",
    hint: LIST_HINT,
  },
  {
    does: "a port of serve",
    args: ["serve", "--port", "65536"],
    code: 2,
    error: 'cannot use the value of --port: "65536" is not a port: 0 to 65535',
    hint: LIST_HINT,
  },
  {
    does: "no connections",
    args: ["serve", "--max-connections", "0"],
    code: 2,
    error: 'cannot use the value of --max-connections: "0" is not a number from 1 on',
    hint: LIST_HINT,
  },
  {
    does: "a trust domain that is none",
    args: ["serve", "--port", "0", "--domain", "Not A Domain", "--passphrase-file", PASSWORD[1]!],
    code: 2,
    error: 'cannot use trust domain "Not A Domain": not a domain name',
    hint: "a trust domain looks like pki.internal or pki.example.org, in lower case",
  },
  {
    does: "a key type that we do not make",
    args: ["csr", "--key-type", "dsa"],
    code: 2,
    error: 'cannot use the value of --key-type: "dsa" is none of p256, p384, rsa3072, ed25519',
    hint: LIST_HINT,
  },
  ...["host:99999", "host:0", "::1:7450", "host:", ":7450"].map((address) => ({
    does: `peer address ${JSON.stringify(address)}`,
    args: ["connect", address, "--id", "alice"],
    code: 2,
    error: `cannot use address ${JSON.stringify(address)}: not host:port`,
    hint: "an address looks like localhost:7450 or [::1]:7450",
  })),
  ...["a b", ""].map((target) => ({
    does: `somebody called ${JSON.stringify(target)}`,
    args: ["connect", target, "--id", "alice"],
    code: 2,
    error: `cannot call ${JSON.stringify(target)}: neither an id nor host:port`,
    hint: "say whom or where: bob, localhost:7450 or bob@localhost",
  })),
  {
    does: "a server address that is none",
    args: ["csr", "--server", "localhost:x", ...ALICE],
    code: 2,
    error: 'cannot use address "localhost:x": not host:port',
    hint: "an address looks like localhost:7443 or [::1]:7443",
  },
  {
    does: "a server address that is none, for a peer",
    args: ["listen", "--server", "localhost:x", ...ALICE],
    code: 2,
    error: 'cannot use address "localhost:x": not host:port',
    hint: "an address looks like localhost:7443 or [::1]:7443",
  },
  {
    does: "a fingerprint that is too short",
    args: ["csr", "--fingerprint", "3f7a", ...ALICE],
    code: 2,
    error: "cannot use the fingerprint: 64 hexadecimal digits are needed",
    hint: "pki serve shows it when it starts, and pki doctor on its machine",
  },
  {
    does: "nobody in particular",
    args: ["csr", ...PASSWORD],
    code: 2,
    error: "cannot tell who you are: there is no identity in the home yet",
    hint: "name yourself with --id, or join with an invitation: pki join pki1:…",
  },
  {
    does: "--cert without --key",
    args: ["upload", "--cert", "x.pem", ...ALICE],
    code: 2,
    error: "cannot publish: --cert and --key go together",
    hint: "name both files, or neither to publish the certificate in the home",
  },
  {
    does: "--key without --cert",
    args: ["upload", "--key", "x.key", ...ALICE],
    code: 2,
    error: "cannot publish: --cert and --key go together",
    hint: "name both files, or neither to publish the certificate in the home",
  },
  {
    does: "--out without --csr",
    args: ["csr", "--out", "x.pem", ...ALICE],
    code: 2,
    error: "cannot use --out: it goes with --csr",
    hint: "a certificate for a key of yours is kept in the home folder (--home)",
  },
  ...[["--rekey"], ["--key-type", "p384"]].map((options) => ({
    does: `--csr with ${options.join(" ")}`,
    args: ["csr", "--csr", "x.csr", ...options, ...ALICE],
    code: 2,
    error: "cannot make a key: with --csr it is the request's key that is certified",
    hint: "leave out --rekey and --key-type",
  })),
  {
    does: "a server that is not there",
    args: ["csr", "--server", "localhost:1", ...ALICE],
    code: 8,
    error: "cannot reach localhost:1: nobody listens there",
    hint: "start one with: pki serve, or name another with --server",
  },
  {
    does: "a server whose name is unknown",
    args: ["csr", "--server", "no-such-host.invalid", ...ALICE],
    code: 8,
    error: "cannot reach no-such-host.invalid:7443: the host name is unknown",
    hint: "start one with: pki serve, or name another with --server",
  },
  {
    does: "upload without an identity",
    args: ["upload", ...ALICE],
    code: 5,
    error: 'cannot find a certificate of "alice" in "{home}"',
    hint: "get one with: pki csr --id alice",
  },
  ...[["listen"], ["connect", "localhost:7450"]].map((command) => ({
    does: `${command[0]} without an identity`,
    args: [...command, ...ALICE],
    code: 5,
    error: 'cannot find the key of "alice" in "{home}"',
    hint: "make one and have it certified with: pki csr --id alice",
  })),
];

for (const row of REFUSED_ALONE) {
  test(`refuses ${row.does}, exit ${row.code}`, () =>
    inWorld(async (world) => await checkRefused(world, row)));
}

/** Refused in a home where alice and bob have published certificates. */
const REFUSED_WITH_SERVER: readonly RefusedRow[] = [
  {
    does: "several identities and no --id",
    args: ["request", "bob"],
    code: 2,
    error: "cannot tell who you are: the home has several identities (alice, bob)",
    hint: "name yourself with --id, or choose one for good with: pki id use NAME",
  },
  {
    does: "no password and no terminal",
    args: ["request", "bob", "--id", "alice"],
    code: 2,
    error: "cannot ask for the password: there is no terminal",
    hint: PASSWORD_HINT,
  },
  {
    does: "listen without a password",
    args: ["listen", "--id", "alice"],
    code: 2,
    error: "cannot ask for the password: there is no terminal",
    hint: PASSWORD_HINT,
  },
  {
    does: "an empty password file",
    args: ["request", "bob", "--id", "alice", "--password-file", "/dev/null"],
    code: 2,
    error: "cannot use the password: it is empty",
    hint: "see whether the right file was named; the password is its first line",
  },
  {
    does: "a password file whose first line is empty",
    args: ["request", "bob", "--id", "alice", "--password-file", "{folder}/second-line.pass"],
    code: 2,
    error: "cannot use the password: it is empty",
    hint: "see whether the right file was named; the password is its first line",
  },
  {
    does: "a password file that is not there",
    args: ["request", "bob", "--id", "alice", "--password-file", "{folder}/none"],
    code: 5,
    error: 'cannot read "{folder}/none": there is no such file',
    hint: "see whether the path is right, from the folder that this runs in",
  },
  {
    does: "a password of 1025 characters",
    args: ["request", "bob", "--id", "alice"],
    env: { PKI_PASSWORD: "x".repeat(1025) },
    code: 2,
    error: "cannot use the password: more than 1024 characters",
    hint: "see whether the right file was named; the password is its first line",
  },
  {
    does: "a short password at --register",
    args: ["csr", "--register", "--id", "dave"],
    env: { PKI_PASSWORD: "7 chars" },
    code: 2,
    error: "cannot use the password: it is shorter than 8 characters",
    hint: "a few words that nobody else would put together make a good one",
  },
  {
    does: "a wrong password",
    args: ["request", "bob", "--id", "alice", "--password-file", "{folder}/bob.pass"],
    code: 4,
    error: 'cannot open the key of "alice": the password does not fit',
    hint: "where the account has another password than the key, log in with --with-password",
  },
  {
    does: "a wrong password of the account",
    args: [
      ...["request", "bob", "--with-password", "--id", "alice"],
      ...["--password-file", "{folder}/bob.pass"],
    ],
    code: 4,
    error: "cannot log in: the id or the password is wrong",
    hint:
      "see whether both are typed right; a forgotten password is replaced with an invitation: pki invite --id NAME --reset, by whoever runs the server",
  },
  {
    does: "a wrong password of the account, with csr",
    args: ["csr", "--with-password", "--id", "alice", "--password-file", "{folder}/bob.pass"],
    code: 4,
    error: "cannot log in: the id or the password is wrong",
    hint: 'if "alice" is new here, register with: pki csr --id alice --register',
  },
  {
    does: "--yes is no registration without a terminal",
    args: ["csr", "--yes", "--id", "dave", "--password-file", "{folder}/bob.pass"],
    code: 4,
    error: "cannot log in: the id or the password is wrong",
    hint: 'if "dave" is new here, register with: pki csr --id dave --register',
  },
  {
    does: "--register of an id that somebody has",
    args: [
      ...["csr", "--register", "--with-password", "--id", "alice"],
      ...["--password-file", "{folder}/bob.pass"],
    ],
    code: 4,
    error: 'cannot log in: somebody has the id "alice", with another password',
    hint: "choose another id; if it is yours, log in without --register, with its password",
  },
  {
    does: "a wrong password for the key",
    args: ["listen", "--id", "alice", "--password-file", "{folder}/bob.pass"],
    code: 4,
    error: 'cannot open the key of "alice": the password does not fit',
    hint: "it has the password that it was last encrypted with, which may be an earlier one",
  },
  {
    does: "somebody who is not there",
    args: ["request", "carol", ...ALICE],
    code: 5,
    error: 'the server says: cannot find "carol": nobody has published a certificate under this id',
    hint: "see whether the id is right; whoever it is publishes with: pki upload",
  },
  {
    does: "a request that is not there",
    args: ["csr", "--csr", "{folder}/none.csr", ...ALICE],
    code: 5,
    error: 'cannot read "{folder}/none.csr": there is no such file',
    hint: "see whether the path is right, from the folder that this runs in",
  },
  {
    does: "a request that is garbage",
    args: ["csr", "--csr", "{folder}/alice.pass", ...ALICE],
    code: 3,
    error: 'cannot read "{folder}/alice.pass": there is no certificate request in it',
    hint: "PEM or DER of a certificate request is needed; pki inspect says what a file holds",
  },
  {
    does: "a request that is a folder",
    args: ["csr", "--csr", "{folder}", ...ALICE],
    code: 9,
    error: 'cannot read "{folder}": EISDIR: illegal operation on a directory, read',
    hint: "name a file, not a folder",
  },
  {
    does: "a garbage request of somebody new registers nobody",
    args: ["csr", "--register", "--csr", "{folder}/alice.pass", "--id", "erin", ...PASSWORD],
    code: 3,
    error: 'cannot read "{folder}/alice.pass": there is no certificate request in it',
    hint: "PEM or DER of a certificate request is needed; pki inspect says what a file holds",
  },
  {
    does: "erin, whom nobody has registered",
    args: ["upload", "--cert", "x", "--key", "y", "--id", "erin", ...PASSWORD],
    code: 4,
    error: "cannot log in: the id or the password is wrong",
    hint:
      "see whether both are typed right; a forgotten password is replaced with an invitation: pki invite --id NAME --reset, by whoever runs the server",
  },
  {
    does: "upload of somebody without a certificate",
    args: ["upload", "--id", "carol", ...PASSWORD],
    code: 5,
    error: 'cannot find a certificate of "carol" in "{home}"',
    hint: "get one with: pki csr --id carol",
  },
  {
    does: "upload of somebody else's certificate",
    args: [
      ...["upload", "--cert", "{home}/ids/bob/cert.pem", "--key", "{folder}/other.key"],
      ...ALICE,
    ],
    code: 4,
    error: 'cannot publish: the certificate is of "bob", not of "alice"',
    hint: 'publish it as "bob": --id bob',
  },
  {
    does: "the key of another certificate",
    args: [
      ...["upload", "--cert", "{home}/ids/alice/cert.pem", "--key", "{folder}/other.key"],
      ...ALICE,
    ],
    code: 5,
    error: "cannot publish: the key is not the certificate's",
    hint: "name the key of this certificate with --key",
  },
  {
    does: "another key type without --rekey",
    args: ["csr", "--key-type", "p384", ...ALICE],
    code: 5,
    error: 'cannot use p384: the key of "alice" is ECDSA P-256',
    hint: "make a new key with --rekey",
  },
  {
    does: "a peer who is not there",
    args: ["connect", "localhost:1", ...ALICE],
    code: 8,
    error: "cannot reach localhost:1: nobody listens there",
    hint: "the other side waits with: pki listen",
  },
  {
    does: "a call to the server",
    args: ["connect", "localhost:{port}", ...ALICE],
    code: 8,
    error: "cannot reach localhost:{port}: it does not speak our TLS 1.3",
    hint: "the other side waits with: pki listen",
  },
  {
    does: "a port to listen on that is taken",
    args: ["listen", "--host", "127.0.0.1", "--port", "{port}", ...ALICE],
    code: 8,
    error: "cannot listen on 127.0.0.1:{port}: something else listens there",
    hint: "choose another port with --port, or 0 for any free one",
  },
  {
    does: "another fingerprint than the pinned one",
    args: ["request", "bob", "--fingerprint", "0".repeat(64), ...ALICE],
    code: 6,
    error: `the pinned root is {fingerprint}, not ${"0".repeat(64)}`,
    hint: "a root is never replaced silently: pki trust does it on your word; " +
      "use another home folder (--home) for another server",
  },
  {
    does: "a first contact that nobody vouches for",
    args: ["csr", "--home", "{folder}/elsewhere", "--register", "--yes", ...ALICE],
    code: 6,
    error: "cannot trust the server at localhost:{port} yet: this is the first contact",
    hint: "give the root's fingerprint, which pki serve shows, with --fingerprint",
  },
  {
    does: "a passphrase that is not there",
    args: ["serve", "--port", "0", "--passphrase-file", "{folder}/none"],
    code: 5,
    error: 'cannot read "{folder}/none": there is no such file',
    hint: "see whether the path is right, from the folder that this runs in",
  },
  {
    does: "a folder that another server uses",
    args: ["serve", "--port", "0"],
    code: 5,
    error: 'cannot use "{home}/server": process {pid} is using it',
    hint: "stop that process, or give this one another --data folder",
  },
];

test("refuses what a server's user may get wrong, to the letter", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const { port, fingerprint, running } = world.server;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ format: "pem", type: "pkcs8" });
    fs.writeFileSync(world.path("other.key"), pem);
    fs.writeFileSync(world.path("second-line.pass"), `\n${PASSWORDS["alice"]}\n`, { mode: 0o600 });
    for (const row of REFUSED_WITH_SERVER) {
      const error = row.error.replace("{fingerprint}", fingerprint)
        .replace("{pid}", String(running.child.pid));
      await checkRefused(world, { ...row, error }, port);
    }
    assert.deepEqual(fs.readdirSync(join(world.home, "ids")).sort(), ["alice", "bob"]);
    assert.equal(fs.existsSync(world.path("elsewhere")), false, "nothing is pinned unasked");
  }));

test("serve without its passphrase names the options that give it", () =>
  inWorld(async (world) => {
    await world.serve();
    await world.server.running.end();
    fs.rmSync(join(world.home, "server.passphrase"));
    await checkRefused(world, {
      does: "no passphrase",
      args: ["serve", "--port", "0"],
      code: 2,
      error: "cannot open the server's keys: there is no passphrase",
      hint: "give it with --passphrase-file or $PKI_CA_PASSPHRASE",
    });
  }));

test("csr renews with the same key, and makes another with --rekey", () =>
  inWorld(async (world) => {
    await world.serve();
    const keyPath = join(world.home, "ids", "alice", "key.pem");
    const certify = async (...options: readonly string[]) => {
      await world.ok("alice", ["csr", "--register", ...options]);
      const pem = fs.readFileSync(join(world.home, "ids", "alice", "cert.pem"), "utf8");
      const { publicKey, serialNumber } = new X509Certificate(pem);
      return {
        key: fs.readFileSync(keyPath, "utf8"),
        publicKey: publicKey.export({ format: "pem", type: "spki" }),
        type: publicKey.asymmetricKeyDetails?.namedCurve ?? publicKey.asymmetricKeyType,
        serialNumber,
      };
    };
    const first = await certify();
    const renewed = await certify();
    assert.equal(renewed.key, first.key, "the key's file is untouched");
    assert.equal(renewed.publicKey, first.publicKey);
    assert.notEqual(renewed.serialNumber, first.serialNumber);
    assert.equal((await certify("--key-type", "p256")).publicKey, first.publicKey);

    const rekeyed = await certify("--rekey");
    assert.notEqual(rekeyed.publicKey, first.publicKey);
    assert.equal(rekeyed.type, first.type, "the usual kind of key");

    const refused = await world.as("alice", ["csr", "--key-type", "p384"]);
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /^pki: hint: make a new key with --rekey$/m);
    assert.equal(fs.readFileSync(keyPath, "utf8"), rekeyed.key);

    const larger = await certify("--rekey", "--key-type", "p384");
    assert.match(String(larger.type), /secp384r1|P-384/);
    assert.equal((await certify()).publicKey, larger.publicKey, "and keeps it from then on");
  }));

test("--out makes its file on success only, and whole", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const out = world.path("bob.pem");
    const before = fs.readdirSync(world.folder).sort();
    const failed = await world.as("alice", ["request", "carol", "--out", out]);
    assert.equal(failed.code, 5);
    assert.deepEqual(fs.readdirSync(world.folder).sort(), before);

    const found = await world.ok("alice", ["request", "bob", "--out", out]);
    assert.equal(found.stdout, "", "either in the file or on stdout");
    assert.match(found.stderr, /^"bob" is certified by this CA until [-\d]+; wrote \S+$/m);
    const { stdout } = await world.ok("alice", ["request", "bob"]);
    assert.equal(fs.readFileSync(out, "utf8"), stdout);

    await world.as("alice", ["request", "carol", "--out", out]);
    assert.equal(fs.readFileSync(out, "utf8"), stdout, "a failure leaves the old file alone");
    const noFolder = await world.as("alice", ["request", "bob", "--out", world.path("no/bob.pem")]);
    assert.equal(noFolder.code, 9);
    assert.match(noFolder.stderr, /^pki: error: cannot write "\S+": ENOENT/);
    assert.equal(noFolder.stdout, "");
  }));

function fieldsOf(line: string): Record<string, unknown> {
  assert.match(line, /^\{.*\}\n$/, "one line");
  return JSON.parse(line) as Record<string, unknown>;
}

const HEX_64 = /^[0-9a-f]{64}$/;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test("--json results have their fields", () =>
  inWorld(async (world) => {
    const { running, port, fingerprint } = await world.serve();
    const { invitation, ...ready } = fieldsOf(running.stdout);
    assert.deepEqual(ready, {
      ...{ event: "ready", host: "127.0.0.1", port, fingerprint, domain: "pki.internal" },
    });
    assert.match(String(invitation), /^pki1:[\w-]+$/);
    assert.match(fingerprint, HEX_64);

    const certified = fieldsOf((await world.ok("alice", ["csr", "--register", "--json"])).stdout);
    const certificate = join(world.home, "ids", "alice", "cert.pem");
    const key = join(world.home, "ids", "alice", "key.pem");
    const pem = fs.readFileSync(certificate, "utf8");
    const x509 = new X509Certificate(pem);
    const common = {
      id: "alice",
      serial: x509.serialNumber.toLowerCase(),
      fingerprint: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
    };
    const notAfter = new Date(x509.validTo).toISOString();
    assert.deepEqual(certified, { ...common, notAfter, published: true, certificate, key });
    assert.match(String(certified["notAfter"]), ISO_TIME);

    const published = await world.ok("alice", ["--json", "upload"]);
    assert.deepEqual(fieldsOf(published.stdout), common);
    const found = await world.ok("alice", ["request", "alice", "--json"]);
    assert.deepEqual(fieldsOf(found.stdout), { ...common, notAfter, contact: "new", pem });

    const listener = await world.listen("alice", ["--once"]);
    const called = await world.ok("alice", ["connect", `localhost:${listener.port}`, "--json"]);
    const { words } = JSON.parse(called.stderr.split("\n", 1)[0] ?? "") as { words: unknown };
    assert.ok(Array.isArray(words) && words.length === 5);
    const connected = {
      ...{ event: "connected", peer: "alice", fingerprint: common.fingerprint },
      ...{ notAfter, mode: "pipe", status: "stapled", words },
    };
    const spki = x509.publicKey.export({ format: "der", type: "spki" });
    const contact = {
      ...{ event: "contact", peer: "alice", contact: "new" },
      ...{ key: encodeHex(sha256(spki)), words },
    };
    const ended = { event: "ended", peer: "alice" };
    const events = (stderr: string) =>
      stderr.trimEnd().split("\n").map((line) => JSON.parse(line) as unknown);
    assert.deepEqual(events(called.stderr), [connected, contact, ended]);
    const listened = await listener.running.finished;
    assert.deepEqual(events(listened.stderr), [
      { event: "listening", host: "127.0.0.1", port: listener.port, id: "alice" },
      connected,
      contact,
      ended,
    ]);
  }));

test("--quiet leaves stderr to errors", () =>
  inWorld(async (world) => {
    const { running } = await world.serve(["--quiet"]);
    const commands = [
      ["csr", "--register", "--quiet"],
      ["upload", "--quiet"],
      ["--quiet", "request", "alice"],
      ["request", "alice", "--quiet", "--out", world.path("x.pem")],
    ];
    for (const command of commands) {
      assert.equal((await world.ok("alice", command)).stderr, "", command.join(" "));
    }
    const failed = await world.as("alice", ["request", "bob", "--quiet"]);
    assert.match(failed.stderr, /^pki: error: /);
    const listening = world.startAs("alice", [
      ...["listen", "--host", "127.0.0.1", "--port", "0", "--quiet"],
    ], { keepStdin: true });
    assert.equal((await running.end()).stderr, "");
    assert.equal((await listening.end("SIGKILL")).stderr, "");
  }));

test("global options stand before or behind the command, with a space or an equals sign", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const passwordFile = world.passwordFile("alice");
    const { stdout } = await world.ok("alice", ["request", "bob"]);
    const env = { PKI_HOME: "/nonexistent", PKI_ID: "nobody", PKI_SERVER: "localhost:1" };
    const server = `localhost:${world.server.port}`;
    const before = await world.run([
      ...["--home", world.home, "--server", server, "--id", "alice"],
      ...["--password-file", passwordFile, "--quiet", "request", "bob"],
    ], { env });
    assert.deepEqual([before.code, before.stdout, before.stderr], [0, stdout, ""]);
    const equals = await world.run([
      ...[`--home=${world.home}`, "--id=alice", "request", `--server=${server}`, "bob"],
      ...[`--password-file=${passwordFile}`, "--quiet"],
    ], { env });
    assert.deepEqual([equals.code, equals.stdout, equals.stderr], [0, stdout, ""]);
    const fromEnvironment = await world.run(["request", "bob", "--quiet"], {
      env: { PKI_ID: "alice", PKI_PASSWORD_FILE: passwordFile },
    });
    assert.deepEqual([fromEnvironment.code, fromEnvironment.stdout], [0, stdout]);
    const remembered = await world.run(["request", "bob", "--quiet"], {
      env: { PKI_ID: "alice", PKI_PASSWORD: PASSWORDS["alice"]!, PKI_SERVER: "" },
    });
    assert.deepEqual([remembered.code, remembered.stdout], [0, stdout], "the server is remembered");
  }));

test("no password is shown, whatever goes wrong with it", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const secret = "hunter2 sleeps in a teapot";
    fs.writeFileSync(world.path("secret"), `${secret}\nanother secret line\n`);
    const commands = [
      ["request", "bob", "--id", "alice"],
      ["csr", "--id", "alice"],
      ["csr", "--id", "alice", "--register"],
      ["csr", "--id", "carol", "--register"],
      ["csr", "--id", "carol", "--register", "--json"],
      ["upload", "--id", "carol"],
      ["listen", "--id", "alice", "--port", "0"],
      ["connect", "localhost:1", "--id", "bob"],
      ["csr", "--id", "carol", "--csr", world.path("secret")],
      ["upload", "--id", "carol", "--cert", world.path("secret"), "--key", world.path("secret")],
      ["serve", "--port", "0", "--passphrase-file", world.path("secret")],
    ];
    for (const command of commands) {
      for (
        const env of [{ PKI_PASSWORD: secret }, {
          PKI_PASSWORD_FILE: world.path("secret"),
          PKI_DEBUG: "1",
        }]
      ) {
        const { stdout, stderr } = await world.run(command, { env });
        assert.doesNotMatch(stdout + stderr, /hunter2|teapot|another secret/, command.join(" "));
      }
    }
    const asOption = await world.run(["csr", "--id", "alice", "--password", secret]);
    assert.equal(asOption.code, 2, "there is no such option");
    assert.doesNotMatch(asOption.stderr, /hunter2/);

    const { running } = await world.listen("alice", [], { keepStdin: true });
    const commandLine = fs.readFileSync(`/proc/${running.child.pid}/cmdline`, "utf8");
    assert.ok(!commandLine.includes(PASSWORDS["alice"]!));
    await running.end("SIGINT");
    for (const file of fs.readdirSync(world.home, { recursive: true, withFileTypes: true })) {
      if (!file.isFile() || file.name.endsWith(".tmp")) continue; // just being written
      const content = fs.readFileSync(join(file.parentPath, file.name), "latin1");
      for (const password of [secret, ...Object.values(PASSWORDS)]) {
        assert.ok(!content.includes(password), `${file.name} holds a password`);
      }
    }
  }));

/** Runs a line of shell with the world's environment; `$pki` is the program. */
async function shell(world: World, line: string) {
  return await world.run(["-c", line], {
    program: "/bin/sh",
    env: { pki: PKI, PKI_ID: "alice", PKI_PASSWORD_FILE: world.passwordFile("alice") },
  });
}

test("streams that are closed, full or slow are told by the exit code and crash nothing", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const head = await shell(world, '{ "$pki" request alice; echo "code=$?" >&2; } | head -c 10');
    assert.equal(head.stdout, "-----BEGIN");
    assert.match(head.stderr, /^code=0$/m, "all of it was in the pipe");

    for (const args of [["request", "alice"], ["csr"], ["--help"]]) {
      const running = args[0] === "--help" ? world.start(args) : world.startAs("alice", args);
      running.child.stdout?.destroy(); // the reader is gone before anything is written
      const { code, stderr } = await running.finished;
      assert.equal(code, 1, `${args[0]}: a result that nobody got is no success`);
      assert.doesNotMatch(stderr, /pki: /, "and nobody has to be told");
    }

    for (const command of ["request alice", "csr", "--help", "--version"]) {
      const full = await shell(world, `"$pki" ${command} >/dev/full`);
      assert.equal(full.code, 9, command);
      assert.match(full.stderr, /^pki: error: cannot write the result: ENOSPC/m, command);
    }
    for (const redirection of [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"]) {
      const closed = await shell(world, `"$pki" request alice ${redirection}`);
      assert.equal(closed.code, 0, redirection);
    }
    // The server may be writing something just now.
    const files = () => fs.readdirSync(world.home, { recursive: true }).map(String);
    await until(() => !files().some((name) => name.endsWith(".tmp")), "nothing is half-written");
  }));

const DAMAGED_CONFIGS: readonly (readonly [does: string, content: string, why?: string])[] = [
  ["empty", ""],
  ["not JSON", "server = localhost"],
  ["cut off", '{"server":"localh'],
  ["null", "null"],
  ["a list", "[]"],
  ["of another type", '{"server":7443}'],
  ["with an unknown key", '{"servers":["localhost"]}'],
  ["with a key twice", '{"server":"localhost:1","server":"localhost:2"}', "server stands twice"],
];

test("a damaged config.json is named, exit 3", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const path = join(world.home, "config.json");
    const good = fs.readFileSync(path, "utf8");
    for (const [does, content, why = "not as it should be"] of DAMAGED_CONFIGS) {
      const error = `pki: error: cannot read "${path}": ${why}\n` +
        "pki: hint: put a good copy in its place, or start over with another home folder (--home)\n";
      fs.writeFileSync(path, content);
      for (const args of [["request", "alice"], ["csr"], ["listen"], ["connect", "localhost:1"]]) {
        const { code, stderr, stdout } = await world.as("alice", args);
        assert.deepEqual([code, stdout, stderr], [3, "", error], `${does}, ${args[0]}`);
      }
      assert.equal(fs.readFileSync(path, "utf8"), content, "it is left for its owner to mend");
    }
    fs.writeFileSync(path, good);
    await world.ok("alice", ["request", "alice"]);
  }));

test("a file in the home folder's place is named, exit 9", () =>
  inWorld(async (world) => {
    await world.serve();
    const home = world.path("file");
    fs.writeFileSync(home, "no folder\n");
    for (
      const args of [["csr", "--register"], ["request", "bob"], ["upload"], ["listen"], [
        "connect",
        "localhost:1",
      ]]
    ) {
      const { code, stderr } = await world.as("alice", [...args, "--home", home]);
      assert.equal(code, 9, `${args[0]}: ${stderr}`);
      assert.match(stderr, /^pki: error: cannot (?:read|make folder|write) "\S+": ENOTDIR/);
    }
    const serve = await world.run(["serve", "--port", "0", "--home", home]);
    assert.equal(serve.code, 9, serve.stderr);
    assert.equal(fs.readFileSync(home, "utf8"), "no folder\n");
  }));

function mountTiny(folder: string, size: string): boolean {
  fs.mkdirSync(folder, { recursive: true });
  const args = ["-t", "tmpfs", "-o", `size=${size}`, "none", folder];
  return spawnSync("mount", args).status === 0;
}

function unmount(folder: string): void {
  spawnSync("umount", [folder]);
}

/** Whether we may mount a file system that is soon full. */
function canMount(): boolean {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-mount-"));
  const isMounted = mountTiny(folder, "4k");
  if (isMounted) unmount(folder);
  fs.rmdirSync(folder);
  return isMounted;
}

const CAN_MOUNT = canMount() ? {} : { skip: "needs the right to mount a tmpfs" };

/** How a file in the home ends that was written whole: PEM, JSON, the log's key, a checkpoint. */
const WHOLE_FILE = /-----END [^-]+-----\n$|\}\n$|^\S+\+\S+\n[\w+/=]{90,}\n$|\n\n— \S+ \S+\n$/;

test(
  "a full disk is told, exit 9, and nothing is half-written",
  CAN_MOUNT,
  () =>
    inWorld(async (world) => {
      await world.withUsers("bob");
      const trust = ["--fingerprint", world.server.fingerprint];
      for (const pages of [1, 2, 3]) {
        const home = world.path(`tiny-${pages}`);
        assert.ok(mountTiny(home, `${pages * 4}k`));
        try {
          const csr = ["csr", "--register", "--home", home, ...trust];
          const full = await world.as("alice", csr);
          assert.equal(full.code, 9, `${pages} pages: ${full.stderr}`);
          assert.match(full.stderr, /^pki: error: cannot write "\S+": ENOSPC/m);
          assert.match(full.stderr, /^pki: hint: free some space and try again$/m);
          for (const name of fs.readdirSync(home, { recursive: true }).map(String)) {
            const path = join(home, name);
            assert.doesNotMatch(name, /\.tmp$/, "nothing is left of what failed");
            if (fs.statSync(path).isFile()) {
              assert.match(fs.readFileSync(path, "utf8"), WHOLE_FILE, name);
            }
          }
          const out = join(home, "bob.pem");
          fs.writeFileSync(join(home, "ballast"), "");
          spawnSync("dd", ["if=/dev/zero", `of=${join(home, "ballast")}`, "bs=4096"]);
          const request = await world.as("bob", ["request", "bob", "--out", out]);
          assert.equal(request.code, 9, request.stderr);
          assert.equal(fs.existsSync(out), false);
          fs.rmSync(join(home, "ballast"));

          spawnSync("mount", ["-o", "remount,size=1m", home]);
          const again = await world.as("alice", csr);
          assert.equal(again.code, 0, `with room it goes on: ${again.stderr}`);
        } finally {
          unmount(home);
        }
      }
    }),
);

test("nothing prompts or reads stdin where there is no terminal", () =>
  inWorld(async (world) => {
    await world.serve();
    // The answers of somebody who thinks that it does.
    const input = Buffer.from(`${PASSWORDS["alice"]}\ny\n${PASSWORDS["alice"]}\n`);
    const { code, stderr } = await world.run(["csr", "--id", "alice"], { input });
    assert.equal(code, 2);
    assert.match(stderr, /--password-file/);
    assert.equal(fs.existsSync(join(world.home, "ids")), false);
  }));

test("SIGINT and SIGTERM end what waits, with 130; a server ends with 0", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const { running } = await world.listen("alice", [], { keepStdin: true });
      const { code, stderr } = await running.end(signal);
      assert.equal(code, 130, signal);
      assert.match(
        stderr,
        /^\{"error":\{"code":"interrupted","message":"interrupted","exitCode":130}}$/m,
      );
    }
    assert.equal((await world.server.running.end("SIGINT")).code, 0);
  }));

test("the words of a pipeline in the help work", needs("openssl"), () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { code, stdout } = await shell(
      world,
      '"$pki" request alice | openssl x509 -noout -subject -enddate',
    );
    assert.equal(code, 0);
    assert.match(stdout, /^subject=CN ?= ?alice\nnotAfter=/);
    assert.equal((await runProgram(PKI, ["--version"])).code, 0);
  }));
