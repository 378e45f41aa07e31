/** Where a server that listens on an address can be reached, as far as it can know by itself. */

import { isIPv6 } from "node:net";

/** Whether only this machine reaches an address that is listened on. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function isAnyAddress(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}

/**
 * `host:port` for clients: the machine's name where the server listens on all of its addresses.
 * @param hostName the machine's name
 */
export function guessAddress(
  { host, port }: { readonly host: string; readonly port: number },
  hostName: string,
): string {
  const name = isAnyAddress(host) ? hostName : host;
  return joinAddress({ host: name, port });
}

/** `host:port`, IPv6 in brackets. */
export function joinAddress(
  { host, port }: { readonly host: string; readonly port: number },
): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
