/** What the main thread and a conversation's worker say to each other. */

import type { Bytes } from "../base/bytes.ts";
import type { PackedError } from "../base/errors.ts";
import type { PeerEvent, PeerHello } from "../protocol/peer.ts";
import type { LineMode } from "../protocol/peer_messages.ts";
import type { PeerRole } from "../protocol/safety_words.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import type { AskedStatus, PeerStatus } from "./status.ts";

/** Everything that the worker needs to judge the peer and to converse. */
export interface ConversationStart {
  readonly mode: LineMode;
  readonly role: PeerRole;
  /** Whether we wait for a peer who is busy. */
  readonly wait: boolean;
  /** Our nonce for the safety words, 32 bytes, and the DER of our certificate. */
  readonly nonce: Uint8Array;
  readonly ownDer: Uint8Array;
  /** The pinned root and its trust domain. */
  readonly rootDer: Uint8Array;
  readonly domain: string;
  /** What else is pinned: see `TrustAnchor`. */
  readonly pins: Pick<TrustAnchor, "issuers" | "revokedIssuers">;
  /** DER of our own issuing CA, for a peer that shows its leaf alone. */
  readonly issuingDer: Uint8Array;
  /** DER of what the peer showed in TLS, the leaf first. */
  readonly shown: readonly Uint8Array[];
  /** Whether we show the peer an OCSP response about our certificate. */
  readonly isStapled: boolean;
  /** Whether a peer whose status nobody knows is accepted. */
  readonly isOffline: boolean;
}

/** What the peer sent, and what we have said to it ourselves, in the order in which it was said. */
export type ToConversation =
  | { readonly type: "start"; readonly start: ConversationStart }
  | { readonly type: "bytes"; readonly bytes: Bytes }
  /** We have sent so many messages by now. */
  | { readonly type: "sent"; readonly messages: number }
  /** We have said our end, of so many bytes. */
  | { readonly type: "ended"; readonly bytes: number }
  /** We have confirmed the peer's end. */
  | { readonly type: "received" }
  /** The answer to `status-wanted`. */
  | { readonly type: "status"; readonly asked: AskedStatus }
  /** The answers to `judged`: we have said READY, or REFUSED with this reason. */
  | { readonly type: "ready"; readonly signs: boolean }
  | { readonly type: "refused"; readonly error: PackedError }
  /** The TCP connection has ended, and everything that came before that has been passed on. */
  | { readonly type: "cut" };

/** Who is at the other end, by a certificate that was judged good, and what it says of itself. */
export interface Peer extends Omit<PeerHello, "status"> {
  readonly id: string;
  /** SHA-256 of the certificate in hex. */
  readonly fingerprint: string;
  /** DER of the certificate, and of the CA that issued it. */
  readonly certificate: Uint8Array;
  readonly issuing: Uint8Array;
  readonly notAfterMs: number;
  /** How it is known that the certificate was not revoked. */
  readonly status: PeerStatus;
  /** The same on both sides, unless somebody is in between. */
  readonly words: readonly string[];
  /** Stands for this conversation in what is signed; 32 bytes. */
  readonly session: Bytes;
  /** What it was derived from beside the certificates, 32 bytes each. */
  readonly nonces: Readonly<Record<PeerRole, Uint8Array>>;
}

/** What the peer did in an open conversation, and what it said before. */
type Passed = Extract<
  PeerEvent,
  {
    readonly type:
      | "wait"
      | "open"
      | "text"
      | "delivered"
      | "file-control"
      | "peer-end"
      | "confirmed"
      | "signature";
  }
>;

export type FromConversation =
  | Passed
  /** What came of a portion of bytes, in order: so many bytes are read, and may be parts of the events. */
  | {
    readonly type: "taken";
    readonly count: number;
    readonly events: readonly FromConversation[];
  }
  /** The peer has greeted and committed itself: it may hear our nonce now. */
  | { readonly type: "greeted"; readonly silenceMs: number }
  /**
   * The certificate is good, but its status did not come with it: the server is to be asked this, DER
   * of an OCSP request.
   */
  | { readonly type: "status-wanted"; readonly request: Uint8Array }
  /** The certificate is good: whether we want to converse is decided by the main thread. */
  | { readonly type: "judged"; readonly peer: Peer }
  /** The certificate is not good: the peer will hear so if it says HELLO soon. */
  | { readonly type: "untrusted" }
  /** The peer is to hear REFUSED for this reason. */
  | { readonly type: "refusing"; readonly error: PackedError }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "file"; readonly file: number; readonly bytes: Uint8Array }
  /** Both ends were said and confirmed. */
  | { readonly type: "complete" }
  /** The peer says why it cannot go on. */
  | { readonly type: "left"; readonly error: PackedError }
  /** The answer to `cut`: that was not the end of the conversation. */
  | { readonly type: "cut" }
  /** It is over: refused by us or by the peer, or the protocol was broken. */
  | { readonly type: "failed"; readonly error: PackedError };
