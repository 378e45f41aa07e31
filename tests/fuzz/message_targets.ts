/** What reads frames and messages: of clients, servers, peers, administrators, the agent; and the log. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { parseJson, RepeatedName } from "../../lib/base/json.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { encodeEntry, parseEntry } from "../../lib/log/entry.ts";
import { encodeRecord, readRecords } from "../../lib/log/records.ts";
import { parseAdminRequest } from "../../lib/protocol/admin_messages.ts";
import { parseAgentRequest } from "../../lib/protocol/agent_messages.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import { encodeInvitation, parseInvitation } from "../../lib/protocol/invitation.ts";
import { parseAnswer, parseAnswerBody } from "../../lib/protocol/answers.ts";
import { type Request, REQUEST_TYPES, type RequestType } from "../../lib/protocol/requests.ts";
import { ServerSession } from "../../lib/protocol/session.ts";
import {
  control,
  data,
  end,
  helloFields,
  NONCE,
  opened,
  receiver,
  text,
} from "../protocol/peer_frames.ts";
import { hasNameTwice, type JsonMutation, jsonMutation, mutateJson } from "./json_text.ts";
import { onlyFails, type Target } from "./target.ts";

type Message = Readonly<Record<string, unknown>>;

const BYTES_32 = encodeBase64(new Uint8Array(32).fill(7));
const ID_MAX = "a".repeat(63);

const REQUESTS: readonly Message[] = [
  { type: "HELLO" },
  { type: "REGISTER", id: "alice", request: "Ab-_9" },
  { type: "REGISTER_FINISH", record: "Ab-_9" },
  { type: "LOGIN", id: "alice", request: "Ab-_9" },
  { type: "LOGIN_FINISH", finish: "Ab-_9", binding: BYTES_32 },
  { type: "LOGIN_CERTIFICATE" },
  { type: "CSR", csr: "AQID" },
  { type: "CERTUP", certificate: "AQID" },
  { type: "CERTUP_FINISH", nonce: BYTES_32, clientNonce: BYTES_32, signature: "AQID" },
  { type: "CERTREQ", id: ID_MAX },
  { type: "PROOF", from: 1, index: 2 },
  { type: "STATUS", request: "AQID" },
  { type: "CRL" },
  { type: "PASSWD", request: "Ab-_9" },
  { type: "PASSWD_FINISH", record: "Ab-_9" },
  { type: "REVOKE", serial: "07ff" },
  { type: "ANNOUNCE", addresses: ["localhost:7450"], seconds: 600 },
  { type: "LOCATE", id: "bob" },
];

const EVALUATED = { response: "Ab-_9", suite: "opaque" };
const CERTIFIED = { certificate: "AQID", issuing: "AQID", index: 3 };

/** The fields of an answer to each request. */
const ANSWERS: Readonly<Record<RequestType, Message>> = {
  HELLO: {
    ...{ root: "AQID", domain: "pki.internal", versions: ["pki/1"], time: "2026-11-01T12:00:00Z" },
    ...{ log: { key: "log", signature: "AQID" }, successions: [], registration: "open" },
  },
  REGISTER: EVALUATED,
  REGISTER_FINISH: {},
  LOGIN: EVALUATED,
  LOGIN_FINISH: { id: "alice" },
  LOGIN_CERTIFICATE: { id: "alice" },
  PASSWD: EVALUATED,
  PASSWD_FINISH: {},
  CSR: { ...CERTIFIED, ignored: ["subject"] },
  CERTUP: { nonce: BYTES_32 },
  CERTUP_FINISH: {},
  CERTREQ: CERTIFIED,
  PROOF: { checkpoint: "note", consistency: [BYTES_32], leaf: "AQID", inclusion: [BYTES_32] },
  STATUS: { response: "AQID" },
  CRL: { number: "7", bytes: 3, offset: 0, chunk: "AQID" },
  REVOKE: { serial: "07ff", time: "2026-11-01T12:00:00Z" },
  ANNOUNCE: {},
  LOCATE: { addresses: ["localhost:7450"], seconds: 60 },
};

const WHOLE_ANSWERS: readonly Message[] = [
  { seq: 1, type: "ERROR", code: "REFUSED", message: "no" },
  ...Object.values(ANSWERS).map((fields) => ({ seq: 1, type: "OK", ...fields })),
];

