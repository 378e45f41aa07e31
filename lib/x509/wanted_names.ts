/**
 * Whether a certificate is for a name that somebody wants (RFC 9525, section 6; RFC 5280, section
 * 4.2.1.6). The subject's common name never counts.
 */

import { isIP } from "node:net";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type GeneralName, isHost, isWellFormedName, wildcardHost } from "./general_names.ts";

/** A name that a certificate must be for. */
export type WantedName = Extract<GeneralName, { type: "dns" | "email" | "uri" | "ip" }>;

/** A wildcard is a whole first label and stands for exactly one label. */
function isDnsMatch(presented: string, wanted: string): boolean {
  const host = wildcardHost(presented);
  return host === undefined ? presented === wanted : wanted.slice(wanted.indexOf(".") + 1) === host;
}

function isEmailMatch(presented: string, wanted: string): boolean {
  const lowerHost = (address: string) => address.replace(/@[^@]*$/, (host) => host.toLowerCase());
  return lowerHost(presented) === lowerHost(wanted);
}

function isMatch(presented: GeneralName, wanted: WantedName): boolean {
  if (!isWellFormedName(presented)) return false;
  if (presented.type === "ip" || wanted.type === "ip") {
    return presented.type === "ip" && wanted.type === "ip" &&
      isEqualBytes(presented.value, wanted.value);
  }
  if (presented.type !== wanted.type) return false;
  switch (wanted.type) {
    case "dns":
      return isHost(wanted.value) &&
        isDnsMatch(presented.value.toLowerCase(), wanted.value.toLowerCase());
    case "email":
      return isEmailMatch(presented.value, wanted.value);
    case "uri":
      return presented.value === wanted.value;
  }
}

/** Whether one of a certificate's alternative names is the wanted one. */
export function isNamed(names: readonly GeneralName[], wanted: WantedName): boolean {
  return names.some((name) => isMatch(name, wanted));
}

/**
 * Reads an IPv4 or IPv6 address (without a zone) into its 4 or 16 bytes.
 * @throws {PkiError} `usage`
 */
export function parseIp(text: string): Uint8Array {
  const version = isIP(text);
  if (version === 0 || text.includes("%")) {
    throw new PkiError("usage", `cannot use address ${JSON.stringify(text)}: not an IP address`);
  }
  if (version === 4) return Uint8Array.from(text.split(".").map(Number));
  // The URL standard writes every form of an address as groups, with one run of zeros left out.
  const [head = "", tail] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const groupsOf = (part: string) => part === "" ? [] : part.split(":");
  const [before, after] = [groupsOf(head), groupsOf(tail ?? "")];
  const zeros = new Array<string>(8 - before.length - after.length).fill("0");
  const groups = [...before, ...zeros, ...after].map((group) => parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
