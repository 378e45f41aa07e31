/** Calls a peer who listens, at one of the addresses where it may be. */

import { shownCertificates } from "../base/tls.ts";
import { type ErrorKind, PkiError } from "../base/errors.ts";
import { type Address, formatAddress } from "../client/address.ts";
import { dialAny } from "../client/dial.ts";
import { type LineMode, PEER_PROTOCOL } from "../protocol/peer_messages.ts";
import { type PeerIdentity, startOf } from "./identity.ts";
import type { Greeting } from "./greeting.ts";
import { Line, type LineHandlers } from "./line.ts";

/** Where somebody may be. */
export interface Destination {
  /** In order of preference; at least one. */
  readonly addresses: readonly Address[];
  /** Who must answer; `undefined` if anybody may. */
  readonly expected: string | undefined;
  /** Who or what is called, in words of an error. */
  readonly whom: string;
  /** What to do where nobody answers. */
  readonly hint: string;
}

export interface CallOptions {
  readonly mode: LineMode;
  /** What the peer hears of us. */
  readonly greeting: Greeting;
  /** Whether a peer whose status nobody knows is accepted. */
  readonly isOffline: boolean;
  /** Ends the dialling. */
  readonly signal?: AbortSignal;
  /**
   * Makes the handlers of a line, with the line once it exists, and for the address that took the call.
   * `admit` is asked only for whoever is expected.
   */
  readonly handle: (line: () => Line, where: Address) => LineHandlers;
}

/** How a line fails that leads to a stranger, or to nobody who answers: addresses get new owners. */
const STRANGER_KINDS: readonly ErrorKind[] = ["untrusted", "protocol", "timeout", "truncated"];

/**
 * Calls until whoever is expected answers: where somebody else does, the next address is tried.
 * Resolves when it is known who answers, or that nobody does who can be talked to; `line.over` says so.
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`; `untrusted` if only somebody else answers
 */
export async function callPeer(
  destination: Destination,
  identity: PeerIdentity,
  options: CallOptions,
): Promise<Line> {
  const others: string[] = [];
  for (let left = destination.addresses;;) {
    const { socket, address } = await dialAny({
      addresses: left,
      whom: destination.whom,
      protocol: PEER_PROTOCOL,
      identity: identity.tls,
      hint: destination.hint,
      signal: options.signal,
    }).catch((error) => {
      const isOther = others.length > 0 && !options.signal?.aborted;
      throw isOther ? wrongPeer(destination, others) : error;
    });
    const { mode, greeting, isOffline } = options;
    const handlers = options.handle(() => line, address);
    const known = Promise.withResolvers<void>();
    let other: string | undefined;
    const line: Line = new Line(
      socket,
      startOf(identity, { mode, role: "caller", isOffline, shown: shownCertificates(socket) }),
      greeting,
      {
        ...handlers,
        admit: async (peer) => {
          if (destination.expected !== undefined && peer.id !== destination.expected) {
            other = `"${peer.id}" answers at ${formatAddress(address)}`;
            // Whom we look for is no business of whoever else is there.
            throw new PkiError("untrusted", "somebody else is called here");
          }
          known.resolve();
          return await handlers.admit(peer);
        },
      },
    );
    const onAbort = () => line.destroy(new PkiError("interrupted", "interrupted"));
    options.signal?.addEventListener("abort", onAbort);
    if (options.signal?.aborted) onAbort();
    const failure = await Promise.race([known.promise, line.over]).catch((error: PkiError) =>
      error
    );
    options.signal?.removeEventListener("abort", onAbort);
    left = left.filter((one) => one !== address);
    if (failure && left.length > 0 && STRANGER_KINDS.includes(failure.kind)) {
      other ??= `somebody unknown answers at ${formatAddress(address)}`;
    }
    if (other === undefined) return line; // whoever has it hears why it failed
    others.push(other);
    if (left.length === 0) throw wrongPeer(destination, others);
  }
}

function wrongPeer({ expected }: Destination, others: readonly string[]): PkiError {
  return new PkiError("untrusted", `${others.join(", ")}, not "${expected}"`, {
    hint: `ask "${expected}" for the address, or call whoever answers there by that name`,
  });
}
