/**
 * Certificate revocation lists (RFC 5280, section 5): read strictly, and written in pieces, so that
 * a server keeps the encoded entries and only puts them together when a list is due.
 *
 * What is read here is a complete list or a delta of one issuer; indirect lists, lists for some
 * reasons only, and everything critical that is not understood are refused, since "not in the list"
 * would mean something else there. Whether a list is the right and newest one is decided by whoever
 * judges a chain.
 */

import type { KeyObject } from "node:crypto";
import {
  type Bytes,
  concatAll,
  copyBytes,
  encodeHex,
  isEqualBytes,
  parseHex,
} from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { Certificate } from "./certificate.ts";
import { type CrlEntry, parseEntry, type Revocation } from "./crl_entry.ts";
import {
  checkInteger,
  contextTag,
  DerReader,
  type Element,
  encodeElement,
  encodeInteger,
  encodeSequence,
  encodeTime,
  parseBoolean,
  parseSmallInteger,
  parseTime,
  parseWholeBits,
  readAs,
  readWhole,
  TAG,
} from "./der.ts";
import { isSameName } from "./distinguished_names.ts";
import {
  encodeAuthorityKeyId,
  encodeExtension,
  encodeSignatureAlgorithm,
  keyIdOf,
  signTbs,
} from "./encode.ts";
import {
  type Extension,
  KEY_USAGE,
  OID,
  parseAuthorityKeyId,
  parseExtensions,
} from "./extensions.ts";
import { parsePublicKey } from "./keys.ts";
import { isCaSignatureValid, parseVerifyingKey } from "./verifying.ts";

// Where lists are read and written, these are needed with them.
export { type CrlEntry, encodeCrlEntry, type Revocation } from "./crl_entry.ts";
export { REVOCATION_REASONS, type RevocationReason } from "./revocation_reason.ts";

/** Extensions of lists (RFC 5280, section 5.2). */
const CRL_OID = {
  issuerAltName: "2.5.29.18",
  crlNumber: "2.5.29.20",
  deltaCrlIndicator: "2.5.29.27",
  issuingDistributionPoint: "2.5.29.28",
  freshestCrl: "2.5.29.46",
} as const;

const UNDERSTOOD = new Set<string>([
  OID.authorityKeyId,
  CRL_OID.issuerAltName,
  CRL_OID.crlNumber,
  CRL_OID.deltaCrlIndicator,
  CRL_OID.issuingDistributionPoint,
  CRL_OID.freshestCrl,
]);

/** RFC 5280, section 5.2.3: CRL numbers of up to 20 bytes must be read. */
const NUMBER_BYTES_MAX = 20;

/** IssuingDistributionPoint (RFC 5280, section 5.2.5): what a list that has it is limited to. */
export interface CrlScope {
  /** DER of the DistributionPointName. */
  readonly distributionPoint: Uint8Array | undefined;
  readonly onlyUsers: boolean;
  readonly onlyCas: boolean;
}

