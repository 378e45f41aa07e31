import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { completeLine } from "../../commands/session_completion.ts";
import type { Home } from "../../lib/client/home.ts";
import { inHome, putKey } from "../client/temporary_home.ts";

const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() });

const CONTEXT: PkiContext = {
  process: { stdin: Readable.from([]), stdout: nowhere(), stderr: nowhere(), env: {} },
  homeFolder: "/nonexistent",
  terminal: undefined,
  signal: new AbortController().signal,
  now: () => 0,
};

/** A home of alice and al, who have talked to bob. */
async function withHome(work: (home: Home) => Promise<void>): Promise<void> {
  await inHome(async (home) => {
    for (const id of ["alice", "al"]) putKey(home, id, "");
    home.changeConfig((config) => ({
      ...config,
      server: "ca.example.org:7443",
      peers: { "localhost:7450": "bob" },
    }));
    await work(home);
  });
}

async function complete(home: Home, line: string): Promise<readonly string[]> {
  const { candidates, typed } = await completeLine(line, { home, context: CONTEXT });
  assert.ok(line.endsWith(typed), `what is replaced stands at the end of ${line}`);
  return candidates.map((candidate) => line.slice(0, line.length - typed.length) + candidate);
}

/** A line, and the lines that Tab may make of it. */
const LINES: ReadonlyArray<readonly [string, readonly string[]]> = [
  ["upl", ["upload "]],
  ["certu", ["certup "]],
  ["CERT", ["CERTUP ", "CERTREQ "]],
  ["Renew", ["RENEW "]],
  ["serv", []], // nothing that is refused anyway
  ["sess", []],
  ["wh", ["who "]],
  ["QU", ["QUIT "]],
  ["frob", []],
  ["help upl", ["help upload "]],
  ["? cer", ["? certup ", "? certreq "]],
  ["help qui", []],
  ["as ", ["as al ", "as alice "]],
  ["as ali", ["as alice "]],
  ["quit ", []],
  ["request ", ["request al ", "request alice ", "request bob "]],
  ["CERTREQ b", ["CERTREQ bob "]],
  ["pki request b", ["pki request bob "]],
  ["request bob --ou", ["request bob --out "]],
  ["request --id al", ["request --id al ", "request --id alice "]],
  ["request --id=ali", ["request --id=alice "]],
  ["connect l", ["connect localhost:7450 "]],
  ["connect --expect b", ["connect --expect bob "]],
  ["listen --allow alice,b", ["listen --allow alice,bob "]],
  ["csr --server c", ["csr --server ca.example.org:7443 "]],
  ["csr --key-type p", ["csr --key-type p256 ", "csr --key-type p384 "]],
  ["csr --key-type=p3", ["csr --key-type=p384 "]],
  ["issuer ", ["issuer add ", "issuer ls ", "issuer revoke "]],
  ["id us", ["id use "]],
  ["id use al", ["id use al ", "id use alice "]],
  ["issuer r", ["issuer revoke "]],
  ["frobnicate --i", []],
  ["csr; upl", []],
];

test("completeLine() proposes operations, options, values and names", () =>
  withHome(async (home) => {
    for (const [line, lines] of LINES) assert.deepEqual(await complete(home, line), lines, line);
    const everything = await complete(home, "");
    for (const word of ["csr ", "request ", "help ", "quit "]) {
      assert.ok(everything.includes(word), word);
    }
    assert.ok(!everything.includes("certup "), "old names to those who begin one");
    assert.ok((await complete(home, "csr --")).includes("csr --register "));
  }));

test("completeLine() proposes files and folders, quoted as they have to be typed", () =>
  withHome(async (home) => {
    const folder = join(home.folder, "files");
    fs.mkdirSync(join(folder, "sub"), { recursive: true });
    const names = ["a b.pem", "a'c.pem", ".hidden", "a\x1b]0;title\x07.pem", "a\nb.pem"];
    for (const name of names) fs.writeFileSync(join(folder, name), "");
    fs.symlinkSync("sub", join(folder, "link"));
    fs.symlinkSync("nowhere", join(folder, "lost"));
    assert.deepEqual(await complete(home, `inspect ${folder}/`), [
      `inspect ${folder}/a\\ b.pem `,
      `inspect ${folder}/a\\'c.pem `,
      `inspect ${folder}/link/`,
      `inspect ${folder}/lost `,
      `inspect ${folder}/sub/`,
    ]);
    const found = [`csr --csr ${folder}/a\\ b.pem `];
    assert.deepEqual(await complete(home, `csr --csr ${folder}/a\\ `), found);
    assert.deepEqual(await complete(home, `csr --csr '${folder}/a b`), found);
    assert.deepEqual(await complete(home, `csr --csr=${folder}/a\\ `), [
      `csr --csr=${folder}/a\\ b.pem `,
    ]);
    assert.deepEqual(await complete(home, `inspect ${folder}/.h`), [`inspect ${folder}/.hidden `]);
    assert.deepEqual(await complete(home, `csr --home ${folder}/`), [
      `csr --home ${folder}/link/`,
      `csr --home ${folder}/sub/`,
    ]);
    assert.deepEqual(await complete(home, `inspect ${folder}/none/`), []);
  }));
