import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf, formatError, formatWarning, wantsJson } from "../../commands/error_text.ts";
import { PkiError } from "../../lib/base/errors.ts";

test("formatError() says what happened, and what to do, for people and for programs", () => {
  const rows: readonly {
    readonly error: unknown;
    readonly text: string;
    readonly json: Readonly<Record<string, unknown>>;
    readonly exitCode: number;
  }[] = [
    {
      error: new PkiError("not-found", 'cannot read "x": there is no such file'),
      text: 'pki: error: cannot read "x": there is no such file',
      json: { code: "not-found", message: 'cannot read "x": there is no such file', exitCode: 5 },
      exitCode: 5,
    },
    {
      error: new PkiError("busy", "cannot write: \u001b[31mred", { hint: "try again" }),
      text: "pki: error: cannot write: \u001b[31mred\npki: hint: try again",
      json: {
        code: "busy",
        message: "cannot write: \u001b[31mred",
        hint: "try again",
        exitCode: 8,
      },
      exitCode: 8,
    },
    {
      error: new TypeError("x is not a function"),
      text: "pki: error: something unforeseen happened: TypeError: x is not a function\n" +
        "pki: hint: this is a fault in pki: please report it, with the command that shows it",
      json: {
        code: "internal",
        message: "something unforeseen happened: TypeError: x is not a function",
        hint: "this is a fault in pki: please report it, with the command that shows it",
        exitCode: 1,
      },
      exitCode: 1,
    },
  ];
  for (const { error, text, json, exitCode } of rows) {
    assert.equal(formatError(error), text);
    const line = formatError(error, "json");
    assert.deepEqual(JSON.parse(line), { error: json });
    assert.match(line, /^[ -~]+$/, "one line, and nothing that a terminal acts on");
    assert.equal(exitCodeOf(error), exitCode);
  }
});

test("formatWarning() has a hint where there is one", () => {
  assert.equal(formatWarning("a", "b"), "pki: warning: a\npki: hint: b");
  assert.equal(formatWarning("a"), "pki: warning: a");
  assert.equal(formatWarning("a", "b", "json"), '{"warning":{"message":"a","hint":"b"}}');
  assert.equal(formatWarning("a", undefined, "json"), '{"warning":{"message":"a"}}');
});

test("wantsJson() finds --json wherever it stands, and not behind --", () => {
  assert.equal(wantsJson(["--json", "csr"]), true);
  assert.equal(wantsJson(["nonsense", "x", "--json"]), true);
  assert.equal(wantsJson(["request", "--", "--json"]), false);
  assert.equal(wantsJson(["request", "json"]), false);
});
