/** Every `--help`, compared with what `testdata/help/` has, and the manual. `UPDATE_GOLDEN=1` records it anew. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { CATALOGUE } from "../../commands/catalogue.ts";
import { GLOBAL_FLAGS, kebab } from "../../commands/globals.ts";
import { MAN_PATH, manPage } from "../../man.ts";
import { PKI, ROOT, runProgram } from "../e2e/harness.ts";
import { listCommands } from "./command_paths.ts";

const FOLDER = join(ROOT, "testdata", "help");

const COMMANDS = await listCommands();
/** What a person's terminal has room for; options are a table and may be wider. */
const PROSE_COLUMNS_MAX = 84;
const LINES_MAX = 68;

async function helpOf(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(PKI, args);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  return stdout;
}

function compare(name: string, found: string): void {
  const path = join(FOLDER, `${name}.txt`);
  if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(path, found);
  assert.equal(found, fs.readFileSync(path, "utf8"), "as recorded; UPDATE_GOLDEN=1 records anew");
}

test("pki --help is as recorded and lists every command", async () => {
  const help = await helpOf("--help");
  compare("pki", help);
  for (const [name, { brief, load }] of Object.entries(CATALOGUE)) {
    assert.ok(help.includes(`\n  ${name.padEnd(10)}  ${brief}\n`), `${name} is listed`);
    assert.equal((await load()).brief, brief, `${name}: the command and the list say the same`);
  }
  const lines = help.split("\n");
  assert.ok(lines.length <= LINES_MAX, `too long for a screen: ${lines.length} lines`);
  for (const line of lines) assert.ok(line.length <= 80, `too wide for a terminal: ${line}`);
  assert.equal(await helpOf("-h"), help);
  assert.equal(await helpOf("help"), help);
  assert.equal(await helpOf("--json", "--help"), help, "an option before it changes nothing");
});

for (const command of COMMANDS) {
  test(`pki ${command} --help is as recorded and has examples`, async () => {
    const words = command.split(" ");
    const help = await helpOf(...words, "--help");
    compare(words.join("_"), help);
    const [, examples = ""] = /^Examples:\n((?: {2}.*\n)+)/m.exec(help) ?? [];
    const lines = examples.trimEnd().split("\n");
    assert.ok(lines.length >= 2 && lines.length <= 3, `2 or 3 examples, not ${lines.length}`);
    for (const line of lines) assert.match(line, /^ {2}(?:pki\b|tar c \. \| pki )/);
    const [prose = ""] = help.split("\nOPTIONS\n");
    for (const line of prose.split("\n")) {
      assert.ok(line.length <= PROSE_COLUMNS_MAX, `too wide for a terminal: ${line}`);
    }
    for (const name of Object.keys(GLOBAL_FLAGS)) {
      assert.ok(help.includes(`[--${kebab(name)}]`), `--${kebab(name)} is a global option`);
    }
    assert.equal(await helpOf("help", ...words), help);
  });
}

test("docs/pki.1 is what the commands say", async () => {
  const page = await manPage();
  if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(MAN_PATH, page);
  assert.equal(
    page,
    fs.readFileSync(MAN_PATH, "utf8"),
    "as it was made; deno task man makes it anew",
  );
});

test("pki --version says version, commit, engine and platform", async () => {
  const line = await helpOf("--version");
  assert.match(
    line,
    /^pki \d+\.\d+\.\d+, commit ([0-9a-f]{12}( \(modified\))?|unknown), bun \d+\.\d+\.\d+, \S+ \S+\n$/,
  );
  assert.equal(await helpOf("-v"), line);
  assert.equal(await helpOf("version"), line);
  const facts = JSON.parse(await helpOf("--version", "--json"));
  assert.deepEqual(JSON.parse(await helpOf("--json", "-v")), facts);
  const { version, commit, modified, engine, engineVersion, platform, arch } = facts;
  assert.equal(
    line,
    `pki ${version}, commit ${commit.slice(0, 12)}${modified ? " (modified)" : ""}, ` +
      `${engine} ${engineVersion}, ${platform} ${arch}\n`,
  );
});
