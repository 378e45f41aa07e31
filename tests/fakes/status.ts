/** OCSP responses for tests: what a CA says of a certificate, or what somebody else makes up. */

import type { KeyObject } from "node:crypto";
import type { Bytes } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import type { Certificate } from "../../lib/x509/certificate.ts";
import { keyIdOf } from "../../lib/x509/encode.ts";
import {
  encodeOcspRequest,
  encodeOcspResponse,
  type OcspCertStatus,
  type OcspHash,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";

export interface StatusDraft {
  /** The CA that is named as the certificate's issuer. */
  readonly issuer: { readonly certificate: Certificate; readonly key: KeyObject };
  /** Who signs, and says so; the issuer unless told otherwise. */
  readonly signer?: StatusDraft["issuer"];
  /** Of the certificate, in hex. */
  readonly serial: string;
  /** Of the issuer's name and key; SHA-256 unless told otherwise. */
  readonly hash?: OcspHash;
  /** `good` unless told otherwise. */
  readonly status?: OcspCertStatus;
  readonly thisUpdateMs: number;
  /** An hour after that unless told otherwise. */
  readonly nextUpdateMs?: number;
}

/** A revocation, as an answer says it. */
export function revokedAt(revokedMs: number): OcspCertStatus {
  return { type: "revoked", revokedMs: Math.floor(revokedMs / 1000) * 1000, reason: "unspecified" };
}

export function makeStatus(
  { issuer, signer = issuer, serial, status, hash = "sha256", ...times }: StatusDraft,
): Bytes {
  const { certIds } = parseOcspRequest(
    encodeOcspRequest({ issuer: issuer.certificate, serials: [serial], hash }),
  );
  const thisUpdateMs = Math.floor(times.thisUpdateMs / 1000) * 1000;
  const nextUpdateMs = times.nextUpdateMs ?? thisUpdateMs + LIMITS.ocspValidityMs;
  return encodeOcspResponse({
    responderKeyId: keyIdOf(signer.certificate.spki),
    producedAtMs: thisUpdateMs,
    answers: certIds.map((certId) => ({
      certId,
      status: status ?? { type: "good" },
      thisUpdateMs,
      nextUpdateMs: Math.floor(nextUpdateMs / 1000) * 1000,
    })),
  }, signer.key);
}
