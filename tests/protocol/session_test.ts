import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, encodeBase64, encodeLatin1, parseUtf8, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import { encodeRequest, REQUEST_TYPES, type RequestType } from "../../lib/protocol/requests.ts";
import {
  type Action,
  type Outcome,
  ServerSession,
  type SessionState,
} from "../../lib/protocol/session.ts";

const NONCE = encodeBase64(new Uint8Array(32));

/** A good body of each type. */
const BODIES: Readonly<Record<RequestType, Readonly<Record<string, unknown>>>> = {
  HELLO: {},
  REGISTER: { id: "alice", request: "AAAA" },
  REGISTER_FINISH: { record: "AAAA" },
  LOGIN: { id: "alice", request: "AAAA" },
  LOGIN_FINISH: { finish: "AAAA", binding: NONCE },
  PASSWD: { request: "AAAA" },
  PASSWD_FINISH: { record: "AAAA" },
  CSR: { csr: "AAAA" },
  CERTUP: { certificate: "AAAA" },
  CERTUP_FINISH: { nonce: NONCE, clientNonce: NONCE, signature: "AAAA" },
  CERTREQ: { id: "bob" },
  PROOF: {},
  LOGIN_CERTIFICATE: {},
  STATUS: { request: "AAAA" },
  CRL: {},
  REVOKE: { serial: "07" },
  ANNOUNCE: { addresses: ["localhost:7450"], seconds: 600 },
  LOCATE: { id: "bob" },
};

const frameOf = (seq: number, type: RequestType) => encodeRequest(seq, type, BODIES[type] as never);

const DONE: Outcome = { ok: true, fields: "{}" };
const FAILED: Outcome = { ok: false, error: { code: "REFUSED", message: "no" } };

const messageIn = (frame: Uint8Array): unknown =>
  JSON.parse(parseUtf8(frame.subarray(FRAME_HEADER_BYTES)));

/** The shortest way into each state. */
const WAYS: Readonly<Record<SessionState, readonly RequestType[]>> = {
  new: [],
  greeted: ["HELLO"],
  registering: ["HELLO", "REGISTER"],
  proving: ["HELLO", "LOGIN"],
  open: ["HELLO", "LOGIN", "LOGIN_FINISH"],
};
const STATES = Object.keys(WAYS) as readonly SessionState[];

/** A session in a state, and the next `seq` to use. */
function sessionIn(state: SessionState): { session: ServerSession; seq: number } {
  const session = new ServerSession();
  WAYS[state].forEach((type, i) => {
    session.receive(frameOf(i + 1, type));
    assert.equal(session.next()?.do, "carry-out");
    session.settle(i + 1, DONE);
  });
  assert.equal(session.state, state);
  session.takeConsumedBytes();
  return { session, seq: WAYS[state].length + 1 };
}

/** What must be allowed, written a second time: state, request, state after success, after failure. */
const ALLOWED: readonly (readonly [SessionState, RequestType, SessionState, SessionState])[] = [
  ["new", "HELLO", "greeted", "new"],
  ["greeted", "HELLO", "greeted", "greeted"],
  ["greeted", "REGISTER", "registering", "greeted"],
  ["greeted", "LOGIN", "proving", "greeted"],
  ["greeted", "PROOF", "greeted", "greeted"],
  ["greeted", "STATUS", "greeted", "greeted"],
  ["greeted", "CRL", "greeted", "greeted"],
  ["greeted", "LOGIN_CERTIFICATE", "open", "greeted"],
  ["registering", "REGISTER", "registering", "greeted"],
  ["registering", "REGISTER_FINISH", "greeted", "greeted"],
  ["registering", "LOGIN", "proving", "greeted"],
  ["registering", "PROOF", "registering", "registering"],
  ["registering", "STATUS", "registering", "registering"],
  ["registering", "CRL", "registering", "registering"],
  ["registering", "LOGIN_CERTIFICATE", "open", "greeted"],
  ["proving", "REGISTER", "registering", "greeted"],
  ["proving", "LOGIN", "proving", "greeted"],
  ["proving", "LOGIN_FINISH", "open", "greeted"],
  ["proving", "PROOF", "proving", "proving"],
  ["proving", "STATUS", "proving", "proving"],
  ["proving", "CRL", "proving", "proving"],
  ["proving", "LOGIN_CERTIFICATE", "open", "greeted"],
  ["open", "PASSWD", "open", "open"],
  ["open", "PASSWD_FINISH", "open", "open"],
  ["open", "CSR", "open", "open"],
  ["open", "CERTUP", "open", "open"],
  ["open", "CERTUP_FINISH", "open", "open"],
  ["open", "CERTREQ", "open", "open"],
  ["open", "PROOF", "open", "open"],
  ["open", "STATUS", "open", "open"],
  ["open", "CRL", "open", "open"],
  ["open", "REVOKE", "open", "open"],
  ["open", "ANNOUNCE", "open", "open"],
  ["open", "LOCATE", "open", "open"],
];

