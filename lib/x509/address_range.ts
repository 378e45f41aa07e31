/** Ranges of IP addresses, from text into the bytes of name constraints (RFC 5280, section 4.2.1.10). */

import { type Bytes, concatBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseIp } from "./wanted_names.ts";

function unusable(text: string, what: string): PkiError {
  return new PkiError("usage", `cannot use address ${JSON.stringify(text)}: ${what}`, {
    hint: "an address looks like 192.0.2.1 or 2001:db8::1, a range like 192.0.2.0/24",
  });
}

/**
 * A range in CIDR form, or a single address: address and mask, 8 or 32 bytes.
 * @throws {PkiError} `usage`, also if bits behind the prefix are set
 */
export function parseAddressRange(text: string): Bytes {
  const [addressText = "", prefixText, ...more] = text.split("/");
  const address = parseIp(addressText);
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
