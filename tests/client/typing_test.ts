import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { emitKeypressEvents } from "node:readline";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { type Key, Typing, type Wish } from "../../lib/client/typing.ts";

const SURFACE = { prompt: "> ", columns: 20 };

/** Presses keys, as the bytes that a terminal sends; returns what they ask for. */
function press(typing: Typing, bytes: string): Wish[] {
  const keys = new EventEmitter();
  const wishes: Wish[] = [];
  keys.on("keypress", (character: string | undefined, key: Key) => {
    const wish = typing.press(character, key, SURFACE);
    if (wish) wishes.push(wish);
  });
  emitKeypressEvents(keys as unknown as Readable);
  keys.emit("data", Buffer.from(bytes));
  return wishes;
}

/** What is typed, `|` where the cursor is. */
function show(typing: Typing): string {
  const rows = typing.rows(SURFACE);
  const [row, column] = typing.cursorIn(rows);
  const index = rows[row]?.stops.find(([, at]) => at === column)?.[0] ?? -1;
  return `${typing.text.slice(0, index)}|${typing.text.slice(index)}`;
}

const UP = "\x1b[A";
const DOWN = "\x1b[B";
const RIGHT = "\x1b[C";
const LEFT = "\x1b[D";

/** Keys, and what is typed then. */
const ROWS: ReadonlyArray<readonly [keys: string, shown: string]> = [
  ["hello", "hello|"],
  ["日本語 👍🏽", "日本語 👍🏽|"],
  [`abc${LEFT}${LEFT}X`, "aX|bc"],
  [`abc\x1b[HX\x1b[FY`, "XabcY|"],
  ["abc\x01X\x05Y", "XabcY|"],
  ["abc\x1bOHX", "X|abc"],
  ["one two\x17", "one |"],
  ["one two\x15", "|"],
  ["one two\x01\x0b", "|"],
  ["one two\x17\x01\x19", "two|one "],
  ["one two\x1bb", "one |two"],
  ["one two\x1b[1;5D", "one |two"],
  ["one two\x1b\x7f", "one |"],
  ["abc\x02\x02\x06X", "abX|c"],
  ["abc\x7f\x08", "a|"],
  [`abc${LEFT}\x1b[3~`, "ab|"],
  [`abc${LEFT}\x04`, "ab|"],
  ["ab\x14", "ba|"],
  ["one two\x17\x1f", "one two|"],
  ["a\x1b\rb", "a\nb|"],
  [`one\x1b\rtwo${UP}X`, "oX|ne\ntwo"],
  [`one\x1b\rtwo${UP}\x01X${DOWN}Y`, "Xone\ntwoY|"],
  [`abcdefghijklmnopqrstuvwxyz${UP}X`, "abcdefgXhijklmnopqrstuvwxyz".replace("X", "X|")],
  ["a\x07b\x1b[5~c", "abc|"],
  ["\t", "|"],
];

test("Typing takes the keys of a line editor, for several lines", () => {
  for (const [keys, shown] of ROWS) {
    const typing = new Typing();
    press(typing, keys);
    assert.equal(show(typing), shown, JSON.stringify(keys));
  }
});

test("Typing says what a key asks for", () => {
  const WISHES: ReadonlyArray<readonly [string, readonly Wish[]]> = [
    ["a\r", ["enter"]],
    ["a\n", ["enter"]],
    ["\x04", ["end"]],
    ["a\x04", []],
    ["\x03", ["interrupt"]],
    ["a\x03", ["interrupt"]],
    ["\x1a", ["suspend"]],
    ["\x0c", ["clear"]],
    ["/q\t", ["complete"]],
  ];
  for (const [keys, wishes] of WISHES) {
    assert.deepEqual(press(new Typing(), keys), wishes, JSON.stringify(keys));
  }
});

test("Typing goes back through what was entered, and gives the draft back", () => {
  const typing = new Typing();
  for (const text of ["one", "two", "two", "three"]) {
    press(typing, text);
    assert.equal(typing.take(), text);
    assert.equal(typing.text, "");
  }
  press(typing, `draft${UP}`);
  assert.equal(show(typing), "three|");
  press(typing, UP);
  assert.equal(show(typing), "two|");
  press(typing, UP);
  assert.equal(show(typing), "one|");
  press(typing, UP);
  assert.equal(show(typing), "one|");
  press(typing, `${DOWN}${DOWN}${DOWN}${DOWN}`);
  assert.equal(show(typing), "draft|");
  press(typing, "\x10\x10\x0e");
  assert.equal(show(typing), "three|", "Ctrl-P and Ctrl-N");
  press(typing, "\x12tw");
  assert.equal(typing.text, "two");
  assert.match(typing.rows(SURFACE)[0]?.shown ?? "", /^\(tw\)> two$/);
  assert.deepEqual(press(typing, "\r"), ["enter"]);
  assert.equal(typing.take(), "two");
});

test("Typing keeps what is pasted as one text, line breaks, tabs and all", () => {
  const typing = new Typing();
  press(typing, "see: ");
  typing.paste("if (a) {\r\n\tb\x1b[2J;\r}\n");
  assert.equal(show(typing), "see: if (a) {\n\tb[2J;\n}\n|");
  press(typing, `${LEFT}\x7f${RIGHT}`);
  assert.equal(typing.take(), "see: if (a) {\n\tb[2J;\n\n");
});
