/**
 * What people read when something is wrong: `testdata/errors/` has command lines and the error of
 * each, to the letter. `UPDATE_GOLDEN=1` records them anew; a new command line needs only its line.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { encodeInvitation } from "../../lib/protocol/invitation.ts";
import { type Finished, inWorld, ROOT, type World } from "./harness.ts";

/** How long a command may take before it is ended; no test asserts a time below it. */
const PATIENCE_MS = 120_000;

interface Entry {
  /** As it is in the file. */
  readonly command: string;
  readonly recorded: string;
}

/** A command line begins with `$ `; what follows is its exit code and its stderr. */
function parseEntries(text: string): readonly Entry[] {
  return text.split(/^(?=\$ )/m).filter((part) => part.startsWith("$ ")).map((part) => {
    const [command = "", ...recorded] = part.trimEnd().split("\n");
    return { command: command.slice("$ ".length), recorded: recorded.join("\n") };
  });
}

/** Words of a command line: variables, then `pki`, then arguments; quoted ones may have spaces. */
function parseCommand(command: string): {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
} {
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) =>
    quoted ?? bare ?? ""
  );
  const at = words.indexOf("pki");
  const env = words.slice(0, at).map((word) => word.split("=", 2) as [string, string]);
  return { env: Object.fromEntries(env), args: words.slice(at + 1) };
}

type Names = Readonly<Record<string, string>>;

function fill(text: string, names: Names): string {
  return text.replace(/\{([a-z-]+)\}/g, (whole, name: string) => names[name] ?? whole);
}

/** What differs from run to run, by its name. */
function generalize(text: string, names: Names): string {
  const longest = Object.entries(names).sort(([, a], [, b]) => b.length - a.length);
  return longest.reduce((all, [name, value]) => all.replaceAll(value, `{${name}}`), text)
    .replace(/\b20\d\d-\d\d-\d\d(?:T[\d:.]+Z)?/g, "{time}")
    .replace(/process \d+/g, "process {pid}");
}

/** A command that does not fail, a server say, is not waited for. */
async function runBounded(world: World, args: readonly string[], env: Names): Promise<Finished> {
  const running = world.start(args, { env });
  const timer = setTimeout(() => running.kill("SIGKILL"), PATIENCE_MS);
  try {
    return await running.finished;
  } finally {
    clearTimeout(timer);
  }
}

async function compare(world: World, name: string, names: Names): Promise<void> {
  const path = join(ROOT, "testdata", "errors", `${name}.txt`);
  const found: Entry[] = [];
  const entries = parseEntries(fs.readFileSync(path, "utf8"));
  assert.ok(entries.length > 0);
  for (const { command } of entries) {
    const { env, args } = parseCommand(fill(command, names));
    const { code, stdout, stderr } = await runBounded(world, args, env);
    const errors = stderr.split("\n").filter((line) => line.startsWith("pki: error: "));
    assert.ok(code !== 0 && code !== 1 && errors.length === 1, `${command}: ${code} ${stderr}`);
    assert.match(stderr, /^pki: hint: .*[^.\n]$/m, `${command} says what to do`);
    assert.doesNotMatch(stderr, /^\s+at /m, command);
    if (args[0] !== "doctor" && args[0] !== "verify") assert.equal(stdout, "", command);
    found.push({ command, recorded: `exit ${code}\n${generalize(stderr.trimEnd(), names)}` });
  }
  const text = found.map(({ command, recorded }) => `$ ${command}\n${recorded}\n`).join("\n");
  if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(path, text);
  assert.equal(text, fs.readFileSync(path, "utf8"), "as recorded; UPDATE_GOLDEN=1 records anew");
}

function writeSecrets(world: World): void {
  const write = (name: string, text: string) =>
    fs.writeFileSync(world.path(name), text, { mode: 0o600 });
  write("empty.pass", "");
  write("short.pass", "x4!\n");
  write("common.pass", "passwordpassword\n");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  write("other.key", privateKey.export({ format: "pem", type: "pkcs8" }) as string);
}

test("errors of command lines alone are as recorded, and say what to do", () =>
  inWorld(async (world) => {
    await compare(world, "usage", { folder: world.folder, home: world.home });
  }));

test("errors that users meet are as recorded, and say what to do", () =>
  inWorld(async (world) => {
    writeSecrets(world);
    await world.withUsers("alice", "bob");
    const { port, fingerprint } = world.server;
    const address = `127.0.0.1:${port}`;
    const invite = (root: string, id?: string) =>
      encodeInvitation({
        fingerprint: root,
        token: new Uint8Array(randomBytes(16)),
        address,
        ...(id === undefined ? {} : { id }),
      });
    await compare(world, "user", {
      folder: world.folder,
      home: world.home,
      port: String(port),
      fingerprint,
      "foreign-invitation": invite("0".repeat(64)),
      "unknown-invitation": invite(fingerprint, "carol"),
      "invitation-for-bob": invite(fingerprint, "bob"),
    });
  }));

test("errors that administrators meet are as recorded, and say what to do", () =>
  inWorld(async (world) => {
    writeSecrets(world);
    await world.withUsers("alice");
    await compare(world, "administrator", { folder: world.folder, home: world.home });
  }));
