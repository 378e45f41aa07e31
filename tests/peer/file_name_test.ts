import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../lib/base/bytes.ts";
import { printable } from "../../lib/base/printable.ts";
import {
  collisionKey,
  cutToBytes,
  NAME_BYTES_MAX,
  numberName,
  sanitizeName,
  sanitizeTopName,
  splitExtension,
} from "../../lib/peer/file_name.ts";

/** What is sent, and what it is called here. */
const NAMES: readonly (readonly [sent: string, stored: string, why: string])[] = [
  ["..", "__", "the folder above"],
  [".", "_", "the folder itself"],
  ["...", "__", "dots alone"],
  ["../../etc/passwd", ".._.._etc_passwd", "separators"],
  ["/etc/passwd", "_etc_passwd", "absolute"],
  ["..\\..\\boot.ini", ".._.._boot.ini", "separators of Windows"],
  ["C:\\x", "C__x", "a drive"],
  ["file.txt:hidden", "file.txt_hidden", "a stream of NTFS"],
  ['a*b?c"d<e>f|g', "a_b_c_d_e_f_g", "what Windows forbids"],
  ["a\0b", "a_b", "NUL"],
  ["a\nb\rc\x1b[31m", "a_b_c_[31m", "control characters"],
  ["a\tb", "a b", "a tab"],
  ["a\x7f\x9b31mb", "a__31mb", "DEL and C1"],
  ["report\u202efdp.exe", "report_fdp.exe", "an override of direction"],
  ["a\u200bb\u2066c", "a_b_c", "what does not show"],
  ["\ufeffa", "_a", "a byte order mark"],
  ["a\ud800b", "a_b", "half a character"],
  ["", "_", "nothing"],
  ["   ", "_", "spaces alone"],
  [" a", "a", "a leading space"],
  ["a.", "a_", "a trailing dot"],
  ["a ", "a_", "a trailing space"],
  ["a. . .", "a__", "trailing dots and spaces"],
  ["CON", "_CON", "a device"],
  ["nul.txt", "_nul.txt", "a device with an extension"],
  ["Com1", "_Com1", "a port"],
  ["LPT¹.tar.gz", "_LPT¹.tar.gz", "a port with a superscript digit"],
  ["aux .c", "_aux .c", "a device and a space"],
  ["console", "console", "only begins like a device"],
  ["com10", "com10", "no port"],
  ["e\u0301", "\u00e9", "in normal form C"],
  [".gitignore", ".gitignore", "hidden, which is for the folder above to decide"],
  ["日本語 файл.txt", "日本語 файл.txt", "any script"],
  ["~", "~", "no shell is asked"],
  ["-rf", "-rf", "no command line is made of it"],
  ["a".repeat(255), "a".repeat(255), "the longest"],
  ["a".repeat(256), "a".repeat(255), "one byte too long"],
  [`${"a".repeat(300)}.tar.gz`, `${"a".repeat(248)}.tar.gz`, "the extension is kept"],
  [`${"ä".repeat(200)}.pdf`, `${"ä".repeat(125)}.pdf`, "whole characters, in bytes"],
  [`a.${"b".repeat(300)}`, `a.${"b".repeat(253)}`, "too long for an extension"],
  [`${"👩🏽".repeat(40)}.x`, `${"👩🏽".repeat(31)}.x`, "no half of a character that is shown as one"],
  [`${"a".repeat(250)}. . .pdf`, `${"a".repeat(250)}.pdf`, "no dot where it was cut"],
  ["plain.txt", "plain.txt", "plain"],
];

for (const [sent, stored, why] of NAMES) {
  test(`sanitizeName() makes a name of ${JSON.stringify(sent.slice(0, 30))}: ${why}`, () => {
    assert.equal(sanitizeName(sent), stored);
  });
}

