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
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";

export interface StatusDraft {
  /** The CA that is named as the certificate's issuer, and whose key signs. */
  readonly issuer: { readonly certificate: Certificate; readonly key: KeyObject };
  /** Of the certificate, in hex. */
  readonly serial: string;
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

export function makeStatus({ issuer, serial, status, ...times }: StatusDraft): Bytes {
  const { certificate, key } = issuer;
  const { certIds } = parseOcspRequest(
    encodeOcspRequest({ issuer: certificate, serials: [serial] }),
  );
  const thisUpdateMs = Math.floor(times.thisUpdateMs / 1000) * 1000;
  const nextUpdateMs = times.nextUpdateMs ?? thisUpdateMs + LIMITS.ocspValidityMs;
  return encodeOcspResponse({
    responderKeyId: keyIdOf(certificate.spki),
    producedAtMs: thisUpdateMs,
    answers: certIds.map((certId) => ({
      certId,
      status: status ?? { type: "good" },
      thisUpdateMs,
      nextUpdateMs: Math.floor(nextUpdateMs / 1000) * 1000,
    })),
  }, key);
}
