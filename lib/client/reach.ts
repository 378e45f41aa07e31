/**
 * Opens a connection to the server: first contact, TLS, and a look at what is remembered of its log,
 * so that no password is asked for, and none used, with a server that cannot be trusted.
 */

import { PkiError } from "../base/errors.ts";
import { type Certificate, fingerprintOf } from "../x509/certificate.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import { failedCheckOf } from "../x509/path_failure.ts";
import { learnRoot } from "../x509/succession.ts";
import { formatAddress } from "./address.ts";
import { findAnchor, type FirstContactOptions } from "./first_contact.ts";
import { LogMemory, type LogMemoryOptions } from "./log_memory.ts";
import {
  type ConnectOptions,
  connectServer,
  greetUnknownServer,
  type ServerConnection,
} from "./server_connection.ts";

export type ReachOptions =
  & FirstContactOptions
  & Pick<LogMemoryOptions, "now" | "warn">
  & Pick<ConnectOptions, "identity">;

export interface Reached {
  readonly connection: ServerConnection;
  readonly anchor: TrustAnchor;
  readonly log: LogMemory;
}

/**
 * Connects to the server under the pinned root, pins it where it is new, and remembers the address.
 * A root that the pinned one vouches for takes its place, and the user is told.
 */
export async function reachServer(options: ReachOptions): Promise<Reached> {
  const { home, address, nowMs, now, warn, identity, signal } = options;
  const { anchor: found, isNew } = await findAnchor(options);
  const connection = await connectServer(address, found, { nowMs, identity, signal })
    .catch(async (error) => {
      const next = isNew ? undefined : await findNextRoot(error, found, options);
      if (!next) throw error;
      return await connectUnderNextRoot(next, found, options);
    });
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

/**
 * The root that the pinned one vouches for, where the server's certificate is not of that. It is told
 * nothing but `HELLO`, which says nothing, as at the first contact.
 */
async function findNextRoot(
  error: unknown,
  { root, domain }: TrustAnchor,
  { address, nowMs, signal }: ReachOptions,
): Promise<Certificate | undefined> {
  const isOfAnother = error instanceof PkiError && failedCheckOf(error.cause)?.check === "issuer";
  if (!isOfAnother) return undefined;
  const { domain: named, successions } = await greetUnknownServer(address, signal);
  return named === domain ? learnRoot({ root, successions, nowMs }) : undefined;
}

/**
 * Connects under the next root and pins it. The issuing CA has to be vouched for as well, by a pinned
 * one or by the next root.
 */
async function connectUnderNextRoot(
  next: Certificate,
  before: TrustAnchor,
  { home, address, nowMs, warn, identity, signal }: ReachOptions,
): Promise<ServerConnection> {
  const anchor = { ...before, root: next };
  const connection = await connectServer(address, anchor, { nowMs, identity, signal });
  const evidence = home.replacePins(connection.anchor, formatAddress(address), nowMs);
  warn(
    `THE ROOT OF ${before.domain} HAS CHANGED: the one before, ${
      fingerprintOf(before.root.der)
    }, ` +
      `has signed for the new one, ${fingerprintOf(next.der)}. If nobody told you of that, ask ` +
      "whoever runs the server, on another way than this network. The root before, and what was " +
      `known of its log, are kept in "${evidence}"`,
  );
  return connection;
}
