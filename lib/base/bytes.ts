// deno-lint-ignore-file no-node-globals
/**
 * Bytes to text and back, and the few things that the platform's `Uint8Array` lacks.
 *
 * `Buffer` is the global one: whoever imports `node:buffer` has a connection's worker, which is started
 * for each, load a module that a short visit does not need.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { PkiError } from "./errors.ts";

/** Bytes that own their memory; never a view of shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/**
 * Reads UTF-8 strictly (RFC 3629): no replacement characters, a byte order mark is kept.
 * @throws {PkiError} `malformed`
 */
export function parseUtf8(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new PkiError("malformed", "cannot read text: it is not UTF-8", { cause });
  }
}

export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  return concatAll(parts);
}

/** As above, for more parts than a function takes arguments. */
export function concatAll(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A copy with memory of its own, safe to transfer to another thread. */
export function copyBytes(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}

/**
 * Bytes with memory of their own, to be transferred to another thread: these, which must not be used
 * any more, or a copy if they are a part of something larger.
 */
export function ownBytes(bytes: Uint8Array): Bytes {
  const { buffer, byteLength } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
    ? new Uint8Array(buffer)
    : copyBytes(bytes);
}

export function isEqualBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/**
 * Reads hex: whole bytes, lower case.
 * @throws {PkiError} `malformed`
 */
export function parseHex(text: string): Bytes {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) {
    throw new PkiError(
      "malformed",
      "cannot read hex: it is not pairs of the digits 0 to 9, a to f",
    );
  }
  return copyBytes(Buffer.from(text, "hex"));
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/**
 * Reads base64 strictly (RFC 4648, section 4): padded, nothing but the alphabet, zero spare bits.
 * @throws {PkiError} `malformed`
 */
export function parseBase64(text: string): Bytes {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) {
    throw new PkiError("malformed", "cannot read base64: it is not in canonical form");
  }
  return copyBytes(bytes);
}

/**
 * Bytes as a string of one character each (Latin-1). Between threads a string costs a quarter of what
 * an array of bytes does, copied or handed over.
 */
export function encodeLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** The bytes of what {@link encodeLatin1} made. */
export function parseLatin1(text: string): Bytes {
  const bytes = new Uint8Array(text.length);
  Buffer.from(bytes.buffer).write(text, "latin1");
  return bytes;
}

/**
 * Whether UTF-8 and Latin-1 of a text are the same. By encoding it: an engine that has just started, as
 * in each connection's worker, takes longer to compile a pattern.
 */
export function isAscii(text: string): boolean {
  return encoder.encode(text).length === text.length;
}

export function sha256(...parts: readonly Uint8Array[]): Bytes {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return copyBytes(hash.digest());
}
