/** Under which addresses of this machine a listener can be reached by others: what it announces. */

import { isIPv4, isIPv6 } from "node:net";
import { ANNOUNCED } from "../protocol/message_fields.ts";
import { interleaveFamilies } from "../client/eyeballs.ts";

/** What `networkInterfaces()` of `node:os` gives, as far as it matters. */
export type Interfaces = Readonly<
  Record<string, readonly { readonly address: string; readonly internal: boolean }[] | undefined>
>;

/** Addresses that say "all of them". */
const ANY_V4 = "0.0.0.0";
const ANY_V6 = "::";

/** How far an address is known: on this machine, on this link, in this network, everywhere. */
type Reach = "machine" | "link" | "network" | "world";

function reachOf(host: string): Reach {
  if (isIPv4(host)) {
    if (host.startsWith("127.")) return "machine";
    if (host.startsWith("169.254.")) return "link"; // RFC 3927
    const isPrivate =
      /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/
        .test(host); // RFC 1918, and what providers share (RFC 6598)
    return isPrivate ? "network" : "world";
  }
  if (host === "::1") return "machine";
  if (/^fe[89ab]/i.test(host)) return "link"; // of no use without a zone, which only this machine knows
  return /^f[cd]/i.test(host) ? "network" : "world"; // RFC 4193
}

/**
 * Hosts to announce, the farthest known first, families in turn.
 *
 * Of a listener on all addresses those of the interfaces: no loopback unless there is nothing else, no
 * link-local ones of IPv6, and of IPv4 only where there is nothing better. Any other listener has the
 * one address that it is bound to.
 * @param bound what the listener is bound to, as a number
 */
export function ownHosts(bound: string, interfaces: Interfaces): readonly string[] {
  if (bound !== ANY_V4 && bound !== ANY_V6) return [bound];
  const hosts = Object.values(interfaces)
    .flatMap((all = []) => all)
    .map(({ address }) => address)
    .filter((host) => isIPv4(host) || (bound === ANY_V6 && isIPv6(host)));
  const of = (wanted: Reach) =>
    interleaveFamilies(hosts.filter((host) => reachOf(host) === wanted));
  const far = [...of("world"), ...of("network")];
  const near = far.length > 0 ? far : of("link").filter((host) => isIPv4(host));
  const loopback = bound === ANY_V6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
  return (near.length > 0 ? near : loopback).slice(0, ANNOUNCED.addressesMax);
}
