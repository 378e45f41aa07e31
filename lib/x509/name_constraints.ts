/**
 * Name constraints (RFC 5280, section 4.2.1.10): which names the certificates below a CA may have.
 * Compared are DNS names, e-mail addresses, hosts of URIs, addresses and directory names; a
 * constraint of any other form lets no name of its form pass.
 *
 * A wildcard name stands for many: it passes only where all of them are permitted and none of them is
 * excluded.
 */

import type { Certificate } from "./certificate.ts";
import { isEmptyName, parseSubjectEmails, relativeNameKeysOf } from "./distinguished_names.ts";
import type { NameConstraints } from "./extensions.ts";
import { type GeneralName, isHost, isMailbox, wildcardHost } from "./general_names.ts";

/** id-on-SmtpUTF8Mailbox: e-mail in the form of an otherName, under the same constraints (RFC 9598). */
const SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9";

/** The host itself and everything below it; the empty host is everything. */
function isHostWithin(host: string, base: string): boolean {
  return base === "" || host === base || host.endsWith(`.${base}`);
}

/** `when`: what to say where some of a wildcard's hosts are within and others are not. */
function isDnsWithin(name: string, base: string, when: boolean): boolean {
  const host = wildcardHost(name);
  if (host === undefined) return isHostWithin(name, base);
  if (isHostWithin(host, base)) return true;
  return base.slice(base.indexOf(".") + 1) === host && when;
}

/** A mailbox, a host, or (from a period on) all hosts of a domain. */
function isEmailWithin(address: string, base: string): boolean {
  const at = address.lastIndexOf("@");
  const host = address.slice(at + 1).toLowerCase();
  const baseAt = base.lastIndexOf("@");
  if (baseAt >= 0) {
    // Only hosts are the same in upper case (section 7.5).
    return address.slice(0, at) === base.slice(0, baseAt) &&
      host === base.slice(baseAt + 1).toLowerCase();
  }
  const lowerBase = base.toLowerCase();
  return lowerBase.startsWith(".") ? host.endsWith(lowerBase) : host === lowerBase;
}

const URI_WITH_HOST = /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?([^:/?#@[\]]+)(?::\d*)?(?:[/?#]|$)/i;

/** The host of a URI in lower case; `undefined` where it has none, or an address. */
function hostOf(uri: string): string | undefined {
  const host = URI_WITH_HOST.exec(uri)?.[1];
  return host !== undefined && isHost(host) ? host.toLowerCase() : undefined;
}

/** A host, or (from a period on) all hosts of a domain, without the domain's own name. */
function isUriWithin(uri: string, base: string, when: boolean): boolean {
  const host = hostOf(uri);
  // A URI without a host must be rejected where there is a constraint of URIs at all.
  if (host === undefined) return when;
  return base.startsWith(".") ? host.endsWith(base) : host === base;
}

function isIpWithin(address: Uint8Array, range: Uint8Array): boolean {
  if (range.length !== address.length * 2) return false;
  return address.every((byte, i) => {
    const mask = range[address.length + i] ?? 0xff;
    return (byte & mask) === ((range[i] ?? 0) & mask);
  });
}

function isDirectoryWithin(name: Uint8Array, base: Uint8Array): boolean {
  const keys = relativeNameKeysOf(name);
  return relativeNameKeysOf(base).every((key, i) => keys[i] === key);
}

/** Whether a name is in a subtree of its form; `when` is what to say where that cannot be known. */
function isWithin(name: GeneralName, base: GeneralName, when: boolean): boolean {
  if (name.type === "dns" && base.type === "dns") {
    return isDnsWithin(name.value.toLowerCase(), base.value.toLowerCase(), when);
  }
  if (name.type === "email" && base.type === "email") return isEmailWithin(name.value, base.value);
  if (name.type === "uri" && base.type === "uri") {
    return isUriWithin(name.value, base.value.toLowerCase(), when);
  }
  if (name.type === "ip" && base.type === "ip") return isIpWithin(name.value, base.value);
  if (name.type === "directory" && base.type === "directory") {
    return isDirectoryWithin(name.value, base.value);
  }
  return when;
}

function isSameForm(name: GeneralName, base: GeneralName): boolean {
  if (name.type === "other" && base.type === "other") {
    return name.tag === base.tag && name.typeId === base.typeId;
  }
  if (name.type === "other" && base.type === "email") return name.typeId === SMTP_UTF8_MAILBOX;
  return name.type === base.type;
}

function isRange(range: Uint8Array): boolean {
  if (range.length !== 8 && range.length !== 32) return false;
  const mask = [...range.subarray(range.length / 2)].map((byte) =>
    byte.toString(2).padStart(8, "0")
  );
  return /^1*0*$/.test(mask.join(""));
}

/** Whether a subtree has the form that section 4.2.1.10 asks; one that has not is never guessed at. */
function isWellFormedSubtree(base: GeneralName): boolean {
  switch (base.type) {
    case "dns":
      return base.value === "" || isHost(base.value);
    case "email":
      return isMailbox(base.value) || isHost(base.value.replace(/^\./, ""));
    case "uri":
      return isHost(base.value.replace(/^\./, ""));
    case "ip":
      return isRange(base.value);
    case "directory":
    case "other":
      return true;
  }
}

export function areConstraintsWellFormed({ permitted, excluded }: NameConstraints): boolean {
  return [...permitted, ...excluded].every(isWellFormedSubtree);
}

/**
 * The names of a certificate that constraints are about: its alternative names, its subject, and the
 * e-mail addresses in its subject (here also where it has alternative names, as other software does).
 */
export function constrainedNamesOf({ subject, names }: Certificate): readonly GeneralName[] {
  if (isEmptyName(subject)) return names;
  const emails = parseSubjectEmails(subject)
    .map((value): GeneralName => ({ type: "email", value }));
  return [{ type: "directory", value: subject }, ...emails, ...names];
}

/** The first of these names that the constraints forbid. */
export function findForbiddenName(
  names: readonly GeneralName[],
  { permitted, excluded }: NameConstraints,
): GeneralName | undefined {
  return names.find((name) => {
    const permittedOfForm = permitted.filter((base) => isSameForm(name, base));
    const isPermitted = permittedOfForm.length === 0 ||
      permittedOfForm.some((base) => isWithin(name, base, false));
    return !isPermitted ||
      excluded.some((base) => isSameForm(name, base) && isWithin(name, base, true));
  });
}