const WHY_NOT: Readonly<Record<SessionState, string>> = {
  new: "HELLO comes first",
  greeted: "log in first",
  registering: "REGISTER_FINISH or LOGIN comes next",
  proving: "LOGIN_FINISH comes next",
  open: "this session is logged in already",
};

for (const state of STATES) {
  for (const type of REQUEST_TYPES) {
    const row = ALLOWED.find(([from, allowed]) => from === state && allowed === type);
    if (row) {
      const [, , afterSuccess, afterFailure] = row;
      test(`ServerSession in state ${state} carries ${type} out`, () => {
        for (const [outcome, after] of [[DONE, afterSuccess], [FAILED, afterFailure]] as const) {
          const { session, seq } = sessionIn(state);
          session.receive(frameOf(seq, type));
          assert.deepEqual(session.next(), {
            do: "carry-out",
            request: { seq, type, ...BODIES[type] },
          });
          assert.equal(session.state, state, "the state changes before the request has ended");
          assert.equal(session.runningRequests, 1);
          assert.deepEqual(
            messageIn(session.settle(seq, outcome)),
            outcome.ok
              ? { seq, type: "OK" }
              : { seq, type: "ERROR", code: "REFUSED", message: "no" },
          );
          assert.equal(session.state, after);
          assert.equal(session.runningRequests, 0);
        }
      });
      continue;
    }
    test(`ServerSession in state ${state} refuses ${type}, which changes nothing`, () => {
      const { session, seq } = sessionIn(state);
      session.receive(frameOf(seq, type));
      const action = session.next();
      assert.ok(action?.do === "send");
      assert.deepEqual(messageIn(action.bytes), {
        seq,
        type: "ERROR",
        code: "REFUSED",
        message: `cannot do ${type} now: ${WHY_NOT[state]}`,
      });
      assert.equal(session.state, state);
      assert.equal(session.runningRequests, 0);
      assert.equal(session.next(), undefined);
      // Everything that was allowed before still is.
      const [, next] = ALLOWED.find(([from]) => from === state) ?? [];
      assert.ok(next);
      session.receive(frameOf(seq + 1, next));
      assert.equal(session.next()?.do, "carry-out");
    });
  }
}

test("ServerSession refuses a malformed request, which changes nothing", () => {
  for (const state of STATES) {
    const { session, seq } = sessionIn(state);
    session.receive(encodeFrame(utf8(`{"seq":${seq},"type":"HELLO","x":1}`)));
    const action = session.next();
    assert.ok(action?.do === "send");
    assert.deepEqual(messageIn(action.bytes), {
      seq,
      type: "ERROR",
      code: "MALFORMED",
      message: "cannot read HELLO: it has a field too many",
    });
    assert.equal(session.state, state);
    assert.equal(session.runningRequests, 0);
  }
});

