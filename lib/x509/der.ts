/**
 * DER (X.690), read strictly and written small.
 *
 * The reader is for untrusted bytes: definite lengths in their shortest form, tags of one byte,
 * nothing behind the end, every length checked against what is there before it is used. What is not
 * DER is refused, also where a lenient BER reader would understand it, so that nobody can show one
 * reader something else than another.
 */

import { type Bytes, concatBytes, copyBytes, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

/** Tags that X.509 uses; `CONTEXT` and `CONSTRUCTED` are added to a number. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

export function contextTag(number: number, constructed: boolean): number {
  return CONTEXT | (constructed ? CONSTRUCTED : 0) | number;
}

/** One element: its tag, its content, and the whole of it with tag and length. Views, no copies. */
export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly whole: Uint8Array;
}

/** Makes the views only that are asked for: engines take longer for one than for reading an element. */
class LazyElement implements Element {
  readonly tag: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #contentStart: number;
  readonly #end: number;
  #content: Uint8Array | undefined;

  constructor(bytes: Uint8Array, start: number, contentStart: number, end: number) {
    this.tag = bytes[start] ?? 0;
    this.#bytes = bytes;
    this.#start = start;
    this.#contentStart = contentStart;
    this.#end = end;
  }

  get content(): Uint8Array {
    return this.#content ??= this.#bytes.subarray(this.#contentStart, this.#end);
  }

