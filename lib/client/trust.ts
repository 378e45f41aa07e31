/**
 * Trusting another root, or another issuing CA, than those that are pinned, because a person says so
 * who has compared the root's fingerprint. Nothing of this happens by itself, and what was trusted
 * before is kept.
 */

import { PkiError } from "../base/errors.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { checkRoot, type TrustAnchor } from "../x509/chain.ts";
import { isDomain } from "../x509/names.ts";
import { type Address, formatAddress } from "./address.ts";
import { mismatch } from "./first_contact.ts";
import type { Home } from "./home.ts";
import { connectServer, greetUnknownServer } from "./server_connection.ts";

export interface TrustOptions {
  readonly home: Home;
  readonly address: Address;
  readonly nowMs: number;
  /** What the root must be; absent to have a person compare it. */
  readonly fingerprint: string | undefined;
  /** Shows the root that the server has to a person; absent where nobody can be asked. */
  readonly ask: ((fingerprint: string, pinned: string | undefined) => Promise<boolean>) | undefined;
  readonly signal?: AbortSignal;
}

/** What is pinned now, and what was before. */
export interface Trusted {
  readonly anchor: TrustAnchor;
  /** Fingerprint of the root before; absent where there was none. */
  readonly before: string | undefined;
  /** Where the root before, and what was known of its log, is kept. */
  readonly evidence: string | undefined;
}

/**
 * Pins the root that a server has, and its issuing CA, in place of what is pinned.
 * @throws {PkiError} `untrusted` if it is not the root that was meant, or the server cannot show a
 *   certificate under it; `unreachable`, `usage` where nobody vouches for it
 */
export async function trustAnew(options: TrustOptions): Promise<Trusted> {
  const { home, address, nowMs, fingerprint, ask, signal } = options;
  const before = home.pinnedRoot();
  const { rootDer, domain } = await greetUnknownServer(address, signal);
  if (!isDomain(domain)) {
    throw new PkiError("protocol", "the server names an impossible trust domain", {
      hint: "it is no server of pki, or a broken one: tell whoever runs it",
    });
  }
  const found = fingerprintOf(rootDer);
  const pinned = before && fingerprintOf(before);
  if (fingerprint === undefined) {
    if (!ask) {
      throw new PkiError("usage", "cannot trust another root: its fingerprint is missing", {
        hint: "give the root's fingerprint, which pki serve shows, with --fingerprint",
      });
    }
    if (!await ask(found, pinned)) {
      throw new PkiError("untrusted", "the root was not trusted", {
        hint: "compare the fingerprint with what whoever runs the server tells you, and try again",
      });
    }
  } else if (found !== fingerprint) throw mismatch(found, fingerprint);
  const root = checkRoot(rootDer, nowMs);
  // What this root has revoked stays so, whoever answers at the address.
  const { revokedIssuers } = pinned === found ? home.loadConfig() : {};
  const known = revokedIssuers ? { revokedIssuers: new Set(revokedIssuers) } : {};
  const connection = await connectServer(address, { root, domain, ...known }, {
    nowMs,
    ...(signal ? { signal } : {}),
  });
  connection.close();
  const { anchor } = connection;
  const evidence = home.replacePins(anchor, formatAddress(address), nowMs);
  return { anchor, before: pinned, evidence };
}
