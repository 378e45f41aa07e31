/**
 * Issuing in two steps: *prepare* puts the certificate's content together from a profile and checks
 * it, *issue* writes it down, lints the bytes and signs exactly these, once.
 */

import type { KeyObject } from "node:crypto";
import type { Bytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type Certificate, OID } from "../x509/certificate.ts";
import { isHost } from "../x509/general_names.ts";
import { parseAddressRange } from "../x509/address_range.ts";
import {
  type CertificateTemplate,
  encodeTbs,
  formSerial,
  prepareSigner,
  signCertificate,
  type Signer,
} from "../x509/make.ts";
import { checkDomain } from "../x509/names.ts";
import { readPublicKey } from "../x509/public_key.ts";
import { lintTbs } from "./lint.ts";
import {
  CA_PROFILES,
  caCommonName,
  type CaProfileName,
  constrainToDomain,
  constrainToNames,
  DEFAULT_PROFILES,
  OWN_SERVER_PROFILE,
} from "./profile.ts";
import { describeOwnServer, describeUser } from "./subject.ts";

/** `server` is the trust domain's own one; hosts are certified by the authority. */
export type ProfileName = CaProfileName | "user" | "server";

export interface IssueRequest {
  readonly profile: ProfileName;
  readonly domain: string;
  /** Whose certificate it is; the `user` profile needs it, the others have fixed names. */
  readonly id?: string;
  /** Of several CAs of one kind, which: 2 and more become part of its name. */
  readonly number?: number;
  /** The profile `outside` needs it: DNS names (each with all below it), addresses or ranges. */
  readonly permitted?: { readonly dns: readonly string[]; readonly addresses: readonly string[] };
  readonly spki: Uint8Array;
  readonly nowMs: number;
  /** 20 random bytes for the serial number. */
  readonly random: Uint8Array;
  /** The end of the issuer's own validity, which no certificate outlives; absent for a root. */
  readonly issuerNotAfterMs?: number;
}

const SECOND_MS = 1000;

export interface ValidityOptions {
  readonly nowMs: number;
  readonly days: number;
  readonly issuerNotAfterMs?: number;
}

/** From a little before now, for so many days, not beyond the issuer's end; whole seconds. */
export function chooseValidity(
  { nowMs, days, issuerNotAfterMs = Infinity }: ValidityOptions,
): Pick<CertificateTemplate, "notBeforeMs" | "notAfterMs"> {
  const nowSecondMs = Math.floor(nowMs / SECOND_MS) * SECOND_MS;
  const notAfterMs = Math.min(nowSecondMs + days * LIMITS.dayMs, issuerNotAfterMs);
  if (notAfterMs <= nowMs) {
    throw new PkiError("internal", "cannot issue: the issuing CA's own certificate has expired");
  }
  return { notBeforeMs: nowSecondMs - LIMITS.backdateMs, notAfterMs };
}

/** The longest that a certificate of so many days is valid, begun early included. */
export function validityMsOf(days: number): number {
  return days * LIMITS.dayMs + LIMITS.backdateMs;
}

/** Names that a CA is constrained to. @throws {PkiError} `usage` */
function constrainOutside(
  domain: string,
  { dns, addresses }: NonNullable<IssueRequest["permitted"]> = { dns: [], addresses: [] },
) {
  if (dns.length + addresses.length === 0) {
    throw new PkiError("usage", "cannot make the CA: it needs a DNS name or an address", {
      hint: "name one with --dns NAME or --address ADDRESS[/BITS]",
    });
  }
  const names = dns.map((name) => name.toLowerCase());
  const odd = names.find((name) => !isHost(name));
  if (odd !== undefined) {
    throw new PkiError("usage", `cannot make the CA: ${JSON.stringify(odd)} is not a DNS name`, {
      hint: "a name looks like example.org, without a star or a dot in front",
    });
  }
  return constrainToNames({ domain, dns: names, ranges: addresses.map(parseAddressRange) });
}

const NO_NAMES = { uris: [], dns: [], extendedKeyUsage: [] } as const;

function describeCa(profile: CaProfileName, { domain, number, permitted }: IssueRequest) {
  const { pathLength } = CA_PROFILES[profile];
  const common = {
    ...NO_NAMES,
    commonName: caCommonName(profile, number === undefined ? { domain } : { domain, number }),
  };
  if (profile === "root") return { ...common, ca: { pathLength } };
  const constraints = profile === "issuing"
    ? constrainToDomain(domain)
    : constrainOutside(domain, permitted);
  // Without it no policy of an end entity would be valid (RFC 5280, section 6.1.3 (d)).
  return { ...common, policies: [OID.anyPolicy], ca: { pathLength, constraints } };
}

function describeLeaf(profile: "user" | "server", { domain, id = "" }: IssueRequest) {
  const { extendedKeyUsage } = profile === "user" ? DEFAULT_PROFILES.user : OWN_SERVER_PROFILE;
  const subject = profile === "user" ? describeUser(id, domain) : describeOwnServer(domain);
  return { ...subject, extendedKeyUsage };
}

const isCaProfile = (profile: ProfileName): profile is CaProfileName => profile in CA_PROFILES;

function daysOf(profile: ProfileName): number {
  if (isCaProfile(profile)) return CA_PROFILES[profile].days;
  return profile === "user" ? DEFAULT_PROFILES.user.days : OWN_SERVER_PROFILE.days;
}

/** Puts a certificate's content together. @throws {PkiError} `malformed`, `usage` */
export function prepareCertificate(request: IssueRequest): CertificateTemplate {
  const { profile, domain, spki, random } = request;
  checkDomain(domain);
  readPublicKey(spki);
  const described = isCaProfile(profile)
    ? describeCa(profile, request)
    : describeLeaf(profile, request);
  return Object.freeze({
    ...described,
    serial: formSerial(random),
    ...chooseValidity({ ...request, days: daysOf(profile) }),
    spki,
  });
}

/** Writes, lints and signs; nothing is signed that the lint finds fault with. */
export function issueLinted(
  template: CertificateTemplate,
  { signer, issuer, validityMsMax, fixed }: {
    readonly signer: Signer;
    readonly issuer?: Certificate;
    readonly validityMsMax: number;
    readonly fixed?: Uint8Array;
  },
): Bytes {
  const tbs = encodeTbs(template, signer, fixed);
  const { algorithm } = signer;
  lintTbs(tbs, { template, algorithm, validityMsMax, ...(issuer ? { issuer } : {}) });
  return signCertificate(tbs, signer);
}

/** No profile of ours is valid for longer. */
const VALIDITY_MS_MAX = validityMsOf(LIMITS.rootDays);

/**
 * Signs what was prepared, after a lint.
 * @throws {PkiError} `internal` if what was written is not what was prepared, or not what RFC 5280 allows
 */
export function issueCertificate(
  template: CertificateTemplate,
  issuer: { readonly key: KeyObject; readonly certificate?: Certificate },
): Bytes {
  const { certificate } = issuer;
  return issueLinted(template, {
    signer: prepareSigner(issuer),
    validityMsMax: VALIDITY_MS_MAX,
    ...(certificate ? { issuer: certificate } : {}),
  });
}
