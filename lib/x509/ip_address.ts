/**
 * IP addresses and ranges from text into the bytes that certificates carry (RFC 5280, sections 4.2.1.6 and
 * 4.2.1.10); `formatIp` in `general_names.ts` is the way back.
 */

import { isIPv4, isIPv6 } from "node:net";
import { type Bytes, concatBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

function unusable(text: string, what: string): PkiError {
  return new PkiError("usage", `cannot use address ${JSON.stringify(text)}: ${what}`, {
    hint: "an address looks like 192.0.2.1 or 2001:db8::1, a range like 192.0.2.0/24",
  });
}

function parseIpv6(text: string): Bytes {
  // The last 32 bits may be written as an IPv4 address (RFC 4291, section 2.2).
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = dotted?.[2]?.split(".").map(Number) ?? [];
  const plain = dotted
    ? `${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
    : text;
  const [head = "", tail] = plain.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [front, back] = [groups(head), groups(tail ?? "")];
  const middle = Array<string>(8 - front.length - back.length).fill("0");
  return Uint8Array.from([...front, ...middle, ...back].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  }));
}

/**
 * An address, 4 or 16 bytes.
 * @throws {PkiError} `usage` for anything else than an IPv4 or IPv6 address without zone or prefix
 */
export function parseAddress(text: string): Bytes {
  if (isIPv4(text)) return Uint8Array.from(text.split(".").map(Number));
  if (isIPv6(text) && !text.includes("%")) return parseIpv6(text);
  throw unusable(text, "not an IPv4 or IPv6 address");
}

/**
 * A range in CIDR form, or a single address: address and mask, 8 or 32 bytes.
 * @throws {PkiError} `usage`, also if bits behind the prefix are set
 */
export function parseAddressRange(text: string): Bytes {
  const [addressText = "", prefixText, ...more] = text.split("/");
  const address = parseAddress(addressText);
  const bits = address.length * 8;
  if (more.length > 0 || prefixText !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(prefixText)) {
    throw unusable(text, "not a range");
  }
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) throw unusable(text, `its prefix is longer than ${bits} bits`);
  const mask = Uint8Array.from(address, (_, i) => {
    const own = Math.min(8, Math.max(0, prefix - 8 * i));
    return 0xff & (0xff << (8 - own));
  });
  if (address.some((byte, i) => (byte & ~(mask[i] ?? 0)) !== 0)) {
    throw unusable(text, "bits behind its prefix are set");
  }
  return concatBytes(address, mask);
}
