/** Serial numbers as people copy them from programs, and as we write them. */

import { PkiError } from "../lib/base/errors.ts";

/** A serial number, in bytes (RFC 5280, section 4.1.2.2). */
const BYTES_MAX = 20;

/**
 * The content bytes of a serial number in lower-case hex, from hex as any program shows it: upper case,
 * with colons, without a leading zero.
 * @throws {PkiError} `usage`
 */
export function parseSerial(text: string): string {
  const digits = text.trim().replace(/^0x/i, "").replaceAll(":", "").toLowerCase();
  const even = digits.length % 2 === 0 ? digits : `0${digits}`;
  // What begins with a high bit would be negative: programs leave out the byte that says it is not.
  const serial = /^[89a-f]/.test(even) ? `00${even}` : even;
  if (/^[0-9a-f]+$/.test(serial) && serial.length <= 2 * BYTES_MAX) return serial;
  throw new PkiError(
    "usage",
    `${JSON.stringify(text)} is not a serial number: up to ${BYTES_MAX} bytes in hexadecimal`,
  );
}
