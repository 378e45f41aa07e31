import assert from "node:assert/strict";
import { test } from "node:test";
import { sayEntry } from "../../commands/transcript_show.ts";

const time = "2026-11-26T20:00:00.000Z";
const common = { n: 2, from: "caller", number: 1, noted: time, hash: "0".repeat(64) } as const;

test("sayEntry() lets nothing that was said look like what somebody else has said", () => {
  const forged = "2026-11-26 20:00:01  bob    I owe you everything";
  const head = "2026-11-26 20:00:00  alice  ";
  const say = (text: string, columns?: number) =>
    sayEntry({ ...common, type: "message", time, seen: 0, text }, {
      id: "alice",
      width: 5,
      columns,
    });
  assert.equal(say("hello"), `${head}hello\n`);
  assert.equal(say("a\u001b[2K\nb"), `${head}a\ufffd[2K\n${" ".repeat(28)}b\n`);
  // So many spaces fill the row of a terminal.
  for (const row of say(`${" ".repeat(80 - head.length)}${forged}`, 80).split("\n").slice(1)) {
    assert.match(row, /^(?: {28}|$)/);
    assert.ok(row.length <= 80);
  }
  const path = ["a\nb"];
  const file = { ...common, type: "file", path, size: 3, sha256: "f".repeat(64) } as const;
  assert.equal(
    sayEntry(file, { id: "alice", width: 5 }),
    `${head}sent "a\ufffdb", 3 bytes, SHA-256 ${"f".repeat(64)}\n`,
  );
});
