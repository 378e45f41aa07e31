/**
 * Whom a command calls, as people write it: `host:port` is a place, `bob` a person, and
 * `bob@host:port` that person at that place. What a person's place is, the directory says
 * (`finding.ts`), not this.
 */

import { isIPv4 } from "node:net";
import { PkiError } from "../lib/base/errors.ts";
import { type Address, parseAddress } from "../lib/client/address.ts";
import { checkId, isId } from "../lib/x509/names.ts";
import { DEFAULT_PEER_PORT } from "./globals.ts";

/** What every help text calls it. */
export const TARGET_PLACEHOLDER = "NAME|HOST:PORT";

export type Target =
  /** Whoever answers there. */
  | { readonly kind: "address"; readonly address: Address }
  /** This user, wherever the directory says. */
  | { readonly kind: "person"; readonly id: string }
  /** This user and nobody else, at this address. */
  | { readonly kind: "person-at"; readonly id: string; readonly address: Address };

/** Where whoever wrote a name without a port may have meant the host of that name. */
export function hostHint(name: string): string {
  return `for the host of that name say ${name}:${DEFAULT_PEER_PORT}`;
}

/**
 * Reads `bob`, `host:port`, `[v6]:port`, `bob@host[:port]` or `bob@[v6]:port`.
 *
 * A word without a port is an id, but for `localhost` and addresses of IPv4, which nobody means as one;
 * who is called so is found as `localhost@host:port`.
 * @throws {PkiError} `usage`
 */
export function parseTarget(text: string): Target {
  const at = text.indexOf("@");
  if (at !== -1) {
    const id = text.slice(0, at);
    checkId(id);
    return {
      kind: "person-at",
      id,
      address: parseAddress(text.slice(at + 1), DEFAULT_PEER_PORT),
    };
  }
  if (text === "localhost" || isIPv4(text)) {
    throw new PkiError("usage", `cannot call "${text}": a host needs a port`, {
      hint: `say ${text}:${DEFAULT_PEER_PORT}`,
    });
  }
  if (isId(text)) return { kind: "person", id: text };
  if (/[:[]/.test(text)) {
    return { kind: "address", address: parseAddress(text, DEFAULT_PEER_PORT) };
  }
  throw new PkiError("usage", `cannot call ${JSON.stringify(text)}: neither an id nor host:port`, {
    hint: /^[\w.-]+$/.test(text)
      ? `ids are in lower case; ${hostHint(text)}`
      : `say whom or where: bob, localhost:${DEFAULT_PEER_PORT} or bob@localhost`,
  });
}
