import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "../../commands/duration.ts";
import { parseMargin } from "../../commands/renew.ts";

test("parseDuration() reads a number and a unit", () => {
  const rows = {
    "1s": 1000,
    "90m": 5_400_000,
    "12h": 43_200_000,
    "10d": 864_000_000,
    "2w": 1_209_600_000,
    "999999s": 999_999_000,
  };
  for (const [text, ms] of Object.entries(rows)) assert.equal(parseDuration(text), ms);
});

test("parseDuration() refuses everything else", () => {
  const bad = ["", "10", "d", "0d", "-1d", "1.5d", "1D", "10 d", " 10d", "10dd", "1000000s", "1y"];
  for (const text of bad) {
    assert.throws(() => parseDuration(text), {
      kind: "usage",
      message: `${JSON.stringify(text)} is not a span of time: a number and one of s, m, h, d, w`,
    });
  }
});

test("parseMargin() reads a span, or a part in percent", () => {
  assert.deepEqual(parseMargin("10d"), { ms: 864_000_000 });
  assert.deepEqual(parseMargin("30%"), { part: 0.3 });
  assert.deepEqual(parseMargin("100%"), { part: 1 });
  for (const text of ["101%", "%", "-1%", "1.5%"]) {
    assert.throws(() => parseMargin(text), { kind: "usage" }, text);
  }
});

test("formatDuration() says what a person wants to know", () => {
  const rows: readonly (readonly [number, string])[] = [
    [0, "0 s"],
    [59_999, "59 s"],
    [119_999, "119 s"],
    [120_000, "2 m"],
    [150_000, "2 m 30 s"],
    [7_200_000, "2 h"],
    [9_000_000, "2 h 30 m"],
    [172_800_000, "2 d"],
    [1_731_600_000, "20 d 1 h"],
  ];
  for (const [ms, text] of rows) assert.equal(formatDuration(ms), text);
});
