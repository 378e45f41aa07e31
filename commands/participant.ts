/**
 * Who takes part in the conversations of `listen` and `connect`: the unlocked identity, the status of
 * its certificate that peers are shown, and how a peer's status is asked for.
 */

import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { type Address, formatAddress } from "../lib/client/address.ts";
import type { ServerConnection } from "../lib/client/server_connection.ts";
import { fetchStatus } from "../lib/client/status.ts";
import { askServer } from "../lib/peer/ask_server.ts";
import {
  findIdentity,
  type LockedIdentity,
  type PeerIdentity,
  unlockIdentity,
} from "../lib/peer/identity.ts";
import type { Greeting } from "../lib/peer/greeting.ts";
import type { LineHandlers } from "../lib/peer/line.ts";
import { OwnStatus, scheduleTimer } from "../lib/peer/own_status.ts";
import type { Endorsement } from "../lib/protocol/endorsement.ts";
import { parseDuration } from "./duration.ts";
import { type GlobalFlags, type Surroundings, switchFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";

export const OFFLINE_FLAG = switchFlag("Ask no server whether a certificate was revoked");

/** @throws {PkiError} `usage` for what HELLO cannot say */
function parseSilence(text: string): number {
  const ms = parseDuration(text);
  if (ms <= LIMITS.silenceMsMax) return ms; // the shortest span is the shortest silence
  throw new PkiError("usage", `${JSON.stringify(text)} is too long: 1h at most`);
}

export const DEAD_AFTER_FLAG = {
  kind: "parsed",
  parse: parseSilence,
  optional: true,
  brief: "Take a silent peer for dead after this, 1s to 1h [60s]",
  placeholder: "TIME",
} as const;

/** What the help of both commands says about it. */
export const OFFLINE_DESCRIPTION =
  "Whether a certificate was revoked, the server says: each side asks it about its own\n" +
  "and shows the other the answer, so one side has to reach the server. With --offline\n" +
  "nobody is asked, and a peer who shows no answer is accepted with a warning.\n\n";

/** What the help of both commands says about people who were talked to before. */
export const CONTACTS_DESCRIPTION =
  "Whoever you talk to is remembered by their key: see pki contacts. With another key,\n" +
  "which the one before does not vouch for, you are asked, or they are refused.\n\n";

export interface PeerFlags extends GlobalFlags {
  readonly offline?: boolean;
  readonly deadAfter?: number;
}

export interface Participant {
  readonly identity: PeerIdentity;
  /** Whether peers are accepted whose status nobody knows. */
  readonly isOffline: boolean;
  /** The own certificate's status; without one with `--offline`. */
  readonly status: OwnStatus | undefined;
  /**
   * Resolves once the status was asked for: why that failed, if it did.
   * @throws {PkiError} `untrusted` if no peer would trust the certificate
   */
  readonly statusAsked: Promise<PkiError | undefined>;
  readonly askStatus: LineHandlers["askStatus"];
  /** What peers hear of this side first. */
  readonly greeting: () => Greeting;
}

/** What earlier keys have signed; without it peers who know one of these ask, or refuse. */
function loadEndorsements(
  surroundings: Surroundings,
  { id, leaf }: LockedIdentity,
): readonly Endorsement[] {
  try {
    return surroundings.home.files(id).endorsements.leadingTo(leaf.spki);
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    surroundings.warn(error.message, error.hint);
    return [];
  }
}

/**
 * Finds the identity, and opens its key while the server is asked for the status of its certificate:
 * neither waits for the other.
 * @throws {PkiError} `not-found`, `untrusted`, `refused` for a wrong password
 */
export async function takePart(
  surroundings: Surroundings,
  { offline: isOffline = false, deadAfter: silenceMs = LIMITS.silenceMs }: PeerFlags,
): Promise<Participant> {
  const { context, home } = surroundings;
  const { now, signal } = context;
  const id = surroundings.identity();
  const address = isOffline ? undefined : surroundings.serverAddress();
  const locked = findIdentity(home, { id, nowMs: now() });
  const { leaf, issuing } = locked;
  /** As it is known by now: whenever the server is asked, it says which issuing CAs have followed. */
  let known = locked.anchor;
  const ask = async <T>(
    address: Address,
    work: (connection: ServerConnection) => Promise<T>,
  ): Promise<T> =>
    await askServer({ address, anchor: known, now, signal }, async (connection) => {
      known = connection.anchor;
      home.remember(known, formatAddress(address));
      return await work(connection);
    });
  const status = address && new OwnStatus({
    fetch: () =>
      ask(address, (connection) => fetchStatus(connection, { leaf, issuing, nowMs: now() })),
    now,
    schedule: scheduleTimer,
  });
  const statusAsked = Promise.resolve(status?.refresh());
  statusAsked.catch(() => {}); // a wrong password comes first; who waits for this hears of it
  const endorsements = loadEndorsements(surroundings, locked);
  const opened = unlockIdentity(locked, await new Keyring(surroundings, id).keyOf(locked));
  return {
    identity: {
      ...opened,
      get anchor() {
        return known;
      },
    },
    isOffline,
    status,
    statusAsked,
    greeting: () => ({ status: status?.response, silenceMs, endorsements }),
    askStatus: async (request) => {
      if (!address) throw new PkiError("internal", "asking the server in spite of --offline");
      const { response } = await ask(
        address,
        (connection) => connection.request("STATUS", { request: encodeBase64(request) }),
      );
      return parseBase64(response);
    },
  };
}
