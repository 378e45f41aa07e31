/**
 * `docs/json.md` against the built program: every command has its section, each example is as its
 * table says, and so is what each command prints.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ERROR_KINDS } from "../../lib/base/errors.ts";
import { listCommands } from "../commands/command_paths.ts";
import { type Finished, inWorld, needs, ROOT, runProgram, type World } from "./harness.ts";
import { checkFits, parseShapes } from "./json_shapes.ts";

const DOCUMENT = fs.readFileSync(join(ROOT, "docs", "json.md"), "utf8");
const SHAPES = parseShapes(DOCUMENT);
/** Where what was printed is written to, for the examples of the documentation. */
const SHOW = process.env["SHOW_JSON"];

/** What is printed fits what is documented under this heading. */
function checkDocumented(heading: string, line: string): void {
  if (SHOW) fs.appendFileSync(SHOW, `${heading}\n${line}\n\n`);
  const shape = SHAPES.get(heading);
  assert.ok(shape, `docs/json.md has no heading ${JSON.stringify(heading)}`);
  checkFits(JSON.parse(line), shape.fields, heading);
}

/** The one line of a command that has done its work. */
function lineOf({ code, stdout, stderr }: Finished, wanted = 0): string {
  assert.equal(code, wanted, stderr);
  assert.match(stdout, /^\{.*\}\n$/, "one object on one line");
  return stdout;
}

/** Each line of stderr is an object of its own. */
function checkStderr(stderr: string): void {
  for (const line of stderr.split("\n").filter((text) => text !== "")) {
    const [name = ""] = Object.keys(JSON.parse(line));
    if (["note", "warning", "error"].includes(name)) checkDocumented(name, line);
  }
}

/** Where commands are told to be quiet; they are, but for errors. */
const quietWorlds = new WeakSet<World>();

async function run(world: World, args: readonly string[]): Promise<Finished> {
  const isQuiet = quietWorlds.has(world);
  const finished = await world.run([...args, "--json", ...(isQuiet ? ["--quiet"] : [])]);
  if (isQuiet && finished.code === 0) assert.equal(finished.stderr, "", args.join(" "));
  return finished;
}

async function print(world: World, heading: string, args: readonly string[], code = 0) {
  const finished = await run(world, args);
  checkDocumented(heading, lineOf(finished, code));
  checkStderr(finished.stderr);
  return JSON.parse(finished.stdout);
}

/** Of a command that prints an object a line. */
async function printLines(world: World, heading: string, args: readonly string[]) {
  const { code, stdout, stderr } = await run(world, args);
  assert.equal(code, 0, stderr);
  checkStderr(stderr);
  const lines = stdout.trimEnd().split("\n");
  for (const line of lines) checkDocumented(heading, line);
  return lines;
}

async function printAs(world: World, heading: string, args: readonly string[], id = "alice") {
  return await print(world, heading, [
    ...args,
    "--id",
    id,
    "--password-file",
    world.passwordFile(id),
  ]);
}

