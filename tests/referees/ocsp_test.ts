/** What OCSP responses say, ours as the server makes them and such as nobody shall believe. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createAuthority } from "../../lib/ca/authority.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import type { Certificate } from "../../lib/x509/certificate.ts";
import { judgeOcspResponse } from "../../lib/x509/ocsp_judge.ts";
import { makeStatus, revokedAt, type StatusDraft } from "../fakes/status.ts";
import { without } from "../tool.ts";
import {
  certifyAs,
  DAY_MS,
  DOMAIN,
  HOUR_MS,
  LEAF_KEY,
  makeAuthorities,
  nextKey,
  NOW_MS,
} from "./authorities.ts";
import { startResponder } from "./nss_ocsp.ts";
import { OCSP_REFEREES } from "./ocsp_referees.ts";
import type { Answered, Fault, Statement, StatementReferee } from "./statement.ts";

/** CAs that were there before any of these responses. */
const MADE_MS = NOW_MS - 30 * DAY_MS;
const MINUTE_MS = 60_000;

const { root, issuing } = await makeAuthorities("p256", { nowMs: MADE_MS });
const namesake = await makeAuthorities("p256", { nowMs: MADE_MS });
const responder = await startResponder();
after(() => responder.close());

/** A user whose status is asked for at this URL. */
function certifyUser(id: string, url: string): Certificate {
  const profiles = parseProfiles(JSON.stringify({ user: { ocsp: [url] } }), DOMAIN);
  return certifyAs(createAuthority({ issuing, domain: DOMAIN, profiles }), { profile: "user", id });
}

const user = certifyUser("mallory", "http://ocsp.pki.internal/");

interface Case extends Pick<Statement, "name" | "expected" | "differences"> {
  readonly draft?: Partial<StatusDraft>;
}

const UNREAD: Statement["differences"] = {
  gnutls: {
    said: "good",
    because: "ocsptool says what is in a response, and leaves to its reader when and of whom",
  },
};

const CASES: readonly Case[] = [
  { name: "a certificate that is good", expected: "good" },
  {
    name: "a certificate that is revoked",
    expected: "revoked",
    draft: { status: revokedAt(NOW_MS - HOUR_MS) },
  },
  {
    name: "a certificate that is revoked, and why",
    expected: "revoked",
    draft: { status: { type: "revoked", revokedMs: NOW_MS - HOUR_MS, reason: "keyCompromise" } },
  },
  {
    name: "a certificate that is not known",
    expected: "unknown",
    draft: { status: { type: "unknown" } },
  },
  {
    name: "what was good two days ago",
    expected: "time",
    draft: { thisUpdateMs: NOW_MS - 2 * DAY_MS },
    differences: UNREAD,
  },
  {
    name: "what was good until half an hour ago",
    expected: "time",
    draft: { thisUpdateMs: NOW_MS - 1.5 * HOUR_MS },
    differences: UNREAD,
  },
  {
    name: "what will be good in two days",
    expected: "time",
    draft: { thisUpdateMs: NOW_MS + 2 * DAY_MS },
    differences: UNREAD,
  },
  {
    name: "another certificate of the CA",
    expected: "subject",
    draft: { serial: user.serial },
    differences: {
      ...UNREAD,
      nss: { said: "unknown", because: "it says so where the certificate is not in the response" },
    },
  },
  {
    name: "a good one, by another key under the CA's name",
    expected: "signer",
    draft: { signer: { ...issuing, key: nextKey() } },
  },
  {
    name: "a good one, by another CA of the same name",
    expected: "signer",
    draft: { signer: namesake.issuing },
  },
  {
    name: "a good one, by a user of the CA",
    expected: "signer",
    draft: { signer: { key: LEAF_KEY, certificate: user } },
  },
];

const statements = CASES.map(({ draft, ...rest }, index): Statement => {
  const leaf = certifyUser("alice", responder.urlOf(index));
  return {
    ...rest,
    leaf,
    issuing: issuing.certificate,
    root: root.certificate,
    // Nobody but us asks with SHA-256 unless told to.
    response: makeStatus({
      ...{ issuer: issuing, serial: leaf.serial, hash: "sha1", thisUpdateMs: NOW_MS - MINUTE_MS },
      ...draft,
    }),
  };
});

const isFault = (expected: Statement["expected"]): expected is Fault => expected in OUR_WORDS;

const OUR_WORDS: Readonly<Record<Fault, RegExp>> = {
  signer: /: (?:it is not by the issuing CA itself|its signature is not by the issuing CA)$/,
  time: /: it (?:expired|is from the future)/,
  subject: /: it is about another certificate$/,
};

for (const { name, leaf, issuing, response, expected } of statements) {
  test(`we read a response about ${name}: ${expected}`, () => {
    const judge = () => judgeOcspResponse(response, { leaf, issuing, nowMs: Date.now() });
    if (isFault(expected)) {
      assert.throws(judge, { kind: "untrusted", message: OUR_WORDS[expected] });
    } else {
      assert.equal(judge().status, expected);
    }
  });
}

function testReferee({ name: who, programs, judge, words }: StatementReferee): void {
  let answers: Promise<readonly Answered[]> | undefined;
  for (const [index, { name, expected, differences }] of statements.entries()) {
    const difference = differences?.[who];
    const right = isFault(expected) ? "refused" : expected;
    const said = difference?.said ?? right;
    const because = difference ? `, since ${difference.because}` : "";
    test(`${who} reads a response about ${name}: ${said}${because}`, {
      skip: without(...programs),
    }, async () => {
      assert.notEqual(difference?.said, right, "a difference that is none");
      answers ??= judge(statements);
      const answer = (await answers)[index];
      assert.ok(answer);
      assert.equal(answer.said, said, answer.output);
      if (said === "refused" && isFault(expected)) assert.match(answer.output, words[expected]);
    });
  }
}

for (const referee of [...OCSP_REFEREES, responder.referee]) testReferee(referee);
