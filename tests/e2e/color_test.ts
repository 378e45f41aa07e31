/** Colour and width, as a terminal and a pipe get them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inWorld, needs, type World } from "./harness.ts";
import { inTerminal, type TerminalOptions } from "./terminal.ts";

const ESCAPE = "\x1b[";

/** Everything that a terminal is sent by a command that ends. */
async function rawOf(
  world: World,
  args: readonly string[],
  options: TerminalOptions = {},
): Promise<string> {
  let raw = "";
  await inTerminal(world, args, async (terminal) => {
    await terminal.exitCode();
    await terminal.waitForRaw((sent) => /exit=\d/.test(sent), "the end");
    raw = terminal.raw();
  }, options);
  return raw.replaceAll("\r", "").replace(/exit=\d+\n[^]*/, "");
}

test(
  "pki paints at a terminal, unless it is told not to",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      const plain = 'pki: error: there is no command "conect": did you mean connect?\n' +
        "pki: hint: pki --help lists the commands, pki COMMAND --help their options\n";
      const painted = plain.replace("pki: error:", `${ESCAPE}1;31m$&${ESCAPE}0m`)
        .replace("pki: hint:", `${ESCAPE}36m$&${ESCAPE}0m`);
      assert.ok((await rawOf(world, ["conect"])).includes(painted));
      const silent: readonly TerminalOptions["env"][] = [{ NO_COLOR: "1" }, { CLICOLOR: "0" }];
      for (const env of silent) {
        assert.ok((await rawOf(world, ["conect"], env ? { env } : {})).includes(plain));
      }
      assert.ok((await rawOf(world, ["conect", "--color", "never"])).includes(plain));
      assert.ok((await rawOf(world, ["conect"], { behind: "2>&1 | cat" })).includes(plain));

      const { stderr } = await world.run(["conect"]);
      assert.equal(stderr, plain);
      assert.equal((await world.run(["conect", "--color=always"])).stderr, painted);
      assert.equal((await world.run(["conect"], { env: { FORCE_COLOR: "1" } })).stderr, painted);
      const json = await world.run(["--json", "--color=always", "conect"]);
      assert.equal(json.stderr.includes(ESCAPE), false, "what programs read is never painted");
      assert.equal(JSON.parse(json.stderr).error.code, "usage");
    }),
);

test("pki asks without colour where none is wanted", needs("tmux"), () =>
  inWorld(async (world) => {
    const rawOfPrompt = async (args: readonly string[], options: TerminalOptions = {}) => {
      let raw = "";
      await inTerminal(world, args, async (terminal) => {
        await terminal.waitFor(/Who are you\?/);
        raw = terminal.raw();
      }, options);
      return raw;
    };
    // deno-lint-ignore no-control-regex -- escape sequences are what it is about
    const colour = /\x1b\[\d*m/;
    assert.match(await rawOfPrompt([]), colour);
    assert.doesNotMatch(await rawOfPrompt(["--color=never"]), colour);
    assert.doesNotMatch(await rawOfPrompt([], { env: { NO_COLOR: "1" } }), colour);
    assert.doesNotMatch(await rawOfPrompt([], { env: { TERM: "dumb" } }), colour);
  }));

test(
  "help fits the terminal, and is to the letter the same in a pipe",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      const { stdout } = await world.run(["serve", "--help"]);
      assert.ok(stdout.split("\n").some((line) => line.length > 120), "options are wide");
      const env = { COLUMNS: "84" };
      const raw = await rawOf(world, ["serve", "--help"], { env });
      // deno-lint-ignore no-control-regex -- escape sequences are what it is about
      const shown = raw.replace(/\x1b\[[\d;]*m/g, "");
      assert.ok(raw.includes(`${ESCAPE}1mOPTIONS${ESCAPE}0m\n`));
      for (const line of shown.split("\n")) assert.ok(line.length <= 84, line);
      const words = (text: string) => text.split(/\s+/).filter(Boolean);
      assert.deepEqual(words(shown), words(stdout), "nothing is cut");
      assert.equal(
        (await rawOf(world, ["serve", "--help"], { behind: "| cat", env })).trim(),
        stdout.trim(),
      );
      assert.equal((await world.run(["serve", "--help", "--color=never"])).stdout, stdout);
    }),
);