test("docs/json.md has each code, with its exit code", () => {
  const documented = new Map<string, number>();
  for (const [, codes = "", exitCode] of DOCUMENT.matchAll(/^\| (`[^|]+`) +\| (\d+) +\|/gm)) {
    for (const [, code = ""] of codes.matchAll(/`([^`]+)`/g)) {
      documented.set(code, Number(exitCode));
    }
  }
  const real = Object.entries(ERROR_KINDS).map(([kind, { exitCode }]) => [kind, exitCode] as const);
  assert.deepEqual(documented, new Map(real));
});

test("docs/json.md has a section for each command", async () => {
  const headings = [...SHAPES.keys()];
  for (const command of await listCommands()) {
    if (command === "session") continue; // for people only
    const words = new RegExp(`(?:^|[(] ?|, )pki ${command}(?![\\w-])`);
    assert.ok(headings.some((heading) => words.test(heading)), `pki ${command} is documented`);
  }
});

test("each example of docs/json.md is as its table says", () => {
  for (const [heading, { fields, examples }] of SHAPES) {
    assert.ok(examples.length > 0, `${heading} has an example`);
    for (const example of examples) checkFits(example, fields, heading);
  }
});

/** Events of a stream, by name: each documented as `EVENT (heading)`. */
function checkEvents(lines: string, heading: string): readonly string[] {
  return lines.split("\n").filter((line) => line.startsWith('{"event"')).map((line) => {
    const { event } = JSON.parse(line) as { readonly event: string };
    const own = `${event} (${heading})`;
    // What the private line says is the same whatever goes over it.
    checkDocumented(SHAPES.has(own) ? own : `${event} (pki listen, pki connect)`, line);
    return event;
  });
}

/** The identities of a home that has alice and bob. */
async function checkIdentities(world: World): Promise<void> {
  await printAs(world, "pki unlock", ["unlock", "--for", "5m"]);
  await print(world, "pki unlock --list", ["unlock", "--list"]);
  await print(world, "pki lock", ["lock"]);
  assert.equal((await printLines(world, "pki id, pki id ls", ["id"])).length, 2);
  await print(world, "pki id show", ["id", "show", "alice"]);
  await print(world, "pki id use", ["id", "use", "alice"]);
  const file = world.path("bob.p12");
  const p12 = ["--p12-password-file", world.passwordFile("carol")];
  await printAs(world, "pki id export", ["id", "export", "bob", "--p12", file, ...p12], "bob");
  await print(world, "pki id export", ["id", "export", "bob", "--no-key"]);
  await print(world, "pki id rm", ["id", "rm", "bob", "--yes"]);
  await printAs(world, "pki id import", ["id", "import", file, ...p12], "bob");
}

test(
  "a user's commands print what docs/json.md says",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const { running } = await world.serve();
      checkDocumented("ready (pki serve)", running.stdout);
      await printAs(world, "pki csr", ["csr", "--register"]);
      await printAs(world, "pki csr", ["csr", "--register"], "bob");
      const csr = world.path("alice.csr");
      await runProgram("openssl", [
        ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-keyout", world.path("alice.key"), "-out", csr, "-subj", "/CN=alice/O=Example"],
      ]);
      await printAs(world, "pki csr --csr FILE", ["csr", "--csr", csr]);
      await printAs(world, "pki upload", ["upload"]);
      await printAs(world, "pki request", ["request", "alice"], "bob");
      await printAs(world, "pki renew", ["renew", "--if-expiring", "1d"]);
      await printAs(world, "pki renew", ["renew"]);
      const certificate = join(world.home, "ids", "alice", "cert.pem");
      await print(world, "pki inspect", ["inspect", certificate]);
      await print(world, "pki verify", ["verify", certificate, "--user", "alice"]);
      await print(world, "pki verify", ["verify", certificate, "--user", "bob"], 6);
      await print(world, "pki doctor", ["doctor"]);
      await print(world, "pki trust", ["trust", "--fingerprint", world.server.fingerprint]);
      await print(world, "pki version", ["version"]);
      await print(world, "pki completion", ["completion", "bash"]);
      await print(world, "pki ping", ["ping"]);
      await checkIdentities(world);

      const listener = await world.listen("alice", ["--announce"], { input: "" });
      await listener.running.waitFor(/"announced"/);
      const conversation = "pki listen, pki connect";
      const caller = await world.ok("bob", ["connect", "alice", "--json"]);
      assert.deepEqual(checkEvents(caller.stderr, conversation), [
        ...["located", "connected", "contact", "ended"],
      ]);
      await world.run([
        ...["connect", `localhost:${listener.port}`, "--expect", "carol", "--id", "bob"],
        ...["--password-file", world.passwordFile("bob")],
      ]);
      await listener.running.waitFor(/turned-away/);
      const listened = await listener.running.end();
      assert.deepEqual(checkEvents(listened.stderr, conversation), [
        ...["listening", "announced", "connected", "contact", "ended", "listening", "turned-away"],
        "withdrawn",
      ]);
      checkStderr(listened.stderr);
      assert.equal(
        (await printLines(world, "pki contacts, pki contacts ls", ["contacts"])).length,
        2,
      );
      await print(world, "pki contacts show", ["contacts", "show", "bob"]);
      await print(world, "pki contacts forget", ["contacts", "forget", "bob"]);

      const receiving = world.startAs("bob", [
        ...["receive", "--host", "127.0.0.1", "--port", "0", "--json", "--once"],
        ...["--allow", "alice", "--dir", world.path("incoming")],
      ]);
      const [, port] = await receiving.waitFor(/"event":"listening".*"port":(\d+)/);
      const sent = await world.ok("alice", ["send", `127.0.0.1:${port}`, certificate, "--json"]);
      checkDocumented("pki send", lineOf(sent));
      const files = "pki send, pki receive";
      assert.deepEqual(checkEvents(sent.stderr, files), [
        "connected",
        "contact",
        "offered",
        "accepted",
      ]);
      const received = await receiving.finished;
      checkDocumented("pki receive", lineOf(received));
      assert.deepEqual(checkEvents(received.stderr, files), [
        ...["listening", "connected", "offered", "stored", "ended"],
      ]);

      const watch = world.startAs("alice", ["renew", "--watch", "--json"]);
      await watch.waitFor(/waiting/);
      await printAs(world, "pki renew", ["renew"]);
      await printAs(world, "pki revoke", ["revoke", "--yes"]);
      const watched = await watch.end();
      assert.equal(checkEvents(watched.stdout, "pki renew --watch")[0], "waiting");

      const refused = await world.run(["request", "bob", "--id", "alice", "--json"]);
      assert.equal(refused.code, 2);
      checkStderr(refused.stderr);
      checkDocumented("error", refused.stderr);
    }),
);

/** From an invitation to the end of the account. */
async function checkAccounts(world: World): Promise<void> {
  const { invitation } = await print(world, "pki invite", ["invite", "--id", "carol"]);
  const joined = await world.run([
    ...["join", "--home", world.path("carols"), invitation, "--json"],
    ...["--password-file", world.passwordFile("carol")],
  ]);
  checkDocumented("pki join", lineOf(joined));
  checkStderr(joined.stderr);
  const carols = ["--home", world.path("carols"), "--new-password-file", world.passwordFile("bob")];
  await printAs(world, "pki passwd", ["passwd", ...carols], "carol");
  const { number } = await print(world, "pki invite", ["invite", "--uses", "2"]);
  await printLines(world, "pki invite --list", ["invite", "--list"]);
  await print(world, "pki invite --withdraw NUMBER", ["invite", "--withdraw", String(number)]);
  const users = await printLines(world, "pki users, pki users ls", ["users"]);
  assert.equal(users.length, 2);
  const change = "pki users disable, pki users enable, pki users delete";
  await print(world, change, ["users", "disable", "carol"]);
  await print(world, change, ["users", "enable", "carol"]);
  await print(world, change, ["users", "delete", "carol", "--yes"]);
}

test(
  "an administrator's commands print what docs/json.md says",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      quietWorlds.add(world);
      const away = world.path("away");
      await print(world, "pki init", ["init", "--data", away]);
      fs.writeFileSync(world.path("new.pass"), "a new passphrase for the keys\n", { mode: 0o600 });
      await print(world, "pki passphrase", [
        ...["passphrase", "--data", away, "--new-passphrase-file", world.path("new.pass")],
      ]);
      await print(world, "pki init --issuing-csr FILE", [
        ...["init", "--data", world.path("pending"), "--issuing-csr", world.path("pending.csr")],
        ...["--passphrase-file", world.path("new.pass")],
      ]);
      await print(world, "pki serve --print-config", ["serve", "--print-config"]);
      const { running } = await world.serve();
      await printAs(world, "pki csr", ["csr", "--register"]);
      await checkAccounts(world);
      await print(world, "pki status", ["status"]);
      const issue = ["issue", "--profile", "server", "--dns", "www.pki.internal", "--plain-key"];
      const issued = await print(world, "pki issue", [...issue, "--out", world.path("www.pem")]);
      const rows = await printLines(world, "pki ls", ["ls"]);
      assert.ok(rows.length >= 3); // alice's, the server's own, the one that was issued
      await print(world, "pki revoke --serial HEX, --user NAME", [
        ...["revoke", "--serial", issued.serial, "--reason", "superseded", "--yes"],
      ]);
      const added = await print(world, "pki issuer add", ["issuer", "add", "--dns", "example.org"]);
      await print(world, "pki issuer ls", ["issuer", "ls"]);
      await print(world, "pki issuer revoke", ["issuer", "revoke", added.name]);
      await print(world, "pki rotate", ["rotate"]);
      await print(world, "pki rotate --issuing-csr FILE", [
        ...["rotate", "--issuing-csr", world.path("next.csr")],
      ]);
      const backup = world.path("monday.backup");
      await print(world, "pki backup", ["backup", backup]);
      await print(world, "pki log verify", ["log", "verify"]);
      await print(world, "pki bench", [
        ...["bench", "--yes", "--seconds", "1", "--warm-up", "0", "--clients", "2"],
      ]);
      await print(world, "pki restore", ["restore", backup, "--data", world.path("restored")]);
      assert.equal((await running.end()).code, 0);
      assert.ok(dirname(backup) !== world.home);
    }),
);
