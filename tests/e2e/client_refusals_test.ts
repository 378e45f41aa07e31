/** Command lines that are refused to the users of a server, and to who starts one anew. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, PASSWORDS } from "./harness.ts";
import {
  ALICE,
  checkRefused,
  PASSWORD,
  PASSWORD_HINT,
  type RefusedRow,
} from "./refused_command.ts";

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
