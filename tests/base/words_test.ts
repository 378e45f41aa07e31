import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { PkiError } from "../../lib/base/errors.ts";
import { quoteWord, splitPartialLine, splitWords } from "../../lib/base/words.ts";

/** A line, and its words. */
const LINES: ReadonlyArray<readonly [string, readonly string[]]> = [
  ["", []],
  ["   ", []],
  ["csr", ["csr"]],
  ["  request \t bob  ", ["request", "bob"]],
  ["inspect 'my file.pem'", ["inspect", "my file.pem"]],
  ['inspect "my file.pem"', ["inspect", "my file.pem"]],
  ["inspect my\\ file.pem", ["inspect", "my file.pem"]],
  ["a''b \"\" ''", ["ab", "", ""]],
  ["'it'\\''s'", ["it's"]],
  ['"a\\"b" "a\\\\b" "a\\nb" "\\$x"', ['a"b', "a\\b", "a\\nb", "$x"]],
  ["'a\\b' '\"'", ["a\\b", '"']],
  ["$HOME ~ * `id` # !x", ["$HOME", "~", "*", "`id`", "#", "!x"]],
  ["'a|b' \"c>d\" e\\;f", ["a|b", "c>d", "e;f"]],
  ["müller 山 e\u0301", ["müller", "山", "e\u0301"]],
];

for (const [line, words] of LINES) {
  test(`splitWords() splits ${JSON.stringify(line)}`, () => {
    assert.deepEqual(splitWords(line), words);
  });
}

const REFUSED: ReadonlyArray<readonly [string, string]> = [
  ['inspect "a', "cannot read the line: a double quote is not closed"],
  ["inspect 'a", "cannot read the line: a single quote is not closed"],
  ['inspect "a\\"', "cannot read the line: a double quote is not closed"],
  ["inspect a\\", "cannot read the line: nothing follows the backslash at its end"],
  ["request bob > x", 'cannot read the line: ">" is for a shell, and this is none'],
  ["request bob>x", 'cannot read the line: ">" is for a shell, and this is none'],
  ["csr; upload", 'cannot read the line: ";" is for a shell, and this is none'],
  ["csr && upload", 'cannot read the line: "&" is for a shell, and this is none'],
  ["ls | cat", 'cannot read the line: "|" is for a shell, and this is none'],
  ["(ls", 'cannot read the line: "(" is for a shell, and this is none'],
];

test("splitWords() refuses open quotes and what only a shell could do", () => {
  for (const [line, message] of REFUSED) {
    assert.throws(
      () => splitWords(line),
      (error) => error instanceof PkiError && error.kind === "usage" && error.message === message,
      line,
    );
  }
});

/** Lines of what a shell treats as we do: no expansion, no operators, no comments. */
const plainLine = fc.string({
  unit: fc.constantFrom(..."ab-=/.~é山 \t'\"\\"),
  maxLength: 24,
});

test("splitWords() splits as sh does", () => {
  const lines = fc.sample(plainLine, { seed: 20261126, numRuns: 2000 }).filter((line) => {
    try {
      return splitWords(line).every((word) => !word.startsWith("~"));
    } catch {
      return false; // an open quote: a shell would wait for more
    }
  });
  assert.ok(lines.length > 500);
  // Each line is the arguments of one call; "." begins them and an empty line ends them.
  const script = lines.map((line) => `show ${line}`).join("\n");
  const { stdout, status } = spawnSync("sh", ["-f"], {
    input: `show() { printf '%s\\0' . "$@"; printf '\\n\\0'; }\n${script}\n`,
    encoding: "utf8",
  });
  assert.equal(status, 0);
  const answers = stdout.split("\n\0").slice(0, -1).map((text) => text.split("\0").slice(1, -1));
  assert.equal(answers.length, lines.length);
  lines.forEach((line, at) => assert.deepEqual(splitWords(line), answers[at], line));
});

test("quoteWord() makes one word of anything that can be typed", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.string(), (one, two) => {
    assert.deepEqual(splitWords(`${quoteWord(one)} ${quoteWord(two)}`), [one, two]);
  }));
  assert.equal(quoteWord("bob"), "bob");
  assert.equal(quoteWord("my file"), "my\\ file");
});

const PARTIAL: ReadonlyArray<readonly [string, readonly string[], string, string]> = [
  ["", [], "", ""],
  ["re", [], "re", "re"],
  ["request ", ["request"], "", ""],
  ["request bo", ["request"], "bo", "bo"],
  ["request --ou", ["request"], "--ou", "--ou"],
  ["inspect 'my fi", ["inspect"], "my fi", "'my fi"],
  ["inspect 'my ", ["inspect"], "my ", "'my "],
  ["inspect my\\ ", ["inspect"], "my ", "my\\ "],
  ["inspect my\\", ["inspect"], "my", "my\\"],
  ["inspect 'a b' ", ["inspect", "a b"], "", ""],
];

test("splitPartialLine() tells the word that is typed from those before it", () => {
  for (const [line, before, typed, typedRaw] of PARTIAL) {
    assert.deepEqual(splitPartialLine(line), { before, typed, typedRaw }, line);
  }
  assert.equal(splitPartialLine("csr; up"), undefined);
});
