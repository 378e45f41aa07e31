import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { isSamePassword, preparePassword } from "../../lib/client/password.ts";

const MAX = LIMITS.passwordCharactersMax;

test("preparePassword() takes every text of one line, up to its limit in code points", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["x", "x"],
    ["Caf\u0065\u0301\u00a0noir", "Caf\u00e9 noir"],
    ["x".repeat(MAX), "x".repeat(MAX)],
    ["\u{1f40e}".repeat(MAX), "\u{1f40e}".repeat(MAX)],
    ["e\u0301".repeat(MAX), "\u00e9".repeat(MAX)],
    [
      "my pass phrase \u2014 with \u201cquotes\u201d",
      "my pass phrase \u2014 with \u201cquotes\u201d",
    ],
  ];
  for (const [given, prepared] of rows) assert.equal(preparePassword(given), prepared);
});

test("preparePassword() refuses the rest, and shows nothing of it", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["", "it is empty"],
    ["x".repeat(MAX + 1), "more than 1024 characters"],
    ["\u30fb".repeat(200_000), "more than 1024 characters"],
    ["secret\n", "character 7 is a line break"],
    ["secret\r\n", "character 7 is a line break"],
    ["sec\tret", "character 4 is a control character"],
    ["\ufeffsecret", "character 1 is an invisible character"],
    ["secret\ud83d", "character 7 is half a character"],
  ];
  for (const [given, why] of rows) {
    assert.throws(() => preparePassword(given), (error: unknown) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.kind, "usage");
      assert.equal(error.message, `cannot use the password: ${why}`);
      assert.doesNotMatch(`${error.hint}`, /sec/);
      return true;
    });
  }
});

test("isSamePassword() compares what would be used", () => {
  const password = preparePassword("caf\u00e9 noir");
  for (const again of ["caf\u00e9 noir", "cafe\u0301 noir", "caf\u00e9\u3000noir"]) {
    assert.ok(isSamePassword(again, password));
  }
  for (const again of ["", "Caf\u00e9 noir", "caf\u00e9 noir ", "caf\u00e9 noir\n"]) {
    assert.ok(!isSamePassword(again, password));
  }
});
