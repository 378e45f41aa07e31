/**
 * Entries of certificate revocation lists (RFC 5280, section 5.3), read strictly and written. There
 * are a hundred thousand of them in a list, so reading the usual form is made fast.
 */

import { type Bytes, encodeHex, parseHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  checkInteger,
  DerReader,
  encodeElement,
  encodeSequence,
  encodeTime,
  parseGeneralizedTime,
  parseTime,
  readWhole,
  TAG,
} from "./der.ts";
import { encodeExtension } from "./encode.ts";
import { parseExtensions } from "./extensions.ts";
import {
  encodeReason,
  parseReason,
  REASON_OF_CODE,
  REASONS,
  type RevocationReason,
} from "./revocation_reason.ts";

/** Extensions of entries (RFC 5280, section 5.3). */
const OID = {
  reasonCode: "2.5.29.21",
  invalidityDate: "2.5.29.24",
  certificateIssuer: "2.5.29.29",
} as const;

const UNDERSTOOD = new Set<string>([OID.reasonCode, OID.invalidityDate]);

export interface Revocation {
  /** Milliseconds since 1970. */
  readonly revokedMs: number;
  /** `unspecified` where none is given. */
  readonly reason: RevocationReason;
  /** Since when the key is thought not to be its owner's alone, if that is said. */
  readonly invalidityMs?: number;
}

export interface CrlEntry extends Revocation {
  /** Content bytes in hex, as `Certificate.serial`. */
  readonly serial: string;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read CRL: ${what}`);
}

function parseEntryExtensions(reader: DerReader): Omit<Revocation, "revokedMs"> {
  if (reader.isAtEnd) throw malformed("an empty list of extensions");
  const extensions = parseExtensions(reader);
  for (const { oid, critical } of extensions.values()) {
    if (oid === OID.certificateIssuer) {
      throw malformed("an indirect list, with certificates of several issuers");
    }
    if (critical && !UNDERSTOOD.has(oid)) {
      throw malformed(`the unknown critical extension ${oid} of an entry`);
    }
  }
  const reason = extensions.get(OID.reasonCode);
  const invalidity = extensions.get(OID.invalidityDate);
  return {
    reason: reason ? parseReason(reason.value) : "unspecified",
    // Always GeneralizedTime, whatever the year (RFC 5280, section 5.3.2).
    ...(invalidity
      ? { invalidityMs: parseGeneralizedTime(readWhole(invalidity.value, TAG.generalizedTime)) }
      : {}),
  };
}

/**
 * The reason, if these extensions are exactly what is written here for one: they mostly are, and are
 * recognized ten times faster than they are read.
 */
function reasonAlone(extensions: Uint8Array): RevocationReason | undefined {
  const reason = REASON_OF_CODE.get(extensions[extensions.length - 1] ?? -1);
  const own = reason && ENTRY_EXTENSIONS[reason];
  if (!own || own.length !== extensions.length) return undefined;
  return own.every((byte, i) => byte === extensions[i]) ? reason : undefined;
}

/**
 * Content of one entry.
 * @throws {PkiError} `malformed`
 */
export function parseEntry(content: Uint8Array): CrlEntry {
  const reader = new DerReader(content);
  const serial = encodeHex(checkInteger(reader.read(TAG.integer).content));
  const revokedMs = parseTime(reader.read());
  if (reader.isAtEnd) return { serial, revokedMs, reason: "unspecified" };
  const { whole, content: list } = reader.read(TAG.sequence);
  reader.end();
  const reason = reasonAlone(whole);
  if (reason) return { serial, revokedMs, reason };
  return { serial, revokedMs, ...parseEntryExtensions(new DerReader(list)) };
}

/**
 * One entry of the list (RFC 5280, section 5.3). A reason of `unspecified` is left out, as section
 * 5.3.1 wants.
 * @param entry.serial content bytes of the serial number, or these in hex
 * @throws {PkiError} `malformed` for hex that is none
 */
export function encodeCrlEntry(
  { serial, revokedMs, reason }: {
    readonly serial: Uint8Array | string;
    readonly revokedMs: number;
    readonly reason: RevocationReason;
  },
): Bytes {
  return encodeSequence(
    encodeElement(TAG.integer, typeof serial === "string" ? parseHex(serial) : serial),
    encodeTime(revokedMs),
    ENTRY_EXTENSIONS[reason],
  );
}

/** The extensions of an entry by its reason: there are only so many. */
export const ENTRY_EXTENSIONS = Object.fromEntries(REASONS.map((reason) => {
  const extensions = encodeSequence(
    encodeExtension(OID.reasonCode, false, encodeReason(reason)),
  );
  return [reason, reason === "unspecified" ? new Uint8Array() : extensions];
})) as Readonly<Record<RevocationReason, Bytes>>;
