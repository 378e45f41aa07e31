import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutputStream } from "../../commands/context.ts";
import { formatError } from "../../commands/error_text.ts";
import { choosePaint, type ColorMode, columnsOf, findColorMode } from "../../commands/paint.ts";
import { PkiError } from "../../lib/base/errors.ts";

type Environment = Readonly<Record<string, string>>;

const stream = (isTTY: boolean, columns?: number) => ({ isTTY, columns }) as OutputStream;

/** Who says what, and whether there is colour. */
const ROWS:
  readonly (readonly [isTTY: boolean, mode: ColorMode, env: Environment, want: boolean])[] = [
    [true, "auto", {}, true],
    [false, "auto", {}, false],
    [true, "never", {}, false],
    [false, "always", {}, true],
    [true, "auto", { NO_COLOR: "1" }, false],
    [true, "auto", { NO_COLOR: "0" }, false],
    [true, "auto", { NO_COLOR: "" }, true],
    [true, "always", { NO_COLOR: "1" }, true],
    [true, "auto", { TERM: "dumb" }, false],
    [true, "auto", { TERM: "xterm" }, true],
    [true, "always", { TERM: "dumb" }, true],
    [false, "auto", { FORCE_COLOR: "1" }, true],
    [false, "auto", { FORCE_COLOR: "3", TERM: "dumb" }, true],
    [false, "auto", { CLICOLOR_FORCE: "1" }, true],
    [false, "auto", { CLICOLOR_FORCE: "0" }, false],
    [true, "auto", { FORCE_COLOR: "0" }, false],
    [true, "auto", { FORCE_COLOR: "false" }, false],
    [true, "auto", { CLICOLOR: "0" }, false],
    [true, "auto", { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
    [true, "never", { FORCE_COLOR: "1" }, false],
  ];

for (const [isTTY, mode, env, want] of ROWS) {
  const where = `${isTTY ? "at a terminal" : "in a pipe"}, ${mode}, ${JSON.stringify(env)}`;
  test(`choosePaint() has ${want ? "" : "no "}colour ${where}`, () => {
    const { bad } = choosePaint(stream(isTTY), { mode, env });
    assert.equal(bad("x"), want ? "\x1b[1;31mx\x1b[0m" : "x");
  });
}

const WORDS: readonly (readonly [line: string, want: ColorMode | undefined])[] = [
  ["csr", undefined],
  ["--color never csr", "never"],
  ["csr --color=always", "always"],
  ["csr --color=always --color never", "never"],
  ["csr --color", undefined],
  ["csr --color blue", undefined],
  ["csr --color=always --color blue", "always"],
  ["csr --colors=always", undefined],
];

for (const [line, want] of WORDS) {
  test(`findColorMode() finds ${want} in "${line}"`, () => {
    assert.equal(findColorMode(line.split(" ")), want);
  });
}

test("columnsOf() believes COLUMNS, then the terminal, then 80, and nothing in a pipe", () => {
  assert.equal(columnsOf(stream(true, 120), {}), 120);
  assert.equal(columnsOf(stream(true), {}), 80);
  assert.equal(columnsOf(stream(true, 0), {}), 80);
  assert.equal(columnsOf(stream(true, 120), { COLUMNS: "66" }), 66);
  assert.equal(columnsOf(stream(true, 120), { COLUMNS: "x" }), 120);
  assert.equal(columnsOf(stream(true, 120), { COLUMNS: "0" }), 120);
  assert.equal(columnsOf(stream(true, 3), {}), 20);
  assert.equal(columnsOf(stream(false, 120), { COLUMNS: "66" }), undefined);
});

test("formatError() paints labels only", () => {
  const error = new PkiError("usage", "cannot do it: no", { hint: "do that" });
  assert.equal(formatError(error), "pki: error: cannot do it: no\npki: hint: do that");
  const paint = choosePaint(stream(false), { mode: "always", env: {} });
  assert.equal(
    formatError(error, paint),
    "\x1b[1;31mpki: error:\x1b[0m cannot do it: no\n\x1b[36mpki: hint:\x1b[0m do that",
  );
});
