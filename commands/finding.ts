/**
 * From whom a command calls to where: an address as it was given, or what somebody has announced to
 * the directory. The directory's word is a hint only; that the right one answers is checked there.
 */

import { messageOf, PkiError } from "../lib/base/errors.ts";
import { type Address, formatAddress, parseAddress } from "../lib/client/address.ts";
import { isAnswer } from "../lib/client/server_connection.ts";
import type { Destination } from "../lib/peer/call.ts";
import type { PeerIdentity } from "../lib/peer/identity.ts";
import type { Conversing } from "./converse.ts";
import { DEFAULT_PEER_PORT, type Surroundings } from "./globals.ts";
import { hostHint, type Target } from "./target.ts";

export interface FindingOptions {
  /** Who asks, with an unlocked key. */
  readonly identity: PeerIdentity;
  /** What `--expect` says. */
  readonly expect?: string | undefined;
  readonly isOffline: boolean;
  /** What the other side waits with: `pki listen` unless said otherwise. */
  readonly waitsWith?: "pki listen" | "pki receive";
  readonly tell: Conversing["tell"];
}

/**
 * Whom a target and `--expect` demand.
 * @throws {PkiError} `usage` if they differ, or if somebody is to be found without the server
 */
export function expectedOf(
  target: Target,
  { expect, isOffline }: Pick<FindingOptions, "expect" | "isOffline">,
): string | undefined {
  if (target.kind === "address") return expect;
  if (expect !== undefined && expect !== target.id) {
    throw new PkiError("usage", `cannot call "${target.id}" and expect "${expect}"`, {
      hint: "leave --expect out: whoever is named must answer",
    });
  }
  if (target.kind === "person" && isOffline) {
    throw new PkiError("usage", `cannot find "${target.id}" with --offline: no server is asked`, {
      hint: addressHint(target.id),
    });
  }
  return target.id;
}

function addressHint(id: string): string {
  return `if you know the address, name it: ${id}@HOST:${DEFAULT_PEER_PORT}`;
}

/**
 * Finds out where to call; the server is asked only for somebody without an address.
 * @throws {PkiError} `not-found` for an unknown id, or one that announces nothing; and why the server
 * cannot be asked
 */
export async function findDestination(
  surroundings: Surroundings,
  target: Target,
  options: FindingOptions,
): Promise<Destination> {
  const expected = expectedOf(target, options);
  if (target.kind !== "person") {
    const { address } = target;
    return {
      addresses: [address],
      expected,
      whom: formatAddress(address),
      hint: `the other side waits with: ${options.waitsWith ?? "pki listen"}`,
    };
  }
  const { id } = target;
  const addresses = await locate(surroundings, id, options);
  const where = addresses.map(formatAddress);
  options.tell(
    { event: "located", peer: id, addresses: where },
    `calling ${id} at ${where.join(", ")}`,
  );
  return {
    addresses,
    expected,
    whom: `"${id}"`,
    hint: `"${id}" has announced this and may be gone since, or be in another network; ${
      addressHint(id)
    }`,
  };
}

/** What somebody has announced, in order of preference; at least one address. */
async function locate(
  surroundings: Surroundings,
  id: string,
  { identity, waitsWith = "pki listen" }: FindingOptions,
): Promise<readonly Address[]> {
  const found = await ask(surroundings, id, identity).catch((error) => {
    throw explain(error, id);
  });
  if (found.length > 0) return found.map((text) => parseAddress(text, DEFAULT_PEER_PORT));
  throw new PkiError("not-found", `cannot reach "${id}": nothing is announced under this id`, {
    hint: `ask "${id}" to wait with ${waitsWith} --announce; ${addressHint(id)}`,
  });
}

async function ask(
  surroundings: Surroundings,
  id: string,
  { id: own, tls }: PeerIdentity,
): Promise<readonly string[]> {
  // What logging in takes, OPAQUE too, is loaded for nobody who was given an address.
  const { openByIdentity } = await import("./sign_in.ts");
  const { connection } = await openByIdentity(surroundings, surroundings.flags, { id: own, tls });
  try {
    return (await connection.request("LOCATE", { id })).addresses;
  } finally {
    connection.close();
  }
}

/** Somebody who is not known is another matter than a server that cannot be asked. */
function explain(error: unknown, id: string): unknown {
  if (!(error instanceof PkiError) || error.kind === "interrupted") return error;
  const { kind } = error;
  if (kind === "not-found" && isAnswer(error)) {
    return new PkiError(kind, `cannot reach "${id}": nobody is known under this id`, {
      cause: error,
      hint: `see whether it is right; ${hostHint(id)}`,
    });
  }
  return new PkiError(kind, `cannot find out where "${id}" is: ${messageOf(error)}`, {
    cause: error,
    hint: [error.hint, addressHint(id)].filter(Boolean).join("; "),
  });
}
