/**
 * Distinguished names (RFC 5280, section 4.1.2.4): read into attributes, and compared as section 7.1
 * asks. Deciding what a name may do is for `name_constraints.ts`.
 */

import { encodeHex, isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { DerReader, type Element, parseOid, readWhole, TAG } from "./der.ts";

const COMMON_NAME = "2.5.4.3";
const EMAIL_ADDRESS = "1.2.840.113549.1.9.1";

/** One attribute of a name. */
export interface NameAttribute {
  readonly oid: string;
  /** Its text where it is UTF-8 or a subset of that; the older character sets are not read. */
  readonly text: string | undefined;
  readonly value: Element;
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read certificate: ${what}`);
}

function parseText({ tag, content }: Element): string | undefined {
  if (tag !== TAG.utf8String && tag !== TAG.printableString && tag !== TAG.ia5String) {
    return undefined;
  }
  try {
    return strictDecoder.decode(content);
  } catch {
    return undefined; // who needs the text refuses it
  }
}

/**
 * Reads DER of a Name: its relative names in order, each of one attribute or several.
 * @throws {PkiError} `malformed`
 */
export function parseName(der: Uint8Array): readonly (readonly NameAttribute[])[] {
  const reader = new DerReader(readWhole(der, TAG.sequence).content);
  const relativeNames: NameAttribute[][] = [];
  while (!reader.isAtEnd) {
    const set = reader.enter(TAG.set);
    const attributes: NameAttribute[] = [];
    while (!set.isAtEnd) {
      const attribute = set.enter(TAG.sequence);
      const oid = parseOid(attribute.read(TAG.oid).content);
      const value = attribute.read();
      attribute.end();
      attributes.push({ oid, text: parseText(value), value });
    }
    if (attributes.length === 0) throw malformed("a part of a name without attributes");
    relativeNames.push(attributes);
  }
  return relativeNames;
}

/** The common names in a Name; those in other character sets than UTF-8 and its subsets are refused. */
export function parseCommonNames(name: Uint8Array): readonly string[] {
  return parseName(name).flat().filter(({ oid }) => oid === COMMON_NAME).map(({ text, value }) => {
    if (text !== undefined) return text;
    throw malformed(
      value.tag === TAG.utf8String || value.tag === TAG.printableString ||
        value.tag === TAG.ia5String
        ? "a common name that is not UTF-8"
        : "a common name of an odd type",
    );
  });
}

/** The e-mail addresses that old certificates carry in their subject (RFC 5280, section 4.1.2.6). */
export function parseSubjectEmails(name: Uint8Array): readonly string[] {
  return parseName(name).flat().flatMap(({ oid, text }) =>
    oid === EMAIL_ADDRESS ? [text ?? ""] : []
  );
}

export function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2;
}

/** Case, width and runs of spaces do not tell names apart (RFC 4518, as section 7.1 uses it). */
function fold(text: string): string {
  if (/^[!-~]+(?: [!-~]+)*$/.test(text)) return text.toLowerCase(); // the same, without the work
  return text.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim();
}

function attributeKey({ oid, text, value }: NameAttribute): string {
  const what = text === undefined ? `#${value.tag}:${encodeHex(value.content)}` : `=${fold(text)}`;
  return JSON.stringify(oid + what);
}

/**
 * One key for each relative name, equal exactly where section 7.1 calls them equal: texts without
 * regard to case, spaces and character set, other values by their bytes, and the attributes of one
 * relative name in any order.
 * @throws {PkiError} `malformed`
 */
export function relativeNameKeysOf(name: Uint8Array): readonly string[] {
  return parseName(name).map((attributes) => attributes.map(attributeKey).sort().join("+"));
}

/** Keys of whole names that are still in use: a chain asks for the same few again and again. */
const nameKeys = new WeakMap<Uint8Array, string>();

/**
 * One key for the whole name; the same for all that section 7.1 calls the same.
 * @param name bytes that nobody changes
 * @throws {PkiError} `malformed`
 */
export function nameKeyOf(name: Uint8Array): string {
  const known = nameKeys.get(name);
  if (known !== undefined) return known;
  const key = relativeNameKeysOf(name).join();
  nameKeys.set(name, key);
  return key;
}

/** Whether two names are the same by RFC 5280, section 7.1. */
export function isSameName(a: Uint8Array, b: Uint8Array): boolean {
  return isEqualBytes(a, b) || nameKeyOf(a) === nameKeyOf(b);
}
