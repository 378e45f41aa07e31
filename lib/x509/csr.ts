/**
 * Reads a certification request (PKCS #10, RFC 2986) and checks that its sender holds the key. It says
 * what is written there; what of it is refused and what ignored is decided in `lib/ca/csr_policy.ts`.
 * Of all that a request may ask for, only its public key is ever used.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  type Extension,
  type GeneralName,
  OID,
  parseExtensions,
  parseGeneralNames,
} from "./certificate.ts";
import {
  checkSetOrder,
  contextTag,
  DerReader,
  type Element,
  parseOid,
  parseSmallInteger,
  parseWholeBits,
  readAs,
  readWhole,
  TAG,
} from "./der.ts";
import { isSignatureValid, parsePublicKey } from "./keys.ts";
import { type PublicKeyFields, readPublicKey } from "./public_key.ts";

/** One attribute of the subject's Name. */
export interface SubjectAttribute {
  readonly oid: string;
  /** `undefined` where the value is not text that we read: its type is none of ours. */
  readonly text: string | undefined;
}

/** An attribute of the request (RFC 2985, section 5.4): its values are elements of any type. */
export interface RequestAttribute {
  readonly oid: string;
  readonly values: readonly Element[];
}

/** What a request says; its key and its signature have not been looked at. */
export interface CsrFields {
  readonly der: Bytes;
  /** The signed part. */
  readonly info: Uint8Array;
  readonly spki: Bytes;
  readonly subject: readonly SubjectAttribute[];
  readonly commonNames: readonly string[];
  readonly attributes: readonly RequestAttribute[];
  /** The extensions that are asked for, by object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>;
  /** The names among them. */
  readonly names: readonly GeneralName[];
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
}

/** A request with a good key that has signed it. */
export interface Csr extends CsrFields {
  readonly key: PublicKeyFields;
  readonly publicKey: KeyObject;
}

