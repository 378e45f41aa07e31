import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, utf8 } from "../../lib/base/bytes.ts";
import {
  encodeAnswer,
  encodeAnswerOf,
  encodeError,
  encodeFields,
  parseAnswer,
  parseAnswerBody,
} from "../../lib/protocol/answers.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import { REQUEST_TYPES, type RequestType } from "../../lib/protocol/requests.ts";
import {
  BAD_IDS,
  base64Of,
  NONCE,
  NOT_ANNOUNCED,
  NOT_BASE64,
  NOT_COUNTS,
  NOT_NOTES,
  NOT_OPAQUE,
  NOT_TEXT,
} from "./bad_fields.ts";

const NOT_AN_ANSWER = "cannot read answer: it is not an answer";

const ANSWERS: readonly (readonly [body: string, refusal: string | undefined])[] = [
  ["", "cannot read message: it is not JSON in UTF-8"],
  ["OK", "cannot read message: it is not JSON in UTF-8"],
  ["[]", "cannot read message: it is not an object"],
  ["null", "cannot read message: it is not an object"],
  ["1", "cannot read message: it is not an object"],
  ['{"seq":1,"type":"OK","type":"OK"}', "cannot read message: it has a name twice"],
  ['{"seq":1,"type":"OK","log":{"key":"a","key":"b"}}', "cannot read message: it has a name twice"],
  ["{}", NOT_AN_ANSWER],
  ['{"type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":1}', NOT_AN_ANSWER],
  ['{"seq":-1,"type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":1.5,"type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":9007199254740992,"type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":"1","type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":null,"type":"OK"}', NOT_AN_ANSWER],
  ['{"__proto__":{"seq":1},"type":"OK"}', NOT_AN_ANSWER],
  ['{"seq":1,"type":"HELLO"}', NOT_AN_ANSWER],
  ['{"seq":1,"type":"ok"}', NOT_AN_ANSWER],
  ['{"seq":1,"type":1}', NOT_AN_ANSWER],
  ['{"seq":1,"type":"ERROR","code":1}', NOT_AN_ANSWER],
  ['{"seq":1,"type":"ERROR","message":null}', NOT_AN_ANSWER],
  [`{"seq":1,"type":"ERROR","code":"${"C".repeat(65)}"}`, NOT_AN_ANSWER],
  [`{"seq":1,"type":"ERROR","message":"${"m".repeat(4097)}"}`, NOT_AN_ANSWER],
  [
    `{"seq":1,"type":"ERROR","code":"${"C".repeat(64)}","message":"${"m".repeat(4096)}"}`,
    undefined,
  ],
  ['{"seq":0,"type":"ERROR","code":"BUSY","message":"later"}', undefined],
  ['{"seq":1,"type":"OK","of":"a newer version"}', undefined],
];

test("parseAnswer() checks every answer's own fields", () => {
  for (const [body, refusal] of ANSWERS) {
    if (refusal === undefined) {
      parseAnswer(utf8(body));
      continue;
    }
    assert.throws(() => parseAnswer(utf8(body)), { kind: "protocol", message: refusal }, body);
  }
});

const bodyOf = (frame: Bytes) => frame.subarray(FRAME_HEADER_BYTES);

test("parseAnswer() reads what encodeAnswer() and encodeError() make", () => {
  assert.deepEqual(parseAnswer(bodyOf(encodeAnswer(3, { id: "alice" }))), {
    seq: 3,
    ok: true,
    body: { seq: 3, type: "OK", id: "alice" },
  });
  assert.deepEqual(parseAnswer(bodyOf(encodeAnswerOf(4, encodeFields({})))), {
    seq: 4,
    ok: true,
    body: { seq: 4, type: "OK" },
  });
  const report = { code: "BUSY", message: "later ✓" };
  assert.deepEqual(parseAnswer(bodyOf(encodeError(0, report))), {
    seq: 0,
    ok: false,
    error: report,
  });
});

test("parseAnswer() takes an error without code or message for a refusal", () => {
  assert.deepEqual(parseAnswer(utf8('{"seq":1,"type":"ERROR"}')), {
    seq: 1,
    ok: false,
    error: { code: "REFUSED", message: "refused" },
  });
});

