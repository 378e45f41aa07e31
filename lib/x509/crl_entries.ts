/**
 * Many entries of a revocation list in one buffer: what `encodeCrlEntry` writes one by one, for a
 * server whose list has a hundred thousand of them.
 */

import type { Bytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { ENTRY_EXTENSIONS } from "./crl_entry.ts";
import { encodeTime, TAG } from "./der.ts";
import type { RevocationReason } from "./revocation_reason.ts";

/** A serial number, in bytes (RFC 5280, section 4.1.2.2). */
const SERIAL_BYTES_MAX = 20;
/** Header, serial number, GeneralizedTime, the extension of a reason. */
const ENTRY_BYTES_MAX = 2 + 2 + SERIAL_BYTES_MAX + 17 +
  Math.max(...Object.values(ENTRY_EXTENSIONS).map(({ length }) => length));

export interface EntryToEncode {
  /** Content bytes in hex, 1 to 20 of them. */
  readonly serial: string;
  readonly revokedMs: number;
  readonly reason: RevocationReason;
}

const NO_DIGIT = 0xff;
/** What each character code is worth as a hexadecimal digit. */
const DIGITS = new Uint8Array(128).fill(NO_DIGIT);
"0123456789abcdef".split("").forEach((digit, value) => {
  DIGITS[digit.charCodeAt(0)] = value;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
});

function digitAt(text: string, at: number): number {
  const value = DIGITS[text.charCodeAt(at)] ?? NO_DIGIT;
  if (value === NO_DIGIT) throw malformed();
  return value;
}

function malformed(): PkiError {
  return new PkiError("malformed", "cannot encode CRL entry: the serial number is not hex");
}

/**
 * Entries, one behind the other.
 * @throws {PkiError} `malformed` for a serial number that is none
 */
export function encodeCrlEntries(entries: readonly EntryToEncode[]): Bytes {
  const bytes = new Uint8Array(entries.length * ENTRY_BYTES_MAX);
  let at = 0;
  // Many were revoked in the same second.
  let second = NaN;
  let time: Uint8Array = new Uint8Array();
  for (const { serial, revokedMs, reason } of entries) {
    const count = serial.length / 2;
    if (!Number.isInteger(count) || count < 1 || count > SERIAL_BYTES_MAX) throw malformed();
    const ownSecond = Math.floor(revokedMs / 1000);
    if (ownSecond !== second) {
      second = ownSecond;
      time = encodeTime(revokedMs);
    }
    const extensions = ENTRY_EXTENSIONS[reason];
    bytes[at++] = TAG.sequence;
    bytes[at++] = 2 + count + time.length + extensions.length; // below 128: a length of one byte
    bytes[at++] = TAG.integer;
    bytes[at++] = count;
    for (let i = 0; i < count; i++) {
      bytes[at++] = digitAt(serial, 2 * i) << 4 | digitAt(serial, 2 * i + 1);
    }
    bytes.set(time, at);
    at += time.length;
    bytes.set(extensions, at);
    at += extensions.length;
  }
  return bytes.slice(0, at);
}
