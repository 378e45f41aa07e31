/** What this side says of itself first. */

import { type Bytes, encodeBase64 } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import { type Endorsement, endorsementToJson } from "../protocol/endorsement.ts";
import type { PeerSender } from "../protocol/peer_sender.ts";
import { commitTo } from "../protocol/safety_words.ts";
import type { ConversationStart } from "./ports.ts";

/** Of what the worker starts with, what the line does not make itself. */
export type LineStart = Omit<ConversationStart, "nonce" | "wait" | "isStapled">;

/** What this side says of itself in its HELLO, beside its mode. */
export interface Greeting {
  /** An OCSP response about our certificate. */
  readonly status?: Uint8Array | undefined;
  /** After so many milliseconds of silence we take the peer for dead. */
  readonly silenceMs?: number;
  /** We wait for a peer who is busy. */
  readonly wait?: boolean;
  /** We keep a transcript, and would have it signed. */
  readonly transcript?: boolean;
  readonly endorsements?: readonly Endorsement[];
}

/** Our HELLO. */
export function greet(
  sender: PeerSender,
  { start: { mode, role }, greeting, nonce }: {
    readonly start: Pick<ConversationStart, "mode" | "role">;
    readonly greeting: Greeting;
    readonly nonce: Uint8Array;
  },
): Bytes {
  const { status, silenceMs = LIMITS.silenceMs, wait, transcript, endorsements } = greeting;
  return sender.greet({
    mode,
    commitment: encodeBase64(commitTo(nonce, role)),
    silence: silenceMs,
    ...(status ? { status: encodeBase64(status) } : {}),
    ...(wait ? { wait } : {}),
    ...(transcript ? { transcript } : {}),
    ...(endorsements?.length ? { endorsements: endorsements.map(endorsementToJson) } : {}),
  });
}
