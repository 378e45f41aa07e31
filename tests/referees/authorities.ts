/**
 * CAs and end entities as this program makes them, and what somebody could make with a CA's key past
 * all rules. Everything is made around the present: not every referee can be told another time.
 */

import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import type { Bytes } from "../../lib/base/bytes.ts";
import { type Authority, type Certification, createAuthority } from "../../lib/ca/authority.ts";
import { issueCertificate, type IssueRequest, prepareCertificate } from "../../lib/ca/issue.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import {
  encodeCrlEntry,
  encodeTbsCrl,
  type RevocationReason,
  signCrl,
} from "../../lib/x509/crl.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { certify, type Holder, type Spec } from "../fakes/paths.ts";

export const DOMAIN = "pki.internal";
export const DAY_MS = 86_400_000;
export const HOUR_MS = 3_600_000;
/** The present, in whole seconds. */
export const NOW_MS = Math.floor(Date.now() / 1000) * 1000;

/** Hosts and addresses that the outside CA is for. */
export const OUTSIDE = {
  dns: ["example.org"],
  addresses: ["192.0.2.0/24", "2001:db8::/32"],
} as const;

/** Hosts with policies and locations in their certificates. */
const FULL_PROFILES = {
  server: {
    wildcards: true,
    policies: ["1.3.6.1.4.1.99999.7"],
    crl: ["http://crl.pki.internal/{issuer}.crl"],
    ocsp: ["http://ocsp.pki.internal/"],
    issuers: ["http://crl.pki.internal/{issuer}.crt"],
  },
};

/** A root, the domain's issuing CA and one for outside names, and who signs with them. */
export interface Authorities {
  readonly root: Holder;
  readonly issuing: Holder;
  readonly outside: Holder;
  readonly authority: Authority;
  /** The same with policies and locations. */
  readonly fullAuthority: Authority;
}

/** A P-256 key, as everybody who needs any key here has. */
export function nextKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** The end entities' one key: chains here never differ by it. */
export const LEAF_KEY = nextKey();
const SPKI = encodeSpki(LEAF_KEY);

function makeCa(
  profile: IssueRequest["profile"],
  { key, issuer, nowMs = NOW_MS, domain = DOMAIN }: {
    readonly key: KeyObject;
    readonly issuer?: Holder;
    readonly nowMs?: number;
    readonly domain?: string;
  },
): Holder {
  const template = prepareCertificate({
    ...{ profile, domain, nowMs, spki: encodeSpki(key), random: randomBytes(20) },
    ...(profile === "outside" ? { permitted: OUTSIDE } : {}),
    ...(issuer ? { issuerNotAfterMs: issuer.certificate.notAfterMs } : {}),
  });
  return { key, certificate: parseCertificate(issueCertificate(template, issuer ?? { key })) };
}

export interface AuthoritiesOptions {
  readonly domain?: string;
  /** When they were made; the present by default. */
  readonly nowMs?: number;
}

/** CAs with keys of one type. */
export async function makeAuthorities(
  keyType: KeyType,
  { domain = DOMAIN, nowMs = NOW_MS }: AuthoritiesOptions = {},
): Promise<Authorities> {
  const [rootKey, issuingKey, outsideKey] = await Promise.all([
    generatePrivateKey(keyType),
    generatePrivateKey(keyType),
    generatePrivateKey(keyType),
  ]);
  const root = makeCa("root", { key: rootKey, domain, nowMs });
  const issuing = makeCa("issuing", { key: issuingKey, issuer: root, domain, nowMs });
  const outside = makeCa("outside", { key: outsideKey, issuer: root, domain, nowMs });
  const create = (profiles: object) =>
    createAuthority({
      ...{ issuing, others: [outside], domain, now: () => nowMs },
      profiles: parseProfiles(JSON.stringify(profiles), domain),
    });
  return {
    ...{ root, issuing, outside },
    authority: create({ server: { wildcards: true } }),
    fullAuthority: create(FULL_PROFILES),
  };
}

/** An end entity's certificate by a profile. */
export function certifyAs(
  authority: Authority,
  certification: Omit<Certification, "csr" | "spki">,
): Certificate {
  return parseCertificate(authority.certify({ ...certification, spki: SPKI }).certificate);
}

/**
 * What a stolen key could sign: anything. In time unless the spec says otherwise, and with the extensions
 * that path validation needs.
 */
export function forge(spec: Spec, issuer?: Holder): Holder {
  return certify({
    ...{ key: LEAF_KEY, notBeforeMs: NOW_MS - HOUR_MS, notAfterMs: NOW_MS + DAY_MS },
    ...spec,
  }, issuer);
}

export interface ListOptions {
  readonly revoked?: readonly Certificate[];
  readonly reason?: RevocationReason;
  readonly thisUpdateMs?: number;
  readonly nextUpdateMs?: number;
}

/** A CA's CRL. */
export function listOf(
  { certificate, key }: Holder,
  {
    revoked = [],
    reason = "keyCompromise",
    thisUpdateMs = NOW_MS - HOUR_MS,
    nextUpdateMs = NOW_MS + DAY_MS,
  }: ListOptions = {},
): Bytes {
  const entries = revoked.map(({ serial }) =>
    encodeCrlEntry({ serial, reason, revokedMs: thisUpdateMs })
  );
  const template = { issuer: certificate, number: 1n, thisUpdateMs, nextUpdateMs, entries };
  return signCrl(encodeTbsCrl(template), { certificate, key });
}
