/**
 * `listen --announce` and `receive --announce`: tells the directory where the listener can be reached, for as long as it
 * listens. It logs in with the certificate and the key that are unlocked already, so nobody is asked
 * anything; whatever fails, listening goes on.
 */

import { networkInterfaces } from "node:os";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { formatAddress, parseAddress } from "../lib/client/address.ts";
import { Announcer } from "../lib/peer/announcer.ts";
import type { PeerIdentity } from "../lib/peer/identity.ts";
import type { Listening } from "../lib/peer/listener.ts";
import { ownHosts } from "../lib/peer/own_addresses.ts";
import { scheduleTimer } from "../lib/peer/own_status.ts";
import { ANNOUNCED, isAnnounceable } from "../lib/protocol/message_fields.ts";
import type { Conversing } from "./converse.ts";
import { DEFAULT_PEER_PORT, Surroundings, switchFlag, textFlag } from "./globals.ts";

export interface AnnounceFlags {
  readonly announce?: boolean;
  readonly address?: string;
}

export const ANNOUNCE_FLAGS = {
  announce: switchFlag("Tell the directory where you can be reached, for who calls you by name"),
  address: textFlag("What to announce instead of this machine's addresses", "HOST:PORT,…"),
} as const;

/** What the help of both says about it. */
export const ANNOUNCE_DESCRIPTION =
  "With --announce others need no address: the directory tells every user who logs in\n" +
  "where you are, as long as you listen: the addresses of this machine, or what others\n" +
  "come by (a router, say) with --address.\n\n";

/**
 * What `--address` says, for a listener on this port; `undefined` where it says nothing.
 * @throws {PkiError} `usage` for what cannot be announced
 */
function parseGiven({ announce, address }: AnnounceFlags, port: number): string[] | undefined {
  if (address === undefined) return undefined;
  if (!announce) {
    throw new PkiError("usage", "cannot use --address: nothing is announced", {
      hint: "it goes with --announce; what to listen on is said with --host and --port",
    });
  }
  const given = address.split(",").map((one) => formatAddress(parseAddress(one.trim(), port)));
  const bad = given.find((one) => !isAnnounceable(one));
  if (bad !== undefined) {
    throw new PkiError("usage", `cannot announce ${JSON.stringify(bad)}: it is not in ASCII`, {
      hint: "a name with other letters begins with xn--; an address of IPv6 has no zone",
    });
  }
  if (given.length > ANNOUNCED.addressesMax) {
    throw new PkiError("usage", `cannot announce more than ${ANNOUNCED.addressesMax} addresses`, {
      hint: "name those that others are most likely to reach",
    });
  }
  return given;
}

/** @throws {PkiError} `usage`, before anybody is asked for a password */
export function checkAnnounceFlags(flags: AnnounceFlags & { readonly offline?: boolean }): void {
  parseGiven(flags, DEFAULT_PEER_PORT);
  if (flags.announce && flags.offline) {
    throw new PkiError("usage", "cannot announce with --offline: the server is not asked", {
      hint: "leave one of the two out",
    });
  }
}

export interface AnnouncingOptions {
  readonly flags: AnnounceFlags;
  readonly identity: PeerIdentity;
  readonly listening: Pick<Listening, "host" | "port">;
  readonly tell: Conversing["tell"];
  /** What others type to come here. */
  readonly command: string;
}

/**
 * Begins to announce, if that is wanted.
 * @returns takes it back, in a bounded time
 */
export function startAnnouncing(
  surroundings: Surroundings,
  { flags, identity, listening: { host, port }, tell, command }: AnnouncingOptions,
): () => Promise<void> {
  if (!flags.announce) return () => Promise.resolve();
  const { id, tls } = identity;
  const given = parseGiven(flags, port);
  const announcer = new Announcer({
    addresses: () =>
      given ?? ownHosts(host, networkInterfaces()).map((host) => formatAddress({ host, port })),
    announce: async (addresses, seconds, signal) => {
      const { context, flags } = surroundings;
      // Not the signal of the command: to take something back is what is done when that has come.
      const own = new Surroundings({ ...context, signal }, flags);
      const { openByIdentity } = await import("./sign_in.ts"); // as in finding.ts
      const { connection } = await openByIdentity(own, flags, { id, tls });
      try {
        await connection.request("ANNOUNCE", { addresses: [...addresses], seconds });
      } finally {
        connection.close();
      }
    },
    schedule: scheduleTimer,
    onAnnounced: (addresses) =>
      tell(
        { event: "announced", id, addresses },
        `announced that ${id} is at ${addresses.join(", ")}; others come with: ${command}`,
      ),
    onFailed: ({ kind, message }) =>
      tell(
        { event: "unannounced", id, kind, message },
        `not announced: ${message}; it is tried again`,
      ),
  });
  void announcer.start();
  return async () => {
    const isTakenBack = await announcer.stop(AbortSignal.timeout(LIMITS.withdrawMs));
    if (isTakenBack) tell({ event: "withdrawn", id }, "the announcement is taken back");
  };
}