test("ServerSession takes an open session's requests up to the limit and not beyond", () => {
  const { session, seq } = sessionIn("open");
  const count = LIMITS.requestsInFlightMax + 3;
  for (let i = 0; i < count; i++) session.receive(frameOf(seq + i, "CERTREQ"));
  const taken: number[] = [];
  const take = () => {
    for (let action = session.next(); action; action = session.next()) {
      assert.ok(action.do === "carry-out");
      taken.push(action.request.seq);
    }
  };
  take();
  assert.equal(taken.length, LIMITS.requestsInFlightMax);
  assert.equal(session.runningRequests, LIMITS.requestsInFlightMax);
  // They may overtake each other; each that ends lets one more in.
  session.settle(seq + 5, FAILED);
  take();
  assert.equal(taken.length, LIMITS.requestsInFlightMax + 1);
  session.settle(seq + LIMITS.requestsInFlightMax, DONE);
  session.settle(seq, DONE);
  take();
  assert.deepEqual(taken, Array.from({ length: count }, (_, i) => seq + i));
  for (const one of taken) {
    if (![seq, seq + 5, seq + LIMITS.requestsInFlightMax].includes(one)) session.settle(one, DONE);
  }
  assert.equal(session.runningRequests, 0);
});

test("ServerSession does not read a request while its requests in flight are at the limit", () => {
  const { session, seq } = sessionIn("open");
  for (let i = 0; i < LIMITS.requestsInFlightMax; i++) {
    session.receive(frameOf(seq + i, "CERTREQ"));
    session.next();
  }
  session.takeConsumedBytes();
  session.receive(encodeFrame(utf8("not JSON")));
  assert.equal(session.next(), undefined);
  assert.equal(session.takeConsumedBytes(), 0, "what waits counts as taken");
  session.settle(seq, DONE);
  assert.throws(() => session.next(), { kind: "protocol" });
});

for (const state of STATES.filter((state) => state !== "open")) {
  test(`ServerSession in state ${state} runs nothing while a request is under way`, () => {
    for (const [from, type] of ALLOWED.filter(([from]) => from === state)) {
      const { session, seq } = sessionIn(from);
      const others = REQUEST_TYPES.map((other, i) => frameOf(seq + 1 + i, other));
      session.receive(concatBytes(frameOf(seq, type), ...others));
      assert.equal(session.next()?.do, "carry-out");
      assert.equal(session.next(), undefined);
      assert.equal(session.runningRequests, 1);
      assert.equal(session.takeConsumedBytes(), frameOf(seq, type).length);
      session.settle(seq, DONE);
      assert.notEqual(session.next(), undefined);
    }
  });
}

test("ServerSession lets a dialogue go on after PROOF, whether that was answered or not", () => {
  const dialogues = [["REGISTER", "REGISTER_FINISH", "greeted"], ["LOGIN", "LOGIN_FINISH", "open"]];
  for (const [start, finish, end] of dialogues as [RequestType, RequestType, SessionState][]) {
    for (const outcome of [DONE, FAILED]) {
      const { session, seq } = sessionIn("greeted");
      for (const [i, type] of ([start, "PROOF", finish] as const).entries()) {
        session.receive(frameOf(seq + i, type));
        assert.equal(session.next()?.do, "carry-out");
        session.settle(seq + i, type === "PROOF" ? outcome : DONE);
      }
      assert.equal(session.state, end);
    }
  }
});

test("ServerSession refuses a pipelined operation behind a login that fails", () => {
  const { session, seq } = sessionIn("proving");
  session.receive(concatBytes(frameOf(seq, "LOGIN_FINISH"), frameOf(seq + 1, "CSR")));
  session.next();
  session.settle(seq, FAILED);
  const action = session.next();
  assert.ok(action?.do === "send");
  assert.equal((messageIn(action.bytes) as { code: string }).code, "REFUSED");
});

const NOT_GROWING = {
  name: "PkiError",
  kind: "protocol",
  message: 'cannot read message: "seq" does not grow',
};

