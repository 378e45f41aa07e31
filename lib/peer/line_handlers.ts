/** What happens on a line, as those are told who converse; the line itself is in `line.ts`. */

import type { Bytes } from "../base/bytes.ts";
import type { FileControl, WaitReason } from "../protocol/peer_messages.ts";
import type { Message } from "../protocol/peer_text.ts";
import type { Peer } from "./ports.ts";

/** What our side says with READY. */
export interface Admission {
  /** Whether we sign a transcript at the end. */
  readonly signs?: boolean;
}

/** A message, the n-th of its sender; `bytes` are what it is in a transcript. */
export interface NumberedMessage extends Message {
  readonly number: number;
  readonly bytes: Bytes;
}

/** What one side of a conversation knows of how much arrived, in bytes of text, data and files. */
export interface Amounts {
  readonly sentBytes: number;
  /** Whether the peer has said that it has all of that. */
  readonly isConfirmed: boolean;
  /** What is where it belongs. */
  readonly receivedBytes: number;
}

export interface LineHandlers {
  /**
   * Asks the server for the status of the peer's certificate, which did not come with it, within a
   * bounded time. DER of an OCSP request, and of the response, which is judged elsewhere.
   */
  readonly askStatus: (request: Uint8Array) => Promise<Uint8Array>;
  /**
   * The peer's certificate is good: do we want to converse? Throws a {@link PkiError} to turn the peer
   * away with its message. May take its time: `sayWait()` of the line tells the peer why.
   */
  readonly admit: (peer: Peer) => void | Admission | Promise<void | Admission>;
  /** The peer cannot say yet whether it is ready: it asks its user, or talks to somebody else. */
  readonly onWait?: (reason: WaitReason) => void;
  /** Both sides are ready. `signs`: both sign a transcript at the end. */
  readonly onOpen: (peer: Peer, opening: { readonly signs: boolean }) => void;
  /** Returns when it can take more. */
  readonly onText: (message: NumberedMessage) => void | Promise<void>;
  /** The peer has our first so many messages. */
  readonly onDelivered?: (messages: number) => void;
  /** Returns when it can take more. */
  readonly onData: (bytes: Uint8Array) => void | Promise<void>;
  /** What the peer says about files, its own or ours; returns when it can take more. */
  readonly onFileControl?: (control: FileControl) => void | Promise<void>;
  /** A piece of the file of this number; returns when it can take more. */
  readonly onFile?: (file: number, bytes: Uint8Array) => void | Promise<void>;
  /** The peer sends nothing more; resolves once all of it is where it belongs. */
  readonly onPeerEnd: () => void | Promise<void>;
  /** We have sent a message, or said something about files. */
  readonly onSent?: (sent: NumberedMessage | FileControl) => void;
  /** Both ends were said and a transcript is to be signed: our signature. */
  readonly sign?: () => Bytes | Promise<Bytes>;
  /** The peer's signature of the transcript; throws if it does not fit. */
  readonly onSignature?: (signature: Bytes) => void | Promise<void>;
}