const PEER: readonly Message[] = [
  helloFields(),
  { type: "NONCE", nonce: encodeBase64(NONCE) },
  { type: "WAIT", reason: "asked" },
  { type: "READY", signs: false },
  { type: "REFUSED", code: "UNTRUSTED", message: "no" },
  { type: "DELIVERED", messages: 1 },
  { type: "RECEIVED", bytes: 3 },
  { type: "ALIVE" },
  { type: "LEAVING", code: "TIMEOUT", message: "gone" },
  { type: "OFFER", transfer: 1, name: "notes.txt", files: 1, bytes: 3 },
  { type: "ACCEPT", transfer: 1 },
  {
    ...{ type: "FILE", file: 1, path: ["notes.txt"], kind: "file", size: 3 },
    ...{ permissions: 420, modified: 5 },
  },
  { type: "HAVE", file: 1, bytes: 0, sha256: BYTES_32 },
  { type: "FILE_END", file: 1, path: ["notes.txt"], size: 3, sha256: BYTES_32 },
  { type: "CANCEL", transfer: 1, side: "sender", message: "no" },
];

const ADMIN: readonly Message[] = [
  { seq: 1, type: "STATUS" },
  { seq: 1, type: "LIST", limit: 10 },
  { seq: 1, type: "REVOKE", serial: "07ff", reason: "superseded" },
  { seq: 1, type: "INVITE", id: "alice", isReset: false, forMs: 3_600_000, uses: 1 },
  { seq: 1, type: "USERS" },
  { seq: 1, type: "ISSUE", profile: "server", dns: ["a.pki.internal"], csr: "AQID" },
];

const AGENT: readonly Message[] = [
  { type: "LIST" },
  { type: "ADD", id: "alice", key: "AQID", pemHash: BYTES_32, forMs: 1000 },
  { type: "KEY", id: "alice" },
  { type: "LOCK", id: "alice" },
];

interface ChangedMessage {
  readonly sample: Message;
  readonly mutations: readonly JsonMutation[];
  /** What is added to the length of its frame. */
  readonly off: number;
}

const changedOf = (samples: readonly Message[]): fc.Arbitrary<ChangedMessage> =>
  fc.record({
    sample: fc.constantFrom(...samples),
    mutations: fc.oneof(
      fc.array(jsonMutation, { maxLength: 1 }),
      fc.array(jsonMutation, { maxLength: 3 }),
    ),
    off: fc.constantFrom(...new Array<number>(20).fill(0), 1, -1, 2 ** 31, -(2 ** 31)),
  });

const asBody = (message: Message) => utf8(JSON.stringify(message));

const jsonOf = (samples: readonly Message[]) =>
  changedOf(samples).map(({ sample, mutations }) => mutateJson(sample, mutations));

/** A body as long as a frame may have; longer ones never come to a reader of messages. */
const bodyOf = (samples: readonly Message[]) =>
  jsonOf(samples).map((json) => copyBytes(utf8(json).subarray(0, LIMITS.frameBytesMax)));

/** A frame around a message, its length right or not. */
function frameAround({ sample, mutations, off }: ChangedMessage): Bytes {
  const body = utf8(mutateJson(sample, mutations));
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, (body.length + off) >>> 0);
  frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

/** A request as the first in its state: what finishes something comes behind its beginning. */
function askedFirst(fields: Message): Bytes {
  const [, begun] = /^(.*)_FINISH$/.exec(String(fields["type"])) ?? [];
  const before = REQUESTS.filter(({ type }) => type === begun);
  return concatBytes(
    ...[...before, fields].map((one, i) => encodeFrame(asBody({ seq: i + 10, ...one }))),
  );
}

/** Some requests, numbered; a changed number is one of the changes. */
const clientStream: fc.Arbitrary<Bytes> = fc.array(changedOf(REQUESTS), {
  minLength: 1,
  maxLength: 8,
}).map((list) =>
  concatBytes(
    ...list.map((one, i) => frameAround({ ...one, sample: { seq: i + 10, ...one.sample } })),
  )
);

/** In pieces of sizes that follow from the bytes, so that an input says all. */
function* piecesOf(input: Bytes): Generator<Bytes> {
  for (let at = 0, i = 0; at < input.length; i++) {
    const size = [input.length, 1, 3, 17, 4096, 70_000][(input[i % input.length] ?? 0) % 6] ?? 1;
    yield copyBytes(input.subarray(at, at + size));
    at += size;
  }
}

