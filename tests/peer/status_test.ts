import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { type AskedStatus, judgePeerStatus } from "../../lib/peer/status.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodeOcspError } from "../../lib/x509/ocsp.ts";
import { flipBit, HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { makeStatus, revokedAt, type StatusDraft } from "../fakes/status.ts";

const MINUTE_MS = 60_000;

const ca = await makeTestCa();
const otherCa = await makeTestCa();
const bob = await makeUser(ca, { id: "bob" });
const carol = await makeUser(ca, { id: "carol" });

function responseOf(draft: Partial<StatusDraft> = {}) {
  return makeStatus({
    issuer: ca.issuing,
    serial: bob.certificate.serial,
    thisUpdateMs: NOW_MS - MINUTE_MS,
    ...draft,
  });
}

const GOOD = responseOf();
const FOREIGN_KEY = await generatePrivateKey("p256");

/** What a response says that counts, or `nothing`. */
type Says = "good" | "revoked" | "unknown" | "nothing";

const RESPONSES: readonly (readonly [string, Uint8Array, Says])[] = [
  ["good", GOOD, "good"],
  ["good in its last second", responseOf({ thisUpdateMs: NOW_MS - HOUR_MS }), "good"],
  ["good, of a clock that is ahead", responseOf({ thisUpdateMs: NOW_MS + 4 * MINUTE_MS }), "good"],
  ["stale", responseOf({ thisUpdateMs: NOW_MS - HOUR_MS - 1000 }), "nothing"],
  ["of the future", responseOf({ thisUpdateMs: NOW_MS + 6 * MINUTE_MS }), "nothing"],
  ["good for years", responseOf({ nextUpdateMs: NOW_MS + 20_000 * HOUR_MS }), "nothing"],
  ["of another certificate", responseOf({ serial: carol.certificate.serial }), "nothing"],
  ["of another CA with the same names", responseOf({ issuer: otherCa.issuing }), "nothing"],
  ["of the root", responseOf({ issuer: ca.root }), "nothing"],
  [
    "in the CA's name by another key",
    responseOf({ issuer: { certificate: ca.issuing.certificate, key: FOREIGN_KEY } }),
    "nothing",
  ],
  ["by the peer itself", responseOf({ issuer: bob }), "nothing"],
  ["with a bit of its signature flipped", flipBit(GOOD, -1), "nothing"],
  ["cut short", GOOD.subarray(0, GOOD.length - 1), "nothing"],
  ["with a byte behind it", concatBytes(GOOD, Uint8Array.of(0)), "nothing"],
  ["empty", new Uint8Array(), "nothing"],
  ["an error", encodeOcspError("tryLater"), "nothing"],
  ["unknown", responseOf({ status: { type: "unknown" } }), "unknown"],
  ["revoked", responseOf({ status: revokedAt(NOW_MS - 2 * HOUR_MS) }), "revoked"],
  [
    "revoked, told too late",
    responseOf({ status: revokedAt(NOW_MS - 9 * HOUR_MS), thisUpdateMs: NOW_MS - 5 * HOUR_MS }),
    "revoked",
  ],
  [
    "revoked, of a clock that is far ahead",
    responseOf({ status: revokedAt(NOW_MS), thisUpdateMs: NOW_MS + HOUR_MS }),
    "revoked",
  ],
  [
    "revoked by another key",
    responseOf({
      status: revokedAt(NOW_MS),
      issuer: { certificate: ca.issuing.certificate, key: FOREIGN_KEY },
    }),
    "nothing",
  ],
  [
    "revoked, but somebody else",
    responseOf({ status: revokedAt(NOW_MS), serial: carol.certificate.serial }),
    "nothing",
  ],
];

const REFUSALS = {
  revoked: /^cannot trust certificate: it was revoked 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/,
  unknown: /^cannot trust certificate: its CA says that it has not issued it$/,
  nothing: /^cannot trust certificate: whether it was revoked is not known$/,
} as const;

function judge(
  stapled: Uint8Array | undefined,
  { asked, isOffline }: { readonly asked?: AskedStatus | undefined; readonly isOffline: boolean },
): string {
  try {
    return judgePeerStatus({ stapled, asked }, {
      leaf: bob.certificate,
      issuing: ca.issuing.certificate,
      nowMs: NOW_MS,
      isOffline,
    });
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "untrusted", String(error));
    const refusal = Object.entries(REFUSALS).find(([, message]) => message.test(error.message));
    assert.ok(refusal, error.message);
    return `refused: ${refusal[0]}`;
  }
}

const UNREACHABLE: AskedStatus = { failure: "cannot reach localhost:1: nobody listens there" };
const STAPLES = [["missing", undefined, "nothing"], ...RESPONSES] as const;

for (const [name, stapled, says] of STAPLES) {
  test(`judgePeerStatus() with a staple that is ${name}`, () => {
    const isDecided = says !== "nothing";
    const decision = says === "good" ? "stapled" : `refused: ${says}`;
    const expect = (otherwise: string) => isDecided ? decision : otherwise;
    for (const [isOffline, otherwise] of [[false, "wanted"], [true, "unchecked"]] as const) {
      assert.equal(judge(stapled, { isOffline }), expect(otherwise), `offline ${isOffline}`);
    }
    const asked = (asked: AskedStatus) => judge(stapled, { asked, isOffline: false });
    assert.equal(asked(UNREACHABLE), expect("refused: nothing"));
    for (const [answer, response, answerSays] of RESPONSES) {
      const fetched = answerSays === "good" ? "fetched" : `refused: ${answerSays}`;
      assert.equal(asked({ response }), expect(fetched), `the server's answer is ${answer}`);
    }
  });
}

test("judgePeerStatus() keeps what is for its own side in the hint", () => {
  const judging = {
    leaf: bob.certificate,
    issuing: ca.issuing.certificate,
    nowMs: NOW_MS,
    isOffline: false,
  };
  const stale = responseOf({ thisUpdateMs: NOW_MS - 2 * HOUR_MS });
  const rows: [Uint8Array | undefined, AskedStatus, string][] = [
    [
      undefined,
      UNREACHABLE,
      "none came with it; the server: cannot reach localhost:1: nobody listens there; " +
      "let either side reach the server, or accept that with --offline",
    ],
    [
      stale,
      { response: flipBit(GOOD, -1) },
      "what came with it: cannot trust OCSP response: it expired 2026-11-01T11:00:00.000Z; " +
      "the server: cannot trust OCSP response: its signature is not by the issuing CA; " +
      "let either side reach the server, or accept that with --offline",
    ],
  ];
  for (const [stapled, asked, hint] of rows) {
    assert.throws(() => judgePeerStatus({ stapled, asked }, judging), {
      kind: "untrusted",
      message: "cannot trust certificate: whether it was revoked is not known",
      hint,
    });
  }
});

test("judgePeerStatus() takes no bytes for good that are not the response itself", () => {
  fc.assert(
    fc.property(fc.nat(GOOD.length * 8 - 1), (at) => {
      assert.equal(judge(flipBit(GOOD, at >> 3, at & 7), { isOffline: false }), "wanted");
    }),
    { seed: 20_261_126, numRuns: 400 },
  );
  for (let cut = 0; cut < GOOD.length; cut++) {
    assert.equal(judge(GOOD.subarray(0, cut), { isOffline: false }), "wanted");
  }
});
