/** Whatever bytes come, whatever we say meanwhile: nothing but a broken protocol, and nothing held. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { FRAME_HEADER_BYTES } from "../../lib/protocol/frame.ts";
import type { PeerEvent, PeerReceiver } from "../../lib/protocol/peer.ts";
import {
  control,
  data,
  end,
  frame,
  HELLO,
  opened,
  part,
  READY,
  received,
  receiver,
  REFUSED,
  REVEAL,
  text,
} from "./peer_frames.ts";

const HELD_MAX = FRAME_HEADER_BYTES + LIMITS.frameBytesMax + 2 * LIMITS.messageBytesMax;

/** Reads all that there is; returns whether the protocol was broken. */
function drain(made: PeerReceiver): boolean {
  try {
    while (made.next());
    return false;
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "protocol", String(error));
    return true;
  } finally {
    assert.ok(made.heldBytes <= HELD_MAX, `${made.heldBytes} bytes are held`);
  }
}

/** What our own side does, between any two chunks. */
const OWN: readonly ((made: PeerReceiver) => void)[] = [
  (made) => void made.ready(false),
  (made) => void made.ready(true),
  (made) => made.sent(3),
  (made) => made.ended(20),
  (made) => made.received(),
  (made) => made.refused(),
  (made) => void made.takeConsumedBytes(),
  () => {},
  () => {},
  () => {},
];

const json = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.record({
    type: fc.constantFrom("HELLO", "NONCE", "READY", "OFFER", "FILE", "RECEIVED", "later", ""),
    mode: fc.constantFrom("talk", "pipe", "files", "x"),
    signs: fc.boolean(),
    bytes: fc.integer(),
    file: fc.integer(),
    path: fc.array(fc.string({ unit: "binary" }), { maxLength: 3 }),
    size: fc.double(),
  }, { requiredKeys: ["type"] }),
);

const bytes: fc.Arbitrary<Bytes> = fc.uint8Array({ maxLength: 40 }).map((some) =>
  new Uint8Array(some)
);

/** Frames that are right at some time, frames that never are, and bytes that are none. */
const piece: fc.Arbitrary<Bytes> = fc.oneof(
  fc.constantFrom(
    ...[HELLO, REVEAL, READY, REFUSED, end(0), text("x"), text("y", { seen: 1 }), data(1, 2, 3)],
    ...[received(20), control({ type: "ALIVE" }), control({ type: "READY", signs: true })],
    ...[control({ type: "SIGNATURE", signature: "AAAA" })],
    ...[
      part(new Uint8Array(0), { isLast: false }),
      part(new Uint8Array(60_000), { isLast: false }),
    ],
    ...[frame(5, new Uint8Array(60_000)), frame(200, new Uint8Array(60_000))],
  ),
  json.map((value) => control(JSON.stringify(value))),
  fc.tuple(fc.integer({ min: 0, max: 255 }), bytes).map(([type, body]) => frame(type, body)),
  bytes,
);

/** A stream in chunks, with what we do between them. */
const stream = fc.record({
  isOpen: fc.boolean(),
  pieces: fc.array(piece, { maxLength: 30 }),
  flips: fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 2 }),
  sizes: fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 40 }),
  own: fc.array(fc.nat({ max: OWN.length - 1 }), { maxLength: 40 }),
});

test("PeerReceiver: any stream, cut in any way, breaks the protocol or nothing", () => {
  fc.assert(
    fc.property(stream, ({ isOpen, pieces, flips, sizes, own }) => {
      const made = isOpen ? opened({ wait: true }) : receiver({ wait: true });
      const whole = concatBytes(...pieces);
      for (const at of flips) {
        if (whole.length > 0) {
          whole[at % whole.length] = (whole[at % whole.length] ?? 0) ^ 1 << at % 8;
        }
      }
      let isBroken = false;
      for (let at = 0, i = 0; at < whole.length; i++) {
        OWN[own[i] ?? OWN.length - 1]?.(made);
        const size = sizes[i % sizes.length] ?? 1;
        made.receive(whole.slice(at, at + size));
        const breaks = drain(made);
        assert.ok(breaks || !isBroken, "what is broken stays so");
        isBroken = breaks;
        at += size;
      }
    }),
    { numRuns: 1500 },
  );
});

/** Events as they come, but bytes of a stream or a file, which come in any portions, as one. */
function addTo(events: unknown[], event: PeerEvent): void {
  const before = events.at(-1) as PeerEvent | undefined;
  const isMore = event.type === "data" && before?.type === "data" ||
    event.type === "file" && before?.type === "file" && event.file === before.file;
  if (isMore) events.pop();
  events.push(
    isMore ? { ...event, bytes: concatBytes(before.bytes, event.bytes) } : event,
  );
}

test("PeerReceiver: a stream is the same in one chunk and byte by byte", () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const whole = concatBytes(...pieces).subarray(0, 2000);
      const read = (size: number) => {
        const made = opened();
        const events: unknown[] = [];
        try {
          for (let at = 0; at < whole.length; at += size) {
            made.receive(whole.slice(at, at + size));
            for (let event = made.next(); event; event = made.next()) addTo(events, event);
          }
        } catch (error) {
          events.push(String(error));
        }
        return events;
      };
      assert.deepEqual(read(1), read(whole.length + 1));
    }),
    { numRuns: 300 },
  );
});

test("PeerReceiver holds no more than its limits of what never ends", () => {
  const endless: readonly (readonly [what: string, chunk: Bytes])[] = [
    ["a message in parts of a byte", part(Uint8Array.of(7), { isLast: false })],
    ["a message in parts of nothing", part(new Uint8Array(0), { isLast: false })],
    ["a message in large parts", part(new Uint8Array(65_000), { isLast: false })],
    ["frames to be skipped", frame(255, new Uint8Array(65_000))],
    ["controls to be skipped", control({ type: "later", padding: "x".repeat(60_000) })],
    ["deep JSON", control(`{"type":"later","deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}`)],
    ["signs of life", control({ type: "ALIVE" })],
    ["data", data(...new Uint8Array(1000))],
    [
      "a frame that never ends",
      concatBytes(Uint8Array.of(0, 1, 0, 0, 3), utf8("x".repeat(60_000))),
    ],
  ];
  for (const [what, chunk] of endless) {
    const made = opened();
    let sent = 0;
    for (let i = 0; i < 3000 && sent < 3_000_000; i++) {
      made.receive(chunk);
      sent += chunk.length;
      if (drain(made)) break;
    }
    assert.ok(made.heldBytes <= HELD_MAX, what);
  }
});
