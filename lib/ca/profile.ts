/**
 * The profiles: what each kind of certificate says and for how long. Those of end entities can be
 * shaped by whoever runs the server (`profile_config.ts`); those of CAs are fixed. A profile is given
 * names and a public key, and nothing else of what a request asks for.
 */

import { sha256 } from "../base/bytes.ts";
import { encodeHex } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import { OID } from "../x509/certificate.ts";
import type { NameSubtrees } from "../x509/make.ts";
import { KEY_KINDS, type KeyKind } from "../x509/public_key.ts";

export type LeafProfileName = "user" | "server" | "service";

/** Where what relying parties need can be fetched; `{issuer}` stands for the CA's key id in hex. */
export interface Locations {
  /** The CRL (RFC 5280, section 4.2.1.13). */
  readonly crl: readonly string[];
  /** The OCSP responder (RFC 5280, section 4.2.2.1). */
  readonly ocsp: readonly string[];
  /** The CA's own certificate (the same section). */
  readonly issuers: readonly string[];
}

export interface LeafProfile extends Locations {
  readonly name: LeafProfileName;
  /** Validity where nothing else is asked for, and the longest that can be asked for. */
  readonly days: number;
  readonly daysMax: number;
  readonly keys: readonly KeyKind[];
  /** The shortest RSA modulus. */
  readonly rsaBitsMin: number;
  /** Object identifiers. */
  readonly extendedKeyUsage: readonly string[];
  readonly policies: readonly string[];
}

export interface ServerProfile extends LeafProfile {
  /** DNS names must be one of these or below one; absent for any. */
  readonly dnsSuffixes: readonly string[] | undefined;
  readonly areWildcardsAllowed: boolean;
  readonly areAddressesAllowed: boolean;
}

/** All that a trust domain certifies end entities by; frozen. */
export interface Profiles {
  readonly domain: string;
  readonly user: LeafProfile;
  readonly service: LeafProfile;
  readonly server: ServerProfile;
}

const COMMON = {
  keys: KEY_KINDS,
  rsaBitsMin: 2048,
  policies: [],
  crl: [],
  ocsp: [],
  issuers: [],
} as const;

/** What holds where nobody has written anything. */
export const DEFAULT_PROFILES: Omit<Profiles, "domain"> = {
  user: {
    ...COMMON,
    name: "user",
    days: LIMITS.userDays,
    daysMax: 90,
    extendedKeyUsage: [OID.clientAuth, OID.serverAuth],
  },
  server: {
    ...COMMON,
    name: "server",
    days: LIMITS.serverDays,
    daysMax: 397,
    extendedKeyUsage: [OID.serverAuth],
    dnsSuffixes: undefined,
    areWildcardsAllowed: false,
    areAddressesAllowed: true,
  },
  service: {
    ...COMMON,
    name: "service",
    days: LIMITS.serverDays,
    daysMax: 397,
    extendedKeyUsage: [OID.clientAuth],
  },
};

/** The trust domain's own server: two fixed names, nothing that could be configured away. */
export const OWN_SERVER_PROFILE: ServerProfile = DEFAULT_PROFILES.server;

export type CaProfileName = "root" | "issuing" | "outside";

export interface CaProfile {
  readonly days: number;
  readonly pathLength: number;
  readonly title: string;
}

export const CA_PROFILES: Readonly<Record<CaProfileName, CaProfile>> = {
  /** The trust anchor: may have one CA below it, and says nothing about names. */
  root: { days: LIMITS.rootDays, pathLength: 1, title: "root" },
  /** Signs for the trust domain only, also if its key were stolen. */
  issuing: { days: LIMITS.issuingDays, pathLength: 0, title: "issuing CA" },
  /** Signs for the hosts and addresses that were named when it was made, and nothing of the domain's. */
  outside: { days: LIMITS.issuingDays, pathLength: 0, title: "outside CA" },
};

/** ub-common-name of RFC 5280, appendix A.1, in characters. */
export const COMMON_NAME_CHARACTERS_MAX = 64;

/** What a CA is called; a domain that is too long for a common name is shortened to a hash. */
export function caCommonName(
  profile: CaProfileName,
  { domain, number = 1 }: { readonly domain: string; readonly number?: number },
): string {
  const title = number === 1
    ? CA_PROFILES[profile].title
    : `${CA_PROFILES[profile].title} ${number}`;
  const name = `${domain} ${title}`;
  return name.length <= COMMON_NAME_CHARACTERS_MAX
    ? name
    : `${encodeHex(sha256(new TextEncoder().encode(domain))).slice(0, 16)} ${title}`;
}

const NO_SUBTREES: NameSubtrees = { dns: [], emails: [], uris: [], ranges: [] };
const ALL_IPV4 = new Uint8Array(8);
const ALL_IPV6 = new Uint8Array(32);
/** A name that nobody can have (RFC 6761, section 6.4): permitting only it permits none. */
const NOBODY = "invalid";

/** The one trust domain, and no addresses: the form that all verifiers we know understand. */
export function constrainToDomain(domain: string) {
  return {
    permitted: { ...NO_SUBTREES, dns: [domain], emails: [domain] },
    excluded: { ...NO_SUBTREES, ranges: [ALL_IPV4, ALL_IPV6] },
  };
}

/**
 * The names that a CA for outside names is made for. A family of addresses without a permitted range is
 * excluded whole, and so are the domain's SPIFFE IDs: no such CA makes users.
 */
export function constrainToNames(
  { domain, dns, ranges }: {
    readonly domain: string;
    readonly dns: readonly string[];
    /** Address and mask, 8 or 32 bytes. */
    readonly ranges: readonly Uint8Array[];
  },
) {
  const names = dns.length > 0 ? dns : [NOBODY];
  return {
    permitted: { ...NO_SUBTREES, dns: names, emails: names, ranges },
    excluded: {
      ...NO_SUBTREES,
      uris: [domain],
      ranges: [ALL_IPV4, ALL_IPV6].filter((all) =>
        !ranges.some((range) => range.length === all.length)
      ),
    },
  };
}
