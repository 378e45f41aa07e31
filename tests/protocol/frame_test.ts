import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeLatin1, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import {
  encodeFrame,
  encodeFrameText,
  FRAME_HEADER_BYTES,
  FrameReader,
  isOneFrame,
} from "../../lib/protocol/frame.ts";

function header(length: number): Bytes {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

/** Everything that can be read now. */
function drain(reader: FrameReader): Bytes[] {
  const bodies: Bytes[] = [];
  for (let body = reader.read(); body; body = reader.read()) bodies.push(body);
  return bodies;
}

const filled = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7 + 3);

const TRAILING = Uint8Array.of(0, 0, 0, 9, 1);

const WAYS: Readonly<Record<string, (reader: FrameReader, bytes: Bytes) => Bytes[]>> = {
  "whole": (reader, bytes) => {
    reader.push(bytes);
    return drain(reader);
  },
  "byte by byte": (reader, bytes) =>
    Array.from(bytes, (byte) => {
      reader.push(Uint8Array.of(byte));
      return drain(reader);
    }).flat(),
  "with trailing data": (reader, bytes) => {
    reader.push(concatBytes(bytes, TRAILING));
    return drain(reader);
  },
  "byte by byte, read at the end": (reader, bytes) => {
    for (const byte of bytes) reader.push(Uint8Array.of(byte));
    return drain(reader);
  },
};

test("encodeFrame() puts a big-endian length before its parts", () => {
  assert.deepEqual(
    encodeFrame(utf8("a"), new Uint8Array(0), utf8("bc")),
    Uint8Array.of(0, 0, 0, 3, 97, 98, 99),
  );
  assert.deepEqual(encodeFrame(filled(65_536)).subarray(0, 4), Uint8Array.of(0, 1, 0, 0));
});

test("encodeFrame() refuses what the other side would refuse", () => {
  for (const parts of [[], [filled(0)], [filled(65_537)], [filled(65_536), filled(1)]]) {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    assert.throws(() => encodeFrame(...parts), {
      name: "PkiError",
      kind: "internal",
      message: `cannot send a frame of ${length} bytes`,
    });
  }
});

for (const [way, feed] of Object.entries(WAYS)) {
  test(`FrameReader reads back what encodeFrame() made when fed ${way}`, () => {
    const bodies = [1, 2, 3, 4, 5, 255, 256, 257, LIMITS.frameBytesMax, 1].map(filled);
    const reader = new FrameReader();
    const stream = concatBytes(...bodies.map((body) => encodeFrame(body)));
    assert.deepEqual(feed(reader, stream), bodies);
    assert.equal(reader.bufferedBytes, way === "with trailing data" ? TRAILING.length : 0);
  });

  for (const length of [1, 65_536]) {
    test(`FrameReader accepts a length of ${length} when fed ${way}`, () => {
      const reader = new FrameReader();
      assert.deepEqual(feed(reader, concatBytes(header(length), filled(length))), [filled(length)]);
    });
  }

  for (const length of [0, 65_537, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
    test(`FrameReader refuses a length of ${length} when fed ${way}, and reads nothing more`, () => {
      const refusal = {
        name: "PkiError",
        kind: "protocol",
        message: `cannot read frame: its length is ${length}, 1 to 65536 allowed`,
      };
      const reader = new FrameReader();
      assert.deepEqual(WAYS["whole"]?.(reader, encodeFrame(utf8("good"))), [utf8("good")]);
      assert.throws(() => feed(reader, header(length)), refusal);
      assert.equal(reader.bufferedBytes, 0);
      reader.push(encodeFrame(utf8("good again")));
      assert.throws(() => reader.read(), refusal);
      assert.equal(reader.bufferedBytes, 0, "bytes behind a bad length are kept");
    });
  }
}

test("FrameReader judges a length before the body comes", () => {
  const reader = new FrameReader();
  reader.push(header(65_537).subarray(0, 3));
  assert.equal(reader.read(), undefined);
  reader.push(header(65_537).subarray(3));
  assert.throws(() => reader.read(), { kind: "protocol" });
});

test("FrameReader returns good frames before it refuses a bad one behind them", () => {
  const reader = new FrameReader();
  reader.push(concatBytes(encodeFrame(utf8("1")), encodeFrame(utf8("2")), header(0)));
  assert.deepEqual(reader.read(), utf8("1"));
  assert.deepEqual(reader.read(), utf8("2"));
  assert.throws(() => reader.read(), { kind: "protocol" });
});

test("FrameReader waits at every truncation of a frame and then reads it", () => {
  const body = filled(20);
  const frame = encodeFrame(body);
  for (let cut = 0; cut < frame.length; cut++) {
    const reader = new FrameReader();
    reader.push(frame.subarray(0, cut));
    assert.equal(reader.read(), undefined, `cut at ${cut}`);
    assert.equal(reader.bufferedBytes, cut);
    reader.push(frame.subarray(cut));
    assert.deepEqual(reader.read(), body, `cut at ${cut}`);
    assert.equal(reader.bufferedBytes, 0);
  }
});

test("FrameReader returns bodies that own their memory", () => {
  const reader = new FrameReader();
  const frame = encodeFrame(utf8("own"));
  reader.push(frame);
  const body = reader.read();
  frame.fill(0);
  assert.deepEqual(body, utf8("own"));
  assert.equal(body?.buffer.byteLength, 3);
});

/** A stream in pieces: the cuts are positions in it, in any order and more than once. */
function cutAt(stream: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const bounds = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length]
    .sort((a, b) => a - b);
  return bounds.slice(1).map((bound, i) => stream.subarray(bounds[i], bound));
}

