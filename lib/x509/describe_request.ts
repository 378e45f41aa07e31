/** Says what a certification request says, as plain values that become JSON; see `describe.ts`. */

import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import { fingerprintOf } from "./certificate.ts";
import type { CsrFields } from "./csr.ts";
import { DerReader, parseNamedBits, readWhole, TAG } from "./der.ts";
import {
  describeExtensions,
  describeKey,
  describeKeyUsage,
  describeNames,
  describePurposes,
  describeSignature,
  type ExtensionDescription,
  type KeyDescription,
  type NameDescription,
} from "./describe.ts";
import { OID, parseBasicConstraints, parseExtendedKeyUsage } from "./extensions.ts";
import { isSignatureValid } from "./keys.ts";
import { formatName } from "./name_text.ts";
import { REQUEST_ATTRIBUTE_NAMES } from "./oid_names.ts";

export interface RequestDescription {
  readonly subject: string;
  readonly key: KeyDescription;
  readonly signatureAlgorithm: string;
  /** Whether who made it holds the key; `null` where that cannot be verified here. */
  readonly signedByKey: boolean | null;
  readonly names: readonly NameDescription[];
  readonly isCa: boolean;
  readonly pathLength: number | null;
  readonly keyUsage: readonly string[];
  readonly extendedKeyUsage: readonly string[];
  readonly attributes: readonly { readonly oid: string; readonly name: string | null }[];
  /** The extensions that are asked for. */
  readonly extensions: readonly ExtensionDescription[];
  readonly sha256: string;
}

/** Extensions whose content the description has. */
const SHOWN: ReadonlySet<string> = new Set([
  OID.subjectAltName,
  OID.basicConstraints,
  OID.keyUsage,
  OID.extendedKeyUsage,
]);

function isSignedByKey({ spki, signatureAlgorithm, info, signature }: CsrFields): boolean | null {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return isSignatureValid({ algorithm: signatureAlgorithm, data: info, signature, key });
  } catch {
    return null; // a key or an algorithm that is not used here: shown, and not more
  }
}

function subjectOf(info: Uint8Array): Uint8Array {
  const reader = new DerReader(readWhole(info, TAG.sequence).content);
  reader.read(TAG.integer);
  return reader.read(TAG.sequence).whole;
}

/** @throws {PkiError} `malformed` for an extension that is not what its identifier says */
export function describeRequest(csr: CsrFields): RequestDescription {
  const read = <T>(oid: string, parse: (value: Uint8Array) => T): T | undefined => {
    const extension = csr.extensions.get(oid);
    return extension ? parse(extension.value) : undefined;
  };
  const basicConstraints = read(OID.basicConstraints, parseBasicConstraints);
  const keyUsage = read(
    OID.keyUsage,
    (value) => parseNamedBits(readWhole(value, TAG.bitString).content),
  );
  return {
    subject: formatName(subjectOf(csr.info)),
    key: describeKey(csr.spki),
    signatureAlgorithm: describeSignature(csr.signatureAlgorithm.content),
    signedByKey: isSignedByKey(csr),
    names: describeNames(csr.names),
    isCa: basicConstraints?.isCa === true,
    pathLength: basicConstraints?.pathLength ?? null,
    keyUsage: describeKeyUsage(keyUsage),
    extendedKeyUsage: describePurposes(read(OID.extendedKeyUsage, parseExtendedKeyUsage)),
    attributes: csr.attributes.map(({ oid }) => ({
      oid,
      name: REQUEST_ATTRIBUTE_NAMES[oid] ?? null,
    })),
    extensions: describeExtensions(csr.extensions, SHOWN),
    sha256: fingerprintOf(csr.der),
  };
}
