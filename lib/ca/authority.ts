/**
 * The authority: holds the CAs' keys and signs end-entity certificates through a profile. It checks
 * every request again, whatever was checked before, and takes nothing from it but the key.
 *
 * Names inside the trust domain come from its issuing CA; hosts outside of it, and addresses, come from
 * whichever other CA has name constraints that permit all of them.
 */

import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { type Bytes, encodeHex, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Certificate, GeneralName } from "../x509/certificate.ts";
import { parseCsr } from "../x509/csr.ts";
import { keyIdOf } from "../x509/encode.ts";
import { encodeSpki, parsePublicKey } from "../x509/keys.ts";
import {
  encodeFixedExtensions,
  type FixedTemplate,
  formSerial,
  prepareSigner,
  type Signer,
} from "../x509/make.ts";
import { formatIp, wildcardHost } from "../x509/general_names.ts";
import { findForbiddenName } from "../x509/name_constraints.ts";
import { describeKeyFields, type PublicKeyFields, readPublicKey } from "../x509/public_key.ts";
import { checkCsr, type Granted } from "./csr_policy.ts";
import { chooseValidity, issueLinted, validityMsOf } from "./issue.ts";
import { type LeafProfile, OWN_SERVER_PROFILE, type Profiles } from "./profile.ts";
import {
  describeHolder,
  describeOwnServer,
  describeServer,
  describeService,
  describeUser,
  isOfDomain,
  type Subject,
} from "./subject.ts";

export interface Issuer {
  readonly certificate: Certificate;
  readonly key: KeyObject;
}

export interface AuthorityOptions {
  /** The trust domain's issuing CA, that new certificates come from. */
  readonly issuing: Issuer;
  /** CAs that answer for what they signed (earlier issuing CAs), and those for names outside the domain. */
  readonly others?: readonly Issuer[];
  readonly domain: string;
  readonly profiles: Profiles;
  readonly now?: () => number;
  readonly random?: (bytes: number) => Uint8Array;
}

export interface Certification {
  readonly profile: "user" | "server" | "service";
  /** Of a user the id, of a service the name; a server has none. */
  readonly id?: string;
  /** Profile `server` only: DNS names, and IPv4 or IPv6 addresses as text. */
  readonly dns?: readonly string[];
  readonly addresses?: readonly string[];
  /** Exactly one of both: a request, whose signature is verified here, or a SubjectPublicKeyInfo. */
  readonly csr?: Uint8Array;
  readonly spki?: Uint8Array;
  /** At most the profile's longest. */
  readonly days?: number;
}

export interface Certified {
  readonly certificate: Bytes;
  /** DER of the CA that signed it. */
  readonly issuer: Bytes;
  /** What the request asked for and did not get, by rule, as short phrases. */
  readonly ignored: readonly string[];
}

export interface Authority {
  /**
   * Certifies a key for names.
   * @throws {PkiError} `malformed` and `refused` for a request, `usage` for names that are none,
   * `not-found` where no CA is for these names
   */
  certify(certification: Certification): Certified;
  /** The trust domain's own server. @throws {PkiError} `malformed` */
  certifyServer(spki: Uint8Array): Bytes;
}

/** A CA with what is the same for all that it signs. */
interface Ca {
  readonly certificate: Certificate;
  readonly signer: Signer;
  /** Hex of its key identifier, as locations name it. */
  readonly keyId: string;
  /** What of a profile is the same for all; filled as profiles are used. */
  readonly shapes: Map<LeafProfile, Shape>;
}

interface Shape {
  readonly template: FixedTemplate;
  readonly encoded: Bytes;
}

/** @throws {PkiError} `storage` if the key is not the certificate's */
function prepareCa({ certificate, key }: Issuer): Ca {
  if (!isEqualBytes(encodeSpki(createPublicKey(key)), certificate.spki)) {
    throw new PkiError("storage", "cannot use the issuing CA: its key is not the certificate's");
  }
  return {
    certificate,
    signer: prepareSigner({ key, certificate }),
    keyId: encodeHex(keyIdOf(certificate.spki)),
    shapes: new Map(),
  };
}

function shapeOf(ca: Ca, profile: LeafProfile): Shape {
  const known = ca.shapes.get(profile);
  if (known) return known;
  const fill = (urls: readonly string[]) => urls.map((url) => url.replaceAll("{issuer}", ca.keyId));
  const { extendedKeyUsage, policies, crl, ocsp, issuers } = profile;
  const template: FixedTemplate = {
    extendedKeyUsage,
    policies,
    crl: fill(crl),
    ocsp: fill(ocsp),
    issuers: fill(issuers),
  };
  const shape = { template, encoded: encodeFixedExtensions(template) };
  ca.shapes.set(profile, shape);
  return shape;
}

/**
 * Whether a CA is for these names: its constraints permit all of them, and say so. By RFC 5280 a CA
 * without constraints of a form may certify any name of it; one of ours never has none by intent.
 */
function isFor({ certificate: { nameConstraints } }: Ca, subject: Subject): boolean {
  if (!nameConstraints) return false;
  const names: readonly GeneralName[] = [
    ...subject.dns.map((value) => ({ type: "dns" as const, value })),
    ...subject.addresses.map((value) => ({ type: "ip" as const, value })),
  ];
  const permittedForms = new Set(nameConstraints.permitted.map(({ type }) => type));
  return names.every(({ type }) => permittedForms.has(type)) &&
    findForbiddenName(names, nameConstraints) === undefined;
}

