import assert from "node:assert/strict";
import { test } from "node:test";
import { askAbout } from "../../commands/waiting_line.ts";
import { PkiError } from "../../lib/base/errors.ts";

function fakeLine() {
  const said: string[] = [];
  const over = Promise.withResolvers<void>();
  over.promise.catch(() => {});
  const leave = () => over.reject(new PkiError("truncated", "the line was cut"));
  return {
    said,
    leave,
    line: { sayWait: (why: string) => void said.push(why), over: over.promise },
  };
}

/** Never answered, but for the signal. */
const question = (signal: AbortSignal) =>
  new Promise<boolean>((_, reject) => {
    signal.addEventListener("abort", () => reject(new PkiError("interrupted", "interrupted")));
  });

test("askAbout() tells the peer to wait, and gives the answer", async () => {
  const { said, line } = fakeLine();
  assert.equal(await askAbout(line, () => Promise.resolve("yes")), "yes");
  assert.deepEqual(said, ["asked"]);
});

test("askAbout() takes the question back when the peer leaves, and says why it left", async () => {
  const [during, before] = [fakeLine(), fakeLine()];
  const answer = askAbout(during.line, question);
  during.leave();
  before.leave();
  const left = { kind: "truncated", message: "the line was cut" };
  await assert.rejects(answer, left);
  await assert.rejects(askAbout(before.line, question), left);
});

test("askAbout() passes on that the user was interrupted", async () => {
  const stop = new PkiError("interrupted", "interrupted");
  await assert.rejects(askAbout(fakeLine().line, () => Promise.reject(stop)), stop);
});
