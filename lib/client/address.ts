/** `host:port` as people write it, IPv6 in brackets. */

import { PkiError } from "../base/errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:[\]@]+))(?::(\d{1,5}))?$/;

/**
 * Reads `host:port`, `host` or `[::1]:port`.
 * @param defaultPort for an address without a port
 * @throws {PkiError} `usage`
 */
export function parseAddress(text: string, defaultPort: number): Address {
  const [, six, name, portText] = ADDRESS.exec(text) ?? [];
  const host = six ?? name;
  const port = portText === undefined ? defaultPort : Number(portText);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new PkiError("usage", `cannot use address ${JSON.stringify(text)}: not host:port`, {
      hint: `an address looks like localhost:${defaultPort} or [::1]:${defaultPort}`,
    });
  }
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
