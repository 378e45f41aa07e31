/** Frames of `pki-peer/1` as somebody else's program would make them, for tests. */

import { type Bytes, concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import { type PeerEvent, PeerReceiver } from "../../lib/protocol/peer.ts";
import type { LineMode } from "../../lib/protocol/peer_messages.ts";
import { commitTo, type PeerRole } from "../../lib/protocol/safety_words.ts";

export const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i * 7);

export function frame(type: number, body: Uint8Array): Bytes {
  return encodeFrame(Uint8Array.of(type), body);
}

/** A control frame; of text as it stands. */
export function control(value: unknown): Bytes {
  return frame(1, utf8(typeof value === "string" ? value : JSON.stringify(value)));
}

/** What a HELLO of the listener says; the receiver under test is the caller's. */
export function helloFields(more: Readonly<Record<string, unknown>> = {}) {
  const commitment = encodeBase64(commitTo(NONCE, "listener"));
  return { type: "HELLO", mode: "talk", commitment, silence: 60_000, ...more };
}

export const HELLO = control(helloFields());
export const REVEAL = control({ type: "NONCE", nonce: encodeBase64(NONCE) });
export const READY = control({ type: "READY", signs: false });
export const REFUSED = control({ type: "REFUSED", code: "UNTRUSTED", message: "no" });

/** The bytes of a message. */
export function messageBytes(text: string | Uint8Array, { timeMs = 5, seen = 0 } = {}): Bytes {
  const header = new Uint8Array(16);
  new DataView(header.buffer).setBigUint64(0, BigInt(timeMs));
  new DataView(header.buffer).setBigUint64(8, BigInt(seen));
  return concatBytes(header, typeof text === "string" ? utf8(text) : text);
}

/** A text frame with one part. */
export function part(bytes: Uint8Array, { isLast = true } = {}): Bytes {
  return frame(2, concatBytes(Uint8Array.of(isLast ? 0 : 1), bytes));
}

/** A text frame with a whole message; 17 bytes and the text count. */
export function text(words: string, more: { readonly seen?: number } = {}): Bytes {
  return part(messageBytes(words, more));
}

export function data(...bytes: readonly number[]): Bytes {
  return frame(3, Uint8Array.from(bytes));
}

export function end(count: bigint | number): Bytes {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(count));
  return frame(4, body);
}

export function received(bytes: unknown): Bytes {
  return control({ type: "RECEIVED", bytes });
}

export function receiver(
  { mode = "talk", role = "caller", wait = false }: {
    readonly mode?: LineMode;
    readonly role?: PeerRole;
    readonly wait?: boolean;
  } = {},
): PeerReceiver {
  return new PeerReceiver({ mode, role, wait });
}

/** Gives a receiver these frames, and what it makes of them. */
export function feed(to: PeerReceiver, ...frames: readonly Uint8Array[]): PeerEvent[] {
  to.receive(concatBytes(...frames));
  const events: PeerEvent[] = [];
  for (let event = to.next(); event; event = to.next()) events.push(event);
  return events;
}

/** One that has read HELLO and NONCE. */
export function met(options: Parameters<typeof receiver>[0] = {}): PeerReceiver {
  const made = receiver(options);
  feed(made, HELLO, REVEAL);
  return made;
}

/** One in an open conversation. */
export function opened(
  { signs = false, ...options }: Parameters<typeof receiver>[0] & { readonly signs?: boolean } = {},
): PeerReceiver {
  const made = met(options);
  made.ready(signs);
  feed(made, control({ type: "READY", signs }));
  return made;
}

export function broke(what: string) {
  return {
    name: "PkiError",
    kind: "protocol",
    message: `the peer broke the protocol: ${what}`,
  };
}
