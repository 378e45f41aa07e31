import assert from "node:assert/strict";
import { test } from "node:test";
import { HistorySearch } from "../../lib/client/history_search.ts";

const HISTORY = ["renew", "request bob", "csr --id alice", "request carol", "csr"];
const AGAIN = "\x12";

/** Keys one after the other; the line, what stands before it, and what is left for the editor. */
const ROWS: ReadonlyArray<readonly [string, string, string, string?]> = [
  ["", "typed", "()> "],
  ["r", "renew", "(r)> "],
  ["req", "request bob", "(req)> "],
  [`req${AGAIN}`, "request carol", "(req)> "],
  [`req${AGAIN}${AGAIN}`, "request carol", "(not found: req)> "],
  ["reqx", "request bob", "(not found: reqx)> "],
  ["reqx\x7f", "request bob", "(req)> "],
  ["alice\x7f\x7f\x7f\x7f\x7f", "typed", "()> "],
  ["\x7f", "typed", "()> "],
  ["xyz", "typed", "(not found: xyz)> "],
  [AGAIN, "typed", "()> "],
  ["id al\r", "csr --id alice", "(id al)> ", "\r"],
  ["bob\x1b[C!", "request bob", "(bob)> ", "\x1b[C!"],
  ["bob\x05x", "request bob", "(bob)> ", "\x05x"],
  ["bob\x07", "typed", "(bob)> ", ""],
  ["bob\x03abc", "typed", "(bob)> ", "abc"],
  ["bob\x1b", "typed", "(bob)> ", ""],
  ["山", "typed", "(not found: 山)> "],
];

test("HistorySearch finds lines by what they contain, newest first", () => {
  for (const [keys, line, prompt, rest] of ROWS) {
    const whole = new HistorySearch(HISTORY, "typed");
    const found = whole.press(keys);
    assert.deepEqual(found, rest === undefined ? { line } : { line, rest }, JSON.stringify(keys));
    assert.equal(whole.prompt, prompt);
    if (rest !== undefined) continue;
    const single = new HistorySearch(HISTORY, "typed"); // as they are typed
    const steps = [...keys].map((key) => single.press(key));
    assert.equal(steps.at(-1)?.line ?? "typed", line);
    assert.equal(single.prompt, prompt);
  }
});

test("HistorySearch bounds what is searched for", () => {
  const search = new HistorySearch(HISTORY, "typed");
  search.press("x".repeat(10_000));
  assert.ok(search.prompt.length < 300);
});
