/**
 * Finds out what a file holds: PEM or DER, and which of the things that this program reads. It looks
 * at no more than it needs to tell them apart; the reader of each kind says whether it is one.
 */

import { Buffer } from "node:buffer";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { contextTag, DerReader, readWhole, TAG } from "./der.ts";
import { parsePem } from "./pem.ts";

export type ItemKind = "certificate" | "request" | "crl" | "ocspRequest" | "ocspResponse";

export interface Item {
  readonly kind: ItemKind;
  readonly der: Bytes;
}

export interface Recognized {
  readonly items: readonly Item[];
  /** Labels of PEM blocks of other kinds. */
  readonly others: readonly string[];
}

const KIND_OF_LABEL: ReadonlyMap<string, ItemKind> = new Map([
  ["CERTIFICATE", "certificate"],
  ["X509 CERTIFICATE", "certificate"],
  ["CERTIFICATE REQUEST", "request"],
  ["NEW CERTIFICATE REQUEST", "request"],
  ["X509 CRL", "crl"],
  ["CRL", "crl"],
  ["OCSP REQUEST", "ocspRequest"],
  ["OCSP RESPONSE", "ocspResponse"],
]);

const isTime = (tag: number | undefined) => tag === TAG.utcTime || tag === TAG.generalizedTime;

/** What is signed, by how it begins (RFC 5280, sections 4.1 and 5.1; RFC 2986, section 4.1). */
function kindOfSigned(content: Uint8Array): ItemKind {
  const reader = new DerReader(content);
  if (reader.readOptional(contextTag(0, true))) return "certificate"; // its version
  if (!reader.readOptional(TAG.integer)) return "crl"; // of version 1
  const second = reader.read(TAG.sequence);
  if (second.content[0] !== TAG.oid) return "request"; // a name where an algorithm is due
  reader.read(TAG.sequence); // the issuer
  return isTime(reader.peekTag()) ? "crl" : "certificate"; // of version 1
}

/** @returns `undefined` for anything else; a key is never one of these */
function kindOf(der: Uint8Array): ItemKind | undefined {
  const reader = new DerReader(readWhole(der, TAG.sequence).content);
  const first = reader.read();
  if (first.tag === TAG.enumerated) return "ocspResponse";
  if (first.tag !== TAG.sequence) return undefined;
  const next = reader.peekTag();
  if (next === undefined || next === contextTag(0, true)) return "ocspRequest";
  return next === TAG.sequence ? kindOfSigned(first.content) : undefined;
}

function kindOfDer(der: Uint8Array): ItemKind | undefined {
  try {
    return kindOf(der);
  } catch {
    return undefined; // not DER, or none of these
  }
}

/**
 * What these bytes hold, in order.
 * @param what names the file in messages
 * @throws {PkiError} `malformed` for bytes that are none of these, or a PEM block that is damaged
 */
export function recognize(bytes: Uint8Array, what: string): Recognized {
  const kind = kindOfDer(bytes);
  if (kind) return { items: [{ kind, der: copyBytes(bytes) }], others: [] };
  // What stands around the blocks may be in any character set.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const items: Item[] = [];
  const others: string[] = [];
  const blocks = parsePem(text);
  if (blocks.length < text.split("-----BEGIN ").length - 1) {
    throw new PkiError("malformed", `cannot show ${what}: a PEM block in it is damaged or cut off`);
  }
  for (const { label, der } of blocks) {
    const kind = KIND_OF_LABEL.get(label);
    if (kind) items.push({ kind, der });
    else others.push(label);
  }
  if (items.length > 0) return { items, others };
  const why = others.length > 0
    ? `it holds ${others.join(", ")}`
    : bytes.length === 0
    ? "it is empty"
    : "it is neither PEM nor DER of any of these";
  throw new PkiError("malformed", `cannot show ${what}: ${why}`, {
    hint: "certificates, requests, revocation lists and OCSP messages are shown; keys never are",
  });
}
