/**
 * Asks the server something in passing, before or beside a conversation: on a connection of its own,
 * without a login, and in a time so short that nobody minds if it was in vain.
 */

import { PkiError } from "../base/errors.ts";
import { type Address, formatAddress } from "../client/address.ts";
import { connectServer, type ServerConnection } from "../client/server_connection.ts";
import type { TrustAnchor } from "../x509/chain.ts";

/** How long a server may take for all of it, from the dialling on. */
export const ASK_MS_MAX = 3000;

export interface AskOptions {
  readonly address: Address;
  readonly anchor: TrustAnchor;
  readonly now: () => number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/**
 * Connects to the server, does this with the greeted connection, and closes it.
 * @throws {PkiError} `timeout`, and whatever {@link connectServer} and `ask` throw
 */
export async function askServer<T>(
  { address, anchor, now, signal }: AskOptions,
  ask: (connection: ServerConnection) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ASK_MS_MAX);
  let connection: ServerConnection | undefined;
  try {
    connection = await connectServer(address, anchor, {
      nowMs: now(),
      signal: AbortSignal.any([signal, late.signal]),
    });
    return await ask(connection);
  } catch (error) {
    if (!late.signal.aborted || signal.aborted) throw error;
    const where = formatAddress(address);
    throw new PkiError("timeout", `cannot reach ${where}: no answer in ${ASK_MS_MAX / 1000} s`);
  } finally {
    clearTimeout(timer);
    connection?.close();
  }
}