const bodiesArbitrary = fc.array(
  fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 40 }),
    fc.integer({ min: 1, max: 3000 }).map((length) => filled(length)),
  ),
  { maxLength: 12 },
);

test("FrameReader reads the same frames from any portions", () => {
  fc.assert(
    fc.property(bodiesArbitrary, fc.array(fc.nat(40_000), { maxLength: 60 }), (bodies, cuts) => {
      const reader = new FrameReader();
      const stream = concatBytes(...bodies.map((body) => encodeFrame(body)));
      const read = cutAt(stream, cuts).flatMap((chunk) => {
        reader.push(chunk);
        return drain(reader);
      });
      assert.deepEqual(read, bodies.map((body) => new Uint8Array(body)));
      assert.equal(reader.bufferedBytes, 0);
    }),
    { seed: 20_260_731, numRuns: 300 },
  );
});

test("FrameReader with one flipped bit gives the same frames before it and never more bytes", () => {
  fc.assert(
    fc.property(bodiesArbitrary, fc.nat(), fc.array(fc.nat(40_000)), (bodies, at, cuts) => {
      const stream = concatBytes(...bodies.map((body) => encodeFrame(body)));
      if (stream.length === 0) return;
      const bit = at % (stream.length * 8);
      stream[bit >> 3] = (stream[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const reader = new FrameReader();
      const read: Bytes[] = [];
      try {
        for (const chunk of cutAt(stream, cuts)) {
          reader.push(chunk);
          for (let body = reader.read(); body; body = reader.read()) read.push(body);
        }
      } catch (error) {
        assert.equal((error as { kind?: unknown }).kind, "protocol");
      }
      let before = 0;
      let end = 0;
      for (const body of bodies) {
        end += FRAME_HEADER_BYTES + body.length;
        if (end > bit >> 3) break;
        before += 1;
      }
      assert.deepEqual(
        read.slice(0, before),
        bodies.slice(0, before).map((body) => new Uint8Array(body)),
      );
      const readBytes = read.reduce((sum, body) => sum + FRAME_HEADER_BYTES + body.length, 0);
      assert.ok(readBytes + reader.bufferedBytes <= stream.length);
    }),
    { seed: 20_260_731, numRuns: 300 },
  );
});

/** Frames of type 3 in pieces, the others whole; what is in a frame of type 3 as one. */
function readInPieces(reader: FrameReader, into: number[][]): void {
  for (;;) {
    if (reader.isWithin) {
      const piece = reader.readPiece();
      if (!piece) return;
      into.at(-1)?.push(...piece);
    } else {
      const head = reader.begin((type) => type === 3 ? 2 : undefined);
      const whole = head ?? reader.read();
      if (!whole) return;
      into.push([...whole]);
    }
  }
}

test("FrameReader reads some frames in pieces and others whole, however they are cut", () => {
  const body = fc.tuple(fc.constantFrom(1, 3), fc.uint8Array({ maxLength: 40 }));
  const portions = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(fc.array(body, { maxLength: 8 }), portions, fc.boolean(), (bodies, sizes, goes) => {
      const frames = bodies.map(([type, bytes]) => Uint8Array.of(type, ...bytes));
      const stream = concatBytes(...frames.map((frame) => encodeFrame(frame)));
      const reader = new FrameReader();
      const read: number[][] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const portion = stream.slice(at, at + (sizes[i % sizes.length] ?? 1));
        reader.push(portion);
        readInPieces(reader, read);
        if (goes) {
          reader.letGo();
          portion.fill(0); // it belongs to somebody else now
        }
        at += portion.length;
      }
      assert.deepEqual(read, frames.map((frame) => [...frame]));
      assert.equal(reader.bufferedBytes, 0);
    }),
    { numRuns: 500 },
  );
});