function checkDays(days: number, { name, daysMax }: LeafProfile): void {
  if (!Number.isSafeInteger(days) || days < 1) {
    throw new PkiError("usage", `cannot certify: ${days} is not a number of days`);
  }
  if (days > daysMax) {
    throw new PkiError(
      "refused",
      `cannot certify: ${days} days asked for, at most ${daysMax} by profile "${name}"`,
      { hint: "ask for fewer with --days, or change the profile: docs/profiles.md" },
    );
  }
}

/** A key that comes without a signature by it; the engine has to accept it too. */
function readKey(spki: Uint8Array): PublicKeyFields {
  const key = readPublicKey(spki);
  parsePublicKey(spki);
  return key;
}

function checkKey(key: PublicKeyFields, { name, keys, rsaBitsMin }: LeafProfile): void {
  if (!keys.includes(key.kind)) {
    throw new PkiError(
      "refused",
      `cannot certify the key: profile "${name}" does not allow ${describeKeyFields(key)}`,
      { hint: `it allows ${keys.join(", ")}` },
    );
  }
  if (key.kind === "rsa" && key.bits < rsaBitsMin) {
    throw new PkiError(
      "refused",
      `cannot certify the key: RSA key has ${key.bits} bits, at least ${rsaBitsMin} needed by profile "${name}"`,
    );
  }
}

/** What a user's request may call its user, besides what is put into the certificate. */
function otherNamesOf(id: string, domain: string): readonly GeneralName[] {
  return [{ type: "dns", value: id }, { type: "email", value: `${id}@${domain}` }];
}

function describe(
  { profile, id, dns = [], addresses = [] }: Certification,
  profiles: Profiles,
): Subject {
  const { domain } = profiles;
  if (profile === "server") {
    if (id !== undefined) {
      throw new PkiError("usage", 'cannot certify: profile "server" has no id, but names of hosts');
    }
    return describeServer({ dns, addresses }, { profile: profiles.server, domain });
  }
  if (dns.length + addresses.length > 0) {
    throw new PkiError("usage", `cannot certify: the names of profile "${profile}" are fixed`);
  }
  return profile === "user" ? describeUser(id ?? "", domain) : describeService(id ?? "", domain);
}

/**
 * @throws {PkiError} `storage` if a key is not its certificate's
 */
export function createAuthority(options: AuthorityOptions): Authority {
  const { domain, profiles, now = Date.now, random = randomBytes } = options;
  const issuing = prepareCa(options.issuing);
  const others = (options.others ?? []).map(prepareCa);

  const chooseCa = (subject: Subject): Ca => {
    if (isOfDomain(subject, domain)) return issuing;
    const ca = others.find((other) => isFor(other, subject));
    if (ca) return ca;
    const options = [
      ...subject.dns.map((name) => `--dns ${wildcardHost(name) ?? name}`),
      ...subject.addresses.map((address) => `--address ${formatIp(address)}`),
    ];
    throw new PkiError(
      "not-found",
      `cannot certify ${describeHolder(subject)}: no CA is for all of these names`,
      { hint: `make a CA for these names with: pki issuer add ${options.join(" ")}` },
    );
  };

  const issue = (
    subject: Subject,
    { profile, spki, days = profile.days }: {
      readonly profile: LeafProfile;
      readonly spki: Uint8Array;
      readonly days?: number;
    },
  ): Omit<Certified, "ignored"> => {
    const ca = chooseCa(subject);
    const { template, encoded } = shapeOf(ca, profile);
    const issuerNotAfterMs = ca.certificate.notAfterMs;
    const certificate = issueLinted({
      ...template,
      ...subject,
      serial: formSerial(random(20)),
      ...chooseValidity({ nowMs: now(), days, issuerNotAfterMs }),
      spki,
    }, {
      signer: ca.signer,
      issuer: ca.certificate,
      validityMsMax: validityMsOf(profile.daysMax),
      fixed: encoded,
    });
    return { certificate, issuer: ca.certificate.der };
  };

  const certify = (certification: Certification): Certified => {
    const { csr, spki, days } = certification;
    const profile = profiles[certification.profile];
    if ((csr === undefined) === (spki === undefined)) {
      throw new PkiError("usage", "cannot certify: either a request or a public key is needed");
    }
    const subject = describe(certification, profiles);
    if (days !== undefined) checkDays(days, profile);
    const request = csr && parseCsr(csr);
    const key = request?.key ?? readKey(spki ?? new Uint8Array());
    checkKey(key, profile);
    const granted: Granted = {
      subject,
      extendedKeyUsage: profile.extendedKeyUsage,
      alsoKnownAs: certification.profile === "user"
        ? otherNamesOf(certification.id ?? "", domain)
        : [],
    };
    const ignored = request ? checkCsr(request, granted) : [];
    const issued = issue(subject, {
      profile,
      spki: request?.spki ?? spki ?? new Uint8Array(),
      ...(days === undefined ? {} : { days }),
    });
    return { ...issued, ignored };
  };

  return {
    certify,
    certifyServer(spki) {
      readKey(spki);
      return issue(describeOwnServer(domain), { profile: OWN_SERVER_PROFILE, spki }).certificate;
    },
  };
}
