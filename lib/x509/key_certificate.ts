/** Finds a key's certificate among others, by the key alone. */

import type { KeyObject } from "node:crypto";
import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { encodeSpki } from "./keys.ts";

/** A certificate that may be none, or of a form that is not read here. */
export function parseCertificateIfAny(der: Bytes): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") return undefined;
    throw error;
  }
}

/** The same certificates, the key's first; `undefined` where it has none among them. */
export function putCertificateFirst(
  certificates: readonly Bytes[],
  key: KeyObject,
): readonly Bytes[] | undefined {
  const spki = encodeSpki(key);
  const leaf = certificates.find((der) => {
    const certificate = parseCertificateIfAny(der);
    return certificate !== undefined && isEqualBytes(certificate.spki, spki);
  });
  return leaf && [leaf, ...certificates.filter((der) => der !== leaf)];
}