function malformed(what: string, cause?: unknown): PkiError {
  return new PkiError("malformed", `cannot accept request: ${what}`, { cause });
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** Text of a DirectoryString or an IA5String; other character sets than UTF-8's subsets are not read. */
function readText({ tag, content }: Element): string | undefined {
  if (tag !== TAG.utf8String && tag !== TAG.printableString && tag !== TAG.ia5String) {
    return undefined;
  }
  let text: string;
  try {
    text = decoder.decode(content);
  } catch (cause) {
    throw malformed("a name in it is not UTF-8", cause);
  }
  const isOfType = tag === TAG.utf8String ||
    (tag === TAG.printableString ? PRINTABLE.test(text) : content.every((byte) => byte < 0x80));
  if (!isOfType) throw malformed("a name in it has characters that its type does not have");
  return text;
}

function readSubject(name: DerReader): readonly SubjectAttribute[] {
  const attributes: SubjectAttribute[] = [];
  while (!name.isAtEnd) {
    const set = name.enter(TAG.set);
    const members: Uint8Array[] = [];
    do {
      const { whole, content } = set.read(TAG.sequence);
      members.push(whole);
      const attribute = new DerReader(content);
      const oid = parseOid(attribute.read(TAG.oid).content);
      const text = readText(attribute.read());
      attribute.end();
      attributes.push({ oid, text });
    } while (!set.isAtEnd);
    checkSetOrder(members);
  }
  return attributes;
}

function readAttributes(reader: DerReader): readonly RequestAttribute[] {
  const attributes: RequestAttribute[] = [];
  const members: Uint8Array[] = [];
  while (!reader.isAtEnd) {
    const { whole, content } = reader.read(TAG.sequence);
    members.push(whole);
    const attribute = new DerReader(content);
    const oid = parseOid(attribute.read(TAG.oid).content);
    const set = attribute.enter(TAG.set);
    attribute.end();
    if (attributes.some((other) => other.oid === oid)) throw malformed(`attribute ${oid} twice`);
    const values: Element[] = [];
    while (!set.isAtEnd) values.push(set.read());
    if (values.length === 0) throw malformed(`attribute ${oid} without a value`);
    checkSetOrder(values.map((value) => value.whole));
    attributes.push({ oid, values });
  }
  checkSetOrder(members);
  return attributes;
}

const NO_EXTENSIONS: ReadonlyMap<string, Extension> = new Map();

function readRequestedExtensions(
  attributes: readonly RequestAttribute[],
): ReadonlyMap<string, Extension> {
  const request = attributes.find(({ oid }) => oid === OID.extensionRequest);
  const [value, ...more] = request?.values ?? [];
  if (!value) return NO_EXTENSIONS;
  if (more.length > 0) throw malformed("two lists of extensions");
  if (value.tag !== TAG.sequence) throw malformed("a request for extensions of an odd type");
  return readAs("request", () => parseExtensions(new DerReader(value.content)));
}

/** An AlgorithmIdentifier (RFC 5280, section 4.1.1.2): an object identifier and at most one parameter. */
function readAlgorithm(reader: DerReader): Element {
  const element = reader.read(TAG.sequence);
  const algorithm = new DerReader(element.content);
  parseOid(algorithm.read(TAG.oid).content);
  if (!algorithm.isAtEnd) algorithm.read();
  algorithm.end();
  return element;
}

/** A SubjectPublicKeyInfo of any algorithm. */
function readSpki(reader: DerReader): Bytes {
  const { whole, content } = reader.read(TAG.sequence);
  const spki = new DerReader(content);
  readAlgorithm(spki);
  parseWholeBits(spki.read(TAG.bitString).content);
  spki.end();
  return copyBytes(whole);
}

/**
 * Reads a request without judging its key or its signature: for showing it.
 * @throws {PkiError} `malformed` for anything that is not DER of a request
 */
export function readCsr(bytes: Uint8Array): CsrFields {
  if (bytes.length > LIMITS.derBytesMax) {
    throw malformed(`${bytes.length} bytes, at most ${LIMITS.derBytesMax} accepted`);
  }
  const der = copyBytes(bytes);
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const infoElement = outer.read(TAG.sequence);
  const signatureAlgorithm = readAlgorithm(outer);
  const signature = parseWholeBits(outer.read(TAG.bitString).content);
  outer.end();
  const info = new DerReader(infoElement.content);
  if (parseSmallInteger(info.read(TAG.integer).content) !== 0) throw malformed("not of version 1");
  const subject = readSubject(info.enter(TAG.sequence));
  const spki = readSpki(info);
  // RFC 2986 has the attributes always there, if empty; some tools leave them out.
  const attributesElement = info.readOptional(contextTag(0, true));
  info.end();
  const attributes = attributesElement
    ? readAttributes(new DerReader(attributesElement.content))
    : [];
  const extensions = readRequestedExtensions(attributes);
  const subjectAltName = extensions.get(OID.subjectAltName);
  return {
    der,
    info: infoElement.whole,
    spki,
    subject,
    commonNames: readCommonNames(subject),
    attributes,
    extensions,
    names: subjectAltName ? readAs("request", () => parseGeneralNames(subjectAltName.value)) : [],
    signatureAlgorithm,
    signature,
  };
}

function readCommonNames(subject: readonly SubjectAttribute[]): readonly string[] {
  return subject.flatMap(({ oid, text }) => {
    if (oid !== OID.commonName) return [];
    if (text === undefined) throw malformed("its common name is of an odd type");
    return [text];
  });
}

/**
 * Reads a request, refuses weak keys and verifies its signature (proof of possession).
 * @throws {PkiError} `malformed`
 */
export function parseCsr(bytes: Uint8Array): Csr {
  const fields = readCsr(bytes);
  const key = readPublicKey(fields.spki);
  const publicKey = parsePublicKey(fields.spki);
  const { signatureAlgorithm: algorithm, info: data, signature } = fields;
  if (!isSignatureValid({ algorithm, data, signature, key: publicKey })) {
    throw malformed("its signature is not by the key in it");
  }
  return { ...fields, key, publicKey };
}
