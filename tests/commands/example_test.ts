/** Every example of a help text, read as a command line: the command is there, and so are its options. */

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { run } from "@stricli/core";
import { CATALOGUE, loadCommand, SESSION, type Target } from "../../commands/catalogue.ts";
import { isRouteMap, parseCommandLine } from "../../commands/command_line.ts";
import type { PkiContext } from "../../commands/context.ts";
import { overallHelp } from "../../commands/help.ts";
import { PLAIN } from "../../commands/paint.ts";
import { makeApplication } from "../../commands/program.ts";
import { FOREIGN_WORD_HINTS } from "../../commands/suggestion.ts";
import { splitWords } from "../../lib/base/words.ts";

/** Reads a command line as the program does, and runs nothing. @returns what is wrong with it */
async function scan(words: readonly string[]): Promise<string> {
  const line = await parseCommandLine(words, loadCommand);
  if (typeof line === "string") return `there is no command ${line}`;
  const { path, target, rest } = line;
  if (isRouteMap(target)) return `${path.join(" ")} is not a whole command`;
  const application = makeApplication(
    { ...target, loader: () => Promise.resolve(() => {}) },
    path,
    PLAIN,
  );
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
  try {
    await run(application, [...rest], context);
  } catch (error) {
    return String(error); // an option that there is not
  }
  await new Promise((resolve) => setImmediate(resolve));
  return said;
}

/** The command lines in a line of a shell: what stands between pipes, up to a redirection. */
function* commandLines(line: string): Generator<readonly string[]> {
  for (const part of line.split(/ \| | && |; /)) {
    const [command = ""] = part.trim().replace(/^[A-Z_]+=\S+ /, "").split(/ [<>]{1,2} ?| &$/);
    if (/^pki( |$)/.test(command)) yield splitWords(command.replace(/^pki ?/, ""));
  }
}

const examplesOf = (text: string) =>
  (/\n\nExamples:\n((?: {2}.*(?:\n|$))+)/.exec(text)?.[1] ?? "").split("\n").filter(Boolean);

async function* listCommands(): AsyncGenerator<readonly [string, Target]> {
  function* below(path: string, target: Target): Generator<readonly [string, Target]> {
    if (!isRouteMap(target)) return yield [path, target];
    for (const { name, target: next } of target.getAllEntries()) {
      yield* below(`${path} ${name["convert-camel-to-kebab"]}`, next);
    }
  }
  for (const name of [...Object.keys(CATALOGUE), SESSION]) {
    const target = await loadCommand(name);
    assert.ok(target);
    yield* below(name, target);
  }
}

test("every example of every help is a command line that there is", async () => {
  let count = 0;
  for await (const [path, target] of listCommands()) {
    const examples = examplesOf(target.fullDescription ?? "");
    assert.ok(examples.length >= 2, `pki ${path} has examples`);
    let isOwn = false;
    for (const example of examples) {
      for (const words of commandLines(example)) {
        assert.equal(await scan(words), "", `pki ${path}: ${example.trim()}`);
        const plain = words.filter((word) => !word.startsWith("-")).join(" ");
        isOwn ||= path === SESSION || plain.includes(path.split(" ")[0] ?? "");
        count++;
      }
    }
    assert.ok(isOwn, `an example of pki ${path} is of it`);
  }
  assert.ok(count > 50, `${count} examples`);
});

test("what pki --help and the hints for foreign words name is there", async () => {
  const minute = overallHelp().split("\n").filter((line) => /^ {2}pki [a-z]/.test(line))
    .map((line) => line.split(/ {2,}/)[1] ?? "");
  assert.ok(minute.length >= 4);
  const hinted = FOREIGN_WORD_HINTS.flatMap((hint) =>
    hint.match(/pki [^,;]*?(?=[,;]|$| on )/g) ?? []
  );
  for (const line of [...minute, ...hinted]) {
    for (const words of commandLines(line)) {
      const found = await scan(words);
      // `pki issue` alone is a command, if not a whole one.
      assert.doesNotMatch(found, /there is no|one argument too many|not a whole/, line);
    }
  }
});

test("an example that is wrong is found", async () => {
  assert.match(await scan(["csr", "--idd", "alice"]), /FlagNotFound|idd/);
  assert.match(await scan(["nothing"]), /there is no command nothing/);
  assert.match(await scan(["issuer"]), /not a whole command/);
  assert.match(await scan(["ls", "--state", "gone"]), /none of valid, expired, revoked/);
  assert.match(await scan(["request", "alice", "bob"]), /one argument too many/);
  assert.equal(await scan(["--json", "request", "alice"]), "");
});