const CERTIFICATES = { certificate: "AQID", issuing: "AQID", index: 0 };
const DIALOGUE = { response: "Ab-_9", suite: "any" };
const BAD_CERTIFICATES: readonly (readonly [string, unknown])[] = [
  ...["certificate", "issuing"].flatMap((field) =>
    [...NOT_TEXT, ...NOT_BASE64, base64Of(16_385)].map((value) => [field, value] as const)
  ),
  ...[undefined, ...NOT_COUNTS].map((value) => ["index", value] as const),
];
const LOG = { key: "log+00000000+AQID", signature: "AQID" };
const SUCCESSION = { kind: "issuing", certificate: "AQID", by: "f".repeat(64), signature: "AQID" };
const PROOF = {
  checkpoint: "n".repeat(2048),
  consistency: Array(64).fill(NONCE),
  leaf: base64Of(32_768),
  inclusion: [],
};
const NOT_PROOFS: readonly unknown[] = [
  ...[null, 0, "", NONCE, {}, [null], [[]], [0], [NONCE, ""], [base64Of(31)], [base64Of(33)]],
  ...[["A".repeat(44)], Array(65).fill(NONCE)],
];
const BAD_DIALOGUES: readonly (readonly [string, unknown])[] = [
  ...[...NOT_TEXT, ...NOT_OPAQUE].map((value) => ["response", value] as const),
  ...NOT_TEXT.map((value) => ["suite", value] as const),
];

