import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import {
  encodeAdminAnswer,
  encodeAdminError,
  encodeAdminProgress,
  encodeAdminRequest,
  parseAdminRequest,
  parseAdminResponse,
} from "../../lib/protocol/admin_messages.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";

const bodyOf = (frame: Uint8Array) => frame.subarray(FRAME_HEADER_BYTES);
const ASKED = { seq: 5, type: "STATUS" } as const;

test("parseAdminRequest() reads what encodeAdminRequest() wrote", () => {
  for (const type of ["STATUS", "BACKUP"] as const) {
    const request = { seq: 7, type, body: {} };
    assert.deepEqual(parseAdminRequest(bodyOf(encodeAdminRequest(request))), { ok: true, request });
  }
});

const BROKEN: readonly [string, string | Uint8Array, string][] = [
  ["not JSON", "{", "cannot read message: it is not JSON in UTF-8"],
  ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "cannot read message: it is not JSON in UTF-8"],
  ["an array", "[]", "cannot read message: it is not an object"],
  ["null", "null", "cannot read message: it is not an object"],
  ...["", '"seq":0,', '"seq":1.5,', '"seq":"1",', '"seq":-1,'].map((seq): [
    string,
    string,
    string,
  ] => [
    `the seq ${JSON.stringify(seq)}`,
    `{${seq}"type":"STATUS"}`,
    'cannot read message: "seq" is not a positive integer',
  ]),
];

for (const [what, message, expected] of BROKEN) {
  test(`parseAdminRequest() throws for ${what}`, () => {
    const bytes = typeof message === "string" ? utf8(message) : message;
    assert.throws(
      () => parseAdminRequest(bytes),
      (error) =>
        error instanceof PkiError && error.kind === "protocol" && error.message === expected,
    );
  });
}

const REFUSED: readonly [string, string, string][] = [
  ["no type", '{"seq":3}', "cannot read message: its type is unknown"],
  ["an unknown type", '{"seq":3,"type":"X"}', "cannot read message: its type is unknown"],
  [
    "a type of every object",
    '{"seq":3,"type":"toString"}',
    "cannot read message: its type is unknown",
  ],
  [
    "a field too many",
    '{"seq":3,"type":"STATUS","x":1}',
    'cannot read STATUS: "x" is not as it should be',
  ],
];

for (const [what, message, expected] of REFUSED) {
  test(`parseAdminRequest() refuses ${what}`, () => {
    const parsed = parseAdminRequest(utf8(message));
    assert.ok(!parsed.ok);
    assert.equal(parsed.seq, 3);
    assert.equal(parsed.error.kind, "malformed");
    assert.equal(parsed.error.message, expected);
  });
}

test("parseAdminResponse() reads answers and progress", () => {
  assert.deepEqual(parseAdminResponse(bodyOf(encodeAdminAnswer(5, { size: 3 })), ASKED), {
    type: "OK",
    answer: { size: 3 },
  });
  const response = parseAdminResponse(
    bodyOf(encodeAdminProgress(5, { done: 1, total: 2 })),
    ASKED,
  );
  assert.ok(response.type === "PROGRESS");
  assert.equal(response.progress.done, 1);
  assert.equal(response.progress.total, 2);
});

const ERRORS: readonly [unknown, ErrorKind, string, string | undefined][] = [
  [
    new PkiError("storage", 'cannot write "/x": ENOSPC', { hint: "free some" }),
    "storage",
    'cannot write "/x": ENOSPC',
    "free some",
  ],
  [new PkiError("conflict", "somebody else does"), "conflict", "somebody else does", undefined],
  [new TypeError("x is undefined"), "internal", "x is undefined", undefined],
];

for (const [error, kind, message, hint] of ERRORS) {
  test(`parseAdminResponse() reads the whole of an error of kind ${kind}`, () => {
    for (const seq of [5, 0]) {
      const response = parseAdminResponse(bodyOf(encodeAdminError(seq, error)), ASKED);
      assert.ok(response.type === "ERROR");
      assert.equal(response.error.kind, kind);
      assert.equal(response.error.message, message);
      assert.equal(response.error.hint, hint);
    }
  });
}

test("encodeAdminError() fits into a frame, however much there is to say", () => {
  const long = "ä".repeat(100_000);
  const frame = encodeAdminError(5, new PkiError("storage", long, { hint: long }));
  const response = parseAdminResponse(bodyOf(frame), ASKED);
  assert.ok(response.type === "ERROR");
  assert.equal(response.error.message, "ä".repeat(8192));
});

const NOT_ANSWERS: readonly [string, string, string][] = [
  ["another seq", '{"seq":4,"type":"OK"}', "cannot read answer: it answers what was not asked"],
  [
    "an OK for nothing",
    '{"seq":0,"type":"OK"}',
    "cannot read answer: it answers what was not asked",
  ],
  [
    "an error of another request",
    '{"seq":4,"type":"ERROR","code":"BUSY","message":"x"}',
    "cannot read answer: it answers what was not asked",
  ],
  ["an unknown type", '{"seq":5,"type":"MAYBE"}', "cannot read answer: it is not an answer"],
  ["no seq", '{"type":"OK"}', "cannot read answer: it is not an answer"],
  [
    "an error without a code",
    '{"seq":5,"type":"ERROR"}',
    "cannot read answer: it is not an answer",
  ],
  [
    "progress that is no number",
    '{"seq":5,"type":"PROGRESS","done":"1","total":2}',
    "cannot read answer: it is not an answer",
  ],
];

for (const [what, message, expected] of NOT_ANSWERS) {
  test(`parseAdminResponse() throws for ${what}`, () => {
    assert.throws(
      () => parseAdminResponse(utf8(message), ASKED),
      (error) =>
        error instanceof PkiError && error.kind === "protocol" && error.message === expected,
    );
  });
}
