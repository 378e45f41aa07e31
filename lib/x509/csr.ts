/**
 * Reads a certification request (PKCS #10, RFC 2986) and checks that its sender holds the key.
 * Of all that a request may ask for, only its public key is ever used; its names are read in order
 * to refuse a request that asks for somebody else's.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  type GeneralName,
  OID,
  parseCommonNames,
  parseExtensions,
  parseGeneralNames,
} from "./certificate.ts";
import {
  contextTag,
  DerReader,
  parseOid,
  parseSmallInteger,
  parseWholeBits,
  readWhole,
  TAG,
} from "./der.ts";
import { isSignatureValid, parsePublicKey } from "./keys.ts";
import { userDns, userUri } from "./names.ts";

export interface Csr {
  readonly der: Bytes;
  readonly spki: Bytes;
  readonly publicKey: KeyObject;
  readonly commonNames: readonly string[];
  readonly names: readonly GeneralName[];
}

function malformed(what: string, cause?: unknown): PkiError {
  return new PkiError("malformed", `cannot accept request: ${what}`, { cause });
}

function parseRequestedNames(attributes: DerReader): readonly GeneralName[] {
  let names: readonly GeneralName[] = [];
  const seen = new Set<string>();
  while (!attributes.isAtEnd) {
    const attribute = attributes.enter(TAG.sequence);
    const oid = parseOid(attribute.read(TAG.oid).content);
    const values = attribute.enter(TAG.set);
    attribute.end();
    if (seen.has(oid)) throw malformed(`attribute ${oid} twice`);
    seen.add(oid);
    if (oid !== OID.extensionRequest) continue;
    const extensions = parseExtensions(values.enter(TAG.sequence));
    values.end();
    const subjectAltName = extensions.get(OID.subjectAltName);
    if (subjectAltName) names = parseGeneralNames(subjectAltName.value);
  }
  return names;
}

/**
 * Reads a request, refuses weak keys and verifies its signature (proof of possession).
 * @throws {PkiError} `malformed`
 */
export function parseCsr(bytes: Uint8Array): Csr {
  if (bytes.length > LIMITS.derBytesMax) {
    throw malformed(`${bytes.length} bytes, at most ${LIMITS.derBytesMax} accepted`);
  }
  const der = copyBytes(bytes);
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const infoElement = outer.read(TAG.sequence);
  const algorithm = outer.read(TAG.sequence);
  const signature = parseWholeBits(outer.read(TAG.bitString).content);
  outer.end();
  const info = new DerReader(infoElement.content);
  if (parseSmallInteger(info.read(TAG.integer).content) !== 0) throw malformed("not of version 1");
  const subject = info.read(TAG.sequence).whole;
  const spki = copyBytes(info.read(TAG.sequence).whole);
  const attributes = info.readOptional(contextTag(0, true));
  info.end();

  const commonNames = parseCommonNames(subject);
  const names = attributes ? parseRequestedNames(new DerReader(attributes.content)) : [];
  const publicKey = parsePublicKey(spki);
  if (!isSignatureValid({ algorithm, data: infoElement.whole, signature, key: publicKey })) {
    throw malformed("its signature is not by the key in it");
  }
  return { der, spki, publicKey, commonNames, names };
}

/**
 * Refuses a request that asks for another name than this user's; one that asks for none is fine.
 * @throws {PkiError} `refused`
 */
export function checkCsrNames(
  csr: Csr,
  user: { readonly id: string; readonly domain: string },
): void {
  const { id, domain } = user;
  const isOwn = (name: GeneralName) =>
    name.type === "dns" && (name.value === id || name.value === userDns(id, domain)) ||
    name.type === "uri" && name.value === userUri(id, domain) ||
    name.type === "email" && name.value === `${id}@${domain}`;
  if (csr.commonNames.some((name) => name !== id) || !csr.names.every(isOwn)) {
    throw new PkiError("refused", `cannot certify request: it asks for another name than "${id}"`, {
      hint: `ask for the subject CN=${id} only, or for an empty subject`,
    });
  }
}
