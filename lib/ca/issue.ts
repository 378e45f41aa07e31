/**
 * Issuing in two steps: *prepare* puts the certificate's content together from a profile and checks
 * it, *issue* signs exactly that, once, and reads back what was made.
 */

import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type Bytes, encodeHex, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type Certificate, KEY_USAGE, parseCertificate } from "../x509/certificate.ts";
import { parsePublicKey } from "../x509/keys.ts";
import { type CertificateTemplate, formSerial, makeCertificate } from "../x509/make.ts";
import { checkDomain, checkId } from "../x509/names.ts";
import { type ProfileName, PROFILES } from "./profile.ts";

export interface IssueRequest {
  readonly profile: ProfileName;
  readonly domain: string;
  /** Whose certificate it is; the `user` profile needs it, the others have fixed names. */
  readonly id?: string;
  readonly spki: Uint8Array;
  readonly nowMs: number;
  /** 20 random bytes for the serial number. */
  readonly random: Uint8Array;
  /** The end of the issuer's own validity, which no certificate outlives; absent for a root. */
  readonly issuerNotAfterMs?: number;
}

const SECOND_MS = 1000;

/** Puts a certificate's content together. @throws {PkiError} `malformed`, `usage` */
export function prepareCertificate(request: IssueRequest): CertificateTemplate {
  const { profile, domain, id, spki, nowMs, random, issuerNotAfterMs = Infinity } = request;
  checkDomain(domain);
  if (profile === "user") checkId(id ?? "");
  parsePublicKey(spki);
  const { days, describe } = PROFILES[profile];
  const nowSecondMs = Math.floor(nowMs / SECOND_MS) * SECOND_MS;
  const notAfterMs = Math.min(nowSecondMs + days * LIMITS.dayMs, issuerNotAfterMs);
  if (notAfterMs <= nowMs) {
    throw new PkiError("internal", "cannot issue: the issuing CA's own certificate has expired");
  }
  return Object.freeze({
    ...describe(id === undefined ? { domain } : { domain, id }),
    serial: formSerial(random),
    notBeforeMs: nowSecondMs - LIMITS.backdateMs,
    notAfterMs,
    spki,
  });
}

/** Signs what was prepared. The result is read back and compared before anybody gets it. */
export function issueCertificate(
  template: CertificateTemplate,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Bytes {
  const der = makeCertificate(template, issuer);
  const made = parseCertificate(der);
  const { ca, spki, commonName } = template;
  const usage = ca ? KEY_USAGE.keyCertSign | KEY_USAGE.crlSign : KEY_USAGE.digitalSignature;
  const isAsPrepared = isEqualBytes(made.spki, spki) &&
    isEqualBytes(made.issuer, issuer.certificate?.subject ?? made.subject) &&
    isDeepStrictEqual(
      {
        serial: made.serial,
        commonNames: made.commonNames,
        notBeforeMs: made.notBeforeMs,
        notAfterMs: made.notAfterMs,
        names: made.names,
        keyUsage: made.keyUsage,
        extendedKeyUsage: made.extendedKeyUsage ?? [],
        basicConstraints: made.basicConstraints,
        permitted: made.nameConstraints?.permitted[0],
      },
      {
        serial: encodeHex(template.serial),
        commonNames: [commonName],
        notBeforeMs: template.notBeforeMs,
        notAfterMs: template.notAfterMs,
        names: [
          ...template.uris.map((value) => ({ type: "uri", value })),
          ...template.dns.map((value) => ({ type: "dns", value })),
        ],
        keyUsage: usage,
        extendedKeyUsage: [...template.extendedKeyUsage],
        basicConstraints: {
          isCa: ca !== undefined,
          ...(ca?.pathLength === undefined ? {} : { pathLength: ca.pathLength }),
        },
        permitted: ca?.permittedDomain ? { type: "dns", value: ca.permittedDomain } : undefined,
      },
    );
  if (!isAsPrepared) throw new PkiError("internal", "a certificate is not as it was prepared");
  return der;
}
