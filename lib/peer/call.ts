/** Calls a peer who listens. */

import type { Address } from "../client/address.ts";
import { dial } from "../client/dial.ts";
import { shownCertificates } from "../base/tls.ts";
import { type LineMode, PEER_PROTOCOL } from "../protocol/peer_messages.ts";
import { type PeerIdentity, startOf } from "./identity.ts";
import { type Greeting, Line, type LineHandlers } from "./line.ts";

/**
 * @param handle makes the handlers, with the line once it exists
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`
 */
export async function callPeer(
  address: Address,
  identity: PeerIdentity,
  { mode, greeting, isOffline, handle, signal }: {
    readonly mode: LineMode;
    readonly greeting: Greeting;
    /** Whether a peer whose status nobody knows is accepted. */
    readonly isOffline: boolean;
    /** Ends the dialling. */
    readonly signal?: AbortSignal;
    readonly handle: (line: () => Line) => LineHandlers;
  },
): Promise<Line> {
  const socket = await dial({
    address,
    protocol: PEER_PROTOCOL,
    identity: identity.tls,
    hint: "the other side waits with: pki listen",
    signal,
  });
  const line: Line = new Line(
    socket,
    startOf(identity, { mode, role: "caller", isOffline, shown: shownCertificates(socket) }),
    greeting,
    handle(() => line),
  );
  return line;
}
