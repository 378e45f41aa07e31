/** Where a server that listens on an address can be reached, as far as it can know by itself. */

import { isIPv6 } from "node:net";
import { hostname } from "node:os";

/** Listening on these means on all addresses that the machine has. */
const WILDCARDS: ReadonlySet<string> = new Set(["", "0.0.0.0", "::", "::0"]);

/** Whether nobody but this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** `host:port` for people on other machines: the machine's name where it listens on all addresses. */
export function guessAddress(host: string, port: number): string {
  const name = WILDCARDS.has(host) ? hostname() : host;
  return isIPv6(name) ? `[${name}]:${port}` : `${name}:${port}`;
}
