/**
 * Asks the server whether a certificate is revoked. The answer is an OCSP response (RFC 6960), signed
 * by the issuing CA and judged here, so that it counts the same wherever it comes from.
 */

import { type Bytes, encodeBase64, parseBase64 } from "../base/bytes.ts";
import type { Certificate } from "../x509/certificate.ts";
import { encodeOcspRequest } from "../x509/ocsp.ts";
import { judgeOcspResponse, type OcspJudgement } from "../x509/ocsp_judge.ts";
import type { ServerConnection } from "./server_connection.ts";

export interface FetchStatusOptions {
  readonly leaf: Certificate;
  /** The CA that issued the leaf, judged before. */
  readonly issuing: Certificate;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /**
   * Random bytes that the answer must repeat. Without them the server may answer what it has answered
   * before, up to some minutes old: cheaper, and as good to pass on to somebody else.
   */
  readonly nonce?: Uint8Array;
}

export interface FetchedStatus {
  /** The response as it came, to be shown to others. */
  readonly der: Bytes;
  readonly judged: OcspJudgement;
}

/**
 * `STATUS`: what the issuing CA says of a certificate now: `good`, `revoked`, or `unknown` for one
 * that the server has no record of. The connection must be greeted, and need not be logged in.
 * @throws {PkiError} `untrusted` for a response that is not the issuing CA's, of now, and about this
 * certificate
 */
export async function fetchStatus(
  connection: ServerConnection,
  { leaf, issuing, nowMs, nonce }: FetchStatusOptions,
): Promise<FetchedStatus> {
  const request = encodeOcspRequest({
    issuer: issuing,
    serials: [leaf.serial],
    ...(nonce === undefined ? {} : { nonce }),
  });
  const { response } = await connection.request("STATUS", { request: encodeBase64(request) });
  const der = parseBase64(response);
  const judged = judgeOcspResponse(der, {
    leaf,
    issuing,
    nowMs,
    ...(nonce === undefined ? {} : { nonce }),
  });
  return { der, judged };
}
