/**
 * A root that somebody brings along: whether the trust domain can be built on it. What is wrong with
 * it is said exactly, since it was made by other means.
 */

import { PkiError } from "../base/errors.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { checkRoot } from "../x509/chain.ts";
import { parsePemBlock } from "../x509/pem.ts";
import { whyOf } from "./make_ca.ts";

function unusable(path: string, why: string, cause?: unknown): PkiError {
  return new PkiError("refused", `cannot use "${path}" as root: ${why}`, {
    cause,
    hint: "a root is self-signed, a CA, and may sign certificates: pki inspect shows what it is",
  });
}

/**
 * Reads a root certificate and checks it: a CA that signed itself, in time, that may have a CA below
 * it and can be named as its issuer. Whether it allows the domain's names is tried out later
 * (`tryIssuing`).
 * @param path names it in messages
 * @throws {PkiError} `refused`, `malformed`
 */
export function parseOwnRoot(pem: string, path: string, nowMs: number): Certificate {
  const der = parsePemBlock(pem, ["CERTIFICATE"], path);
  parseCertificate(der); // what is no certificate at all is malformed
  let root: Certificate;
  try {
    root = checkRoot(der, nowMs);
  } catch (error) {
    if (error instanceof PkiError) throw unusable(path, whyOf(error), error);
    throw error;
  }
  if (!root.subjectKeyId) throw unusable(path, "it has no subject key identifier");
  return root;
}
