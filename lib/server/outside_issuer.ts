/**
 * CAs for names outside of the trust domain, made with the root's key and constrained to the names
 * given then; and the CAs of a folder as an administrator looks at them, and revokes them.
 */

import { type KeyObject, randomBytes } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import { makeFolder, writeFileAtomic } from "../base/files.ts";
import { issueCertificate, prepareCertificate } from "../ca/issue.ts";
import { COMMON_NAME_CHARACTERS_MAX } from "../ca/profile.ts";
import type { KeyType } from "../x509/algorithms.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import type { RevocationReason } from "../x509/crl.ts";
import { encodeSpki, encryptPrivateKey, generatePrivateKey } from "../x509/keys.ts";
import { isDnsAtOrBelow } from "../x509/names.ts";
import { encodePem } from "../x509/pem.ts";
import { serverFiles } from "./files.ts";
import { allIssuers, issuerFiles, issuerName, loadIssuers, loadIssuing } from "./issuers.ts";
import { loadRoot } from "./log_key.ts";
import { loadRootList, maySignLists, saveRootList } from "./root_list.ts";

export interface AddIssuerOptions {
  readonly dns: readonly string[];
  /** Addresses, or ranges like `10.0.0.0/8`. */
  readonly addresses: readonly string[];
  /** What it is called; by default after the trust domain. */
  readonly name?: string;
  readonly keyType: KeyType;
  readonly rootKey: KeyObject;
  readonly passphrase: string;
  readonly nowMs: number;
}

/** Names of the domain come from its own issuing CA, and nobody else may be able to certify them. */
function checkOutside(dns: readonly string[], domain: string): void {
  for (const name of dns) {
    const lower = name.toLowerCase();
    if (isDnsAtOrBelow(lower, domain) || isDnsAtOrBelow(domain, lower)) {
      throw new PkiError(
        "refused",
        `cannot make a CA for "${name}": it has names of the trust domain ${domain}`,
        { hint: "those come from the domain's own issuing CA" },
      );
    }
  }
}

function checkName(name: string): void {
  if (/^[\x20-\x7e]+$/.test(name) && name.length <= COMMON_NAME_CHARACTERS_MAX) return;
  throw new PkiError(
    "usage",
    `cannot call the CA ${JSON.stringify(name)}: 1 to ${COMMON_NAME_CHARACTERS_MAX} characters ` +
      "of ASCII needed",
    { hint: "leave --name out for a name that is made, or choose a shorter one" },
  );
}

/**
 * Makes a CA for names outside of the trust domain.
 * @throws {PkiError} `usage` for names that are none, `refused` for the domain's own, `storage`
 */
export async function addIssuer(folder: string, options: AddIssuerOptions): Promise<Certificate> {
  const { dns, addresses, name, keyType, rootKey, passphrase, nowMs } = options;
  const files = serverFiles(folder);
  const root = { certificate: loadRoot(files), key: rootKey };
  const domain = domainOf(loadIssuing(files));
  const issuers = loadIssuers(files, domain);
  checkOutside(dns, domain);
  if (name !== undefined) checkName(name);
  const key = await generatePrivateKey(keyType);
  const template = prepareCertificate({
    profile: "outside",
    domain,
    number: 1 + issuers.outside.length,
    permitted: { dns, addresses },
    spki: encodeSpki(key),
    random: randomBytes(20),
    nowMs,
    issuerNotAfterMs: root.certificate.notAfterMs,
  });
  const der = issueCertificate({ ...template, ...(name ? { commonName: name } : {}) }, root);
  const certificate = parseCertificate(der);
  const place = issuerFiles(files, issuerName(certificate));
  makeFolder(files.issuers);
  if (maySignLists(root.certificate)) {
    saveRootList(files, root, { issuers: [...allIssuers(issuers), certificate], nowMs });
  }
  writeFileAtomic(place.key, await encryptPrivateKey(key, passphrase));
  // The certificate last: without it there is no CA.
  writeFileAtomic(place.certificate, encodePem("CERTIFICATE", der));
  return certificate;
}

/** A CA of a folder, for an administrator. */
export interface ListedCa {
  readonly role: "current" | "earlier" | "outside";
  /** Beginning of the fingerprint; its files in `issuers` are called so. */
  readonly name: string;
  readonly certificate: Certificate;
  readonly revoked: { readonly reason: RevocationReason; readonly revokedMs: number } | undefined;
}

/** All CAs of a folder below the root, the current one first. @throws {PkiError} `storage` */
export function listIssuers(folder: string): readonly ListedCa[] {
  const files = serverFiles(folder);
  const { current, earlier, outside } = loadIssuers(files, domainOf(loadIssuing(files)));
  const list = loadRootList(files, loadRoot(files));
  const describe = (role: ListedCa["role"]) => (certificate: Certificate): ListedCa => ({
    role,
    name: issuerName(certificate),
    certificate,
    revoked: list?.find(certificate.serial),
  });
  return [
    describe("current")(current),
    ...earlier.map(describe("earlier")),
    ...outside.map(describe("outside")),
  ];
}

/**
 * Has the root revoke a CA that is not the current one.
 * @param name how `listIssuers` calls it, or its whole fingerprint
 * @throws {PkiError} `not-found`, `refused` for the current one
 */
export function revokeIssuer(
  folder: string,
  { name, reason, rootKey, nowMs }: {
    readonly name: string;
    readonly reason: RevocationReason;
    readonly rootKey: KeyObject;
    readonly nowMs: number;
  },
): Certificate {
  const files = serverFiles(folder);
  const issuers = listIssuers(folder);
  const found = issuers.find((issuer) =>
    issuer.name === name || fingerprintOf(issuer.certificate.der) === name
  );
  if (!found) {
    throw new PkiError("not-found", `cannot revoke CA ${JSON.stringify(name)}: there is none`, {
      hint: "pki issuer ls lists them",
    });
  }
  if (found.role === "current") {
    throw new PkiError("refused", "cannot revoke the current issuing CA: nothing could be issued", {
      hint: "another one takes its place with: pki rotate --revoke-old REASON",
    });
  }
  saveRootList(files, { certificate: loadRoot(files), key: rootKey }, {
    issuers: issuers.map(({ certificate }) => certificate),
    revoke: { certificate: found.certificate, reason },
    nowMs,
  });
  return found.certificate;
}
