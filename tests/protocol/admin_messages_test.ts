import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import {
  ADMIN_REASONS,
  type AdminRequest,
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

const SERIAL = "40".repeat(20);

const REQUESTS: readonly AdminRequest[] = [
  { seq: 7, type: "STATUS", body: {} },
  { seq: 7, type: "BACKUP", body: {} },
  { seq: 7, type: "RELOAD", body: {} },
  { seq: 7, type: "ISSUE", body: { profile: "server", dns: ["a.example"], spki: "AAAA" } },
  {
    seq: 7,
    type: "ISSUE",
    body: { profile: "server", dns: [], addresses: ["::1", "10.0.0.1"], csr: "AAAA", days: 1 },
  },
  { seq: 7, type: "ISSUE", body: { profile: "service", name: "backup", spki: "AAAA" } },
  { seq: 7, type: "LIST", body: {} },
  {
    seq: 7,
    type: "LIST",
    body: {
      id: "alice",
      serial: SERIAL,
      profile: "user",
      state: "valid",
      endsBeforeMs: 0,
      after: { notAfterMs: 0, entry: 0 },
      limit: 1,
    },
  },
  ...ADMIN_REASONS.map((reason): AdminRequest => (
    { seq: 7, type: "REVOKE", body: { serial: "00", reason } }
  )),
  { seq: 7, type: "REVOKE", body: { id: "alice", reason: "unspecified" } },
  { seq: 7, type: "INVITE", body: { isReset: false, forMs: 1, uses: 1 } },
  {
    seq: 7,
    type: "INVITE",
    body: { id: "alice", isReset: true, forMs: 365 * 86_400_000, uses: 10_000 },
  },
  { seq: 7, type: "INVITATIONS", body: {} },
  { seq: 7, type: "INVITATIONS", body: { after: 0 } },
  { seq: 7, type: "WITHDRAW", body: { number: 0 } },
  { seq: 7, type: "USERS", body: {} },
  { seq: 7, type: "USERS", body: { id: "alice", state: "deleted", after: "alice", limit: 1 } },
  ...(["disable", "enable", "delete"] as const).map((action): AdminRequest => (
    { seq: 7, type: "USER", body: { id: "alice", action } }
  )),
];

for (const request of REQUESTS) {
  test(`parseAdminRequest() reads ${request.type} ${JSON.stringify(request.body)}`, () => {
    assert.deepEqual(parseAdminRequest(bodyOf(encodeAdminRequest(request))), { ok: true, request });
  });
}

/** A type, what it is asked with, and the field that is not as it should be. */
const WRONG_FIELDS: readonly [string, object, string][] = [
  ["ISSUE", {}, "profile"],
  ["ISSUE", { profile: "user" }, "profile"],
  ["ISSUE", { profile: "issuing" }, "profile"],
  ["ISSUE", { profile: "service", name: "x".repeat(64) }, "name"],
  ["ISSUE", { profile: "server", dns: "a.example" }, "dns"],
  ["ISSUE", { profile: "server", dns: ["x".repeat(254)] }, "dns"],
  ["ISSUE", { profile: "server", dns: Array(101).fill("x") }, "dns"],
  ["ISSUE", { profile: "server", addresses: [1] }, "addresses"],
  ["ISSUE", { profile: "server", csr: "A".repeat(21_849) }, "csr"],
  ["ISSUE", { profile: "server", spki: 1 }, "spki"],
  ["ISSUE", { profile: "server", days: 0 }, "days"],
  ["ISSUE", { profile: "server", days: 1.5 }, "days"],
  ["ISSUE", { profile: "server", key: "secret" }, "key"],
  ["LIST", { id: "x".repeat(64) }, "id"],
  ["LIST", { serial: "" }, "serial"],
  ["LIST", { serial: "4" }, "serial"],
  ["LIST", { serial: "4G" }, "serial"],
  ["LIST", { serial: "AA" }, "serial"],
  ["LIST", { serial: "40".repeat(21) }, "serial"],
  ["LIST", { profile: "x".repeat(33) }, "profile"],
  ["LIST", { state: "good" }, "state"],
  ["LIST", { endsBeforeMs: -1 }, "endsBeforeMs"],
  ["LIST", { endsBeforeMs: "5" }, "endsBeforeMs"],
  ["LIST", { after: {} }, "after"],
  ["LIST", { after: { notAfterMs: 1, entry: 1, more: 1 } }, "after"],
  ["LIST", { limit: 0 }, "limit"],
  ["LIST", { user: "alice" }, "user"],
  ["REVOKE", { serial: "00" }, "reason"],
  ["REVOKE", { serial: "00", reason: "certificateHold" }, "reason"],
  ["REVOKE", { serial: "00", reason: "removeFromCRL" }, "reason"],
  ["REVOKE", { serial: "0x", reason: "unspecified" }, "serial"],
  ["REVOKE", { id: 5, reason: "unspecified" }, "id"],
  ["REVOKE", { serial: "00", reason: "unspecified", all: true }, "all"],
  ["RELOAD", { folder: "/etc" }, "folder"],
  ["INVITE", { uses: 1 }, "forMs"],
  ["INVITE", { forMs: 0, uses: 1 }, "forMs"],
  ["INVITE", { forMs: 365 * 86_400_000 + 1, uses: 1 }, "forMs"],
  ["INVITE", { forMs: 1 }, "uses"],
  ["INVITE", { forMs: 1, uses: 0 }, "uses"],
  ["INVITE", { forMs: 1, uses: 10_001 }, "uses"],
  ["INVITE", { forMs: 1, uses: 1, id: "../alice" }, "id"],
  ["INVITE", { forMs: 1, uses: 1, token: "AAAA" }, "token"],
  ["INVITE", { forMs: 1, uses: 1, isReset: 1 }, "isReset"],
  ["INVITATIONS", { after: -1 }, "after"],
  ["WITHDRAW", {}, "number"],
  ["WITHDRAW", { number: 1.5 }, "number"],
  ["USERS", { id: "Alice" }, "id"],
  ["USERS", { state: "gone" }, "state"],
  ["USERS", { after: "" }, "after"],
  ["USERS", { limit: 0 }, "limit"],
  ["USER", { id: "alice" }, "action"],
  ["USER", { id: "alice", action: "promote" }, "action"],
  ["USER", { action: "disable" }, "id"],
];

for (const [type, body, field] of WRONG_FIELDS) {
  const shown = JSON.stringify(body).slice(0, 60);
  test(`parseAdminRequest() refuses ${type} ${shown} for its ${field}`, () => {
    const parsed = parseAdminRequest(utf8(JSON.stringify({ seq: 3, type, ...body })));
    assert.ok(!parsed.ok);
    assert.equal(parsed.seq, 3);
    assert.equal(parsed.error.kind, "malformed");
    assert.equal(parsed.error.message, `cannot read ${type}: "${field}" is not as it should be`);
  });
}

const ROW = {
  entry: 5,
  serial: SERIAL,
  profile: "user",
  id: "alice",
  subject: null,
  issuedMs: 1,
  notAfterMs: 2,
  revokedMs: null,
  reason: null,
  issuerKeyId: "00",
};

const USER = {
  id: "alice",
  registeredMs: 1,
  disabledMs: null,
  deletedMs: null,
  valid: 1,
  notAfterMs: 2,
};
const INVITED = {
  number: 5,
  token: "A".repeat(21) + "A==",
  expiresMs: 1,
  registration: "invite",
};
const INVITATION = {
  number: 5,
  id: null,
  isReset: false,
  uses: 2,
  usesLeft: 1,
  madeMs: 1,
  expiresMs: 2,
};

/** Answers that are none: a type, its answer, in this order; the good one comes last. */
const ANSWERS = {
  ISSUE: [
    { certificate: "", issuing: "", index: 5 },
    { certificate: "", issuing: "", index: -1, ignored: [] },
    { certificate: "", issuing: "", index: 5, ignored: [] },
  ],
  LIST: [
    {},
    { certificates: [{ ...ROW, serial: "x" }] },
    { certificates: [{ ...ROW, notAfterMs: "2" }] },
    { certificates: [ROW], next: { entry: 5 } },
    { certificates: [ROW], next: { notAfterMs: 5, entry: 5 } },
  ],
  REVOKE: [{ revoked: [ROW] }, { revoked: [{}], more: 0 }, { revoked: [ROW], more: 0 }],
  RELOAD: [{}, { issuing: 5 }, { issuing: "00" }],
  INVITE: [
    { ...INVITED, token: "AAAA" },
    { ...INVITED, registration: "all" },
    { ...INVITED, address: "x".repeat(256) },
    { ...INVITED, address: "localhost:7443" },
  ],
  INVITATIONS: [
    {},
    { invitations: [{ ...INVITATION, id: "../x" }] },
    { invitations: [{ ...INVITATION, usesLeft: -1 }] },
    { invitations: [INVITATION], next: 5 },
  ],
  WITHDRAW: [{}, { number: 5 }],
  USERS: [
    {},
    { users: [{ ...USER, id: "../x" }] },
    { users: [{ ...USER, valid: "1" }] },
    { users: [USER], next: "/" },
    { users: [USER], next: "alice" },
  ],
  USER: [
    { user: USER, revoked: 0 },
    { user: {}, revoked: 0, redacted: 0 },
    { user: USER, revoked: 0, redacted: 0 },
  ],
} as const;

for (const [name, answers] of Object.entries(ANSWERS)) {
  test(`parseAdminResponse() reads the answer to ${name} if all of it is there`, () => {
    const type = name as keyof typeof ANSWERS;
    answers.forEach((answer, i) => {
      const read = () => parseAdminResponse(bodyOf(encodeAdminAnswer(5, answer)), { seq: 5, type });
      if (i === answers.length - 1) return assert.deepEqual(read(), { type: "OK", answer });
      assert.throws(read, {
        kind: "protocol",
        message: `cannot read the answer to ${type}: its fields are not as they should be`,
      });
    });
  });
}

const BROKEN: readonly [string, string | Uint8Array, string][] = [
  ["not JSON", "{", "cannot read message: it is not JSON in UTF-8"],
  ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "cannot read message: it is not JSON in UTF-8"],
  ["an array", "[]", "cannot read message: it is not an object"],
  ["null", "null", "cannot read message: it is not an object"],
  [
    "a name twice",
    '{"seq":1,"type":"STATUS","type":"BACKUP"}',
    "cannot read message: it has a name twice",
  ],
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