  get whole(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read DER: ${what}`);
}

/** Walks the elements of a constructed value; all views, no copies. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  /** @param from @param end where in the bytes the value is; all of them without it */
  constructor(bytes: Uint8Array, from = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  /** The next element's tag, or `undefined` at the end. */
  peekTag(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** @throws {PkiError} `malformed` */
  read(tag?: number): Element {
    const start = this.#at;
    const contentStart = this.#step(tag);
    return new LazyElement(this.#bytes, start, contentStart, this.#at);
  }

  /** Goes behind the next element and returns where its content starts. */
  #step(tag: number | undefined): number {
    const bytes = this.#bytes;
    const start = this.#at;
    if (start + 1 >= this.#end) throw malformed("it ends too early");
    const found = bytes[start] ?? 0;
    const first = bytes[start + 1] ?? 0;
    if ((found & 0x1f) === 0x1f) throw malformed("a tag of several bytes");
    if (tag !== undefined && found !== tag) {
      throw malformed(`tag 0x${found.toString(16)} where 0x${tag.toString(16)} is due`);
    }
    let length = first;
    let at = start + 2;
    if (first > 0x7f) {
      const lengthBytes = first & 0x7f;
      if (lengthBytes === 0 || lengthBytes > 3) throw malformed("a length of a forbidden form");
      length = 0;
      for (let i = 0; i < lengthBytes; i++) {
        if (at >= this.#end) throw malformed("it ends too early");
        length = length << 8 | (bytes[at++] ?? 0);
      }
      const shortest = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
      if (lengthBytes !== shortest) throw malformed("a length that is not in its shortest form");
    }
    if (length > this.#end - at) throw malformed("it ends too early");
    this.#at = at + length;
    return at;
  }

  /** The next element if it has this tag. */
  readOptional(tag: number): Element | undefined {
    return this.peekTag() === tag ? this.read(tag) : undefined;
  }

  /** A reader of the next element's content. */
  enter(tag: number): DerReader {
    const contentStart = this.#step(tag);
    return new DerReader(this.#bytes, contentStart, this.#at);
  }

  /** @throws {PkiError} `malformed` if anything is left. */
  end(): void {
    if (!this.isAtEnd) throw malformed("bytes behind the end");
  }
}

/** Reads the one element that these bytes are, with nothing behind it. */
export function readWhole(bytes: Uint8Array, tag: number): Element {
  const reader = new DerReader(bytes);
  const element = reader.read(tag);
  reader.end();
  return element;
}

export function parseBoolean(content: Uint8Array): boolean {
  const byte = content[0];
  if (content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw malformed("a bad boolean");
  return byte === 0xff;
}

/** Content of an INTEGER in its shortest form, checked; still bytes. */
export function checkInteger(content: Uint8Array): Uint8Array {
  const [first, second] = content;
  if (first === undefined) throw malformed("an empty integer");
  if (second !== undefined && (first === 0 && second < 0x80 || first === 0xff && second >= 0x80)) {
    throw malformed("an integer that is not in its shortest form");
  }
  return content;
}

/** A small non-negative INTEGER (a version, a path length). */
export function parseSmallInteger(content: Uint8Array): number {
  checkInteger(content);
  if (content.length > 4 || (content[0] ?? 0) >= 0x80) throw malformed("an integer out of range");
  return content.reduce((sum, byte) => sum * 256 + byte, 0);
}

export function parseOid(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  let isFresh = true;
  for (const byte of content) {
    if (isFresh && byte === 0x80) throw malformed("an object identifier of a forbidden form");
    value = value * 128 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER) throw malformed("an object identifier that is too large");
    isFresh = byte < 0x80;
    if (!isFresh) continue;
    if (arcs.length === 0) {
      const top = Math.min(2, Math.floor(value / 40));
      arcs.push(top, value - top * 40);
    } else arcs.push(value);
    value = 0;
  }
  if (!isFresh || arcs.length === 0) throw malformed("an object identifier that ends too early");
  return arcs.join(".");
}

/** BIT STRING whose bits fill whole bytes (keys, signatures). */
export function parseWholeBits(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw malformed("a bit string that does not fill its bytes");
  return content.subarray(1);
}

/** BIT STRING of named bits (X.690, 11.2.2: no trailing zero bits): bit n of the result is bit n of the string. */
export function parseNamedBits(content: Uint8Array): number {
  const unused = content[0];
  const last = content[content.length - 1];
  if (unused === undefined || last === undefined || unused > 7 || content.length > 3) {
    throw malformed("a bad bit string");
  }
  if (content.length === 1) {
    if (unused !== 0) throw malformed("a bad bit string");
    return 0;
  }
  if (last % 2 ** unused !== 0 || (last >> unused) % 2 === 0) {
    throw malformed("named bits that are not in their shortest form");
  }
  let bits = 0;
  for (let bit = 0; bit < (content.length - 1) * 8; bit++) {
    if (((content[1 + (bit >> 3)] ?? 0) >> (7 - bit % 8)) & 1) bits |= 1 << bit;
  }
  return bits;
}

/** Two decimal digits; read by hand, since a list of revoked certificates has one time for each. */
function readTwoDigits(content: Uint8Array, at: number): number {
  const tens = (content[at] ?? 0) - 0x30;
  const ones = (content[at + 1] ?? 0) - 0x30;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed("a time of a forbidden form");
  return tens * 10 + ones;
}

/** The only form that RFC 5280 allows: digits down to seconds, in UTC. */
function checkTimeForm(content: Uint8Array, length: number): void {
  if (content.length !== length || content[length - 1] !== 0x5a) {
    throw malformed("a time of a forbidden form");
  }
}

const readFullYear = (content: Uint8Array): number =>
  readTwoDigits(content, 0) * 100 + readTwoDigits(content, 2);

/** Milliseconds since 1970 of a year and the ten digits from `at` on. */
function readTimeFields(year: number, content: Uint8Array, at: number): number {
  const month = readTwoDigits(content, at);
  const day = readTwoDigits(content, at + 2);
  const hour = readTwoDigits(content, at + 4);
  const minute = readTwoDigits(content, at + 6);
  const second = readTwoDigits(content, at + 8);
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(time);
  if (
    back.getUTCFullYear() !== year || // the years 0 to 99 become others
    back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || hour > 23 || minute > 59 ||
    second > 59
  ) {
    throw malformed("a time that does not exist");
  }
  return time;
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, section 4.1.2.5), as milliseconds. */
export function parseTime(element: Element): number {
  const { tag, content } = element;
  if (tag === TAG.generalizedTime) {
    checkTimeForm(content, 15);
    if (readFullYear(content) < 2050) throw malformed("a year that belongs into a UTCTime");
    return parseGeneralizedTime(element);
  }
  if (tag !== TAG.utcTime) throw malformed("a time of another type");
  checkTimeForm(content, 13);
  const year = readTwoDigits(content, 0);
  return readTimeFields((year < 50 ? 2000 : 1900) + year, content, 2);
}

/** GeneralizedTime of any year (RFC 5280, section 4.1.2.5.2), as milliseconds. */
export function parseGeneralizedTime({ tag, content }: Element): number {
  if (tag !== TAG.generalizedTime) throw malformed("a time of another type");
  checkTimeForm(content, 15);
  return readTimeFields(readFullYear(content), content, 4);
}

/**
 * Runs a parser and names in its refusals what was being read, where a shared one names less.
 * @throws {PkiError} `malformed`
 */
export function readAs<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof PkiError) || cause.kind !== "malformed") throw cause;
    const reason = cause.message.replace(/^cannot read [^:]*: /, "");
    throw new PkiError("malformed", `cannot read ${what}: ${reason}`, { cause });
  }
}

/** Orders as DER wants the members of a SET OF: by their bytes (X.690, 11.6). */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Checks that the members of a SET OF are in order, as DER wants them (X.690, 11.6). */
export function checkSetOrder(members: readonly Uint8Array[]): void {
  for (let i = 1; i < members.length; i++) {
    if (compareBytes(members[i - 1] ?? EMPTY, members[i] ?? EMPTY) > 0) {
      throw malformed("a set whose members are not in order");
    }
  }
}

const EMPTY = new Uint8Array();
/** Writes one element. */
export function encodeElement(tag: number, ...contents: readonly Uint8Array[]): Bytes {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const lengthBytes: number[] = [];
  if (length < 0x80) lengthBytes.push(length);
  else {
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) {
      lengthBytes.unshift(rest % 256);
    }
    lengthBytes.unshift(0x80 | lengthBytes.length);
  }
  return concatBytes(Uint8Array.of(tag, ...lengthBytes), ...contents);
}

export function encodeSequence(...elements: readonly Uint8Array[]): Bytes {
  return encodeElement(TAG.sequence, ...elements);
}

/** A non-negative INTEGER. */
export function encodeInteger(value: number): Bytes {
  const bytes: number[] = [];
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) {
    bytes.unshift(rest % 256);
  }
  if ((bytes[0] ?? 0) >= 0x80) bytes.unshift(0);
  return encodeElement(TAG.integer, Uint8Array.from(bytes));
}

export function encodeOid(oid: string): Bytes {
  const [top = 0, second = 0, ...rest] = oid.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [top * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift(0x80 | left % 128);
    }
    bytes.push(...groups);
  }
  return encodeElement(TAG.oid, Uint8Array.from(bytes));
}

export function encodeOctetString(bytes: Uint8Array): Bytes {
  return encodeElement(TAG.octetString, bytes);
}

export function encodeNull(): Bytes {
  return copyBytes(Uint8Array.of(TAG.null, 0));
}

export function encodeBoolean(value: boolean): Bytes {
  return encodeElement(TAG.boolean, Uint8Array.of(value ? 0xff : 0));
}

/** BIT STRING of whole bytes. */
export function encodeWholeBits(bytes: Uint8Array): Bytes {
  return encodeElement(TAG.bitString, Uint8Array.of(0), bytes);
}

/** BIT STRING of named bits, by their numbers, up to 7 (X.690, 11.2.2: no trailing zero bits). */
export function encodeNamedBits(bits: readonly number[]): Bytes {
  const last = Math.max(...bits);
  const byte = bits.reduce((sum, bit) => sum | 0x80 >> bit, 0);
  return encodeElement(TAG.bitString, Uint8Array.of(7 - last, byte));
}

/** `20261101120000`: what both types of time are made of. */
function timeDigits(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, "").replace(/[-:T]/g, "");
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, section 4.1.2.5). */
export function encodeTime(timeMs: number): Bytes {
  const digits = timeDigits(timeMs);
  if (Number(digits.slice(0, 4)) >= 2050) return encodeGeneralizedTime(timeMs);
  return encodeElement(TAG.utcTime, utf8(`${digits.slice(2)}Z`));
}

/** GeneralizedTime of any year, whole seconds (RFC 5280, section 4.1.2.5.2). */
export function encodeGeneralizedTime(timeMs: number): Bytes {
  return encodeElement(TAG.generalizedTime, utf8(`${timeDigits(timeMs)}Z`));
}
