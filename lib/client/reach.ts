/**
 * Opens a connection to the server: first contact, TLS, and a look at what is remembered of its log,
 * so that no password is asked for, and none used, with a server that cannot be trusted.
 */

import type { TrustAnchor } from "../x509/chain.ts";
import { formatAddress } from "./address.ts";
import { findAnchor, type FirstContactOptions } from "./first_contact.ts";
import { LogMemory, type LogMemoryOptions } from "./log_memory.ts";
import { type ConnectOptions, connectServer, type ServerConnection } from "./server_connection.ts";

export type ReachOptions =
  & FirstContactOptions
  & Pick<LogMemoryOptions, "now" | "warn">
  & Pick<ConnectOptions, "identity">;

export interface Reached {
  readonly connection: ServerConnection;
  readonly anchor: TrustAnchor;
  readonly log: LogMemory;
}

/** Connects to the server under the pinned root, pins it where it is new, and remembers the address. */
export async function reachServer(options: ReachOptions): Promise<Reached> {
  const { home, address, nowMs, now, warn, identity, signal } = options;
  const { anchor: found, isNew } = await findAnchor(options);
  const connection = await connectServer(address, found, { nowMs, identity, signal });
  const { anchor } = connection;
  try {
    const log = new LogMemory({ home, connection, anchor, address, now, warn });
    log.knownNote(); // refuses a log that cannot be the one known
    // Durable before anything is believed that a new issuing CA has signed.
    if (isNew) home.pin(anchor, formatAddress(address));
    else home.remember(anchor, formatAddress(address));
    return { connection, anchor, log };
  } catch (error) {
    connection.close();
    throw error;
  }
}
