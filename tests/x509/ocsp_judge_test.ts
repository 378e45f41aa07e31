import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../../lib/base/bytes.ts";
import { judgeOcspResponse, type OcspJudgement } from "../../lib/x509/ocsp_judge.ts";
import { encodeOcspError, type OcspCertStatus } from "../../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { flipBit, HOUR_MS, NOW_MS } from "../fakes/ca.ts";
import {
  alice,
  answer,
  bob,
  ca,
  certIdOf,
  issuing,
  nonce,
  NOTHING,
  otherCa,
  respond,
  REVOKED,
} from "../fakes/ocsp.ts";

test("judgeOcspResponse() says what a good response says", () => {
  const window = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + HOUR_MS };
  const rows: readonly (readonly [OcspCertStatus, OcspJudgement])[] = [
    [{ type: "good" }, { status: "good", ...window }],
    [{ type: "unknown" }, { status: "unknown", ...window }],
    [REVOKED, {
      status: "revoked",
      revokedMs: NOW_MS - HOUR_MS,
      reason: "keyCompromise",
      ...window,
    }],
  ];
  for (const [status, expected] of rows) {
    for (const hash of ["sha1", "sha256"] as const) {
      const certId = certIdOf(alice.serial, hash);
      const response = respond({
        nonce,
        answers: [answer({ certId: certIdOf(bob.serial) }), answer({ certId, status })],
      });
      const options = { leaf: alice, issuing, nowMs: NOW_MS };
      assert.deepEqual(judgeOcspResponse(response, options), expected);
      assert.deepEqual(judgeOcspResponse(response, { ...options, nonce }), expected);
      assert.deepEqual(judgeOcspResponse(parseOcspResponse(response), options), expected);
    }
  }
});

const MINUTE_MS = 60_000;
const iso = (timeMs: number) => new Date(timeMs).toISOString();

const UNTRUSTED: readonly {
  readonly what: string;
  readonly response: Uint8Array;
  readonly nowMs?: number;
  readonly nonce?: Uint8Array;
  /** Without: believed. */
  readonly reason?: string;
}[] = [
  {
    what: "an error",
    response: encodeOcspError("tryLater"),
    reason: "it has no answer (tryLater)",
  },
  {
    what: "another CA's response",
    response: respond({}, otherCa.issuing),
    reason: "it is not by the issuing CA itself",
  },
  {
    what: "the root's response",
    response: respond({}, ca.root),
    reason: "it is not by the issuing CA itself",
  },
  {
    what: "another key that claims to be the CA's",
    response: respond({}, { key: otherCa.issuing.key, certificate: issuing }),
    reason: "its signature is not by the issuing CA",
  },
  {
    what: "another certificate's answer",
    response: respond({ answers: [answer({ certId: certIdOf(bob.serial) })] }),
    reason: "it is about another certificate",
  },
  {
    what: "another CA's certificate of the same number",
    response: respond({
      answers: [answer({ certId: certIdOf(alice.serial, "sha1", otherCa.issuing.certificate) })],
    }),
    reason: "it is about another certificate",
  },
  {
    what: "no answer",
    response: respond({ answers: [] }),
    reason: "it is about another certificate",
  },
  {
    what: "good and revoked at once",
    response: respond({ answers: [answer(), answer({ status: REVOKED })] }),
    reason: "it has several answers about the certificate",
  },
  {
    what: "more than five minutes ahead",
    response: respond({ producedAtMs: NOW_MS - MINUTE_MS }),
    nowMs: NOW_MS - 5 * MINUTE_MS - 1,
    reason: `it is from the future: ${iso(NOW_MS)}`,
  },
  { what: "five minutes ahead", response: respond(), nowMs: NOW_MS - 5 * MINUTE_MS },
  {
    what: "produced in the future",
    response: respond({ producedAtMs: NOW_MS + 6 * MINUTE_MS }),
    reason: `it is from the future: ${iso(NOW_MS + 6 * MINUTE_MS)}`,
  },
  {
    what: "no end",
    response: respond({ answers: [answer({ nextUpdateMs: undefined })] }),
    reason: "it does not say until when it is valid",
  },
  {
    what: "a millisecond late",
    response: respond(),
    nowMs: NOW_MS + HOUR_MS + 1,
    reason: `it expired ${iso(NOW_MS + HOUR_MS)}`,
  },
  { what: "in the last moment", response: respond(), nowMs: NOW_MS + HOUR_MS },
  {
    what: "an end before its beginning",
    response: respond({
      answers: [answer({ thisUpdateMs: NOW_MS + 3000, nextUpdateMs: NOW_MS + 2000 })],
    }),
    reason: "it ends before it begins",
  },
  {
    what: "a day and a second",
    response: respond({ answers: [answer({ nextUpdateMs: NOW_MS + 24 * HOUR_MS + 1000 })] }),
    reason: `it is valid for more than 24 hours, until ${iso(NOW_MS + 24 * HOUR_MS + 1000)}`,
  },
  {
    what: "a day",
    response: respond({ answers: [answer({ nextUpdateMs: NOW_MS + 24 * HOUR_MS })] }),
  },
  {
    what: "no nonce",
    response: respond(),
    nonce,
    reason: "it does not repeat the nonce of the request",
  },
  {
    what: "another nonce",
    response: respond({ nonce: flipBit(nonce, 31) }),
    nonce,
    reason: "it has the nonce of another request",
  },
  {
    what: "a longer nonce",
    response: respond({ nonce: concatBytes(nonce, nonce) }),
    nonce,
    reason: "it has the nonce of another request",
  },
  { what: "the nonce", response: respond({ nonce }), nonce },
  { what: "everything good", response: respond() },
];

for (const { what, response, nowMs = NOW_MS, nonce: wanted, reason } of UNTRUSTED) {
  test(`judgeOcspResponse() ${reason === undefined ? "believes" : "refuses"} ${what}`, () => {
    const options = { leaf: alice, issuing, nowMs, ...(wanted ? { nonce: wanted } : {}) };
    if (reason === undefined) {
      assert.equal(judgeOcspResponse(response, options).status, "good");
      return;
    }
    assert.throws(() => judgeOcspResponse(response, options), {
      kind: "untrusted",
      message: `cannot trust OCSP response: ${reason}`,
    });
  });
}

test("judgeOcspResponse() calls bytes that are no response untrusted", () => {
  assert.throws(() => judgeOcspResponse(NOTHING, { leaf: alice, issuing, nowMs: NOW_MS }), {
    kind: "untrusted",
    message: "cannot read OCSP response: it ends too early",
  });
});

test("judgeOcspResponse() believes no response with a flipped bit", () => {
  const response = respond({ nonce, answers: [answer({ status: REVOKED })] });
  for (let at = 0; at < response.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      assert.throws(
        () =>
          judgeOcspResponse(flipBit(response, at, bit), {
            leaf: alice,
            issuing,
            nowMs: NOW_MS,
            nonce,
          }),
        { kind: "untrusted" },
        `bit ${bit} of byte ${at}`,
      );
    }
  }
});
