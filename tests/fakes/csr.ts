/** Requests put together from parts, so that any of them can deviate. */

import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import * as fs from "node:fs";
import { type Bytes, utf8 } from "../../lib/base/bytes.ts";
import { OID } from "../../lib/x509/certificate.ts";
import {
  contextTag,
  encodeBoolean,
  encodeElement,
  encodeInteger,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { encodeSpki } from "../../lib/x509/keys.ts";

const KEY_FILE = new URL("../../testdata/x509/p256.key", import.meta.url);
export const CSR_KEY = createPrivateKey(fs.readFileSync(KEY_FILE, "utf8"));

export interface CsrParts {
  readonly version?: Uint8Array;
  /** The subject's name, whole. */
  readonly subject?: Uint8Array;
  readonly spki?: Uint8Array;
  /** The list of attributes with its tag. */
  readonly attributes?: Uint8Array;
  readonly behindInfo?: Uint8Array;
  readonly algorithm?: Uint8Array;
  /** Behind the signature. */
  readonly behind?: Uint8Array;
  /** Of the key {@link CSR_KEY}, which signs. */
  readonly digest?: string;
  readonly key?: KeyObject;
  /** Instead of the key's. */
  readonly signature?: Uint8Array;
}

const NOTHING = new Uint8Array();
const SHA256_WITH_ECDSA = encodeSequence(encodeOid("1.2.840.10045.4.3.2"));

/** One attribute of a subject in a relative name of its own. */
export function relativeName(oid: string, value: string | Uint8Array): Bytes {
  const encoded = typeof value === "string" ? encodeElement(TAG.utf8String, utf8(value)) : value;
  return encodeElement(TAG.set, encodeSequence(encodeOid(oid), encoded));
}

export function subjectOf(...commonNames: readonly (string | Uint8Array)[]): Bytes {
  return encodeSequence(...commonNames.map((name) => relativeName(OID.commonName, name)));
}

/** A request for CN=alice, signed by p256.key, but for what deviates. */
export function assembleCsr(parts: CsrParts = {}): Bytes {
  const { key = CSR_KEY } = parts;
  const info = encodeSequence(
    parts.version ?? encodeInteger(0),
    parts.subject ?? subjectOf("alice"),
    parts.spki ?? encodeSpki(key),
    parts.attributes ?? encodeElement(contextTag(0, true)),
    parts.behindInfo ?? NOTHING,
  );
  return encodeSequence(
    info,
    parts.algorithm ?? SHA256_WITH_ECDSA,
    encodeElement(
      TAG.bitString,
      Uint8Array.of(0),
      parts.signature ?? sign(parts.digest ?? "sha256", info, key),
    ),
    parts.behind ?? NOTHING,
  );
}

export function attribute(oid: string, ...values: readonly Uint8Array[]): Bytes {
  return encodeSequence(encodeOid(oid), encodeElement(TAG.set, ...values));
}

export function attributes(...list: readonly Uint8Array[]): CsrParts {
  return { attributes: encodeElement(contextTag(0, true), ...list) };
}

/** A request for these extensions. */
export function extensions(...list: readonly Uint8Array[]): CsrParts {
  return attributes(attribute(OID.extensionRequest, encodeSequence(...list)));
}

export function extension(
  oid: string,
  value: Uint8Array,
  { isCritical = false }: { readonly isCritical?: boolean } = {},
): Bytes {
  return encodeSequence(
    encodeOid(oid),
    ...(isCritical ? [encodeBoolean(true)] : []),
    encodeOctetString(value),
  );
}

/** A request for alternative names: elements with their tags. */
export function altNames(...names: readonly Uint8Array[]): Bytes {
  return extension(OID.subjectAltName, encodeSequence(...names));
}

export const dnsName = (text: string) => encodeElement(contextTag(2, false), utf8(text));
export const emailName = (text: string) => encodeElement(contextTag(1, false), utf8(text));
export const uriName = (text: string) => encodeElement(contextTag(6, false), utf8(text));
export const ipName = (...bytes: readonly number[]) =>
  encodeElement(contextTag(7, false), Uint8Array.from(bytes));
