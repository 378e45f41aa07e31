import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { PkiError, reportError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { checkCrl, fetchCrl } from "../../lib/client/crl.ts";
import { type Answer, encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import type { RequestBody } from "../../lib/protocol/requests.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { encodeCrlEntry, encodeTbsCrl, parseCrl, signCrl } from "../../lib/x509/crl.ts";
import { type Holder, HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { assertFails } from "../fakes/directory.ts";
import { connect } from "./fake_socket.ts";

const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();

interface ListOptions {
  readonly number?: bigint;
  readonly serials?: readonly string[];
  readonly thisUpdateMs?: number;
  readonly nextUpdateMs?: number;
}

function makeList(issuer: Holder, options: ListOptions = {}): Bytes {
  const { number = 7n, serials = ["0a"], thisUpdateMs = NOW_MS, nextUpdateMs = NOW_MS + HOUR_MS } =
    options;
  const tbs = encodeTbsCrl({
    issuer: issuer.certificate,
    number,
    thisUpdateMs,
    nextUpdateMs,
    entries: serials.map((serial) =>
      encodeCrlEntry({ serial, revokedMs: NOW_MS - HOUR_MS, reason: "keyCompromise" })
    ),
  });
  return signCrl(tbs, issuer);
}

/** Serial numbers for a list of some length. */
function manySerials(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => (i + 0x01000000).toString(16).padStart(8, "0"));
}

type Question = RequestBody<"CRL">;
type AnswerList = (question: Question) => Answer;

/** Answers with parts of a list, as the server does. */
function serveList(der: Bytes, { number = "7", partBytes = 1000 } = {}): AnswerList {
  return (question) => {
    if (question.number !== undefined && question.number !== number) {
      throw new PkiError("not-found", "cannot find the list: ask for the newest one");
    }
    const { offset = 0 } = question;
    const chunk = encodeBase64(der.subarray(offset, offset + partBytes));
    return { number, bytes: der.length, offset, chunk };
  };
}

/** Fetches the issuing CA's list from a server that answers like this. */
function fetchFrom(answer: AnswerList, issuer: Holder = CA.issuing) {
  const { socket, connection } = connect(utf8("leaf"));
  const questions: Question[] = [];
  socket.onRequest = (request) => {
    assert.equal(request.type, "CRL");
    const question: Question = request.type === "CRL" ? request : {};
    questions.push(question);
    queueMicrotask(() => {
      try {
        socket.say(encodeAnswer(request.seq, answer(question)));
      } catch (error) {
        socket.say(encodeError(request.seq, reportError(error)));
      }
    });
  };
  const fetched = fetchCrl(connection, { issuer: issuer.certificate, nowMs: NOW_MS });
  return { fetched, questions };
}

test("fetchCrl() puts together a list of one part, of several, and of many", async () => {
  const serials = manySerials(1200);
  for (const [count, partBytes] of [[1, 1000], [100, 1000], [1200, 997], [1200, 45_000]] as const) {
    const der = makeList(CA.issuing, { serials: serials.slice(0, count) });
    const { fetched, questions } = fetchFrom(serveList(der, { partBytes }));
    const crl = await fetched;
    assert.deepEqual(crl.der, der);
    assert.equal(crl.entryCount, count);
    assert.equal(crl.find(serials[0] ?? "")?.reason, "keyCompromise");
    assert.equal(questions.length, Math.ceil(der.length / partBytes));
    assert.ok(
      questions.every(({ issuer }) => issuer === fingerprintOf(CA.issuing.certificate.der)),
    );
    assert.ok(questions.slice(1).every(({ number }) => number === "7"), "the number is pinned");
  }
});

test("fetchCrl() gets the root's list like any other", async () => {
  const der = makeList(CA.root);
  const { fetched, questions } = fetchFrom(serveList(der), CA.root);
  assert.deepEqual((await fetched).der, der);
  assert.equal(questions[0]?.issuer, fingerprintOf(CA.root.certificate.der));
});

test("fetchCrl() begins again where the list is replaced meanwhile, but not for ever", async () => {
  const old = makeList(CA.issuing, { serials: manySerials(100) });
  const newer = makeList(CA.issuing, { serials: manySerials(101), number: 8n });
  let asked = 0;
  const replaced = fetchFrom((question) =>
    (asked++ === 0 ? serveList(old) : serveList(newer, { number: "8" }))(question)
  );
  assert.equal((await replaced.fetched).number, 8n);

  const restless = fetchFrom((question) => {
    if (question.number !== undefined) return serveList(old, { number: "9" })(question);
    return serveList(old)(question);
  });
  await assertFails(restless.fetched, "not-found", /ask for the newest one/);
  const starts = restless.questions.filter(({ number }) => number === undefined);
  assert.equal(starts.length, 4);
});

test("fetchCrl() says that there is no list without asking again", async () => {
  const none = fetchFrom(() => {
    throw new PkiError("not-found", "cannot find the list: this server has none");
  });
  await assertFails(none.fetched, "not-found", /this server has none/);
  assert.equal(none.questions.length, 1);
});

test("fetchCrl() refuses answers that are not parts of one list", async () => {
  const der = makeList(CA.issuing, { serials: manySerials(100) });
  const good = serveList(der);
  const part = (change: Answer) => (question: Question) => ({ ...good(question), ...change });
  const later = (change: Answer) => (question: Question) =>
    question.offset === undefined ? good(question) : { ...good(question), ...change };
  const another = "the server answers with another part of the list";
  const tooLong = LIMITS.crlBytesMax + 1;
  const rows: readonly (readonly [AnswerList, string])[] = [
    [part({ chunk: "" }), "cannot read the list: an empty part"],
    [
      part({ bytes: tooLong }),
      `cannot read the list: ${tooLong} bytes, at most ${LIMITS.crlBytesMax} accepted`,
    ],
    [part({ offset: 1 }), another],
    [part({ bytes: 10 }), another],
    [later({ number: "8" }), another],
    [later({ bytes: der.length + 1 }), another],
    [later({ offset: 3 }), another],
    [later({ chunk: "AAAA" }), "cannot read the list: its parts are of different lengths"],
    [later({ chunk: "" }), "cannot read the list: its parts are of different lengths"],
    [serveList(der, { number: "8" }), "the server answers with a list of another number"],
  ];
  for (const [answer, message] of rows) {
    await assertFails(fetchFrom(answer).fetched, "protocol", message);
  }
  await assertFails(
    fetchFrom(serveList(der.slice(0, -1))).fetched,
    "malformed",
    /^cannot read CRL: /,
  );
});

test("checkCrl() refuses lists that are not this CA's, or not of now", async () => {
  const alice = await makeUser(CA, { id: "alice", keyType: "ed25519" });
  const rows: readonly (readonly [string, Bytes, string | undefined])[] = [
    ["of another CA", makeList(OTHER_CA.issuing), "it is not by this CA"],
    ["of the CA above", makeList(CA.root), "it is not by this CA"],
    [
      "signed by another key under the CA's name",
      makeList({ key: OTHER_CA.issuing.key, certificate: CA.issuing.certificate }),
      "it is not by this CA",
    ],
    ["of somebody who is no CA", makeList(alice), "it is not by this CA"],
    [
      "signed under the CA's name with an algorithm that is not its key's",
      makeList({
        key: alice.key,
        certificate: { ...CA.issuing.certificate, spki: alice.certificate.spki },
      }),
      "it is not by this CA",
    ],
    [
      "from the future",
      makeList(CA.issuing, { thisUpdateMs: NOW_MS + LIMITS.backdateMs + 1000 }),
      "it is of 2026-11-01T12:01:01.000Z",
    ],
    [
      "that has ended",
      makeList(CA.issuing, { thisUpdateMs: NOW_MS - HOUR_MS, nextUpdateMs: NOW_MS }),
      "it was good until 2026-11-01T12:00:00.000Z",
    ],
    [
      "with a clock a little ahead",
      makeList(CA.issuing, { thisUpdateMs: NOW_MS + 60_000 }),
      undefined,
    ],
    ["in its last second", makeList(CA.issuing, { nextUpdateMs: NOW_MS + 1000 }), undefined],
  ];
  for (const [name, der, why] of rows) {
    const judge = () => checkCrl(parseCrl(der), { issuer: CA.issuing.certificate, nowMs: NOW_MS });
    if (why === undefined) judge();
    else {
      assert.throws(judge, (error) => {
        assert.ok(error instanceof PkiError, name);
        assert.equal(error.kind, "untrusted", name);
        assert.equal(error.message, `cannot trust the revocation list: ${why}`, name);
        return true;
      });
    }
  }
});
