/**
 * BER (X.690, section 8) made into DER, for the one format that programs still write so: PKCS #12, where
 * NSS writes lengths that are not known and strings in pieces. Whoever reads it then reads DER.
 *
 * Only these two freedoms are taken away; what is not DER for another reason is left to the reader
 * of DER, which refuses it.
 */

import { type Bytes, concatAll } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { encodeElement, TAG } from "./der.ts";

/** How deep elements may lie within each other; PKCS #12 has some 15 levels. */
const DEPTH_MAX = 32;
const CONSTRUCTED = 0x20;
const INDEFINITE = 0x80;

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read BER: ${what}`);
}

/** Whether these bytes begin with an element of a length that is not said. */
export function isIndefinite(bytes: Uint8Array): boolean {
  return bytes[1] === INDEFINITE;
}

/** One element as DER, and where the next one begins. */
interface Read {
  readonly der: Bytes;
  readonly tag: number;
  readonly content: Uint8Array;
  readonly end: number;
}

function isEndOfContents(bytes: Uint8Array, at: number, end: number): boolean {
  return at + 2 <= end && bytes[at] === 0 && bytes[at + 1] === 0;
}

/** Where the content begins and, if that is said, where it ends. */
function readLength(
  bytes: Uint8Array,
  at: number,
  end: number,
): { readonly start: number; readonly contentEnd: number | undefined } {
  const first = bytes[at];
  if (first === undefined || at >= end) throw malformed("it ends too early");
  let start = at + 1;
  if (first === INDEFINITE) return { start, contentEnd: undefined };
  let length = first;
  if (first > INDEFINITE) {
    const lengthBytes = first & 0x7f;
    if (lengthBytes > 3) throw malformed("a length of a forbidden form");
    length = 0;
    for (let i = 0; i < lengthBytes; i++) length = length << 8 | (bytes[start++] ?? 0);
  }
  if (start > end || length > end - start) throw malformed("it ends too early");
  return { start, contentEnd: start + length };
}

function readElement(bytes: Uint8Array, at: number, end: number, depth: number): Read {
  const tag = bytes[at];
  if (depth > DEPTH_MAX) throw malformed("too deep");
  if (tag === undefined || at >= end) throw malformed("it ends too early");
  if ((tag & 0x1f) === 0x1f) throw malformed("a tag of several bytes");
  const { start, contentEnd } = readLength(bytes, at + 1, end);
  if ((tag & CONSTRUCTED) === 0) {
    if (contentEnd === undefined) throw malformed("a length of a forbidden form");
    const content = bytes.subarray(start, contentEnd);
    return { der: encodeElement(tag, content), tag, content, end: contentEnd };
  }
  const members: Read[] = [];
  let next = start;
  for (;;) {
    if (contentEnd === undefined && isEndOfContents(bytes, next, end)) break;
    if (next === contentEnd) break;
    const member = readElement(bytes, next, contentEnd ?? end, depth + 1);
    members.push(member);
    next = member.end;
  }
  const isInPieces = tag === (TAG.octetString | CONSTRUCTED);
  if (isInPieces && members.some((member) => member.tag !== TAG.octetString)) {
    throw malformed("a string with pieces of another type");
  }
  const joined = isInPieces ? TAG.octetString : tag;
  const content = concatAll(members.map((member) => isInPieces ? member.content : member.der));
  return {
    der: encodeElement(joined, content),
    tag: joined,
    content,
    end: contentEnd ?? next + 2,
  };
}

/**
 * The one element that these bytes are, as DER: lengths said and in their shortest form, octet
 * strings in one piece.
 * @throws {PkiError} `malformed`
 */
export function berToDer(bytes: Uint8Array): Bytes {
  const { der, end } = readElement(bytes, 0, bytes.length, 0);
  if (end !== bytes.length) throw malformed("bytes behind the end");
  return der;
}
