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

/** Connects to the server under the pinned root and remembers its address. */
export async function reachServer(options: FirstContactOptions): Promise<Reached> {
  const { home, address, nowMs } = options;
  const anchor = await findAnchor(options);
  const connection = await connectServer(address, anchor, nowMs);
  rememberAddress(home, address);
  return { connection, anchor };
}

function rememberAddress(home: FirstContactOptions["home"], address: Address): void {
  const config = home.loadConfig();
  const server = formatAddress(address);
  if (config.server !== server) home.saveConfig({ ...config, server });
}
