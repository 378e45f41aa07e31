import assert from "node:assert/strict";
import { test } from "node:test";
import { describeEnd, endEventOf, type TalkEnd } from "../../commands/talk_end.ts";
import { PkiError } from "../../lib/base/errors.ts";

const END: TalkEnd = {
  peer: "bob",
  by: "peer",
  durationMs: 192_000,
  error: undefined,
  undelivered: [],
};
const cut = new PkiError("truncated", "the line was cut before everything was confirmed");
const silent = new PkiError("timeout", "the peer has shown no sign of life for 60 s");

const ROWS: ReadonlyArray<readonly [Partial<TalkEnd>, string]> = [
  [{}, "the conversation with bob has ended after 3 m 12 s: bob said goodbye"],
  [{ by: "us" }, "the conversation with bob has ended after 3 m 12 s: you said goodbye"],
  [{ error: cut }, "the conversation with bob broke off after 3 m 12 s: the connection was lost"],
  [
    { error: silent, undelivered: ["are you there?", "two\nlines"] },
    "the conversation with bob broke off after 3 m 12 s: " +
    "the peer has shown no sign of life for 60 s\n" +
    "not delivered: are you there?\n" +
    "not delivered: two\n  lines",
  ],
];

test("describeEnd() says who left and why, and what did not arrive", () => {
  for (const [end, text] of ROWS) assert.equal(describeEnd({ ...END, ...end }), text);
});

test("describeEnd() names no more lines than anybody reads", () => {
  const undelivered = Array.from({ length: 12 }, (_, at) => `line ${at}`);
  const lines = describeEnd({ ...END, error: cut, undelivered }).split("\n");
  assert.equal(lines.length, 12);
  assert.equal(lines[10], "not delivered: line 9");
  assert.equal(lines[11], "not delivered: 2 more");
});

test("endEventOf() says the same to programs", () => {
  const common = { peer: "bob", durationMs: 192_000 };
  assert.deepEqual(endEventOf(END), { event: "ended", ...common, by: "peer" });
  const { kind, message } = cut;
  const failed = { event: "failed", ...common, kind, message };
  assert.deepEqual(endEventOf({ ...END, error: cut }), failed);
  const undelivered = ["a\nb"];
  assert.deepEqual(endEventOf({ ...END, error: cut, undelivered }), { ...failed, undelivered });
});
