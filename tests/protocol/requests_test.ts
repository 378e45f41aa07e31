import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import {
  encodeRequest,
  parseRequest,
  type Request,
  REQUEST_TYPES,
  type RequestType,
} from "../../lib/protocol/requests.ts";
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

/** One good request of each type. */
const GOOD: { readonly [T in RequestType]: Request & { readonly type: T } } = {
  HELLO: { seq: 7, type: "HELLO" },
  REGISTER: { seq: 7, type: "REGISTER", id: "alice", request: "Ab-_9" },
  REGISTER_FINISH: { seq: 7, type: "REGISTER_FINISH", record: "Ab-_9" },
  LOGIN: { seq: 7, type: "LOGIN", id: "alice", request: "Ab-_9" },
  LOGIN_FINISH: { seq: 7, type: "LOGIN_FINISH", finish: "Ab-_9", binding: NONCE },
  PASSWD: { seq: 7, type: "PASSWD", request: "Ab-_9" },
  PASSWD_FINISH: { seq: 7, type: "PASSWD_FINISH", record: "Ab-_9" },
  CSR: { seq: 7, type: "CSR", csr: "AQID" },
  CERTUP: { seq: 7, type: "CERTUP", certificate: "AQID" },
  CERTUP_FINISH: {
    seq: 7,
    type: "CERTUP_FINISH",
    nonce: NONCE,
    clientNonce: NONCE,
    signature: "AQID",
  },
  CERTREQ: { seq: 7, type: "CERTREQ", id: "alice" },
  PROOF: { seq: 7, type: "PROOF" },
  LOGIN_CERTIFICATE: { seq: 7, type: "LOGIN_CERTIFICATE" },
  STATUS: { seq: 7, type: "STATUS", request: "AQID" },
  CRL: { seq: 7, type: "CRL" },
  REVOKE: { seq: 7, type: "REVOKE", serial: "07ff" },
  ANNOUNCE: { seq: 7, type: "ANNOUNCE", addresses: ["localhost:7450"], seconds: 600 },
  LOCATE: { seq: 7, type: "LOCATE", id: "alice" },
};

const json = (value: unknown) => utf8(JSON.stringify(value));

/** Kind, message and the `seq` that can be answered; `undefined` if the connection ends. */
type Refusal = readonly [seq: number | undefined, kind: ErrorKind, message: string];

function refusalOf(body: Uint8Array): Refusal | undefined {
  try {
    const parsed = parseRequest(body);
    return parsed.ok ? undefined : [parsed.seq, parsed.error.kind, parsed.error.message];
  } catch (error) {
    assert.ok(error instanceof PkiError, String(error));
    return [undefined, error.kind, error.message];
  }
}

const NOT_JSON: Refusal = [
  undefined,
  "protocol",
  "cannot read message: it is not JSON in UTF-8",
];
const NAME_TWICE: Refusal = [undefined, "protocol", "cannot read message: it has a name twice"];
const NOT_OBJECT: Refusal = [undefined, "protocol", "cannot read message: it is not an object"];
const BAD_SEQ: Refusal = [
  undefined,
  "protocol",
  'cannot read message: "seq" is not a positive integer',
];
const BAD_TYPE: Refusal = [7, "malformed", "cannot read message: its type is unknown"];
const badField = (type: RequestType, field: string): Refusal => [
  7,
  "malformed",
  `cannot read ${type}: "${field}" is missing or not as it should be`,
];
const tooMany = (type: RequestType): Refusal => [
  7,
  "malformed",
  `cannot read ${type}: it has a field too many`,
];

