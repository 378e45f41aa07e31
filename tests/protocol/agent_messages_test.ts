import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import {
  type AgentRequest,
  encodeAgentAnswer,
  encodeAgentError,
  encodeAgentRequest,
  parseAgentAnswer,
  parseAgentRequest,
} from "../../lib/protocol/agent_messages.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";

const bodyOf = (frame: Uint8Array) => frame.subarray(FRAME_HEADER_BYTES);
const HASH = encodeBase64(new Uint8Array(32));
const ADD = { id: "alice", key: "AAAA", pemHash: HASH, forMs: 60_000 };

const REQUESTS: readonly AgentRequest[] = [
  { type: "ADD", body: ADD },
  {
    type: "ADD",
    body: {
      ...ADD,
      id: "a".repeat(63),
      key: encodeBase64(new Uint8Array(LIMITS.derBytesMax)),
      forMs: LIMITS.unlockMsMax,
    },
  },
  { type: "KEY", body: { id: "alice" } },
  { type: "LIST", body: {} },
  { type: "LOCK", body: {} },
  { type: "LOCK", body: { id: "alice.work" } },
];

for (const request of REQUESTS) {
  test(`parseAgentRequest() reads ${request.type} of ${Object.keys(request.body)}`, () => {
    assert.deepEqual(parseAgentRequest(bodyOf(encodeAgentRequest(request))), request);
  });
}

function isRefused(kind: ErrorKind, message: string) {
  return (error: unknown) =>
    error instanceof PkiError && error.kind === kind && error.message === message;
}

const addWith = (fields: object) => JSON.stringify({ type: "ADD", ...ADD, ...fields });
const WRONG_ADD = "cannot read ADD: its fields are not as they should be";
const NO_REQUESTS: readonly (readonly [string, string, string])[] = [
  ["no JSON", "alice", "cannot read message: it is not JSON in UTF-8"],
  ["a name twice", '{"type":"LIST","type":"LOCK"}', "cannot read message: it has a name twice"],
  ["a list", "[]", "cannot read message: it is not an object"],
  ["no type", "{}", "cannot read message: its type is unknown"],
  ["an unknown type", '{"type":"SIGN"}', "cannot read message: its type is unknown"],
  ["a name of every object", '{"type":"toString"}', "cannot read message: its type is unknown"],
  ["an id that is a path", addWith({ id: "../x" }), WRONG_ADD],
  ["an id of 64 characters", addWith({ id: "a".repeat(64) }), WRONG_ADD],
  ["no key", addWith({ key: "" }), WRONG_ADD],
  [
    "a key that is too long",
    addWith({ key: encodeBase64(new Uint8Array(LIMITS.derBytesMax + 1)) }),
    WRONG_ADD,
  ],
  ["a hash of 31 bytes", addWith({ pemHash: encodeBase64(new Uint8Array(31)) }), WRONG_ADD],
  ["no time", addWith({ forMs: 0 }), WRONG_ADD],
  ["a time before now", addWith({ forMs: -1 }), WRONG_ADD],
  ["a time that is no number", addWith({ forMs: "60000" }), WRONG_ADD],
  ["a part of a millisecond", addWith({ forMs: 1.5 }), WRONG_ADD],
  ["more than a day", addWith({ forMs: LIMITS.unlockMsMax + 1 }), WRONG_ADD],
  ["a field too many", addWith({ more: 1 }), WRONG_ADD],
  [
    "KEY of nobody",
    '{"type":"KEY"}',
    "cannot read KEY: its fields are not as they should be",
  ],
];

for (const [what, text, message] of NO_REQUESTS) {
  test(`parseAgentRequest() refuses ${what}`, () => {
    assert.throws(() => parseAgentRequest(utf8(text)), isRefused("protocol", message));
  });
}

test("parseAgentRequest() reads nothing of a message that is cut, and fails as it should", () => {
  const whole = bodyOf(encodeAgentRequest({ type: "ADD", body: ADD }));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => parseAgentRequest(whole.subarray(0, length)), { kind: "protocol" });
  }
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(7), (at, bit) => {
      const flipped = new Uint8Array(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 1 << bit;
      try {
        const { type } = parseAgentRequest(flipped);
        assert.equal(type, "ADD"); // another id, key, hash or time
      } catch (error) {
        assert.ok(error instanceof PkiError && error.kind === "protocol", String(error));
      }
    }),
  );
});

test("parseAgentAnswer() reads answers, and throws what the agent says", () => {
  const kept = { key: "AAAA", pemHash: HASH, untilMs: 5 };
  assert.deepEqual(parseAgentAnswer(bodyOf(encodeAgentAnswer(kept)), "KEY"), kept);
  const list = { kept: [{ id: "alice", untilMs: 5 }] };
  assert.deepEqual(parseAgentAnswer(bodyOf(encodeAgentAnswer(list)), "LIST"), list);
  const error = new PkiError("not-found", 'the key of "alice" is not unlocked');
  assert.throws(
    () => parseAgentAnswer(bodyOf(encodeAgentError(error)), "KEY"),
    isRefused("not-found", 'the key of "alice" is not unlocked'),
  );
  const long = bodyOf(encodeAgentError(new PkiError("busy", "x".repeat(100_000))));
  assert.throws(() => parseAgentAnswer(long, "KEY"), { kind: "busy" });
});

const NO_ANSWERS: readonly (readonly [string, string, string])[] = [
  ["no type", "{}", "cannot read answer: it is not an answer"],
  ["an unknown type", '{"type":"MAYBE"}', "cannot read answer: it is not an answer"],
  ["an error without a code", '{"type":"ERROR"}', "cannot read answer: it is not an answer"],
  [
    "no key",
    '{"type":"OK"}',
    "cannot read the answer to KEY: its fields are not as they should be",
  ],
];

for (const [what, text, message] of NO_ANSWERS) {
  test(`parseAgentAnswer() refuses ${what}`, () => {
    assert.throws(() => parseAgentAnswer(utf8(text), "KEY"), isRefused("protocol", message));
  });
}
