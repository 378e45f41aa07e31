import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cellsOf, linesOf, rowsOf, typedRowsOf, widthOf } from "../../lib/client/cells.ts";

/** A line, its cells as they are shown, and their widths. */
const LINES: ReadonlyArray<readonly [string, readonly string[], readonly number[]]> = [
  ["", [], []],
  ["ab", ["a", "b"], [1, 1]],
  ["日本", ["日", "本"], [2, 2]],
  ["e\u0301x", ["e\u0301", "x"], [1, 1]],
  ["👩x", ["👩", "x"], [2, 1]],
  ["👍🏽", ["👍🏽"], [2]],
  ["👩‍🚀🏳️‍🌈x", ["👩‍🚀", "🏳️‍🌈", "x"], [2, 2, 1]],
  ["a\u200db", ["a\ufffd", "b"], [2, 1]],
  ["👩\u200dx", ["👩\ufffd", "x"], [3, 1]],
  ["🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"], [2, 2]],
  ["한글", ["한", "글"], [2, 2]],
  ["\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"], [2]],
  ["a\tb", ["a", "    ", "b"], [1, 4, 1]],
  ["a\u202eb\x1b", ["a", "\ufffd", "b", "\ufffd"], [1, 1, 1, 1]],
  [`a${"\u0301".repeat(1000)}`, ["\ufffd"], [1]],
];

test("cellsOf() takes characters with their marks together, and makes them harmless", () => {
  for (const [line, shown, widths] of LINES) {
    const cells = cellsOf(line);
    assert.deepEqual(cells.map((cell) => cell.shown), shown, JSON.stringify(line));
    assert.deepEqual(cells.map((cell) => cell.width), widths, JSON.stringify(line));
    assert.equal(cells.map((cell) => cell.text).join(""), line);
  }
});

test("linesOf() breaks at line feeds alone", () => {
  assert.deepEqual(linesOf("a\nb\r\nc\rd\u2028e"), ["a", "b", "c\rd\u2028e"]);
  assert.deepEqual(linesOf(""), [""]);
});

const NARROW = { columns: 20, head: "12:00 bob: ", indent: "      " };

/** A text and its rows on a screen of 20 columns. */
const ROWS: ReadonlyArray<readonly [string, readonly string[]]> = [
  ["hi", ["12:00 bob: hi"]],
  ["", ["12:00 bob: "]],
  ["123456789", ["12:00 bob: 123456789"]],
  ["1234567890", ["12:00 bob: 123456789", "      0"]],
  ["one two three", ["12:00 bob: one two", "      three"]],
  ["日本語日本語", ["12:00 bob: 日本語日", "      本語"]],
  ["a\n12:00 alice: yes", ["12:00 bob: a", "      12:00 alice:", "      yes"]],
  ["a\n\nb", ["12:00 bob: a", "      ", "      b"]],
  ["\n", ["12:00 bob: ", "      "]],
  ["a\x1b[2Jb", ["12:00 bob: a\ufffd[2Jb"]],
];

test("rowsOf() lets nothing of a text begin a row", () => {
  for (const [text, rows] of ROWS) assert.deepEqual(rowsOf(text, NARROW), rows, text);
  const head = "12:00 somebody-with-a-long-name: ";
  assert.deepEqual(rowsOf("hi", { ...NARROW, head }), [head.trimEnd(), "      hi"]);
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
    const [first = "", ...others] = rowsOf(text, NARROW);
    assert.ok(first.startsWith("12:00 bob: "));
    for (const row of others) assert.ok(row.startsWith("      "), JSON.stringify(row));
    for (const row of [first, ...others]) {
      assert.ok(widthOf(row) <= 20, JSON.stringify(row));
      // deno-lint-ignore no-control-regex -- control characters are what it is about
      assert.doesNotMatch(row, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
    }
  }));
});

test("rowsOf() loses nothing but spaces at the ends of rows", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "\n", "é", "日", "👍🏽"), maxLength: 99 });
  fc.assert(fc.property(text, (text) => {
    const rows = rowsOf(text, NARROW);
    const shown = rows.map((row, at) => row.slice(at === 0 ? 11 : 6)).join("");
    assert.equal(shown.replaceAll(" ", ""), text.replaceAll(/[ \n]/g, ""));
  }));
});

test("typedRowsOf() says where the cursor can stand, and leaves it a column", () => {
  const rows = typedRowsOf("ab日\ncd", { prompt: "> ", columns: 6 });
  assert.deepEqual(rows, [
    { shown: "> ab", width: 4, stops: [[0, 2], [1, 3]] },
    { shown: "日", width: 2, stops: [[2, 0], [3, 2]] },
    { shown: "cd", width: 2, stops: [[4, 0], [5, 1], [6, 2]] },
  ]);
  assert.deepEqual(typedRowsOf("", { prompt: "> ", columns: 6 }), [
    { shown: "> ", width: 2, stops: [[0, 2]] },
  ]);
  const text = fc.string({ unit: fc.constantFrom("a", "\n", "e\u0301", "日"), maxLength: 60 });
  fc.assert(fc.property(text, fc.integer({ min: 10, max: 30 }), (text, columns) => {
    const rows = typedRowsOf(text, { prompt: "> ", columns });
    for (const { width, stops } of rows) {
      assert.ok(width < columns);
      for (const [, column] of stops) assert.ok(column < columns);
    }
    assert.equal(rows.map((row) => row.shown).join(""), `> ${text.replaceAll("\n", "")}`);
    assert.equal(rows.at(-1)?.stops.at(-1)?.[0], text.length);
  }));
});