test("sanitizeTopName() hides nothing in the folder where somebody works", () => {
  assert.equal(sanitizeTopName(".bashrc"), "_bashrc");
  assert.equal(sanitizeTopName(".."), "__");
  assert.equal(sanitizeTopName("..."), "__");
  assert.equal(sanitizeTopName("..ssh"), "_.ssh");
  assert.equal(sanitizeTopName("--checkpoint-action=exec=sh"), "_-checkpoint-action=exec=sh");
  assert.equal(sanitizeTopName("a.txt"), "a.txt");
});

const EXTENSIONS: readonly (readonly [name: string, stem: string, extension: string])[] = [
  ["report.pdf", "report", ".pdf"],
  ["a.tar.gz", "a", ".tar.gz"],
  ["a.b.c", "a.b", ".c"],
  [".profile", ".profile", ""],
  ["..profile", "..profile", ""],
  [".tar.gz", ".tar", ".gz"],
  ["none", "none", ""],
  ["1. first chapter", "1. first chapter", ""],
];

for (const [name, stem, extension] of EXTENSIONS) {
  test(`splitExtension() knows that the extension of ${name} is ${JSON.stringify(extension)}`, () => {
    assert.deepEqual(splitExtension(name), [stem, extension]);
  });
}

test("numberName() gives every try another name of at most 255 bytes", () => {
  assert.equal(numberName("report.pdf", 0), "report.pdf");
  assert.equal(numberName("report.pdf", 1), "report (1).pdf");
  assert.equal(numberName("a.tar.gz", 12), "a (12).tar.gz");
  assert.equal(numberName("folder", 1), "folder (1)");
  const long = `${"ü".repeat(125)}.pdf`;
  assert.equal(numberName(long, 10), `${"ü".repeat(123)} (10).pdf`);
});

const SAME: readonly (readonly [string, string, boolean])[] = [
  ["README", "readme", true],
  ["straße", "STRASSE", true],
  ["caf\u00e9", "cafe\u0301", true],
  ["ΣΑΣ", "σας", true],
  ["\ufb01le", "file", true],
  ["a", "b", false],
  ["a", "a ", false],
  ["e", "é", false],
];

for (const [a, b, isSame] of SAME) {
  test(`collisionKey() takes ${a} and ${b} for ${isSame ? "one name" : "two names"}`, () => {
    assert.equal(collisionKey(a) === collisionKey(b), isSame);
  });
}

test("whatever is sent, its name is one for every system, and a name for itself", () => {
  const hostile = fc.array(
    fc.constantFrom("..", "/", "\\", "\0", "con", ".", " ", "\u202e", "é", "👩🏽", "a", ":"),
    { maxLength: 200 },
  ).map((parts) => parts.join(""));
  const anything = fc.oneof(fc.string({ unit: "binary", maxLength: 400 }), hostile);
  fc.assert(
    fc.property(anything, fc.nat(2000), (sent, n) => {
      for (const name of [sanitizeName(sent), numberName(sanitizeTopName(sent), n)]) {
        const bytes = utf8(name).length;
        assert.ok(bytes >= 1 && bytes <= NAME_BYTES_MAX, `${bytes} bytes`);
        // deno-lint-ignore no-control-regex -- control characters are what it is about
        assert.doesNotMatch(name, /[/\\:*?"<>|\u0000-\u001f]/);
        assert.doesNotMatch(name, /^\.{1,2}$|[. ]$|^(?:con|nul)(?:\.|$)/i);
        assert.equal(name, printable(name));
      }
      assert.equal(sanitizeName(sanitizeName(sent)), sanitizeName(sent));
    }),
    { seed: 6, numRuns: 500 },
  );
});

test("cutToBytes() cuts nothing that fits, and never a character", () => {
  assert.equal(cutToBytes("aä", 3), "aä");
  assert.equal(cutToBytes("aä", 2), "a");
  assert.equal(cutToBytes("ä", 1), "");
  assert.equal(cutToBytes("", 0), "");
});
