import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, parseBase64, utf8 } from "../../lib/base/bytes.ts";
import { fetchStatus } from "../../lib/client/status.ts";
import { encodeAnswer } from "../../lib/protocol/answers.ts";
import { keyIdOf } from "../../lib/x509/encode.ts";
import {
  encodeOcspError,
  encodeOcspResponse,
  matchesIssuer,
  type OcspCertStatus,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { assertFails } from "../fakes/directory.ts";
import { connect } from "./fake_socket.ts";

const CA = await makeTestCa();
const ALICE = await makeUser(CA, { id: "alice" });
const BOB = await makeUser(CA, { id: "bob" });
const REVOKED = { type: "revoked", revokedMs: NOW_MS - HOUR_MS, reason: "superseded" } as const;

interface Answering {
  readonly status?: OcspCertStatus;
  /** Whose key signs. */
  readonly signer?: typeof CA.issuing;
  readonly repeatsNonce?: boolean;
  readonly nextUpdateMs?: number;
}

/** Asks about alice's certificate; a server answers like this. */
function ask(answering: Answering | "error", nonce?: Uint8Array) {
  const { socket, connection } = connect(utf8("leaf"));
  const asked: Uint8Array[] = [];
  const answered: Uint8Array[] = [];
  socket.onRequest = (request) => {
    if (request.type !== "STATUS") return assert.fail(request.type);
    const der = parseBase64(request.request);
    asked.push(der);
    const response = respond(der, answering);
    answered.push(response);
    socket.say(encodeAnswer(request.seq, { response: encodeBase64(response) }));
  };
  const fetched = fetchStatus(connection, {
    leaf: ALICE.certificate,
    issuing: CA.issuing.certificate,
    nowMs: NOW_MS,
    ...(nonce === undefined ? {} : { nonce }),
  });
  return { fetched, asked, answered };
}

function respond(request: Uint8Array, answering: Answering | "error"): Uint8Array {
  if (answering === "error") return encodeOcspError("unauthorized");
  const { status = { type: "good" }, signer = CA.issuing, repeatsNonce = true } = answering;
  const { nextUpdateMs = NOW_MS + HOUR_MS } = answering;
  const { certIds, nonce } = parseOcspRequest(request);
  return encodeOcspResponse({
    responderKeyId: keyIdOf(signer.certificate.spki),
    producedAtMs: NOW_MS,
    answers: certIds.map((certId) => ({
      certId,
      status,
      thisUpdateMs: NOW_MS - HOUR_MS,
      nextUpdateMs,
    })),
    nonce: repeatsNonce ? nonce : undefined,
  }, signer.key);
}

test("fetchStatus() asks about one certificate, without a nonce unless one is given", async () => {
  const plain = ask({});
  const { der, judged } = await plain.fetched;
  assert.equal(judged.status, "good");
  assert.equal(judged.nextUpdateMs, NOW_MS + HOUR_MS);
  const [request = utf8("")] = plain.asked;
  assert.deepEqual(der, plain.answered[0]);
  const { certIds: [certId, ...more], nonce } = parseOcspRequest(request);
  assert.ok(certId && matchesIssuer(certId, CA.issuing.certificate));
  assert.equal(certId.serial, ALICE.certificate.serial);
  assert.deepEqual([more, nonce], [[], undefined]);

  const ours = new Uint8Array(32).fill(5);
  const fresh = ask({}, ours);
  assert.equal((await fresh.fetched).judged.status, "good");
  assert.deepEqual(parseOcspRequest(fresh.asked[0] ?? utf8("")).nonce, ours);
});

test("fetchStatus() tells revoked and unknown from good", async () => {
  const { judged } = await ask({ status: REVOKED }).fetched;
  assert.deepEqual(
    [judged.status, judged.revokedMs, judged.reason],
    ["revoked", NOW_MS - HOUR_MS, "superseded"],
  );
  assert.equal((await ask({ status: { type: "unknown" } }).fetched).judged.status, "unknown");
});

test("fetchStatus() believes nobody but the issuing CA, and nothing old", async () => {
  const nonce = new Uint8Array(32).fill(5);
  const rows: readonly (readonly [Answering | "error", Uint8Array | undefined, string])[] = [
    ["error", undefined, "it has no answer (unauthorized)"],
    [{ signer: CA.root }, undefined, "it is not by the issuing CA itself"],
    [{ signer: BOB }, undefined, "it is not by the issuing CA itself"],
    [{ nextUpdateMs: NOW_MS - 1000 }, undefined, "it expired 2026-11-01T11:59:59.000Z"],
    [{ repeatsNonce: false }, nonce, "it does not repeat the nonce of the request"],
  ];
  for (const [answering, nonceSent, why] of rows) {
    await assertFails(
      ask(answering, nonceSent).fetched,
      "untrusted",
      `cannot trust OCSP response: ${why}`,
    );
  }
});
