/** Command lines without a terminal: exit code, stdout and stderr, to the letter. See design, section 8. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { inWorld, needs, PASSWORDS, PKI, runProgram, until, type World } from "./harness.ts";

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