const FREQUENT: Readonly<Record<string, (request: Message) => boolean>> = {
  CSR: ({ csr }) => typeof csr === "string" && csr.length > 0 && btoa(atob(csr)) === csr,
  CERTREQ: ({ id }) =>
    typeof id === "string" && /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/.test(id) && id.length < 64,
};

/** What is carried out is what a strict reader of JSON sees, has no field too many, and a greater `seq`. */
function assertCarriedOut(request: Request, lastSeq: number): void {
  assert.ok(Number.isSafeInteger(request.seq) && request.seq > lastSeq);
  const known = Object.keys(REQUESTS.find(({ type }) => type === request.type) ?? {});
  const optional = ["invitation", "checkpoint", "issuer", "number", "offset", "reason", "seq"];
  for (const name of Object.keys(request)) {
    assert.ok(known.includes(name) || optional.includes(name), `${request.type} with ${name}`);
  }
  assert.equal(Object.getPrototypeOf(request), Object.prototype);
  assert.ok(FREQUENT[request.type]?.(request as unknown as Message) ?? true, request.type);
}

/** Whether a session takes at least one request, before a login or behind it. */
function readAsServer(input: Bytes): boolean {
  let carriedOut = 0;
  for (const isOpen of [false, true]) {
    const session = new ServerSession();
    let lastSeq = 0;
    const drain = () => {
      for (let action = session.next(); action; action = session.next()) {
        if (action.do === "send") continue;
        assertCarriedOut(action.request, lastSeq);
        lastSeq = action.request.seq;
        carriedOut++;
        session.settle(lastSeq, { ok: true, fields: "{}" });
      }
    };
    session.receive(encodeFrame(utf8('{"seq":1,"type":"HELLO"}')));
    if (isOpen) session.receive(encodeFrame(utf8('{"seq":2,"type":"LOGIN_CERTIFICATE"}')));
    drain();
    carriedOut -= isOpen ? 2 : 1;
    onlyFails(["protocol"], () => {
      for (const piece of piecesOf(input)) {
        session.receive(piece);
        drain();
        assert.ok(session.bufferedBytes <= FRAME_HEADER_BYTES + LIMITS.frameBytesMax);
      }
    });
  }
  return carriedOut > 0;
}

/** Each is good to whoever has asked for it; to others, it is one that does not fit. */
for (const [type, fields] of Object.entries(ANSWERS)) parseAnswerBody(type as RequestType, fields);

function readAsClient(input: Bytes): void {
  const answer = parseAnswer(input);
  if (!answer.ok) return;
  for (const type of REQUEST_TYPES) {
    onlyFails(["protocol"], () => void parseAnswerBody(type, answer.body));
  }
}

const peerFrame: fc.Arbitrary<Bytes> = fc.oneof(
  { weight: 6, arbitrary: jsonOf(PEER).map((json) => control(json.slice(0, 30_000))) },
  fc.constantFrom(text("x"), data(1, 2, 3), end(3), end(0)),
  changedOf(PEER).map(frameAround),
);

const peerStream = fc.array(peerFrame, { minLength: 1, maxLength: 8 })
  .map((frames) => concatBytes(...frames));

const HELD_MAX = FRAME_HEADER_BYTES + LIMITS.frameBytesMax + 2 * LIMITS.messageBytesMax;

function readAsPeer(input: Bytes): boolean {
  return [receiver(), opened()].map((made) =>
    onlyFails(["protocol"], () => {
      for (const piece of piecesOf(input)) {
        made.receive(piece);
        for (let event = made.next(); event; event = made.next()) assert.ok(event.type);
        assert.ok(made.heldBytes <= HELD_MAX);
      }
    })
  ).includes(true);
}

const INVITATION = encodeInvitation({
  address: "pki.example.org:7443",
  fingerprint: "ab".repeat(32),
  token: new Uint8Array(16).fill(9),
});

const invitationText = fc.tuple(
  fc.nat({ max: INVITATION.length }),
  fc.nat({ max: 3 }),
  fc.constantFrom("", " ", "\n", "A", "_", "=", "\u0000", "pki1:", INVITATION),
).map(([at, dropped, put]) =>
  utf8(INVITATION.slice(0, at) + put + INVITATION.slice(at + Math.max(0, dropped - 1)))
);

