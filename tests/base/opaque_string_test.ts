import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { enforceOpaqueString } from "../../lib/base/opaque_string.ts";

/** What the prepared string is; where there is none, which character is at fault. */
function outcomeOf(text: string): string | number {
  const result = enforceOpaqueString(text);
  return typeof result === "string" ? result : result.position;
}

test("enforceOpaqueString() does as the examples of RFC 8265, section 4.3, say", () => {
  const rows: readonly (readonly [number, string, string | number])[] = [
    [12, "correct horse battery staple", "correct horse battery staple"],
    [13, "Correct Horse Battery Staple", "Correct Horse Battery Staple"],
    [14, "\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5"],
    [15, "Jack of \u2666s", "Jack of \u2666s"],
    [16, "foo\u1680bar", "foo bar"],
    [17, "", 0],
    [18, "my cat is a \u0009by", 13],
  ];
  for (const [example, text, outcome] of rows) {
    assert.equal(outcomeOf(text), outcome, `example ${example}`);
  }
});

test("enforceOpaqueString() maps spaces and composes, and changes neither case nor width", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["a\u00a0b\u2003c\u3000d", "a b c d"],
    [" a  b ", " a  b "],
    ["e\u0301", "\u00e9"],
    ["\u2126", "\u03a9"], // a sign whose normal form is another character
    ["\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uae00"], // syllables in parts, as some systems type
    ["\uff21\uff42\u017f\u00aa\u2460\ufb01", "\uff21\uff42\u017f\u00aa\u2460\ufb01"],
    ["\u{1f40e}\u{20000}\ufffd", "\u{1f40e}\u{20000}\ufffd"],
  ];
  for (const [text, prepared] of rows) assert.equal(outcomeOf(text), prepared);
});

test("enforceOpaqueString() says where a character stands that may not, and what it is", () => {
  const rows: readonly (readonly [number, string])[] = [
    [0x00, "a control character"],
    [0x0a, "a line break"],
    [0x0d, "a line break"],
    [0x1b, "a control character"],
    [0x7f, "a control character"],
    [0x85, "a control character"],
    [0xad, "an invisible character"],
    [0x0378, "a character that Unicode does not know yet"],
    [0x0640, "a character that only stretches or repeats others"],
    [0x115f, "a part of a Hangul syllable"],
    [0x200b, "an invisible character"],
    [0x2028, "a line break"],
    [0x202e, "an invisible character"],
    [0x3035, "a character that only stretches or repeats others"],
    [0xd800, "half a character"],
    [0xe000, "a character for private use"],
    [0xfdd0, "no character of Unicode"],
    [0xfe0f, "an invisible character"],
    [0xfeff, "an invisible character"],
    [0xfff9, "an invisible character"],
    [0xe0001, "an invisible character"],
    [0x10ffff, "no character of Unicode"],
  ];
  for (const [code, what] of rows) {
    const text = `e\u0301\u{1f40e}${String.fromCodePoint(code)}x`;
    assert.deepEqual(enforceOpaqueString(text), { what, position: 3 }, code.toString(16));
  }
});

test("enforceOpaqueString() lets some characters in by where they stand (RFC 5892, appendix A)", () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ["a zero width non-joiner", "\u0915\u094d\u200c\u0937", "\u0915\u200c\u0937"],
    ["the same behind a virama beyond U+FFFF", "\u{11046}\u200c", "\u{11045}\u200c"],
    ["the same between letters that join", "\u0645\u06cc\u200c\u062e", "\u062f\u200c\u062e"],
    ["the same with marks between", "\u0645\u064e\u200c\u064e\u062e", "\u0645\u200c\u0621"],
    ["a zero width joiner", "\u0915\u094d\u200d", "\u0645\u200d\u062e"],
    ["a middle dot", "col\u00b7lecci\u00f3", "a\u00b7b"],
    ["a keraia", "\u0375\u03b1", "\u0375a"],
    ["a geresh", "\u05d0\u05f3", "a\u05f3"],
    ["a gershayim", "\u05d0\u05f4", "\u05f4\u05d0"],
    ["a katakana middle dot", "\u30a2\u30fbb", "a\u30fbb"],
    ["Arabic-Indic digits", "\u0661\u0662", "\u0661\u06f2"],
    ["extended Arabic-Indic digits", "\u06f1\u06f2", "\u06f1\u0662"],
  ];
  for (const [name, good, bad] of rows) {
    assert.equal(outcomeOf(good), good, name);
    const fault = enforceOpaqueString(bad);
    assert.ok(typeof fault !== "string", name);
    assert.equal(fault.what, "a character that may stand in few places only", name);
  }
});

test("enforceOpaqueString() changes nothing the second time, and ASCII never", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
    const once = enforceOpaqueString(text);
    if (typeof once === "string") assert.equal(enforceOpaqueString(once), once);
    else assert.ok(once.position <= [...text].length);
  }));
  fc.assert(fc.property(fc.string({ unit: "grapheme-ascii", minLength: 1 }), (text) => {
    assert.equal(enforceOpaqueString(text), text);
  }));
});
