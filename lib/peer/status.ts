/**
 * Whether a peer's certificate was revoked, as far as anybody can tell: by the OCSP response that the
 * peer staples to its greeting, else by what the server says when we ask it ourselves. One of the two
 * is enough, so one side that reaches the server is enough.
 *
 * Pure. Both responses are judged alike, since only the CA's signature makes one worth anything.
 */

import { PkiError } from "../base/errors.ts";
import type { Certificate } from "../x509/certificate.ts";
import { judgeOcspResponse, type OcspJudgement } from "../x509/ocsp_judge.ts";
import { parseOcspResponse } from "../x509/ocsp_response.ts";

/** How a peer's status is known; `unchecked`: it is not, and `--offline` accepts that. */
export type PeerStatus = "stapled" | "fetched" | "unchecked";

/** What came of asking the server: its response, or why there is none, in words. */
export type AskedStatus =
  | { readonly response: Uint8Array }
  | { readonly failure: string };

export interface PeerStatusOptions {
  /** The peer's certificate and the CA that issued it, both judged good already. */
  readonly leaf: Certificate;
  readonly issuing: Certificate;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Whether a status that nobody knows is accepted. */
  readonly isOffline: boolean;
}

/** What is known about a peer's status so far. */
export interface KnownStatus {
  /** DER of the OCSP response that the peer sent; whatever it is. */
  readonly stapled: Uint8Array | undefined;
  /** Absent until the server was asked. */
  readonly asked?: AskedStatus | undefined;
}

function untrusted(what: string, hint: string): PkiError {
  return new PkiError("untrusted", `cannot trust certificate: ${what}`, { hint });
}

const HINT_NEW = "its owner gets a new one with: pki csr --rekey";

/**
 * What a response says of the certificate. A revocation is for ever, so one that is told too late, or
 * too early, is believed as well: at the time of which it is.
 * @throws {PkiError} `untrusted`
 */
function judgeResponse(response: Uint8Array, options: PeerStatusOptions): OcspJudgement {
  const { leaf, issuing, nowMs } = options;
  try {
    return judgeOcspResponse(response, { leaf, issuing, nowMs });
  } catch (error) {
    const thatMs = timeOf(response, leaf);
    if (thatMs === undefined) throw error;
    const judged = judgeOcspResponse(response, { leaf, issuing, nowMs: thatMs });
    if (judged.status === "revoked") return judged;
    throw error;
  }
}

/** The time of which a response speaks of the certificate, if it does; nothing in it is believed. */
function timeOf(response: Uint8Array, { serial }: Certificate): number | undefined {
  try {
    const { basic } = parseOcspResponse(response);
    return basic?.answers.find(({ certId }) => certId.serial === serial)?.thisUpdateMs;
  } catch {
    return undefined; // why it cannot be read was said when it was judged
  }
}

/**
 * Why a response is no reason to trust the certificate; `undefined` if it is one.
 * @throws {PkiError} `untrusted` if it says that the certificate is revoked, or unknown to its CA
 */
function flawOf(response: Uint8Array, options: PeerStatusOptions): string | undefined {
  let judged;
  try {
    judged = judgeResponse(response, options);
  } catch (error) {
    if (error instanceof PkiError) return error.message;
    throw error;
  }
  const { status, revokedMs = 0 } = judged;
  switch (status) {
    case "good":
      return undefined;
    case "revoked":
      throw untrusted(`it was revoked ${new Date(revokedMs).toISOString()}`, HINT_NEW);
    case "unknown":
      throw untrusted("its CA says that it has not issued it", HINT_NEW);
  }
}

/**
 * Judges what is known of a peer's status.
 * @returns how it is known, or `wanted` if the server is to be asked
 * @throws {PkiError} `untrusted` if the certificate is revoked or unknown to its CA, also where a
 * status is not demanded; or if nobody says that it is good
 */
export function judgePeerStatus(
  { stapled, asked }: KnownStatus,
  options: PeerStatusOptions,
): PeerStatus | "wanted" {
  const stapleFlaw = stapled ? flawOf(stapled, options) : "none came with it";
  if (stapleFlaw === undefined) return "stapled";
  if (options.isOffline) return "unchecked";
  if (!asked) return "wanted";
  const answerFlaw = "response" in asked ? flawOf(asked.response, options) : asked.failure;
  if (answerFlaw === undefined) return "fetched";
  // Where the server is and why it cannot be asked is not for the peer to hear: a hint stays here.
  throw untrusted(
    "whether it was revoked is not known",
    `${stapled ? `what came with it: ${stapleFlaw}` : stapleFlaw}; the server: ${answerFlaw}; ` +
      "let either side reach the server, or accept that with --offline",
  );
}
