import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteLines } from "../../lib/base/byte_lines.ts";
import { parseUtf8, utf8 } from "../../lib/base/bytes.ts";

test("ByteLines cuts a stream in any chunks into its lines", () => {
  const text = fc.array(fc.constantFrom("a", "ö", "\n", "\r"), { maxLength: 60 });
  fc.assert(fc.property(text, fc.array(fc.nat({ max: 9 })), (characters, sizes) => {
    const whole = characters.join("");
    const bytes = utf8(whole);
    const reader = new ByteLines(1000);
    const lines: string[] = [];
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i] ?? 5;
      const chunk = bytes.slice(at, at + size);
      lines.push(...reader.push(chunk).map(parseUtf8));
      chunk.fill(0); // it belongs to whoever gave it
      at += size;
    }
    assert.deepEqual([...lines, parseUtf8(reader.takeRest())], whole.split("\n"));
    assert.equal(reader.isTooLong, false);
  }));
});

test("ByteLines gives out what is before a line that is too long, and nothing from it on", () => {
  const rows = [
    ["abc\nabcd\nx", ["abc"], true],
    ["abc\nabcd", ["abc"], true],
    ["abcd", [], true],
    ["abc\nabc\nabc", ["abc", "abc"], false],
  ] as const;
  for (const [text, expected, isTooLong] of rows) {
    for (const chunk of [1, 2, 100]) {
      const reader = new ByteLines(3);
      const lines: string[] = [];
      for (let at = 0; at < text.length && !reader.isTooLong; at += chunk) {
        lines.push(...reader.push(utf8(text.slice(at, at + chunk))).map(parseUtf8));
      }
      assert.deepEqual([lines, reader.isTooLong], [[...expected], isTooLong], `${text} ${chunk}`);
      if (isTooLong) assert.deepEqual(reader.push(utf8("\na\n")), []);
    }
  }
});
