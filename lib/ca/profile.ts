/**
 * The profiles: what each kind of certificate says and for how long. A profile is given a name and a
 * public key, and nothing else of what a request asks for.
 */

import { LIMITS } from "../base/limits.ts";
import { OID } from "../x509/certificate.ts";
import type { CertificateTemplate } from "../x509/make.ts";
import { serverDns, serverUri, userDns, userUri } from "../x509/names.ts";

/** What {@link prepareTemplate} fills in by itself. */
type Named = Omit<CertificateTemplate, "serial" | "notBeforeMs" | "notAfterMs" | "spki">;

interface Profile {
  readonly days: number;
  readonly describe: (subject: { readonly domain: string; readonly id?: string }) => Named;
}

const NO_NAMES = { uris: [], dns: [], extendedKeyUsage: [] } as const;

export const PROFILES = {
  /** The trust anchor: may have one CA below it, and says nothing about names. */
  root: {
    days: LIMITS.rootDays,
    describe: ({ domain }) => ({
      commonName: `${domain} root`,
      ...NO_NAMES,
      ca: { pathLength: 1 },
    }),
  },
  /** Signs end-entity certificates of the trust domain only, also if its key were stolen. */
  issuing: {
    days: LIMITS.issuingDays,
    describe: ({ domain }) => ({
      commonName: `${domain} issuing CA`,
      ...NO_NAMES,
      ca: { pathLength: 0, permittedDomain: domain },
    }),
  },
  user: {
    days: LIMITS.userDays,
    describe: ({ domain, id = "" }) => ({
      commonName: id,
      uris: [userUri(id, domain)],
      dns: [userDns(id, domain)],
      extendedKeyUsage: [OID.clientAuth, OID.serverAuth],
    }),
  },
  server: {
    days: LIMITS.serverDays,
    describe: ({ domain }) => ({
      commonName: serverDns(domain),
      uris: [serverUri(domain)],
      dns: [serverDns(domain)],
      extendedKeyUsage: [OID.serverAuth],
    }),
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