const ENTRY = encodeEntry({
  type: "issued",
  timeMs: 5,
  public: { profile: "user", id: "alice", certificate: "AQID" },
  private: null,
  salt: new Uint8Array(32),
});

const RECORDS = concatBytes(
  ...[1, 2, 3].map((timeMs) =>
    encodeRecord({
      type: "issued",
      timeMs,
      public: { id: "alice" },
      private: { address: "::1" },
      salt: new Uint8Array(32),
    })
  ),
);

/** Some bytes changed, and an end that may be missing. */
const changed = (sample: Bytes) =>
  fc.tuple(
    fc.array(fc.tuple(fc.nat({ max: sample.length - 1 }), fc.nat({ max: 255 })), { maxLength: 4 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant(sample.length) }, fc.nat({ max: sample.length })),
  ).map(([changes, length]) => {
    const bytes = copyBytes(sample);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes.slice(0, length);
  });

/** A changed record is noticed, by its checksum; where bytes are missing at the end it is torn. */
function readLog(input: Bytes): boolean {
  let records = 0;
  const { status } = readRecords(input, { index: 0, offset: 0 }, () => records++);
  const isWhole = status === "complete" && records === 3;
  if (isWhole) assert.deepEqual(input.subarray(0, RECORDS.length), RECORDS);
  return isWhole;
}

/** Longer texts may be deeper than can be compared. */
const COMPARED_MAX = 10_000;

/** A text is refused for a name that stands twice, or for no JSON, or read as the engine reads it. */
function readJson(input: Bytes): boolean {
  const text = new TextDecoder().decode(input);
  let engines: unknown;
  try {
    engines = JSON.parse(text);
  } catch {
    assert.throws(() => parseJson(text), SyntaxError);
    return false;
  }
  const isRepeated = hasNameTwice(text);
  if (isRepeated) assert.throws(() => parseJson(text), RepeatedName);
  else if (text.length < COMPARED_MAX) assert.deepEqual(parseJson(text), engines);
  else parseJson(text);
  return !isRepeated;
}

/** A message within another, both changed: names stand twice at any depth. */
const nestedJson: fc.Arbitrary<Bytes> = fc.tuple(
  jsonOf([...REQUESTS, ...WHOLE_ANSWERS, ...PEER, ...ADMIN, ...AGENT]),
  jsonOf(PEER),
).map(([outer, inner]) => copyBytes(utf8(outer.replace("{", () => `{"in":[${inner}],`))));

export const MESSAGE_TARGETS: readonly Target[] = [
  { name: "JSON", inputs: nestedJson, good: [utf8("{}")], run: readJson },
  {
    name: "client",
    inputs: clientStream,
    good: REQUESTS.map(askedFirst),
    run: readAsServer,
  },
  {
    name: "answer",
    inputs: bodyOf(WHOLE_ANSWERS),
    good: WHOLE_ANSWERS.map(asBody),
    run: (input) => onlyFails(["protocol"], () => readAsClient(input)),
  },
  {
    name: "peer",
    inputs: peerStream,
    good: [concatBytes(...PEER.slice(0, 4).map(control)), text("x"), data(1, 2, 3), end(0)],
    run: readAsPeer,
  },
  {
    name: "administrator",
    inputs: bodyOf(ADMIN),
    good: ADMIN.map(asBody),
    run: (input) => onlyFails(["protocol"], () => void parseAdminRequest(input)),
  },
  {
    name: "agent",
    inputs: bodyOf(AGENT),
    good: AGENT.map(asBody),
    run: (input) => onlyFails(["protocol"], () => void parseAgentRequest(input)),
  },
  {
    name: "invitation",
    inputs: invitationText,
    good: [utf8(INVITATION)],
    run: (input) =>
      onlyFails(
        ["malformed", "usage"],
        () => void parseInvitation(new TextDecoder().decode(input)),
      ),
  },
  {
    name: "entry",
    inputs: changed(ENTRY),
    good: [ENTRY],
    run: (input) => onlyFails(["storage"], () => void parseEntry(input)),
  },
  {
    name: "records",
    inputs: changed(RECORDS),
    good: [RECORDS],
    run: readLog,
  },
];
