/** Command lines with a slip, and what is said to them: run as the program does, with nothing behind it. */

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { runProgram } from "../../commands/program.ts";

const LIST = "pki --help lists the commands, pki COMMAND --help their options";

/** What is typed, the error, and the hint where it is another. */
const ROWS: readonly (readonly [line: string, error: string, hint?: string])[] = [
  ["frobnicate", 'there is no command "frobnicate"'],
  ["xyz", 'there is no command "xyz"'],
  ["reqest bob", 'there is no command "reqest": did you mean request?'],
  ["lsiten", 'there is no command "lsiten": did you mean listen?'],
  ["conect", 'there is no command "conect": did you mean connect?'],
  ["--quiet conect", 'there is no command "conect": did you mean connect?'],
  ["--quiet issuer --yes ad", 'there is no command "ad": did you mean add?'],
  ["issuer --nothing", "there is no option --nothing"],
  ["verfiy", 'there is no command "verfiy": did you mean verify?'],
  ["passph", 'there is no command "passph": did you mean passphrase?'],
  ["help conect", 'there is no command "conect": did you mean connect?'],
  ["CSR", 'there is no command "CSR": did you mean csr?'],
  ["constructor", 'there is no command "constructor"'],
  ["__proto__", 'there is no command "__proto__"'],
  ["\u009b31m", 'there is no command "\\u009b31m"'],
  ["issuer ad", 'there is no command "ad": did you mean add?'],
  ["issuer revok x", 'there is no command "revok": did you mean revoke?'],
  ["issuer constructor", 'there is no command "constructor"'],
  ["log verfy", 'there is no command "verfy": did you mean verify?'],
  ["pki1:AbCd", "an invitation is no command", "join with it: pki join pki1:…"],
  [
    "register",
    'there is no command "register"',
    "with an invitation: pki join pki1:…; where everybody may register: pki csr --id NAME",
  ],
  [
    "get bob",
    'there is no command "get"',
    "to get somebody's certificate: pki request NAME",
  ],
  ["ls --stat valid", "there is no option --stat: did you mean --state?"],
  ["ls --hom x", "there is no option --hom: did you mean --home?"],
  ["ls --passwordfile x", "there is no option --passwordfile: did you mean --password-file?"],
  ["ls --Json", "there is no option --Json: did you mean --json?"],
  ["--hmoe x ls", "there is no option --hmoe: did you mean --home?"],
  ["csr --once", "there is no option --once for pki csr: pki listen, pki receive have one"],
  ["--once", "there is no option --once for pki: pki listen, pki receive have one"],
  ["csr --once=yes", "there is no option --once for pki csr: pki listen, pki receive have one"],
  [
    "issuer ls --dns a.example",
    "there is no option --dns for pki issuer ls: pki issue, pki issuer add have one",
  ],
  ["csr --nothing-like-it", "there is no option --nothing-like-it"],
  ["csr --constructor", "there is no option --constructor"],
  ["csr --to-string=x", "there is no option --to-string"],
  ["csr --no-to-string", "there is no option --no-to-string"],
  ["csr --__proto__", "there is no option --__proto__"],
  ["completion tcsh", 'there is no completion for "tcsh"', "there is one for bash, zsh, fish"],
];

async function run(words: readonly string[], color?: string): Promise<readonly [number, string]> {
  let said = "";
  const stream = () => {
    const through = new PassThrough();
    through.on("data", (chunk) => said += chunk);
    return through;
  };
  const context: PkiContext = {
    process: { stdin: stream(), stdout: stream(), stderr: stream(), env: {} },
    homeFolder: "/nowhere",
    terminal: undefined,
    signal: new AbortController().signal,
    now: () => 0,
  };
  const code = await runProgram(
    color === undefined ? words : [...words, `--color=${color}`],
    context,
  );
  await new Promise((resolve) => setImmediate(resolve));
  return [code, said];
}

for (const [line, error, hint = LIST] of ROWS) {
  test(`pki ${JSON.stringify(line)} is answered with what may have been meant`, async () => {
    const words = line.split(" ");
    const plain = `pki: error: ${error}\npki: hint: ${hint}\n`;
    assert.deepEqual(await run(words), [2, plain]);
    const painted = plain.replace("pki: error:", "\x1b[1;31m$&\x1b[0m")
      .replace("pki: hint:", "\x1b[36m$&\x1b[0m");
    assert.deepEqual(await run(words, "always"), [2, painted]);
    const [code, json] = await run(["--json", ...words]);
    assert.equal(code, 2);
    assert.deepEqual(JSON.parse(json).error.message, error);
  });
}
