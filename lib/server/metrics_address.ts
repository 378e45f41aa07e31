/** Where metrics may be served: decided before a server is started, and before anything listens. */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { messageOf, PkiError } from "../base/errors.ts";
import { listenError } from "../base/tls.ts";
import { isLoopback } from "./reachable.ts";

/** Where somebody wants to serve metrics. */
export interface WantedMetrics {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Whether it may be an address that others reach. */
  readonly isExposed: boolean;
}

/** The same, looked up. */
export interface MetricsPlace extends WantedMetrics {
  /** IPv4 or IPv6; what is listened on, whatever the name stands for later. */
  readonly address: string;
}

/**
 * Looks the host up and decides whether metrics may be served there: whoever reaches the address can
 * read them.
 * @param find as `lookup` of `node:dns`
 * @throws {PkiError} `usage` for an address that others reach, or a name that is none
 */
export async function settleMetrics(
  wanted: WantedMetrics,
  find: (host: string) => Promise<{ readonly address: string }> = lookup,
): Promise<MetricsPlace> {
  const { host, isExposed } = wanted;
  let address: string;
  try {
    ({ address } = isIP(host) ? { address: host } : await find(host));
  } catch (error) {
    throw new PkiError("usage", `cannot serve metrics on "${host}": ${messageOf(error)}`, {
      hint: "name an address of this machine: 127.0.0.1:9464 or [::1]:9464",
      cause: error,
    });
  }
  if (!isExposed && !isLoopback(address)) {
    throw new PkiError(
      "usage",
      `cannot serve metrics on "${host}": other machines reach it, and nobody is asked who they are`,
      {
        hint: "use 127.0.0.1:9464 or [::1]:9464; --metrics-exposed allows it all the same, " +
          "for a network where that is right",
      },
    );
  }
  return { ...wanted, address };
}

/** Why metrics cannot be served there, although they may. */
export function metricsListenError(
  error: unknown,
  place: { readonly host: string; readonly port: number },
): PkiError {
  return new PkiError("unreachable", `no metrics: ${listenError(error, place).message}`, {
    hint: "choose another port or address for --metrics",
    cause: error,
  });
}
