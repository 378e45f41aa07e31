import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFields, WrittenFields } from "../../lib/protocol/answers.ts";
import { PreparedAnswers } from "../../lib/server/prepared_answers.ts";

/** Ten characters of JSON. */
const answerOf = (entry: number) => new WrittenFields({ e: 1000 + entry });

/** Asks for entries and says which of them had to be made. */
function askFor(answers: PreparedAnswers, entries: readonly number[]): readonly number[] {
  const made: number[] = [];
  for (const entry of entries) {
    const answer = answers.get(entry, () => {
      made.push(entry);
      return answerOf(entry);
    });
    assert.equal(encodeFields(answer), `{"e":${1000 + entry}}`);
  }
  return made;
}

test("PreparedAnswers makes each answer once, and again once it was cleared", () => {
  const answers = new PreparedAnswers();
  assert.deepEqual(askFor(answers, [1, 2, 1, 2, 1]), [1, 2]);
  assert.equal(answers.characters, 20);
  answers.clear();
  assert.equal(answers.characters, 0);
  assert.deepEqual(askFor(answers, [2, 2]), [2]);
});

test("PreparedAnswers keeps no more characters than it may, and drops what was not asked for lately", () => {
  const answers = new PreparedAnswers(40);
  assert.deepEqual(askFor(answers, [1, 2, 3, 1, 4]), [1, 2, 3, 4]);
  assert.equal(answers.characters, 30);
  // 2 is not asked for any more, and goes with its generation.
  assert.deepEqual(askFor(answers, [4, 3, 1, 5]), [5]);
  assert.deepEqual(askFor(answers, [1, 5, 2]), [2]);
  for (let entry = 0; entry < 100; entry++) {
    askFor(answers, [entry, entry - 1, 1]);
    assert.ok(answers.characters <= 40);
  }
});

test("PreparedAnswers gives an answer that is larger than all that it keeps", () => {
  const answers = new PreparedAnswers(9);
  assert.deepEqual(askFor(answers, [1, 2, 3, 1]), [1, 2, 3, 1]);
  assert.equal(answers.characters, 20, "one in each generation");
});
