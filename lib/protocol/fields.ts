/** Fields that messages of more than one protocol have, as schemas, and their bounds. */

import * as v from "valibot";
import { isId } from "../x509/names.ts";

/** The last moment that a `Date` can be, in milliseconds since 1970: later times cannot be shown. */
export const TIME_MS_MAX = 8_640_000_000_000_000;
/** A signature by RSA of 8,192 bits, the longest key that is certified. */
const SIGNATURE_BYTES_MAX = 1024;

/**
 * Whether it is canonical base64 (RFC 4648, section 4) of so many bytes; characters alone do not tell
 * 31 from 33. More characters than that are not even decoded.
 */
export function isBase64(value: unknown, bytesMin: number, bytesMax: number): value is string {
  if (typeof value !== "string" || value.length > Math.ceil(bytesMax / 3) * 4) return false;
  let bytes: number;
  try {
    bytes = Uint8Array.fromBase64(value, { lastChunkHandling: "strict" }).length;
  } catch {
    return false;
  }
  // By its length there is no blank in it, which the platform passes over.
  return bytes >= bytesMin && bytes <= bytesMax && value.length === Math.ceil(bytes / 3) * 4;
}

/** See {@link isBase64}. */
export const base64 = (bytesMin: number, bytesMax: number) =>
  v.pipe(
    v.string(),
    v.check((text) => isBase64(text, bytesMin, bytesMax), "not base64 of the right length"),
  );

export const signature = () => base64(1, SIGNATURE_BYTES_MAX);

/** A user's id. */
export const id = () => v.pipe(v.string(), v.check(isId, "not a possible id"));

/** A number of things, of bytes or of milliseconds, or a place in a list. */
export const count = () => v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A serial number's content bytes in hex (RFC 5280, section 4.1.2.2). */
export const serial = () =>
  v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){1,20}$/, "not a serial number in hex"));
