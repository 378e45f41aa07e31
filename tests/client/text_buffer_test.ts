import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cellsOf } from "../../lib/client/cells.ts";
import { TextBuffer } from "../../lib/client/text_buffer.ts";

type Edit = Exclude<keyof TextBuffer, "text" | "cursor" | "isEmpty" | "set" | "insert" | "moveTo">;

/** A buffer with the cursor where `|` is. */
function bufferOf(text: string): TextBuffer {
  const buffer = new TextBuffer();
  buffer.set(text.replace("|", ""));
  buffer.moveTo(text.indexOf("|"));
  return buffer;
}

function show(buffer: TextBuffer): string {
  return `${buffer.text.slice(0, buffer.cursor)}|${buffer.text.slice(buffer.cursor)}`;
}

const ROWS: ReadonlyArray<readonly [before: string, edits: readonly Edit[], after: string]> = [
  ["ab|c", ["left"], "a|bc"],
  ["|abc", ["left"], "|abc"],
  ["a|bc", ["right"], "ab|c"],
  ["abc|", ["right"], "abc|"],
  ["a\n|b", ["left"], "a|\nb"],
  ["a|\nb", ["right"], "a\n|b"],
  ["xe\u0301|y", ["left"], "x|e\u0301y"],
  ["x|👍🏽y", ["right"], "x👍🏽|y"],
  ["x👍🏽|y", ["eraseLeft"], "x|y"],
  ["x|日y", ["eraseRight"], "x|y"],
  ["|x", ["eraseLeft"], "|x"],
  ["x|", ["eraseRight"], "x|"],
  ["a\n|b", ["eraseLeft"], "a|b"],
  ["one two|", ["wordLeft"], "one |two"],
  ["one two |", ["wordLeft", "wordLeft"], "|one two "],
  ["|one, two", ["wordRight"], "one|, two"],
  ["|one, two", ["wordRight", "wordRight"], "one, two|"],
  ["один дв|а", ["eraseWordLeft"], "один |а"],
  ["o|ne two", ["eraseWordRight"], "o| two"],
  ["a\nbcd|e\nf", ["lineStart"], "a\n|bcde\nf"],
  ["a\nb|cde\nf", ["lineEnd"], "a\nbcde|\nf"],
  ["|\na", ["lineStart"], "|\na"],
  ["a\nbc|d", ["eraseToLineStart"], "a\n|d"],
  ["a\n|d", ["eraseToLineStart"], "a|d"],
  ["a|bc\nd", ["eraseToLineEnd"], "a|\nd"],
  ["a|\nd", ["eraseToLineEnd"], "a|d"],
  ["one two|", ["eraseWordLeft", "lineStart", "yank"], "two|one "],
  ["ab|cd", ["eraseToLineEnd", "yank", "yank"], "abcdcd|"],
  ["x|", ["yank"], "x|"],
  ["ab|cd", ["transpose"], "acb|d"],
  ["abcd|", ["transpose"], "abdc|"],
  ["a|", ["transpose"], "a|"],
  ["a\nb|", ["transpose"], "a\nb|"],
  ["one two|", ["eraseWordLeft", "eraseLeft", "undo"], "one |"],
  ["one two|", ["eraseWordLeft", "eraseLeft", "undo", "undo"], "one two|"],
];

test("TextBuffer does what its keys mean, in any script", () => {
  for (const [before, edits, after] of ROWS) {
    const buffer = bufferOf(before);
    for (const edit of edits) buffer[edit]();
    assert.equal(show(buffer), after, `${before} ${edits.join(", ")}`);
  }
});

test("TextBuffer lets no cursor stand between a letter and its mark", () => {
  const buffer = bufferOf("|\u0301x");
  buffer.insert("e");
  assert.equal(show(buffer), "e\u0301|x");
});

test("TextBuffer keeps the cursor between characters, and undoes everything", () => {
  const edit = fc.constantFrom<Edit>(
    ...["left", "right", "wordLeft", "wordRight", "lineStart", "lineEnd"] as const,
    ...["eraseLeft", "eraseRight", "eraseWordLeft", "eraseWordRight"] as const,
    ...["eraseToLineStart", "eraseToLineEnd", "yank"] as const,
  );
  const text = fc.string({
    unit: fc.constantFrom("a", " ", "\n", "e\u0301", "日", "👍🏽", "🇩🇪"),
    maxLength: 20,
  });
  fc.assert(fc.property(text, fc.array(edit, { maxLength: 20 }), (text, edits) => {
    const buffer = new TextBuffer();
    buffer.insert(text);
    for (const edit of edits) {
      buffer[edit]();
      const lines = buffer.text.split("\n");
      let at = 0;
      const stops = lines.flatMap((line) => {
        const inLine = [at];
        for (const cell of cellsOf(line)) inLine.push(at += cell.text.length);
        at++;
        return inLine;
      });
      assert.ok(stops.includes(buffer.cursor), `${JSON.stringify(buffer.text)} ${buffer.cursor}`);
    }
    for (let step = 0; step < 30; step++) buffer.undo();
    assert.equal(buffer.text, "");
  }));
});

test("TextBuffer steps through a long text without long thought", () => {
  const buffer = new TextBuffer();
  buffer.insert("_".repeat(300_000));
  buffer.wordLeft();
  assert.equal(buffer.cursor, 0);
  buffer.wordRight();
  assert.equal(buffer.cursor, 300_000);
});