test("ServerSession ends when a seq does not grow, also one of a refused request", () => {
  const firsts = [
    frameOf(5, "HELLO"),
    frameOf(5, "CSR"),
    encodeFrame(utf8('{"seq":5,"type":"NO"}')),
  ];
  for (const first of firsts) {
    for (const seq of [1, 4, 5]) {
      const session = new ServerSession();
      session.receive(first);
      if (session.next()?.do === "carry-out") session.settle(5, DONE);
      session.receive(concatBytes(frameOf(seq, "HELLO"), frameOf(9, "HELLO")));
      assert.throws(() => session.next(), NOT_GROWING);
      assert.throws(() => session.next(), NOT_GROWING, "something is read after that");
    }
  }
  const session = new ServerSession();
  session.receive(frameOf(Number.MAX_SAFE_INTEGER, "HELLO"));
  assert.equal(session.next()?.do, "carry-out");
});

test("ServerSession reads nothing after bytes that are no message", () => {
  const bad: readonly (readonly [Uint8Array, string])[] = [
    [Uint8Array.of(0, 0, 0, 0), "cannot read frame: its length is 0, 1 to 65536 allowed"],
    [
      Uint8Array.of(0x16, 3, 1, 2),
      "cannot read frame: its length is 369295618, 1 to 65536 allowed",
    ],
    [encodeFrame(utf8("HELLO")), "cannot read message: it is not JSON in UTF-8"],
    [encodeFrame(utf8("[]")), "cannot read message: it is not an object"],
    [encodeFrame(utf8("{}")), 'cannot read message: "seq" is not a positive integer'],
  ];
  for (const [bytes, message] of bad) {
    const { session, seq } = sessionIn("greeted");
    session.receive(concatBytes(bytes, frameOf(seq, "LOGIN")));
    assert.throws(() => session.next(), { kind: "protocol", message });
    session.receive(frameOf(seq + 1, "LOGIN"));
    assert.throws(() => session.next(), { kind: "protocol", message });
    assert.equal(session.state, "greeted");
    assert.equal(session.runningRequests, 0);
  }
});

test("ServerSession still answers what runs after the client broke the protocol", () => {
  const { session, seq } = sessionIn("open");
  session.receive(concatBytes(frameOf(seq, "CERTREQ"), encodeFrame(utf8("{}"))));
  session.next();
  assert.throws(() => session.next(), { kind: "protocol" });
  assert.deepEqual(messageIn(session.settle(seq, DONE)), { seq, type: "OK" });
  assert.equal(session.runningRequests, 0);
});

test("ServerSession.bufferedBytes counts what belongs to no request yet", () => {
  const { session, seq } = sessionIn("open");
  const frame = frameOf(seq, "CERTREQ");
  session.receive(frame);
  session.receive(frameOf(seq + 1, "CERTREQ").subarray(0, 7));
  assert.equal(session.bufferedBytes, frame.length + 7);
  session.next();
  assert.equal(session.next(), undefined);
  assert.equal(session.bufferedBytes, 7);
});

test("ServerSession.receiveText() reads what comes whole, in pieces or glued, in the same order", () => {
  const { seq } = sessionIn("open");
  // Also one that is not ASCII, and is refused as what it is.
  const frames = [
    frameOf(seq, "CERTREQ"),
    frameOf(seq + 1, "CSR"),
    encodeFrame(utf8(`{"seq":${seq + 2},"type":"CERTREQ","id":"b\u00f6b"}`)),
    frameOf(seq + 3, "PROOF"),
  ].map(encodeLatin1);
  const whole = frames.join("");
  const portions = [
    frames,
    [whole],
    [...whole],
    [`${frames[0]}${frames[1]?.slice(0, 9)}`, `${frames[1]?.slice(9)}`, ...frames.slice(2)],
    [whole.slice(0, 3), whole.slice(3)],
  ];
  const read = portions.map((chunks) => {
    const { session } = sessionIn("open");
    const actions: Action[] = [];
    for (const [i, chunk] of chunks.entries()) {
      session.receiveText(chunk);
      if (i % 2 === 1) continue; // two may be held at once
      for (let action = session.next(); action; action = session.next()) actions.push(action);
    }
    for (let action = session.next(); action; action = session.next()) actions.push(action);
    assert.equal(session.takeConsumedBytes(), whole.length);
    assert.equal(session.bufferedBytes, 0);
    return actions;
  });
  assert.deepEqual(read[0]?.map((action) => action.do), [
    "carry-out",
    "carry-out",
    "send",
    "carry-out",
  ]);
  for (const actions of read) assert.deepEqual(actions, read[0]);
});

