/**
 * GeneralNames (RFC 5280, section 4.2.1.6), as they stand in alternative names, constraints and
 * locations. Reading says what is written; which texts are names at all is asked with the checks at
 * the end.
 */

import { encodeHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { contextTag, DerReader, type Element, parseOid, readWhole, TAG } from "./der.ts";

/** `other` covers the forms that nobody here compares; `typeId` tells the kinds of otherName apart. */
export type GeneralName =
  | { readonly type: "dns" | "email" | "uri"; readonly value: string }
  | { readonly type: "ip"; readonly value: Uint8Array }
  /** DER of the Name. */
  | { readonly type: "directory"; readonly value: Uint8Array }
  | { readonly type: "other"; readonly tag: number; readonly typeId?: string };

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read certificate: ${what}`);
}

function parseIa5(content: Uint8Array): string {
  if (content.some((byte) => byte > 0x7e || byte < 0x20)) {
    throw malformed("a name with odd characters");
  }
  return String.fromCharCode(...content);
}

/** @throws {PkiError} `malformed` */
export function parseGeneralName({ tag, content }: Element): GeneralName {
  switch (tag) {
    case contextTag(0, true):
      return { type: "other", tag, typeId: parseOid(new DerReader(content).read(TAG.oid).content) };
    case contextTag(1, false):
      return { type: "email", value: parseIa5(content) };
    case contextTag(2, false):
      return { type: "dns", value: parseIa5(content) };
    case contextTag(4, true):
      return { type: "directory", value: readWhole(content, TAG.sequence).whole };
    case contextTag(6, false):
      return { type: "uri", value: parseIa5(content) };
    case contextTag(7, false):
      return { type: "ip", value: content };
    default:
      return { type: "other", tag };
  }
}

/** Names up to the end of a reader, at least one. */
export function readGeneralNames(reader: DerReader): readonly GeneralName[] {
  const names: GeneralName[] = [];
  while (!reader.isAtEnd) names.push(parseGeneralName(reader.read()));
  if (names.length === 0) throw malformed("an empty list of names");
  return names;
}

/**
 * DER of GeneralNames, never empty.
 * @throws {PkiError} `malformed`
 */
export function parseGeneralNames(value: Uint8Array): readonly GeneralName[] {
  return readGeneralNames(new DerReader(readWhole(value, TAG.sequence).content));
}

const HOST =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** A host in preferred name syntax (RFC 1034, section 3.5), so no underscore, address or final dot. */
export function isHost(text: string): boolean {
  return HOST.test(text);
}

/** An address of one mailbox (RFC 5280, section 4.2.1.6); quoted local parts are not read. */
export function isMailbox(text: string): boolean {
  const [local = "", host = "", ...more] = text.split("@");
  return more.length === 0 && /^[^\s"(),:;<>[\\\]]{1,64}$/.test(local) && isHost(host);
}

/** The host that a wildcard name stands in (RFC 9525, section 6.3); `undefined` for other names. */
export function wildcardHost(text: string): string | undefined {
  return text.startsWith("*.") ? text.slice(2) : undefined;
}

/** Whether a name of a certificate has the form that section 4.2.1.6 asks of its type. */
export function isWellFormedName(name: GeneralName): boolean {
  switch (name.type) {
    case "dns": {
      const host = wildcardHost(name.value);
      // A wildcard over a whole top-level domain is nobody's to have.
      return host === undefined ? isHost(name.value) : isHost(host) && host.includes(".");
    }
    case "email":
      return isMailbox(name.value);
    case "ip":
      return name.value.length === 4 || name.value.length === 16;
    case "uri":
      return /^[a-z][a-z0-9+.-]*:/i.test(name.value);
    case "directory":
    case "other":
      return true;
  }
}

/** An address as text: dotted, or in the form of RFC 5952; others in hex. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return encodeHex(bytes);
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push(((bytes[i] ?? 0) << 8 | (bytes[i + 1] ?? 0)).toString(16));
  }
  // The URL standard writes addresses as RFC 5952 does.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

/** What a message calls a name: at most 300 printable characters. */
export function describeName(name: GeneralName): string {
  switch (name.type) {
    case "dns":
    case "email":
    case "uri":
      return `${name.type} ${JSON.stringify(name.value.slice(0, 253))}`;
    case "ip":
      return `ip ${formatIp(name.value.subarray(0, 32))}`;
    case "directory":
      return "a directory name";
    case "other":
      return "a name of an unknown form";
  }
}
