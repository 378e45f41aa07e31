import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { printable, printableJson } from "../../lib/base/printable.ts";

const UNSAFE: readonly { readonly name: string; readonly codes: readonly [number, number] }[] = [
  { name: "C0 below tab", codes: [0x00, 0x08] },
  { name: "C0 above tab, escape too", codes: [0x0a, 0x1f] },
  { name: "DEL and C1", codes: [0x7f, 0x9f] },
  { name: "the Arabic letter mark", codes: [0x61c, 0x61c] },
  { name: "zero width and marks of direction", codes: [0x200b, 0x200f] },
  { name: "separators, embeddings and overrides", codes: [0x2028, 0x202e] },
  { name: "invisible operators and isolates", codes: [0x2060, 0x2069] },
  { name: "the byte order mark", codes: [0xfeff, 0xfeff] },
  { name: "interlinear annotations", codes: [0xfff9, 0xfffb] },
  { name: "tags", codes: [0xe0000, 0xe007f] },
];

for (const { name, codes: [first, last] } of UNSAFE) {
  test(`printable() shows none of ${name}`, () => {
    for (let code = first; code <= last; code++) {
      assert.equal(printable(`a${String.fromCodePoint(code)}b`), "a\ufffdb", code.toString(16));
    }
  });
}

const SAFE = [
  "",
  "plain text",
  "äöü €",
  "日本語",
  "שלום",
  "🔑👍🏽",
  "~",
  "\u00a0",
  "\u2010",
  "\u202f",
];

for (const text of SAFE) {
  test(`printable() leaves ${JSON.stringify(text)} as it is`, () => {
    assert.equal(printable(text), text);
  });
}

test("printable() makes a tab a space, and half a surrogate pair visible", () => {
  assert.equal(printable("a\tb"), "a b");
  assert.equal(printable("a\ud83db"), "a\ufffdb");
  assert.equal(printable("\x1b[2J\x1b]0;x\x07"), "\ufffd[2J\ufffd]0;x\ufffd");
  assert.equal(printable("a\r\nb"), "a\ufffd\ufffdb");
});

test("printable() changes nothing that it made", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const shown = printable(text);
    assert.equal(printable(shown), shown);
    assert.doesNotMatch(shown, /[\p{Cc}\p{Cs}]/u);
  }));
});

test("printableJson() is JSON of the same value, and shows nothing unsafe", () => {
  fc.assert(fc.property(fc.json(), fc.string({ unit: "binary" }), (json, text) => {
    const value = [JSON.parse(json), text];
    assert.deepEqual(JSON.parse(printableJson(value)), JSON.parse(JSON.stringify(value)));
  }));
  for (const { name, codes: [first, last] } of UNSAFE) {
    for (let code = first; code <= last; code++) {
      const text = `a${String.fromCodePoint(code)}b`;
      const shown = printableJson({ [text]: text });
      assert.match(shown, /^[\x20-\x7e]+$/, name);
      assert.deepEqual(JSON.parse(shown), { [text]: text }, name);
    }
  }
  assert.equal(printableJson({ a: "ä\u202e" }), '{"a":"ä\\u202e"}');
});
