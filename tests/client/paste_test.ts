import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  linesOfPaste,
  PASTE_CHARACTERS_MAX,
  PasteFilter,
  type TerminalInput,
} from "../../lib/client/paste.ts";

const keys = (text: string): TerminalInput => ({ kind: "keys", text });
const paste = (text: string): TerminalInput => ({ kind: "paste", text });

/** What is told of one chunk, without what only a later one decides. */
const CHUNKS: ReadonlyArray<readonly [string, readonly TerminalInput[]]> = [
  ["", []],
  ["a", [keys("a")]],
  ["csr\r", [keys("csr\r")]],
  ["csr\r\n", [keys("csr\r\n")]],
  ["\x1b[A", [keys("\x1b[A")]],
  ["\x1b[200~csr\r\x1b[201~", [paste("csr\r")]],
  ["a\x1b[200~b\x1b[201~c", [keys("a"), paste("b"), keys("c")]],
  ["\x1b[200~\x1b[201~", [paste("")]],
  ["\x1b[200~a\x1b[200~b\x1b[201~", [paste("a\x1b[200~b")]],
  // A terminal that marks nothing: what stands behind Enter was not typed.
  ["csr\rrevoke\ry\r", [keys("csr\r"), paste("revoke\ry\r")]],
  ["csr\nrevoke", [keys("csr\n"), paste("revoke")]],
];

test("PasteFilter tells keys from what was pasted", () => {
  for (const [chunk, found] of CHUNKS) {
    const filter = new PasteFilter();
    assert.deepEqual(filter.push(chunk), found, JSON.stringify(chunk));
    assert.equal(filter.isUndecided, false);
  }
});

test("PasteFilter holds back what may be a mark until it is decided", () => {
  const filter = new PasteFilter();
  assert.deepEqual(filter.push("\x1b"), []);
  assert.equal(filter.isUndecided, true);
  assert.deepEqual(filter.flush(), [keys("\x1b")], "the Escape key");
  assert.equal(filter.isUndecided, false);
  assert.deepEqual(filter.push("\x1b[20"), []);
  assert.deepEqual(filter.push("0~revoke\r\x1b[2"), []);
  assert.deepEqual(filter.push("01~"), [paste("revoke\r")]);
  assert.deepEqual(filter.flush(), []);
});

test("PasteFilter finds the same pastes however the bytes are cut", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", " ", "\r", "\x1b", "[", "2", "~"),
    maxLength: 12,
  })
    .filter((text) => !text.includes("\x1b[20"));
  fc.assert(fc.property(
    fc.array(text, { minLength: 1, maxLength: 4 }),
    fc.array(fc.nat(80), { maxLength: 6 }),
    (pastes, cuts) => {
      const whole = pastes.map((text) => `\x1b[200~${text}\x1b[201~k`).join("");
      const places = [0, ...cuts.map((cut) => cut % whole.length).sort((a, b) => a - b)];
      const filter = new PasteFilter();
      const found = places.flatMap((at, i) => filter.push(whole.slice(at, places[i + 1])));
      assert.deepEqual(found, pastes.flatMap((text) => [paste(text), keys("k")]));
    },
  ));
});

test("PasteFilter holds no more of a paste than it may have", () => {
  const filter = new PasteFilter();
  filter.push("\x1b[200~");
  for (let at = 0; at < 100; at++) filter.push("x".repeat(10_000));
  const [found] = filter.push("\x1b[201~");
  assert.equal(found?.text.length, PASTE_CHARACTERS_MAX);
  assert.ok(found?.kind === "paste" && found.isCut);
  assert.deepEqual(filter.push("\x1b[200~short\x1b[201~"), [paste("short")]);
});

test("linesOfPaste() makes lines of it, without control characters", () => {
  assert.deepEqual(linesOfPaste("csr\r\nupload\nrequest\tbob\r"), [
    "csr",
    "upload",
    "request bob",
    "",
  ]);
  assert.deepEqual(linesOfPaste("a\x1b[2J\x03\x04\u0085b"), ["a[2Jb"]);
});

test("linesOfPaste() keeps tabs for whom they mean something", () => {
  assert.deepEqual(linesOfPaste("a\tb\x1b\r\tc", { keepsTabs: true }), ["a\tb", "\tc"]);
});
