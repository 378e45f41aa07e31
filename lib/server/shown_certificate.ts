/**
 * The certificate that a client has shown in TLS, judged: TLS has only proven that the client has its
 * key. What it opens is for `directory_session.ts` to say.
 */

import { encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { certificateOf } from "../store/state.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { judgeUser } from "../x509/chain.ts";
import { isIssuedBy } from "../x509/path.ts";
import type { Directory } from "./directory.ts";
import { domainIssuers } from "./issuers.ts";

/** One that counts at this moment. */
export interface ShownCertificate {
  readonly id: string;
  readonly serial: string;
  /** Of the CA that has issued it. */
  readonly issuerSerial: string;
}

/**
 * Judges what was shown: of this CA, in time, in the log and not revoked.
 * @param shown DER, the leaf first; what else there is does not matter
 * @throws {PkiError} `untrusted`
 */
export function judgeShown(
  directory: Directory,
  [shownLeaf = new Uint8Array()]: readonly Uint8Array[],
): ShownCertificate {
  const { root, domain } = directory.options;
  const own = domainIssuers(directory.issuers);
  // Under a root of one's own other CAs may use our names: only what ours have signed counts.
  const issuers = new Set(own.map(({ der }) => fingerprintOf(der)));
  // Only so many are looked at beside a leaf, and there may be more of them.
  const { id, leaf, issuing } = judgeUser([shownLeaf, ...issuersOf(directory, shownLeaf)], {
    anchor: { root, domain, issuers },
    nowMs: directory.nowMs,
  });
  checkOnRecord(directory, leaf);
  return { id, serial: leaf.serial, issuerSerial: issuing.serial };
}

/** The CA that a leaf names as its issuer, if it is one of ours. */
function issuersOf(directory: Directory, leaf: Uint8Array): readonly Uint8Array[] {
  const issuers = domainIssuers(directory.issuers);
  // Mostly there is one, and it is asked of it anyway whether the leaf is its own.
  if (issuers.length === 1) return issuers.map(({ der }) => der);
  let certificate: Certificate;
  try {
    certificate = parseCertificate(leaf);
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") return []; // judged as what it is
    throw error;
  }
  return issuers
    .filter((issuer) => isIssuedBy(certificate, issuer))
    .map(({ der }) => der);
}

/** After a loss there may be certificates that nobody could revoke any more: they do not count. */
function checkOnRecord({ options: { state, log } }: Directory, { serial, der }: Certificate): void {
  const issued = state.issued(serial);
  if (!issued || certificateOf(log.read(issued.entry)) !== encodeBase64(der)) {
    throw new PkiError("untrusted", "cannot trust the certificate: it is not in the log");
  }
  if (issued.revokedMs !== null) {
    throw new PkiError("untrusted", "cannot trust the certificate: it is revoked");
  }
}