/** A good body for each answer, and what may not stand in its fields. */
const BODIES: {
  readonly [T in RequestType]: {
    readonly good: Readonly<Record<string, unknown>>;
    readonly bad: readonly (readonly [field: string, value: unknown])[];
  };
} = {
  HELLO: {
    good: {
      root: "AQID",
      domain: "pki.internal",
      versions: ["pki/1"],
      time: "2026-07-31T00:00:00.000Z",
      log: LOG,
      successions: [SUCCESSION],
      registration: "invite",
    },
    bad: [
      ...[...NOT_TEXT.slice(1), "r".repeat(33)].map((value) => ["registration", value] as const),
      ...[
        ...[null, {}, [null], Array(17).fill(SUCCESSION), [{ ...SUCCESSION, kind: "leaf" }]],
        ...[undefined, 1, "", "!", base64Of(1025)].map((signature) => [
          { ...SUCCESSION, signature },
        ]),
        ...[undefined, "", "f".repeat(63)].map((by) => [{ ...SUCCESSION, by }]),
        ...[undefined, "", base64Of(16_385)].map((certificate) => [{ ...SUCCESSION, certificate }]),
      ].map((value) => ["successions", value] as const),
      ...[
        ...[undefined, null, "log", [LOG], {}, { key: LOG.key }, { signature: LOG.signature }],
        ...[...NOT_TEXT, "", "k".repeat(513)].map((key) => ({ ...LOG, key })),
        ...[...NOT_TEXT, ...NOT_BASE64, base64Of(1025)].map((signature) => ({ ...LOG, signature })),
      ].map((value) => ["log", value] as const),
      ...[...NOT_TEXT, ...NOT_BASE64].map((value) => ["root", value] as const),
      ...[...NOT_TEXT, "d".repeat(201)].map((value) => ["domain", value] as const),
      ...[undefined, null, "pki/1", [1], ["v".repeat(33)]].map((value) =>
        ["versions", value] as const
      ),
      ...[...NOT_TEXT, "", "now", "31.7.2026"].map((value) => ["time", value] as const),
    ],
  },
  REGISTER: { good: DIALOGUE, bad: BAD_DIALOGUES },
  REGISTER_FINISH: { good: {}, bad: [] },
  PASSWD: { good: DIALOGUE, bad: BAD_DIALOGUES },
  PASSWD_FINISH: { good: {}, bad: [] },
  LOGIN: { good: DIALOGUE, bad: BAD_DIALOGUES },
  LOGIN_FINISH: { good: { id: "alice" }, bad: BAD_IDS.map((value) => ["id", value]) },
  CSR: {
    good: { ...CERTIFICATES, ignored: ["attribute challengePassword"] },
    bad: [
      ...BAD_CERTIFICATES,
      ...[null, "x", [1], ["x".repeat(201)], Array(65).fill("x")].map((value) =>
        ["ignored", value] as const
      ),
    ],
  },
  CERTUP: {
    good: { nonce: NONCE },
    bad: [...NOT_TEXT, ...NOT_BASE64, base64Of(31), base64Of(33)].map((value) => ["nonce", value]),
  },
  CERTUP_FINISH: { good: {}, bad: [] },
  CERTREQ: { good: CERTIFICATES, bad: BAD_CERTIFICATES },
  PROOF: {
    good: PROOF,
    bad: [
      ...[undefined, ...NOT_NOTES].map((value) => ["checkpoint", value] as const),
      ...NOT_PROOFS.flatMap((value) => [["consistency", value], ["inclusion", value]] as const),
      ...[...NOT_TEXT.slice(1), ...NOT_BASE64, base64Of(32_769)].map((value) =>
        ["leaf", value] as const
      ),
    ],
  },
  LOGIN_CERTIFICATE: { good: { id: "alice" }, bad: BAD_IDS.map((value) => ["id", value]) },
  STATUS: {
    good: { response: "AQID" },
    bad: [...NOT_TEXT, ...NOT_BASE64, base64Of(4097)].map((value) => ["response", value]),
  },
  CRL: {
    good: { number: "17", bytes: 5, offset: 0, chunk: base64Of(45_000) },
    bad: [
      ...[undefined, 17, "", "-1", "9".repeat(50)].map((value) => ["number", value] as const),
      ...[undefined, ...NOT_COUNTS].map((value) => ["bytes", value] as const),
      ...[undefined, ...NOT_COUNTS].map((value) => ["offset", value] as const),
      ...[undefined, 1, "!", base64Of(45_001)].map((value) => ["chunk", value] as const),
    ],
  },
  ANNOUNCE: { good: {}, bad: [] },
  LOCATE: {
    good: { addresses: ["[::1]:7450", "localhost:1"], seconds: 17 },
    bad: [
      ...[undefined, ...NOT_ANNOUNCED].map((value) => ["addresses", value] as const),
      ...[undefined, ...NOT_COUNTS].map((value) => ["seconds", value] as const),
    ],
  },
  REVOKE: {
    good: { serial: "07", time: "2026-07-31T00:00:00.000Z" },
    bad: [
      ...[undefined, 7, "", "0", "FF"].map((value) => ["serial", value] as const),
      ...[...NOT_TEXT, "", "now"].map((value) => ["time", value] as const),
    ],
  },
};

for (const type of REQUEST_TYPES) {
  test(`parseAnswerBody() of ${type} checks every field and drops what it does not know`, () => {
    const { good, bad } = BODIES[type];
    for (const [field, value] of bad) {
      assert.throws(
        () => parseAnswerBody(type, JSON.parse(JSON.stringify({ ...good, [field]: value }))),
        {
          kind: "protocol",
          message: `cannot read the answer to ${type}: its fields are not as they should be`,
        },
        `${field}: ${JSON.stringify(value)?.slice(0, 80)}`,
      );
    }
    assert.deepEqual(parseAnswerBody(type, { seq: 1, type: "OK", newer: true, ...good }), good);
  });
}

test("parseAnswerBody() of PROOF takes what was not asked for as missing", () => {
  const { checkpoint } = PROOF;
  assert.deepEqual(parseAnswerBody("PROOF", { checkpoint }), { checkpoint });
});

test("encodeAnswer() makes one frame of the largest answer to PROOF that is accepted", () => {
  const answer = { ...PROOF, inclusion: Array(64).fill(NONCE) };
  assert.ok(
    encodeAnswer(Number.MAX_SAFE_INTEGER, answer).length <=
      FRAME_HEADER_BYTES + 65_536,
  );
  parseAnswerBody("PROOF", answer);
});
