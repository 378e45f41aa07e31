/** Which network an address belongs to: what limits count, since whoever has one address has more. */

import { isIPv4 } from "node:net";
import { encodeHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseIp } from "../x509/wanted_names.ts";

/** Bytes of an IPv6 network that one customer gets at least (RFC 6177), and of one that many get. */
const HOME_BYTES = 8;
const SITE_BYTES = 6;

/** That of `::1`, of which nothing else is in use. */
const LOCAL_V6 = "ipv6 0000000000000000";

export interface Networks {
  /** Of one customer: an address of IPv4, or 64 bits of IPv6. */
  readonly home: string;
  /** Of a larger customer of IPv6: 48 bits. */
  readonly site: string | undefined;
}

/**
 * The networks of an address, as names. An IPv4 address that a socket of IPv6 shows counts as the
 * IPv4 address; addresses that cannot be read are all of one network.
 * @param address as `node:net` writes it, with a zone or without
 */
export function networksOf(address: string): Networks {
  const plain = address.replace(/%.*$/, "").replace(/^::ffff:(?=\d+\.)/i, "");
  if (isIPv4(plain)) return { home: `ipv4 ${plain}`, site: undefined };
  let bytes: Uint8Array;
  try {
    bytes = parseIp(plain);
  } catch (error) {
    if (error instanceof PkiError) return { home: "unknown", site: undefined };
    throw error;
  }
  const prefix = (length: number) => `ipv6 ${encodeHex(bytes.slice(0, length))}`;
  return { home: prefix(HOME_BYTES), site: prefix(SITE_BYTES) };
}

/** Whether networks are those of this machine itself (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3). */
export function isLocal({ home }: Networks): boolean {
  return home.startsWith("ipv4 127.") || home === LOCAL_V6;
}