test("ServerSession.settle() refuses an answer that nobody waits for", () => {
  const { session, seq } = sessionIn("open");
  session.receive(frameOf(seq, "CERTREQ"));
  session.next();
  assert.throws(() => session.settle(seq + 1, DONE), { kind: "internal" });
  session.settle(seq, DONE);
  assert.throws(() => session.settle(seq, DONE), { kind: "internal" });
});

/** A whole connection: each request is settled as soon as it comes out. */
const SCRIPT: readonly (readonly [RequestType, Outcome])[] = [
  ["CSR", DONE],
  ["HELLO", DONE],
  ["CERTREQ", DONE],
  ["REGISTER", FAILED],
  ["REGISTER_FINISH", DONE],
  ["REGISTER", DONE],
  ["REGISTER_FINISH", DONE],
  ["LOGIN", DONE],
  ["PROOF", FAILED],
  ["LOGIN_FINISH", FAILED],
  ["LOGIN_FINISH", DONE],
  ["LOGIN", DONE],
  ["LOGIN_FINISH", DONE],
  ["HELLO", DONE],
  ["CSR", FAILED],
  ["CERTUP", DONE],
  ["CERTUP_FINISH", DONE],
  ["CERTREQ", DONE],
  ["PROOF", DONE],
];
const STREAM = concatBytes(...SCRIPT.map(([type], i) => frameOf(i + 1, type)));

function play(chunks: readonly Uint8Array[]): { actions: Action[]; state: SessionState } {
  const session = new ServerSession();
  const actions: Action[] = [];
  let consumed = 0;
  for (const chunk of chunks) {
    session.receive(chunk);
    for (let action = session.next(); action; action = session.next()) {
      actions.push(action);
      if (action.do === "send") continue;
      const { seq } = action.request;
      session.settle(seq, SCRIPT[seq - 1]?.[1] ?? DONE);
    }
    consumed += session.takeConsumedBytes();
  }
  assert.equal(consumed, chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  return { actions, state: session.state };
}

const PLAYED = play([STREAM]);

test("ServerSession plays a whole connection", () => {
  assert.equal(PLAYED.state, "open");
  assert.deepEqual(PLAYED.actions.map((action) => action.do === "carry-out"), [
    ...[false, true, false, true, false, true, true, true, true, true, false, true, true],
    ...[false, true, true, true, true, true],
  ]);
});

test("ServerSession does the same when fed byte by byte, and with any portions", () => {
  assert.deepEqual(play(Array.from(STREAM, (byte) => Uint8Array.of(byte))), PLAYED);
  fc.assert(
    fc.property(fc.array(fc.nat(STREAM.length), { maxLength: 30 }), (cuts) => {
      const bounds = [0, ...cuts, STREAM.length].sort((a, b) => a - b);
      assert.deepEqual(
        play(bounds.slice(1).map((bound, i) => STREAM.subarray(bounds[i], bound))),
        PLAYED,
      );
    }),
    { seed: 20_260_731, numRuns: 200 },
  );
});

test("ServerSession with one flipped bit never opens by it and fails only as it says", () => {
  const login = concatBytes(frameOf(1, "HELLO"), frameOf(2, "LOGIN"), frameOf(3, "LOGIN_FINISH"));
  for (let bit = 0; bit < login.length * 8; bit++) {
    const flipped = new Uint8Array(login);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const session = new ServerSession();
    session.receive(flipped);
    const carriedOut: string[] = [];
    try {
      for (let action = session.next(); action; action = session.next()) {
        if (action.do === "send") continue;
        carriedOut.push(action.request.type);
        session.settle(action.request.seq, DONE);
      }
    } catch (error) {
      assert.equal((error as { kind?: unknown }).kind, "protocol", `bit ${bit}`);
    }
    if (session.state === "open") {
      assert.deepEqual(carriedOut, ["HELLO", "LOGIN", "LOGIN_FINISH"], `bit ${bit}`);
    }
  }
});
