import assert from "node:assert/strict";
import { test } from "node:test";
import { buildCommand, buildRouteMap } from "@stricli/core";
import type { Target } from "../../commands/catalogue.ts";
import { isRouteMap, parseCommandLine } from "../../commands/command_line.ts";
import type { PkiContext } from "../../commands/context.ts";

const docs = { brief: "" };
const command = () =>
  buildCommand<Record<never, never>, [], PkiContext>({ func: () => {}, parameters: {}, docs });
const ls = command();

const ROOT: Readonly<Record<string, Target>> = {
  session: command(),
  csr: command(),
  id: buildRouteMap({ routes: { ls, use: command() }, docs, defaultCommand: "ls" }),
  log: buildRouteMap({ routes: { verify: command() }, docs }),
};
const load = (word: string) => Promise.resolve(ROOT[word]);

/** Command lines, word by word, and what becomes of them. */
const ROWS: readonly (readonly [typed: string, want: string])[] = [
  ["", "session"],
  ["csr", "csr"],
  ["--json csr", "csr --json"],
  ["--id alice --json csr --register", "csr --id alice --json --register"],
  ["--id=alice csr", "csr --id=alice"],
  ["--id csr", "session --id csr"],
  ["--id", "session --id"],
  ["--quiet", "session --quiet"],
  ["--unknown csr", "session --unknown csr"],
  ["-x csr", "session -x csr"],
  ["--home h log verify data", "log verify --home h data"],
  ["log --home h verify data", "log verify --home h data"],
  ["--json log --home h verify --quiet", "log verify --json --home h --quiet"],
  ["--json id", "id --json"],
  ["id --json", "id --json"],
  ["--json id use alice", "id use --json alice"],
  ["id --json use alice", "id use --json alice"],
  ["--json id alice use", "id --json alice use"],
  ["--json id --help", "id --json --help"],
  ["id --unknown use", "id --unknown use"],
  ["csr csr --json", "csr csr --json"],
  ["--json csr --id alice -- --yes", "csr --json --id alice -- --yes"],
];

for (const [typed, want] of ROWS) {
  test(`parseCommandLine() makes "${want}" of "${typed}"`, async () => {
    const line = await parseCommandLine(typed === "" ? [] : typed.split(" "), load);
    assert.ok(typeof line === "object");
    assert.equal([...line.path, ...line.rest].join(" "), want);
  });
}

test("parseCommandLine() gives back the word that stands for nothing", async () => {
  assert.equal(await parseCommandLine(["--json", "typo", "ls"], load), "typo");
});

test("parseCommandLine() takes what a word does alone, unless another word or help follows", async () => {
  const targetOf = async (...words: readonly string[]) => {
    const line = await parseCommandLine(words, load);
    return typeof line === "object" ? line.target : undefined;
  };
  assert.equal(await targetOf("id"), ls);
  assert.equal(await targetOf("id", "--json"), ls);
  const mistyped = await targetOf("id", "us");
  assert.ok(mistyped && isRouteMap(mistyped) && mistyped.getDefaultCommand() === undefined);
  assert.equal(await targetOf("id", "--help"), ROOT["id"]);
  assert.equal(await targetOf("log"), ROOT["log"]);
});
