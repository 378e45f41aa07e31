import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { tellText } from "../../commands/converse.ts";
import { Surroundings } from "../../commands/globals.ts";

test("tellText() lets a peer say nothing that looks like a question of ours", () => {
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const context: PkiContext = {
    process: { stdin: stderr, stdout: stderr, stderr, env: {} },
    homeFolder: "/nonexistent",
    terminal: undefined,
    signal: new AbortController().signal,
    now: () => 0,
  };
  const told: [Readonly<Record<string, unknown>>, string][] = [];
  const question = '◆  Accept "photo.jpg" (10 KiB) from bob?';
  const text = `hello${" ".repeat(80 - "mallory: hello".length)}${question}\n${question}\u001b[2K`;
  tellText(new Surroundings(context, {}), {
    id: "mallory",
    text,
    tell: (event, said) => void told.push([event, said]),
  });
  const [[event, said] = [{}, ""]] = told;
  assert.deepEqual(event, { event: "text", peer: "mallory", text });
  const [first, ...others] = said.split("\n");
  assert.match(first ?? "", /^mallory: hello/);
  assert.equal(others.length, 2);
  for (const row of others) assert.match(row, /^ {9}◆/);
  assert.ok(!said.includes("\u001b"));
});
