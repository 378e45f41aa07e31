import assert from "node:assert/strict";
import { test } from "node:test";
import { type Column, makeTable, type TableOptions } from "../../commands/table.ts";
import { choosePaint } from "../../commands/paint.ts";

const COLUMNS: readonly Column[] = [
  { head: "WHO" },
  { head: "KIND", width: 7, isOptional: true },
  { head: "STATE", width: 7, style: (cell) => cell === "revoked" ? "bad" : undefined },
  { head: "WHERE" },
];
const ROWS = [
  ["alice", "user", "valid", "localhost:7450"],
  ["a-person-with-a-long-name", "service", "revoked", "ca.example.org:7443"],
];

function show(options: Partial<TableOptions>): string[] {
  const table = makeTable(COLUMNS, { first: ROWS, columns: undefined, ...options });
  return [table.header, ...ROWS.map((row) => table.line(row))];
}

test("makeTable() cuts nothing and leaves nothing out where there is no terminal", () => {
  assert.deepEqual(show({}), [
    "WHO                        KIND     STATE    WHERE",
    "alice                      user     valid    localhost:7450",
    "a-person-with-a-long-name  service  revoked  ca.example.org:7443",
  ]);
  assert.deepEqual(show({ first: ROWS.slice(0, 1) })[2], ROWS[1]?.join("  "));
});

test("makeTable() lets the widest text give when the terminal is narrow", () => {
  const lines = show({ columns: 56 });
  assert.deepEqual(lines, [
    "WHO                 KIND     STATE    WHERE",
    "alice               user     valid    localhost:7450",
    "a-person-with-a-l…  service  revoked  ca.example.org:74…",
  ]);
  assert.equal(Math.max(...lines.map((line) => [...line].length)), 56);
});

test("makeTable() leaves an optional column out where texts would say nothing", () => {
  assert.deepEqual(show({ columns: 40 }), [
    "WHO             STATE    WHERE",
    "alice           valid    localhost:7450",
    "a-person-with…  revoked  ca.example.org…",
  ]);
  // Narrower than anything that is readable: the terminal breaks the lines.
  assert.deepEqual(show({ columns: 20 })[1], "alice         valid    localhost:7…");
});

test("makeTable() fits every width from the one on at which texts are readable", () => {
  for (let columns = 37; columns < 90; columns++) {
    for (const line of show({ columns })) {
      assert.ok([...line].length <= columns, `${columns}: ${line}`);
    }
  }
});

test("makeTable() paints heads and states, and not the space behind them", () => {
  const paint = choosePaint({} as never, { mode: "always", env: {} });
  const [header = "", first = "", second = ""] = show({ paint });
  assert.ok(header.startsWith("\x1b[1mWHO\x1b[0m   "));
  assert.equal(first.includes("\x1b"), false);
  assert.ok(second.includes("  \x1b[1;31mrevoked\x1b[0m  ca."));
  // deno-lint-ignore no-control-regex -- escape sequences are what it is about
  const plain = [header, first, second].map((line) => line.replace(/\x1b\[[\d;]*m/g, ""));
  assert.deepEqual(plain, show({}));
});

test("makeTable() puts numbers below each other", () => {
  const columns: readonly Column[] = [{ head: "COUNT", width: 5, isNumber: true }, { head: "OF" }];
  const table = makeTable(columns, { first: [], columns: undefined });
  assert.deepEqual([table.header, table.line(["7", "x"]), table.line(["123456", "x"])], [
    "COUNT  OF",
    "    7  x",
    "123456  x",
  ]);
});

test("makeTable() lets no control character of a cell through", () => {
  const table = makeTable([{ head: "X" }], { first: [], columns: undefined });
  assert.equal(table.line(["a\x1b[31mb\u202ec"]), "a\ufffd[31mb\ufffdc");
});
