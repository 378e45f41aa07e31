/** What is found out about certificates that a server hands out under load. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { copyBytes, encodeBase64 } from "../../lib/base/bytes.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import { encodeAnswer } from "../../lib/protocol/answers.ts";
import { type Expected, Judge, JUDGED_EVERY } from "../../lib/load/judge.ts";
import { codeOf } from "../../lib/load/wire.ts";
import { makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";

const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();
const [alice, bob, stranger, again] = await Promise.all([
  makeUser(CA, { id: "alice" }),
  makeUser(CA, { id: "bob" }),
  makeUser(OTHER_CA, { id: "alice" }),
  makeUser(CA, { id: "alice" }),
]);
type User = typeof alice;

const expected = (id: string, { certificate }: User): Expected => ({
  id,
  spki: copyBytes(certificate.spki),
});
const ALICE = expected("alice", alice);

let seq = 1_000_000_000;
/** The body of an answer about somebody, as a wire returns it. */
function answer({ shown: [leaf, issuing] }: User, fields: object = {}): Buffer {
  const [certificate, ca] = [leaf, issuing].map((der) => encodeBase64(der ?? new Uint8Array()));
  const whole = encodeAnswer(++seq, { certificate, issuing: ca, index: 7, ...fields });
  return Buffer.from(whole.subarray(FRAME_HEADER_BYTES));
}

const makeJudge = () => new Judge({ anchor: CA.judging.anchor, now: () => NOW_MS });

test("Judge.lookedUp() judges the first answer about somebody, and holds every other one against it", () => {
  const judge = makeJudge();
  for (let i = 0; i < 5; i++) judge.lookedUp(answer(alice), ALICE);
  assert.equal(judge.judged, 1);
  judge.lookedUp(answer(bob), expected("bob", bob));
  assert.equal(judge.judged, 2);
  judge.lookedUp(answer(alice, { index: 8 }), ALICE);
  assert.equal(judge.judged, 3, "what is published anew is judged anew");
  const flipped = answer(alice);
  const at = flipped.indexOf("MII") + 40;
  flipped[at] = flipped[at] === 0x41 ? 0x42 : 0x41;
  assert.throws(() => judge.lookedUp(flipped, ALICE), (error) => codeOf(error) === "WRONG");
});

const LIES: readonly (readonly [what: string, body: () => Buffer, why: RegExp])[] = [
  ["of somebody else", () => answer(bob), /a certificate of "bob", not of "alice"/],
  ["for another key", () => answer(again), /another key/],
  ["of another CA", () => answer(stranger), /answered wrongly/],
  ["without its issuer", () => answer(alice, { issuing: undefined }), /fields are not as/],
  ["that is none", () => answer(alice, { certificate: "AAAA" }), /answered wrongly/],
];

for (const [what, body, why] of LIES) {
  test(`Judge calls a certificate ${what} wrong, looked up or issued`, () => {
    for (const ask of ["lookedUp", "issued"] as const) {
      const judge = makeJudge();
      assert.throws(
        () => judge[ask](body(), ALICE),
        (error: Error) => codeOf(error) === "WRONG" && why.test(error.message),
      );
      assert.equal(judge.judged, 0);
      judge.lookedUp(answer(alice), ALICE);
    }
  });
}

test("Judge.issued() judges every so-manyth, and none may come twice", () => {
  const judge = makeJudge();
  const body = answer(alice);
  for (let i = 0; i < JUDGED_EVERY; i++) judge.issued(body, ALICE);
  assert.equal(judge.judged, 1);
  assert.throws(() => judge.issued(body, ALICE), /was given twice/);
});