test("FrameReader gives pieces as they were pushed, without a copy", () => {
  const reader = new FrameReader();
  const pushed = encodeFrame(Uint8Array.of(3, 7, 8, 9));
  reader.push(pushed.subarray(0, 7));
  assert.deepEqual(reader.begin(() => 1), Uint8Array.of(3));
  const piece = reader.readPiece();
  assert.deepEqual([...piece ?? []], [7, 8]);
  assert.equal(piece?.buffer, pushed.buffer);
  assert.equal(reader.readPiece(), undefined, "until more comes");
  assert.throws(() => reader.read(), { kind: "internal" }, "nothing else can be read meanwhile");
  reader.push(pushed.subarray(7));
  assert.deepEqual([...reader.readPiece() ?? []], [9]);
  assert.equal(reader.isWithin, false);
});

test("FrameReader begins no frame with a bad length, and none that is too short", () => {
  const reader = new FrameReader();
  reader.push(concatBytes(encodeFrame(Uint8Array.of(3)), header(65_537)));
  assert.equal(reader.begin(() => 2), undefined);
  assert.deepEqual(reader.read(), Uint8Array.of(3));
  assert.throws(() => reader.begin(() => 1), { kind: "protocol" });
});

test("encodeFrameText() makes in Latin-1 what encodeFrame() makes, whatever the characters", () => {
  for (
    const text of [
      "x",
      "{}",
      "\u00e9\u{1f512}",
      "\x7f",
      "\x80",
      "a".repeat(300),
      "a".repeat(65_536),
    ]
  ) {
    const frame = encodeFrameText(text);
    assert.equal(frame, encodeLatin1(encodeFrame(utf8(text))));
    assert.equal(isOneFrame(frame), true);
  }
  for (const text of ["", "a".repeat(65_537), "\u00e9".repeat(32_769)]) {
    assert.throws(() => encodeFrameText(text), { name: "PkiError", kind: "internal" });
  }
});

test("isOneFrame() is true for a frame with nothing before it or behind it, and for nothing else", () => {
  for (const length of [1, 255, 256, 65_535, 65_536]) {
    const frame = encodeLatin1(concatBytes(header(length), new Uint8Array(length)));
    assert.equal(isOneFrame(frame), true, `${length}`);
    for (const other of [frame.slice(0, -1), frame.slice(1), `${frame}x`]) {
      assert.equal(isOneFrame(other), false, `${length}`);
    }
  }
  for (const length of [0, 65_537]) {
    assert.equal(
      isOneFrame(encodeLatin1(concatBytes(header(length), new Uint8Array(length)))),
      false,
    );
  }
  assert.equal(isOneFrame(`\u0101\0\0\x01x`), false);
  assert.equal(isOneFrame(""), false);
});
