/** Every `--help`, compared with what `testdata/help/` has. `UPDATE_GOLDEN=1` records it anew. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { PKI, ROOT, runProgram } from "../e2e/harness.ts";

const FOLDER = join(ROOT, "testdata", "help");
const COMMANDS = [
  "init",
  "serve",
  "csr",
  "upload",
  "request",
  "renew",
  "revoke",
  "listen",
  "connect",
  "inspect",
  "verify",
  "issue",
  "ls",
  "trust",
  "rotate",
  "issuer add",
  "issuer ls",
  "issuer revoke",
  "passphrase",
  "backup",
  "restore",
  "log verify",
  "session",
];
/** What a person's terminal has room for; options are a table and may be wider. */
const PROSE_COLUMNS_MAX = 84;

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
  for (const command of COMMANDS.slice(0, -1)) {
    assert.match(help, new RegExp(`^  ${command.split(" ", 1)} +\\S`, "m"));
  }
  assert.equal(await helpOf("-h"), help);
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
    for (const option of ["--home", "--server", "--id", "--password-file", "--json", "--quiet"]) {
      assert.ok(help.includes(`[${option}]`), `${option} is a global option`);
    }
    assert.equal(await helpOf(...words, "-h"), help);
  });
}

test("pki --version is a version", async () => {
  assert.match(await helpOf("--version"), /^\d+\.\d+\.\d+\n$/);
  assert.equal(await helpOf("-v"), await helpOf("--version"));
});
