/**
 * Decides whether to believe an OCSP response about a certificate whose chain was judged before
 * (`chain.ts`): the one place where trust in a response is decided. Pure; time is an argument.
 *
 * Only the issuing CA itself is believed. A responder with a certificate of its own for the purpose
 * (id-kp-OCSPSigning, RFC 6960, section 4.2.2.2) is refused: this CA has none, and its certificate
 * would need a revocation check of its own.
 */

import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "./certificate.ts";
import { isSameName } from "./distinguished_names.ts";
import { keyIdOf } from "./encode.ts";
import { isSignatureValid, parsePublicKey } from "./keys.ts";
import { matchesIssuer, type OcspAnswer } from "./ocsp.ts";
import { type BasicOcspResponse, type OcspResponse, parseOcspResponse } from "./ocsp_response.ts";
import type { RevocationReason } from "./revocation_reason.ts";

const MINUTE_MS = 60_000;

/** How far a responder's clock may be ahead of ours. */
export const OCSP_SKEW_MS = 5 * MINUTE_MS;

/**
 * How long a response may be valid at most. Ours are for an hour; one that somebody made for years,
 * by mistake or with a stolen key, would hide a revocation for as long.
 */
export const OCSP_WINDOW_MS_MAX = 24 * 60 * MINUTE_MS;

/** What a believable response says of the certificate. */
export interface OcspJudgement {
  readonly status: "good" | "revoked" | "unknown";
  /** With `revoked` only; milliseconds since 1970. */
  readonly revokedMs?: number;
  readonly reason?: RevocationReason;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

export interface OcspJudgeOptions {
  readonly leaf: Certificate;
  /** The CA that issued the leaf, judged before. */
  readonly issuing: Certificate;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** What was sent in the request; the response must repeat it. */
  readonly nonce?: Uint8Array;
}

function untrusted(what: string, hint?: string): PkiError {
  return new PkiError("untrusted", `cannot trust OCSP response: ${what}`, hint ? { hint } : {});
}

function time(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

const CLOCKS = "compare the clocks of both machines";

function checkSigner(basic: BasicOcspResponse, issuing: Certificate): void {
  const { responder, signatureAlgorithm: algorithm, tbs: data, signature } = basic;
  const isIssuing = responder.type === "key"
    ? isEqualBytes(responder.keyId, keyIdOf(issuing.spki))
    : isSameName(responder.name, issuing.subject);
  if (!isIssuing) throw untrusted("it is not by the issuing CA itself");
  if (!isSignatureValid({ algorithm, data, signature, key: parsePublicKey(issuing.spki) })) {
    throw untrusted("its signature is not by the issuing CA");
  }
}

function checkNonce(found: Uint8Array | undefined, wanted: Uint8Array): void {
  if (!found) throw untrusted("it does not repeat the nonce of the request");
  if (!isEqualBytes(found, wanted)) throw untrusted("it has the nonce of another request");
}

function findAnswer(
  basic: BasicOcspResponse,
  { leaf, issuing }: Pick<OcspJudgeOptions, "leaf" | "issuing">,
): OcspAnswer {
  const [answer, ...more] = basic.answers.filter(({ certId }) =>
    certId.serial === leaf.serial && matchesIssuer(certId, issuing)
  );
  if (!answer) throw untrusted("it is about another certificate");
  if (more.length > 0) throw untrusted("it has several answers about the certificate");
  return answer;
}

/** The end of the time in which the answer counts. */
function checkFresh(
  { thisUpdateMs, nextUpdateMs }: OcspAnswer,
  { producedAtMs, nowMs }: { readonly producedAtMs: number; readonly nowMs: number },
): number {
  for (const beginMs of [thisUpdateMs, producedAtMs]) {
    if (beginMs > nowMs + OCSP_SKEW_MS) {
      throw untrusted(`it is from the future: ${time(beginMs)}`, CLOCKS);
    }
  }
  if (nextUpdateMs === undefined) throw untrusted("it does not say until when it is valid");
  if (nextUpdateMs < nowMs) throw untrusted(`it expired ${time(nextUpdateMs)}`);
  if (nextUpdateMs < thisUpdateMs) throw untrusted("it ends before it begins");
  if (nextUpdateMs - thisUpdateMs > OCSP_WINDOW_MS_MAX) {
    throw untrusted(
      `it is valid for more than ${OCSP_WINDOW_MS_MAX / MINUTE_MS / 60} hours, until ${
        time(nextUpdateMs)
      }`,
    );
  }
  return nextUpdateMs;
}

function judge(response: OcspResponse, options: OcspJudgeOptions): OcspJudgement {
  const { basic, status } = response;
  if (!basic) throw untrusted(`it has no answer (${status})`);
  const { issuing, nowMs, nonce } = options;
  checkSigner(basic, issuing);
  if (nonce) checkNonce(basic.nonce, nonce);
  const answer = findAnswer(basic, options);
  const { thisUpdateMs } = answer;
  const nextUpdateMs = checkFresh(answer, { producedAtMs: basic.producedAtMs, nowMs });
  const { type, ...revocation } = answer.status;
  return { status: type, ...revocation, thisUpdateMs, nextUpdateMs };
}

/**
 * Judges a response about a certificate: signed by the issuing CA, about this certificate, in time,
 * with the nonce that was sent. A certificate is good only if the status is `good`.
 * @param response read already, or its DER
 * @throws {PkiError} `untrusted`, also for bytes that are no response
 */
export function judgeOcspResponse(
  response: OcspResponse | Uint8Array,
  options: OcspJudgeOptions,
): OcspJudgement {
  try {
    return judge(response instanceof Uint8Array ? parseOcspResponse(response) : response, options);
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") {
      throw new PkiError("untrusted", error.message, { cause: error });
    }
    throw error;
  }
}
