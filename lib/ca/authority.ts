/**
 * The authority: holds the issuing CA's key and signs end-entity certificates through a profile. It
 * checks every request again, whatever was checked before, and takes nothing from it but the key.
 */

import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { type Bytes, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "../x509/certificate.ts";
import { checkCsrNames, parseCsr } from "../x509/csr.ts";
import { encodeSpki } from "../x509/keys.ts";
import { issueCertificate, prepareCertificate } from "./issue.ts";

export interface AuthorityOptions {
  readonly issuing: Certificate;
  readonly key: KeyObject;
  readonly domain: string;
  readonly now?: () => number;
  readonly random?: (bytes: number) => Uint8Array;
}

export interface Authority {
  /** @throws {PkiError} `malformed`, `refused` */
  certifyUser(id: string, csr: Uint8Array): Bytes;
  certifyServer(spki: Uint8Array): Bytes;
}

/** @throws {PkiError} `storage` if the key is not the certificate's */
export function createAuthority(
  { issuing, key, domain, now = Date.now, random = randomBytes }: AuthorityOptions,
): Authority {
  if (!isEqualBytes(encodeSpki(createPublicKey(key)), issuing.spki)) {
    throw new PkiError("storage", "cannot use the issuing CA: its key is not the certificate's");
  }
  const issue = (profile: "user" | "server", spki: Uint8Array, id?: string) =>
    issueCertificate(
      prepareCertificate({
        profile,
        domain,
        spki,
        nowMs: now(),
        random: random(20),
        issuerNotAfterMs: issuing.notAfterMs,
        ...(id === undefined ? {} : { id }),
      }),
      { key, certificate: issuing },
    );
  return {
    certifyUser(id, csr) {
      const parsed = parseCsr(csr);
      checkCsrNames(parsed, { id, domain });
      return issue("user", parsed.spki, id);
    },
    certifyServer: (spki) => issue("server", spki),
  };
}
