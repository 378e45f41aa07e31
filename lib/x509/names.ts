/**
 * The names of the trust domain: what a user's id may be, and how ids and the server appear in
 * certificates. A name in a certificate counts only in the forms made here; CN never decides.
 */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

const ID = /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/;
const DOMAIN =
  /^(?=.{1,180}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/;

/** The trust domain of a server that was given none. */
export const DEFAULT_DOMAIN = "pki.internal";

export function isId(text: string): boolean {
  return text.length <= LIMITS.idCharactersMax && ID.test(text);
}

/** @throws {PkiError} `usage`; the text is shown only where it cannot harm a terminal. */
export function checkId(text: string): void {
  if (isId(text)) return;
  const shown = text.length <= LIMITS.idCharactersMax && /^[\x21-\x7e]+$/.test(text)
    ? ` ${JSON.stringify(text)}`
    : "";
  throw new PkiError("usage", `cannot use id${shown}: not a possible id`, {
    hint:
      `an id has lower-case letters and digits, with single dots or hyphens between them, at most ${LIMITS.idCharactersMax}`,
  });
}

export function isDomain(text: string): boolean {
  return DOMAIN.test(text);
}

/** @throws {PkiError} `usage` */
export function checkDomain(text: string): void {
  if (isDomain(text)) return;
  throw new PkiError(
    "usage",
    `cannot use trust domain ${JSON.stringify(text)}: not a domain name`,
    {
      hint: "a trust domain looks like pki.internal or pki.example.org, in lower case",
    },
  );
}

/** SPIFFE ID of a user (SPIFFE-ID, section 2): the name that peers accept. */
export function userUri(id: string, domain: string): string {
  return `spiffe://${domain}/user/${id}`;
}

/** DNS name of a user, below the domain so that no user can be called like a host. */
export function userDns(id: string, domain: string): string {
  return `${id}.user.${domain}`;
}

export function serverUri(domain: string): string {
  return `spiffe://${domain}/server`;
}

export function serverDns(domain: string): string {
  return `server.${domain}`;
}

/** The id in a SPIFFE ID of a user of this domain; `undefined` for anything else. */
export function parseUserUri(uri: string, domain: string): string | undefined {
  const prefix = userUri("", domain);
  if (!uri.startsWith(prefix)) return undefined;
  const id = uri.slice(prefix.length);
  return isId(id) ? id : undefined;
}

/** SPIFFE ID of a service: a program that is a client of others. */
export function serviceUri(name: string, domain: string): string {
  return `spiffe://${domain}/service/${name}`;
}

/** DNS name of a service, below the domain as users' are. */
export function serviceDns(name: string, domain: string): string {
  return `${name}.service.${domain}`;
}

/** Whether a DNS name is another or below it. */
export function isDnsAtOrBelow(name: string, base: string): boolean {
  return name === base || name.endsWith(`.${base}`);
}