export interface Crl {
  readonly der: Bytes;
  /** The signed part, as it stands in `der`. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
  /** DER of the name. */
  readonly issuer: Uint8Array;
  /** Milliseconds since 1970. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number | undefined;
  readonly number: bigint | undefined;
  /** The number of the list that this one, a delta, adds to; `undefined` in a complete list. */
  readonly deltaBase: bigint | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
  /** `undefined`: all certificates of the issuer. */
  readonly scope: CrlScope | undefined;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly entryCount: number;
  /** @param serial content bytes in lower-case hex */
  readonly find: (serial: string) => Revocation | undefined;
  /** In the order of the list; each is read when it is asked for. */
  readonly entries: () => Iterable<CrlEntry>;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read CRL: ${what}`);
}

function parseNumber(value: Uint8Array): bigint {
  const content = checkInteger(readWhole(value, TAG.integer).content);
  if (content.length > NUMBER_BYTES_MAX || (content[0] ?? 0) >= 0x80) {
    throw malformed("a number out of range");
  }
  return BigInt(`0x${encodeHex(content)}`);
}

function readFlag(reader: DerReader, number: number): boolean {
  const element = reader.readOptional(contextTag(number, false));
  if (element && !parseBoolean(element.content)) {
    throw malformed("a default value that DER leaves out");
  }
  return element !== undefined;
}

function parseScope(value: Uint8Array): CrlScope {
  const reader = new DerReader(readWhole(value, TAG.sequence).content);
  const distributionPoint = reader.readOptional(contextTag(0, true))?.content;
  const onlyUsers = readFlag(reader, 1);
  const onlyCas = readFlag(reader, 2);
  const onlySomeReasons = reader.readOptional(contextTag(3, false)) !== undefined;
  const isIndirect = readFlag(reader, 4);
  const onlyAttributes = readFlag(reader, 5);
  reader.end();
  if (isIndirect) throw malformed("an indirect list, with certificates of several issuers");
  if (onlySomeReasons) throw malformed("a list for some reasons only");
  if (onlyAttributes || onlyUsers && onlyCas) throw malformed("a list for no certificates");
  return { distributionPoint, onlyUsers, onlyCas };
}

/** Where the entry of each serial number begins in the list, in bytes. */
function indexEntries(list: Uint8Array, isDelta: boolean): ReadonlyMap<string, number> {
  const index = new Map<string, number>();
  const reader = new DerReader(list);
  while (!reader.isAtEnd) {
    const { content, whole } = reader.read(TAG.sequence);
    const { serial, reason } = parseEntry(content);
    if (index.has(serial)) throw malformed("a serial number twice");
    if (reason === "removeFromCRL" && !isDelta) {
      throw malformed("a removal in a list that is complete");
    }
    index.set(serial, whole.byteOffset - list.byteOffset);
  }
  return index;
}

function readExtensions(tbs: DerReader): ReadonlyMap<string, Extension> {
  const element = tbs.readOptional(contextTag(0, true));
  if (!element) return new Map();
  const reader = new DerReader(readWhole(element.content, TAG.sequence).content);
  if (reader.isAtEnd) throw malformed("an empty list of extensions");
  const extensions = parseExtensions(reader);
  for (const { oid, critical } of extensions.values()) {
    if (critical && !UNDERSTOOD.has(oid)) throw malformed(`the unknown critical extension ${oid}`);
  }
  return extensions;
}

function isTime(tag: number | undefined): boolean {
  return tag === TAG.utcTime || tag === TAG.generalizedTime;
}

/**
 * Reads a certificate list of version 2, every entry of it.
 * @throws {PkiError} `malformed`, also for what is well formed and not supported (see above)
 */
export function parseCrl(bytes: Uint8Array): Crl {
  if (bytes.length > LIMITS.crlBytesMax) {
    throw malformed(`${bytes.length} bytes, at most ${LIMITS.crlBytesMax} accepted`);
  }
  return readAs("CRL", () => readCrl(copyBytes(bytes)));
}

/**
 * Which list it is and for how long it is good, without a look at its entries: for one that we have
 * written ourselves.
 * @throws {PkiError} `malformed`, also for a list without a number
 */
export function parseCrlHead(
  bytes: Uint8Array,
): Pick<Crl, "nextUpdateMs" | "authorityKeyId"> & { readonly number: bigint } {
  return readAs("CRL", () => {
    const outer = new DerReader(readWhole(bytes, TAG.sequence).content);
    const tbs = new DerReader(outer.read(TAG.sequence).content);
    tbs.readOptional(TAG.integer);
    tbs.read(TAG.sequence); // signature algorithm
    tbs.read(TAG.sequence); // issuer
    tbs.read(); // this update
    const nextUpdateMs = isTime(tbs.peekTag()) ? parseTime(tbs.read()) : undefined;
    tbs.readOptional(TAG.sequence); // the entries
    const extensions = readExtensions(tbs);
    const number = extensions.get(CRL_OID.crlNumber);
    if (!number) throw malformed("it has no number");
    const keyId = extensions.get(OID.authorityKeyId);
    return {
      number: parseNumber(number.value),
      nextUpdateMs,
      authorityKeyId: keyId && parseAuthorityKeyId(keyId.value).keyId,
    };
  });
}

function readCrl(der: Bytes): Crl {
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const tbsElement = outer.read(TAG.sequence);
  const signatureAlgorithm = outer.read(TAG.sequence);
  const signature = parseWholeBits(outer.read(TAG.bitString).content);
  outer.end();

  const tbs = new DerReader(tbsElement.content);
  const version = tbs.readOptional(TAG.integer); // absent in version 1
  if (!version || parseSmallInteger(version.content) !== 1) throw malformed("not of version 2");
  if (!isEqualBytes(tbs.read(TAG.sequence).whole, signatureAlgorithm.whole)) {
    throw malformed("two different signature algorithms");
  }
  const issuer = tbs.read(TAG.sequence).whole;
  const thisUpdateMs = parseTime(tbs.read());
  const nextUpdateMs = isTime(tbs.peekTag()) ? parseTime(tbs.read()) : undefined;
  if (nextUpdateMs !== undefined && nextUpdateMs < thisUpdateMs) {
    throw malformed("its next update is before this one");
  }
  // An empty list should be left out (RFC 5280, section 5.1.2.6); GnuTLS writes it all the same.
  const list = tbs.readOptional(TAG.sequence);
  const extensions = readExtensions(tbs);
  tbs.end();

  const read = <T>(oid: string, parse: (value: Uint8Array) => T): T | undefined => {
    const extension = extensions.get(oid);
    return extension ? parse(extension.value) : undefined;
  };
  const deltaBase = read(CRL_OID.deltaCrlIndicator, parseNumber);
  const entries = list?.content ?? new Uint8Array();
  const index = list ? indexEntries(entries, deltaBase !== undefined) : new Map<string, number>();
  const entryAt = (offset: number) =>
    parseEntry(new DerReader(entries.subarray(offset)).read(TAG.sequence).content);
  return {
    der,
    tbs: tbsElement.whole,
    signatureAlgorithm,
    signature,
    issuer,
    thisUpdateMs,
    nextUpdateMs,
    number: read(CRL_OID.crlNumber, parseNumber),
    deltaBase,
    authorityKeyId: read(OID.authorityKeyId, parseAuthorityKeyId)?.keyId,
    scope: read(CRL_OID.issuingDistributionPoint, parseScope),
    extensions,
    entryCount: index.size,
    find: (serial) => {
      const offset = index.get(serial);
      return offset === undefined ? undefined : entryAt(offset);
    },
    entries: function* () {
      for (const offset of index.values()) yield entryAt(offset);
    },
  };
}

/**
 * Whether a list is this CA's: its name, its key, a key that may sign lists (RFC 5280, section
 * 6.3.3 (f) and (g)), and the signature.
 * @throws {PkiError} `malformed` for a signature algorithm that is not accepted or not the key's
 */
export function isCrlSignedBy(crl: Crl, issuer: Certificate): boolean {
  const { authorityKeyId, signatureAlgorithm: algorithm, tbs: data, signature } = crl;
  const { subjectKeyId, keyUsage = KEY_USAGE.crlSign } = issuer;
  if (!isSameName(crl.issuer, issuer.subject)) return false;
  if (authorityKeyId && subjectKeyId && !isEqualBytes(authorityKeyId, subjectKeyId)) return false;
  if ((keyUsage & KEY_USAGE.crlSign) === 0) return false;
  // As path validation reads CAs' keys: a root of one's own may have another than we would make.
  return isCaSignatureValid({ algorithm, data, signature, key: parseVerifyingKey(issuer.spki) });
}

function encodeNumber(value: bigint): Bytes {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const signed = /^[89a-f]/.test(even) ? `00${even}` : even;
  return encodeElement(TAG.integer, parseHex(signed));
}

/** What a list says; its issuer is the CA whose key will sign it. */
export interface CrlTemplate {
  readonly issuer: Certificate;
  /** Goes up with every list (RFC 5280, section 5.2.3). */
  readonly number: bigint;
  /** Milliseconds since 1970, whole seconds. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** From {@link encodeCrlEntry}, or several of them in one; each serial number once. */
  readonly entries: readonly Uint8Array[];
}

/**
 * The part of a list that is signed (RFC 5280, section 5.1.2), with the extensions that every list
 * must have: the issuer's key and the list's number.
 */
export function encodeTbsCrl(
  { issuer, number, thisUpdateMs, nextUpdateMs, entries }: CrlTemplate,
): Bytes {
  const issuerKeyId = issuer.subjectKeyId ?? keyIdOf(issuer.spki);
  const list = concatAll(entries);
  return encodeSequence(
    encodeInteger(1),
    encodeSignatureAlgorithm(parsePublicKey(issuer.spki)),
    issuer.subject,
    encodeTime(thisUpdateMs),
    encodeTime(nextUpdateMs),
    list.length > 0 ? encodeSequence(list) : list,
    encodeElement(
      contextTag(0, true),
      encodeSequence(
        encodeExtension(OID.authorityKeyId, false, encodeAuthorityKeyId(issuerKeyId)),
        encodeExtension(CRL_OID.crlNumber, false, encodeNumber(number)),
      ),
    ),
  );
}

/**
 * Signs what {@link encodeTbsCrl} made for the same CA. It looks at the start of it, so that nothing
 * else that a CA's key can sign (a certificate, above all) is signed by this way.
 * @throws {PkiError} `internal` for anything but a list of this CA
 */
export function signCrl(
  tbs: Uint8Array,
  { key, certificate }: { readonly key: KeyObject; readonly certificate: Certificate },
): Bytes {
  const reader = new DerReader(readWhole(tbs, TAG.sequence).content);
  const version = reader.readOptional(TAG.integer);
  const isList = version !== undefined && isEqualBytes(version.content, Uint8Array.of(1)) &&
    isEqualBytes(reader.read(TAG.sequence).whole, encodeSignatureAlgorithm(key)) &&
    isEqualBytes(reader.read(TAG.sequence).whole, certificate.subject);
  if (!isList) throw new PkiError("internal", "cannot sign CRL: it is not a list of this CA");
  return signTbs(tbs, key);
}
