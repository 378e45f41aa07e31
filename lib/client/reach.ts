/** Opens a session with the server: first contact, connection, login or registration. */

import type { TrustAnchor } from "../x509/chain.ts";
import type { Address } from "./address.ts";
import { findAnchor, type FirstContactOptions } from "./first_contact.ts";
import { connectServer, type ServerConnection } from "./server_connection.ts";
import { formatAddress } from "./address.ts";

export interface Reached {
  readonly connection: ServerConnection;
  readonly anchor: TrustAnchor;
}

/** Connects to the server under the pinned root, pins it where it is new, and remembers the address. */
export async function reachServer(options: FirstContactOptions): Promise<Reached> {
  const { home, address, nowMs, signal } = options;
  const { anchor, isNew } = await findAnchor(options);
  const connection = await connectServer(address, anchor, { nowMs, ...(signal ? { signal } : {}) });
  if (isNew) home.pin(anchor, formatAddress(address));
  else rememberAddress(home, address);
  return { connection, anchor };
}

function rememberAddress(home: FirstContactOptions["home"], address: Address): void {
  const config = home.loadConfig();
  const server = formatAddress(address);
  if (config.server !== server) home.saveConfig({ ...config, server });
}
