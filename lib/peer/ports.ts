/** What the main thread and a conversation's worker say to each other. */

import type { PackedError } from "../base/errors.ts";
import type { LineMode } from "../protocol/peer.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import type { AskedStatus, PeerStatus } from "./status.ts";

/** Everything that the worker needs to judge the peer and to converse. */
export interface ConversationStart {
  readonly mode: LineMode;
  /** The pinned root and its trust domain. */
  readonly rootDer: Uint8Array;
  readonly domain: string;
  /** What else is pinned: see `TrustAnchor`. */
  readonly pins: Pick<TrustAnchor, "issuers" | "revokedIssuers">;
  /** DER of our own issuing CA, for a peer that shows its leaf alone. */
  readonly issuingDer: Uint8Array;
  /** DER of what the peer showed in TLS, the leaf first. */
  readonly shown: readonly Uint8Array[];
  /** The OCSP response about our own certificate that we show the peer, if we have one. */
  readonly status: Uint8Array | undefined;
  /** Whether a peer whose status nobody knows is accepted. */
  readonly isOffline: boolean;
}

export type ToConversation =
  | { readonly type: "start"; readonly start: ConversationStart }
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  | { readonly type: "text"; readonly line: string }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "end" }
  /** The answer to `status-wanted`. */
  | { readonly type: "status"; readonly asked: AskedStatus }
  /** The answer to `judged`: converse, or turn away with these words. */
  | { readonly type: "admit" }
  | { readonly type: "turn-away"; readonly error: PackedError }
  /** Everything up to the peer's end has been written where it belongs. */
  | { readonly type: "delivered" }
  /** The TCP connection has ended, and everything that came before that has been passed on. */
  | { readonly type: "cut" };

/** Who is at the other end, by a certificate that was judged good. */
export interface Peer {
  readonly id: string;
  /** SHA-256 of the certificate in hex. */
  readonly fingerprint: string;
  readonly notAfterMs: number;
  readonly mode: LineMode;
  /** How it is known that the certificate was not revoked. */
  readonly status: PeerStatus;
}

export type FromConversation =
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  | { readonly type: "taken"; readonly count: number }
  /**
   * The certificate is good, but its status did not come with it: the server is to be asked this, DER
   * of an OCSP request.
   */
  | { readonly type: "status-wanted"; readonly request: Uint8Array }
  /** The certificate is good: whether we want to converse is decided by the main thread. */
  | { readonly type: "judged"; readonly peer: Peer }
  /** The certificate is not good: the peer will hear so if it says HELLO soon. */
  | { readonly type: "untrusted" }
  /** Both sides are ready. */
  | { readonly type: "open" }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "peer-end" }
  /** Both ends were said and confirmed. */
  | { readonly type: "complete" }
  /** The answer to `cut`: that was not the end of the conversation. */
  | { readonly type: "cut" }
  /** It is over: refused by us or by the peer, or the protocol was broken. */
  | { readonly type: "failed"; readonly error: PackedError };