const REFUSALS:
  readonly (readonly [what: string, body: Uint8Array | string, Refusal | undefined])[] = [
    // Not an object.
    ["nothing", "", NOT_JSON],
    ["not JSON", "HELLO", NOT_JSON],
    ["a cut object", '{"seq":1,"type":"HELLO"', NOT_JSON],
    ["two objects", '{"seq":7,"type":"HELLO"}{}', NOT_JSON],
    ["a NUL behind the object", '{"seq":7,"type":"HELLO"}\0', NOT_JSON],
    ["a comment", '{"seq":7,/**/"type":"HELLO"}', NOT_JSON],
    ["single quotes", "{'seq':7,'type':'HELLO'}", NOT_JSON],
    ["a raw control character", '{"seq":7,"type":"HEL\nLO"}', NOT_JSON],
    ["a byte order mark", '\ufeff{"seq":7,"type":"HELLO"}', NOT_JSON],
    ["UTF-16", Uint8Array.from([...'{"seq":7}'].flatMap((c) => [c.charCodeAt(0), 0])), NOT_JSON],
    [
      "a stray byte",
      concatBytes(utf8('{"seq":7,"type":"'), Uint8Array.of(0xff), utf8('"}')),
      NOT_JSON,
    ],
    [
      "an overlong slash",
      concatBytes(utf8('{"a":"'), Uint8Array.of(0xc0, 0xaf), utf8('"}')),
      NOT_JSON,
    ],
    [
      "a surrogate in UTF-8",
      concatBytes(utf8('{"a":"'), Uint8Array.of(0xed, 0xa0, 0x80), utf8('"}')),
      NOT_JSON,
    ],
    [
      "a cut character",
      concatBytes(utf8('{"a":"'), Uint8Array.of(0xe2, 0x82), utf8('"}')),
      NOT_JSON,
    ],
    ["null", "null", NOT_OBJECT],
    ["an array", '[{"seq":7,"type":"HELLO"}]', NOT_OBJECT],
    ["a number", "7", NOT_OBJECT],
    ["a string", '"HELLO"', NOT_OBJECT],
    ["true", "true", NOT_OBJECT],
    ["a deep array", "[".repeat(30_000) + "]".repeat(30_000), NOT_OBJECT],

    // No seq that could be answered.
    ["an empty object", "{}", BAD_SEQ],
    ["no seq", '{"type":"HELLO"}', BAD_SEQ],
    ["seq 0", '{"seq":0,"type":"HELLO"}', BAD_SEQ],
    ["seq -0", '{"seq":-0,"type":"HELLO"}', BAD_SEQ],
    ["seq -1", '{"seq":-1,"type":"HELLO"}', BAD_SEQ],
    ["a fraction as seq", '{"seq":1.5,"type":"HELLO"}', BAD_SEQ],
    ["seq 2^53", '{"seq":9007199254740992,"type":"HELLO"}', BAD_SEQ],
    ["an endless seq", '{"seq":1e999,"type":"HELLO"}', BAD_SEQ],
    ["text as seq", '{"seq":"7","type":"HELLO"}', BAD_SEQ],
    ["null as seq", '{"seq":null,"type":"HELLO"}', BAD_SEQ],
    ["true as seq", '{"seq":true,"type":"HELLO"}', BAD_SEQ],
    ["an array as seq", '{"seq":[7],"type":"HELLO"}', BAD_SEQ],
    ["seq in capitals", '{"SEQ":7,"type":"HELLO"}', BAD_SEQ],
    ["seq in a prototype", '{"__proto__":{"seq":7},"type":"HELLO"}', BAD_SEQ],
    ["a bad seq before a bad type", '{"seq":0,"type":"NO"}', BAD_SEQ],

    // No type.
    ["no type", '{"seq":7}', BAD_TYPE],
    ["an unknown type", '{"seq":7,"type":"SHUTDOWN"}', BAD_TYPE],
    ["a type in small letters", '{"seq":7,"type":"hello"}', BAD_TYPE],
    ["a type with a space", '{"seq":7,"type":"HELLO "}', BAD_TYPE],
    ["a type with a NUL", '{"seq":7,"type":"HELLO\\u0000"}', BAD_TYPE],
    ["a type that objects have", '{"seq":7,"type":"constructor"}', BAD_TYPE],
    ["the type __proto__", '{"seq":7,"type":"__proto__"}', BAD_TYPE],
    ["the type toString", '{"seq":7,"type":"toString"}', BAD_TYPE],
    ["an answer's type", '{"seq":7,"type":"OK"}', BAD_TYPE],
    ["a number as type", '{"seq":7,"type":1}', BAD_TYPE],
    ["an array as type", '{"seq":7,"type":["HELLO"]}', BAD_TYPE],
    ["half a surrogate pair as type", '{"seq":7,"type":"\\ud800"}', BAD_TYPE],
    ["type in a prototype", '{"seq":7,"__proto__":{"type":"HELLO"}}', BAD_TYPE],

    // A field too many, whatever it is called.
    ["an extra field", '{"seq":7,"type":"HELLO","x":1}', tooMany("HELLO")],
    ["an extra empty name", '{"seq":7,"type":"HELLO","":1}', tooMany("HELLO")],
    ["__proto__", '{"seq":7,"type":"HELLO","__proto__":{"a":1}}', tooMany("HELLO")],
    ["constructor", '{"seq":7,"type":"HELLO","constructor":1}', tooMany("HELLO")],
    ["toString", '{"seq":7,"type":"HELLO","toString":1}', tooMany("HELLO")],
    ["another type's field", '{"seq":7,"type":"HELLO","id":"alice"}', tooMany("HELLO")],
    [
      "a user where none belongs",
      json({ ...GOOD.CSR, id: "alice" }),
      tooMany("CSR"),
    ],
    ["half a surrogate pair", '{"seq":7,"type":"HELLO","x":"\\udc00"}', tooMany("HELLO")],
    [
      "a deep extra field",
      `{"seq":7,"type":"HELLO","x":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
      tooMany("HELLO"),
    ],

    // A name twice: whoever reads the first one would see another request.
    ["a type twice", '{"type":"NO","seq":7,"type":"HELLO"}', NAME_TWICE],
    ["the same type twice", '{"type":"HELLO","seq":7,"type":"HELLO"}', NAME_TWICE],
    ["a seq twice", '{"seq":7,"type":"HELLO","seq":7}', NAME_TWICE],
    ["an id twice", '{"seq":7,"type":"CERTREQ","id":"bob","id":"alice"}', NAME_TWICE],
    ["a name twice, escaped", '{"seq":7,"type":"CERTREQ","id":"bob","\\u0069d":"bob"}', NAME_TWICE],
    ["a name twice, deep", '{"seq":7,"type":"HELLO","x":[{"y":{"z":1,"z":1}}]}', NAME_TWICE],
    ["__proto__ twice", '{"seq":7,"type":"HELLO","__proto__":1,"__proto__":1}', NAME_TWICE],
    ["names that differ in case", '{"seq":7,"type":"HELLO","Seq":7}', tooMany("HELLO")],
    ["a name as a value too", '{"seq":7,"type":"CERTREQ","id":"id"}', undefined],
  ];

for (const [what, body, refusal] of REFUSALS) {
  test(`parseRequest() of ${what}`, () => {
    assert.deepEqual(refusalOf(typeof body === "string" ? utf8(body) : body), refusal);
  });
}

const GOOD_IDS = ["a", "0", "a.b-c.0", "a".repeat(63)];

for (const type of ["REGISTER", "LOGIN", "CERTREQ"] as const) {
  test(`parseRequest() of ${type} refuses what is not a possible id`, () => {
    for (const id of BAD_IDS) {
      assert.deepEqual(refusalOf(json({ ...GOOD[type], id })), badField(type, "id"), String(id));
    }
    for (const id of GOOD_IDS) assert.equal(refusalOf(json({ ...GOOD[type], id })), undefined, id);
  });
}

const GOOD_COUNTS = [0, 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER];
const GOOD_NOTES = ["n", "a\n\n\u2014 b c\n", "n".repeat(2048)];

/** Every field besides `id`, with values on both sides of its limits. */
const FIELDS: readonly {
  readonly type: RequestType;
  readonly field: string;
  readonly bad: readonly unknown[];
  readonly good: readonly string[];
}[] = [
  ...([
    ["REGISTER", "request"],
    ["REGISTER_FINISH", "record"],
    ["LOGIN", "request"],
    ["LOGIN_FINISH", "finish"],
  ] as const).map(([type, field]) => ({
    type,
    field,
    bad: NOT_OPAQUE,
    good: ["A", "-_", "A".repeat(1024)],
  })),
  ...([
    ["LOGIN_FINISH", "binding"],
    ["CERTUP_FINISH", "nonce"],
    ["CERTUP_FINISH", "clientNonce"],
  ] as const).map(([type, field]) => ({
    type,
    field,
    bad: [...NOT_BASE64, ...[1, 30, 31, 33, 34, 64].map(base64Of)],
    good: [NONCE],
  })),
  ...([["CSR", "csr"], ["CERTUP", "certificate"]] as const).map(([type, field]) => ({
    type,
    field,
    bad: [...NOT_BASE64, ...[16_385, 16_386, 16_387, 40_000].map(base64Of)],
    good: ["AA==", ...[2, 3, 16_384].map(base64Of)],
  })),
  {
    type: "STATUS",
    field: "request",
    bad: [...NOT_BASE64, ...[1025, 1026, 1027].map(base64Of)],
    good: ["AA==", ...[2, 1024].map(base64Of)],
  },
  {
    type: "REVOKE",
    field: "serial",
    bad: ["", "0", "000", "0G", "FF", "ff".repeat(21), " 00"],
    good: ["00", "ff".repeat(20)],
  },
  {
    type: "CERTUP_FINISH",
    field: "signature",
    bad: [...NOT_BASE64, ...[1025, 1026, 1027].map(base64Of)],
    good: ["AA==", ...[64, 384, 1024].map(base64Of)],
  },
];

for (const { type, field, bad, good } of FIELDS) {
  test(`parseRequest() of ${type} checks "${field}"`, () => {
    for (const value of [...NOT_TEXT, ...bad]) {
      assert.deepEqual(
        refusalOf(json({ ...GOOD[type], [field]: value })),
        badField(type, field),
        JSON.stringify(value)?.slice(0, 80),
      );
    }
    for (const value of good) {
      assert.equal(refusalOf(json({ ...GOOD[type], [field]: value })), undefined, value);
    }
  });
}

for (
  const [field, bad, good] of [
    ["addresses", [undefined, ...NOT_ANNOUNCED], [
      [],
      ["localhost:65535"],
      ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1", "a_b-c.Example:1"],
      Array(8).fill(`${"a".repeat(253)}:65535`.slice(0, 262)),
    ]],
    ["seconds", [undefined, null, "600", 0, -60, 59, 59.9, 3601, 600.5, Infinity], [60, 600, 3600]],
  ] as const
) {
  test(`parseRequest() of ANNOUNCE checks "${field}"`, () => {
    for (const value of bad) {
      assert.deepEqual(
        refusalOf(json({ ...GOOD.ANNOUNCE, [field]: value })),
        badField("ANNOUNCE", field),
        JSON.stringify(value)?.slice(0, 80),
      );
    }
    for (const value of good) {
      const request = { ...GOOD.ANNOUNCE, [field]: value };
      assert.deepEqual(parseRequest(json(request)), { ok: true, request });
    }
  });
}

/** Fields that may be missing. */
const OPTIONAL_FIELDS: readonly {
  readonly type: RequestType;
  readonly field: string;
  readonly bad: readonly unknown[];
  readonly good: readonly unknown[];
}[] = [
  { type: "LOGIN_FINISH", field: "checkpoint", bad: NOT_NOTES, good: GOOD_NOTES },
  { type: "LOGIN_CERTIFICATE", field: "checkpoint", bad: NOT_NOTES, good: GOOD_NOTES },
  {
    type: "REVOKE",
    field: "reason",
    bad: [null, 1, "", "because", "keycompromise", "cACompromise", "certificateHold", "__proto__"],
    good: ["unspecified", "keyCompromise", "superseded"],
  },
  {
    type: "CRL",
    field: "issuer",
    bad: [null, 1, "", "0".repeat(63), "0".repeat(65), "G".repeat(64), "A".repeat(64)],
    good: ["0".repeat(64), "f".repeat(64)],
  },
  {
    type: "CRL",
    field: "number",
    bad: [null, 1, "", "-1", "1.5", "0x1", "1e3", " 1", "9".repeat(50)],
    good: ["0", "9".repeat(49)],
  },
  { type: "CRL", field: "offset", bad: NOT_COUNTS, good: GOOD_COUNTS },
  { type: "PROOF", field: "from", bad: NOT_COUNTS, good: GOOD_COUNTS },
  { type: "PROOF", field: "index", bad: NOT_COUNTS, good: GOOD_COUNTS },
];

for (const { type, field, bad, good } of OPTIONAL_FIELDS) {
  test(`parseRequest() of ${type} checks "${field}" where it is there`, () => {
    for (const value of bad) {
      assert.deepEqual(
        refusalOf(json({ ...GOOD[type], [field]: value })),
        badField(type, field),
        JSON.stringify(value)?.slice(0, 80),
      );
    }
    for (const value of good) {
      const request = { ...GOOD[type], [field]: value };
      assert.deepEqual(parseRequest(json(request)), { ok: true, request });
    }
  });
}

for (const type of REQUEST_TYPES) {
  test(`parseRequest() of ${type} needs its fields and no others`, () => {
    const good = GOOD[type];
    for (const field of Object.keys(good).filter((name) => name !== "seq" && name !== "type")) {
      const { [field]: _, ...rest } = good as unknown as Record<string, unknown>;
      assert.deepEqual(refusalOf(json(rest)), badField(type, field));
    }
    for (const extra of ["x", "user", "__proto__", "hasOwnProperty", "message", "OK"]) {
      const text = JSON.stringify(good).replace(/}$/, `,"${extra}":"y"}`);
      assert.deepEqual(refusalOf(utf8(text)), tooMany(type), extra);
    }
  });

  test(`encodeRequest() of ${type} makes what parseRequest() reads`, () => {
    const { seq: _seq, type: _type, ...body } = GOOD[type];
    const frame = encodeRequest(7, type, body as never);
    assert.deepEqual(parseRequest(frame.subarray(FRAME_HEADER_BYTES)), {
      ok: true,
      request: GOOD[type],
    });
  });
}

test("parseRequest() accepts the largest seq and keeps nothing of the sender's prototype", () => {
  const parsed = parseRequest(json({ ...GOOD.HELLO, seq: Number.MAX_SAFE_INTEGER }));
  assert.ok(parsed.ok);
  assert.equal(parsed.request.seq, Number.MAX_SAFE_INTEGER);
  assert.equal(Object.getPrototypeOf(parsed.request), Object.prototype);
});

test("parseRequest() never fails in another way than it says, for any bytes and any JSON", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.json().map(utf8),
    fc.record({
      seq: fc.oneof(fc.nat(), fc.jsonValue()),
      type: fc.oneof(fc.constantFrom(...REQUEST_TYPES), fc.jsonValue()),
      id: fc.oneof(fc.string({ unit: "binary" }), fc.jsonValue()),
      csr: fc.oneof(fc.base64String(), fc.jsonValue()),
    }, { requiredKeys: [] }).map(json),
  );
  fc.assert(
    fc.property(bytes, (body) => {
      const refusal = refusalOf(body);
      if (refusal) assert.equal(refusal[1], refusal[0] === undefined ? "protocol" : "malformed");
    }),
    { seed: 20_260_731, numRuns: 1000 },
  );
});

test("parseRequest() of a request with any one bit flipped is refused or another good request", () => {
  const good = json(GOOD.CERTUP_FINISH);
  for (let bit = 0; bit < good.length * 8; bit++) {
    const flipped = new Uint8Array(good);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const refusal = refusalOf(flipped);
    if (refusal) assert.match(refusal[1], /^(?:protocol|malformed)$/);
  }
});

test("parseRequest() refuses every truncation of a request", () => {
  const good = json(GOOD.CERTUP_FINISH);
  for (let cut = 0; cut < good.length; cut++) {
    assert.deepEqual(refusalOf(good.subarray(0, cut)), NOT_JSON);
  }
});
