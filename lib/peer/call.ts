/** Calls a peer who listens. */

import type { Address } from "../client/address.ts";
import { dial } from "../client/dial.ts";
import { shownCertificates } from "../base/tls.ts";
import { type LineMode, PEER_PROTOCOL } from "../protocol/peer.ts";
import { type PeerIdentity, startOf } from "./identity.ts";
import { Line, type LineHandlers } from "./line.ts";

/**
 * @param handle makes the handlers, with the line once it exists
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`
 */
export async function callPeer(
  address: Address,
  identity: PeerIdentity,
  { mode, status, isOffline, handle, signal }: {
    readonly mode: LineMode;
    /** The OCSP response about our certificate. */
    readonly status: Uint8Array | undefined;
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
    startOf(identity, { mode, status, isOffline, shown: shownCertificates(socket) }),
    handle(() => line),
  );
  return line;
}
