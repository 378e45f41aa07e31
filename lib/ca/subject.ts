/**
 * Whose certificate it shall be: turns what a caller asks for (an id, a service's name, hosts and
 * addresses) into the names that the certificate will carry, and refuses those that nobody may have.
 */

import { PkiError } from "../base/errors.ts";
import { type Bytes, copyBytes, isEqualBytes } from "../base/bytes.ts";
import { formatIp, isHost, wildcardHost } from "../x509/general_names.ts";
import { parseIp } from "../x509/wanted_names.ts";
import {
  checkId,
  isDnsAtOrBelow,
  serverDns,
  serverUri,
  serviceDns,
  serviceUri,
  userDns,
  userUri,
} from "../x509/names.ts";
import { COMMON_NAME_CHARACTERS_MAX, type ServerProfile } from "./profile.ts";

/** The names of one certificate. */
export interface Subject {
  /** Absent where there is no name that fits into one. */
  readonly commonName?: string;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** 4 or 16 bytes each. */
  readonly addresses: readonly Bytes[];
}

/** Names of one certificate; more are neither looked up nor read by anybody. */
const NAMES_MAX = 100;

export function describeUser(id: string, domain: string): Subject {
  checkId(id);
  return { commonName: id, uris: [userUri(id, domain)], dns: [userDns(id, domain)], addresses: [] };
}

export function describeService(name: string, domain: string): Subject {
  checkId(name);
  return {
    commonName: name,
    uris: [serviceUri(name, domain)],
    dns: [serviceDns(name, domain)],
    addresses: [],
  };
}

/** The trust domain's own server: the names that clients demand of it. */
export function describeOwnServer(domain: string): Subject {
  const dns = serverDns(domain);
  return { ...commonNameOf(dns), uris: [serverUri(domain)], dns: [dns], addresses: [] };
}

function commonNameOf(name: string): Pick<Subject, "commonName"> {
  return name.length <= COMMON_NAME_CHARACTERS_MAX ? { commonName: name } : {};
}

function refuse(name: string, why: string): PkiError {
  return new PkiError("refused", `cannot certify ${JSON.stringify(name)}: ${why}`);
}

/**
 * Names of the domain that no server certificate carries: the domain's own server, everything that users and
 * services are called, and wildcards that cover any of them.
 */
function isReserved(name: string, domain: string): boolean {
  const reserved = [serverDns(domain), `user.${domain}`, `service.${domain}`];
  const parent = wildcardHost(name);
  if (parent === undefined) return reserved.some((base) => isDnsAtOrBelow(name, base));
  // `*.D` covers `server.D`; what is below `user.D` is reserved whatever stands there.
  return parent === domain || reserved.some((base) => isDnsAtOrBelow(parent, base));
}

function checkDnsName(
  name: string,
  { profile, domain }: { readonly profile: ServerProfile; readonly domain: string },
): void {
  const parent = wildcardHost(name);
  const isWildcard = parent !== undefined;
  const host = parent ?? name;
  if (!isHost(host)) {
    throw new PkiError("usage", `cannot certify ${JSON.stringify(name)}: not a DNS name`, {
      hint: "a DNS name has lower-case letters, digits, hyphens and dots, as in www.example.org",
    });
  }
  if (isReserved(name, domain)) throw refuse(name, `it is reserved in the trust domain ${domain}`);
  if (isWildcard && !profile.areWildcardsAllowed) {
    throw refuse(name, 'profile "server" does not allow wildcards');
  }
  if (isWildcard && !host.includes(".")) throw refuse(name, "its wildcard covers too much");
  const { dnsSuffixes } = profile;
  if (dnsSuffixes && !dnsSuffixes.some((suffix) => isDnsAtOrBelow(host, suffix))) {
    throw refuse(name, `profile "server" allows names of ${dnsSuffixes.join(", ")} only`);
  }
}

function unique<T>(values: readonly T[], isSame: (a: T, b: T) => boolean): readonly T[] {
  return values.filter((value, i) => values.findIndex((other) => isSame(other, value)) === i);
}

/**
 * Hosts and addresses of the profile `server`. DNS names are brought to lower case; one that is named twice
 * is there once.
 * @throws {PkiError} `usage` for what is no name, `refused` for one that the profile does not allow
 */
export function describeServer(
  names: { readonly dns: readonly string[]; readonly addresses: readonly string[] },
  { profile, domain }: { readonly profile: ServerProfile; readonly domain: string },
): Subject {
  const dns = unique(names.dns.map((name) => name.toLowerCase()), (a, b) => a === b);
  const addresses = unique(names.addresses.map((text) => copyBytes(parseIp(text))), isEqualBytes);
  const count = dns.length + addresses.length;
  if (count === 0) {
    throw new PkiError("usage", 'cannot certify: profile "server" needs a DNS name or an address');
  }
  if (count > NAMES_MAX) {
    throw new PkiError("usage", `cannot certify: ${count} names, at most ${NAMES_MAX} accepted`);
  }
  for (const name of dns) checkDnsName(name, { profile, domain });
  const [address] = names.addresses;
  if (address !== undefined && !profile.areAddressesAllowed) {
    throw refuse(address, 'profile "server" does not allow addresses');
  }
  const [first] = dns;
  return { ...(first === undefined ? {} : commonNameOf(first)), uris: [], dns, addresses };
}

/** Whether the domain's issuing CA is for these names: all of them in the domain, and no addresses. */
export function isOfDomain({ dns, addresses }: Subject, domain: string): boolean {
  return addresses.length === 0 &&
    dns.every((name) => isDnsAtOrBelow(wildcardHost(name) ?? name, domain));
}

/** How a refusal calls whose certificate it is. */
export function describeHolder({ dns, addresses: [address] }: Subject): string {
  return JSON.stringify(dns[0] ?? (address ? formatIp(address) : ""));
}
